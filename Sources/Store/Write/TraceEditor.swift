// Changes to runs that are already there: names, tags, what experts are called, deletion. Routing itself is never edited.

import GRDB
import Routing

/// Edits the shelf of runs of a trace.
public final class TraceEditor {
  public let file: String
  private let database: DatabaseQueue

  /// - Throws: `StoreError`; the file must exist.
  public init(file: String, busyTimeout: Double = 5) throws {
    self.file = file
    database = try TraceFile.openForWriting(file, busyTimeout: busyTimeout, mustExist: true)
  }

  deinit { try? close() }

  /// - Throws: `StoreError.badName` for a name that would select something else.
  public func rename(_ run: RunSelector, to name: String) throws {
    try RunName.check(name)
    try update(run) { db, id in
      try db.execute(sql: "UPDATE run SET name = ? WHERE id = ?", arguments: [name, id])
    }
  }

  /// A run that is meant by when it began, not by its number alone: a file may have been replaced by another trace.
  public struct Mark: Sendable, Equatable {
    var startedAt: Double

    /// - Parameter startedAt: seconds since 1970, as its description says.
    public init(startedAt: Double) { self.startedAt = startedAt }
  }

  /// Replaces the tags of a run.
  public func setTags(_ tags: [String], of run: RunSelector, marked mark: Mark? = nil) throws {
    try update(run, mark) { db, id in
      try db.execute(sql: "UPDATE run SET tags = ? WHERE id = ?", arguments: [try TraceCoding.json(tags), id])
    }
  }

  /// Says what an expert is called; the empty text takes the name away.
  ///
  /// - Parameters:
  ///   - before: what it is called now, as far as its caller knows; nil: whatever that is.
  /// - Throws: `StoreError.noSuchExpert` for a router that the run does not have, or an expert that the router does not have;
  ///   `otherLabel` where somebody else has called it something since.
  public func setLabel(
    _ label: String, ofExpert expert: Int, at router: RouterID, of run: RunSelector, insteadOf before: String? = nil,
    marked mark: Mark? = nil
  ) throws {
    try update(run, mark) { db, id in
      let row = try Row.fetchOne(
        db, sql: "SELECT id, expert_count FROM router WHERE run = ? AND layer = ? AND stack = ?",
        arguments: [id, router.layer.rawValue, router.lane])
      guard let row, 0..<(try row.count("expert_count")) ~= expert else {
        throw StoreError.noSuchExpert(file: file, run: id, router: "\(router)", expert: expert)
      }
      let key = try row.value("id") as Int64
      if let before {
        let now =
          try String.fetchOne(db, sql: "SELECT label FROM expert_label WHERE router = ? AND expert = ?", arguments: [key, expert]) ?? ""
        guard now == before else { throw StoreError.otherLabel(file: file, run: id, expert: "\(router):\(expert)", label: now) }
      }
      if label.isEmpty {
        try db.execute(sql: "DELETE FROM expert_label WHERE router = ? AND expert = ?", arguments: [key, expert])
      } else {
        try db.execute(sql: "INSERT OR REPLACE INTO expert_label VALUES (?, ?, ?)", arguments: [key, expert, label])
      }
    }
  }

  /// Deletes a run with all it holds, and gives its space back to the file system.
  ///
  /// - Throws: `StoreError.locked` when a living process is still writing it.
  public func delete(_ run: RunSelector, marked mark: Mark? = nil) throws {
    try update(run, mark) { db, id in
      let row = try Row.fetchOne(db, sql: "SELECT state, process, host FROM run WHERE id = ?", arguments: [id])
      if let row, try row.value("state") == "running",
        ProcessIdentity(id: Int32(truncatingIfNeeded: try row.value("process") as Int64), host: try row.value("host")).isAlive == true
      {
        throw StoreError.locked(file: file)
      }
      try db.execute(sql: "DELETE FROM run WHERE id = ?", arguments: [id])
    }
    try StoreError.translating(file) {
      try database.inDatabase { db in _ = try Row.fetchAll(db, sql: "PRAGMA incremental_vacuum") }
    }
  }

  /// Folds the log into the file and closes it.
  public func close() throws {
    try StoreError.translating(file) {
      try TraceFile.settle(database)
      try database.close()
    }
  }

  private func update(_ run: RunSelector, _ mark: Mark? = nil, _ body: (Database, Int64) throws -> Void) throws {
    try StoreError.translating(file) {
      try database.write { db in
        let id = try RunLookup.id(db, run, file: file)
        if let mark {
          let began = try Double.fetchOne(db, sql: "SELECT started_at FROM run WHERE id = ?", arguments: [id])
          guard began == mark.startedAt else { throw StoreError.otherRun(file: file, run: id) }
        }
        try body(db, id)
      }
    }
  }
}
