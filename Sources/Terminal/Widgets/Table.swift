// Every list is a table: aligned columns, one sorted, one row selected, some marked, columns dropped from the right when
// the room is narrow, which the header says. Rows are asked for by index, so a million of them cost what the page costs.

public struct TableColumn: Hashable, Sendable {
  public enum Width: Hashable, Sendable {
    case fixed(Int)
    /// At least so wide, and a share of what is left.
    case flex(Int)
  }

  public var title: String
  public var width: Width
  public var alignment: Alignment

  public init(_ title: String, width: Width, alignment: Alignment = .left) {
    self.title = title
    self.width = width
    self.alignment = alignment
  }

  var least: Int {
    switch width {
    case .fixed(let width), .flex(let width): width
    }
  }
}

/// The column a table is sorted by.
public struct TableSort: Hashable, Sendable {
  public var column: Int
  public var isDescending: Bool

  public init(column: Int, isDescending: Bool) {
    self.column = column
    self.isDescending = isDescending
  }
}

public struct Table {
  public var columns: [TableColumn]
  public var rowCount: Int
  public var sort: TableSort?
  public var state: ListState
  /// Blanks between columns.
  public var spacing: Int
  /// Shown in the first row of an empty table.
  public var emptyText: StyledText
  /// The cell of a row and a column; called for what is visible only.
  public var cell: (Int, Int) -> StyledText

  public init(
    columns: [TableColumn], rowCount: Int, state: ListState = ListState(), sort: TableSort? = nil, spacing: Int = 2,
    emptyText: StyledText = "", cell: @escaping (Int, Int) -> StyledText
  ) {
    self.columns = columns
    self.rowCount = rowCount
    self.state = state
    self.sort = sort
    self.spacing = spacing
    self.emptyText = emptyText
    self.cell = cell
  }

  /// `+3` and a blank before it: how many columns there was no room for.
  private static let signWidth = 3

  /// Rows that an area shows below the header.
  public static func page(_ area: Rect) -> Int { max(0, area.height - 1) }

  /// Rows shown, for footers such as `1-12 of 612`.
  public func visibleRows(_ area: Rect) -> Range<Int> {
    let page = Table.page(area)
    let first = ListState.offset(state.offset, showing: state.selected, count: rowCount, page: page)
    return first..<max(first, min(rowCount, first + page))
  }

  /// `1-12 of 612`.
  public func position(_ area: Rect) -> String {
    let rows = visibleRows(area)
    return rows.isEmpty ? "0 of \(rowCount)" : "\(rows.lowerBound + 1)-\(rows.upperBound) of \(rowCount)"
  }

  /// The row at a place; nil for the header and below the last.
  public func row(at point: Point, in area: Rect) -> Int? {
    guard area.contains(point), point.y > area.y else { return nil }
    let row = visibleRows(area).lowerBound + point.y - area.y - 1
    return visibleRows(area).contains(row) ? row : nil
  }

  /// The column whose header is at a place, to sort by it.
  public func header(at point: Point, in area: Rect) -> Int? {
    guard point.y == area.y else { return nil }
    return spans(area).firstIndex { $0.columns.contains(point.x) }
  }

  /// Columns that fit, from the left, each with its room; at least one. Where some do not, the sign that says so has room too.
  func spans(_ area: Rect) -> [Rect] {
    let all = area.dropping(left: 2)
    let isWhole = fitting(all.width) == columns.count
    let room = isWhole ? all : all.dropping(right: min(Self.signWidth, max(0, all.width - (columns.first?.least ?? 0))))
    return room.split(
      columns: columns.prefix(fitting(room.width)).map { column in
        switch column.width {
        case .fixed(let width): .fixed(width)
        case .flex(let width): .min(width)
        }
      }, spacing: spacing)
  }

  /// How many columns a width has room for.
  private func fitting(_ width: Int) -> Int {
    var kept = 0
    var used = 0
    for column in columns {
      let next = used + column.least + (kept == 0 ? 0 : spacing)
      if next > width, kept > 0 { break }
      used = next
      kept += 1
    }
    return kept
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    let spans = spans(area)
    for (index, span) in spans.enumerated() {
      let mark = sort?.column == index ? String(sort?.isDescending == true ? theme.glyphs.descending : theme.glyphs.ascending) : ""
      let title = StyledText(columns[index].title + mark, sort?.column == index ? .accent : .dim)
      screen.draw(title, in: span.row(0), theme: theme, alignment: columns[index].alignment)
    }
    if spans.count < columns.count {
      screen.draw(StyledText("+\(columns.count - spans.count)", .dim), in: area.row(0), theme: theme, alignment: .right)
    }
    if rowCount == 0 {
      screen.draw(emptyText, in: area.row(1).dropping(left: 2), theme: theme, base: theme[.dim])
      return
    }
    let rows = visibleRows(area)
    for row in rows {
      let y = row - rows.lowerBound + 1
      let line = area.row(y)
      let isSelected = row == state.selected
      let base = isSelected ? theme[.selection] : state.marked.contains(row) ? theme[.marked] : .plain
      if isSelected { screen.fill(line, style: base) }
      if isSelected { screen.put(theme.glyphs.selectionMark, x: line.x, y: line.y, style: base, clip: line) }
      if state.marked.contains(row) { screen.put("*", x: line.x + 1, y: line.y, style: base, clip: line) }
      for (index, span) in spans.enumerated() {
        // On the selection, colours of pieces could vanish in its background.
        let text = isSelected ? StyledText(cell(row, index).plain) : cell(row, index)
        screen.draw(text, in: span.row(y), theme: theme, base: base, alignment: columns[index].alignment)
      }
    }
  }
}
