// How does text get a Unicode normal form? Foundation's tables do the work, on the stretches that can change at all; the rest, by far the
// most, is copied. The reference's tables are of Unicode 9: what came later, it takes for characters that never change or combine,
// and so do we (compared with it over all scalars, alone and between combining marks).

import Foundation

/// A Unicode normalisation form (UAX #15).
enum UnicodeForm: Sendable {
  case nfc, nfd, nfkc, nfkd

  /// Brings `text`, valid UTF-8, into this form.
  func apply(to text: inout [UInt8]) {
    if text.allSatisfy({ $0 < 0x80 }) { return }
    var result: [UInt8] = []
    var copied = 0
    text.withUnsafeBufferPointer { bytes in
      var position = 0
      var base = 0
      while position < bytes.count {
        let (scalar, length) = decodeScalar(bytes, at: position)
        switch role(of: scalar) {
        case .fixed:
          position += length
          base = position
        case .base:
          base = position
          position += length
        case .open:
          // A stretch begins at the base before it, should it combine, and ends before the next scalar that never combines backwards.
          while position < bytes.count {
            let (scalar, length) = decodeScalar(bytes, at: position)
            guard role(of: scalar) == .open else { break }
            position += length
          }
          result.append(contentsOf: bytes[copied..<base])
          result.append(contentsOf: normalized(ArraySlice(bytes[base..<position])))
          copied = position
          base = position
        }
      }
      if copied > 0 { result.append(contentsOf: bytes[copied...]) }
    }
    if copied > 0 { text = result }
  }

  private func normalized(_ text: ArraySlice<UInt8>) -> [UInt8] {
    let string = String(decoding: text, as: UTF8.self)
    switch self {
    case .nfc: return Array(string.precomposedStringWithCanonicalMapping.utf8)
    case .nfd: return Array(string.decomposedStringWithCanonicalMapping.utf8)
    case .nfkc:
      // In two steps: Foundation's own NFKC leaves halfwidth Hangul letters uncomposed.
      return Array(string.decomposedStringWithCompatibilityMapping.precomposedStringWithCanonicalMapping.utf8)
    case .nfkd: return Array(string.decomposedStringWithCompatibilityMapping.utf8)
    }
  }

  /// What a scalar may do under normalisation.
  private enum Role {
    /// Nothing: it is unknown to the reference.
    case fixed
    /// Stay as it is, but be combined with by what follows.
    case base
    /// Anything.
    case open
  }

  @inline(__always)
  private func role(of scalar: Unicode.Scalar) -> Role {
    if scalar.value < 0x80 { return .base }
    if self == .nfc {
      // Neither decompose nor combine backwards: Latin, basic Cyrillic, kana, Han, Hangul syllables, common punctuation.
      switch scalar.value {
      case 0x80..<0x300, 0x400...0x482, 0x2010...0x2027, 0x2030...0x205E, 0x3001...0x3029, 0x3041...0x3096, 0x30A1...0x30FA,
        0x4E00...0x9FEF, 0xAC00...0xD7A3, 0xFF01...0xFF9D, 0x1F300...0x1F64F:
        return .base
      default: break
      }
    }
    guard let age = scalar.properties.age, age.major <= 9 else { return .fixed }
    return .open
  }
}
