// Editors put a byte-order mark before JSON: a file that begins with one is read, and offsets in errors still count from its first byte.

import Support
import Testing

@testable import Formats

struct ByteOrderMarkTests {
  private let folder: TemporaryDirectory
  private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

  init() throws { folder = try TemporaryDirectory() }

  @Test func aMarkIsPassedOver() throws {
    let path = try folder.write(Self.mark + Array(#"{"a": [1, 2.50, true, null, "x"]}"#.utf8), to: "a.json")
    for root in [try JSON.read(path), try JSON.parse(MappedFile(path: path))] {
      let values = try Array(root.array("a"))
      #expect(values.map(\.scalarText) == ["1", "2.50", "true", nil, "x"])
      #expect(values[1].path == "a[1]")
    }
  }

  @Test func offsetsCountFromTheFirstByte() throws {
    let path = try folder.write(Self.mark + Array("[1 2]".utf8), to: "a.json")
    let error = FormatError.syntax(file: path, offset: 6, expected: "\",\" or \"]\"", found: "\"2\"")
    #expect(throws: error) { try JSON.read(path) }
    #expect(throws: error) { try JSON.parse(MappedFile(path: path)) }
  }

  @Test func aMarkAloneOrElsewhereIsNoJSON() throws {
    for bytes in [Self.mark, Array("[1]".utf8) + Self.mark, Self.mark + Self.mark + Array("[1]".utf8)] {
      let path = try folder.write(bytes, to: "a.json")
      #expect(throws: FormatError.self) { try JSON.read(path) }
      #expect(throws: FormatError.self) { try JSON.parse(MappedFile(path: path)) }
    }
  }
}
