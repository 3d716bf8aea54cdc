// One router of the run being written: its pages that are not yet complete on disk, and its totals.

import Foundation
import GRDB
import Routing

/// A row of the page table that a transaction has written; becomes true when the transaction commits.
struct PageWrite {
  var page: Int
  var pending: PendingRow
  var row: Int64
  var bytes: Int
  var replacedBytes: Int
}

struct RouterRecord {
  let row: Int64
  let layout: PageLayout
  /// In order; all but the last are complete.
  private var pages: [PageBuilder] = []
  private var lastPageIsComplete = false
  private var totals: RouterTotals
  private var longestPage = 0
  /// Whether all experts have a row of totals on disk.
  private var hasTotals = false
  /// Tokens before this one are taken: a batch may leave some out, never come back to them.
  private(set) var nextToken = 0

  init(row: Int64, layout: PageLayout) {
    self.row = row
    self.layout = layout
    totals = RouterTotals(expertCount: layout.expertCount)
  }

  mutating func add(_ batch: RoutingBatch) {
    let last = pages.count - 1
    if last >= 0 && !lastPageIsComplete && pages[last].continues(with: batch) {
      pages[last].append(batch)
    } else {
      pages.append(PageBuilder(layout: layout, first: batch))
      lastPageIsComplete = false
    }
    longestPage = max(longestPage, pages.last?.count ?? 0)
    nextToken = batch.firstToken + batch.count
    totals.add(batch)
  }

  /// Takes the batch into the totals and keeps no decision of it.
  mutating func count(_ batch: RoutingBatch) {
    nextToken = batch.firstToken + batch.count
    totals.add(batch)
  }

  /// Takes assignments by expert, without decisions.
  mutating func count(_ load: [Int], tokens: Int) { totals.add(load, tokens: tokens) }

  mutating func closePage() {
    if !pages.isEmpty { lastPageIsComplete = true }
  }

  private func isComplete(_ page: Int) -> Bool { page < pages.count - 1 || lastPageIsComplete }

  func storePages(_ db: Database) throws -> [PageWrite] {
    var writes: [PageWrite] = []
    let delete = try db.cachedStatement(sql: "DELETE FROM page WHERE id = ?")
    for (index, page) in pages.enumerated() {
      guard let pending = page.pendingRow(whole: isComplete(index)) else { continue }
      var replacedBytes = 0
      // First, so that the new row takes the space of the old ones.
      for part in page.replacedRows(pending) {
        try delete.execute(arguments: [part.row])
        replacedBytes += part.bytes
      }
      let packed = page.packed(pending)
      let stored = try packed.insert(db, router: row)
      writes.append(PageWrite(page: index, pending: pending, row: stored, bytes: packed.bytes.count, replacedBytes: replacedBytes))
    }
    return writes
  }

  func storeTotals(_ db: Database) throws {
    try db.cachedStatement(
      sql: """
        UPDATE router SET page_tokens = ?, token_count = ?, assignments = ?, dropped = ?, importance_tokens = ?,
          entropy_sum = ?, entropy_tokens = ?, selection_margin_sum = ?, selection_margin_tokens = ?,
          top1_margin_sum = ?, top1_margin_tokens = ?, top_k_mass_sum = ?, top_k_mass_tokens = ?
        WHERE id = ?
        """
    ).execute(arguments: [
      longestPage, totals.tokens, totals.assignments, totals.dropped, totals.importanceTokens,
      totals.entropy.total, totals.entropy.count, totals.selectionMargin.total, totals.selectionMargin.count,
      totals.top1Margin.total, totals.top1Margin.count, totals.topKMass.total, totals.topKMass.count, row,
    ])
    // Rows that are there are changed, not replaced: that takes each out, puts another in, and looks for its router.
    var rows = try RowInserter(
      db,
      hasTotals
        ? "UPDATE expert_total SET assignments = ?, weight_sum = ?, importance_sum = ? WHERE router = ? AND expert = ?"
        : "INSERT INTO expert_total (assignments, weight_sum, importance_sum, router, expert) VALUES (?, ?, ?, ?, ?)")
    for expert in totals.counts.indices where totals.isDirty[expert] {
      rows.add(totals.counts[expert])
      rows.add(layout.weightBytes == 0 ? .nan : totals.weights[expert])
      rows.add(totals.importanceTokens == 0 ? .nan : totals.importance[expert])
      rows.add(row)
      rows.add(expert)
      try rows.insert()
    }
  }

  /// The transaction of `writes` is on disk: complete pages are forgotten.
  mutating func committed(_ writes: [PageWrite]) {
    for write in writes { pages[write.page].stored(write.pending, row: write.row, bytes: write.bytes) }
    if lastPageIsComplete {
      pages.removeAll(keepingCapacity: true)
      lastPageIsComplete = false
    } else if pages.count > 1 {
      pages.removeFirst(pages.count - 1)
    }
    totals.settle()
    hasTotals = true
  }
}
