// What a trace has added up of each router: how many rows it decided on, and how often each expert was taken.

import GRDB
import Routing

/// Totals of one router of a run.
public struct RouterAssignments: Sendable, Equatable {
  /// Rows that it decided on.
  public var tokens: Int
  public var topK: Int
  /// `[experts]`: assignments that were computed.
  public var assignments: [Int]
}

extension TraceReader {
  /// By router, as far as they are on disk.
  public func totals(run: Int64) throws -> [RouterID: RouterAssignments] {
    try read { db in
      var totals: [RouterID: RouterAssignments] = [:]
      for router in try RouterRows.fetch(db, run: run, file: file) {
        let tokens = try Int.fetchOne(db, sql: "SELECT token_count FROM router WHERE id = ?", arguments: [router.row]) ?? 0
        var counts = Array(repeating: 0, count: router.layout.expertCount)
        let rows = try Row.fetchCursor(db, sql: "SELECT expert, assignments FROM expert_total WHERE router = ?", arguments: [router.row])
        while let row = try rows.next() {
          let expert = try row.count(0)
          guard counts.indices.contains(expert) else {
            throw StoreError.damaged(file: file, place: "totals of router \(router.id)", problem: "expert \(expert)")
          }
          counts[expert] = try row.count(1)
        }
        totals[router.id] = RouterAssignments(tokens: max(tokens, 0), topK: router.layout.topK, assignments: counts)
      }
      return totals
    }
  }
}
