// Which SQLite this build talks to.

import GRDB

public enum TraceLibrary {
  /// Version of the SQLite library at run time; the error's words when it does not answer.
  public static var version: String {
    do {
      return try DatabaseQueue().read { try String.fetchOne($0, sql: "SELECT sqlite_version()") } ?? "unknown"
    } catch {
      return "\(error)"
    }
  }
}
