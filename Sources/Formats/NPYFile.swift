// What does a file of numpy.save hold? A header that says type and shape, then the numbers. The header is a Python dictionary; it is read as
// text, not run. A file whose writer was stopped has fewer numbers than its shape says: the whole rows are there and can be read. The
// format: numpy's documentation of numpy.lib.format, versions 1 to 3.

/// The header of a .npy, and where the numbers are.
public struct NPYHeader: Sendable {
  public let elementType: ElementType
  /// As the header says it: outermost axis first.
  public let shape: [Int]
  /// Where the numbers begin.
  public let dataOffset: Int
  /// Numbers of one row, by the first axis.
  public let rowWidth: Int
  /// Rows that the bytes hold as a whole.
  public let wholeRows: Int

  /// Rows that the shape says; a single number is one row.
  public var rows: Int { shape.first ?? 1 }

  /// Whether bytes of the numbers are missing.
  public var isTruncated: Bool { wholeRows < rows }

  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
  /// numpy itself reads no longer ones unless told to.
  static let headerLimit = 1 << 16
  static let rankLimit = 32

  /// - Parameters:
  ///   - bytes: the whole array as it is saved: of a file, or of a text that holds one.
  ///   - file: named by errors.
  /// - Throws: `FormatError`: `.unsupported` for other types, Fortran order and other byte orders.
  public init(_ bytes: UnsafeRawBufferPointer, file: String) throws(FormatError) {
    func malformed(_ problem: String, hint: String? = "is the download complete?") -> FormatError {
      .malformed(file: file, place: "header", problem: problem, hint: hint)
    }
    guard bytes.starts(with: Self.magic) else {
      if let impostor = Impostor(bytes) { throw impostor.error(file, place: "content") }
      throw malformed("expected an array of numpy.save, found other bytes", hint: "is this a .npy file?")
    }
    guard bytes.count >= 10 else { throw malformed("has \(bytes.count) bytes, at least 10 are needed") }
    let version = bytes[6]
    guard (1...3).contains(version) else {
      throw .unsupported(file: file, place: "header", found: "version \(version)", hint: "versions 1 to 3 are read")
    }
    let sizeBytes = version == 1 ? 2 : 4
    guard bytes.count >= 8 + sizeBytes else { throw malformed("is cut before its length") }
    let length = (0..<sizeBytes).reduce(0) { $0 | Int(bytes[8 + $1]) << (8 * $1) }
    guard length <= Self.headerLimit else { throw malformed("claims \(length) bytes, at most \(Self.headerLimit) are allowed", hint: nil) }
    dataOffset = 8 + sizeBytes + length
    guard dataOffset <= bytes.count else { throw malformed("claims \(length) bytes, \(bytes.count - 8 - sizeBytes) are left") }
    guard let text = String(validating: UnsafeRawBufferPointer(rebasing: bytes[8 + sizeBytes..<dataOffset]), as: UTF8.self) else {
      throw malformed("is not UTF-8", hint: nil)
    }
    var words = PythonWords(text)
    guard let claim = words.header() else {
      throw malformed(
        "expected {'descr': …, 'fortran_order': …, 'shape': …}, found \(quoted(text))", hint: "is this file written by numpy.save?")
    }
    let type = try Self.elementType(claim.descr, file: file)
    guard !claim.isFortran else {
      throw .unsupported(file: file, place: "header", found: "Fortran order", hint: "save numpy.ascontiguousarray(…)")
    }
    (elementType, shape) = (type, claim.shape)
    let row = elementCount(of: Array(shape.dropFirst())).map { $0.multipliedReportingOverflow(by: type.byteCount) }
    guard shape.count <= Self.rankLimit, let row, !row.overflow, row.partialValue > 0 || shape.first == 0,
      !row.partialValue.multipliedReportingOverflow(by: shape.first ?? 1).overflow
    else { throw malformed("expected a shape that an array can have, found \(shape)", hint: nil) }
    rowWidth = row.partialValue / type.byteCount
    let available = bytes.count - dataOffset
    let expected = row.partialValue * (shape.first ?? 1)
    guard available <= expected else {
      throw .malformed(
        file: file, place: "byte \(dataOffset + expected)", problem: "\(available - expected) bytes follow the array \(shape)",
        hint: "one array a file is read")
    }
    wholeRows = row.partialValue > 0 ? available / row.partialValue : 0
  }

  private static let types: [String: ElementType] = [
    "u1": .u8, "i1": .i8, "u2": .u16, "i2": .i16, "u4": .u32, "i4": .i32, "u8": .u64, "i8": .i64, "f2": .f16, "f4": .f32, "f8": .f64,
  ]

  /// `<i2`, `|u1`: the order of the bytes, the kind and the size.
  private static func elementType(_ descr: String, file: String) throws(FormatError) -> ElementType {
    guard let order = descr.first, let type = types[String(descr.dropFirst())], "<>|=".contains(order) else {
      throw .unsupported(
        file: file, place: "header", found: "type \(quoted(descr))",
        hint: "plain integers and floats are read; of bfloat16 save the numbers as float32")
    }
    guard type.byteCount == 1 || order == "<" else {
      throw .unsupported(
        file: file, place: "header", found: "byte order \(quoted(String(order)))", hint: "save it as little-endian: array.astype(\"<…\")")
    }
    return type
  }
}

/// One file of numpy.save, mapped.
public final class NPYFile: Sendable {
  public let path: String
  public let header: NPYHeader
  /// The rows that are there as a whole, by the first axis.
  public let rows: NumberRows

  /// - Throws: `FormatError`; fewer numbers than the shape says are no error (`header.isTruncated`).
  public init(path: String) throws(FormatError) {
    let file = try MappedFile(path: path)
    let header = try NPYHeader(file.bytes, file: path)
    self.path = path
    self.header = header
    rows = NumberRows(
      file: file, elementType: header.elementType, count: header.wholeRows, width: header.rowWidth, byteOffset: header.dataOffset)
  }

  /// Whether the file at `path` begins like one of numpy.save.
  public static func isAt(_ path: String) -> Bool {
    guard let file = try? MappedFile(path: path) else { return false }
    return withExtendedLifetime(file) { file.bytes.starts(with: NPYHeader.magic) }
  }
}

/// The few words of Python that a header is made of.
private struct PythonWords {
  private var rest: Substring.UnicodeScalarView

  init(_ text: String) { rest = text.unicodeScalars[...] }

  /// The three members, in any order; nil for anything else.
  mutating func header() -> (descr: String, isFortran: Bool, shape: [Int])? {
    var (descr, isFortran, shape): (String?, Bool?, [Int]?)
    guard take("{") else { return nil }
    while !take("}") {
      guard let key = string(), take(":") else { return nil }
      switch key {
      case "descr": descr = string()
      case "fortran_order": isFortran = flag()
      case "shape": shape = tuple()
      default: return nil
      }
      guard take(",") || rest.first == "}" else { return nil }
    }
    skipSpace()
    guard rest.isEmpty, let descr, let isFortran, let shape else { return nil }
    return (descr, isFortran, shape)
  }

  private mutating func skipSpace() { rest = rest.drop { $0 == " " || $0 == "\n" || $0 == "\t" || $0 == "\r" } }

  /// Skips space and, if they come next, some characters; then space again.
  private mutating func take(_ text: String) -> Bool {
    skipSpace()
    guard rest.starts(with: text.unicodeScalars) else { return false }
    rest = rest.dropFirst(text.unicodeScalars.count)
    skipSpace()
    return true
  }

  private mutating func string() -> String? {
    skipSpace()
    guard let quote = rest.popFirst(), quote == "'" || quote == "\"", let end = rest.firstIndex(of: quote) else { return nil }
    defer { rest = rest[rest.index(after: end)...] }
    return String(rest[..<end])
  }

  private mutating func flag() -> Bool? { take("True") ? true : take("False") ? false : nil }

  /// `(48, 8)`, `(3,)`, `()`; old ones write `3L`.
  private mutating func tuple() -> [Int]? {
    guard take("(") else { return nil }
    var numbers: [Int] = []
    while !take(")") {
      let digits = rest.prefix { ("0"..."9").contains($0) }
      guard digits.count <= 18, let number = Int(String(digits)), numbers.count <= NPYHeader.rankLimit else { return nil }
      rest = rest[digits.endIndex...]
      numbers.append(number)
      _ = take("L")
      guard take(",") || rest.first == ")" else { return nil }
    }
    return numbers
  }
}
