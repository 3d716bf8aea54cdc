// What do `value | filter` and `value is test` give? The filters and tests of Jinja that chat templates use, with Jinja's defaults, and
// `tojson` as transformers replaces it. Others are refused by name.

extension TemplateRenderer {
  // MARK: Filters

  mutating func filter(_ name: String, _ value: TemplateValue, _ arguments: TemplateCall) throws(TemplateError) -> TemplateValue {
    try step(arguments.line)
    var arguments = arguments
    let result: TemplateValue
    if case .markup = value, !["safe", "string", "tojson", "length", "count"].contains(name) {
      throw failure(.unsupported, arguments.line, "the filter \"\(name)\" of a text made safe")
    }
    if let filtered = try textFilter(name, value, &arguments) {
      result = filtered
    } else if let filtered = try sequenceFilter(name, value, &arguments) {
      result = filtered
    } else if let filtered = try valueFilter(name, value, &arguments) {
      result = filtered
    } else {
      throw failure(.unsupported, arguments.line, "the filter \"\(name)\"")
    }
    try arguments.finish("the filter \(name)", self)
    return result
  }

  private func string(_ value: TemplateValue?, _ line: Int, or fallback: String) throws(TemplateError) -> String {
    try value.map { value throws(TemplateError) in try text(of: value, line) } ?? fallback
  }

  private func textFilter(
    _ name: String, _ value: TemplateValue, _ arguments: inout TemplateCall
  ) throws(TemplateError) -> TemplateValue? {
    let line = arguments.line
    switch name {
    case "trim":
      let characters = arguments.take("chars")
      return .string(
        TextSearch.strip(try text(of: value, line), try characters.map { value throws(TemplateError) in try text(of: value, line) }))
    case "upper": return .string(TextSearch.upper(try text(of: value, line)))
    case "lower": return .string(try lowered(try text(of: value, line), line))
    case "capitalize": return .string(TextSearch.capitalize(try text(of: value, line)))
    case "string":
      if case .markup = value { return value }
      return .string(try text(of: value, line))
    case "safe": return .markup(try text(of: value, line))
    case "replace":
      let old = try string(arguments.take("old"), line, or: "")
      let new = try string(arguments.take("new"), line, or: "")
      let limit = arguments.take("count")?.asInteger ?? .max
      return .string(try replaced(try text(of: value, line), old, new, limit: limit < 0 ? .max : limit, line))
    case "indent":
      let given = arguments.take("width") ?? .integer(4)
      let isFirst = arguments.take("first")?.isTrue ?? false
      let takesBlank = arguments.take("blank")?.isTrue ?? false
      let spaces: String
      if case .string(let text) = given {
        spaces = text
      } else {
        spaces = String(repeating: " ", count: min(1000, max(0, given.asInteger ?? 0)))
      }
      var lines = TextSearch.lines(try text(of: value, line) + "\n")
      for index in lines.indices.dropFirst() where takesBlank || !lines[index].isEmpty { lines[index] = spaces + lines[index] }
      return .string((isFirst ? spaces : "") + lines.joined(separator: "\n"))
    case "join":
      let separator = try string(arguments.take("d"), line, or: "")
      let path = arguments.take("attribute")
      var parts: [String] = []
      for element in try elements(of: value, name, line) {
        parts.append(try text(of: try path.map { path throws(TemplateError) in try attribute(path, of: element, line) } ?? element, line))
      }
      let size = parts.reduce(separator.utf8.count * parts.count) { $0 + $1.utf8.count }
      guard size <= Self.textLimit else { throw failure(.value, line, "a text beyond \(Self.textLimit >> 20) MiB") }
      return .string(parts.joined(separator: separator))
    case "tojson":
      var style = PythonText.JSONStyle()
      if let given = arguments.take("ensure_ascii") { style.asciiOnly = given.isTrue }
      if let indent = arguments.take("indent")?.asInteger { style.indent = min(max(0, indent), 100) }
      if let separators = arguments.take("separators")?.iterated, separators.count == 2 {
        style.itemSeparator = try text(of: separators[0], line)
        style.keySeparator = try text(of: separators[1], line)
      }
      style.sortsKeys = arguments.take("sort_keys")?.isTrue ?? false
      guard let json = PythonText.json(value, style) else { throw failure(.value, line, "tojson of \(value.kindName)") }
      return .string(json)
    default: return nil
    }
  }

  private func valueFilter(
    _ name: String, _ value: TemplateValue, _ arguments: inout TemplateCall
  ) throws(TemplateError) -> TemplateValue? {
    let line = arguments.line
    switch name {
    case "default", "d":
      let fallback = arguments.take("default_value") ?? .string("")
      let isForFalse = arguments.take("boolean")?.isTrue ?? false
      return value.isUndefined || (isForFalse && !value.isTrue) ? fallback : value
    case "length", "count":
      if case .string(let text) = value { return .integer(text.unicodeScalars.count) }
      if case .markup(let text) = value { return .integer(text.unicodeScalars.count) }
      if case .generator = value { throw failure(.value, line, "\(name) of a generator: | list before it makes a list") }
      return .integer(try elements(of: value, name, line).count)
    case "int":
      let fallback = arguments.take("default")?.asInteger ?? 0
      switch value {
      case .string(let text):
        let text = TextSearch.strip(text, nil)
        if let whole = Int(text) { return .integer(whole) }
        return .integer(Double(text).flatMap { Int(exactly: $0.rounded(.towardZero)) } ?? fallback)
      case .number(let number): return .integer(Int(exactly: number.rounded(.towardZero)) ?? fallback)
      default: return .integer(value.asInteger ?? fallback)
      }
    case "float":
      let fallback = arguments.take("default")?.asNumber ?? 0
      if case .string(let text) = value { return .number(Double(TextSearch.strip(text, nil)) ?? fallback) }
      return .number(value.asNumber ?? fallback)
    case "abs":
      if let whole = value.asInteger, whole != .min { return .integer(abs(whole)) }
      guard let number = value.asNumber else { throw failure(.value, line, "abs of \(value.kindName)") }
      return .number(abs(number))
    case "items":
      switch value {
      case .undefined: return .generator(TemplateGenerator([]))
      case .map(let map): return .generator(TemplateGenerator(map.entries.map { .tuple([$0.key, $0.value]) }))
      default: throw failure(.value, line, "items of \(value.kindName)")
      }
    case "dictsort":
      guard case .map(let map) = value else { throw failure(.value, line, "dictsort of \(value.kindName)") }
      return .list(try sorted(.list(map.entries.map { .tuple([$0.key, $0.value]) }), by: .integer(0), line))
    default: return nil
    }
  }

  private mutating func sequenceFilter(
    _ name: String, _ value: TemplateValue, _ arguments: inout TemplateCall
  ) throws(TemplateError) -> TemplateValue? {
    let line = arguments.line
    switch name {
    case "list": return .list(try elements(of: value, name, line))
    case "first":
      if case .generator(let generator) = value { return generator.next() ?? .undefined("the first of nothing") }
      return try elements(of: value, name, line).first ?? .undefined("the first of nothing")
    case "last":
      if case .generator = value { throw failure(.value, line, "last of a generator: | list before it makes a list") }
      return try elements(of: value, name, line).last ?? .undefined("the last of nothing")
    case "reverse":
      let reversed = Array(try elements(of: value, name, line).reversed())
      if case .string = value { return .string(try reversed.map { part throws(TemplateError) in try text(of: part, line) }.joined()) }
      return .generator(TemplateGenerator(reversed))
    case "sort": return .list(try sorted(value, &arguments))
    case "min", "max": return try extreme(name, value, &arguments)
    case "unique":
      var (keys, unique): ([TemplateValue], [TemplateValue]) = ([], [])
      for element in try elements(of: value, name, line) {
        try step(line)
        let key = try folded(element, line)
        if keys.contains(where: { $0.equals(key) }) { continue }
        keys.append(key)
        unique.append(element)
      }
      return .generator(TemplateGenerator(unique))
    case "map":
      // Nothing comes of what is not true, be it a list or not.
      let elements = value.isTrue ? try elements(of: value, name, line) : []
      var mapped: [TemplateValue] = []
      if let place = arguments.named.firstIndex(where: { $0.name == "attribute" }) {
        let path = arguments.named.remove(at: place).value
        let fallback = arguments.take("default")
        for element in elements {
          let found = try attribute(path, of: element, line)
          mapped.append(found.isUndefined ? fallback ?? found : found)
        }
      } else {
        let filterName = try string(arguments.take("name"), line, or: "")
        let rest = takeRest(&arguments)
        for element in elements { mapped.append(try filter(filterName, element, rest)) }
      }
      return .generator(TemplateGenerator(mapped))
    case "select", "reject", "selectattr", "rejectattr":
      let path = name.hasSuffix("attr") ? arguments.take("attribute") : nil
      let testName = try arguments.take("test").map { value throws(TemplateError) in try text(of: value, line) }
      let rest = takeRest(&arguments)
      var kept: [TemplateValue] = []
      for element in value.isTrue ? try elements(of: value, name, line) : [] {
        let subject = try path.map { path throws(TemplateError) in try attribute(path, of: element, line) } ?? element
        let holds = try testName.map { testName throws(TemplateError) in try test(testName, subject, rest) } ?? subject.isTrue
        if holds == name.hasPrefix("select") { kept.append(element) }
      }
      return .generator(TemplateGenerator(kept))
    default: return nil
    }
  }

  private func takeRest(_ arguments: inout TemplateCall) -> TemplateCall {
    let rest = arguments
    arguments.positional = []
    arguments.named = []
    return rest
  }

  private func elements(of value: TemplateValue, _ name: String, _ line: Int) throws(TemplateError) -> [TemplateValue] {
    guard let elements = value.iterated else { throw failure(.value, line, "\(name) of \(value.kindName)") }
    return elements
  }

  /// The member at a path like "function.name".
  private func attribute(_ path: TemplateValue, of value: TemplateValue, _ line: Int) throws(TemplateError) -> TemplateValue {
    if path.asInteger != nil { return try item(path, of: value, line) }
    var value = value
    for part in TextSearch.split(try text(of: path, line), by: ".") {
      value = try item(Int(part).map { .integer($0) } ?? .string(part), of: value, line)
    }
    return value
  }

  /// What Jinja compares texts by unless told otherwise.
  private func folded(_ value: TemplateValue, _ line: Int) throws(TemplateError) -> TemplateValue {
    if case .string(let text) = value { return .string(try lowered(text, line)) }
    return value
  }

  private func sorted(_ value: TemplateValue, _ arguments: inout TemplateCall) throws(TemplateError) -> [TemplateValue] {
    let line = arguments.line
    let isReversed = arguments.take("reverse")?.isTrue ?? false
    let isExact = arguments.take("case_sensitive")?.isTrue ?? false
    return try sorted(value, by: arguments.take("attribute"), isReversed: isReversed, isExact: isExact, line)
  }

  private func sorted(
    _ value: TemplateValue, by path: TemplateValue?, isReversed: Bool = false, isExact: Bool = false, _ line: Int
  ) throws(TemplateError) -> [TemplateValue] {
    var keyed: [(key: TemplateValue, value: TemplateValue)] = []
    for element in try elements(of: value, "sort", line) {
      let key = try path.map { path throws(TemplateError) in try attribute(path, of: element, line) } ?? element
      keyed.append((isExact ? key : try folded(key, line), element))
    }
    if let first = keyed.first, let odd = keyed.first(where: { $0.key.isLess(than: first.key) == nil }) {
      throw failure(.value, line, "sort of \(first.key.kindName) with \(odd.key.kindName)")
    }
    // Stable in both directions, as Python's.
    let sorted = keyed.sorted { (isReversed ? $1.key.isLess(than: $0.key) : $0.key.isLess(than: $1.key)) ?? false }
    return sorted.map(\.value)
  }

  /// The first of the smallest, or of the largest.
  private func extreme(_ name: String, _ value: TemplateValue, _ arguments: inout TemplateCall) throws(TemplateError) -> TemplateValue {
    let line = arguments.line
    let isExact = arguments.take("case_sensitive")?.isTrue ?? false
    let path = arguments.take("attribute")
    var best: (key: TemplateValue, value: TemplateValue)?
    for element in try elements(of: value, name, line) {
      let key = try path.map { path throws(TemplateError) in try attribute(path, of: element, line) } ?? element
      let folded = isExact ? key : try folded(key, line)
      guard let other = best?.key else {
        best = (folded, element)
        continue
      }
      if try compare(name == "min" ? "<" : ">", folded, other, line) { best = (folded, element) }
    }
    return best?.value ?? .undefined("the \(name) of nothing")
  }

  // MARK: Tests

  func test(_ name: String, _ value: TemplateValue, _ arguments: TemplateCall) throws(TemplateError) -> Bool {
    var arguments = arguments
    let line = arguments.line
    func operand() throws(TemplateError) -> TemplateValue {
      guard let operand = arguments.take("other") else { throw failure(.value, line, "the test \(name) without a value to compare with") }
      return operand
    }
    let result: Bool
    switch name {
    case "defined": result = !value.isUndefined
    case "undefined": result = value.isUndefined
    case "none": if case .none = value { result = true } else { result = false }
    case "true": if case .bool(true) = value { result = true } else { result = false }
    case "false": if case .bool(false) = value { result = true } else { result = false }
    case "boolean": if case .bool = value { result = true } else { result = false }
    case "string":
      switch value {
      case .string, .markup: result = true
      default: result = false
      }
    case "mapping": if case .map = value { result = true } else { result = false }
    case "number": result = value.asNumber != nil
    case "integer": if case .integer = value { result = true } else { result = false }
    case "float": if case .number = value { result = true } else { result = false }
    case "iterable": result = value.isIterable
    case "sequence":
      switch value {
      case .string, .markup, .list, .tuple, .map, .undefined: result = true
      default: result = false
      }
    case "callable":
      switch value {
      case .macro, .method, .function: result = true
      default: result = false
      }
    case "odd", "even", "divisibleby":
      guard let number = value.asInteger else { throw failure(.value, line, "\(value.kindName) is \(name)") }
      let divisor = name == "divisibleby" ? try operand().asInteger ?? 0 : 2
      guard divisor != 0, divisor != -1 else { throw failure(.value, line, "divisibleby \(divisor)") }
      result = (number % divisor == 0) != (name == "odd")
    case "equalto", "eq", "==", "sameas": result = try compare("==", value, try operand(), line)
    case "ne", "!=": result = try compare("!=", value, try operand(), line)
    case "lt", "lessthan", "<": result = try compare("<", value, try operand(), line)
    case "gt", "greaterthan", ">": result = try compare(">", value, try operand(), line)
    case "le", "<=": result = try compare("<=", value, try operand(), line)
    case "ge", ">=": result = try compare(">=", value, try operand(), line)
    case "in": result = try compare("in", value, try operand(), line)
    default: throw failure(.unsupported, line, "the test \"\(name)\"")
    }
    try arguments.finish("the test \(name)", self)
    return result
  }
}
