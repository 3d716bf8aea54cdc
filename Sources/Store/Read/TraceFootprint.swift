// How many bytes does a run take, and how many would it take at least? The number beside the floor of docs/contracts.md (storage), measured
// from SQLite's own page accounting where the library offers it, so that keys, headers and half-filled pages are counted.

import GRDB
import Routing

/// Size of one run on disk.
public struct TraceFootprint: Sendable, Equatable {
  public var tokens: Int
  /// Tokens times routers.
  public var decisions: Int
  /// Bytes its decisions need at least: per decision the ids, the weights, 16 bytes of statistics, and what else is kept: raw logits,
  /// norms, what is said of shared experts.
  public var floorBytes: Int
  /// Bytes of its routing pages with their index.
  public var routingBytes: Int
  /// Bytes of tokens, sequences and vocabulary pieces.
  public var tokenBytes: Int
  /// The whole file, all runs.
  public var fileBytes: Int
  /// Whether SQLite counted its pages; otherwise headers and partly filled pages are missing from the numbers.
  public var isMeasured: Bool

  public var routingBytesPerToken: Double { tokens == 0 ? 0 : Double(routingBytes) / Double(tokens) }
  public var floorBytesPerToken: Double { tokens == 0 ? 0 : Double(floorBytes) / Double(tokens) }
  public var tokenBytesPerToken: Double { tokens == 0 ? 0 : Double(tokenBytes) / Double(tokens) }
  /// Routing bytes divided by the floor; 1 is perfect.
  public var overhead: Double { floorBytes == 0 ? 1 : Double(routingBytes) / Double(floorBytes) }
}

extension TraceReader {
  /// - Complexity: reads the headers of all pages of the file.
  public func footprint(of run: RunSummary) throws -> TraceFootprint {
    try read { db in
      var floor = 0
      var decisions = 0
      for row in try Row.fetchAll(
        db,
        sql: """
          SELECT r.token_count, coalesce(sum(length(p.ids)), 0) / r.id_bytes, r.id_bytes, r.weight_bytes, coalesce(sum(length(p.logits)), 0)
            + coalesce(sum(coalesce(length(x.norms), 0) + coalesce(length(x.shared_weight), 0) + coalesce(length(x.shared_norm), 0)), 0)
          FROM router AS r LEFT JOIN page AS p ON p.router = r.id LEFT JOIN page_extra AS x ON x.page = p.id WHERE r.run = ? GROUP BY r.id
          """, arguments: [run.id])
      {
        let tokens = try row.count(0)
        let width = try row.count(2) + row.count(3)
        decisions += tokens
        floor = floor &+ (try row.count(1) &* width) &+ tokens &* 16 &+ (try row.count(4))
      }
      let shares = try share(db, of: run)
      let sizes = try? tableSizes(db)
      func whole(_ number: Double) -> Int { Int(exactly: number.rounded()) ?? 0 }
      func size(_ tables: String...) -> Int { tables.reduce(0) { $0 + (sizes?[$1] ?? 0) } }
      let routing = sizes == nil ? run.storedBytes : whole(Double(size("page", "page_by_token", "page_extra")) * shares.pages)
      let tokens = sizes == nil ? run.tokenCount * 40 : whole(Double(size("token", "token_extra", "sequence", "piece")) * shares.tokens)
      let pageSize = try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0
      let pageCount = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
      return TraceFootprint(
        tokens: run.tokenCount, decisions: decisions, floorBytes: floor, routingBytes: routing, tokenBytes: tokens,
        fileBytes: pageSize * pageCount, isMeasured: sizes != nil)
    }
  }

  /// What part of the pages and of the tokens of the file belongs to a run.
  private func share(_ db: Database, of run: RunSummary) throws -> (pages: Double, tokens: Double) {
    let bytes = try Double.fetchOne(db, sql: "SELECT total(stored_bytes) FROM run") ?? 0
    let tokens = try Double.fetchOne(db, sql: "SELECT total(token_count) FROM run") ?? 0
    return (bytes == 0 ? 0 : Double(run.storedBytes) / bytes, tokens == 0 ? 0 : Double(run.tokenCount) / tokens)
  }

  /// Bytes of each table and index. `dbstat` is a part of SQLite that a library may have been built without.
  private func tableSizes(_ db: Database) throws -> [String: Int] {
    var sizes: [String: Int] = [:]
    for row in try Row.fetchAll(db, sql: "SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE") {
      sizes[try row.value(0)] = try row.count(1)
    }
    return sizes
  }
}
