// A colour as a cell carries it, and what it looks like: RGB of the xterm-256 palette, lightness, contrast.
// Which colour means what is decided in Theme; which colours a terminal has, in ColorPlan.

/// The terminal's own colour, one of the 256 indexed ones, or a direct one.
public struct Color: Hashable, Sendable {
  /// Tag in the top byte (0 default, 1 indexed, 2 direct), value below.
  let raw: UInt32

  public static let `default` = Color(raw: 0)

  /// One of the 256 xterm colours; 0 to 15 look as the user's palette says.
  public static func indexed(_ index: UInt8) -> Color { Color(raw: 1 << 24 | UInt32(index)) }

  /// A 24-bit colour, `0xRRGGBB`.
  public static func direct(_ rgb: UInt32) -> Color { Color(raw: 2 << 24 | (rgb & 0xFF_FFFF)) }

  public enum Kind: Hashable, Sendable {
    case `default`
    case indexed(UInt8)
    case direct(UInt32)
  }

  public var kind: Kind {
    switch raw >> 24 {
    case 1: .indexed(UInt8(truncatingIfNeeded: raw))
    case 2: .direct(raw & 0xFF_FFFF)
    default: .default
    }
  }

  /// `0xRRGGBB` by the xterm defaults; nil for the terminal's own colour.
  public var rgb: UInt32? {
    switch kind {
    case .default: nil
    case .indexed(let index): Color.xterm(index)
    case .direct(let rgb): rgb
    }
  }

  /// CIELAB lightness L* (D65), 0 black to 100 white; nil for the terminal's own colour.
  public var lightness: Double? {
    rgb.map { rgb in
      let y = Color.luminance(rgb)
      return y > 216.0 / 24389.0 ? 116.0 * Color.cubeRoot(y) - 16.0 : y * 24389.0 / 27.0
    }
  }

  /// The xterm default of one of the 256 indices: 16 named, a 6x6x6 cube, 24 greys.
  public static func xterm(_ index: UInt8) -> UInt32 {
    switch index {
    case 0..<16:
      return named[Int(index)]
    case 16..<232:
      func level(_ step: UInt32) -> UInt32 { step == 0 ? 0 : 55 + 40 * step }
      let place = UInt32(index) - 16
      return level(place / 36) << 16 | level(place / 6 % 6) << 8 | level(place % 6)
    default:
      let grey = UInt32(index) * 10 - 2312
      return grey << 16 | grey << 8 | grey
    }
  }

  /// Relative luminance (sRGB, D65), 0 to 1.
  static func luminance(_ rgb: UInt32) -> Double {
    0.2126 * linear(rgb >> 16) + 0.7152 * linear(rgb >> 8) + 0.0722 * linear(rgb)
  }

  private static func linear(_ channel: UInt32) -> Double { linearChannels[Int(channel & 0xFF)] }

  /// sRGB channels as light, 0 to 1: asked for every cell of a heat map.
  private static let linearChannels: [Double] = (0..<256).map { channel in
    let value = Double(channel) / 255
    if value <= 0.04045 { return value / 12.92 }
    // x^2.4 = x^2 * (x^(1/5))^2: two roots by Newton, so that this room needs no mathematics library.
    let base = (value + 0.055) / 1.055
    var root = 1.0
    for _ in 0..<24 { root -= (root * root * root * root * root - base) / (5 * root * root * root * root) }
    return base * base * root * root
  }

  private static func cubeRoot(_ value: Double) -> Double {
    var root = 1.0
    for _ in 0..<24 { root -= (root * root * root - value) / (3 * root * root) }
    return root
  }

  private static let named: [UInt32] = [
    0x000000, 0xCD0000, 0x00CD00, 0xCDCD00, 0x0000EE, 0xCD00CD, 0x00CDCD, 0xE5E5E5,
    0x7F7F7F, 0xFF0000, 0x00FF00, 0xFFFF00, 0x5C5CFF, 0xFF00FF, 0x00FFFF, 0xFFFFFF,
  ]
}
