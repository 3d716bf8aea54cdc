// Does a .npz hold what was put into it? Read back by our own readers of ZIP and .npy, every checksum computed again; then what cannot be written.

import Foundation
import Support
import Testing

@testable import Formats

@Suite struct NPZWriterTests {
  let directory: TemporaryDirectory
  private var path: String { directory.file("x.npz") }

  init() throws { directory = try TemporaryDirectory() }

  @Test func arraysComeBack() throws {
    let writer = try NPZWriter(
      path: path, arrays: [.init("ffn.3.expert_ids", .i32, [2, 3]), .init("phase", .u8, [5]), .init("none", .f32, [0, 2])],
      texts: [("moetop.export", "routing/1"), ("empty", ""), ("words", "größer 🦉")])
    // In pieces, in any order.
    try writer.append([UInt8(1), 2], to: "phase")
    try writer.append([Int32(7), -1, 3, 4], to: "ffn.3.expert_ids")
    try writer.append([UInt8(3), 4, 5], to: "phase")
    try writer.append([Int32(5), 6], to: "ffn.3.expert_ids")
    #expect(!FileManager.default.fileExists(atPath: path), "hidden until it is complete")
    try writer.finish()
    let zip = try StoredZip(try MappedFile(path: path))
    #expect(
      zip.entries.map(\.name)
        == ["ffn.3.expert_ids.npy", "phase.npy", "none.npy", "moetop.export.npy", "empty.npy", "words.npy"])
    let ids = try #require(zip["ffn.3.expert_ids.npy"])
    let header = try NPYHeader(zip.bytes(of: ids), file: path)
    #expect(header.elementType == .i32 && header.shape == [2, 3] && header.dataOffset % 64 == 0 && !header.isTruncated)
    #expect(
      zip.bytes(of: ids)[header.dataOffset...].elementsEqual(
        [7, -1, 3, 4, 5, 6].flatMap { (n: Int32) in withUnsafeBytes(of: n) { Array($0) } }))
    let phase = try NPYHeader(zip.bytes(of: try #require(zip["phase.npy"])), file: path)
    #expect(phase.elementType == .u8 && phase.shape == [5])
    #expect(try NPYHeader(zip.bytes(of: try #require(zip["none.npy"])), file: path).shape == [0, 2])
    let words = zip.bytes(of: try #require(zip["words.npy"]))
    #expect(String(decoding: words[10..<80], as: UTF8.self).hasPrefix("{'descr': '<U8', 'fortran_order': False, 'shape': (), }"))
    #expect(words.suffix(4).elementsEqual([0x89, 0xF9, 0x01, 0x00]), "an owl, as numpy keeps text")
    // Each entry's checksum, from its own header.
    for entry in zip.entries {
      var sum = CRC32()
      sum.add(zip.bytes(of: entry))
      let header = entry.range.lowerBound - entry.name.utf8.count - 30
      let stored = zip.file.bytes.loadUnaligned(fromByteOffset: header + 14, as: UInt32.self)
      #expect(UInt32(littleEndian: stored) == sum.value, "\(entry.name)")
    }
  }

  @Test func whatCannotBeWritten() throws {
    func problem(_ body: () throws -> Void) -> String? {
      do { try body() } catch let error as FormatError { return error.description } catch {}
      return nil
    }
    #expect(problem { _ = try NPZWriter(path: path, arrays: [.init("a", .u8, [1]), .init("a", .u8, [1])]) }?.contains("repeated") == true)
    #expect(problem { _ = try NPZWriter(path: path, arrays: [.init("a/b", .u8, [1])]) } != nil)
    #expect(problem { _ = try NPZWriter(path: path, arrays: [.init("a", .bf16, [1])]) } != nil, "numpy has no bfloat16")
    #expect(problem { _ = try NPZWriter(path: path, arrays: [.init("a", .u8, [Int.max])]) } != nil)
    let writer = try NPZWriter(path: path, arrays: [.init("a", .u8, [2])])
    #expect(problem { try writer.append([UInt8(1), 2, 3], to: "a") }?.contains("its shape has 2") == true)
    #expect(problem { try writer.append([UInt8(1)], to: "b") }?.contains("was not declared") == true)
    #expect(problem { try writer.finish() }?.contains("got 0 of 2 bytes") == true)
  }

  /// From 4 GiB on sizes and places stand in 64 bits; here from a few bytes on.
  @Test func largeArchivesAreWide() throws {
    let writer = try NPZWriter(path: path, arrays: [.init("large", .u8, [300]), .init("behind", .i32, [1])], wideFrom: 250)
    try writer.append([UInt8](repeating: 9, count: 300), to: "large")
    try writer.append([Int32(42)], to: "behind")
    try writer.finish()
    let zip = try StoredZip(try MappedFile(path: path))
    let large = zip.bytes(of: try #require(zip["large.npy"]))
    let header = try NPYHeader(large, file: path)
    #expect(header.shape == [300] && !header.isTruncated && large.suffix(300).allSatisfy { $0 == 9 })
    #expect(zip.bytes(of: try #require(zip["behind.npy"])).suffix(4).elementsEqual([42, 0, 0, 0]))
    // The mark of 64-bit fields stands in both records of the first entry, and the place of the second in its directory record alone.
    let marks = (0..<zip.file.bytes.count - 3).count { zip.file.bytes[$0..<$0 + 4].allSatisfy { $0 == 0xFF } }
    #expect(marks >= 5)
  }
}
