// How does a template become a tree? The statements of Jinja that chat templates use; a statement outside that list is refused with its
// line. Expressions are in TemplateExpressionParser.swift.

/// Builds the statements of a template.
struct TemplateParser {
  private let parts: [TemplateLexer.Part]
  private let file: String
  private var index = 0
  private var depth = 0

  /// Blocks inside each other; deeper is refused.
  private static let depthLimit = 64

  /// - Throws: `TemplateError`, `.syntax` or `.unsupported`.
  static func parse(_ text: String, file: String) throws(TemplateError) -> [TemplateStatement] {
    var lexer = TemplateLexer(text, file: file)
    var parser = TemplateParser(parts: try lexer.parts(), file: file)
    return try parser.body(until: []).statements
  }

  private init(parts: [TemplateLexer.Part], file: String) {
    self.parts = parts
    self.file = file
  }

  /// Statements up to one of the tags in `ends`, whose tokens (after its name) are left for the caller.
  private mutating func body(
    until ends: Set<String>, opened line: Int = 1
  ) throws(TemplateError) -> (statements: [TemplateStatement], end: String, rest: TemplateExpressionParser) {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw TemplateError(kind: .unsupported, file: file, line: line, message: "this depth of blocks") }
    var statements: [TemplateStatement] = []
    while index < parts.count {
      let part = parts[index]
      index += 1
      switch part {
      case .text(let text): statements.append(.text(text))
      case .output(let tokens, let line):
        var parser = TemplateExpressionParser(tokens, file: file, line: line)
        statements.append(.output(try parser.expressionOrTuple()))
        try parser.end()
      case .block(let tokens, let line):
        var parser = TemplateExpressionParser(tokens, file: file, line: line)
        let name = try parser.name()
        if ends.contains(name) { return (statements, name, parser) }
        statements.append(try statement(name, &parser, line))
      }
    }
    guard ends.isEmpty else {
      throw TemplateError(
        kind: .syntax, file: file, line: line, message: "a block that is not closed by \(ends.sorted().joined(separator: " or "))")
    }
    return (statements, "", TemplateExpressionParser([], file: file, line: line))
  }

  /// A body that one tag without anything behind its name ends.
  private mutating func simpleBody(until end: String, opened line: Int) throws(TemplateError) -> [TemplateStatement] {
    let (statements, _, rest) = try body(until: [end], opened: line)
    try rest.end()
    return statements
  }

  private mutating func statement(
    _ name: String, _ parser: inout TemplateExpressionParser, _ line: Int
  ) throws(TemplateError) -> TemplateStatement {
    switch name {
    case "if": return try branches(&parser, line)
    case "for": return try loop(&parser, line)
    case "set": return try assignment(&parser, line)
    case "macro": return try macro(&parser, line)
    case "call": return try call(&parser, line)
    case "generation":
      try parser.end()
      return .block(try simpleBody(until: "endgeneration", opened: line))
    case "break", "continue":
      try parser.end()
      return name == "break" ? .breakLoop : .continueLoop
    default:
      let isEnd = name.hasPrefix("end") || name == "else" || name == "elif"
      throw TemplateError(
        kind: isEnd ? .syntax : .unsupported, file: file, line: line,
        message: isEnd ? "\(name) without its beginning" : "the statement \"\(name)\"")
    }
  }

  private mutating func branches(_ parser: inout TemplateExpressionParser, _ line: Int) throws(TemplateError) -> TemplateStatement {
    var result: [(condition: TemplateExpression?, body: [TemplateStatement])] = []
    var condition: TemplateExpression? = try parser.expressionOrTuple()
    try parser.end()
    while true {
      let isLast = condition == nil
      var (statements, end, rest) = try body(until: isLast ? ["endif"] : ["elif", "else", "endif"], opened: line)
      result.append((condition, statements))
      switch end {
      case "elif": condition = try rest.expressionOrTuple()
      case "else": condition = nil
      default:
        try rest.end()
        return .branches(result)
      }
      try rest.end()
    }
  }

  private mutating func loop(_ parser: inout TemplateExpressionParser, _ line: Int) throws(TemplateError) -> TemplateStatement {
    let targets = try parser.targetNames()
    try parser.keyword("in")
    // The condition behind the sequence is a filter of the loop, not a choice.
    let sequence = try parser.expressionWithoutChoice()
    var condition: TemplateExpression?
    if parser.take(name: "if") { condition = try parser.expression() }
    try parser.end()
    let (statements, end, rest) = try body(until: ["else", "endfor"], opened: line)
    try rest.end()
    var otherwise: [TemplateStatement] = []
    if end == "else" { otherwise = try simpleBody(until: "endfor", opened: line) }
    return .loop(TemplateLoop(targets: targets, sequence: sequence, condition: condition, body: statements, otherwise: otherwise))
  }

  private mutating func assignment(_ parser: inout TemplateExpressionParser, _ line: Int) throws(TemplateError) -> TemplateStatement {
    let target: TemplateTarget
    let names = try parser.targetNames()
    if names.count == 1, parser.take(symbol: ".") {
      target = .member(of: names[0], try parser.name(), line: line)
    } else {
      target = .names(names)
    }
    if parser.take(symbol: "=") {
      let value = try parser.expressionOrTuple()
      try parser.end()
      return .assign(target, value)
    }
    try parser.end()
    return .capture(target, try simpleBody(until: "endset", opened: line), line: line)
  }

  private mutating func macro(_ parser: inout TemplateExpressionParser, _ line: Int) throws(TemplateError) -> TemplateStatement {
    let name = try parser.name()
    try parser.symbol("(")
    let parameters = try parameters(&parser)
    try parser.end()
    return .macro(try macro(name, parameters, until: "endmacro", line))
  }

  private mutating func call(_ parser: inout TemplateExpressionParser, _ line: Int) throws(TemplateError) -> TemplateStatement {
    let parameters = parser.take(symbol: "(") ? try parameters(&parser) : []
    let expression = try parser.expression()
    guard case .call = expression.kind else {
      throw TemplateError(kind: .syntax, file: file, line: line, message: "expected a call behind \"call\"")
    }
    try parser.end()
    return .call(caller: try macro("caller", parameters, until: "endcall", line), expression)
  }

  /// The body of a macro whose head is read.
  private mutating func macro(
    _ name: String, _ parameters: [(name: String, fallback: TemplateExpression?)], until end: String, _ line: Int
  ) throws(TemplateError) -> TemplateMacro {
    let first = index
    let body = try simpleBody(until: end, opened: line)
    var names: Set<String> = []
    for part in parts[first..<index] {
      guard let tokens = part.tokens else { continue }
      for token in tokens where token.kind == .name { names.insert(token.text) }
    }
    let extras = names.intersection(["caller", "varargs", "kwargs"]).subtracting(parameters.map(\.name))
    return TemplateMacro(name: name, parameters: parameters, body: body, extras: extras)
  }

  /// Names with their defaults, up to the closing parenthesis.
  private mutating func parameters(
    _ parser: inout TemplateExpressionParser
  ) throws(TemplateError) -> [(name: String, fallback: TemplateExpression?)] {
    var parameters: [(name: String, fallback: TemplateExpression?)] = []
    while !parser.take(symbol: ")") {
      if !parameters.isEmpty { try parser.symbol(",") }
      let parameter = try parser.name()
      parameters.append((parameter, parser.take(symbol: "=") ? try parser.expression() : nil))
    }
    return parameters
  }
}
