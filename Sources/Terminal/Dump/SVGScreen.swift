// A screen as an SVG picture, so that pictures in documents come from real screens. Every cell is placed by its column, as
// a browser's font may not be as monospaced as a terminal; box and block characters are drawn, not written.

public struct SVGScreen: Hashable, Sendable {
  public var appearance: Appearance
  public var title: String

  public init(appearance: Appearance = .dark, title: String = "moetop") {
    self.appearance = appearance
    self.title = title
  }

  private static let cell = (width: 9, height: 18)

  public func render(_ screen: CellBuffer) -> String {
    let cell = SVGScreen.cell
    let margin = 12
    let width = screen.size.width * cell.width + 2 * margin
    let height = screen.size.height * cell.height + 2 * margin
    var svg = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \(height)" role="img">
      <title>\(SVGScreen.escape(title))</title>
      <style>.b{font-weight:700}.u{text-decoration:underline}</style>
      <rect width="\(width)" height="\(height)" rx="6" fill="\(hex(paper))"/>
      <g transform="translate(\(margin) \(margin))" font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="15">

      """
    for y in 0..<screen.size.height { svg += row(screen, y) }
    return svg + "</g>\n</svg>\n"
  }

  private var paper: UInt32 { appearance == .dark ? 0x14161A : 0xFFFFFF }
  private var ink: UInt32 { appearance == .dark ? 0xD8DEE4 : 0x1F2328 }

  /// Foreground and background as seen.
  private func colors(_ style: Style) -> (ink: UInt32, paper: UInt32?) {
    var front = style.foreground.rgb ?? ink
    var back = style.background.rgb
    if style.attributes.contains(.reverse) { (front, back) = (back ?? paper, front) }
    if style.attributes.contains(.dim) { front = SVGScreen.mix(front, back ?? paper) }
    return (front, back)
  }

  private func row(_ screen: CellBuffer, _ y: Int) -> String {
    let cells = Array(screen.row(y))
    var back = ""
    var front = ""
    var x = 0
    while x < cells.count {
      let style = cells[x].style
      var end = x + 1
      while end < cells.count, cells[end].style == style { end += 1 }
      let colors = colors(style)
      if let paper = colors.paper { back += rect(x: x, y: y, width: end - x, fill: paper) }
      front += run(cells[x..<end], y: y, style: style, ink: colors.ink)
      x = end
    }
    return back + front
  }

  /// Cells of one style: text where fonts agree, shapes for blocks and lines.
  private func run(_ cells: ArraySlice<Cell>, y: Int, style: Style, ink: UInt32) -> String {
    var svg = ""
    var text = ""
    var start = cells.startIndex
    func flush() -> String {
      defer { text = "" }
      return text.isEmpty ? "" : write(text, x: start, y: y, style: style, ink: ink)
    }
    for index in cells.indices {
      let glyph = cells[index].glyph
      if glyph.isTrailing { continue }
      if let shape = shape(glyph.base, x: index, y: y, ink: ink) {
        svg += flush() + shape
        continue
      }
      // Blanks between words are left out: not every renderer keeps two of them.
      if glyph.base == 0x20, text.last == " " || text.isEmpty {
        svg += flush()
        continue
      }
      if text.isEmpty { start = index }
      text += glyph.text
      if !(0x20..<0x7F).contains(glyph.base) { svg += flush() }
    }
    return svg + flush()
  }

  private func write(_ text: String, x: Int, y: Int, style: Style, ink: UInt32) -> String {
    let cell = SVGScreen.cell
    var classes: [String] = []
    if style.attributes.contains(.bold) { classes.append("b") }
    if style.attributes.contains(.underline) { classes.append("u") }
    let kind = classes.isEmpty ? "" : " class=\"\(classes.joined(separator: " "))\""
    let shown = String(text.reversed().drop { $0 == " " }.reversed())
    let length = shown.utf8.count == shown.count && shown.count > 1 ? " textLength=\"\(shown.count * cell.width)\"" : ""
    return
      "<text x=\"\(x * cell.width)\" y=\"\(y * cell.height + 14)\"\(length)\(kind) fill=\"\(hex(ink))\">\(SVGScreen.escape(shown))</text>\n"
  }

  /// Blocks and box lines as shapes; nil for text.
  private func shape(_ base: UInt32, x: Int, y: Int, ink: UInt32) -> String? {
    let (w, h) = (SVGScreen.cell.width, SVGScreen.cell.height)
    let (left, top) = (x * w, y * h)
    func box(_ dx: Int, _ dy: Int, _ width: Int, _ height: Int, _ opacity: Int = 100) -> String {
      let faint = opacity < 100 ? " fill-opacity=\"0.\(opacity)\"" : ""
      return "<rect x=\"\(left + dx)\" y=\"\(top + dy)\" width=\"\(width)\" height=\"\(height)\"\(faint) fill=\"\(hex(ink))\"/>\n"
    }
    let (midX, midY) = (w / 2, h / 2)
    switch base {
    case 0x2580: return box(0, 0, w, h / 2)
    case 0x2581...0x2588:
      let part = Int(base - 0x2580) * h / 8
      return box(0, h - part, w, part)
    case 0x2589...0x258F: return box(0, 0, max(1, Int(0x2590 - base) * w / 8), h)
    case 0x2591: return box(0, 0, w, h, 25)
    case 0x2592: return box(0, 0, w, h, 50)
    case 0x2593: return box(0, 0, w, h, 75)
    case 0x2500: return box(0, midY, w, 1)
    case 0x2502: return box(midX, 0, 1, h)
    case 0x250C: return box(midX, midY, w - midX, 1) + box(midX, midY, 1, h - midY)
    case 0x2510: return box(0, midY, midX + 1, 1) + box(midX, midY, 1, h - midY)
    case 0x2514: return box(midX, midY, w - midX, 1) + box(midX, 0, 1, midY + 1)
    case 0x2518: return box(0, midY, midX + 1, 1) + box(midX, 0, 1, midY + 1)
    default: return nil
    }
  }

  private func rect(x: Int, y: Int, width: Int, fill: UInt32) -> String {
    let cell = SVGScreen.cell
    return
      "<rect x=\"\(x * cell.width)\" y=\"\(y * cell.height)\" width=\"\(width * cell.width)\" height=\"\(cell.height)\" fill=\"\(hex(fill))\"/>\n"
  }

  private func hex(_ rgb: UInt32) -> String { "#" + Printable.hex(rgb, digits: 6) }

  private static func mix(_ one: UInt32, _ two: UInt32) -> UInt32 {
    ((one & 0xFEFEFE) >> 1) + ((two & 0xFEFEFE) >> 1)
  }

  static func escape(_ text: String) -> String {
    text.reduce(into: "") { escaped, character in
      switch character {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      default: escaped.append(character)
      }
    }
  }
}
