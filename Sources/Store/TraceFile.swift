// How is a trace file opened? For writing: created or brought up to date, in write-ahead mode, so that readers never wait. For
// reading: at any moment of its life, also while another process writes, after a crash, and from media that cannot be written.

import Formats
import Foundation
import GRDB

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

enum TraceFile {
  /// Opens `path` for writing, creating file and schema as needed.
  ///
  /// - Parameter busyTimeout: seconds to wait for another writer before `StoreError.locked`.
  static func openForWriting(_ path: String, busyTimeout: Double, mustExist: Bool = false) throws -> DatabaseQueue {
    let exists = try checkBeforeOpening(path, mustExist: mustExist)
    if !exists {
      try checkCreation(of: path)
    } else if access(path, W_OK) != 0 {
      throw StoreError.system(errno, file: path, creating: false)
    }
    return try StoreError.translating(path) {
      // Steps are transactions of their own: whoever finds some of them done waits here until all are.
      let lock = FolderLock(of: path)
      defer { lock.release() }
      var configuration = Configuration()
      configuration.label = "moetop.trace"
      configuration.busyMode = .timeout(busyTimeout)
      configuration.prepareDatabase { db in
        // Parts of unfinished pages are replaced all the time; overwriting them with zeros first would double the writing.
        try db.execute(sql: "PRAGMA secure_delete = OFF; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16000")
      }
      let queue = try DatabaseQueue(path: sqliteName(path), configuration: configuration)
      try queue.inDatabase { db in
        if try Int.fetchOne(db, sql: "PRAGMA page_count") == 0 {
          // Deleting a run gives its space back without rewriting the file. Half as many writes as by pages of 4 KB, in a file no larger.
          try db.execute(sql: "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL")
        } else {
          try checkIdentity(db, file: path)
        }
        try checkVersion(db, file: path)
        try enterWriteAheadMode(db, patience: busyTimeout)
        // Folding the log into the file waits for the disk: every 16 MB.
        let pageSize = try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 4096
        try db.execute(sql: "PRAGMA wal_autocheckpoint = \((16 << 20) / pageSize)")
      }
      try TraceMigrations.migrator.migrate(queue)
      try queue.write { db in try TraceSchema.installViews(db) }
      return queue
    }
  }

  /// Opens `path` for reading only. An older schema, and tables without views, are brought up to date first, when the file can be written.
  static func openForReading(_ path: String, busyTimeout: Double) throws -> DatabaseQueue {
    _ = try checkBeforeOpening(path, mustExist: true)
    if access(path, R_OK) != 0 { throw StoreError.system(errno, file: path, creating: false) }
    let isWritable = access(path, W_OK) == 0
    do {
      return try openReadOnly(sqliteName(path), path: path, busyTimeout: busyTimeout, acceptsOlder: !isWritable)
    } catch StoreError.olderSchema where isWritable {
      try openForWriting(path, busyTimeout: busyTimeout).close()
      return try openReadOnly(sqliteName(path), path: path, busyTimeout: busyTimeout)
    } catch let error as StoreError where error.kind == .inputOutput || error.kind == .permission {
      // A trace in write-ahead mode needs its -shm file, which cannot be made on media that cannot be written. When there is nothing in
      // the log, the main file is the whole truth and may be read as immutable.
      let log = URL(fileURLWithPath: path).resolvingSymlinksInPath().path + "-wal"
      let logBytes = (try? FileManager.default.attributesOfItem(atPath: log)[.size] as? Int) ?? 0
      if logBytes > 0 { throw StoreError.unfoldedLog(file: path, bytes: logBytes) }
      return try openReadOnly(immutableURI(path), path: path, busyTimeout: busyTimeout, acceptsOlder: true)
    }
  }

  /// - Parameter acceptsOlder: an older schema is read as it is, where it has all that readers need.
  private static func openReadOnly(
    _ name: String, path: String, busyTimeout: Double, acceptsOlder: Bool = false
  ) throws -> DatabaseQueue {
    try StoreError.translating(path) {
      var configuration = Configuration()
      configuration.label = "moetop.trace.reader"
      configuration.readonly = true
      configuration.busyMode = .timeout(busyTimeout)
      configuration.allowsUnsafeTransactions = true
      let queue = try DatabaseQueue(path: name, configuration: configuration)
      try queue.read { db in
        try checkIdentity(db, file: path)
        try checkVersion(db, file: path)
        let applied = try TraceMigrations.migrator.appliedMigrations(db)
        let isEnough = acceptsOlder && applied.contains(TraceMigrations.enoughToRead)
        if let known = TraceMigrations.names.last, applied.last != known, !isEnough {
          throw StoreError.olderSchema(file: path, found: applied.last ?? "none", known: known)
        }
        // Other programs write tables only (docs/trace-format.md).
        if !acceptsOlder, try !TraceSchema.hasViews(db) {
          throw StoreError.olderSchema(file: path, found: "tables without views", known: TraceMigrations.names.last ?? "")
        }
      }
      return queue
    }
  }

  /// SQLite does not wait here by itself when another process happens to read.
  private static func enterWriteAheadMode(_ db: Database, patience: Double) throws {
    let attempts = max(Int(patience * 20), 1)
    for attempt in 1...attempts {
      do {
        if try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL") == "wal" { return }
      } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY && attempt < attempts {}
      usleep(50_000)
    }
    throw DatabaseError(resultCode: .SQLITE_BUSY)
  }

  /// Gives the space of deleted rows back and folds the log into the main file. When nobody else has the trace open, it leaves
  /// write-ahead mode too: a finished trace is one plain file that opens anywhere, also from media that cannot be written.
  static func settle(_ queue: DatabaseQueue) throws {
    try queue.inDatabase { db in
      try Row.fetchAll(db, sql: "PRAGMA incremental_vacuum").forEach { _ in }
      try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
      // Refused with SQLITE_BUSY while others read; the trace then simply stays in write-ahead mode.
      try? db.execute(sql: "PRAGMA busy_timeout = 0; PRAGMA journal_mode = DELETE")
    }
  }

  /// Removes a trace that this process made, with what SQLite keeps beside it.
  static func remove(_ path: String) { for file in TraceLocation.files(of: path) { unlink(file) } }

  /// Makes the directory that `path` lies in, with its parents; only the user may look into it.
  static func createDirectory(of path: String) throws {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
    let directory = String(path[..<slash])
    if FileStatus.isFolder(directory) { return }
    try createDirectory(of: directory)
    if mkdir(directory, 0o700) != 0, errno != EEXIST { throw StoreError.system(errno, file: directory, creating: true) }
  }

  // MARK: Checks

  /// - Returns: whether the file exists and has content.
  private static func checkBeforeOpening(_ path: String, mustExist: Bool) throws -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else {
      if errno == ENOENT {
        if mustExist { throw StoreError.missingFile(file: path) }
        return false
      }
      throw StoreError.system(errno, file: path, creating: !mustExist)
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw StoreError.notATrace(file: path, found: "a directory")
    default: throw StoreError.notATrace(file: path, found: "a pipe or device")
    }
    if status.st_size == 0 && mustExist { throw StoreError.notATrace(file: path, found: "an empty file") }
    return true
  }

  /// SQLite says only "unable to open": find out why a new file cannot be made at `path`.
  private static func checkCreation(of path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    if descriptor < 0 { throw StoreError.system(errno, file: path, creating: true) }
    close(descriptor)
  }

  private static func checkIdentity(_ db: Database, file: String) throws {
    let id = try Int32.fetchOne(db, sql: "PRAGMA application_id")
    if id == TraceMigrations.applicationID { return }
    if try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") == 0 && !db.configuration.readonly { return }
    throw StoreError.notATrace(file: file, found: "a SQLite database of another program")
  }

  private static func checkVersion(_ db: Database, file: String) throws {
    let known = TraceMigrations.names
    let applied =
      try db.tableExists("grdb_migrations") ? String.fetchAll(db, sql: "SELECT identifier FROM grdb_migrations ORDER BY identifier") : []
    let unknown = applied.filter { !known.contains($0) }
    if !unknown.isEmpty { throw StoreError.newerSchema(file: file, found: unknown, known: known.last ?? "") }
    // The mark of a trace and its first step are one transaction.
    let isTrace = try Int32.fetchOne(db, sql: "PRAGMA application_id") == TraceMigrations.applicationID
    guard isTrace, applied.isEmpty || applied != Array(known.prefix(applied.count)) else { return }
    let found = applied.isEmpty ? "nothing" : applied.joined(separator: ", ")
    throw StoreError.damaged(
      file: file, place: "schema", problem: "expected the steps \(known.joined(separator: ", ")), or the first of them, found \(found)")
  }

  // MARK: Names

  /// What SQLite is told: never a text that it would take for a URI or for a database in memory.
  static func sqliteName(_ path: String) -> String { path.hasPrefix("/") ? path : "./" + path }

  /// Bytes that a URI carries as they are.
  private static let plainBytes = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-_.".utf8)

  private static func immutableURI(_ path: String) -> String {
    let absolute = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    var escaped = ""
    for byte in absolute.utf8 {
      if Self.plainBytes.contains(byte) {
        escaped.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        let hex = String(byte, radix: 16, uppercase: true)
        escaped += hex.count == 1 ? "%0" + hex : "%" + hex
      }
    }
    return "file://\(escaped)?immutable=1"
  }
}
