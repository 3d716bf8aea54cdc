// Running text, token by token, with a sign below each: how sure the router was. Wraps at tokens, keeps the selected one
// or the end in view.

public struct TokenStrip: Hashable, Sendable {
  public struct Token: Hashable, Sendable {
    /// Already printable: see `Printable`.
    public var text: String
    /// Below its first column: a digit, `!`, or nothing.
    public var note: String
    public var isAlert: Bool
    public var role: Role?

    public init(_ text: String, note: String = "", isAlert: Bool = false, role: Role? = nil) {
      self.text = text
      self.note = note
      self.isAlert = isAlert
      self.role = role
    }
  }

  public var tokens: [Token]
  /// The selected tokens: one, or a span.
  public var selection: Range<Int>?
  public var showsNotes: Bool
  /// A caret behind the last token: more is coming.
  public var hasCaret: Bool

  public init(_ tokens: [Token], selection: Range<Int>? = nil, showsNotes: Bool = true, hasCaret: Bool = false) {
    self.tokens = tokens
    self.selection = selection
    self.showsNotes = showsNotes
    self.hasCaret = hasCaret
  }

  /// A token, or a piece of one longer than a line, at a place of the wrapped text.
  struct Piece: Hashable {
    let token: Int
    let text: String
    let line: Int
    let x: Int
    let width: Int
    let isFirst: Bool
  }

  func pieces(_ width: Int) -> [Piece] {
    guard width > 0 else { return [] }
    var pieces: [Piece] = []
    var line = 0
    var x = 0
    for (index, token) in tokens.enumerated() {
      var rest = token.text
      var wide = Printable.width(of: rest)
      if x > 0, x + wide > width {
        line += 1
        x = 0
      }
      var isFirst = true
      while wide > width {
        let part = Printable.cut(rest, to: width, ellipsis: "")
        guard !part.isEmpty else { break }
        pieces.append(Piece(token: index, text: part, line: line, x: 0, width: width, isFirst: isFirst))
        rest = String(rest.dropFirst(part.count))
        wide = Printable.width(of: rest)
        line += 1
        isFirst = false
      }
      pieces.append(Piece(token: index, text: rest, line: line, x: x, width: wide, isFirst: isFirst))
      x += wide
    }
    return pieces
  }

  /// Lines of text shown, of all there are.
  private func lines(_ pieces: [Piece], _ area: Rect) -> Range<Int> {
    let count = (pieces.last?.line ?? 0) + 1
    let page = max(1, area.height / (showsNotes ? 2 : 1))
    let focus = selection.flatMap { chosen in pieces.first { $0.token == chosen.lowerBound }?.line } ?? count - 1
    let first = ListState.offset(max(0, count - page), showing: focus, count: count, page: page)
    return first..<min(count, first + page)
  }

  /// The token at a place; nil between and below.
  public func token(at point: Point, in area: Rect) -> Int? {
    guard area.contains(point) else { return nil }
    let pieces = pieces(area.width)
    let line = lines(pieces, area).lowerBound + (point.y - area.y) / (showsNotes ? 2 : 1)
    return pieces.first { $0.line == line && ($0.x..<$0.x + $0.width).contains(point.x - area.x) }?.token
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    let pieces = pieces(area.width)
    let visible = lines(pieces, area)
    for piece in pieces where visible.contains(piece.line) {
      let token = tokens[piece.token]
      let row = area.row((piece.line - visible.lowerBound) * (showsNotes ? 2 : 1))
      let isSelected = selection?.contains(piece.token) ?? false
      let style = isSelected ? theme[.selection] : token.role.map { theme[$0] } ?? .plain
      screen.draw(piece.text, x: row.x + piece.x, y: row.y, style: style, clip: row)
      let below = area.row(row.y - area.y + 1)
      if showsNotes, piece.isFirst, !below.isEmpty {
        screen.draw(token.note, x: below.x + piece.x, y: below.y, style: theme[token.isAlert ? .uncertain : .dim], clip: below)
      }
    }
    guard hasCaret else { return }
    let end = pieces.last.map { (x: $0.x + $0.width, line: $0.line) } ?? (x: 0, line: 0)
    let row = area.row((end.line - visible.lowerBound) * (showsNotes ? 2 : 1))
    if visible.contains(end.line) { screen.put(theme.glyphs.caret, x: row.x + end.x, y: row.y, style: theme[.accent], clip: row) }
  }
}
