// Attention with grouped heads: queries, keys and values by projection, rotary positions, causal attention over the sequence so far.
// What families vary is a field of the plan: norms on heads, clamps, windows, chunks, sinks, gates, temperature.

import CKernels
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct AttentionPlan: OperationPlan {
  var headCount: Int
  var keyValueHeadCount: Int
  /// Of queries and keys.
  var headSize: Int
  /// Of values; nil: `headSize`.
  var valueSize: Int?
  var query: LinearPlan
  var key: LinearPlan
  var value: LinearPlan
  var output: LinearPlan
  /// nil: positions are not encoded.
  var rotary: RotaryPlan?
  var queryNorm: HeadNormPlan?
  var keyNorm: HeadNormPlan?
  /// Over each head's values.
  var valueNorm: NormPlan?
  /// The norms come after the rotation.
  var normsFollowRotary = false
  /// Queries, keys and values are clamped to plus or minus this after their projection (and its norm).
  var clip: Float?
  /// A token sees itself and this many tokens minus one before it.
  var window: Int?
  /// A token sees only the tokens of its own chunk of so many positions.
  var chunk: Int?
  /// Factor on the scores; nil: 1 / sqrt(headSize).
  var scale: Float?
  /// `[headCount]`: a logit that takes part in each head's softmax without a value.
  var sinks: VectorPlan?
  /// Values are made of the residual stream as it is; queries, keys and gates of what the operation reads.
  var valuesReadStream = false
  /// Factor on the values.
  var valueFactor: Float = 1
  /// What multiplies the heads' output.
  var outputGate: OutputGatePlan?
  /// Each row of the query projection holds a head's query and then its output gate.
  var queryCarriesGate = false
  var temperature: TemperaturePlan?
  /// A token sees the tokens behind it too: encoders, whose sequence comes in one pass.
  var looksBothWays = false
  /// Added to the scores by the distance of a key.
  var distanceBias: DistanceBiasPlan?
  /// Which blocks of earlier tokens are looked at; nil: all.
  var blockIndex: BlockIndexPlan?
  /// The same, by groups of tokens whose keys are averaged.
  var pooledIndex: PooledIndexPlan?

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundAttention(self, binder) }
}

/// A function of a projection of the input that multiplies the heads' output.
struct OutputGatePlan: Sendable {
  struct Form: Sendable {
    enum Function: Sendable { case sigmoid, softplus }
    var function = Function.sigmoid
    /// One number for each head instead of one for each of its elements.
    var isPerHead = false

    /// Multiplies `[heads, size]` by the function of the gates, which is written over them.
    func multiply(_ x: UnsafeMutablePointer<Float>, by gates: UnsafeMutablePointer<Float>, heads: Int, size: Int) {
      let count = isPerHead ? heads : heads * size
      switch function {
      case .sigmoid: mt_sigmoid(gates, gates, count)
      case .softplus: for i in 0..<count { gates[i] = softplus(gates[i]) }
      }
      guard isPerHead else { return mt_multiply(x, x, gates, count) }
      for head in 0..<heads { mt_scale(x + head * size, x + head * size, gates[head], size) }
    }
  }

  var linear: LinearPlan
  var form = Form()

  func bind(_ binder: WeightBinder, heads: Int, size: Int, because: String) throws -> Linear {
    try binder.linear(linear, rows: heads * (form.isPerHead ? 1 : size), columns: binder.hiddenSize, because: because)
  }
}

/// RMS norm on queries or keys.
struct HeadNormPlan: Sendable {
  enum Scope: Sendable {
    /// One weight of `headSize`, each head normalised for itself.
    case head
    /// One weight over the whole projection.
    case projection
  }
  var norm: NormPlan
  var scope: Scope
}

/// Queries grow with the logarithm of the position: `1 + scale * ln(1 + floor((position + first) / floor))`.
struct TemperaturePlan: Sendable, Hashable {
  var floor: Float
  var scale: Float
  /// The number of the first position.
  var first = 1

  /// - Shape: `queries` is `[pass.count, width]`.
  func heat(_ queries: UnsafeMutablePointer<Float>, width: Int, _ pass: Pass) {
    for t in 0..<pass.count {
      let steps = (Float(pass.position + t + first) / floor).rounded(.down)
      mt_scale(queries + t * width, queries + t * width, log(steps + 1) * scale + 1, width)
    }
  }
}

struct BoundAttention: BoundOperation {
  let plan: AttentionPlan
  let query: Linear
  let key: Linear
  let value: Linear
  let output: Linear
  let gate: Linear?
  let queryNorm: Norm?
  let keyNorm: Norm?
  let valueNorm: Norm?
  let sinks: WeightVector?
  /// `[bucketCount, headCount]`
  let biasBuckets: WeightVector?
  let blockIndex: BoundBlockIndex?
  let pooledIndex: BoundPooledIndex?

  init(_ plan: AttentionPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "hidden_size, head_dim and the head counts in config.json"
    let hidden = binder.hiddenSize
    let queries = plan.headCount * plan.headSize
    let keys = plan.keyValueHeadCount * plan.headSize
    let valueSize = plan.valueSize ?? plan.headSize
    query = try binder.linear(plan.query, rows: plan.queryCarriesGate ? 2 * queries : queries, columns: hidden, because: because)
    key = try binder.linear(plan.key, rows: keys, columns: hidden, because: because)
    value = try binder.linear(plan.value, rows: plan.keyValueHeadCount * valueSize, columns: hidden, because: because)
    output = try binder.linear(plan.output, rows: hidden, columns: plan.headCount * valueSize, because: because)
    gate = try plan.outputGate?.bind(binder, heads: plan.headCount, size: valueSize, because: because)
    queryNorm = try plan.queryNorm.map { try binder.norm($0.norm, size: $0.scope == .head ? plan.headSize : queries) }
    keyNorm = try plan.keyNorm.map { try binder.norm($0.norm, size: $0.scope == .head ? plan.headSize : keys) }
    valueNorm = try plan.valueNorm.map { try binder.norm($0, size: valueSize) }
    sinks = try plan.sinks.map { try binder.vector($0, count: plan.headCount, because: because) }
    biasBuckets = try plan.distanceBias.map {
      try binder.vector($0.table, count: $0.bucketCount * plan.headCount, because: "the bucket and head counts in config.json")
    }
    blockIndex = try plan.blockIndex?.bind(binder)
    pooledIndex = try plan.pooledIndex?.bind(binder)
  }

  var cacheFloatsPerToken: Int {
    plan.keyValueHeadCount * (plan.headSize + (plan.valueSize ?? plan.headSize)) + (blockIndex?.plan.headSize ?? 0)
      + (pooledIndex.map { ($0.plan.headSize + $0.plan.groupSize - 1) / $0.plan.groupSize } ?? 0)
  }
  func start() -> any RunningOperation { RunningAttention(self) }
}

final class RunningAttention: RunningOperation {
  private let bound: BoundAttention
  private let cache: HeadCache
  private let bias: DistanceBias?
  private let blockIndex: RunningBlockIndex?
  private let pooledIndex: RunningPooledIndex?

  init(_ bound: BoundAttention) {
    self.bound = bound
    if let plan = bound.plan.distanceBias, let buckets = bound.biasBuckets {
      bias = DistanceBias(plan, headCount: bound.plan.headCount, buckets: buckets)
    } else {
      bias = nil
    }
    blockIndex = bound.blockIndex.map { RunningBlockIndex($0) }
    pooledIndex = bound.pooledIndex.map { RunningPooledIndex($0) }
    cache = HeadCache(
      heads: bound.plan.keyValueHeadCount, keySize: bound.plan.headSize, valueSize: bound.plan.valueSize ?? bound.plan.headSize)
  }

  func reset() {
    cache.clear()
    blockIndex?.reset()
    pooledIndex?.reset()
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let count = pass.count
    let queryWidth = plan.headCount * plan.headSize
    let keyWidth = plan.keyValueHeadCount * plan.headSize
    let valueWidth = bound.value.weight.rows
    var queries = pass.arena.floats(count * bound.query.weight.rows)
    let keys = pass.arena.floats(count * keyWidth)
    let values = pass.arena.floats(count * valueWidth)
    pass.pool.multiply(
      pass.product(queries, bound.query, from: pass.x), pass.product(keys, bound.key, from: pass.x),
      pass.product(values, bound.value, from: plan.valuesReadStream ? pass.stream : pass.x))
    var gates = bound.gate.map { pass.project($0, from: pass.x) }
    if plan.queryCarriesGate { (queries, gates) = separate(queries, pass) }

    if !plan.normsFollowRotary { normalize(queries, keys, pass) }
    bound.valueNorm?.apply(pass.pool, out: values, x: values, rows: count * plan.keyValueHeadCount)
    if let clip = plan.clip {
      clamp(queries, count * queryWidth, to: clip)
      clamp(keys, count * keyWidth, to: clip)
      clamp(values, count * valueWidth, to: clip)
    }
    if plan.valueFactor != 1 { mt_scale(values, values, plan.valueFactor, count * valueWidth) }
    if let rotary = plan.rotary {
      let table = pass.rotary.table(rotary, positions: pass.position + count)
      table.turn(
        pass.pool, queries, tokenStride: queryWidth, heads: plan.headCount, headStride: plan.headSize, position: pass.position,
        count: count)
      table.turn(
        pass.pool, keys, tokenStride: keyWidth, heads: plan.keyValueHeadCount, headStride: plan.headSize, position: pass.position,
        count: count)
    }
    if plan.normsFollowRotary { normalize(queries, keys, pass) }
    plan.temperature?.heat(queries, width: queryWidth, pass)

    cache.store(
      keys: keys, keyStride: keyWidth, values: values, valueStride: valueWidth, position: pass.position, count: count,
      end: pass.end)
    let mixedWidth = bound.output.weight.columns
    let mixed = pass.arena.floats(count * mixedWidth)
    var call = Attention(
      out: mixed, queries: queries, keys: cache.keys, values: cache.values, tokens: count, heads: plan.headCount,
      kvHeads: plan.keyValueHeadCount, headDim: plan.headSize, valueDim: plan.valueSize, keyCount: pass.position + count,
      firstPosition: pass.position,
      scale: plan.scale ?? 1 / Float(plan.headSize).squareRoot(), capacity: cache.capacity)
    call.window = plan.window
    call.sinks = bound.sinks?.values
    call.causal = !plan.looksBothWays
    if let bias {
      bias.withValues(positions: call.keyCount) { values, headStride in
        (call.distanceBias, call.biasHeadStride) = (values, headStride)
        pass.pool.attend(call)
      }
    } else if let blockIndex {
      let chosen = blockIndex.choose(pass)
      call.run(on: pass, whole: blockIndex.whole) { token, head in chosen[token][head] }
    } else if let pooledIndex {
      let chosen = pooledIndex.choose(pass)
      call.run(on: pass, whole: pooledIndex.whole) { token, _ in chosen[token] }
    } else {
      for part in call.cut(chunk: plan.chunk) { pass.pool.attend(part) }
    }
    if let gates {
      (plan.outputGate?.form ?? .init()).multiply(mixed, by: gates, heads: count * plan.headCount, size: mixedWidth / plan.headCount)
    }
    pass.pool.multiply(pass.product(pass.out, bound.output, from: mixed, accumulate: true))
  }

  private func normalize(_ queries: UnsafeMutablePointer<Float>, _ keys: UnsafeMutablePointer<Float>, _ pass: Pass) {
    let plan = bound.plan
    if let norm = bound.queryNorm {
      norm.apply(pass.pool, out: queries, x: queries, rows: pass.count * plan.headCount * plan.headSize / norm.size)
    }
    if let norm = bound.keyNorm {
      norm.apply(pass.pool, out: keys, x: keys, rows: pass.count * plan.keyValueHeadCount * plan.headSize / norm.size)
    }
  }

  private func clamp(_ x: UnsafeMutablePointer<Float>, _ count: Int, to limit: Float) {
    for i in 0..<count { x[i] = min(max(x[i], -limit), limit) }
  }

  /// Queries and gates of a projection that interleaves them head by head.
  private func separate(_ both: UnsafeMutablePointer<Float>, _ pass: Pass) -> (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) {
    let size = bound.plan.headSize
    let rows = pass.count * bound.plan.headCount
    let queries = pass.arena.floats(rows * size)
    let gates = pass.arena.floats(rows * size)
    for row in 0..<rows {
      (queries + row * size).update(from: both + 2 * row * size, count: size)
      (gates + row * size).update(from: both + (2 * row + 1) * size, count: size)
    }
    return (queries, gates)
  }

}

extension Attention {
  /// The parts of a call whose tokens share a chunk of positions, each seeing only the keys of its chunk.
  func cut(chunk: Int?) -> [Attention] {
    guard let chunk else { return [self] }
    var parts: [Attention] = []
    var done = 0
    while done < tokens {
      let position = firstPosition + done
      let start = position / chunk * chunk
      let count = min(tokens - done, start + chunk - position)
      var part = self
      part.out = out + done * heads * valueDim
      part.queries = queries + done * heads * headDim
      part.keys = keys + start * keyStride
      part.values = values + start * valueStride
      part.tokens = count
      part.keyCount = position + count - start
      part.firstPosition = position - start
      parts.append(part)
      done += count
    }
    return parts
  }
}
