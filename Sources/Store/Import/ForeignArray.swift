// Arrays of ids as engines hand them out: [rows, layers, k] of some integer type, in a file or as text within a JSON answer. What is cut short
// keeps its whole rows.

import Formats
import Foundation
import Routing

/// An array of ids, `[rows, layers, slots]`, rows read on request.
struct ForeignArray {
  var rows: Int
  var layers: Int
  var slots: Int
  /// Rows that its shape says and its bytes do not have.
  var missing = 0
  /// `[rows of the range, layers * slots]`
  var read: (Range<Int>) throws -> [Int32]

  /// Element types by the names that formats use.
  enum Element: String {
    case uint8, int8, uint16, int16, int32, uint32, int64

    init?(_ type: ElementType) {
      let known: [ElementType: Element] = [
        .u8: .uint8, .i8: .int8, .u16: .uint16, .i16: .int16, .i32: .int32, .u32: .uint32, .i64: .int64,
      ]
      guard let element = known[type] else { return nil }
      self = element
    }

    var bytes: Int {
      switch self {
      case .uint8, .int8: 1
      case .uint16, .int16: 2
      case .int32, .uint32: 4
      case .int64: 8
      }
    }

    /// Numbers that do not fit into i32 become its largest: no router has as many experts.
    func value(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Int32 {
      func load<Number: FixedWidthInteger>(_: Number.Type) -> Int32 {
        Int32(clamping: Number(littleEndian: bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Number>.size, as: Number.self)))
      }
      return switch self {
      case .uint8: load(UInt8.self)
      case .int8: load(Int8.self)
      case .uint16: load(UInt16.self)
      case .int16: load(Int16.self)
      case .int32: load(Int32.self)
      case .uint32: load(UInt32.self)
      case .int64: load(Int64.self)
      }
    }
  }

  /// An array in memory.
  ///
  /// - Parameter bytes: row-major; fewer than the shape needs are its first rows.
  init(_ bytes: [UInt8], element: Element, rows: Int, layers: Int, slots: Int) {
    let width = layers * slots * element.bytes
    let whole = width == 0 ? 0 : min(rows, bytes.count / width)
    (self.rows, self.layers, self.slots) = (whole, layers, slots)
    missing = rows - whole
    read = { range in
      bytes.withUnsafeBytes { buffer in
        (range.lowerBound * layers * slots..<range.upperBound * layers * slots).map { element.value(buffer, $0) }
      }
    }
  }

  init(rows: Int, layers: Int, slots: Int, missing: Int = 0, read: @escaping (Range<Int>) throws -> [Int32]) {
    (self.rows, self.layers, self.slots, self.missing, self.read) = (rows, layers, slots, missing, read)
  }

  /// The arrays one after the other.
  static func joined(_ parts: [ForeignArray]) -> ForeignArray? {
    guard let first = parts.first, parts.allSatisfy({ $0.layers == first.layers && $0.slots == first.slots }) else { return nil }
    return ForeignArray(
      rows: parts.reduce(0) { $0 + $1.rows }, layers: first.layers, slots: first.slots, missing: parts.reduce(0) { $0.adding($1.missing) }
    ) { range in
      var (values, start) = ([Int32](), 0)
      for part in parts {
        let own = range.clamped(to: start..<start + part.rows)
        if !own.isEmpty { values += try part.read(own.lowerBound - start..<own.upperBound - start) }
        start += part.rows
      }
      return values
    }
  }
}

extension Int {
  /// The sum, or the largest number: what headers claim may be more than can be added.
  func adding(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}

/// Bytes written as text.
enum BinaryText {
  /// Of base64, in lines or in one; what is cut short gives the bytes before the cut. Nil: it is none.
  static func base64(_ text: String) -> [UInt8]? {
    let ends: Set<UInt8> = [10, 13]
    var text = text.utf8.contains(where: ends.contains) ? text.filter { !$0.isNewline }[...] : text[...]
    let isCut = text.utf8.count % 4 != 0
    if isCut { text = text.prefix(text.utf8.count / 4 * 4) }
    return Data(base64Encoded: String(text)).map { [UInt8]($0) }
  }

  private static let base85Alphabet = Array(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~".utf8)

  /// Of the base85 of RFC 1924, as Python's `b85encode` writes it. Nil: it is none.
  static func base85(_ text: String) -> [UInt8]? {
    var values = [UInt8](repeating: 255, count: 256)
    for (value, character) in base85Alphabet.enumerated() { values[Int(character)] = UInt8(value) }
    let digits = Array(text.utf8)
    guard digits.count % 5 != 1, digits.allSatisfy({ values[Int($0)] < 85 }) else { return nil }
    var bytes: [UInt8] = []
    for start in stride(from: 0, to: digits.count, by: 5) {
      let group = digits[start..<min(start + 5, digits.count)]
      var number: UInt64 = 0
      for place in 0..<5 {
        let digit = place < group.count ? UInt64(values[Int(group[group.startIndex + place])]) : 84
        number = number * 85 + digit
      }
      guard number <= UInt64(UInt32.max) else { return nil }
      for shift in stride(from: 24, through: 24 - 8 * (group.count - 2), by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: number >> UInt64(shift)))
      }
    }
    return bytes
  }
}

/// A record of one array a sequence.
struct ArrayRecord: ForeignRecord {
  let shape: ForeignShape
  private let arrays: [ForeignArray]

  /// - Parameters:
  ///   - sequences: with one array each.
  ///   - shape: of the format; its columns and sequences are made here.
  /// - Throws: `ImportError.shapes` where arrays differ in layers or k.
  init(_ sequences: [(ForeignSequence, ForeignArray)], shape: ForeignShape, file: String) throws {
    guard let first = sequences.first(where: { $0.1.rows > 0 })?.1 else { throw ImportError.empty(file: file) }
    try ForeignShape.check(layers: first.layers, slots: first.slots, file: file)
    for (sequence, array) in sequences where array.rows > 0 && (array.layers != first.layers || array.slots != first.slots) {
      throw FormatError.malformed(
        file: file, place: sequence.name,
        problem: "expected \(first.layers) layers of \(first.slots) ids a row as in the first, found \(array.layers) of \(array.slots)",
        hint: "are these records of one model?")
    }
    var shape = shape
    shape.columns = (0..<first.layers).map { _ in ForeignColumn(slots: first.slots) }
    var truncated = (missing: 0, of: 0)
    shape.sequences = sequences.map { sequence, array in
      var sequence = sequence
      sequence.rows = array.rows
      if array.missing > 0 {
        sequence.isTruncated = true
        truncated.missing = truncated.missing.adding(array.missing)
        truncated.of = truncated.of.adding(array.rows).adding(array.missing)
      }
      return sequence
    }
    if truncated.missing > 0 {
      shape.findings.append(
        ImportFinding(
          .truncated, count: truncated.missing, of: truncated.of,
          detail: "the bytes end before the rows that the shape says: the whole rows were kept"))
    }
    self.shape = shape
    arrays = sequences.map(\.1)
  }

  func rows(_ range: Range<Int>, of sequence: Int) throws -> ForeignRows {
    let values = try arrays[sequence].read(range)
    let (layers, slots) = (shape.columns.count, shape.columns[0].slots)
    let columns = values.withUnsafeBufferPointer { values in
      (0..<layers).map { layer in
        ForeignDecisions(
          ids: Array(unsafeUninitializedCapacity: range.count * slots) { buffer, count in
            for row in 0..<range.count {
              let start = (row * layers + layer) * slots
              for slot in 0..<slots { buffer.initializeElement(at: row * slots + slot, to: values[start + slot]) }
            }
            count = range.count * slots
          })
      }
    }
    return ForeignRows(count: range.count, columns: columns)
  }
}
