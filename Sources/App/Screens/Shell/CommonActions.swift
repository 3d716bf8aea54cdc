// The actions of the shell: those that are everywhere, and those that screens choose to have. Screens list their own in their folders.

import Terminal

extension ActionID {
  static let left = ActionID("left")
  static let right = ActionID("right")
  static let up = ActionID("up")
  static let down = ActionID("down")
  static let pageUp = ActionID("page-up")
  static let pageDown = ActionID("page-down")
  static let halfUp = ActionID("half-up")
  static let halfDown = ActionID("half-down")
  static let first = ActionID("first")
  static let last = ActionID("last")
  static let tokenLeft = ActionID("previous-token")
  static let tokenRight = ActionID("next-token")
  static let nextPanel = ActionID("next-panel")
  static let previousPanel = ActionID("previous-panel")
  static let enter = ActionID("enter")
  static let back = ActionID("back")
  static let pause = ActionID("pause")
  static let step = ActionID("step")
  static let slower = ActionID("slower")
  static let faster = ActionID("faster")
  static let notable = ActionID("next-uncertain")
  static let layerDown = ActionID("previous-layer")
  static let layerUp = ActionID("next-layer")
  static let metric = ActionID("metric")
  static let values = ActionID("values")
  static let order = ActionID("order")
  static let window = ActionID("window")
  static let lower = ActionID("lower-threshold")
  static let raise = ActionID("raise-threshold")
  static let threshold = ActionID("threshold")
  static let find = ActionID("find")
  static let findNext = ActionID("find-next")
  static let findPrevious = ActionID("find-previous")
  static let filter = ActionID("filter")
  static let palette = ActionID("palette")
  static let help = ActionID("help")
  static let prompt = ActionID("prompt")
  static let open = ActionID("open")
  static let colors = ActionID("colors")
  static let grow = ActionID("grow")
  static let shrink = ActionID("shrink")
  static let copy = ActionID("copy")
  static let export = ActionID("export")
  static let redraw = ActionID("redraw")
  static let suspend = ActionID("suspend")
  static let interrupt = ActionID("interrupt")
  static let quit = ActionID("quit")
  static let branch = ActionID("branch")
  static let compareRuns = ActionID("compare-runs")
  static let intervene = ActionID("intervene")
  static let undo = ActionID("undo")
  static let redo = ActionID("redo")
  static let imageClass = ActionID("class")
  // By name only.
  static let token = ActionID("token")
  static let layer = ActionID("layer")
  static let expert = ActionID("expert")
  static let read = ActionID("read")
  static let mouse = ActionID("mouse")
  static let theme = ActionID("theme")
  static let log = ActionID("log")

  /// Up, down, left, right, pages and ends.
  var isMotion: Bool { CommonActions.motions.contains(self) }
}

enum CommonActions {
  fileprivate static let motions: Set<ActionID> = [
    .left, .right, .up, .down, .pageUp, .pageDown, .halfUp, .halfDown, .first, .last,
  ]

  static let first: [ActionEntry] = [
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
    ActionEntry(
      .prompt, "prompt", "type a text to be continued", keys: [.char("p")], argument: "TEXT",
      line: LineHint(label: "prompt: ", hint: "a text for the model to continue")),
    ActionEntry(
      .imageClass, "class", "make images of one class, or of all", keys: [.char("c")], argument: "NAME",
      line: LineHint(label: "class: ", hint: "a class, or all; tab completes")),
    ActionEntry(.branch, "branch", "other branch of guidance (images)", keys: [.char("b")], isChosen: true),
    ActionEntry(.open, "open", "open a model or a run", keys: [.char("O")], argument: "MODEL"),
    ActionEntry(.compareRuns, "compare", "compare this run, or two marked ones", keys: [.char("C")]),
    ActionEntry(.intervene, "intervene", "what if it were masked? a rule for this", keys: [.char("x")]),
    ActionEntry(.undo, "undo", "undo: rules, labels, tags, deletes", keys: [.char("u")]),
    ActionEntry(.redo, "redo", "do again what was undone", keys: [.ctrl("r")]),
    ActionEntry(.read, "read", "read a text or .jsonl file", argument: "FILE", takesTime: true),
    ActionEntry(.notable, "next uncertain", "next uncertain token", keys: [.char("!")]),
    ActionEntry(.layerDown, "layer", "layer before", keys: [.char("[")]),
    ActionEntry(.layerUp, "layer", "layer after", keys: [.char("]")]),
    ActionEntry(.metric, "metric", "what is shown: load, Ĥ, lift, …", keys: [.char("m")], isChosen: true),
    ActionEntry(.values, "values", "show probabilities, logits or weights", keys: [.char("v")], isChosen: true),
    ActionEntry(.order, "order", "order of experts or rows", keys: [.char("o")], isChosen: true),
    ActionEntry(.window, "window", "window: 32, 128, 512, all tokens", keys: [.char("w")], argument: "N", isChosen: true),
    ActionEntry(.lower, "threshold", "lower the threshold", keys: [.char("<")], isChosen: true),
    ActionEntry(.raise, "threshold", "raise the threshold", keys: [.char(">")], isChosen: true),
    ActionEntry(
      .threshold, "type threshold", "threshold: 0.92, 1.6nat, q0.95", keys: [.char("=")], argument: "H",
      line: LineHint(label: "threshold: ", hint: "0.92 of ln E, 1.6nat, or q0.95 of the run"), isChosen: true),
  ]

  static let last: [ActionEntry] = [
    ActionEntry(.nextPanel, "panel", "next panel", keys: [.tab]),
    ActionEntry(.previousPanel, "panel", "panel before", keys: [.backTab]),
    ActionEntry(.grow, "larger", "the panel alone on the screen", keys: [.char("+")]),
    ActionEntry(.shrink, "smaller", "all panels again", keys: [.char("_")]),
    ActionEntry(
      .palette, "command", "command palette", keys: [.char(":")], line: LineHint(label: ":", hint: "a command, for instance token 18")),
    ActionEntry(
      .find, "find", "find a token, e12, a run, step 12", keys: [.char("/"), .function(3)], argument: "TEXT",
      line: LineHint(label: "/", hint: "")),
    ActionEntry(.findNext, "next", "next match", keys: [.char("n")]),
    ActionEntry(.findPrevious, "previous", "match before", keys: [.char("N")]),
    ActionEntry(
      .filter, "filter", "filter: expert=3 entropy>0.9", keys: [.char("f"), .function(4)], argument: "TERMS",
      line: LineHint(
        label: "filter: ", hint: "layer=3-7 expert=5 entropy>0.9 !bos: all must hold; tab completes", takesNothing: true)),
    ActionEntry(.copy, "copy", "copy the selected row", keys: [.char("y")]),
    ActionEntry(
      .export, "export", "save the view: .csv .json .txt .svg", keys: [.char("e")], argument: "FILE",
      line: LineHint(label: "save as: ", hint: ".csv .json .txt .svg"), takesTime: true),
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

  static let groups: [ActionGroup] = [
    ActionGroup([.left, .right, .up, .down], "←↓↑→ hjkl", ascii: "arrows hjkl", "move: expert and layer, row, cell"),
    ActionGroup([.pageUp, .pageDown, .halfUp, .halfDown], "pgup pgdn ^u ^d", "a page, half a page"),
    ActionGroup([.first, .last], "g G home end", "first, last; G follows the newest token"),
    ActionGroup([.tokenLeft, .tokenRight], "⇧← ⇧→", ascii: "S-arrows", "token before, token after; of images steps"),
    ActionGroup([.slower, .faster], ",  .", "slower, faster"),
    ActionGroup([.layerDown, .layerUp], "[  ]", "layer before, layer after"),
    ActionGroup([.lower, .raise], "<  >", "threshold down, up"),
    ActionGroup([.nextPanel, .previousPanel], "tab ⇧tab", ascii: "tab S-tab", "next panel, panel before"),
    ActionGroup([.undo, .redo], "u  ^r", "undo, do again: rules, labels, tags, deletes"),
    ActionGroup([.grow, .shrink], "+  _", "the panel alone, all panels again"),
    ActionGroup([.findNext, .findPrevious], "n  N", "next match, match before"),
    ActionGroup([.interrupt, .quit], "q ^c f10", "quit"),
  ]
}
