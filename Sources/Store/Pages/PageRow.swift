// A row of the page table back to a RoutingBatch. The file is not trusted: the length of every column is checked against the shape
// that the router's row declares before a byte of it is read, and every id against the expert count.

import Foundation
import GRDB
import Routing

/// A router as the trace stores it: what is needed to read its pages.
struct StoredRouter: Sendable, Equatable {
  let row: Int64
  let id: RouterID
  let layout: PageLayout
  /// Tokens of the longest page.
  let pageTokens: Int
}

/// Place and extent of one row of the page table.
struct PageSpan: Equatable {
  let row: Int64
  let tokens: Range<Int>
}

enum PageRow {
  static let insertSQL = """
    INSERT INTO page (router, first_token, token_count, squared_lse, absent, dropped, ids, weights,
      entropy, selection_margin, top1_margin, top_k_mass, importance, logit_rows, logits)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    """

  private static let columns = """
    squared_lse, absent, dropped, ids, weights, entropy, selection_margin, top1_margin, top_k_mass, importance
    """

  /// The decisions of one row, whole.
  ///
  /// - Throws: `StoreError.damaged`.
  static func batch(_ db: Database, _ span: PageSpan, of router: StoredRouter, withLogits: Bool, file: String) throws -> RoutingBatch {
    let select = "SELECT \(columns)\(withLogits ? ", logit_rows, logits" : "") FROM page WHERE id = ?"
    let statement = try db.cachedStatement(sql: select)
    guard let row = try Row.fetchOne(statement, arguments: [span.row]) else {
      throw StoreError.damaged(file: file, place: "page \(span.row) of router \(router.id)", problem: "it vanished")
    }
    let reader = PageReader(row: row, span: span, router: router, file: file)
    return try reader.batch(withLogits: withLogits)
  }
}

private struct PageReader {
  let row: Row
  let span: PageSpan
  let router: StoredRouter
  let file: String

  func damaged(_ problem: String) -> StoreError {
    .damaged(file: file, place: "page \(span.row) of router \(router.id)", problem: problem)
  }

  /// Hands the bytes of column `name` to `body` when it is there and has the right length.
  private func column<Result>(_ name: String, bytes expected: Int, _ body: (UnsafeRawBufferPointer) -> Result) throws -> Result? {
    try row.withUnsafeData(named: name) { data in
      guard let data else { return nil }
      guard data.count == expected else { throw damaged("column \(name) has \(data.count) bytes, expected \(expected)") }
      return data.withUnsafeBytes(body)
    }
  }

  func batch(withLogits: Bool) throws -> RoutingBatch {
    let layout = router.layout
    let count = span.tokens.count
    // Nothing is allocated before the first column has proven the shape.
    let (slots, overflow) = count.multipliedReportingOverflow(by: layout.topK)
    guard !overflow, slots <= 1 << 32 else { throw damaged("\(count) tokens of \(layout.topK) experts") }
    guard let ids = try column("ids", bytes: slots * layout.idBytes, { PackedColumns.integers($0, as: layout.idBytes) }) else {
      throw damaged("column ids is missing")
    }
    if let wrong = ids.first(where: { $0 < 0 || Int($0) >= layout.expertCount }) {
      throw damaged("expert \(wrong), expected 0..<\(layout.expertCount)")
    }
    var batch = RoutingBatch(
      router: router.id, expertCount: layout.expertCount, topK: layout.topK, firstToken: span.tokens.lowerBound, count: count)
    batch.selectedExperts = ids
    let weights =
      layout.weightBytes == 0
      ? nil : try column("weights", bytes: slots * layout.weightBytes) { PackedColumns.floats($0, as: layout.weightBytes) }
    batch.routingWeights = weights ?? Array(repeating: .nan, count: slots)
    if let absent = try column("absent", bytes: (slots + 7) / 8, { PackedColumns.flags($0, count: slots) }) {
      for slot in 0..<slots where absent[slot] {
        batch.selectedExperts[slot] = -1
        if weights == nil { batch.routingWeights[slot] = 0 }
      }
    }
    batch.dropped = try column("dropped", bytes: (slots + 7) / 8) { PackedColumns.flags($0, count: slots) }

    func statistic(_ name: String) throws -> [Float] {
      try column(name, bytes: 4 * count) { PackedColumns.floats($0, as: 4) } ?? Array(repeating: .nan, count: count)
    }
    batch.routerEntropy = try statistic("entropy")
    batch.selectionMargin = try statistic("selection_margin")
    batch.top1Margin = try statistic("top1_margin")
    batch.topKMass = try statistic("top_k_mass")
    batch.importanceSum = try column("importance", bytes: 8 * layout.expertCount, PackedColumns.doubles) ?? []
    batch.squaredLogSumExpSum = try row.value("squared_lse") ?? .nan
    if withLogits { batch.logits = try logits() }
    return batch
  }

  private func logits() throws -> RouterLogits? {
    let layout = router.layout
    if layout.logitBytes == 0 { return nil }
    let count = span.tokens.count
    let rows: [Int32] = try row.withUnsafeData(named: "logit_rows") { data in
      guard let data else { return (0..<Int32(count)).map { $0 } }
      guard data.count % 4 == 0, data.count / 4 <= count else { throw damaged("column logit_rows has \(data.count) bytes") }
      return data.withUnsafeBytes { PackedColumns.integers($0, as: 4) }
    }
    guard rows.isRising(within: count) else {
      throw damaged("column logit_rows is not rising within 0..<\(count)")
    }
    guard let values = try column("logits", bytes: rows.count * layout.logitRowBytes, { PackedColumns.floats($0, as: layout.logitBytes) })
    else { return nil }
    return RouterLogits(rows: rows, values: values)
  }
}

extension [Int32] {
  /// Whether the numbers rise strictly and lie in `0..<count`.
  func isRising(within count: Int) -> Bool {
    var previous: Int32 = -1
    for number in self {
      if number <= previous || Int(number) >= count { return false }
      previous = number
    }
    return true
  }
}
