// Which tensors does one safetensors file hold, and where are their bytes? The header is read and every claim in it checked against
// the size of the file before anybody sees it: lengths, offsets, types, shapes, gaps and overlaps. Several files of one checkpoint
// are SafetensorsIndex.swift's; what the tensors mean is Model's.

/// One safetensors file, mapped. The format: 8 bytes little-endian header length, the header (JSON), the data.
public final class SafetensorsFile: Sendable {
  public let path: String
  let file: MappedFile
  /// The tensors in the order of their data.
  public let tensors: [TensorView]
  /// The string members of `__metadata__`, in the order of the file.
  public let metadata: [(key: String, value: String)]

  /// Headers above this are refused, as the reference does (safetensors 0.5: MAX_HEADER_SIZE).
  public static let headerLimit = 100_000_000
  static let rankLimit = 32

  /// - Throws: `FormatError`; a file that is accepted has no gap, no overlap and nothing beyond its last tensor.
  public init(path: String) throws(FormatError) {
    let file = try MappedFile(path: path)
    let header = try SafetensorsHeader(file)
    (self.path, self.file) = (path, file)
    tensors = header.tensors
    metadata = header.metadata
  }

  /// The tensor called `name`, or nil; a checkpoint of a hundred thousand has a table of its own.
  public subscript(name: String) -> TensorView? { tensors.first { $0.name == name } }

  /// The tensor called `name`.
  public func tensor(_ name: String) throws(FormatError) -> TensorView {
    guard let tensor = self[name] else {
      throw .malformed(
        file: path, place: "tensor \(quoted(name, limit: 200))", problem: "not in this file (\(tensors.count) tensors)", hint: nil)
    }
    return tensor
  }
}

/// A tensor where it lies in a mapped file.
public struct TensorView: Sendable {
  public let name: String
  public let elementType: ElementType
  /// Row-major, outermost first; empty for a single number.
  public let shape: [Int]
  /// Where the data begin in the file, and their length; checked to lie inside.
  public let byteOffset: Int
  public let byteCount: Int
  /// Keeps the bytes alive.
  public let file: MappedFile

  public var elementCount: Int { byteCount / elementType.byteCount * elementType.blockSize }

  /// The raw little-endian elements, `shape` row-major. Valid while `file` lives; **not** necessarily aligned to the element's size
  /// (old writers did not pad the header): check `isAligned` or load unaligned.
  public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: file.bytes[byteOffset..<(byteOffset + byteCount)])
  }

  /// Whether the data begin at a multiple of the element's size in memory; blocks are read byte by byte and always do.
  public var isAligned: Bool { elementType.blockSize > 1 || byteOffset % elementType.byteCount == 0 }
}

/// The parsed header, before it becomes a file.
private struct SafetensorsHeader {
  var tensors: [TensorView] = []
  var metadata: [(key: String, value: String)] = []

  init(_ file: MappedFile) throws(FormatError) {
    let bytes = file.bytes
    func malformed(_ problem: String, _ hint: String? = nil) -> FormatError {
      .malformed(file: file.path, place: "header", problem: problem, hint: hint)
    }
    if let impostor = Impostor(bytes) { throw impostor.error(file.path, place: "content") }
    guard bytes.count >= 8 else {
      throw malformed("the file has \(bytes.count) bytes, at least 8 are needed", "is the download complete?")
    }
    let claimed = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard claimed <= UInt64(SafetensorsFile.headerLimit) else {
      throw malformed("claims \(claimed) bytes, at most \(SafetensorsFile.headerLimit) are allowed", "is this a safetensors file?")
    }
    let length = Int(claimed)
    guard length <= bytes.count - 8 else {
      throw malformed("claims \(length) bytes, the file has \(bytes.count - 8) after the length", "is the download complete?")
    }
    let dataStart = 8 + length
    let text = UnsafeRawBufferPointer(rebasing: bytes[8..<dataStart])
    let root = try JSON.parse(text, name: file.path, offset: 8)

    tensors.reserveCapacity(root.count)
    var known = KnownShapes()
    for (key, value) in try root.requireObject() {
      let name = try key.requireString()
      if name == "__metadata__" {
        for (key, value) in try value.requireObject() { metadata.append((try key.requireString(), try value.requireString())) }
      } else {
        tensors.append(try Self.tensor(name, value, file, dataStart: dataStart, known: &known))
      }
    }
    tensors.sort { ($0.byteOffset, $0.byteCount) < ($1.byteOffset, $1.byteCount) }
    try checkCoverage(file, dataStart: dataStart)
    file.release(first: dataStart)
  }

  private static func tensor(
    _ name: String, _ value: JSONValue, _ file: MappedFile, dataStart: Int, known: inout KnownShapes
  ) throws(FormatError) -> TensorView {
    // Only an error is worth the words.
    func place() -> String { "tensor \(quoted(name, limit: 200))" }
    func malformed(_ problem: String) -> FormatError {
      .malformed(file: file.path, place: place(), problem: problem, hint: nil)
    }
    // One walk over the members: a header of thirty megabytes is little else.
    var (dtype, dimensions, places): (JSONValue?, JSONValue?, JSONValue?)
    for (key, member) in try value.requireObject() {
      if key.spells("dtype") { dtype = member }
      if key.spells("shape") { dimensions = member }
      if key.spells("data_offsets") { places = member }
    }
    func needed(_ found: JSONValue?, _ key: String, _ expected: String) throws(FormatError) -> JSONValue {
      if let found { return found }
      return try value.member(key, expected: expected)
    }
    let typeName = try needed(dtype, "dtype", "a string").requireString()
    guard let type = ElementType(safetensorsName: typeName) else {
      throw .unsupported(file: file.path, place: place(), found: "dtype \(quoted(typeName))", hint: nil)
    }
    let shape = try known.shape(needed(dimensions, "shape", "an array")) { count in
      malformed("has \(count) dimensions, at most \(SafetensorsFile.rankLimit) are allowed")
    }
    let offsets = try known.offsets(needed(places, "data_offsets", "an array"))
    guard let offsets, offsets.begin <= offsets.end else {
      throw malformed("data_offsets \(try value.integers("data_offsets")) are not a begin and an end")
    }
    let dataCount = file.byteCount - dataStart
    guard offsets.end <= dataCount else {
      throw malformed("data_offsets \(try value.integers("data_offsets")) reach beyond the data section (\(dataCount) bytes)")
    }
    let byteCount = offsets.end - offsets.begin
    let needed = elementCount(of: shape).map { $0.multipliedReportingOverflow(by: type.byteCount) }
    guard let needed, !needed.overflow, needed.partialValue == byteCount else {
      let size = needed.flatMap { $0.overflow ? nil : "\($0.partialValue)" } ?? "more than 2^63"
      throw malformed(
        "\(type.safetensorsName) \(shape) takes \(size) bytes, data_offsets \([offsets.begin, offsets.end]) give \(byteCount)")
    }
    return TensorView(
      name: name, elementType: type, shape: shape, byteOffset: dataStart + offsets.begin, byteCount: byteCount, file: file)
  }

  /// The data must be covered exactly once, as the format asks: no gap to hide anything in, no two tensors in one place.
  private func checkCoverage(_ file: MappedFile, dataStart: Int) throws(FormatError) {
    var end = dataStart
    for tensor in tensors {
      if tensor.byteOffset != end {
        let problem = tensor.byteOffset < end ? "overlaps the tensor before it" : "leaves a gap before it"
        throw .malformed(
          file: file.path, place: "tensor \(quoted(tensor.name, limit: 200))",
          problem: "\(problem): begins at byte \(tensor.byteOffset - dataStart) of the data, expected \(end - dataStart)", hint: nil)
      }
      end = tensor.byteOffset + tensor.byteCount
    }
    guard end == file.byteCount else {
      throw .malformed(
        file: file.path, place: "data", problem: "\(file.byteCount - end) bytes after the last tensor belong to none", hint: nil)
    }
  }
}

/// A hundred thousand tensors have a few shapes: each is kept once.
private struct KnownShapes {
  private var shapes: Set<[Int]> = []
  /// What is being read.
  private var numbers: [Int] = []

  /// - Parameter excess: the error about so many dimensions.
  mutating func shape(_ value: JSONValue, _ excess: (Int) -> FormatError) throws(FormatError) -> [Int] {
    numbers.removeAll(keepingCapacity: true)
    for element in try value.requireArray() {
      guard numbers.count < SafetensorsFile.rankLimit else { throw excess(value.count) }
      numbers.append(try element.requireInteger(in: 0 ... .max))
    }
    if let place = shapes.firstIndex(of: numbers) { return shapes[place] }
    let shape = Array(numbers[...])
    shapes.insert(shape)
    return shape
  }

  /// Two numbers; nil for an array of more or fewer.
  mutating func offsets(_ value: JSONValue) throws(FormatError) -> (begin: Int, end: Int)? {
    numbers.removeAll(keepingCapacity: true)
    for element in try value.requireArray() where numbers.count < 3 { numbers.append(try element.requireInteger(in: 0 ... .max)) }
    return numbers.count == 2 ? (numbers[0], numbers[1]) : nil
  }
}
