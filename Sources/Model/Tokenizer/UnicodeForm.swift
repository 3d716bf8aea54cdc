// How does text get a Unicode normal form? Foundation's tables do the work (compared with Python's unicodedata over all scalars); text
// that cannot change, by far the most, is recognised first and left alone.

import Foundation

/// A Unicode normalisation form (UAX #15).
enum UnicodeForm: Sendable {
  case nfc, nfd, nfkc, nfkd

  /// Brings `text`, valid UTF-8, into this form.
  func apply(to text: inout [UInt8]) {
    if text.allSatisfy({ $0 < 0x80 }) { return }
    if self == .nfc {
      composeWhereNeeded(&text)
    } else {
      text = normalized(text[...])
    }
  }

  private func normalized(_ text: ArraySlice<UInt8>) -> [UInt8] {
    let string = String(decoding: text, as: UTF8.self)
    switch self {
    case .nfc: return Array(string.precomposedStringWithCanonicalMapping.utf8)
    case .nfd: return Array(string.decomposedStringWithCanonicalMapping.utf8)
    case .nfkc: return Array(string.precomposedStringWithCompatibilityMapping.utf8)
    case .nfkd: return Array(string.decomposedStringWithCompatibilityMapping.utf8)
    }
  }

  /// NFC of the stretches around scalars that may change; everything else is copied.
  ///
  /// A stretch begins at the plain scalar before the first doubtful one (its base, should it combine) and ends before the next plain one,
  /// which never combines with what stands before it.
  private func composeWhereNeeded(_ text: inout [UInt8]) {
    var result: [UInt8] = []
    var copied = 0
    text.withUnsafeBufferPointer { bytes in
      var position = 0
      var lastPlain = 0
      while position < bytes.count {
        let (scalar, length) = decodeScalar(bytes, at: position)
        if Self.isPlainlyComposed(scalar) {
          lastPlain = position
          position += length
          continue
        }
        let start = max(lastPlain, copied)
        while position < bytes.count {
          let (scalar, length) = decodeScalar(bytes, at: position)
          if Self.isPlainlyComposed(scalar) { break }
          position += length
        }
        result.append(contentsOf: bytes[copied..<start])
        result.append(contentsOf: normalized(ArraySlice(bytes[start..<position])))
        copied = position
        lastPlain = position
      }
      if copied > 0 { result.append(contentsOf: bytes[copied...]) }
    }
    if copied > 0 { text = result }
  }

  /// Whether a scalar neither decomposes nor combines with one before it: Latin, basic Cyrillic, kana, Han, Hangul syllables, common
  /// punctuation, emoji. Others may or may not.
  @inline(__always)
  private static func isPlainlyComposed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x300, 0x400...0x482, 0x2010...0x2027, 0x2030...0x205E, 0x3001...0x3029, 0x3041...0x3096, 0x30A1...0x30FA,
      0x4E00...0x9FFF, 0xAC00...0xD7A3, 0xFF01...0xFF9D, 0x1F300...0x1FAFF:
      return true
    default: return false
    }
  }
}
