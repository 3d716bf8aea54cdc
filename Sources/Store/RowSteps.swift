// Rows by the hundred thousand, read where SQLite has them: rows of GRDB are copied and their columns looked up by name, which for tokens
// and pages takes longer than all that is done with them. A value of another type than its column is damage, as in `RowValues`.

import GRDB
import GRDBSQLite

/// The rows of a statement, one after the other.
struct RowSteps {
  private let database: Database
  private let statement: Statement

  /// - Throws: `DatabaseError`.
  init(_ database: Database, _ sql: String, _ arguments: Int64...) throws {
    self.database = database
    statement = try database.cachedStatement(sql: sql)
    sqlite3_reset(statement.sqliteStatement)
    for (place, argument) in arguments.enumerated() { sqlite3_bind_int64(statement.sqliteStatement, CInt(place + 1), argument) }
  }

  /// Steps to the next row; false behind the last.
  ///
  /// - Throws: `DatabaseError`.
  func next() throws -> Bool {
    let code = sqlite3_step(statement.sqliteStatement)
    if code == SQLITE_ROW { return true }
    let message = code == SQLITE_DONE ? nil : database.lastErrorMessage
    end()
    if code != SQLITE_DONE { throw DatabaseError(resultCode: ResultCode(rawValue: code), message: message, sql: statement.sql) }
    return false
  }

  /// To be called when rows are left.
  func end() { sqlite3_reset(statement.sqliteStatement) }

  // MARK: Values of the row, by column

  private func type(_ column: Int) -> CInt { sqlite3_column_type(statement.sqliteStatement, CInt(column)) }

  /// - Throws: `WrongColumnType`.
  func integer(_ column: Int) throws -> Int64 {
    guard type(column) == SQLITE_INTEGER else { throw WrongColumnType() }
    return sqlite3_column_int64(statement.sqliteStatement, CInt(column))
  }

  /// Nil: NULL.
  func integerIfAny(_ column: Int) throws -> Int64? { type(column) == SQLITE_NULL ? nil : try integer(column) }

  /// A count, size or index: 0...2^40.
  func count(_ column: Int) throws -> Int { try CountOutOfRange.bounded(Int(integer(column))) }

  /// Nil: NULL.
  func real(_ column: Int) throws -> Double? {
    switch type(column) {
    case SQLITE_NULL: return nil
    case SQLITE_FLOAT, SQLITE_INTEGER: return sqlite3_column_double(statement.sqliteStatement, CInt(column))
    default: throw WrongColumnType()
    }
  }

  /// Nil: no bytes, NULL or a number. Valid until the next step.
  func bytes(_ column: Int) -> UnsafeRawBufferPointer? {
    let type = type(column)
    guard type == SQLITE_BLOB || type == SQLITE_TEXT else { return nil }
    let start = sqlite3_column_blob(statement.sqliteStatement, CInt(column))
    return UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement.sqliteStatement, CInt(column))))
  }
}

/// A value of another type than its column should have; becomes `StoreError.damaged`.
struct WrongColumnType: Error {}
