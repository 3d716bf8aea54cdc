import Analysis
import ArgumentParser
import Model
import Routing

/// What would the model make of texts if its routers decided otherwise?
struct WhatIf: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "whatif",
    abstract: "What changing routing does to the loss, or to images, beside a control.",
    discussion: """
      moetop whatif samples/olmoe-tiny -f samples/corpus.jsonl --rules 'swap all if entropy>q0.95'
      moetop whatif samples/olmoe-tiny -f samples/corpus.jsonl --experiment gw-moe --by domain
      moetop whatif samples/olmoe-tiny -p "def main():" --rules 'mask 3:7'
      moetop whatif samples/olmoe-tiny -f samples/corpus.jsonl --experiment overflow --batch 8
      moetop whatif samples/dit-moe-tiny --images 8 --rules 'swap all if entropy>q0.9 step<10'

      Every text is read as it is and under the rules (moetop docs contracts lists them). Rules with a condition are held against as many
      decisions of the same text and layer for which it does not hold, rules that name experts against their neighbours in load. A model that \
      denoises images makes each image from the same noise with and without the rules.
      """)

  @Argument(help: "Folder or GGUF file of the checkpoint, or a name that `moetop models` shows.", transform: ModelPlaces.model) var model:
    String
  @OptionGroup(title: "Input") var input: RunInputOptions
  @Option(
    help: ArgumentHelp("What is changed, such as 'mask 3:7; topk all=+1', or @FILE; repeatable, a row each.", valueName: "rules"))
  var rules: [String] =
    []
  @Option(
    help: ArgumentHelp("Rules that go by a name: \(Experiment.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"))
  var experiment: String?
  @Option(help: ArgumentHelp("Draws of controls, and of rules that draw.", valueName: "n")) var seeds = 5
  @Option(help: "Seed of the draws and of the turned signs.") var seed: UInt64 = 0
  @Option(help: ArgumentHelp("Also the effects in the texts of each value of a label.", valueName: "label")) var by: String?
  @Option(help: ArgumentHelp("With --prompt: tokens to continue it by, with and without the rules.", valueName: "n")) var maxTokens = 64
  @Option(
    help: ArgumentHelp("Record the texts as they are, and every variant, as runs of this trace.", valueName: "file")) var trace: String?
  @Option(
    help: ArgumentHelp(
      "Exit with 2 when true of a row, for instance 'difference.adjusted_p<0.05'; with 1 when the number is not there.",
      valueName: "condition"))
  var failIf: [String] = []
  @OptionGroup var output: FormatOptions
  @OptionGroup(title: "Images") var images: DenoisingOptions
  @Option(
    help: ArgumentHelp(
      "Texts side by side, over all of which rules of capacity count (default: 1; of overflow 8, or fewer with fewer than 64 texts).",
      valueName: "n"))
  var batch: Int?
  @OptionGroup(title: "Engine") var engine: EngineOptions
  @OptionGroup(title: "Traces") var traces: TraceOptions
  @Flag(name: .shortAndLong, help: "No notes and warnings before the answer.") var quiet = false
  @Flag(help: "No progress line.") var noProgress = false

  func validate() throws {
    if rules.isEmpty == (experiment == nil) {
      throw ValidationError("expected --rules or --experiment, found \(rules.isEmpty ? "neither" : "both")")
    }
    if seeds < 1 { throw ValidationError("--seeds: expected at least 1, found \(seeds)") }
    if maxTokens < 0 { throw ValidationError("--max-tokens: expected at least 0, found \(maxTokens)") }
    if let batch, batch < 1 { throw ValidationError("--batch: expected at least 1, found \(batch)") }
    if let experiment, Experiment(rawValue: experiment) == nil { throw ValidationError("\(ExperimentError.unknown(name: experiment))") }
    if input.prompt != nil && experiment != nil { throw ValidationError("--prompt takes --rules: an experiment needs texts") }
  }

  func run() throws {
    Interruption.listen()
    let conditions = try failIf.map { try EffectCondition(parsing: $0) }
    let question = try question()
    let answer = DenoisingModel.isAt(model) ? try askImages(question) : try askTexts(question)
    // A prompt's continuation may hold what its few tokens do not.
    if input.prompt == nil, !answer.isPartial, answer.effects.allSatisfy({ $0.named == 0 }) {
      throw Failure(
        .usage, "--rules: \(answer.effects.map(\.rules).joined(separator: "; ")): no decision meets the condition, so nothing was changed")
    }
    switch output.chosen {
    case .json: StandardOutput.write(answer.json)
    case .table:
      StandardOutput.write(answer.heading)
      ReportOutput.write(answer.tables, width: Paragraph.outputColumns)
    case .csv: ReportOutput.csv([EffectTables.records(answer.effects, by: by)])
    case .md: ReportOutput.markdown(answer.tables)
    }
    try conclude(answer, conditions)
  }

  /// Of texts and a language model.
  private func askTexts(_ question: WhatIfQuestion) throws -> WhatIfAnswer {
    if let option = images.given { throw ValidationError("\(option): only models that denoise images have it") }
    guard !input.isEmpty else { throw ValidationError("expected one of --prompt, --file, --tokens or --domain, found none") }
    let model = try engine.open(model)
    let tokenizer = TokenizerSlot(model)
    let (given, remarks) = try input.sequences(
      bos: engine.bos, tokenizer: { try tokenizer.open() }, template: { try model.openChatTemplate() })
    let texts = given.filter { $0.tokens.count > 1 }
    guard !texts.isEmpty else { throw Failure(.usage, "\(input.source): no text has two tokens, so there is nothing to score") }
    for text in texts { try model.check(text) }
    try requireLabel(texts.map(\.description), "text")
    let batch = try width(question, texts: texts.count)
    let used = question.replacesMates ? Array(texts.prefix(texts.count / batch * batch)) : texts
    var notes = remarks + model.assumptions + tokenizer.notes
    if texts.count < given.count {
      notes.append("\(given.count - texts.count) texts of fewer than two tokens are left out: nothing in them is scored")
    }
    if used.count < texts.count {
      notes.append("the last \(Show.counted(texts.count - used.count, "text")) do not fill a batch and are left out")
    }
    if !quiet {
      for warning in model.warnings { StandardError.write("warning: \(warning)\n") }
      for note in notes { StandardError.write("note: \(note)\n") }
    }
    return try refusing {
      let context = InterventionOptions.context(of: model, used, tokenizer)
      let subject = TextSubject(
        model, texts: used, context: context, input: InputIdentity(source: input.source, hash: used.inputHash, bos: engine.bos.recorded),
        batch: batch, threads: engine.threads)
      let run = WhatIfRun(subject, showsProgress: !noProgress && !quiet)
      for name in question.replayedRuns {
        run.replays[name] = try InterventionOptions.replay(name, for: used, of: model, option: "--rules", traces)
      }
      let seen = WhatIfInput(
        source: input.source, bos: engine.bos.recorded, length: input.length, batch: batch > 1 ? batch : nil)
      var answer = try answer(question, run, seen, pieces: tokenizer.pieces) { variants, recorder in
        question.replacesMates
          ? try run.overflow(variants, recorder: recorder) : try run.measure(variants, recorder: recorder)
      }
      if input.prompt != nil, Interruption.signal == nil {
        try answer.continuePrompt(used[0], run, tokenizer: tokenizer.open(), maxTokens: maxTokens, reproducible: engine.reproducible)
      }
      return answer
    }
  }

  /// Of images and a model that denoises them.
  private func askImages(_ question: WhatIfQuestion) throws -> WhatIfAnswer {
    guard input.isEmpty else { throw ValidationError("this model makes images: expected --class, found a text") }
    if batch != nil { throw ValidationError("--batch: images are made one by one, capacity counts over the patches of each") }
    if case .experiment(let experiment) = question, experiment.needsTexts {
      throw ValidationError("--experiment \(experiment.rawValue): expected a model that reads texts; images share no batch")
    }
    if question.asksSurprisals { throw ValidationError("--rules: a patch of an image has no surprisal") }
    let model = try engine.openDenoising(model)
    let (request, noise) = try images.request(model, seed: seed)
    let source = images.noise ?? "seed \(seed)"
    if !quiet {
      let assumptions = model.assumed.map { "\($0.key) = \($0.value) is assumed; the file does not say" }
      for note in model.notes + assumptions { StandardError.write("note: \(note)\n") }
    }
    return try refusing {
      let subject = ImageSubject(model, request, noise: noise, source: source, threads: engine.threads)
      try requireLabel(subject.members, "image")
      let run = WhatIfRun(subject, showsProgress: !noProgress && !quiet)
      for name in question.replayedRuns {
        run.replays[name] = try InterventionOptions.replay(
          name, layout: subject.reader.layout, samples: subject.members, option: "--rules", traces)
      }
      return try answer(question, run, WhatIfInput(source: source, request: request), pieces: { _ in nil }) { variants, recorder in
        try run.measure(variants, recorder: recorder)
      }
    }
  }

  /// Texts of a batch: as asked for; where every text must come among others, as many as there are texts for, 8 at most.
  private func width(_ question: WhatIfQuestion, texts: Int) throws -> Int {
    guard question.replacesMates else { return batch ?? 1 }
    let most = Int(Double(texts).squareRoot())
    let width = batch ?? min(8, most)
    guard width > 1 else {
      throw Failure(
        .usage,
        "--experiment overflow: expected batches of at least 2 texts, and at least 4 texts, found \(batch.map { "--batch \($0)" } ?? Show.counted(texts, "text"))"
      )
    }
    guard width <= most else {
      throw Failure(
        .usage,
        "--batch \(width): expected at least \(width * width) texts, so that no text keeps a mate, found \(texts)\n"
          + "  try: --batch \(max(2, most)), or more texts")
    }
    return width
  }

  private func requireLabel(_ members: [SequenceDescription], _ subject: String) throws {
    guard let by, !members.contains(where: { $0.labels[by] != nil }) else { return }
    let known = Set(members.flatMap(\.labels.keys)).sorted()
    throw Failure(.usage, "--by \(by): no \(subject) has this label; there is \(known.isEmpty ? "none" : known.joined(separator: ", "))")
  }

  /// The rules, read; what they name is looked up later.
  private func question() throws -> WhatIfQuestion {
    if let experiment {
      return .experiment(try Experiment(named: experiment))
    }
    let sets = try rules.map { given in
      let text = try RuleText.read(given)
      do { return try RuleSet(parsing: text) } catch { throw Failure(.usage, "--rules: \(error)") }
    }
    if input.prompt != nil, WhatIfQuestion.rules(sets).asksSurprisals {
      throw Failure(.usage, "--rules: with --prompt no condition on surprisal: nobody knows it of tokens that are still to come")
    }
    if let empty = sets.first(where: \.isEmpty) {
      throw Failure(.usage, "--rules '\(empty.text)': there is no rule in it, so nothing would change")
    }
    return .rules(sets)
  }

  /// The plan carried out.
  private func answer<Subject>(
    _ question: WhatIfQuestion, _ run: WhatIfRun<Subject>, _ seen: WhatIfInput, pieces: @escaping @Sendable (Int32) -> [UInt8]?,
    study measure: (BoundVariants, VariantRecorder?) throws -> EffectStudy
  ) throws -> WhatIfAnswer {
    let plan = try run.plan(question, draws: seeds, seed: seed)
    let variants = try run.bind(plan)
    let recorder = try trace.map {
      try VariantRecorder(file: $0, series: experiment ?? "whatif", run.subject, variants, pieces: pieces)
    }
    let study: EffectStudy
    do { study = try measure(variants, recorder) } catch {
      recorder?.fail(error)
      throw error
    }
    if study.texts == 0, let status = Interruption.status {
      throw Failure(status, "stopped before a \(study.measure.subject) was read under all rules")
    }
    var known: Experiment?
    if case .experiment(let experiment) = question { known = experiment }
    return WhatIfAnswer(
      model: run.subject.model.name, input: seen, experiment: known, label: by, study: study,
      isPartial: Interruption.signal != nil, recorded: try recorder?.finish() ?? [])
  }

  /// What rules cannot do is a mistake of who wrote them.
  private func refusing(_ body: () throws -> WhatIfAnswer) throws -> WhatIfAnswer {
    do { return try body() } catch let error as RuleError {
      throw Failure(.usage, "\(experiment.map { "--experiment \($0)" } ?? "--rules"): \(error)")
    }
  }

  private func conclude(_ answer: WhatIfAnswer, _ conditions: [EffectCondition]) throws {
    if let status = Interruption.status {
      throw Failure(
        status, "stopped; the answer is over what was finished: \(Show.counted(answer.study.texts, answer.study.measure.subject))")
    }
    let failed = answer.recorded.flatMap(\.failedChecks)
    if !failed.isEmpty {
      throw Failure(.failed, "capture checks failed, do not trust this trace:\n  \(failed.joined(separator: "\n  "))")
    }
    let verdicts = conditions.map { $0.verdict(on: answer.effects) }
    for violation in verdicts.flatMap(\.violations) { StandardError.write(violation + "\n") }
    let faults = verdicts.compactMap(\.fault)
    if !faults.isEmpty { throw Failure(.failed, faults.joined(separator: "\n  ")) }
    if verdicts.contains(where: { !$0.violations.isEmpty }) { throw ResultDiffers() }
  }
}

/// What is asked.
enum WhatIfQuestion {
  case rules([RuleSet])
  case experiment(Experiment)

  /// The rules that the user wrote.
  private var sets: [RuleSet] { if case .rules(let sets) = self { sets } else { [] } }

  /// Whether every text must be read among other texts too.
  var replacesMates: Bool { if case .experiment(.overflow) = self { true } else { false } }

  var replayedRuns: [String] { Set(sets.flatMap(\.replayedRuns)).sorted() }

  /// Whether a condition looks at how likely a token was.
  var asksSurprisals: Bool {
    sets.flatMap(\.rules).contains { rule in
      rule.condition?.clauses.contains { if case .surprisal = $0.term { true } else { false } } ?? false
    }
  }
}
