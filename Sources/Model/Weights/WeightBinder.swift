// Turns the parts of a plan into what can be computed with; nothing in it can be missing. Where tensors lie, in which format and under
// which name, is Checkpoint's business.

import Routing

/// Binds the plans of one block.
///
/// `@unchecked Sendable` is not needed: a binder lives while a model is opened, on one thread.
final class WeightBinder {
  let checkpoint: Checkpoint
  let hiddenSize: Int
  /// How the files name what plans name; nil: alike.
  private let spelling: NameSpelling?
  /// Where the block being bound stands.
  var run = LayerRun(layer: 0)

  init(_ checkpoint: Checkpoint, hiddenSize: Int, spelling: NameSpelling? = nil) {
    self.checkpoint = checkpoint
    self.hiddenSize = hiddenSize
    self.spelling = spelling
  }

  private func spelled(_ name: String) -> String { spelling?.name(name) ?? name }

  private func spelled(_ plan: MatrixPlan) -> MatrixPlan {
    guard spelling != nil else { return plan }
    var plan = plan
    plan.tensor = spelled(plan.tensor)
    plan.alternatives = plan.alternatives.map(spelled)
    return plan
  }

  func linear(_ plan: LinearPlan, rows: Int, columns: Int, because: String) throws -> Linear {
    Linear(
      try matrix(plan.weight, rows: rows, columns: columns, because: because),
      bias: try plan.bias.map { try vector($0, count: rows, because: because) })
  }

  func matrix(_ plan: MatrixPlan, rows: Int, columns: Int, because: String) throws -> BoundMatrix {
    let plan = spelled(plan)
    let found = plan.alternatives.isEmpty ? nil : ([plan] + plan.alternatives).first(where: isThere)
    return try checkpoint.matrix(found ?? plan, rows: rows, columns: columns, because: because)
  }

  /// Keys `[heads * latent, plain]` and values `[heads * value, latent]` of a matrix that the file holds taken apart so; nil: it does not.
  func unfoldingApart(
    _ plan: MatrixPlan, heads: Int, plain: Int, value: Int, latent: Int, because: String
  ) throws -> (keys: WeightMatrix, values: WeightMatrix)? {
    try checkpoint.unfoldingApart(spelled(plan), heads: heads, plain: plain, value: value, latent: latent, because: because)
  }

  /// Whether the file holds the tensor of a plan, in the shape that the plan says where it says one.
  private func isThere(_ plan: MatrixPlan) -> Bool {
    guard checkpoint.has(plan.tensor) else { return false }
    guard let shape = plan.storedShape, let stored = checkpoint.shape(of: plan.tensor) else { return true }
    return stored == shape
  }

  /// Widened to f32 at its first use; valid while the checkpoint lives.
  func vector(_ plan: VectorPlan, count: Int, because: String) throws -> WeightVector {
    var plan = plan
    if let found = plan.alternatives.first(where: checkpoint.has), !checkpoint.has(spelled(plan.tensor)) { plan.tensor = found }
    plan.tensor = spelled(plan.tensor)
    return try checkpoint.vector(plan, count: count, because: because)
  }

  /// Read where they lie.
  func integers(_ name: String, rows: Int, columns: Int, because: String) throws -> IntegerMatrix {
    try checkpoint.integers(spelled(name), rows: rows, columns: columns, because: because)
  }

  func norm(_ plan: NormPlan, size: Int) throws -> Norm {
    let because = "the size of what it normalises, by config.json"
    return Norm(
      plan, size: size, weight: try plan.weight.map { try vector($0, count: size, because: because) },
      bias: try plan.bias.map { try vector($0, count: size, because: because) })
  }
}

/// A linear map, bound.
struct Linear: Sendable {
  private let bound: BoundMatrix
  private let boundBias: WeightVector?

  init(_ weight: BoundMatrix, bias: WeightVector?) { (bound, boundBias) = (weight, bias) }

  var weight: WeightMatrix { bound.matrix }
  /// `[weight.rows]`
  var bias: UnsafePointer<Float>? { boundBias?.values }
  /// Asking widens nothing.
  var hasBias: Bool { boundBias != nil }
}

/// A normalisation, bound.
struct Norm: Sendable {
  let plan: NormPlan
  let size: Int
  private let boundWeight: WeightVector?
  private let boundBias: WeightVector?

  init(_ plan: NormPlan, size: Int, weight: WeightVector?, bias: WeightVector?) {
    (self.plan, self.size, boundWeight, boundBias) = (plan, size, weight, bias)
  }

  /// `[size]`
  var weight: UnsafePointer<Float>? { boundWeight?.values }
  var bias: UnsafePointer<Float>? { boundBias?.values }

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
