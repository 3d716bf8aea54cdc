// Runs of several traces in one trace: which runs are meant, in which order they are copied, and what is told of them. A run is whole or not
// there: whatever ends a merge, the runs that were copied stay, and what the output had before is untouched.

import Formats
import GRDB
import Routing

/// A run that is copied.
public struct MergePart: Sendable, Equatable {
  public let file: String
  public let run: Int64
  public let name: String
  public let series: String?
  public let tokens: Int
  let parent: Int64?
  let bytes: Int

  /// `FILE#RUN`.
  public var label: String { "\(file)#\(run)" }
}

/// A run that came of one or several others.
public struct MergedRun: Sendable, Equatable {
  public let id: Int64
  public let name: String
  public let tokens: Int
  public let sequences: Int
  /// The runs that it is of.
  public let parts: [MergePart]
}

/// Brings runs into one trace.
///
///     var merge = try TraceMerge([TraceReference(file: "a.db", namesRun: false)])
///     try merge.copy(to: "all.db", appending: false)
///
/// - Memory: a page, and some hundred bytes a run.
public struct TraceMerge {
  /// The runs, a parent before its variants.
  public let parts: [MergePart]
  /// What came of it so far: whole runs of the output.
  public internal(set) var done: [MergedRun] = []
  /// What a reader of the output should know.
  public internal(set) var notes: [String] = []
  /// Told how many of all bytes are done, now and then.
  public var progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  /// Whether somebody asked to stop.
  public var isStopped: () -> Bool = { false }

  /// Finds the runs; nothing is written.
  ///
  /// - Parameter inputs: traces with all their runs, or single runs.
  /// - Throws: `MergeError`, `StoreError`; `.locked` for a run that is still being written.
  public init(_ inputs: [TraceReference]) throws {
    var parts: [MergePart] = []
    var files: [(identity: FileIdentity?, name: String)] = []
    var taken: [Int: Set<Int64>] = [:]
    for input in inputs {
      let trace = try TraceReader(file: input.file)
      defer { trace.close() }
      let runs = input.namesRun ? [try trace.run(input.run)] : try trace.runs()
      let identity = FileIdentity(input.file)
      let file = files.firstIndex { $0.identity == identity && identity != nil || $0.name == input.file } ?? files.count
      if file == files.count { files.append((identity, input.file)) }
      for run in runs {
        let part = MergePart(
          file: files[file].name, run: run.id, name: run.name, series: run.description.series, tokens: run.tokenCount,
          parent: run.description.parent, bytes: run.storedBytes + 40 * run.tokenCount)
        guard taken[file, default: []].insert(run.id).inserted else { throw MergeError.twice(run: part.label) }
        if run.state == .running { throw StoreError.locked(file: part.label) }
        parts.append(part)
      }
    }
    if parts.isEmpty { throw MergeError.nothing(files: inputs.map(\.file)) }
    self.parts = Self.parentsFirst(parts)
  }

  /// The same runs, each behind the run that it is a variant of.
  private static func parentsFirst(_ parts: [MergePart]) -> [MergePart] {
    let places = Dictionary(parts.enumerated().map { ($0.element.label, $0.offset) }, uniquingKeysWith: { first, _ in first })
    var ordered: [MergePart] = []
    var seen: Set<Int> = []
    for start in parts.indices {
      // From a run to its parent and on, until one that stands already or a circle, which no sound trace has.
      var line: [Int] = []
      var next: Int? = start
      while let place = next, seen.insert(place).inserted {
        line.append(place)
        next = parts[place].parent.flatMap { places["\(parts[place].file)#\($0)"] }
      }
      ordered += line.reversed().map { parts[$0] }
    }
    return ordered
  }

  /// Copies every run as it is.
  ///
  /// - Parameters:
  ///   - output: a trace that is made, or added to.
  ///   - appending: whether it may be there already.
  /// - Throws: `MergeError`, `StoreError`, `FormatError.isRead` for an output that is an input. `done` says which runs are in the output all
  ///   the same; a file that would have none is not left behind.
  public mutating func copy(to output: String, appending: Bool) throws {
    try withOutput(output, appending: appending) { merge in
      let database = try TraceFile.openForWriting(output, busyTimeout: 5)
      // A file that opens anywhere, however it ends.
      defer {
        try? TraceFile.settle(database)
        try? database.close()
      }
      let total = merge.parts.reduce(0) { $0 &+ $1.bytes }
      let tell = merge.progress
      var before = 0
      var copies: [String: Int64] = [:]
      for part in merge.parts {
        let parent = part.parent.flatMap { copies["\(part.file)#\($0)"] }
        if let lost = part.parent, parent == nil {
          merge.notes.append("\(part.label) is a variant of run \(lost) of that trace, which is not copied: the copy names no parent")
        }
        let start = before
        let copied = try merge.copy(part, parent: parent, to: database, output) { tell(start + $0, total) }
        copies[part.label] = copied.id
        merge.done.append(copied)
        before += part.bytes
        tell(before, total)
      }
    }
  }

  private func copy(
    _ part: MergePart, parent: Int64?, to database: DatabaseQueue, _ output: String, progress: @escaping (Int) -> Void
  ) throws -> MergedRun {
    let trace = try TraceReader(file: part.file)
    defer { trace.close() }
    let run = try trace.run(.id(part.run))
    if run.state == .running { throw StoreError.locked(file: part.label) }
    var rows = 0
    let id = try RunCopy(source: trace, run: run, origin: part.label, parent: parent) {
      rows += 1
      guard rows % 256 == 0 else { return }
      if isStopped() { throw MergeError.stopped }
      progress(min(rows * 40, part.bytes))
    }.write(to: database, file: output)
    // The log is folded into the file run by run: it never holds more than one.
    try StoreError.translating(output) { try database.inDatabase { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") } }
    return MergedRun(id: id, name: run.name, tokens: run.tokenCount, sequences: run.sequenceCount, parts: [part])
  }

  /// Does `body` on an output that may be written, and takes the file back where nothing came into it.
  mutating func withOutput(_ output: String, appending: Bool, _ body: (inout TraceMerge) throws -> Void) throws {
    try OutputFile.check(output, reading: Set(parts.map(\.file)).sorted().flatMap(TraceLocation.files(of:)))
    let isThere = FileStatus.exists(output)
    if isThere && !appending { throw MergeError.outputExists(file: output) }
    do { try body(&self) } catch {
      if !isThere && done.isEmpty { TraceFile.remove(output) }
      throw error
    }
  }
}
