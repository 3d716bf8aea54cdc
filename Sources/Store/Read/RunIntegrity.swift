// Are the rows that say whose the pages are those that were recorded? Routers by their places, sequences by their names and labels, tokens
// by their pieces, against the checksums that the run was written with. Runs of an older moetop have none.

import Foundation
import GRDB

extension TraceReader {
  /// The routers of a run against their checksum: a row that was given another layer or stack takes its pages there.
  func checkRouterRows(of run: Int64, _ problems: inout [String]) throws {
    let (stored, found) = try read { db -> (Int64?, RowChecksum) in
      var sum = RowChecksum()
      let more = try RouterMore.fetch(db, run: run)
      let sql = "SELECT layer, stack, expert_count, top_k, spec, id FROM router WHERE run = ? ORDER BY id"
      for (ordinal, row) in try Row.fetchAll(db, sql: sql, arguments: [run]).enumerated() {
        sum.add(
          RowChecksum.router(
            ordinal: ordinal, layer: try row.count(0), stack: try row.value(1), expertCount: try row.count(2), topK: try row.count(3),
            spec: try row.value(4), more: more[try row.value(5)]))
      }
      return (try Self.stored("router_checksum", db, run), sum)
    }
    compare("routers", stored, found, "the routers", &problems)
  }

  /// The words of a run against their checksum.
  func checkWords(of run: Int64, _ problems: inout [String]) throws {
    let (stored, found) = try read { db -> (Int64?, RowChecksum) in
      var sum = RowChecksum()
      let sequences = try Row.fetchCursor(db, sql: "SELECT sequence, name, labels FROM sequence WHERE run = ?", arguments: [run])
      while let row = try sequences.next() {
        sum.add(RowChecksum.sequence(try row.count(0), name: try row.value(1), labels: try row.value(2)))
      }
      let pieces = try Row.fetchCursor(db, sql: "SELECT token_id, piece FROM piece WHERE run = ?", arguments: [run])
      while let row = try pieces.next() { sum.add(RowChecksum.piece(try row.count(0), try row.value(1))) }
      return (try Self.stored("word_checksum", db, run), sum)
    }
    compare("names, labels and pieces of tokens", stored, found, "those", &problems)
  }

  private static func stored(_ column: String, _ db: Database, _ run: Int64) throws -> Int64? {
    try Int64.fetchOne(db, sql: "SELECT \(column) FROM run WHERE id = ?", arguments: [run])
  }

  private func compare(_ what: String, _ stored: Int64?, _ found: RowChecksum, _ these: String, _ problems: inout [String]) {
    guard let stored, stored != Int64(found.value) else { return }
    problems.append("\(what): their checksum is \(found.value), expected \(stored): these are not \(these) that were recorded")
  }
}
