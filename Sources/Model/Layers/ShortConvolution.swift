// A token mixer that is a convolution between two gates: `output(C * convolution(B * x))`, with B, C and x projections of the input.
// Source: Liquid AI 2025, LFM2 (arXiv:2511.23404).

import CKernels

struct ShortConvolutionPlan: OperationPlan {
  /// `[3 * hidden, hidden]`: the gate before the convolution, the gate behind it, and what is convolved.
  var input: LinearPlan
  var convolution: ConvolutionPlan
  /// `[hidden, hidden]`
  var output: LinearPlan

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundShortConvolution(self, binder) }
}

struct BoundShortConvolution: BoundOperation {
  let input: Linear
  let convolution: BoundConvolution
  let output: Linear

  init(_ plan: ShortConvolutionPlan, _ binder: WeightBinder) throws {
    let because = "hidden_size and conv_L_cache in config.json"
    let hidden = binder.hiddenSize
    input = try binder.linear(plan.input, rows: 3 * hidden, columns: hidden, because: because)
    convolution = try BoundConvolution(plan.convolution, binder, because: because)
    output = try binder.linear(plan.output, rows: hidden, columns: hidden, because: because)
  }

  var stateFloats: Int { convolution.stateFloats }
  func start() -> any RunningOperation { RunningShortConvolution(self) }
}

final class RunningShortConvolution: RunningOperation {
  private let bound: BoundShortConvolution
  private let convolution: RunningConvolution

  init(_ bound: BoundShortConvolution) {
    self.bound = bound
    convolution = RunningConvolution(bound.convolution)
  }

  func reset() { convolution.reset() }

  func run(_ pass: Pass) {
    let width = pass.hiddenSize
    let gates = pass.project(bound.input, from: pass.x)
    let gated = pass.arena.floats(pass.count * width)
    for t in 0..<pass.count {
      let row = gates + 3 * t * width
      mt_multiply(gated + t * width, row, row + 2 * width, width)
    }
    let mixed = convolution.run(pass, gated, stride: width)
    for t in 0..<pass.count { mt_multiply(mixed + t * width, gates + (3 * t + 1) * width, mixed + t * width, width) }
    pass.pool.multiply(pass.product(pass.out, bound.output, from: mixed, accumulate: true))
  }
}
