// Attention among the patches of one image: every patch sees every other of its image and branch, and none of another's. Positions are
// in the embeddings, so nothing is rotated, and nothing is remembered from one step to the next.

import CKernels

struct PatchAttentionPlan: OperationPlan {
  var headCount: Int
  var headSize: Int
  /// Consecutive rows of the pass that see each other.
  var patchCount: Int
  var query: LinearPlan
  var key: LinearPlan
  var value: LinearPlan
  var output: LinearPlan
  /// Over each head's `headSize` values.
  var queryNorm: NormPlan?
  var keyNorm: NormPlan?

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundPatchAttention(self, binder) }
}

struct BoundPatchAttention: BoundOperation {
  let plan: PatchAttentionPlan
  let query: Linear
  let key: Linear
  let value: Linear
  let output: Linear
  let queryNorm: Norm?
  let keyNorm: Norm?

  init(_ plan: PatchAttentionPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "hidden_size and num_heads"
    let (hidden, width) = (binder.hiddenSize, plan.headCount * plan.headSize)
    query = try binder.linear(plan.query, rows: width, columns: hidden, because: because)
    key = try binder.linear(plan.key, rows: width, columns: hidden, because: because)
    value = try binder.linear(plan.value, rows: width, columns: hidden, because: because)
    output = try binder.linear(plan.output, rows: hidden, columns: width, because: because)
    queryNorm = try plan.queryNorm.map { try binder.norm($0, size: plan.headSize) }
    keyNorm = try plan.keyNorm.map { try binder.norm($0, size: plan.headSize) }
  }

  func start() -> any RunningOperation { RunningPatchAttention(self) }
}

final class RunningPatchAttention: RunningOperation {
  private let bound: BoundPatchAttention

  init(_ bound: BoundPatchAttention) { self.bound = bound }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let width = plan.headCount * plan.headSize
    let count = pass.count * width
    let queries = pass.arena.floats(count)
    let keys = pass.arena.floats(count)
    let values = pass.arena.floats(count)
    pass.pool.multiply(
      pass.product(queries, bound.query, from: pass.x), pass.product(keys, bound.key, from: pass.x),
      pass.product(values, bound.value, from: pass.x))
    bound.queryNorm?.apply(pass.pool, out: queries, x: queries, rows: pass.count * plan.headCount)
    bound.keyNorm?.apply(pass.pool, out: keys, x: keys, rows: pass.count * plan.headCount)
    let mixed = pass.arena.floats(count)
    for start in stride(from: 0, to: pass.count, by: plan.patchCount) {
      let offset = start * width
      var call = Attention(
        out: mixed + offset, queries: queries + offset, keys: keys + offset, values: values + offset, tokens: plan.patchCount,
        heads: plan.headCount, kvHeads: plan.headCount, headDim: plan.headSize, keyCount: plan.patchCount, firstPosition: 0,
        scale: 1 / Float(plan.headSize).squareRoot())
      call.causal = false
      pass.pool.attend(call)
    }
    pass.pool.multiply(pass.product(pass.out, bound.output, from: mixed, accumulate: true))
  }
}
