// Linear attention that corrects what it remembers, as GatedDeltaNet.swift has it, with a factor of fading for each element of a key and
// not for a whole head. Computed token by token.
// Source: Kimi team 2025, Kimi Linear, arXiv:2510.26692, section 3.

import CKernels
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct ChannelDeltaPlan: OperationPlan {
  /// A projection, through a narrow layer or not.
  struct Path: Sendable {
    var down: LinearPlan?
    var downSize = 0
    var up: LinearPlan

    fileprivate func bind(_ binder: WeightBinder, rows: Int, because: String) throws -> BoundChannelDelta.Path {
      BoundChannelDelta.Path(
        down: try down.map { try binder.linear($0, rows: downSize, columns: binder.hiddenSize, because: because) },
        up: try binder.linear(up, rows: rows, columns: down == nil ? binder.hiddenSize : downSize, because: because))
    }
  }

  var headCount: Int
  /// Of queries, keys and values alike.
  var headSize: Int
  /// `[headCount * headSize, hidden]` each, with the convolution over each.
  var query: (linear: LinearPlan, convolution: ConvolutionPlan)
  var key: (linear: LinearPlan, convolution: ConvolutionPlan)
  var value: (linear: LinearPlan, convolution: ConvolutionPlan)
  /// `[headCount, hidden]`: how much of a correction is written.
  var strength: LinearPlan
  /// What fading follows from, for each element of each head's key.
  var decay: Path
  /// `[headCount]`: the logarithm of each head's rate of fading.
  var logRate: VectorPlan
  /// `[headCount * headSize]`: added to what fading follows from.
  var stepBias: VectorPlan
  /// The logarithm of a factor is `bound * sigmoid(rate * step)`; nil: `-rate * softplus(step)`.
  var bound: Float?
  var gate: Path
  /// Over each head's output, before the sigmoid of the gate multiplies it.
  var norm: NormPlan
  var output: LinearPlan

  var width: Int { headCount * headSize }

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundChannelDelta(self, binder) }
}

struct BoundChannelDelta: BoundOperation {
  struct Path: Sendable {
    let down: Linear?
    let up: Linear

    func project(_ pass: Pass) -> UnsafeMutablePointer<Float> {
      guard let down else { return pass.project(up, from: pass.x) }
      return pass.project(up, from: pass.project(down, from: pass.x))
    }
  }

  let plan: ChannelDeltaPlan
  /// Queries, keys, values.
  let inputs: [(linear: Linear, convolution: BoundConvolution)]
  let strength: Linear
  let decay: Path
  let logRate: WeightVector
  let stepBias: WeightVector
  let gate: Path
  let norm: Norm
  let output: Linear

  init(_ plan: ChannelDeltaPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "the linear attention sizes in config.json"
    inputs = try [plan.query, plan.key, plan.value].map {
      (
        try binder.linear($0.linear, rows: plan.width, columns: binder.hiddenSize, because: because),
        try BoundConvolution($0.convolution, binder, because: because)
      )
    }
    strength = try binder.linear(plan.strength, rows: plan.headCount, columns: binder.hiddenSize, because: because)
    decay = try plan.decay.bind(binder, rows: plan.width, because: because)
    logRate = try binder.vector(plan.logRate, count: plan.headCount, because: because)
    stepBias = try binder.vector(plan.stepBias, count: plan.width, because: because)
    gate = try plan.gate.bind(binder, rows: plan.width, because: because)
    norm = try binder.norm(plan.norm, size: plan.headSize)
    output = try binder.linear(plan.output, rows: binder.hiddenSize, columns: plan.width, because: because)
  }

  var stateFloats: Int { plan.width * plan.headSize + inputs.reduce(0) { $0 + $1.convolution.stateFloats } }
  func start() -> any RunningOperation { RunningChannelDelta(self) }
}

final class RunningChannelDelta: RunningOperation {
  private let bound: BoundChannelDelta
  private let convolutions: [RunningConvolution]
  private let states: HeadStates

  init(_ bound: BoundChannelDelta) {
    self.bound = bound
    convolutions = bound.inputs.map { RunningConvolution($0.convolution) }
    states = HeadStates(heads: bound.plan.headCount, keySize: bound.plan.headSize, valueSize: bound.plan.headSize)
  }

  func reset() {
    for convolution in convolutions { convolution.reset() }
    states.reset()
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let (width, size, heads) = (plan.width, plan.headSize, plan.headCount)
    let inputs = zip(bound.inputs, convolutions).map { input, convolution in
      let mixed = convolution.run(pass, pass.project(input.linear, from: pass.x), stride: width)
      mt_activate(mixed, mixed, nil, pass.count * width, MT_SILU, 0)
      return mixed
    }
    // To length 1, queries divided by the root of their size. The length is taken as `sqrt(sum + 1e-6)`.
    for (input, factor) in zip(inputs, [1 / Float(size), 1 / Float(size).squareRoot()]) {
      mt_rms_norm(input, size, input, size, pass.count * heads, size, nil, 0, 1e-6 / Float(size))
      mt_scale(input, input, factor, pass.count * width)
    }
    let strengths = pass.project(bound.strength, from: pass.x)
    mt_sigmoid(strengths, strengths, pass.count * heads)
    let factors = factors(pass)
    let out = pass.arena.floats(pass.count * width)
    let corrections = pass.arena.floats(width)
    pass.pool.forEachRow(of: heads, cost: 4 * pass.count * size * size) { rows in
      for head in rows {
        let state = states[head]
        for t in 0..<pass.count {
          let place = t * width + head * size
          state.fade(by: factors + place)
          state.correct(
            inputs[1] + place, to: inputs[2] + place, strength: strengths[t * heads + head], scratch: corrections + head * size)
          state.read(inputs[0] + place, into: out + place)
        }
      }
    }
    bound.norm.apply(pass.pool, out: out, x: out, rows: pass.count * heads)
    OutputGatePlan.Form().multiply(out, by: bound.gate.project(pass), heads: pass.count * heads, size: size)
    pass.pool.multiply(pass.product(pass.out, bound.output, from: out, accumulate: true))
  }

  /// `[count, headCount, headSize]`: the factor on each row of a head's state.
  private func factors(_ pass: Pass) -> UnsafeMutablePointer<Float> {
    let plan = bound.plan
    let steps = bound.decay.project(pass)
    let (logRate, stepBias) = (bound.logRate.values, bound.stepBias.values)
    let rates = (0..<plan.headCount).map { exp(logRate[$0]) }
    for t in 0..<pass.count {
      for i in 0..<plan.width {
        let step = steps[t * plan.width + i] + stepBias[i]
        let rate = rates[i / plan.headSize]
        steps[t * plan.width + i] = exp(plan.bound.map { $0 / (1 + exp(-rate * step)) } ?? -rate * softplus(step))
      }
    }
    return steps
  }
}
