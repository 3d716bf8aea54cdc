// Which experts would be merged into which? M-SMoE keeps the most used experts of all routers together and lets each other one join the kept one
// of its router whose logits are most like its own. Nothing is merged here: whether a group can be, only an intervention shows.

import Routing

/// The groups of one router.
struct ExpertGroups: Equatable {
  /// Experts that are kept, by falling use, ties to the lower id.
  var cores: [Int]
  /// `[experts]`: the core that each joins; a core joins itself.
  var core: [Int]
}

extension ExpertGroups {
  /// How many experts each router keeps when all together keep `average` a router: those used more than the next one would be. A router's most
  /// used expert always is one.
  ///
  /// - Parameter usage: of each router how often each expert was chosen.
  /// - Returns: the numbers, and the share of a router's choices that had to be exceeded.
  /// - Source: MC-SMoE, `_assign_num_groups_per_layer`.
  static func sizes(_ usage: [[Int]], average: Int) -> (counts: [Int], threshold: Double) {
    let shares = usage.map { counts -> [Double] in
      let all = Double(max(1, counts.reduce(0, +)))
      var shares = counts.map { Double($0) / all }
      if let most = order(counts).first { shares[most] = 1 }
      return shares
    }
    let pooled = shares.flatMap(\.self).sorted(by: >)
    guard let last = pooled.indices.last else { return (usage.map { _ in 0 }, 0) }
    let threshold = pooled[min(average * usage.count, last)]
    return (shares.map { own in max(1, own.count { $0 > threshold }) }, threshold)
  }

  /// - Parameters:
  ///   - usage: how often the router chose each of its experts.
  ///   - count: experts to keep, at least one.
  init(_ usage: [Int], keeping count: Int, similarity: (Int, Int) -> Double) {
    let order = Self.order(usage)
    cores = Array(order.prefix(count))
    core = Array(usage.indices)
    for expert in order.dropFirst(count) {
      core[expert] = cores.first ?? expert
      var best = -Double.infinity
      for candidate in cores where similarity(expert, candidate) > best {
        (best, core[expert]) = (similarity(expert, candidate), candidate)
      }
    }
  }

  private static func order(_ usage: [Int]) -> [Int] { usage.indices.sorted { (-usage[$0], $0) < (-usage[$1], $1) } }
}
