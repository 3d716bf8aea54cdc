// Catalog entries: metrics of how evenly work falls. Computed elsewhere; this is what is said about them.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension MetricCatalog {
  static func loadEntry(_ key: MetricKey) -> MetricEntry {
    switch key {
    case .loadCV:
      MetricEntry(
        key: key, name: "coefficient of variation of the load", unit: "times the mean", range: "0...sqrt(E-1)",
        reading: "0: all experts equally busy; sqrt(E-1): one does everything",
        grain: .layer, format: .number(3), baseline: "sqrt((E-k)/(kT)) for uniform random choice; 0 for an even router",
        baselineValue: { chance, tokens in tokens > 0 ? chance.loadCV(tokens: tokens) : nil }, facets: .all,
        interval: MetricCatalog.jackknife,
        source: "MoEAtlas `layer_cv_counts`; chance value derived for k of E without replacement",
        glossary: "spread of the load over experts, in units of its mean; 0 is even")
    case .maxViolation:
      MetricEntry(
        key: key, name: "MaxVio", unit: "times the mean", range: "0...E-1",
        reading: "0: even; 1: the busiest expert has twice its share",
        grain: .layer, format: .number(3), baseline: "0 for an even router",
        baselineValue: { _, _ in 0 }, facets: .all, interval: "none: a maximum is not smooth enough for a jackknife",
        source: "arXiv:2408.15664",
        glossary: "how far the busiest expert is above the mean, in means")
    case .maxOverMean:
      MetricEntry(
        key: key, name: "busiest over mean", unit: "times the mean", range: "1...E",
        reading: "1: even; E: one expert does everything",
        grain: .layer, format: .number(3), baseline: "1 for an even router",
        baselineValue: { _, _ in 1 }, facets: .all, interval: "none: a maximum is not smooth enough for a jackknife",
        source: "OLMo-core \"load imbalance\"",
        glossary: "load of the busiest expert over the mean; 1 is even")
    case .gini:
      MetricEntry(
        key: key, name: "Gini coefficient of the load", unit: "dimensionless", range: "0...(E-1)/E",
        reading: "0: even; near 1: a few experts do everything",
        grain: .layer, format: .number(3), baseline: "0 for an even router",
        baselineValue: { _, _ in 0 }, facets: .all, interval: MetricCatalog.jackknife,
        source: "MoEAtlas `layer_gini_coefficients`, by ascending rank",
        glossary: "inequality of the load; 0 is even, near 1 few experts do everything")
    case .coverage:
      MetricEntry(
        key: key, name: "coverage of the busiest quarter", unit: "share of assignments", range: "1/4...1",
        reading: "1/4: even; 1: a quarter of the experts does everything (the quarter is rounded up)",
        grain: .layer, format: .percent(1), baseline: "N/E with N = E/4 rounded up",
        baselineValue: { chance, _ in Double((chance.experts + 3) / 4) / Double(chance.experts) }, facets: .all,
        interval: MetricCatalog.jackknife,
        source: "Megatron `analyze_routing_concentration.py`, C(N)",
        glossary: "share of assignments that go to the busiest quarter of the experts")
    case .idle:
      MetricEntry(
        key: key, name: "idle experts", unit: "experts", range: "0...E-1",
        reading: "experts that no token of the run visited",
        grain: .layer, format: .count, baseline: "E (1 - k/E)^T for uniform random choice",
        baselineValue: { chance, tokens in chance.idleExperts(tokens: tokens) }, facets: .all,
        interval: "none: a count of zeros is not smooth enough for a jackknife",
        source: "MoEAtlas; TRL#6514 `active_fraction`",
        glossary: "experts that no token visited")
    case .loadEntropy:
      MetricEntry(
        key: key, name: "entropy of the load", unit: "nat", range: "0...ln E",
        reading: "0: one expert does everything; ln E: even",
        grain: .layer, format: .number(3), baseline: "ln E for an even router",
        baselineValue: { chance, _ in log(Double(chance.experts)) }, facets: .all, interval: MetricCatalog.jackknife,
        source: "MoEAtlas summary",
        glossary: "Shannon entropy of the load; ln E is even")
    case .effectiveExperts:
      MetricEntry(
        key: key, name: "effective experts", unit: "experts", range: "1...E",
        reading: "as many equally busy experts would have this load entropy",
        grain: .layer, format: .number(1), baseline: "E for an even router",
        baselineValue: { chance, _ in Double(chance.experts) }, facets: .all, interval: MetricCatalog.jackknife,
        source: "MoEAtlas summary, exp(H)",
        glossary: "how many equally busy experts would be as even: exp(load entropy)")
    default:  // .dropped
      MetricEntry(
        key: .dropped, name: "dropped assignments", unit: "share of choices", range: "0...1",
        reading: "choices that a capacity limit did not compute",
        grain: .layer, format: .percent(1), baseline: "0 without a capacity limit",
        baselineValue: { _, _ in 0 }, facets: .none, interval: "none: drops follow from capacity, not from chance",
        source: "Switch Transformer, arXiv:2101.03961 (capacity)",
        glossary: "share of choices that a capacity limit dropped")
    }
  }
}
