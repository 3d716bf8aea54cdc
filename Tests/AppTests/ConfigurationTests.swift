// What a configuration file may say and what it may be instead of one, who has the say, and that keys given to other actions are told
// everywhere alike.

import Analysis
import Foundation
import Routing
import Support
import Terminal
import Testing

@testable import App

struct ConfigurationTests {
  private func file(_ text: String) throws -> ConfigurationFile { try ConfigurationFile(bytes: Array(text.utf8), path: "F") }

  private func settings(_ text: String, environment: [String: String] = [:], options: [String: (option: String, text: String)] = [:]) throws
    -> Settings
  {
    try Configuration.settings(options: options, environment: environment, file: try file(text))
  }

  /// The message that a text is refused with; empty when it is not.
  private func refusal(_ text: String) -> String {
    do {
      _ = try settings(text)
      return ""
    } catch { return Failure.status(of: error) == .configuration ? Failure.message(of: error) : "\(error)" }
  }

  @Test(arguments: [
    ("", []), ("\n\r\n  # words\n", []), ("\u{FEFF}a = b", ["a=b@1"]), ("a=b\r\nc = d\re\t=\tf\n", ["a=b@1", "c=d@2", "e=f@3"]),
    ("a = b c   # words", ["a=b c@1"]), ("a = b#c", ["a=b#c@1"]), ("a = \"b # c\" # d", ["a=b # c@1"]), ("a = \"", ["a=\"@1"]),
    ("a = \"#\"", ["a=#@1"]), ("a = =", ["a==@1"]), ("a =", ["a=@1"]), ("a = # nothing", ["a=@1"]), ("a = \"\"", ["a=@1"]),
    ("key.x = é ⏎", ["key.x=é ⏎@1"]),
  ])
  func lines(_ text: String, _ expected: [String]) throws {
    #expect(try file(text).entries.map { "\($0.key)=\($0.value)@\($0.line)" } == expected)
  }

  @Test(arguments: [
    ("a", "F, line 1: expected key = value, found a"), ("\n= b", "F, line 2: expected key = value, found = b"),
    ("[keys]", "F, line 1: expected key = value, found [keys]"),
    ("theme = dark\u{0}", "F, line 1: expected text, found the control character U+0000"),
    ("\u{0}\u{0}", "F, line 1: expected text, found the control character U+0000"),
    ("theme = \u{1B}[2J", "F, line 1: expected text, found the control character U+001B"),
    ("theme = dark\n\ntheme = dark", "F, line 3: theme is settled in line 1 already"),
    ("palette = \"grey", "F, line 1: expected a second \" after the value of palette"),
    ("palette = \"grey\" x", "F, line 1: expected nothing after the quoted value of palette, found x"),
    ("colour = never", "found colour; the nearest is color"), ("thresold = 1", "found thresold; the nearest is threshold"),
    ("zzzzzzzzz = 1", "expected theme, color, ascii"), ("theme = blue", "F, line 1: theme: expected auto, dark or light, found blue"),
    ("theme =", "theme: expected auto, dark or light, found nothing"), ("Theme = dark", "the nearest is theme"),
    ("mouse = yes", "mouse: expected on or off, found yes"), ("threads = 0", "threads: expected a number from 1 to 1024, or auto, found 0"),
    ("threads = 99999999999999999999", "threads: expected"), ("rate = nan", "rate: expected"), ("rate = -1", "rate: expected"),
    ("window = 0", "window: expected"), ("threshold = 2", "threshold: expected"), ("threshold = q1", "threshold: expected"),
    ("data-dir = x", "data-dir: expected a folder, from / or ~/ on, found x"), ("models = /a:b", "models: expected"),
    ("key.pasue = x", "expected the name of an action, found pasue; the nearest is pause"),
    ("key. = x", "expected the name of an action, found nothing"),
    ("key.pause =", "key.pause: expected 1 to 8 keys, or none; found nothing"),
    ("key.pause = 1 2 3 4 5 6 7 8 9", "found 9"), ("key.pause = f99", "expected the name of a key"),
    ("key.pause = ctrl-i", "ctrl-i comes from a terminal as tab"), ("key.pause = ctrl-m", "as enter"),
    ("key.pause = x x", "x stands there twice"),
    ("key.quit = ctrl-c", "ctrl-c always interrupts"), ("key.interrupt = x", "ctrl-c always interrupts"),
    ("key.pause = q", "F, line 1: key q would be pause and quit on live\n  try: key.quit = another key, or none"),
    ("\nkey.pause = T\nkey.tag = T", "F, line 2: key T would be pause and tag (line 3) on runs"),
    ("key.palette = none", "key.palette: expected a key, found none"),
    ("key.branch = m", "key m would be branch and metric on live"),
  ])
  func mistakes(_ text: String, _ expected: String) {
    let message = refusal(text)
    #expect(message.contains(expected), "\(message)")
    #expect(message.hasPrefix("F, line "), "\(message)")
  }

  /// Long words of a file do not become long messages.
  @Test func messagesAreShort() {
    let long = String(repeating: "x", count: 50_000)
    for text in [long, long + " = 1", "theme = " + long, "key." + long + " = q", "key.pause = " + long] {
      #expect((1...1000).contains(refusal(text).utf8.count))
    }
  }

  @Test func bytesThatAreNoText() {
    #expect(throws: Failure.self) { try ConfigurationFile(bytes: [0x61, 0x20, 0x3D, 0x20, 0xFF, 0xFE], path: "F") }
    #expect(throws: Failure.self) { try ConfigurationFile(bytes: [0xFF, 0xFE, 0x61, 0x00], path: "F") }
    // Seeded noise ends in an answer, whichever.
    var random = SeededRandom(seed: 7)
    for _ in 0..<300 {
      let bytes = (0..<Int(random.next() % 200)).map { _ in UInt8(truncatingIfNeeded: random.next() >> 20) }
      _ = try? Configuration.settings(options: [:], environment: [:], file: try ConfigurationFile(bytes: bytes, path: "F"))
    }
  }

  @Test func whatLiesThereInsteadOfAFile() throws {
    let folder = try TemporaryDirectory()
    #expect(try ConfigurationFile(path: folder.file("none"), mustExist: false) == nil)
    #expect(throws: (any Error).self) { try ConfigurationFile(path: folder.file("none"), mustExist: true) }
    #expect(try ConfigurationFile(path: "/dev/null", mustExist: true)?.entries.isEmpty == true)
    let large = folder.file("large")
    try Data(repeating: UInt8(ascii: "#"), count: ConfigurationFile.mostBytes + 1).write(to: URL(fileURLWithPath: large))
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    for path in [folder.path, large, pipe, "/dev/zero"] {
      #expect(throws: Failure.self, "\(path)") { try ConfigurationFile(path: path, mustExist: false) }
    }
    try Data(repeating: UInt8(ascii: "\n"), count: ConfigurationFile.mostBytes).write(to: URL(fileURLWithPath: large))
    #expect(try ConfigurationFile(path: large, mustExist: true)?.entries.isEmpty == true)
  }

  @Test func whoHasTheSay() throws {
    let text = "theme = light\npalette = grey\nwindow = all\nrate = max\nthreads = 2\nmouse = off\nthreshold = 1.6nat\ndata-dir = ~/x"
    let alone = try settings(text)
    #expect(alone.theme == .light && alone.palette == .grey && alone.window == nil && alone.rate == nil && alone.threads == 2)
    #expect(!alone.mouse && alone.threshold == .nats(1.6) && alone.dataDir == Places.home + "/x")
    #expect(alone.origins["palette"] == .file("F", line: 2) && alone.origins["color"] == nil)
    let environment = ["MOETOP_THEME": "dark", "MOETOP_DATA_DIR": "here", "MOETOP_PALETTE": "", "MOETOP_THREADS": "auto"]
    let within = try settings(text, environment: environment, options: ["theme": ("--theme", "auto")])
    #expect(within.theme == .auto && within.origins["theme"] == .option("--theme"))
    #expect(within.dataDir == "here" && within.palette == .grey && within.threads == nil)
    #expect(within.origins["threads"] == .environment("MOETOP_THREADS"))
    #expect(throws: Failure.self) { try settings("", environment: ["MOETOP_RATE": "fast"]) }
    // Every setting takes the text of the value it has.
    for setting in Setting.all {
      var usual = Settings()
      let text = setting.text(usual)
      #expect(setting.take(text, &usual) && setting.text(usual) == text, "\(setting.name)")
      #expect(setting.variable.allSatisfy { $0.isUppercase || $0 == "_" })
    }
  }

  /// A script has no terminal that shows pictures.
  @Test func picturesAreInCellsWhereNothingElseShowsThem() throws {
    let asked = try settings("pictures = kitty")
    func pictures(_ shows: Bool) -> PictureChoice {
      AppModel(size: Size(width: 80, height: 24), theme: Theme(), settings: asked, showsPictures: shows).pictures
    }
    #expect(pictures(true) == .kitty && pictures(false) == .auto)
    #expect(try asked.terminal.asksForPictures && !settings("").terminal.asksForPictures)
  }

  @Test func colourIsAskedOfWhomeverSaidSo() throws {
    let file = try settings("color = never\ntruecolor = off\ntheme = light\nascii = on").terminal
    #expect(
      file.color == nil && file.configuredColor == .never && file.directColor == .off && file.appearance == .light && file.forcesASCII)
    let option = try settings("color = never", options: ["color": ("--color", "always")]).terminal
    #expect(option.color == .always && option.configuredColor == nil)
  }

  @Test func theLastPaletteIsTheUsualOne() throws {
    let state = SessionState(palette: .cividis)
    var nothing = Settings()
    state.settle(&nothing)
    #expect(nothing.palette == .cividis && nothing.origins["palette"] == .lastSession)
    var said = try settings("palette = viridis")
    state.settle(&said)
    #expect(said.palette == .viridis)
  }

  @Test func placesFollowTheEnvironment() {
    let usual = Places(environment: [:], home: "/home/me")
    #expect(usual.config == "/home/me/.config/moetop/config" && usual.state == "/home/me/.local/state/moetop" && !usual.isConfigNamed)
    let own = Places(
      environment: ["XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "relative", "MOETOP_CONFIG": ""], home: "/home/me")
    #expect(own.config == "/c/moetop/config" && own.state == usual.state)
    let named = Places(environment: ["MOETOP_CONFIG": "mine", "XDG_CONFIG_HOME": "/c"], home: "/home/me")
    #expect(named.config == "mine" && named.isConfigNamed)
  }

  // MARK: Keys

  private static let rebinding = """
    key.pause = K
    key.up = up
    key.quit = X
    key.right = right
    key.left = left
    key.log = L
    key.open = none
    key.runs = f8
    key.step = J
    """

  private func model(_ text: String, theme: Theme = Theme()) throws -> AppModel {
    var model = AppModel(size: Size(width: 120, height: 50), theme: theme, settings: try settings(text))
    for event in try SyntheticSession.events(texts: 2) { _ = model.update(.engine([event])) }
    (model.message, model.overlay) = (nil, nil)
    return model
  }

  @Test func otherKeysDoIt() throws {
    var model = try model(Self.rebinding)
    model.press("K")
    #expect(model.isPaused)
    model.press("space")
    #expect(model.isPaused && model.message?.text.contains("does nothing here") == true)
    model.press("f8")
    #expect(model.screen == RunsScreen.id)
    model.press("esc L")
    if case .log = model.overlay {} else { Issue.record("the log is open") }
    model.press("esc")
    #expect(model.update(.key(.char("q"))).isEmpty)
    #expect(model.update(.key(.char("X"))).contains { if case .quit = $0 { true } else { false } })
    #expect(model.update(.key(.ctrl("c"))).contains { if case .quit = $0 { true } else { false } })
  }

  @Test func helpBarAndWordsFollow() throws {
    var model = try model(Self.rebinding)
    let bar = try #require(Painter.draw(model).screen.plainText.split(separator: "\n").last)
    #expect(bar.contains("X quit") && !bar.contains("q quit") && bar.contains("K pause"), "\(bar)")
    let tabs = try #require(Painter.draw(model).screen.plainText.split(separator: "\n").first)
    #expect(tabs.contains("F8 Runs") || tabs.contains("f8 Runs"), "\(tabs)")
    // Lines of several actions name the keys that these have now.
    let lines = model.helpLines("")
    let moves = try #require(lines.first { $0.id == .left })
    #expect(moves.keys == "← → ↑ ↓" && lines.first { $0.id == .slower }?.keys == ",  .")
    #expect(try #require(lines.first { $0.help.hasPrefix("go to a screen") }).keys.contains("f8"))
    #expect(model.helpLines("@K").map(\.id) == [.pause] && model.helpLines("@space").isEmpty)
    #expect(model.whyNot(.step) == "K pauses first; then J goes token by token")
    #expect(model.statusText.contains("tok") || !model.statusText.isEmpty)
    // The palette shows them, and an action without a key is done by its name.
    model.press(": p a u s")
    #expect(Painter.draw(model).screen.plainText.split(separator: "\n").contains { $0.contains("pause") && $0.contains(" K ") })
    model.press("esc")
    var empty = AppModel(size: model.size, theme: Theme(), settings: try settings(Self.rebinding))
    #expect(empty.statusText == "nothing is open: :open for the models of this machine, f8 for recorded runs")
    empty.press("S")
    #expect(empty.message?.text == "S does nothing here; ? shows all keys")
  }

  @Test func arrowsInTheBarAreThoseThatMove() throws {
    let usual = try model("")
    #expect(BarItem.arrows().keyLabel(usual.actions, .utf8) == "←↓↑→" && BarItem(.faster).keyLabel(usual.actions, .ascii) == ", .")
    let own = try model("key.down = J down\nkey.up = Z\nkey.faster = none\nkey.slower = none")
    #expect(BarItem.arrows().keyLabel(own.actions, .utf8) == "← J Z →")
    #expect(BarItem(.down).keyLabel(own.actions, .utf8) == "J Z" && BarItem(.right).keyLabel(own.actions, .utf8) == "←→")
    #expect(BarItem(.faster).keyLabel(own.actions, .utf8) == ":faster")
  }

  @Test func thePageFollows() throws {
    let table = ActionTable(Screens.all, try settings(Self.rebinding + "\nkey.filter = |").keys)
    let page = table.markdown()
    #expect(page.contains("| `K` | `pause` |") && page.contains("|  | `open MODEL` |") && page.contains("## Runs (`f8`)"))
    #expect(page.contains("| `\\|` | `filter TERMS` |"))
    // Every action is on it, under the names that the file takes.
    for entry in table.entries {
      #expect(page.contains("`\(entry.id.rawValue)"), "\(entry.id)")
      for key in entry.keys { #expect(KeyEvent(key.name) == key, "\(key)") }
    }
  }

  /// Keys may be exchanged, whichever line comes first.
  @Test func keysChangePlaces() throws {
    let table = ActionTable(Screens.all, try settings("key.pause = s\nkey.step = space\nkey.decisions = T\nkey.tag = T").keys)
    #expect(table.action(.char("s"), on: .live) == .pause && table.action(.char(" "), on: .live) == .step)
    for screen in Screens.all {
      let keys = table.entries.filter { $0.applies(to: screen.id) }.flatMap(\.keys)
      #expect(Set(keys).count == keys.count)
    }
  }
}
