// The forward pass of a decoder-only language model, once: tokens of one sequence in, hidden states and routing decisions out. It
// executes a plan with bound weights and keeps the sequence's cache; which family the plan came from it never learns.

import CKernels
import Routing

/// Runs one sequence at a time through the blocks of a model.
///
/// Not thread-safe: one value belongs to one thread at a time. Results do not depend on how a sequence is cut into passes, nor on
/// the number of threads.
public final class ForwardPass {
  public let model: LanguageModel
  /// Tokens a single pass may hold.
  public let passLimit: Int
  /// Tokens of the sequence that the cache holds.
  public private(set) var position = 0
  public weak var probe: (any ActivationProbe)?

  let pool: WorkerPool
  private let plan: ModelPlan
  private let weights: ModelWeights
  private let cache: KeyValueCache
  private var rotary: RotaryTable
  private var buffers: ForwardBuffers
  private var assignments = ExpertAssignments()
  /// Tokens of the last pass, whose final hidden states are in `buffers.normed`.
  private var lastCount = 0

  /// - Parameters:
  ///   - threads: nil takes every core.
  ///   - passLimit: memory grows with it: about (8 hidden + topK x intermediate) floats a token.
  public init(_ model: LanguageModel, threads: Int? = nil, passLimit: Int = 512) {
    self.model = model
    self.passLimit = passLimit
    pool = WorkerPool(threads: threads)
    plan = model.plan
    weights = model.weights
    cache = KeyValueCache(rowSizes: plan.blocks.map { $0.attention.keyValueHeadCount * $0.attention.headSize })
    rotary = RotaryTable(plan.rotary)
    buffers = ForwardBuffers(plan: plan)
  }

  public var threadCount: Int { pool.threadCount }

  /// Forgets the sequence.
  public func reset() {
    position = 0
    lastCount = 0
  }

  /// Feeds the next tokens of the sequence.
  ///
  /// - Parameters:
  ///   - tokens: at most `passLimit`, ids inside the vocabulary.
  ///   - demand: what a sink wants to know; nil when nobody listens, and then nothing is recorded.
  ///   - firstToken: row of the first token in the run.
  /// - Returns: one batch per router, in layer order; empty when nobody listens.
  /// - Precondition: `position + tokens.count` within the model's context.
  public func advance(_ tokens: ArraySlice<Int32>, demand: RoutingDemand? = nil, firstToken: Int = 0) -> [RoutingBatch] {
    precondition(tokens.count <= passLimit && !tokens.isEmpty, "a pass holds 1 to \(passLimit) tokens")
    precondition(position + tokens.count <= plan.contextLength, "beyond the context")
    let count = tokens.count
    let hiddenSize = plan.hiddenSize
    buffers.reserve(count)
    cache.reserve(position + count, keeping: position)
    rotary.reserve(position + count)
    for (row, token) in tokens.enumerated() { weights.embedding.read(row: Int(token), into: buffers.hidden + row * hiddenSize) }
    probe?.hidden(0, UnsafeBufferPointer(start: buffers.hidden, count: count * hiddenSize))

    var batches: [RoutingBatch] = []
    for (layer, block) in weights.blocks.enumerated() {
      attend(block, layer: layer, count: count)
      if let batch = feedForward(block, count: count, demand: demand, firstToken: firstToken), demand != nil { batches.append(batch) }
      if layer + 1 < weights.blocks.count {
        probe?.hidden(layer + 1, UnsafeBufferPointer(start: buffers.hidden, count: count * hiddenSize))
      }
    }
    pool.rmsNorm(
      out: buffers.normed, x: buffers.hidden, rows: count, columns: hiddenSize, weight: weights.finalNorm, eps: plan.normEpsilon)
    probe?.hidden(weights.blocks.count, UnsafeBufferPointer(start: buffers.normed, count: count * hiddenSize))
    position += count
    lastCount = count
    return batches
  }

  /// Logits of some rows of the last pass, `[rows.count, vocabularySize]`; valid until the next call.
  public func logits(_ rows: Range<Int>) -> UnsafeBufferPointer<Float> {
    precondition(rows.upperBound <= lastCount, "rows of the last pass")
    buffers.reserveLogits(rows.count)
    pool.matmul(
      out: buffers.logits, x: buffers.normed + rows.lowerBound * plan.hiddenSize, tokens: rows.count, weight: weights.outputHead)
    return UnsafeBufferPointer(start: buffers.logits, count: rows.count * plan.vocabularySize)
  }

  // MARK: - The two halves of a block

  private func attend(_ block: BlockWeights, layer: Int, count: Int) {
    let attention = block.attention
    let shape = attention.plan
    let queryWidth = shape.headCount * shape.headSize
    let keyWidth = shape.keyValueHeadCount * shape.headSize
    let keys = cache.keys(layer: layer, position: position)
    let values = cache.values(layer: layer, position: position)
    pool.rmsNorm(
      out: buffers.normed, x: buffers.hidden, rows: count, columns: plan.hiddenSize, weight: block.attentionNorm, eps: plan.normEpsilon)
    func product(_ out: UnsafeMutablePointer<Float>, _ linear: LinearWeights) -> Product {
      Product(out: out, x: buffers.normed, tokens: count, weight: linear.weight, bias: linear.bias)
    }
    pool.multiply(product(buffers.queries, attention.query), product(keys, attention.key), product(values, attention.value))
    normalize(buffers.queries, attention.queryNorm, heads: shape.headCount, headSize: shape.headSize, count: count)
    normalize(keys, attention.keyNorm, heads: shape.keyValueHeadCount, headSize: shape.headSize, count: count)
    if let clip = shape.clip {
      clamp(buffers.queries, count * queryWidth, to: clip)
      clamp(keys, count * keyWidth, to: clip)
      clamp(values, count * keyWidth, to: clip)
    }
    rotate(shape, keys: keys, count: count)
    var call = Attention(
      out: buffers.mixed, queries: buffers.queries, keys: cache.keys(layer: layer), values: cache.values(layer: layer),
      tokens: count, heads: shape.headCount, kvHeads: shape.keyValueHeadCount, headDim: shape.headSize, keyCount: position + count,
      firstPosition: position, scale: 1 / Float(shape.headSize).squareRoot())
    call.window = shape.window
    pool.attend(call)
    pool.multiply(
      Product(
        out: buffers.hidden, x: buffers.mixed, tokens: count, weight: attention.output.weight, bias: attention.output.bias,
        accumulate: true))
  }

  private func normalize(_ x: UnsafeMutablePointer<Float>, _ norm: HeadNormWeights?, heads: Int, headSize: Int, count: Int) {
    guard let norm else { return }
    let (rows, columns) = norm.scope == .head ? (count * heads, headSize) : (count, heads * headSize)
    pool.rmsNorm(out: x, x: x, rows: rows, columns: columns, weight: norm.weight, eps: plan.normEpsilon)
  }

  private func clamp(_ x: UnsafeMutablePointer<Float>, _ count: Int, to limit: Float) {
    for i in 0..<count { x[i] = min(max(x[i], -limit), limit) }
  }

  /// Turns queries and keys by their positions.
  private func rotate(_ shape: AttentionPlan, keys: UnsafeMutablePointer<Float>, count: Int) {
    let queries = buffers.queries
    let queryWidth = shape.headCount * shape.headSize
    let keyWidth = shape.keyValueHeadCount * shape.headSize
    let half = rotary.half
    let first = position
    rotary.cosines.withUnsafeBufferPointer { cosines in
      rotary.sines.withUnsafeBufferPointer { sines in
        guard let cosines = cosines.baseAddress, let sines = sines.baseAddress else { return }
        pool.forEachRow(of: count, cost: queryWidth + keyWidth) { rows in
          for row in rows {
            let angles = (first + row) * half
            mt_rope(queries + row * queryWidth, shape.headCount, shape.headSize, 2 * half, cosines + angles, sines + angles, false)
            mt_rope(keys + row * keyWidth, shape.keyValueHeadCount, shape.headSize, 2 * half, cosines + angles, sines + angles, false)
          }
        }
      }
    }
  }

  /// - Returns: the decisions of the block's router; nil when it has none.
  private func feedForward(_ block: BlockWeights, count: Int, demand: RoutingDemand?, firstToken: Int) -> RoutingBatch? {
    let half = block.feedForward
    pool.rmsNorm(
      out: buffers.normed, x: buffers.hidden, rows: count, columns: plan.hiddenSize, weight: block.feedForwardNorm,
      eps: plan.normEpsilon)
    var batch: RoutingBatch?
    if let routing = half.routing {
      let spec = routing.router.spec
      pool.matmul(out: buffers.routerLogits, x: buffers.normed, tokens: count, weight: routing.weight)
      var decisions = RoutingBatch(
        router: routing.id, expertCount: spec.expertCount, topK: spec.topK, firstToken: firstToken, count: count)
      routing.router.decide(buffers.routerLogits, demand: demand ?? RoutingDemand(statistics: false), into: &decisions)
      assignments.assign(
        experts: decisions.selectedExperts, weights: decisions.routingWeights, tokens: count, topK: spec.topK,
        expertCount: spec.expertCount)
      batch = decisions
    } else {
      assignments.assignAll(tokens: count)
    }
    let width = count * plan.hiddenSize
    let out = probe == nil ? buffers.hidden : buffers.zeroedMixed(width)
    half.experts.withUnsafeBufferPointer { experts in
      buffers.reserveExperts(ExpertCall.hiddenFloats(experts, assignments))
      pool.runExperts(
        ExpertCall(out: out, x: buffers.normed, hidden: buffers.expertHidden, activation: .silu), experts: experts,
        assignments: assignments)
    }
    if let probe {
      if let routing = half.routing {
        probe.block(
          routing.id, input: UnsafeBufferPointer(start: buffers.normed, count: width), output: UnsafeBufferPointer(start: out, count: width)
        )
      }
      mt_add(buffers.hidden, buffers.hidden, out, width)
    }
    return batch
  }
}
