// The text of a filter or of a rule, character by character: words that spaces end, JSON strings that spaces do not.

/// A place in a text that is read from left to right.
struct FilterScanner {
  let text: String
  private let scalars: [Unicode.Scalar]
  /// In characters (Unicode scalars) from 0.
  private(set) var place = 0

  init(_ text: String) {
    self.text = text
    scalars = Array(text.unicodeScalars)
  }

  var next: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }
  /// Whether a word ends here.
  var isAtSpace: Bool { next?.properties.isWhitespace ?? true }

  mutating func skipSpaces() { while let scalar = next, scalar.properties.isWhitespace { place += 1 } }

  /// Takes one character when it is the next.
  mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    place += 1
    return true
  }

  /// The characters up to a space or one of `stops`.
  mutating func word(until stops: Set<Unicode.Scalar> = []) -> String {
    let start = place
    while !isAtSpace, let scalar = next, !stops.contains(scalar) { place += 1 }
    return text(from: start)
  }

  func text(from start: Int) -> String { String(String.UnicodeScalarView(scalars[start..<place])) }

  /// The characters from here to the next space, for messages; what ends the text is nothing.
  var ahead: String {
    var copy = self
    let word = copy.word()
    return word.isEmpty ? next == nil ? "nothing" : "a space" : "'\(word)'"
  }

  func failure(_ expected: String, found: String? = nil, at place: Int? = nil) -> FilterError {
    .syntax(filter: text, place: place ?? self.place, expected: expected, found: found ?? ahead)
  }

  /// A JSON string with its quotes.
  /// - Source: RFC 8259, section 7.
  mutating func quoted() throws(FilterError) -> String {
    let start = place
    guard take("\"") else { throw failure("a JSON string in quotes") }
    var result = String.UnicodeScalarView()
    while let scalar = next {
      place += 1
      switch scalar {
      case "\"": return String(result)
      case "\\": result.append(try escaped())
      case "\0"..."\u{1f}": throw failure("\\n, \\t or \\u00XX in place of a control character", found: "one", at: place - 1)
      default: result.append(scalar)
      }
    }
    throw failure("a quote that ends the string of character \(start + 1)")
  }

  private mutating func escaped() throws(FilterError) -> Unicode.Scalar {
    guard let scalar = next else { throw failure("a character behind the backslash") }
    place += 1
    switch scalar {
    case "\"", "\\", "/": return scalar
    case "b": return "\u{8}"
    case "f": return "\u{c}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u":
      let start = place - 2
      let high = try hexadecimal()
      if let scalar = Unicode.Scalar(high) { return scalar }
      // Half of a character beyond U+FFFF: the other half must follow.
      guard (0xd800..<0xdc00).contains(high), take("\\"), take("u") else {
        throw failure("a character or a pair of surrogates", found: "half of one", at: start)
      }
      let low = try hexadecimal()
      guard (0xdc00..<0xe000).contains(low), let scalar = Unicode.Scalar(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00)) else {
        throw failure("a character or a pair of surrogates", found: "half of one", at: start)
      }
      return scalar
    default: throw failure("one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX", found: "'\\\(scalar)'", at: place - 2)
    }
  }

  private mutating func hexadecimal() throws(FilterError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = next, digit.isASCII, let number = Character(digit).hexDigitValue else { throw failure("four hexadecimal digits") }
      value = value << 4 + UInt32(number)
      place += 1
    }
    return value
  }
}

extension Filter {
  /// The parts of a text that `separator` divides, wherever it does not stand inside a JSON string: rules may hold filters with quotes.
  ///
  /// - Returns: each part with its place in the text, in characters (Unicode scalars) from 0.
  public static func parts(of text: String, separatedBy separator: Unicode.Scalar) -> [(place: Int, text: String)] {
    var parts: [(place: Int, text: String)] = []
    var part = String.UnicodeScalarView()
    var start = 0
    var isQuoted = false
    var isEscaped = false
    for (place, scalar) in text.unicodeScalars.enumerated() {
      if scalar == separator && !isQuoted {
        parts.append((start, String(part)))
        part = String.UnicodeScalarView()
        start = place + 1
        continue
      }
      if isEscaped {
        isEscaped = false
      } else if scalar == "\"" {
        isQuoted.toggle()
      } else {
        isEscaped = isQuoted && scalar == "\\"
      }
      part.append(scalar)
    }
    return parts + [(start, String(part))]
  }
}
