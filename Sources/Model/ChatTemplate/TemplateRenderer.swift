// What does a template print? Walks the tree with Jinja's scoping: a loop's body and a macro have scopes of their own, a condition has
// not. Every limit here exists because templates come from outside: what runs away is stopped with the template's line.

/// One rendering of one template.
struct TemplateRenderer {
  let file: String
  /// What `strftime_now` gives for a format.
  let clock: (String) -> String

  private(set) var output = ""
  private var steps = 0
  private var callDepth = 0

  static let stepLimit = 1_000_000
  static let textLimit = 64 << 20
  static let elementLimit = 1 << 20
  private static let callLimit = 64

  private enum Flow { case next, breakLoop, continueLoop }

  init(file: String, clock: @escaping (String) -> String) {
    self.file = file
    self.clock = clock
  }

  /// Renders a whole template into `output`.
  mutating func render(_ statements: [TemplateStatement], _ scope: TemplateScope) throws(TemplateError) {
    _ = try run(statements, scope)
  }

  // MARK: Statements

  private mutating func run(_ statements: [TemplateStatement], _ scope: TemplateScope) throws(TemplateError) -> Flow {
    for statement in statements {
      let flow = try run(statement, scope)
      if flow != .next { return flow }
    }
    return .next
  }

  private mutating func run(_ statement: TemplateStatement, _ scope: TemplateScope) throws(TemplateError) -> Flow {
    switch statement {
    case .text(let text): output += text
    case .output(let expression):
      try print(try evaluate(expression, scope), expression.line)
    case .branches(let branches):
      for (condition, body) in branches {
        if let condition, try !evaluate(condition, scope).isTrue { continue }
        return try run(body, scope)
      }
    case .loop(let loop): return try run(loop, scope)
    case .assign(let target, let expression): try assign(try evaluate(expression, scope), to: target, scope, expression.line)
    case .capture(let target, let body, let line):
      try assign(.string(try captured(body, TemplateScope(inside: scope))), to: target, scope, line)
    case .macro(let macro): scope[macro.name] = .macro(macro, scope)
    case .call(let caller, let expression):
      try print(try call(expression, handing: .macro(caller, scope), scope), expression.line)
    case .block(let body): return try run(body, scope)
    case .breakLoop: return .breakLoop
    case .continueLoop: return .continueLoop
    }
    return .next
  }

  private mutating func print(_ value: TemplateValue, _ line: Int) throws(TemplateError) {
    output += try text(of: value, line)
    if output.utf8.count > Self.textLimit { throw failure(.value, line, "the prompt grows beyond \(Self.textLimit >> 20) MiB") }
  }

  private mutating func run(_ loop: TemplateLoop, _ scope: TemplateScope) throws(TemplateError) -> Flow {
    let sequence = try evaluate(loop.sequence, scope)
    guard var values = sequence.iterated else { throw failure(.value, loop.sequence.line, "a loop over \(sequence.kindName)") }
    if let condition = loop.condition {
      var kept: [TemplateValue] = []
      for value in values {
        let inner = TemplateScope(inside: scope)
        try bind(value, to: loop.targets, inner, condition.line)
        if try evaluate(condition, inner).isTrue { kept.append(value) }
      }
      values = kept
    }
    if values.isEmpty { return try run(loop.otherwise, scope) }
    for (index, value) in values.enumerated() {
      let inner = TemplateScope(inside: scope)
      try bind(value, to: loop.targets, inner, loop.sequence.line)
      inner["loop"] = .loop(index: index, values: values)
      if try run(loop.body, inner) == .breakLoop { break }
    }
    return .next
  }

  /// What `body` renders, kept from the output.
  private mutating func captured(_ body: [TemplateStatement], _ scope: TemplateScope) throws(TemplateError) -> String {
    let outside = output
    output = ""
    _ = try run(body, scope)
    defer { output = outside }
    return output
  }

  private func assign(_ value: TemplateValue, to target: TemplateTarget, _ scope: TemplateScope, _ line: Int) throws(TemplateError) {
    switch target {
    case .names(let names): try bind(value, to: names, scope, line)
    case .member(let name, let member, let line):
      guard case .namespace(let namespace) = scope[name] else {
        throw failure(.value, line, "\(name).\(member) can only be set when \(name) is a namespace")
      }
      namespace.members[member] = value
    }
  }

  private func bind(_ value: TemplateValue, to names: [String], _ scope: TemplateScope, _ line: Int) throws(TemplateError) {
    if names.count == 1 {
      scope[names[0]] = value
      return
    }
    guard let parts = value.iterated, parts.count == names.count else {
      throw failure(.value, line, "\(value.kindName) cannot be unpacked into \(names.joined(separator: ", "))")
    }
    for (name, part) in zip(names, parts) { scope[name] = part }
  }

  // MARK: Support for expressions (TemplateEvaluation.swift)

  func failure(_ kind: TemplateError.Kind, _ line: Int, _ message: String) -> TemplateError {
    TemplateError(kind: kind, file: file, line: line, message: message)
  }

  /// Counts one step of work.
  mutating func step(_ line: Int) throws(TemplateError) {
    steps += 1
    if steps > Self.stepLimit { throw failure(.value, line, "the template does not come to an end (\(Self.stepLimit) steps)") }
  }

  /// The text that `value` prints as.
  func text(of value: TemplateValue, _ line: Int) throws(TemplateError) -> String {
    guard let text = PythonText.text(of: value) else { throw failure(.unsupported, line, "printing \(value.kindName)") }
    return text
  }

  /// Runs a macro; its result is what it printed.
  mutating func call(
    _ macro: TemplateMacro, definedIn scope: TemplateScope, _ arguments: TemplateCall
  ) throws(TemplateError) -> TemplateValue {
    callDepth += 1
    defer { callDepth -= 1 }
    guard callDepth <= Self.callLimit else { throw failure(.value, arguments.line, "macros that call each other without end") }
    var arguments = arguments
    let inner = TemplateScope(inside: scope)
    for (name, fallback) in macro.parameters {
      if let value = arguments.take(name) {
        inner[name] = value
      } else {
        inner[name] = try fallback.map { expression throws(TemplateError) in try evaluate(expression, inner) } ?? .undefined(name)
      }
    }
    if macro.extras.contains("caller") { inner["caller"] = arguments.takeNamed("caller") ?? .undefined("the caller") }
    if macro.extras.contains("kwargs") {
      var map = TemplateMap()
      for (name, value) in arguments.named { map[name] = value }
      (inner["kwargs"], arguments.named) = (.map(map), [])
    }
    if macro.extras.contains("varargs") {
      (inner["varargs"], arguments.positional) = (.tuple(Array(arguments.positional)), [])
    }
    guard arguments.positional.isEmpty, arguments.named.isEmpty else {
      throw failure(.value, arguments.line, "an argument that the macro \(macro.name) does not take")
    }
    return .string(try captured(macro.body, inner))
  }
}

/// The values of a call's arguments, taken one after the other.
struct TemplateCall {
  var positional: ArraySlice<TemplateValue>
  var named: [(name: String, value: TemplateValue)]
  let line: Int

  init(_ positional: [TemplateValue] = [], named: [(name: String, value: TemplateValue)] = [], line: Int) {
    self.positional = positional[...]
    self.named = named
    self.line = line
  }

  /// The next plain argument, or the one called `name`; nil when it was not given.
  mutating func take(_ name: String) -> TemplateValue? {
    if let first = positional.popFirst() { return first }
    guard let place = named.firstIndex(where: { $0.name == name }) else { return nil }
    return named.remove(at: place).value
  }

  /// The argument called `name`, never a plain one.
  mutating func takeNamed(_ name: String) -> TemplateValue? {
    named.firstIndex { $0.name == name }.map { named.remove(at: $0).value }
  }

  /// Refuses what nobody took.
  func finish(_ callee: String, _ renderer: TemplateRenderer) throws(TemplateError) {
    if let extra = named.first { throw renderer.failure(.unsupported, line, "the argument \(extra.name) of \(callee)") }
    if !positional.isEmpty { throw renderer.failure(.unsupported, line, "so many arguments of \(callee)") }
  }
}
