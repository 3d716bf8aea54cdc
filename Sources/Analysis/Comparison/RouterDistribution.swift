// A router's distribution over all its experts, from recorded logits, and the distance of two such distributions.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

public enum RouterDistribution {
  /// Softmax of all logits; of routers that score each expert for itself the scores divided by their sum, as entropy takes it.
  ///
  /// - Shape: `logits` and the result are `[experts]`.
  /// - Returns: nil where a logit is no number or all are infinite, as `Router.distribute` has it.
  static func probabilities(_ logits: ArraySlice<Float>, of spec: RouterSpec) -> [Double]? {
    switch spec.share {
    case .sigmoid: shares(logits) { 1 / (1 + exp(-$0)) }
    case .sqrtSoftplus: shares(logits) { ($0 > 20 ? $0 : log1p(exp($0))).squareRoot() }
    case nil: softmax(logits)
    }
  }

  /// Softmax of all logits, whatever the router makes of them; nil as above.
  public static func softmax<Number: BinaryFloatingPoint>(_ logits: some Collection<Number>) -> [Double]? {
    let peak = Double(logits.max() ?? 0)
    return shares(logits) { exp($0 - peak) }
  }

  private static func shares<Number: BinaryFloatingPoint>(_ logits: some Collection<Number>, _ score: (Double) -> Double) -> [Double]? {
    guard let peak = logits.max(), peak.isFinite, !logits.contains(where: \.isNaN) else { return nil }
    let scores = logits.map { score(Double($0)) }
    let sum = scores.reduce(0, +)
    return sum > 0 ? scores.map { $0 / sum } : nil
  }

  /// B's distribution under A's names of its experts: `[experts]`, 0 where B has no expert.
  static func renamed(_ q: [Double], _ matching: [Int32]?, experts: Int) -> [Double] {
    if matching == nil, q.count == experts { return q }
    var result = Array(repeating: 0.0, count: experts)
    for expert in q.indices { result[matching.map { Int($0[expert]) } ?? expert] = q[expert] }
    return result
  }

  /// Jensen-Shannon divergence, 0 (equal) to ln 2 (nothing in common).
  ///
  /// - Parameters: `p` may be shorter than `q`: the experts it does not have are 0.
  /// - Unit: nat.
  /// - Source: Lin 1991, Divergence measures based on the Shannon entropy; weights 1/2.
  /// - Test: equal distributions give 0, disjoint ones ln 2; (1, 0) and (1/2, 1/2) give 0.215762.
  static func divergence(_ p: [Double], _ q: [Double]) -> Double {
    var sum = 0.0
    for expert in q.indices {
      let (mine, theirs) = (expert < p.count ? p[expert] : 0, q[expert])
      let middle = (mine + theirs) / 2
      if mine > 0 { sum += mine * log(mine / middle) }
      if theirs > 0 { sum += theirs * log(theirs / middle) }
    }
    return max(0, sum / 2)
  }
}
