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
  case threshold, decisions, axis
  case nullTest = "null-test"
  case find
  case findNext = "find-next"
  case findPrevious = "find-previous"
  case filter, palette, help, prompt, open, colors, grow, shrink, copy, export, tag, delete
  case redraw, suspend, interrupt, quit
  case screenLive = "live"
  case screenToken = "tokens"
  case screenUncertainty = "uncertainty"
  case screenSpecialization = "specialization"
  case screenRuns = "runs"
  case branch
  case imageClass = "class"
  // By name only.
  case token, layer, expert, read, mouse, theme, log
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
    ActionEntry(.last, "last", "last; of tokens the newest, followed", keys: [.char("G"), .end]),
    ActionEntry(.tokenLeft, "token", "token or denoising step before", keys: [.shiftLeft, .shiftUp]),
    ActionEntry(.tokenRight, "token", "token or denoising step after", keys: [.shiftRight, .shiftDown]),
    ActionEntry(.enter, "inspect", "look closer at what is under it", keys: [.enter]),
    ActionEntry(.pause, "pause", "pause, resume; play or stop a replay", keys: [.char(" ")]),
    ActionEntry(.step, "step", "one token or step, while paused", keys: [.char("s")]),
    ActionEntry(.slower, "slower", "slower", keys: [.char(",")]),
    ActionEntry(.faster, "faster", "faster; at the end as fast as it can", keys: [.char(".")]),
    ActionEntry(.prompt, "prompt", "type a text to be continued", keys: [.char("p")], argument: "TEXT"),
    ActionEntry(
      .imageClass, "class", "make images of one class, or of all", keys: [.char("c")], argument: "NAME"),
    ActionEntry(
      .branch, "branch", "other branch of guidance (images)", keys: [.char("b")], on: [.live, .token, .specialization]),
    ActionEntry(.open, "open", "open a model or a run", keys: [.char("O")], argument: "MODEL"),
    ActionEntry(.read, "read", "read a text or .jsonl file", argument: "FILE"),
    ActionEntry(.notable, "next uncertain", "next uncertain token", keys: [.char("!")]),
    ActionEntry(.layerDown, "layer", "layer before", keys: [.char("[")]),
    ActionEntry(.layerUp, "layer", "layer after", keys: [.char("]")]),
    ActionEntry(
      .metric, "metric", "what is shown: load, Ĥ, lift, …", keys: [.char("m")],
      on: [.live, .specialization]),
    ActionEntry(.values, "values", "show probabilities, logits or weights", keys: [.char("v")], on: [.token]),
    ActionEntry(.order, "order", "order of experts or rows", keys: [.char("o")], on: [.live, .uncertainty, .specialization]),
    ActionEntry(.window, "window", "window: 32, 128, 512, all tokens", keys: [.char("w")], argument: "N", on: [.live]),
    ActionEntry(.lower, "threshold", "lower the threshold", keys: [.char("<")], on: [.live, .token, .uncertainty]),
    ActionEntry(.raise, "threshold", "raise the threshold", keys: [.char(">")], on: [.live, .token, .uncertainty]),
    ActionEntry(
      .threshold, "type threshold", "threshold: 0.92, 1.6nat, q0.95", keys: [.char("=")], argument: "H",
      on: [.live, .token, .uncertainty]),
    ActionEntry(.decisions, "decisions", "list tokens, or one layer's decisions", keys: [.char("t")], on: [.uncertainty]),
    ActionEntry(
      .axis, "axis", "next axis: a label, position, step, …", keys: [.char("a")], argument: "NAME", on: [.specialization]),
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
    ActionEntry(.find, "find", "find a token, e12, a run, step 12", keys: [.char("/"), .function(3)], argument: "TEXT"),
    ActionEntry(.findNext, "next", "next match", keys: [.char("n")]),
    ActionEntry(.findPrevious, "previous", "match before", keys: [.char("N")]),
    ActionEntry(
      .filter, "filter", "filter: expert=3 entropy>0.9", keys: [.char("f"), .function(4)],
      argument: "TERMS"),
    ActionEntry(.copy, "copy", "copy the selected row", keys: [.char("y")]),
    ActionEntry(.export, "export", "save the view: .csv .json .txt .svg", keys: [.char("e")], argument: "FILE"),
    ActionEntry(.colors, "colours", "next palette of colours", keys: [.char("P")]),
    ActionEntry(.token, "token", "go to a token by its row", argument: "N"),
    ActionEntry(.layer, "layer", "go to a layer", argument: "N"),
    ActionEntry(.expert, "expert", "go to an expert", argument: "N"),
    ActionEntry(.mouse, "mouse", "mouse off: the terminal selects", argument: "on|off"),
    ActionEntry(.theme, "theme", "colours for dark or light terminals", argument: "dark|light"),
    ActionEntry(.log, "log", "what was done, as shell commands"),
    ActionEntry(.redraw, "redraw", "draw everything again", keys: [.ctrl("l")]),
    ActionEntry(.suspend, "suspend", "to the shell; fg comes back", keys: [.ctrl("z")]),
    ActionEntry(.back, "back", "one step back; never quits", keys: [.escape]),
    ActionEntry(.help, "help", "all keys, and what the words mean", keys: [.char("?"), .function(1)]),
    ActionEntry(.interrupt, "quit", "quit; twice: at once", keys: [.ctrl("c")]),
    ActionEntry(.quit, "quit", "quit", keys: [.char("q"), .function(10)]),
  ]

  private static let byID = Dictionary(uniqueKeysWithValues: entries.map { ($0.id, $0) })
  /// A key may mean one thing here and another there.
  private static let byKey = Dictionary(
    entries.flatMap { entry in entry.keys.map { ($0, [entry]) } }, uniquingKeysWith: +)

  static func entry(_ id: ActionID) -> ActionEntry? { byID[id] }

  /// What a key means on a screen.
  static func action(_ key: KeyEvent, on screen: Screen) -> ActionID? {
    byKey[key]?.first { $0.applies(to: screen) }?.id
  }

  /// The actions of the key bar, most useful first.
  static func bar(_ screen: Screen, images: Bool = false) -> [ActionID] {
    switch screen {
    case .live where images: [.right, .pause, .step, .faster, .imageClass, .branch, .layerUp, .metric, .enter, .notable, .find, .export]
    case .token where images: [.right, .tokenRight, .down, .branch, .notable, .values, .find, .export]
    case .specialization where images: [.axis, .right, .pause, .layerUp, .branch, .metric, .nullTest, .order, .export]
    case .live: [.down, .enter, .pause, .step, .faster, .metric, .window, .notable, .prompt, .find, .export]
    case .token: [.right, .down, .notable, .values, .layerUp, .find, .export]
    case .uncertainty: [.raise, .threshold, .decisions, .layerUp, .enter, .order, .filter, .find, .export]
    case .specialization: [.axis, .right, .layerUp, .metric, .nullTest, .order, .export]
    case .runs: [.down, .enter, .find, .tag, .delete, .export]
    }
  }

  /// Actions that the help shows as one line, by the first of them.
  struct Group: Sendable {
    let members: [ActionID]
    let keys: String
    let ascii: String
    let help: String

    init(_ members: [ActionID], _ keys: String, ascii: String? = nil, _ help: String) {
      (self.members, self.keys, self.ascii, self.help) = (members, keys, ascii ?? keys, help)
    }
  }

  static let groups: [Group] = [
    Group([.left, .right, .up, .down], "←↓↑→ hjkl", ascii: "arrows hjkl", "move: expert and layer, row, cell"),
    Group([.pageUp, .pageDown, .halfUp, .halfDown], "pgup pgdn ^u ^d", "a page, half a page"),
    Group([.first, .last], "g G home end", "first, last; G follows the newest token"),
    Group([.tokenLeft, .tokenRight], "⇧← ⇧→", ascii: "S-arrows", "token before, token after; of images steps"),
    Group([.slower, .faster], ",  .", "slower, faster"),
    Group([.layerDown, .layerUp], "[  ]", "layer before, layer after"),
    Group([.lower, .raise], "<  >", "threshold down, up"),
    Group([.screenLive, .screenToken, .screenUncertainty, .screenSpecialization, .screenRuns], "1…5", "go to a screen"),
    Group([.nextPanel, .previousPanel], "tab ⇧tab", ascii: "tab S-tab", "next panel, panel before"),
    Group([.grow, .shrink], "+  _", "the panel alone, all panels again"),
    Group([.findNext, .findPrevious], "n  N", "next match, match before"),
    Group([.interrupt, .quit], "q ^c f10", "quit"),
  ]

  static let fixedBar: [ActionID] = [.palette, .help, .quit]

  /// Title of an action where a screen has a better word.
  static func title(_ id: ActionID, on screen: Screen, isLive: Bool, images: Bool = false) -> String {
    switch (id, screen) {
    case (.right, .live) where images, (.tokenRight, _) where images: "step"
    case (.right, .token) where images: "patch"
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
    case .tokenRight: return arrows ? "⇧←→" : "S-hl"
    case .raise: return "< >"
    case .faster: return ", ."
    default: return entry(id)?.keys.first?.label(glyphs) ?? ""
    }
  }
}
