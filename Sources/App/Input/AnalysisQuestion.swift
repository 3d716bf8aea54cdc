// What is asked of a run: metrics, axis, filter and threshold, the same for `analyze`, which answers at once, and for `fold`, which keeps
// what the answer is made of.

import Analysis
import ArgumentParser
import Routing
import Store

/// Options that decide what is folded.
struct AnalysisQuestion: ParsableArguments {
  @Option(help: ArgumentHelp("Metrics, separated by commas (default: those of the axis that the run has).", valueName: "names"))
  var metric: String?
  @Option(
    help: ArgumentHelp(
      "layer, expert, token, position, a label such as domain (label:NAME where NAME is one of these words); of denoising runs step, patch-row, patch-column, patch (default: layer).",
      valueName: "axis"))
  var by: String?
  @Option(help: ArgumentHelp("Layers, for instance 0-3,7.", valueName: "ranges")) var layer: String?
  @OptionGroup var chosen: FilterOptions
  @Option(help: "Uncertain from here: 1.6nat, 0.92 (share of ln E) or q0.95 (quantile of the run) (default: q0.95).")
  var threshold: String?
  @Option(name: .customLong("as"), help: "Entropy formula: standard or gw-moe (default: standard).") var form: EntropyForm?
  @Option(
    help: ArgumentHelp(
      "Standard deviation of the noise that flip_risk assumes, in the unit of the selection scores (default: 0.001).", valueName: "scale"))
  var noise: Double?

  /// The first option that was given; nil: none was.
  var given: String? {
    let options: [(String, Bool)] = [
      ("--metric", metric != nil), ("--by", by != nil), ("--layer", layer != nil), ("--filter", !chosen.filter.isEmpty),
      ("--threshold", threshold != nil), ("--as", form != nil), ("--noise", noise != nil),
    ]
    return options.first { $0.1 }?.0
  }

  /// As it is kept in a part.
  var asked: AskedQuestion {
    AskedQuestion(
      metrics: [], by: by ?? "layer", layers: layer, filter: chosen.filter.isEmpty ? nil : chosen.filter.joined(separator: " "),
      threshold: threshold ?? "q0.95", form: (form ?? .standard).rawValue, noise: noise ?? 1e-3)
  }

  /// The plan for a recorded run; its metrics are those asked for, or those that the run has.
  ///
  /// - Parameter sequences: of the run, with the labels that count.
  /// - Throws: `AnalysisError`, `FilterError`, and what reading the trace throws. Nothing is validated yet.
  func plan(
    for run: RunSummary, in reader: TraceReader, sequences: [SequenceDescription], null: NullSettings, branch: Int = 0
  ) throws -> AnalysisPlan {
    var plan = try asked.plan(for: run.description, sequences: sequences, null: null, branch: branch)
    plan.filter = try chosen.resolved(for: run, in: reader, sequences: sequences, branch: branch)
    if plan.origin.kind.mayLackRoutes, plan.recording.content > .counts {
      plan.routedRows = try reader.totals(run: run.id).mapValues(\.tokens)
      plan.rowCount = run.tokenCount
    }
    plan.tokenLabels = try reader.namedPlaces(run: run.id).labels.mapValues { $0.sorted() }
    plan.takeTokenLabel()
    if plan.grouping.facet?.isOfTokenIDs == true {
      plan.hasTokenIDs = try reader.keepsTokenIDs(run)
      let pieces = try reader.pieces(run: run.id)
      plan.words = { id in pieces[id].map { Show.line(String(decoding: $0, as: UTF8.self)) } }
    }
    plan.metrics = try metric.map { try MetricKey.list(parsing: $0) } ?? plan.defaultMetrics
    return plan
  }
}

/// The question in words, as the user gave them.
struct AskedQuestion: Codable, Equatable {
  /// Names; empty: not decided yet.
  var metrics: [String]
  var by: String
  var layers: String?
  var filter: String?
  var threshold: String
  var form: String
  var noise: Double

  /// - Throws: `AnalysisError` for words that mean nothing.
  func plan(
    for run: RunDescription, sequences: [SequenceDescription], null: NullSettings, branch: Int = 0
  ) throws -> AnalysisPlan {
    guard let form = EntropyForm(rawValue: form) else {
      throw AnalysisError.invalidPlan(field: "--as", expected: "standard or gw-moe", found: form)
    }
    var plan = AnalysisPlan(
      metrics: metrics.isEmpty ? [] : try MetricKey.list(parsing: metrics.joined(separator: ",")),
      grouping: try AnalysisGrouping(parsing: by),
      layers: try layers.map { try LayerSelection(parsing: $0) }, threshold: try EntropyThreshold(parsing: threshold), entropyForm: form,
      null: null, sequences: sequences, routers: run.routers, denoising: run.denoising, branch: branch, recording: run.recording,
      noise: noise)
    plan.origin = run.origin
    return plan
  }
}

extension AnalysisPlan {
  /// A label that texts have is one of texts; one that single tokens alone have is one of tokens.
  mutating func takeTokenLabel() {
    guard case .label(let key) = grouping.facet, let values = tokenLabels[key], !sequences.contains(where: { $0.labels[key] != nil }) else {
      return
    }
    grouping.facet = .tokenLabel(key)
    words = { number in values.indices.contains(Int(number)) ? Show.line(values[Int(number)]) : nil }
  }
}

extension EntropyForm: ExpressibleByArgument {}
