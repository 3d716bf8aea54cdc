// Keys and their meanings in titled sections, two side by side where there is room, one selected so that it can be run.
// Filtering is the caller's: it hands over what is left.

public struct HelpList: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public var keys: String
    public var text: String
    public var isEnabled: Bool

    public init(keys: String, text: String, isEnabled: Bool = true) {
      self.keys = keys
      self.text = text
      self.isEnabled = isEnabled
    }
  }

  public struct Section: Hashable, Sendable {
    public var title: String
    public var entries: [Entry]
    /// Takes the whole width: a glossary.
    public var isWide: Bool

    public init(_ title: String, _ entries: [Entry], isWide: Bool = false) {
      self.title = title
      self.entries = entries
      self.isWide = isWide
    }
  }

  public var sections: [Section]
  /// Counted through all sections; nil selects none.
  public var selected: Int?

  public init(_ sections: [Section], selected: Int? = nil) {
    self.sections = sections
    self.selected = selected
  }

  /// Least width for two columns.
  static let twoColumns = 80

  private enum Line: Hashable {
    case heading(String)
    case entry(Entry, index: Int)
  }

  private func lines(_ index: Int) -> [Line] {
    let before = sections[..<index].reduce(0) { $0 + $1.entries.count }
    let entries = sections[index].entries.enumerated().map { Line.entry($0.element, index: before + $0.offset) }
    return [Line.heading(sections[index].title)] + entries
  }

  /// Rows of one or two lines, blanks between blocks.
  private func rows(_ width: Int) -> [[Line]] {
    var rows: [[Line]] = []
    var index = 0
    while index < sections.count {
      if !rows.isEmpty { rows.append([]) }
      let left = lines(index)
      let next = index + 1
      if width >= HelpList.twoColumns, !sections[index].isWide, next < sections.count, !sections[next].isWide {
        let right = lines(next)
        for row in 0..<max(left.count, right.count) {
          rows.append([row < left.count ? left[row] : .heading(""), row < right.count ? right[row] : .heading("")])
        }
        index += 2
      } else {
        rows += left.map { [$0] }
        index += 1
      }
    }
    return rows
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    let rows = rows(area.width)
    let focus = rows.firstIndex { $0.contains { if case .entry(_, let index) = $0 { index == selected } else { false } } } ?? 0
    let first = ListState.offset(max(0, focus - area.height / 2), showing: focus, count: rows.count, page: area.height)
    let keys = min(14, sections.flatMap(\.entries).map { Printable.width(of: $0.keys) }.max() ?? 0)
    for (place, row) in rows.dropFirst(first).prefix(area.height).enumerated() {
      let line = area.row(place)
      let parts = row.count == 2 ? line.split(columns: [.flex(), .flex()], spacing: 4) : [line]
      for (content, part) in zip(row, parts) { draw(content, into: &screen, part, keys: keys, theme: theme) }
    }
  }

  private func draw(_ line: Line, into screen: inout CellBuffer, _ area: Rect, keys: Int, theme: Theme) {
    switch line {
    case .heading(let title):
      guard !title.isEmpty else { return }
      let rule = String(theme.glyphs.horizontal)
      let head = "\(rule)\(rule) \(title) "
      let tail = String(repeating: rule, count: max(0, area.width - Printable.width(of: head)))
      screen.draw(StyledText(head + tail, .dim), in: area, theme: theme)
    case .entry(let entry, let index):
      let isSelected = index == selected
      let base = isSelected ? theme[.selection] : .plain
      if isSelected { screen.fill(area, style: base) }
      let parts = area.split(columns: [.fixed(keys), .fixed(2), .flex()])
      let role: Role? = isSelected ? nil : entry.isEnabled ? .key : .disabled
      screen.draw(StyledText(entry.keys, role), in: parts[0], theme: theme, base: base)
      screen.draw(StyledText(entry.text, isSelected || entry.isEnabled ? nil : .disabled), in: parts[2], theme: theme, base: base)
    }
  }
}
