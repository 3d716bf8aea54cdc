// A denoising model at work: one image at a time, one denoising step a piece, and what the image looks like after each.

import Model
import Routing

/// How a session denoises: one layout holds for all of its images.
struct DenoisingSettings: Sendable, Equatable {
  /// Nil: as the model's authors sample.
  var steps: Int?
  /// Factor of classifier-free guidance; 1: none. Nil: 1.5 where the model knows a second branch.
  var guidance: Float?
}

final class ImageWork: EngineWork {
  let summary: EngineSummary
  private let model: DenoisingModel
  private let pass: DenoisingPass
  private let settings: DenoisingSettings
  private let stream = StreamJoiner(nil, vocabularySize: 0)
  private let rowsPerStep: Int
  private var denoiser: Denoiser?
  private var rowCount = 0
  private var sampleCount = 0

  /// - Throws: what opening a model throws; `ModelError.badOption` for settings that the model cannot have.
  init(path: String, options: EngineOptions, settings: DenoisingSettings) throws {
    model = try options.openDenoising(path)
    pass = DenoisingPass(model, threads: options.threads)
    self.settings = settings
    let request = try settings.request(model, classIndex: 0, seed: 0)
    let layout = Denoiser(pass, request).layout
    rowsPerStep = layout.branchCount * layout.patchCount
    let guidance = request.guidance.map { "guidance \(Show.fixed(Double($0), 2))" } ?? "no guidance"
    summary = EngineSummary(
      modelName: model.name, family: model.family, layerCount: model.layerCount, quantization: model.facts().quantization,
      simd: Engine.simdLevel, threads: pass.threadCount, routers: model.routers, contextLength: 0, readsText: false,
      images: ImageFacts(
        layout: layout, classNames: (0..<model.classCount).map(model.className), side: model.inputSize,
        showsPixels: model.worksOnPixels, sampling: "\(request.rule.name), \(request.steps) steps, \(guidance)"))
  }

  var identified: any IdentifiedModel { model }
  var pieces: @Sendable (Int32) -> [UInt8]? { { _ in nil } }

  func begin(_ request: EngineRequest, _ announce: Announce) throws {
    denoiser = nil
    guard case .denoise(let sample) = request else { throw Failure(.usage, "\(model.name) makes images: it reads no text") }
    let request = try settings.request(model, classIndex: sample.classIndex, seed: sample.seed)
    announce(SequenceDescription(name: "seed \(sample.seed)", labels: [SampleClasses.label: model.className(sample.classIndex)]))
    denoiser = Denoiser(pass, request, sequence: sampleCount, firstToken: rowCount)
    sampleCount += 1
  }

  func advance(_ announce: Announce, _ tell: TellShare) throws -> String? {
    guard let denoiser else { return "done" }
    let isWhole = try denoiser.advance(sink: stream)
    rowCount = denoiser.tokenCount
    stream.note(
      StepPicture(
        row: rowCount - rowsPerStep, current: model.picture(of: denoiser.latents[...]),
        predicted: model.picture(of: denoiser.predicted[...])))
    guard isWhole else { return nil }
    self.denoiser = nil
    return "done"
  }

  func abandon() { denoiser = nil }
  func takePart() -> StreamPart? { stream.take() }
}

extension DenoisingSettings {
  /// - Throws: `ModelError.badOption` for what the model cannot do.
  func request(_ model: DenoisingModel, classIndex: Int, seed: UInt64) throws -> DenoisingRequest {
    let guidance = guidance ?? model.usualGuidance
    return try DenoisingRequest(
      model, classes: [classIndex], steps: steps, guidance: guidance == 1 ? nil : guidance, seed: seed, batch: 1)
  }
}
