// Catalog entries: the metrics of denoising runs. Computed in DenoisingProjection, Specialists and DenoisingClaims; this is what is said
// about them.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension MetricKey {
  /// Only denoising runs have it, and the counts of a run suffice for it.
  var isOfDenoising: Bool {
    switch self {
    case .choices, .choicesWeighted, .choicesMinMax, .useEntropy, .earlyLate, .stepDrift, .pathOverlap, .specialists, .ditClaims: true
    default: false
    }
  }
}

extension MetricCatalog {
  static let groupJackknife = "jackknife over groups of samples (sample number modulo 64)"
  private static let countingRule =
    "feizc/DiT-MoE `analysis/heatmap_*.py`: each selected id counts 1, shared experts excluded, conditional branch"

  static func denoisingEntry(_ key: MetricKey) -> MetricEntry {
    switch key {
    case .choices:
      MetricEntry(
        key: key, name: "choices along an axis of a denoising run", unit: "choices", range: "0 and above",
        reading: "the published heat maps: an expert's choices by step, patch or class",
        grain: .expert, format: .count, baseline: "the router's choices spread evenly over cells and experts",
        baselineValue: { _, _ in 0 }, facets: .denoising, interval: "none: counts are exact", source: countingRule,
        glossary: "how often each expert was chosen at a step, a patch or for a class")
    case .choicesWeighted:
      MetricEntry(
        key: key, name: "choices, weighted", unit: "sum of routing weights", range: "0 and above",
        reading: "like choices, each counted by the factor really applied",
        grain: .expert, format: .number(3), baseline: "the router's weight spread evenly over cells and experts",
        baselineValue: { _, _ in 0 }, facets: .denoising, interval: "none: sums are exact but for rounding", source: countingRule,
        glossary: "routing weight each expert got at a step, a patch or for a class")
    case .choicesMinMax:
      MetricEntry(
        key: key, name: "choices, scaled", unit: "dimensionless", range: "0...1",
        reading: "0: the smallest count of the layer; 1: the largest",
        grain: .expert, format: .number(3), baseline: "none: a scale, 0 is the smallest count",
        baselineValue: { _, _ in 0 }, facets: .denoising, interval: "none: a way to draw choices",
        source: "feizc/DiT-MoE `heatmap_patch.py`, `heatmap_step.py`: (x - min) / (max - min) of each layer",
        glossary: "choices scaled to 0...1 within the layer, as published")
    case .useEntropy:
      MetricEntry(
        key: key, name: "entropy of use by step", unit: "share of ln E", range: "0...1",
        reading: "0: one expert does all of a step; 1: all do the same",
        grain: .layer, format: .number(3), baseline: "1: even use",
        baselineValue: { _, _ in 1 }, facets: .step, interval: "none: early_late carries one",
        source: "DiT-MoE, arXiv:2407.11633, Fig. 7, as a number",
        glossary: "how evenly experts are used at a denoising step")
    case .earlyLate:
      MetricEntry(
        key: key, name: "late minus early entropy of use", unit: "share of ln E", range: "-1...1",
        reading: "above 0: the first fifth of the steps is more concentrated than the last three fifths",
        grain: .layer, format: .number(4), baseline: "0; circular shifts of the steps stand beside it in dit-claims",
        baselineValue: { _, _ in 0 }, facets: .none, interval: groupJackknife,
        source: "DiT-MoE, arXiv:2407.11633, section 3.3: steps below 50 against steps above 100, of 250",
        glossary: "whether early denoising steps use experts less evenly than late ones")
    case .stepDrift:
      MetricEntry(
        key: key, name: "drift of use between steps", unit: "nat", range: "0...ln 2",
        reading: "0: a step uses experts as the step before does; ln 2: entirely other ones",
        grain: .layer, format: .number(4), baseline: "0: no drift",
        baselineValue: { _, _ in 0 }, facets: .step, interval: "none: a descriptive number",
        source: "Jensen-Shannon divergence; the statistic is ours",
        glossary: "Jensen-Shannon divergence of expert use between neighbouring steps")
    case .pathOverlap:
      MetricEntry(
        key: key, name: "path overlap between steps", unit: "share", range: "0...1",
        reading: "0: neighbouring steps share no expert; 1: the same use. By timestep alone it is shared experts / k",
        grain: .layer, format: .number(3), baseline: "1: the same use",
        baselineValue: { _, _ in 1 }, facets: .step, interval: "none: a descriptive number",
        source: "Switch-DiT, arXiv:2403.09176, task-task affinity divided by the length of a path, for shares in place of sets",
        glossary: "share of expert use that neighbouring denoising steps have in common")
    case .specialists:
      MetricEntry(
        key: key, name: "specialists", unit: "times expected", range: "0 and above",
        reading: "for each expert the step, patch and class that prefer it most, where that is beyond chance",
        grain: .expert, format: .number(2), baseline: "1; adjusted_p controls all cells of an axis at once (largest |z| of each draw)",
        baselineValue: { _, _ in 1 }, facets: .none, interval: "none: adjusted_p",
        source: "max-statistic permutation; the nulls of specialization",
        glossary: "which expert stands for which step, place and class")
    default:  // .ditClaims
      MetricEntry(
        key: .ditClaims, name: "the statements of DiT-MoE", unit: "verdict", range: "holds, does not hold, undecided",
        reading: "five statements of the authors, each judged by the rule below",
        grain: .run, format: .number(4), baseline: "stands with each number: null, limit",
        baselineValue: { _, _ in 0 }, facets: .none,
        interval: "95 %, \(groupJackknife); over samples for the class",
        source: "DiT-MoE, arXiv:2407.11633, section 3.3, Figs. 5-7; the rules are ours",
        glossary: "what the authors of DiT-MoE say about routing, checked on this run",
        details: DenoisingClaim.allCases.map { "- **\($0.rawValue)** (\($0.statement)). \($0.rule)" }.joined(separator: "\n"))
    }
  }
}
