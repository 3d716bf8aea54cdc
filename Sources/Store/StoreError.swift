// What can be wrong with a trace file, and how we say so. Every public entrance of this room throws `StoreError` (exports may also
// pass on `FormatError`); cases carry the facts, `kind` says which exit code they deserve, and the wording lives in `description`.
// SQLite's result codes are translated here and nowhere else.

import Formats
import GRDB

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A trace that cannot be found, read, written or believed.
public enum StoreError: Error, Sendable, Equatable {
  /// No file at that path.
  case missingFile(file: String)
  /// The file exists and is not a trace ("a directory", "a SQLite database of another program", "not a SQLite database").
  case notATrace(file: String, found: String)
  /// The trace contradicts itself or SQLite finds it damaged; `place` names the part.
  case damaged(file: String, place: String, problem: String)
  /// The trace was written by a newer moetop: it carries schema steps that this one does not know.
  case newerSchema(file: String, found: [String], known: String)
  /// The trace has an older schema and cannot be brought up to date here, because it cannot be written.
  case olderSchema(file: String, found: String, known: String)
  /// Another process held the trace longer than we waited.
  case locked(file: String)
  /// The system does not let us create the file; `reason` is its own words.
  case cannotCreate(file: String, reason: String)
  /// Reading or writing failed half way; `reason` is the system's or SQLite's own words.
  case inputOutput(file: String, reason: String)
  case diskFull(file: String)
  /// We may not read or write the file or its directory.
  case permission(file: String, reason: String)
  /// The trace has no such run; `known` describes what it has ("runs 1-4, 9", "no run").
  case noSuchRun(file: String, run: String, known: String)
  /// The text does not name a run.
  case badSelector(text: String, problem: String)
  /// A pass contradicts the run it is said to belong to. Our bug or a bad dump, never the user's.
  case malformedPass(file: String, problem: String, expected: String, found: String)
  /// The statement is not one that reads.
  case refusedStatement(sql: String, reason: String)
  /// SQLite does not understand the statement.
  case badStatement(sql: String, reason: String)
  /// The run cannot be recorded as asked.
  case impossibleRecording(problem: String)
  /// There is no such export.
  case impossibleExport(problem: String)
  /// The run was already finished, or abandoned after an error.
  case writerClosed(file: String)
  /// The path does not lead to a file: a circle of links, a name too long, a file where a folder should be.
  case unreachable(file: String, reason: String)
  /// The trace has a log whose rows are not in it yet, and it lies where nothing can be written.
  case unfoldedLog(file: String, bytes: Int)
  /// The path leads to another file, or to none, than the one that run `run` was written to; `rescued` is the trace that has all of it.
  case moved(file: String, run: Int64, rescued: String?)
  /// The run has no such router, or the router no such expert.
  case noSuchExpert(file: String, run: Int64, router: String, expert: Int)
  /// The file has another run of that number than it had: another trace lies there now.
  case otherRun(file: String, run: Int64)
  /// Somebody else has called the expert `label` since; empty where the name was taken away.
  case otherLabel(file: String, run: Int64, expert: String, label: String)
  /// Routers have different numbers of experts (each with its own), and no table has room for that.
  case unevenExperts(file: String, run: Int64, routers: [String])
  /// A run cannot be called so, as it could not be selected by that name.
  case badName(name: String, problem: String)

  /// The sort of failure, as scripts know it.
  public enum Kind: Sendable, CaseIterable {
    case usage, damaged, missing, unsupported, ourFault, cannotCreate, inputOutput, locked, permission
  }

  public var kind: Kind {
    switch self {
    case .missingFile, .noSuchRun, .noSuchExpert, .unreachable: .missing
    case .notATrace, .damaged: .damaged
    case .newerSchema, .olderSchema, .unevenExperts: .unsupported
    case .locked, .otherLabel: .locked
    case .cannotCreate: .cannotCreate
    case .inputOutput, .diskFull, .unfoldedLog, .moved, .otherRun: .inputOutput
    case .permission: .permission
    case .badSelector, .badName, .refusedStatement, .badStatement, .impossibleExport, .impossibleRecording: .usage
    case .malformedPass, .writerClosed: .ourFault
    }
  }
}

extension StoreError: CustomStringConvertible {
  /// What happened and where, in one line; `advice` says what to try.
  public var description: String {
    switch self {
    case .missingFile(let file): "\(file): no such trace"
    case .notATrace(let file, let found): "\(file): expected a trace, found \(found)"
    case .damaged(let file, let place, let problem): "\(file): damaged: \(place): \(problem)"
    case .newerSchema(let file, let found, let known):
      "\(file): written by a newer moetop: schema \(found.joined(separator: ", ")), expected at most \(known)"
    case .olderSchema(let file, let found, let known):
      "\(file): schema \(found) is older than \(known), and the file cannot be written to bring it up to date"
    case .locked(let file): "\(file): another process is writing to this trace"
    case .cannotCreate(let file, let reason): "\(file): cannot create the file: \(reason)"
    case .inputOutput(let file, let reason): "\(file): \(reason)"
    case .diskFull(let file): "\(file): no space is left on the device"
    case .permission(let file, let reason): "\(file): \(reason)"
    case .noSuchRun(let file, let run, let known): "\(file): no run \(run); the trace has \(known)"
    case .otherRun(let file, let run): "\(file): run \(run) is another one than it was: another trace lies there now; nothing was changed"
    case .otherLabel(let file, let run, let expert, let label):
      "\(file)#\(run): expert \(expert) is called \(label.isEmpty ? "nothing" : "\"\(label)\"") by now; nothing was changed"
    case .noSuchExpert(let file, let run, let router, let expert): "\(file)#\(run): no expert \(expert) at \(router)"
    case .badSelector(let text, let problem): "\"\(text)\" does not name a run: \(problem)"
    case .malformedPass(let file, let problem, let expected, let found): "\(file): \(problem): expected \(expected), found \(found)"
    case .refusedStatement(_, let reason): "only statements that read are run here: \(reason)"
    case .badStatement(_, let reason): "SQL: \(reason)"
    case .impossibleRecording(let problem): "recording: \(problem)"
    case .impossibleExport(let problem): "export: \(problem)"
    case .writerClosed(let file): "\(file): the run is closed"
    case .unreachable(let file, let reason): "\(file): cannot be reached: \(reason)"
    case .unfoldedLog(let file, let bytes):
      "\(file): \(bytes) bytes of it stand in \(file)-wal, which cannot be read where nothing can be written"
    case .moved(let file, let run, let rescued):
      "\(file): removed or replaced by another file while run \(run) was written to it"
        + (rescued.map { "; the whole run is in \($0)#\(run)" } ?? "; what was recorded went with that file")
    case .unevenExperts(let file, let run, let routers):
      "\(file)#\(run): expected routers of one number of experts, which a balancer's table has, found \(routers.joined(separator: ", "))"
    case .badName(let name, let problem): "\"\(name)\" cannot be the name of a run: \(problem)"
    }
  }

  /// What to try, in one line; nil when there is nothing but the message itself.
  public var advice: String? {
    switch self {
    case .missingFile, .notATrace: "to record a run: moetop run MODEL --trace FILE -p TEXT"
    case .damaged(let file, "schema", _): "take the trace from a copy; what is left of this one: sqlite3 \(file) .dump"
    case .damaged(let file, _, _): "which runs are whole: moetop runs check \(file)"
    case .newerSchema: "update moetop"
    case .olderSchema: "copy the file to a place where it can be written, and open the copy"
    case .locked: "again when the other command has ended; a run can go into another file: moetop run MODEL --trace FILE"
    case .cannotCreate: "another place"
    case .inputOutput(let file, _): "what was committed before is whole: moetop runs check \(file)"
    case .diskFull: "free some space, or choose another place; what was committed is whole"
    case .permission: "another place, or a copy where it can be written"
    case .noSuchRun(let file, _, _): "moetop runs list \(file)"
    case .noSuchExpert(let file, let run, _, _): "its routers and experts: moetop runs show \(file)#\(run)"
    case .badSelector: "write FILE.db, FILE.db#12, 12, a run's name, or latest"
    case .refusedStatement: "begin with SELECT, WITH, VALUES or EXPLAIN"
    case .badStatement: "the views and their columns: moetop schema"
    case .impossibleRecording: "record ids, weights or full"
    case .unreachable: "ls -l shows what is there"
    case .unfoldedLog(let file, _): "copy \(file) and \(file)-wal side by side to a place that can be written, and open the copy"
    case .moved(_, _, let rescued):
      rescued.map { "moetop analyze \($0); moetop runs check \($0)" } ?? "record it again, and leave the trace where it is meanwhile"
    case .badName: "a name with a letter, without # and /, that does not end in .db"
    case .unevenExperts: "some of them: --filter 'router=ffn.*', or 'layer=3-20'"
    case .otherRun: "open it again"
    case .impossibleExport, .malformedPass, .writerClosed, .otherLabel: nil
    }
  }
}

// MARK: - From SQLite

extension StoreError {
  /// Translates whatever a call into GRDB threw; a `StoreError` passes through.
  static func from(_ error: any Error, file: String) -> any Error {
    if error is RowDecodingError || error is WrongColumnType {
      return StoreError.damaged(file: file, place: "database", problem: "a column holds another type than it should")
    }
    if let error = error as? CountOutOfRange {
      return StoreError.damaged(file: file, place: "database", problem: "\(error.number) where a count belongs")
    }
    guard let error = error as? DatabaseError else { return error }
    let message = error.message ?? "SQLite error \(error.extendedResultCode.rawValue)"
    switch error.resultCode {
    case .SQLITE_BUSY, .SQLITE_LOCKED: return StoreError.locked(file: file)
    case .SQLITE_FULL: return StoreError.diskFull(file: file)
    case .SQLITE_NOTADB: return StoreError.notATrace(file: file, found: "a file that is not a SQLite database")
    case .SQLITE_CORRUPT, .SQLITE_FORMAT: return StoreError.damaged(file: file, place: "database", problem: message)
    case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH: return StoreError.permission(file: file, reason: message)
    default: return StoreError.inputOutput(file: file, reason: message)
    }
  }

  /// Runs `body`, translating what SQLite throws.
  static func translating<Result>(_ file: String, _ body: () throws -> Result) throws -> Result {
    do { return try body() } catch { throw from(error, file: file) }
  }

  /// The error for the errno that a file operation left behind.
  static func system(_ code: Int32, file: String, creating: Bool) -> StoreError {
    let reason = systemMessage(code, creating: creating)
    switch code {
    case ENOSPC, EDQUOT: return .diskFull(file: file)
    case _ where creating: return .cannotCreate(file: file, reason: reason)
    case ENOENT: return .missingFile(file: file)
    case ENOTDIR, ELOOP, ENAMETOOLONG: return .unreachable(file: file, reason: reason)
    case EACCES, EPERM, EROFS: return .permission(file: file, reason: reason)
    default: return .inputOutput(file: file, reason: reason)
    }
  }
}
