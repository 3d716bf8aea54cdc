// Several residual streams side by side. Before each half of a block a few numbers, computed from all streams of a token, say how the half's
// input is put together from them, how its output is spread over them, and how they are mixed among each other; the mixing matrix is brought
// near a doubly stochastic one, so that no stream grows by it. Behind the last block they are joined to one.
// Source: Zhu et al. 2024, Hyper-Connections, arXiv:2409.19606; Xie et al. 2025, mHC, arXiv:2512.24880.

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What stands between a half of a block and n streams.
protocol StreamConnectionPlan: Sendable {
  func bind(_ binder: WeightBinder) throws -> any BoundStreamConnection
}

/// How n streams become one.
protocol StreamJoinPlan: Sendable {
  func bindJoin(_ binder: WeightBinder) throws -> any BoundStreamJoin
}

protocol BoundStreamConnection: Sendable {
  /// What depends on the streams of each token alone; in the arena.
  ///
  /// - Shape: `stream` is `[count, n, hidden]`.
  func weights(_ stream: UnsafePointer<Float>, count: Int, _ pool: WorkerPool, _ arena: Arena) -> UnsafeMutablePointer<Float>
  /// What the half reads: `[count, hidden]` from `[count, n, hidden]` and the weights.
  func collapse(
    _ stream: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, count: Int, hidden: Int, into out: UnsafeMutablePointer<Float>,
    _ pool: WorkerPool)
  /// The half's output, `[count, hidden]`, over all streams.
  func spread(
    _ output: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, count: Int, hidden: Int, over stream: UnsafeMutablePointer<Float>,
    _ pool: WorkerPool)
}

protocol BoundStreamJoin: Sendable {
  /// `[count, hidden]` from `[count, n, hidden]`; `out` may lie in front of the rows it is made from.
  func join(
    _ stream: UnsafePointer<Float>, count: Int, hidden: Int, into out: UnsafeMutablePointer<Float>, _ pool: WorkerPool, _ arena: Arena)
}

/// What one half of a block reads from n streams and writes to them, by a few numbers for each token.
struct HyperConnectionPlan: StreamConnectionPlan {
  var streams: Int
  /// `[(2 + n) n, n * hidden]`: rows for n weights of the input, n of the output, and n x n of the mixture; `[2 n, n * hidden]` without one.
  var function: MatrixPlan
  /// `[(2 + n) n]`, added; and `[3]`, a factor of each of the three parts. Without a mixture `[2 n]` and `[2]`.
  var base: VectorPlan
  var scale: VectorPlan
  /// Rounds of Sinkhorn and Knopp, the first of columns only; nil: streams are not mixed, each stays and takes its share of the output.
  var iterations: Int?
  /// The most that a weight of the output is, and what is added to it.
  var outputFactor: Float = 2
  var outputEpsilon: Float = 0
  /// Added to weights of the input and to sums.
  var epsilon: Float
  /// Of the norm over all streams, which has no weight.
  var normEpsilon: Float

  func bind(_ binder: WeightBinder) throws -> any BoundStreamConnection { try BoundHyperConnection(self, binder) }
}

/// A sum of n streams by numbers for each token.
struct HyperJoinPlan: StreamJoinPlan {
  var streams: Int
  /// `[n, n * hidden]`, `[n]`, `[1]`
  var function: MatrixPlan
  var base: VectorPlan
  var scale: VectorPlan
  var epsilon: Float
  var normEpsilon: Float

  func bindJoin(_ binder: WeightBinder) throws -> any BoundStreamJoin { try BoundHyperJoin(self, binder) }
}

/// The weights of streams as a function of them, bound.
private struct StreamFunction {
  let streams: Int
  let function: Linear
  let base: WeightVector
  let scale: WeightVector
  let norm: Norm

  init(
    _ binder: WeightBinder, streams: Int, parts: [Int], function: MatrixPlan, base: VectorPlan, scale: VectorPlan, normEpsilon: Float
  ) throws {
    let because = "hc_mult and hidden_size in config.json"
    let rows = parts.reduce(0, +)
    self.streams = streams
    self.function = try binder.linear(LinearPlan(function), rows: rows, columns: streams * binder.hiddenSize, because: because)
    self.base = try binder.vector(base, count: rows, because: because)
    self.scale = try binder.vector(scale, count: parts.count, because: because)
    norm = try binder.norm(NormPlan(epsilon: normEpsilon), size: streams * binder.hiddenSize)
  }

  /// `[count, rows]`, before scale and base; in the arena.
  func apply(_ stream: UnsafePointer<Float>, count: Int, _ pool: WorkerPool, _ arena: Arena) -> UnsafeMutablePointer<Float> {
    let normed = arena.floats(count * norm.size)
    norm.apply(pool, out: normed, x: stream, rows: count)
    let rows = function.weight.rows
    let out = arena.floats(count * rows)
    pool.multiply(Product(out: out, x: normed, tokens: count, weight: function.weight))
    return out
  }
}

struct BoundHyperConnection: BoundStreamConnection {
  let plan: HyperConnectionPlan
  private let function: StreamFunction

  init(_ plan: HyperConnectionPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let n = plan.streams
    function = try StreamFunction(
      binder, streams: n, parts: plan.iterations == nil ? [n, n] : [n, n, n * n], function: plan.function, base: plan.base,
      scale: plan.scale, normEpsilon: plan.normEpsilon)
  }

  /// Numbers of a token.
  private var width: Int { (plan.iterations == nil ? 2 : 2 + plan.streams) * plan.streams }

  /// The numbers of each token: n for the input, n for the output, then n x n, row j of which says where stream j goes.
  ///
  /// - Shape: `stream` is `[count, n, hidden]`; the result `[count, (2 + n) n]` or `[count, 2 n]`, in the arena.
  func weights(_ stream: UnsafePointer<Float>, count: Int, _ pool: WorkerPool, _ arena: Arena) -> UnsafeMutablePointer<Float> {
    let weights = function.apply(stream, count: count, pool, arena)
    let n = plan.streams
    let (base, scale) = (function.base.values, function.scale.values)
    for t in 0..<count {
      let mine = weights + t * width
      for i in 0..<width { mine[i] = mine[i] * scale[min(i / n, 2)] + base[i] }
      for i in 0..<n { mine[i] = sigmoid(mine[i]) + plan.epsilon }
      for i in n..<2 * n { mine[i] = plan.outputFactor * sigmoid(mine[i]) + plan.outputEpsilon }
      if let rounds = plan.iterations { balance(mine + 2 * n, rounds) }
    }
    return weights
  }

  /// Softmax of each row of `[n, n]`, then columns and rows in turn divided by their sums.
  private func balance(_ matrix: UnsafeMutablePointer<Float>, _ rounds: Int) {
    let n = plan.streams
    mt_softmax(matrix, n, n, n)
    for i in 0..<n * n { matrix[i] += plan.epsilon }
    for round in 0..<rounds {
      if round > 0 { for row in 0..<n { divide(matrix + row * n, step: 1) } }
      for column in 0..<n { divide(matrix + column, step: n) }
    }
  }

  private func divide(_ first: UnsafeMutablePointer<Float>, step: Int) {
    var sum: Float = 0
    for i in 0..<plan.streams { sum += first[i * step] }
    for i in 0..<plan.streams { first[i * step] /= sum + plan.epsilon }
  }

  func collapse(
    _ stream: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, count: Int, hidden: Int, into out: UnsafeMutablePointer<Float>,
    _ pool: WorkerPool
  ) {
    let n = plan.streams
    pool.forEachRow(of: count, cost: n * hidden) { rows in
      for t in rows { weigh(stream + t * n * hidden, weights + t * width, n, hidden, into: out + t * hidden) }
    }
  }

  /// Each stream becomes its share of the half's output and the mixture of all streams, or itself where they are not mixed.
  ///
  /// - Shape: `output` is `[count, hidden]`.
  func spread(
    _ output: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, count: Int, hidden: Int, over stream: UnsafeMutablePointer<Float>,
    _ pool: WorkerPool
  ) {
    let n = plan.streams
    guard plan.iterations != nil else {
      return pool.forEachRow(of: count, cost: n * hidden) { rows in
        for t in rows {
          for k in 0..<n { mt_axpy(stream + (t * n + k) * hidden, output + t * hidden, weights[t * width + n + k], hidden) }
        }
      }
    }
    pool.forEachRow(of: count, cost: n * (n + 1) * hidden) { rows in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: n * hidden) { fresh in
        guard let fresh = fresh.baseAddress else { return }
        for t in rows {
          let (mine, own) = (stream + t * n * hidden, weights + t * width)
          for k in 0..<n {
            mt_scale(fresh + k * hidden, output + t * hidden, own[n + k], hidden)
            for j in 0..<n { mt_axpy(fresh + k * hidden, mine + j * hidden, own[2 * n + j * n + k], hidden) }
          }
          mine.update(from: fresh, count: n * hidden)
        }
      }
    }
  }
}

struct BoundHyperJoin: BoundStreamJoin {
  let plan: HyperJoinPlan
  private let function: StreamFunction

  init(_ plan: HyperJoinPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    function = try StreamFunction(
      binder, streams: plan.streams, parts: [plan.streams], function: plan.function, base: plan.base, scale: plan.scale,
      normEpsilon: plan.normEpsilon)
  }

  func join(
    _ stream: UnsafePointer<Float>, count: Int, hidden: Int, into out: UnsafeMutablePointer<Float>, _ pool: WorkerPool, _ arena: Arena
  ) {
    let n = plan.streams
    let weights = function.apply(stream, count: count, pool, arena)
    let (base, scale) = (function.base.values, function.scale.values)
    let joined = arena.floats(hidden)
    for t in 0..<count {
      let mine = weights + t * n
      for i in 0..<n { mine[i] = sigmoid(mine[i] * scale[0] + base[i]) + plan.epsilon }
      weigh(stream + t * n * hidden, mine, n, hidden, into: joined)
      (out + t * hidden).update(from: joined, count: hidden)
    }
  }
}

private func sigmoid(_ x: Float) -> Float { 1 / (1 + exp(-x)) }

/// The sum of n rows of `hidden`, each by its weight.
private func weigh(
  _ rows: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, _ n: Int, _ hidden: Int, into out: UnsafeMutablePointer<Float>
) {
  mt_scale(out, rows, weights[0], hidden)
  for i in 1..<max(1, n) { mt_axpy(out, rows + i * hidden, weights[i], hidden) }
}
