// What a router is, as a value: six named steps, each driven by one field. `Router` reads this value and nothing else, so a new
// gating rule is a case here and its step there. The value is stored with every trace, which is how a trace can be re-checked.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Everything that turns router logits into a routing decision.
///
/// - Source: the table of known routers is pinned by `RouterTableTests`, one row per published family.
public struct RouterSpec: Hashable, Sendable, Codable {
  /// Scores the router gives out for one token, identity experts included.
  public var expertCount: Int
  /// How many of the last ids are identity experts: they cost nothing and return their input (LongCat).
  public var identityExperts: Int
  public var scoring: Scoring
  /// Added to the scores for selection only; the weights never see it. Shape: `[expertCount]`.
  public var correctionBias: [Float]?
  public var groupLimit: GroupLimit?
  public var selection: Selection
  public var weighting: Weighting
  public var normalization: Normalization
  /// Factor on the normalised weights.
  public var routedScale: Float
  /// Each expert's own factor on its normalised weights. Shape: `[expertCount]`; nil: 1.
  public var expertScales: [Float]?
  public var appliesTo: Application
  /// nil: every token is computed by every expert it chose.
  public var capacity: CapacityRule?
  /// What the weights of a router are whose rule does not say it; nil: what the rule makes them.
  public var statedWeights: WeightKind?
  /// How the router weighs the shared expert; nil: not at all.
  public var sharedWeight: SharedWeight?

  public init(
    expertCount: Int, identityExperts: Int = 0, scoring: Scoring, correctionBias: [Float]? = nil, groupLimit: GroupLimit? = nil,
    selection: Selection, weighting: Weighting = .scores, normalization: Normalization = .none, routedScale: Float = 1,
    expertScales: [Float]? = nil, appliesTo: Application = .output, capacity: CapacityRule? = nil,
    statedWeights: WeightKind? = nil, sharedWeight: SharedWeight? = nil
  ) {
    self.expertCount = expertCount
    self.identityExperts = identityExperts
    self.scoring = scoring
    self.correctionBias = correctionBias
    self.groupLimit = groupLimit
    self.selection = selection
    self.weighting = weighting
    self.normalization = normalization
    self.routedScale = routedScale
    self.expertScales = expertScales
    self.appliesTo = appliesTo
    self.capacity = capacity
    self.statedWeights = statedWeights
    self.sharedWeight = sharedWeight
  }

  /// Step 1: logits to scores.
  public enum Scoring: Hashable, Sendable, Codable {
    /// Softmax over all experts.
    case softmax
    /// Each expert for itself; the scores do not sum to 1.
    case sigmoid
    /// The root of `ln(1 + e^logit)`, each expert for itself (DeepSeek-V4).
    case sqrtSoftplus
    /// The logits themselves.
    case logits
    /// Experts are drawn one after the other, each by a softmax over those within `2 * epsilon` of the best one left
    /// (relative distance). Source: Liu et al. 2023, arXiv:2310.00811, as released with PhiMoE (inference form).
    case sparsemixer(epsilon: Float)
    /// By a function that is not repeated here.
    case stated(StatedScoring)
  }

  /// Step 2: only the experts of the best groups may be selected.
  public struct GroupLimit: Hashable, Sendable, Codable {
    public enum GroupScore: String, Hashable, Sendable, Codable { case maximum, sumOfTopTwo }
    public enum Fill: String, Hashable, Sendable, Codable { case zero, negativeInfinity }
    public var groupCount: Int
    public var topKGroups: Int
    public var groupScore: GroupScore
    public var fill: Fill

    public init(groupCount: Int, topKGroups: Int, groupScore: GroupScore, fill: Fill) {
      self.groupCount = groupCount
      self.topKGroups = topKGroups
      self.groupScore = groupScore
      self.fill = fill
    }

    /// What the experts of groups that were not kept have as selection score.
    var filledScore: Float { fill == .zero ? 0 : -.infinity }
  }

  /// Experts that a token can choose among: all, or those of the groups that are kept.
  public var reachedExperts: Int {
    guard let limit = groupLimit, limit.fill == .negativeInfinity, limit.groupCount > 0 else { return expertCount }
    return limit.topKGroups * (expertCount / limit.groupCount)
  }

  /// Step 3: who is picked.
  public enum Selection: Hashable, Sendable, Codable {
    /// Every token takes its `topK` best experts.
    case tokenChoice(topK: Int)
    /// The `topK` experts that a table of the model names for the token's id, whatever their scores: nothing is compared, so that there
    /// is no margin and no uncertainty; scores only weigh. The table is the model's and comes with the logits.
    /// Source: Roller et al. 2021, arXiv:2106.04426; as in the first layers of DeepSeek-V4.
    case hash(topK: Int)
    /// All entries of each list that reach its threshold, at least one a list.
    case aboveThreshold(ListThreshold)
    /// In a way that is not repeated here; a row takes up to `slots` experts.
    case stated(StatedSelection, slots: Int)
  }

  /// Step 4: what the picked experts weigh before normalisation.
  public enum Weighting: String, Hashable, Sendable, Codable {
    case scores, softmaxOfSelectedLogits, sigmoidOfSelectedLogits, ones
    /// A softmax of the picked experts' scores, times the best of them: together they weigh as much as the best score.
    /// Source: Ding et al. 2024 (XFT), arXiv:2404.15247.
    case bestTimesSoftmaxOfSelectedScores
  }

  /// What a router gives the expert beside the routed ones.
  public enum SharedWeight: String, Hashable, Sendable, Codable {
    /// 1 minus the best score of those picked (XFT).
    case oneMinusBestScore
  }

  /// Step 5: how the weights of one token are brought to a common sum.
  public enum Normalization: Hashable, Sendable, Codable {
    case none
    case sum(epsilon: Float)
    case sumClamped(minimum: Float)
    case pNorm(Float)
  }

  /// Step 6: what the weight multiplies.
  public enum Application: String, Hashable, Sendable, Codable { case input, output }

  /// Experts a token takes, at most where tokens take different numbers of them (`fillsSlots`).
  public var topK: Int {
    switch selection {
    case .tokenChoice(let topK), .hash(let topK), .stated(_, let topK): topK
    case .aboveThreshold(let rule): rule.count
    }
  }

  /// Lists whose entries are taken by a threshold; nil: there are none.
  public var lists: ListThreshold? { if case .aboveThreshold(let rule) = selection { rule } else { nil } }

  /// Whether experts are looked up by the token's id, so that scores decide about no one.
  public var isHashed: Bool { if case .hash = selection { true } else { false } }

  /// Step 6's factor on the weight of an expert.
  func scale(of expert: Int32) -> Float { routedScale * (expertScales?[Int(expert)] ?? 1) }

  /// Whether a token's assignments may depend on tokens behind it, so that a sequence has to be decided in one batch.
  public var takesWholeSequences: Bool { capacity?.looksAhead(topK: topK) ?? false }

  /// A function of one logit whose values, divided by their sum, are a router's distribution over experts.
  public enum Share: String, Sendable {
    case sigmoid
    case sqrtSoftplus = "sqrt-softplus"

    public func callAsFunction(_ logit: Float) -> Float {
      switch self {
      case .sigmoid: 1 / (1 + exp(-logit))
      // ln(1 + e^x) is x to the last bit of f32 from there on.
      case .sqrtSoftplus: (logit > 20 ? logit : log1p(exp(logit))).squareRoot()
      }
    }
  }

  /// What the router's distribution is made of where experts are scored each for itself; nil: a softmax over all logits.
  public var share: Share? {
    switch scoring {
    case .sigmoid: .sigmoid
    case .sqrtSoftplus: .sqrtSoftplus
    case .softmax, .logits, .sparsemixer, .stated: weighting == .sigmoidOfSelectedLogits ? .sigmoid : nil
    }
  }
}

extension RouterSpec {
  /// The unit of `selectionMargin`: what the family's top-k compares. Margins of different units must not share an axis.
  public var selectionScoreUnit: String {
    if isHashed { return "none" }
    if lists != nil { return "normalised logit" }
    let base =
      switch scoring {
      case .softmax: "probability"
      case .sigmoid: "sigmoid score"
      case .sqrtSoftplus: "sqrt-softplus score"
      case .logits, .sparsemixer: "logit"
      case .stated: "score"
      }
    return correctionBias == nil ? base : "biased " + base
  }

  /// The policy in one line, e.g. `softmax, top-8 of 64, weights not renormalised`.
  public var summary: String {
    if rule != .executable { return statedSummary }
    var parts: [String] = []
    switch scoring {
    case .softmax: parts.append("softmax")
    case .sigmoid: parts.append("sigmoid")
    case .sqrtSoftplus: parts.append("sqrt-softplus")
    case .logits where lists != nil: parts.append("pairs of lists, softmax over the chosen of each")
    case .logits: parts.append(weighting == .sigmoidOfSelectedLogits ? "sigmoid of the chosen" : "softmax over the chosen")
    case .sparsemixer(let epsilon): parts.append("sparsemixer (epsilon \(epsilon))")
    case .stated(let scoring): parts.append(scoring.words)
    }
    if correctionBias != nil { parts.append("selection bias") }
    if let groupLimit { parts.append("best \(groupLimit.topKGroups) of \(groupLimit.groupCount) groups") }
    if let lists {
      let lengths = lists.lists.map { "\($0.count)" }.joined(separator: " and ")
      parts.append("all above \((lists.threshold * 1000).rounded() / 1000) deviations of \(lengths)")
    } else {
      parts.append(isHashed ? "\(topK) of \(expertCount) by token id" : "top-\(topK) of \(expertCount)")
    }
    if identityExperts > 0 { parts.append("\(identityExperts) of them identity") }
    switch normalization {
    case .none where weighting == .scores: parts.append("weights not renormalised")
    case .none where weighting == .bestTimesSoftmaxOfSelectedScores: parts.append("softmax of the chosen scores times the best")
    case .none: break
    case .sum: parts.append("weights renormalised")
    case .sumClamped(let minimum): parts.append("weights renormalised (sum at least \(minimum))")
    case .pNorm(let p): parts.append("weights divided by their \(p)-norm")
    }
    if routedScale != 1 { parts.append("scaled by \(routedScale)") }
    if expertScales != nil { parts.append("scaled by expert") }
    if appliesTo == .input { parts.append("weight on the expert's input") }
    if sharedWeight != nil { parts.append("shared expert 1 - the best score") }
    switch capacity?.limit {
    case .tokens(let count): parts.append("at most \(count) tokens of a sequence an expert")
    case .share(let share): parts.append("at most \(share) of a sequence's tokens an expert")
    case nil: break
    }
    return parts.joined(separator: ", ")
  }

  /// - Throws: `RoutingError.invalidSpec` when the fields contradict each other; a valid spec never makes `Router` fail.
  public func validate() throws {
    func require(_ holds: Bool, _ expected: String, _ found: String) throws {
      if !holds { throw RoutingError.invalidSpec(expected: expected, found: found) }
    }
    try require(expertCount > 0, "at least one expert", "\(expertCount)")
    try require(topK > 0 && topK <= expertCount, "1 <= topK <= \(expertCount)", "topK \(topK)")
    try require(rule == .executable || capacity == nil, "no capacity where the rule is not repeated", "one")
    try require((0...expertCount).contains(identityExperts), "0...\(expertCount) identity experts", "\(identityExperts)")
    if let correctionBias {
      try require(correctionBias.count == expertCount, "\(expertCount) selection biases", "\(correctionBias.count)")
    }
    if let expertScales {
      try require(expertScales.count == expertCount, "\(expertCount) scales of experts", "\(expertScales.count)")
    }
    if let limit = groupLimit {
      try require(
        limit.groupCount > 0 && expertCount % limit.groupCount == 0, "a group count that divides \(expertCount)", "\(limit.groupCount)")
      try require((1...limit.groupCount).contains(limit.topKGroups), "1...\(limit.groupCount) kept groups", "\(limit.topKGroups)")
      try require(topK <= reachedExperts, "at most the \(reachedExperts) experts of the kept groups a token", "\(topK)")
      let perGroup = expertCount / limit.groupCount
      try require(limit.groupScore == .maximum || perGroup >= 2, "groups of two experts or more", "groups of \(perGroup)")
    }
    if let lists {
      try lists.validate(experts: expertCount)
      try require(
        scoring == .logits && weighting == .softmaxOfSelectedLogits && correctionBias == nil && groupLimit == nil && identityExperts == 0
          && capacity == nil && sharedWeight == nil, "logits, and weights by a softmax over the chosen, where lists have thresholds",
        "\(scoring), \(weighting), or a bias, groups, identity experts, a capacity or a shared weight")
    }
    if case .sparsemixer(let epsilon) = scoring {
      try require(epsilon >= 0, "epsilon >= 0", "\(epsilon)")
      try require(!isHashed, "scores of their own where experts are looked up", "sparsemixer")
    }
    if isHashed {
      try require(correctionBias == nil && groupLimit == nil, "no selection bias and no groups where experts are looked up", "one of them")
    }
    try require(routedScale.isFinite, "a finite routed scale", "\(routedScale)")
    switch capacity?.limit {
    case .tokens(let count): try require(count >= 0, "a capacity of 0 tokens or more", "\(count)")
    case .share(let share): try require((0...1).contains(share), "a share of 0...1 as capacity", "\(share)")
    case nil: break
    }
    if capacity?.renormalizes == true {
      // A token may lose all its experts, and then there is nothing to divide by.
      let isSafe: Bool
      switch normalization {
      case .none: isSafe = true
      case .sum(let bound), .sumClamped(let bound): isSafe = bound > 0
      case .pNorm: isSafe = false
      }
      try require(isSafe, "a sum bounded from below where weights are renormalised after drops", "\(normalization)")
    }
  }
}

public enum RoutingError: Error, Hashable, Sendable, CustomStringConvertible {
  case invalidSpec(expected: String, found: String)
  /// Columns of one batch disagree about the number of tokens.
  case malformedBatch(router: RouterID, column: String, expected: Int, found: Int)
  /// Steps, branches and patches that no run can have.
  case invalidLayout(expected: String, found: String)
  /// A level of recording that there is not.
  case badRecording(expected: String, found: String)

  public var description: String {
    switch self {
    case .invalidSpec(let expected, let found): "router: expected \(expected), found \(found)"
    case .invalidLayout(let expected, let found): "layout of a denoising run: expected \(expected), found \(found)"
    case .badRecording(let expected, let found): "expected \(expected); found \(found)"
    case .malformedBatch(let router, let column, let expected, let found):
      "router \(router): column \(column) has \(found) entries, expected \(expected)"
    }
  }
}
