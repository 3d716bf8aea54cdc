// Is this text JSON? One pass over the bytes with an explicit stack, so that nesting cannot exhaust the thread's. Strings are checked (UTF-8,
// escapes, surrogate pairs) but not decoded; numbers are checked but not converted. What is kept is where the long containers end.

struct JSONParser {
  let text: JSONText
  let name: String
  let offset: Int
  let options: JSON.Options

  private var position = 0
  /// The long containers that have ended and, among them, every one that is open.
  private var spans = JSONSpans()
  /// Open containers, outermost first: their place in `spans`, and how many of `keys` are of those outside them.
  private var open: [(span: Int, keysBefore: Int)] = []
  /// Where the keys of the open objects begin, each object's behind those outside it; none where names may repeat.
  private var keys: [UInt32] = []

  init(text: JSONText, name: String, offset: Int, options: JSON.Options) {
    self.text = text
    self.name = name
    self.offset = offset
    self.options = options
  }

  mutating func parse() throws(FormatError) -> JSONSpans {
    position = text.afterSpace(position)
    try beginValue()
    while let container = open.last?.span {
      position = text.afterSpace(position)
      let isObject = text[spans[container].start] == ascii("{")
      let closing: UInt8 = isObject ? ascii("}") : ascii("]")
      let byte = text[position]
      if byte == closing {
        position += 1
        try close(container)
        continue
      }
      if spans[container].count > 0 {
        guard byte == ascii(",") else { throw unexpected(isObject ? "\",\" or \"}\"" : "\",\" or \"]\"") }
        position = text.afterSpace(position + 1)
      }
      if isObject {
        guard text[position] == ascii("\"") else { throw unexpected("a member name in quotes") }
        // Offsets fit: texts of 4 GiB are refused.
        if !options.allowsDuplicateKeys { keys.append(UInt32(truncatingIfNeeded: position)) }
        try string()
        position = text.afterSpace(position)
        guard text[position] == ascii(":") else { throw unexpected("\":\"") }
        position = text.afterSpace(position + 1)
      }
      spans.countChild(of: container)
      try beginValue()
    }
    position = text.afterSpace(position)
    guard position == text.count else { throw unexpected("the end of the text") }
    return spans
  }

  /// Reads a scalar whole, or opens a container.
  private mutating func beginValue() throws(FormatError) {
    switch text[position] {
    case ascii("\""): try string()
    case ascii("{"), ascii("["): try begin()
    case ascii("t"): try word("true")
    case ascii("f"): try word("false")
    case ascii("n"): try word("null")
    case ascii("N") where options.allowsNonFinite: try word("NaN")
    case ascii("I") where options.allowsNonFinite: try word("Infinity")
    case ascii("-") where options.allowsNonFinite && text[position + 1] == ascii("I"): try word("-Infinity")
    case ascii("-"), ascii("0")...ascii("9"): try number()
    default: throw unexpected("a value")
    }
  }

  private mutating func begin() throws(FormatError) {
    guard open.count < options.depthLimit else {
      throw .syntax(
        file: name, offset: offset + position, expected: "at most \(options.depthLimit) levels of nesting", found: "more")
    }
    open.append((spans.open(at: position), keys.count))
    position += 1
  }

  private mutating func close(_ container: Int) throws(FormatError) {
    let first = open.removeLast().keysBefore
    spans.close(container, end: position)
    defer { keys.removeLast(keys.count - first) }
    if let key = firstRepeatedKey(keys[first...], in: text) {
      let found = String(decoding: text.buffer(text.string(at: key).content), as: UTF8.self)
      throw .syntax(file: name, offset: offset + key + 1, expected: "different member names", found: "\(quoted(found)) twice")
    }
  }

  private mutating func word(_ word: StaticString) throws(FormatError) {
    for index in 0..<word.utf8CodeUnitCount where text[position + index] != word.utf8Start[index] {
      throw unexpected("a value")
    }
    position += word.utf8CodeUnitCount
  }

  private mutating func number() throws(FormatError) {
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
  }

  private mutating func digits() throws(FormatError) {
    let start = position
    while text[position] &- ascii("0") < 10 { position += 1 }
    guard position > start else { throw unexpected("a digit") }
  }

  private mutating func string() throws(FormatError) {
    position += 1
    while true {
      position = text.afterPlain(position)
      switch text[position] {
      case ascii("\""):
        position += 1
        return
      case ascii("\\"):
        try escape()
      case 0..<0x20:
        throw unexpected(position == text.count ? "the closing quote" : "control characters to be escaped")
      default:
        let length = text.wellFormedLength(at: position)
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
      guard let first = text.hexUnit(position + 2) else { throw unexpected("four hexadecimal digits after \\u") }
      if first & 0xF800 == 0xD800 {
        let second = text[position + 6] == ascii("\\") && text[position + 7] == ascii("u") ? text.hexUnit(position + 8) : nil
        guard first < 0xDC00, let second, second & ~0x3FF == 0xDC00 else { throw unexpected("a surrogate pair") }
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
    case _ where position >= text.count: found = "the end of the text"
    case 0x21...0x7E: found = quoted(String(UnicodeScalar(text[position])))
    case let byte: found = "byte 0x" + String(byte, radix: 16)
    }
    return .syntax(file: name, offset: offset + position, expected: expected, found: found)
  }
}
