// A grid of values as heat: rows with labels and figures beside them, columns with ticks, a cursor. It shows what fits:
// several lines a row and cells a column where there is room, half blocks where rows exceed the height, then it scrolls, and says so.

public struct HeatMap {
  /// Where column numbers stand.
  public enum Ticks: Hashable, Sendable {
    case none, top, bottom
  }

  /// Text beside each row, before or after the cells.
  public struct Side {
    public var header: String
    public var width: Int
    public var alignment: Alignment
    public var text: (Int) -> StyledText

    public init(_ header: String = "", width: Int, alignment: Alignment = .left, text: @escaping (Int) -> StyledText) {
      self.header = header
      self.width = width
      self.alignment = alignment
      self.text = text
    }
  }

  public var rows: Int
  public var columns: Int
  /// Share of the scale at a row and a column: 0 to 1, over 1 is marked as saturated, nil as missing.
  /// With `isDiverging`, -1 to 1.
  public var value: (Int, Int) -> Double?
  public var isDiverging = false
  /// A sign drawn on a cell: a rank, a digit.
  public var mark: ((Int, Int) -> Character?)?
  public var leading: [Side] = []
  /// Dropped from the right where the room is narrow.
  public var trailing: [Side] = []
  public var ticks = Ticks.bottom
  public var tickEvery = 8
  public var tickLabel: (Int) -> String = { String($0) }
  /// Row and column under the cursor; kept in view.
  public var cursor: (row: Int, column: Int)?
  public var firstRow = 0
  public var firstColumn = 0
  /// Cells a column takes; nil: two where they fit, else one.
  public var columnWidth: Int?
  /// Lines a row takes at most, where the room is higher than the rows.
  public var mostLines = 4
  public var allowsHalfBlocks = true

  public init(rows: Int, columns: Int, value: @escaping (Int, Int) -> Double?) {
    self.rows = max(0, rows)
    self.columns = max(0, columns)
    self.value = value
  }

  /// Which part of the grid stands where.
  public struct Geometry: Hashable, Sendable {
    public let cells: Rect
    public let rows: Range<Int>
    public let columns: Range<Int>
    public let columnWidth: Int
    /// Lines a row takes.
    public let rowHeight: Int
    /// Two rows a line.
    public let isHalved: Bool
    let leading: [Rect]
    let trailing: [Rect]

    /// The row and column drawn at a place; of two rows in a line, the upper.
    public func cell(at point: Point) -> (row: Int, column: Int)? {
      guard cells.contains(point) else { return nil }
      let row = self.row(onLine: point.y - cells.y)
      let column = columns.lowerBound + (point.x - cells.x) / columnWidth
      return rows.contains(row) && columns.contains(column) ? (row, column) : nil
    }

    /// The row on a line of the cells; of two rows in a line, the upper.
    func row(onLine line: Int) -> Int { rows.lowerBound + (isHalved ? line * 2 : line / rowHeight) }

    /// What is not shown, in words for a footer; empty when all is.
    public func note(rows total: Int, columns all: Int) -> String {
      var parts: [String] = []
      if rows.count < total { parts.append("rows \(rows.lowerBound)-\(rows.upperBound - 1) of \(total)") }
      if columns.count < all { parts.append("columns \(columns.lowerBound)-\(columns.upperBound - 1) of \(all)") }
      return parts.joined(separator: ", ")
    }
  }

  public func geometry(in area: Rect, theme: Theme) -> Geometry {
    let head = leading.reduce(0) { $0 + $1.width + 1 }
    var sides = trailing
    while let last = sides.last, sides.reduce(head + columns, { $0 + $1.width + 1 }) > area.width, last.width >= 0 { sides.removeLast() }
    let tail = sides.reduce(0) { $0 + $1.width + 1 }
    let width = max(0, area.width - head - tail)
    let height = max(0, area.height - (ticks == .none || area.height < 2 ? 0 : 1))
    let wide = max(1, columnWidth ?? (columns * 2 <= width ? 2 : 1))
    let canHalve = allowsHalfBlocks && mark == nil && theme.depth != .mono && theme.glyphs == .utf8
    let isHalved = canHalve && rows > height
    let fittingRows = min(rows, isHalved ? height * 2 : height)
    let fittingColumns = min(columns, width / wide)
    let row = ListState.offset(firstRow, showing: cursor?.row ?? firstRow, count: rows, page: fittingRows)
    let column = ListState.offset(firstColumn, showing: cursor?.column ?? firstColumn, count: columns, page: fittingColumns)
    let tall = max(1, min(mostLines, height / max(1, rows)))
    let lines = isHalved ? (fittingRows + 1) / 2 : fittingRows * tall
    let cells = Rect(
      x: area.x + head, y: area.y + (ticks == .top && area.height >= 2 ? 1 : 0), width: fittingColumns * wide, height: lines)
    var x = area.x
    let left = leading.map { side -> Rect in
      defer { x += side.width + 1 }
      return Rect(x: x, y: cells.y, width: side.width, height: lines).intersection(area)
    }
    x = cells.maxX + 1
    let right = sides.map { side -> Rect in
      defer { x += side.width + 1 }
      return Rect(x: x, y: cells.y, width: side.width, height: lines).intersection(area)
    }
    let start = max(0, min(row, rows - fittingRows))
    return Geometry(
      cells: cells, rows: start..<start + fittingRows, columns: column..<column + fittingColumns, columnWidth: wide,
      rowHeight: tall, isHalved: isHalved, leading: left, trailing: right)
  }

  @discardableResult
  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) -> Geometry {
    let geometry = geometry(in: area, theme: theme)
    drawSides(leading, geometry.leading, into: &screen, area, geometry, theme)
    drawSides(trailing, geometry.trailing, into: &screen, area, geometry, theme)
    // A look for each level, found once: a map has thousands of cells.
    let levels = isDiverging ? [] : (0..<theme.heatLevels).map { theme.heat((Double($0) + 0.5) / Double(theme.heatLevels)) }
    for line in stride(from: 0, to: geometry.cells.height, by: geometry.isHalved ? 1 : geometry.rowHeight) {
      let row = geometry.row(onLine: line)
      for (place, column) in geometry.columns.enumerated() {
        let x = geometry.cells.x + place * geometry.columnWidth
        let y = geometry.cells.y + line
        let look = look(row, column, levels, theme)
        if geometry.isHalved {
          let lower = row + 1 < geometry.rows.upperBound ? self.look(row + 1, column, levels, theme).cell.style.background : .default
          drawHalves(look.cell.style.background, lower, row, column, x: x, y: y, into: &screen, geometry, theme)
        } else {
          drawCell(look, row, column, x: x, y: y, into: &screen, geometry, theme)
        }
      }
    }
    drawTicks(into: &screen, area, geometry, theme)
    return geometry
  }

  private func look(_ row: Int, _ column: Int, _ levels: [HeatCell], _ theme: Theme) -> (cell: HeatCell, isOver: Bool) {
    let value = value(row, column)
    if isDiverging { return (theme.diverging(value), false) }
    guard let value, value.isFinite else { return (theme.heat(nil), false) }
    return (levels[Theme.level(value, of: levels.count)], value > 1)
  }

  private func drawCell(
    _ look: (cell: HeatCell, isOver: Bool), _ row: Int, _ column: Int, x: Int, y: Int, into screen: inout CellBuffer,
    _ geometry: Geometry, _ theme: Theme
  ) {
    let (cell, isOver) = look
    let isCursor = cursor.map { $0.row == row && $0.column == column } ?? false
    var signs = [Character](repeating: cell.glyph, count: geometry.columnWidth)
    // Where signs carry the level, those of the fullest cells stay full: a mark takes one of them, and none where there is only one.
    if isOver {
      if theme.depth != .mono {
        signs = [Character](repeating: theme.saturationMark, count: geometry.columnWidth)
      } else if signs.count > 1 {
        signs[signs.count - 1] = theme.saturationMark
      }
    }
    var style = cell.style
    if let mark = mark?(row, column) {
      signs = [mark] + [Character](repeating: cell.glyph, count: geometry.columnWidth - 1)
      style = style.adding(.bold)
    } else if isCursor, theme.glyphs == .utf8 || theme.depth != .mono {
      signs[0] = theme.glyphs.cursorMark
    }
    if isCursor { style = theme.cursor(on: style) }
    for (offset, sign) in signs.enumerated() {
      screen.put(sign, x: x + offset, y: y, style: style, clip: geometry.cells)
      // A sign stands once, whatever the height of its row.
      let below: Character = sign == cell.glyph || isOver && theme.depth == .mono ? sign : cell.glyph
      for line in 1..<max(1, geometry.rowHeight) {
        screen.put(below, x: x + offset, y: y + line, style: style, clip: geometry.cells)
      }
    }
  }

  private func drawHalves(
    _ upper: Color, _ lower: Color, _ row: Int, _ column: Int, x: Int, y: Int, into screen: inout CellBuffer, _ geometry: Geometry,
    _ theme: Theme
  ) {
    var sign = theme.glyphs.upperHalf
    var style = Style(foreground: upper, background: lower)
    if let cursor, cursor.column == column, cursor.row == row || cursor.row == row + 1 {
      // Two colours leave none for a cursor: it takes the cell and points to its half.
      sign = cursor.row == row ? "^" : "v"
      style = Theme.legible(on: cursor.row == row ? upper : lower).adding(.bold)
    }
    for offset in 0..<geometry.columnWidth { screen.put(sign, x: x + offset, y: y, style: style, clip: geometry.cells) }
  }

  private func drawSides(
    _ sides: [Side], _ rects: [Rect], into screen: inout CellBuffer, _ area: Rect, _ geometry: Geometry, _ theme: Theme
  ) {
    for (side, rect) in zip(sides, rects) {
      for line in stride(from: 0, to: geometry.cells.height, by: geometry.isHalved ? 1 : geometry.rowHeight) {
        let row = geometry.row(onLine: line)
        let isCursor = cursor.map { $0.row == row || (geometry.isHalved && $0.row == row + 1) } ?? false
        screen.draw(side.text(row), in: rect.row(line), theme: theme, base: isCursor ? theme[.strong] : .plain, alignment: side.alignment)
      }
      guard ticks == .top, !side.header.isEmpty, rect.y > area.y else { continue }
      let header = Rect(x: rect.x, y: area.y, width: rect.width, height: 1)
      screen.draw(StyledText(side.header, .dim), in: header, theme: theme, alignment: side.alignment)
    }
  }

  private func drawTicks(into screen: inout CellBuffer, _ area: Rect, _ geometry: Geometry, _ theme: Theme) {
    guard ticks != .none, area.height >= 2, tickEvery > 0 else { return }
    let y = ticks == .top ? area.y : geometry.cells.maxY
    let row = Rect(x: geometry.cells.x, y: y, width: area.maxX - geometry.cells.x, height: 1).intersection(area)
    var free = row.x
    for column in geometry.columns where column % tickEvery == 0 {
      let x = geometry.cells.x + (column - geometry.columns.lowerBound) * geometry.columnWidth
      let label = tickLabel(column)
      guard x >= free, x + Printable.width(of: label) <= row.maxX else { continue }
      let style = theme[cursor?.column == column ? .strong : .dim]
      screen.draw(label, x: x, y: y, style: style, clip: row)
      free = x + Printable.width(of: label) + 1
    }
  }
}

/// What the levels of a heat map stand for, in one line: nothing, the ramp, the most.
public struct HeatLegend: Hashable, Sendable {
  public var low: String
  public var high: String
  public var note: StyledText

  public init(low: String, high: String, note: StyledText = "") {
    self.low = low
    self.high = high
    self.note = note
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    let row = area.row(0)
    var x = row.x + screen.draw(StyledText("scale  \(low) ", .dim), in: row, theme: theme)
    let levels = theme.heatLevels
    // No more than sixteen cells, also where there are 64 levels.
    let cells = min(levels, 16)
    if theme.depth == .mono { x += screen.draw("\"", x: x, y: row.y, style: theme[.dim], clip: row) }
    for place in 0..<cells {
      let cell = theme.heat((Double(place) + 0.5) / Double(cells))
      screen.put(cell.glyph, x: x, y: row.y, style: cell.style, clip: row)
      x += 1
    }
    if theme.depth == .mono { x += screen.draw("\"", x: x, y: row.y, style: theme[.dim], clip: row) }
    let rest = row.intersection(Rect(x: x, y: row.y, width: max(0, row.maxX - x), height: 1))
    screen.draw(StyledText(" \(high)\(theme.saturationMark)", .dim) + (note.isEmpty ? "" : "     " + note), in: rest, theme: theme)
  }
}
