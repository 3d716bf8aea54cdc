// Widgets as pictures at several sizes, and at sizes where there is no room for a picture at all.

import SnapshotSupport
import Support
import Testing

@testable import Terminal

@Suite struct WidgetTests {
  static let themes: [(String, Theme)] = [
    ("256", Theme(depth: .indexed256)), ("light", Theme(depth: .indexed256, appearance: .light)), ("16", Theme(depth: .ansi16)),
    ("mono", Theme(depth: .mono)), ("ascii", Theme(depth: .mono, glyphs: .ascii)), ("direct", Theme(depth: .direct, palette: .cividis)),
  ]
  static let sizes = ["120x40", "80x24", "60x20", "160x50", "100x30", "60x16", "59x16", "20x5", "5x3"].compactMap { Size($0) }

  @Test(arguments: sizes) func screens(_ size: Size) {
    expectSnapshot(Gallery.live(size, Theme(depth: .mono)).plainText, "Terminal/live-\(size)")
  }

  @Test(arguments: themes.indices) func depths(_ index: Int) {
    let (name, theme) = WidgetTests.themes[index]
    expectSnapshot(Gallery.live(Size(width: 80, height: 24), theme).snapshot, "Terminal/live-80x24-\(name)")
  }

  @Test func asciiScreensAreASCII() {
    let screen = Gallery.live(Size(width: 120, height: 40), Theme(depth: .mono, glyphs: .ascii))
    #expect(screen.lines.allSatisfy { line in line.allSatisfy { $0.isASCII } })
    #expect(Set(screen.bounds.rows.flatMap { screen.row($0).map(\.style) }).allSatisfy { $0.foreground == .default })
  }

  /// Without colour the ink of a cell is its value: nothing over the scale and nothing marked looks emptier than what is below it.
  @Test(arguments: GlyphSet.allCases, 1...4) func theBusiestCellsAreTheFullest(_ glyphs: GlyphSet, _ width: Int) {
    let theme = Theme(depth: .mono, glyphs: glyphs)
    var map = HeatMap(rows: 2, columns: 12) { _, column in Double(column) / 8 }
    map.mark = { row, column in row == 1 && column == 11 ? "0" : nil }
    (map.ticks, map.columnWidth) = (.none, width)
    var screen = theme.buffer(Size(width: 12 * width, height: 2))
    map.draw(into: &screen, screen.bounds, theme: theme)
    func ink(_ row: Int, _ column: Int) -> Int {
      (0..<width).reduce(0) { sum, place in
        let sign = Character(screen[column * width + place, row].glyph.text)
        return sum + (theme.glyphs.ramp.firstIndex(of: sign) ?? 0)
      }
    }
    for column in 1..<9 { #expect(ink(0, column) >= ink(0, column - 1)) }
    let most = theme.glyphs.ramp.count - 1
    for column in 9..<12 { #expect(ink(0, column) == most * max(1, width - 1)) }
    #expect(screen[12 * width - 1, 0].glyph.text == (width > 1 ? "\(theme.saturationMark)" : "\(theme.glyphs.ramp[most])"))
    #expect(screen[11 * width, 1].glyph.text == "0" && ink(1, 11) == most * (width - 1), "a mark takes one sign of its cell")
  }

  /// The cell under the cursor has a sign, and another colour than the page.
  @Test(arguments: Appearance.allCases, [ColorDepth.ansi16, .indexed256, .direct])
  func theCursorIsSeen(_ appearance: Appearance, _ depth: ColorDepth) {
    for (glyphs, rows) in [(GlyphSet.utf8, 3), (.ascii, 3), (.utf8, 9)] {
      let theme = Theme(depth: depth, appearance: appearance, glyphs: glyphs)
      for column in 0..<9 {
        var map = HeatMap(rows: rows, columns: 9) { row, column in row == 2 ? nil : Double(column) / 8 }
        (map.ticks, map.columnWidth) = (.none, 2)
        for row in 0..<3 {
          map.cursor = (row, column)
          var screen = theme.buffer(Size(width: 18, height: 5))
          let geometry = map.draw(into: &screen, screen.bounds, theme: theme)
          let cell = screen[column * 2, geometry.isHalved ? row / 2 : row]
          #expect(cell.glyph != .space)
          let isTurned = cell.style.attributes.contains(.reverse)
          let paper = isTurned ? cell.style.foreground : cell.style.background
          let ink = isTurned ? cell.style.background : cell.style.foreground
          #expect(ink != paper || ink == .default, "\(theme) \(row) \(column)")
          #expect(appearance == .dark || paper.rgb != 0xFFFFFF)
          if paper == .default {
            #expect(ink == .default || isTurned || ink.lightness.map { abs($0 - (appearance == .light ? 100 : 0)) > 30 } == true)
          }
        }
      }
    }
  }

  @Test func moreLayersThanRows() {
    let theme = Theme(depth: .indexed256)
    expectSnapshot(Gallery.live(Size(width: 80, height: 24), theme, rows: 30).snapshot, "Terminal/live-80x24-halved")
    expectSnapshot(
      Gallery.live(Size(width: 80, height: 24), Theme(depth: .mono), rows: 48, columns: 128).plainText, "Terminal/live-80x24-scrolled")
  }

  @Test func widgetsAlone() {
    for (name, theme) in [("utf8", Theme(depth: .mono)), ("ascii", Theme(depth: .mono, glyphs: .ascii))] {
      var screen = theme.buffer(Size(width: 100, height: 62))
      let parts = screen.bounds.split(
        rows: [.fixed(18), .fixed(8), .fixed(10), .fixed(6), .fixed(1), .fixed(1), .fixed(8), .fixed(9), .fixed(1)])
      Gallery.histogram.draw(into: &screen, parts[0].split(columns: [.fixed(50)])[0], theme: theme)
      Gallery.histogram.fitting(7) { "\($0)" }.draw(into: &screen, parts[0].dropping(left: 55), theme: theme)
      Gallery.table().draw(into: &screen, parts[1].split(columns: [.fixed(45)])[0], theme: theme)
      Gallery.table(2).draw(into: &screen, parts[1].dropping(left: 50, right: 25), theme: theme)
      Gallery.help.draw(into: &screen, parts[2], theme: theme)
      Gallery.strip(repeated: 1).draw(into: &screen, parts[3].split(columns: [.fixed(40)])[0], theme: theme)
      Sparkline((0..<17).map { Double($0) }).draw(into: &screen, parts[4].dropping(left: 2), theme: theme)
      TextField("token 18 日本").draw(into: &screen, parts[5], label: ":", theme: theme)
      var ranks = Gallery.heatMap(rows: 4, columns: 32)
      ranks.mark = { row, column in column == row * 5 ? Character("\(row + 1)") : nil }
      ranks.ticks = .top
      ranks.draw(into: &screen, parts[6].split(columns: [.flex()])[0], theme: theme)
      var difference = HeatMap(rows: 3, columns: 20) { row, column in Double(row * 20 + column - 30) / 30 }
      difference.isDiverging = true
      difference.draw(into: &screen, parts[7].split(columns: [.fixed(30)])[0], theme: theme)
      Modal(Panel("Question", footer: "y n"), size: Size(width: 30, height: 5)).draw(
        into: &screen, parts[7].dropping(left: 40), theme: theme)
      Gallery.keys(theme).draw(into: &screen, parts[8], theme: theme)
      expectSnapshot(screen.plainText, "Terminal/widgets-\(name)")
    }
  }

  @Test(arguments: [0, 1, 2, 3, 5, 8, 13, 21], [0, 1, 2, 3, 5, 8, 13])
  func tinyRoomsDoNoHarm(_ width: Int, _ height: Int) {
    for (_, theme) in WidgetTests.themes {
      var screen = theme.buffer(Size(width: 30, height: 20))
      screen.fill(screen.bounds, with: Glyph("."))
      let area = Rect(x: 3, y: 2, width: width, height: height)
      let outside = screen
      Gallery.heatMap().draw(into: &screen, area, theme: theme)
      Gallery.heatMap(rows: 0, columns: 0).draw(into: &screen, area, theme: theme)
      Gallery.table().draw(into: &screen, area, theme: theme)
      Gallery.table(0).draw(into: &screen, area, theme: theme)
      Gallery.bars(theme).draw(into: &screen, area, theme: theme)
      Gallery.histogram.draw(into: &screen, area, theme: theme)
      Gallery.chart().draw(into: &screen, area, theme: theme)
      Gallery.strip().draw(into: &screen, area, theme: theme)
      TokenStrip([], hasCaret: true).draw(into: &screen, area, theme: theme)
      Gallery.help.draw(into: &screen, area, theme: theme)
      Gallery.tabs.draw(into: &screen, area, theme: theme)
      Gallery.keys(theme).draw(into: &screen, area, theme: theme)
      StatusLine(["a long status line", "more"]).draw(into: &screen, area, theme: theme)
      HeatLegend(low: "0", high: "6 %").draw(into: &screen, area, theme: theme)
      Sparkline([1, nil, .nan, 3]).draw(into: &screen, area, theme: theme)
      TextField("some text").draw(into: &screen, area, label: ": ", theme: theme)
      TooSmallNotice().draw(into: &screen, area, theme: theme)
      Panel("A title too long for this", footer: "a footer too long").draw(into: &screen, area, theme: theme)
      let harmed = (0..<600).map { Point(x: $0 % 30, y: $0 / 30) }.filter { point in
        !area.contains(point) && screen[point.x, point.y] != outside[point.x, point.y]
      }
      #expect(harmed.isEmpty, "outside of \(area)")
    }
  }

  @Test func everySizeOfScreenDraws() {
    for width in stride(from: 0, through: 200, by: 7) {
      for height in stride(from: 0, through: 60, by: 5) {
        let size = Size(width: width, height: height)
        #expect(Gallery.live(size, Theme()).size == size)
      }
    }
  }

  @Test func panelsAreFramedAsDrawn() {
    var screen = CellBuffer(size: Size(width: 24, height: 3))
    Panel("Title", footer: "footer").draw(into: &screen, screen.bounds, theme: Theme())
    #expect(screen.lines == ["┌─ Title ──────────────┐", "│                      │", "└───────────── footer ─┘"])
  }

  @Test func tabsLikeTheMockUp() {
    var screen = CellBuffer(size: Size(width: 120, height: 1))
    Gallery.tabs.draw(into: &screen, screen.bounds, theme: Theme())
    #expect(screen.lines[0].hasPrefix("[1 Live] 2 Token  3 Uncertainty  4 Special  5 Experts  6 Compare  7 Intervene  8 Runs "))
    #expect(screen.lines[0].hasSuffix("● rec"))
    #expect(
      Gallery.tabs.tab(at: 0, width: 120) == 0 && Gallery.tabs.tab(at: 9, width: 120) == 1 && Gallery.tabs.tab(at: 99, width: 120) == nil)
  }

  @Test func keyBarsAreCutAtWholeItems() {
    for width in 0...120 {
      var screen = CellBuffer(size: Size(width: width, height: 1))
      let bar = Gallery.keys(Theme())
      bar.draw(into: &screen, screen.bounds, theme: Theme())
      let line = String(screen.lines[0].reversed().drop { $0 == " " }.reversed())
      let words = bar.shown(width).map { "\($0.key) \($0.label)" }.joined(separator: "  ")
      #expect(line == (words.isEmpty ? "" : " " + words), "width \(width)")
      if width >= 20 { #expect(words.hasSuffix("? help  q quit")) }
    }
  }

  @Test func placesAreFoundAgain() {
    let theme = Theme()
    let area = Rect(x: 2, y: 1, width: 90, height: 12)
    let map = Gallery.heatMap(rows: 40, columns: 64)
    let geometry = map.geometry(in: area, theme: theme)
    #expect(geometry.isHalved)
    let hit = geometry.cell(at: Point(x: geometry.cells.x + 5, y: geometry.cells.y + 2))
    #expect(hit?.row == geometry.rows.lowerBound + 4 && hit?.column == 5)
    #expect(geometry.cell(at: Point(x: 0, y: 0)) == nil)
    let table = Gallery.table()
    #expect(table.row(at: Point(x: 5, y: 3), in: area) == 1)
    #expect(table.row(at: Point(x: 5, y: 1), in: area) == nil)
    #expect(table.header(at: Point(x: 4, y: 1), in: area) == 0)
    #expect(Gallery.strip(repeated: 1).token(at: Point(x: 2 + 5, y: 1), in: area) == 1)
  }

  @Test func wideRoomsTakeTwoCellsAColumn() {
    let map = Gallery.heatMap()
    #expect(map.geometry(in: Rect(x: 0, y: 0, width: 150, height: 20), theme: Theme()).columnWidth == 2)
    #expect(map.geometry(in: Rect(x: 0, y: 0, width: 80, height: 20), theme: Theme()).columnWidth == 1)
  }

  @Test func cursorStaysInView() {
    var map = Gallery.heatMap(rows: 100, columns: 262_144)
    map.cursor = (99, 262_143)
    let geometry = map.geometry(in: Rect(x: 0, y: 0, width: 60, height: 20), theme: Theme(depth: .mono))
    #expect(geometry.rows.contains(99) && geometry.columns.contains(262_143))
    #expect(geometry.note(rows: 100, columns: 262_144).hasPrefix("rows 81-99 of 100, columns"))
  }

  @Test func pictures() {
    let svg = SVGScreen(title: "a < b").render(Gallery.live(Size(width: 80, height: 24), Theme()))
    #expect(svg.hasPrefix("<svg") && svg.hasSuffix("</svg>\n"))
    #expect(svg.contains("<title>a &lt; b</title>"))
    #expect(svg.contains("#5f005f"), "heat is coloured")
    expectSnapshot(SVGScreen().render(Gallery.live(Size(width: 30, height: 5), Theme())), "Terminal/svg-30x5")
  }

  /// Red over blue, white over black: two pixels a cell, in the nearest colours there are.
  @Test func picturesAreHalfBlocks() {
    let view = PixelView(width: 2, height: 2, pixels: [255, 0, 0, 255, 255, 255, 0, 0, 255, 0, 0, 0])
    var screen = CellBuffer(size: Size(width: 4, height: 2))
    let used = view.draw(into: &screen, screen.bounds, theme: Theme())
    #expect(used == screen.bounds && PixelView.size(width: 2, height: 2, in: screen.size) == screen.size)
    #expect(screen.lines == ["▀▀▀▀", "▀▀▀▀"])
    #expect(screen[0, 0].style == Style(foreground: .indexed(196), background: .indexed(196)))
    #expect(screen[3, 1].style.foreground == .indexed(16) && screen[0, 1].style.foreground == .indexed(21))
    var small = CellBuffer(size: Size(width: 1, height: 1))
    #expect(view.draw(into: &small, small.bounds, theme: Theme(depth: .direct)).size == small.size)
    #expect(small[0, 0].glyph.text == "▀" && small[0, 0].style.foreground == .direct(0x7F3F7F))
    #expect(view.draw(into: &small, .zero, theme: Theme()).isEmpty)
  }

  @Test func picturesWithoutColourAreARamp() {
    let view = PixelView(width: 2, height: 2, pixels: [0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255])
    for (theme, expected) in [
      (Theme(depth: .mono), " █"), (Theme(depth: .ansi16, glyphs: .ascii), " @"), (Theme(depth: .mono, appearance: .light), "█ "),
    ] {
      var screen = theme.buffer(Size(width: 2, height: 1))
      view.draw(into: &screen, screen.bounds, theme: theme)
      #expect(screen.lines == [expected])
    }
  }

  @Test func everyGreyAndCubeColourIsItsOwnNearest() {
    for index in UInt8(16)...255 { #expect(Color.nearest(to: Color.xterm(index)).rgb == Color.xterm(index)) }
  }

  @Test func differencesAreMarked() {
    let text = markedDifference(expected: "abc\nx\n", got: "abd\nx\n")
    #expect(text == "--- expected\nabc\n  ^\nx\n\n--- got\nabd\n  ^\nx\n\n")
  }
}
