// The grid a view draws on. It answers: what would be on the screen? It keeps wide glyphs whole: overwriting one half
// blanks the other, and a wide glyph that does not fit becomes a blank. Sending it to a terminal is left to a device.

/// A screen as a value. Drawing outside is cut, never an error, so views need no size checks.
public struct CellBuffer: Hashable, Sendable {
  public let size: Size
  /// With `.ascii`, anything else is replaced as it is drawn, cell for cell.
  public let glyphs: GlyphSet
  /// Row after row: `[height, width]`.
  private var cells: [Cell]

  public init(size: Size, glyphs: GlyphSet = .utf8) {
    self.size = size
    self.glyphs = glyphs
    cells = [Cell](repeating: .blank, count: size.width * size.height)
  }

  public var bounds: Rect { Rect(size: size) }

  /// The cell at a place; a blank outside.
  public subscript(x: Int, y: Int) -> Cell {
    bounds.contains(Point(x: x, y: y)) ? cells[y * size.width + x] : .blank
  }

  /// The cells of one row; empty outside.
  public func row(_ y: Int) -> ArraySlice<Cell> {
    y >= 0 && y < size.height ? cells[y * size.width..<(y + 1) * size.width] : []
  }

  /// Puts one glyph down and returns the columns it took, 0 when it lies outside.
  @discardableResult
  public mutating func put(_ glyph: Glyph, x: Int, y: Int, style: Style, clip: Rect? = nil) -> Int {
    let area = clip.map(bounds.intersection) ?? bounds
    guard area.contains(Point(x: x, y: y)), !glyph.isTrailing else { return 0 }
    if glyph.width == 2 {
      guard glyphs != .ascii else {
        put(glyph.asciiFallback, x: x, y: y, style: style, clip: area)
        put(glyph.asciiFallback, x: x + 1, y: y, style: style, clip: area)
        return 2
      }
      guard x + 1 < area.maxX else {
        write(Cell(.space, style), x: x, y: y)
        return 2
      }
      write(Cell(glyph, style), x: x, y: y)
      write(Cell(.trailing, style), x: x + 1, y: y)
      return 2
    }
    write(Cell(glyphs == .ascii ? glyph.asciiFallback : glyph, style), x: x, y: y)
    return 1
  }

  /// One character of a widget's own drawing set.
  public mutating func put(_ character: Character, x: Int, y: Int, style: Style, clip: Rect? = nil) {
    put(Glyph(character), x: x, y: y, style: style, clip: clip)
  }

  /// Draws text on one row from a place on, cut at the clip and the screen. Controls and whatever has no agreed width
  /// appear as escapes, so no text can reach the terminal as a command.
  /// - Returns: the columns the whole text takes, also where it was cut.
  @discardableResult
  public mutating func draw(_ text: String, x: Int, y: Int, style: Style = .plain, clip: Rect? = nil) -> Int {
    let area = clip.map(bounds.intersection) ?? bounds
    var column = x
    var pending: Glyph?
    for scalar in text.unicodeScalars {
      switch ScalarWidth(scalar) {
      case .narrow, .wide:
        if let glyph = pending { column += flow(glyph, x: column, y: y, style: style, clip: area) }
        pending = Glyph(scalar)
        continue
      case .combining:
        if pending?.add(mark: scalar) == true { continue }
      case .escaped:
        break
      }
      if let glyph = pending { column += flow(glyph, x: column, y: y, style: style, clip: area) }
      pending = nil
      for byte in Printable.escape(scalar).utf8 { column += flow(Glyph(ascii: byte), x: column, y: y, style: style, clip: area) }
    }
    if let glyph = pending { column += flow(glyph, x: column, y: y, style: style, clip: area) }
    return column - x
  }

  /// Draws a glyph of a running text: a wide one that starts before the clip leaves its visible half blank.
  private mutating func flow(_ glyph: Glyph, x: Int, y: Int, style: Style, clip: Rect) -> Int {
    if glyph.width == 2, x == clip.x - 1 {
      put(.space, x: x + 1, y: y, style: style, clip: clip)
    } else {
      put(glyph, x: x, y: y, style: style, clip: clip)
    }
    return Int(glyph.width)
  }

  /// Fills an area with one narrow glyph.
  public mutating func fill(_ area: Rect, with glyph: Glyph = .space, style: Style = .plain) {
    let area = area.intersection(bounds)
    for y in area.rows {
      for x in area.columns { put(glyph, x: x, y: y, style: style) }
    }
  }

  /// Changes the style of an area and leaves its text; both halves of a wide glyph follow its left one.
  public mutating func restyle(_ area: Rect, _ change: (Style) -> Style) {
    let area = area.intersection(bounds)
    for y in area.rows {
      for x in area.columns {
        let place = y * size.width + x
        guard !cells[place].glyph.isTrailing else { continue }
        cells[place].style = change(cells[place].style)
        if cells[place].glyph.width == 2, x + 1 < size.width { cells[place + 1].style = cells[place].style }
      }
    }
  }

  /// Copies another buffer in, its top left at a place.
  public mutating func draw(_ other: CellBuffer, at origin: Point, clip: Rect? = nil) {
    for y in 0..<other.size.height {
      for x in 0..<other.size.width {
        let cell = other[x, y]
        put(cell.glyph, x: origin.x + x, y: origin.y + y, style: cell.style, clip: clip)
      }
    }
  }

  /// The text of every row, trailing blanks kept.
  public var lines: [String] {
    (0..<size.height).map { y in row(y).reduce(into: "") { $0 += $1.glyph.text } }
  }

  /// Stores a cell and keeps wide glyphs whole: what is left of one that is half overwritten becomes a space.
  private mutating func write(_ cell: Cell, x: Int, y: Int) {
    let place = y * size.width + x
    let old = cells[place].glyph
    if old.isTrailing, x > 0, !cell.glyph.isTrailing { cells[place - 1].glyph = .space }
    if old.width == 2, x + 1 < size.width { cells[place + 1].glyph = .space }
    cells[place] = cell
  }

  /// Takes a run of cells over from another buffer of the same size, as a terminal would.
  public mutating func apply(_ run: CellRun, from source: CellBuffer) {
    for x in run.columns {
      let cell = source[x, run.row]
      put(cell.glyph, x: x, y: run.row, style: cell.style)
    }
  }
}
