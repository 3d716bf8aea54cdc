// What is read to answer a question about rules: the variants, each a set of rules with a seed, and the rows of the answer, each a mean over
// some variants beside a mean over those that stand for chance. Nothing here runs a model.

import Routing

/// One way to read every text.
public struct EffectVariant: Sendable, Hashable {
  public var rules: RuleSet
  /// Of rules that draw.
  public var seed: UInt64
  /// The draw of a control whose conditions hold for other decisions, as many; nil: for those that they say.
  public var otherDecisions: Int?
}

/// What an effect is held against.
public struct EffectControl: Sendable, Equatable {
  public enum Kind: String, Sendable {
    /// Experts of the same layer that are nearest in load.
    case equalLoad = "equal_load"
    /// As many decisions of the same text and router for which the condition does not hold.
    case equalSize = "equal_size"
    case none
  }

  public var kind: Kind
  /// Indices of variants, averaged.
  public var variants: [Int] = []
  /// Why there is none.
  public var reason: String?
  /// The largest ratio of two loads that stand for each other, at least 1; a load of 0 counts as 1.
  public var loadRatio: Double?

  /// Loads that differ more than this are no longer near.
  public static let flaggedRatio = 2.0

  static func none(_ reason: String) -> EffectControl { EffectControl(kind: .none, reason: reason) }
}

/// One row of an answer.
public struct EffectRow: Sendable {
  public var name: String
  public var rules: String
  /// Indices of variants, averaged: draws of the same rules.
  public var variants: [Int]
  public var control: EffectControl
}

/// What of the unchanged run a plan may need.
public struct EffectGround: Sendable {
  /// In the order of the model.
  public var routers: [RouterDescription]
  /// Always-on experts beside each of them.
  public var sharedExperts: [Int]
  /// Assignments of each expert over all texts.
  public var loads: [RouterID: [Int]] = [:]

  public init(routers: [RouterDescription], sharedExperts: [Int]) {
    self.routers = routers
    self.sharedExperts = sharedExperts
  }

  /// Counts what was computed.
  public mutating func add(_ batch: RoutingBatch) {
    var load = loads[batch.router] ?? Array(repeating: 0, count: batch.expertCount)
    for expert in batch.carriedOut where expert >= 0 { load[Int(expert)] += 1 }
    loads[batch.router] = load
  }

  func targets(_ rule: RoutingRule) throws -> [RouterDescription] {
    try rule.targets(
      among: routers, sharedExperts: Dictionary(zip(routers.map(\.id), sharedExperts), uniquingKeysWith: { first, _ in first }))
  }
}

/// Variants and rows, made from rules.
public struct EffectPlan: Sendable {
  public private(set) var variants: [EffectVariant] = []
  public private(set) var rows: [EffectRow] = []
  /// Whether rows are best read by falling evidence (`RoutingEffect.evidence`): where every expert has one.
  public internal(set) var isRanked = false
  /// Whether every text is read in other batches too.
  public internal(set) var replacesMates = false
  /// What there is to be said about the rows.
  public internal(set) var notes: [String] = []
  /// Draws of what is drawn.
  public let draws: Int
  public let seed: UInt64

  public init(draws: Int, seed: UInt64) {
    self.draws = draws
    self.seed = seed
  }

  /// Which of a row's controls a variant is, from 1 on; nil for one that is asked about itself.
  public func controlNumber(of variant: Int) -> Int? {
    if let draw = variants[variant].otherDecisions { return draw + 1 }
    if rows.contains(where: { $0.variants.contains(variant) }) { return nil }
    return rows.lazy.compactMap { $0.control.variants.firstIndex(of: variant) }.first.map { $0 + 1 }
  }

  /// A row for rules, with the control that fits them.
  ///
  /// Rules with a condition are held against other decisions, else rules that name experts against neighbours in load; what else stands in
  /// the rules stands in the control too.
  ///
  /// - Parameter name: nil: the rules themselves.
  /// - Throws: `RuleError`.
  public mutating func add(_ rules: RuleSet, name: String? = nil, ground: EffectGround) throws {
    if let remark = rules.skipped(ground.routers), !notes.contains(remark) { notes.append(remark) }
    let arm = addArm(rules)
    let control: EffectControl
    if rules.hasConditions {
      control = EffectControl(kind: .equalSize, variants: addOthers(rules))
    } else if rules.namesExperts {
      control = try addNeighbours(rules, ground)
    } else {
      control = .none("the rules change whole layers: there is nothing else of that size in them")
    }
    rows.append(EffectRow(name: name ?? rules.text, rules: rules.text, variants: arm, control: control))
  }

  /// A row for rules that stand for themselves.
  mutating func add(uncontrolled rules: RuleSet, name: String, because reason: String) {
    rows.append(EffectRow(name: name, rules: rules.text, variants: addArm(rules), control: .none(reason)))
  }

  /// A row whose effect is that of a control already there.
  mutating func add(controlOf row: EffectRow, name: String, rules: String) {
    rows.append(EffectRow(name: name, rules: rules, variants: row.control.variants, control: .none("this is the control of \(row.name)")))
  }

  /// A row for each expert; its control are the rows of its neighbours.
  ///
  /// - Parameter rules: of one expert of one router.
  mutating func addEveryExpert(_ ground: EffectGround, _ rules: (RouterID, Int) throws -> RuleSet) throws {
    let hashed = ground.routers.filter(\.spec.isHashed).map(\.id)
    if !hashed.isEmpty {
      notes.append("no row for the experts of \(hashed.listed): they are looked up by token id, and no other is the next best")
    }
    for router in ground.routers where !router.spec.isHashed {
      let first = variants.count
      for expert in 0..<router.spec.expertCount {
        variants.append(EffectVariant(rules: try rules(router.id, expert), seed: seed, otherDecisions: nil))
      }
      for expert in 0..<router.spec.expertCount {
        let text = variants[first + expert].rules.text
        let nearest = Neighbours(ground.loads[router.id] ?? [], without: [expert]).nearest(to: [expert])
        var control = EffectControl(kind: .equalLoad, variants: nearest.map { first + $0.experts[0] })
        control.loadRatio = nearest.map(\.ratio).max()
        if nearest.isEmpty { control = .none(Self.alone) }
        rows.append(EffectRow(name: "\(router.id):\(expert)", rules: text, variants: [first + expert], control: control))
      }
    }
    isRanked = true
  }

  private static let alone = "the rules name every expert of a layer: none is left to stand for chance"

  /// The rules themselves: once, or as often as is asked for where they draw.
  private mutating func addArm(_ rules: RuleSet) -> [Int] {
    let draws = rules.draws ? draws : 1
    return (0..<draws).map { add(EffectVariant(rules: rules, seed: seed &+ UInt64($0), otherDecisions: nil)) }
  }

  private mutating func addOthers(_ rules: RuleSet) -> [Int] {
    (0..<draws).map { add(EffectVariant(rules: rules, seed: seed &+ UInt64($0), otherDecisions: $0)) }
  }

  private mutating func add(_ variant: EffectVariant) -> Int {
    if let known = variants.firstIndex(of: variant) { return known }
    variants.append(variant)
    return variants.count - 1
  }

  /// The rules with other experts in the place of those they name: the nearest in load, the second nearest, the third.
  private mutating func addNeighbours(_ rules: RuleSet, _ ground: EffectGround) throws -> EffectControl {
    var named: [RouterID: Set<Int>] = [:]
    for rule in rules.rules {
      for router in try ground.targets(rule) { named[router.id, default: []].formUnion(rule.action.namedExperts ?? []) }
    }
    // Of each rule and router, what can stand in for its experts.
    var texts: [[String]] = Array(repeating: [], count: Neighbours.count)
    var ratio = 1.0
    var draws = Neighbours.count
    for rule in rules.rules {
      guard let experts = rule.action.namedExperts else {
        for draw in texts.indices { texts[draw].append(rule.text) }
        continue
      }
      for router in try ground.targets(rule) {
        let found = Neighbours(ground.loads[router.id] ?? [], without: named[router.id] ?? []).nearest(to: experts)
        draws = min(draws, found.count)
        for (draw, near) in found.enumerated() {
          texts[draw].append(rule.action.naming(near.experts, at: router.id))
          ratio = max(ratio, near.ratio)
        }
      }
    }
    if draws == 0 {
      let isEverything = rules.rules.contains {
        ($0.action.namedExperts?.count ?? 0) >= (ground.routers.map(\.spec.expertCount).min() ?? 0)
      }
      return .none(isEverything ? Self.alone : "fewer experts of a layer are left than the rules name: they cannot stand for chance")
    }
    let variants = try texts.prefix(draws).map {
      add(EffectVariant(rules: try RuleSet(parsing: $0.joined(separator: "; ")), seed: seed, otherDecisions: nil))
    }
    return EffectControl(kind: .equalLoad, variants: variants, loadRatio: ratio)
  }
}

/// Experts of one router by how near their loads are.
private struct Neighbours {
  /// Stand-ins that a control has.
  static let count = 3
  private let loads: [Int]
  private let outside: [Int]

  init(_ loads: [Int], without named: Set<Int>) {
    self.loads = loads
    outside = loads.indices.filter { !named.contains($0) }
  }

  /// Other experts in the place of those given, nearest first, none of them twice; ties to the lower id. Fewer than `count` where too few
  /// are left.
  func nearest(to experts: [Int]) -> [(experts: [Int], ratio: Double)] {
    var free = outside
    var found: [(experts: [Int], ratio: Double)] = []
    while found.count < Self.count, free.count >= experts.count {
      var taken: [Int] = []
      var largest = 1.0
      for expert in experts {
        guard let near = free.min(by: { (distance($0, expert), $0) < (distance($1, expert), $1) }) else { break }
        free.removeAll { $0 == near }
        taken.append(near)
        let (a, b) = (Double(max(1, loads[near])), Double(max(1, loads[expert])))
        largest = max(largest, a / b, b / a)
      }
      found.append((taken, largest))
    }
    return found
  }

  private func distance(_ a: Int, _ b: Int) -> Int { abs(loads[a] - loads[b]) }
}

extension RuleSet {
  /// Whether some rule is about some decisions only.
  public var hasConditions: Bool { rules.contains { $0.condition != nil } }

  /// Whether experts of the same load are its control.
  public var namesExperts: Bool { !hasConditions && rules.contains { $0.action.namedExperts != nil } }

  /// Whether some rule draws.
  var draws: Bool { rules.contains { if case .redraw = $0.action { true } else { false } } }
}

extension RuleAction {
  /// The experts it names by number; nil: none.
  fileprivate var namedExperts: [Int]? {
    switch self {
    case .mask(.ids(let ids)), .scale(.ids(let ids), _), .force(let ids): ids
    default: nil
    }
  }

  /// The same rule for other experts of one router, as it is written.
  fileprivate func naming(_ experts: [Int], at router: RouterID) -> String {
    let target = "\(router):" + experts.map(String.init).joined(separator: ",")
    switch self {
    case .scale(_, let factor): return "scale \(target)=\(factor)"
    case .force: return "force \(target)"
    default: return "mask \(target)"
    }
  }
}
