// How does a reader ask for what it needs, and fail well? Typed accessors that throw `FormatError.value` or `.missing` with the
// dotted path of the place ("config.json: hidden_size: expected a positive integer, found \"abc\""). Paths are found only when an
// error is made: values do not carry them. `null` counts as absent for the `IfPresent` forms.

extension JSONValue {
  /// The dotted path of this value from the root ("rope_scaling.factor", "layers[3]"); "" for the root.
  public var path: String {
    var path = ""
    var container = JSONValue(document: document)
    descent: while container.start < start {
      for (number, element) in container.elements.enumerated() where start < element.end {
        path += "[\(number)]"
        container = element
        continue descent
      }
      for member in container.members where start < member.value.end {
        path = joined(path, member.key.string ?? "")
        if start < member.value.start { return path }
        container = member.value
        continue descent
      }
      break
    }
    return path
  }

  /// The error for a value that is not what its reader needs.
  public func unexpected(_ expected: String) -> FormatError {
    .value(file: document.name, path: path.isEmpty ? "top level" : path, expected: expected, found: shown)
  }

  /// A short form of the value for error lines.
  private var shown: String {
    switch kind {
    case .string: return quoted(string ?? "")
    case .array: return "an array of \(count)"
    case .object: return "an object"
    case .null, .bool, .number: return source.count > 40 ? "\(source.prefix(40))…" : source
    }
  }

  private func joined(_ path: String, _ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  // MARK: This value

  /// This value as an integer within `range`.
  public func requireInteger(in range: ClosedRange<Int> = .min ... .max) throws(FormatError) -> Int {
    guard let value = int64.flatMap({ Int(exactly: $0) }), range.contains(value) else { throw unexpected(describe(range)) }
    return value
  }

  /// This value as a finite number (integers included).
  public func requireNumber() throws(FormatError) -> Double {
    guard let value = double, value.isFinite else { throw unexpected("a number") }
    return value
  }

  public func requireString() throws(FormatError) -> String {
    guard let value = string else { throw unexpected("a string") }
    return value
  }

  public func requireBool() throws(FormatError) -> Bool {
    guard let value = bool else { throw unexpected("true or false") }
    return value
  }

  /// The elements of this value, which must be an array.
  public func requireArray() throws(FormatError) -> Elements {
    guard kind == .array else { throw unexpected("an array") }
    return elements
  }

  /// The members of this value, which must be an object.
  public func requireObject() throws(FormatError) -> Members {
    guard kind == .object else { throw unexpected("an object") }
    return members
  }

  private func describe(_ range: ClosedRange<Int>) -> String {
    switch (range.lowerBound, range.upperBound) {
    case (.min, .max): return "an integer"
    case (1, .max): return "a positive integer"
    case (0, .max): return "an integer of at least 0"
    case (let low, .max): return "an integer of at least \(low)"
    default: return "an integer in \(range.lowerBound)...\(range.upperBound)"
    }
  }

  // MARK: Members

  /// The member called `key`; null counts as there.
  public func member(_ key: String, expected: String = "a value") throws(FormatError) -> JSONValue {
    guard kind == .object else { throw unexpected("an object") }
    guard let value = self[key] else { throw .missing(file: document.name, path: joined(path, key), expected: expected) }
    return value
  }

  /// The member called `key`, nil when it is absent or null.
  public func memberIfPresent(_ key: String) throws(FormatError) -> JSONValue? {
    guard kind == .object else { throw unexpected("an object") }
    guard let value = self[key], !value.isNull else { return nil }
    return value
  }

  /// The integer member `key`, within `range`.
  public func integer(_ key: String, in range: ClosedRange<Int> = .min ... .max) throws(FormatError) -> Int {
    try member(key, expected: describe(range)).requireInteger(in: range)
  }

  public func integerIfPresent(_ key: String, in range: ClosedRange<Int> = .min ... .max) throws(FormatError) -> Int? {
    guard let value = try memberIfPresent(key) else { return nil }
    return try value.requireInteger(in: range)
  }

  /// The member `key`, an integer above 0: sizes and counts.
  public func positiveInteger(_ key: String) throws(FormatError) -> Int {
    try integer(key, in: 1 ... .max)
  }

  public func number(_ key: String) throws(FormatError) -> Double {
    try member(key, expected: "a number").requireNumber()
  }

  public func numberIfPresent(_ key: String) throws(FormatError) -> Double? {
    guard let value = try memberIfPresent(key) else { return nil }
    return try value.requireNumber()
  }

  public func string(_ key: String) throws(FormatError) -> String {
    try member(key, expected: "a string").requireString()
  }

  public func stringIfPresent(_ key: String) throws(FormatError) -> String? {
    guard let value = try memberIfPresent(key) else { return nil }
    return try value.requireString()
  }

  public func bool(_ key: String) throws(FormatError) -> Bool {
    try member(key, expected: "true or false").requireBool()
  }

  public func boolIfPresent(_ key: String) throws(FormatError) -> Bool? {
    guard let value = try memberIfPresent(key) else { return nil }
    return try value.requireBool()
  }

  public func array(_ key: String) throws(FormatError) -> Elements {
    try member(key, expected: "an array").requireArray()
  }

  public func arrayIfPresent(_ key: String) throws(FormatError) -> Elements? {
    guard let value = try memberIfPresent(key) else { return nil }
    return try value.requireArray()
  }

  /// The member `key`, an array of integers.
  public func integers(_ key: String, in range: ClosedRange<Int> = .min ... .max) throws(FormatError) -> [Int] {
    var values = [Int]()
    for element in try array(key) { values.append(try element.requireInteger(in: range)) }
    return values
  }

  /// The member `key`, an array of strings.
  public func strings(_ key: String) throws(FormatError) -> [String] {
    var values = [String]()
    for element in try array(key) { values.append(try element.requireString()) }
    return values
  }
}
