// How are the parts of a GGUF header taken one after the other without ever reading outside the file? A cursor over the mapped bytes:
// each step names what it wants, so that an error can say which part is cut off and at which byte.

/// A place in a mapped file; numbers are little-endian, at any alignment.
struct GGUFCursor {
  let file: MappedFile
  private(set) var offset: Int

  init(_ file: MappedFile, at offset: Int = 0) {
    self.file = file
    self.offset = offset
  }

  var remaining: Int { file.byteCount - offset }

  func malformed(_ what: String, _ problem: String, hint: String? = nil, at place: Int? = nil) -> FormatError {
    .malformed(file: file.path, place: "\(what) at byte \(place ?? offset)", problem: problem, hint: hint)
  }

  /// Moves over `count` bytes and answers where they began.
  @discardableResult
  mutating func skip(_ count: Int, _ what: String) throws(FormatError) -> Int {
    guard count <= remaining else {
      throw malformed(what, "needs \(count) bytes, the file has \(remaining) left", hint: "is the download complete?")
    }
    defer { offset += count }
    return offset
  }

  mutating func integer<Number: FixedWidthInteger & BitwiseCopyable>(
    _ type: Number.Type, _ what: String
  ) throws(FormatError) -> Number {
    let start = try skip(MemoryLayout<Number>.size, what)
    return Number(littleEndian: file.bytes.loadUnaligned(fromByteOffset: start, as: Number.self))
  }

  /// A number of things of which each takes at least `size` bytes of what follows.
  mutating func count(_ what: String, each size: Int) throws(FormatError) -> Int {
    let start = offset
    let claimed = try integer(UInt64.self, what)
    guard claimed <= UInt64(remaining / size) else {
      throw malformed(
        what, "claims \(claimed), the \(remaining) bytes after it hold at most \(remaining / size)", hint: "is the download complete?",
        at: start)
    }
    return Int(claimed)
  }

  /// The bytes of a string: a length, then as many bytes.
  mutating func string(_ what: String) throws(FormatError) -> Range<Int> {
    let count = try count(what + " (length)", each: 1)
    let start = try skip(count, what)
    return start..<start + count
  }

  /// A string that must be text: a name, a key.
  mutating func text(_ what: String, limit: Int) throws(FormatError) -> String {
    let start = offset
    let range = try string(what)
    guard range.count <= limit else { throw malformed(what, "has \(range.count) bytes, at most \(limit) are allowed", at: start) }
    guard let text = String(validating: UnsafeRawBufferPointer(rebasing: file.bytes[range]), as: UTF8.self) else {
      throw malformed(what, "is not UTF-8", at: start)
    }
    return text
  }
}
