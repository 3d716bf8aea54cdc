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
      var (sum, known) = (total, count)
      for value in values {
        // Nothing for NaN, and no branch: -0 leaves every sum as it is.
        sum += value.isNaN ? -0.0 : Double(value)
        known += value.isNaN ? 0 : 1
      }
      (total, count) = (sum, known)
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
    count(batch.selectedExperts, batch.routingWeights, batch.dropped)
    entropy.add(batch.routerEntropy)
    selectionMargin.add(batch.selectionMargin)
    top1Margin.add(batch.top1Margin)
    topKMass.add(batch.topKMass)
    if batch.importanceSum.isEmpty { return }
    // A token whose logits were not finite has no distribution to add.
    importanceTokens += batch.measuredCount
    for expert in importance.indices where batch.importanceSum[expert] != 0 {
      importance[expert] += batch.importanceSum[expert]
      isDirty[expert] = true
    }
  }

  private mutating func count(_ ids: [Int32], _ factors: [Float], _ drops: [Bool]?) {
    precondition(ids.count == factors.count && drops?.count ?? ids.count == ids.count, "columns of one shape")
    var (computed, left) = (0, 0)
    counts.withUnsafeMutableBufferPointer { counts in
      weights.withUnsafeMutableBufferPointer { weights in
        isDirty.withUnsafeMutableBufferPointer { isDirty in
          for (slot, id) in ids.enumerated() where id >= 0 {
            if drops?[slot] == true {
              left += 1
              continue
            }
            let expert = Int(id)
            precondition(expert < counts.count, "an expert of another router")
            computed += 1
            counts[expert] += 1
            weights[expert] += Double(factors[slot])
            isDirty[expert] = true
          }
        }
      }
    }
    (assignments, dropped) = (assignments + computed, dropped + left)
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
