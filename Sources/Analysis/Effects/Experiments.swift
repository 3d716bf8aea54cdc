// The experiments that go by a name, as rules: what each asks, and what it is held against.

import Routing

/// A named list of rules.
public enum Experiment: String, Sendable, CaseIterable {
  case gwMoE = "gw-moe"
  case redundancy
  case kSweep = "k-sweep"
  case importance
  case overflow

  /// What it asks, in one line.
  public var question: String {
    switch self {
    case .gwMoE: "does it matter which experts an uncertain token takes?"
    case .redundancy: "what if each token's best experts, or the shared ones, were not there?"
    case .kSweep: "how many experts does a token need?"
    case .importance: "what if one expert were not there, beside its neighbours in load?"
    case .overflow: "do a token's experts depend on the texts that share its batch?"
    }
  }

  /// Where the question was first asked.
  public var source: String {
    switch self {
    case .gwMoE: "Wu et al. 2024, GW-MoE, arXiv:2406.12375"
    case .redundancy: "Dai et al. 2024, DeepSeekMoE, arXiv:2401.06066, section 4.5"
    case .kSweep: "Dai et al. 2024, DeepSeekMoE, arXiv:2401.06066, section 4.5.2; Every Expert Matters (2025), figure 2"
    case .importance: "ablation of one expert at a time, minus that of experts of equal load"
    case .overflow: "Hayes et al. 2024, Buffer Overflow in Mixture of Experts, arXiv:2402.05526"
    }
  }

  /// The condition for uncertain decisions.
  static let uncertain = "entropy>q0.95"

  /// Whether loads or entropies of all texts, read as they are, must be known first.
  public var needsSurvey: Bool { self == .importance || self == .gwMoE }

  /// Whether it asks about the next token: then images have no answer.
  public var needsTexts: Bool { self == .overflow }

  /// The factors of capacity that texts of a batch share.
  static let capacities = ["1", "1.25", "1.5", "2"]

  /// An experiment by its name.
  ///
  /// - Throws: `ExperimentError.unknown`.
  public init(named name: String) throws {
    guard let known = Experiment(rawValue: name) else { throw ExperimentError.unknown(name: name) }
    self = known
  }

  /// The plan for a model.
  ///
  /// - Throws: `ExperimentError` where the model has nothing to ask about; `RuleError` for what its routers cannot do.
  public func plan(draws: Int, seed: UInt64, ground: EffectGround) throws -> EffectPlan {
    var plan = EffectPlan(draws: draws, seed: seed)
    let most = ground.routers.map(\.spec.topK).max() ?? 0
    let fewest = ground.routers.map(\.spec.expertCount).min() ?? 0
    guard most > 0 else { throw ExperimentError.noRouter(name: rawValue) }
    func rules(_ text: String) throws -> RuleSet { try RuleSet(parsing: text) }
    switch self {
    case .gwMoE:
      for action in ["redraw all=uniform", "swap all", "broadcast all"] {
        let word = action.prefix { $0 != " " }
        let conditioned = "\(action) if \(Self.uncertain)"
        try plan.add(rules(conditioned), name: "\(word), uncertain", ground: ground)
        plan.add(controlOf: plan.rows[plan.rows.count - 1], name: "\(word), certain", rules: "\(action), as many certain decisions")
        try plan.add(rules(action), name: "\(word), all", ground: ground)
      }
    case .redundancy:
      for count in 0...min(most, fewest) { try plan.add(rules("mask all:top\(count)"), name: "without the top \(count)", ground: ground) }
      let shared = zip(ground.routers, ground.sharedExperts).filter {
        $0.1 > 0 && $0.0.spec.topK < $0.0.spec.expertCount && !$0.0.spec.isHashed
      }.map(\.0.id)
      if !shared.isEmpty {
        let oneMore = shared.count == ground.routers.count ? ["topk all=+1"] : shared.map { "topk \($0)=+1" }
        try plan.add(rules((["shared all=off"] + oneMore).joined(separator: "; ")), name: "shared off, k + 1", ground: ground)
      }
    case .kSweep:
      let reached = ground.routers.map(\.spec.reachedExperts).min() ?? 0
      for count in 1...min(2 * most, reached) { try plan.add(rules("topk all=\(count)"), name: "k = \(count)", ground: ground) }
    case .overflow:
      let reason = "held against the same rules in other batches"
      try plan.add(uncontrolled: rules(""), name: "no capacity", because: reason)
      for order in CapacityChange.Order.allCases {
        for factor in Self.capacities {
          try plan.add(
            uncontrolled: rules("capacity all=\(factor),\(order.rawValue)"), name: "\(factor) \(order.rawValue)", because: reason)
        }
      }
      plan.replacesMates = true
      plan.notes += ground.remarksOnExpertChoice
    case .importance: try plan.addEveryExpert(ground) { try rules("mask \($0):\($1)") }
    }
    return plan
  }
}

/// Why an experiment cannot be made with a model.
public enum ExperimentError: Error, Hashable, Sendable, CustomStringConvertible {
  case unknown(name: String)
  case noRouter(name: String)

  public var description: String {
    switch self {
    case .unknown(let name):
      "--experiment \(name): there is no such experiment; expected \(Experiment.allCases.map(\.rawValue).joined(separator: ", "))"
    case .noRouter(let name): "--experiment \(name): the model has no router"
    }
  }
}

extension EffectGround {
  /// Where the order in which experts choose means less than elsewhere.
  fileprivate var remarksOnExpertChoice: [String] {
    func names(_ holds: (RouterSpec) -> Bool) -> String? {
      let found = routers.filter { holds($0.spec) }
      return found.isEmpty ? nil : found.count == routers.count ? "all routers" : found.map { "\($0.id)" }.joined(separator: ", ")
    }
    return [
      names { $0.topK >= $0.expertCount }.map {
        "every token takes every expert at \($0): no capacity of 1 or more is ever exceeded there"
      },
      names { $0.groupLimit != nil || $0.correctionBias != nil }.map {
        "expert-choice goes by router probability alone: groups and correction bias of \($0) take no part in it"
      },
      names { $0.identityExperts > 0 }.map { "some experts of \($0) compute nothing: what they have no room for is lost all the same" },
    ].compactMap(\.self)
  }
}
