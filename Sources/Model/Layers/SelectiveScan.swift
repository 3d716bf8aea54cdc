// A selective state space layer of the first kind (Mamba-1): each channel keeps a vector that fades element by element, by factors which
// the token itself sets, takes up the token's value along an input direction and is read along an output direction. Computed token by
// token.
// Source: Gu and Dao 2023, Mamba, arXiv:2312.00752, section 3; norms on step and directions: Lieber et al. 2024, Jamba, arXiv:2403.19887.

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct SelectiveScanPlan: OperationPlan {
  var channels: Int
  var stateSize: Int
  /// Width that steps are made from.
  var stepRank: Int
  /// `[2 * channels, hidden]`: values, then gates.
  var input: LinearPlan
  /// Over the values.
  var convolution: ConvolutionPlan
  /// `[stepRank + 2 * stateSize, channels]`: what steps are made from, the input direction, the output direction.
  var selection: LinearPlan
  /// Over these three; nil: they stay.
  var norms: (step: NormPlan, inward: NormPlan, outward: NormPlan)?
  /// `[channels, stepRank]`
  var step: LinearPlan
  /// `[channels, stateSize]`: the logarithm of the rate of fading.
  var logRate: VectorPlan
  /// `[channels]`: the share of its value that a token keeps.
  var skip: VectorPlan
  var output: LinearPlan

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundSelectiveScan(self, binder) }
}

struct BoundSelectiveScan: BoundOperation {
  let plan: SelectiveScanPlan
  let input: Linear
  let convolution: BoundConvolution
  let selection: Linear
  /// Of step, input direction and output direction; empty without.
  let norms: [Norm]
  let step: Linear
  let logRate: WeightVector
  let skip: WeightVector
  let output: Linear

  init(_ plan: SelectiveScanPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "hidden_size and the mamba sizes in config.json"
    func linear(_ linear: LinearPlan, _ rows: Int, _ columns: Int) throws -> Linear {
      try binder.linear(linear, rows: rows, columns: columns, because: because)
    }
    input = try linear(plan.input, 2 * plan.channels, binder.hiddenSize)
    convolution = try BoundConvolution(plan.convolution, binder, because: because)
    selection = try linear(plan.selection, plan.stepRank + 2 * plan.stateSize, plan.channels)
    norms =
      try plan.norms.map {
        [
          try binder.norm($0.step, size: plan.stepRank), try binder.norm($0.inward, size: plan.stateSize),
          try binder.norm($0.outward, size: plan.stateSize),
        ]
      } ?? []
    step = try linear(plan.step, plan.channels, plan.stepRank)
    logRate = try binder.vector(plan.logRate, count: plan.channels * plan.stateSize, because: because)
    skip = try binder.vector(plan.skip, count: plan.channels, because: because)
    output = try linear(plan.output, binder.hiddenSize, plan.channels)
  }

  var stateFloats: Int { plan.channels * plan.stateSize + convolution.stateFloats }
  func start() -> any RunningOperation { RunningSelectiveScan(self) }
}

final class RunningSelectiveScan: RunningOperation {
  private let bound: BoundSelectiveScan
  private let convolution: RunningConvolution
  /// `[channels, stateSize]`
  private let state: UnsafeMutablePointer<Float>
  /// `[channels, stateSize]`: `-exp(logRate)`; filled with the first token.
  private var rates: [Float] = []

  init(_ bound: BoundSelectiveScan) {
    self.bound = bound
    convolution = RunningConvolution(bound.convolution)
    state = .allocate(capacity: bound.plan.channels * bound.plan.stateSize)
    state.update(repeating: 0, count: bound.plan.channels * bound.plan.stateSize)
  }

  deinit { state.deallocate() }

  func reset() {
    convolution.reset()
    state.update(repeating: 0, count: bound.plan.channels * bound.plan.stateSize)
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let (channels, size) = (plan.channels, plan.stateSize)
    if rates.isEmpty { rates = (0..<channels * size).map { -exp(bound.logRate.values[$0]) } }
    let projected = pass.project(bound.input, from: pass.x)
    let values = convolution.run(pass, projected, stride: 2 * channels)
    mt_activate(values, values, nil, pass.count * channels, MT_SILU, 0)
    let parts = selection(of: values, pass)
    let steps = pass.project(bound.step, from: parts[0])
    let out = pass.arena.floats(pass.count * channels)
    let skip = bound.skip.values
    let (inward, outward) = (parts[1], parts[2])
    rates.withUnsafeBufferPointer { rates in
      pass.pool.forEachRow(of: channels, cost: 6 * pass.count * size) { rows in
        for channel in rows {
          let (own, rate) = (state + channel * size, rates[(channel * size)...].prefix(size))
          for t in 0..<pass.count {
            let place = t * channels + channel
            let (step, value) = (softplus(steps[place]), values[place])
            var sum: Float = 0
            for n in 0..<size {
              own[n] = exp(rate[rate.startIndex + n] * step) * own[n] + step * inward[t * size + n] * value
              sum += own[n] * outward[t * size + n]
            }
            out[place] = sum + skip[channel] * value
          }
        }
      }
    }
    for t in 0..<pass.count {
      mt_activate(out + t * channels, projected + (2 * t + 1) * channels, out + t * channels, channels, MT_SILU, 0)
    }
    pass.pool.multiply(pass.product(pass.out, bound.output, from: out, accumulate: true))
  }

  /// What steps are made from `[count, stepRank]`, input and output directions `[count, stateSize]` each.
  private func selection(of values: UnsafePointer<Float>, _ pass: Pass) -> [UnsafeMutablePointer<Float>] {
    let plan = bound.plan
    let together = pass.project(bound.selection, from: values)
    let stride = plan.stepRank + 2 * plan.stateSize
    let sizes = [plan.stepRank, plan.stateSize, plan.stateSize]
    var first = 0
    return sizes.indices.map { index in
      let part = pass.arena.floats(pass.count * sizes[index])
      for t in 0..<pass.count { (part + t * sizes[index]).update(from: together + t * stride + first, count: sizes[index]) }
      if !bound.norms.isEmpty { bound.norms[index].apply(pass.pool, out: part, x: part, rows: pass.count) }
      first += sizes[index]
      return part
    }
  }
}
