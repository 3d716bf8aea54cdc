// A live session on its way to the disk: one bounded queue, whoever is faster waits, and nothing is kept of a session that showed nothing.

import Formats
import Foundation
import Model
import Routing
import Store
import Support
import Synchronization
import Terminal
import Testing

@testable import App

struct SessionRecorderTests {
  private struct NamedModel: IdentifiedModel {
    var identity: ModelIdentity {
      ModelIdentity(
        name: "m", family: "f", path: "", filesHash: "", quantization: "bf16", routerPrecision: "f32", tokenizerHash: "", layerCount: 1,
        vocabularySize: 8)
    }
    func hashing(known: KnownHashes?) -> ModelHashing { ModelHashing(identity) }
  }

  /// A disk that does nothing until it is let go.
  private final class SlowSink: SessionSink {
    let file = "a.db"
    let run: Int64 = 1
    let rows = Locked<[Int]>([])
    let gate = DispatchSemaphore(value: 0)
    let outcome = Locked<RunOutcome?>(nil)
    var committedTokens: Int { rows.withLock { $0.count } }

    func append(sequences: [SequenceDescription]) throws {}
    func receive(_ pass: RoutingPass) throws {
      gate.wait()
      gate.signal()
      rows.withLock { $0 += pass.tokens.firstToken..<pass.tokens.firstToken + pass.tokens.count }
    }
    func revise(_ change: @escaping @Sendable (inout RunDescription) -> Void) {}
    func finish(_ outcome: RunOutcome) throws { self.outcome.withLock { $0 = outcome } }
  }

  private static let summary = SyntheticSession.summary(layers: 1)
  private static func plan(_ file: String = "a.db") -> SessionRecorder.Plan {
    SessionRecorder.Plan(file: file, createsDirectory: false, source: "test", sampling: SamplingSettings(temperature: 0.8), startedAt: 0)
  }

  private func pass(_ firstToken: Int, _ count: Int) -> RoutingPass {
    var tokens = TokenTable(firstToken: firstToken)
    for row in 0..<count { tokens.append(sequence: 0, position: firstToken + row, tokenID: 1, phase: .prefill) }
    return RoutingPass(
      tokens: tokens, batches: [RoutingBatch(router: RouterID(layer: 0), expertCount: 16, topK: 2, firstToken: firstToken, count: count)])
  }

  private func wait(_ condition: () -> Bool) {
    let deadline = Date().addingTimeInterval(30)
    while !condition(), Date() < deadline { Thread.sleep(forTimeInterval: 0.005) }
  }

  /// - Parameter isOpened: whether the trace opens at once, or only when the disk is let go.
  @Test(arguments: [true, false]) func aSlowDiskIsWaitedFor(_ isOpened: Bool) throws {
    let sink = SlowSink()
    let opening = DispatchSemaphore(value: isOpened ? 1 : 0)
    let recorder = SessionRecorder(Self.plan(), model: NamedModel(), summary: Self.summary) { _ in
      opening.wait()
      return sink
    }
    let (size, count) = (256, 200)
    let given = Atomic<Int>(0)
    let engine = Thread { [self] in
      recorder.begin(SequenceDescription(name: "text"))
      for number in 0..<count {
        recorder.receive(pass(number * size, size))
        given.add(1, ordering: .relaxed)
      }
    }
    engine.start()
    // The engine stops by itself, and what it has given stays within the bound however long the disk takes.
    var last = -1
    wait {
      let now = given.load(ordering: .relaxed)
      defer { last = now }
      Thread.sleep(forTimeInterval: 0.2)
      return now == last
    }
    #expect(given.load(ordering: .relaxed) * size <= SessionRecorder.mostWaiting + 2 * size)
    #expect(recorder.tokensWaiting <= SessionRecorder.mostWaiting)
    opening.signal()
    sink.gate.signal()
    wait { given.load(ordering: .relaxed) == count }
    recorder.finish(.completed, timeout: 30)
    #expect(sink.rows.withLock { $0 } == Array(0..<size * count), "all of it, in its order")
    #expect(sink.outcome.withLock { $0 } == .completed)
  }

  @Test func aFailureEndsTheRecordingOnly() throws {
    let recorder = SessionRecorder(Self.plan(), model: NamedModel(), summary: Self.summary) { _ in throw Failure(.inputOutput, "disk full")
    }
    recorder.begin(SequenceDescription(name: "text"))
    for number in 0..<100 { recorder.receive(pass(number * 256, 256)) }
    var status: RecordingStatus?
    wait {
      status = recorder.changedStatus ?? status
      return status != nil
    }
    #expect(status == .failed(message: "disk full"))
    recorder.finish(.completed, timeout: 5)
  }

  @Test func nothingIsKeptOfNothing() throws {
    let folder = try TemporaryDirectory()
    let file = folder.file("live.db")
    let recorder = SessionRecorder(Self.plan(file), model: NamedModel(), summary: Self.summary, pieces: { _ in nil })
    recorder.begin(SequenceDescription(name: "refused before its first token"))
    recorder.finish(.completed, timeout: 5)
    #expect(!FileManager.default.fileExists(atPath: file))
  }

  /// Screens that take nothing, as on a terminal that has stopped, do not make the engine fill the memory.
  @Test func screensThatAreBehindAreWaitedFor() throws {
    let session = EngineSession(
      modelPath: Fixtures.root + "/Tests/Fixtures/dit/timm", options: .none, denoising: DenoisingSettings(steps: 2, guidance: 1),
      recording: nil, waker: .silent)
    session.start()
    let feed = try #require(ClassFeed([0, 1], seed: 1))
    session.send(.feed(.classes(feed)))
    wait { session.isFarAhead }
    Thread.sleep(forTimeInterval: 0.3)
    let first = session.takeEvents()
    #expect(first.count >= EngineSession.mostEvents && first.count < EngineSession.mostEvents + 8)
    wait { session.hasEvents }
    #expect(session.hasEvents, "and goes on when they have caught up")
    session.close(.completed, timeout: 10)
  }
}
