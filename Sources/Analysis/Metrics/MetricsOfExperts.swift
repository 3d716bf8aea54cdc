// Metrics with one number for each expert: what is said about them, and their rows, by layer and along an axis.

import Routing

extension Metric {
  static let load = Metric(
    key: .load, name: "load", unit: "share of assignments", range: "0...1, sums to 1",
    reading: "0: idle; 1/E: its even share; 1: it does everything",
    grain: .expert, format: .percent(2), baseline: "1/E",
    baselineValue: { $0.chance.share }, facets: .all, interval: .none("one number per expert"),
    source: "MoEAtlas `assignment_shares`",
    glossary: "share of assignments an expert receives; uniform is 1 / number of experts",
    missing: "without assignments", measure: ExpertMeasure { $0.load },
    details: """
      Load, and everything that says how evenly it falls, counts what experts computed: a choice that a capacity limit dropped is no
      assignment, by layer, along every axis and in every interval. `dropped` says how many there were. Metrics of what the router wants
      (specialization, likeness of neighbours, balance losses) count its choices, dropped ones too.
      """)

  static let activationRate = Metric(
    key: .activationRate, name: "activation rate", unit: "share of tokens", range: "0...1, sums to k",
    reading: "0: idle; k/E: its even share; 1: every token visits it",
    grain: .expert, format: .percent(2), baseline: "k/E",
    baselineValue: { $0.chance.activationRate }, facets: .all, interval: .none("one number per expert"),
    source: "OLMoE, the line k/E in its figures",
    glossary: "share of tokens that visit an expert; uniform is k / E",
    missing: "without tokens", measure: ExpertMeasure { $0.activationRate })

  static let loadRatio = Metric(
    key: .loadRatio, name: "load ratio", unit: "times uniform", range: "0...E",
    reading: "0: idle; 1: its even share; E: it does everything",
    grain: .expert, format: .number(2), baseline: "1",
    baselineValue: { _ in 1 }, facets: .all, interval: .none("one number per expert"),
    source: "MoEAtlas `load_ratios`",
    glossary: "load divided by the uniform load",
    missing: "without assignments", measure: ExpertMeasure { $0.loadRatio })

  static let weightedLoad = Metric(
    key: .weightedLoad, name: "weighted load", unit: "share of routing weight", range: "0...1, sums to 1",
    reading: "like load, each assignment counted by the factor really applied",
    grain: .expert, format: .percent(2), baseline: "1/E",
    baselineValue: { $0.chance.share }, facets: .none, interval: .none("one number per expert"),
    source: "REAP `weighted_expert_frequency_sum`",
    glossary: "share of the applied routing weight an expert receives",
    missing: "without recorded weights (--record ids)", isOfWeights: true, measure: RunExpertMeasure { $0.weightedLoad })

  static let importance = Metric(
    key: .importance, name: "importance", unit: "mean probability", range: "0...1, sums to 1",
    reading: "mean router probability of an expert over all tokens, picked or not",
    grain: .expert, format: .percent(2), baseline: "1/E",
    baselineValue: { $0.chance.share }, facets: .none, interval: .none("one number per expert"),
    source: "Shazeer et al. 2017, importance; Switch P_e, arXiv:2101.03961",
    glossary: "mean router probability of an expert, picked or not",
    missing: "where no decision has probabilities (not recorded, or logits that are not finite)", isSummedByPass: true,
    measure: RunExpertMeasure { $0.importance })
}

/// Numbers of experts that counts of assignments give, for a router or a cell of an axis.
struct ExpertMeasure: Measure {
  /// `[experts]`
  let values: @Sendable (LoadShape) -> [Double]?

  init(_ values: @escaping @Sendable (LoadShape) -> [Double]?) { self.values = values }

  func folds(for plan: AnalysisPlan) -> Folds { plan.grouping.facet == nil ? .load : .counts }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    guard let facet = reading.plan.grouping.facet else {
      return .metric(
        (reading.analysis.load?.sorted() ?? []).flatMap { rows(reading, $0.router, shape: $0.output, values: values($0.output)) })
    }
    return .metric(
      (reading.analysis.counts?.folds.sorted { $0.key < $1.key } ?? []).flatMap { router, fold in
        fold.cells(facet, reading).flatMap { cell in
          rows(reading, router, cell: cell.name, shape: cell.shape, values: values(cell.shape))
        }
      })
  }
}

/// Numbers of experts that are summed over the run only.
struct RunExpertMeasure: Measure {
  /// `[experts]`
  let values: @Sendable (RouterLoad) -> [Double]?

  init(_ values: @escaping @Sendable (RouterLoad) -> [Double]?) { self.values = values }

  func folds(for plan: AnalysisPlan) -> Folds { .load }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    .metric(
      (reading.analysis.load?.folds.sorted { $0.key < $1.key } ?? []).flatMap { router, fold in
        rows(reading, router, shape: fold.shape, values: values(fold))
      })
  }
}

extension Measure {
  /// A row for each expert; n is how often it was chosen.
  fileprivate func rows(
    _ reading: MetricReading, _ router: RouterID, cell: String? = nil, shape: LoadShape, values: [Double]?
  ) -> [MetricRow] {
    let size = reading.size(shape)
    return shape.counts.indices.map {
      reading.row(router, expert: $0, cell: cell, value: values?[$0], n: shape.counts[$0], of: .assignments, size: size)
    }
  }
}
