// Attention whose heads each choose experts twice: for the values of a token where it is looked at, and for the way back into the stream
// where it looks. Queries and keys are one projection for all; a head sees one set of values, whatever the experts that made them.
// Source: Csordás et al. 2023, SwitchHead, arXiv:2312.07987; as in Csordás et al. 2024, MoEUT, arXiv:2405.16039.

import CKernels
import Routing

struct HeadMixturePlan: OperationPlan {
  /// Each head's, for its values as for its output.
  var router: RouterSpec
  var headCount: Int
  var headSize: Int
  /// `[headCount * headSize, hidden]`; they read what the operation reads.
  var query: LinearPlan
  var key: LinearPlan
  /// `[expertCount, hidden]` of one head; they read what the operation reads.
  var valueRouter: @Sendable (_ head: Int) -> LinearPlan
  var outputRouter: @Sendable (_ head: Int) -> LinearPlan
  /// `[headSize, hidden]` of one expert; it reads the residual stream as it is.
  var value: @Sendable (_ head: Int, _ expert: Int) -> LinearPlan
  /// `[hidden, headSize]` of one expert.
  var output: @Sendable (_ head: Int, _ expert: Int) -> LinearPlan
  /// nil: positions are not encoded.
  var rotary: RotaryPlan?

  var width: Int { headCount * headSize }

  /// Of the routers: those of values head by head, then those of outputs.
  func places(in run: LayerRun) -> [RouterID] {
    [RouterModule.v, .o].flatMap { module in (0..<headCount).map { run.router(.attention, module: module, head: $0) } }
  }

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundHeadMixture(self, binder) }
}

struct BoundHeadMixture: BoundOperation {
  let plan: HeadMixturePlan
  private var run: LayerRun
  let router: Router
  let query: Linear
  let key: Linear
  /// Of values head by head, then of outputs: router, name, experts.
  let routerLinears: [Linear]
  private(set) var ids: [RouterID]
  let experts: [[Linear]]

  init(_ plan: HeadMixturePlan, _ binder: WeightBinder) throws {
    (self.plan, run) = (plan, binder.run)
    let because = "d_model and the head and expert counts in config.json"
    let (hidden, size, heads) = (binder.hiddenSize, plan.headSize, 0..<plan.headCount)
    router = try Router(plan.router)
    query = try binder.linear(plan.query, rows: plan.width, columns: hidden, because: because)
    key = try binder.linear(plan.key, rows: plan.width, columns: hidden, because: because)
    routerLinears = try (heads.map(plan.valueRouter) + heads.map(plan.outputRouter)).map {
      try binder.linear($0, rows: plan.router.expertCount, columns: hidden, because: because)
    }
    func bound(_ plans: (Int, Int) -> LinearPlan, rows: Int, columns: Int) throws -> [[Linear]] {
      try heads.map { head in
        try (0..<plan.router.expertCount).map { try binder.linear(plans(head, $0), rows: rows, columns: columns, because: because) }
      }
    }
    experts = try bound(plan.value, rows: size, columns: hidden) + bound(plan.output, rows: hidden, columns: size)
    ids = plan.places(in: run)
  }

  var routers: [RouterDescription] { ids.map { RouterDescription($0, router.spec) } }
  var routerPrecision: StoredType? { routerLinears.first?.weight.type }
  var idle: WeightSize {
    experts.map { run.idle(WeightSize($0.first?.weight), of: $0.count, taking: router.spec.topK) }.reduce(WeightSize(), +)
  }
  var cacheFloatsPerToken: Int { 2 * plan.width }
  func start() -> any RunningOperation { RunningHeadMixture(self) }

  func repeated(as run: LayerRun) -> any BoundOperation {
    var copy = self
    (copy.run, copy.ids) = (run, plan.places(in: run))
    return copy
  }
}

/// A probe sees no block of it: what its experts read and write are parts of heads.
final class RunningHeadMixture: RunningOperation {
  private let bound: BoundHeadMixture
  private let cache: HeadCache
  /// One for each router.
  private var assignments: [ExpertAssignments]
  private var ledgers: [CapacityLedger]

  init(_ bound: BoundHeadMixture) {
    self.bound = bound
    cache = HeadCache(heads: bound.plan.headCount, keySize: bound.plan.headSize, valueSize: bound.plan.headSize)
    assignments = bound.ids.map { _ in ExpertAssignments() }
    ledgers = bound.ids.map { _ in CapacityLedger() }
  }

  func reset() {
    cache.clear()
    for router in ledgers.indices { ledgers[router] = CapacityLedger() }
  }

  func run(_ pass: Pass) {
    let plan = bound.plan
    let (heads, size, width, hidden) = (plan.headCount, plan.headSize, plan.width, pass.hiddenSize)
    let (queries, keys) = (pass.arena.floats(pass.count * width), pass.arena.floats(pass.count * width))
    var decisions = decide(pass, queries: queries, keys: keys)

    let values = pass.arena.zeros(pass.count * width)
    let stream = UnsafePointer(pass.stream)
    carryOut(
      0..<heads, &decisions, pass, reading: { stream + $1 * hidden }, adding: { values + $1 * width + $0 * size },
      sizes: (columns: hidden, rows: size))
    let mixed = UnsafePointer(attend(pass, queries, keys, values))
    let out = pass.out
    carryOut(
      heads..<2 * heads, &decisions, pass, reading: { mixed + $1 * width + ($0 - heads) * size }, adding: { out + $1 * hidden },
      sizes: (columns: size, rows: hidden))
    if pass.demand != nil { pass.batches += decisions }
  }

  /// What every router decides; fills `queries` and `keys`, `[count, headCount * headSize]`.
  private func decide(_ pass: Pass, queries: UnsafeMutablePointer<Float>, keys: UnsafeMutablePointer<Float>) -> [RoutingBatch] {
    let logits = bound.ids.map { _ in pass.arena.floats(pass.count * bound.router.spec.expertCount) }
    let linears = [(queries, bound.query), (keys, bound.key)] + zip(logits, bound.routerLinears)
    linears.map { pass.product($0, $1, from: pass.x) }.withUnsafeBufferPointer { pass.pool.multiply($0) }
    return bound.ids.indices.map { router in
      pass.decide(bound.router, bound.ids[router], logits: logits[router], rows: pass.count, ledger: &ledgers[router])
    }
  }

  /// Adds what the chosen experts of some routers make, times their weights: heads one after the other, experts of a head in rising order.
  ///
  /// - Parameters:
  ///   - routers: of equal sizes of experts.
  ///   - reading: by router and token `[columns]`.
  ///   - adding: by router and token `[rows]`.
  private func carryOut(
    _ routers: Range<Int>, _ decisions: inout [RoutingBatch], _ pass: Pass, reading: (Int, Int) -> UnsafePointer<Float>,
    adding: (Int, Int) -> UnsafeMutablePointer<Float>, sizes: (columns: Int, rows: Int)
  ) {
    for router in routers {
      assignments[router].assign(
        experts: decisions[router].carriedOut, weights: decisions[router].routingWeights, tokens: pass.count,
        topK: decisions[router].topK, expertCount: bound.router.spec.expertCount)
    }
    let slots = assignments[routers].reduce(0) { $0 + $1.slotCount }
    let (inputs, outputs) = (pass.arena.floats(slots * sizes.columns), pass.arena.floats(slots * sizes.rows))
    var input = inputs
    for router in routers {
      for token in assignments[router].tokens {
        input.update(from: reading(router, Int(token)), count: sizes.columns)
        input += sizes.columns
      }
    }
    pass.multiply(routers.map { (bound.experts[$0], assignments[$0]) }, out: outputs, from: inputs)
    var output = outputs
    for router in routers {
      let mine = assignments[router]
      if pass.wants(.norms) {
        MeasuredExperts(assignments: mine, outputs: output, hiddenSize: sizes.rows)
          .note(routed: decisions[router].expertCount, x: inputs, in: &decisions[router])
      }
      for (token, weight) in zip(mine.tokens, mine.weights) {
        mt_axpy(adding(router, Int(token)), output, weight, sizes.rows)
        output += sizes.rows
      }
    }
  }

  /// - Returns: `[count, headCount, headSize]`: each head's mixture of the values it sees.
  private func attend(
    _ pass: Pass, _ queries: UnsafeMutablePointer<Float>, _ keys: UnsafeMutablePointer<Float>, _ values: UnsafeMutablePointer<Float>
  ) -> UnsafeMutablePointer<Float> {
    let plan = bound.plan
    if let rotary = plan.rotary {
      let table = pass.rotary.table(rotary, positions: pass.position + pass.count)
      for rows in [queries, keys] {
        table.turn(
          pass.pool, rows, tokenStride: plan.width, heads: plan.headCount, headStride: plan.headSize, position: pass.position,
          count: pass.count)
      }
    }
    cache.store(
      keys: keys, keyStride: plan.width, values: values, valueStride: plan.width, position: pass.position, count: pass.count, end: pass.end)
    let mixed = pass.arena.floats(pass.count * plan.width)
    pass.pool.attend(
      Attention(
        out: mixed, queries: queries, keys: cache.keys, values: cache.values, tokens: pass.count, heads: plan.headCount,
        kvHeads: plan.headCount, headDim: plan.headSize, keyCount: pass.position + pass.count, firstPosition: pass.position,
        scale: 1 / Float(plan.headSize).squareRoot(), capacity: cache.capacity))
    return mixed
  }
}
