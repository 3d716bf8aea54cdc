// Every action there is: its keys, words and screens. The key bar, the help, the palette and the documents read this one list; a key
// has one meaning everywhere, and an action that is not here cannot be done.

import Terminal

/// An action by the name it has in the palette and in session scripts.
enum ActionID: String, CaseIterable, Sendable {
  case left, right, up, down
  case pageUp = "page-up"
  case pageDown = "page-down"
  case halfUp = "half-up"
  case halfDown = "half-down"
  case first, last
  case tokenLeft = "previous-token"
  case tokenRight = "next-token"
  case nextPanel = "next-panel"
  case previousPanel = "previous-panel"
  case enter, back, pause, step, slower, faster
  case notable = "next-uncertain"
  case layerDown = "previous-layer"
  case layerUp = "next-layer"
  case metric, values, order, window
  case lower = "lower-threshold"
  case raise = "raise-threshold"
  case threshold, axis
  case nullTest = "null-test"
  case find
  case findNext = "find-next"
  case findPrevious = "find-previous"
  case filter, palette, help, prompt, colors, grow, shrink, copy, export, tag, delete
  case redraw, suspend, interrupt, quit
  case screenLive = "live"
  case screenToken = "tokens"
  case screenUncertainty = "uncertainty"
  case screenSpecialization = "specialization"
  case screenRuns = "runs"
  // By name only.
  case token, layer, expert, read, open, mouse, theme, log
}

struct ActionEntry: Sendable {
  let id: ActionID
  /// Two or three words for the key bar.
  let title: String
  /// One line for the help.
  let help: String
  let keys: [KeyEvent]
  /// What follows the name in the palette: `N`, `FILE`; empty for nothing.
  let argument: String
  /// Screens it belongs to; empty: everywhere.
  let screens: Set<Screen>

  init(_ id: ActionID, _ title: String, _ help: String, keys: [KeyEvent] = [], argument: String = "", on screens: Set<Screen> = []) {
    self.id = id
    self.title = title
    self.help = help
    self.keys = keys
    self.argument = argument
    self.screens = screens
  }

  func applies(to screen: Screen) -> Bool { screens.isEmpty || screens.contains(screen) }

  func keyLabel(_ glyphs: GlyphSet) -> String {
    keys.isEmpty ? ":" + id.rawValue : keys.prefix(3).map { $0.label(glyphs) }.joined(separator: " ")
  }
}

enum ActionTable {
  static let entries: [ActionEntry] = [
    ActionEntry(.left, "move", "move left: expert, token, cell", keys: [.left, .char("h")]),
    ActionEntry(.right, "move", "move right", keys: [.right, .char("l")]),
    ActionEntry(.up, "move", "move up: layer, row", keys: [.up, .char("k")]),
    ActionEntry(.down, "move", "move down", keys: [.down, .char("j")]),
    ActionEntry(.pageUp, "page", "one page up", keys: [.pageUp]),
    ActionEntry(.pageDown, "page", "one page down", keys: [.pageDown]),
    ActionEntry(.halfUp, "half page", "half a page up", keys: [.ctrl("u")]),
    ActionEntry(.halfDown, "half page", "half a page down", keys: [.ctrl("d")]),
    ActionEntry(.first, "first", "first row, layer or token", keys: [.char("g"), .home]),
    ActionEntry(.last, "last", "last row or layer; follow the newest token", keys: [.char("G"), .end]),
    ActionEntry(.tokenLeft, "token", "token before", keys: [.shiftLeft, .shiftUp]),
    ActionEntry(.tokenRight, "token", "token after", keys: [.shiftRight, .shiftDown]),
    ActionEntry(.enter, "inspect", "look closer at what is under the cursor", keys: [.enter]),
    ActionEntry(.pause, "pause", "pause or resume the model; play or stop a replay", keys: [.char(" ")]),
    ActionEntry(.step, "step", "one token (while paused)", keys: [.char("s")]),
    ActionEntry(.slower, "slower", "slower", keys: [.char(",")]),
    ActionEntry(.faster, "faster", "faster; beyond 200 tok/s as fast as it can", keys: [.char(".")]),
    ActionEntry(.prompt, "prompt", "type a text for the model to continue", keys: [.char("p")], argument: "TEXT"),
    ActionEntry(.read, "read", "let the model read a file: text, or JSON lines with \"text\"", argument: "FILE"),
    ActionEntry(.notable, "next uncertain", "next uncertain token", keys: [.char("!")]),
    ActionEntry(.layerDown, "layer", "layer before", keys: [.char("[")]),
    ActionEntry(.layerUp, "layer", "layer after", keys: [.char("]")]),
    ActionEntry(
      .metric, "metric", "heat: load, importance, entropy, margin; or share, lift", keys: [.char("m")],
      on: [.live, .specialization]),
    ActionEntry(.values, "values", "show probabilities, logits or weights", keys: [.char("v")], on: [.token]),
    ActionEntry(.order, "order", "order of experts or rows", keys: [.char("o")], on: [.live, .uncertainty, .specialization]),
    ActionEntry(.window, "window", "tokens that numbers are about: 32, 128, 512, all", keys: [.char("w")], argument: "N", on: [.live]),
    ActionEntry(.lower, "threshold", "lower the threshold", keys: [.char("<")], on: [.live, .token, .uncertainty]),
    ActionEntry(.raise, "threshold", "raise the threshold", keys: [.char(">")], on: [.live, .token, .uncertainty]),
    ActionEntry(
      .threshold, "type threshold", "type the threshold: 0.92 of ln E, 1.6nat, q0.95 of the run", keys: [.char("=")], argument: "H",
      on: [.live, .token, .uncertainty]),
    ActionEntry(.axis, "axis", "next axis: a label such as domain, or position", keys: [.char("a")], on: [.specialization]),
    ActionEntry(.nullTest, "null test", "test against 1,000 shuffles", keys: [.char("z")], on: [.specialization]),
    ActionEntry(.tag, "tag", "change the tags of a run", keys: [.char("t")], argument: "TAGS", on: [.runs]),
    ActionEntry(.delete, "delete", "delete a run (asks)", keys: [.char("D")], on: [.runs]),
    ActionEntry(.screenLive, "Live", "go to Live", keys: [.char("1")]),
    ActionEntry(.screenToken, "Token", "go to Token", keys: [.char("2")]),
    ActionEntry(.screenUncertainty, "Uncertainty", "go to Uncertainty", keys: [.char("3")]),
    ActionEntry(.screenSpecialization, "Specialization", "go to Specialization", keys: [.char("4")]),
    ActionEntry(.screenRuns, "Runs", "go to Runs", keys: [.char("5"), .char("8")]),
    ActionEntry(.nextPanel, "panel", "next panel", keys: [.tab]),
    ActionEntry(.previousPanel, "panel", "panel before", keys: [.backTab]),
    ActionEntry(.grow, "larger", "the panel alone on the screen", keys: [.char("+")]),
    ActionEntry(.shrink, "smaller", "all panels again", keys: [.char("_")]),
    ActionEntry(.palette, "command", "command palette", keys: [.char(":")]),
    ActionEntry(.find, "find", "find a token, an expert, a run", keys: [.char("/"), .function(3)], argument: "TEXT"),
    ActionEntry(.findNext, "next", "next match", keys: [.char("n")]),
    ActionEntry(.findPrevious, "previous", "match before", keys: [.char("N")]),
    ActionEntry(
      .filter, "filter", "only tokens with layer=7 expert=3,5 entropy>0.9 token~the domain=code", keys: [.char("f"), .function(4)],
      argument: "TERMS"),
    ActionEntry(.copy, "copy", "copy the selected row", keys: [.char("y")]),
    ActionEntry(.export, "export", "save the view: .csv .json .txt .svg", keys: [.char("e")], argument: "FILE"),
    ActionEntry(.colors, "colours", "next palette of colours", keys: [.char("P")]),
    ActionEntry(.token, "token", "go to a token by its row", argument: "N"),
    ActionEntry(.layer, "layer", "go to a layer", argument: "N"),
    ActionEntry(.expert, "expert", "go to an expert", argument: "N"),
    ActionEntry(.open, "open", "open a run: FILE.db#2, 12, a name, latest; or the folder of a model", argument: "RUN"),
    ActionEntry(.mouse, "mouse", "mouse on or off (off: the terminal's own selection)", argument: "on|off"),
    ActionEntry(.theme, "theme", "colours for a dark or a light terminal", argument: "dark|light"),
    ActionEntry(.log, "log", "what was done here, as shell commands"),
    ActionEntry(.redraw, "redraw", "draw everything again", keys: [.ctrl("l")]),
    ActionEntry(.suspend, "suspend", "to the shell; fg comes back", keys: [.ctrl("z")]),
    ActionEntry(.back, "back", "one step back; never quits", keys: [.escape]),
    ActionEntry(.help, "help", "all keys, and what the words mean", keys: [.char("?"), .function(1)]),
    ActionEntry(.interrupt, "quit", "quit; twice within a second: at once", keys: [.ctrl("c")]),
    ActionEntry(.quit, "quit", "quit", keys: [.char("q"), .function(10)]),
  ]

  private static let byID = Dictionary(uniqueKeysWithValues: entries.map { ($0.id, $0) })
  private static let byKey = Dictionary(entries.flatMap { entry in entry.keys.map { ($0, entry) } }, uniquingKeysWith: { first, _ in first })

  static func entry(_ id: ActionID) -> ActionEntry? { byID[id] }

  /// What a key means on a screen.
  static func action(_ key: KeyEvent, on screen: Screen) -> ActionID? {
    guard let entry = byKey[key], entry.applies(to: screen) else { return nil }
    return entry.id
  }

  /// The actions of the key bar, most useful first.
  static func bar(_ screen: Screen) -> [ActionID] {
    switch screen {
    case .live: [.down, .enter, .pause, .step, .faster, .metric, .window, .notable, .prompt, .find, .export]
    case .token: [.right, .down, .notable, .values, .layerUp, .find, .export]
    case .uncertainty: [.raise, .threshold, .layerUp, .enter, .order, .filter, .find, .export]
    case .specialization: [.axis, .right, .layerUp, .metric, .nullTest, .order, .export]
    case .runs: [.down, .enter, .find, .tag, .delete, .export]
    }
  }

  static let fixedBar: [ActionID] = [.palette, .help, .quit]

  /// Title of an action where a screen has a better word.
  static func title(_ id: ActionID, on screen: Screen, isLive: Bool) -> String {
    switch (id, screen) {
    case (.enter, .runs): "open"
    case (.pause, _) where !isLive: "play"
    case (.right, .token): "token"
    case (.down, .token): "layer"
    default: entry(id)?.title ?? ""
    }
  }

  /// Keys of the bar where one stands for several.
  static func barKey(_ id: ActionID, on screen: Screen, glyphs: GlyphSet) -> String {
    let arrows = glyphs == .utf8
    switch id {
    case .down where screen == .live: return arrows ? "←↓↑→" : "hjkl"
    case .down: return arrows ? "↓↑" : "jk"
    case .right: return arrows ? "←→" : "hl"
    case .layerUp: return "[ ]"
    case .raise: return "< >"
    case .faster: return ", ."
    default: return entry(id)?.keys.first?.label(glyphs) ?? ""
    }
  }
}
