// What is an expression worth? Names, members, operators and calls; filters and tests are in TemplateFilters.swift, the methods of texts
// and mappings in TemplateMethods.swift. A name or member that is not there is `undefined`; using it further is an error, as in Jinja.

extension TemplateRenderer {
  mutating func evaluate(_ expression: TemplateExpression, _ scope: TemplateScope) throws(TemplateError) -> TemplateValue {
    let line = expression.line
    try step(line)
    switch expression.kind {
    case .none: return .none
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .number(let value): return .number(value)
    case .string(let value): return .string(value)
    case .name(let name): return try self.name(name, scope, line)
    case .list(let elements): return .list(try evaluate(elements, scope))
    case .tuple(let elements): return .tuple(try evaluate(elements, scope))
    case .map(let entries):
      var map = TemplateMap()
      for (key, value) in entries {
        let key = try evaluate(key, scope)
        guard key.isKey else { throw failure(.value, line, "\(key.kindName) as the key of a mapping") }
        map[key] = try evaluate(value, scope)
      }
      return .map(map)
    case .member(let base, let name): return try member(name, of: try evaluate(base, scope), line)
    case .item(let base, let key): return try item(try evaluate(key, scope), of: try evaluate(base, scope), line)
    case .slice(let base, let from, let to, let step):
      let bounds = [try bound(from, scope), try bound(to, scope), try bound(step, scope)]
      return try slice(try evaluate(base, scope), bounds, line)
    case .call(let callee, let arguments):
      let function = try evaluate(callee, scope)
      return try call(function, try evaluate(arguments, scope, line))
    case .filter(let value, let name, let arguments):
      return try filter(name, try evaluate(value, scope), try evaluate(arguments, scope, line))
    case .test(let value, let name, let arguments):
      return .bool(try test(name, try evaluate(value, scope), try evaluate(arguments, scope, line)))
    case .not(let value): return .bool(try !evaluate(value, scope).isTrue)
    case .negative(let value): return try arithmetic("-", .integer(0), try evaluate(value, scope), line)
    case .positive(let value): return try arithmetic("+", .integer(0), try evaluate(value, scope), line)
    case .binary("and", let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? try evaluate(right, scope) : value
    case .binary("or", let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? value : try evaluate(right, scope)
    case .binary("~", let left, let right):
      return .string(try joined(text(of: try evaluate(left, scope), line), text(of: try evaluate(right, scope), line), line))
    case .binary(let operation, let left, let right):
      return try arithmetic(operation, try evaluate(left, scope), try evaluate(right, scope), line)
    case .comparison(let first, let rest):
      var left = try evaluate(first, scope)
      for (operation, operand) in rest {
        let right = try evaluate(operand, scope)
        guard try compare(operation, left, right, line) else { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .choice(let condition, let then, let otherwise):
      if try evaluate(condition, scope).isTrue { return try evaluate(then, scope) }
      return try otherwise.map { expression throws(TemplateError) in try evaluate(expression, scope) } ?? .undefined("the other choice")
    }
  }

  private mutating func evaluate(_ elements: [TemplateExpression], _ scope: TemplateScope) throws(TemplateError) -> [TemplateValue] {
    var values: [TemplateValue] = []
    for element in elements { values.append(try evaluate(element, scope)) }
    return values
  }

  private mutating func evaluate(
    _ arguments: TemplateArguments, _ scope: TemplateScope, _ line: Int
  ) throws(TemplateError) -> TemplateCall {
    var named: [(name: String, value: TemplateValue)] = []
    var positional = try evaluate(arguments.positional, scope)
    for (name, value) in arguments.named { named.append((name, try evaluate(value, scope))) }
    if let list = arguments.list {
      let value = try evaluate(list, scope)
      guard let rest = value.iterated else { throw failure(.value, line, "\(value.kindName) behind *") }
      positional += rest
    }
    if let mapping = arguments.mapping {
      let value = try evaluate(mapping, scope)
      guard case .map(let map) = value else { throw failure(.value, line, "\(value.kindName) behind **") }
      for entry in map.entries {
        guard case .string(let name) = entry.key else { throw failure(.value, line, "\(entry.key.kindName) as an argument's name") }
        guard !named.contains(where: { isSame($0.name, name) }) else { throw failure(.value, line, "the argument \(name) twice") }
        named.append((name, entry.value))
      }
    }
    return TemplateCall(positional, named: named, line: line)
  }

  // MARK: Names

  private static let functions: Set<String> = ["range", "namespace", "dict", "raise_exception", "strftime_now"]
  /// Names with a meaning in Jinja that is not implemented: undefined would be a wrong answer.
  private static let otherNames: Set<String> = ["self", "cycler", "joiner", "lipsum", "super"]

  private func name(_ name: String, _ scope: TemplateScope, _ line: Int) throws(TemplateError) -> TemplateValue {
    if let value = scope[name] { return value }
    if Self.functions.contains(name) { return .function(name) }
    if Self.otherNames.contains(name) { throw failure(.unsupported, line, "the name \"\(name)\"") }
    return .undefined(name)
  }

  /// `value.name`.
  func member(_ name: String, of value: TemplateValue, _ line: Int) throws(TemplateError) -> TemplateValue {
    switch value {
    case .undefined(let what): throw failure(.value, line, "\(what) is undefined, so it has no \(name)")
    case .map(let map):
      if Self.mapMethods.contains(name) { return .method(of: value, name: name) }
      return map[name] ?? .undefined(name)
    case .namespace(let namespace): return namespace.members[name] ?? .undefined(name)
    case .string: return Self.textMethods.contains(name) ? .method(of: value, name: name) : .undefined(name)
    case .list, .tuple: return Self.listMethods.contains(name) ? .method(of: value, name: name) : .undefined(name)
    case .loop(let index, let values): return try loopMember(name, index, values, value, line)
    case .macro(let macro, _): return macro.member(name) ?? .undefined(name)
    case .markup: throw failure(.unsupported, line, ".\(name) of a text made safe")
    case .none, .bool, .integer, .number, .generator, .method, .function: return .undefined(name)
    }
  }

  private func loopMember(
    _ name: String, _ index: Int, _ values: [TemplateValue], _ loop: TemplateValue, _ line: Int
  ) throws(TemplateError) -> TemplateValue {
    switch name {
    case "index": return .integer(index + 1)
    case "index0": return .integer(index)
    case "revindex": return .integer(values.count - index)
    case "revindex0": return .integer(values.count - index - 1)
    case "first": return .bool(index == 0)
    case "last": return .bool(index == values.count - 1)
    case "length": return .integer(values.count)
    case "previtem": return index > 0 ? values[index - 1] : .undefined("loop.previtem")
    case "nextitem": return index + 1 < values.count ? values[index + 1] : .undefined("loop.nextitem")
    case "cycle": return .method(of: loop, name: name)
    default: throw failure(.unsupported, line, "loop.\(name)")
    }
  }

  /// `value[key]`.
  func item(_ key: TemplateValue, of value: TemplateValue, _ line: Int) throws(TemplateError) -> TemplateValue {
    if case .undefined(let what) = value { throw failure(.value, line, "\(what) is undefined, so it has no items") }
    if case .map(let map) = value, let found = map[key] { return found }
    if case .string(let name) = key { return try member(name, of: value, line) }
    guard let index = key.asInteger else {
      if case .map = value { return .undefined("an item") }
      throw failure(.value, line, "\(key.kindName) as an index")
    }
    switch value {
    case .list(let values), .tuple(let values):
      let place = index < 0 ? index + values.count : index
      return values.indices.contains(place) ? values[place] : .undefined("item \(index)")
    case .string(let text):
      let scalars = Array(text.unicodeScalars)
      let place = index < 0 ? index + scalars.count : index
      return scalars.indices.contains(place) ? .string(String(scalars[place])) : .undefined("item \(index)")
    default: return .undefined("item \(index)")
    }
  }

  private mutating func bound(_ expression: TemplateExpression?, _ scope: TemplateScope) throws(TemplateError) -> Int? {
    guard let expression else { return nil }
    let value = try evaluate(expression, scope)
    if case .none = value { return nil }
    guard let number = value.asInteger else { throw failure(.value, expression.line, "\(value.kindName) as the bound of a slice") }
    return number
  }

  /// `value[from:to:step]` by Python's rules.
  private func slice(_ value: TemplateValue, _ bounds: [Int?], _ line: Int) throws(TemplateError) -> TemplateValue {
    let step = bounds[2] ?? 1
    guard step != 0, abs(step) <= Self.elementLimit else { throw failure(.value, line, "a slice with step \(step)") }
    func indices(_ count: Int) -> StrideTo<Int> {
      func place(_ bound: Int?, _ fallback: Int) -> Int {
        guard let bound else { return fallback }
        let place = bound < 0 ? max(bound, -count - 1) + count : min(bound, count)
        return step > 0 ? min(max(place, 0), count) : min(max(place, -1), count - 1)
      }
      return stride(from: place(bounds[0], step > 0 ? 0 : count - 1), to: place(bounds[1], step > 0 ? count : -1), by: step)
    }
    switch value {
    case .list(let values): return .list(indices(values.count).map { values[$0] })
    case .tuple(let values): return .tuple(indices(values.count).map { values[$0] })
    case .string(let text):
      let scalars = Array(text.unicodeScalars)
      return .string(String(String.UnicodeScalarView(indices(scalars.count).map { scalars[$0] })))
    default: throw failure(.value, line, "a slice of \(value.kindName)")
    }
  }

  // MARK: Operators

  func joined(_ left: String, _ right: String, _ line: Int) throws(TemplateError) -> String {
    guard left.utf8.count + right.utf8.count <= Self.textLimit else {
      throw failure(.value, line, "a text beyond \(Self.textLimit >> 20) MiB")
    }
    return left + right
  }

  private func arithmetic(
    _ operation: String, _ left: TemplateValue, _ right: TemplateValue, _ line: Int
  ) throws(TemplateError) -> TemplateValue {
    switch (operation, left, right) {
    case ("+", .string(let a), .string(let b)): return .string(try joined(a, b, line))
    case ("+", .markup(let a), .string(let b)): return .markup(try joined(a, TextSearch.escaped(b), line))
    case ("+", .string(let a), .markup(let b)): return .markup(try joined(TextSearch.escaped(a), b, line))
    case ("+", .markup(let a), .markup(let b)): return .markup(try joined(a, b, line))
    case ("+", .list(let a), .list(let b)):
      guard a.count + b.count <= Self.elementLimit else { throw failure(.value, line, "a list beyond \(Self.elementLimit) elements") }
      return .list(a + b)
    case ("*", .string(let text), _), ("*", _, .string(let text)):
      guard let count = right.asInteger ?? left.asInteger, count <= Self.textLimit / max(1, text.utf8.count) else { break }
      return .string(String(repeating: text, count: max(0, count)))
    case ("%", .string, _): throw failure(.unsupported, line, "formatting with %")
    default: break
    }
    if operation != "/", let a = left.asInteger, let b = right.asInteger {
      let result: (partialValue: Int, overflow: Bool)?
      switch operation {
      case "+": result = a.addingReportingOverflow(b)
      case "-": result = a.subtractingReportingOverflow(b)
      case "*": result = a.multipliedReportingOverflow(by: b)
      case "//", "%":
        // Python rounds towards minus infinity.
        let (quotient, overflow) = a.dividedReportingOverflow(by: b)
        let rest = overflow ? 0 : a - quotient * b
        let isBelow = rest != 0 && (rest < 0) != (b < 0)
        result = (operation == "//" ? quotient - (isBelow ? 1 : 0) : rest + (isBelow ? b : 0), overflow)
      default: result = nil
      }
      if let result, !result.overflow { return .integer(result.partialValue) }
      throw failure(.value, line, "\(a) \(operation) \(b)")
    }
    guard let a = left.asNumber, let b = right.asNumber else {
      throw failure(.value, line, "\(left.kindName) \(operation) \(right.kindName)")
    }
    switch operation {
    case "+": return .number(a + b)
    case "-": return .number(a - b)
    case "*": return .number(a * b)
    case "/" where b != 0: return .number(a / b)
    default: throw failure(.unsupported, line, "\(PythonText.number(a)) \(operation) \(PythonText.number(b))")
    }
  }

  func compare(_ operation: String, _ left: TemplateValue, _ right: TemplateValue, _ line: Int) throws(TemplateError) -> Bool {
    func isLess(_ a: TemplateValue, _ b: TemplateValue) throws(TemplateError) -> Bool {
      guard let result = a.isLess(than: b) else { throw failure(.value, line, "\(left.kindName) \(operation) \(right.kindName)") }
      return result
    }
    switch operation {
    case "==": return left.equals(right)
    case "!=": return !left.equals(right)
    case "<": return try isLess(left, right)
    case ">": return try isLess(right, left)
    case "<=": return try isLess(left, right) || left.equals(right)
    case ">=": return try isLess(right, left) || left.equals(right)
    case "in": return try contains(right, left, line)
    default: return try !contains(right, left, line)
    }
  }

  private func contains(_ container: TemplateValue, _ value: TemplateValue, _ line: Int) throws(TemplateError) -> Bool {
    switch (container, value) {
    case (.string(let text), .string(let part)), (.markup(let text), .string(let part)), (.string(let text), .markup(let part)):
      return TextSearch.first(of: part, in: text) != nil
    case (.list(let values), _), (.tuple(let values), _): return values.contains { $0.equals(value) }
    case (.map(let map), _) where value.isKey: return map[value] != nil
    case (.generator, _): throw failure(.unsupported, line, "\(value.kindName) in a generator")
    case (.undefined, _): return false
    default: throw failure(.value, line, "\(value.kindName) in \(container.kindName)")
    }
  }

  // MARK: Calls

  /// The call of a `{% call %}` block, whose body is handed on as `caller`.
  mutating func call(
    _ expression: TemplateExpression, handing caller: TemplateValue, _ scope: TemplateScope
  ) throws(TemplateError) -> TemplateValue {
    guard case .call(let callee, let arguments) = expression.kind else { return .undefined("a call") }
    let function = try evaluate(callee, scope)
    var values = try evaluate(arguments, scope, expression.line)
    values.named.append(("caller", caller))
    return try call(function, values)
  }

  private mutating func call(_ function: TemplateValue, _ arguments: TemplateCall) throws(TemplateError) -> TemplateValue {
    switch function {
    case .macro(let macro, let scope): return try call(macro, definedIn: scope, arguments)
    case .method(let value, let name): return try method(name, of: value, arguments)
    case .function(let name): return try self.function(name, arguments)
    case .undefined(let name): throw failure(.unsupported, arguments.line, "the function \"\(name)\"")
    default: throw failure(.value, arguments.line, "calling \(function.kindName)")
    }
  }

  private func function(_ name: String, _ arguments: TemplateCall) throws(TemplateError) -> TemplateValue {
    var arguments = arguments
    switch name {
    case "raise_exception":
      let message = try text(of: arguments.take("message") ?? .none, arguments.line)
      throw failure(.refusal, arguments.line, message)
    case "strftime_now":
      guard case .string(let format) = arguments.take("format") else {
        throw failure(.value, arguments.line, "strftime_now without a format")
      }
      try arguments.finish(name, self)
      return .string(clock(format))
    case "range":
      var bounds: [Int] = []
      while let value = arguments.positional.popFirst() {
        guard let bound = value.asInteger else { throw failure(.value, arguments.line, "range of \(value.kindName)") }
        bounds.append(bound)
      }
      try arguments.finish(name, self)
      return .list(try range(bounds, arguments.line).map { .integer($0) })
    default:  // namespace and dict
      var map = TemplateMap()
      if case .map(let given) = arguments.positional.first {
        map = given
        arguments.positional.removeFirst()
      }
      for (name, value) in arguments.named { map[name] = value }
      arguments.named = []
      try arguments.finish(name, self)
      guard name == "namespace" else { return .map(map) }
      let namespace = TemplateNamespace()
      namespace.members = map
      return .namespace(namespace)
    }
  }

  private func range(_ bounds: [Int], _ line: Int) throws(TemplateError) -> [Int] {
    let (from, to, step): (Int, Int, Int)
    switch bounds.count {
    case 1: (from, to, step) = (0, bounds[0], 1)
    case 2: (from, to, step) = (bounds[0], bounds[1], 1)
    case 3 where bounds[2] != 0: (from, to, step) = (bounds[0], bounds[1], bounds[2])
    default: throw failure(.value, line, "range of \(bounds.count) numbers")
    }
    // Jinja's sandbox allows as many.
    let values = Array(stride(from: from, to: to, by: step).prefix(100_001))
    guard values.count <= 100_000 else { throw failure(.value, line, "a range of more than 100000 numbers") }
    return values
  }
}
