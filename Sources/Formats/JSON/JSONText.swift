// Where does a value of a JSON text end? Steps over spaces, strings and whole values. The text has been checked before, but nothing here
// depends on that: a byte beyond the end reads as zero, and a file that changes while it is mapped gives wrong values, never a wild read.

/// The bytes of a text.
struct JSONText {
  let bytes: UnsafePointer<UInt8>
  let count: Int

  /// The byte at `position`, zero beyond the end.
  @inline(__always)
  subscript(position: Int) -> UInt8 { position < count ? bytes[position] : 0 }

  /// The bytes of `range`, as far as there are any.
  func buffer(_ range: Range<Int>) -> UnsafeBufferPointer<UInt8> {
    let range = range.clamped(to: 0..<count)
    return UnsafeBufferPointer(start: bytes + range.lowerBound, count: range.count)
  }

  @inline(__always)
  func afterSpace(_ start: Int) -> Int {
    var position = start
    while true {
      switch self[position] {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return position
      }
    }
  }

  /// The first byte from `start` on that is a quote, a backslash, a control character, outside ASCII or beyond the end.
  @inline(__always)
  func afterPlain(_ start: Int) -> Int {
    var position = start
    while position + 8 <= count {
      let stops = special(UInt64(littleEndian: UnsafeRawPointer(bytes + position).loadUnaligned(as: UInt64.self)))
      if stops != 0 { return position + stops.trailingZeroBitCount / 8 }
      position += 8
    }
    while position < count, case let byte = bytes[position], byte >= 0x20, byte < 0x80, byte != ascii("\""), byte != ascii("\\") {
      position += 1
    }
    return position
  }

  /// The bytes between the quotes of the string whose opening quote is at `quote`, and whether escapes are among them.
  func string(at quote: Int) -> (content: Range<Int>, isEscaped: Bool) {
    var position = quote + 1
    var isEscaped = false
    while true {
      position = afterPlain(position)
      guard position < count else { return (min(quote + 1, count)..<count, isEscaped) }
      switch bytes[position] {
      case ascii("\""): return (quote + 1..<position, isEscaped)
      case ascii("\\"):
        isEscaped = true
        position += 2
      default: position += 1
      }
    }
  }

  /// The byte after the value that begins at `start`.
  func afterValue(at start: Int) -> Int {
    var position = start
    switch self[start] {
    case ascii("\""): return min(string(at: start).content.upperBound + 1, count)
    case ascii("["), ascii("{"):
      var depth = 0
      while position < count {
        switch bytes[position] {
        case ascii("["), ascii("{"): depth += 1
        case ascii("]"), ascii("}"): depth -= 1
        case ascii("\""): position = string(at: position).content.upperBound
        default: break
        }
        position += 1
        if depth == 0 { break }
      }
      return min(position, count)
    default:
      while true {
        switch self[position] {
        case 0, 0x20, 0x0A, 0x0D, 0x09, ascii(","), ascii("]"), ascii("}"): return position
        default: position += 1
        }
      }
    }
  }

  /// The content of the string at `quote` with its escapes resolved.
  func unescaped(_ content: Range<Int>) -> [UInt8] {
    var result = [UInt8]()
    result.reserveCapacity(content.count)
    var position = content.lowerBound
    while position < content.upperBound {
      let byte = self[position]
      position += 1
      guard byte == ascii("\\") else {
        result.append(byte)
        continue
      }
      let letter = self[position]
      position += 1
      switch letter {
      case ascii("b"): result.append(0x08)
      case ascii("f"): result.append(0x0C)
      case ascii("n"): result.append(0x0A)
      case ascii("r"): result.append(0x0D)
      case ascii("t"): result.append(0x09)
      case ascii("u"):
        var value = hexUnit(position) ?? 0xFFFD
        position += 4
        if value & 0xFC00 == 0xD800, let low = hexUnit(position + 2) {
          position += 6
          value = 0x10000 + (value & 0x3FF) << 10 + low & 0x3FF
        }
        result.append(contentsOf: UnicodeScalar(value).flatMap { UTF8.encode($0) } ?? UTF8.encodedReplacementCharacter)
      default: result.append(letter)
      }
    }
    return result
  }

  /// The value of the four hexadecimal digits at `position`, or nil.
  func hexUnit(_ position: Int) -> UInt32? {
    var value: UInt32 = 0
    for index in position..<position + 4 {
      switch self[index] {
      case let byte where byte &- 0x30 < 10: value = value << 4 | UInt32(byte - 0x30)
      case let byte where (byte | 0x20) &- 0x61 < 6: value = value << 4 | UInt32((byte | 0x20) - 0x57)
      default: return nil
      }
    }
    return value
  }

  /// Bytes of the well-formed UTF-8 sequence (Unicode table 3-7) at `position`, or 0.
  @inline(__always)
  func wellFormedLength(at position: Int) -> Int {
    func continues(_ index: Int) -> Bool { self[position + index] & 0xC0 == 0x80 }
    let second = self[position + 1]
    switch self[position] {
    case 0..<0x80: return 1
    case 0xC2...0xDF: return continues(1) ? 2 : 0
    case 0xE0: return second >= 0xA0 && continues(1) && continues(2) ? 3 : 0
    case 0xED: return second < 0xA0 && continues(1) && continues(2) ? 3 : 0
    case 0xE1...0xEF: return continues(1) && continues(2) ? 3 : 0
    case 0xF0: return second >= 0x90 && continues(1) && continues(2) && continues(3) ? 4 : 0
    case 0xF1...0xF3: return continues(1) && continues(2) && continues(3) ? 4 : 0
    case 0xF4: return second < 0x90 && continues(1) && continues(2) && continues(3) ? 4 : 0
    default: return 0
    }
  }
}

/// The high bits of bytes of `word` that end a run of plain string bytes; exact up to the first such byte.
@inline(__always)
private func special(_ word: UInt64) -> UInt64 {
  let ones: UInt64 = 0x0101_0101_0101_0101
  let high: UInt64 = 0x8080_8080_8080_8080
  let quote = word ^ (ones &* 0x22)
  let backslash = word ^ (ones &* 0x5C)
  return (((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | (word &- ones &* 0x20) | word) & high
}

@inline(__always)
func ascii(_ scalar: UnicodeScalar) -> UInt8 { UInt8(truncatingIfNeeded: scalar.value) }
