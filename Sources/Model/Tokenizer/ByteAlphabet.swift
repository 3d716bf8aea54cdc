// How are bytes spelt in a vocabulary of text? GPT-2's alphabet gives each byte a printable character (space is Ġ); SentencePiece writes
// <0x0A> for a byte and ▁ for a space. Both tables live here and nowhere else.

/// Spellings of bytes in vocabularies.
enum ByteAlphabet {
  /// ▁ (U+2581), SentencePiece's space.
  static let metaspace: [UInt8] = [0xE2, 0x96, 0x81]

  /// The UTF-8 of the character that stands for `byte` in byte-level vocabularies.
  static func spelling(of byte: UInt8) -> [UInt8] { spellings[Int(byte)] }

  /// The byte that `scalar` stands for in byte-level vocabularies, or nil.
  @inline(__always)
  static func byte(of scalar: Unicode.Scalar) -> UInt8? {
    let value = Int(scalar.value)
    guard value < bytes.count, bytes[value] >= 0 else { return nil }
    return UInt8(truncatingIfNeeded: bytes[value])
  }

  /// `<0x0A>` for 10.
  static func fallbackToken(_ byte: UInt8) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)], 0x3E]
  }

  /// The byte that `token` spells as `<0xNN>` (either case), or nil.
  static func fallbackByte(_ token: some Collection<UInt8>) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token.dropFirst(5).first == 0x3E else { return nil }
    let digits = token.dropFirst(3).prefix(2)
    // A sign would pass for a digit in the standard conversion.
    guard digits.allSatisfy({ Unicode.Scalar($0).properties.isASCIIHexDigit }) else { return nil }
    return UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
  }

  /// Code point of each byte: itself where printable, else the next free one from U+0100 on.
  private static let codePoints: [UInt32] = {
    var next: UInt32 = 0x100
    return (0...255).map { (byte: UInt32) in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return byte
      default:
        defer { next += 1 }
        return next
      }
    }
  }()

  private static let spellings: [[UInt8]] = codePoints.map { point in
    Array(String(Unicode.Scalar(point) ?? "\u{FFFD}").utf8)
  }

  /// Byte of each code point below U+0144, -1 where none.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, point) in codePoints.enumerated() { bytes[Int(point)] = Int16(byte) }
    return bytes
  }()
}
