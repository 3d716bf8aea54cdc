// What one cell shows: a base scalar with at most two marks, or the right half of the wide glyph before it. Fixed size and
// trivially copied, because a frame holds thousands of them.

public struct Glyph: Hashable, Sendable {
  /// 0 for the right half of a wide glyph.
  public let base: UInt32
  public private(set) var mark1: UInt32 = 0
  public private(set) var mark2: UInt32 = 0
  /// 1 or 2; 0 for the right half of a wide glyph.
  public let width: UInt8

  private init(base: UInt32, width: UInt8) {
    self.base = base
    self.width = width
  }

  public static let space = Glyph(base: 0x20, width: 1)
  /// The right half of a wide glyph.
  public static let trailing = Glyph(base: 0, width: 0)

  /// A glyph of one scalar; nil when the scalar is not drawn as itself or only sits on another.
  public init?(_ scalar: Unicode.Scalar) {
    switch ScalarWidth(scalar) {
    case .narrow: self.init(base: scalar.value, width: 1)
    case .wide: self.init(base: scalar.value, width: 2)
    case .combining, .escaped: return nil
    }
  }

  /// A printable ASCII byte; anything else becomes `?`.
  init(ascii byte: UInt8) {
    self.init(base: (0x20...0x7E).contains(byte) ? UInt32(byte) : 0x3F, width: 1)
  }

  /// A character of our own drawing set; `?` when it has no place in one cell.
  public init(_ character: Character) {
    self = character.unicodeScalars.first.flatMap(Glyph.init) ?? Glyph(ascii: 0x3F)
  }

  /// Puts a combining mark on this glyph; false when two are there already or there is nothing to sit on.
  mutating func add(mark: Unicode.Scalar) -> Bool {
    guard width > 0, base != 0x20 else { return false }
    if mark1 == 0 {
      mark1 = mark.value
    } else if mark2 == 0 {
      mark2 = mark.value
    } else {
      return false
    }
    return true
  }

  public var isTrailing: Bool { width == 0 }

  /// True when every terminal advances as we think it does, so that what follows may be written without addressing.
  public var isSteady: Bool {
    width == 1 && mark1 == 0 && (base < 0x590 || (0x2010...0x2BFF).contains(base))
  }

  /// The scalars to write; empty for the right half of a wide glyph.
  public var text: String {
    var text = ""
    for value in [base, mark1, mark2] where value != 0 {
      if let scalar = Unicode.Scalar(value) { text.unicodeScalars.append(scalar) }
    }
    return text
  }

  /// The nearest single ASCII character, `?` where there is none: what a terminal without UTF-8 gets.
  public var asciiFallback: Glyph {
    if base < 0x7F { return mark1 == 0 ? self : Glyph(ascii: UInt8(truncatingIfNeeded: base)) }
    return Glyph(ascii: Glyph.fallbacks[base] ?? (0x2800...0x28FF ~= base ? 0x3A : 0x3F))
  }

  private static let fallbacks: [UInt32: UInt8] = {
    var table: [UInt32: UInt8] = [:]
    let pairs: [(String, Character)] = [
      ("─━┄┅┈┉╌═", "-"), ("│┃┆┇┊┋╎║▏", "|"), ("┌┐└┘├┤┬┴┼╭╮╯╰╔╗╚╝╠╣╦╩╬", "+"), ("×✕", "x"), ("…", "~"), ("·•∙", "."), ("−–—‐‑", "-"),
      ("▸►▶→⇒", ">"), ("◂◄◀←⇐", "<"), ("▴▲↑", "^"), ("▾▼↓", "v"), ("▮█▉▊▇▆", "#"), ("▓", "%"), ("▒▅▄▋▌", "="), ("░", ":"),
      ("▃▂▍▎", "-"), ("▁", "_"), ("▀▣●◆■", "@"), ("○◇□", "o"), ("≠", "!"), ("≤", "<"), ("≥", ">"), ("≈", "~"), ("±", "+"),
      ("Ĥ", "H"), ("‘’", "'"), ("“”", "\""), ("«", "<"), ("»", ">"), ("⏎", "~"), ("⇧", "^"), ("⇥", ">"), ("↔", "-"), ("‖", "|"),
      ("σ", "s"), ("µμ", "u"), ("Δ", "d"), ("λ", "l"), ("√", "v"), ("∞", "8"), ("Σ", "S"),
      ("✓", "+"), ("°", "o"), ("²", "2"), ("\u{A0}", " "),
    ]
    for (characters, ascii) in pairs {
      for scalar in characters.unicodeScalars { table[scalar.value] = ascii.asciiValue }
    }
    return table
  }()
}

/// One place of the screen.
public struct Cell: Hashable, Sendable {
  public var glyph: Glyph
  public var style: Style

  public init(_ glyph: Glyph = .space, _ style: Style = .plain) {
    self.glyph = glyph
    self.style = style
  }

  public static let blank = Cell()
}
