// What metrics are called on the command line, in exports and in reports, and how a name is read.

/// A metric, by its name.
public enum MetricKey: String, CaseIterable, Sendable, Hashable, Codable {
  case load
  case activationRate = "activation_rate"
  case loadRatio = "load_ratio"
  case weightedLoad = "weighted_load"
  case importance
  case loadCV = "load_cv"
  case maxViolation = "max_vio"
  case maxOverMean = "max_over_mean"
  case gini
  case coverage
  case idle
  case loadEntropy = "load_entropy"
  case effectiveExperts = "effective_experts"
  case dropped
  case expertNorm = "expert_norm"
  case weightedExpertNorm = "weighted_expert_norm"
  case coreSimilarity = "core_similarity"
  case entropy
  case entropyNats = "entropy_nats"
  case routerPerplexity = "router_perplexity"
  case topKEntropy = "top_k_entropy"
  case top1Margin = "top1_margin"
  case selectionMargin = "selection_margin"
  case flipRisk = "flip_risk"
  case biasFlips = "bias_flips"
  case topKMass = "top_k_mass"
  case sharedWeightShare = "shared_weight_share"
  case sharedNormShare = "shared_norm_share"
  case uncertain
  case pooledEntropy = "pooled_entropy"
  case pooledRatio = "pooled_gw_ratio"
  case encoderEntropy = "encoder_entropy"
  case encoderRatio = "encoder_gw_ratio"
  case decoderEntropy = "decoder_entropy"
  case decoderRatio = "decoder_gw_ratio"
  case tokenInformation = "token_information"
  case balanceLoss = "balance_loss"
  case balanceLossHF = "balance_loss_hf"
  case zLoss = "z_loss"
  case repeatFirst = "repeat_first"
  case repeatAny = "repeat_any"
  case overlap
  case jaccard
  case specialization
  case choices
  case choicesWeighted = "choices_weighted"
  case choicesMinMax = "choices_minmax"
  case useEntropy = "use_entropy"
  case earlyLate = "early_late"
  case stepDrift = "step_drift"
  case pathOverlap = "path_overlap"
  case specialists
  case ditClaims = "dit-claims"

  /// - Throws: `AnalysisError.unknownMetric` with the nearest name.
  public init(parsing name: String) throws {
    guard let key = MetricKey(rawValue: name) else {
      let nearest = Self.allCases.map { (key: $0, distance: editDistance($0.rawValue, name)) }.min { $0.distance < $1.distance }
      throw AnalysisError.unknownMetric(found: name, nearest: nearest.flatMap { $0.distance <= 3 ? $0.key.rawValue : nil })
    }
    self = key
  }

  /// Reads `load_cv,idle,entropy`.
  public static func list(parsing text: String) throws -> [MetricKey] {
    try text.split(separator: ",").map { try MetricKey(parsing: String($0)) }
  }
}

/// Insertions, deletions and substitutions that turn one word into the other.
public func editDistance(_ a: String, _ b: String) -> Int {
  let target = Array(b)
  var row = Array(0...target.count)
  for (i, letter) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, other) in target.enumerated() {
      let cost = min(row[j] + 1, row[j + 1] + 1, diagonal + (letter == other ? 0 : 1))
      diagonal = row[j + 1]
      row[j + 1] = cost
    }
  }
  return row[target.count]
}
