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
  private var cursor: PassCursor?
  private var kept: RoutingPass?

  /// - Parameters: as for `TraceReader.passes`.
  public init(trace: TraceReader, run: RunSummary, routers: Set<RouterID>? = nil, withLogits: Bool = true) {
    self.trace = trace
    self.run = run
    self.routers = routers
    self.withLogits = withLogits
  }

  /// The pass that holds row `row` of the run, and as many after it as the page has.
  ///
  /// - Throws: `StoreError`; `damaged` where the run has no such row.
  public func pass(at row: Int) throws -> RoutingPass {
    if let kept, kept.holds(row) { return kept }
    let follows = kept.map { $0.tokens.firstToken + $0.tokens.count == row } ?? false
    if !follows { cursor = trace.passes(of: run, routers: routers, tokens: row..<run.tokenCount, withLogits: withLogits) }
    kept = try cursor?.next()
    guard let kept, kept.holds(row) else {
      throw StoreError.damaged(file: trace.file, place: "run \(run.id)", problem: "row \(row) is missing")
    }
    return kept
  }
}

extension RoutingPass {
  fileprivate func holds(_ row: Int) -> Bool { (tokens.firstToken..<tokens.firstToken + tokens.count).contains(row) }
}
