// Keeps a live session as a run of a trace. A disk that is full or a trace that is locked must not end what one is looking at: the
// first failure ends the recording, is shown, and the session goes on without it.

import Foundation
import Model
import Routing
import Store

final class SessionRecorder: RoutingSink {
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

  /// Raw logits go to the screens only; a trace keeps ids, weights and statistics.
  let demand = RoutingDemand()
  private var writer: TraceWriter?
  private(set) var status: RecordingStatus
  private var reported: RecordingStatus?

  init(_ plan: Plan, model: LanguageModel, threads: Int, pieces: @escaping @Sendable (Int32) -> [UInt8]?) {
    do {
      var options = TraceWriter.Options()
      options.createsDirectory = plan.createsDirectory
      let description = RunDescription(
        name: "", model: try model.identity(), routers: model.routers, input: InputIdentity(source: plan.source, hash: ""),
        recording: RecordingLevel(), sampling: plan.sampling.description, seed: plan.sampling.seed,
        engine: EngineIdentity(version: Version.number, simd: Engine.simdLevel, threads: threads), startedAt: plan.startedAt,
        tags: ["live"])
      let writer = try TraceWriter(file: plan.file, description: description, pieces: pieces, options: options)
      self.writer = writer
      status = .active(file: plan.file, run: writer.run, tokens: 0, bytes: 0)
    } catch {
      status = .failed(message: Failure.message(of: error))
    }
    reported = status
  }

  func begin(_ description: SequenceDescription) {
    guarded { try $0.append(sequences: [description]) }
  }

  func receive(_ pass: RoutingPass) {
    guarded { try $0.receive(pass) }
  }

  func finish() {
    guarded { try $0.finish(.completed) }
    writer = nil
  }

  /// The status when it is another one than at the last call.
  var changedStatus: RecordingStatus? {
    if case .active(let file, let run, let tokens, let bytes) = status, let writer, writer.committedTokens != tokens {
      let now = Self.size(of: file) + Self.size(of: file + "-wal")
      status = .active(file: file, run: run, tokens: writer.committedTokens, bytes: max(now, bytes))
    }
    guard status != reported else { return nil }
    reported = status
    return status
  }

  private func guarded(_ body: (TraceWriter) throws -> Void) {
    guard let writer else { return }
    do {
      try body(writer)
    } catch {
      self.writer = nil
      status = .failed(message: Failure.message(of: error))
    }
  }

  private static func size(of file: String) -> Int {
    (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) ?? 0
  }
}
