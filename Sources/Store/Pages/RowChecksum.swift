// What the small rows of a run add up to: its routers, and the words it is read by (names and labels of sequences, pieces of tokens). They
// say whose the pages are, so that a row that was edited makes sound pages lie. The rule stands beside the schema's fourth step.

import Formats
import Foundation

/// The sum, modulo 2^32, of the CRC-32 of each row: rows come and are replaced in any order while a run goes on.
struct RowChecksum: Equatable, Sendable {
  private(set) var value: UInt32 = 0

  mutating func add(_ row: UInt32) { value &+= row }

  mutating func remove(_ row: UInt32) { value &-= row }

  /// - Parameter ordinal: place among the routers of the run, in the order of their ids, from 0: pages hang on the id.
  static func router(
    ordinal: Int, layer: Int, stack: String, expertCount: Int, topK: Int, spec: String, more: RouterMore?
  ) -> UInt32 {
    var row = RowBytes()
    for number in [ordinal, layer] { row.append(number) }
    row.append(Data(stack.utf8))
    for number in [expertCount, topK] { row.append(number) }
    row.append(Data(spec.utf8))
    if let more { for text in [more.path, more.facts] { row.append(Data(text.utf8)) } }
    return row.checksum
  }

  static func sequence(_ number: Int, name: String, labels: String) -> UInt32 {
    var row = RowBytes()
    row.append(number)
    row.append(Data(name.utf8))
    row.append(Data(labels.utf8))
    return row.checksum
  }

  static func piece(_ token: Int, _ piece: Data) -> UInt32 {
    var row = RowBytes()
    row.append(token)
    row.append(piece)
    return row.checksum
  }
}

/// A row as its checksum reads it: numbers as i64, texts behind their length in bytes, all little-endian.
private struct RowBytes {
  private var bytes: [UInt8] = []

  mutating func append(_ number: Int) { withUnsafeBytes(of: Int64(number).littleEndian) { bytes.append(contentsOf: $0) } }

  mutating func append(_ text: Data) {
    append(text.count)
    bytes.append(contentsOf: text)
  }

  var checksum: UInt32 {
    var sum = CRC32()
    sum.add(bytes)
    return sum.value
  }
}
