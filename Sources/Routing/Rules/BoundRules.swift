// What do the rules of a run mean at one router? Resolved once: names have become numbers, everything that cannot be is refused, and what
// is left is a short list of steps that `Router` walks through for each token.

/// The rules of one router, in the order in which they act.
public struct BoundRules: Sendable {
  public let router: RouterID
  /// Experts a row can have at most: the width of its batches.
  public let slots: Int
  let steps: [RuleStep]
  /// Of each step: the decisions it is about; nil: all.
  let conditions: [ResolvedFilter?]
  /// Experts a token takes; the most where a change of it is bound to a condition.
  let topK: Int
  /// Whether no rule changes that number.
  private let keepsTopK: Bool
  /// In place of the model's own.
  let capacity: CapacityChange?
  /// The decisions that count towards it.
  let capacityCondition: ResolvedFilter?
  /// In place of asking conditions.
  let settled: SettledDecisions?
  let seed: UInt64

  /// - Parameter rules: those that name this router.
  /// - Throws: `RuleError` for what this router does not have or cannot do.
  init(
    _ rules: [ConditionedRule], at description: RouterDescription, replays: [String: ReplayedRouting], settled: SettledDecisions?,
    seed: UInt64
  ) throws {
    var binding = RuleBinding(description, replays: replays)
    let ordered = rules.enumerated().sorted { ($0.element.rule.action.stage, $0.offset) < ($1.element.rule.action.stage, $1.offset) }
    for (_, rule) in ordered { try binding.add(rule) }
    router = description.id
    (self.settled, self.seed) = (settled, seed)
    (steps, conditions) = (binding.steps, binding.conditions)
    topK = binding.counts.max() ?? description.spec.topK
    keepsTopK = binding.counts == [description.spec.topK]
    (capacity, capacityCondition) = (binding.capacity, binding.capacityCondition)
    slots = binding.takesAll ? description.spec.expertCount : max(topK, binding.replayed)
  }

  /// Whether what a row takes depends on the rows it comes with.
  public var countsRows: Bool { capacity != nil }

  /// Whether a token's fate depends on tokens behind it, so that a sequence has to be decided in one batch.
  func takesWholeSequences(_ spec: RouterSpec) -> Bool { capacity != nil || spec.capacity?.looksAhead(topK: slots) ?? false }

  /// What its rules ask of decisions, each once.
  public var asked: [ResolvedFilter] {
    var asked: [ResolvedFilter] = []
    for case .some(let condition) in conditions + [capacityCondition] where !asked.contains(where: { $0.filter == condition.filter }) {
      asked.append(condition)
    }
    return asked
  }

  /// Whether some rule is about some decisions only.
  var hasConditions: Bool { capacityCondition != nil || conditions.contains { $0 != nil } }

  /// Whether what a token takes is no longer the router's own choice: loads and routes say nothing about the router then.
  public var choosesExperts: Bool {
    capacity != nil
      || steps.contains {
        switch $0 {
        case .temperature, .scale, .scaleBest, .sharedExperts: false
        case .topK: !keepsTopK
        default: true
        }
      }
  }

  /// Whether the experts of a token can be found again from its logits alone.
  public var isRecomputable: Bool {
    capacity?.order != .expertChoice && !steps.contains { if case .replay = $0 { true } else { false } }
  }

  /// Whether every token takes the router's own number of experts.
  public var keepsCount: Bool {
    capacity?.order != .expertChoice
      && !steps.contains {
        switch $0 {
        case .mask, .maskBest, .replay, .broadcast: true
        case .topK: !keepsTopK
        default: false
        }
      }
  }
}

/// A rule with its condition held against the run.
struct ConditionedRule {
  var rule: RoutingRule
  var condition: ResolvedFilter?
}

/// One rule at one router.
enum RuleStep: Sendable {
  case temperature(Float)
  case bias(isOn: Bool)
  case mask([Int32])
  case maskBest(Int)
  case topK(TopKChange)
  case force([Int32])
  case swap
  /// - Parameter stream: sets its numbers apart from those of other routers and rules.
  case redraw(RedrawOdds, stream: UInt64)
  case replay(ReplayedRouting, withWeights: Bool)
  case broadcast
  case scale([Int32], Float)
  case scaleBest(Int, Float)
  case sharedExperts(isOn: Bool)
}

/// Resolves rules one after the other at one router.
private struct RuleBinding {
  private let description: RouterDescription
  private let replays: [String: ReplayedRouting]
  private(set) var steps: [RuleStep] = []
  private(set) var conditions: [ResolvedFilter?] = []
  /// How many experts a token may take, as far as the rules so far say.
  private(set) var counts: Set<Int>
  private(set) var capacity: CapacityChange?
  private(set) var capacityCondition: ResolvedFilter?
  /// Most experts of a replayed row.
  private(set) var replayed = 0
  private(set) var takesAll = false

  private var spec: RouterSpec { description.spec }

  init(_ description: RouterDescription, replays: [String: ReplayedRouting]) {
    self.description = description
    self.replays = replays
    counts = [description.spec.topK]
  }

  mutating func add(_ conditioned: ConditionedRule) throws {
    let rule = conditioned.rule
    func append(_ step: RuleStep) {
      steps.append(step)
      conditions.append(conditioned.condition)
    }
    func require(_ holds: Bool, _ expected: String, _ found: String) throws {
      if !holds { throw RuleError.impossible(rule: rule.text, router: description.id, expected: expected, found: found) }
    }
    switch rule.action {
    case .temperature(let temperature): append(.temperature(temperature))
    case .bias(let isOn): append(.bias(isOn: isOn))
    case .mask(.best(let count)):
      try requireExperts(count, rule)
      append(.maskBest(count))
    case .mask(let experts): append(.mask(try ids(experts, rule)))
    case .topK(let change):
      let changed = Set(counts.map { change.applied(to: $0) })
      counts = conditioned.condition == nil ? changed : counts.union(changed)
      for count in counts.sorted() {
        try require(1...spec.expertCount ~= count, "1 to \(spec.expertCount) experts a token", "\(count)")
        var wider = spec
        wider.selection = .tokenChoice(topK: count)
        do { try wider.validate() } catch RoutingError.invalidSpec(let expected, let found) { try require(false, expected, found) }
      }
      append(.topK(change))
    case .force(let experts):
      let room = counts.min() ?? spec.topK
      try require(experts.count <= room, "at most the \(room) experts a token takes", "\(experts.count)")
      append(.force(try ids(.ids(experts), rule)))
    case .swap:
      let reached = spec.reachedExperts
      let among = reached < spec.expertCount ? " of its kept groups" : ""
      try require((counts.max() ?? 0) < reached, "an expert\(among) that was not chosen", "all \(reached) taken")
      append(.swap)
    case .redraw(let odds): append(.redraw(odds, stream: description.id.stream &+ UInt64(steps.count)))
    case .replay(let run, let withWeights):
      guard let routing = replays[run], let shape = routing.shape(of: description.id) else {
        return try require(false, "a router of this name in \(run)", "none")
      }
      try require(shape.experts == spec.expertCount, "\(spec.expertCount) experts in \(run)", "\(shape.experts)")
      try require(!withWeights || shape.hasWeights, "weights in \(run)", "none: it recorded ids only")
      replayed = max(replayed, shape.slots)
      append(.replay(routing, withWeights: withWeights))
    case .capacity(let change):
      (capacity, capacityCondition) = (change, conditioned.condition)
      if change.order == .expertChoice { takesAll = true }
    case .broadcast:
      takesAll = true
      append(.broadcast)
    case .scale(.best(let count), let factor):
      try requireExperts(count, rule)
      append(.scaleBest(count, factor))
    case .scale(let experts, let factor): append(.scale(try ids(experts, rule), factor))
    case .sharedExperts(let isOn): append(.sharedExperts(isOn: isOn))
    }
  }

  private func requireExperts(_ count: Int, _ rule: RoutingRule) throws {
    guard count > spec.expertCount else { return }
    throw RuleError.impossible(
      rule: rule.text, router: description.id, expected: "at most its \(spec.expertCount) experts", found: "top\(count)")
  }

  private func ids(_ experts: ExpertSelector, _ rule: RoutingRule) throws -> [Int32] {
    guard case .ids(let ids) = experts else { return (0..<spec.expertCount).map(Int32.init) }
    for id in ids where id >= spec.expertCount {
      throw RuleError.noExpert(rule: rule.text, router: description.id, named: id, experts: spec.expertCount)
    }
    return ids.map(Int32.init)
  }
}

extension RouterID {
  /// A number of its own, the same on every machine.
  fileprivate var stream: UInt64 {
    let text = description.utf8.reduce(into: UInt64(0)) { $0 = SplitMix64.mix($0 &+ UInt64($1) &+ 1) }
    return SplitMix64.mix(text)
  }
}
