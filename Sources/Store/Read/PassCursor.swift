// Streams the passes of a run, page by page. The routers of a run share their page boundaries, so a pass is normally one row of each;
// where they do not (a capture that lost tokens, parts of an unfinished page) the pass grows until no row is cut.

import Formats
import GRDB
import Routing

/// Yields the passes of a run in order of tokens. Memory: one page per router.
public final class PassCursor {
  private let trace: TraceReader
  private let run: Int64
  private let wanted: Set<RouterID>?
  private let tokens: Range<Int>
  private let withLogits: Bool
  private var position: Int
  /// Of the tokens so far, where they are read from the first on.
  private var checksum: CRC32?

  /// Tokens that no router decided on are handed out in passes of this length at most.
  private static let longestGap = 4096

  init(trace: TraceReader, run: Int64, routers: Set<RouterID>?, tokens: Range<Int>, withLogits: Bool) {
    self.trace = trace
    self.run = run
    wanted = routers
    self.tokens = tokens
    self.withLogits = withLogits
    position = tokens.lowerBound
    if tokens.lowerBound == 0 { checksum = CRC32() }
  }

  /// The next pass; nil at the end.
  ///
  /// - Throws: `StoreError`.
  public func next() throws -> RoutingPass? {
    if position >= tokens.upperBound { return nil }
    let pass = try trace.read { db in
      // Anew for each pass: while the run goes on, its longest page grows.
      let routers = try RouterRows.fetch(db, run: run, file: trace.file).filter { wanted?.contains($0.id) ?? true }
      let (span, rows) = try nextSpan(db, of: routers)
      var batches: [RoutingBatch] = []
      for (router, spans) in zip(routers, rows) {
        for part in try joined(db, spans, of: router) {
          if let batch = part.cut(to: span) { batches.append(batch) }
        }
      }
      let table = try TokenRows.fetch(db, run: run, in: span, file: trace.file)
      guard table.count == span.count else {
        let missing = span.lowerBound + table.count
        throw StoreError.damaged(file: trace.file, place: "tokens of run \(run)", problem: "row \(missing) is missing")
      }
      return RoutingPass(tokens: table, batches: batches)
    }
    position += pass.tokens.count
    checksum?.add(pass.tokens)
    if position == tokens.upperBound { try verifyTokens() }
    return pass
  }

  /// Compares all tokens of a run with the checksum that they were recorded with; while it goes on, that is of more tokens by now.
  private func verifyTokens() throws {
    guard let checksum else { return }
    let row = try trace.read { try Row.fetchOne($0, sql: "SELECT token_count, token_checksum FROM run WHERE id = ?", arguments: [run]) }
    guard let row, try row.value(0) as Int == tokens.upperBound, let stored = try row.value(1) as Int64?, stored != Int64(checksum.value)
    else { return }
    throw StoreError.damaged(
      file: trace.file, place: "run \(run), tokens 0 to \(tokens.upperBound - 1)",
      problem: "their checksum is \(checksum.value), expected \(stored): these are not the tokens that were recorded")
  }

  /// Calls `body` with each remaining pass.
  public func forEach(_ body: (RoutingPass) throws -> Void) throws {
    while let pass = try next() { try body(pass) }
  }

  /// The tokens of the next pass, and for each router the rows that touch them.
  private func nextSpan(_ db: Database, of routers: [StoredRouter]) throws -> (Range<Int>, [[PageSpan]]) {
    let first = try routers.map { try page(db, after: position, of: $0) }
    let start = first.compactMap { $0?.tokens.lowerBound }.min() ?? tokens.upperBound
    if start > position {
      let end = min(start, tokens.upperBound, position + Self.longestGap)
      return (position..<end, routers.map { _ in [] })
    }
    // Grow until no row reaches beyond the end.
    var rows = first.map { $0.map { [$0] } ?? [] }
    var end = position + 1
    var grows = true
    while grows {
      grows = false
      for index in routers.indices {
        while let last = rows[index].last, last.tokens.lowerBound < end {
          if last.tokens.upperBound > end {
            end = last.tokens.upperBound
            grows = true
          }
          guard last.tokens.upperBound < end, let next = try page(db, after: last.tokens.upperBound, of: routers[index]) else { break }
          rows[index].append(next)
        }
      }
    }
    return (position..<min(end, tokens.upperBound), rows.map { $0.filter { $0.tokens.lowerBound < end } })
  }

  /// The first row of `router` with a token at or after `token`.
  private func page(_ db: Database, after token: Int, of router: StoredRouter) throws -> PageSpan? {
    let sql = """
      SELECT id, first_token, token_count FROM page
      WHERE router = ? AND first_token > ? AND first_token + token_count > ? ORDER BY first_token LIMIT 1
      """
    let row = try RowSteps(db, sql, router.row, Int64(token - max(router.pageTokens, 1)), Int64(token))
    defer { row.end() }
    guard try row.next() else { return nil }
    let first = try row.count(1)
    let count = try row.count(2)
    guard (1...max(router.pageTokens, 1)).contains(count) else {
      throw StoreError.damaged(
        file: trace.file, place: "run \(router.run), router \(router.id)", problem: "a page of \(count) tokens at \(first)")
    }
    return PageSpan(row: try row.integer(0), tokens: first..<first + count)
  }

  /// The batches of `spans`, neighbours joined.
  private func joined(_ db: Database, _ spans: [PageSpan], of router: StoredRouter) throws -> [RoutingBatch] {
    var batches: [RoutingBatch] = []
    for span in spans {
      let batch = try PageRow.batch(db, span, of: router, withLogits: withLogits, file: trace.file)
      if let last = batches.last, last.canBeFollowed(by: batch) {
        batches[batches.count - 1].append(batch)
      } else {
        batches.append(batch)
      }
    }
    return batches
  }
}

extension RoutingBatch {
  var endToken: Int { firstToken + count }

  /// Whether `next` continues this batch with the same things known.
  func canBeFollowed(by next: RoutingBatch) -> Bool {
    next.firstToken == endToken && importanceSum.isEmpty == next.importanceSum.isEmpty
      && squaredLogSumExpSum.isNaN == next.squaredLogSumExpSum.isNaN
  }

  /// The tokens of this batch that lie in `span`; nil when there are none.
  func cut(to span: Range<Int>) -> RoutingBatch? {
    let tokens = (firstToken..<endToken).clamped(to: span)
    return tokens.isEmpty ? nil : slice(tokens.lowerBound - firstToken..<tokens.upperBound - firstToken)
  }
}
