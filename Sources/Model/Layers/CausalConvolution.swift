// A short convolution over time, each channel for itself: a token's value becomes a weighted sum of its own and the few before it.
// Layers that mix tokens without attention begin with one; what they do with it is their business. The inputs of the last tokens are
// kept, so a sequence may be cut into passes anywhere.

import CKernels

struct ConvolutionPlan: Sendable {
  var channels: Int
  /// Tokens that a value is made of, its own included.
  var width: Int
  /// Their distance from one another.
  var dilation = 1
  /// `[channels, 1, width]`: the last element belongs to the token itself.
  var weight: String
  /// `[channels]`
  var bias: VectorPlan?
}

struct BoundConvolution: Sendable {
  let channels: Int
  /// `[channels]` each: the weights of the oldest token first, of the token itself last.
  let taps: [WeightVector]
  let dilation: Int
  let bias: WeightVector?

  init(_ plan: ConvolutionPlan, _ binder: WeightBinder, because: String) throws {
    (channels, dilation) = (plan.channels, plan.dilation)
    // One by one: the first shows whether the tensor has so many.
    var taps: [WeightVector] = []
    for tap in 0..<plan.width {
      let column = VectorPlan(plan.weight, storedShape: [plan.channels, 1, plan.width], first: tap, step: plan.width)
      taps.append(try binder.vector(column, count: plan.channels, because: because))
    }
    self.taps = taps
    bias = try plan.bias.map { try binder.vector($0, count: plan.channels, because: because) }
  }

  /// Floats of the state of a sequence.
  var stateFloats: Int { (taps.count - 1) * dilation * channels }
}

/// The convolution at work on one sequence.
final class RunningConvolution {
  private let bound: BoundConvolution
  /// Inputs before the pass at hand, the oldest first.
  private let past: UnsafeMutablePointer<Float>

  init(_ bound: BoundConvolution) {
    self.bound = bound
    past = .allocate(capacity: max(1, bound.stateFloats))
    reset()
  }

  deinit { past.deallocate() }

  func reset() { past.update(repeating: 0, count: bound.stateFloats) }

  /// The convolved tokens of the pass, `[count, channels]`, in the arena.
  ///
  /// - Shape: token t at `x + t * stride`.
  func run(_ pass: Pass, _ x: UnsafePointer<Float>, stride: Int) -> UnsafeMutablePointer<Float> {
    let channels = bound.channels
    let (taps, bias) = (bound.taps.map(\.values), bound.bias?.values)
    let (before, distance) = ((taps.count - 1) * bound.dilation, bound.dilation)
    let out = pass.arena.floats(pass.count * channels)
    let weighted = pass.arena.floats(pass.count * channels)
    func input(_ token: Int) -> UnsafePointer<Float> {
      token < 0 ? UnsafePointer(past + (before + token) * channels) : x + token * stride
    }
    pass.pool.forEachRow(of: pass.count, cost: 2 * taps.count * channels) { rows in
      for t in rows {
        let (sum, part) = (out + t * channels, weighted + t * channels)
        mt_multiply(sum, taps[0], input(t - before), channels)
        for tap in taps.indices.dropFirst() {
          mt_multiply(part, taps[tap], input(t - before + tap * distance), channels)
          mt_add(sum, sum, part, channels)
        }
        if let bias { mt_add(sum, sum, bias, channels) }
      }
    }
    for row in 0..<before { (past + row * channels).update(from: input(pass.count - before + row), count: channels) }
    return out
  }
}
