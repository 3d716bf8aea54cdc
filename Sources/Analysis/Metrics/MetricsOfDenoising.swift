// The metrics of denoising runs: what is said about them, and their rows. Computed in DenoisingProjection, Specialists and
// DenoisingClaims; the tables of the last two are in DenoisingReport.

import Routing

extension Metric {
  private static let countingRule =
    "feizc/DiT-MoE `analysis/heatmap_*.py`: each selected id counts 1, shared experts excluded, conditional branch"

  static let choices = Metric(
    key: .choices, name: "choices along an axis of a denoising run", unit: "choices", range: "0 and above",
    reading: "the published heat maps: an expert's choices by step, patch or class",
    grain: .expert, format: .count, baseline: "the router's choices spread evenly over cells and experts",
    baselineValue: { _ in 0 }, facets: .denoising, interval: .none("counts are exact"), source: countingRule,
    glossary: "how often each expert was chosen at a step, a patch or for a class",
    missing: "never: no choice counts 0", runs: .denoising, measure: ChoicesMeasure(isWeighted: false, values: { $0.values }))

  static let choicesWeighted = Metric(
    key: .choicesWeighted, name: "choices, weighted", unit: "sum of routing weights", range: "0 and above",
    reading: "like choices, each counted by the factor really applied",
    grain: .expert, format: .number(3), baseline: "the router's weight spread evenly over cells and experts",
    baselineValue: { _ in 0 }, facets: .denoising, interval: .none("sums are exact but for rounding"), source: countingRule,
    glossary: "routing weight each expert got at a step, a patch or for a class",
    missing: "never: no weight counts 0", runs: .denoising, measure: ChoicesMeasure(isWeighted: true, values: { $0.values }))

  static let choicesMinMax = Metric(
    key: .choicesMinMax, name: "choices, scaled", unit: "dimensionless", range: "0...1",
    reading: "0: the smallest count of the layer; 1: the largest",
    grain: .expert, format: .number(3), baseline: "none: a scale, 0 is the smallest count",
    baselineValue: { _ in 0 }, facets: .denoising, interval: .none("a way to draw choices"),
    source: "feizc/DiT-MoE `heatmap_patch.py`, `heatmap_step.py`: (x - min) / (max - min) of each layer",
    glossary: "choices scaled to 0...1 within the layer, as published",
    missing: "never: no choice counts 0", runs: .denoising, measure: ChoicesMeasure(isWeighted: false, isScale: true, values: { $0.minMax })
  )

  static let useEntropy = Metric(
    key: .useEntropy, name: "entropy of use by step", unit: "share of ln E", range: "0...1",
    reading: "0: one expert does all of a step; 1: all do the same",
    grain: .layer, format: .number(3), baseline: "1: even use",
    baselineValue: { _ in 1 }, facets: .step, interval: .none("early_late carries one"),
    source: "DiT-MoE, arXiv:2407.11633, Fig. 7, as a number",
    glossary: "how evenly experts are used at a denoising step",
    missing: "at a step without choices, and with one expert", runs: .denoising,
    measure: StepMeasure(mean: { $0.meanEntropy }) { $0.normalizedEntropy($1) })

  static let earlyLate = Metric(
    key: .earlyLate, name: "late minus early entropy of use", unit: "share of ln E", range: "-1...1",
    reading: "above 0: the first fifth of the steps is more concentrated than the last three fifths",
    grain: .layer, format: .number(4), baseline: "0; the null of circular shifts of the steps stands beside it",
    baselineValue: { _ in 0 }, facets: .none, interval: .always(MetricCatalog.groupJackknife),
    source: "DiT-MoE, arXiv:2407.11633, section 3.3: steps below 50 against steps above 100, of 250",
    glossary: "whether early denoising steps use experts less evenly than late ones",
    missing: "with fewer than five steps, and without a whole sample", runs: .denoising, measure: ContrastMeasure())

  static let stepDrift = Metric(
    key: .stepDrift, name: "drift of use between steps", unit: "nat", range: "0...ln 2",
    reading: "0: a step uses experts as the step before does; ln 2: entirely other ones",
    grain: .layer, format: .number(4), baseline: "0: no drift",
    baselineValue: { _ in 0 }, facets: .step, interval: .none("a descriptive number"),
    source: "Jensen-Shannon divergence; the statistic is ours",
    glossary: "Jensen-Shannon divergence of expert use between neighbouring steps",
    missing: "with one step", runs: .denoising, measure: StepMeasure(isOfNeighbours: true, mean: { $0.meanDrift }) { $0.drift($1 - 1, $1) })

  static let pathOverlap = Metric(
    key: .pathOverlap, name: "path overlap between steps", unit: "share", range: "0...1",
    reading: "0: neighbouring steps share no expert; 1: the same use. By timestep alone it is shared experts / k",
    grain: .layer, format: .number(3), baseline: "1: the same use",
    baselineValue: { _ in 1 }, facets: .step, interval: .none("a descriptive number"),
    source: "Switch-DiT, arXiv:2403.09176, task-task affinity divided by the length of a path, for shares in place of sets",
    glossary: "share of expert use that neighbouring denoising steps have in common",
    missing: "with one step", runs: .denoising,
    measure: StepMeasure(isOfNeighbours: true, mean: { $0.meanOverlap }) { $0.overlap($1 - 1, $1) })

  static let specialists = Metric(
    key: .specialists, name: "specialists", unit: "times expected", range: "0 and above",
    reading: "for each expert the step, patch and class that prefer it most, where that is beyond chance",
    grain: .expert, format: .number(2),
    baseline:
      "1; adjusted_p controls all cells of an axis at once (largest |z| of each draw); cells in which chance expects fewer than 20 choices take no part",
    baselineValue: { _ in 1 }, facets: .none, interval: .none("adjusted_p"),
    source: "max-statistic permutation; the nulls of specialization",
    glossary: "which expert stands for which step, place and class",
    missing: "where no cell is beyond chance", runs: .denoising, measure: SpecialistsMeasure())

  static let ditClaims = Metric(
    key: .ditClaims, name: "the statements of DiT-MoE", unit: "verdict", range: "holds, does not hold, undecided",
    reading: "five statements of the authors, each judged by the rule below",
    grain: .run, format: .number(4), baseline: "stands with each number: null, limit",
    baselineValue: { _ in 0 }, facets: .none,
    interval: .always("95 %, \(MetricCatalog.groupJackknife); over samples for the class; none for the rank correlation"),
    source: "DiT-MoE, arXiv:2407.11633, section 3.3, Figs. 5-7; the rules are ours",
    glossary: "what the authors of DiT-MoE say about routing, checked on this run",
    missing: "never: what cannot be told is undecided", runs: .denoising, measure: ClaimsMeasure(),
    details: DenoisingClaim.allCases.map { "- **\($0.rawValue)** (\($0.statement)). \($0.rule)" }.joined(separator: "\n"))
}

/// Choices by axis and expert: a published heat map.
struct ChoicesMeasure: Measure {
  let isWeighted: Bool
  /// A scale has no even spread to compare with.
  var isScale = false
  /// `[cells, experts]`
  let values: @Sendable (DenoisingProjection) -> [Double]

  func folds(for plan: AnalysisPlan) -> Folds { .denoising }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    guard let counts = reading.denoising, let facet = reading.plan.grouping.facet else { return .metric([]) }
    let sequences = reading.plan.sequences
    return .metric(
      counts.routerIDs.flatMap { router -> [MetricRow] in
        guard let counted = counts.projection(facet, of: router, sequences: sequences),
          let shown = counts.projection(facet, of: router, weighted: isWeighted, sequences: sequences)
        else { return [] }
        let values = values(shown)
        let even = isScale ? nil : values.reduce(0, +) / Double(max(1, values.count))
        return values.indices.map {
          MetricRow(
            router: router, expert: $0 % shown.expertCount, cell: shown.cellNames[$0 / shown.expertCount], value: values[$0],
            unit: reading.metric.unit, n: Int(counted.values[$0]), of: .assignments, baseline: even)
        }
      })
  }
}

/// Numbers of single steps, or of a step against the one before.
struct StepMeasure: Measure {
  /// A number of two neighbouring steps: the first step has none.
  let isOfNeighbours: Bool
  let mean: @Sendable (UseByStep) -> Double?
  let value: @Sendable (UseByStep, _ step: Int) -> Double?

  init(
    isOfNeighbours: Bool = false, mean: @escaping @Sendable (UseByStep) -> Double?,
    value: @escaping @Sendable (UseByStep, _ step: Int) -> Double?
  ) {
    self.isOfNeighbours = isOfNeighbours
    self.mean = mean
    self.value = value
  }

  func folds(for plan: AnalysisPlan) -> Folds { .denoising }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    guard let counts = reading.denoising else { return .metric([]) }
    return .metric(
      counts.routerIDs.flatMap { router -> [MetricRow] in
        guard let use = counts.useByStep(of: router) else { return [] }
        let topK = reading.plan.routers.first { $0.id == router }?.spec.topK ?? 0
        func row(_ cell: String?, _ value: Double?, n: Int) -> MetricRow {
          reading.row(
            router, cell: cell, value: value, n: n, of: .assignments,
            size: reading.size(router, experts: use.experts, topK: topK, tokens: n / max(1, topK)))
        }
        guard reading.plan.grouping.facet == .step else {
          return [row(nil, mean(use), n: (0..<use.steps).reduce(0) { $0 + use.total($1) })]
        }
        let first = isOfNeighbours ? 1 : 0
        return (0..<use.steps).dropFirst(first).map { row(String($0), value(use, $0), n: use.total($0)) }
      })
  }
}

/// Late against early steps.
struct ContrastMeasure: Measure {
  func folds(for plan: AnalysisPlan) -> Folds { .denoising }

  var conditionFields: [String] { [MetricRow.Field.nullMean, .nullSD, .p].map(\.rawValue) }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    guard let counts = reading.denoising else { return .metric([]) }
    let contrasts = counts.stepContrasts(reading.plan.null)
    return .metric(
      counts.routerIDs.map { router in
        let own = contrasts.first { $0.router == router }
        var row = MetricRow(
          router: router, value: own?.contrast, unit: reading.metric.unit, n: counts.samples.count, of: .samples, baseline: 0)
        row.interval = own?.interval
        row[.nullMean] = own?.nullMean
        row[.nullSD] = own?.nullSD
        row[.nullCount] = Double(reading.plan.null.draws)
        row[.p] = own?.p
        return row
      })
  }

  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) { settings.nullDraws = reading.plan.null.draws }
}

struct SpecialistsMeasure: Measure {
  func folds(for plan: AnalysisPlan) -> Folds { .denoising }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    guard let counts = reading.denoising else { return .specialists([]) }
    return .specialists(
      Specialist.list(counts, label: SampleClasses.label, sequences: reading.plan.sequences, settings: reading.plan.null))
  }

  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) { settings.nullDraws = reading.plan.null.draws }
}

struct ClaimsMeasure: Measure {
  func folds(for plan: AnalysisPlan) -> Folds { .denoising }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    guard let counts = reading.denoising else { return .metric([]) }
    return .claims(ClaimJudge(counts: counts, sequences: reading.plan.sequences, settings: reading.plan.null).judge())
  }

  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) { settings.nullDraws = reading.plan.null.draws }
}
