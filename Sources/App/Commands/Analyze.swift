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
      moetop analyze rank0.part rank1.part --ci

      moetop docs metrics explains every metric: unit, range, baseline, source.
      """)

  @Argument(help: ArgumentHelp("Run: FILE.db, FILE.db#12, 12, a name, or latest; or parts made by `fold`.", valueName: "run"))
  var inputs: [String] = []
  @OptionGroup var question: AnalysisQuestion
  @Option(name: .customLong("null"), help: ArgumentHelp("Draws of the permutation null.", valueName: "n")) var nullDraws = 1000
  @Option(help: "Seed of the null.") var seed: UInt64 = 0
  @Option(help: ArgumentHelp("Permute labels over sequences first: then p is uniform, which checks the null.", valueName: "seed"))
  var shuffleLabels: UInt64?
  @Flag(name: .customLong("ci"), help: "95 % intervals by delete-one-sequence jackknife.") var intervals = false
  @Option(help: "Branch of a denoising run: 0 conditional, 1 unconditional.") var branch = 0
  @Option(help: "Rows of lists.") var top = 20
  @Option(help: ArgumentHelp("Experts a router keeps on average, for core_similarity (default: a quarter).", valueName: "n"))
  var groups: Int?
  @Option(
    help: ArgumentHelp("Exit with 2 when true, for instance 'load_cv>0.8'; with 1 when the number is not there.", valueName: "condition"))
  var failIf: [String] = []
  @OptionGroup var output: FormatOptions
  @OptionGroup var engine: ThreadOptions
  @OptionGroup var traces: TraceOptions

  func run() async throws {
    let conditions = try failIf.map { try FailCondition(parsing: $0) }
    let isOfParts = try areParts()
    let (report, warnings) = try await isOfParts ? ofParts(conditions) : ofRun(conditions)
    try write(report)
    for warning in warnings { StandardError.write("warning: \(warning)\n") }
    let verdicts = try conditions.map { try $0.verdict(on: report) }
    for violation in verdicts.flatMap(\.violations) { StandardError.write(violation.text + "\n") }
    // A number that is not there is an error even where other rows decide: nobody knows what it would have said.
    let faults = verdicts.compactMap(\.fault)
    if !faults.isEmpty { throw Failure(.failed, faults.joined(separator: "\n  ")) }
    if verdicts.contains(where: { !$0.violations.isEmpty }) { throw ResultDiffers() }
  }

  /// Whether parts are given; a run beside them is neither.
  private func areParts() throws -> Bool {
    let parts = inputs.filter(PartFile.isPart)
    guard let other = inputs.first(where: { !parts.contains($0) }) else { return !parts.isEmpty }
    if !parts.isEmpty {
      throw Failure(
        .usage, "\(other): expected a part as \(parts[0]) is, found none\n  try: `fold` it with the same options")
    }
    if inputs.count > 1 {
      throw Failure(.usage, "expected one run, found \(inputs.count)\n  try: `merge` brings runs into one trace, `compare` tells two apart")
    }
    return false
  }

  private func ofRun(_ conditions: [FailCondition]) async throws -> (AnalysisReport, [String]) {
    let (reader, summary) = try TraceReader.open(traces.reference(inputs.first ?? "latest"))
    var plan = try question.plan(
      for: summary, in: reader, sequences: permuted(try reader.sequences(run: summary.id)),
      null: NullSettings(draws: nullDraws, seed: seed), branch: branch)
    (plan.intervals, plan.top, plan.shuffledLabels, plan.groups) = (intervals, top, shuffleLabels, groups)
    for condition in conditions where !plan.metrics.contains(condition.metric) { plan.metrics.append(condition.metric) }
    try plan.validate()
    var analysis = try RunAnalysis(plan)
    repeat {
      if analysis.needsPasses { try reader.passes(of: summary, withLogits: plan.needsLogits).forEach { analysis.add($0) } }
    } while analysis.beginNextRound()
    if let counts = try reader.denoisingCounts(of: summary, branch: branch) { analysis.adopt(counts) }
    if !analysis.needsPasses {
      let totals = try reader.totals(run: summary.id)
      analysis.adopt(totals.mapValues { RouterLoad(counts: $0.assignments, topK: $0.topK, tokens: $0.tokens) })
    }
    var report = try await analysis.report(workers: engine.count)
    report.setRun(Int(summary.id))
    let checks = summary.failedChecks.map { "capture check \($0.name) failed: \($0.detail)" }
    return (report, (summary.interventionWarning.map { [$0] } ?? []) + checks)
  }

  private func ofParts(_ conditions: [FailCondition]) async throws -> (AnalysisReport, [String]) {
    if let option = question.given ?? (branch == 0 ? nil : "--branch") {
      throw Failure(
        .usage, "\(option): parts answer what they were folded for\n  try: give it to `fold`, and none to `analyze`")
    }
    let union = try PartUnion(try inputs.map { try PartFile(reading: $0) })
    var plan = try union.plan(
      sequences: permuted(union.sequences), null: NullSettings(draws: nullDraws, seed: seed), intervals: intervals)
    (plan.top, plan.shuffledLabels, plan.groups) = (top, shuffleLabels, groups)
    for condition in conditions where !plan.metrics.contains(condition.metric) {
      throw Failure(
        .usage,
        "--fail-if \(condition.metric.rawValue): the parts were not folded for it\n  try: `fold` with it among --metric"
      )
    }
    try plan.validate()
    let report = try await union.analysis(plan).report(workers: engine.count)
    return (
      report,
      union.headers[0].run.intervention.map { ["the routing was changed by rules, it is not the model's own: \(Show.line($0))"] } ?? []
    )
  }

  /// Labels permuted over sequences where that was asked for.
  private func permuted(_ given: [SequenceDescription]) -> [SequenceDescription] {
    guard let shuffleLabels else { return given }
    var sequences = given
    var generator = SplitMix64(seed: shuffleLabels)
    var labels = sequences.map(\.labels)
    generator.shuffle(&labels)
    for index in sequences.indices { sequences[index].labels = labels[index] }
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

/// How many cores to use for work that is not the engine's.
struct ThreadOptions: ParsableArguments {
  @Option(name: .long, help: "Threads to compute with (default: as configured, else every core).") var threads: Int?

  var count: Int { threads ?? Configuration.standing.threads ?? ProcessInfo.processInfo.activeProcessorCount }
}
