// Rows of a run wherever they are asked for: the pass that holds a row is kept, the next one is read on, and only a jump opens the trace anew.
// Two runs can so be walked side by side in the order of one of them.

import Routing

/// Reads the passes of one run in any order; fastest in order of rows.
///
/// - Memory: one pass, a page per router.
public final class PassWindow {
  private let trace: TraceReader
  private let run: RunSummary
  private let routers: Set<RouterID>?
  private let withLogits: Bool
  /// Experts of each router's rule.
  private let widths: [RouterID: Int]
  private var cursor: PassCursor?
  private var kept: RoutingPass?

  /// - Parameters: as for `TraceReader.passes`.
  public init(trace: TraceReader, run: RunSummary, routers: Set<RouterID>? = nil, withLogits: Bool = true) {
    self.trace = trace
    self.run = run
    self.routers = routers
    self.withLogits = withLogits
    widths = Dictionary(run.description.routers.map { ($0.id, $0.spec.expertCount) }, uniquingKeysWith: { first, _ in first })
  }

  /// The pass that holds row `row` of the run, and as many after it as the page has.
  ///
  /// - Throws: `StoreError`; `damaged` where the run has no such row, or decisions among other experts than their router's rule says.
  public func pass(at row: Int) throws -> RoutingPass {
    if let kept, kept.holds(row) { return kept }
    let follows = kept.map { $0.tokens.firstToken + $0.tokens.count == row } ?? false
    if !follows { cursor = trace.passes(of: run, routers: routers, tokens: row..<run.tokenCount, withLogits: withLogits) }
    kept = try cursor?.next()
    guard let kept, kept.holds(row) else {
      throw StoreError.damaged(file: trace.file, place: "run \(run.id)", problem: "row \(row) is missing")
    }
    for batch in kept.batches where batch.expertCount != widths[batch.router] {
      throw StoreError.damaged(
        file: trace.file, place: "run \(run.id), router \(batch.router)",
        problem: "its pages are of \(batch.expertCount) experts, its rule of \(widths[batch.router] ?? 0)")
    }
    return kept
  }
}

extension RoutingPass {
  fileprivate func holds(_ row: Int) -> Bool { (tokens.firstToken..<tokens.firstToken + tokens.count).contains(row) }
}
