// The rules of a run, bound to the routers of its model: what an engine is given, what a trace says about itself, and what is needed to
// check the trace's decisions again.

/// Rules resolved for a model. One value serves a whole run; it holds no state of a sequence.
public struct Intervention: Sendable {
  public let rules: RuleSet
  /// Of the rules that draw.
  public let seed: UInt64
  private let bound: [RouterID: BoundRules]
  /// Whether some router can only decide about a whole sequence.
  public let takesWholeSequences: Bool

  /// - Parameters:
  ///   - run: what conditions may name: all routers of the model, and the texts that will be read.
  ///   - sharedExperts: always-on experts of each router's block, in the order of the run's routers.
  ///   - replays: the runs that `RuleSet.replayedRuns` names.
  ///   - settled: the decisions that conditions hold for; nil: each is asked when it is made.
  ///   - baseline: where the run without rules is known: a quantile of its normalised entropies, all routers pooled. Then conditions may ask
  ///     for quantiles, and for surprisals, which the caller hands to the engine.
  /// - Throws: `RuleError` for a layer, expert or shared expert that is not there, and for what cannot be.
  public init(
    _ rules: RuleSet, run: FilterContext, sharedExperts: [Int], replays: [String: ReplayedRouting] = [:], seed: UInt64 = 0,
    settled: SettledDecisions? = nil, baseline: ((Double) throws -> Double?)? = nil
  ) throws {
    let routers = run.routers
    precondition(routers.count == sharedExperts.count, "a number for each router")
    self.rules = rules
    self.seed = seed
    var chosen: [RouterID: [ConditionedRule]] = [:]
    let shared = Dictionary(zip(routers.map(\.id), sharedExperts), uniquingKeysWith: { first, _ in first })
    for rule in rules.rules {
      let condition = try rule.resolvedCondition(run, baseline: baseline)
      for router in try rule.targets(among: routers, sharedExperts: shared) {
        chosen[router.id, default: []].append(ConditionedRule(rule: rule, condition: condition))
      }
    }
    var bound: [RouterID: BoundRules] = [:]
    for router in routers {
      guard let mine = chosen[router.id] else { continue }
      bound[router.id] = try BoundRules(mine, at: router, replays: replays, settled: settled, seed: seed)
    }
    self.bound = bound
    takesWholeSequences = routers.contains { bound[$0.id]?.takesWholeSequences($0.spec) ?? false }
  }

  /// What is changed at a router; nil where nothing is.
  public subscript(router: RouterID) -> BoundRules? { bound[router] }

  /// Whether some rule counts the rows of a batch, so that it matters which texts share one.
  public var countsRows: Bool { bound.values.contains(where: \.countsRows) }

  /// Whether rules ask for the text up to a token.
  public var readsTexts: Bool { !rules.replayedRuns.isEmpty }

  /// The routers as a trace of this run describes them: their batches may be wider than their own `topK`.
  public func described(_ routers: [RouterDescription]) -> [RouterDescription] {
    routers.map { router in
      var router = router
      if let rules = bound[router.id] { router.slots = rules.slots }
      return router
    }
  }

  /// The routers of some stacks at which something is changed, in no order.
  public func routers(among stacks: Set<RouterStack>) -> [RouterID] { bound.keys.filter { stacks.contains($0.stack) } }
}

extension RuleSet {
  /// In words the routers that rules for all of them leave as they are because they can mean nothing there; nil: there is none.
  public func skipped(_ routers: [RouterDescription]) -> String? {
    let hashed = routers.filter(\.spec.isHashed).map(\.id)
    guard !hashed.isEmpty, rules.contains(where: { $0.routers == .all && $0.comparesScores }) else { return nil }
    return "mask, topk and swap leave \(hashed.listed) as they are: experts are looked up by token id there, and none is the next best"
  }
}

extension RoutingRule {
  /// The condition, held against the run.
  fileprivate func resolvedCondition(_ run: FilterContext, baseline: ((Double) throws -> Double?)?) throws -> ResolvedFilter? {
    guard let condition else { return nil }
    if baseline == nil {
      for clause in condition.clauses {
        switch clause.term {
        case .surprisal:
          throw RuleError.condition(rule: text, reason: "the surprisal of a token is not known yet when it is routed")
        case .entropy(_, .quantile):
          throw RuleError.condition(
            rule: text, reason: "a quantile of the run is known at its end only; try a share such as entropy>0.9, or 1.6nat")
        default: continue
        }
      }
    }
    do { return try condition.resolved(in: run) { try baseline?($0) } } catch let error as FilterError {
      throw RuleError.condition(rule: text, reason: "\(error)")
    }
  }

  /// Whether it takes experts by how they compare, which means nothing where they are looked up.
  fileprivate var comparesScores: Bool {
    switch action {
    case .mask, .topK, .swap: true
    default: false
    }
  }

  /// Whether it gives a number of places to experts, which means nothing where a token takes all that reach a threshold.
  private var countsPlaces: Bool {
    switch action {
    case .topK, .swap, .force, .redraw, .broadcast, .capacity: true
    default: false
    }
  }

  /// The routers this rule is about.
  ///
  /// - Throws: `RuleError` when one that is named is not there, or when none of them has what the rule changes.
  public func targets(among routers: [RouterDescription], sharedExperts: [RouterID: Int]) throws -> [RouterDescription] {
    let named = try self.routers.matches(among: routers, rule: text)
    let can: (RouterDescription) -> Bool
    let what: String
    var having = "the model has some at"
    switch action {
    case .bias: (can, what) = ({ $0.spec.correctionBias != nil }, "no correction bias is there")
    case .sharedExperts: (can, what) = ({ sharedExperts[$0.id] ?? 0 > 0 }, "no shared expert is there")
    case _ where countsPlaces && named.contains { $0.spec.lists != nil }:
      (can, what) = ({ $0.spec.lists == nil }, "tokens take all that reaches a threshold there")
      having = "they take a number of experts at"
    case _ where comparesScores:
      (can, what) = ({ !$0.spec.isHashed }, "experts are looked up by token id there, so that none is the next best")
      having = "they are chosen by score at"
    default: return named
    }
    // "all" means those that can; a name means itself.
    let able = named.filter(can)
    if able.isEmpty || (self.routers != .all && able.count < named.count) {
      let others = routers.filter(can).map(\.id)
      throw RuleError.notThere(rule: text, what: what, known: others.isEmpty ? "the model has none" : "\(having) \(others.listed)")
    }
    return able
  }
}

extension RouterSelector {
  fileprivate func matches(among routers: [RouterDescription], rule: String) throws -> [RouterDescription] {
    func missing(_ name: String) -> RuleError { .noRouter(rule: rule, named: name, known: routers.map(\.id).listed) }
    switch self {
    case .all:
      if routers.isEmpty { throw missing("at all") }
      return routers
    case .layers(let ranges):
      let there = Set(routers.map(\.id.layer.rawValue))
      for range in ranges {
        // A range that goes on and on is not walked through.
        let last = min(range.upperBound, (there.max() ?? -1) + 1)
        if let absent = (range.lowerBound...max(range.lowerBound, last)).first(where: { !there.contains($0) }) {
          throw missing("in layer \(absent)")
        }
      }
      return routers.filter { router in ranges.contains { $0.contains(router.id.layer.rawValue) } }
    case .path(let glob):
      let found = routers.filter { glob.matches($0.id.description) }
      if found.isEmpty { throw missing(glob.pattern) }
      return found
    }
  }
}

extension [RouterID] {
  /// `ffn.0 to ffn.3, attn.0`: runs of neighbouring layers together.
  public var listed: String {
    var runs: [(first: RouterID, last: RouterID)] = []
    for id in sorted() {
      if let last = runs.last?.last, last.lane == id.lane, last.layer.rawValue + 1 == id.layer.rawValue {
        runs[runs.count - 1].last = id
      } else {
        runs.append((id, id))
      }
    }
    let shown = runs.prefix(8).map { $0.first == $0.last ? "\($0.first)" : "\($0.first) to \($0.last)" }
    return isEmpty ? "none" : shown.joined(separator: ", ") + (runs.count > 8 ? ", …" : "")
  }
}
