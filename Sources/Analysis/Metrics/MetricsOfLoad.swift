// Metrics of how evenly work falls: what is said about them, and their rows, by layer and along an axis.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Metric {
  static let loadCV = Metric(
    key: .loadCV, name: "coefficient of variation of the load", unit: "times the mean", range: "0...sqrt(E-1)",
    reading: "0: all experts equally busy; sqrt(E-1): one does everything",
    grain: .layer, format: .number(3), baseline: "sqrt((E-k)/(kT)) for uniform random choice; 0 for an even router",
    baselineValue: { $0.tokens > 0 ? $0.chance.loadCV(tokens: $0.tokens) : nil }, facets: .all,
    interval: .onRequest,
    source: "MoEAtlas `layer_cv_counts`; chance value derived for k of E without replacement",
    glossary: "spread of the load over experts, in units of its mean; 0 is even",
    missing: "without assignments", measure: ShapeMeasure { $0.cv })

  static let maxViolation = Metric(
    key: .maxViolation, name: "MaxVio", unit: "times the mean", range: "0...E-1",
    reading: "0: even; 1: the busiest expert has twice its share",
    grain: .layer, format: .number(3), baseline: "mean of uniform random choice at this number of tokens; 0 for an even router",
    baselineValue: { ($0.chance.load(tokens: $0.tokens)?.maxOverMean).map { $0 - 1 } }, facets: .all,
    interval: .none("a maximum is not smooth enough for a jackknife"),
    source: "arXiv:2408.15664",
    glossary: "how far the busiest expert is above the mean, in means",
    missing: "without assignments", measure: ShapeMeasure { $0.maxViolation })

  static let maxOverMean = Metric(
    key: .maxOverMean, name: "busiest over mean", unit: "times the mean", range: "1...E",
    reading: "1: even; E: one expert does everything",
    grain: .layer, format: .number(3), baseline: "mean of uniform random choice at this number of tokens; 1 for an even router",
    baselineValue: { $0.chance.load(tokens: $0.tokens)?.maxOverMean }, facets: .all,
    interval: .none("a maximum is not smooth enough for a jackknife"),
    source: "OLMo-core \"load imbalance\"",
    glossary: "load of the busiest expert over the mean; 1 is even",
    missing: "without assignments", measure: ShapeMeasure { $0.maxOverMean })

  static let gini = Metric(
    key: .gini, name: "Gini coefficient of the load", unit: "dimensionless", range: "0...(E-1)/E",
    reading: "0: even; near 1: a few experts do everything",
    grain: .layer, format: .number(3), baseline: "mean of uniform random choice at this number of tokens; 0 for an even router",
    baselineValue: { $0.chance.load(tokens: $0.tokens)?.gini }, facets: .all, interval: .onRequest,
    source: "MoEAtlas `layer_gini_coefficients`, by ascending rank",
    glossary: "inequality of the load; 0 is even, near 1 few experts do everything",
    missing: "without assignments", measure: ShapeMeasure { $0.gini })

  static let coverage = Metric(
    key: .coverage, name: "coverage of the busiest quarter", unit: "share of assignments", range: "1/4...1",
    reading: "1/4: even; 1: a quarter of the experts does everything (the quarter is rounded up)",
    grain: .layer, format: .percent(1),
    baseline: "mean of uniform random choice at this number of tokens; N/E with N = E/4 rounded up for an even router",
    baselineValue: { $0.chance.load(tokens: $0.tokens)?.coverage }, facets: .all,
    interval: .onRequest,
    source: "Megatron `analyze_routing_concentration.py`, C(N)",
    glossary: "share of assignments that go to the busiest quarter of the experts",
    missing: "without assignments", measure: ShapeMeasure { $0.coverage(busiest: ($0.experts + 3) / 4) })

  static let idle = Metric(
    key: .idle, name: "idle experts", unit: "experts", range: "0...E-1",
    reading: "experts that no token of the run visited",
    grain: .layer, format: .count, baseline: "E (1 - k/E)^T for uniform random choice",
    baselineValue: { $0.chance.idleExperts(tokens: $0.tokens) }, facets: .all,
    interval: .none("a count of zeros is not smooth enough for a jackknife"),
    source: "MoEAtlas; TRL#6514 `active_fraction`",
    glossary: "experts that no token visited",
    missing: "without tokens", measure: ShapeMeasure { $0.tokens > 0 ? Double($0.idle) : nil })

  static let loadEntropy = Metric(
    key: .loadEntropy, name: "entropy of the load", unit: "nat", range: "0...ln E",
    reading: "0: one expert does everything; ln E: even",
    grain: .layer, format: .number(3), baseline: "mean of uniform random choice at this number of tokens; ln E for an even router",
    baselineValue: { $0.chance.load(tokens: $0.tokens)?.entropy }, facets: .all, interval: .onRequest,
    source: "MoEAtlas summary",
    glossary: "Shannon entropy of the load; ln E is even",
    missing: "without assignments", measure: ShapeMeasure { $0.entropy })

  static let effectiveExperts = Metric(
    key: .effectiveExperts, name: "effective experts", unit: "experts", range: "1...E",
    reading: "as many equally busy experts would have this load entropy",
    grain: .layer, format: .number(1), baseline: "mean of uniform random choice at this number of tokens; E for an even router",
    baselineValue: { $0.chance.load(tokens: $0.tokens)?.effectiveExperts }, facets: .all, interval: .onRequest,
    source: "MoEAtlas summary, exp(H)",
    glossary: "how many equally busy experts would be as even: exp(load entropy)",
    missing: "without assignments", measure: ShapeMeasure { $0.effectiveExperts })

  static let dropped = Metric(
    key: .dropped, name: "dropped assignments", unit: "share of choices", range: "0...1",
    reading: "choices that a capacity limit did not compute",
    grain: .layer, format: .percent(1), baseline: "0 without a capacity limit",
    baselineValue: { _ in 0 }, facets: .none, interval: .none("drops follow from capacity, not from chance"),
    source: "Switch Transformer, arXiv:2101.03961 (capacity)",
    glossary: "share of choices that a capacity limit dropped",
    missing: "without choices", measure: RunLoadMeasure(of: .assignments, n: { $0.chosen.reduce(0, +) }, value: { $0.droppedShare }))
}

/// A number of the shape of a load: the same function for a router, a cell of an axis and what is left without a sequence.
struct ShapeMeasure: Measure {
  let value: @Sendable (LoadShape) -> Double?

  init(_ value: @escaping @Sendable (LoadShape) -> Double?) { self.value = value }

  func folds(for plan: AnalysisPlan) -> Folds {
    if plan.grouping.facet != nil { return .counts }
    return plan.intervals ? [.load, .counts] : .load
  }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    guard let facet = reading.plan.grouping.facet else {
      return .metric(
        (reading.analysis.load?.sorted() ?? []).map { router, shape in
          row(reading, router, shape: shape, strata: reading.analysis.counts?[router]?.whole)
        })
    }
    return .metric(
      (reading.analysis.counts?.folds.sorted { $0.key < $1.key } ?? []).flatMap { router, fold in
        fold.cells(facet, reading).map { row(reading, router, cell: $0.name, shape: $0.shape, strata: $0) }
      })
  }

  private func row(
    _ reading: MetricReading, _ router: RouterID, cell: String? = nil, shape: LoadShape, strata: StratumCell?
  ) -> MetricRow {
    var row = reading.row(
      router, cell: cell, value: value(shape), n: shape.assignments, of: .assignments, size: reading.size(shape))
    if reading.plan.intervals && reading.metric.hasInterval {
      row.interval = row.value.flatMap { estimate in
        strata.flatMap { Jackknife.interval(estimate: estimate, leftOut: $0.shapesWithoutSequences().map(value)) }
      }
    }
    return row
  }
}

/// A number of a router that is summed over the run only.
struct RunLoadMeasure: Measure {
  let counted: Counted
  let n: @Sendable (RouterLoad) -> Int
  let value: @Sendable (RouterLoad) -> Double?

  init(
    of counted: Counted, n: @escaping @Sendable (RouterLoad) -> Int, value: @escaping @Sendable (RouterLoad) -> Double?
  ) {
    self.counted = counted
    self.n = n
    self.value = value
  }

  func folds(for plan: AnalysisPlan) -> Folds { .load }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    .metric(
      (reading.analysis.load?.folds.sorted { $0.key < $1.key } ?? []).map { router, fold in
        reading.row(router, value: value(fold), n: n(fold), of: counted, size: reading.size(fold.shape))
      })
  }
}

/// What experts computed in some strata of a router: a cell of an axis, or all of it.
struct StratumCell {
  var name: String
  var rows: [(sequence: Int, row: StratumCounts.Row)]
  /// All rows together.
  var shape: LoadShape

  init(name: String, rows: [(sequence: Int, row: StratumCounts.Row)], experts: Int, topK: Int) {
    self.name = name
    self.rows = rows
    var counts = Array(repeating: 0, count: experts)
    for (_, row) in rows { row.forEachComputed { counts[$0] += $1 } }
    shape = LoadShape(counts: counts, tokens: rows.reduce(0) { $0 + $1.row.tokens }, topK: topK)
  }

  /// The shape without each sequence in turn.
  func shapesWithoutSequences() -> [LoadShape] {
    Dictionary(grouping: rows, by: \.sequence).sorted { $0.key < $1.key }.map { _, own in
      var counts = shape.counts
      for (_, row) in own { row.forEachComputed { counts[$0] -= $1 } }
      return LoadShape(counts: counts, tokens: shape.tokens - own.reduce(0) { $0 + $1.row.tokens }, topK: shape.topK)
    }
  }
}

extension StratumCounts {
  /// All strata as one.
  var whole: StratumCell {
    StratumCell(name: "", rows: rows.map { ($0.key.sequence, $0.value) }, experts: experts, topK: topK)
  }

  /// The cells of an axis.
  func cells(_ facet: Facet, _ reading: MetricReading) -> [StratumCell] {
    let axis = reading.cells(facet, strata: rows.keys)
    var grouped = axis.names.map { _ in [(sequence: Int, row: Row)]() }
    for (stratum, row) in rows { if let cell = axis.of(stratum) { grouped[cell].append((stratum.sequence, row)) } }
    return axis.names.indices.map { StratumCell(name: axis.names[$0], rows: grouped[$0], experts: experts, topK: topK) }
  }
}
