// Every widget with invented data, and a screen built of them as the Live screen will be.

import Terminal

enum Gallery {
  static func load(_ row: Int, _ column: Int) -> Double? { Double((row * 37 + column * 101 + row * column * 7) % 113) / 100 }

  static func heatMap(rows: Int = 16, columns: Int = 64) -> HeatMap {
    var map = HeatMap(rows: rows, columns: columns, value: load)
    map.leading = [.init(width: 3) { row in StyledText("L" + (row < 10 ? "0" : "") + "\(row)", .dim) }]
    map.trailing = [
      .init("max", width: 3) { row in StyledText("e\(row * 5 % 64)", .accent) },
      .init("load", width: 6, alignment: .right) { row in StyledText("\(row % 7).\(row % 10)%") },
    ]
    map.cursor = (7, 23)
    return map
  }

  static let tokens: [TokenStrip.Token] = {
    let words = [" The", " capital", " of", " France", " is", " Paris", ",", " and", " 日本", " же", "\n\n", " river", "\u{202E}", " gone"]
    return words.enumerated().map { index, word in
      TokenStrip.Token(
        Printable().text(word), note: index % 5 == 3 ? "!\(index % 10)" : index % 2 == 0 ? "\(index % 10)" : "", isAlert: index % 5 == 3)
    }
  }()

  static func strip(repeated: Int = 4) -> TokenStrip {
    TokenStrip(Array((0..<repeated).map { _ in tokens }.joined()), selection: 17..<19, hasCaret: true)
  }

  static func bars(_ theme: Theme) -> BarList {
    let rows: [(String, Double)] = [("\" Paris\"", 0.412), ("\" the\"", 0.118), ("\" 日本\"", 0.083), ("\"\\n\"", 0.003), ("\" a\"", 0)]
    return BarList(
      rows.map { label, share in
        BarList.Row(StyledText(label), value: "0.\(Int(share * 1000))", share: share / 0.412, isMarked: label == "\" the\"")
      }, selected: 0)
  }

  static let histogram = Histogram(
    (0..<18).map { index in
      let count = index < 9 ? index * index * 60 + 12 : (18 - index) * (18 - index) * 60
      return Histogram.Bin(label: "0.\(47 + index * 3)", count: count, countText: "\(count)", isOver: index > 14)
    }, thresholdNote: "< threshold 0.92")

  static func table(_ rows: Int = 64) -> Table {
    var state = ListState(selected: 3, marked: [1, 5])
    state.settle(count: rows, page: 6)
    return Table(
      columns: [
        TableColumn("exp", width: .fixed(4)), TableColumn("load", width: .fixed(6), alignment: .right),
        TableColumn("top token", width: .flex(10)), TableColumn("spec.", width: .fixed(8)),
      ], rowCount: rows, state: state, sort: TableSort(column: 1, isDescending: true), emptyText: "no experts"
    ) { row, column in
      switch column {
      case 0: StyledText("e\(row)", .accent)
      case 1: StyledText("\(row).\(row % 10)%")
      case 2: StyledText(tokens[row % tokens.count].text)
      default: StyledText(Sparkline([0.1, Double(row % 9) / 8, nil, 1]).text(.utf8))
      }
    }
  }

  static let tabs = TabsLine(
    [
      .init("Live", short: "Live"), .init("Token", short: "Tok"), .init("Uncertainty", short: "Unc"), .init("Special", short: "Spe"),
      .init("Experts", short: "Exp"), .init("Compare", short: "Cmp"), .init("Intervene", short: "Int"), .init("Runs", short: "Run"),
    ], active: 0, trailing: StyledText("OLMoE Q8_0  run 12 ") + StyledText("● rec", .error))

  static func keys(_ theme: Theme) -> KeyBar {
    KeyBar(
      [
        .init(key: "hjkl", label: "move"), .init(.enter, "inspect", glyphs: theme.glyphs), .init(.char(" "), "pause", glyphs: theme.glyphs),
        .init(key: "m", label: "metric"), .init(key: "x", label: "intervene", isEnabled: false), .init(key: "w", label: "window"),
        .init(key: "/", label: "find"), .init(key: "e", label: "export"),
      ], fixed: [.init(key: "?", label: "help"), .init(key: "q", label: "quit")])
  }

  static func chart() -> ColumnChart {
    let values = (0..<16).map { index -> Double? in
      let distance = Double(index - 8)
      return index == 5 ? nil : 0.7 + 0.25 * distance * distance / 64
    }
    return ColumnChart(
      values, range: 0.7...0.95, low: "0.70", high: "0.95", labels: (0..<16).map { ($0 < 10 ? "0" : "") + "\($0)" }, highlighted: 3)
  }

  static let help = HelpList(
    [
      .init("this screen", [.init(keys: "←↓↑→ hjkl", text: "move in the heat map"), .init(keys: "⏎", text: "inspect the token")]),
      .init(
        "everywhere",
        [
          .init(keys: "1…8", text: "go to a screen"), .init(keys: ":", text: "command palette"),
          .init(keys: "x", text: "intervene", isEnabled: false),
        ]),
      .init(
        "glossary", [.init(keys: "load", text: "share of assignments an expert receives; uniform is 1 / number of experts")], isWide: true),
    ], selected: 2)

  /// A whole screen of widgets, as a view function would build it.
  static func live(_ size: Size, _ theme: Theme, rows: Int = 16, columns: Int = 64) -> CellBuffer {
    var screen = theme.buffer(size)
    guard size.holds(Size(width: 60, height: 16)) else {
      TooSmallNotice().draw(into: &screen, screen.bounds, theme: theme)
      return screen
    }
    let parts = screen.bounds.split(rows: [
      .fixed(1), .min(10), .max(size.height >= 40 ? 7 : 0), .max(size.height >= 40 ? 8 : 0), .fixed(1), .fixed(1),
    ])
    tabs.draw(into: &screen, parts[0], theme: theme)
    let top = parts[1].split(columns: [.flex(), .fixed(size.width >= 120 ? 35 : 0)])
    let map = heatMap(rows: rows, columns: columns)
    let room = Panel.inner(top[0]).dropping(left: 1)
    let geometry = map.geometry(in: room.dropping(bottom: 1), theme: theme)
    let note = geometry.note(rows: rows, columns: columns)
    let footer = StyledText(note.isEmpty ? "last 128 tokens · ordered by index (o)" : note)
    Panel("Load by layer × expert", footer: footer, isFocused: true).draw(into: &screen, top[0], theme: theme)
    map.draw(into: &screen, room.dropping(bottom: 1), theme: theme)
    HeatLegend(low: "0", high: "6 %", note: "uniform 1.6 %").draw(into: &screen, room.row(room.height - 1).dropping(left: 4), theme: theme)
    if !top[1].isEmpty {
      let side = Panel("Next token", footer: "H 2.31 nat").draw(into: &screen, top[1], theme: theme)
      bars(theme).draw(into: &screen, side.dropping(right: 1), theme: theme)
    }
    if !parts[2].isEmpty {
      let inner = Panel("Tokens · below each: router uncertainty", footer: "⇧←→ select").draw(into: &screen, parts[2], theme: theme)
      strip().draw(into: &screen, inner.inset(dx: 1), theme: theme)
    }
    if !parts[3].isEmpty {
      let halves = parts[3].split(columns: [.flex(), .flex()])
      let left = Panel("Uncertainty by layer").draw(into: &screen, halves[0], theme: theme)
      chart().draw(into: &screen, left.inset(dx: 1), theme: theme)
      let right = Panel("Experts", footer: StyledText(table().position(Panel.inner(halves[1])))).draw(
        into: &screen, halves[1], theme: theme)
      table().draw(into: &screen, right, theme: theme)
    }
    StatusLine([StyledText("142 tokens"), StyledText("14.2 tok/s"), StyledText("layer 7 expert 23  load 6.1 %", .strong)]).draw(
      into: &screen, parts[4], theme: theme)
    keys(theme).draw(into: &screen, parts[5], theme: theme)
    return screen
  }
}
