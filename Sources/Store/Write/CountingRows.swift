// The table of numbers that views count with: 0, 1, 2, …, as far as any run of the trace needs them.

import GRDB

enum CountingRows {
  /// Makes the table hold 0 ..< `end`.
  static func provide(_ db: Database, upTo end: Int) throws {
    let present = try Int.fetchOne(db, sql: "SELECT count(*) FROM number") ?? 0
    for number in present..<max(present, end) { try db.execute(sql: "INSERT INTO number VALUES (?)", arguments: [number]) }
  }
}
