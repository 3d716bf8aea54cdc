// The sink that keeps a run. The engine hands over a pass and goes on; packing, auditing and committing happen on a queue of their own.
// Bounded: an engine faster than the disk waits. Durable: what was received is on disk within a second or 4,096 tokens, also when the
// stream pauses, and a process that dies leaves a trace that is whole up to its last commit. A file that is removed or replaced meanwhile
// takes nothing with it: the run goes on in a copy, and `relocation` says so.

import Dispatch
import Foundation
import GRDB
import Routing

/// Records one run into a trace file, which is created or appended to.
///
///     let writer = try TraceWriter(file: path, description: description, sequences: sequences, pieces: { tokenizer.bytes(of: $0) })
///     try engine.run(input, into: writer)
///     try writer.finish(.completed)
///
/// Errors of the background surface at the next `receive`, and at `finish`.
public final class TraceWriter: RoutingSink, Sendable {
  public struct Options: Sendable {
    /// Seconds to wait for another process that writes to the same trace.
    public var busyTimeout = 5.0
    /// What was received is on disk after this many seconds at the latest.
    public var commitInterval = 1.0
    /// Tokens that may be received and not yet on disk; a larger pass is committed by itself.
    public var commitTokens = 4096
    /// Bytes of passes that may wait in memory.
    public var commitBytes = 64 << 20
    /// Makes the directory of the file, with its parents, when it is missing.
    public var createsDirectory = false
    public var process = ProcessIdentity.current
    /// Seconds since 1970.
    public var clock: @Sendable () -> Double = { Date().timeIntervalSince1970 }

    public init() {}
  }

  /// Id of the run in its trace.
  public let run: Int64
  /// What `RunDescription.recording` asks of the engine.
  public let demand: RoutingDemand
  private let worker: WriterWorker

  /// Begins a run.
  ///
  /// - Parameters:
  ///   - sequences: those already known, in the order of their numbers; more may follow by `append(sequences:)`.
  ///   - intervention: the rules that the description tells of, for the checks that decide again.
  ///   - pieces: the bytes of a vocabulary entry, for tokens as text; asked once per id, on the writer's queue.
  /// - Throws: `StoreError`; `RoutingError.invalidSpec` when a router's description cannot be a router.
  public init(
    file: String, description: RunDescription, sequences: [SequenceDescription] = [], intervention: Intervention? = nil,
    pieces: @escaping @Sendable (Int32) -> [UInt8]? = { _ in nil }, options: Options = Options()
  ) throws {
    if !description.name.isEmpty { try RunName.check(description.name) }
    let recording = description.recording
    demand = RoutingDemand(
      statistics: true, logitsEvery: recording.content == .full ? recording.logitsEvery : nil, extras: recording.extras)
    if options.createsDirectory { try TraceFile.createDirectory(of: file) }
    var options = options
    // Counts take no more room for more tokens: only time asks for a commit.
    if recording.content == .counts { options.commitTokens = max(options.commitTokens, 1 << 20) }
    let database = try TraceFile.openForWriting(file, busyTimeout: options.busyTimeout)
    let recorder = try RunRecorder(
      database: database, file: file, description: description, sequences: sequences, intervention: intervention, process: options.process,
      now: options.clock(), pieces: pieces)
    run = recorder.run
    worker = WriterWorker(recorder: recorder, database: database, options: options)
    worker.start()
  }

  deinit { worker.abandon() }

  /// The trace that is written: the one asked for, or a copy of it when that was removed or replaced.
  public var file: String { worker.file }

  /// `StoreError.moved` when the run is in another file than it was begun in.
  public var relocation: StoreError? { worker.relocation }

  /// Opens what was written.
  ///
  /// - Throws: `StoreError.moved` when another file is at the path by now.
  public func reader() throws -> TraceReader { try worker.reader() }

  /// Tokens on disk so far.
  public var committedTokens: Int { worker.committedTokens }

  /// Takes a pass; waits when the disk is behind.
  ///
  /// - Throws: what went wrong in the background since the last call.
  public func receive(_ pass: RoutingPass) throws { try worker.receive(pass) }

  /// Describes further sequences of the run, before or after their tokens come.
  public func append(sequences: [SequenceDescription]) throws { try worker.append(sequences: sequences) }

  /// Changes what is said about the run: facts that become known only while it goes on. Its routers stay as they are.
  public func revise(_ change: @escaping @Sendable (inout RunDescription) -> Void) { worker.revise(change) }

  /// Takes assignments by expert, of a run of which nothing else is known.
  ///
  /// - Parameter tokens: that were counted.
  public func count(_ loads: [RouterID: [Int]], tokens: Int) throws { try worker.count(loads, tokens: tokens) }

  /// Says what was found out about a record that another program made; replaces what was said before.
  public func note(_ findings: [ImportFinding]) throws { try worker.note(findings) }

  /// Lets what was found out about the runs that this one is joined of count beside what is found out anew.
  func inherit(_ checks: InheritedChecks) throws { try worker.inherit(checks) }

  /// Returns when everything received so far is on disk.
  public func flush() throws { try worker.flush() }

  /// Ends the run and closes the file.
  ///
  /// - Throws: what went wrong in the background; the run is then closed as failed, as far as that is possible.
  public func finish(_ outcome: RunOutcome) throws { try worker.finish(outcome) }
}
