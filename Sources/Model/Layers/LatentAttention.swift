// Attention whose keys and values come out of one small vector a token (multi-head latent attention). Keys have a part that positions
// do not touch and a rotated part that all heads share. What is cached are the heads' keys and values, unfolded.
// Source: DeepSeek-AI 2024, arXiv:2405.04434, section 2.1.

import Routing

struct LatentAttentionPlan: OperationPlan {
  var headCount: Int
  /// Elements of a head's query and key that positions do not touch, and those that turn.
  var plainSize: Int
  var rotatedSize: Int
  var valueSize: Int
  /// Width of the vector that keys and values come from.
  var latentSize: Int
  /// Queries through a narrow layer, or nil and `query` alone.
  var queryDown: LinearPlan?
  var queryNorm: NormPlan?
  var queryDownSize = 0
  /// `[headCount * (plainSize + rotatedSize), hidden or queryDownSize]`, wider by what the next two say.
  var query: LinearPlan
  /// The query projection reads the narrow layer twice: normalised, then as it is.
  var queryReadsBoth = false
  /// Each head's rows of the query projection are its query, then `valueSize` gates, whose sigmoids multiply the head's output.
  var queryCarriesGate = false
  /// `[latentSize + rotatedSize, hidden]`
  var latent: LinearPlan
  var latentNorm: NormPlan
  /// `[headCount * (plainSize + valueSize), latentSize]`: per head its key, then its value.
  var unfold: MatrixPlan
  var output: LinearPlan
  /// nil: the rotated part does not turn either.
  var rotary: RotaryPlan?
  var scale: Float
  /// Factors on the norms' outputs.
  var queryFactor: Float = 1
  var latentFactor: Float = 1
  var temperature: TemperaturePlan?
  /// `[headCount]`: a logit that takes part in each head's softmax without a value.
  var sinks: VectorPlan?
  /// What multiplies the heads' output.
  var outputGate: OutputGatePlan?
  /// Which earlier tokens are looked at; nil: all.
  var index: Index?

  enum Index: Sendable {
    case own(TokenIndexPlan)
    /// The choice of the last layer that has one of its own.
    case earlier(topK: Int)

    var topK: Int {
      switch self {
      case .own(let plan): plan.topK
      case .earlier(let topK): topK
      }
    }
  }

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundLatentAttention(self, binder) }

  /// Outputs of the query projection for one head.
  fileprivate var queryRows: Int { plainSize + rotatedSize + (queryCarriesGate ? valueSize : 0) }
}

struct BoundLatentAttention: BoundOperation {
  let plan: LatentAttentionPlan
  let queryDown: Linear?
  let queryNorm: Norm?
  let query: Linear
  let latent: Linear
  let latentNorm: Norm
  let sinks: WeightVector?
  let unfold: BoundMatrix
  /// The same where a file has it taken apart: keys `[headCount * latentSize, plainSize]`, values `[headCount * valueSize, latentSize]`.
  let unfoldApart: (keys: WeightMatrix, values: WeightMatrix)?
  let output: Linear
  let gate: Linear?
  let index: BoundTokenIndex?

  init(_ plan: LatentAttentionPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "the latent attention sizes in config.json"
    let hidden = binder.hiddenSize
    queryDown = try plan.queryDown.map { try binder.linear($0, rows: plan.queryDownSize, columns: hidden, because: because) }
    queryNorm = try plan.queryNorm.map { try binder.norm($0, size: plan.queryDownSize) }
    query = try binder.linear(
      plan.query, rows: plan.headCount * plan.queryRows,
      columns: plan.queryDown == nil ? hidden : plan.queryDownSize * (plan.queryReadsBoth ? 2 : 1), because: because)
    latent = try binder.linear(plan.latent, rows: plan.latentSize + plan.rotatedSize, columns: hidden, because: because)
    latentNorm = try binder.norm(plan.latentNorm, size: plan.latentSize)
    sinks = try plan.sinks.map { try binder.vector($0, count: plan.headCount, because: because) }
    unfold = try binder.matrix(
      plan.unfold, rows: plan.headCount * (plan.plainSize + plan.valueSize), columns: plan.latentSize, because: because)
    unfoldApart = try binder.unfoldingApart(
      plan.unfold, heads: plan.headCount, plain: plan.plainSize, value: plan.valueSize, latent: plan.latentSize, because: because)
    output = try binder.linear(plan.output, rows: hidden, columns: plan.headCount * plan.valueSize, because: because)
    if case .own(let own) = plan.index {
      index = try own.bind(binder, narrow: plan.queryDown == nil ? hidden : plan.queryDownSize)
    } else {
      index = nil
    }
    gate = try plan.outputGate?.bind(binder, heads: plan.headCount, size: plan.valueSize, because: because)
  }

  var cacheFloatsPerToken: Int { plan.latentSize + plan.rotatedSize + (index?.plan.headSize ?? 0) }
  var readsEarlierBlocks: Bool { if case .earlier = plan.index { true } else { false } }
  func start() -> any RunningOperation { RunningLatentAttention(self) }
}

final class RunningLatentAttention: RunningOperation {
  private let bound: BoundLatentAttention
  /// Latents, normalised, and the rotated key behind each: one head for all.
  private let cache: HeadCache
  private let index: RunningTokenIndex?

  init(_ bound: BoundLatentAttention) {
    self.bound = bound
    index = bound.index.map { RunningTokenIndex($0) }
    cache = HeadCache(heads: 1, keySize: bound.plan.latentSize + bound.plan.rotatedSize, valueSize: 0)
  }

  func reset() {
    cache.clear()
    index?.reset()
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let count = pass.count
    let keySize = plan.plainSize + plan.rotatedSize
    let table = plan.rotary.map { pass.rotary.table($0, positions: pass.position + count) }

    let (queries, gates) = queries(pass)
    table?.turn(
      pass.pool, queries + plan.plainSize, tokenStride: plan.headCount * keySize, heads: plan.headCount, headStride: keySize,
      position: pass.position, count: count)
    plan.temperature?.heat(queries, width: plan.headCount * keySize, pass)

    let latentWidth = plan.latentSize + plan.rotatedSize
    let latent = pass.project(bound.latent, from: pass.x)
    table?.turn(
      pass.pool, latent + plan.latentSize, tokenStride: latentWidth, heads: 1, headStride: plan.rotatedSize, position: pass.position,
      count: count)
    for t in 0..<count {
      let row = latent + t * latentWidth
      bound.latentNorm.apply(pass.pool, out: row, x: row, rows: 1)
      scale(row, plan.latentFactor, plan.latentSize)
    }
    cache.store(
      keys: latent, keyStride: latentWidth, values: latent, valueStride: latentWidth, position: pass.position, count: count, end: pass.end)
    let mixed = pass.arena.floats(count * plan.headCount * plan.valueSize)
    let heads = LatentHeads(
      plan: plan, unfold: bound.unfold, apart: bound.unfoldApart, latents: cache.keys, queries: queries, sinks: bound.sinks?.values)
    // Tokens that look at chosen positions would each unfold others.
    if pass.isGenerating || plan.index != nil { heads.folded(pass, into: mixed) } else { heads.unfolded(pass, into: mixed) }
    if let gate = bound.gate, let form = plan.outputGate?.form {
      form.multiply(mixed, by: pass.project(gate, from: pass.x), heads: count * plan.headCount, size: plan.valueSize)
    }
    if let gates { OutputGatePlan.Form().multiply(mixed, by: gates, heads: count * plan.headCount, size: plan.valueSize) }
    pass.pool.multiply(pass.product(pass.out, bound.output, from: mixed, accumulate: true))
  }

  /// `[tokens, heads, plainSize + rotatedSize]` before they turn, and `[tokens, heads, valueSize]` where the same projection gives gates.
  private func queries(_ pass: Pass) -> (UnsafeMutablePointer<Float>, gates: UnsafeMutablePointer<Float>?) {
    let (plan, count) = (bound.plan, pass.count)
    let width = plan.queryDownSize
    var (source, raw) = (UnsafePointer(pass.x), UnsafePointer(pass.x))
    if let down = bound.queryDown {
      let narrow = pass.project(down, from: pass.x)
      if plan.queryReadsBoth {
        let kept = pass.arena.floats(count * width)
        kept.update(from: narrow, count: count * width)
        raw = UnsafePointer(kept)
      }
      bound.queryNorm?.apply(pass.pool, out: narrow, x: narrow, rows: count)
      scale(narrow, plan.queryFactor, count * width)
      source = UnsafePointer(narrow)
    }
    index?.choose(pass, narrow: source)
    if plan.queryReadsBoth {
      let both = pass.arena.floats(2 * count * width)
      for t in 0..<count {
        (both + 2 * t * width).update(from: source + t * width, count: width)
        (both + (2 * t + 1) * width).update(from: raw + t * width, count: width)
      }
      source = UnsafePointer(both)
    }
    let projected = pass.project(bound.query, from: source)
    guard plan.queryCarriesGate else { return (projected, nil) }
    let (keySize, rows) = (plan.plainSize + plan.rotatedSize, count * plan.headCount)
    let (queries, gates) = (pass.arena.floats(rows * keySize), pass.arena.floats(rows * plan.valueSize))
    for row in 0..<rows {
      (queries + row * keySize).update(from: projected + row * plan.queryRows, count: keySize)
      (gates + row * plan.valueSize).update(from: projected + row * plan.queryRows + keySize, count: plan.valueSize)
    }
    return (queries, gates)
  }

  private func scale(_ x: UnsafeMutablePointer<Float>, _ factor: Float, _ count: Int) {
    if factor != 1 { for i in 0..<count { x[i] *= factor } }
  }
}
