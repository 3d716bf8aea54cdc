// Catalog entries: balance losses, likeness of neighbours, specialization. Computed elsewhere; this is what is said about them.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension MetricCatalog {
  static func structureEntry(_ key: MetricKey) -> MetricEntry {
    switch key {
    case .balanceLoss:
      MetricEntry(
        key: key, name: "auxiliary balance loss", unit: "dimensionless", range: "about 1...E",
        reading: "1: uniform; E: every token gives everything to one expert",
        grain: .layer, format: .number(3), baseline: "1 at uniform",
        baselineValue: { _, _ in 1 }, facets: .none, interval: "none: importance is kept for the run, not for each sequence",
        source: "arXiv:2101.03961; Megatron `switch_load_balancing_loss_func`",
        glossary: "E times the sum of load x importance: 1 when balanced")
    case .balanceLossHF:
      MetricEntry(
        key: key, name: "auxiliary balance loss, Hugging Face form", unit: "dimensionless", range: "about k...kE",
        reading: "k: uniform; kE: one expert takes everything; k times balance_loss when nothing is padded",
        grain: .layer, format: .number(3), baseline: "k at uniform",
        baselineValue: { chance, _ in Double(chance.topK) }, facets: .none,
        interval: "none: importance is kept for the run, not for each sequence",
        source: "transformers `load_balancing_loss_func`, here for each layer alone",
        glossary: "balance loss as transformers counts it: k when balanced")
    case .zLoss:
      MetricEntry(
        key: key, name: "z-loss", unit: "nat squared", range: "0 and above",
        reading: "(ln E)^2 when all logits are 0; grows with the size of the logits",
        grain: .layer, format: .number(3), baseline: "(ln E)^2 for logits of 0",
        baselineValue: { chance, _ in log(Double(chance.experts)) * log(Double(chance.experts)) }, facets: .none,
        interval: "none: summed for each batch, not for each sequence",
        source: "ST-MoE, arXiv:2202.08906; Megatron `z_loss_func`",
        glossary: "mean squared log-sum-exp of the router logits")
    case .repeatFirst:
      MetricEntry(
        key: key, name: "repeat of the first choice", unit: "share of pairs", range: "0...1",
        reading: "0: neighbours never agree; 1/E: as chance has it; 1: always",
        grain: .layer, format: .percent(1),
        baseline: "1/E; under the layer's own load the sum of squared first-choice shares (own_load_baseline)",
        baselineValue: { chance, _ in chance.share }, facets: .labels, interval: MetricCatalog.jackknife,
        source: "Mixtral, arXiv:2401.04088, section 5",
        glossary: "how often a token has the same first expert as the token before")
    case .repeatAny:
      MetricEntry(
        key: key, name: "any expert shared with the token before", unit: "share of pairs", range: "0...1",
        reading: "1 - C(E-k,k)/C(E,k): as chance has it; 1: always",
        grain: .layer, format: .percent(1), baseline: "1 - C(E-k,k)/C(E,k)",
        baselineValue: { chance, _ in chance.anyOverlap }, facets: .labels, interval: MetricCatalog.jackknife,
        source: "Mixtral, arXiv:2401.04088, section 5",
        glossary: "how often a token shares an expert with the token before")
    case .overlap:
      MetricEntry(
        key: key, name: "experts shared with the token before", unit: "experts", range: "0...k",
        reading: "0: none; k^2/E: as chance has it; k: the same set",
        grain: .layer, format: .number(3),
        baseline: "k^2/E; under the layer's own load the sum of squared activation rates (own_load_baseline)",
        baselineValue: { chance, _ in chance.meanOverlap }, facets: .labels, interval: MetricCatalog.jackknife,
        source: "MoEAtlas; ds4#307",
        glossary: "how many experts a token shares with the token before")
    case .jaccard:
      MetricEntry(
        key: key, name: "likeness to the token before", unit: "dimensionless", range: "0...1",
        reading: "0: disjoint sets; 1: the same set; one minus it is churn",
        grain: .layer, format: .number(3), baseline: "mean of m/(2k-m), m hypergeometric",
        baselineValue: { chance, _ in chance.meanJaccard }, facets: .labels, interval: MetricCatalog.jackknife,
        source: "MoEAtlas `route_churn`",
        glossary: "shared experts over experts of either token")
    default:  // .specialization
      MetricEntry(
        key: .specialization, name: "specialization", unit: "nat", range: "0...min(H(cell), ln E), below 0 by chance",
        reading: "0: the axis says nothing about experts; H(cell): the expert tells the cell",
        grain: .axis, format: .number(3),
        baseline: "0; the permutation null stands beside it (labels over sequences, circular shifts for "
          + "position and step, toroidal shifts for patches)",
        baselineValue: { _, _ in 0 }, facets: .every, interval: MetricCatalog.jackknife,
        source: "standard mutual information; null and interval as docs/contracts.md (numbers in JSON) has them",
        glossary: "information between expert and axis, minus the mean of its null")
    }
  }
}
