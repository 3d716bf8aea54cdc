// Rows by the hundred thousand: tokens, totals, pages. Arguments of GRDB are boxed one by one, which for eight small numbers takes five times
// as long as SQLite takes to insert them; here they are bound as they are.

import GRDB
import GRDBSQLite

/// A statement that is run row after row within one transaction.
struct RowInserter {
  private let database: Database
  private let statement: Statement
  private var place: CInt = 0
  private var outcome = SQLITE_OK

  init(_ database: Database, _ sql: String) throws {
    self.database = database
    statement = try database.cachedStatement(sql: sql)
  }

  /// The next value of the row; nil: NULL.
  mutating func add(_ number: (some BinaryInteger)?) {
    place += 1
    if let number {
      note(sqlite3_bind_int64(statement.sqliteStatement, place, Int64(number)))
    } else {
      note(sqlite3_bind_null(statement.sqliteStatement, place))
    }
  }

  /// The next value of the row. NaN becomes NULL.
  mutating func add(_ number: Float) { add(Double(number)) }

  /// The next value of the row. NaN becomes NULL.
  mutating func add(_ number: Double) {
    place += 1
    note(sqlite3_bind_double(statement.sqliteStatement, place, number))
  }

  /// The next value of the row; nil: NULL. The bytes stay where they are until the row is inserted.
  mutating func add(_ bytes: UnsafeRawBufferPointer?) {
    place += 1
    if let bytes, let start = bytes.baseAddress {
      note(sqlite3_bind_blob64(statement.sqliteStatement, place, start, UInt64(bytes.count), nil))
    } else if bytes != nil {
      note(sqlite3_bind_zeroblob(statement.sqliteStatement, place, 0))
    } else {
      note(sqlite3_bind_null(statement.sqliteStatement, place))
    }
  }

  private mutating func note(_ code: CInt) { if outcome == SQLITE_OK { outcome = code } }

  /// Inserts the row, whose values have all been added.
  ///
  /// - Throws: `DatabaseError`.
  mutating func insert() throws {
    if outcome == SQLITE_OK {
      let code = sqlite3_step(statement.sqliteStatement)
      if code != SQLITE_DONE { outcome = code }
    }
    let code = outcome
    let message = code == SQLITE_OK ? nil : database.lastErrorMessage
    sqlite3_reset(statement.sqliteStatement)
    (place, outcome) = (0, SQLITE_OK)
    if code != SQLITE_OK { throw DatabaseError(resultCode: ResultCode(rawValue: code), message: message, sql: statement.sql) }
  }
}
