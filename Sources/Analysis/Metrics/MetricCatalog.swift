// The list of all metrics, and the reference page made of it. The command line, the Help screen and docs/metrics.md read this list;
// a metric that is not in it does not exist. What a metric is stands in the file of its family.

public enum MetricCatalog {
  static let jackknife = "jackknife over sequences"
  static let groupJackknife = "jackknife over groups of samples (sample number modulo 64)"

  /// In the order of the reference.
  public static var entries: [Metric] { MetricKey.allCases.map(entry) }

  /// The metric of a name: each name has one, or this does not compile.
  public static func entry(_ key: MetricKey) -> Metric {
    switch key {
    case .load: .load
    case .activationRate: .activationRate
    case .loadRatio: .loadRatio
    case .weightedLoad: .weightedLoad
    case .importance: .importance
    case .loadCV: .loadCV
    case .maxViolation: .maxViolation
    case .maxOverMean: .maxOverMean
    case .gini: .gini
    case .coverage: .coverage
    case .idle: .idle
    case .loadEntropy: .loadEntropy
    case .effectiveExperts: .effectiveExperts
    case .dropped: .dropped
    case .expertNorm: .expertNorm
    case .weightedExpertNorm: .weightedExpertNorm
    case .coreSimilarity: .coreSimilarity
    case .entropy: .entropy
    case .entropyNats: .entropyNats
    case .routerPerplexity: .routerPerplexity
    case .topKEntropy: .topKEntropy
    case .top1Margin: .top1Margin
    case .selectionMargin: .selectionMargin
    case .flipRisk: .flipRisk
    case .biasFlips: .biasFlips
    case .topKMass: .topKMass
    case .sharedWeightShare: .sharedWeightShare
    case .sharedNormShare: .sharedNormShare
    case .uncertain: .uncertain
    case .pooledEntropy: .pooledEntropy
    case .pooledRatio: .pooledRatio
    case .encoderEntropy: .encoderEntropy
    case .encoderRatio: .encoderRatio
    case .decoderEntropy: .decoderEntropy
    case .decoderRatio: .decoderRatio
    case .tokenInformation: .tokenInformation
    case .balanceLoss: .balanceLoss
    case .balanceLossHF: .balanceLossHF
    case .zLoss: .zLoss
    case .repeatFirst: .repeatFirst
    case .repeatAny: .repeatAny
    case .overlap: .overlap
    case .jaccard: .jaccard
    case .specialization: .specialization
    case .choices: .choices
    case .choicesWeighted: .choicesWeighted
    case .choicesMinMax: .choicesMinMax
    case .useEntropy: .useEntropy
    case .earlyLate: .earlyLate
    case .stepDrift: .stepDrift
    case .pathOverlap: .pathOverlap
    case .specialists: .specialists
    case .ditClaims: .ditClaims
    }
  }

  /// The reference page: one section a metric.
  public static func markdown() -> String {
    var page = "# Metrics\n\nAll information is in nats; assignments count 1 each unless a metric is called weighted.\n"
    for entry in entries {
      page += """

        ## `\(entry.key.rawValue)`: \(entry.name)

        \(entry.glossary)

        | | |
        |---|---|
        | unit | \(entry.unit) |
        | range | \(entry.range) |
        | how to read it | \(entry.reading) |
        | one number per | \(entry.grain.reading) |
        | baseline | \(entry.baseline) |
        | along axes | \(entry.facets.rawValue) |
        | interval | \(entry.interval) |
        | no number | \(entry.missing) |
        | source | \(entry.source) |

        """
      if entry.needs.content > .ids || !entry.needs.extras.isEmpty { page += "| recorded with | `--record \(entry.needs)` or more |\n" }
      if entry.usesEntropyForm {
        page += "| `--as gw-moe` | over -sum p ln(p + 1e-5), p the softmax of all raw logits; needs `--record full` |\n"
      }
      if !entry.details.isEmpty { page += "\n" + entry.details + "\n" }
    }
    return page
  }

  /// Key and one line for each metric, for the Help screen.
  public static var glossary: [(term: String, text: String)] { entries.map { ($0.key.rawValue, $0.glossary) } }
}
