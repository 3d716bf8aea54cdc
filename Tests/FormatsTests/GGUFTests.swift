// Are good GGUF files read exactly, and bad ones refused without a crash? Files made here byte by byte, each kind of lie in a header,
// split files, and the reference fixtures where the machine has them. Truncations and bit flips are HostileFileTests'.

import Formats
import Foundation
import Support
import Testing

/// Writes GGUF by hand, so that it can also be written wrongly.
struct GGUFBytes {
  var bytes: [UInt8] = Array("GGUF".utf8)

  mutating func add<Number: FixedWidthInteger>(_ number: Number) { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }

  mutating func add(_ text: String) {
    add(UInt64(text.utf8.count))
    bytes += Array(text.utf8)
  }

  /// Magic number, version and counts.
  static func start(version: UInt32 = 3, tensors: UInt64, pairs: UInt64) -> GGUFBytes {
    var file = GGUFBytes()
    file.add(version)
    file.add(tensors)
    file.add(pairs)
    return file
  }

  mutating func pair(_ key: String, _ type: UInt32, _ value: (inout GGUFBytes) -> Void) {
    add(key)
    add(type)
    value(&self)
  }

  /// `dimensions` as GGUF has them: innermost first.
  mutating func tensor(_ name: String, _ dimensions: [UInt64], type: UInt32, offset: UInt64) {
    add(name)
    add(UInt32(dimensions.count))
    for dimension in dimensions { add(dimension) }
    add(type)
    add(offset)
  }

  mutating func pad(to alignment: Int = 32) { bytes += repeatElement(0, count: (alignment - bytes.count % alignment) % alignment) }

  /// A file with a value of every type, and three tensors.
  static func sample(version: UInt32 = 3, split: (number: UInt16, count: UInt16)? = nil, prefix: String = "") -> [UInt8] {
    var file = start(version: version, tensors: 3, pairs: split == nil ? 14 : 16)
    if let split {
      file.pair("split.no", 2) { $0.add(split.number) }
      file.pair("split.count", 2) { $0.add(split.count) }
    }
    file.pair("general.architecture", 8) { $0.add("olmoe") }
    file.pair("u8", 0) { $0.add(UInt8(200)) }
    file.pair("i8", 1) { $0.add(Int8(-100)) }
    file.pair("u16", 2) { $0.add(UInt16(60000)) }
    file.pair("i16", 3) { $0.add(Int16(-30000)) }
    file.pair("u32", 4) { $0.add(UInt32.max) }
    file.pair("i32", 5) { $0.add(Int32.min) }
    file.pair("f32", 6) { $0.add(Float(1.5).bitPattern) }
    file.pair("yes", 7) { $0.add(UInt8(1)) }
    file.pair("u64", 10) { $0.add(UInt64.max) }
    file.pair("i64", 11) { $0.add(Int64.min) }
    file.pair("f64", 12) { $0.add(Double(-2.25).bitPattern) }
    file.pair("tokens", 9) { file in
      file.add(UInt32(8))
      file.add(UInt64(3))
      for token in ["a", "", "bcd"] { file.add(token) }
    }
    file.pair("nested", 9) { file in
      file.add(UInt32(9))
      file.add(UInt64(2))
      for list in [[1, 2], [3]] as [[UInt32]] {
        file.add(UInt32(4))
        file.add(UInt64(list.count))
        for number in list { file.add(number) }
      }
    }
    file.tensor(prefix + "b", [3, 2], type: 0, offset: 64)
    file.tensor(prefix + "a", [32, 1], type: 8, offset: 0)
    file.tensor(prefix + "c", [], type: 24, offset: 96)
    file.pad()
    for i in 0..<34 { file.add(UInt8(i)) }
    file.pad()
    for i in 0..<6 { file.add(Float(i).bitPattern) }
    file.pad()
    file.add(Int8(-7))
    return file.bytes
  }
}

@Suite struct GGUFTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func write(_ bytes: [UInt8], _ name: String = "m.gguf") throws -> String { try directory.write(bytes, to: name) }

  @Test(arguments: [2, 3] as [UInt32])
  func readsEveryType(_ version: UInt32) throws {
    let file = try GGUFFile(path: try write(GGUFBytes.sample(version: version)))
    #expect(file.version == Int(version) && file.metadata.count == 14)
    #expect(file["general.architecture"]?.string == "olmoe" && file["nothing"] == nil)
    let integers: [(String, Int64?)] = [
      ("u8", 200), ("i8", -100), ("u16", 60000), ("i16", -30000), ("u32", 4_294_967_295), ("i32", -2_147_483_648), ("u64", nil),
      ("i64", .min), ("f32", nil), ("yes", nil),
    ]
    for (key, wanted) in integers { #expect(file[key]?.int64 == wanted, "\(key)") }
    #expect(file["f32"]?.double == 1.5 && file["f64"]?.double == -2.25 && file["u8"]?.double == 200)
    #expect(file["u64"]?.double == 0x1p64 && file["yes"]?.bool == true)
    #expect(file["tokens"]?.array?.strings == ["a", "", "bcd"] && file["tokens"]?.array?.integers == nil)
    let nested = try #require(file["nested"]?.array)
    #expect(nested.elements.compactMap { $0.array?.integers } == [[1, 2], [3]])
    #expect(nested.elements.compactMap { $0.array?.largestInteger } == [2, 3] && file["tokens"]?.array?.largestInteger == nil)
  }

  @Test func placesTensors() throws {
    let file = try GGUFFile(path: try write(GGUFBytes.sample()))
    #expect(file.tensors.map(\.name) == ["a", "b", "c"])
    let a = try #require(file.tensor("a")), b = try #require(file.tensor("b")), c = try #require(file.tensor("c"))
    #expect(a.shape == [1, 32] && a.elementType == .q80 && a.byteCount == 34 && a.elementCount == 32)
    #expect(a.bytes.elementsEqual((0..<34).map { UInt8($0) }))
    #expect(b.shape == [2, 3] && Array(b.bytes.bindMemory(to: Float.self)) == [0, 1, 2, 3, 4, 5] && b.isAligned)
    #expect(c.shape == [] && c.elementType == .i8 && c.bytes.elementsEqual([249]) && file.tensor("d") == nil)
  }

  private func refusal(_ file: GGUFBytes, _ words: String, _ name: String = "lie.gguf") throws {
    let path = try write(file.bytes, name)
    do {
      _ = try GGUFFile(path: path)
      Issue.record("accepted; expected: \(words)")
    } catch { #expect("\(error)".contains(words) && "\(error)".hasPrefix(path), "\(error)") }
  }

  @Test func refusesWrongBeginnings() throws {
    try refusal(GGUFBytes(bytes: Array("GGML1234".utf8)), "magic number at byte 0: is not \"GGUF\"")
    try refusal(.start(version: 1, tensors: 0, pairs: 0), "version at byte 4: version 1 is not supported")
    try refusal(.start(version: UInt32(3).byteSwapped, tensors: 0, pairs: 0), "a big-endian file is not supported")
    try refusal(.start(tensors: .max, pairs: 0), "tensor count at byte 8: claims 18446744073709551615")
    try refusal(.start(tensors: 0, pairs: 1), "metadata count at byte 16: claims 1, the 0 bytes after it hold at most 0")
  }

  @Test func refusesWrongMetadata() throws {
    func pairs(_ count: UInt64, _ body: (inout GGUFBytes) -> Void) -> GGUFBytes {
      var file = GGUFBytes.start(tensors: 0, pairs: count)
      body(&file)
      file.bytes += repeatElement(0, count: 32)
      return file
    }
    try refusal(pairs(1) { $0.pair("k", 13) { _ in } }, "metadata \"k\" at byte 33: value type 13 is not supported")
    try refusal(pairs(1) { $0.pair("k", 7) { $0.add(UInt8(2)) } }, "a flag is 2, not 0 or 1")
    try refusal(pairs(1) { $0.pair("k", 8) { $0.add(UInt64(1) << 60) } }, "metadata \"k\" (length) at byte 37: claims 1152921504606846976")
    try refusal(pairs(1) { $0.add(UInt64(40)) }, "metadata key")
    try refusal(
      pairs(1) {
        $0.pair("k", 8) { file in
          file.add(UInt64(2))
          file.bytes += [0x41, 0xFF]
        }
      }, "metadata \"k\" at byte 37: is not UTF-8")
    try refusal(
      pairs(1) {
        $0.add(UInt64(1))
        $0.bytes += [0xFF]
      }, "is not UTF-8")
    try refusal(
      pairs(1) {
        $0.pair("k", 9) {
          $0.add(UInt32(4))
          $0.add(UInt64(9))
        }
      }, "metadata \"k\" (count) at byte 41: claims 9, the 32 bytes after it hold at most 8")
    try refusal(
      pairs(1) {
        $0.pair("k", 9) { file in
          for _ in 0..<5 {
            file.add(UInt32(9))
            file.add(UInt64(1))
          }
        }
      }, "more than 4 arrays inside each other")
    try refusal(
      pairs(2) {
        $0.pair("k", 0) { $0.add(UInt8(1)) }
        $0.pair("k", 0) { $0.add(UInt8(1)) }
      }, "metadata \"k\" at byte 38: is there twice")
  }

  @Test func refusesWrongTensors() throws {
    func tensors(_ count: UInt64, alignment: UInt32? = nil, data: Int = 64, _ body: (inout GGUFBytes) -> Void) -> GGUFBytes {
      var file = GGUFBytes.start(tensors: count, pairs: alignment == nil ? 0 : 1)
      if let alignment { file.pair("general.alignment", 4) { $0.add(alignment) } }
      body(&file)
      file.pad()
      file.bytes += repeatElement(0, count: data)
      return file
    }
    try refusal(tensors(1) { $0.tensor("x", [17], type: 0, offset: 0) }, "68 bytes at 0 reach beyond the data (64 bytes)")
    try refusal(tensors(1) { $0.tensor("x", [1], type: 0, offset: 96) }, "4 bytes at 96 reach beyond")
    try refusal(tensors(1) { $0.tensor("x", [1], type: 0, offset: .max - 31) }, "reach beyond")
    try refusal(tensors(1) { $0.tensor("x", [1], type: 0, offset: 4) }, "is not a multiple of the alignment 32")
    try refusal(tensors(1) { $0.tensor("x", [16], type: 2, offset: 0) }, "Q4_0 stores blocks of 32, its rows have 16 elements")
    try refusal(tensors(1) { $0.tensor("x", [1], type: 9, offset: 0) }, "tensor \"x\" at byte 24: tensor type Q8_1 is not supported")
    try refusal(tensors(1) { $0.tensor("x", [1], type: 77, offset: 0) }, "tensor type number 77 is not supported")
    try refusal(tensors(1) { $0.tensor("x", [1, 1, 1, 1, 1], type: 0, offset: 0) }, "has 5 dimensions, at most 4 are allowed")
    try refusal(tensors(1) { $0.tensor("x", [1 << 32, 1 << 32], type: 0, offset: 0) }, "takes more than 2^63 bytes")
    try refusal(tensors(1) { $0.tensor("x", [.max], type: 0, offset: 0) }, "has a dimension of 18446744073709551615")
    try refusal(
      tensors(2) {
        $0.tensor("x", [9], type: 0, offset: 0)
        $0.tensor("y", [1], type: 0, offset: 32)
      }, "tensor \"y\" at byte 57: its data overlap those of another tensor")
    try refusal(
      tensors(2) {
        $0.tensor("x", [1], type: 0, offset: 0)
        $0.tensor("x", [1], type: 0, offset: 32)
      }, "tensor \"x\" at byte 57: is there twice")
    for alignment in [0, 3, 1 << 21] as [UInt32] {
      try refusal(tensors(1, alignment: alignment) { $0.tensor("x", [1], type: 0, offset: 0) }, "is not a power of two")
    }
    let wide = tensors(1, alignment: 64) { $0.tensor("x", [1], type: 0, offset: 0) }
    #expect(try GGUFFile(path: try write(wide.bytes)).tensor("x")?.byteOffset == 128)
  }

  @Test func opensSplits() throws {
    for number in 0..<3 as Range<UInt16> {
      _ = try write(GGUFBytes.sample(split: (number, 3), prefix: "\(number)."), "m-0000\(number + 1)-of-00003.gguf")
    }
    let split = try GGUFSplit(path: directory.file("m-00002-of-00003.gguf"))
    #expect(split.files.count == 3 && split.files[2].tensor("2.a") != nil && split.files[0].path.hasSuffix("m-00001-of-00003.gguf"))
    #expect(try GGUFSplit(path: try write(GGUFBytes.sample())).files.count == 1)

    func refusal(_ path: String, _ words: String) {
      do {
        _ = try GGUFSplit(path: path)
        Issue.record("accepted; expected: \(words)")
      } catch { #expect("\(error)".contains(words), "\(error)") }
    }
    refusal(try write(GGUFBytes.sample(split: (0, 3)), "renamed.gguf"), "the file is one of 3, but it is not called")
    _ = try write(GGUFBytes.sample(split: (2, 3), prefix: "x."), "m-00002-of-00003.gguf")
    refusal(directory.file("m-00001-of-00003.gguf"), "says part 3 of 3, its name says 2 of 3")
    _ = try write(GGUFBytes.sample(split: (1, 3), prefix: "0."), "m-00002-of-00003.gguf")
    refusal(directory.file("m-00001-of-00003.gguf"), "m-00002-of-00003.gguf: tensor \"0.a\": is in an earlier part too")
    try FileManager.default.removeItem(atPath: directory.file("m-00002-of-00003.gguf"))
    refusal(directory.file("m-00001-of-00003.gguf"), "cannot open: No such file")
  }

  @Test(.enabled(if: Fixtures.sharedRoot != nil, "\(Fixtures.needsShared)")) func furtherReferences() throws {
    let root = try #require(Fixtures.sharedRoot)
    var count = 0
    for architecture in try FileManager.default.contentsOfDirectory(atPath: root) {
      let folder = "\(root)/\(architecture)/gguf"
      for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where name.hasSuffix(".gguf") {
        let file = try GGUFFile(path: "\(folder)/\(name)")
        #expect(!file.tensors.isEmpty && file["general.architecture"]?.string != nil, "\(file.path)")
        count += 1
      }
    }
    #expect(count > 30)
  }
}
