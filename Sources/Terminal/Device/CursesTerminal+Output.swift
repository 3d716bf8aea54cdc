// Frames: changed cells go to ncurses run by run; what it writes is caught and sent in one piece, so that a frame is one
// write, can be bracketed, and a lost terminal is noticed (ncurses itself ignores failed writes).

import CNcurses

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension CursesTerminal {
  @discardableResult
  public func present(_ screen: CellBuffer, cursor: Point?) throws -> Bool {
    guard !isGone else { throw TerminalError.gone }
    guard ExitGuard.isArmed else { return false }
    var canvas = screen
    if screen.size != size {
      canvas = CellBuffer(size: size, glyphs: screen.glyphs)
      canvas.draw(screen, at: Point(x: 0, y: 0))
    }
    let place = cursor.flatMap { canvas.bounds.contains($0) ? $0 : nil }
    if mustClear { shown = CellBuffer(size: size) }
    let runs = canvas.runs(from: shown)
    guard mustClear || !runs.isEmpty || place != shownCursor else { return false }

    looks.removeAll(keepingCapacity: true)
    // Colours that no cell has any more make room for those of this frame.
    if pairs.room < runs.reduce(0, { $0 + $1.columns.count }) {
      let styles = (0..<size.height).reduce(into: Set<Style>()) { styles, row in for cell in canvas.row(row) { styles.insert(cell.style) } }
      pairs.keep(only: Set(styles.map { PairPool.Colors(foreground: number($0.foreground), background: number($0.background)) }))
    }
    let bytes = caught {
      if mustClear {
        werase(window)
        clearok(moetop_curscr(), true)
        wrefresh(window)
      }
      for run in runs { draw(run, of: canvas) }
      curs_set(place == nil ? 0 : 1)
      wmove(window, Int32(place?.y ?? max(0, size.height - 1)), Int32(place?.x ?? max(0, size.width - 1)))
      wrefresh(window)
    }
    if mustClear { shownPictures = [] }
    mustClear = false
    shown = canvas
    shownCursor = place
    if let bytes {
      try writeAll(traits.isSynchronized ? Array("\u{1B}[?2026h".utf8) + bytes + Array("\u{1B}[?2026l".utf8) : bytes)
    }
    return true
  }

  public func place(_ pictures: [PlacedPicture]) throws {
    guard pictures != shownPictures, ExitGuard.isArmed else { return }
    let text = KittyGraphics.changes(from: shownPictures, to: pictures)
    shownPictures = pictures
    try send(text)
  }

  public func send(_ control: String) throws { try writeAll(Array(control.utf8)) }

  /// Nothing is written to a terminal that was given back.
  private func writeAll(_ bytes: [UInt8]) throws { try ExitGuard.guarding { try writeOut(bytes) } }

  private func writeOut(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        var wanted = pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
        _ = SystemCall.poll(&wanted, 1, 1000)
      } else if errno != EINTR {
        isGone = true
        throw TerminalError.gone
      }
    }
  }

  /// Runs `body` with the output of ncurses caught; nil where that is not possible and it went out directly.
  private func caught(_ body: () -> Void) -> [UInt8]? {
    guard scratch >= 0, lseek(scratch, 0, SEEK_SET) == 0, dup2(scratch, cursesOutput) >= 0 else {
      body()
      return nil
    }
    body()
    let length = Int(lseek(scratch, 0, SEEK_CUR))
    _ = dup2(output, cursesOutput)
    guard length > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
      count = max(0, pread(scratch, buffer.baseAddress, length, 0))
    }
  }

  /// Hands one run to ncurses. After glyphs whose width terminals may disagree about, the run is flushed and the cursor
  /// addressed absolutely, so that a disagreement ends with the run.
  private func draw(_ run: CellRun, of canvas: CellBuffer) {
    let cells = canvas.row(run.row)
    var list: [cchar_t] = []
    list.reserveCapacity(run.columns.count)
    var look: (style: Style, attributes: attr_t, pair: Int32)?
    for cell in cells[cells.startIndex + run.columns.lowerBound..<cells.startIndex + run.columns.upperBound] {
      let glyph = cell.glyph
      guard !glyph.isTrailing else { continue }
      if look?.style != cell.style {
        let (attributes, pair) = attributes(of: cell.style)
        look = (cell.style, attributes, pair)
      }
      var packed = cchar_t()
      moetop_cell(&packed, glyph.base, glyph.mark1, glyph.mark2, Int32(glyph.width), look?.attributes ?? 0, look?.pair ?? 0)
      list.append(packed)
      if glyph.width == 2, moetop_disagrees(glyph.base, 2) != 0 { list.append(packed) }
    }
    mvwadd_wchnstr(window, Int32(run.row), Int32(run.columns.lowerBound), list, Int32(list.count))
    guard !run.isSteady else { return }
    let column = Int32(min(run.columns.upperBound, size.width - 1))
    wmove(window, Int32(run.row), column)
    wrefresh(window)
    moetop_address(cursesOutput, Int32(run.row), column)
  }

  /// Looked up once a frame.
  private func attributes(of style: Style) -> (attr_t, Int32) {
    if let known = looks[style] { return known }
    let found = attributesAsked(of: style)
    looks[style] = found
    return found
  }

  private func attributesAsked(of style: Style) -> (attr_t, Int32) {
    var attributes: attr_t = 0
    if style.attributes.contains(.bold) { attributes |= moetop_bold }
    if style.attributes.contains(.dim) { attributes |= moetop_dim }
    if style.attributes.contains(.underline) { attributes |= moetop_underline }
    if style.attributes.contains(.reverse) { attributes |= moetop_reverse }
    guard traits.color.depth > .mono, colors >= 8 else { return (attributes, 0) }
    let foreground = number(style.foreground)
    // Eight colours only: a bright foreground is a bold one.
    if colors < 16, case .indexed(let index) = style.foreground.kind, (8..<16).contains(index) { attributes |= moetop_bold }
    let background = number(style.background)
    guard foreground != -1 || background != -1 else { return (attributes, 0) }
    guard let pair = pairs.number(of: PairPool.Colors(foreground: foreground, background: background)) else { return (attributes, 0) }
    if pair.isNew, init_extended_pair(pair.number, foreground, background) != OK { return (attributes, 0) }
    return (attributes, pair.number)
  }

  /// A colour as ncurses counts it here: -1 the terminal's own, an index, or RGB in a direct-colour entry.
  private func number(_ color: Color) -> Int32 {
    switch color.kind {
    case .default:
      return -1
    case .indexed(let index):
      // The first of a direct entry's numbers are named colours, eight or sixteen of them.
      if colors > 256 { return index < 8 ? Int32(index) : Int32(max(16, Color.xterm(index))) }
      if Int32(index) < colors { return Int32(index) }
      return index < 16 ? Int32(index & 7) : Int32(Color.nearestNamed(Color.xterm(index)))
    case .direct(let rgb):
      if colors > 256 { return rgb == 0 ? 0 : Int32(max(16, rgb)) }
      if colors == 256 { return Int32(Color.nearestInCube(rgb)) }
      return Int32(Color.nearestNamed(rgb))
    }
  }
}

extension Color {
  /// The nearest of the 216 cube colours.
  static func nearestInCube(_ rgb: UInt32) -> UInt8 {
    let steps = [16, 8, 0].map { shift -> UInt32 in
      let channel = rgb >> UInt32(shift) & 0xFF
      return channel < 48 ? 0 : channel < 115 ? 1 : (channel - 35) / 40
    }
    return UInt8(16 + 36 * steps[0] + 6 * steps[1] + steps[2])
  }

  /// The nearest of the eight basic colours: each channel on or off.
  static func nearestNamed(_ rgb: UInt32) -> UInt8 {
    let red = rgb >> 23 & 1
    let green = rgb >> 15 & 1
    let blue = rgb >> 7 & 1
    return UInt8(red | green << 1 | blue << 2)
  }
}
