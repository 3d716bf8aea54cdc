// Catalog entries: metrics with one number for each expert. Computed elsewhere; this is what is said about them.

extension MetricCatalog {
  static func expertEntry(_ key: MetricKey) -> MetricEntry {
    switch key {
    case .load:
      MetricEntry(
        key: key, name: "load", unit: "share of assignments", range: "0...1, sums to 1",
        reading: "0: idle; 1/E: its even share; 1: it does everything",
        grain: .expert, format: .percent(2), baseline: "1/E",
        baselineValue: { chance, _ in chance.share }, facets: .all, interval: "none: one number per expert",
        source: "MoEAtlas `assignment_shares`",
        glossary: "share of assignments an expert receives; uniform is 1 / number of experts")
    case .activationRate:
      MetricEntry(
        key: key, name: "activation rate", unit: "share of tokens", range: "0...1, sums to k",
        reading: "0: idle; k/E: its even share; 1: every token visits it",
        grain: .expert, format: .percent(2), baseline: "k/E",
        baselineValue: { chance, _ in chance.activationRate }, facets: .all, interval: "none: one number per expert",
        source: "OLMoE, the line k/E in its figures",
        glossary: "share of tokens that visit an expert; uniform is k / E")
    case .loadRatio:
      MetricEntry(
        key: key, name: "load ratio", unit: "times uniform", range: "0...E",
        reading: "0: idle; 1: its even share; E: it does everything",
        grain: .expert, format: .number(2), baseline: "1",
        baselineValue: { _, _ in 1 }, facets: .all, interval: "none: one number per expert",
        source: "MoEAtlas `load_ratios`",
        glossary: "load divided by the uniform load")
    case .weightedLoad:
      MetricEntry(
        key: key, name: "weighted load", unit: "share of routing weight", range: "0...1, sums to 1",
        reading: "like load, each assignment counted by the factor really applied",
        grain: .expert, format: .percent(2), baseline: "1/E",
        baselineValue: { chance, _ in chance.share }, facets: .none, interval: "none: one number per expert",
        source: "REAP `weighted_expert_frequency_sum`",
        glossary: "share of the applied routing weight an expert receives")
    default:  // .importance
      MetricEntry(
        key: .importance, name: "importance", unit: "mean probability", range: "0...1, sums to 1",
        reading: "mean router probability of an expert over all tokens, picked or not",
        grain: .expert, format: .percent(2), baseline: "1/E",
        baselineValue: { chance, _ in chance.share }, facets: .none, interval: "none: one number per expert",
        source: "Shazeer et al. 2017, importance; Switch P_e, arXiv:2101.03961",
        glossary: "mean router probability of an expert, picked or not")
    }
  }
}
