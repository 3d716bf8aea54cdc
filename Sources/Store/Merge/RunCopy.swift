// One run of a trace as a run of another one: all its rows under new ids, in one transaction. Pages, tokens and words are carried as they are, with
// their checksums, and so is damage: `runs check` finds in the copy what it finds in the original.

import Foundation
import GRDB
import Routing

/// Copies one run. Memory: a page, and what SQLite caches, whatever the size of the run.
struct RunCopy {
  let source: TraceReader
  let run: RunSummary
  /// What the copy says of where it comes from, `FILE#RUN`.
  let origin: String
  /// Id of its parent in the other trace.
  let parent: Int64?
  /// Told after each page, and after each row of the small tables.
  let onRow: () throws -> Void

  /// - Returns: the id of the copy.
  /// - Throws: `StoreError`, and what `onRow` throws; nothing is in `target` then.
  func write(to target: DatabaseQueue, file: String) throws -> Int64 {
    try source.read { db in
      try StoreError.translating(file) {
        try target.write { other in try Transfer(copy: self, from: db, to: other, file: file).carry() }
      }
    }
  }
}

/// A copy while it is made.
private struct Transfer {
  let copy: RunCopy
  let source: Database
  let target: Database
  let file: String

  init(copy: RunCopy, from source: Database, to target: Database, file: String) {
    (self.copy, self.source, self.target, self.file) = (copy, source, target, file)
  }

  private var id: Int64 { copy.run.id }

  func carry() throws -> Int64 {
    // Shapes are checked first: views count with a table that grows by them.
    let routers = try StoreError.translating(copy.source.file) { try RouterRows.fetch(source, run: id, file: copy.source.file) }
    // No further than in the original: a file that lies about its shapes may not make this one large.
    let counted = try StoreError.translating(copy.source.file) { try Int.fetchOne(source, sql: "SELECT count(*) FROM number") ?? 0 }
    try CountingRows.provide(target, upTo: min(counted, try entries(of: routers)))
    let new = try insertRun()
    for table in RunTable.all where table.owner == .run {
      try carrier(table, key: "run", owner: "run")?.carry(key: id, owner: new, onRow: copy.onRow)
    }
    var places: [(old: Int64, new: Int64)] = []
    let router = try carrier(.routers, key: "id", owner: "run", without: ["id"])
    // In the order of ids, which the checksum of routers counts.
    for old in routers.map(\.row).sorted() {
      try router?.carry(key: old, owner: new)
      places.append((old, target.lastInsertedRowID))
    }
    for table in RunTable.all where table.owner == .router {
      let carrier = try carrier(table, key: "router", owner: "router", without: ["id"])
      for place in places { try carrier?.carry(key: place.old, owner: place.new, onRow: copy.onRow) }
    }
    try carryPages(Dictionary(places.map { ($0.old, $0.new) }, uniquingKeysWith: { first, _ in first }))
    return new
  }

  private func carrier(_ table: RunTable, key: String, owner: String, without: Set<String> = []) throws -> RowCarrier? {
    try RowCarrier(
      table, key: key, owner: owner, without: without, from: source, sourceFile: copy.source.file, to: target, targetFile: file)
  }

  /// In the order in which they were written, so that the decisions of a pass lie together in the copy too.
  private func carryPages(_ routers: [Int64: Int64]) throws {
    let page = try carrier(.pages, key: "id", owner: "router", without: ["id"])
    let extra = try carrier(RunTable(name: "page_extra", owner: .page), key: "page", owner: "page")
    let sql = "SELECT p.id, p.router FROM page AS p JOIN router AS r ON r.id = p.router WHERE r.run = ? ORDER BY p.id"
    let ids = try StoreError.translating(copy.source.file) { try Row.fetchCursor(source, sql: sql, arguments: [id]) }
    while let row = try StoreError.translating(copy.source.file, { try ids.next() }) {
      let (old, owner): (Int64, Int64) = try StoreError.translating(copy.source.file) { (try row.value(0), try row.value(1)) }
      guard let router = routers[owner] else { continue }
      try page?.carry(key: old, owner: router)
      try extra?.carry(key: old, owner: target.lastInsertedRowID)
      try copy.onRow()
    }
  }

  /// The row of the run itself, with what the copy says otherwise.
  private func insertRun() throws -> Int64 {
    let row = try StoreError.translating(copy.source.file) {
      try Row.fetchOne(source, sql: "SELECT * FROM run WHERE id = ?", arguments: [id])
    }
    guard let row else { throw StoreError.noSuchRun(file: copy.source.file, run: "\(id)", known: try RunLookup.known(source)) }
    var description = copy.run.description
    var recorded = description.origin
    recorded.source = copy.origin
    (description.recorded, description.parent, description.routers) = (recorded, copy.parent, [])
    var values = Dictionary(row.map { ($0.0, $0.1) }, uniquingKeysWith: { first, _ in first })
    values["id"] = nil
    values["description"] = try TraceCoding.json(description).databaseValue
    // Nobody writes the copy, whatever process has that number here.
    values["process"] = 0.databaseValue
    let known = Set(try target.columns(in: "run").map(\.name))
    let columns = values.filter { known.contains($0.key) }.sorted { $0.key < $1.key }
    let places = Array(repeating: "?", count: columns.count).joined(separator: ", ")
    try target.execute(
      sql: "INSERT INTO run (\(columns.map { "\"\($0.key)\"" }.joined(separator: ", "))) VALUES (\(places))",
      arguments: StatementArguments(columns.map(\.value)))
    return target.lastInsertedRowID
  }

  /// How far the views of the run count.
  private func entries(of routers: [StoredRouter]) throws -> Int {
    let slots = routers.map(\.layout.topK).max() ?? 0
    guard let layout = copy.run.description.denoising else { return slots }
    do {
      try layout.validate()
      for router in routers { try layout.validate(expertCount: router.layout.expertCount) }
    } catch let error as RoutingError {
      throw StoreError.damaged(file: copy.source.file, place: "layout of run \(id)", problem: "\(error)")
    }
    return max(slots, max(layout.stepCount, layout.patchCount) * (routers.map(\.layout.expertCount).max() ?? 0))
  }
}
