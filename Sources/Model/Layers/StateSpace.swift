// A selective state space layer (Mamba-2): each head keeps a matrix that fades by a factor which the token itself sets, takes up the
// token's value under an input direction, and is read along an output direction. Computed token by token.
// Source: Dao and Gu 2024, arXiv:2405.21060, section 7.

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct StateSpacePlan: OperationPlan {
  var headCount: Int
  var headSize: Int
  /// Heads in one group share their input and output directions.
  var groupCount: Int
  var stateSize: Int
  /// Rows of the gate, of what is convolved, and of each head's step.
  var input: LinearPlan
  /// Over the heads' values, then the input directions, then the output directions.
  var convolution: ConvolutionPlan
  /// `[headCount]`: the logarithm of the rate of fading, what is added to the step, and the share of its value that a token keeps.
  var logRate: VectorPlan
  var stepBias: VectorPlan
  var skip: VectorPlan
  /// `[headCount * headSize]`, over each group, behind the gate.
  var norm: NormPlan
  var output: LinearPlan

  var width: Int { headCount * headSize }
  var convolvedWidth: Int { width + 2 * groupCount * stateSize }

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundStateSpace(self, binder) }
}

struct BoundStateSpace: BoundOperation {
  let plan: StateSpacePlan
  let input: Linear
  let convolution: BoundConvolution
  let logRate: WeightVector
  let stepBias: WeightVector
  let skip: WeightVector
  let norm: Norm
  let output: Linear

  init(_ plan: StateSpacePlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "hidden_size and the mamba sizes in config.json"
    let hidden = binder.hiddenSize
    input = try binder.linear(plan.input, rows: plan.width + plan.convolvedWidth + plan.headCount, columns: hidden, because: because)
    convolution = try BoundConvolution(plan.convolution, binder, because: because)
    logRate = try binder.vector(plan.logRate, count: plan.headCount, because: because)
    stepBias = try binder.vector(plan.stepBias, count: plan.headCount, because: because)
    skip = try binder.vector(plan.skip, count: plan.headCount, because: because)
    norm = try binder.norm(plan.norm, size: plan.width)
    output = try binder.linear(plan.output, rows: hidden, columns: plan.width, because: because)
  }

  var stateFloats: Int { plan.width * plan.stateSize + convolution.stateFloats }
  func start() -> any RunningOperation { RunningStateSpace(self) }
}

final class RunningStateSpace: RunningOperation {
  private let bound: BoundStateSpace
  private let convolution: RunningConvolution
  /// `[stateSize, headSize]` a head.
  private let states: HeadStates

  init(_ bound: BoundStateSpace) {
    self.bound = bound
    convolution = RunningConvolution(bound.convolution)
    states = HeadStates(heads: bound.plan.headCount, keySize: bound.plan.stateSize, valueSize: bound.plan.headSize)
  }

  func reset() {
    convolution.reset()
    states.reset()
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let stride = bound.input.weight.rows
    let projected = pass.project(bound.input, from: pass.x)
    let mixed = convolution.run(pass, projected + plan.width, stride: stride)
    mt_activate(mixed, mixed, nil, pass.count * plan.convolvedWidth, MT_SILU, 0)
    let out = pass.arena.floats(pass.count * plan.width)
    scan(mixed, steps: projected + plan.width + plan.convolvedWidth, stride: stride, into: out, pass)
    let group = plan.width / plan.groupCount
    let norm = bound.norm.weight
    for t in 0..<pass.count {
      let row = out + t * plan.width
      mt_activate(row, projected + t * stride, row, plan.width, MT_SILU, 0)
      for start in Swift.stride(from: 0, to: plan.width, by: group) {
        mt_rms_norm(row + start, group, row + start, group, 1, group, norm.map { $0 + start }, 0, bound.norm.plan.epsilon)
      }
    }
    pass.pool.multiply(pass.product(pass.out, bound.output, from: out, accumulate: true))
  }

  /// Writes every token into the states and reads its output `[count, width]`.
  ///
  /// - Shape: token t's steps, before their bias, at `steps + t * stride`.
  private func scan(
    _ mixed: UnsafePointer<Float>, steps: UnsafePointer<Float>, stride: Int, into out: UnsafeMutablePointer<Float>, _ pass: Pass
  ) {
    let plan = bound.plan
    let directions = pass.arena.floats(plan.headCount * plan.stateSize)
    let (logRate, stepBias, skip) = (bound.logRate.values, bound.stepBias.values, bound.skip.values)
    pass.pool.forEachRow(of: plan.headCount, cost: 3 * pass.count * plan.headSize * plan.stateSize) { heads in
      for head in heads {
        let state = states[head]
        let rate = exp(logRate[head])
        let direction = directions + head * plan.stateSize
        let group = head / (plan.headCount / plan.groupCount)
        for t in 0..<pass.count {
          let value = mixed + t * plan.convolvedWidth + head * plan.headSize
          let inward = mixed + t * plan.convolvedWidth + plan.width + group * plan.stateSize
          let outward = inward + plan.groupCount * plan.stateSize
          let row = out + t * plan.width + head * plan.headSize
          let step = softplus(steps[t * stride + head] + stepBias[head])
          state.fade(by: exp(-rate * step))
          mt_scale(direction, inward, step, plan.stateSize)
          state.add(direction, value)
          state.read(outward, into: row)
          mt_axpy(row, value, skip[head], plan.headSize)
        }
      }
    }
  }
}
