// Are arrays of numpy.save read exactly, in every type and version, and is everything else refused? A file that was cut gives the rows that are
// whole, wherever it was cut; a header that lies gives an error.

import Formats
import Foundation
import Support
import Testing

@Suite struct NPYTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// An array as numpy.save writes it.
  static func npy(_ descr: String, _ shape: String, _ data: [UInt8], version: UInt8 = 1, isFortran: Bool = false) -> [UInt8] {
    npy(header: "{'descr': \(descr), 'fortran_order': \(isFortran ? "True" : "False"), 'shape': \(shape), }", data, version: version)
  }

  static func npy(header: String, _ data: [UInt8], version: UInt8 = 1) -> [UInt8] {
    let sizeBytes = version == 1 ? 2 : 4
    let padding = (64 - (8 + sizeBytes + header.utf8.count + 1) % 64) % 64
    let text = Array(header.utf8) + Array(repeating: 0x20, count: padding) + [0x0A]
    let length = (0..<sizeBytes).map { UInt8(text.count >> (8 * $0) & 0xFF) }
    return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + text + data
  }

  private func open(_ bytes: [UInt8]) throws -> NPYFile { try NPYFile(path: directory.write(bytes, to: "made.npy")) }

  private func bytes<Number: FixedWidthInteger>(_ numbers: [Number]) -> [UInt8] {
    numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
  }

  @Test(arguments: [UInt8(1), 2, 3]) func readsWholeNumbers(version: UInt8) throws {
    func check(_ descr: String, _ data: [UInt8], _ expected: [Int32]) throws {
      let file = try open(Self.npy("'\(descr)'", "(2, 2)", data, version: version))
      #expect(file.header.shape == [2, 2] && !file.header.isTruncated && file.rows.count == 2 && file.rows.width == 2)
      #expect(try file.rows.integers(0..<2) == expected, "\(descr)")
      #expect(try file.rows.integers(1..<2) == Array(expected[2...]))
    }
    try check("|u1", bytes([0, 1, 200, 255] as [UInt8]), [0, 1, 200, 255])
    try check("|i1", bytes([0, -1, 127, -128] as [Int8]), [0, -1, 127, -128])
    try check("<u2", bytes([0, 1, 40_000, 65_535] as [UInt16]), [0, 1, 40_000, 65_535])
    try check("<i2", bytes([0, -1, 300, -32_768] as [Int16]), [0, -1, 300, -32_768])
    try check("<u4", bytes([0, 1, 70_000, .max] as [UInt32]), [0, 1, 70_000, .max])
    try check("<i4", bytes([0, -1, .max, .min] as [Int32]), [0, -1, .max, .min])
    try check("<u8", bytes([0, 1, 70_000, .max] as [UInt64]), [0, 1, 70_000, .max])
    try check("<i8", bytes([0, -1, .max, .min] as [Int64]), [0, -1, .max, .min])
  }

  @Test func readsFloats() throws {
    let half: [(UInt16, Float)] = [
      (0x0000, 0), (0x3C00, 1), (0xC000, -2), (0x0001, 0x1p-24), (0x83FF, -0x3FFp-24), (0x7BFF, 65504), (0x7C00, .infinity),
      (0x3555, 0x1.554p-2),
    ]
    let file = try open(Self.npy("'<f2'", "(8,)", bytes(half.map(\.0))))
    #expect(file.header.elementType == .f16 && file.rows.width == 1)
    #expect(try file.rows.floats(0..<8) == half.map(\.1))
    let nan = try open(Self.npy("'<f2'", "(1,)", bytes([0x7E00] as [UInt16]))).rows.floats(0..<1)
    #expect(nan[0].isNaN)
    let single: [Float] = [0.1, -3, .infinity]
    #expect(try open(Self.npy("'<f4'", "(3,)", bytes(single.map(\.bitPattern)))).rows.floats(1..<3) == [-3, .infinity])
    #expect(try open(Self.npy("'<f8'", "(3,)", bytes(single.map { Double($0).bitPattern }))).rows.floats(0..<3) == single)
  }

  @Test func readsHeadersAsTheyAreWritten() throws {
    #expect(try open(Self.npy("'<i4'", "()", bytes([7] as [Int32]))).rows.integers(0..<1) == [7])
    #expect(try open(Self.npy("'<i4'", "(0, 3)", [])).rows.count == 0)
    let old = Self.npy(header: "{\"shape\":(1L,2L),\"fortran_order\":False,\"descr\":\"<i2\"}", bytes([3, 4] as [Int16]))
    #expect(try open(old).rows.integers(0..<1) == [3, 4])
    #expect(NPYFile.isAt(directory.file("made.npy")) && !NPYFile.isAt(directory.file("none.npy")))
    // Of numpy itself.
    let path = try #require(Fixtures.own("foreign/vllm/sound.0.npy"))
    let file = try NPYFile(path: path)
    #expect(file.header.shape == [23, 2, 3] && file.header.elementType == .u8 && file.rows.count == 23)
  }

  @Test(arguments: [
    ("{'descr': '<i4', 'fortran_order': True, 'shape': (2, 2), }", "Fortran order"),
    ("{'descr': '>i4', 'fortran_order': False, 'shape': (2, 2), }", "byte order \">\""),
    ("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", "type \"|O\""),
    ("{'descr': '<V2', 'fortran_order': False, 'shape': (2, 2), }", "bfloat16"),
    ("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (2, 2), }", "expected {'descr'"),
    ("{'descr': '<i4', 'fortran_order': False, }", "expected {'descr'"),
    ("{'descr': '<i4', 'fortran_order': False, 'shape': (2, -2), }", "expected {'descr'"),
    ("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 2), 'x': 1}", "expected {'descr'"),
    ("{'descr': '<i4', 'fortran_order': __import__('os'), 'shape': (2, 2), }", "expected {'descr'"),
    ("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 0), }", "that an array can have"),
    ("{'descr': '<i4', 'fortran_order': False, 'shape': (999999999999, 999999999999), }", "that an array can have"),
    ("{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }", "bytes follow the array"),
    ("{'descr': '<i4', 'fortran_order': False, 'shape': (\(String(repeating: "1,", count: 40))), }", "expected {'descr'"),
  ])
  func refuses(_ header: String, _ found: String) throws {
    let bytes = Self.npy(header: header, bytes([1, 2, 3, 4] as [Int32]))
    let error = #expect(throws: FormatError.self) { try open(bytes) }
    #expect(error?.description.contains(found) == true && error?.file == directory.file("made.npy"), "\(error?.description ?? "none")")
  }

  @Test func refusesOtherBytes() throws {
    let sound = Self.npy("'<i4'", "(1,)", bytes([1] as [Int32]))
    for change in [(0, 0x50), (6, 4), (6, 0), (8, 0xFF), (9, 0xFF)] as [(Int, UInt8)] {
      var bytes = sound
      bytes[change.0] = change.1
      #expect(throws: FormatError.self) { try open(bytes) }
    }
    #expect(throws: FormatError.self) { try open(Array("version https://git-lfs.github.com/spec/v1\n".utf8)) }
    #expect(throws: FormatError.self) { try open(Self.npy(header: "{'descr': '\u{1}\u{FF}", [0xFF])) }
  }

  /// Cut anywhere, a file gives the rows that are there or an error.
  @Test(arguments: ["vllm/sound.0.npy", "hf-logits/router_logits_L0.npy", "tensorrt-llm/sound_npy.0.npy"])
  func cutAnywhere(_ name: String) throws {
    let whole = try Array(Data(contentsOf: URL(fileURLWithPath: #require(Fixtures.own("foreign/\(name)")))))
    let sound = try open(whole)
    let rowBytes = sound.rows.width * sound.rows.elementType.byteCount
    for count in whole.indices {
      guard count >= sound.header.dataOffset else {
        #expect(throws: FormatError.self) { try open(Array(whole[..<count])) }
        continue
      }
      let cut = try open(Array(whole[..<count]))
      #expect(cut.header.isTruncated && cut.header.rows == sound.header.rows)
      #expect(cut.rows.count == (count - sound.header.dataOffset) / rowBytes)
      if NumberRows.isWhole(cut.rows.elementType) {
        #expect(try cut.rows.integers(0..<cut.rows.count) == sound.rows.integers(0..<cut.rows.count))
      } else {
        #expect(try cut.rows.floats(0..<cut.rows.count) == sound.rows.floats(0..<cut.rows.count))
      }
    }
  }

  @Test func flippedBitsAreFoundOrReadable() throws {
    let whole = try Array(Data(contentsOf: URL(fileURLWithPath: #require(Fixtures.own("foreign/vllm/sound.0.npy")))))
    var random = SeededRandom(seed: 5)
    for _ in 0..<1000 {
      var bytes = whole
      bytes[Int.random(in: 0..<128, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      do {
        let file = try open(bytes)
        #expect(file.rows.count * file.rows.width * file.rows.elementType.byteCount <= bytes.count)
        if NumberRows.isWhole(file.rows.elementType) { _ = try file.rows.integers(0..<file.rows.count) }
      } catch { #expect(error is FormatError) }
    }
  }

  /// Larger than memory: only what is asked for is read.
  @Test func readsPartsOfHugeFiles() throws {
    let rows = 200_000_000
    let path = try directory.write(Self.npy("'|u1'", "(\(rows), 10, 10)", []), to: "huge.npy")
    let start = try NPYFile(path: path).header.dataOffset
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: UInt64(start + rows * 100))
    try handle.seek(toOffset: UInt64(start + (rows - 1) * 100))
    try handle.write(contentsOf: Array(UInt8(1)...100))
    try handle.close()
    let file = try NPYFile(path: path)
    #expect(file.rows.count == rows && !file.header.isTruncated)
    #expect(try file.rows.integers(rows - 1..<rows) == Array(1...100))
    #expect(try file.rows.integers(rows / 2..<rows / 2 + 10_000).allSatisfy { $0 == 0 })
  }
}
