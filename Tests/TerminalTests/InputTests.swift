// Keys, mouse reports, terminal replies, clipboard: what comes in and where copies go, without a terminal.

import Testing

@testable import Terminal

@Suite struct InputTests {
  static let keys: [KeyEvent] = [
    .char("a"), .char("G"), .char("?"), .char(" "), .char("+"), .char("_"), .char("!"), .char("ж"), .ctrl("d"), .ctrl("c"), .ctrl("z"),
    .ctrl("l"), .up, .down, .left, .right, .shiftLeft, .shiftRight, .shiftUp, .shiftDown, .pageUp, .pageDown, .home, .end, .insert,
    .delete, .backspace, .enter, .tab, .backTab, .escape, .function(1), .function(10),
  ]

  @Test(arguments: keys) func namesRoundTrip(_ key: KeyEvent) { #expect(KeyEvent(key.name) == key) }

  @Test(arguments: [
    ("ctrl-d", KeyEvent.ctrl("d")), ("Ctrl-D", .ctrl("d")), ("^d", .ctrl("d")), ("^", .char("^")), ("shift-left", .shiftLeft),
    ("space", .char(" ")), ("escape", .escape), ("return", .enter), ("S-Tab", .backTab), ("F4", .function(4)), ("f", .char("f")),
    ("pageup", .pageUp),
  ])
  func readsNames(_ name: String, _ key: KeyEvent) { #expect(KeyEvent(name) == key) }

  @Test(arguments: ["", "ctrl-", "f99", "nonsense", "ab", "ctrl-dd"]) func refusesNames(_ name: String) { #expect(KeyEvent(name) == nil) }

  @Test func labels() {
    #expect(
      [KeyEvent.enter, .shiftLeft, .ctrl("r"), .backTab, .escape, .char(":")].map { $0.label(.utf8) } == [
        "⏎", "⇧←", "^r", "⇧tab", "esc", ":",
      ])
    #expect([KeyEvent.enter, .shiftLeft, .ctrl("r"), .backTab].map { $0.label(.ascii) } == ["enter", "S-left", "^r", "S-tab"])
  }

  @Test(
    arguments: [
      (0, KeyEvent.ctrl("@")), (1, .ctrl("a")), (3, .ctrl("c")), (8, .backspace), (9, .tab), (13, .enter), (26, .ctrl("z")), (27, .escape),
      (28, .ctrl("\\")), (127, .backspace), (32, .char(" ")), (0x65E5, .char("日")),
    ] as [(UInt32, KeyEvent)])
  func typed(_ value: UInt32, _ key: KeyEvent) throws {
    let scalar = try #require(Unicode.Scalar(value))
    #expect(KeyEvent(typed: scalar) == key)
  }

  @Test func mouse() {
    var mouse = MouseDecoder()
    let now = ContinuousClock.now
    let at = Point(x: 11, y: 4)
    #expect(mouse.decode("0;12;5M", now: now) == MouseEvent(.press, at: at))
    #expect(mouse.decode("0;12;5m", now: now) == MouseEvent(.release, at: at))
    #expect(mouse.decode("0;12;5M", now: now + .milliseconds(300)) == MouseEvent(.doubleClick, at: at))
    #expect(mouse.decode("0;12;5M", now: now + .milliseconds(350)) == MouseEvent(.press, at: at))
    #expect(mouse.decode("0;12;5M", now: now + .milliseconds(900)) == MouseEvent(.press, at: at))
    #expect(mouse.decode("2;12;5M", now: now + .milliseconds(910)) == MouseEvent(.press, button: .right, at: at))
    #expect(mouse.decode("32;1;1M", now: now) == MouseEvent(.drag, at: Point(x: 0, y: 0)))
    #expect(mouse.decode("64;3;3M", now: now) == MouseEvent(.wheelUp, at: Point(x: 2, y: 2)))
    #expect(mouse.decode("65;3;3M", now: now) == MouseEvent(.wheelDown, at: Point(x: 2, y: 2)))
    for report in ["", "M", "0;0;5M", "35;1;1M", "0;1M", "0;1;1;1M", "x;1;1M", "66;1;1M", "0;-1;1M", "99999999999999999999;1;1M"] {
      #expect(mouse.decode(report, now: now) == nil, "\(report)")
    }
  }

  @Test func repliesAreSortedFromTyping() {
    let replies = TerminalProbe.Replies(Array("q\u{1B}]11;rgb:1111/2222/3333\u{1B}\\\u{1B}[?2026;2$yj\u{1B}[?64;1c".utf8))
    #expect(AppearancePlan.color(ofReply: replies.background ?? "") == 0x112233)
    #expect(replies.isSynchronized && replies.isComplete)
    #expect(replies.typed == Array("qj".utf8))
    #expect(!TerminalProbe.Replies(Array("\u{1B}[?2026;0$y".utf8)).isSynchronized)
    #expect(!TerminalProbe.Replies(Array("\u{1B}]11;rgb:11".utf8)).isComplete)
    #expect(TerminalProbe.Replies(Array("\u{1B}[A".utf8)).typed == Array("\u{1B}[A".utf8))
    #expect(TerminalProbe.isWorthAsking(term: "xterm-256color") && !TerminalProbe.isWorthAsking(term: "vt100"))
  }

  @Test func clipboard() {
    func plan(
      _ environment: [String: String], mac: Bool = false, tools: Set<String> = ["wl-copy", "xclip", "pbcopy"], text: String = "héllo"
    )
      -> ClipboardPlan
    {
      ClipboardPlan(text: text, environment: environment, isMac: mac, hasTool: tools.contains)
    }
    let osc = ClipboardPlan.terminal("\u{1B}]52;c;aMOpbGxv\u{7}")
    #expect(plan(["SSH_TTY": "/dev/pts/1", "DISPLAY": ":0"]) == osc)
    #expect(plan(["SSH_CONNECTION": "1 2 3 4"], mac: true) == osc)
    #expect(plan(["WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"]) == .command(["wl-copy"]))
    #expect(plan(["DISPLAY": ":0"]) == .command(["xclip", "-selection", "clipboard"]))
    #expect(plan(["DISPLAY": ":0"], tools: []) == osc)
    #expect(plan([:], mac: true) == .command(["pbcopy"]))
    guard case .unavailable = plan([:], text: String(repeating: "x", count: 80_000)) else { return #expect(Bool(false)) }
    #expect(["", "f", "fo", "foo"].map { ClipboardPlan.base64(Array($0.utf8)) } == ["", "Zg==", "Zm8=", "Zm9v"])
  }

  @Test func editing() {
    var field = TextField("mask 7:2", history: ["token 18", "bin 4"])
    #expect(field.handle(.char("3")) == .changed)
    #expect(field.text == "mask 7:23")
    _ = field.handle(.ctrl("w"))
    #expect(field.text == "mask ")
    _ = field.handle(.home)
    _ = field.handle(.delete)
    field.insert("ж\n日")
    #expect(field.text == "ж 日ask " && field.cursor == 3)
    _ = field.handle(.backspace)
    _ = field.handle(.ctrl("k"))
    #expect(field.text == "ж ")
    _ = field.handle(.up)
    #expect(field.text == "bin 4")
    _ = field.handle(.up)
    _ = field.handle(.up)
    #expect(field.text == "token 18")
    _ = field.handle(.down)
    _ = field.handle(.down)
    #expect(field.text == "ж ")
    _ = field.handle(.ctrl("u"))
    #expect(field.handle(.backspace) == .ignored)
    #expect(field.handle(.enter) == .submitted)
    #expect(field.handle(.escape) == .cancelled)
    #expect(field.handle(.function(1)) == .ignored)
    field.set("e")
    field.insert("\u{301}")
    #expect(field.cursor == 1)
  }

  /// Long enough that work at each key that grows with the text would take minutes.
  @Test func longTexts() {
    var field = TextField()
    let count = 200_000
    for place in 0..<count { _ = field.handle(.char(place % 7 == 0 ? "é" : "x")) }
    _ = field.handle(.home)
    for _ in 0..<count / 2 { _ = field.handle(.right) }
    for _ in 0..<count / 4 {
      _ = field.handle(.backspace)
      _ = field.handle(.delete)
    }
    _ = field.handle(.char("|"))
    #expect(field.cursor == count / 4 + 1 && field.text.count == count / 2 + 1)
    var screen = CellBuffer(size: Size(width: 20, height: 1))
    let cursor = field.draw(into: &screen, screen.bounds, label: ":", theme: Theme())
    #expect(cursor == Point(x: 19, y: 0) && screen.lines[0].hasPrefix(":") && screen.lines[0].contains("|"))
    _ = field.handle(.home)
    #expect(field.draw(into: &screen, screen.bounds, label: ":", theme: Theme()) == Point(x: 1, y: 0))
  }

  @Test func sizesOfScreens() {
    #expect(Size(ofScreen: "120x40") == Size(width: 120, height: 40) && Size(ofScreen: "1x1") != nil)
    #expect(Size(ofScreen: "\(Size.largestScreen)") == Size.largestScreen)
    for text in ["0x40", "120x0", "1001x40", "120x501", "99999x99999", "x", "120"] { #expect(Size(ofScreen: text) == nil) }
    #expect(
      Size(width: 32_767, height: 32_767).drawn == Size.largestScreen && Size(width: 80, height: 24).drawn == Size(width: 80, height: 24))
  }

  @Test func completion() {
    let words = ["compare", "command", "bin"]
    var field = TextField("co")
    _ = field.handle(.tab) { typed in words.filter { $0.hasPrefix(typed) } }
    #expect(field.text == "com" && field.candidates == ["compare", "command"])
    _ = field.handle(.char("p"))
    _ = field.handle(.tab) { typed in words.filter { $0.hasPrefix(typed) } }
    #expect(field.text == "compare" && field.candidates.isEmpty)
    field.remember()
    field.remember()
    #expect(field.history == ["compare"])
  }
}
