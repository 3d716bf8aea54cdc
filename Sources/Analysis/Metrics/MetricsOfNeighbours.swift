// Metrics of how like a token's choices are to those of the token before: what is said about them, and their rows, by layer and by label.

import Routing

extension Metric {
  static let repeatFirst = Metric(
    key: .repeatFirst, name: "repeat of the first choice", unit: "share of pairs", range: "0...1",
    reading: "0: neighbours never agree; 1/E: as chance has it; 1: always",
    grain: .layer, format: .percent(1),
    baseline: "1/E; under the layer's own load the sum of squared first-choice shares (own_load_baseline); for any two tokens of the same "
      + "text (within_text_baseline)",
    baselineValue: { $0.chance.share }, facets: .labels, interval: .onRequest,
    source: "Mixtral, arXiv:2401.04088, section 5",
    glossary: "how often a token has the same first expert as the token before",
    missing: "without two neighbouring tokens", runs: .texts,
    measure: LinkMeasure(rate: { $0.repeatFirst }, ownLoad: { $0.repeatFirstUnderOwnLoad }, withinText: { $0.sameFirst }),
    details: """
      A text repeats its words, so two tokens of a text agree more often than tokens of different texts, wherever they stand.
      `within_text_baseline` is how often: sum of c (c - 1) / (T (T - 1)) over experts chosen c times by T tokens, for each text, weighted by
      the texts' pairs. Neighbours are alike as neighbours only where the value is above it. It stands beside all four metrics of likeness; of
      `repeat_any` and `jaccard`, which depend on whole sets, it is the mean over all pairs of up to 64 tokens of each text.
      """)

  static let repeatAny = Metric(
    key: .repeatAny, name: "any expert shared with the token before", unit: "share of pairs", range: "0...1",
    reading: "1 - C(E-k,k)/C(E,k): as chance has it; 1: always",
    grain: .layer, format: .percent(1),
    baseline: "1 - C(E-k,k)/C(E,k); for any two tokens of the same text (within_text_baseline)",
    baselineValue: { $0.chance.anyOverlap }, facets: .labels, interval: .onRequest,
    source: "Mixtral, arXiv:2401.04088, section 5",
    glossary: "how often a token shares an expert with the token before",
    missing: "without two neighbouring tokens", runs: .texts,
    measure: LinkMeasure(rate: { $0.repeatAny }, ownLoad: nil, needsSets: true, withinText: { $0.anyShared }))

  static let overlap = Metric(
    key: .overlap, name: "experts shared with the token before", unit: "experts", range: "0...k",
    reading: "0: none; k^2/E: as chance has it; k: the same set",
    grain: .layer, format: .number(3),
    baseline: "k^2/E; under the layer's own load the sum of squared activation rates (own_load_baseline); for any two tokens of the same "
      + "text (within_text_baseline)",
    baselineValue: { $0.chance.meanOverlap }, facets: .labels, interval: .onRequest,
    source: "MoEAtlas; ds4#307",
    glossary: "experts that a token shares with the one before; in text: any two of its text",
    missing: "without two neighbouring tokens", runs: .texts,
    measure: LinkMeasure(rate: { $0.overlap }, ownLoad: { $0.overlapUnderOwnLoad }, withinText: { $0.shared }))

  static let jaccard = Metric(
    key: .jaccard, name: "likeness to the token before", unit: "dimensionless", range: "0...1",
    reading: "0: disjoint sets; 1: the same set; one minus it is churn",
    grain: .layer, format: .number(3),
    baseline: "mean of m/(2k-m), m hypergeometric; for any two tokens of the same text (within_text_baseline)",
    baselineValue: { $0.chance.meanJaccard }, facets: .labels, interval: .onRequest,
    source: "MoEAtlas `route_churn`",
    glossary: "shared experts over experts of either token",
    missing: "without two neighbouring tokens", runs: .texts,
    measure: LinkMeasure(rate: { $0.meanJaccard }, ownLoad: nil, needsSets: true, withinText: { $0.jaccard }))
}

/// A rate over pairs of neighbours.
struct LinkMeasure: Measure {
  let rate: @Sendable (LinkCounts) -> Double?
  /// What the layer's own load alone would give; nil where that is not worked out.
  let ownLoad: (@Sendable (SequenceLinks) -> Double?)?
  /// Whether the chance inside a text depends on whole sets.
  let needsSets: Bool
  /// What any two tokens of a text would give, summed over the pairs.
  let withinText: @Sendable (LinkChance) -> Double

  init(
    rate: @escaping @Sendable (LinkCounts) -> Double?, ownLoad: (@Sendable (SequenceLinks) -> Double?)?, needsSets: Bool = false,
    withinText: @escaping @Sendable (LinkChance) -> Double
  ) {
    self.rate = rate
    self.ownLoad = ownLoad
    self.needsSets = needsSets
    self.withinText = withinText
  }

  func folds(for plan: AnalysisPlan) -> Folds { needsSets ? [.links, .sets] : .links }

  var conditionFields: [String] {
    ([.withinTextBaseline] + (ownLoad == nil ? [] : [.ownLoadBaseline])).map { (field: MetricRow.Field) in field.rawValue }
  }

  private typealias Text = (counts: LinkCounts, chance: LinkChance)

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    .metric(
      (reading.analysis.links?.folds.sorted { $0.key < $1.key } ?? []).flatMap { router, fold -> [MetricRow] in
        let chances = fold.chanceBySequence
        let texts = fold.bySequence.sorted { $0.key < $1.key }.map { sequence, counts in
          (sequence: sequence, text: Text(counts: counts, chance: chances[sequence] ?? LinkChance()))
        }
        guard let facet = reading.plan.grouping.facet else {
          var row = row(reading, router, fold: fold, texts: texts.map(\.text))
          if let ownLoad { row[.ownLoadBaseline] = ownLoad(fold) }
          return [row]
        }
        let axis = reading.cells(facet, strata: [])
        var grouped = axis.names.map { _ in [Text]() }
        for (sequence, text) in texts {
          if let cell = axis.of(Stratum(sequence: sequence, bin: PositionBin(rawValue: 0))) { grouped[cell].append(text) }
        }
        return axis.names.indices.map { row(reading, router, cell: axis.names[$0], fold: fold, texts: grouped[$0]) }
      })
  }

  private func row(
    _ reading: MetricReading, _ router: RouterID, cell: String? = nil, fold: SequenceLinks, texts: [Text]
  ) -> MetricRow {
    let total = texts.reduce(into: LinkCounts()) { $0 += $1.counts }
    let chance = texts.reduce(into: LinkChance()) { $0 += $1.chance }
    var row = reading.row(
      router, cell: cell, value: rate(total), n: total.pairs, of: .pairs,
      size: reading.size(router, experts: fold.experts, topK: fold.topK, tokens: fold.tokens))
    row[.withinTextBaseline] = chance.pairs > 0 ? withinText(chance) / Double(chance.pairs) : nil
    if reading.plan.intervals {
      // A text without a pair says nothing about neighbours and is no text of theirs.
      let paired = texts.filter { $0.counts.pairs > 0 }
      row.interval = row.value.flatMap { Jackknife.interval(estimate: $0, leftOut: paired.map { rate(total - $0.counts) }) }
    }
    return row
  }
}
