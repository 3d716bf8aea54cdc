// `moetop run` for models that denoise images: which samples, how they are made, what is recorded of them, and the picture of the result.

import ArgumentParser
import Formats
import Model
import Routing
import Store

struct DenoisingOptions: ParsableArguments {
  @Option(
    name: .customLong("class"), help: ArgumentHelp("Class to make, by name or number; repeatable (default: each).", valueName: "class"))
  var classes: [String] = []
  @Option(help: ArgumentHelp("Samples to make, the classes in turn (default: one of each).", valueName: "n")) var images: Int?
  @Option(help: ArgumentHelp("Denoising steps (default: as the model's authors sample).", valueName: "n")) var steps: Int?
  @Option(
    help: ArgumentHelp(
      "Factor of classifier-free guidance; 1: none (default: as the model's authors sample, or none without a second branch).",
      valueName: "factor"))
  var cfg: Float?
  @Option(help: "\(SamplingRule.names) (default: the model's).") var sampler: String?
  @Option(help: ArgumentHelp("Take the noise from this safetensors file instead of the seed.", valueName: "file")) var noise: String?

  func validate() throws {
    for (name, value) in [("--images", images), ("--steps", steps)] {
      if let value, value < 1 { throw ValidationError("\(name): expected at least 1, found \(value)") }
    }
    if let cfg, !cfg.isFinite { throw ValidationError("--cfg: expected a number, found \(cfg)") }
    if let sampler, SamplingRule(name: sampler) == nil {
      throw ValidationError("--sampler: expected one of \(SamplingRule.names), found \(sampler)")
    }
  }

  /// The first option that was given, as the user wrote it.
  var given: String? {
    [
      ("--class", !classes.isEmpty), ("--images", images != nil), ("--steps", steps != nil), ("--cfg", cfg != nil),
      ("--sampler", sampler != nil), ("--noise", noise != nil),
    ].first { $0.1 }?.0
  }

  /// What is to be denoised, and from which noise.
  func request(_ model: DenoisingModel, seed: UInt64, batch: Int? = nil) throws -> (DenoisingRequest, noise: NoiseSource?) {
    let request = try settings(model, seed: seed, batch: batch)
    return (request, try noise.map { NoiseSource.given(try GivenNoise(SafetensorsFile(path: $0), for: request, of: model)) })
  }

  private func settings(_ model: DenoisingModel, seed: UInt64, batch: Int?) throws -> DenoisingRequest {
    let chosen = try classes.isEmpty ? Array(0..<model.classCount) : classes.map { try Self.index(of: $0, in: model) }
    let guidance = cfg ?? model.usualGuidance
    return try DenoisingRequest(
      model, classes: (0..<(images ?? chosen.count)).map { chosen[$0 % chosen.count] }, rule: sampler.flatMap { SamplingRule(name: $0) },
      steps: steps, guidance: guidance == 1 ? nil : guidance, seed: seed, batch: batch)
  }

  private static func index(of name: String, in model: DenoisingModel) throws -> Int {
    if let index = model.classNames.firstIndex(of: name) ?? Int(name), index >= 0, index < model.classCount { return index }
    let names = model.classNames.isEmpty ? "" : " or one of \(model.classNames.joined(separator: ", "))"
    throw ModelError.badOption(name: "--class", expected: "0 to \(model.classCount - 1)\(names)", found: name)
  }
}

struct PictureOptions: ParsableArguments {
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Write the samples: FILE.png, one picture; FILE.safetensors, latents and classes.", valueName: "file"))
  var output: String?

  func validate() throws {
    if let output, !output.hasSuffix(".png"), !output.hasSuffix(".safetensors") {
      throw ValidationError("--output: expected a name that ends in .png or .safetensors, found \(output)")
    }
  }
}

extension DenoisingRequest {
  /// As a run says it: `ddpm, 50 steps, guidance 1.50`.
  var summary: String {
    let guidance = guidance.map { "guidance \(Show.fixed(Double($0), 2))" } ?? "no guidance"
    return "\(rule.name), \(steps) steps, \(guidance)"
  }
}

extension [SequenceDescription] {
  /// The samples of a request, as a run names them.
  init(samplesOf request: DenoisingRequest, _ model: DenoisingModel) {
    self = request.classes.enumerated().map { SequenceDescription(name: "sample \($0)", labels: ["class": model.className($1)]) }
  }
}

extension Run {
  /// Makes images and records the routing of every patch at every step.
  func denoise() throws {
    guard input.isEmpty else { throw ValidationError("this model makes images: expected --class, found a text") }
    if recording.noIds { throw ValidationError("--no-ids: rows of a model that makes images are patches, which have no token ids") }
    if recording.level.extras.contains(.predicted) {
      throw ValidationError("--record \(recording.record): a model that denoises images predicts no token")
    }
    let model = try engine.openDenoising(model)
    // Known before anything is read, not after the work.
    if let output = pictures.output {
      let trace = recording.noTrace ? [] : TraceLocation.files(of: recording.trace ?? traces.defaultTrace)
      try OutputFile.check(output, reading: (images.noise.map { [$0] } ?? []) + ModelFiles.at(self.model) + trace)
    }
    if recording.routingOnly {
      throw ValidationError("--routing-only: this model makes images, and each step begins with all that came out of the one before")
    }
    let (request, noise) = try images.request(model, seed: generation.seed, batch: batching.batch)
    let pass = DenoisingPass(model, threads: engine.threads)
    let denoiser = Denoiser(pass, request, noise: noise)
    if !quiet {
      let assumptions = model.assumed.map { "\($0.key) = \($0.value) is assumed; the file does not say" }
      for note in model.notes + assumptions { StandardError.write("note: \(note)\n") }
    }
    let samples = [SequenceDescription](samplesOf: request, model)
    let intervention = try rules.intervention(on: model, layout: denoiser.layout, samples: samples, seed: request.seed, traces: traces)
    pass.intervention = intervention
    var writer: TraceWriter?
    let hashing = IdentityHashing()
    if !recording.noTrace {
      let description = RunDescription(
        name: recording.name ?? "", model: model.identity, routers: intervention?.described(model.routers) ?? model.routers,
        input: InputIdentity(source: images.noise ?? "seed \(request.seed)", hash: ""), recording: recording.level,
        sampling: request.summary, seed: request.seed,
        engine: engine.identity(threads: pass.threadCount), startedAt: wallClock(),
        tags: recording.tags, denoising: denoiser.layout, intervention: intervention?.rules.text)
      let opened = try recording.open(
        description, sequences: samples, intervention: intervention, traces: traces, pieces: { _ in nil })
      hashing.begin(model, known: DataFolder.knownHashes) { identity in opened.revise { $0.model = identity } }
      writer = opened
    }
    var outcome = DenoisingResult(model: model, request: request, rules: intervention?.rules.text)
    do {
      var progress = Progress("denoising", enabled: !noProgress && !quiet)
      defer { progress.finish() }
      let start = steadyClock()
      while !denoiser.isFinished, Interruption.signal == nil {
        let ended = try denoiser.advance(sink: writer)
        outcome.passes += 1
        outcome.sampleSteps += denoiser.group.count
        progress.update(done: outcome.sampleSteps, of: request.classes.count * request.steps, unit: "steps")
        if ended, pictures.output != nil { outcome.keep(denoiser) }
        if ended { outcome.samples += denoiser.group.count }
      }
      outcome.seconds = steadyClock() - start
      outcome.outputs = denoiser.outputs
      progress.finish()
      finish(hashing, of: model.facts().weightBytes)
      try model.requireUnwritten()
      try writer?.finish(Interruption.signal == nil ? .completed : .stopped)
    } catch {
      try? writer?.finish(.failed(reason: Failure.message(of: error)))
      throw error
    }
    outcome.trace = try writer.map { try TraceSummary($0) }
    if let output = pictures.output { try outcome.write(to: output) }
    if !quiet { StandardOutput.write(json ? outcome.json : outcome.text) }
    try conclude(outcome.trace, moved: writer?.relocation, broken: outcome.brokenOutputs)
  }
}

/// What a denoising run did, for people and for scripts.
struct DenoisingResult {
  let model: DenoisingModel
  let request: DenoisingRequest
  /// What changed routing, as it was written.
  let rules: String?
  var samples = 0
  var passes = 0
  /// Steps of samples: a pass with four samples counts four.
  var sampleSteps = 0
  var seconds = 0.0
  /// What came of the steps, in rows.
  var outputs = OutputTally()
  var trace: TraceSummary?
  /// `[samples, channels, inputSize, inputSize]`: those to be written.
  private var latents: [Float] = []
  private var output: String?

  init(model: DenoisingModel, request: DenoisingRequest, rules: String?) {
    self.model = model
    self.request = request
    self.rules = rules
  }

  /// What is wrong with the images, in words; nil when they are all numbers.
  var brokenOutputs: String? {
    guard outputs.notFiniteRows > 0 else { return nil }
    return "\(brokenSteps) of \(sampleSteps) steps of a sample left an image that is not finite"
  }

  private var brokenSteps: Int { outputs.notFiniteRows * sampleSteps / max(1, outputs.rows) }

  var stepsPerSecond: Double { seconds > 0 ? Double(sampleSteps) / seconds : 0 }

  mutating func keep(_ denoiser: Denoiser) { latents += denoiser.latents }

  /// - Throws: `FormatError.system` when the file cannot be written, `Failure` for a picture that PNG cannot hold.
  mutating func write(to path: String) throws {
    if path.hasSuffix(".png") { try writePicture(to: path) } else { try writeTensors(to: path) }
    output = path
  }

  private func writeTensors(to path: String) throws {
    let classes = request.classes.prefix(samples).map { Int32($0) }
    let writer = try SafetensorsWriter(
      path: path,
      tensors: [
        .init("latent", .f32, [samples, model.channels, model.inputSize, model.inputSize]), .init("class", .i32, [samples]),
      ], metadata: notes)
    try writer.append(latents, to: "latent")
    try writer.append(classes, to: "class")
    try writer.finish()
  }

  private var notes: [(key: String, value: String)] {
    let guidance = request.guidance.map { "\($0)" } ?? "none"
    return [
      ("Software", "moetop \(Version.number)"), ("Title", model.name),
      ("Comment", "\(request.rule.name), \(request.steps) steps, guidance \(guidance), seed \(request.seed)"),
    ]
  }

  /// A column a class where several come round again and again, else as many columns as rows.
  static func columns(_ classes: [Int]) -> Int {
    let round = Set(classes).count
    let comesRound = classes.indices.allSatisfy { classes[$0] == classes[$0 % max(1, round)] }
    if comesRound, round > 1, round <= 16, classes.count % round == 0, classes.count > round { return round }
    return Int(Double(classes.count).squareRoot().rounded(.up))
  }

  private func writePicture(to path: String) throws {
    let size = latents.count / max(1, samples)
    let pictures = (0..<samples).map { model.picture(of: latents[$0 * size..<($0 + 1) * size]) }
    let whole = Picture.grid(pictures, columns: Self.columns(Array(request.classes.prefix(samples))))
    try PNGFile.write(pixels: whole.pixels, width: whole.width, height: whole.height, notes: notes, to: path)
  }

  var text: String {
    var lines: [String] = []
    let policy = model.routers.first.map { "\(model.layerCount) layers, \($0.spec.summary)" } ?? "\(model.layerCount) layers, no router"
    lines.append("model    \(Show.line(model.name))  \(policy)")
    if let rules { lines.append("rules    \(Show.line(rules))") }
    let branches = request.guidance == nil ? "no guidance" : "2 branches"
    lines.append(
      "made     \(samples) of \(request.classes.count) samples, \(request.steps) steps of \(request.rule.name), \(branches)  "
        + "\(Show.fixed(stepsPerSecond, 1)) steps/s  \(Show.fixed(seconds, 2)) s")
    if let brokenOutputs { lines.append("broken   \(brokenOutputs)") }
    if let output {
      let isLikeness = output.hasSuffix(".png") && !model.worksOnPixels
      lines.append("images   \(Show.line(output))" + (isLikeness ? "  (a linear likeness of the latents, not decoded)" : ""))
    }
    if let trace { lines += trace.lines }
    return lines.joined(separator: "\n") + "\n"
  }

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.run/1")
      writer.member("model", model.name)
      if let rules { writer.member("intervention", rules) }
      writer.member("denoising") { writer in
        writer.object { writer in
          writer.member("samples", samples)
          writer.member("classes", request.classes)
          writer.member("sampler", request.rule.name)
          writer.member("steps", request.steps)
          writer.member("guidance", request.guidance.map(Double.init))
          writer.member("seconds", seconds)
          writer.member("steps_per_second", stepsPerSecond)
          writer.member("not_finite_steps", brokenSteps)
        }
      }
      writer.member("images", output)
      if let trace { trace.write(to: &writer) }
    }
    return writer.text + "\n"
  }
}
