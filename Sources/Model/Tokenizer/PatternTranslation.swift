// How does an Oniguruma pattern read in PCRE2? The reference runs tokenizer patterns through Oniguruma in Ruby syntax. Most constructs mean
// the same in PCRE2; those that differ are respelt here (\s, \w, \h, \v, \uHHHH, class intersections, {,n}), and those that cannot be,
// or that nobody has checked, are refused: a silently different split would be a wrong tokenizer.

enum PatternTranslation {
  /// A construct this translation does not know.
  struct Refusal: Error {
    let construct: String
  }

  static func translate(_ pattern: String) throws(Refusal) -> String {
    var translator = PatternTranslator(pattern)
    return try translator.run()
  }

  /// White_Space; PCRE2's own \s has U+180E besides.
  static let spaces = #"\t-\r\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"#
  private static let alphanumeric = #"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"#
  /// Oniguruma's \w: Alphabetic, Mark, Nd, Pc, and below U+0100 any digit or fraction; PCRE2's own has less or more, by version.
  static let word = alphanumeric + #"\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}"#
  /// \w of Rust's regex crate, which the Whitespace pre-tokenizer uses.
  static let rustWord = alphanumeric + #"\x{200C}\x{200D}"#
}

private struct PatternTranslator {
  typealias Refusal = PatternTranslation.Refusal

  private let input: [Unicode.Scalar]
  private var position = 0
  private var output = ""

  init(_ pattern: String) {
    input = Array(pattern.unicodeScalars)
  }

  mutating func run() throws(Refusal) -> String {
    while let scalar = peek() {
      switch scalar {
      case "\\": output += try escape()
      case "[": output += try characterClass()
      case "(": try group()
      case "{": try interval()
      default:
        output.unicodeScalars.append(scalar)
        position += 1
      }
    }
    return output
  }

  private func peek(_ ahead: Int = 0) -> Unicode.Scalar? {
    position + ahead < input.count ? input[position + ahead] : nil
  }

  private func starts(with text: String) -> Bool {
    input[position...].starts(with: text.unicodeScalars)
  }

  /// An escape outside a class.
  private mutating func escape() throws(Refusal) -> String {
    let word = PatternTranslation.word
    switch peek(1) {
    case "s": return take("[\(PatternTranslation.spaces)]")
    case "S": return take("[^\(PatternTranslation.spaces)]")
    case "w": return take("[\(word)]")
    case "W": return take("[^\(word)]")
    case "b": return take("(?:(?<=[\(word)])(?![\(word)])|(?<![\(word)])(?=[\(word)]))")
    case "B": return take("(?:(?<=[\(word)])(?=[\(word)])|(?<![\(word)])(?![\(word)]))")
    case "h": return take("[0-9A-Fa-f]")
    case "H": return take("[^0-9A-Fa-f]")
    case "A", "z", "Z": return take(verbatim: 2)
    default: return try commonEscape()
    }
  }

  /// An escape that means the same inside and outside a class.
  private mutating func commonEscape() throws(Refusal) -> String {
    guard let letter = peek(1) else { throw Refusal(construct: "a lone \\") }
    switch letter {
    case "d", "D", "n", "r", "t", "f", "a", "e": return take(verbatim: 2)
    case "v": return take(#"\x0B"#)
    case "x":
      if peek(2) == "{" { return take(verbatim: try length(through: "}")) }
      return take(verbatim: 2)
    case "u":
      let digits = input.dropFirst(position + 2).prefix(4)
      guard digits.count == 4, digits.allSatisfy({ $0.properties.isASCIIHexDigit }) else { throw Refusal(construct: "\\u") }
      let text = "\\x{" + String(String.UnicodeScalarView(digits)) + "}"
      position += 6
      return text
    case "p", "P":
      guard peek(2) == "{" else { throw Refusal(construct: "\\p without braces") }
      return take(verbatim: try length(through: "}"))
    case _ where letter.isASCII && (letter.properties.isAlphabetic || letter.properties.numericType != nil):
      throw Refusal(construct: "\\\(letter)")
    default: return take(verbatim: 2)
    }
  }

  /// Steps over an escape of two characters that reads `text` in PCRE2.
  private mutating func take(_ text: String) -> String {
    position += 2
    return text
  }

  private mutating func take(verbatim count: Int) -> String {
    defer { position += count }
    return String(String.UnicodeScalarView(input[position..<min(position + count, input.count)]))
  }

  private func length(through closing: Unicode.Scalar) throws(Refusal) -> Int {
    guard let end = input[position...].firstIndex(of: closing) else { throw Refusal(construct: "an unclosed brace") }
    return end - position + 1
  }

  private mutating func group() throws(Refusal) {
    guard peek(1) == "?" else {
      output += take(verbatim: 1)
      return
    }
    for opening in ["(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"] where starts(with: opening) {
      output += take(verbatim: opening.count)
      return
    }
    let flags = input[(position + 2)...].prefix { "imx-".unicodeScalars.contains($0) }
    let end = peek(2 + flags.count)
    // Ruby lets a bare (?i) swallow the alternatives after it, PCRE2 does not; at the very beginning they agree.
    guard !flags.isEmpty, end == ":" || (end == ")" && position == 0) else {
      throw Refusal(construct: "the group \(String(String.UnicodeScalarView(input[position...].prefix(5))))")
    }
    output += "(?"
    for flag in flags { output.unicodeScalars.append(flag == "m" ? "s" : flag) }  // Ruby's m is dot-matches-newline
    position += 2 + flags.count
  }

  /// `{n}`, `{n,}`, `{,m}`, `{n,m}`, or a plain brace.
  private mutating func interval() throws(Refusal) {
    let body = input[(position + 1)...].prefix { $0 != "}" }
    let isClosed = position + 1 + body.count < input.count
    let parts = body.split(separator: ",", omittingEmptySubsequences: false)
    let isInterval =
      isClosed && (1...2).contains(parts.count) && body.contains { $0 != "," }
      && parts.allSatisfy { $0.allSatisfy { ("0"..."9").contains($0) } }
    guard isInterval else {
      output += take(verbatim: 1)
      return
    }
    let after = peek(body.count + 2)
    if after == "+" || (after == "?" && parts.count == 1) {
      throw Refusal(construct: "an interval followed by \(after == "+" ? "+" : "?")")
    }
    let text = String(String.UnicodeScalarView(body))
    output += parts[0].isEmpty ? "{0\(text)}" : "{\(text)}"
    position += body.count + 2
  }

  // MARK: Classes

  /// The members of a class without its brackets.
  private struct Members {
    var isNegated = false
    var text = ""

    var spelled: String { "[" + (isNegated ? "^" : "") + text + "]" }
  }

  private mutating func characterClass() throws(Refusal) -> String {
    let (isNegated, operands) = try classOperands()
    guard operands.count > 1 else {
      var members = operands[0]
      members.isNegated = members.isNegated != isNegated
      return members.spelled
    }
    let intersection = operands.dropFirst().map { "(?=\($0.spelled))" }.joined() + operands[0].spelled
    return isNegated ? "(?:(?!\(intersection))[\\x{0}-\\x{10FFFF}])" : "(?:\(intersection))"
  }

  /// Reads a class: whether it is negated, and what `&&` joins.
  private mutating func classOperands() throws(Refusal) -> (isNegated: Bool, operands: [Members]) {
    position += 1
    let isNegated = peek() == "^"
    if isNegated { position += 1 }
    var operands: [Members] = []
    var current = Members()
    var isWholeOperand = false  // the operand so far is one nested class
    if peek() == "]" {
      current.text = "\\]"
      position += 1
    }
    while let scalar = peek() {
      switch scalar {
      case "]":
        position += 1
        return (isNegated, operands + [current])
      case "&" where peek(1) == "&":
        position += 2
        operands.append(current)
        current = Members()
        isWholeOperand = false
      case "[":
        guard peek(1) != ":" else { throw Refusal(construct: "a POSIX bracket") }
        let nested = try classOperands()
        guard nested.operands.count == 1, !isWholeOperand || (!nested.isNegated && !current.isNegated),
          !nested.isNegated || current.text.isEmpty
        else { throw Refusal(construct: "a class inside a class") }
        isWholeOperand = true
        if nested.isNegated != nested.operands[0].isNegated { current.isNegated = true }
        current.text += nested.operands[0].text
      case "\\":
        guard !current.isNegated else { throw Refusal(construct: "a class inside a class") }
        current.text += try classEscape()
      default:
        guard !current.isNegated else { throw Refusal(construct: "a class inside a class") }
        current.text.unicodeScalars.append(scalar)
        position += 1
      }
    }
    throw Refusal(construct: "an unclosed class")
  }

  private mutating func classEscape() throws(Refusal) -> String {
    switch peek(1) {
    case "s": return take(PatternTranslation.spaces)
    case "S": return take(#"\S\x{180E}"#)
    case "w": return take(PatternTranslation.word)
    case "h": return take("0-9A-Fa-f")
    case "b": return take(verbatim: 2)
    default: return try commonEscape()
    }
  }
}
