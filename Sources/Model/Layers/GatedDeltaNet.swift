// Linear attention that corrects what it remembers: each head keeps a matrix, a token's key first reads what the matrix says about it,
// and only the difference to the token's value is written; a learned factor lets the past fade. Computed token by token.
// Source: Yang et al. 2024, Gated Delta Networks, arXiv:2412.06464, equation 10.

import CKernels
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct GatedDeltaNetPlan: OperationPlan {
  var keyHeadCount: Int
  /// A multiple of `keyHeadCount`: so many neighbours share a query and a key.
  var valueHeadCount: Int
  var keySize: Int
  var valueSize: Int
  /// Where the projections of the input lie.
  enum Projections: Sendable {
    /// `mixed`: for each key head its query, its key, the values of its value heads and their output gates, in rows one after the other;
    /// `scalars`: for each key head the writing strengths of its value heads, then what their fading follows from.
    case byHead(mixed: LinearPlan, scalars: LinearPlan)
    /// All heads' queries, then keys, then values; output gates, writing strengths and what fading follows from in matrices of their own.
    case apart(queryKeyValue: LinearPlan, gate: LinearPlan, strength: LinearPlan, decay: LinearPlan)
  }
  var projections: Projections
  /// Over queries, keys and values: all heads' queries, then keys, then values.
  var convolution: ConvolutionPlan
  /// `[valueHeadCount]`: the logarithm of each head's rate of fading, and what is added to its step.
  var logRate: VectorPlan
  var stepBias: VectorPlan
  /// Over each head's output.
  var norm: NormPlan
  /// What a gate of the output goes through.
  enum Gate: Sendable { case silu, sigmoid }
  var gate = Gate.silu
  var output: LinearPlan

  var keyWidth: Int { keyHeadCount * keySize }
  var valueWidth: Int { valueHeadCount * valueSize }

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundGatedDeltaNet(self, binder) }
}

struct BoundGatedDeltaNet: BoundOperation {
  let plan: GatedDeltaNetPlan
  /// As the plan has them.
  enum Projections: Sendable {
    case byHead(mixed: Linear, scalars: Linear)
    case apart(queryKeyValue: Linear, gate: Linear, strength: Linear, decay: Linear)
  }
  let projections: Projections
  let convolution: BoundConvolution
  let logRate: WeightVector
  let stepBias: WeightVector
  let norm: Norm
  let output: Linear

  init(_ plan: GatedDeltaNetPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "the linear attention sizes in config.json"
    let hidden = binder.hiddenSize
    let heads = plan.valueHeadCount
    func linear(_ plan: LinearPlan, _ rows: Int) throws -> Linear {
      try binder.linear(plan, rows: rows, columns: hidden, because: because)
    }
    switch plan.projections {
    case .byHead(let mixed, let scalars):
      projections = .byHead(mixed: try linear(mixed, 2 * (plan.keyWidth + plan.valueWidth)), scalars: try linear(scalars, 2 * heads))
    case .apart(let queryKeyValue, let gate, let strength, let decay):
      projections = .apart(
        queryKeyValue: try linear(queryKeyValue, 2 * plan.keyWidth + plan.valueWidth), gate: try linear(gate, plan.valueWidth),
        strength: try linear(strength, heads), decay: try linear(decay, heads))
    }
    convolution = try BoundConvolution(plan.convolution, binder, because: because)
    logRate = try binder.vector(plan.logRate, count: heads, because: because)
    stepBias = try binder.vector(plan.stepBias, count: heads, because: because)
    norm = try binder.norm(plan.norm, size: plan.valueSize)
    output = try binder.linear(plan.output, rows: hidden, columns: plan.valueWidth, because: because)
  }

  var stateFloats: Int { plan.valueHeadCount * plan.keySize * plan.valueSize + convolution.stateFloats }
  func start() -> any RunningOperation { RunningGatedDeltaNet(self) }
}

final class RunningGatedDeltaNet: RunningOperation {
  private let bound: BoundGatedDeltaNet
  private let convolution: RunningConvolution
  private let states: HeadStates

  init(_ bound: BoundGatedDeltaNet) {
    self.bound = bound
    convolution = RunningConvolution(bound.convolution)
    states = HeadStates(heads: bound.plan.valueHeadCount, keySize: bound.plan.keySize, valueSize: bound.plan.valueSize)
  }

  func reset() {
    convolution.reset()
    states.reset()
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let width = 2 * plan.keyWidth + plan.valueWidth
    let inputs = project(pass)
    let mixed = convolution.run(pass, inputs.queryKeyValue, stride: width)
    mt_activate(mixed, mixed, nil, pass.count * width, MT_SILU, 0)
    normalize(mixed, pass)
    let (strengths, factors) = strengthsAndFactors(inputs, pass)
    let out = pass.arena.floats(pass.count * plan.valueWidth)
    let corrections = pass.arena.floats(plan.valueWidth)
    pass.pool.forEachRow(of: plan.valueHeadCount, cost: 4 * pass.count * plan.keySize * plan.valueSize) { heads in
      for head in heads {
        let state = states[head]
        let keyHead = head / (plan.valueHeadCount / plan.keyHeadCount)
        let correction = corrections + head * plan.valueSize
        for t in 0..<pass.count {
          let query = mixed + t * width + keyHead * plan.keySize
          let key = query + plan.keyWidth
          let value = mixed + t * width + 2 * plan.keyWidth + head * plan.valueSize
          state.fade(by: factors[t * plan.valueHeadCount + head])
          state.correct(key, to: value, strength: strengths[t * plan.valueHeadCount + head], scratch: correction)
          state.read(query, into: out + t * plan.valueWidth + head * plan.valueSize)
        }
      }
    }
    bound.norm.apply(pass.pool, out: out, x: out, rows: pass.count * plan.valueHeadCount)
    switch plan.gate {
    case .silu: mt_activate(out, inputs.gates, out, pass.count * plan.valueWidth, MT_SILU, 0)
    case .sigmoid:
      let gates = pass.arena.floats(pass.count * plan.valueWidth)
      mt_sigmoid(gates, inputs.gates, pass.count * plan.valueWidth)
      mt_multiply(out, out, gates, pass.count * plan.valueWidth)
    }
    pass.pool.multiply(pass.product(pass.out, bound.output, from: out, accumulate: true))
  }

  /// What the input is projected to, by token.
  private struct Inputs {
    /// `[count, 2 * keyWidth + valueWidth]`: queries, keys and values of all heads.
    var queryKeyValue: UnsafePointer<Float>
    /// `[count, valueWidth]`
    var gates: UnsafePointer<Float>
    /// Strength and decay of the first head; the others as far as `scalarPlace` says.
    var strengths: UnsafePointer<Float>
    var decays: UnsafePointer<Float>
    /// Of token t's head h the place of its two numbers.
    var scalarPlace: (Int, Int) -> Int
  }

  private func project(_ pass: Pass) -> Inputs {
    let plan = bound.plan
    let heads = plan.valueHeadCount
    switch bound.projections {
    case .byHead(let mixed, let scalars):
      let (queryKeyValue, gates) = separate(pass.project(mixed, from: pass.x), pass)
      let shared = heads / plan.keyHeadCount
      let both = pass.project(scalars, from: pass.x)
      return Inputs(
        queryKeyValue: queryKeyValue, gates: gates, strengths: both, decays: both + shared,
        scalarPlace: { 2 * $0 * heads + $1 / shared * 2 * shared + $1 % shared })
    case .apart(let queryKeyValue, let gate, let strength, let decay):
      return Inputs(
        queryKeyValue: pass.project(queryKeyValue, from: pass.x), gates: pass.project(gate, from: pass.x),
        strengths: pass.project(strength, from: pass.x), decays: pass.project(decay, from: pass.x), scalarPlace: { $0 * heads + $1 })
    }
  }

  /// `[count, 2 * keyWidth + valueWidth]`: queries, keys and values of all heads; and the output gates `[count, valueWidth]`.
  private func separate(_ all: UnsafePointer<Float>, _ pass: Pass) -> (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) {
    let plan = bound.plan
    let width = 2 * plan.keyWidth + plan.valueWidth
    let values = plan.valueWidth / plan.keyHeadCount
    let separate = pass.arena.floats(pass.count * width)
    let gates = pass.arena.floats(pass.count * plan.valueWidth)
    for t in 0..<pass.count {
      for head in 0..<plan.keyHeadCount {
        let from = all + (t * plan.keyHeadCount + head) * 2 * (plan.keySize + values)
        let to = separate + t * width
        (to + head * plan.keySize).update(from: from, count: plan.keySize)
        (to + plan.keyWidth + head * plan.keySize).update(from: from + plan.keySize, count: plan.keySize)
        (to + 2 * plan.keyWidth + head * values).update(from: from + 2 * plan.keySize, count: values)
        (gates + t * plan.valueWidth + head * values).update(from: from + 2 * plan.keySize + values, count: values)
      }
    }
    return (separate, gates)
  }

  /// Queries and keys to length 1, queries divided by the root of their size. The length is taken as `sqrt(sum + 1e-6)`.
  private func normalize(_ mixed: UnsafeMutablePointer<Float>, _ pass: Pass) {
    let plan = bound.plan
    let size = Float(plan.keySize)
    for t in 0..<pass.count {
      let queries = mixed + t * (2 * plan.keyWidth + plan.valueWidth)
      mt_rms_norm(queries, plan.keySize, queries, plan.keySize, 2 * plan.keyHeadCount, plan.keySize, nil, 0, 1e-6 / size)
      mt_scale(queries, queries, 1 / size, plan.keyWidth)
      mt_scale(queries + plan.keyWidth, queries + plan.keyWidth, 1 / size.squareRoot(), plan.keyWidth)
    }
  }

  /// `[count, valueHeadCount]` each: how much of a correction is written, and the factor on the past.
  private func strengthsAndFactors(
    _ inputs: Inputs, _ pass: Pass
  ) -> (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) {
    let heads = bound.plan.valueHeadCount
    let strengths = pass.arena.floats(pass.count * heads)
    let factors = pass.arena.floats(pass.count * heads)
    let (logRate, stepBias) = (bound.logRate.values, bound.stepBias.values)
    for t in 0..<pass.count {
      for head in 0..<heads {
        let place = inputs.scalarPlace(t, head)
        strengths[t * heads + head] = inputs.strengths[place]
        factors[t * heads + head] = exp(-exp(logRate[head]) * softplus(inputs.decays[place] + stepBias[head]))
      }
    }
    mt_sigmoid(strengths, strengths, pass.count * heads)
    return (strengths, factors)
  }
}
