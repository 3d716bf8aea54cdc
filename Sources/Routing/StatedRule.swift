// Routers whose decisions were made elsewhere, in a way that is stated or not even known: what is said of them, and what a reader of their
// numbers may ask. Nothing here decides; `Router` takes executable rules only.

/// How experts were taken by a router that is not repeated here.
public enum StatedSelection: String, Hashable, Sendable, Codable, CaseIterable {
  case topK = "top_k"
  /// As many of the best as together reach a probability.
  case topP = "top_p"
  /// All whose score reaches a threshold.
  case threshold
  /// Experts took rows.
  case expertChoice = "expert_choice"
  /// Every expert, by its weight.
  case dense
  /// By a rule that looks at no score: a modality, a task.
  case fixed
  case hash
  /// At random by the scores.
  case drawn
  case unknown

  /// Whether every row takes as many experts as there are slots.
  var fillsSlots: Bool { [.topK, .hash, .dense].contains(self) }

  var words: String {
    switch self {
    case .topK: "the best"
    case .topP: "the best up to a share of probability"
    case .threshold: "all above a threshold"
    case .expertChoice: "experts take rows"
    case .dense: "all"
    case .fixed: "by a fixed rule"
    case .hash: "by token id"
    case .drawn: "drawn"
    case .unknown: "selection not known"
    }
  }
}

/// How scores come of logits in a router that is not repeated here.
public enum StatedScoring: String, Hashable, Sendable, Codable, CaseIterable {
  case softmax, sigmoid, linear
  /// Similarity to a vector of each expert, over a temperature.
  case cosine
  /// Products of two lists of keys.
  case productKey = "product_key"
  case unknown

  var words: String {
    switch self {
    case .softmax, .sigmoid, .linear, .cosine: rawValue
    case .productKey: "product keys"
    case .unknown: "scoring not known"
    }
  }
}

/// What a routing weight is.
public enum WeightKind: String, Hashable, Sendable, Codable, CaseIterable {
  /// A share: of one row none is below 0, and together they make 1 at most.
  case probability
  /// 0 or more.
  case unnormalized
  /// May be below 0: sums and entropies of such weights mean nothing.
  case signed
  /// No weight is known.
  case none
}

/// What is known of the rule of a router.
public enum RuleKnowledge: String, Hashable, Sendable, Codable, CaseIterable {
  /// Each decision can be repeated from its logits.
  case executable
  /// Somebody says so, and it cannot be checked.
  case declared
  case unknown
}

extension RouterSpec {
  /// A router of which ids were kept and nothing else is known.
  public static func unknown(experts: Int, slots: Int, weights: WeightKind = .none) -> RouterSpec {
    RouterSpec(
      expertCount: experts, scoring: .stated(.unknown), selection: .stated(.unknown, slots: slots), statedWeights: weights)
  }

  public var rule: RuleKnowledge {
    switch (selection, scoring) {
    case (.stated(.unknown, _), .stated(.unknown)): .unknown
    case (.stated, _), (_, .stated): .declared
    default: .executable
    }
  }

  /// The word for how experts are taken, as traces say it.
  public var selectionName: String {
    switch selection {
    case .tokenChoice: StatedSelection.topK.rawValue
    case .hash: StatedSelection.hash.rawValue
    case .aboveThreshold: StatedSelection.threshold.rawValue
    case .stated(let selection, _): selection.rawValue
    }
  }

  /// Whether every row takes `topK` experts; nil where nobody knows.
  public var fillsSlots: Bool? {
    switch selection {
    case .tokenChoice, .hash: true
    case .aboveThreshold: false
    case .stated(.unknown, _): nil
    case .stated(let selection, _): selection.fillsSlots
    }
  }

  public var weightKind: WeightKind {
    if let statedWeights { return statedWeights }
    if routedScale < 0 || weighting == .scores && scoring == .logits { return .signed }
    if routedScale != 1 || expertScales != nil || weighting == .ones { return .unnormalized }
    switch normalization {
    case .sum, .sumClamped: return .probability
    case .pNorm(let p): return p == 1 ? .probability : .unnormalized
    case .none: break
    }
    switch weighting {
    case .softmaxOfSelectedLogits: return .probability
    case .bestTimesSoftmaxOfSelectedScores: return .unnormalized
    case .scores: return scoring == .softmax ? .probability : .unnormalized
    case .sigmoidOfSelectedLogits, .ones: return .unnormalized
    }
  }

  /// One line of what is known.
  var statedSummary: String {
    var parts: [String] = []
    if rule == .unknown {
      parts.append("rule not known")
    } else {
      if case .stated(let scoring) = scoring { parts.append(scoring.words) } else { parts.append("\(scoring)") }
      if case .stated(let selection, _) = selection { parts.append(selection.words) }
    }
    let most = fillsSlots == false ? "up to \(topK)" : "\(topK)"
    parts.append("\(most) of \(expertCount)")
    if weightKind == .none { parts.append("no weights") }
    if weightKind == .signed { parts.append("signed weights") }
    return parts.joined(separator: ", ")
  }
}
