// Keeps a live session as a run of a trace. Provenance needs the hash of every weight, which takes a while for a large model: the run
// begins without it, and it is filled in when it is known. A disk that is full or a trace that is locked must not end what one is
// looking at: the first failure ends the recording, is shown, and the session goes on without it.

import Dispatch
import Foundation
import Model
import Routing
import Store
import Synchronization

final class SessionRecorder: Sendable {
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

  private struct State: Sendable {
    var writer: TraceWriter?
    var status = RecordingStatus.starting
    var reported = RecordingStatus.starting
    /// What the model was given, sequence by sequence: the run's input, hashed at its end.
    var given: [TokenSequence] = []
  }

  private let state = Mutex(State())
  private let queue = DispatchQueue(label: "moetop.recorder")
  private let hashing = IdentityHashing()

  /// Whether the run has an input of tokens.
  private let readsText: Bool

  init(_ plan: Plan, model: any IdentifiedModel, summary: EngineSummary, pieces: @escaping @Sendable (Int32) -> [UInt8]?) {
    readsText = summary.images == nil
    queue.async { [self] in
      do {
        var options = TraceWriter.Options()
        options.createsDirectory = plan.createsDirectory
        let description = RunDescription(
          name: "", model: model.identity, routers: summary.routers, input: InputIdentity(source: plan.source, hash: ""),
          recording: RecordingLevel(), sampling: summary.images?.sampling ?? plan.sampling.description, seed: plan.sampling.seed,
          engine: EngineIdentity(version: Version.number, simd: summary.simd, threads: summary.threads), startedAt: plan.startedAt,
          tags: ["live"], denoising: summary.images?.layout)
        let writer = try TraceWriter(file: plan.file, description: description, pieces: pieces, options: options)
        state.withLock { $0.writer = writer }
        state.withLock { $0.status = .active(file: plan.file, run: writer.run, tokens: 0, bytes: 0) }
      } catch {
        fail(error)
      }
    }
    hashing.begin(model) { [self] identity in guarded { $0.revise { $0.model = identity } } }
  }

  func begin(_ description: SequenceDescription) {
    guarded { [self] writer in
      state.withLock { $0.given.append(TokenSequence(description, tokens: [])) }
      try writer.append(sequences: [description])
    }
  }

  /// Takes decisions; raw logits go to the screens only.
  func receive(_ pass: RoutingPass) {
    var pass = pass
    for index in pass.batches.indices { pass.batches[index].logits = nil }
    guarded { [self, pass] writer in
      state.withLock { state in
        for (row, phase) in pass.tokens.phase.enumerated() where phase == .prefill {
          state.given[Int(pass.tokens.sequence[row])].tokens.append(pass.tokens.tokenID[row])
        }
      }
      try writer.receive(pass)
    }
  }

  /// Ends the run; waits so long at most for what is still on its way.
  func finish(_ outcome: RunOutcome, timeout seconds: Double) {
    _ = hashing.wait(seconds: 1)
    let ended = DispatchSemaphore(value: 0)
    queue.async { [self] in
      let (writer, given) = state.withLock { ($0.writer, $0.given) }
      if readsText { writer?.revise { $0.input.hash = given.inputHash } }
      do { try writer?.finish(outcome) } catch { fail(error) }
      state.withLock { $0.writer = nil }
      ended.signal()
    }
    _ = ended.wait(timeout: .now() + seconds)
  }

  /// The status when it is another one than at the last call.
  var changedStatus: RecordingStatus? {
    let (now, writer) = state.withLock { ($0.status, $0.writer) }
    var status = now
    if case .active(_, let run, let tokens, let bytes) = now, let writer, writer.committedTokens != tokens {
      let size = Self.size(of: writer.file) + Self.size(of: writer.file + "-wal")
      status = .active(file: writer.file, run: run, tokens: writer.committedTokens, bytes: max(size, bytes))
    }
    return state.withLock { state in
      if case .failed = state.status { status = state.status } else { state.status = status }
      guard status != state.reported else { return nil }
      state.reported = status
      return status
    }
  }

  private func guarded(_ body: @escaping @Sendable (TraceWriter) throws -> Void) {
    queue.async { [self] in
      guard let writer = state.withLock({ $0.writer }) else { return }
      do { try body(writer) } catch { fail(error) }
    }
  }

  private func fail(_ error: any Error) {
    state.withLock { state in
      state.writer = nil
      state.status = .failed(message: Failure.message(of: error))
    }
  }

  private static func size(of file: String) -> Int {
    (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) ?? 0
  }
}
