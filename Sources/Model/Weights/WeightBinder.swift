// Turns names into tensors, checking every shape. What comes out can be computed with and nothing in it can be missing. Weights stay
// where they lie in the file; only vectors and matrices stored the wrong way round are copied, once.

import Routing

/// Binds the plans of one block.
///
/// `@unchecked Sendable` is not needed: a binder lives while a model is opened, on one thread.
final class WeightBinder {
  let checkpoint: Checkpoint
  let hiddenSize: Int
  /// Absolute index of the block being bound.
  var layer = 0
  /// Every tensor that was asked for.
  private(set) var boundNames: Set<String> = []

  init(_ checkpoint: Checkpoint, hiddenSize: Int) {
    self.checkpoint = checkpoint
    self.hiddenSize = hiddenSize
  }

  func linear(_ plan: LinearPlan, rows: Int, columns: Int, because: String) throws -> Linear {
    Linear(
      weight: try matrix(plan.weight, rows: rows, columns: columns, because: because),
      bias: try plan.bias.map { try vector($0, count: rows, because: because) })
  }

  func matrix(_ plan: MatrixPlan, rows: Int, columns: Int, because: String) throws -> WeightMatrix {
    boundNames.insert(plan.tensor)
    let stored = try checkpoint.matrix(plan.tensor, shape: plan.storedShape ?? [rows, columns], because: because)
    if let transposition = plan.transposition {
      let last = transposition.firstColumn + (rows - 1) * transposition.step
      precondition(plan.firstRow + columns <= stored.rows && last < stored.columns, "a plan within its own stored shape")
      return try checkpoint.transposed(
        stored.rows(plan.firstRow..<plan.firstRow + columns), first: transposition.firstColumn, step: transposition.step, count: rows,
        name: plan.tensor)
    }
    precondition(plan.firstRow + (rows - 1) * plan.step < stored.rows && stored.columns == columns, "a plan within its own stored shape")
    return WeightMatrix(
      base: stored.base + plan.firstRow * stored.rowBytes, type: stored.type, rows: rows, columns: columns,
      rowBytes: plan.step * stored.rowBytes)
  }

  /// Widened to f32; valid while the checkpoint lives.
  func vector(_ plan: VectorPlan, count: Int, because: String) throws -> UnsafePointer<Float> {
    boundNames.insert(plan.tensor)
    let shape = plan.storedShape ?? [count]
    let total = shape.reduce(1, *)
    precondition(plan.first + (count - 1) * plan.step < total, "a plan within its own stored shape")
    return try checkpoint.vector(plan.tensor, shape: shape, first: plan.first, step: plan.step, count: count, because: because)
  }

  /// - Throws: `ModelError.configuration` when the fields of the router contradict each other.
  func router(_ spec: RouterSpec) throws -> Router {
    do {
      return try Router(spec)
    } catch RoutingError.invalidSpec(let expected, let found) {
      throw ModelError.configuration(
        file: "config.json", key: "the router's fields (block \(layer))", expected: expected, found: found)
    }
  }

  func norm(_ plan: NormPlan, size: Int) throws -> Norm {
    let because = "the size of what it normalises, by config.json"
    return Norm(
      plan: plan, size: size, weight: try plan.weight.map { try vector($0, count: size, because: because) },
      bias: try plan.bias.map { try vector($0, count: size, because: because) })
  }
}

/// A linear map, bound.
///
/// `@unchecked Sendable`: read-only memory that the checkpoint keeps.
struct Linear: @unchecked Sendable {
  var weight: WeightMatrix
  /// `[weight.rows]`
  var bias: UnsafePointer<Float>?
}

/// A normalisation, bound.
///
/// `@unchecked Sendable`: read-only memory that the checkpoint keeps.
struct Norm: @unchecked Sendable {
  let plan: NormPlan
  let size: Int
  /// `[size]`
  let weight: UnsafePointer<Float>?
  let bias: UnsafePointer<Float>?

  /// Normalises `rows` contiguous rows of `size`; in place is allowed.
  func apply(_ pool: WorkerPool, out: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, rows: Int) {
    switch plan.kind {
    case .rms:
      pool.rmsNorm(
        out: out, x: x, rows: rows, columns: size, weight: weight, weightOffset: plan.weightOffset, eps: plan.epsilon)
    case .layer:
      pool.layerNorm(out: out, x: x, rows: rows, columns: size, weight: weight, bias: bias, eps: plan.epsilon)
    }
  }
}
