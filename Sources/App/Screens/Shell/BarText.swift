// A bar in the middle of a line, where a list of bars would be too much.

import Terminal

enum BarText {
  /// So many cells of so much of `width`; at least one cell for a share above 0.
  static func bar(_ share: Double, width: Int, glyphs: GlyphSet, shaded: Bool = false) -> String {
    guard share.isFinite, share > 0, width > 0 else { return "" }
    let cells = max(1, Int((min(1, share) * Double(width)).rounded()))
    return String(repeating: String(shaded ? glyphs.shadedBlock : glyphs.fullBlock), count: cells)
  }
}
