import Analysis
import ArgumentParser
import Model
import Routing

/// What would the model make of texts if its routers decided otherwise?
struct WhatIf: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "whatif",
    abstract: "What changing routing does to the loss, beside a control.",
    discussion: """
      moetop whatif samples/olmoe-tiny -f samples/corpus.jsonl --rules 'swap all if entropy>q0.95'
      moetop whatif samples/olmoe-tiny -f samples/corpus.jsonl --experiment gw-moe --by domain
      moetop whatif samples/olmoe-tiny -p "def main():" --rules 'mask 3:7'

      Every text is read as it is and under the rules (moetop docs contracts lists them). Rules with a condition are held against as many
      decisions of the same text and layer for which it does not hold, rules that name experts against their neighbours in load.
      """)

  @Argument(help: "Folder or GGUF file of the checkpoint.", transform: ModelPlaces.found) var model: String
  @OptionGroup(title: "Input") var input: RunInputOptions
  @Option(
    help: ArgumentHelp("What is changed, such as 'mask 3:7; topk all=+1'; repeatable, a row each.", valueName: "rules")) var rules:
    [String] =
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
  @Option(help: "table, csv, json or md.") var format: ReportFormat?
  @Flag(help: "Same as --format json.") var json = false
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
    if input.prompt != nil && experiment != nil { throw ValidationError("--prompt takes --rules: an experiment needs texts") }
  }

  func run() throws {
    Interruption.listen()
    if DenoisingModel.isAt(model) {
      throw Failure(
        .usage, "whatif: \(model) denoises images, which have no loss\n  try: moetop run MODEL --intervene RULES, and compare the runs")
    }
    guard !input.isEmpty else { throw ValidationError("expected one of --prompt, --file, --tokens or --domain, found none") }
    let conditions = try failIf.map { try EffectCondition(parsing: $0) }
    let question = try question()
    let model = try engine.open(model)
    let tokenizer = TokenizerSlot(model)
    let (given, remarks) = try input.sequences(tokenizer: { try tokenizer.open() }, template: { try model.openChatTemplate() })
    let texts = given.filter { $0.tokens.count > 1 }
    guard !texts.isEmpty else { throw Failure(.usage, "\(input.source): no text has two tokens, so there is nothing to score") }
    for text in texts { try model.check(text) }
    if let by, !texts.contains(where: { $0.description.labels[by] != nil }) {
      let known = Set(texts.flatMap(\.description.labels.keys)).sorted()
      throw Failure(.usage, "--by \(by): no text has this label; there is \(known.isEmpty ? "none" : known.joined(separator: ", "))")
    }
    var notes = remarks + model.assumptions + tokenizer.notes
    if texts.count < given.count {
      notes.append("\(given.count - texts.count) texts of fewer than two tokens are left out: nothing in them is scored")
    }
    if !quiet {
      for warning in model.warnings { StandardError.write("warning: \(warning)\n") }
      for note in notes { StandardError.write("note: \(note)\n") }
    }
    let answer = try answer(question, model, texts, tokenizer)
    switch json ? .json : format ?? .table {
    case .json: StandardOutput.write(answer.json)
    case .table:
      StandardOutput.write(answer.heading)
      ReportOutput.write(answer.tables, width: Paragraph.outputColumns)
    case .csv: ReportOutput.csv([EffectTables.records(answer.effects, by: by)])
    case .md: ReportOutput.markdown(answer.tables)
    }
    try conclude(answer, conditions)
  }

  /// The rules, read; what they name is looked up later.
  private func question() throws -> WhatIfQuestion {
    if let experiment {
      guard let known = Experiment(rawValue: experiment) else { throw ExperimentError.unknown(name: experiment) }
      return .experiment(known)
    }
    let sets = try rules.map { text in
      do { return try RuleSet(parsing: text) } catch { throw Failure(.usage, "--rules: \(error)") }
    }
    if input.prompt != nil, sets.contains(where: \.asksSurprisals) {
      throw Failure(.usage, "--rules: with --prompt no condition on surprisal: nobody knows it of tokens that are still to come")
    }
    if let empty = sets.first(where: \.isEmpty) {
      throw Failure(.usage, "--rules '\(empty.text)': there is no rule in it, so nothing would change")
    }
    return .rules(sets)
  }

  private func answer(
    _ question: WhatIfQuestion, _ model: LanguageModel, _ texts: [TokenSequence], _ tokenizer: TokenizerSlot
  ) throws -> WhatIfAnswer {
    do {
      let run = WhatIfRun(
        model, texts: texts, context: InterventionOptions.context(of: model, texts, tokenizer), threads: engine.threads,
        showsProgress: !noProgress && !quiet)
      if case .rules(let sets) = question {
        for name in Set(sets.flatMap(\.replayedRuns)).sorted() {
          run.replays[name] = try InterventionOptions.replay(name, for: texts, option: "--rules", traces)
        }
      }
      let plan = try run.plan(question, draws: seeds, seed: seed)
      let variants = try run.bind(plan)
      let recorder = try trace.map {
        try VariantRecorder(
          file: $0, series: experiment ?? "whatif", run, variants, source: input.source, pieces: tokenizer.pieces)
      }
      let study: EffectStudy
      do { study = try run.measure(variants, recorder: recorder) } catch {
        recorder?.fail(error)
        throw error
      }
      if study.texts == 0, let status = Interruption.status { throw Failure(status, "stopped before a text was read under all rules") }
      var answer = WhatIfAnswer(
        model: model.name, input: input.source, experiment: experiment, length: input.length, label: by, study: study,
        isPartial: study.texts < texts.count, recorded: try recorder?.finish() ?? [])
      if input.prompt != nil, Interruption.signal == nil {
        try answer.continuePrompt(texts[0], run, tokenizer: tokenizer.open(), maxTokens: maxTokens)
      }
      return answer
    } catch let error as RuleError {
      throw Failure(.usage, "\(experiment.map { "--experiment \($0)" } ?? "--rules"): \(error)")
    }
  }

  private func conclude(_ answer: WhatIfAnswer, _ conditions: [EffectCondition]) throws {
    if let status = Interruption.status {
      throw Failure(status, "stopped; the answer is over the \(answer.study.texts) texts that were finished")
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

extension RuleSet {
  fileprivate var asksSurprisals: Bool {
    rules.contains { rule in
      rule.condition?.clauses.contains { if case .surprisal = $0.term { true } else { false } } ?? false
    }
  }
}

/// What is asked.
enum WhatIfQuestion {
  case rules([RuleSet])
  case experiment(Experiment)
}
