// Who may have a token routed otherwise than its router says? A door for verification: decisions pass through here before they are carried out.

import Routing

/// Sees every decision of a pass before it is carried out.
protocol DecisionReview: AnyObject {
  /// The experts that rows of `decisions` take instead, `topK` each, by row of the batch; empty to leave it as it is.
  func overruled(_ decisions: RoutingBatch) -> [Int: [Int32]]
}

extension Pass {
  /// What a router decides about `[rows, expertCount]` logits; whether anyone listens is in `demand`.
  func decide(
    _ router: Router, _ id: RouterID, logits: UnsafePointer<Float>, rows: Int, ledger: inout CapacityLedger
  ) -> RoutingBatch {
    let demand = demand ?? RoutingDemand(statistics: false)
    var decisions = RoutingBatch(
      router: id, expertCount: router.spec.expertCount, topK: router.spec.topK, firstToken: firstToken, count: rows)
    let before = review == nil ? nil : ledger
    router.decide(logits, demand: demand, ledger: &ledger, into: &decisions)
    if let before, let imposed = review?.overruled(decisions), !imposed.isEmpty {
      ledger = before
      router.decide(logits, imposed: imposed, demand: demand, ledger: &ledger, into: &decisions)
    }
    return decisions
  }
}
