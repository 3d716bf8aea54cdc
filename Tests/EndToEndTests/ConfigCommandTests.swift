// Settings as a user has them: in a file, in the environment, in options; what `moetop config` says of them and what the screens make of them.

import Formats
import Foundation
import Store
import Support
import Testing

struct ConfigCommandTests {
  private let folder: TemporaryDirectory
  private let model: String

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("models/olmoe"))
  }

  /// Runs with a configuration in its usual place.
  private func run(_ arguments: [String], config: String? = nil, environment: [String: String] = [:]) throws -> CommandResult {
    if let config {
      try FileManager.default.createDirectory(atPath: folder.file("config/moetop"), withIntermediateDirectories: true)
      try Data(config.utf8).write(to: URL(fileURLWithPath: path))
    }
    return try Binary.run(arguments, environment: own.merging(environment) { $1 })
  }

  private var path: String { folder.file("config/moetop/config") }
  private var own: [String: String] {
    ["XDG_CONFIG_HOME": folder.file("config"), "XDG_STATE_HOME": folder.file("state"), "XDG_DATA_HOME": folder.file("data")]
  }

  private func settings(_ result: CommandResult) throws -> [String: JSONValue] {
    let value = try JSON.parse(text: result.output, name: "output")
    #expect(try value.string("schema") == "moetop.config/1")
    var found: [String: JSONValue] = [:]
    for setting in try value.array("settings") { found[try setting.string("name")] = setting }
    return found
  }

  @Test func saysWhatHoldsAndWhy() throws {
    let none = try settings(try run(["config", "--json"]))
    #expect(try none.count > 10 && none.values.allSatisfy { try $0.string("source") == "default" })
    let config = "# mine\ntheme = light\nrate = 40\nthreads = 2\nkey.pause = K\n"
    let result = try run(["config", "--json"], config: config, environment: ["MOETOP_RATE": "max"])
    let found = try settings(result)
    let theme = try #require(found["theme"])
    #expect(try theme.string("value") == "light" && theme.string("source") == "file" && theme.integer("line") == 2)
    #expect(try theme.string("file") == path)
    #expect(try found["rate"]?.string("value") == "max" && found["rate"]?.string("source") == "environment")
    #expect(try found["data-dir"]?.string("value") == folder.file("data/moetop"))
    let table = try run(["config"], environment: ["MOETOP_RATE": "max"])
    #expect(table.status == 0 && table.errors.isEmpty)
    for words in ["theme      light", "\(path), line 2", "MOETOP_RATE", "key.pause", folder.file("state/moetop"), "not there"] {
      #expect(table.output.contains(words), "\(words)\n\(table.output)")
    }
    // Quoted, piped, and no colours: a table for people is nobody's input.
    #expect(!table.output.contains("\u{1B}"))
  }

  @Test func aMistakeIsAnErrorOfEveryCommandButThoseThatMendIt() throws {
    let mistake = "theme = dark\ncolour = never\n"
    for command in [["config"], ["runs"], ["models"], ["inspect", model], ["ui", model, "--no-record"]] {
      let result = try run(command, config: mistake)
      #expect(result.status == 78 && result.output.isEmpty, "\(command): \(result)")
      #expect(result.errors.hasPrefix("error: \(path), line 2: expected theme, color,"), "\(result.errors)")
      #expect(result.errors.contains("found colour; the nearest is color"))
    }
    let doctor = try run(["doctor"])
    #expect(doctor.status == 2 && doctor.output.contains("missing") && doctor.output.contains("line 2"), "\(doctor)")
    let keys = try run(["docs", "keys"])
    #expect(keys.status == 0 && keys.output.contains("| `space` | `pause` |") && keys.errors.contains("line 2"))
    for command in [["--version"], ["--help"], ["docs", "exit"], ["config", "--help"]] { #expect(try run(command).status == 0) }
    // Another file, or none, instead.
    #expect(try run(["config"], environment: ["MOETOP_CONFIG": "/dev/null"]).status == 0)
    #expect(try run(["config"], environment: ["MOETOP_CONFIG": folder.file("none")]).status == 66)
  }

  @Test(arguments: ["folder", "pipe", "large", "zeros"]) func whatIsNoConfiguration(_ kind: String) throws {
    try FileManager.default.createDirectory(atPath: folder.file("config/moetop"), withIntermediateDirectories: true)
    switch kind {
    case "folder": try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    case "pipe": #expect(mkfifo(path, 0o600) == 0)
    case "large": try Data(repeating: 0x61, count: 5_000_000).write(to: URL(fileURLWithPath: path))
    default: try Data(repeating: 0, count: 5000).write(to: URL(fileURLWithPath: path))
    }
    let result = try run(["config"])
    #expect(result.status == 78 && result.errors.contains(path) && result.errors.utf8.count < 500, "\(result.errors)")
  }

  @Test func wrongVariables() throws {
    let result = try run(["config"], environment: ["MOETOP_THREADS": "many"])
    #expect(result.status == 78 && result.errors == "error: MOETOP_THREADS: expected a number from 1 to 1024, or auto, found many\n")
  }

  /// The engine is told how many threads; what is computed does not depend on it.
  @Test func threadsAndDataAreOfEveryCommand() throws {
    let data = folder.file("elsewhere")
    let config = "threads = 1\ndata-dir = \(data)\n"
    let result = try run(["run", model, "--tokens", model + "/input.json", "-q"], config: config)
    #expect(result.status == 0, "\(result.errors)")
    let described = try run(["runs", "show", "latest", "--json"])
    #expect(described.output.contains("\"threads\":1"), "\(described)")
    #expect(FileManager.default.fileExists(atPath: data + "/traces.db"))
    let given = try run(["run", model, "--tokens", model + "/input.json", "-q", "--threads", "2"])
    #expect(given.status == 0)
    #expect(try run(["runs", "show", "latest", "--json"]).output.contains("\"threads\":2"))
  }

  // MARK: Scripts

  private func play(_ script: String, environment: [String: String] = [:]) throws -> CommandResult {
    let file = try folder.write(Array(script.utf8), to: "script")
    return try run(["ui", model, "--no-record", "--script", file], environment: environment)
  }

  private func dump(_ name: String) throws -> String { try String(contentsOfFile: folder.file(name), encoding: .utf8) }

  /// A script is the same on every machine: what a user has settled counts only where it is named.
  @Test func scriptsTakeWhatIsNamed() throws {
    let config = "key.help = H\nkey.pause = K\nwindow = 32\nascii = on\n"
    _ = try run(["config"], config: config)
    let script = "key esc ?\ndump \(folder.file("help.txt"))\nkey esc\ndump \(folder.file("live.txt"))\n"
    let plain = try play(script)
    #expect(plain.status == 0, "\(plain.errors)")
    #expect(try dump("help.txt").contains("Help · Live") && dump("live.txt").contains("? help"))
    let named = try play(script, environment: ["MOETOP_CONFIG": path])
    #expect(named.status == 1 && named.errors.contains("? does nothing here; H shows all keys"), "\(named.errors)")
    let own = try play(script.replacingOccurrences(of: "?", with: "H"), environment: ["MOETOP_CONFIG": path])
    #expect(own.status == 0, "\(own.errors)")
    let help = try dump("help.txt")
    #expect(help.contains("Help . Live") && help.contains("K ") && !help.contains("space "), "\(help)")
    #expect(try dump("live.txt").contains("H help") && dump("live.txt").contains("+-"))
    #expect(try run(["docs", "keys"]).output.contains("| `K` | `pause` |"))
    // Nor do they leave anything behind.
    #expect(!FileManager.default.fileExists(atPath: folder.file("state")))
  }

  @Test func scriptsHaveNoSessionBefore() throws {
    try FileManager.default.createDirectory(atPath: folder.file("state/moetop"), withIntermediateDirectories: true)
    let left = #"{"schema":"moetop.state/1","palette":"grey","histories":{"palette":["log"]}}"#
    try Data(left.utf8).write(to: URL(fileURLWithPath: folder.file("state/moetop/session.json")))
    #expect(try run(["config", "--json"]).output.contains(#""value":"grey","source":"state""#))
    let result = try play("key : up\ndump \(folder.file("a.txt"))\nkey esc P\ndump \(folder.file("b.txt"))\n")
    #expect(result.status == 0, "\(result.errors)")
    #expect(try !dump("a.txt").contains(":log") && dump("b.txt").contains("colours: cividis"))
    #expect(try dump("state/moetop/session.json") == left)
  }
}

/// Settings and what a session leaves, on a real terminal.
@Suite(.serialized, .enabled(if: TmuxSession.isAvailable, "there is no /usr/bin/tmux"))
struct SettledTerminalTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func start(_ arguments: String = "", _ environment: [String: String] = [:]) throws -> TmuxSession {
    let usual = ["LANG": "C.UTF-8", "TERM": "xterm-256color", "XDG_STATE_HOME": folder.path]
    return try TmuxSession(
      columns: 120, rows: 40,
      command: "\(Binary.path) ui \(Fixtures.root)/samples/olmoe-tiny --data-dir \(folder.path) \(arguments); echo left with $?",
      environment: usual.merging(environment) { $1 })
  }

  private var left: String { (try? String(contentsOfFile: folder.file("moetop/session.json"), encoding: .utf8)) ?? "" }

  @Test func theNextSessionKnowsWhatWasTyped() throws {
    let first = try start("--no-record")
    #expect(try first.wait { $0.contains("tok/s") })
    try first.send("P", ":")
    try first.send("-l", "token 3")
    try first.send("Enter", "p")
    try first.send("-l", "a secret")
    try first.send("Enter")
    #expect(try first.wait { $0.contains("tok/s") })
    try first.send("q")
    #expect(try first.wait { $0.contains("left with 0") })
    // What is not recorded is not kept in another file either.
    #expect(left.contains("cividis") && left.contains("token 3") && !left.contains("secret"), "\(left)")
    let attributes = try FileManager.default.attributesOfItem(atPath: folder.file("moetop/session.json"))
    #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)

    let second = try start()
    #expect(try second.wait { $0.contains("tok/s") })
    try second.send(":", "Up")
    #expect(try second.wait(seconds: 10) { $0.contains(":token 3") })
    try second.send("Escape", "P")
    #expect(try second.wait(seconds: 10) { $0.contains("colours: grey") })
    // A terminal that goes away is a way of leaving.
    Foundation.kill(try #require(try Processes.ofScreens(naming: folder.path)), SIGHUP)
    #expect(try second.wait { $0.contains("left with 129") })
    #expect(left.contains("grey") && left.contains("token 3"), "\(left)")
  }

  @Test func keysAndThresholdBeginAsSettled() throws {
    let config = folder.file("own")
    try Data("key.quit = X\nthreshold = 0.5\nwindow = 32\npalette = grey\n".utf8).write(to: URL(fileURLWithPath: config))
    let session = try start("--no-record", ["MOETOP_CONFIG": config])
    #expect(try session.wait { $0.contains("X quit") && $0.contains("(0.5)") && $0.contains("last 32 tokens") })
    try session.send("q")
    #expect(try session.wait(seconds: 10) { $0.contains("q does nothing here") })
    try session.send("P")
    #expect(try session.wait(seconds: 10) { $0.contains("colours: viridis") })
    try session.send("X")
    #expect(try session.wait { $0.contains("left with 0") })
  }

  /// An entry with colours of 24 bits, as the package ncurses-term has it.
  private static let entry = """
    xterm-direct|xterm with direct colours,
    \tRGB, colors#0x1000000, pairs#0x10000,
    \tsetab=\\E[%?%p1%{8}%<%t4%p1%d%e48:2::%p1%{65536}%/%d:%p1%{256}%/%{255}%&%d:%p1%{255}%&%d%;m,
    \tsetaf=\\E[%?%p1%{8}%<%t3%p1%d%e38:2::%p1%{65536}%/%d:%p1%{256}%/%{255}%&%d:%p1%{255}%&%d%;m,
    \tsetb@, setf@, initc@, oc@, ccc@, use=xterm-256color,

    """

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/tic"), "there is no /usr/bin/tic"))
  func coloursOf24Bits() throws {
    let source = try folder.write(Array(Self.entry.utf8), to: "entry")
    let made = try Binary.run(["-x", "-o", folder.file("terminfo"), source], program: "/usr/bin/tic")
    #expect(made.status == 0, "\(made.errors)")
    let entries = ["TERMINFO_DIRS": folder.file("terminfo") + ":"]
    for (environment, expected) in [
      (["COLORTERM": "truecolor"].merging(entries) { $1 }, true), (["COLORTERM": "truecolor", "TERMINFO_DIRS": ""], false),
      (entries, false),
      (["COLORTERM": "truecolor", "MOETOP_TRUECOLOR": "off"].merging(entries) { $1 }, false),
      (["MOETOP_TRUECOLOR": "on"].merging(entries) { $1 }, true),
    ] {
      // A machine may have the package.
      if environment["TERMINFO_DIRS"] == "", try hasDirectEntry() { continue }
      let doctor = try Binary.run(["doctor"], environment: ["TERM": "xterm-256color"].merging(environment) { $1 })
      let line = doctor.output.split(separator: "\n").first { $0.hasPrefix("colours") } ?? ""
      #expect(line.contains("24 bits: ") == !line.contains("not 24 bits") || !expected)
      #expect(line.contains(expected ? "ok    24 bits: " : "not 24 bits: "), "\(environment): \(line)")
      let session = try start("--no-record", environment)
      #expect(try session.wait { $0.contains("tok/s") })
      #expect(try session.screen(styled: true).contains("48;2;") == expected, "\(environment)")
      try session.send("q")
      #expect(try session.wait { $0.contains("left with 0") })
    }
  }

  private func hasDirectEntry() throws -> Bool {
    try Binary.run(["doctor"], environment: ["TERM": "xterm-256color", "COLORTERM": "truecolor"]).output.contains("and there is an entry")
  }
}
