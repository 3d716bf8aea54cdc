// Several residual streams side by side, each element of which has a gate: before a half of a block the streams are normalised one by one, a
// network of low rank gates them, and their mean is what the half reads; its output is added to every stream by a factor of its own.
// Source: Qwen team 2026, Qwen4-Exp, by its modelling code.

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What one half of a block reads from n streams and writes to them, or how they become one.
struct GatedStreamsPlan: StreamConnectionPlan, StreamJoinPlan {
  var streams: Int
  var rank: Int
  var norm: StreamNormPlan
  /// `[rank, n * hidden]`, `[n * hidden, rank]`
  var down: LinearPlan
  var up: LinearPlan
  /// `[n, n * hidden]`; nil where nothing is written back.
  var injection: LinearPlan?

  func bind(_ binder: WeightBinder) throws -> any BoundStreamConnection { try BoundGatedStreams(self, binder) }
  func bindJoin(_ binder: WeightBinder) throws -> any BoundStreamJoin { try BoundGatedStreams(self, binder) }
}

/// RMS norms of streams one by one; the weights hold differences from 1.
struct StreamNormPlan: Sendable {
  var streams: Int
  /// `[n * hidden]`
  var weight: VectorPlan
  var epsilon: Double

  func bind(_ binder: WeightBinder) throws -> StreamNorm {
    StreamNorm(
      streams: streams, norm: try binder.norm(.rms(nil, epsilon), size: binder.hiddenSize),
      weight: try binder.vector(weight, count: streams * binder.hiddenSize, because: "hc_count and hidden_size in config.json"))
  }
}

struct StreamNorm: Sendable {
  let streams: Int
  let norm: Norm
  /// `[n * hidden]`
  let weight: WeightVector

  /// Normalises `[count, n, hidden]`; in place is allowed.
  func apply(_ pool: WorkerPool, out: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, count: Int) {
    norm.apply(pool, out: out, x: x, rows: count * streams)
    let (weights, width) = (weight.values, streams * norm.size)
    pool.forEachRow(of: count, cost: width) { rows in
      for t in rows { for i in 0..<width { out[t * width + i] *= 1 + weights[i] } }
    }
  }
}

struct BoundGatedStreams: BoundStreamConnection, BoundStreamJoin {
  private let streams: Int
  private let norm: StreamNorm
  private let down: Linear
  private let up: Linear
  private let injection: Linear?

  init(_ plan: GatedStreamsPlan, _ binder: WeightBinder) throws {
    let because = "hc_count, hc_lowrank and hidden_size in config.json"
    let width = plan.streams * binder.hiddenSize
    streams = plan.streams
    norm = try plan.norm.bind(binder)
    down = try binder.linear(plan.down, rows: plan.rank, columns: width, because: because)
    up = try binder.linear(plan.up, rows: width, columns: plan.rank, because: because)
    injection = try plan.injection.map { try binder.linear($0, rows: plan.streams, columns: width, because: because) }
  }

  /// Of each token the gated mean of its streams, then the factor of each stream on what is written back.
  ///
  /// - Shape: `stream` is `[count, n, hidden]`; the result `[count, hidden + n]`, in the arena.
  func weights(_ stream: UnsafePointer<Float>, count: Int, _ pool: WorkerPool, _ arena: Arena) -> UnsafeMutablePointer<Float> {
    let (n, size) = (streams, norm.norm.size)
    let (width, own) = (n * size, size + n)
    let normed = arena.floats(count * width)
    norm.apply(pool, out: normed, x: stream, count: count)
    let narrow = arena.floats(count * down.weight.rows)
    pool.multiply(Product(out: narrow, x: normed, tokens: count, weight: down.weight))
    mt_scale(narrow, narrow, 1 / Float(n), count * down.weight.rows)
    mt_activate(narrow, narrow, nil, count * down.weight.rows, MT_SILU, 0)
    let gates = arena.floats(count * width)
    pool.multiply(Product(out: gates, x: narrow, tokens: count, weight: up.weight))
    mt_sigmoid(gates, gates, count * width)
    mt_multiply(gates, gates, normed, count * width)
    let out = arena.zeros(count * own)
    for t in 0..<count {
      for k in 0..<n { mt_add(out + t * own, out + t * own, gates + t * width + k * size, size) }
      mt_scale(out + t * own, out + t * own, 1 / Float(n), size)
    }
    guard let injection else { return out }
    let factors = arena.floats(count * n)
    pool.multiply(Product(out: factors, x: normed, tokens: count, weight: injection.weight))
    for t in 0..<count { for k in 0..<n { out[t * own + size + k] = 2 / (1 + exp(-factors[t * n + k] / Float(n))) } }
    return out
  }

  func collapse(
    _ stream: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, count: Int, hidden: Int, into out: UnsafeMutablePointer<Float>,
    _ pool: WorkerPool
  ) {
    for t in 0..<count { (out + t * hidden).update(from: weights + t * (hidden + streams), count: hidden) }
  }

  func spread(
    _ output: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, count: Int, hidden: Int, over stream: UnsafeMutablePointer<Float>,
    _ pool: WorkerPool
  ) {
    for t in 0..<count {
      for k in 0..<streams {
        mt_axpy(
          stream + (t * streams + k) * hidden, output + t * hidden, weights[t * (hidden + streams) + hidden + k], hidden)
      }
    }
  }

  func join(
    _ stream: UnsafePointer<Float>, count: Int, hidden: Int, into out: UnsafeMutablePointer<Float>, _ pool: WorkerPool, _ arena: Arena
  ) {
    let mixed = weights(stream, count: count, pool, arena)
    for t in 0..<count { (out + t * hidden).update(from: mixed + t * (hidden + streams), count: hidden) }
  }
}
