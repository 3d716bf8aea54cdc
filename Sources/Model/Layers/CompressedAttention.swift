// Attention over one vector a token that is key and value of all heads: the last few tokens as they are, and what lies further back, where a
// layer looks there, as entries of a compressor, all of them or those that a scorer keeps. Values carry positions then, so each head's
// output is turned back by its token's own. Output heads come in groups, each through a narrow layer of its own.
// Source: DeepSeek-AI 2026, DeepSeek-V4, section 2.3.

import CKernels
import Routing

struct CompressedAttentionPlan: OperationPlan {
  /// Which entries a token looks at; nil: all.
  struct Index: Sendable {
    var headCount: Int
    var topK: Int
    /// `[headCount * size, narrow query]`, and `[headCount, hidden]`: how much each head counts.
    var query: LinearPlan
    var weights: LinearPlan
    /// Its entries, of its own size.
    var compressor: CompressorPlan
  }

  var headCount: Int
  var headSize: Int
  /// Queries through a narrow layer.
  var queryDown: LinearPlan
  var queryNorm: NormPlan
  var queryDownSize: Int
  /// `[headCount * headSize, queryDownSize]`, and the norm over each head.
  var query: LinearPlan
  var headNorm: NormPlan
  /// `[headSize, hidden]`
  var keyValue: LinearPlan
  var keyValueNorm: NormPlan
  /// Of the last elements of a head.
  var rotary: RotaryPlan
  /// Tokens that are seen as they are, the token itself included.
  var window: Int
  /// `[headCount]`
  var sinks: VectorPlan
  /// Groups of heads, and what each is narrowed to: `[groups * groupSize, headCount * headSize / groups]`.
  var groups: Int
  var groupSize: Int
  var outputDown: LinearPlan
  /// `[hidden, groups * groupSize]`
  var output: LinearPlan
  var compressor: CompressorPlan?
  var index: Index?

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundCompressedAttention(self, binder) }
}

struct BoundCompressedAttention: BoundOperation {
  struct Index: Sendable {
    let plan: CompressedAttentionPlan.Index
    let query: Linear
    let weights: Linear
    let compressor: BoundCompressor
  }

  let plan: CompressedAttentionPlan
  let queryDown: Linear
  let queryNorm: Norm
  let query: Linear
  let headNorm: Norm
  let keyValue: Linear
  let keyValueNorm: Norm
  let sinks: WeightVector
  let outputDown: Linear
  let output: Linear
  let compressor: BoundCompressor?
  let index: Index?

  init(_ plan: CompressedAttentionPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "head_dim, the head and group counts and the ranks in config.json"
    let hidden = binder.hiddenSize
    queryDown = try binder.linear(plan.queryDown, rows: plan.queryDownSize, columns: hidden, because: because)
    queryNorm = try binder.norm(plan.queryNorm, size: plan.queryDownSize)
    query = try binder.linear(plan.query, rows: plan.headCount * plan.headSize, columns: plan.queryDownSize, because: because)
    headNorm = try binder.norm(plan.headNorm, size: plan.headSize)
    keyValue = try binder.linear(plan.keyValue, rows: plan.headSize, columns: hidden, because: because)
    keyValueNorm = try binder.norm(plan.keyValueNorm, size: plan.headSize)
    sinks = try binder.vector(plan.sinks, count: plan.headCount, because: because)
    outputDown = try binder.linear(
      plan.outputDown, rows: plan.groups * plan.groupSize, columns: plan.headCount * plan.headSize / plan.groups, because: because)
    output = try binder.linear(plan.output, rows: hidden, columns: plan.groups * plan.groupSize, because: because)
    compressor = try plan.compressor?.bind(binder)
    index = try plan.index.map { index in
      Index(
        plan: index,
        query: try binder.linear(
          index.query, rows: index.headCount * index.compressor.size, columns: plan.queryDownSize, because: "the index sizes in config.json"
        ),
        weights: try binder.linear(index.weights, rows: index.headCount, columns: hidden, because: "the index sizes in config.json"),
        compressor: try index.compressor.bind(binder))
    }
  }

  var cacheFloatsPerToken: Int { [compressor, index?.compressor].compactMap(\.self).reduce(0) { $0 + $1.floatsPerToken } }
  var stateFloats: Int {
    [compressor, index?.compressor].compactMap(\.self).reduce(2 * plan.window * plan.headSize) { $0 + $1.stateFloats }
  }
  func start() -> any RunningOperation { RunningCompressedAttention(self) }
}

final class RunningCompressedAttention: RunningOperation {
  private let bound: BoundCompressedAttention
  private let compressor: RunningCompressor?
  private let index: (bound: BoundCompressedAttention.Index, compressor: RunningCompressor)?
  /// `[tokens, headSize]` of the last tokens, and the position of the first.
  private var recent: [Float] = []
  private var first = 0

  init(_ bound: BoundCompressedAttention) {
    self.bound = bound
    compressor = bound.compressor.map { RunningCompressor($0) }
    index = bound.index.map { ($0, RunningCompressor($0.compressor)) }
  }

  func reset() {
    (recent, first) = ([], 0)
    compressor?.reset()
    index?.compressor.reset()
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let (count, heads, size) = (pass.count, plan.headCount, plan.headSize)
    let table = pass.rotary.table(plan.rotary, positions: pass.position + count)
    let plain = size - plan.rotary.rotatedSize

    let narrow = pass.project(bound.queryDown, from: pass.x)
    bound.queryNorm.apply(pass.pool, out: narrow, x: narrow, rows: count)
    let queries = pass.project(bound.query, from: narrow)
    bound.headNorm.apply(pass.pool, out: queries, x: queries, rows: count * heads)
    table.turn(
      pass.pool, queries + plain, tokenStride: heads * size, heads: heads, headStride: size, position: pass.position, count: count)
    let fresh = pass.project(bound.keyValue, from: pass.x)
    bound.keyValueNorm.apply(pass.pool, out: fresh, x: fresh, rows: count)
    table.turn(pass.pool, fresh + plain, tokenStride: size, heads: 1, headStride: size, position: pass.position, count: count)
    remember(fresh, count: count)
    compressor?.take(pass)
    index?.compressor.take(pass)

    let mixed = pass.arena.floats(count * heads * size)
    attend(pass, queries, narrow, into: mixed)
    table.turn(
      pass.pool, mixed + plain, tokenStride: heads * size, heads: heads, headStride: size, position: pass.position, count: count,
      isBackwards: true)
    project(mixed, pass)
  }

  /// Keeps what later tokens see: at least a window, at most two and the tokens at hand.
  private func remember(_ fresh: UnsafePointer<Float>, count: Int) {
    let size = bound.plan.headSize
    let surplus = recent.count / size - (bound.plan.window - 1)
    if surplus > bound.plan.window {
      recent.removeFirst(surplus * size)
      first += surplus
    }
    recent += UnsafeBufferPointer(start: fresh, count: count * size)
  }

  /// The heads' output, `[count, heads, size]`.
  private func attend(
    _ pass: Pass, _ queries: UnsafePointer<Float>, _ narrow: UnsafePointer<Float>, into mixed: UnsafeMutablePointer<Float>
  ) {
    let plan = bound.plan
    let (heads, size) = (plan.headCount, plan.headSize)
    // Heads that are computed together; all of them read the same keys.
    let parts = (1...16).last { heads % $0 == 0 } ?? 1
    func call(
      _ out: UnsafeMutablePointer<Float>, _ queries: UnsafePointer<Float>, _ keys: UnsafePointer<Float>, tokens: Int, at place: Int
    ) -> Attention {
      var call = Attention(
        out: out, queries: queries, keys: keys, values: keys, tokens: tokens, heads: heads, kvHeads: parts, headDim: size,
        keyCount: place + tokens, firstPosition: place, scale: 1 / Float(size).squareRoot())
      (call.keyStride, call.valueStride, call.keyHeadStride, call.valueHeadStride) = (size, size, 0, 0)
      call.sinks = bound.sinks.values
      return call
    }
    recent.withUnsafeBufferPointer { recent in
      guard let recent = recent.baseAddress else { return }
      guard let compressor else {
        var call = call(mixed, queries, recent, tokens: pass.count, at: pass.position - first)
        call.window = plan.window
        return pass.pool.attend(call)
      }
      let scorer = index.map { EntryScorer($0.bound, $0.compressor, pass, narrow) }
      let seen = pass.arena.floats((min(plan.window, pass.position + pass.count) + compressor.count) * size)
      for t in 0..<pass.count {
        let position = pass.position + t
        let start = max(first, position - plan.window + 1)
        let near = position - start + 1
        seen.update(from: recent + (start - first) * size, count: near * size)
        let far = compressor.visible(at: position)
        let chosen = scorer?.best(of: far, for: t)
        compressor.entries.withUnsafeBufferPointer { entries in
          guard far > 0, let entries = entries.baseAddress else { return }
          if let chosen {
            for (place, entry) in chosen.enumerated() {
              (seen + (near + place) * size).update(from: entries + Int(entry) * size, count: size)
            }
          } else {
            (seen + near * size).update(from: entries, count: far * size)
          }
        }
        let total = near + (chosen?.count ?? far)
        pass.pool.attend(call(mixed + t * heads * size, queries + t * heads * size, seen, tokens: 1, at: total - 1))
      }
    }
  }

  /// Adds the output of `[count, heads, size]` to the pass.
  private func project(_ mixed: UnsafePointer<Float>, _ pass: Pass) {
    let plan = bound.plan
    let width = plan.headCount * plan.headSize
    let down = pass.arena.floats(pass.count * plan.groups * plan.groupSize)
    let products = (0..<plan.groups).map { group in
      Product(
        out: down + group * plan.groupSize, outStride: plan.groups * plan.groupSize, x: mixed + group * (width / plan.groups),
        xStride: width, tokens: pass.count,
        weight: bound.outputDown.weight.rows(group * plan.groupSize..<(group + 1) * plan.groupSize))
    }
    products.withUnsafeBufferPointer { pass.pool.multiply($0) }
    pass.pool.multiply(pass.product(pass.out, bound.output, from: down, accumulate: true))
  }
}

/// Which entries the tokens of a step look at.
private struct EntryScorer {
  private let scores: TokenIndexScores
  private let topK: Int
  private let compressor: RunningCompressor
  private let pass: Pass

  /// - Parameter narrow: `[count, narrow query]`: what queries are made from.
  init(_ bound: BoundCompressedAttention.Index, _ compressor: RunningCompressor, _ pass: Pass, _ narrow: UnsafePointer<Float>) {
    let plan = bound.plan
    let (size, heads) = (plan.compressor.size, plan.headCount)
    let rotary = plan.compressor.rotary
    let queries = pass.project(bound.query, from: narrow)
    pass.rotary.table(rotary, positions: pass.position + pass.count).turn(
      pass.pool, queries + size - rotary.rotatedSize, tokenStride: heads * size, heads: heads, headStride: size, position: pass.position,
      count: pass.count)
    scores = TokenIndexScores(
      heads: heads, size: size, queries: queries, weights: pass.project(bound.weights, from: pass.x),
      products: pass.arena.floats(heads * max(1, compressor.count)), prefersLater: false)
    (topK, self.compressor, self.pass) = (plan.topK, compressor, pass)
  }

  /// The entries, rising, that the token at row `t` looks at among the first `count`; nil: all of them.
  func best(of count: Int, for t: Int) -> [Int32]? {
    guard count > topK else { return nil }
    return scores.best(topK, of: count, keys: compressor.entries, for: t, pass.pool)
  }
}
