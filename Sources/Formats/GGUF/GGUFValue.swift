// What does GGUF metadata hold? Numbers, flags, strings and arrays of them. Scalars are read when the file is opened; an array is only
// walked over (every length in it is checked) and stays in the map until somebody asks for its elements: vocabularies are large.

/// One metadata value.
public enum GGUFValue: Sendable {
  case integer(Int64)
  /// An unsigned 64-bit number too large for `integer`.
  case unsigned(UInt64)
  case number(Double)
  case bool(Bool)
  case string(String)
  case array(GGUFArray)

  /// The integer, or nil when the value is something else or too large.
  public var int64: Int64? { if case .integer(let value) = self { value } else { nil } }

  /// The number, integers included.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .unsigned(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var array: GGUFArray? { if case .array(let value) = self { value } else { nil } }
}

/// The type tags of metadata.
enum GGUFValueType: UInt32 {
  case u8 = 0, i8, u16, i16, u32, i32, f32, bool, string, array, u64, i64, f64

  /// Bytes of one value; nil where they vary.
  var byteCount: Int? {
    switch self {
    case .u8, .i8, .bool: 1
    case .u16, .i16: 2
    case .u32, .i32, .f32: 4
    case .u64, .i64, .f64: 8
    case .string, .array: nil
    }
  }

  /// Bytes one value takes at least.
  var leastByteCount: Int { byteCount ?? (self == .string ? 8 : 12) }
}

/// An array of metadata, checked, where it lies in its file.
public struct GGUFArray: Sendable {
  public let count: Int
  let elementType: GGUFValueType
  /// Where the elements are.
  let range: Range<Int>
  let file: MappedFile

  /// Arrays inside arrays; deeper is refused.
  static let depthLimit = 4

  public var isOfStrings: Bool { elementType == .string }

  /// The elements in order, one at a time.
  public var elements: Elements { Elements(self) }

  /// The bytes of each string in order, in place; nothing for other element types. They need not be valid UTF-8: a vocabulary may hold
  /// parts of characters.
  public func forEachString(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    guard isOfStrings else { return }
    var offset = range.lowerBound
    for _ in 0..<count {
      let length = Int(UInt64(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
      offset += 8
      try body(UnsafeRawBufferPointer(rebasing: file.bytes[offset..<offset + length]))
      offset += length
    }
  }

  /// Every element as a string (repaired where it is not UTF-8), or nil when they are something else.
  public var strings: [String]? {
    guard isOfStrings else { return nil }
    var strings: [String] = []
    forEachString { strings.append(String(decoding: $0, as: UTF8.self)) }
    return strings
  }

  /// Every element as an integer, or nil when one is not.
  public var integers: [Int64]? { all(\.int64) }

  /// The largest element, or nil when one is not an integer or there is none.
  public var largestInteger: Int64? {
    guard !isOfStrings else { return nil }
    var largest: Int64?
    for value in elements {
      guard let element = value.int64 else { return nil }
      largest = max(largest ?? element, element)
    }
    return largest
  }

  /// Every element as a number, or nil when one is not.
  public var numbers: [Double]? { all(\.double) }

  /// Every element as a flag, or nil when one is not.
  public var bools: [Bool]? { all(\.bool) }

  private func all<Element>(_ part: (GGUFValue) -> Element?) -> [Element]? {
    guard !isOfStrings else { return nil }
    var found: [Element] = []
    found.reserveCapacity(min(count, 1 << 16))
    for value in elements {
      guard let element = part(value) else { return nil }
      found.append(element)
    }
    return found
  }

  public struct Elements: Sequence, IteratorProtocol {
    private let type: GGUFValueType
    private var remaining: Int
    private var cursor: GGUFCursor

    init(_ array: GGUFArray) {
      type = array.elementType
      remaining = array.count
      cursor = GGUFCursor(array.file, at: array.range.lowerBound)
    }

    public mutating func next() -> GGUFValue? {
      guard remaining > 0 else { return nil }
      remaining -= 1
      return try? cursor.value(of: type, "array element")  // checked when the file was opened: it cannot fail
    }
  }
}

extension GGUFCursor {
  /// A type tag and its value.
  mutating func value(_ what: String) throws(FormatError) -> GGUFValue {
    let type = try valueType(what)
    // A damaged length takes in whatever follows: that is no text, and repaired it would be three times as long.
    return type == .string ? .string(try text(what, limit: .max)) : try value(of: type, what)
  }

  private mutating func valueType(_ what: String) throws(FormatError) -> GGUFValueType {
    let start = offset
    let tag = try integer(UInt32.self, what + " (type)")
    guard let type = GGUFValueType(rawValue: tag) else {
      throw .unsupported(file: file.path, place: "\(what) at byte \(start)", found: "value type \(tag)", hint: "is the file damaged?")
    }
    return type
  }

  mutating func value(of type: GGUFValueType, _ what: String, depth: Int = 0) throws(FormatError) -> GGUFValue {
    switch type {
    case .u8: return .integer(Int64(try integer(UInt8.self, what)))
    case .i8: return .integer(Int64(try integer(Int8.self, what)))
    case .u16: return .integer(Int64(try integer(UInt16.self, what)))
    case .i16: return .integer(Int64(try integer(Int16.self, what)))
    case .u32: return .integer(Int64(try integer(UInt32.self, what)))
    case .i32: return .integer(Int64(try integer(Int32.self, what)))
    case .i64: return .integer(try integer(Int64.self, what))
    case .u64:
      let value = try integer(UInt64.self, what)
      return Int64(exactly: value).map { .integer($0) } ?? .unsigned(value)
    case .f32: return .number(Double(Float(bitPattern: try integer(UInt32.self, what))))
    case .f64: return .number(Double(bitPattern: try integer(UInt64.self, what)))
    case .bool:
      let start = offset
      let byte = try integer(UInt8.self, what)
      guard byte <= 1 else { throw malformed(what, "a flag is \(byte), not 0 or 1", at: start) }
      return .bool(byte == 1)
    case .string:
      let range = try string(what)
      return .string(String(decoding: file.bytes[range], as: UTF8.self))
    case .array: return .array(try array(what, depth: depth))
    }
  }

  /// Walks over an array; every element of it is checked here.
  private mutating func array(_ what: String, depth: Int) throws(FormatError) -> GGUFArray {
    guard depth < GGUFArray.depthLimit else {
      throw malformed(what, "has more than \(GGUFArray.depthLimit) arrays inside each other")
    }
    let type = try valueType(what + " (element)")
    let count = try count(what + " (count)", each: type.leastByteCount)
    let start = offset
    switch type {
    case .string: for _ in 0..<count { _ = try string(what) }
    case .array: for _ in 0..<count { _ = try array(what, depth: depth + 1) }
    case .bool: for _ in 0..<count { _ = try value(of: .bool, what) }
    default: try skip(count * type.leastByteCount, what)
    }
    return GGUFArray(count: count, elementType: type, range: start..<offset, file: file)
  }
}
