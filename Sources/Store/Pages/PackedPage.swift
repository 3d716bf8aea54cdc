// A row of the page table on its way to the disk: its blobs behind each other in one piece of memory, from which SQLite takes them as they are.

import Formats
import GRDB
import GRDBSQLite

struct PackedPage {
  private let tokens: Range<Int>
  /// NaN when unknown.
  private let squaredLogSumExp: Double
  private(set) var bytes: [UInt8] = []
  /// Of `absent` to `importance`, then `norms` to `shared_norm`, then `logit_rows` and `logits`; nil: NULL.
  private var blobs: [Range<Int>?] = []
  private var decisionEnd = 0
  private var extraEnd = 0

  private static let decisionCount = 9
  private static let extraCount = 3

  /// - Parameter room: bytes that are expected.
  init(tokens: Range<Int>, squaredLogSumExp: Double, room: Int) {
    (self.tokens, self.squaredLogSumExp) = (tokens, squaredLogSumExp)
    bytes.reserveCapacity(room + room / 8)
    blobs.reserveCapacity(14)
  }

  // MARK: Blobs, in their order

  private mutating func add(keepsEmpty: Bool = false, _ pack: (inout [UInt8]) -> Void) {
    let start = bytes.count
    pack(&bytes)
    blobs.append(start == bytes.count && !keepsEmpty ? nil : start..<bytes.count)
  }

  /// NULL where there are none, unless a column must have some.
  mutating func add(_ more: ArraySlice<UInt8>, keepsEmpty: Bool = false) { add(keepsEmpty: keepsEmpty) { $0 += more } }

  /// NULL where none is set.
  mutating func add(flags: ArraySlice<Bool>) { add { if flags.contains(true) { $0 += PackedColumns.bitmap(flags) } } }

  /// NULL where none is defined.
  mutating func add(statistic values: ArraySlice<Float>) {
    add { if !values.allSatisfy(\.isNaN) { PackedColumns.append(values, as: 4, to: &$0) } }
  }

  mutating func add(_ sums: [Double]) { add { PackedColumns.append(sums, to: &$0) } }

  mutating func add(rows: [Int32]) { add { PackedColumns.append(ids: rows, as: 4, to: &$0) } }

  /// Behind `importance`.
  mutating func endDecisions() { decisionEnd = bytes.count }

  /// Behind `shared_norm`.
  mutating func endExtras() { extraEnd = bytes.count }

  // MARK: Inserting

  var checksum: PageChecksum {
    PageChecksum(
      decisions: bytes[..<decisionEnd], extras: bytes[decisionEnd..<extraEnd], logits: bytes[extraEnd...], tokens: tokens,
      squaredLogSumExp: squaredLogSumExp)
  }

  /// - Returns: the id of the page.
  /// - Throws: `DatabaseError`.
  func insert(_ db: Database, router: Int64) throws -> Int64 {
    let checksum = checksum
    return try bytes.withUnsafeBytes { bytes in
      func add(_ blobs: some Sequence<Range<Int>?>, to rows: inout RowInserter) {
        for blob in blobs { rows.add(blob.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }) }
      }
      let extras = blobs[Self.decisionCount..<Self.decisionCount + Self.extraCount]
      var rows = try RowInserter(db, PageRow.insertSQL)
      rows.add(router)
      rows.add(tokens.lowerBound)
      rows.add(tokens.count)
      rows.add(squaredLogSumExp)
      add(blobs[..<Self.decisionCount], to: &rows)
      add(blobs[extras.endIndex...], to: &rows)
      rows.add(Int64(checksum.page))
      rows.add(Int64(checksum.decisions))
      try rows.insert()
      let page = db.lastInsertedRowID
      if extras.contains(where: { $0 != nil }) {
        rows = try RowInserter(db, PageRow.insertExtraSQL)
        rows.add(page)
        add(extras, to: &rows)
        try rows.insert()
      }
      return page
    }
  }
}
