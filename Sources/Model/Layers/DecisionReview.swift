// Who may have a token routed otherwise than its router says? A door for verification: decisions pass through here before they are carried out.

import Routing

/// Sees every decision of a pass before it is carried out.
protocol DecisionReview: AnyObject {
  /// The experts that rows of `decisions` take instead, `topK` each, by row of the batch; empty to leave it as it is.
  func overruled(_ decisions: RoutingBatch) -> [Int: [Int32]]
}

extension Pass {
  /// The rules of the run at a router, with the rows of the step at hand; nil where nothing is changed.
  private func ruled(_ id: RouterID) -> RuledRows? {
    guard let intervention, let rules = intervention[id], let rows else { return nil }
    return RuledRows(rules, rows.from(firstToken - rows.tokens.firstToken))
  }

  /// What a router decides about `[rows, expertCount]` logits; whether anyone listens is in `demand`.
  ///
  /// - Parameter hashed: `[rows, topK]`, the experts that tokens' ids name; empty where they are chosen by score.
  func decide(
    _ router: Router, _ id: RouterID, logits: UnsafePointer<Float>, hashed: [Int32] = [], rows: Int, ledger: inout CapacityLedger
  ) -> RoutingBatch {
    hashed.withUnsafeBufferPointer { decide(router, id, logits, hashed: $0.baseAddress, rows: rows, ledger: &ledger) }
  }

  private func decide(
    _ router: Router, _ id: RouterID, _ logits: UnsafePointer<Float>, hashed: UnsafePointer<Int32>?, rows: Int,
    ledger: inout CapacityLedger
  ) -> RoutingBatch {
    let demand = demand ?? RoutingDemand(statistics: false)
    let ruled = ruled(id).map { router.judged($0, logits, hashed: hashed, count: rows) }
    hiddenShared = ruled?.hiddenShared(count: rows)
    var decisions = RoutingBatch(
      router: id, expertCount: router.spec.expertCount, topK: ruled?.rules.slots ?? router.spec.topK, firstToken: firstToken, count: rows)
    let before = review == nil ? nil : ledger
    router.decide(logits, hashed: hashed, ruled: ruled, demand: demand, ledger: &ledger, into: &decisions)
    if let before, let imposed = review?.overruled(decisions), !imposed.isEmpty {
      ledger = before
      router.decide(logits, hashed: hashed, imposed: imposed, ruled: ruled, demand: demand, ledger: &ledger, into: &decisions)
    }
    if let joint = seat?.meet(router, logits: logits, hashed: hashed, rows: rows, ruled: ruled, slots: decisions.topK) {
      decisions.take(joint)
    }
    return decisions
  }
}

extension RoutingBatch {
  /// Takes the choice of another batch over the same rows, and what follows from it.
  fileprivate mutating func take(_ other: RoutingBatch) {
    (selectedExperts, routingWeights, dropped) = (other.selectedExperts, other.routingWeights, other.dropped)
    sharedWeight = other.sharedWeight
    if topKMass.contains(where: { !$0.isNaN }) { topKMass = other.topKMass }
  }
}
