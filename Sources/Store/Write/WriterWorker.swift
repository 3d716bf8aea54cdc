// The background half of `TraceWriter`: a bounded inbox, one serial queue that packs and commits, and a timer for streams that pause.

import Dispatch
import Formats
import Foundation
import GRDB
import Routing

/// `@unchecked Sendable`: `recorder`, `database`, `identity`, `timer`, `uncommittedSince` and `lastWrite` are touched on `queue` only; the
/// inbox and what stands below it only while `condition` is locked.
final class WriterWorker: @unchecked Sendable {
  private let queue = DispatchQueue(label: "moetop.trace.writer", qos: .utility)
  private let recorder: RunRecorder
  private var database: DatabaseQueue
  /// The file that is written; nil when the system did not tell.
  private var identity: FileIdentity?
  private let options: TraceWriter.Options
  private var timer: (any DispatchSourceTimer)?
  private var uncommittedSince: DispatchTime?
  private var uncommittedBytes = 0
  private var lastWrite = DispatchTime.now()

  private let condition = NSCondition()
  private var inbox: [RoutingPass] = []
  private var isDraining = false
  /// Received and not yet on disk.
  private var outstandingTokens = 0
  private var outstandingBytes = 0
  private var committed = 0
  private var someoneWaits = false
  private var failure: (any Error)?
  private var isClosed = false
  private var path: String
  private var moved: StoreError?

  init(recorder: RunRecorder, database: DatabaseQueue, options: TraceWriter.Options) {
    self.recorder = recorder
    self.database = database
    self.options = options
    path = recorder.file
    identity = FileIdentity(path)
  }

  func start() {
    let timer = DispatchSource.makeTimerSource(queue: queue)
    let tick = options.commitInterval / 4
    timer.schedule(deadline: .now() + tick, repeating: tick, leeway: .milliseconds(10))
    timer.setEventHandler { [weak self] in self?.tick() }
    queue.sync { self.timer = timer }
    timer.resume()
  }

  var committedTokens: Int { locked { committed } }

  /// Where the run is written now.
  var file: String { locked { path } }

  /// That the run is in another file than it was begun in, when it is.
  var relocation: StoreError? { locked { moved } }

  /// Opens what was written.
  ///
  /// - Throws: `StoreError.moved` when the path leads elsewhere, or to a trace that does not have all of the run.
  func reader() throws -> TraceReader {
    let (path, hasLeft) = queue.sync { (recorder.file, identity?.hasLeft(recorder.file) ?? false) }
    let moved = StoreError.moved(file: path, run: recorder.run, rescued: nil)
    if hasLeft { throw moved }
    let trace = try TraceReader(file: path)
    do {
      if try trace.run(.id(recorder.run)).tokenCount == committedTokens { return trace }
    } catch StoreError.noSuchRun {}
    throw moved
  }

  private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
    condition.lock()
    defer { condition.unlock() }
    return try body()
  }

  // MARK: The engine's side

  func receive(_ pass: RoutingPass) throws {
    let tokens = pass.tokens.count
    let bytes = pass.approximateBytes
    try locked {
      while failure == nil && !isClosed && outstandingTokens > 0
        && (outstandingTokens + tokens > options.commitTokens || outstandingBytes + bytes > options.commitBytes)
      {
        someoneWaits = true
        scheduleDrain()
        condition.wait()
      }
      if let failure { throw failure }
      if isClosed { throw StoreError.writerClosed(file: recorder.file) }
      inbox.append(pass)
      outstandingTokens += tokens
      outstandingBytes += bytes
      scheduleDrain()
    }
  }

  func append(sequences: [SequenceDescription]) throws {
    try locked {
      if let failure { throw failure }
      if isClosed { throw StoreError.writerClosed(file: recorder.file) }
    }
    queue.sync { recorder.append(sequences: sequences) }
  }

  func count(_ loads: [RouterID: [Int]], tokens: Int) throws {
    try locked {
      if let failure { throw failure }
      if isClosed { throw StoreError.writerClosed(file: recorder.file) }
    }
    queue.sync { recorder.count(loads, tokens: tokens) }
  }

  func note(_ findings: [ImportFinding]) throws {
    try locked {
      if let failure { throw failure }
      if isClosed { throw StoreError.writerClosed(file: recorder.file) }
    }
    queue.sync { recorder.note(findings) }
  }

  func inherit(_ checks: InheritedChecks) throws {
    try locked {
      if let failure { throw failure }
      if isClosed { throw StoreError.writerClosed(file: recorder.file) }
    }
    queue.sync { recorder.inherit(checks) }
  }

  /// Stored with the next commit.
  func revise(_ change: @escaping @Sendable (inout RunDescription) -> Void) {
    queue.async { [self] in
      recorder.revise(change)
      if uncommittedSince == nil { uncommittedSince = .now() }
    }
  }

  func flush() throws {
    queue.sync {
      drain()
      commit()
    }
    if let failure = locked({ failure }) { throw failure }
  }

  func finish(_ outcome: RunOutcome) throws {
    let wasClosed = locked {
      defer { isClosed = true }
      condition.broadcast()
      return isClosed
    }
    if wasClosed { throw StoreError.writerClosed(file: recorder.file) }
    try queue.sync { try close(outcome) }
  }

  /// The writer is gone without having been finished: keep what there is.
  func abandon() {
    let wasClosed = locked {
      defer { isClosed = true }
      return isClosed
    }
    if wasClosed { return }
    queue.async { try? self.close(.failed(reason: "the run was abandoned")) }
  }

  // MARK: The queue's side

  /// Called while `condition` is locked.
  private func scheduleDrain() {
    if isDraining { return }
    isDraining = true
    queue.async { self.drain() }
  }

  private func drain() {
    while true {
      let (passes, isUrgent) = locked {
        defer {
          inbox.removeAll(keepingCapacity: true)
          someoneWaits = false
        }
        if inbox.isEmpty { isDraining = false }
        return (inbox, someoneWaits)
      }
      if locked({ failure != nil }) { return }
      for pass in passes {
        do { try recorder.add(pass) } catch { return fail(error) }
        uncommittedBytes += pass.approximateBytes
        if uncommittedSince == nil { uncommittedSince = .now() }
        if recorder.uncommittedTokens >= options.commitTokens / 2 || uncommittedBytes >= options.commitBytes / 2 { commit() }
      }
      if isUrgent { commit() }
      if passes.isEmpty { return }
    }
  }

  private func tick() {
    if locked({ failure != nil }) { return }
    let now = DispatchTime.now()
    if let since = uncommittedSince, seconds(since, now) >= options.commitInterval / 2 {
      commit()
    } else if seconds(lastWrite, now) >= 10 * options.commitInterval {
      do {
        try followFile()
        try recorder.beat(now: options.clock())
      } catch { fail(error) }
      lastWrite = now
    }
  }

  /// Goes on in a copy when the path leads elsewhere by now.
  private func followFile() throws {
    guard let identity, identity.hasLeft(recorder.file) else { return }
    let lost = recorder.file
    self.identity = nil
    let copy = TraceRescue.save(database, of: lost)
    try? database.close()
    guard let copy else { throw StoreError.moved(file: lost, run: recorder.run, rescued: nil) }
    database = try TraceFile.openForWriting(copy, busyTimeout: options.busyTimeout)
    recorder.move(to: database, file: copy)
    self.identity = FileIdentity(copy)
    locked {
      moved = .moved(file: lost, run: recorder.run, rescued: copy)
      path = copy
    }
  }

  private func commit() {
    if uncommittedSince == nil || locked({ failure != nil }) { return }
    do {
      try followFile()
      try recorder.commit(now: options.clock())
    } catch { return fail(error) }
    lastWrite = .now()
    uncommittedSince = nil
    let bytes = uncommittedBytes
    uncommittedBytes = 0
    locked {
      outstandingTokens -= recorder.tokenCount - committed
      outstandingBytes -= bytes
      committed = recorder.tokenCount
      condition.broadcast()
    }
  }

  private func fail(_ error: any Error) {
    locked {
      if failure == nil { failure = error }
      isDraining = false
      condition.broadcast()
    }
  }

  private func close(_ outcome: RunOutcome) throws {
    drain()
    timer?.cancel()
    timer = nil
    let failure = locked { self.failure }
    do {
      try followFile()
      // After a failure the recorder still holds what it could not write; the cause may be gone by now.
      try recorder.commit(now: options.clock(), outcome: failure.map { .failed(reason: "\($0)") } ?? outcome)
      locked { committed = recorder.tokenCount }
      try StoreError.translating(recorder.file) { try TraceFile.settle(database) }
    } catch {
      try? database.close()
      throw failure ?? error
    }
    try StoreError.translating(recorder.file) { try database.close() }
    if let failure { throw failure }
  }

  private func seconds(_ from: DispatchTime, _ to: DispatchTime) -> Double {
    Double(to.uptimeNanoseconds &- from.uptimeNanoseconds) / 1e9
  }
}

extension RoutingPass {
  /// Memory the pass holds, without headers.
  var approximateBytes: Int {
    var bytes = tokens.count * 21
    for batch in batches {
      bytes += batch.selectedExperts.count * 8 + batch.count * 16 + batch.importanceSum.count * 8
      if let logits = batch.logits { bytes += logits.values.count * 4 }
    }
    return bytes
  }
}
