// Keeps a live session as a run of a trace. The run begins with its first tokens: a session that showed nothing leaves nothing behind.
// Provenance needs the hash of every weight, which takes a while for a large model: the run begins without it, and it is filled in when it
// is known. A disk that is full or a trace that is locked must not end what one is looking at: the first failure ends the recording, is
// shown, and the session goes on without it. A disk that is merely slow is waited for, so what is in memory stays bounded.

import Dispatch
import Foundation
import Model
import Routing
import Store

/// Where a session is kept: a `TraceWriter`, which makes whoever is faster than the disk wait.
protocol SessionSink: Sendable {
  /// Where the trace is now; its own place may have been taken from it.
  var file: String { get }
  var run: Int64 { get }
  var committedTokens: Int { get }
  func append(sequences: [SequenceDescription]) throws
  func receive(_ pass: RoutingPass) throws
  func revise(_ change: @escaping @Sendable (inout RunDescription) -> Void)
  func finish(_ outcome: RunOutcome) throws
}

extension TraceWriter: SessionSink {}

/// `@unchecked Sendable`: everything that changes is touched only while `condition` is locked.
final class SessionRecorder: @unchecked Sendable {
  /// Where and as what to record.
  struct Plan: Sendable {
    var file: String
    /// The default trace's directory is made when it is missing.
    var createsDirectory: Bool
    /// Where the texts come from, as the user named it.
    var source: String
    var sampling: SamplingSettings
    var startedAt: Double
  }

  typealias Opening = @Sendable (RunDescription) throws -> any SessionSink

  /// Tokens that may come while the trace is being opened; whoever brings more waits until it is. Behind the opened trace there is no other
  /// queue than the writer's own.
  static let mostWaiting = 4096

  private enum Phase: Equatable {
    case nothingYet, opening, open, over
  }

  private enum Item: Sendable {
    case sequence(SequenceDescription)
    case pass(RoutingPass)
    case revision(@Sendable (inout RunDescription) -> Void)

    var tokens: Int { if case .pass(let pass) = self { pass.tokens.count } else { 0 } }
  }

  private let condition = NSCondition()
  private var phase = Phase.nothingYet
  private var sink: (any SessionSink)?
  private var waiting: [Item] = []
  private var waitingTokens = 0
  private var status = RecordingStatus.starting
  private var reported = RecordingStatus.starting
  /// What the model was given, sequence by sequence: the run's input, hashed at its end.
  private var given: [TokenSequence] = []

  private let file: String
  private let description: RunDescription
  private let open: Opening
  private let model: any IdentifiedModel
  private let hashing = IdentityHashing()
  /// Whether the run has an input of tokens.
  private let readsText: Bool

  convenience init(_ plan: Plan, model: any IdentifiedModel, summary: EngineSummary, pieces: @escaping @Sendable (Int32) -> [UInt8]?) {
    self.init(plan, model: model, summary: summary) { description in
      var options = TraceWriter.Options()
      options.createsDirectory = plan.createsDirectory
      return try TraceWriter(file: plan.file, description: description, pieces: pieces, options: options)
    }
  }

  /// - Parameter open: begins the run; called once, on another thread, when the first tokens come.
  init(_ plan: Plan, model: any IdentifiedModel, summary: EngineSummary, open: @escaping Opening) {
    (file, self.model, self.open) = (plan.file, model, open)
    readsText = summary.images == nil
    description = RunDescription(
      name: "", model: model.identity, routers: summary.routers, input: InputIdentity(source: plan.source, hash: "", bos: summary.bos),
      recording: RecordingLevel(), sampling: summary.images?.sampling ?? plan.sampling.description, seed: plan.sampling.seed,
      engine: EngineIdentity(
        version: Version.number, simd: summary.simd, threads: summary.threads, reproducible: summary.reproducible),
      startedAt: plan.startedAt,
      tags: ["live"], denoising: summary.images?.layout, beginningToken: summary.beginningToken)
  }

  // MARK: - The engine's side

  func begin(_ description: SequenceDescription) {
    locked { if phase != .over { given.append(TokenSequence(description, tokens: [])) } }
    take(.sequence(description))
  }

  /// Takes decisions; raw logits go to the screens only. Waits while the trace is being opened and behind, or its writer is.
  func receive(_ pass: RoutingPass) {
    var pass = pass
    for index in pass.batches.indices { pass.batches[index].logits = nil }
    let begins = locked {
      guard phase != .over else { return false }
      for (row, phase) in pass.tokens.phase.enumerated() where phase == .prefill {
        given[Int(pass.tokens.sequence[row])].tokens.append(pass.tokens.tokenID[row])
      }
      guard phase == .nothingYet else { return false }
      phase = .opening
      return true
    }
    if begins {
      DispatchQueue.global(qos: .userInitiated).async { self.beginRun() }
      hashing.begin(model, known: DataFolder.knownHashes) { [self] identity in take(.revision { $0.model = identity }) }
    }
    take(.pass(pass))
  }

  /// Tokens received and not yet handed to the trace.
  var tokensWaiting: Int { locked { waitingTokens } }

  private func take(_ item: Item) {
    let sink: (any SessionSink)? = locked {
      while phase == .opening, waitingTokens > 0, waitingTokens + item.tokens > Self.mostWaiting { condition.wait() }
      if phase == .nothingYet || phase == .opening {
        waiting.append(item)
        waitingTokens += item.tokens
      }
      return phase == .open ? self.sink : nil
    }
    if let sink { hand(item, to: sink) }
  }

  private func hand(_ item: Item, to sink: any SessionSink) {
    do {
      switch item {
      case .sequence(let description): try sink.append(sequences: [description])
      case .pass(let pass): try sink.receive(pass)
      case .revision(let change): sink.revise(change)
      }
    } catch { fail(error) }
  }

  /// Opens the trace and hands it what came meanwhile, in its order.
  private func beginRun() {
    let sink: any SessionSink
    do { sink = try open(description) } catch { return fail(error) }
    locked {
      self.sink = sink
      if phase == .opening { status = .active(file: file, run: sink.run, tokens: 0, bytes: 0) }
    }
    var items: [Item] = []
    repeat {
      for item in items { hand(item, to: sink) }
      items = nextItems(after: items)
    } while !items.isEmpty
  }

  /// What came while `handed` was handed over; when that is nothing, whatever comes goes to the trace directly from then on.
  private func nextItems(after handed: [Item]) -> [Item] {
    locked {
      defer { condition.broadcast() }
      guard phase == .opening else { return [] }
      waitingTokens -= handed.reduce(0) { $0 + $1.tokens }
      if waiting.isEmpty { phase = .open }
      defer { waiting = [] }
      return waiting
    }
  }

  /// Ends the run; waits so long at most for what is still on its way.
  func finish(_ outcome: RunOutcome, timeout seconds: Double) {
    guard locked({ phase }) != .nothingYet else { return }
    _ = hashing.proceed(seconds: 1)
    let ended = DispatchSemaphore(value: 0)
    DispatchQueue.global(qos: .userInitiated).async { [self] in
      let (sink, given) = locked {
        while phase == .opening { condition.wait() }
        defer { (phase, self.sink) = (.over, nil) }
        return (self.sink, self.given)
      }
      if let sink {
        if readsText { sink.revise { $0.input.hash = given.inputHash } }
        do { try sink.finish(outcome) } catch { fail(error) }
      }
      ended.signal()
    }
    _ = ended.wait(timeout: .now() + seconds)
  }

  // MARK: - Where it is

  /// The status when it is another one than at the last call.
  var changedStatus: RecordingStatus? {
    let (now, sink) = locked { (status, self.sink) }
    var fresh = now
    if case .active(_, let run, let tokens, let bytes) = now, let sink, sink.committedTokens != tokens {
      let size = Self.size(of: sink.file) + Self.size(of: sink.file + "-wal")
      fresh = .active(file: sink.file, run: run, tokens: sink.committedTokens, bytes: max(size, bytes))
    }
    return locked {
      if case .failed = status { fresh = status } else { status = fresh }
      guard fresh != reported else { return nil }
      reported = fresh
      return fresh
    }
  }

  private func fail(_ error: any Error) {
    locked {
      (phase, sink, waiting, waitingTokens) = (.over, nil, [], 0)
      status = .failed(message: Failure.message(of: error))
      condition.broadcast()
    }
  }

  private func locked<Value>(_ body: () -> Value) -> Value {
    condition.lock()
    defer { condition.unlock() }
    return body()
  }

  private static func size(of file: String) -> Int {
    (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) ?? 0
  }
}
