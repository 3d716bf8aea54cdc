// How does a command print JSON? A writer that puts members down in the order it is told, numbers in the shortest form that reads
// back the same, and escapes exactly what must be escaped. It makes text; where the text goes is the caller's business.

/// Builds one JSON text.
///
///     var json = JSONWriter()
///     json.object {
///       $0.member("layer", 3)
///       $0.member("load", [0.25, 0.75])
///       $0.member("runs") { $0.array { for run in runs { $0.value(run.name) } } }
///     }
///     print(json.text)
public struct JSONWriter: Sendable {
  /// The UTF-8 text so far.
  public private(set) var bytes: [UInt8] = []

  public enum Layout: Sendable {
    /// One line, no spaces.
    case compact
    /// Two spaces a level, one member or element a line.
    case indented
  }

  private let layout: Layout
  private var depth = 0
  private var needsComma = false
  private var followsKey = false

  public init(layout: Layout = .compact) {
    self.layout = layout
  }

  public var text: String { String(decoding: bytes, as: UTF8.self) }

  // MARK: Containers

  public mutating func object(_ body: (inout JSONWriter) throws -> Void) rethrows {
    try container("{", "}", body)
  }

  public mutating func array(_ body: (inout JSONWriter) throws -> Void) rethrows {
    try container("[", "]", body)
  }

  /// A member whose value `body` writes.
  public mutating func member(_ key: String, _ body: (inout JSONWriter) throws -> Void) rethrows {
    self.key(key)
    try body(&self)
  }

  public mutating func member<Value: JSONWritable>(_ key: String, _ value: Value) {
    self.key(key)
    value.write(to: &self)
  }

  public mutating func value<Value: JSONWritable>(_ value: Value) {
    value.write(to: &self)
  }

  public mutating func null() { literal("null") }

  /// A number in a spelling of the caller's.
  public mutating func number(_ spelling: String) { literal(spelling) }

  // MARK: Pieces

  /// Puts down a number or word that is JSON as it stands.
  mutating func literal(_ text: String) {
    beginItem()
    bytes.append(contentsOf: text.utf8)
  }

  mutating func string(_ text: String) {
    beginItem()
    quote(text)
  }

  private mutating func key(_ key: String) {
    beginItem()
    quote(key)
    bytes.append(ascii(":"))
    if layout == .indented { bytes.append(0x20) }
    followsKey = true
  }

  private mutating func container(_ opening: UnicodeScalar, _ closing: UnicodeScalar, _ body: (inout JSONWriter) throws -> Void) rethrows {
    beginItem()
    bytes.append(ascii(opening))
    depth += 1
    needsComma = false
    try body(&self)
    depth -= 1
    if needsComma { newLine() }
    bytes.append(ascii(closing))
    needsComma = true
  }

  private mutating func beginItem() {
    if followsKey {
      followsKey = false
      needsComma = true
      return
    }
    if needsComma { bytes.append(ascii(",")) }
    if depth > 0 { newLine() }
    needsComma = true
  }

  private mutating func newLine() {
    guard layout == .indented else { return }
    bytes.append(0x0A)
    bytes.append(contentsOf: repeatElement(0x20, count: depth * 2))
  }

  private mutating func quote(_ text: String) {
    bytes.append(ascii("\""))
    for byte in text.utf8 {
      switch byte {
      case ascii("\""), ascii("\\"):
        bytes.append(ascii("\\"))
        bytes.append(byte)
      case 0x0A: bytes.append(contentsOf: "\\n".utf8)
      case 0x0D: bytes.append(contentsOf: "\\r".utf8)
      case 0x09: bytes.append(contentsOf: "\\t".utf8)
      case 0..<0x20, 0x7F:
        let digits = String(byte, radix: 16)
        bytes.append(contentsOf: ("\\u00" + (digits.utf8.count == 1 ? "0" : "") + digits).utf8)
      default: bytes.append(byte)
      }
    }
    bytes.append(ascii("\""))
  }
}

/// What `JSONWriter` can put down by itself.
public protocol JSONWritable {
  func write(to writer: inout JSONWriter)
}

extension String: JSONWritable {
  public func write(to writer: inout JSONWriter) { writer.string(self) }
}

extension Bool: JSONWritable {
  public func write(to writer: inout JSONWriter) { writer.literal(self ? "true" : "false") }
}

extension JSONWritable where Self: FixedWidthInteger {
  public func write(to writer: inout JSONWriter) { writer.literal(String(self)) }
}

extension Int: JSONWritable {}
extension Int32: JSONWritable {}
extension Int64: JSONWritable {}
extension UInt32: JSONWritable {}
extension UInt64: JSONWritable {}

/// Shortest form that reads back as the same value; not a number and the infinities become null, as JSON has no word for them.
extension JSONWritable where Self: BinaryFloatingPoint & CustomStringConvertible {
  public func write(to writer: inout JSONWriter) {
    if isFinite { writer.literal(description) } else { writer.null() }
  }
}

extension Double: JSONWritable {}
extension Float: JSONWritable {}

extension Optional: JSONWritable where Wrapped: JSONWritable {
  public func write(to writer: inout JSONWriter) {
    if let self { self.write(to: &writer) } else { writer.null() }
  }
}

extension Array: JSONWritable where Element: JSONWritable {
  public func write(to writer: inout JSONWriter) {
    writer.array { for element in self { element.write(to: &$0) } }
  }
}
