// How does text get a Unicode normal form? Foundation's tables do the work (compared with Python's unicodedata over all scalars); text
// that cannot change, by far the most, is recognised first and left alone.

import Foundation

/// A Unicode normalisation form (UAX #15).
enum UnicodeForm: Sendable {
  case nfc, nfd, nfkc, nfkd

  /// Brings `text`, valid UTF-8, into this form.
  func apply(to text: inout [UInt8]) {
    guard !text.allSatisfy({ $0 < 0x80 }) else { return }
    if self == .nfc && isPlainlyComposed(text) { return }
    let string = String(decoding: text, as: UTF8.self)
    let normalized: String
    switch self {
    case .nfc: normalized = string.precomposedStringWithCanonicalMapping
    case .nfd: normalized = string.decomposedStringWithCanonicalMapping
    case .nfkc: normalized = string.precomposedStringWithCompatibilityMapping
    case .nfkd: normalized = string.decomposedStringWithCompatibilityMapping
    }
    text = Array(normalized.utf8)
  }

  /// Whether every scalar lies in a range whose members neither decompose nor combine with a neighbour: Latin, basic Cyrillic, kana,
  /// Han, Hangul syllables, common punctuation and emoji. No answer otherwise.
  private func isPlainlyComposed(_ text: [UInt8]) -> Bool {
    text.withUnsafeBufferPointer { text in
      var position = 0
      while position < text.count {
        let (scalar, length) = decodeScalar(text, at: position)
        switch scalar.value {
        case 0..<0x300, 0x400...0x482, 0x2010...0x2027, 0x2030...0x205E, 0x3001...0x3029, 0x3041...0x3096, 0x30A1...0x30FA,
          0x4E00...0x9FFF, 0xAC00...0xD7A3, 0xFF01...0xFF9D, 0x1F300...0x1FAFF:
          position += length
        default: return false
        }
      }
      return true
    }
  }
}
