// Linear attention whose past fades at a fixed rate for each head. Positions are counted in blocks: inside a block every token reads
// the keys before it, weighed by their distance; what lies before the block is one matrix a head. A checkpoint may carry its tables of
// weights by distance, rounded as its other weights are, so the blocks are part of what the model computes.
// Source: Qin et al. 2024, arXiv:2405.17381; MiniMax 2025, arXiv:2501.08313.

import CKernels
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct LightningAttentionPlan: OperationPlan {
  var headCount: Int
  var headSize: Int
  var blockSize: Int
  /// A head fades by `e^-slope` a token, where the checkpoint has no tables.
  var slope: @Sendable (Int) -> Float
  /// What the tables are called: prefix of `slope_rate`, `query_decay`, `key_decay`, `diagonal_decay`.
  var tables: String
  /// For each head its query, key and value, in rows one after the other.
  var queryKeyValue: LinearPlan
  /// Over all heads' output.
  var norm: NormPlan
  /// The sigmoid of this projection of the input multiplies the normalised output.
  var outputGate: LinearPlan
  var output: LinearPlan

  var width: Int { headCount * headSize }

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundLightningAttention(self, binder) }
}

struct BoundLightningAttention: BoundOperation {
  let plan: LightningAttentionPlan
  let queryKeyValue: Linear
  let norm: Norm
  let outputGate: Linear
  let output: Linear
  let fading: FirstUse<FadingTables>

  init(_ plan: LightningAttentionPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "hidden_size, head_dim and num_attention_heads in config.json"
    let hidden = binder.hiddenSize
    queryKeyValue = try binder.linear(plan.queryKeyValue, rows: 3 * plan.width, columns: hidden, because: because)
    norm = try binder.norm(plan.norm, size: plan.width)
    outputGate = try binder.linear(plan.outputGate, rows: plan.width, columns: hidden, because: because)
    output = try binder.linear(plan.output, rows: hidden, columns: plan.width, because: because)
    fading = try FadingTables.bound(plan, binder)
  }

  var stateFloats: Int { plan.width * (plan.headSize + 2 * plan.blockSize) }
  func start() -> any RunningOperation { RunningLightningAttention(self) }
}

/// How much of a key is left, by distance; of the checkpoint, or `e^(-slope * distance)`.
struct FadingTables: Sendable {
  /// `[heads]`: the past before a block, once the block is full.
  let block: [Float]
  /// `[heads, blockSize]`: the past before the block, at each place in it.
  let queries: [Float]
  /// `[heads, blockSize]`: each place of a full block, behind the block.
  let keys: [Float]
  /// `[heads, blockSize]`: keys of the block, the furthest first, the token's own last.
  let within: [Float]

  /// The tables, made at their first use.
  static func bound(_ plan: LightningAttentionPlan, _ binder: WeightBinder) throws -> FirstUse<FadingTables> {
    let (heads, size) = (plan.headCount, plan.blockSize)
    let because = "block_size and num_attention_heads in config.json"
    let slopes = (0..<heads).map(plan.slope)
    /// Of a tensor whose elements for one head are contiguous: the `count` of them from `first` on, or what `exponent` says.
    func table(
      _ name: String, _ shape: [Int], first: Int = 0, count: Int, exponent: @escaping @Sendable (Int) -> Int
    ) throws -> @Sendable () -> [Float] {
      let name = plan.tables + name
      guard binder.checkpoint.has(name) else {
        return { slopes.flatMap { slope in (0..<count).map { exp(-slope * Float(exponent($0))) } } }
      }
      let perHead = shape.reduce(1, *) / heads
      let parts = try (0..<heads).map { head in
        try binder.vector(VectorPlan(name, storedShape: shape, first: head * perHead + first), count: count, because: because)
      }
      return { parts.flatMap(\.array) }
    }
    var rates: WeightVector?
    if binder.checkpoint.has(plan.tables + "slope_rate") {
      rates = try binder.vector(VectorPlan(plan.tables + "slope_rate", storedShape: [heads, 1, 1]), count: heads, because: because)
    }
    let queries = try table("query_decay", [heads, size, 1], count: size) { $0 + 1 }
    let keys = try table("key_decay", [heads, size, 1], count: size) { size - 1 - $0 }
    // Rows of this table differ only in where they begin; the last one holds every distance.
    let within = try table("diagonal_decay", [1, heads, size, size], first: (size - 1) * size, count: size) { size - 1 - $0 }
    return FirstUse { [rates] in
      let block = (rates?.array ?? slopes).map { exp(-$0 * Float(size)) }
      return FadingTables(block: block, queries: queries(), keys: keys(), within: within())
    }
  }
}

final class RunningLightningAttention: RunningOperation {
  private let bound: BoundLightningAttention
  private let fading: FadingTables
  /// Keys and values of the block at hand.
  private let cache: HeadCache
  /// What lies before it.
  private let states: HeadStates

  init(_ bound: BoundLightningAttention) {
    self.bound = bound
    fading = bound.fading.value
    let plan = bound.plan
    cache = HeadCache(heads: plan.headCount, keySize: plan.headSize, valueSize: plan.headSize)
    states = HeadStates(heads: plan.headCount, keySize: plan.headSize, valueSize: plan.headSize)
  }

  func reset() { states.reset() }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let width = plan.width
    let all = pass.project(bound.queryKeyValue, from: pass.x)
    mt_activate(all, all, nil, 3 * pass.count * width, MT_SILU, 0)
    let (queries, keys, values) = separate(all, pass)
    let out = pass.arena.floats(pass.count * width)
    let scores = pass.arena.floats(plan.headCount * min(pass.count, plan.blockSize) * plan.blockSize)
    var done = 0
    while done < pass.count {
      let place = (pass.position + done) % plan.blockSize
      let count = min(pass.count - done, plan.blockSize - place)
      let row = done * width
      cache.store(keys: keys + row, keyStride: width, values: values + row, valueStride: width, position: place, count: count)
      let part = BlockPart(place: place, count: count, queries: queries + row, out: out + row)
      pass.pool.reserveScratch(bytes: mt_matmul_scratch_bytes(plan.headSize))
      pass.pool.run(chunks: plan.headCount) { head, worker in
        attend(part, head: head, scores: scores + head * count * plan.blockSize, scratch: pass.pool.scratch(of: worker))
        if place + count == plan.blockSize { closeBlock(head: head) }
      }
      done += count
    }
    bound.norm.apply(pass.pool, out: out, x: out, rows: pass.count)
    let gates = pass.project(bound.outputGate, from: pass.x)
    mt_sigmoid(gates, gates, pass.count * width)
    mt_multiply(out, out, gates, pass.count * width)
    pass.pool.multiply(pass.product(pass.out, bound.output, from: out, accumulate: true))
  }

  /// Tokens of the pass that lie in one block: the place of the first, and `[count, headCount, headSize]` of their own.
  private struct BlockPart {
    var place: Int
    var count: Int
    var queries: UnsafeMutablePointer<Float>
    var out: UnsafeMutablePointer<Float>
  }

  private func attend(_ part: BlockPart, head: Int, scores: UnsafeMutablePointer<Float>, scratch: UnsafeMutableRawPointer) {
    let plan = bound.plan
    let (size, block) = (plan.headSize, plan.blockSize)
    let state = states[head]
    let known = part.place + part.count
    let keys = WeightMatrix(base: UnsafeRawPointer(cache.keys + head * cache.capacity * size), type: .f32, rows: known, columns: size)
    var job = Product(
      out: scores, outStride: block, x: part.queries + head * size, xStride: plan.width, tokens: part.count, weight: keys
    ).job(.f32)
    mt_matmul(&job, scratch)
    let values = cache.values + head * cache.capacity * size
    fading.within.withUnsafeBufferPointer { within in
      guard let within = within.baseAddress else { return }
      for t in 0..<part.count {
        let place = part.place + t
        let out = part.out + t * plan.width + head * size
        let row = scores + t * block
        state.read(part.queries + t * plan.width + head * size, into: out)
        mt_scale(out, out, fading.queries[head * block + place], size)
        mt_multiply(row, row, within + head * block + block - 1 - place, place + 1)
        for key in 0...place { mt_axpy(out, values + key * size, row[key], size) }
      }
    }
  }

  /// Folds a full block into what lies before the next.
  private func closeBlock(head: Int) {
    let plan = bound.plan
    let state = states[head]
    let first = head * cache.capacity
    state.fade(by: fading.block[head])
    for place in 0..<plan.blockSize {
      let key = cache.keys + (first + place) * plan.headSize
      mt_scale(key, key, fading.keys[head * plan.blockSize + place], plan.headSize)
      state.add(key, cache.values + (first + place) * plan.headSize)
    }
  }

  /// `[count, headCount, headSize]` each.
  private func separate(
    _ all: UnsafePointer<Float>, _ pass: Pass
  ) -> (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) {
    let size = bound.plan.headSize
    let rows = pass.count * bound.plan.headCount
    let parts = (pass.arena.floats(rows * size), pass.arena.floats(rows * size), pass.arena.floats(rows * size))
    for row in 0..<rows {
      (parts.0 + row * size).update(from: all + 3 * row * size, count: size)
      (parts.1 + row * size).update(from: all + (3 * row + 1) * size, count: size)
      (parts.2 + row * size).update(from: all + (3 * row + 2) * size, count: size)
    }
    return parts
  }
}
