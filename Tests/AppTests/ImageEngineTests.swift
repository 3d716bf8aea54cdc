// The engine of a live session on a model that makes images: what it tells, that it routes as the command does, and what it records.

import Model
import Routing
import Store
import Support
import Testing

@testable import App

struct ImageEngineTests {
  private static let path = Fixtures.root + "/Tests/Fixtures/dit/timm"

  private final class Told {
    var events: [EngineEvent] = []
    var passes: [RoutingPass] { parts.map(\.pass) }
    var parts: [StreamPart] { events.compactMap { if case .streamed(let part) = $0 { part } else { nil } } }
    var began: [SequenceDescription] { events.compactMap { if case .began(let description) = $0 { description } else { nil } } }
    var idle: [String] { events.compactMap { if case .idle(let reason) = $0 { reason } else { nil } } }
  }

  private func core(_ told: Told, recording: SessionRecorder.Plan? = nil) throws -> EngineCore {
    try EngineCore(
      modelPath: Self.path, options: .none, denoising: DenoisingSettings(steps: 4, guidance: nil), recording: recording
    ) { told.events.append($0) }
  }

  private func opened(_ told: Told) throws -> EngineSummary {
    guard case .opened(let summary)? = told.events.first else { throw Failure(.failed, "not opened") }
    return summary
  }

  @Test func makesOneClassAfterTheOther() throws {
    let told = Told()
    let core = try core(told)
    let summary = try opened(told)
    let images = try #require(summary.images)
    #expect(images.classNames == ["0", "1", "2", "3", "4"] && images.layout.stepCount == 4 && images.layout.branchCount == 2)
    #expect(!summary.readsText && !core.isBusy)
    core.take(.feed(.classes(try #require(ClassFeed(Array(images.classNames.indices), seed: 7)))))
    for _ in 0..<10 {
      core.advance()
      core.handOver()
    }
    #expect(told.began.map(\.name) == ["seed 7", "seed 8", "seed 9"] && told.began.map { $0.labels["class"] } == ["0", "1", "2"])
    let rows = images.layout.branchCount * images.layout.patchCount
    #expect(told.passes.map(\.tokens.firstToken) == (0..<10).map { $0 * rows })
    #expect(told.parts.allSatisfy { $0.pictures.count == 1 && $0.pictures[0].row == $0.pass.tokens.firstToken })
    #expect(told.parts.allSatisfy { $0.pictures[0].current.width == images.side && $0.pass.tokens.phase.allSatisfy { $0 == .denoise } })
    #expect(told.passes[8].tokens.sequence.allSatisfy { $0 == 2 } && told.passes[8].tokens.position.first == 0)
  }

  /// The same class and seed route as in the command.
  @Test func routesAsTheCommandDoes() throws {
    let told = Told()
    let core = try core(told)
    core.take(.denoise(SampleRequest(classIndex: 3, seed: 11)))
    while core.isBusy {
      core.advance()
      core.handOver()
    }
    #expect(told.idle == ["done"])
    let model = try DenoisingModel(path: Self.path)
    let request = try DenoisingRequest(model, classes: [3], steps: 4, guidance: model.usualGuidance, seed: 11)
    let denoiser = Denoiser(DenoisingPass(model), request)
    let sink = Collector()
    while !denoiser.isFinished { _ = try denoiser.advance(sink: sink) }
    let live = told.passes.flatMap { $0.batches.flatMap(\.selectedExperts) }
    #expect(!live.isEmpty && live == sink.passes.flatMap { $0.batches.flatMap(\.selectedExperts) })
    #expect(told.parts.last?.pictures.last?.current == model.picture(of: denoiser.latents[...]))
  }

  private final class Collector: RoutingSink {
    var passes: [RoutingPass] = []
    let demand = RoutingDemand(logitsEvery: 1)
    func receive(_ pass: RoutingPass) { passes.append(pass) }
  }

  @Test func isCancelledAndRefusesText() throws {
    let told = Told()
    let core = try core(told)
    core.take(.denoise(SampleRequest(classIndex: 1, seed: 1)))
    core.advance()
    core.take(.cancel)
    #expect(!core.isBusy && told.idle == ["cancelled"])
    core.take(.read([]))
    core.advance()
    #expect(told.events.contains { if case .refused(let text) = $0 { text.contains("makes images") } else { false } })
    // The next sample follows in the run, after a part of one.
    core.take(.denoise(SampleRequest(classIndex: 2, seed: 2)))
    core.advance()
    core.handOver()
    let next = try #require(told.passes.last)
    #expect(next.tokens.sequence.first == 1 && next.tokens.firstToken == told.passes[0].tokens.count)
  }

  @Test func recordsTheLayoutAndTheClasses() throws {
    let folder = try TemporaryDirectory()
    let told = Told()
    let plan = SessionRecorder.Plan(
      file: folder.file("live.db"), createsDirectory: false, source: "seed 7",
      sampling: SessionSettings(engine: .none, traces: .none).sampling,
      startedAt: 0)
    let core = try core(told, recording: plan)
    let images = try #require(try opened(told).images)
    core.take(.feed(.classes(try #require(ClassFeed([4, 2], seed: 7)))))
    for _ in 0..<8 {
      core.advance()
      core.handOver()
    }
    core.shutDown(.completed)
    let reader = try TraceReader(file: plan.file)
    let run = try #require(try reader.runs().first)
    #expect(run.description.denoising == images.layout && run.description.sampling == images.sampling && run.state == .completed)
    #expect(run.tokenCount == 2 * images.layout.rowsPerSample)
    #expect(try reader.sequences(run: run.id).map { $0.labels["class"] } == ["4", "2"])
    #expect(run.failedChecks.isEmpty)
    let counts = try #require(try reader.denoisingCounts(of: run))
    #expect(counts.samples == [0, 1])
  }
}
