// A line of text with meanings instead of colours: what screens write, and every widget that shows text takes.

/// Pieces of text, each with a role. A plain string literal is one piece in the role of its surroundings.
public struct StyledText: Hashable, Sendable, ExpressibleByStringLiteral {
  public struct Piece: Hashable, Sendable {
    public var text: String
    /// nil: as the surroundings.
    public var role: Role?
  }

  public var pieces: [Piece]

  public init(_ text: String = "", _ role: Role? = nil) { pieces = text.isEmpty ? [] : [Piece(text: text, role: role)] }
  public init(stringLiteral value: String) { self.init(value) }

  public static func + (left: StyledText, right: StyledText) -> StyledText {
    var sum = left
    sum.pieces += right.pieces
    return sum
  }

  public static func += (left: inout StyledText, right: StyledText) { left.pieces += right.pieces }

  /// The text alone.
  public var plain: String { pieces.reduce(into: "") { $0 += $1.text } }
  public var width: Int { pieces.reduce(0) { $0 + Printable.width(of: $1.text) } }
  public var isEmpty: Bool { pieces.isEmpty }

  /// The start that fits, ending in an ellipsis where something was cut.
  public func cut(to width: Int, ellipsis: String = "…") -> StyledText {
    guard self.width > width else { return self }
    var kept = StyledText()
    var left = width
    for piece in pieces {
      let wide = Printable.width(of: piece.text)
      if wide < left {
        kept.pieces.append(piece)
        left -= wide
      } else {
        // The ellipsis takes a place even where this piece alone would fit exactly.
        kept.pieces.append(Piece(text: Printable.cut(piece.text + " ", to: left, ellipsis: ellipsis), role: piece.role))
        break
      }
    }
    return kept
  }
}

/// Where a text stands in its room.
public enum Alignment: Hashable, Sendable {
  case left, center, right
}

extension CellBuffer {
  /// Draws one line into the first row of an area; what does not fit ends in an ellipsis.
  /// - Returns: the columns used.
  @discardableResult
  public mutating func draw(
    _ text: StyledText, in area: Rect, theme: Theme, base: Style = .plain, alignment: Alignment = .left
  ) -> Int {
    guard !area.isEmpty else { return 0 }
    let shown = text.cut(to: area.width, ellipsis: String(theme.glyphs.ellipsis))
    let width = shown.width
    var x = area.x
    switch alignment {
    case .left: break
    case .center: x += (area.width - width) / 2
    case .right: x += area.width - width
    }
    for piece in shown.pieces {
      let style = piece.role.map { base.merged(theme[$0]) } ?? base
      x += draw(piece.text, x: x, y: area.y, style: style, clip: area)
    }
    return width
  }
}
