// Are good safetensors files read exactly, and bad ones refused without a crash? Files made here, every truncation of one, two
// thousand seeded mutations, each kind of lie in the header, and the reference fixtures where the machine has them.

import Formats
import Foundation
import Support
import Testing

@Suite struct SafetensorsTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A file of `header` and `count` bytes of data.
  private func file(_ header: String, data count: Int, name: String = "model.safetensors") throws -> String {
    var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
    bytes += Array(header.utf8)
    bytes += (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    return try directory.write(bytes, to: name)
  }

  private func small(_ name: String = "small.safetensors") throws -> String {
    let path = directory.file(name)
    let writer = try SafetensorsWriter(
      path: path,
      tensors: [.init("b", .u8, [3]), .init("a.weight", .f32, [2, 3]), .init("empty", .f16, [0, 4]), .init("scalar", .i64, [])],
      metadata: [("format", "pt"), ("a", "\"q\"")])
    try writer.append([Float(1), 2, 3, 4], to: "a.weight")
    try writer.append([UInt8(7), 8, 9], to: "b")
    try writer.append([Float(5), 6], to: "a.weight")
    try writer.append([Int64(-1)], to: "scalar")
    try writer.finish()
    return path
  }

  @Test func roundTrip() throws {
    let file = try SafetensorsFile(path: try small())
    #expect(file.tensors.map(\.name) == ["scalar", "a.weight", "empty", "b"])
    #expect(file.metadata.map(\.key) == ["format", "a"] && file.metadata.map(\.value) == ["pt", "\"q\""])
    let weight = try file.tensor("a.weight")
    #expect(weight.shape == [2, 3] && weight.elementType == .f32 && weight.isAligned && weight.elementCount == 6)
    #expect(Array(weight.bytes.bindMemory(to: Float.self)) == [1, 2, 3, 4, 5, 6])
    #expect(try Array(file.tensor("b").bytes) == [7, 8, 9])
    #expect(try file.tensor("scalar").bytes.load(as: Int64.self) == -1 && file.tensor("scalar").shape == [])
    #expect(try file.tensor("empty").byteCount == 0 && file["nothing"] == nil)
    #expect(throws: FormatError.self) { try file.tensor("nothing") }
    #expect(file.tensors.allSatisfy { ($0.byteOffset - $0.byteOffset % 1) >= 8 && $0.isAligned })
  }

  @Test func writerRefuses() throws {
    let path = directory.file("w.safetensors")
    #expect(throws: FormatError.self) { try SafetensorsWriter(path: path, tensors: [.init("a", .f32, [1]), .init("a", .u8, [1])]) }
    #expect(throws: FormatError.self) { try SafetensorsWriter(path: path, tensors: [.init("a", .f32, [-1])]) }
    #expect(throws: FormatError.self) { try SafetensorsWriter(path: path, tensors: [.init("a", .f32, [.max, 2])]) }
    #expect(throws: FormatError.self) { try SafetensorsWriter(path: directory.file("no/such/x"), tensors: []) }
    var writer: SafetensorsWriter? = try SafetensorsWriter(path: path, tensors: [.init("a", .u8, [2])])
    #expect(throws: FormatError.self) { try writer?.append([UInt8(1), 2, 3], to: "a") }
    #expect(throws: FormatError.self) { try writer?.append([UInt8(1)], to: "b") }
    try writer?.append([UInt8(1)], to: "a")
    #expect(throws: FormatError.self) { try writer?.finish() }
    writer = nil
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
  }

  @Test(arguments: [
    (
      #"{"x":{"dtype":"F32","shape":[200],"data_offsets":[0,900]}}"#, 800, "data_offsets [0, 900] reach beyond the data section (800 bytes)"
    ),
    (#"{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, "F32 [3] takes 12 bytes, data_offsets [0, 8] give 8"),
    (#"{"x":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}}"#, 4, "more than 2^63"),
    (#"{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0, "more than 2^63"),
    (#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, "are not a begin and an end"),
    (#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#, 8, "are not a begin and an end"),
    (#"{"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, "x.shape[0]: expected an integer of at least 0, found -2"),
    (#"{"x":{"dtype":"Q9","shape":[2],"data_offsets":[0,8]}}"#, 8, "dtype \"Q9\" is not supported"),
    (#"{"x":{"shape":[2],"data_offsets":[0,8]}}"#, 8, "x.dtype: missing"),
    (#"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"y":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#, 6, "overlaps"),
    (#"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"y":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}}"#, 10, "leaves a gap"),
    (#"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 10, "6 bytes after the last tensor"),
    (#"{"__metadata__":{"a":1}}"#, 0, "__metadata__.a: expected a string, found 1"),
    (#"{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{}}"#, 0, "\"x\" twice"),
    ("[]", 0, "top level: expected an object"), ("", 0, "not valid JSON at byte 8"), ("{} x", 0, "not valid JSON at byte 11"),
  ])
  func lies(_ header: String, _ count: Int, _ words: String) throws {
    let path = try file(header, data: count)
    do {
      _ = try SafetensorsFile(path: path)
      Issue.record("accepted")
    } catch {
      #expect("\(error)".contains(words), "\(error)")
      #expect("\(error)".hasPrefix(path))
    }
  }

  @Test func rankAndHeaderLimits() throws {
    let ones = Array(repeating: "1", count: 33).joined(separator: ",")
    let rank = try file("{\"x\":{\"dtype\":\"U8\",\"shape\":[\(ones)],\"data_offsets\":[0,1]}}", data: 1)
    #expect(throws: FormatError.self) { try SafetensorsFile(path: rank) }
    for length in [UInt64.max, 1 << 63, 100_000_001, 3] {
      let path = try directory.write(withUnsafeBytes(of: length.littleEndian) { Array($0) } + [0x7B, 0x7D], to: "h.safetensors")
      #expect(throws: FormatError.self) { try SafetensorsFile(path: path) }
    }
  }

  @Test func everyTruncationIsRefused() throws {
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: try small())))
    for count in 0..<bytes.count {
      let path = try directory.write(bytes.prefix(count), to: "cut.safetensors")
      #expect(throws: FormatError.self, "cut at \(count)") { try SafetensorsFile(path: path) }
    }
  }

  @Test func mutationsNeverCrash() throws {
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: try small())))
    let headerEnd = bytes.count - 35
    var random = SeededRandom(seed: 42)
    var accepted = 0
    for _ in 0..<2000 {
      var mutated = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        mutated[Int.random(in: 0..<headerEnd, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      }
      let path = try directory.write(mutated, to: "mutated.safetensors")
      guard let file = try? SafetensorsFile(path: path) else { continue }
      accepted += 1
      for tensor in file.tensors { _ = tensor.bytes.reduce(0) { $0 ^ $1 } }
    }
    #expect(accepted < 1000)
  }

  @Test func unalignedDataIsReadable() throws {
    let file = try SafetensorsFile(path: try file(#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} "#, data: 4))
    #expect(try file.tensor("x").bytes.elementsEqual([0, 1, 2, 3]))
  }

  @Test func index() throws {
    _ = try small("model-1.safetensors")
    let good = #"{"metadata":{"total_size":35},"weight_map":{"a.weight":"model-1.safetensors","b":"model-1.safetensors"}}"#
    let index = try SafetensorsIndex(path: try directory.write(Array(good.utf8), to: "model.safetensors.index.json"))
    #expect(index.shardNames == ["model-1.safetensors"] && index.totalByteCount == 35 && index.directory == directory.path)
    let (shards, table) = try index.openShards()
    #expect(shards.count == 1 && shards[0]["b"] != nil && table.tensors.count == shards[0].tensors.count)
    for shard in ["../x", "/etc/passwd", "a/b", "..", ".", "", "a\\\\b", "a\\u0000b"] {
      let path = try directory.write(Array("{\"weight_map\":{\"b\":\"\(shard)\"}}".utf8), to: "bad.json")
      #expect(throws: FormatError.self, "\(shard)") { try SafetensorsIndex(path: path) }
    }
    let missing = try directory.write(Array(#"{"weight_map":{"zz":"model-1.safetensors"}}"#.utf8), to: "missing.json")
    #expect(throws: FormatError.self) { try SafetensorsIndex(path: missing).openShards() }
    // A shard that is not there is the index's error: its name may be what is damaged.
    let lost = try directory.write(Array(#"{"weight_map":{"b":"model-9.safetensors"}}"#.utf8), to: "lost.json")
    let error = #expect(throws: FormatError.self) { try SafetensorsIndex(path: lost).openShards() }
    #expect(error.map { "\($0)" }?.hasPrefix("\(lost): weight_map: names \"model-9.safetensors\"") == true)
    let absent = try directory.write(Array(#"{"weight_map":{"zz":"none.safetensors"}}"#.utf8), to: "absent.json")
    #expect(throws: FormatError.self) { try SafetensorsIndex(path: absent).openShards() }
  }

  @Test func mapping() throws {
    #expect(try MappedFile(path: try directory.write([], to: "empty")).bytes.isEmpty)
    #expect(throws: FormatError.notAFile(file: directory.path, found: "a directory")) { try MappedFile(path: directory.path) }
    #expect(throws: FormatError.notAFile(file: "/dev/null", found: "a pipe or device")) { try MappedFile(path: "/dev/null") }
    do {
      _ = try MappedFile(path: directory.file("none"))
      Issue.record("opened")
    } catch { #expect("\(error)".hasSuffix("none: cannot open: No such file or directory")) }
  }

  @Test(.enabled(if: Fixtures.sharedRoot != nil, "\(Fixtures.needsShared)")) func furtherReferences() throws {
    let root = try #require(Fixtures.sharedRoot)
    var count = 0
    for architecture in try FileManager.default.contentsOfDirectory(atPath: root) {
      for name in ["model.safetensors", "expected.safetensors"] {
        let path = "\(root)/\(architecture)/\(name)"
        guard FileManager.default.fileExists(atPath: path) else { continue }
        let file = try SafetensorsFile(path: path)
        #expect(!file.tensors.isEmpty)
        count += 1
      }
    }
    #expect(count > 40)
  }
}
