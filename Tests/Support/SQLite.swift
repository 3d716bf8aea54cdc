// Stock SQLite, as a stranger would use it on a trace.

import Foundation

public enum SQLite {
  public struct Failed: Error { let words: String }

  /// Runs statements on a database with the system's `sqlite3`, without foreign keys.
  public static func run(_ sql: String, on file: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
    process.arguments = ["-bail", file, sql]
    process.standardInput = FileHandle.nullDevice
    let errors = Pipe()
    process.standardOutput = FileHandle.nullDevice
    process.standardError = errors
    try process.run()
    let words = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    if process.terminationStatus != 0 { throw Failed(words: String(decoding: words, as: UTF8.self)) }
  }
}
