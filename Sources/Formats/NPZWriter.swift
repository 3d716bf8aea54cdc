// How does a file that numpy.load reads as a dictionary come to be? It is a ZIP archive of .npy files, stored as they are. All sizes are known from
// the declarations, so every entry has its place before the first element comes; headers, which carry checksums, are written at the end. The
// format: PKWARE's APPNOTE, 4.3 to 4.5.3, with 64-bit fields where 32 do not do.

/// Writes one .npz in pieces.
///
/// Not `Sendable`: one writer belongs to one task. Dropping it unfinished removes what was written. Memory: the headers of the arrays.
public final class NPZWriter: TensorFileWriter {
  private struct Entry {
    /// With its ending.
    var file: [UInt8]
    /// Of the .npy before the elements.
    var head: [UInt8]
    /// Where the entry's own header begins.
    var start: Int
    /// Where its content begins.
    var content: Int
    /// Bytes of elements.
    var byteCount: Int
    var written = 0
    /// Of head and elements so far.
    var checksum: CRC32

    var size: Int { head.count + byteCount }
    var end: Int { content + size }
  }

  public let path: String
  private let output: OutputFile
  private var entries: [String: Entry] = [:]
  /// Names in the order of the archive.
  private let order: [String]

  /// From here on a size or a place needs 64 bits.
  private let wideFrom: Int
  /// What stands in a field of 32 bits whose number stands elsewhere in 64.
  private static let elsewhere = 0xFFFF_FFFF
  private static let nameLimit = 1024

  /// Creates the (still hidden) file.
  ///
  /// - Parameters:
  ///   - arrays: laid out in this order.
  ///   - texts: arrays of a single text each (`[key].item()` in numpy), behind the others.
  ///   - wideFrom: smaller in tests, which make no archives of 4 GiB.
  /// - Throws: `FormatError.system` when the folder cannot be written, `.malformed` for repeated names and impossible arrays.
  public convenience init(
    path: String, arrays: [TensorDeclaration], texts: [(key: String, value: String)] = []
  ) throws(FormatError) {
    try self.init(path: path, arrays: arrays, texts: texts, wideFrom: Self.elsewhere)
  }

  init(
    path: String, arrays: [TensorDeclaration], texts: [(key: String, value: String)] = [], wideFrom: Int
  ) throws(FormatError) {
    (self.path, self.wideFrom) = (path, wideFrom)
    var place = 0
    var entries: [String: Entry] = [:]
    func add(_ name: String, head: [UInt8], byteCount: Int) throws(FormatError) {
      let file = Array((name + ".npy").utf8)
      let isSound = !name.isEmpty && !name.contains("/") && !name.utf8.contains(0) && file.count <= Self.nameLimit
      guard isSound, entries[name] == nil, place <= Int.max / 4 else {
        throw .malformed(
          file: path, place: "array \(quoted(name))", problem: "cannot be written: a repeated name, or one that no entry can have",
          hint: nil)
      }
      var checksum = CRC32()
      checksum.add(head)
      var entry = Entry(file: file, head: head, start: place, content: 0, byteCount: byteCount, checksum: checksum)
      entry.content = place + 30 + file.count + (entry.size >= wideFrom ? 20 : 0)
      entries[name] = entry
      place = entry.end
    }
    for array in arrays {
      guard let descr = NPYText.descr(array.elementType), let count = elementCount(of: array.shape), count <= Int.max / 64 else {
        throw .malformed(
          file: path, place: "array \(quoted(array.name))",
          problem: "cannot be written: \(array.elementType.safetensorsName) \(array.shape)", hint: nil)
      }
      try add(array.name, head: NPYText.header(descr: descr, shape: array.shape), byteCount: count * array.elementType.byteCount)
    }
    let scalars = texts.map { (key: $0.key, value: $0.value.unicodeScalars.map(\.value)) }
    for text in scalars {
      // A text without a character is one of length 1 that is empty: numpy knows none of length 0.
      try add(text.key, head: NPYText.header(descr: "<U\(max(1, text.value.count))", shape: []), byteCount: 4 * max(1, text.value.count))
    }
    output = try OutputFile(path: path, order: .any)
    order = arrays.map(\.name) + texts.map(\.key)
    self.entries = entries
    for text in scalars { try append(text.value.isEmpty ? [UInt32(0)] : text.value.map(\.littleEndian), to: text.key) }
  }

  public func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(FormatError) {
    guard let entry = entries[name] else {
      throw .malformed(file: path, place: "array \(quoted(name))", problem: "was not declared", hint: nil)
    }
    guard bytes.count <= entry.byteCount - entry.written else {
      throw .malformed(
        file: path, place: "array \(quoted(name))", problem: "got \(entry.written + bytes.count) bytes, its shape has \(entry.byteCount)",
        hint: nil)
    }
    try output.write(bytes, at: entry.content + entry.head.count + entry.written)
    entries[name]?.checksum.add(bytes)
    entries[name]?.written += bytes.count
  }

  public func finish() throws(FormatError) {
    var directory = ZipBytes()
    var end = 0
    for name in order {
      guard let entry = entries[name] else { continue }
      guard entry.written == entry.byteCount else {
        throw .malformed(
          file: path, place: "array \(quoted(name))", problem: "got \(entry.written) of \(entry.byteCount) bytes", hint: nil)
      }
      try write(header(of: entry) + entry.head, at: entry.start)
      directory.bytes += record(of: entry)
      end = entry.end
    }
    try write(directory.bytes + ending(count: order.count, start: end, size: directory.bytes.count), at: end)
    try output.commit()
  }

  private func write(_ bytes: [UInt8], at offset: Int) throws(FormatError) {
    let outcome: Result<Void, FormatError> = bytes.withUnsafeBytes { buffer in
      do throws(FormatError) { return .success(try output.write(buffer, at: offset)) } catch { return .failure(error) }
    }
    try outcome.get()
  }

  // MARK: Records

  /// Version that a reader needs: 4.5 where fields of 64 bits stand, else 2.0.
  private static func version(_ isWide: Bool) -> Int { isWide ? 45 : 20 }

  /// Version, flags (names in UTF-8), method (stored), time and day (1 January 1980, as numpy writes it), checksum, sizes and the length of the
  /// name: the same in both records of an entry.
  private static func common(_ entry: Entry, isWide: Bool, sizesAreWide: Bool) -> ZipBytes {
    var record = ZipBytes()
    record.add16(version(isWide), 0x0800, 0, 0, 0x21)
    record.add32(Int(entry.checksum.value))
    let size = sizesAreWide ? elsewhere : entry.size
    record.add32(size, size)
    record.add16(entry.file.count)
    return record
  }

  /// The header before an entry's content.
  private func header(of entry: Entry) -> [UInt8] {
    let isWide = entry.size >= wideFrom
    var record = ZipBytes()
    record.add32(0x0403_4B50)
    record.bytes += Self.common(entry, isWide: isWide, sizesAreWide: isWide).bytes
    record.add16(isWide ? 20 : 0)
    record.bytes += entry.file
    if isWide {
      record.add16(1, 16)
      record.add64(entry.size, entry.size)
    }
    return record.bytes
  }

  /// An entry's record in the directory.
  private func record(of entry: Entry) -> [UInt8] {
    let (sizeIsWide, placeIsWide) = (entry.size >= wideFrom, entry.start >= wideFrom)
    var extra = ZipBytes()
    if sizeIsWide { extra.add64(entry.size, entry.size) }
    if placeIsWide { extra.add64(entry.start) }
    var record = ZipBytes()
    record.add32(0x0201_4B50)
    record.add16(Self.version(sizeIsWide || placeIsWide))
    record.bytes += Self.common(entry, isWide: sizeIsWide || placeIsWide, sizesAreWide: sizeIsWide).bytes
    // Extra field, comment, disk, attributes inside and outside.
    record.add16(extra.bytes.isEmpty ? 0 : extra.bytes.count + 4, 0, 0, 0)
    record.add32(0, placeIsWide ? Self.elsewhere : entry.start)
    record.bytes += entry.file
    if !extra.bytes.isEmpty {
      record.add16(1, extra.bytes.count)
      record.bytes += extra.bytes
    }
    return record.bytes
  }

  /// What stands behind the directory.
  private func ending(count: Int, start: Int, size: Int) -> [UInt8] {
    let isWide = count >= 0xFFFF || start >= wideFrom || size >= wideFrom
    var record = ZipBytes()
    if isWide {
      record.add32(0x0606_4B50)
      record.add64(44)
      record.add16(45, 45)
      record.add32(0, 0)
      record.add64(count, count, size, start)
      record.add32(0x0706_4B50, 0)
      record.add64(start + size)
      record.add32(1)
    }
    record.add32(0x0605_4B50)
    record.add16(0, 0, min(count, 0xFFFF), min(count, 0xFFFF))
    record.add32(size >= wideFrom ? Self.elsewhere : size, start >= wideFrom ? Self.elsewhere : start)
    record.add16(0)
    return record.bytes
  }
}

/// Little-endian fields one after the other.
private struct ZipBytes {
  var bytes: [UInt8] = []

  mutating func add16(_ values: Int...) { for value in values { add(UInt16(truncatingIfNeeded: value)) } }
  mutating func add32(_ values: Int...) { for value in values { add(UInt32(truncatingIfNeeded: value)) } }
  mutating func add64(_ values: Int...) { for value in values { add(UInt64(truncatingIfNeeded: value)) } }

  private mutating func add(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
}
