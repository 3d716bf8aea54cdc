// What does a JSON value hold? A `JSONValue` is a place in a checked text: two words that cost nothing to pass around, reading only
// what is asked for. Numbers keep their spelling until they are read as `Int64` or `Double`. The accessors that name the
// offending place in their errors are in JSONAccess.swift.

/// One value of a parsed JSON text; keeps the whole text alive.
public struct JSONValue: Sendable {
  let document: JSONDocument
  /// Its first byte: of a string, the quote.
  let start: Int

  /// The value at `start`, the root of the text when none is given.
  init(document: JSONDocument, start: Int? = nil) {
    self.document = document
    self.start = start ?? document.text.afterSpace(0)
  }

  public enum Kind: Sendable { case null, bool, number, string, array, object }

  var text: JSONText { document.text }

  public var kind: Kind {
    switch text[start] {
    case ascii("\""): return .string
    case ascii("{"): return .object
    case ascii("["): return .array
    case ascii("t"), ascii("f"): return .bool
    case ascii("n"): return .null
    default: return .number
    }
  }

  public var isNull: Bool { kind == .null }

  /// The boolean, or nil when the value is something else.
  public var bool: Bool? { kind == .bool ? text[start] == ascii("t") : nil }

  /// The number, when it is spelt without fraction or exponent and fits; nil otherwise. Exact.
  public var int64: Int64? {
    guard kind == .number else { return nil }
    let bytes = sourceBytes
    let isNegative = bytes.first == ascii("-")
    var value: Int64 = 0  // kept negative: the range is larger on that side
    for byte in bytes.dropFirst(isNegative ? 1 : 0) {
      let digit = byte &- ascii("0")
      guard digit < 10 else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.subtractingReportingOverflow(Int64(digit))
      guard !overflow, !carry else { return nil }
      value = sum
    }
    if isNegative { return value }
    return value == .min ? nil : -value
  }

  /// The number, correctly rounded; nil when the value is not a number. Too large a number is infinite.
  public var double: Double? {
    guard kind == .number else { return nil }
    // Zero may have a sign, which an integer has not.
    if let value = int64, value != 0, let exact = Double(exactly: value) { return exact }
    switch source {
    case "NaN": return .nan
    case "Infinity": return .infinity
    case "-Infinity": return -.infinity
    case let source: return Double(source)
    }
  }

  /// The string, escapes resolved; nil when the value is something else.
  public var string: String? { withUTF8 { String(decoding: $0, as: UTF8.self) } }

  /// The UTF-8 bytes of a string, escapes resolved, without making a `String`; nil when the value is something else.
  public func withUTF8<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result? {
    guard kind == .string else { return nil }
    let (content, isEscaped) = text.string(at: start)
    return isEscaped ? try text.unescaped(content).withUnsafeBufferPointer(body) : try body(text.buffer(content))
  }

  /// Whether this is the string `word`.
  func spells(_ word: StaticString) -> Bool {
    withUTF8 { isEqual($0, UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)) } ?? false
  }

  /// Elements of an array, members of an object, else 0.
  public var count: Int {
    switch kind {
    case .array: return document.spans[at: start]?.count ?? elements.reduce(0) { count, _ in count + 1 }
    case .object: return document.spans[at: start]?.count ?? members.reduce(0) { count, _ in count + 1 }
    default: return 0
    }
  }

  /// The member called `key`, by a walk over the members; nil when there is none or this is no object.
  /// Of repeated names (where allowed) the last counts.
  public subscript(key: String) -> JSONValue? {
    var key = key
    return key.withUTF8 { wanted in
      var found: JSONValue?
      for member in members where member.key.hasBytes(wanted) { found = member.value }
      return found
    }
  }

  /// A string's content; a number or a boolean as the text spells it; nil for null, arrays and objects.
  public var scalarText: String? {
    switch kind {
    case .string: return string
    case .number, .bool: return source
    case .null, .array, .object: return nil
    }
  }

  /// Bytes of the text that it takes.
  public var byteCount: Int { end - start }

  /// The elements of an array in order; empty for anything else.
  public var elements: Elements { Elements(self) }

  /// The members of an object in the order of the text; empty for anything else.
  public var members: Members { Members(self) }

  /// The name of the file, as its opener gave it.
  public var fileName: String { document.name }

  /// The byte after the value.
  var end: Int { document.afterValue(at: start) }

  /// The value as the file spells it.
  public var source: String { String(decoding: sourceBytes, as: UTF8.self) }

  private var sourceBytes: UnsafeBufferPointer<UInt8> { text.buffer(start..<max(start, end)) }

  private func hasBytes(_ wanted: UnsafeBufferPointer<UInt8>) -> Bool { withUTF8 { isEqual($0, wanted) } ?? false }
}

extension JSONValue {
  /// The elements of an array.
  public struct Elements: Sequence, IteratorProtocol, Sendable {
    private var walk: Walk

    init(_ container: JSONValue) { walk = Walk(container, from: "[") }

    public mutating func next() -> JSONValue? { walk.next() }
  }

  /// The members of an object; a key is a string value, so that large vocabularies need not make `String`s.
  public struct Members: Sequence, IteratorProtocol, Sendable {
    private var walk: Walk

    init(_ container: JSONValue) { walk = Walk(container, from: "{") }

    public mutating func next() -> (key: JSONValue, value: JSONValue)? {
      guard let key = walk.next(), let value = walk.next() else { return nil }
      return (key, value)
    }
  }

  /// One value of a container after the other, keys among them.
  private struct Walk {
    private let document: JSONDocument
    /// The byte after the bracket or after the value given out last.
    private var position: Int
    private var hasEnded: Bool

    init(_ container: JSONValue, from bracket: UnicodeScalar) {
      document = container.document
      position = container.start + 1
      hasEnded = container.text[container.start] != ascii(bracket)
    }

    mutating func next() -> JSONValue? {
      guard !hasEnded else { return nil }
      let text = document.text
      var start = text.afterSpace(position)
      if text[start] == ascii(",") || text[start] == ascii(":") { start = text.afterSpace(start + 1) }
      position = document.afterValue(at: start)
      // No value begins with a closing bracket: nothing lies before it.
      hasEnded = position == start
      return hasEnded ? nil : JSONValue(document: document, start: start)
    }
  }
}
