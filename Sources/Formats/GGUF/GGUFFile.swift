// Which metadata and tensors does one GGUF file hold, and where are their bytes? The header is read and every claim in it checked
// against the size of the file before anybody sees it. Several files of one checkpoint are GGUFSplit.swift's; what keys and tensors
// mean is Model's. The format: ggml's docs/gguf.md, versions 2 and 3, little-endian.

/// One GGUF file, mapped.
public final class GGUFFile: Sendable {
  public let path: String
  public let version: Int
  /// Key and value, in the order of the file.
  public let metadata: [(key: String, value: GGUFValue)]
  /// The tensors in the order of their data; shapes are row-major, outermost first, as in safetensors (the file has them reversed).
  public let tensors: [TensorView]

  private let metadataIndex: [String: Int]
  private let tensorIndex: [String: Int]

  static let keyLimit = 65_535
  static let nameLimit = 1024
  static let rankLimit = 4

  /// - Throws: `FormatError`, naming the byte; a file that is accepted has every tensor inside it and none over another.
  public init(path: String) throws(FormatError) {
    let file = try MappedFile(path: path)
    let header = try GGUFHeader(file)
    self.path = path
    version = header.version
    metadata = header.metadata
    tensors = header.tensors
    metadataIndex = header.metadataIndex
    tensorIndex = header.tensorIndex
  }

  /// Whether the file at `path` says that it is GGUF, by its name or, as in caches that name files by their hash, by its first bytes.
  public static func isAt(_ path: String) -> Bool {
    if path.hasSuffix(".gguf") { return true }
    guard let file = try? MappedFile(path: path) else { return false }
    return withExtendedLifetime(file) { file.bytes.starts(with: "GGUF".utf8) }
  }

  /// The metadata value called `key`, or nil.
  public subscript(key: String) -> GGUFValue? { metadataIndex[key].map { metadata[$0].value } }

  /// The tensor called `name`, or nil.
  public func tensor(_ name: String) -> TensorView? { tensorIndex[name].map { tensors[$0] } }
}

extension ElementType {
  /// The numbers of tensor types in GGUF files.
  static let byGGUFNumber: [UInt32: ElementType] = [
    0: .f32, 1: .f16, 2: .q40, 3: .q41, 6: .q50, 7: .q51, 8: .q80, 10: .q2K, 11: .q3K, 12: .q4K, 13: .q5K, 14: .q6K,
    16: .iq2XXS, 17: .iq2XS, 18: .iq3XXS, 19: .iq1S, 20: .iq4NL, 21: .iq3S, 22: .iq2S, 23: .iq4XS, 24: .i8, 25: .i16, 26: .i32,
    27: .i64, 28: .f64, 29: .iq1M, 30: .bf16, 34: .tq10, 35: .tq20, 39: .mxfp4, 40: .nvfp4, 41: .q10, 42: .q20,
  ]

  /// Types that weights are never stored in, or that the format has given up; named so that a refusal can name them.
  static let otherGGUFNames: [UInt32: String] = [
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
  ]
}

/// The parsed header, before it becomes a file.
private struct GGUFHeader {
  let version: Int
  var metadata: [(key: String, value: GGUFValue)] = []
  var metadataIndex: [String: Int] = [:]
  var tensors: [TensorView] = []
  var tensorIndex: [String: Int] = [:]

  init(_ file: MappedFile) throws(FormatError) {
    var cursor = GGUFCursor(file)
    version = try Self.version(&cursor)
    // A tensor takes at least the length of its name, a rank, a type and an offset; a pair its key's length, a type and a byte.
    let tensorCount = try cursor.count("tensor count", each: 24)
    let pairCount = try cursor.count("metadata count", each: 13)
    for _ in 0..<pairCount { try addPair(&cursor) }
    let alignment = try alignment(cursor)

    var claims: [Claim] = []
    for _ in 0..<tensorCount { claims.append(try Claim(&cursor)) }
    let end = cursor.offset
    let dataStart = (end + alignment - 1) / alignment * alignment
    guard tensorCount == 0 || dataStart <= file.byteCount else {
      throw cursor.malformed("data", "begin at byte \(dataStart), the file has \(file.byteCount) bytes", hint: "is the download complete?")
    }
    try place(claims, file, dataStart: dataStart, alignment: alignment)
  }

  private static func version(_ cursor: inout GGUFCursor) throws(FormatError) -> Int {
    let magic = try cursor.integer(UInt32.self, "magic number")
    guard magic == 0x4655_4747 else {  // "GGUF"
      if let impostor = Impostor(cursor.file.bytes) { throw impostor.error(cursor.file.path, place: "content") }
      throw cursor.malformed("magic number", "is not \"GGUF\"", hint: "is this a GGUF file?", at: 0)
    }
    let version = try cursor.integer(UInt32.self, "version")
    guard version == 2 || version == 3 else {
      let swapped = version.byteSwapped == 2 || version.byteSwapped == 3
      throw .unsupported(
        file: cursor.file.path, place: "version at byte 4", found: swapped ? "a big-endian file" : "version \(version)",
        hint: swapped ? "convert it to little-endian" : "versions 2 and 3 are read")
    }
    return Int(version)
  }

  private mutating func addPair(_ cursor: inout GGUFCursor) throws(FormatError) {
    let start = cursor.offset
    let key = try cursor.text("metadata key", limit: GGUFFile.keyLimit)
    let what = "metadata \(quoted(key))"
    let value = try cursor.value(what)
    guard metadataIndex.updateValue(metadata.count, forKey: key) == nil else {
      throw cursor.malformed(what, "is there twice", at: start)
    }
    metadata.append((key, value))
  }

  /// What offsets of tensors are multiples of.
  private func alignment(_ cursor: GGUFCursor) throws(FormatError) -> Int {
    guard let index = metadataIndex["general.alignment"] else { return 32 }
    guard let value = metadata[index].value.int64, value > 0, value <= 1 << 20, value & (value - 1) == 0 else {
      throw cursor.malformed("general.alignment before the tensors", "is not a power of two up to 2^20")
    }
    return Int(value)
  }

  /// What the header says of one tensor.
  private struct Claim {
    let name: String
    let shape: [Int]
    let type: ElementType
    let byteCount: Int
    let dataOffset: UInt64
    /// Where the claim begins in the file, for errors.
    let place: Int

    init(_ cursor: inout GGUFCursor) throws(FormatError) {
      place = cursor.offset
      name = try cursor.text("tensor name", limit: GGUFFile.nameLimit)
      let what = "tensor \(quoted(name, limit: 200))"
      let rank = try cursor.integer(UInt32.self, what + " (rank)")
      guard rank <= GGUFFile.rankLimit else {
        throw cursor.malformed(what, "has \(rank) dimensions, at most \(GGUFFile.rankLimit) are allowed", at: place)
      }
      var dimensions: [Int] = []
      for _ in 0..<rank {
        let dimension = try cursor.integer(UInt64.self, what + " (shape)")
        guard let dimension = Int(exactly: dimension) else {
          throw cursor.malformed(what, "has a dimension of \(dimension)", at: place)
        }
        dimensions.append(dimension)
      }
      shape = dimensions.reversed()
      let number = try cursor.integer(UInt32.self, what + " (type)")
      guard let type = ElementType.byGGUFNumber[number] else {
        throw .unsupported(
          file: cursor.file.path, place: "\(what) at byte \(place)",
          found: "tensor type \(ElementType.otherGGUFNames[number] ?? "number \(number)")", hint: nil)
      }
      self.type = type
      dataOffset = try cursor.integer(UInt64.self, what + " (offset)")
      let row = dimensions.first ?? 1
      guard row % type.blockSize == 0 else {
        throw cursor.malformed(
          what, "\(type.safetensorsName) stores blocks of \(type.blockSize), its rows have \(row) elements", at: place)
      }
      let bytes = elementCount(of: shape).map { ($0 / type.blockSize).multipliedReportingOverflow(by: type.byteCount) }
      guard let bytes, !bytes.overflow else { throw cursor.malformed(what, "\(shape) takes more than 2^63 bytes", at: place) }
      byteCount = bytes.partialValue
    }
  }

  /// Checks where the claims lie and keeps them in the order of their data.
  private mutating func place(
    _ claims: [Claim], _ file: MappedFile, dataStart: Int, alignment: Int
  ) throws(FormatError) {
    let dataCount = max(0, file.byteCount - dataStart)
    func malformed(_ claim: Claim, _ problem: String, hint: String? = nil) -> FormatError {
      .malformed(
        file: file.path, place: "tensor \(quoted(claim.name, limit: 200)) at byte \(claim.place)", problem: problem, hint: hint)
    }
    for claim in claims {
      guard claim.dataOffset % UInt64(alignment) == 0 else {
        throw malformed(claim, "its offset \(claim.dataOffset) is not a multiple of the alignment \(alignment)")
      }
      guard claim.dataOffset <= UInt64(dataCount), claim.byteCount <= dataCount - Int(claim.dataOffset) else {
        throw malformed(
          claim, "\(claim.byteCount) bytes at \(claim.dataOffset) reach beyond the data (\(dataCount) bytes)",
          hint: "is the download complete?")
      }
      tensors.append(
        TensorView(
          name: claim.name, elementType: claim.type, shape: claim.shape, byteOffset: dataStart + Int(claim.dataOffset),
          byteCount: claim.byteCount, file: file))
    }
    let order = claims.indices.sorted { (claims[$0].dataOffset, $0) < (claims[$1].dataOffset, $1) }
    var end = dataStart
    for index in order {
      guard tensors[index].byteOffset >= end else { throw malformed(claims[index], "its data overlap those of another tensor") }
      end = tensors[index].byteOffset + tensors[index].byteCount
    }
    tensors = order.map { tensors[$0] }
    for (index, tensor) in tensors.enumerated() where tensorIndex.updateValue(index, forKey: tensor.name) != nil {
      throw malformed(claims[order[index]], "is there twice")
    }
  }
}
