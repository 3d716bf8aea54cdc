// Who does the work? Counts of one router's assignments, and the numbers that say how evenly they fall. Assignments count 1 each;
// the weighted variant is named so. `load` and everything built on it counts what experts really computed; a choice dropped by
// capacity is kept apart, since the balance losses and the router's taste (specialization, repeats) are about what was chosen.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Counts, weights and probabilities of one router, summed over tokens.
///
/// - Memory: 32 bytes an expert (8 more once capacity drops a choice, and once a decision has no probabilities), whatever the number of tokens (262,144 experts: 8 MiB).
public struct RouterLoad: RouterFold, Equatable {
  public private(set) var experts = 0
  public private(set) var topK = 0
  public private(set) var tokens = 0
  /// `[experts]`: how often the router chose each expert, dropped choices included.
  public private(set) var chosen: [Int] = []
  /// `[experts]`: choices that capacity dropped; empty while there is none.
  public private(set) var dropped: [Int] = []
  /// `[experts]`: sum of the routing weights of computed assignments.
  public private(set) var weightSum: [Double] = []
  /// `[experts]`: choices of decisions without probabilities (their logits are not all finite) among such that have them; empty while
  /// there is none.
  private var unmeasured: [Int] = []
  /// `[experts]`: sum of router probabilities over all tokens that have them, picked or not.
  public private(set) var importanceSum: [Double] = []
  /// Sum of squared log-sum-exp of the logits, and over how many tokens: those whose logits are finite.
  private(set) var squaredLogSumExpSum = 0.0
  private(set) var squaredLogSumExpCount = 0
  /// Sum of router entropies (nats), and of how many decisions; for the information a token carries about its experts.
  private var entropySum = 0.0
  private var entropyCount = 0
  /// Decisions that have probabilities: what the balance losses and the information of a token are taken over.
  public private(set) var measuredCount = 0

  public init() {}

  /// Of assignments that were counted elsewhere.
  ///
  /// - Parameters:
  ///   - counts: `[experts]`.
  ///   - tokens: 0 where nobody said how many there were: then as many as the assignments need.
  public init(counts: [Int], topK: Int, tokens: Int) {
    grow(experts: counts.count, topK: topK)
    chosen = counts
    self.tokens = tokens > 0 ? tokens : counts.reduce(0, +) / max(topK, 1)
  }

  public mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) { add(batch) }

  public mutating func add(_ batch: RoutingBatch) {
    grow(experts: batch.expertCount, topK: batch.topK)
    tokens += batch.count
    count(batch.selectedExperts, batch.routingWeights, batch.dropped)
    var (finiteSum, finiteCount) = (entropySum, 0)
    for entropy in batch.routerEntropy where entropy.isFinite {
      finiteCount += 1
      finiteSum += Double(entropy)
    }
    (entropySum, entropyCount) = (finiteSum, entropyCount + finiteCount)
    let finite = batch.measuredCount
    measuredCount += finite
    if finite < batch.count, !batch.importanceSum.isEmpty { leaveOutUnmeasured(batch) }
    for expert in batch.importanceSum.indices { importanceSum[expert] += batch.importanceSum[expert] }
    if !batch.squaredLogSumExpSum.isNaN {
      squaredLogSumExpSum += batch.squaredLogSumExpSum
      squaredLogSumExpCount += finite
    }
  }

  /// Counts assignments, with their weights where they were computed.
  private mutating func count(_ ids: [Int32], _ weights: [Float], _ drops: [Bool]?) {
    precondition(ids.count == weights.count && drops?.count ?? ids.count == ids.count, "columns of one shape")
    chosen.withUnsafeMutableBufferPointer { chosen in
      weightSum.withUnsafeMutableBufferPointer { sums in
        for (slot, id) in ids.enumerated() where id >= 0 {
          let expert = Int(id)
          precondition(expert < chosen.count, "an expert of another router")
          chosen[expert] += 1
          if drops?[slot] != true { sums[expert] += Double(weights[slot]) }
        }
      }
    }
    guard let drops, drops.contains(true) else { return }
    if dropped.isEmpty { dropped = Array(repeating: 0, count: experts) }
    for (slot, id) in ids.enumerated() where id >= 0 && drops[slot] { dropped[Int(id)] += 1 }
  }

  private mutating func leaveOutUnmeasured(_ batch: RoutingBatch) {
    if unmeasured.isEmpty { unmeasured = Array(repeating: 0, count: experts) }
    for token in 0..<batch.count where !batch.isMeasured(token) {
      for expert in batch.selectedExperts[token * batch.topK..<(token + 1) * batch.topK] where expert >= 0 { unmeasured[Int(expert)] += 1 }
    }
  }

  public mutating func merge(_ other: RouterLoad) {
    grow(experts: other.experts, topK: other.topK)
    tokens += other.tokens
    for expert in other.chosen.indices {
      chosen[expert] += other.chosen[expert]
      weightSum[expert] += other.weightSum[expert]
      importanceSum[expert] += other.importanceSum[expert]
    }
    if !other.dropped.isEmpty {
      if dropped.isEmpty { dropped = Array(repeating: 0, count: experts) }
      for expert in other.dropped.indices { dropped[expert] += other.dropped[expert] }
    }
    if !other.unmeasured.isEmpty {
      if unmeasured.isEmpty { unmeasured = Array(repeating: 0, count: experts) }
      for expert in other.unmeasured.indices { unmeasured[expert] += other.unmeasured[expert] }
    }
    squaredLogSumExpSum += other.squaredLogSumExpSum
    squaredLogSumExpCount += other.squaredLogSumExpCount
    entropySum += other.entropySum
    entropyCount += other.entropyCount
    measuredCount += other.measuredCount
  }

  private mutating func grow(experts count: Int, topK slots: Int) {
    topK = max(topK, slots)
    guard count > experts else { return }
    let missing = count - experts
    chosen += Array(repeating: 0, count: missing)
    if !dropped.isEmpty { dropped += Array(repeating: 0, count: missing) }
    if !unmeasured.isEmpty { unmeasured += Array(repeating: 0, count: missing) }
    weightSum += Array(repeating: 0, count: missing)
    importanceSum += Array(repeating: 0, count: missing)
    experts = count
  }

  public func result() -> LoadShape { shape }

  /// `[experts]`: assignments that were computed.
  public var counts: [Int] { dropped.isEmpty ? chosen : zip(chosen, dropped).map { $0 - $1 } }
  public var shape: LoadShape { LoadShape(counts: counts, tokens: tokens, topK: topK) }
  public var droppedCount: Int { dropped.reduce(0, +) }

  /// Share of choices that capacity dropped; nil without choices.
  public var droppedShare: Double? {
    let total = chosen.reduce(0, +)
    return total > 0 ? Double(droppedCount) / Double(total) : nil
  }

  /// `[experts]`: share of the routing weight each expert gets. Uniform: 1/E. Nil without weights (`--record ids`).
  /// - Source: REAP, `weighted_expert_frequency_sum`.
  public var weightedLoad: [Double]? { normalized(weightSum) }

  /// `[experts]`: mean router probability, picked or not; sums to 1. Nil when the router's scores are unknown.
  public var importance: [Double]? { normalized(importanceSum) }

  /// `[experts]`: how often decisions that have probabilities chose each expert, dropped choices included.
  var chosenByMeasured: [Int] { unmeasured.isEmpty ? chosen : zip(chosen, unmeasured).map { $0 - $1 } }

  /// Entropy of the mean distribution minus the mean entropy of a token, over `measuredCount` tokens: how much knowing the token tells about its experts.
  ///
  /// 0: every token gets the same distribution; H(importance), at most ln E: every token is certain.
  ///
  /// Nil where experts are looked up by token id: there the token says all, whatever the distribution.
  ///
  /// - Unit: nats. - Source: standard (Jensen-Shannon form).
  /// - Test: identical tokens give 0; one-hot tokens spread evenly give ln E.
  public var tokenInformation: Double? {
    guard measuredCount > 0, entropyCount == measuredCount, let importance else { return nil }
    return max(0, shannonEntropy(importance) - entropySum / Double(measuredCount))
  }
}

/// How evenly assignments fall on experts.
public struct LoadShape: Sendable, Equatable {
  /// `[experts]`
  public let counts: [Int]
  public let tokens: Int
  public let topK: Int
  public let assignments: Int

  public init(counts: [Int], tokens: Int, topK: Int) {
    self.counts = counts
    self.tokens = tokens
    self.topK = topK
    assignments = counts.reduce(0, +)
  }

  public var experts: Int { counts.count }
  /// Experts that a row takes: `topK`, or where rows take different numbers of them their mean, rounded.
  public var taken: Int {
    if tokens == 0 || assignments == tokens * topK { return topK }
    return max(1, Int((Double(assignments) / Double(tokens)).rounded()))
  }
  public var chance: Chance? {
    topK > 0 && taken <= experts ? Chance(experts: experts, topK: taken) : nil
  }
  private var mean: Double { Double(assignments) / Double(experts) }
  private var isEmpty: Bool { assignments == 0 }

  /// `[experts]`: share of assignments; uniform 1/E; sums to 1.
  public var load: [Double]? { normalized(counts.map(Double.init)) }
  /// `[experts]`: share of tokens that visit the expert; uniform k/E; sums to k.
  public var activationRate: [Double]? { tokens > 0 ? counts.map { Double($0) / Double(tokens) } : nil }
  /// `[experts]`: load times E; uniform 1, idle 0.
  public var loadRatio: [Double]? { isEmpty ? nil : counts.map { Double($0) / mean } }

  /// Population standard deviation of the counts over their mean. 0: even; sqrt(E-1): one expert does all.
  /// Chance: `Chance.loadCV`.
  /// - Source: MoEAtlas `layer_cv_counts`.
  public var cv: Double? {
    guard !isEmpty else { return nil }
    let squares = counts.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    return (squares / Double(experts)).squareRoot() / mean
  }

  /// Busiest expert over the mean. 1: even; E: one expert does all. - Source: OLMo-core "load imbalance".
  public var maxOverMean: Double? { isEmpty ? nil : Double(counts.max() ?? 0) / mean }
  /// (max - mean) / mean = `maxOverMean` - 1. - Source: arXiv:2408.15664 (loss-free balancing).
  public var maxViolation: Double? { maxOverMean.map { $0 - 1 } }

  /// Gini coefficient of the counts by ascending rank: sum (2i - E - 1) n_(i) / (E sum n). 0: even; (E-1)/E: one expert does all.
  /// - Source: MoEAtlas `layer_gini_coefficients`.
  public var gini: Double? {
    guard !isEmpty else { return nil }
    var weighted = 0.0
    for (rank, count) in counts.sorted().enumerated() { weighted += Double(2 * (rank + 1) - experts - 1) * Double(count) }
    return weighted / (Double(experts) * Double(assignments))
  }

  /// Share of assignments that fall on the `busiest` most loaded experts; uniform `busiest`/E.
  /// - Source: Megatron `analyze_routing_concentration.py`.
  public func coverage(busiest: Int) -> Double? {
    guard !isEmpty else { return nil }
    return Double(counts.sorted(by: >).prefix(max(0, busiest)).reduce(0, +)) / Double(assignments)
  }

  /// Experts that no token visited. Chance: `Chance.idleExperts`.
  public var idle: Int { counts.count { $0 == 0 } }

  /// Shannon entropy of the load, nats. 0: one expert does all; ln E: even.
  public var entropy: Double? { load.map(shannonEntropy) }
  /// exp(entropy): how many equally busy experts would have this entropy, 1...E.
  public var effectiveExperts: Double? { entropy.map(exp) }
}

/// -sum p ln p in nats; entries that are 0 add nothing.
func shannonEntropy(_ distribution: [Double]) -> Double {
  max(0, distribution.reduce(0.0) { $1 > 0 ? $0 - $1 * log($1) : $0 })
}

/// Entries over their sum; nil when there is nothing to share.
func normalized(_ values: [Double]) -> [Double]? {
  let sum = values.reduce(0, +)
  return sum > 0 ? values.map { $0 / sum } : nil
}

extension RouterLoad: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    columns.set("shape", .numbers([experts, topK, tokens, squaredLogSumExpCount, entropyCount, measuredCount]))
    columns.set("sums", .reals([squaredLogSumExpSum, entropySum]))
    columns.set("chosen", .numbers(chosen))
    columns.set("dropped", .numbers(dropped))
    columns.set("unmeasured", .numbers(unmeasured))
    columns.set("weight", .reals(weightSum))
    columns.set("importance", .reals(importanceSum))
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let shape = try columns.numbers("shape", 6)
    try columns.shape(shape[0], shape[1])
    (experts, topK, tokens, squaredLogSumExpCount, entropyCount, measuredCount) = (
      shape[0], shape[1], shape[2], shape[3], shape[4], shape[5]
    )
    let sums = try columns.reals("sums", 2)
    (squaredLogSumExpSum, entropySum) = (sums[0], sums[1])
    func optional<Number>(_ name: String, _ values: [Number]) throws(FoldColumnError) -> [Number] {
      guard [0, experts].contains(values.count) else {
        throw columns.error(name, expected: "a number an expert, or none", found: "\(values.count)")
      }
      return values
    }
    chosen = try columns.numbers("chosen", experts)
    dropped = try optional("dropped", columns.numbers("dropped"))
    unmeasured = try optional("unmeasured", columns.numbers("unmeasured"))
    weightSum = try optional("weight", columns.reals("weight"))
    importanceSum = try optional("importance", columns.reals("importance"))
  }
}
