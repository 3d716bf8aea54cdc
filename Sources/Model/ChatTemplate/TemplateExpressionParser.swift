// How does the inside of a tag become an expression? Jinja's grammar, loosest first: choice, or, and, not, comparisons, + and -, ~,
// * / // %, **, signs, then what follows a value: members, items, calls, filters, tests.

/// Reads the tokens of one tag.
struct TemplateExpressionParser {
  private let tokens: [TemplateLexer.Token]
  private let file: String
  private let firstLine: Int
  private var index = 0
  private var depth = 0

  /// Expressions inside each other; deeper is refused.
  private static let depthLimit = 100

  init(_ tokens: [TemplateLexer.Token], file: String, line: Int) {
    self.tokens = tokens
    self.file = file
    firstLine = line
  }

  // MARK: Tokens

  private var current: TemplateLexer.Token? { index < tokens.count ? tokens[index] : nil }
  private var line: Int { current?.line ?? tokens.last?.line ?? firstLine }

  private func failure(_ message: String, _ kind: TemplateError.Kind = .syntax) -> TemplateError {
    TemplateError(kind: kind, file: file, line: line, message: message)
  }

  private func expected(_ what: String) -> TemplateError {
    failure("expected \(what), found \(current.map { "\"\($0.text)\"" } ?? "the end of the tag")")
  }

  private func isSymbol(_ text: String, ahead: Int = 0) -> Bool {
    index + ahead < tokens.count && tokens[index + ahead].kind == .symbol && tokens[index + ahead].text == text
  }

  private func isName(_ text: String, ahead: Int = 0) -> Bool {
    index + ahead < tokens.count && tokens[index + ahead].kind == .name && tokens[index + ahead].text == text
  }

  mutating func take(symbol: String) -> Bool {
    guard isSymbol(symbol) else { return false }
    index += 1
    return true
  }

  mutating func take(name: String) -> Bool {
    guard isName(name) else { return false }
    index += 1
    return true
  }

  mutating func symbol(_ text: String) throws(TemplateError) {
    guard take(symbol: text) else { throw expected("\"\(text)\"") }
  }

  mutating func keyword(_ text: String) throws(TemplateError) {
    guard take(name: text) else { throw expected("\"\(text)\"") }
  }

  mutating func name() throws(TemplateError) -> String {
    guard let token = current, token.kind == .name else { throw expected("a name") }
    index += 1
    return token.text
  }

  /// Nothing more may stand in the tag.
  func end() throws(TemplateError) {
    if let current { throw failure("\"\(current.text)\" here", .unsupported) }
  }

  /// `a` or `a, b` or `(a, b)`.
  mutating func targetNames() throws(TemplateError) -> [String] {
    let isEnclosed = take(symbol: "(")
    var names = [try name()]
    while take(symbol: ",") {
      if isEnclosed && isSymbol(")") { break }
      names.append(try name())
    }
    if isEnclosed { try symbol(")") }
    return names
  }

  // MARK: Expressions

  /// An expression, or several with commas between: a tuple.
  mutating func expressionOrTuple() throws(TemplateError) -> TemplateExpression {
    let line = line
    let first = try expression()
    guard isSymbol(",") else { return first }
    var values = [first]
    while take(symbol: ",") {
      guard current != nil, !isSymbol(")") else { break }
      values.append(try expression())
    }
    return TemplateExpression(line: line, kind: .tuple(values))
  }

  mutating func expression() throws(TemplateError) -> TemplateExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw failure("this depth of expressions", .unsupported) }
    let line = line
    var value = try alternatives()
    while take(name: "if") {
      let condition = try alternatives()
      let otherwise = take(name: "else") ? try expression() : nil
      value = TemplateExpression(line: line, kind: .choice(condition: condition, then: value, otherwise: otherwise))
    }
    return value
  }

  mutating func expressionWithoutChoice() throws(TemplateError) -> TemplateExpression {
    let line = line
    let first = try alternatives()
    guard isSymbol(",") else { return first }
    var values = [first]
    while take(symbol: ",") { values.append(try alternatives()) }
    return TemplateExpression(line: line, kind: .tuple(values))
  }

  private mutating func alternatives() throws(TemplateError) -> TemplateExpression {
    var left = try conjunctions()
    while isName("or") {
      let line = line
      index += 1
      left = TemplateExpression(line: line, kind: .binary("or", left, try conjunctions()))
    }
    return left
  }

  private mutating func conjunctions() throws(TemplateError) -> TemplateExpression {
    var left = try negations()
    while isName("and") {
      let line = line
      index += 1
      left = TemplateExpression(line: line, kind: .binary("and", left, try negations()))
    }
    return left
  }

  private mutating func negations() throws(TemplateError) -> TemplateExpression {
    guard isName("not") else { return try comparisons() }
    let line = line
    index += 1
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw failure("this depth of expressions", .unsupported) }
    return TemplateExpression(line: line, kind: .not(try negations()))
  }

  private mutating func comparisons() throws(TemplateError) -> TemplateExpression {
    let line = line
    let first = try sums()
    var rest: [(operation: String, operand: TemplateExpression)] = []
    while let token = current {
      if token.kind == .symbol, ["==", "!=", "<", "<=", ">", ">="].contains(token.text) {
        index += 1
        rest.append((token.text, try sums()))
      } else if take(name: "in") {
        rest.append(("in", try sums()))
      } else if isName("not") && isName("in", ahead: 1) {
        index += 2
        rest.append(("not in", try sums()))
      } else {
        break
      }
    }
    return rest.isEmpty ? first : TemplateExpression(line: line, kind: .comparison(first, rest))
  }

  private mutating func sums() throws(TemplateError) -> TemplateExpression {
    var left = try joins()
    while let token = current, token.kind == .symbol, ["+", "-"].contains(token.text) {
      index += 1
      left = TemplateExpression(line: token.line, kind: .binary(token.text, left, try joins()))
    }
    return left
  }

  private mutating func joins() throws(TemplateError) -> TemplateExpression {
    var left = try products()
    while let token = current, take(symbol: "~") {
      left = TemplateExpression(line: token.line, kind: .binary("~", left, try products()))
    }
    return left
  }

  private mutating func products() throws(TemplateError) -> TemplateExpression {
    var left = try powers()
    while let token = current, token.kind == .symbol, ["*", "/", "//", "%"].contains(token.text) {
      index += 1
      left = TemplateExpression(line: token.line, kind: .binary(token.text, left, try powers()))
    }
    return left
  }

  private mutating func powers() throws(TemplateError) -> TemplateExpression {
    let value = try signed(takesFilters: true)
    if isSymbol("**") { throw failure("the operator **", .unsupported) }
    return value
  }

  private mutating func signed(takesFilters: Bool) throws(TemplateError) -> TemplateExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw failure("this depth of expressions", .unsupported) }
    let line = line
    var value: TemplateExpression
    if take(symbol: "-") {
      value = TemplateExpression(line: line, kind: .negative(try signed(takesFilters: false)))
    } else if take(symbol: "+") {
      value = TemplateExpression(line: line, kind: .positive(try signed(takesFilters: false)))
    } else {
      value = try primary()
    }
    value = try suffixes(of: value)
    return takesFilters ? try filters(of: value) : value
  }

  // MARK: Values

  private mutating func primary() throws(TemplateError) -> TemplateExpression {
    guard let token = current else { throw expected("a value") }
    index += 1
    func made(_ kind: TemplateExpression.Kind) -> TemplateExpression { TemplateExpression(line: token.line, kind: kind) }
    switch token.kind {
    case .name:
      switch token.text {
      case "true", "True": return made(.bool(true))
      case "false", "False": return made(.bool(false))
      case "none", "None": return made(.none)
      default: return made(.name(token.text))
      }
    case .integer:
      guard let value = Int(token.text) else { throw failure("the number \(token.text)", .unsupported) }
      return made(.integer(value))
    case .number:
      guard let value = Double(token.text) else { throw failure("the number \(token.text)", .unsupported) }
      return made(.number(value))
    case .string:
      var text = token.text
      while let next = current, next.kind == .string {  // neighbouring texts are one
        text += next.text
        index += 1
      }
      return made(.string(text))
    case .symbol:
      switch token.text {
      case "(":
        if take(symbol: ")") { return made(.tuple([])) }
        let value = try expressionOrTuple()
        try symbol(")")
        return value
      case "[": return made(.list(try list(until: "]")))
      case "{": return made(.map(try members()))
      default:
        index -= 1
        throw expected("a value")
      }
    }
  }

  private mutating func list(until closer: String) throws(TemplateError) -> [TemplateExpression] {
    var values: [TemplateExpression] = []
    while !take(symbol: closer) {
      if !values.isEmpty {
        try symbol(",")
        if take(symbol: closer) { break }
      }
      values.append(try expression())
    }
    return values
  }

  private mutating func members() throws(TemplateError) -> [(key: TemplateExpression, value: TemplateExpression)] {
    var result: [(key: TemplateExpression, value: TemplateExpression)] = []
    while !take(symbol: "}") {
      if !result.isEmpty {
        try symbol(",")
        if take(symbol: "}") { break }
      }
      let key = try expression()
      try symbol(":")
      result.append((key, try expression()))
    }
    return result
  }

  /// Members, items and calls.
  private mutating func suffixes(of first: TemplateExpression) throws(TemplateError) -> TemplateExpression {
    var value = first
    while let token = current {
      if take(symbol: ".") {
        guard let member = current, member.kind == .name || member.kind == .integer else { throw expected("a member's name") }
        index += 1
        let kind: TemplateExpression.Kind
        if member.kind == .name {
          kind = .member(value, member.text)
        } else {
          kind = .item(value, TemplateExpression(line: member.line, kind: .integer(Int(member.text) ?? 0)))
        }
        value = TemplateExpression(line: token.line, kind: kind)
      } else if take(symbol: "[") {
        value = try item(of: value, token.line)
      } else if isSymbol("(") {
        value = TemplateExpression(line: token.line, kind: .call(value, try arguments()))
      } else {
        break
      }
    }
    return value
  }

  private mutating func item(of value: TemplateExpression, _ line: Int) throws(TemplateError) -> TemplateExpression {
    var bounds: [TemplateExpression?] = []
    repeat {
      let isLeftOut = isSymbol(":") || isSymbol("]")
      bounds.append(isLeftOut ? nil : try expression())
    } while take(symbol: ":")
    try symbol("]")
    if bounds.count == 1 {
      guard let index = bounds[0] else { throw failure("an item without a key") }
      return TemplateExpression(line: line, kind: .item(value, index))
    }
    guard bounds.count <= 3 else { throw failure("a slice of more than three parts") }
    return TemplateExpression(line: line, kind: .slice(value, from: bounds[0], to: bounds[1], step: bounds.count > 2 ? bounds[2] : nil))
  }

  private mutating func arguments() throws(TemplateError) -> TemplateArguments {
    try symbol("(")
    var result = TemplateArguments()
    var isFirst = true
    while !take(symbol: ")") {
      if !isFirst {
        try symbol(",")
        if take(symbol: ")") { break }
      }
      isFirst = false
      guard result.mapping == nil else { throw failure("an argument behind **") }
      if take(symbol: "**") {
        result.mapping = try expression()
      } else if take(symbol: "*") {
        guard result.list == nil else { throw failure("a second * among arguments") }
        result.list = try expression()
      } else if let token = current, token.kind == .name, isSymbol("=", ahead: 1) {
        index += 2
        result.named.append((token.text, try expression()))
      } else {
        guard result.named.isEmpty, result.list == nil else { throw failure("a plain argument after a named one") }
        result.positional.append(try expression())
      }
    }
    return result
  }

  /// Filters and tests behind a value.
  private mutating func filters(of first: TemplateExpression) throws(TemplateError) -> TemplateExpression {
    var value = first
    while let token = current {
      if take(symbol: "|") {
        let name = try name()
        let arguments = isSymbol("(") ? try arguments() : TemplateArguments()
        value = TemplateExpression(line: token.line, kind: .filter(value, name, arguments))
      } else if take(name: "is") {
        let isNegated = take(name: "not")
        let name = try name()
        var arguments = TemplateArguments()
        if isSymbol("(") {
          arguments = try self.arguments()
        } else if let next = current, beginsOperand(next) {
          arguments.positional = [try suffixes(of: try primary())]
        }
        let test = TemplateExpression(line: token.line, kind: .test(value, name, arguments))
        value = isNegated ? TemplateExpression(line: token.line, kind: .not(test)) : test
      } else if isSymbol("(") {
        value = TemplateExpression(line: token.line, kind: .call(value, try arguments()))
      } else {
        break
      }
    }
    return value
  }

  /// Whether a token behind a test's name is the test's operand: `x is divisibleby 3`.
  private func beginsOperand(_ token: TemplateLexer.Token) -> Bool {
    switch token.kind {
    case .name: return !["else", "or", "and", "if", "is", "in", "not"].contains(token.text)
    case .string, .integer, .number: return true
    case .symbol: return token.text == "[" || token.text == "{"
    }
  }
}
