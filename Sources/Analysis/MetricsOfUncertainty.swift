// Catalog entries: metrics of how sure the router is. Computed elsewhere; this is what is said about them.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension MetricCatalog {
  static func uncertaintyEntry(_ key: MetricKey) -> MetricEntry {
    switch key {
    case .entropy:
      MetricEntry(
        key: key, name: "normalised router entropy", unit: "share of ln E", range: "0...1",
        reading: "0: the router is certain; 1: it cannot tell experts apart; sigmoid scores are divided by "
          + "their sum first",
        grain: .layer, format: .number(3), baseline: "1 for equal logits",
        baselineValue: { _, _ in 1 }, facets: .all, interval: MetricCatalog.jackknife,
        source: "Wu et al. 2024, GW-MoE, arXiv:2406.12375, divided by ln E; TRL#6514 `normalized_entropy`",
        glossary: "router entropy divided by ln(experts): 0 certain, 1 cannot tell")
    case .entropyNats:
      MetricEntry(
        key: key, name: "router entropy", unit: "nat", range: "0...ln E",
        reading: "0: the router is certain; ln E: it cannot tell experts apart",
        grain: .layer, format: .number(3), baseline: "ln E for equal logits",
        baselineValue: { chance, _ in log(Double(chance.experts)) }, facets: .all, interval: MetricCatalog.jackknife,
        source: "Wu et al. 2024, GW-MoE, arXiv:2406.12375",
        glossary: "Shannon entropy of the router over all experts")
    case .top1Margin:
      MetricEntry(
        key: key, name: "top-1 margin", unit: "probability", range: "0...1",
        reading: "0: two experts are equally wanted; 1: one expert takes all",
        grain: .layer, format: .number(4), baseline: "0 for equal logits",
        baselineValue: { _, _ in 0 }, facets: .all, interval: MetricCatalog.jackknife,
        source: "MoEAtlas `router_margin`",
        glossary: "largest minus second largest router probability")
    case .selectionMargin:
      MetricEntry(
        key: key, name: "selection margin", unit: "selection score of the family", range: "0 and above",
        reading: "0: the last selected expert could as well be the first rejected one; units differ between "
          + "families and must not be compared",
        grain: .layer, format: .number(4), baseline: "0 for equal logits",
        baselineValue: { _, _ in 0 }, facets: .all, interval: MetricCatalog.jackknife,
        source: "derived; motive sglang#38695",
        glossary: "k-th minus (k+1)-th selection score: how near another expert was")
    case .topKMass:
      MetricEntry(
        key: key, name: "top-k mass", unit: "probability", range: "k/E...1",
        reading: "k/E: the choice hardly matters; 1: nothing is left out",
        grain: .layer, format: .number(3), baseline: "k/E for equal logits",
        baselineValue: { chance, _ in chance.activationRate }, facets: .all, interval: MetricCatalog.jackknife,
        source: "standard; Every Expert Matters, captured mass",
        glossary: "router probability that falls on the selected experts")
    case .uncertain:
      MetricEntry(
        key: key, name: "uncertain decisions", unit: "share of decisions", range: "0...1",
        reading: "share of decisions whose entropy reaches the threshold",
        grain: .layer, format: .percent(1), baseline: "1 - q over the whole run for a quantile threshold, none otherwise",
        baselineValue: { _, _ in nil }, facets: .all, interval: MetricCatalog.jackknife,
        source: "Wu et al. 2024, GW-MoE, arXiv:2406.12375",
        glossary: "share of decisions over the entropy threshold (GW-MoE, arXiv:2406.12375)")
    default:  // .tokenInformation
      MetricEntry(
        key: .tokenInformation, name: "information of a token", unit: "nat", range: "0...ln E",
        reading: "0: every token gets the same distribution; ln E: each token is certain and all experts are "
          + "used",
        grain: .layer, format: .number(3), baseline: "0 when routing ignores the token",
        baselineValue: { _, _ in 0 }, facets: .none, interval: "none: importance is kept for the run, not for each sequence",
        source: "standard (Jensen-Shannon form): H(mean p) - mean H",
        glossary: "how much knowing the token tells about its experts")
    }
  }
}
