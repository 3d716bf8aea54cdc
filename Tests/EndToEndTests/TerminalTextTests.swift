// What reaches a terminal. Names, labels, results and generated texts come from files, and a terminal obeys what it is sent: here they hold
// line ends, escape sequences and signs that turn the direction of writing. Tables and messages are printable wherever they go; data is
// printable on a terminal and untouched in a pipe.

import Formats
import Foundation
import Support
import Testing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct TerminalTextTests {
  private let folder: TemporaryDirectory
  private let fixture: String
  private static let label = "c\u{1B}]0;t\u{7}d\u{9B}e\u{202E}f"

  init() throws {
    folder = try TemporaryDirectory()
    fixture = try #require(Fixtures.own("models/olmoe"))
  }

  /// A model in a folder of that name.
  private func model(_ name: String) throws -> String {
    let path = folder.file("models/" + name)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    for file in ["config.json", "model.safetensors"] {
      try FileManager.default.createSymbolicLink(atPath: "\(path)/\(file)", withDestinationPath: "\(fixture)/\(file)")
    }
    return path
  }

  /// A trace whose names and labels are hostile.
  private func trace() throws -> String {
    let path = folder.file("t.db")
    var writer = JSONWriter()
    writer.object {
      $0.member("sequences", [[5, 6, 7], [5, 6, 8]])
      $0.member("names", ["n\u{1B}[2Jm", "o\np"])
      $0.member("labels") { $0.array { for label in [Self.label, "p|q\\\nr"] { $0.object { $0.member("domain", label) } } } }
    }
    try folder.write(Array(writer.text.utf8), to: "ids.json")
    let run = try Binary.run(["run", fixture, "--tokens", folder.file("ids.json"), "--trace", path, "--tag", "x\u{1B}[31my"])
    #expect(run.status == 0, "\(run.errors)")
    return path
  }

  /// Scalars that a terminal would obey.
  private func obeyed(_ text: String) -> [Unicode.Scalar] {
    text.unicodeScalars.filter { scalar in
      let isControl = scalar.value < 0x20 && scalar != "\n" && scalar != "\t" || (0x7F..<0xA0).contains(scalar.value)
      return isControl || scalar.properties.isBidiControl || scalar == "\u{2028}"
    }
  }

  private func expectPrintable(_ arguments: [String], _ status: Int32 = 0) throws {
    let piped = try Binary.run(arguments)
    #expect(piped.status == status, "\(arguments): \(piped.errors)")
    #expect(obeyed(piped.output + piped.errors).isEmpty, "\(arguments): \(piped)")
    let shown = try Pseudoterminal.run(arguments)
    #expect(shown.status == status && !shown.text.isEmpty && obeyed(shown.text).isEmpty, "\(arguments): \(shown)")
  }

  @Test func aFolderHidesNoOther() throws {
    for name in ["aa\nbb", "z1", "z2", "z3", "x\u{1B}[31my"] { _ = try model(name) }
    try expectPrintable(["models", folder.file("models")])
    let listed = try Binary.run(["models", folder.file("models")])
    let rows = listed.output.split(separator: "\n").map { $0.split(separator: " ")[0] }
    #expect(rows == ["model", "aa\\nbb", "x\\e[31my", "z1", "z2", "z3", "5"], "\(listed.output)")
    let json = try JSON.parse(text: try Binary.run(["models", folder.file("models"), "--json"]).output, name: "models")
    #expect(try json.array("models").map { try $0.string("name") } == ["aa\nbb", "x\u{1B}[31my", "z1", "z2", "z3"])
  }

  @Test func tablesAndMessagesArePrintable() throws {
    let hostile = try model("x\u{1B}[31my\u{202E}z")
    let path = try trace()
    try expectPrintable(["inspect", hostile])
    try expectPrintable(["run", hostile, "--tokens", folder.file("ids.json"), "--no-trace"])
    try expectPrintable(["runs", "list", path])
    try expectPrintable(["runs", "show", path])
    try expectPrintable(["sql", path, "SELECT value FROM sequence_labels"])
    try expectPrintable(["analyze", path, "--metric", "load_cv", "--by", "domain"])
    try expectPrintable(["inspect", hostile + "/none"], 66)
    try expectPrintable(["run", fixture, "--tokens", folder.file("none\u{1B}[31m"), "--no-trace"], 66)
    try expectPrintable(["run", fixture, "-p", "a", "--no\u{1B}[31m"], 64)
    try expectPrintable(["sql", path, "SELECT '\u{1B}[31m' FROM nowhere"], 64)
    // A message stays one line whatever a name holds.
    let broken = try Binary.run(["analyze", folder.file("a\nb.db")])
    #expect(broken.errors.hasPrefix("error: \(folder.path)/a\\nb.db: "), "\(broken.errors)")
  }

  /// A table of Markdown is words, and stays a table whatever its cells hold.
  @Test func markdownStaysATable() throws {
    let path = try trace()
    let arguments = ["analyze", path, "--metric", "load_cv", "--by", "domain", "--format", "md"]
    try expectPrintable(arguments)
    try expectPrintable(["analyze", path, "--by", "token"])
    let lines = try Binary.run(arguments).output.split(separator: "\n").filter { $0.hasPrefix("|") }
    // Ends of cells: bars that no backslash makes a part of the text.
    let cells = lines.map { $0.replacing("\\\\", with: "").replacing("\\|", with: "").count { $0 == "|" } }
    #expect(lines.count > 3 && Set(cells).count == 1, "\(lines)")
    #expect(lines.contains { $0.contains("p\\|q\\\\\\\\nr") }, "\(lines)")
  }

  @Test func dataIsWholeInPipesAndPrintableOnTerminals() throws {
    let path = try trace()
    let query = "SELECT value FROM sequence_labels ORDER BY value"
    let lines = try Binary.run(["sql", path, query, "--format", "jsonl"]).output
    #expect(try JSON.parse(text: String(lines.split(separator: "\n")[0]), name: "row").string("value") == Self.label)
    #expect(try Binary.run(["sql", path, query, "--format", "csv"]).output.contains(Self.label))
    for format in ["csv", "jsonl"] {
      let shown = try Pseudoterminal.run(["sql", path, query, "--format", format])
      #expect(shown.status == 0 && obeyed(shown.text).isEmpty && shown.text.contains("202e"), "\(shown)")
    }
    let exported = try Pseudoterminal.run(["export", path, "--what", "tokens", "--format", "csv"])
    #expect(exported.status == 0 && obeyed(exported.text).isEmpty && exported.text.contains("\n"), "\(exported)")
  }

  /// A model whose tokenizer writes an escape sequence, a tab and a line end for a word that it likes.
  @Test func whatAModelWritesKeepsItsLines() throws {
    let sample = Fixtures.root + "/samples/olmoe-tiny"
    for file in ["config.json", "model.safetensors", "tokenizer_config.json"] {
      try FileManager.default.createSymbolicLink(atPath: folder.file(file), withDestinationPath: "\(sample)/\(file)")
    }
    let source = try Data(contentsOf: URL(fileURLWithPath: sample + "/tokenizer.json"))
    var tokenizer = try #require(try JSONSerialization.jsonObject(with: source) as? [String: Any])
    // Byte-level letters of ESC, tab and line feed.
    let replace: [String: Any] = ["type": "Replace", "pattern": ["String": "String"], "content": "\u{11B}[31m\u{109}\u{10A}"]
    tokenizer["decoder"] = ["type": "Sequence", "decoders": [replace, ["type": "ByteLevel"]]]
    try folder.write(try JSONSerialization.data(withJSONObject: tokenizer), to: "tokenizer.json")
    let arguments = ["run", folder.path, "-p", "    if (PyDict_SetItemString", "--max-tokens", "8", "--no-trace"]
    let piped = try Binary.run(arguments)
    #expect(piped.status == 0 && piped.output.contains("\u{1B}[31m\t\n"), "\(piped)")
    let shown = try Pseudoterminal.run(arguments)
    #expect(shown.status == 0 && shown.text.contains("\\e[31m\t\n") && obeyed(shown.text).isEmpty, "\(shown)")
  }
}

/// A command whose output is a terminal.
private enum Pseudoterminal {
  /// Runs to the end; what was written to the terminal, its line ends as the program wrote them.
  static func run(_ arguments: [String]) throws -> (status: Int32, text: String) {
    var (master, slave): (Int32, Int32) = (-1, -1)
    try #require(openpty(&master, &slave, nil, nil, nil) == 0)
    defer { close(master) }
    let process = Binary.start(arguments + (arguments.first == "run" ? ["--no-progress"] : []), environment: ["TERM": "xterm-256color"])
    let terminal = FileHandle(fileDescriptor: slave, closeOnDealloc: false)
    (process.standardOutput, process.standardError) = (terminal, terminal)
    try process.run()
    close(slave)
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(master, &piece, piece.count)
      if count <= 0 { break }
      bytes += piece[..<count]
    }
    process.waitUntilExit()
    let text = String(decoding: bytes, as: UTF8.self).replacingOccurrences(of: "\r\n", with: "\n")
    return (process.terminationStatus, text)
  }
}
