// A picture in cells: two pixels one above the other in each, by the upper half block, where there are 256 colours or more; else a ramp
// of signs by lightness. It is enlarged by whole factors or shrunk by averaging, always whole and in its proportions.

/// RGB pixels to be drawn into an area.
public struct PixelView: Hashable, Sendable {
  public let width: Int
  public let height: Int
  /// `[height, width, 3]`
  public let pixels: [UInt8]

  /// - Precondition: three values a pixel.
  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(width >= 0 && height >= 0 && pixels.count == 3 * width * height, "three values a pixel")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// Every pixel as a square of them.
  ///
  /// - Precondition: `factor` is at least 1.
  public func enlarged(by factor: Int) -> PixelView {
    guard factor > 1, width > 0 else { return self }
    var large: [UInt8] = []
    large.reserveCapacity(pixels.count * factor * factor)
    for row in 0..<height {
      let line = (row * width..<(row + 1) * width).flatMap { place in
        (0..<factor).flatMap { _ in pixels[3 * place..<3 * place + 3] }
      }
      for _ in 0..<factor { large += line }
    }
    return PixelView(width: width * factor, height: height * factor, pixels: large)
  }

  /// Cells that a picture of so many pixels takes of a room.
  public static func size(width: Int, height: Int, in room: Size) -> Size {
    let shown = scaled(width, height, in: room)
    return Size(width: shown.width, height: (shown.height + 1) / 2)
  }

  /// Pixels shown: half blocks are two to a cell.
  private static func scaled(_ width: Int, _ height: Int, in room: Size) -> (width: Int, height: Int) {
    guard width > 0, height > 0, room.width > 0, room.height > 0 else { return (0, 0) }
    let factor = min(room.width / width, 2 * room.height / height)
    if factor >= 1 { return (width * factor, height * factor) }
    let share = min(Double(room.width) / Double(width), Double(2 * room.height) / Double(height))
    return (max(1, Int(Double(width) * share)), max(1, Int(Double(height) * share)))
  }

  /// Draws into the top left of an area.
  /// - Returns: the cells used.
  @discardableResult
  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) -> Rect {
    let shown = PixelView.scaled(width, height, in: area.size)
    let lines = (shown.height + 1) / 2
    let inColour = theme.glyphs == .utf8 && theme.depth >= .indexed256
    for line in 0..<lines {
      for column in 0..<shown.width {
        let upper = mean(column, 2 * line, shown)
        let lower = 2 * line + 1 < shown.height ? mean(column, 2 * line + 1, shown) : nil
        let (x, y) = (area.x + column, area.y + line)
        if inColour {
          let style = Style(foreground: theme.pixel(upper), background: lower.map(theme.pixel) ?? .default)
          screen.put(theme.glyphs.upperHalf, x: x, y: y, style: style, clip: area)
        } else {
          let light = (Self.lightness(upper) + Self.lightness(lower ?? upper)) / 2
          // On a light background ink is dark.
          screen.put(theme.inkRamp(theme.appearance == .light ? 1 - light : light), x: x, y: y, style: .plain, clip: area)
        }
      }
    }
    return Rect(x: area.x, y: area.y, width: shown.width, height: lines)
  }

  /// Mean colour of the pixels behind one that is shown, `0xRRGGBB`.
  private func mean(_ x: Int, _ y: Int, _ shown: (width: Int, height: Int)) -> UInt32 {
    let columns = x * width / shown.width..<max(x * width / shown.width + 1, (x + 1) * width / shown.width)
    let rows = y * height / shown.height..<max(y * height / shown.height + 1, (y + 1) * height / shown.height)
    var sums = (0, 0, 0)
    for row in rows {
      for column in columns {
        let place = 3 * (row * width + column)
        sums = (sums.0 + Int(pixels[place]), sums.1 + Int(pixels[place + 1]), sums.2 + Int(pixels[place + 2]))
      }
    }
    let count = rows.count * columns.count
    return UInt32(sums.0 / count) << 16 | UInt32(sums.1 / count) << 8 | UInt32(sums.2 / count)
  }

  /// Perceived lightness, 0 to 1.
  private static func lightness(_ rgb: UInt32) -> Double {
    (0.299 * Double(rgb >> 16 & 0xFF) + 0.587 * Double(rgb >> 8 & 0xFF) + 0.114 * Double(rgb & 0xFF)) / 255
  }
}

extension Theme {
  /// The colour nearest to a pixel's that the terminal has.
  func pixel(_ rgb: UInt32) -> Color { depth == .direct ? .direct(rgb) : .nearest(to: rgb) }

  /// A sign of the ramp for a share of full ink.
  func inkRamp(_ share: Double) -> Character {
    let ramp = glyphs.ramp
    return ramp[min(ramp.count - 1, max(0, Int(share * Double(ramp.count))))]
  }
}

extension Color {
  /// The nearest of the colour cube and the greys of the 256 colours; the first sixteen are the user's.
  static func nearest(to rgb: UInt32) -> Color {
    func level(_ channel: UInt32) -> UInt32 { channel < 48 ? 0 : channel < 115 ? 1 : (channel - 35) / 40 }
    let (red, green, blue) = (rgb >> 16 & 0xFF, rgb >> 8 & 0xFF, rgb & 0xFF)
    let cube = UInt8(16 + 36 * level(red) + 6 * level(green) + level(blue))
    let mean = (red + green + blue) / 3
    let grey = UInt8(232 + min(23, mean < 8 ? 0 : (mean - 3) / 10))
    func distance(_ index: UInt8) -> Int {
      let other = Color.xterm(index)
      func square(_ shift: UInt32) -> Int {
        let difference = Int(rgb >> shift & 0xFF) - Int(other >> shift & 0xFF)
        return difference * difference
      }
      return square(16) + square(8) + square(0)
    }
    return .indexed(distance(grey) < distance(cube) ? grey : cube)
  }
}
