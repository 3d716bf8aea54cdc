// Frames: `┌─ Title ───┐` above, `└─── footer ─┘` below. A panel draws its frame and hands back the room inside.

public struct Panel: Hashable, Sendable {
  /// Names metric and axes.
  public var title: StyledText
  /// Unit, window, order, count; at the right end.
  public var footer: StyledText
  public var isFocused: Bool

  public init(_ title: StyledText, footer: StyledText = "", isFocused: Bool = false) {
    self.title = title
    self.footer = footer
    self.isFocused = isFocused
  }

  /// The room inside the frame.
  public static func inner(_ area: Rect) -> Rect { area.inset(dx: 1, dy: 1) }

  /// Draws the frame, blanks the inside and returns it. Too small for a frame, it returns the area itself.
  @discardableResult
  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) -> Rect {
    guard area.width >= 2, area.height >= 2 else { return area }
    let glyphs = theme.glyphs
    let style = theme[isFocused ? .borderFocused : .border]
    screen.fill(area)
    for x in area.columns.dropFirst().dropLast() {
      screen.put(glyphs.horizontal, x: x, y: area.y, style: style)
      screen.put(glyphs.horizontal, x: x, y: area.maxY - 1, style: style)
    }
    for y in area.rows.dropFirst().dropLast() {
      screen.put(glyphs.vertical, x: area.x, y: y, style: style)
      screen.put(glyphs.vertical, x: area.maxX - 1, y: y, style: style)
    }
    screen.put(glyphs.topLeft, x: area.x, y: area.y, style: style)
    screen.put(glyphs.topRight, x: area.maxX - 1, y: area.y, style: style)
    screen.put(glyphs.bottomLeft, x: area.x, y: area.maxY - 1, style: style)
    screen.put(glyphs.bottomRight, x: area.maxX - 1, y: area.maxY - 1, style: style)
    label(title, into: &screen, area.row(0), theme: theme, role: isFocused ? .titleFocused : .title, alignment: .left)
    label(footer, into: &screen, area.row(area.height - 1), theme: theme, role: .footer, alignment: .right)
    return Panel.inner(area)
  }

  /// A text in the frame, a blank on each side; left out where not even its start would fit.
  private func label(
    _ text: StyledText, into screen: inout CellBuffer, _ row: Rect, theme: Theme, role: Role, alignment: Alignment
  ) {
    let room = row.dropping(left: 2, right: 2)
    guard !text.isEmpty, room.width >= 5 else { return }
    let padded = StyledText(" ") + text.cut(to: room.width - 2, ellipsis: String(theme.glyphs.ellipsis)) + " "
    screen.draw(padded, in: room, theme: theme, base: theme[role], alignment: alignment)
  }
}

/// A panel in the middle of the screen, over what is there.
public struct Modal: Hashable, Sendable {
  public var panel: Panel
  public var size: Size

  public init(_ panel: Panel, size: Size) {
    self.panel = panel
    self.size = size
  }

  @discardableResult
  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) -> Rect {
    panel.draw(into: &screen, area.centered(size), theme: theme)
  }
}

/// What is shown where a screen does not fit: something at any size, with both sizes named.
public struct TooSmallNotice: Hashable, Sendable {
  public var needed: Size

  public init(needed: Size = Size(width: 60, height: 16)) { self.needed = needed }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    let lines = ["terminal too small:", "needs \(needed), has \(area.size)"]
    let whole = lines.joined(separator: " ")
    let shown = Printable.width(of: whole) <= area.width || area.height < 2 ? [whole] : lines
    let top = area.y + max(0, (area.height - shown.count) / 2)
    for (index, line) in shown.enumerated() {
      let row = Rect(x: area.x, y: top + index, width: area.width, height: 1).intersection(area)
      screen.draw(StyledText(line, .warning), in: row, theme: theme, alignment: .center)
    }
  }
}
