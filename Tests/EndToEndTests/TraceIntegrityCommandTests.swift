// A trace cannot lie to a command: an edit is an error that names run, router and token, `runs check` finds what totals and ranges give
// away even without checksums, and numbers that f16 cannot hold are not stored as infinities.

import Formats
import Foundation
import Support
import Testing

struct TraceIntegrityCommandTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func trace(_ options: String...) throws -> String {
    let model = try #require(Fixtures.own("models/olmoe"))
    let path = folder.file("t.db")
    let result = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", path, "-q", "--name", "first"] + options)
    #expect(result.status == 0, "\(result.errors)")
    return path
  }

  /// A column with its first bytes exchanged.
  private static func with(_ hex: String, in column: String) -> String {
    "UPDATE page SET \(column) = CAST(x'\(hex)' || substr(\(column), \(hex.count / 2 + 1)) AS BLOB)"
  }

  @Test(arguments: [
    with("0303", in: "ids"), with("0000c07f", in: "weights"), with("000080bf", in: "weights"), with("00", in: "entropy"),
    "UPDATE page SET squared_lse = squared_lse + 1",
  ])
  func editedPagesAreErrors(_ sql: String) throws {
    let trace = try trace("--record", "full")
    try SQLite.run(sql, on: trace)
    for command in [["analyze", trace], ["export", trace], ["export", trace, "--format", "jsonl"], ["runs", "check", trace]] {
      let result = try Binary.run(command)
      #expect(result.status == 65, "\(command): \(result.output)")
      for words in [trace, "run 1", "router ffn.0", "at 0"] where command[0] != "runs" || words != trace {
        #expect(result.errors.contains(words), "\(command): \(result.errors)")
      }
    }
  }

  @Test(arguments: [
    (with("0303", in: "ids"), "taken twice"), (with("0000c07f", in: "weights"), "weight nan"),
    (with("000080bf", in: "weights"), "weight -1.0"),
    ("UPDATE expert_total SET assignments = assignments + 1", "assignments of expert 0"),
    ("UPDATE token SET position = 9223372036854775807 WHERE token = 3", "token 3: its position"),
    ("UPDATE token SET phase = 99 WHERE token = 3", "token 3: its phase"),
  ])
  func editedOldTracesAreFound(_ sql: String, _ words: String) throws {
    let trace = try trace()
    try SQLite.run("UPDATE page SET checksum = NULL, decision_checksum = NULL; UPDATE run SET token_checksum = NULL", on: trace)
    let before = try Binary.run(["runs", "check", trace])
    #expect(before.status == 0 && before.output.contains("2 pages without a checksum"), "\(before.errors)")
    try SQLite.run(sql, on: trace)
    let after = try Binary.run(["runs", "check", trace])
    #expect(after.status == 65 && after.errors.contains(words), "\(after.errors)")
  }

  /// What is left is consistent, and still not what was recorded.
  @Test(arguments: [
    ("DELETE FROM number WHERE number > 0", "table number: found 1 numbers"),
    ("DROP VIEW layer_load", "view layer_load: missing"),
    ("DROP VIEW routing_stats; CREATE VIEW routing_stats AS SELECT 1 AS run", "view routing_stats: not as this version makes it"),
    (
      "DELETE FROM page WHERE router = 1; DELETE FROM expert_total WHERE router = 1; DELETE FROM router WHERE id = 1",
      "routers: found 1, but the capture check assignment_sum was of 2"
    ),
    ("UPDATE router SET layer = 99 WHERE id = 1", "router ffn.99: the model has 2 layers"),
    ("UPDATE router SET stack = 'enc' WHERE id = 1", "router enc.0: the run has no encoder"),
    ("UPDATE router SET stack = 'attn' WHERE id = 1", "routers: their checksum"),
    // The two routers change places.
    (
      "UPDATE router SET layer = 9 WHERE id = 1; UPDATE router SET layer = 0 WHERE id = 2; UPDATE router SET layer = 1 WHERE id = 1",
      "routers: their checksum"
    ),
    ("UPDATE router SET spec = replace(spec, 'softmax', 'sigmoid') WHERE id = 1", "routers: their checksum"),
    ("UPDATE sequence SET labels = '{\"domain\":\"code\"}' WHERE sequence = 0", "names, labels and pieces of tokens: their checksum"),
    ("UPDATE sequence SET name = 'another' WHERE sequence = 0", "names, labels and pieces of tokens: their checksum"),
    ("INSERT INTO piece VALUES (1, 7, x'41')", "names, labels and pieces of tokens: their checksum"),
  ])
  func whatIsMissingIsFound(_ sql: String, _ words: String) throws {
    let trace = try trace()
    try SQLite.run(sql, on: trace)
    let check = try Binary.run(["runs", "check", trace])
    #expect(check.status == 65 && check.errors.contains(words), "\(check.output)\(check.errors)")
  }

  /// Runs of an older moetop have no such checksums, and nothing is said of them.
  @Test func olderRowsAreNotJudged() throws {
    let trace = try trace()
    try SQLite.run("UPDATE run SET router_checksum = NULL, word_checksum = NULL; UPDATE sequence SET name = 'another'", on: trace)
    let check = try Binary.run(["runs", "check", trace])
    #expect(check.status == 0, "\(check.errors)")
  }

  @Test func largeLogitsStayNumbers() throws {
    let model = try #require(Fixtures.own("models/olmoe"))
    try FileManager.default.copyItem(atPath: model + "/config.json", toPath: folder.file("config.json"))
    let sound = try SafetensorsFile(path: model + "/model.safetensors")
    let writer = try SafetensorsWriter(
      path: folder.file("model.safetensors"), tensors: sound.tensors.map { .init($0.name, $0.elementType, $0.shape) })
    for tensor in sound.tensors {
      var bytes = [UInt8](tensor.bytes)
      if tensor.name.hasSuffix("mlp.gate.weight") {
        #expect(tensor.elementType == .bf16)
        // 2^17 times as much: the exponent of a bf16 begins at its eighth bit.
        for index in stride(from: 0, to: bytes.count, by: 2) {
          let bits = UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8
          let larger = bits & 0x7f80 == 0 ? bits : bits + 17 << 7
          (bytes[index], bytes[index + 1]) = (UInt8(truncatingIfNeeded: larger), UInt8(truncatingIfNeeded: larger >> 8))
        }
      }
      try bytes.withUnsafeBytes { try writer.append($0, to: tensor.name) }
    }
    try writer.finish()
    var logits: [String: [Float]] = [:]
    for precision in ["f32", "f16"] {
      let trace = folder.file(precision + ".db")
      let run = try Binary.run([
        "run", folder.path, "--tokens", model + "/input.json", "--trace", trace, "--record", "full", "--precision", precision, "-q",
      ])
      #expect(run.status == 0, "\(run.errors)")
      #expect(try Binary.run(["runs", "check", trace]).status == 0)
      let exported = folder.file(precision + ".safetensors")
      #expect(try Binary.run(["export", trace, "--format", "safetensors", "-o", exported]).status == 0)
      let tensor = try SafetensorsFile(path: exported).tensor("ffn.0.router_logits")
      logits[precision] = withExtendedLifetime(tensor) { Array(tensor.bytes.bindMemory(to: Float.self)) }
    }
    let exact = try #require(logits["f32"])
    #expect(exact.contains { abs($0) > 65_504 })
    #expect(logits["f16"] == exact)
  }

  // MARK: Questions

  @Test func anEndlessAnswerComesAtOnce() throws {
    let trace = try trace()
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, 'text' AS t FROM c"
    for format in ["table", "csv", "jsonl"] {
      let process = Binary.start(["sql", trace, endless, "--format", format])
      let output = Pipe()
      process.standardOutput = output
      try process.run()
      // Without a first line there is nothing to wait for.
      DispatchQueue.global().asyncAfter(deadline: .now() + 60) { if process.isRunning { process.terminate() } }
      let text = try output.fileHandleForReading.read(upToCount: 20_000) ?? Data()
      try output.fileHandleForReading.close()
      process.waitUntilExit()
      #expect(text.count > 1000 && process.terminationReason == .exit && process.terminationStatus == 0, "\(format)")
    }
    let limited = try Binary.run(["sql", trace, endless, "--limit", "3"])
    #expect(limited.output == "x  t\n1  text\n2  text\n3  text\n" && limited.errors.contains("there are more"))
    #expect(try Binary.run(["sql", trace, "SELECT 1 AS a", "--limit", "1"]).errors.isEmpty)
  }

  @Test func valuesOfEveryKind() throws {
    let trace = try trace()
    let sql = "SELECT 9e999 AS a, -9e999 AS b, '=1+1' AS c, x'00ff' AS d, -4 AS e, NULL AS f"
    let table = try Binary.run(["sql", trace, sql])
    #expect(table.output == "  a     b  c     d               e  f\ninf  -inf  =1+1  blob, 2 bytes  -4\n")
    #expect(try Binary.run(["sql", trace, sql, "--format", "csv"]).output == "a,b,c,d,e,f\ninf,-inf,'=1+1,x'00ff',-4,\n")
    let lines = try Binary.run(["sql", trace, sql, "--format", "jsonl"])
    #expect(lines.output == "{\"a\":9e999,\"b\":-9e999,\"c\":\"=1+1\",\"d\":\"x'00ff'\",\"e\":-4,\"f\":null}\n")
    #expect(lines.errors.contains("9e999 stands for infinity"))
  }

  @Test func adviceIsInOurWords() throws {
    let trace = try trace()
    for (sql, words) in [("SELECT 1; SELECT 2", "one at a time"), ("SELECT ?", "write the value itself"), ("SELECT x FROM runs", "x")] {
      let result = try Binary.run(["sql", trace, sql])
      #expect(result.status == 64 && result.errors.contains(words) && !result.errors.contains("Database"), "\(result.errors)")
    }
    try SQLite.run("DELETE FROM grdb_migrations", on: trace)
    let lost = try Binary.run(["runs", trace])
    #expect(lost.status == 65 && lost.errors.contains("schema") && !lost.errors.contains("already exists"), "\(lost.errors)")
  }

  @Test func namesThatCannotBeSelected() throws {
    let model = try #require(Fixtures.own("models/olmoe"))
    let trace = try trace()
    for name in ["latest", "12", "", "a#b", "a/b", "x.db"] {
      let result = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", trace, "--name", name])
      #expect(result.status == 64 && result.errors.contains("cannot be the name of a run"), "\(name): \(result.errors)")
      #expect(try Binary.run(["runs", "rename", trace, name]).status == 64)
    }
    #expect(try Binary.run(["runs", "list", trace]).output.contains("1 run in"))
    for missing in [trace + "#7", trace + "#nosuch"] { #expect(try Binary.run(["runs", "list", missing]).status == 66) }
    #expect(try Binary.run(["runs", "list", "nosuch", "--data-dir", folder.path]).status == 66)
    #expect(try Binary.run(["runs", "list", trace + "#first"]).output.contains("first"))
  }

  /// A terminal that is closed is a hang-up, on both streams.
  @Test func aClosedTerminalIsAHangUp() throws {
    let trace = try trace()
    let terminal = try #require(ClosedTerminal.open())
    defer { close(terminal) }
    let handle = FileHandle(fileDescriptor: terminal, closeOnDealloc: false)
    for (arguments, status) in [(["runs", trace], 129), (["runs", folder.file("none.db")], 66)] as [([String], Int32)] {
      let process = Binary.start(arguments)
      process.standardOutput = handle
      process.standardError = handle
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == status)
    }
  }
}
