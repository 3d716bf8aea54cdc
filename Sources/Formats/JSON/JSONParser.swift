// Is this text JSON, and where do its values lie? One pass over the bytes with an explicit stack, so that nesting cannot exhaust the
// thread's. Strings are checked (UTF-8, escapes, surrogate pairs) but not decoded; numbers are checked but not converted.

struct JSONParser {
  let text: UnsafePointer<UInt8>
  let count: Int
  let name: String
  let offset: Int
  let options: JSON.Options

  private var position = 0
  private var entries = ContiguousArray<JSONDocument.Entry>()
  /// Open containers, outermost first: their entry.
  private var open = ContiguousArray<Int>()

  init(text: UnsafePointer<UInt8>, count: Int, name: String, offset: Int, options: JSON.Options) {
    self.text = text
    self.count = count
    self.name = name
    self.offset = offset
    self.options = options
    // Every value but the root comes after one of these bytes: room for all of them, so that the table need not grow; not for a text
    // that only pretends to hold so many.
    let places = UnsafeBufferPointer(start: text, count: count).reduce(1) { places, byte in
      places + (byte == ascii(",") || byte == ascii(":") || byte == ascii("[") || byte == ascii("{") ? 1 : 0)
    }
    entries.reserveCapacity(min(places, count / 4 + 16))
  }

  mutating func parse() throws(FormatError) -> ContiguousArray<JSONDocument.Entry> {
    skipSpace()
    try beginValue()
    while let container = open.last {
      skipSpace()
      let isObject = entries[container].kind == .object
      let closing: UInt8 = isObject ? ascii("}") : ascii("]")
      let byte = text[position]
      if byte == closing {
        position += 1
        try close(container)
        continue
      }
      if entries[container].count > 0 {
        guard byte == ascii(",") else { throw unexpected(isObject ? "\",\" or \"}\"" : "\",\" or \"]\"") }
        position += 1
        skipSpace()
      }
      if isObject {
        guard text[position] == ascii("\"") else { throw unexpected("a member name in quotes") }
        try string()
        skipSpace()
        guard text[position] == ascii(":") else { throw unexpected("\":\"") }
        position += 1
        skipSpace()
      }
      entries[container].count += 1
      try beginValue()
    }
    skipSpace()
    guard position == count else { throw unexpected("the end of the text") }
    return entries
  }

  /// Reads a scalar whole, or opens a container.
  private mutating func beginValue() throws(FormatError) {
    switch text[position] {
    case ascii("\""): try string()
    case ascii("{"): try begin(.object)
    case ascii("["): try begin(.array)
    case ascii("t"): try word("true", .yes)
    case ascii("f"): try word("false", .no)
    case ascii("n"): try word("null", .null)
    case ascii("N") where options.allowsNonFinite: try word("NaN", .nonFinite)
    case ascii("I") where options.allowsNonFinite: try word("Infinity", .nonFinite)
    case ascii("-") where options.allowsNonFinite && text[position + 1] == ascii("I"): try word("-Infinity", .nonFinite)
    case ascii("-"), ascii("0")...ascii("9"): try number()
    default: throw unexpected("a value")
    }
  }

  private mutating func begin(_ kind: JSONDocument.Kind) throws(FormatError) {
    guard open.count < options.depthLimit else {
      throw .syntax(
        file: name, offset: offset + position, expected: "at most \(options.depthLimit) levels of nesting", found: "more")
    }
    open.append(entries.count)
    append(kind, from: position, to: position)
    position += 1
  }

  private mutating func close(_ container: Int) throws(FormatError) {
    open.removeLast()
    entries[container].end = UInt32(truncatingIfNeeded: position)
    entries[container].next = UInt32(truncatingIfNeeded: entries.count)
    if entries[container].kind == .object && !options.allowsDuplicateKeys && entries[container].count > 1 {
      let repeated = entries.withUnsafeBufferPointer { firstRepeatedKey(of: container, in: $0, text: text) }
      if let key = repeated {
        let place = Int(entries[key].start)
        let found = String(decoding: UnsafeBufferPointer(start: text + place, count: Int(entries[key].end) - place), as: UTF8.self)
        throw .syntax(file: name, offset: offset + place, expected: "different member names", found: "\(quoted(found)) twice")
      }
    }
  }

  @inline(__always)
  private mutating func append(_ kind: JSONDocument.Kind, from start: Int, to end: Int) {
    // Offsets fit: the document refused texts of 4 GiB, and a text has fewer values than bytes.
    entries.append(
      JSONDocument.Entry(
        start: UInt32(truncatingIfNeeded: start), end: UInt32(truncatingIfNeeded: end),
        next: UInt32(truncatingIfNeeded: entries.count + 1), count: 0, kind: kind))
  }

  @inline(__always)
  private mutating func skipSpace() {
    while true {
      switch text[position] {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return
      }
    }
  }

  private mutating func word(_ word: StaticString, _ kind: JSONDocument.Kind) throws(FormatError) {
    for index in 0..<word.utf8CodeUnitCount where text[position + index] != word.utf8Start[index] {
      throw unexpected("a value")
    }
    append(kind, from: position, to: position + word.utf8CodeUnitCount)
    position += word.utf8CodeUnitCount
  }

  private mutating func number() throws(FormatError) {
    let start = position
    if text[position] == ascii("-") { position += 1 }
    if text[position] == ascii("0") {
      position += 1
    } else {
      try digits()
    }
    if text[position] == ascii(".") {
      position += 1
      try digits()
    }
    if text[position] | 0x20 == ascii("e") {
      position += 1
      if text[position] == ascii("+") || text[position] == ascii("-") { position += 1 }
      try digits()
    }
    append(.number, from: start, to: position)
  }

  private mutating func digits() throws(FormatError) {
    let start = position
    while text[position] &- ascii("0") < 10 { position += 1 }
    guard position > start else { throw unexpected("a digit") }
  }

  private mutating func string() throws(FormatError) {
    position += 1
    let start = position
    var kind = JSONDocument.Kind.string
    while true {
      // Eight bytes at a time while none is a quote, a backslash, a control character or outside ASCII.
      while true {
        let stops = special(UInt64(littleEndian: UnsafeRawPointer(text + position).loadUnaligned(as: UInt64.self)))
        if stops != 0 {
          position += stops.trailingZeroBitCount / 8
          break
        }
        position += 8
      }
      let byte = text[position]
      switch byte {
      case ascii("\""):
        append(kind, from: start, to: position)
        position += 1
        return
      case ascii("\\"):
        kind = .escapedString
        try escape()
      case 0..<0x20:
        throw unexpected(position == count ? "the closing quote" : "control characters to be escaped")
      case 0..<0x80:
        position += 1
      default:
        let length = wellFormedLength(text + position)
        guard length > 0 else { throw unexpected("valid UTF-8") }
        position += length
      }
    }
  }

  private mutating func escape() throws(FormatError) {
    switch text[position + 1] {
    case ascii("\""), ascii("\\"), ascii("/"), ascii("b"), ascii("f"), ascii("n"), ascii("r"), ascii("t"):
      position += 2
    case ascii("u"):
      let first = hexUnit(text + position + 2)
      guard first >= 0 else { throw unexpected("four hexadecimal digits after \\u") }
      if first & 0xF800 == 0xD800 {
        let second = text[position + 6] == ascii("\\") && text[position + 7] == ascii("u") ? hexUnit(text + position + 8) : -1
        guard first < 0xDC00, second & ~0x3FF == 0xDC00 else { throw unexpected("a surrogate pair") }
        position += 6
      }
      position += 6
    default:
      throw unexpected("an escape (one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u)")
    }
  }

  private func unexpected(_ expected: String) -> FormatError {
    let found: String
    switch text[position] {
    case _ where position >= count: found = "the end of the text"
    case 0x21...0x7E: found = quoted(String(UnicodeScalar(text[position])))
    case let byte: found = "byte 0x" + String(byte, radix: 16)
    }
    return .syntax(file: name, offset: offset + position, expected: expected, found: found)
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

/// The value of four hexadecimal digits, or -1.
func hexUnit(_ digits: UnsafePointer<UInt8>) -> Int32 {
  var value: Int32 = 0
  for index in 0..<4 {
    let byte = digits[index]
    switch byte {
    case 0x30...0x39: value = value << 4 | Int32(byte - 0x30)
    case 0x41...0x46: value = value << 4 | Int32(byte - 0x37)
    case 0x61...0x66: value = value << 4 | Int32(byte - 0x57)
    default: return -1
    }
  }
  return value
}

/// Bytes of the well-formed UTF-8 sequence (Unicode table 3-7) at `bytes`, or 0. Stops at the first byte that does not fit.
@inline(__always)
func wellFormedLength(_ bytes: UnsafePointer<UInt8>) -> Int {
  func continues(_ index: Int) -> Bool { bytes[index] & 0xC0 == 0x80 }
  switch bytes[0] {
  case 0..<0x80: return 1
  case 0xC2...0xDF: return continues(1) ? 2 : 0
  case 0xE0: return bytes[1] >= 0xA0 && continues(1) && continues(2) ? 3 : 0
  case 0xED: return bytes[1] < 0xA0 && continues(1) && continues(2) ? 3 : 0
  case 0xE1...0xEF: return continues(1) && continues(2) ? 3 : 0
  case 0xF0: return bytes[1] >= 0x90 && continues(1) && continues(2) && continues(3) ? 4 : 0
  case 0xF1...0xF3: return continues(1) && continues(2) && continues(3) ? 4 : 0
  case 0xF4: return bytes[1] < 0x90 && continues(1) && continues(2) && continues(3) ? 4 : 0
  default: return 0
  }
}

@inline(__always)
func ascii(_ scalar: UnicodeScalar) -> UInt8 { UInt8(truncatingIfNeeded: scalar.value) }
