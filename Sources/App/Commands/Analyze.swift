import Analysis
import ArgumentParser
import Dispatch
import Foundation
import Routing
import Store

/// Numbers of a run, each with its baseline.
struct Analyze: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Metrics of a run, each beside its baseline.",
    discussion: """
      moetop analyze corpus.db --metric load_cv,idle,entropy,uncertain
      moetop analyze corpus.db#2 --metric specialization --by domain --null 1000 --json
      moetop analyze corpus.db --by expert --filter 'domain=python entropy>=q0.95'
      moetop analyze images.db --metric dit-claims

      moetop docs metrics explains every metric: unit, range, baseline, source.
      """)

  @Argument(help: "Run: FILE.db, FILE.db#12, 12, a name, or latest.") var trace = "latest"
  @Option(help: ArgumentHelp("Metrics, separated by commas (default: those of the axis that the run has).", valueName: "names"))
  var metric: String?
  @Option(
    help: ArgumentHelp(
      "layer, expert, token, position, a label such as domain (label:NAME where NAME is one of these words); of denoising runs step, patch-row, patch-column, patch.",
      valueName: "axis"))
  var by = "layer"
  @Option(help: ArgumentHelp("Layers, for instance 0-3,7.", valueName: "ranges")) var layer: String?
  @OptionGroup var chosen: FilterOptions
  @Option(help: "Uncertain from here: 1.6nat, 0.92 (share of ln E) or q0.95 (quantile of the run).") var threshold = "q0.95"
  @Option(name: .customLong("as"), help: "Entropy formula: standard or gw-moe.") var form = EntropyForm.standard
  @Option(
    help: ArgumentHelp(
      "Standard deviation of the noise that flip_risk assumes, in the unit of the selection scores.", valueName: "scale"))
  var noise = 1e-3
  @Option(name: .customLong("null"), help: ArgumentHelp("Draws of the permutation null.", valueName: "n")) var nullDraws = 1000
  @Option(help: "Seed of the null.") var seed: UInt64 = 0
  @Option(help: ArgumentHelp("Permute labels over sequences first: then p is uniform, which checks the null.", valueName: "seed"))
  var shuffleLabels: UInt64?
  @Flag(name: .customLong("ci"), help: "95 % intervals by delete-one-sequence jackknife.") var intervals = false
  @Option(help: "Branch of a denoising run: 0 conditional, 1 unconditional.") var branch = 0
  @Option(help: "Rows of lists.") var top = 20
  @Option(
    help: ArgumentHelp("Exit with 2 when true, for instance 'load_cv>0.8'; with 1 when the number is not there.", valueName: "condition"))
  var failIf: [String] = []
  @OptionGroup var output: FormatOptions
  @OptionGroup var engine: ThreadOptions
  @OptionGroup var traces: TraceOptions

  func run() async throws {
    let (reader, summary) = try TraceReader.open(traces.reference(trace))
    let conditions = try failIf.map { try FailCondition(parsing: $0) }
    let sequences = try sequences(of: summary, in: reader)
    var plan = AnalysisPlan(
      metrics: [], grouping: try AnalysisGrouping(parsing: by), layers: try layer.map { try LayerSelection(parsing: $0) },
      filter: try chosen.resolved(for: summary, in: reader, sequences: sequences, branch: branch),
      threshold: try EntropyThreshold(parsing: threshold), entropyForm: form, null: NullSettings(draws: nullDraws, seed: seed),
      intervals: intervals, top: top, sequences: sequences, routers: summary.description.routers, denoising: summary.description.denoising,
      branch: branch, recording: summary.description.recording, noise: noise, shuffledLabels: shuffleLabels)
    plan.origin = summary.description.origin
    let totals = try reader.totals(run: summary.id)
    if plan.origin.kind.mayLackRoutes, plan.recording.content > .counts {
      plan.routedRows = totals.mapValues(\.tokens)
      plan.rowCount = summary.tokenCount
    }
    plan.tokenLabels = try reader.namedPlaces(run: summary.id).labels.mapValues { $0.sorted() }
    // A label that texts have is one of texts.
    if case .label(let key) = plan.grouping.facet, let values = plan.tokenLabels[key], !sequences.contains(where: { $0.labels[key] != nil })
    {
      plan.grouping.facet = .tokenLabel(key)
      plan.words = { number in values.indices.contains(Int(number)) ? Show.line(values[Int(number)]) : nil }
    } else if plan.grouping.facet?.isOfTokens == true {
      plan.hasTokenIDs = try reader.keepsTokenIDs(summary)
      let pieces = try reader.pieces(run: summary.id)
      plan.words = { id in pieces[id].map { Show.line(String(decoding: $0, as: UTF8.self)) } }
    }
    plan.metrics = try metric.map { try MetricKey.list(parsing: $0) } ?? plan.defaultMetrics
    for condition in conditions where !plan.metrics.contains(condition.metric) { plan.metrics.append(condition.metric) }
    try plan.validate()
    var analysis = try RunAnalysis(plan)
    repeat {
      if analysis.needsPasses { try reader.passes(of: summary, withLogits: plan.needsLogits).forEach { analysis.add($0) } }
    } while analysis.beginNextRound()
    if let counts = try reader.denoisingCounts(of: summary, branch: branch) { analysis.adopt(counts) }
    analysis.adopt(totals.mapValues { RouterLoad(counts: $0.assignments, topK: $0.topK, tokens: $0.tokens) })
    var report = try await analysis.report(workers: engine.count)
    report.setRun(Int(summary.id))
    try write(report)
    if let warning = summary.interventionWarning { StandardError.write("warning: \(warning)\n") }
    for failed in summary.failedChecks { StandardError.write("warning: capture check \(failed.name) failed: \(failed.detail)\n") }
    let verdicts = try conditions.map { try $0.verdict(on: report) }
    for violation in verdicts.flatMap(\.violations) { StandardError.write(violation.text + "\n") }
    // A number that is not there is an error even where other rows decide: nobody knows what it would have said.
    let faults = verdicts.compactMap(\.fault)
    if !faults.isEmpty { throw Failure(.failed, faults.joined(separator: "\n  ")) }
    if verdicts.contains(where: { !$0.violations.isEmpty }) { throw ResultDiffers() }
  }

  /// The run's sequences, their labels permuted over them when asked.
  private func sequences(of run: RunSummary, in reader: TraceReader) throws -> [SequenceDescription] {
    var sequences = try reader.sequences(run: run.id)
    if let shuffleLabels {
      var generator = SplitMix64(seed: shuffleLabels)
      var labels = sequences.map(\.labels)
      generator.shuffle(&labels)
      for index in sequences.indices { sequences[index].labels = labels[index] }
    }
    return sequences
  }

  private func write(_ report: AnalysisReport) throws {
    switch output.chosen {
    case .json:
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      StandardOutput.write(String(decoding: try encoder.encode(report), as: UTF8.self) + "\n")
    case .table: ReportOutput.write(report.tables(width: Paragraph.outputColumns), width: Paragraph.outputColumns)
    case .csv: ReportOutput.csv(report.records())
    case .md: ReportOutput.markdown(report.tables(width: .max))
    }
  }
}

extension EntropyForm: ExpressibleByArgument {}

/// How many cores to use for work that is not the engine's.
struct ThreadOptions: ParsableArguments {
  @Option(name: .long, help: "Threads to compute with (default: as configured, else every core).") var threads: Int?

  var count: Int { threads ?? Configuration.standing.threads ?? ProcessInfo.processInfo.activeProcessorCount }
}
