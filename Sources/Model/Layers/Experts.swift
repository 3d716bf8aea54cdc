// The feed-forward half of a block: a router with its experts and those that are always on, or one gated projection for every token.
// Who is chosen and with which weight is `Router`'s business; here the router's logits are computed and its decision is carried out.

import CKernels
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// `down(activation(gate x) * up x)`; without a gate `down(activation(up x))`.
struct GatedPlan: OperationPlan {
  var gate: LinearPlan?
  var up: LinearPlan
  var down: LinearPlan
  var intermediateSize: Int
  var activation = ExpertActivation.silu
  /// Whether it is an expert that every token takes, beside the routed ones of its block.
  var isSharedExpert = false

  func bind(_ binder: WeightBinder) throws -> any BoundOperation {
    BoundDense(expert: try expert(binder), activation: activation, isSharedExpert: isSharedExpert)
  }

  /// - Parameter width: of what it reads and writes; nil: of the stream.
  func expert(_ binder: WeightBinder, width: Int? = nil) throws -> BoundExpert {
    let because = "hidden_size and the intermediate sizes in config.json"
    let hidden = width ?? binder.hiddenSize
    let gate = try gate.map { try binder.linear($0, rows: intermediateSize, columns: hidden, because: because) }
    let up = try binder.linear(up, rows: intermediateSize, columns: hidden, because: because)
    let down = try binder.linear(down, rows: hidden, columns: intermediateSize, because: because)
    return BoundExpert(gate: gate, up: up, down: down)
  }
}

/// The projections of one expert, bound.
struct BoundExpert: Sendable {
  let gate: Linear?
  let up: Linear
  let down: Linear

  /// What the kernels take: the first use of its biases.
  var weights: ExpertWeights {
    ExpertWeights(gate: gate?.weight, up: up.weight, down: down.weight, gateBias: gate?.bias, upBias: up.bias, downBias: down.bias)
  }

  var size: WeightSize {
    var size = WeightSize(gate?.weight, up.weight, down.weight)
    for linear in [gate, up, down] { if let linear, linear.hasBias { size.parameters += linear.weight.rows } }
    return size
  }
}

/// A router and its experts.
struct ExpertsPlan: OperationPlan {
  /// An expert that every token takes.
  struct Shared: Sendable {
    var expert: GatedPlan
    /// `[1, hidden]`: the sigmoid of this score multiplies its output.
    var gate: LinearPlan?
  }

  /// A narrower space that routed experts compute in; the router and the shared experts read the stream.
  struct Latent: Sendable {
    var size: Int
    /// `[size, hidden]`: what routed experts read.
    var down: LinearPlan
    /// `[hidden, size]`: from their sum back.
    var up: LinearPlan
  }

  /// `tanh` of a projection of what the router reads.
  struct RouterHidden: Sendable {
    var size: Int
    /// `[size, hidden]`
    var linear: LinearPlan
  }

  enum RouterInput: Sendable {
    /// The residual stream in front of the experts, normalised, times a factor.
    case stream(NormPlan, factor: Float)
    /// The residual stream as it entered the block, in front of attention.
    case blockEntry
  }

  var stack = RouterStack.feedForward
  /// Without its correction bias, which is a tensor.
  var router: RouterSpec
  /// The experts of each token id; where the router looks them up, and only there.
  var table: ExpertTablePlan?
  /// `[expertCount, hidden]`, identity experts included; `[expertCount, size]` behind a hidden layer.
  var routerLinear: LinearPlan
  /// A layer of the router in front of its last one; nil: there is but one.
  var routerHidden: RouterHidden?
  /// What the router reads where it is not the experts' input.
  var routerInput: RouterInput?
  /// The router's logits become `cap * tanh(logit / cap)`; nil: they stay.
  var logitCap: Float?
  /// `[expertCount]` each.
  var correctionBias: VectorPlan?
  var expertScales: VectorPlan?
  /// The weights of one expert that has any.
  var expert: @Sendable (Int) -> GatedPlan
  var shared: [Shared] = []
  var latent: Latent?
  /// Factor on the sum of all experts.
  var outputScale: Float = 1
  /// `[hidden]`: added to every token's output.
  var outputBias: VectorPlan?

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundExperts(self, binder) }
}

struct BoundDense: BoundOperation {
  let expert: BoundExpert
  let activation: ExpertActivation
  /// Whether every token takes it beside the experts that a router has just chosen.
  let isSharedExpert: Bool

  func start() -> any RunningOperation { RunningDense(self) }
}

final class RunningDense: RunningOperation {
  private let bound: BoundDense
  private lazy var experts = [bound.expert.weights]
  private var assignments = ExpertAssignments()

  init(_ bound: BoundDense) { self.bound = bound }

  func run(_ pass: Pass) {
    assignments.assignAll(tokens: pass.count)
    if bound.isSharedExpert, let hidden = pass.hiddenShared { assignments.hide(hidden, from: 0) }
    let inner = pass.runExperts(experts, assignments, out: pass.out, activation: bound.activation)
    // The router whose experts it stands beside has just decided.
    guard bound.isSharedExpert, pass.wants(.shared), !pass.batches.isEmpty else { return }
    let measured = pass.measured(experts, assignments, inner: inner)
    measured.note(shared: 0, in: &pass.batches[pass.batches.count - 1])
  }
}

struct BoundExperts: BoundOperation {
  private var run: LayerRun
  private(set) var id: RouterID
  let router: Router
  let table: IntegerMatrix?
  let routerLinear: Linear
  let routerHidden: Linear?
  /// Of the stream in front of the experts; nil: the router reads it as it is, or something else.
  let routerNorm: (norm: Norm, factor: Float)?
  let readsBlockEntry: Bool
  let logitCap: Float?
  /// Routed experts that have weights, then shared ones.
  let experts: [BoundExpert]
  let activation: ExpertActivation
  let sharedActivation: ExpertActivation
  /// Gates of the shared experts; nil: always 1.
  let sharedGates: [Linear?]
  let latent: (size: Int, down: Linear, up: Linear)?
  let outputScale: Float
  let outputBias: WeightVector?

  init(_ plan: ExpertsPlan, _ binder: WeightBinder) throws {
    run = binder.run
    id = run.router(plan.stack)
    let because = "the expert count and hidden_size in config.json"
    var spec = plan.router
    routerLinear = try binder.linear(
      plan.routerLinear, rows: spec.expertCount, columns: plan.routerHidden?.size ?? binder.hiddenSize, because: because)
    routerHidden = try plan.routerHidden.map {
      try binder.linear($0.linear, rows: $0.size, columns: binder.hiddenSize, because: because)
    }
    if let bias = plan.correctionBias {
      // Part of what the router is, and so of every trace: the one value that opening reads.
      spec.correctionBias = try binder.vector(bias, count: spec.expertCount, because: because).array
    }
    if let scales = plan.expertScales {
      spec.expertScales = try binder.vector(scales, count: spec.expertCount, because: because).array
    }
    router = try Router(spec)
    table = try plan.table.map {
      try binder.integers($0.tensor, rows: $0.rows, columns: spec.topK, because: "vocab_size and num_experts_per_tok in config.json")
    }
    switch plan.routerInput {
    case .stream(let norm, let factor): (routerNorm, readsBlockEntry) = ((try binder.norm(norm, size: binder.hiddenSize), factor), false)
    case .blockEntry: (routerNorm, readsBlockEntry) = (nil, true)
    case nil: (routerNorm, readsBlockEntry) = (nil, false)
    }
    logitCap = plan.logitCap
    let real = spec.expertCount - spec.identityExperts
    experts =
      try (0..<real).map { try plan.expert($0).expert(binder, width: plan.latent?.size) } + plan.shared.map { try $0.expert.expert(binder) }
    latent = try plan.latent.map { latent in
      let because = "hidden_size and the width of the experts' space in config.json"
      return (
        latent.size, try binder.linear(latent.down, rows: latent.size, columns: binder.hiddenSize, because: because),
        try binder.linear(latent.up, rows: binder.hiddenSize, columns: latent.size, because: because)
      )
    }
    activation = plan.expert(0).activation
    sharedActivation = plan.shared.first?.expert.activation ?? activation
    sharedGates = try plan.shared.map { shared in
      try shared.gate.map { try binder.linear($0, rows: 1, columns: binder.hiddenSize, because: "hidden_size in config.json") }
    }
    outputScale = plan.outputScale
    outputBias = try plan.outputBias.map { try binder.vector($0, count: binder.hiddenSize, because: "hidden_size in config.json") }
  }

  var routers: [RouterDescription] { [RouterDescription(id, router.spec)] }

  var routerPrecision: StoredType? { routerLinear.weight.type }

  /// Whether shared experts are no part of the routed ones' call.
  var runsSharedApart: Bool { latent != nil || sharedActivation != activation }

  var idle: WeightSize {
    let sizes = experts.dropLast(sharedGates.count).map(\.size)
    guard let first = sizes.first else { return WeightSize() }
    let all = sizes.dropFirst().reduce(first, +)
    // A token meets experts of the mean size, where they differ.
    return run.idle(all / sizes.count, of: sizes.count, taking: router.spec.topK)
  }

  func start() -> any RunningOperation { RunningExperts(self) }

  func repeated(as run: LayerRun) -> any BoundOperation {
    var copy = self
    (copy.run, copy.id) = (run, run.router(id.stack))
    return copy
  }
}

final class RunningExperts: RunningOperation {
  private let bound: BoundExperts
  private lazy var experts = bound.experts.map(\.weights)
  private var assignments = ExpertAssignments()
  private var ledger = CapacityLedger()

  init(_ bound: BoundExperts) { self.bound = bound }

  func reset() { ledger = CapacityLedger() }

  func run(_ pass: Pass) {
    let logits = pass.project(bound.routerLinear, from: routerInput(pass))
    if let cap = bound.logitCap {
      for i in 0..<pass.count * bound.router.spec.expertCount { logits[i] = cap * tanh(logits[i] / cap) }
    }
    let hashed = bound.table.map { lookUp($0, pass) } ?? []
    var decisions = pass.decide(bound.router, bound.id, logits: logits, hashed: hashed, rows: pass.count, ledger: &ledger)
    if pass.isOver {
      if pass.demand != nil { pass.batches.append(decisions) }
      return
    }
    // A probe wants the block's output by itself, and so does a scale.
    let width = pass.count * pass.hiddenSize
    let isApart = pass.probe != nil || bound.outputScale != 1
    let out = isApart ? pass.arena.zeros(width) : pass.out
    carryOut(&decisions, pass, into: out)
    if isApart {
      if bound.outputScale != 1 { mt_scale(out, out, bound.outputScale, width) }
      pass.probe?.block(
        bound.id, input: UnsafeBufferPointer(start: pass.x, count: width), output: UnsafeBufferPointer(start: out, count: width))
      mt_add(pass.out, pass.out, out, width)
    }
    if pass.demand != nil { pass.batches.append(decisions) }
  }

  /// `[tokens, topK]`
  private func lookUp(_ table: IntegerMatrix, _ pass: Pass) -> [Int32] {
    precondition(pass.tokens.count == pass.count, "experts are looked up for tokens")
    return Array(unsafeUninitializedCapacity: pass.count * table.columns) { out, count in
      if let base = out.baseAddress, let fault = table.lookUp(pass.tokens, experts: bound.router.spec.expertCount, into: base) {
        pass.fault = pass.fault ?? fault
      }
      count = pass.count * table.columns
    }
  }

  /// What the last layer of the router reads.
  private func routerInput(_ pass: Pass) -> UnsafePointer<Float> {
    let read = routerReading(pass)
    guard let linear = bound.routerHidden else { return read }
    let hidden = pass.project(linear, from: read)
    for i in 0..<pass.count * linear.weight.rows { hidden[i] = tanh(hidden[i]) }
    return UnsafePointer(hidden)
  }

  private func routerReading(_ pass: Pass) -> UnsafePointer<Float> {
    if bound.readsBlockEntry { return UnsafePointer(pass.blockEntry) }
    guard let input = bound.routerNorm else { return UnsafePointer(pass.x) }
    let width = pass.count * pass.hiddenSize
    let normed = pass.arena.floats(width)
    input.norm.apply(pass.pool, out: normed, x: pass.stream, rows: pass.count)
    mt_scale(normed, normed, input.factor, width)
    return UnsafePointer(normed)
  }

  private func carryOut(_ decisions: inout RoutingBatch, _ pass: Pass, into out: UnsafeMutablePointer<Float>) {
    let spec = bound.router.spec
    let real = spec.expertCount - spec.identityExperts
    var chosen = decisions.carriedOut
    if spec.identityExperts > 0 {
      for slot in chosen.indices where Int(chosen[slot]) >= real {
        let row = slot / decisions.topK * pass.hiddenSize
        mt_axpy(out + row, pass.x + row, decisions.routingWeights[slot], pass.hiddenSize)
        chosen[slot] = -1
      }
    }
    let shared = bound.sharedGates.count
    let weights = decisions.routingWeights
    if bound.runsSharedApart {
      assignments.assign(experts: chosen, weights: weights, tokens: pass.count, topK: decisions.topK, expertCount: real)
      runRouted(&decisions, pass, into: out, count: real)
      // The shared experts alone.
      assignments.assign(experts: chosen, weights: weights, tokens: pass.count, topK: 0, expertCount: real, always: shared)
    } else {
      assignments.assign(
        experts: chosen, weights: weights, tokens: pass.count, topK: decisions.topK, expertCount: real, always: shared)
    }
    for (index, gate) in bound.sharedGates.enumerated() {
      if let gate {
        let scores = pass.project(gate, from: pass.x)
        mt_sigmoid(scores, scores, pass.count)
        assignments.setWeights(of: real + index, from: scores)
      } else if let weights = decisions.sharedWeight {
        weights.withUnsafeBufferPointer { if let base = $0.baseAddress { assignments.setWeights(of: real + index, from: base) } }
      }
      if let hidden = pass.hiddenShared { assignments.hide(hidden, from: real + index) }
    }
    let inner = pass.runExperts(
      experts, assignments, out: out, activation: bound.runsSharedApart ? bound.sharedActivation : bound.activation,
      weightsApplyToInput: spec.appliesTo == .input)
    let (wantsNorms, wantsShared) = (pass.wants(.norms) && !bound.runsSharedApart, pass.wants(.shared) && shared > 0)
    if !wantsShared { decisions.sharedWeight = nil }
    if wantsNorms || wantsShared {
      let measured = pass.measured(experts, assignments, inner: inner)
      if wantsNorms { measured.note(routed: real, x: pass.x, in: &decisions) }
      if wantsShared { measured.note(shared: real, in: &decisions) }
    }
    if let bias = bound.outputBias?.values {
      for t in 0..<pass.count { mt_add(out + t * pass.hiddenSize, out + t * pass.hiddenSize, bias, pass.hiddenSize) }
    }
  }

  /// The routed experts alone, in their own space where they have one.
  private func runRouted(_ decisions: inout RoutingBatch, _ pass: Pass, into out: UnsafeMutablePointer<Float>, count: Int) {
    let narrow = bound.latent.map { pass.project($0.down, from: pass.x) }
    let sum = bound.latent.map { pass.arena.zeros(pass.count * $0.size) } ?? out
    let inner = pass.runExperts(
      experts, assignments, x: narrow.map { UnsafePointer($0) }, out: sum, activation: bound.activation,
      weightsApplyToInput: bound.router.spec.appliesTo == .input)
    if let latent = bound.latent { pass.pool.multiply(pass.product(out, latent.up, from: sum, accumulate: true)) }
    guard pass.wants(.norms) else { return }
    pass.measured(experts, assignments, inner: inner, through: bound.latent?.up).note(routed: count, x: pass.x, in: &decisions)
  }
}

extension Pass {
  /// Adds every expert's weighted output to the rows of its tokens.
  ///
  /// - Parameter x: what they read; nil: what the operation reads.
  /// - Returns: `[slots, intermediate]` of each active expert, one after the other: what its down projection has read; in the arena.
  @discardableResult
  func runExperts(
    _ experts: [ExpertWeights], _ assignments: borrowing ExpertAssignments, x: UnsafePointer<Float>? = nil,
    out: UnsafeMutablePointer<Float>, activation: ExpertActivation, weightsApplyToInput: Bool = false
  ) -> UnsafeMutablePointer<Float> {
    experts.withUnsafeBufferPointer { experts in
      let inner = arena.floats(ExpertCall.hiddenFloats(experts, assignments))
      var call = ExpertCall(out: out, x: x ?? UnsafePointer(self.x), hidden: inner, activation: activation)
      call.weightsApplyToInput = weightsApplyToInput
      pool.runExperts(call, experts: experts, assignments: assignments)
      return inner
    }
  }
}
