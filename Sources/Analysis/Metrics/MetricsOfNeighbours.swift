// Metrics of how like a token's choices are to those of the token before: what is said about them, and their rows, by layer and by label.

import Routing

extension Metric {
  static let repeatFirst = Metric(
    key: .repeatFirst, name: "repeat of the first choice", unit: "share of pairs", range: "0...1",
    reading: "0: neighbours never agree; 1/E: as chance has it; 1: always",
    grain: .layer, format: .percent(1),
    baseline: "1/E; under the layer's own load the sum of squared first-choice shares (own_load_baseline)",
    baselineValue: { $0.chance.share }, facets: .labels, interval: .onRequest,
    source: "Mixtral, arXiv:2401.04088, section 5",
    glossary: "how often a token has the same first expert as the token before",
    missing: "without two neighbouring tokens", runs: .texts,
    measure: LinkMeasure(rate: { $0.repeatFirst }, ownLoad: { $0.repeatFirstUnderOwnLoad }))

  static let repeatAny = Metric(
    key: .repeatAny, name: "any expert shared with the token before", unit: "share of pairs", range: "0...1",
    reading: "1 - C(E-k,k)/C(E,k): as chance has it; 1: always",
    grain: .layer, format: .percent(1), baseline: "1 - C(E-k,k)/C(E,k)",
    baselineValue: { $0.chance.anyOverlap }, facets: .labels, interval: .onRequest,
    source: "Mixtral, arXiv:2401.04088, section 5",
    glossary: "how often a token shares an expert with the token before",
    missing: "without two neighbouring tokens", runs: .texts, measure: LinkMeasure(rate: { $0.repeatAny }, ownLoad: nil))

  static let overlap = Metric(
    key: .overlap, name: "experts shared with the token before", unit: "experts", range: "0...k",
    reading: "0: none; k^2/E: as chance has it; k: the same set",
    grain: .layer, format: .number(3),
    baseline: "k^2/E; under the layer's own load the sum of squared activation rates (own_load_baseline)",
    baselineValue: { $0.chance.meanOverlap }, facets: .labels, interval: .onRequest,
    source: "MoEAtlas; ds4#307",
    glossary: "how many experts a token shares with the token before",
    missing: "without two neighbouring tokens", runs: .texts,
    measure: LinkMeasure(rate: { $0.overlap }, ownLoad: { $0.overlapUnderOwnLoad }))

  static let jaccard = Metric(
    key: .jaccard, name: "likeness to the token before", unit: "dimensionless", range: "0...1",
    reading: "0: disjoint sets; 1: the same set; one minus it is churn",
    grain: .layer, format: .number(3), baseline: "mean of m/(2k-m), m hypergeometric",
    baselineValue: { $0.chance.meanJaccard }, facets: .labels, interval: .onRequest,
    source: "MoEAtlas `route_churn`",
    glossary: "shared experts over experts of either token",
    missing: "without two neighbouring tokens", runs: .texts, measure: LinkMeasure(rate: { $0.meanJaccard }, ownLoad: nil))
}

/// A rate over pairs of neighbours.
struct LinkMeasure: Measure {
  let rate: @Sendable (LinkCounts) -> Double?
  /// What the layer's own load alone would give; nil where that is not worked out.
  let ownLoad: (@Sendable (SequenceLinks) -> Double?)?

  func folds(for plan: AnalysisPlan) -> Folds { .links }

  var conditionFields: [String] { ownLoad == nil ? [] : [MetricRow.Field.ownLoadBaseline.rawValue] }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    .metric(
      (reading.analysis.links?.folds.sorted { $0.key < $1.key } ?? []).flatMap { router, fold -> [MetricRow] in
        let sequences = fold.bySequence.sorted { $0.key < $1.key }
        guard let facet = reading.plan.grouping.facet else {
          var row = row(reading, router, fold: fold, sequences: sequences.map(\.value))
          if let ownLoad { row[.ownLoadBaseline] = ownLoad(fold) }
          return [row]
        }
        let axis = reading.cells(facet, strata: [])
        var grouped = axis.names.map { _ in [LinkCounts]() }
        for (sequence, counts) in sequences {
          if let cell = axis.of(Stratum(sequence: sequence, bin: PositionBin(rawValue: 0))) { grouped[cell].append(counts) }
        }
        return axis.names.indices.map { row(reading, router, cell: axis.names[$0], fold: fold, sequences: grouped[$0]) }
      })
  }

  private func row(
    _ reading: MetricReading, _ router: RouterID, cell: String? = nil, fold: SequenceLinks, sequences: [LinkCounts]
  ) -> MetricRow {
    let total = sequences.reduce(into: LinkCounts()) { $0 += $1 }
    var row = reading.row(
      router, cell: cell, value: rate(total), n: total.pairs, of: .pairs,
      size: reading.size(experts: fold.experts, topK: fold.topK, tokens: fold.tokens))
    if reading.plan.intervals {
      row.interval = row.value.flatMap { Jackknife.interval(estimate: $0, leftOut: sequences.map { rate(total - $0) }) }
    }
    return row
  }
}
