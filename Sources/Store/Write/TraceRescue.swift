// What becomes of a trace whose file was removed or replaced while it is being written? SQLite still holds it, so it is copied, whole and
// with all its runs, to a new file beside the old path, or to the temporary folder where there is no such place any more.

import Formats
import Foundation
import GRDB

enum TraceRescue {
  /// Copies the trace behind `database` to a new file.
  ///
  /// The log is folded into the file that is held first: left where it is, SQLite would take it for the log of whatever lies at the path
  /// now.
  /// - Returns: the path of the copy; nil when there is nowhere to put it.
  static func save(_ database: DatabaseQueue, of file: String) -> String? {
    database.inDatabase { db in
      try? db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
      return candidates(file).first { path in
        do {
          try db.execute(sql: "VACUUM INTO ?", arguments: [TraceFile.sqliteName(path)])
          return true
        } catch { return false }
      }
    }
  }

  /// Names that nothing has yet.
  private static func candidates(_ file: String) -> [String] {
    let name = file.split(separator: "/").last.map(String.init) ?? "trace.db"
    return [file, NSTemporaryDirectory() + "/" + name].compactMap { base in
      (1...99).lazy.map { $0 == 1 ? "\(base).rescued.db" : "\(base).rescued-\($0).db" }.first { !FileStatus.exists($0) }
    }
  }
}
