// Attention of a decoder over what the encoder made of its input. Keys and values are those of the whole encoder output: projected
// once for each sequence, seen by every token of the decoder alike.

import CKernels
import Routing

struct CrossAttentionPlan: OperationPlan {
  var headCount: Int
  var headSize: Int
  var query: LinearPlan
  var key: LinearPlan
  var value: LinearPlan
  var output: LinearPlan
  /// Factor on the scores; nil: 1 / sqrt(headSize).
  var scale: Float?

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundCrossAttention(self, binder) }
}

struct BoundCrossAttention: BoundOperation {
  let plan: CrossAttentionPlan
  let query: Linear
  let key: Linear
  let value: Linear
  let output: Linear

  init(_ plan: CrossAttentionPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "the model's width, head size and head count in config.json"
    let width = plan.headCount * plan.headSize
    let hidden = binder.hiddenSize
    query = try binder.linear(plan.query, rows: width, columns: hidden, because: because)
    key = try binder.linear(plan.key, rows: width, columns: hidden, because: because)
    value = try binder.linear(plan.value, rows: width, columns: hidden, because: because)
    output = try binder.linear(plan.output, rows: hidden, columns: width, because: because)
  }

  var cacheFloatsPerToken: Int { 2 * plan.headCount * plan.headSize }
  func start() -> any RunningOperation { RunningCrossAttention(self) }
}

final class RunningCrossAttention: RunningOperation {
  private let bound: BoundCrossAttention
  private let cache: HeadCache
  private var hasMemory = false

  init(_ bound: BoundCrossAttention) {
    self.bound = bound
    cache = HeadCache(heads: bound.plan.headCount, keySize: bound.plan.headSize, valueSize: bound.plan.headSize)
  }

  func reset() {
    cache.clear()
    hasMemory = false
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let width = plan.headCount * plan.headSize
    if !hasMemory { remember(pass) }
    let queries = pass.project(bound.query, from: pass.x)
    let mixed = pass.arena.floats(pass.count * width)
    var call = Attention(
      out: mixed, queries: queries, keys: cache.keys, values: cache.values, tokens: pass.count, heads: plan.headCount,
      kvHeads: plan.headCount, headDim: plan.headSize, keyCount: pass.encodedCount, firstPosition: 0,
      scale: plan.scale ?? 1 / Float(plan.headSize).squareRoot(), capacity: cache.capacity)
    call.causal = false
    pass.pool.attend(call)
    pass.pool.multiply(pass.product(pass.out, bound.output, from: mixed, accumulate: true))
  }

  private func remember(_ pass: Pass) {
    let width = bound.plan.headCount * bound.plan.headSize
    let count = pass.encodedCount
    let keys = pass.arena.floats(count * width)
    let values = pass.arena.floats(count * width)
    pass.pool.multiply(
      Product(out: keys, x: pass.encoded, tokens: count, weight: bound.key.weight, bias: bound.key.bias),
      Product(out: values, x: pass.encoded, tokens: count, weight: bound.value.weight, bias: bound.value.bias))
    cache.store(keys: keys, keyStride: width, values: values, valueStride: width, position: 0, count: count)
    hasMemory = true
  }
}
