// What does SentencePiece's precompiled charsmap do to a text? It replaces short sequences by others through a double-array trie that the
// model file carries. The reference looks a whole grapheme cluster up first, then its characters one by one, and takes the shortest
// key that matches; so here, oddities included.

import Formats

/// A precompiled charsmap: a Darts double array, then the replacements, each ended by a zero byte.
struct CharacterMap: Sendable {
  private let bytes: [UInt8]
  /// Words of the trie, which begins behind its length.
  private let unitCount: Int
  /// What each ASCII character becomes by itself.
  private var asciiReplacements: [[UInt8]] = []

  /// Reads the base64 of `precompiled_charsmap`.
  init(_ json: JSONValue) throws(FormatError) {
    guard let bytes = json.withUTF8(decodeBase64) else { throw json.unexpected("a string") }
    guard let bytes else { throw json.unexpected("base64") }
    do throws(Damage) { try self.init(bytes: bytes) } catch { throw json.unexpected(error.expected) }
  }

  /// What a charsmap should have been.
  struct Damage: Error {
    let expected: String
  }

  /// u32 little-endian byte count of the trie, the trie, the replacements.
  init(bytes: [UInt8]) throws(Damage) {
    guard bytes.count >= 4 else { throw Damage(expected: "a charsmap with a length") }
    let trieBytes = Int(Self.word(bytes, 0))
    guard trieBytes % 4 == 0, trieBytes > 0, trieBytes <= bytes.count - 4 else {
      throw Damage(expected: "a charsmap whose trie fits in its \(bytes.count) bytes")
    }
    (self.bytes, unitCount) = (bytes, trieBytes / 4)
    guard String(validating: bytes[(4 + trieBytes)...], as: UTF8.self) != nil else { throw Damage(expected: "a charsmap of UTF-8 text") }
    asciiReplacements = (0..<128).map { byte in Array(replacement(for: [byte]) ?? [byte]) }
  }

  private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32($1 * 8) }
  }

  private func unit(_ index: Int) -> UInt32 { Self.word(bytes, 4 + 4 * index) }

  private var replacements: ArraySlice<UInt8> { bytes[(4 + 4 * unitCount)...] }

  /// Applies the map to `text`, valid UTF-8.
  func apply(to text: inout [UInt8]) {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + 16)
    var position = 0
    while position < text.count {
      let end = clusterRunEnd(text, from: position)
      if end == position + 1 {
        result.append(contentsOf: asciiReplacements[Int(text[position])])
      } else {
        apply(to: text[position..<end], into: &result)
      }
      position = end
    }
    text = result
  }

  /// Where the next stretch ends that cluster boundaries surely enclose: one byte between ASCII neighbours, or up to the next two ASCII
  /// bytes in a row. Between these there is always a boundary, save within CR LF.
  @inline(__always)
  private func clusterRunEnd(_ text: [UInt8], from start: Int) -> Int {
    var end = start + 1
    while end < text.count, text[end - 1] >= 0x80 || text[end] >= 0x80 || (text[end - 1] == 0x0D && text[end] == 0x0A) { end += 1 }
    return end
  }

  private func apply(to text: ArraySlice<UInt8>, into result: inout [UInt8]) {
    for cluster in String(decoding: text, as: UTF8.self) {
      let bytes = Array(cluster.utf8)
      // The reference's "less than six bytes" for clusters that are looked up whole.
      if bytes.count < 6, let replacement = replacement(for: bytes[...]) {
        result.append(contentsOf: replacement)
        continue
      }
      for scalar in cluster.unicodeScalars {
        let part = Array(String(scalar).utf8)
        result.append(contentsOf: replacement(for: part[...]) ?? part[...])
      }
    }
  }

  /// The replacement of the shortest key that `text` begins with, or nil.
  private func replacement(for text: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    var node = Self.offset(unit(0))
    for byte in text {
      if byte == 0 { return nil }
      node ^= Int(byte)
      // A trie from a hostile file may point anywhere.
      guard node < unitCount, unit(node) & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
      let hasLeaf = unit(node) >> 8 & 1 == 1
      node ^= Self.offset(unit(node))
      if hasLeaf {
        guard node < unitCount else { return nil }
        let start = Int(unit(node) & (1 << 31 - 1))
        guard start <= replacements.count else { return nil }
        return replacements.dropFirst(start).prefix { $0 != 0 }
      }
    }
    return nil
  }

  private static func offset(_ unit: UInt32) -> Int {
    Int(unit >> 10) << Int((unit & (1 << 9)) >> 6)
  }
}

/// The bytes of a standard base64 text with padding, or nil.
func decodeBase64(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(text.count / 4 * 3)
  var buffer: UInt32 = 0
  var bits = 0
  var padding = 0
  for character in text {
    let value: UInt8
    switch character {
    case 0x41...0x5A: value = character - 0x41
    case 0x61...0x7A: value = character - 0x61 + 26
    case 0x30...0x39: value = character - 0x30 + 52
    case 0x2B: value = 62
    case 0x2F: value = 63
    case 0x3D:
      padding += 1
      continue
    default: return nil
    }
    guard padding == 0 else { return nil }
    buffer = buffer << 6 | UInt32(value)
    bits += 6
    if bits >= 8 {
      bits -= 8
      bytes.append(UInt8(truncatingIfNeeded: buffer >> UInt32(bits)))
    }
  }
  return text.count % 4 == 0 && padding <= 2 ? bytes : nil
}
