// Which rows make a run? Every table whose rows belong to a run, to one of its routers or to one of their pages, in an order in which they can be
// put into another trace. The rows themselves are carried over as SQLite holds them: nothing is decoded, so nothing changes.

import GRDB
import GRDBSQLite

/// A table of which a run has rows.
struct RunTable: Sendable, Equatable {
  /// What the first column of its key names.
  enum Owner: String, Sendable { case run, router, page }

  let name: String
  let owner: Owner

  /// All but `run`, `router` and `page` themselves, whose rows get new ids.
  static let all =
    [
      "sequence", "token", "token_extra", "token_more", "token_label", "coordinate", "piece", "capture_check", "import_finding",
      "denoising",
      "denoising_step",
    ].map { RunTable(name: $0, owner: .run) }
    + ["router_more", "expert_total", "expert_label", "denoising_group", "denoising_weight", "denoising_sample"].map {
      RunTable(name: $0, owner: .router)
    } + [RunTable(name: "page_extra", owner: .page)]

  static let runs = RunTable(name: "run", owner: .run)
  static let routers = RunTable(name: "router", owner: .run)
  static let pages = RunTable(name: "page", owner: .router)
}

/// Carries rows of one table from a trace to another.
struct RowCarrier {
  private let select: Statement
  private let insert: Statement
  private let target: Database
  private let sourceFile: String
  private let targetFile: String

  /// - Parameters:
  ///   - key: the column by which rows are found; their order is that of the table's own key.
  ///   - owner: the column that is given anew; nil: all are carried.
  ///   - without: columns that are left out: ids that SQLite gives.
  /// - Returns: nil where the source is older than the table.
  init?(
    _ table: RunTable, key: String, owner: String?, without: Set<String> = [], from source: Database, sourceFile: String,
    to target: Database,
    targetFile: String
  ) throws {
    let present = Set(try Self.columns(of: table.name, in: source, file: sourceFile))
    guard !present.isEmpty else { return nil }
    // A column that only the newer schema has stays NULL, as a migration would leave it.
    let carried = try Self.columns(of: table.name, in: target, file: targetFile).filter {
      present.contains($0) && $0 != owner && !without.contains($0)
    }
    let names = carried.map { "\"\($0)\"" }
    let given = owner.map { ["\"\($0)\""] } ?? []
    let places = Array(repeating: "?", count: names.count + given.count).joined(separator: ", ")
    select = try StoreError.translating(sourceFile) {
      try source.cachedStatement(sql: "SELECT \(names.joined(separator: ", ")) FROM \(table.name) WHERE \"\(key)\" = ?")
    }
    insert = try StoreError.translating(targetFile) {
      try target.cachedStatement(sql: "INSERT INTO \(table.name) (\((given + names).joined(separator: ", "))) VALUES (\(places))")
    }
    (self.target, self.sourceFile, self.targetFile) = (target, sourceFile, targetFile)
    hasOwner = owner != nil
  }

  private let hasOwner: Bool

  private static func columns(of table: String, in database: Database, file: String) throws -> [String] {
    try StoreError.translating(file) {
      try database.tableExists(table) ? try database.columns(in: table).map(\.name) : []
    }
  }

  /// Carries every row whose key is `key`; what an owner is called in the other trace is `owner`.
  ///
  /// - Parameter onRow: told after each row.
  /// - Throws: `StoreError` of the file that failed, and what `onRow` throws.
  func carry(key: Int64, owner: Int64, onRow: () throws -> Void = {}) throws {
    let (from, into) = (select.sqliteStatement, insert.sqliteStatement)
    sqlite3_reset(from)
    defer {
      sqlite3_reset(from)
      sqlite3_reset(into)
      // The last row's bytes are not kept for longer than the row.
      sqlite3_clear_bindings(into)
    }
    sqlite3_bind_int64(from, 1, key)
    let columns = sqlite3_column_count(from)
    while true {
      let code = sqlite3_step(from)
      if code == SQLITE_DONE { return }
      guard code == SQLITE_ROW else { throw error(code, of: from, sourceFile) }
      if hasOwner { sqlite3_bind_int64(into, 1, owner) }
      for column in 0..<columns {
        let outcome = sqlite3_bind_value(into, column + (hasOwner ? 2 : 1), sqlite3_column_value(from, column))
        guard outcome == SQLITE_OK else { throw error(outcome, of: into, targetFile) }
      }
      let outcome = sqlite3_step(into)
      guard outcome == SQLITE_DONE else { throw error(outcome, of: into, targetFile) }
      sqlite3_reset(into)
      try onRow()
    }
  }

  private func error(_ code: CInt, of statement: SQLiteStatement, _ file: String) -> any Error {
    let database = sqlite3_db_handle(statement)
    let message = sqlite3_errmsg(database).map { String(cString: $0) }
    return StoreError.from(DatabaseError(resultCode: ResultCode(rawValue: code), message: message), file: file)
  }
}
