// Attention whose heads are experts: a router picks for each token who projects its queries and who projects its heads' output back;
// keys and values are shared by all experts.
// Source: Shen et al. 2024, JetMoE, arXiv:2404.07413; Zhang et al. 2022, Mixture of Attention Heads, arXiv:2210.05144.

import CKernels
import Routing

struct AttentionMixturePlan: OperationPlan {
  var router: RouterSpec
  /// `[expertCount, hidden]`
  var routerLinear: LinearPlan
  /// Heads of one expert, each with a key and a value of its own.
  var headCount: Int
  var headSize: Int
  /// `[headCount * headSize, hidden]` and `[hidden, headCount * headSize]` of one expert.
  var query: @Sendable (Int) -> LinearPlan
  var output: @Sendable (Int) -> LinearPlan
  /// `[headCount * headSize, hidden]`
  var key: LinearPlan
  var value: LinearPlan
  var rotary: RotaryPlan
  /// `[hidden]`: added to every token's output.
  var outputBias: VectorPlan

  var width: Int { headCount * headSize }

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundAttentionMixture(self, binder) }
}

struct BoundAttentionMixture: BoundOperation {
  let plan: AttentionMixturePlan
  private var run: LayerRun
  private(set) var id: RouterID
  let router: Router
  let routerLinear: Linear
  let queries: [Linear]
  let outputs: [Linear]
  let key: Linear
  let value: Linear
  let outputBias: WeightVector

  init(_ plan: AttentionMixturePlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "hidden_size and the head and expert counts in config.json"
    let (hidden, experts) = (binder.hiddenSize, plan.router.expertCount)
    run = binder.run
    id = run.router(.attention)
    router = try Router(plan.router)
    routerLinear = try binder.linear(plan.routerLinear, rows: experts, columns: hidden, because: because)
    queries = try (0..<experts).map { try binder.linear(plan.query($0), rows: plan.width, columns: hidden, because: because) }
    outputs = try (0..<experts).map { try binder.linear(plan.output($0), rows: hidden, columns: plan.width, because: because) }
    key = try binder.linear(plan.key, rows: plan.width, columns: hidden, because: because)
    value = try binder.linear(plan.value, rows: plan.width, columns: hidden, because: because)
    outputBias = try binder.vector(plan.outputBias, count: hidden, because: because)
  }

  var routers: [RouterDescription] { [RouterDescription(id, router.spec)] }
  var routerPrecision: StoredType? { routerLinear.weight.type }
  var idle: WeightSize {
    run.idle(WeightSize(queries[0].weight, outputs[0].weight), of: router.spec.expertCount, taking: router.spec.topK)
  }
  var cacheFloatsPerToken: Int { 2 * plan.width }
  func start() -> any RunningOperation { RunningAttentionMixture(self) }

  func repeated(as run: LayerRun) -> any BoundOperation {
    var copy = self
    (copy.run, copy.id) = (run, run.router(.attention))
    return copy
  }
}

final class RunningAttentionMixture: RunningOperation {
  private let bound: BoundAttentionMixture
  private let cache: HeadCache
  private var assignments = ExpertAssignments()
  private var ledger = CapacityLedger()
  /// Of each assignment: its row among the queries, `token * topK + rank`, ranks by rising expert.
  private var rows: [Int] = []
  /// Experts a token has room for.
  private var topK = 0
  private var ranks: [Int] = []

  init(_ bound: BoundAttentionMixture) {
    self.bound = bound
    cache = HeadCache(heads: bound.plan.headCount, keySize: bound.plan.headSize, valueSize: bound.plan.headSize)
  }

  func reset() {
    cache.clear()
    ledger = CapacityLedger()
  }

  func run(_ pass: Pass) {
    let logits = pass.project(bound.routerLinear, from: pass.x)
    var decisions = pass.decide(bound.router, bound.id, logits: logits, rows: pass.count, ledger: &ledger)
    let out = pass.arena.zeros(pass.count * pass.hiddenSize)
    assign(decisions, pass)
    let outputs = attend(pass, into: out)
    if pass.wants(.norms) {
      MeasuredExperts(assignments: assignments, outputs: outputs, hiddenSize: pass.hiddenSize)
        .note(routed: decisions.expertCount, x: pass.x, in: &decisions)
    }
    let bias = bound.outputBias.values
    for t in 0..<pass.count { mt_add(out + t * pass.hiddenSize, out + t * pass.hiddenSize, bias, pass.hiddenSize) }
    let width = pass.count * pass.hiddenSize
    pass.probe?.block(
      bound.id, input: UnsafeBufferPointer(start: pass.x, count: width), output: UnsafeBufferPointer(start: out, count: width))
    mt_add(pass.out, pass.out, out, width)
    if pass.demand != nil { pass.batches.append(decisions) }
  }

  private func assign(_ decisions: RoutingBatch, _ pass: Pass) {
    topK = decisions.topK
    assignments.assign(
      experts: decisions.carriedOut, weights: decisions.routingWeights, tokens: pass.count, topK: topK,
      expertCount: bound.router.spec.expertCount)
    ranks.removeAll(keepingCapacity: true)
    ranks.append(contentsOf: repeatElement(0, count: pass.count))
    rows.removeAll(keepingCapacity: true)
    for token in assignments.tokens {
      rows.append(Int(token) * topK + ranks[Int(token)])
      ranks[Int(token)] += 1
    }
  }

  /// - Returns: `[slots, hiddenSize]`: what each expert's output projection gave, before its weight.
  private func attend(_ pass: Pass, into out: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<Float> {
    let plan = bound.plan
    let (width, hidden) = (plan.width, pass.hiddenSize)
    let (keys, values) = (pass.arena.floats(pass.count * width), pass.arena.floats(pass.count * width))
    pass.pool.multiply(pass.product(keys, bound.key, from: pass.x), pass.product(values, bound.value, from: pass.x))

    // The tokens of one expert together, then its queries; the same way back behind the attention.
    let slots = assignments.slotCount
    let inputs = pass.arena.floats(slots * hidden)
    let projected = pass.arena.floats(slots * width)
    for (slot, token) in assignments.tokens.enumerated() {
      (inputs + slot * hidden).update(from: pass.x + Int(token) * hidden, count: hidden)
    }
    pass.multiply([(bound.queries, assignments)], out: projected, from: inputs)
    // A token that takes fewer experts asks nothing with the heads of those it does not take.
    let places = pass.count * topK
    let queries = slots < places ? pass.arena.zeros(places * width) : pass.arena.floats(places * width)
    move(pass, heads: queries, slots: projected) { head, slot in head.update(from: slot, count: plan.headSize) }

    let table = pass.rotary.table(plan.rotary, positions: pass.position + pass.count)
    table.turn(
      pass.pool, queries, tokenStride: topK * width, heads: topK * plan.headCount, headStride: plan.headSize, position: pass.position,
      count: pass.count)
    table.turn(
      pass.pool, keys, tokenStride: width, heads: plan.headCount, headStride: plan.headSize, position: pass.position, count: pass.count)
    cache.store(
      keys: keys, keyStride: width, values: values, valueStride: width, position: pass.position, count: pass.count,
      end: pass.end)
    let mixed = pass.arena.floats(places * width)
    pass.pool.attend(
      Attention(
        out: mixed, queries: queries, keys: cache.keys, values: cache.values, tokens: pass.count, heads: topK * plan.headCount,
        kvHeads: plan.headCount, headDim: plan.headSize, keyCount: pass.position + pass.count, firstPosition: pass.position,
        scale: 1 / Float(plan.headSize).squareRoot(), capacity: cache.capacity))

    move(pass, heads: mixed, slots: projected) { head, slot in slot.update(from: head, count: plan.headSize) }
    pass.multiply([(bound.outputs, assignments)], out: inputs, from: projected)
    for slot in 0..<slots {
      mt_axpy(out + Int(assignments.tokens[slot]) * hidden, inputs + slot * hidden, assignments.weights[slot], hidden)
    }
    return inputs
  }

  /// Pairs each head of `[tokens, headCount, topK, headSize]`, where the experts' heads over one key lie together, with its place in
  /// `[slots, headCount, headSize]`.
  private func move(
    _ pass: Pass, heads: UnsafeMutablePointer<Float>, slots: UnsafeMutablePointer<Float>,
    _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  ) {
    let plan = bound.plan
    for (slot, row) in rows.enumerated() {
      let (token, rank) = (row / topK, row % topK)
      for head in 0..<plan.headCount {
        body(
          heads + ((token * plan.headCount + head) * topK + rank) * plan.headSize,
          slots + (slot * plan.headCount + head) * plan.headSize)
      }
    }
  }
}

extension Pass {
  /// Every expert's linear map of the rows of its own slots; of several sets of experts the slots follow one another. Experts of all sets
  /// have the same sizes.
  ///
  /// - Shape: `x` is `[slots, columns]`, `out` `[slots, rows]`.
  func multiply(
    _ sets: [(experts: [Linear], assignments: ExpertAssignments)], out: UnsafeMutablePointer<Float>, from x: UnsafePointer<Float>
  ) {
    withUnsafeTemporaryAllocation(of: Product.self, capacity: sets.reduce(0) { $0 + $1.assignments.activeExperts.count }) { products in
      var (index, start) = (0, 0)
      for (experts, assignments) in sets {
        for expert in assignments.activeExperts {
          let (first, end) = (Int(assignments.offsets[Int(expert)]), Int(assignments.offsets[Int(expert) + 1]))
          let linear = experts[Int(expert)]
          products.initializeElement(
            at: index,
            to: Product(
              out: out + (start + first) * linear.weight.rows, x: x + (start + first) * linear.weight.columns, tokens: end - first,
              weight: linear.weight, bias: linear.bias))
          index += 1
        }
        start += assignments.slotCount
      }
      pool.multiply(UnsafeBufferPointer(products))
    }
  }
}
