// What a filter leaves of a run, found in one sweep before anything is written: whether anything is left at all, which tokens have rows, and
// how many of these have logits.

import Routing

/// The rows of an export under a filter.
struct FilteredRows {
  /// `[tokens]`: tokens of which one decision passes.
  private(set) var isShown: [Bool] = []
  /// Decisions that pass and have raw logits.
  private(set) var logitRows: [RouterID: Int] = [:]
  /// Sums over the decisions that pass; only where asked for.
  private(set) var totals: [RouterID: RouterTotals] = [:]
  /// Routers whose router probabilities are known of all that passes.
  private(set) var knowsImportance: Set<RouterID> = []

  /// - Parameters:
  ///   - countsLogits: whether `logitRows` are wanted.
  ///   - sums: whether `totals` are.
  /// - Throws: `FilterError.nothingPasses`, and what reading throws.
  init(_ filter: ResolvedFilter, of run: RunSummary, in trace: TraceReader, countsLogits: Bool = false, sums: Bool = false) throws {
    let routers = run.description.routers
    let specs = Dictionary(routers.map { ($0.id, $0.spec) }, uniquingKeysWith: { first, _ in first })
    isShown = Array(repeating: false, count: run.tokenCount)
    if sums {
      totals = specs.filter { filter.admits($0.key) }.mapValues { RouterTotals(expertCount: $0.expertCount) }
      knowsImportance = Set(totals.keys)
    }
    let cutsRouters = !filter.filter.keepsWholeRouters
    let needsLogits = countsLogits || sums && cutsRouters && run.description.recording.content == .full
    var decisions = 0
    var passing = 0
    try trace.passes(of: run, withLogits: needsLogits).forEach { pass in
      let selection = filter.selection(of: pass)
      for row in selection.tokens.indices where selection.tokens[row] { isShown[pass.tokens.firstToken + row] = true }
      for own in selection.decisions {
        decisions += own.count
        passing += own.count { $0 }
      }
      let left = pass.selecting(selection, specs: sums && cutsRouters ? specs : [:])
      for batch in left.batches {
        if let logits = batch.logits { logitRows[batch.router, default: 0] += logits.rows.count }
        guard sums else { continue }
        if batch.importanceSum.isEmpty { knowsImportance.remove(batch.router) }
        totals[batch.router]?.add(batch)
      }
    }
    guard passing > 0 else { throw FilterError.nothingPasses(filter: filter.filter.text, of: "\(decisions) decisions") }
  }
}

extension TraceExport {
  /// Whether a decision has a row.
  func passes(_ row: Int, of batch: RoutingBatch, in pass: RoutingPass) -> Bool {
    filter?.passes(row, of: batch, tokens: pass.tokens) ?? true
  }

  /// What a filter leaves; nil without one.
  func filteredRows(countsLogits: Bool = false, sums: Bool = false) throws -> FilteredRows? {
    try filter.map { try FilteredRows($0, of: run, in: trace, countsLogits: countsLogits, sums: sums) }
  }

  /// The rows of the view `layer_load` as they would be if the run had been what passes only.
  func filteredLoad(_ left: FilteredRows, columns: [String]) -> [[SQLValue]] {
    func number(_ value: Double) -> SQLValue { value.isFinite ? .real(value) : .null }
    return left.totals.filter { $0.value.tokens > 0 }.sorted { $0.key < $1.key }.flatMap { router, totals in
      totals.counts.indices.map { expert -> [SQLValue] in
        let count = totals.counts[expert]
        let importance =
          left.knowsImportance.contains(router) && totals.importanceTokens > 0
          ? number(totals.importance[expert] / Double(totals.importanceTokens)) : .null
        let row: [String: SQLValue] = [
          "run": .integer(run.id), "stack": .text(router.lane), "layer": .integer(Int64(router.layer.rawValue)),
          "expert": .integer(Int64(expert)), "assignments": .integer(Int64(count)),
          "load": totals.assignments > 0 ? .real(Double(count) / Double(totals.assignments)) : .null, "importance": importance,
          "mean_weight": count > 0 ? number(totals.weights[expert] / Double(count)) : .null,
        ]
        return columns.map { row[$0] ?? .null }
      }
    }
  }
}
