// What pure chance yields: closed forms for a router that picks `topK` of `experts` at random, each token for itself. A number is
// read against these before anything is called a pattern. The stronger nulls (the layer's own load, permuted labels, circular
// shifts) are computed from the data, next to the metrics they belong to.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Uniform random routing: every token takes `topK` distinct experts of `experts`, all sets equally likely.
///
/// - Test: a table of nine pairs (E, k).
public struct Chance: Sendable, Hashable {
  public var experts: Int
  public var topK: Int

  /// - Precondition: `0 < topK <= experts`.
  public init(experts: Int, topK: Int) {
    precondition(topK > 0 && topK <= experts, "0 < topK <= experts")
    self.experts = experts
    self.topK = topK
  }

  var e: Double { Double(experts) }
  var k: Double { Double(topK) }

  /// Share of assignments of one expert, 1/E; also the chance that two tokens have the same first choice.
  public var share: Double { 1 / e }
  /// Share of tokens that visit one expert, k/E; also the expected top-k mass of a router without preference.
  public var activationRate: Double { k / e }

  /// Expected coefficient of variation of the counts after `tokens` tokens: sqrt((E - k) / (k T)).
  public func loadCV(tokens: Int) -> Double { ((e - k) / (k * Double(tokens))).squareRoot() }

  /// Expected number of experts that no token of `tokens` visits: E (1 - k/E)^T.
  public func idleExperts(tokens: Int) -> Double { e * pow(1 - k / e, Double(tokens)) }

  /// Probability that two tokens share at least one expert: 1 - C(E-k, k) / C(E, k).
  public var anyOverlap: Double {
    guard 2 * topK <= experts else { return 1 }
    var disjoint = 1.0
    for slot in 0..<topK { disjoint *= Double(experts - topK - slot) / Double(experts - slot) }
    return 1 - disjoint
  }

  /// Expected number of shared experts of two tokens: k^2 / E.
  public var meanOverlap: Double { k * k / e }

  /// Expected shared experts over experts of either token (hypergeometric mean of m / (2k - m)).
  public var meanJaccard: Double { meanJaccard(with: topK) }

  /// The same with a token that takes `other` experts: mean of m / (k + other - m).
  /// - Precondition: `0 < other <= experts`.
  func meanJaccard(with other: Int) -> Double {
    var mean = 0.0
    for shared in stride(from: max(1, topK + other - experts), through: min(topK, other), by: 1) {
      let logProbability = logChoose(topK, shared) + logChoose(experts - topK, other - shared) - logChoose(experts, other)
      mean += exp(logProbability) * Double(shared) / Double(topK + other - shared)
    }
    return mean
  }

  /// Probability that expert j is among the experts of a token that visits expert i: (k-1) / (E-1).
  public var coActivation: Double { experts > 1 ? (k - 1) / (e - 1) : 0 }

  private func logChoose(_ n: Int, _ r: Int) -> Double {
    lgamma(Double(n) + 1) - lgamma(Double(r) + 1) - lgamma(Double(n - r) + 1)
  }
}
