// Which entries does a ZIP archive hold, and where are their bytes in the mapped file? Only what torch.save writes: entries stored as
// they are (no compression, so nothing can grow), one disk, no comment. The central directory is the only list that is believed, and every
// claim in it is checked against the file and against the entry's own header before anybody sees it. Nothing is ever extracted.

/// The entries of an uncompressed ZIP archive.
struct StoredZip: Sendable {
  struct Entry: Sendable {
    /// Plain names between slashes, as the archive spells it.
    var name: String
    /// Its bytes in the file.
    var range: Range<Int>
  }

  let file: MappedFile
  /// By place in the file.
  let entries: [Entry]
  private let indexByName: [String: Int]

  static let entryLimit = 1 << 20
  static let nameLimit = 1024

  /// - Throws: `FormatError`; in an archive that is accepted all names differ and no two entries share a byte.
  init(_ file: MappedFile) throws(FormatError) {
    let reader = ZipReader(file: file)
    let directory = try reader.directory()
    var entries: [(header: Int, entry: Entry)] = []
    entries.reserveCapacity(directory.count)
    var offset = directory.range.lowerBound
    for number in 0..<directory.count {
      let found = try reader.entry(number, at: &offset, directory: directory.range)
      entries.append((found.header, Entry(name: found.name, range: try reader.data(of: found, before: directory.range.lowerBound))))
    }
    guard offset == directory.range.upperBound else {
      throw reader.malformed(
        "directory", at: offset, "\(directory.range.upperBound - offset) bytes follow its \(directory.count) entries", hint: nil)
    }
    entries.sort { $0.header < $1.header }
    var end = 0
    var indexByName: [String: Int] = [:]
    for (index, (header, entry)) in entries.enumerated() {
      guard header >= end else {
        throw reader.malformed(
          "entry \(quoted(entry.name))", at: header, "overlaps the entry before it, which ends at byte \(end)",
          hint: "torch.save never writes this: do not trust the file")
      }
      end = entry.range.upperBound
      guard indexByName.updateValue(index, forKey: entry.name) == nil else {
        throw reader.malformed(
          "entry \(quoted(entry.name))", at: header, "is there twice", hint: "torch.save never writes this: do not trust the file")
      }
    }
    self.file = file
    self.entries = entries.map(\.entry)
    self.indexByName = indexByName
  }

  subscript(name: String) -> Entry? { indexByName[name].map { entries[$0] } }

  func bytes(of entry: Entry) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: file.bytes[entry.range]) }
}

/// Reads the records of an archive; every offset is checked before it is used.
private struct ZipReader {
  /// One record of the central directory.
  struct Claim {
    var name: String
    var rawName: Range<Int>
    var flags: UInt16
    var byteCount: Int
    /// Where the entry's own header begins.
    var header: Int
  }

  let file: MappedFile

  func malformed(_ what: String, at offset: Int, _ problem: String, hint: String?) -> FormatError {
    .malformed(file: file.path, place: "\(what) at byte \(offset)", problem: problem, hint: hint)
  }

  /// - Precondition: the number lies inside the file.
  private func number<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type, at offset: Int) -> Number {
    Number(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
  }

  // MARK: The end of the archive

  /// Where the directory is and how many entries it lists, from the end record and, where torch writes one, the 64-bit end record.
  func directory() throws(FormatError) -> (range: Range<Int>, count: Int) {
    let end = file.byteCount - 22
    guard end >= 0, number(UInt32.self, at: end) == 0x0605_4B50 else {
      throw malformed(
        "end", at: max(0, end), "expected the end record of a ZIP archive in the last 22 bytes, found none",
        hint: "is the download complete?")
    }
    var count = Int(number(UInt16.self, at: end + 10))
    var size = UInt64(number(UInt32.self, at: end + 12))
    var start = UInt64(number(UInt32.self, at: end + 16))
    var directoryEnd = end
    var disks = [number(UInt16.self, at: end + 4), number(UInt16.self, at: end + 6)].map(UInt32.init)
    var listed = Int(number(UInt16.self, at: end + 8))
    let locator = end - 20
    if locator >= 56, number(UInt32.self, at: locator) == 0x0706_4B50 {
      let place = number(UInt64.self, at: locator + 8)
      guard place <= UInt64(locator - 56), number(UInt32.self, at: Int(place)) == 0x0606_4B50,
        number(UInt64.self, at: Int(place) + 4) == UInt64(locator - Int(place) - 12)
      else {
        throw malformed("64-bit end", at: locator, "expected to point at the record before it, found byte \(place)", hint: nil)
      }
      directoryEnd = Int(place)
      let counts = [number(UInt64.self, at: directoryEnd + 24), number(UInt64.self, at: directoryEnd + 32)]
      (listed, count) = (Int(clamping: counts[0]), Int(clamping: counts[1]))
      size = number(UInt64.self, at: directoryEnd + 40)
      start = number(UInt64.self, at: directoryEnd + 48)
      disks = [number(UInt32.self, at: directoryEnd + 16), number(UInt32.self, at: directoryEnd + 20)]
    }
    guard disks.allSatisfy({ $0 == 0 }), listed == count else {
      throw malformed("end", at: end, "expected all entries in one file, found an archive in several parts", hint: nil)
    }
    let (sum, overflow) = start.addingReportingOverflow(size)
    guard !overflow, sum == UInt64(directoryEnd) else {
      throw malformed(
        "end", at: end, "claims a directory of \(size) bytes at byte \(start), expected it to end at byte \(directoryEnd)",
        hint: "is the download complete?")
    }
    guard count <= StoredZip.entryLimit, count <= Int(size) / 46 else {
      throw malformed("end", at: end, "claims \(count) entries, a directory of \(size) bytes holds at most \(size / 46)", hint: nil)
    }
    return (Int(start)..<directoryEnd, count)
  }

  // MARK: Entries

  /// The record at `offset`, which moves behind it.
  func entry(_ number: Int, at offset: inout Int, directory: Range<Int>) throws(FormatError) -> Claim {
    let place = "directory entry \(number)"
    let start = offset
    guard directory.upperBound - start >= 46, self.number(UInt32.self, at: start) == 0x0201_4B50 else {
      throw malformed(place, at: start, "expected a directory record, found none", hint: "is the download complete?")
    }
    let nameCount = Int(self.number(UInt16.self, at: start + 28))
    let extraCount = Int(self.number(UInt16.self, at: start + 30))
    let length = 46 + nameCount + extraCount + Int(self.number(UInt16.self, at: start + 32))
    guard length <= directory.upperBound - start else {
      throw malformed(place, at: start, "claims \(length) bytes, \(directory.upperBound - start) are left", hint: nil)
    }
    let rawName = (start + 46)..<(start + 46 + nameCount)
    let name = try name(rawName, place)
    let titled = "entry \(quoted(name))"
    let flags = self.number(UInt16.self, at: start + 8)
    guard flags & 0x2041 == 0 else {
      throw .unsupported(file: file.path, place: titled, found: "an encrypted entry", hint: "torch.save never writes this")
    }
    let method = self.number(UInt16.self, at: start + 10)
    guard method == 0 else {
      throw .unsupported(
        file: file.path, place: titled, found: method == 8 ? "a compressed (deflated) entry" : "compression method \(method)",
        hint: "torch.save stores its entries as they are; of a TorchScript program, save the state_dict() with torch.save")
    }
    var fields = [20, 24, 42].map { UInt64(self.number(UInt32.self, at: start + $0)) }
    try widen(&fields, rawName.upperBound..<(rawName.upperBound + extraCount), titled)
    let (packed, byteCount, header) = (fields[0], fields[1], fields[2])
    guard packed == byteCount else {
      throw malformed(titled, at: start, "is stored as it is, but claims \(packed) bytes for a content of \(byteCount)", hint: nil)
    }
    guard byteCount <= UInt64(directory.lowerBound), header <= UInt64(directory.lowerBound) - byteCount else {
      throw malformed(
        titled, at: start, "claims \(byteCount) bytes at byte \(header), the entries end at byte \(directory.lowerBound)",
        hint: "is the download complete?")
    }
    offset = start + length
    return Claim(name: name, rawName: rawName, flags: flags, byteCount: Int(byteCount), header: Int(header))
  }

  /// A relative path of plain names, so that it could not leave a folder even if somebody extracted it.
  private func name(_ range: Range<Int>, _ place: String) throws(FormatError) -> String {
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
    guard bytes.count <= StoredZip.nameLimit, let name = String(validating: bytes, as: UTF8.self) else {
      throw malformed(place, at: range.lowerBound, "expected a UTF-8 name of at most \(StoredZip.nameLimit) bytes", hint: nil)
    }
    let parts = name.utf8.split(separator: ascii("/"), omittingEmptySubsequences: false)
    let isPlain = parts.allSatisfy { part in
      !part.isEmpty && !part.elementsEqual(".".utf8) && !part.elementsEqual("..".utf8)
        && part.allSatisfy { $0 >= 0x20 && $0 != 0x7F && $0 != ascii("\\") }
    }
    guard isPlain else {
      throw malformed(
        place, at: range.lowerBound, "expected a plain relative name, found \(quoted(name))",
        hint: "torch.save never writes this: do not trust the file"
      )
    }
    return name
  }

  /// Replaces the fields that are all ones by their 64-bit values in the extra field, which has them in this order.
  private func widen(_ fields: inout [UInt64], _ extra: Range<Int>, _ place: String) throws(FormatError) {
    // The record lists uncompressed before compressed.
    let order = [1, 0, 2].filter { fields[$0] == 0xFFFF_FFFF }
    guard !order.isEmpty else { return }
    var offset = extra.lowerBound
    while extra.upperBound - offset >= 4 {
      let kind = number(UInt16.self, at: offset)
      let end = offset + 4 + Int(number(UInt16.self, at: offset + 2))
      guard end <= extra.upperBound else { break }
      if kind == 1 {
        guard end - offset - 4 >= 8 * order.count else { break }
        for (position, field) in order.enumerated() { fields[field] = number(UInt64.self, at: offset + 4 + 8 * position) }
        return
      }
      offset = end
    }
    throw malformed(place, at: extra.lowerBound, "expected 64-bit sizes in its extra field, found none", hint: nil)
  }

  /// The bytes of an entry: behind its own header, which must agree with the directory.
  func data(of claim: Claim, before limit: Int) throws(FormatError) -> Range<Int> {
    let place = "entry \(quoted(claim.name))"
    guard limit - claim.header >= 30, number(UInt32.self, at: claim.header) == 0x0403_4B50 else {
      throw malformed(place, at: claim.header, "expected the header of an entry, found none", hint: "is the download complete?")
    }
    let nameCount = Int(number(UInt16.self, at: claim.header + 26))
    let nameStart = claim.header + 30
    let start = nameStart + nameCount + Int(number(UInt16.self, at: claim.header + 28))
    guard start <= limit, claim.byteCount <= limit - start else {
      throw malformed(
        place, at: claim.header, "\(claim.byteCount) bytes of content from byte \(start) reach beyond byte \(limit)",
        hint: "is the download complete?")
    }
    let sizes = [18, 22].map { Int(number(UInt32.self, at: claim.header + $0)) }
    // Sizes that come behind the content, or in 64 bits, are not in the header.
    let saysSizes = claim.flags & 8 == 0 && sizes.allSatisfy { $0 != 0xFFFF_FFFF }
    guard file.bytes[nameStart..<nameStart + nameCount].elementsEqual(file.bytes[claim.rawName]),
      number(UInt16.self, at: claim.header + 8) == 0, !saysSizes || sizes.allSatisfy({ $0 == claim.byteCount })
    else {
      throw malformed(
        place, at: claim.header, "its own header and the directory differ in name, method or size",
        hint: "torch.save never writes this: do not trust the file")
    }
    return start..<start + claim.byteCount
  }
}
