import ArgumentParser
import Formats
import Model
import Routing
import Store

/// Runs a model over an input and records its routing.
struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a model and record its routing, without a screen.",
    discussion: """
      moetop run samples/olmoe-tiny -p "def main():" --max-tokens 64
      moetop run samples/olmoe-tiny -f samples/corpus.jsonl --name baseline --trace corpus.db
      moetop run ~/models/Qwen3-30B-A3B-Q4_K_M.gguf --chat -p "Why is the sky blue?" --system "Be brief."
      moetop run samples/olmoe-tiny -f samples/corpus.jsonl --intervene 'mask 3:7; topk all=+1'
      moetop run samples/dit-moe-tiny --class star --images 16 --steps 50 --cfg 1.5 -o grid.png

      A prompt is continued; a file is read as it is (teacher-forced) unless --generate is given; a model that denoises images makes \
      images of classes. A run that is interrupted keeps every whole batch. samples/... is found beside the program from anywhere.
      """)

  @Argument(help: "Folder or GGUF file of the checkpoint, or a name that `moetop models` shows.", transform: ModelPlaces.model) var model:
    String
  @OptionGroup(title: "Input") var input: RunInputOptions
  @OptionGroup(title: "Generation") var generation: GenerationOptions
  @OptionGroup(title: "Routing") var rules: InterventionOptions
  @OptionGroup(title: "Images") var images: DenoisingOptions
  @OptionGroup(title: "Images") var pictures: PictureOptions
  @OptionGroup(title: "Batches") var batching: BatchOptions
  @OptionGroup(title: "Recording") var recording: RecordingOptions
  @OptionGroup(title: "Engine") var engine: EngineOptions
  @OptionGroup(title: "Traces") var traces: TraceOptions
  @Flag(help: "Print the result as JSON.") var json = false
  @Flag(name: .shortAndLong, help: "Print nothing but errors.") var quiet = false
  @Flag(help: "No progress line.") var noProgress = false

  func run() throws {
    Interruption.listen()
    if DenoisingModel.isAt(model) { return try denoise() }
    guard !input.isEmpty else { throw ValidationError("expected one of --prompt, --file, --tokens or --domain, found none") }
    if let option = images.given ?? pictures.output.map({ _ in "--output" }) {
      throw ValidationError("\(option): only models that denoise images have it")
    }
    let model = try engine.open(model)
    let facts = model.facts()
    if !quiet, let warning = FreeMemory.warning(weightBytes: facts.weightBytes, activeBytes: facts.activeBytes) {
      StandardError.write(warning)
    }
    let tokenizer = TokenizerSlot(model)
    let (sequences, remarks) = try input.sequences(
      bos: engine.bos, tokenizer: { try tokenizer.open() }, template: { try model.openChatTemplate() })
    for sequence in sequences { try model.check(sequence) }
    if !quiet {
      for warning in model.warnings { StandardError.write("warning: \(warning)\n") }
      for note in model.notes + remarks + model.assumptions + tokenizer.notes { StandardError.write("note: \(note)\n") }
    }
    let generates = input.prompt != nil || generation.generate
    if generates && batching.texts > 1 {
      throw ValidationError("--batch: expected texts that are read as they are; a text that is continued goes by itself")
    }
    if recording.routingOnly && batching.texts > 1 {
      throw ValidationError("--routing-only: expected texts that go by themselves, without --batch")
    }
    if generates && recording.routingOnly {
      throw ValidationError("--routing-only: expected texts that are read as they are; what follows a text comes out of the output head")
    }
    let sampling = try generation.settings()
    let intervention = try rules.intervention(on: model, texts: sequences, tokenizer: tokenizer, seed: sampling.seed, traces: traces)
    if !quiet, let note = intervention?.rules.skipped(model.routers) { StandardError.write("note: \(note)\n") }
    let forward = ForwardPass(model, threads: engine.threads)
    forward.intervention = intervention
    forward.isReproducible = engine.reproducible
    forward.isRoutingOnly = recording.routingOnly

    var writer: TraceWriter?
    let hashing = IdentityHashing()
    if !recording.noTrace {
      let description = RunDescription(
        name: recording.name ?? "", model: model.identity, routers: intervention?.described(model.routers) ?? model.routers,
        input: InputIdentity(source: input.source, hash: sequences.inputHash, bos: engine.bos.recorded), recording: recording.level,
        sampling: generates ? sampling.description : nil, seed: sampling.seed,
        engine: engine.identity(threads: forward.threadCount, routingOnly: recording.routingOnly), startedAt: wallClock(),
        tags: recording.tags, beginningToken: recording.noIds ? nil : tokenizer.beginning, intervention: intervention?.rules.text,
        batch: intervention?.countsRows == true && batching.texts > 1 ? batching.texts : nil,
        recorded: recording.noIds ? RunOrigin(withoutIDs: true) : nil)
      let opened = try recording.open(
        description, sequences: sequences.map(\.description), intervention: intervention, traces: traces, pieces: tokenizer.pieces)
      hashing.begin(model, known: DataFolder.knownHashes) { identity in opened.revise { $0.model = identity } }
      writer = opened
    }
    var outcome = RunResult(model: model, input: input.source, rules: intervention?.rules.text)
    do {
      var progress = Progress("running", enabled: !noProgress && !quiet)
      defer { progress.finish() }
      if generates {
        try outcome.generate(sequences, forward, sampling, maxTokens: generation.maxTokens, sink: writer, progress: &progress)
      } else {
        let reading = TextReadings(forward, scoring: recording.scores, batch: batching.texts, threads: engine.threads)
        try outcome.read(sequences, reading, sink: writer, progress: &progress)
      }
      progress.finish()
      finish(hashing, of: facts.weightBytes)
      try model.requireUnwritten()
      try writer?.finish(Interruption.signal == nil ? .completed : .stopped)
    } catch {
      try? writer?.finish(.failed(reason: Failure.message(of: error)))
      throw error
    }
    if let tokenizer = try? tokenizer.open() { outcome.texts = outcome.generated.map { tokenizer.decode($0, skipSpecialTokens: false) } }
    outcome.trace = try writer.map { try TraceSummary($0) }
    if !quiet { StandardOutput.write(json ? outcome.json : outcome.text) }
    try conclude(outcome.trace, moved: writer?.relocation, broken: outcome.brokenOutputs)
  }

  /// How a run ends that was carried out: not well when it was stopped, when its trace is not where it was or not a faithful record, or
  /// when what the model answered are no numbers.
  func conclude(_ trace: TraceSummary?, moved: (any Error)?, broken: String?) throws {
    if !quiet { for warning in trace?.warnings ?? [] { StandardError.write("warning: \(warning)\n") } }
    if let moved { throw moved }
    if let status = Interruption.status {
      throw Failure(status, "stopped; " + (trace == nil ? "nothing was recorded" : "the trace is whole up to here"))
    }
    if let failed = trace?.failedChecks, !failed.isEmpty {
      throw Failure(.failed, "capture checks failed, do not trust this trace:\n  \(failed.joined(separator: "\n  "))")
    }
    if let broken {
      throw Failure(
        .failed, "\(broken): NaN or infinity in the weights, or a model that leaves the range of f32\n  try: another copy of the weights")
    }
  }

  /// Lets the hash of the weights be finished, unless the run was stopped: then it stays unknown.
  func finish(_ hashing: IdentityHashing, of bytes: Int) {
    var progress = Progress("hashing", enabled: !noProgress && !quiet)
    while !hashing.proceed(seconds: 0.1), Interruption.signal == nil {
      progress.update(done: hashing.bytesRead >> 20, of: bytes >> 20, unit: "MB")
    }
    progress.finish()
  }
}

struct BatchOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Texts side by side, over all of which rules of capacity count (default: 1); of images, samples that share a pass, for speed alone.",
      valueName: "n"))
  var batch: Int?

  func validate() throws {
    if let batch, batch < 1 { throw ValidationError("--batch: expected at least 1, found \(batch)") }
  }

  /// Texts of a batch.
  var texts: Int { batch ?? 1 }
}

struct GenerationOptions: ParsableArguments {
  @Flag(help: "Continue the texts of --file or --tokens instead of only reading them.") var generate = false
  @Option(help: "Tokens to generate.") var maxTokens = 128
  @Flag(help: "Always take the most probable token (default).") var greedy = false
  @Option(help: "Sampling temperature.") var temperature: Float?
  @Option(help: "Sample from the best k tokens only.") var topK: Int?
  @Option(help: "Sample from the smallest set of best tokens with this probability.") var topP: Float?
  @Option(help: "Seed of the sampler, and of rules that draw.") var seed: UInt64 = 0

  func validate() throws {
    if greedy && (temperature != nil || topK != nil || topP != nil) {
      throw ValidationError("--greedy excludes --temperature, --top-k and --top-p")
    }
    if maxTokens < 0 { throw ValidationError("--max-tokens: expected at least 0, found \(maxTokens)") }
  }

  func settings() throws -> SamplingSettings {
    let samples = temperature != nil || topK != nil || topP != nil
    let settings = SamplingSettings(temperature: temperature ?? (samples ? 1 : 0), topK: topK, topP: topP ?? 1, seed: seed)
    try settings.validate()
    return settings
  }
}

struct RecordingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What to keep of each decision: counts (denoising), ids, weights, full or full:every=N; and beside it +norms (of experts' outputs), +shared (weight of the shared expert, with +norms its norm), +passes (numbers of pass and batch), +predicted (most probable next id), in any order.",
      valueName: "level"))
  var record = "weights"
  @Option(help: "Precision of stored weights and logits: f32 or f16 (f32 where numbers are too large for that).") var precision = "f32"
  @Option(help: ArgumentHelp("Trace file to append to (default: the default trace).", valueName: "file")) var trace: String?
  @Flag(help: "Record nothing.") var noTrace = false
  @Flag(help: "Keep no token id and no text; a hash of the input stays.") var noIds = false
  @Flag(help: "Do not compute the output head: no surprisal, faster.") var noLoss = false
  @Flag(help: "Compute nothing behind the last router: no output head, no experts of the last layer that has any; decisions are the same.")
  var routingOnly = false
  @Option(help: "Name of the run.") var name: String?
  @Option(name: .customLong("tag"), help: "Tag of the run; repeatable.") var tags: [String] = []

  func validate() throws {
    guard RecordingLevel.Precision(rawValue: precision) != nil else {
      throw ValidationError("--precision: expected f32 or f16, found \(precision)")
    }
    do {
      let level = try RecordingLevel(parsing: record)
      if !scores, level.extras.contains(.predicted) {
        throw ValidationError(
          "--record \(record): +predicted is read off the output head, which \(routingOnly ? "--routing-only" : "--no-loss") leaves out")
      }
      if noIds, level.extras.contains(.predicted) {
        throw ValidationError("--record \(record): +predicted keeps ids of tokens, which --no-ids leaves out")
      }
      if routingOnly, !level.extras.isDisjoint(with: [.norms, .shared]) {
        throw ValidationError(
          "--record \(record): experts of the last layer are what --routing-only leaves out, so none of their outputs can be kept")
      }
    } catch let error as RoutingError { throw ValidationError("--record: \(error)") }
    if let name { do { try RunName.check(name) } catch { throw ValidationError("--name: \(Failure.message(of: error))") } }
  }

  /// Whether the output head is computed.
  var scores: Bool { !noLoss && !routingOnly }

  var level: RecordingLevel {
    (try? RecordingLevel(parsing: record, precision: RecordingLevel.Precision(rawValue: precision) ?? .f32)) ?? RecordingLevel()
  }

  func open(
    _ description: RunDescription, sequences: [SequenceDescription], intervention: Intervention?, traces: TraceOptions,
    pieces: @escaping @Sendable (Int32) -> [UInt8]?
  ) throws -> TraceWriter {
    var options = TraceWriter.Options()
    options.createsDirectory = trace == nil
    let nothing: @Sendable (Int32) -> [UInt8]? = { _ in nil }
    return try TraceWriter(
      file: trace ?? traces.defaultTrace, description: description, sequences: sequences, intervention: intervention,
      pieces: noIds ? nothing : pieces,
      options: options)
  }
}
