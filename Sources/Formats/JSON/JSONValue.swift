// What does a JSON value hold? A `JSONValue` is a place in a checked text: two words that cost nothing to pass around, decoding only
// what is asked for. Numbers keep their spelling until they are read as `Int64` or `Double`. The accessors that name the
// offending place in their errors are in JSONAccess.swift.

/// One value of a parsed JSON text; keeps the whole text alive.
public struct JSONValue: Sendable {
  let document: JSONDocument
  let index: Int

  public enum Kind: Sendable { case null, bool, number, string, array, object }

  var entry: JSONDocument.Entry { document.entries[index] }

  public var kind: Kind {
    switch entry.kind {
    case .null: return .null
    case .yes, .no: return .bool
    case .number, .nonFinite: return .number
    case .string, .escapedString: return .string
    case .array: return .array
    case .object: return .object
    }
  }

  public var isNull: Bool { entry.kind == .null }

  /// The boolean, or nil when the value is something else.
  public var bool: Bool? {
    switch entry.kind {
    case .yes: return true
    case .no: return false
    default: return nil
    }
  }

  /// The number, when it is spelt without fraction or exponent and fits; nil otherwise. Exact.
  public var int64: Int64? {
    guard entry.kind == .number else { return nil }
    var position = Int(entry.start)
    let isNegative = document.text[position] == ascii("-")
    if isNegative { position += 1 }
    var value: Int64 = 0  // kept negative: the range is larger on that side
    while position < Int(entry.end) {
      let digit = document.text[position] &- ascii("0")
      guard digit < 10 else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.subtractingReportingOverflow(Int64(digit))
      guard !overflow, !carry else { return nil }
      value = sum
      position += 1
    }
    if isNegative { return value }
    return value == .min ? nil : -value
  }

  /// The number, correctly rounded; nil when the value is not a number. Too large a number is infinite.
  public var double: Double? {
    switch entry.kind {
    case .number:
      // Zero may have a sign, which an integer has not.
      if let value = int64, value != 0, let exact = Double(exactly: value) { return exact }
      return Double(source)
    case .nonFinite: return source == "NaN" ? .nan : source == "Infinity" ? .infinity : -.infinity
    default: return nil
    }
  }

  /// The string, escapes resolved; nil when the value is something else.
  public var string: String? {
    switch entry.kind {
    case .string: return source
    case .escapedString: return String(decoding: unescaped(document.text, entry), as: UTF8.self)
    default: return nil
    }
  }

  /// The UTF-8 bytes of a string, escapes resolved, without making a `String`; nil when the value is something else.
  public func withUTF8<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result? {
    switch entry.kind {
    case .string: return try body(sourceBytes)
    case .escapedString: return try unescaped(document.text, entry).withUnsafeBufferPointer(body)
    default: return nil
    }
  }

  /// Elements of an array, members of an object, else 0.
  public var count: Int { Int(entry.count) }

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

  /// The elements of an array in order; empty for anything else.
  public var elements: Elements { Elements(document: document, container: index) }

  /// The members of an object in the order of the text; empty for anything else.
  public var members: Members { Members(document: document, container: index) }

  /// Where the value begins in its file.
  public var byteOffset: Int { document.offset + Int(entry.start) }

  /// The name of the file, as its opener gave it.
  public var fileName: String { document.name }

  /// The value as the file spells it (strings without their quotes).
  var source: String { String(decoding: sourceBytes, as: UTF8.self) }

  private var sourceBytes: UnsafeBufferPointer<UInt8> {
    let entry = entry
    return UnsafeBufferPointer(start: document.text + Int(entry.start), count: Int(entry.end - entry.start))
  }

  private func hasBytes(_ wanted: UnsafeBufferPointer<UInt8>) -> Bool {
    withUTF8 { bytes in
      guard bytes.count == wanted.count else { return false }
      guard let a = bytes.baseAddress, let b = wanted.baseAddress else { return bytes.isEmpty }
      return isEqual(a, b, bytes.count)
    } ?? false
  }
}

extension JSONValue {
  /// The elements of an array.
  public struct Elements: Sequence, IteratorProtocol, Sendable {
    let document: JSONDocument
    private var index: Int
    private var remaining: Int

    init(document: JSONDocument, container: Int) {
      self.document = document
      index = container + 1
      remaining = document.entries[container].kind == .array ? Int(document.entries[container].count) : 0
    }

    public var underestimatedCount: Int { remaining }

    public mutating func next() -> JSONValue? {
      guard remaining > 0 else { return nil }
      remaining -= 1
      defer { index = Int(document.entries[index].next) }
      return JSONValue(document: document, index: index)
    }
  }

  /// The members of an object; a key is a string value, so that large vocabularies need not make `String`s.
  public struct Members: Sequence, IteratorProtocol, Sendable {
    let document: JSONDocument
    private var index: Int
    private var remaining: Int

    init(document: JSONDocument, container: Int) {
      self.document = document
      index = container + 1
      remaining = document.entries[container].kind == .object ? Int(document.entries[container].count) : 0
    }

    public var underestimatedCount: Int { remaining }

    public mutating func next() -> (key: JSONValue, value: JSONValue)? {
      guard remaining > 0 else { return nil }
      remaining -= 1
      defer { index = Int(document.entries[index + 1].next) }
      return (JSONValue(document: document, index: index), JSONValue(document: document, index: index + 1))
    }
  }
}
