// One question in SQL to the views of a trace, for `moetop sql` and for curious programs. The connection can only read, and only
// statements that read are prepared at all.

import Foundation
import GRDB

/// A value as SQLite gives it.
public enum SQLValue: Sendable, Equatable {
  case null
  case integer(Int64)
  case real(Double)
  case text(String)
  case blob(Data)
}

/// The answer to a query, row by row.
public final class SQLRows {
  public let columns: [String]
  private let rows: RowCursor
  private let file: String
  private let sql: String

  fileprivate init(_ rows: RowCursor, columns: [String], file: String, sql: String) {
    self.rows = rows
    self.columns = columns
    self.file = file
    self.sql = sql
  }

  /// The next row; nil at the end.
  public func next() throws -> [SQLValue]? {
    do {
      guard let row = try rows.next() else { return nil }
      return row.databaseValues.map { value in
        switch value.storage {
        case .null: .null
        case .int64(let number): .integer(number)
        case .double(let number): .real(number)
        case .string(let text): .text(text)
        case .blob(let data): .blob(data)
        }
      }
    } catch { throw TraceQuery.translated(error, sql: sql, file: file) }
  }
}

/// Read-only SQL over a trace.
public struct TraceQuery: Sendable {
  private let trace: TraceReader
  private let run: Int64?

  /// - Parameter run: when given, every view shows this run only.
  public init(trace: TraceReader, run: Int64? = nil) {
    self.trace = trace
    self.run = run
  }

  /// Runs one statement and hands its rows to `body`, all in one consistent view of the trace.
  ///
  /// - Throws: `StoreError.refusedStatement` for anything that does not merely read, `.badStatement` for what SQLite does not
  ///   understand (with its own words), `.damaged` where that is for a view of the file.
  public func callAsFunction<Result>(_ sql: String, _ body: (SQLRows) throws -> Result) throws -> Result {
    try Self.requireQuestion(sql)
    do {
      return try trace.database.read { db in
        try narrow(db)
        defer { widen(db) }
        let statement = try db.makeStatement(sql: sql)
        guard statement.isReadonly else { throw StoreError.refusedStatement(sql: sql, reason: "this one writes") }
        let rows = try Row.fetchCursor(statement)
        return try body(SQLRows(rows, columns: statement.columnNames, file: trace.file, sql: sql))
      }
    } catch {
      let translated = Self.translated(error, sql: sql, file: trace.file)
      if case StoreError.badStatement = translated, let view = changedView() {
        throw StoreError.damaged(file: trace.file, place: "view \(view)", problem: "it is not the one that this schema has")
      }
      throw translated
    }
  }

  /// The first view of the file that is not what moetop made: then it is not the question that SQLite does not understand.
  private func changedView() -> String? {
    let stored = try? trace.database.read { db in
      try Row.fetchAll(db, sql: "SELECT name, sql FROM sqlite_master WHERE type = 'view'").map { ($0[0] as String?, $0[1] as String?) }
    }
    guard let stored else { return nil }
    return TraceSchema.views.first { view in !stored.contains { $0.0 == view.name && $0.1 == view.sql } }?.name
  }

  /// All rows of a small answer.
  public func all(_ sql: String) throws -> (columns: [String], rows: [[SQLValue]]) {
    try self(sql) { answer in
      var rows: [[SQLValue]] = []
      while let row = try answer.next() { rows.append(row) }
      return (answer.columns, rows)
    }
  }

  /// Stops a query that runs in another thread; it throws.
  public func interrupt() { trace.database.interrupt() }

  // Temporary views hide those of the file under the same name; they live in this connection's memory, never in the trace.
  private func narrow(_ db: Database) throws {
    guard let run else { return }
    for view in TraceSchema.views {
      try db.execute(sql: "CREATE TEMP VIEW IF NOT EXISTS \(view.name) AS SELECT * FROM main.\(view.name) WHERE run = \(run)")
    }
  }

  private func widen(_ db: Database) {
    if run == nil { return }
    for view in TraceSchema.views { try? db.execute(sql: "DROP VIEW IF EXISTS temp.\(view.name)") }
  }

  /// The first word decides; `sqlite3_stmt_readonly` alone would let ATTACH, BEGIN and some PRAGMAs through.
  private static func requireQuestion(_ sql: String) throws {
    let word = firstWord(sql)
    if ["SELECT", "WITH", "VALUES", "EXPLAIN"].contains(word) { return }
    throw StoreError.refusedStatement(sql: sql, reason: word.isEmpty ? "there is no statement" : "this one begins with \(word)")
  }

  /// The first word of `sql` after spaces and comments, in capitals.
  static func firstWord(_ sql: String) -> String {
    var rest = Substring(sql)
    while true {
      rest = rest.drop { $0.isWhitespace || $0 == ";" }
      if rest.hasPrefix("--") {
        rest = rest.drop { !$0.isNewline }
      } else if rest.hasPrefix("/*") {
        guard let end = rest.dropFirst(2).range(of: "*/") else { return "" }
        rest = rest[end.upperBound...]
      } else {
        return rest.prefix { $0.isLetter }.uppercased()
      }
    }
  }

  fileprivate static func translated(_ error: any Error, sql: String, file: String) -> any Error {
    guard let error = error as? DatabaseError else { return error }
    switch error.resultCode {
    case .SQLITE_MISUSE, .SQLITE_RANGE:
      // Said by the library between us and SQLite, in terms of its own calls.
      let asksForValues = error.message?.contains("argument") == true
      return StoreError.badStatement(
        sql: sql,
        reason: asksForValues
          ? "it has a place for a value (?, :name) and no value comes with it; write the value itself"
          : "there is more than one statement; ask them one at a time")
    case .SQLITE_ERROR, .SQLITE_MISMATCH:
      return StoreError.badStatement(sql: sql, reason: error.message ?? "it is not understood")
    case .SQLITE_READONLY, .SQLITE_AUTH: return StoreError.refusedStatement(sql: sql, reason: "this one writes")
    case .SQLITE_INTERRUPT: return CancellationError()
    default: return StoreError.from(error, file: file)
    }
  }
}
