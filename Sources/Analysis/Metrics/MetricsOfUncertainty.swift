// Metrics of how sure the router is: what is said about them, and their rows, by layer, along an axis and by token.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Metric {
  static let entropy = Metric(
    key: .entropy, name: "normalised router entropy", unit: "share of ln E", range: "0...1",
    reading: "0: the router is certain; 1: it cannot tell experts apart; scores that stand "
      + "each for itself (sigmoid, root of softplus) are divided by their sum first",
    grain: .layer, format: .number(3), baseline: "1 for equal logits",
    baselineValue: { _ in 1 }, facets: .all, interval: .onRequest,
    source: "Wu et al. 2024, GW-MoE, arXiv:2406.12375, divided by ln E; TRL#6514 `normalized_entropy`",
    glossary: "router entropy divided by ln(experts): 0 certain, 1 cannot tell",
    missing: "where no decision has an entropy (none is finite, or ln E is 0), and where experts are looked up by token id",
    usesEntropyForm: true, needsChoice: true,
    measure: DecisionMeasure(sum: { $0.entropy }) { fold, _ in DecisionSummary(fold.entropy) })

  static let entropyNats = Metric(
    key: .entropyNats, name: "router entropy", unit: "nat", range: "0...ln E",
    reading: "0: the router is certain; ln E: it cannot tell experts apart",
    grain: .layer, format: .number(3), baseline: "ln E for equal logits",
    baselineValue: { log(Double($0.chance.experts)) }, facets: .all, interval: .onRequest,
    source: "Wu et al. 2024, GW-MoE, arXiv:2406.12375",
    glossary: "Shannon entropy of the router over all experts",
    missing: "where no decision has an entropy, and where experts are looked up by token id",
    usesEntropyForm: true, needsChoice: true,
    measure: DecisionMeasure(sum: { $0.entropyNats }) { fold, _ in
      DecisionSummary(fold.entropyNats, quantiles: fold.entropy.histogram, scale: log(Double(max(1, fold.experts))))
    })

  static let top1Margin = Metric(
    key: .top1Margin, name: "top-1 margin", unit: "probability", range: "0...1",
    reading: "0: two experts are equally wanted; 1: one expert takes all",
    grain: .layer, format: .number(4), baseline: "0 for equal logits",
    baselineValue: { _ in 0 }, facets: .all, interval: .onRequest,
    source: "MoEAtlas `router_margin`",
    glossary: "largest minus second largest router probability",
    missing: "with one expert, where no decision has probabilities, and where experts are looked up by token id", needsChoice: true,
    measure: DecisionMeasure(sum: { $0.top1Margin }) { fold, _ in DecisionSummary(fold.top1Margin) })

  static let selectionMargin = Metric(
    key: .selectionMargin, name: "selection margin", unit: "selection score of the family", range: "0 and above",
    reading: "0: the last selected expert could as well be the first rejected one; units differ between "
      + "families and must not be compared",
    grain: .layer, format: .number(4), baseline: "0 for equal logits",
    baselineValue: { _ in 0 }, facets: .all, interval: .onRequest,
    source: "derived; motive sglang#38695",
    glossary: "k-th minus (k+1)-th selection score: how near another expert was",
    missing: "where every expert is taken (k = E), and where experts are looked up by token id", needsChoice: true,
    measure: DecisionMeasure(sum: { $0.selectionMargin }) { fold, _ in DecisionSummary(fold.selectionMargin) })

  static let topKMass = Metric(
    key: .topKMass, name: "top-k mass", unit: "probability", range: "k/E...1",
    reading: "k/E: the choice hardly matters; 1: nothing is left out",
    grain: .layer, format: .number(3), baseline: "k/E for equal logits",
    baselineValue: { $0.chance.activationRate }, facets: .all, interval: .onRequest,
    source: "standard; Every Expert Matters, captured mass",
    glossary: "router probability that falls on the selected experts",
    missing: "where no decision has probabilities (not recorded, or logits that are not finite)",
    measure: DecisionMeasure(sum: { $0.topKMass }) { fold, _ in DecisionSummary(fold.topKMass) })

  static let uncertain = Metric(
    key: .uncertain, name: "uncertain decisions", unit: "share of decisions", range: "0...1",
    reading: "share of decisions whose entropy reaches the threshold",
    grain: .layer, format: .percent(1), baseline: "1 - q over the whole run for a quantile threshold, none otherwise",
    baselineValue: { $0.threshold.expectedShare }, facets: .all, interval: .onRequest,
    source: "Wu et al. 2024, GW-MoE, arXiv:2406.12375",
    glossary: "share of decisions over the entropy threshold (GW-MoE, arXiv:2406.12375)",
    missing: "where no decision has an entropy (none is finite, or ln E is 0), and where experts are looked up by token id",
    usesEntropyForm: true, needsChoice: true,
    measure: DecisionMeasure(threshold: true, sum: { $0.uncertain }) { fold, threshold in
      DecisionSummary(mean: fold.uncertainShare(threshold), count: fold.entropy.moments.count)
    })

  static let tokenInformation = Metric(
    key: .tokenInformation, name: "information of a token", unit: "nat", range: "0...ln E",
    reading: "0: every token gets the same distribution; ln E: each token is certain and all experts are "
      + "used",
    grain: .layer, format: .number(3), baseline: "0 when routing ignores the token",
    baselineValue: { _ in 0 }, facets: .none, interval: .none("importance is kept for the run, not for each sequence"),
    source: "standard (Jensen-Shannon form): H(mean p) - mean H",
    glossary: "how much knowing the token tells about its experts",
    missing:
      "where no decision has probabilities (not recorded, or logits that are not finite), and where experts are looked up by token id",
    isSummedByPass: true, needsChoice: true,
    measure: RunLoadMeasure(of: .tokens, n: { $0.measuredCount }, value: { $0.tokenInformation }))
}

/// A statistic of single decisions, summed up for one router.
struct DecisionSummary {
  var mean: Double?
  var count: Int
  /// Spread and quantiles; empty where they say nothing.
  var spread: [(field: MetricRow.Field, value: Double?)] = []

  init(mean: Double?, count: Int) {
    self.mean = mean
    self.count = count
  }

  /// - Parameter scale: what the histogram's values are multiplied by.
  init(_ moments: Moments, quantiles histogram: Histogram, scale: Double = 1) {
    mean = moments.mean
    count = moments.count
    let quantiles: [(MetricRow.Field, Double)] = [(.quantile05, 0.05), (.median, 0.5), (.quantile95, 0.95)]
    spread = [(.sd, moments.standardDeviation)] + quantiles.map { ($0, histogram.quantile($1).map { $0 * scale }) }
  }

  init(_ distribution: Distribution) { self.init(distribution.moments, quantiles: distribution.histogram) }
}

/// A mean over decisions.
struct DecisionMeasure: Measure {
  /// Whether it needs the entropy threshold.
  let usesThreshold: Bool
  /// The same of a stratum.
  let sum: @Sendable (StratumMeans.Row) -> MeanSum
  let summary: @Sendable (RouterUncertainty, ResolvedThreshold) -> DecisionSummary

  init(
    threshold: Bool = false, sum: @escaping @Sendable (StratumMeans.Row) -> MeanSum,
    summary: @escaping @Sendable (RouterUncertainty, ResolvedThreshold) -> DecisionSummary
  ) {
    usesThreshold = threshold
    self.sum = sum
    self.summary = summary
  }

  func folds(for plan: AnalysisPlan) -> Folds {
    var folds: Folds = usesThreshold ? [.uncertainty, .threshold] : .uncertainty
    if plan.grouping.facet != nil || plan.intervals { folds.insert(.means) }
    if plan.grouping.byToken { folds.insert(.tokens) }
    return folds
  }

  var conditionFields: [String] { [MetricRow.Field.sd, .quantile05, .median, .quantile95].map(\.rawValue) }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    if reading.plan.grouping.byToken { return .tokens(reading.analysis.uncertainTokens?.result() ?? []) }
    if let facet = reading.plan.grouping.facet { return .metric(cellRows(reading, facet)) }
    let threshold = reading.analysis.resolvedThreshold
    return .metric(
      (reading.analysis.uncertainty?.sorted(in: reading.plan.layers) ?? []).map { router, fold in
        let rows = reading.plan.intervals ? reading.analysis.means?[router]?.rows ?? [:] : [:]
        return reading.row(
          router, summary(fold, threshold), strata: rows.mapValues(sum), experts: fold.experts, topK: fold.topK,
          decisions: fold.decisions)
      })
  }

  private func cellRows(_ reading: MetricReading, _ facet: Facet) -> [MetricRow] {
    (reading.analysis.means?.folds.sorted { $0.key < $1.key } ?? []).flatMap { router, fold -> [MetricRow] in
      let whole = reading.analysis.uncertainty?[router]
      return reading.cellRows(facet, router, fold.rows.mapValues(sum), experts: whole?.experts ?? 0, topK: whole?.topK ?? 0)
    }
  }

  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) {
    if usesThreshold { reading.completeThreshold(&settings) }
  }

  func words(_ reading: MetricReading) -> String { usesThreshold ? reading.thresholdWords : reading.metric.reading }
}

extension MetricReading {
  /// The row of a router's decisions.
  ///
  /// - Parameter strata: what the interval is taken over.
  func row(
    _ router: RouterID, _ summary: DecisionSummary, strata: [Stratum: MeanSum], experts: Int, topK: Int, decisions: Int
  ) -> MetricRow {
    var row = row(
      router, value: summary.mean, n: summary.count, of: .decisions, size: size(router, experts: experts, topK: topK, tokens: decisions))
    for (field, value) in summary.spread { row[field] = value }
    if plan.intervals { row.interval = Jackknife.interval(sums: MeanSum.bySequence([strata])) }
    return row
  }

  /// A row for each cell of an axis.
  func cellRows(_ facet: Facet, _ router: RouterID, _ strata: [Stratum: MeanSum], experts: Int, topK: Int) -> [MetricRow] {
    let axis = cells(facet, strata: strata.keys)
    var grouped = axis.names.map { _ in [Stratum: MeanSum]() }
    for (stratum, sum) in strata { if let cell = axis.of(stratum) { grouped[cell][stratum] = sum } }
    return axis.names.indices.map { cell in
      let sums = MeanSum.bySequence([grouped[cell]])
      let total = sums.reduce(into: MeanSum()) { $0 += $1 }
      var row = row(
        router, cell: axis.names[cell], value: total.mean, n: total.count, of: .decisions,
        size: size(router, experts: experts, topK: topK, tokens: total.count))
      if plan.intervals { row.interval = Jackknife.interval(sums: sums) }
      return row
    }
  }
}

extension MeanSum {
  /// One sum a sequence, in order of sequences; sequences without a value are left out. Strata are added in their own order: that of a
  /// dictionary changes from process to process, and the last bits of a sum with it.
  ///
  /// - Parameter parts: of one router or several.
  static func bySequence(_ parts: [[Stratum: MeanSum]]) -> [MeanSum] {
    var sums: [Int: MeanSum] = [:]
    for part in parts {
      for (stratum, sum) in part.sorted(by: { $0.key < $1.key }) where sum.count > 0 { sums[stratum.sequence, default: MeanSum()] += sum }
    }
    return sums.sorted { $0.key < $1.key }.map(\.value)
  }
}

// MARK: - Words

extension MetricReading {
  func completeThreshold(_ settings: inout ReportSettings) {
    let resolved = analysis.resolvedThreshold
    settings.threshold = plan.threshold.description
    let experts = Set(analysis.uncertainty?.folds.values.map(\.experts) ?? [])
    let only = experts.count == 1 ? experts.first : nil
    switch resolved.level {
    case .nats(let nats):
      settings.thresholdNats = nats
      settings.thresholdShare = only.flatMap { resolved.share(experts: $0) }
    case .share where !resolved.isKnown: break
    case .share(let share):
      settings.thresholdShare = share
      settings.thresholdNats = only.map { resolved.nats(experts: $0) }
    }
  }

  /// `normalised entropy >= 0.920 = 1.913 nat (q0.95 of the run)`
  var thresholdWords: String {
    guard analysis.resolvedThreshold.isKnown else {
      return "no decision has an entropy, so there is no quantile (\(plan.threshold.description) of the run)"
    }
    let settings = settings()
    let share = settings.thresholdShare.map { "normalised entropy >= \(fixedPoint($0, digits: 3))" }
    let nats = settings.thresholdNats.map { "\(fixedPoint($0, digits: 3)) nat" }
    let asked = plan.threshold.description + (plan.threshold.isQuantile ? " of the run" : "")
    return "\([share, nats].compactMap { $0 }.joined(separator: " = ")) (\(asked))"
  }

  /// Where the metric asks how sure a choice was and none was made.
  var lookUpNotes: [String] {
    guard metric.needsChoice else { return [] }
    let hashed = plan.routers.filter { $0.spec.isHashed && plan.layers?.contains($0.id.layer) ?? true }.map(\.id)
    return hashed.isEmpty ? [] : ["nothing of \(hashed.listed): experts are looked up by token id there, so that no choice is uncertain"]
  }

  /// What entropy is meant.
  var entropyNotes: [String] {
    guard metric.usesEntropyForm else { return [] }
    switch plan.entropyForm {
    case .gwMoE: return ["entropy with GW-MoE's constant 1e-5 inside the logarithm, over the decisions whose logits were recorded"]
    case .standard:
      let shares = Set(plan.routers.filter { !$0.spec.isHashed }.compactMap(\.spec.share?.rawValue))
      return shares.sorted().map { "entropy is taken over \($0) scores divided by their sum" }
    }
  }
}

extension EntropyThreshold {
  var isQuantile: Bool { if case .quantile = self { true } else { false } }

  /// Share of the run's decisions that reach it; only known of a quantile.
  var expectedShare: Double? { if case .quantile(let q) = self { 1 - q } else { nil } }
}
