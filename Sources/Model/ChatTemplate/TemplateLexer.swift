// Where do text, `{{ … }}` and `{% … %}` begin and end, and which white space around them goes? Jinja's rules with the settings of
// transformers: `trim_blocks` (the newline after a block goes), `lstrip_blocks` (the indentation before a block goes), and the single
// newline at the end of a template does not count.

/// A template as a list of texts and of tags with their tokens.
struct TemplateLexer {
  enum Part {
    case text(String)
    case output([Token], line: Int)
    case block([Token], line: Int)

    var tokens: [Token]? {
      switch self {
      case .text: return nil
      case .output(let tokens, _), .block(let tokens, _): return tokens
      }
    }
  }

  struct Token: Equatable {
    enum Kind { case name, string, integer, number, symbol }
    var kind: Kind
    var text: String
    var line: Int
  }

  private let source: [Unicode.Scalar]
  private let file: String
  private var position = 0
  private var line = 1

  init(_ text: String, file: String) {
    self.file = file
    // All newlines count as \n, and one at the very end is the editor's.
    var scalars: [Unicode.Scalar] = []
    for scalar in text.unicodeScalars {
      if scalar == "\n", scalars.last == "\r" { scalars[scalars.count - 1] = "\n" } else { scalars.append(scalar) }
    }
    // A lone \r is a newline too; those before \n have become one above.
    scalars = scalars.map { $0 == "\r" ? "\n" : $0 }
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  mutating func parts() throws(TemplateError) -> [Part] {
    var parts: [Part] = []
    var text: [Unicode.Scalar] = []
    /// Whether the text being read began at the start of a line.
    var startsLine = true
    func flush() {
      guard !text.isEmpty else { return }
      var string = String.UnicodeScalarView()
      string.append(contentsOf: text)
      parts.append(.text(String(string)))
      text = []
    }
    while position < source.count {
      guard source[position] == "{", let opener = peek(1), "{%#".unicodeScalars.contains(opener) else {
        text.append(next())
        continue
      }
      let begin = line
      position += 2
      let sign = takeSign()
      trim(&text, before: sign, isOutput: opener == "{", startsLine: startsLine)
      flush()
      if opener == "%", let sign = takeWord("raw") {
        text = try raw(from: begin, startsLine: sign == "-" && skipSpaces())
        flush()
        startsLine = try trimAfterTag(isOutput: false)
        continue
      }
      switch opener {
      case "#": try skipComment(from: begin)
      case "{": parts.append(.output(try tokens(until: "}", from: begin), line: begin))
      default: parts.append(.block(try tokens(until: "%", from: begin), line: begin))
      }
      // The closing sign is behind us; what it eats is decided by the character before the closer.
      startsLine = try trimAfterTag(isOutput: opener == "{")
    }
    flush()
    return parts
  }

  /// Takes from the end of `text` what the tag behind it asks for. `lstrip_blocks`: only what stands between the start of the line and
  /// the tag.
  private func trim(_ text: inout [Unicode.Scalar], before sign: Unicode.Scalar?, isOutput: Bool, startsLine: Bool) {
    if sign == "-" {
      while let last = text.last, last.isPythonSpace { text.removeLast() }
    } else if sign != "+" && !isOutput {
      let lineStart = text.lastIndex(of: "\n").map { $0 + 1 }
      if lineStart != nil || startsLine {
        let from = lineStart ?? 0
        if text[from...].allSatisfy(\.isPythonSpace) { text.removeSubrange(from...) }
      }
    }
  }

  // MARK: Raw text

  /// The sign behind an opener; nil without one.
  private mutating func takeSign() -> Unicode.Scalar? {
    guard let sign = peek(0), sign == "-" || sign == "+" else { return nil }
    position += 1
    return sign
  }

  /// Steps over `word` and the end of its tag, `-%}` or `%}`, when nothing else stands there. A line behind it stays: `trim_blocks` does
  /// not count for the beginning of raw text.
  ///
  /// - Returns: the sign before the end, a space for none; nil when this is another tag.
  private mutating func takeWord(_ word: String) -> Unicode.Scalar? {
    var place = position
    func skip() { while place < source.count, source[place].isPythonSpace { place += 1 } }
    skip()
    guard source[place...].starts(with: word.unicodeScalars) else { return nil }
    place += word.unicodeScalars.count
    skip()
    var sign: Unicode.Scalar = " "
    if place < source.count, source[place] == "-" || (word != "raw" && source[place] == "+") {
      sign = source[place]
      place += 1
    }
    guard source[place...].starts(with: "%}".unicodeScalars) else { return nil }
    while position < place { _ = next() }
    position += 2
    return sign
  }

  /// Everything up to `{% endraw %}`, whose sign is left for `trimAfterTag`.
  private mutating func raw(from begin: Int, startsLine: Bool) throws(TemplateError) -> [Unicode.Scalar] {
    var text: [Unicode.Scalar] = []
    while position < source.count {
      if source[position] == "{", peek(1) == "%" {
        let start = position
        position += 2
        let sign = takeSign()
        if let closing = takeWord("endraw") {
          trim(&text, before: sign, isOutput: false, startsLine: startsLine)
          closingSign = closing == " " ? nil : closing
          return text
        }
        position = start
      }
      text.append(next())
    }
    throw failure("raw text that does not end", line: begin)
  }

  /// Steps over white space; whether a newline was the last of it.
  private mutating func skipSpaces() -> Bool {
    var endsLine = false
    while let scalar = peek(0), scalar.isPythonSpace { endsLine = next() == "\n" }
    return endsLine
  }

  // MARK: Characters

  private func peek(_ ahead: Int) -> Unicode.Scalar? { position + ahead < source.count ? source[position + ahead] : nil }

  private mutating func next() -> Unicode.Scalar {
    defer { position += 1 }
    if source[position] == "\n" { line += 1 }
    return source[position]
  }

  private func failure(_ message: String, line: Int? = nil) -> TemplateError {
    TemplateError(kind: .syntax, file: file, line: line ?? self.line, message: message)
  }

  /// The sign before a closer, left there for `trimAfterTag`.
  private var closingSign: Unicode.Scalar?

  /// Eats what the end of a tag asks for; whether a newline was the last thing to go.
  private mutating func trimAfterTag(isOutput: Bool) throws(TemplateError) -> Bool {
    if closingSign == "-" { return skipSpaces() }
    if !isOutput && closingSign != "+" && peek(0) == "\n" {
      _ = next()
      return true
    }
    return false
  }

  private mutating func skipComment(from begin: Int) throws(TemplateError) {
    while position < source.count {
      if peek(0) == "#" && peek(1) == "}" {
        let before = source[position - 1]
        closingSign = before == "-" || before == "+" ? before : nil
        position += 2
        return
      }
      _ = next()
    }
    throw failure("a comment that does not end", line: begin)
  }

  // MARK: Tokens

  /// The tokens up to `}}` or `%}`.
  private mutating func tokens(until closer: Unicode.Scalar, from begin: Int) throws(TemplateError) -> [Token] {
    var tokens: [Token] = []
    var depth = 0
    while let scalar = peek(0) {
      if scalar.isPythonSpace {
        _ = next()
        continue
      }
      if depth == 0 {
        let signed = scalar == "-" || scalar == "+"
        if peek(signed ? 1 : 0) == closer && peek(signed ? 2 : 1) == "}" {
          closingSign = signed ? scalar : nil
          position += signed ? 3 : 2
          return tokens
        }
      }
      let start = line
      if scalar == "\"" || scalar == "'" {
        tokens.append(Token(kind: .string, text: try string(), line: start))
      } else if ("0"..."9").contains(scalar) {
        tokens.append(number())
      } else if scalar == "_" || scalar.properties.isXIDStart {
        var name = ""
        while let part = peek(0), part.properties.isXIDContinue { name.unicodeScalars.append(part); position += 1 }
        tokens.append(Token(kind: .name, text: name, line: start))
      } else {
        let symbol = try symbol()
        if "([{".contains(symbol) { depth += 1 }
        if ")]}".contains(symbol) { depth -= 1 }
        tokens.append(Token(kind: .symbol, text: symbol, line: start))
      }
    }
    throw failure("a tag that does not end", line: begin)
  }

  private mutating func symbol() throws(TemplateError) -> String {
    let two = String(String.UnicodeScalarView([peek(0), peek(1)].compactMap { $0 }))
    if ["==", "!=", "<=", ">=", "//", "**"].contains(two) {
      position += 2
      return two
    }
    let one = String(two.unicodeScalars.prefix(1))
    guard "+-*/%~<>=.,:|()[]{}".contains(one) else { throw failure("found \"\(one)\" in an expression") }
    position += 1
    return one
  }

  private mutating func number() -> Token {
    let start = position
    var isWhole = true
    func digits() { while let digit = peek(0), ("0"..."9").contains(digit) || digit == "_" { position += 1 } }
    digits()
    if peek(0) == ".", let digit = peek(1), ("0"..."9").contains(digit) {
      isWhole = false
      position += 1
      digits()
    }
    if peek(0) == "e" || peek(0) == "E" {
      let signed = peek(1) == "+" || peek(1) == "-"
      if let digit = peek(signed ? 2 : 1), ("0"..."9").contains(digit) {
        isWhole = false
        position += signed ? 2 : 1
        digits()
      }
    }
    let text = String(String.UnicodeScalarView(source[start..<position].filter { $0 != "_" }))
    return Token(kind: isWhole ? .integer : .number, text: text, line: line)
  }

  /// A quoted text with Python's escapes resolved.
  private mutating func string() throws(TemplateError) -> String {
    let begin = line
    let quote = next()
    var result = String.UnicodeScalarView()
    while position < source.count {
      let scalar = next()
      if scalar == quote { return String(result) }
      guard scalar == "\\" else {
        result.append(scalar)
        continue
      }
      guard position < source.count else { break }
      let escape = next()
      switch escape {
      case "n": result.append("\n")
      case "t": result.append("\t")
      case "r": result.append("\r")
      case "b": result.append("\u{8}")
      case "f": result.append("\u{C}")
      case "v": result.append("\u{B}")
      case "a": result.append("\u{7}")
      case "\\", "'", "\"": result.append(escape)
      case "\n": break
      case "x": result.append(try code(digits: 2))
      case "u": result.append(try code(digits: 4))
      case "U": result.append(try code(digits: 8))
      case "0"..."7", "N":
        throw TemplateError(kind: .unsupported, file: file, line: line, message: "the escape \\\(escape)")
      default:  // Python leaves what it does not know as it is
        result.append("\\")
        result.append(escape)
      }
    }
    throw failure("a text that does not end", line: begin)
  }

  private mutating func code(digits: Int) throws(TemplateError) -> Unicode.Scalar {
    let text = String(String.UnicodeScalarView(source[position..<min(position + digits, source.count)]))
    guard text.unicodeScalars.count == digits, let value = UInt32(text, radix: 16), let scalar = Unicode.Scalar(value) else {
      throw failure("an escape that is no character: \"\(text)\"")
    }
    position += digits
    return scalar
  }
}
