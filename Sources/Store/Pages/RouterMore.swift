// What a trace says of a router that is not a plain one: its path and its facts, in a table of their own that plain runs have no row in. A
// trace that was last written before there was such a table is read without it.

import Formats
import GRDB
import Routing

/// A row of `router_more`.
struct RouterMore: Equatable {
  var path: String
  var stack: String
  /// JSON of `RouterFacts`.
  var facts: String

  /// Nil for a router that its row in `router` says all of.
  init?(_ router: RouterDescription) throws {
    let id = router.id
    if id.lane == id.stack.rawValue && router.more == nil { return nil }
    path = id.description
    stack = id.stack.rawValue
    facts = try TraceCoding.json(router.more ?? RouterFacts())
  }

  private init(_ row: Row) throws {
    path = try row.value("path")
    stack = try row.value("stack")
    facts = try row.value("facts")
  }

  func insert(_ db: Database, router: Int64) throws {
    try db.execute(sql: "INSERT INTO router_more VALUES (?, ?, ?, ?)", arguments: [router, path, stack, facts])
  }

  /// By row of the router, of one run or of all.
  static func fetch(_ db: Database, run: Int64?) throws -> [Int64: RouterMore] {
    guard try db.tableExists("router_more") else { return [:] }
    let sql = "SELECT m.* FROM router_more AS m JOIN router AS r ON r.id = m.router"
    let rows = try Row.fetchAll(db, sql: run == nil ? sql : sql + " WHERE r.run = ?", arguments: run.map { [$0] } ?? [])
    return try Dictionary(rows.map { (try $0.value("router") as Int64, try RouterMore($0)) }, uniquingKeysWith: { first, _ in first })
  }

  /// - Throws: `StoreError.damaged`.
  func decoded(place: String, file: String) throws -> RouterFacts? {
    let known = try RunSummary.decoded(RouterFacts.self, facts, place: place, file: file)
    return known == RouterFacts() ? nil : known
  }
}
