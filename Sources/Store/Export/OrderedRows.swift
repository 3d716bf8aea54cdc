// The decisions of a run in the order that exports promise: by sequence, then by position, an encoder's tokens
// before the decoder's. Engines that interleave sequences feed
// tokens in another order; then a page is visited once for each sequence it touches, and memory stays bounded all the same.

import GRDB
import Routing

/// Tokens of a run in order of sequence, stack and position.
struct TokenOrder {
  /// Sorts an encoder's tokens before the others of their sequence.
  static let columns = "sequence, phase <> \(TokenPhase.encode.rawValue), position, token"

  /// `[tokens]`: rows of the run's token table.
  let tokens: [Int]
  /// `[sequences]`: how many tokens each has.
  let lengths: [Int32]

  /// - Parameters:
  ///   - encoded: only the tokens that an encoder was fed, or only the others; nil for all.
  ///   - left: only the tokens that a filter leaves.
  init(trace: TraceReader, run: RunSummary, encoded: Bool? = nil, rows left: FilteredRows? = nil) throws {
    var tokens: [Int] = []
    var lengths: [Int32] = []
    tokens.reserveCapacity(min(run.tokenCount, 1 << 20))
    try trace.read { db in
      let rows = try Row.fetchCursor(
        db, sql: "SELECT token, sequence, phase FROM token WHERE run = ? AND token < ? ORDER BY \(Self.columns)",
        arguments: [run.id, run.tokenCount])
      while let row = try rows.next() {
        let token = try row.count(0)
        let sequence = try row.count(1)
        guard sequence < TraceReader.sequenceLimit else {
          throw StoreError.damaged(file: trace.file, place: "tokens of run \(run.id)", problem: "sequence \(sequence) of token \(token)")
        }
        if let encoded, (try row.count(2) == Int(TokenPhase.encode.rawValue)) != encoded { continue }
        if let left, !(left.isShown.indices.contains(token) && left.isShown[token]) { continue }
        while lengths.count <= sequence { lengths.append(0) }
        lengths[sequence] += 1
        tokens.append(token)
      }
    }
    while lengths.count < run.sequenceCount { lengths.append(0) }
    self.tokens = tokens
    self.lengths = lengths
  }
}

extension TraceExport {
  /// Calls `body` with a pass and the rows of it that come next, until all of `order` has been visited.
  func visit(
    _ order: TokenOrder, routers: Set<RouterID>? = nil, withLogits: Bool, _ body: (RoutingPass, [Int]) throws -> Void
  ) throws {
    var next = 0
    var pass: RoutingPass?
    var cursor: PassCursor?
    var cursorToken = -1
    while next < order.tokens.count {
      let wanted = order.tokens[next]
      // Go on with the open cursor when it stands at the wanted token, else open one there.
      if cursor == nil || cursorToken != wanted {
        cursor = trace.passes(of: run, routers: routers, tokens: wanted..<run.tokenCount, withLogits: withLogits)
      }
      pass = try cursor?.next()
      guard let pass, pass.tokens.count > 0 else {
        throw StoreError.damaged(file: trace.file, place: "run \(run.id)", problem: "token \(wanted) is missing")
      }
      cursorToken = pass.tokens.firstToken + pass.tokens.count
      let span = pass.tokens.firstToken..<cursorToken
      let first = next
      while next < order.tokens.count && span.contains(order.tokens[next]) { next += 1 }
      try body(pass, order.tokens[first..<next].map { $0 - span.lowerBound })
      progress(Double(next) / Double(order.tokens.count))
    }
  }
}

extension TraceExport {
  /// Where a row of a denoising run stands.
  ///
  /// - Throws: `StoreError.damaged` for a position that no sample has.
  func place(of row: Int, in pass: RoutingPass, _ layout: DenoisingLayout) throws -> DenoisingPlace {
    let position = Int(pass.tokens.position[row])
    try layout.validate()
    guard (0..<layout.rowsPerSample).contains(position) else {
      throw StoreError.damaged(
        file: trace.file, place: "token \(pass.tokens.firstToken + row)", problem: "position \(position) of a sample")
    }
    return layout.place(at: position)
  }
}

extension RoutingBatch {
  /// Row of the batch for row `row` of its pass; nil when the router did not see that token.
  func row(_ row: Int, of pass: RoutingPass) -> Int? {
    let mine = pass.tokens.firstToken + row - firstToken
    return mine >= 0 && mine < count ? mine : nil
  }
}
