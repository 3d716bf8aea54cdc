// Running totals of one router over its run: what the views `layer_load` and `layer_summary` show without decoding a page. These are
// counts and sums only; every metric proper lives in Analysis.

import Routing

struct RouterTotals: Sendable {
  private(set) var tokens = 0
  private(set) var assignments = 0
  private(set) var dropped = 0
  private(set) var importanceTokens = 0
  private(set) var entropy = Sum()
  private(set) var selectionMargin = Sum()
  private(set) var top1Margin = Sum()
  private(set) var topKMass = Sum()
  /// `[expertCount]`: assignments that were computed.
  private(set) var counts: [Int]
  /// `[expertCount]`: factors applied in them.
  private(set) var weights: [Double]
  /// `[expertCount]`: summed router distribution.
  private(set) var importance: [Double]
  /// Experts whose totals changed since `settle()`.
  private(set) var isDirty: [Bool]

  /// A sum over the tokens where the number is defined.
  struct Sum: Sendable, Equatable {
    var total = 0.0
    var count = 0

    mutating func add(_ values: [Float]) {
      for value in values where !value.isNaN {
        total += Double(value)
        count += 1
      }
    }
  }

  init(expertCount: Int) {
    counts = Array(repeating: 0, count: expertCount)
    weights = Array(repeating: 0, count: expertCount)
    importance = weights
    isDirty = Array(repeating: true, count: expertCount)
  }

  mutating func add(_ batch: RoutingBatch) {
    tokens += batch.count
    for slot in batch.selectedExperts.indices {
      let expert = Int(batch.selectedExperts[slot])
      if expert < 0 { continue }
      if batch.dropped?[slot] == true {
        dropped += 1
        continue
      }
      assignments += 1
      counts[expert] += 1
      weights[expert] += Double(batch.routingWeights[slot])
      isDirty[expert] = true
    }
    entropy.add(batch.routerEntropy)
    selectionMargin.add(batch.selectionMargin)
    top1Margin.add(batch.top1Margin)
    topKMass.add(batch.topKMass)
    if batch.importanceSum.isEmpty { return }
    // A token whose logits were not finite has no distribution to add.
    importanceTokens += (0..<batch.count).count(where: batch.isMeasured)
    for expert in importance.indices where batch.importanceSum[expert] != 0 {
      importance[expert] += batch.importanceSum[expert]
      isDirty[expert] = true
    }
  }

  /// - Parameter load: `[expertCount]`: assignments.
  mutating func add(_ load: [Int], tokens: Int) {
    self.tokens += tokens
    for (expert, count) in load.enumerated() where count > 0 && counts.indices.contains(expert) {
      assignments += count
      counts[expert] += count
      isDirty[expert] = true
    }
  }

  /// All totals are on disk.
  mutating func settle() {
    for expert in isDirty.indices { isDirty[expert] = false }
  }
}
