// Experts that the timestep alone chooses: one decision for a whole image and step. Their weighted sum, plus one, multiplies the stream
// before a block, and what the mask holds back is added again behind it.

import CKernels
import Routing

/// `mask = 1 + sum of p_i (W_i x + b_i)` over the chosen experts, p from the timestep's embedding.
///
/// - Source: Park et al. 2024, Switch Diffusion Transformer, arXiv:2403.09176, as its authors released it.
struct TimestepMaskPlan: Sendable {
  var router: RouterSpec
  /// `[expertCount, hiddenSize]`: reads SiLU of the timestep's embedding.
  var routerLinear: LinearPlan
  /// `[hiddenSize, hiddenSize]` of one expert.
  var expert: @Sendable (Int) -> LinearPlan
}

struct BoundTimestepMask: Sendable {
  let id: RouterID
  let router: Router
  let routerLinear: Linear
  let experts: [Linear]

  init(_ plan: TimestepMaskPlan, _ binder: WeightBinder) throws {
    let hidden = binder.hiddenSize
    id = binder.run.router()
    router = try Router(plan.router)
    routerLinear = try binder.linear(
      plan.routerLinear, rows: plan.router.expertCount, columns: hidden, because: "num_experts and hidden_size")
    experts = try (0..<plan.router.expertCount).map {
      try binder.linear(plan.expert($0), rows: hidden, columns: hidden, because: "hidden_size")
    }
  }

  var idle: WeightSize {
    guard let expert = experts.first else { return WeightSize() }
    return WeightSize(expert.weight) * max(0, experts.count - router.spec.topK)
  }

  /// The decision about a timestep, once a sample and branch.
  ///
  /// - Parameters:
  ///   - activated: `[hiddenSize]`: SiLU of the timestep's embedding.
  ///   - samples: rows of the decision, all alike.
  func decide(_ pass: Pass, activated: UnsafePointer<Float>, samples: Int) -> RoutingBatch {
    let count = router.spec.expertCount
    let logits = pass.arena.floats(samples * count)
    pass.pool.multiply(
      Product(out: logits, x: activated, tokens: 1, weight: routerLinear.weight, bias: routerLinear.bias))
    for sample in 1..<max(1, samples) { (logits + sample * count).update(from: logits, count: count) }
    var ledger = CapacityLedger()
    return pass.decide(router, id, logits: logits, rows: samples, ledger: &ledger)
  }

  /// Splits the stream: `held = (1 - mask) * stream`, `stream = mask * stream`.
  ///
  /// - Parameters: `stream` and `held` are `[pass.count, hiddenSize]`; the decision has a row for each sample and branch.
  func apply(_ decision: RoutingBatch, _ pass: Pass, stream: UnsafeMutablePointer<Float>, held: UnsafeMutablePointer<Float>) {
    let width = pass.count * pass.hiddenSize
    let mask = pass.arena.floats(width)
    mask.update(repeating: 1, count: width)
    let part = width / decision.count
    let chosen = decision.carriedOut
    // Samples mostly agree: then an expert is computed once for all of them.
    var answers: [Int32: UnsafeMutablePointer<Float>] = [:]
    for slot in 0..<decision.topK {
      for sample in 0..<decision.count {
        let place = sample * decision.topK + slot
        guard chosen[place] >= 0 else { continue }
        let answer = answers[chosen[place]] ?? pass.project(experts[Int(chosen[place])], from: stream)
        answers[chosen[place]] = answer
        mt_axpy(mask + sample * part, answer + sample * part, decision.routingWeights[place], part)
      }
    }
    for i in 0..<width { held[i] = (1 - mask[i]) * stream[i] }
    mt_multiply(stream, mask, stream, width)
  }
}
