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
  var headSize: Int
  var query: LinearPlan
  var key: LinearPlan
  var value: LinearPlan
  var output: LinearPlan
  /// nil: positions are not encoded.
  var rotary: RotaryPlan?
  var queryNorm: HeadNormPlan?
  var keyNorm: HeadNormPlan?
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
  /// The sigmoid of this projection of the input multiplies the heads' output.
  var outputGate: LinearPlan?
  /// Each row of the query projection holds a head's query and then its output gate.
  var queryCarriesGate = false
  var temperature: TemperaturePlan?
  /// A token sees the tokens behind it too: encoders, whose sequence comes in one pass.
  var looksBothWays = false
  /// Added to the scores by the distance of a key.
  var distanceBias: DistanceBiasPlan?

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundAttention(self, binder) }
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

/// Queries grow with the logarithm of the position: `1 + scale * ln(1 + floor((position + 1) / floor))`.
struct TemperaturePlan: Sendable, Hashable {
  var floor: Float
  var scale: Float
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
  let sinks: WeightVector?
  /// `[bucketCount, headCount]`
  let biasBuckets: WeightVector?

  init(_ plan: AttentionPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "hidden_size, head_dim and the head counts in config.json"
    let hidden = binder.hiddenSize
    let queries = plan.headCount * plan.headSize
    let keys = plan.keyValueHeadCount * plan.headSize
    query = try binder.linear(plan.query, rows: plan.queryCarriesGate ? 2 * queries : queries, columns: hidden, because: because)
    key = try binder.linear(plan.key, rows: keys, columns: hidden, because: because)
    value = try binder.linear(plan.value, rows: keys, columns: hidden, because: because)
    output = try binder.linear(plan.output, rows: hidden, columns: queries, because: because)
    gate = try plan.outputGate.map { try binder.linear($0, rows: queries, columns: hidden, because: because) }
    queryNorm = try plan.queryNorm.map { try binder.norm($0.norm, size: $0.scope == .head ? plan.headSize : queries) }
    keyNorm = try plan.keyNorm.map { try binder.norm($0.norm, size: $0.scope == .head ? plan.headSize : keys) }
    sinks = try plan.sinks.map { try binder.vector($0, count: plan.headCount, because: because) }
    biasBuckets = try plan.distanceBias.map {
      try binder.vector($0.table, count: $0.bucketCount * plan.headCount, because: "the bucket and head counts in config.json")
    }
  }

  var cacheFloatsPerToken: Int { 2 * plan.keyValueHeadCount * plan.headSize }
  func start() -> any RunningOperation { RunningAttention(self) }
}

final class RunningAttention: RunningOperation {
  private let bound: BoundAttention
  private let cache: HeadCache
  private let bias: DistanceBias?

  init(_ bound: BoundAttention) {
    self.bound = bound
    if let plan = bound.plan.distanceBias, let buckets = bound.biasBuckets {
      bias = DistanceBias(plan, headCount: bound.plan.headCount, buckets: buckets)
    } else {
      bias = nil
    }
    cache = HeadCache(heads: bound.plan.keyValueHeadCount, keySize: bound.plan.headSize, valueSize: bound.plan.headSize)
  }

  func reset() { cache.clear() }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let count = pass.count
    let queryWidth = plan.headCount * plan.headSize
    let keyWidth = plan.keyValueHeadCount * plan.headSize
    var queries = pass.arena.floats(count * bound.query.weight.rows)
    let keys = pass.arena.floats(count * keyWidth)
    let values = pass.arena.floats(count * keyWidth)
    pass.pool.multiply(
      pass.product(queries, bound.query, from: pass.x), pass.product(keys, bound.key, from: pass.x),
      pass.product(values, bound.value, from: pass.x))
    var gates = bound.gate.map { pass.project($0, from: pass.x) }
    if plan.queryCarriesGate { (queries, gates) = separate(queries, pass) }

    if !plan.normsFollowRotary { normalize(queries, keys, pass) }
    if let clip = plan.clip {
      clamp(queries, count * queryWidth, to: clip)
      clamp(keys, count * keyWidth, to: clip)
      clamp(values, count * keyWidth, to: clip)
    }
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
    if let temperature = plan.temperature { heat(queries, temperature, pass) }

    cache.store(
      keys: keys, keyStride: keyWidth, values: values, valueStride: keyWidth, position: pass.position, count: count,
      end: pass.end)
    let mixed = pass.arena.floats(count * queryWidth)
    var call = Attention(
      out: mixed, queries: queries, keys: cache.keys, values: cache.values, tokens: count, heads: plan.headCount,
      kvHeads: plan.keyValueHeadCount, headDim: plan.headSize, keyCount: pass.position + count, firstPosition: pass.position,
      scale: plan.scale ?? 1 / Float(plan.headSize).squareRoot(), capacity: cache.capacity)
    call.window = plan.window
    call.sinks = bound.sinks?.values
    call.causal = !plan.looksBothWays
    if let bias {
      bias.withValues(positions: call.keyCount) { values, headStride in
        (call.distanceBias, call.biasHeadStride) = (values, headStride)
        pass.pool.attend(call)
      }
    } else {
      for part in call.cut(chunk: plan.chunk) { pass.pool.attend(part) }
    }
    if let gates {
      mt_sigmoid(gates, gates, count * queryWidth)
      mt_multiply(mixed, mixed, gates, count * queryWidth)
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

  private func heat(_ queries: UnsafeMutablePointer<Float>, _ temperature: TemperaturePlan, _ pass: Pass) {
    let width = bound.plan.headCount * bound.plan.headSize
    for t in 0..<pass.count {
      let steps = (Float(pass.position + t + 1) / temperature.floor).rounded(.down)
      mt_scale(queries + t * width, queries + t * width, log(steps + 1) * temperature.scale + 1, width)
    }
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
