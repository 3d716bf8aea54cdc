// Experts that are pairs of an entry of one list and an entry of another, so many that none of them is ever computed by itself: sums over pairs
// are taken apart into sums over each list. Routers score both lists for each of several heads; a decision holds for several blocks.
// Source: Park et al. 2024 (Monet), arXiv:2412.04139, equations 6 to 15.

import CKernels
import Routing

struct PairedExpertsPlan: OperationPlan {
  /// The routers of a block that has any.
  struct Routers: Sendable {
    /// Above which a normalised logit is taken, and what is added to variances.
    var threshold: Float
    var epsilon: Float
    /// `[heads * length, hidden]` each.
    var first: MatrixPlan
    var second: MatrixPlan
    /// `[heads]` each: mean and variance of the logits of the first and of the second list.
    var firstMean: VectorPlan
    var firstVariance: VectorPlan
    var secondMean: VectorPlan
    var secondVariance: VectorPlan
    /// Blocks that use their decisions.
    var holdsFor: [Int]
  }

  /// How the matrices of an expert are put together of those of its two entries.
  enum Composition: Sendable {
    /// Up of the first entry, `[length * width, hidden]` with a bias; down of the second, `[hidden, length * width]`, and its bias `[length, hidden]`.
    case horizontal(up: LinearPlan, down: LinearPlan, downBias: MatrixPlan)
    /// Both entries have an up, `[length * width, hidden]` with a bias, and give one half of the output each: downs `[hidden / 2, length * width]` of
    /// the first half from the first and from the second, then of the second half; biases `[length, hidden / 2]`.
    case vertical(up: (LinearPlan, LinearPlan), down: (LinearPlan, LinearPlan, LinearPlan, LinearPlan), downBias: (MatrixPlan, MatrixPlan))
  }

  var heads: Int
  /// Entries of a list.
  var length: Int
  /// Elements of an entry's hidden layer.
  var width: Int
  /// nil: the decisions of the last block that has some.
  var routers: Routers?
  var composition: Composition
  var activation: ExpertActivation

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundPairedExperts(self, binder) }
}

/// What the heads chose for the tokens of a step.
struct PairedChoice {
  /// Chosen entries with their weights, head by head within a token; those of the second list count from the list's length.
  private(set) var entries: [Int32] = []
  private(set) var weights: [Float] = []
  /// `[tokens * heads + 1]`: where those of a head begin.
  private(set) var starts: [Int] = [0]

  /// - Parameter decisions: of each head, over the same tokens.
  init(_ decisions: [RoutingBatch]) {
    for token in 0..<(decisions.first?.count ?? 0) {
      for batch in decisions {
        for slot in token * batch.topK..<(token + 1) * batch.topK {
          if batch.selectedExperts[slot] < 0 { break }
          entries.append(batch.selectedExperts[slot])
          weights.append(batch.routingWeights[slot])
        }
        starts.append(entries.count)
      }
    }
  }
}

struct BoundPairedExperts: BoundOperation {
  struct Head: Sendable {
    let id: RouterID
    let router: Router
    let first: Linear
    let second: Linear
  }

  enum Composition: Sendable {
    case horizontal(up: Linear, down: Linear, bias: Linear)
    case vertical(up: [Linear], down: [Linear], bias: [Linear])
  }

  let plan: PairedExpertsPlan
  let heads: [Head]
  let composition: Composition
  let routers: [RouterDescription]

  init(_ plan: PairedExpertsPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "hidden_size, moe_heads, moe_experts and moe_dim in config.json"
    let (hidden, length, inner) = (binder.hiddenSize, plan.length, plan.length * plan.width)
    let bank = binder.run.router().description
    var heads: [Head] = []
    if let routers = plan.routers {
      /// Part of what the router is, and so of every trace: values that opening reads.
      func numbers(_ vector: VectorPlan, above least: Float = -.infinity) throws -> [Float] {
        let values = try binder.vector(vector, count: plan.heads, because: because).array
        if let wrong = values.first(where: { !$0.isFinite || !($0 > least) }) {
          throw ModelError.tensorValues(
            file: binder.checkpoint.path, name: vector.tensor,
            expected: least.isFinite ? "finite numbers of 0 or more" : "finite numbers", found: "\(wrong)")
        }
        return values
      }
      func rows(_ matrix: MatrixPlan, _ head: Int) throws -> Linear {
        try binder.linear(
          LinearPlan(MatrixPlan(matrix.tensor, storedShape: [plan.heads * length, hidden], firstRow: head * length)), rows: length,
          columns: hidden, because: because)
      }
      let (firstMean, firstVariance) = (try numbers(routers.firstMean), try numbers(routers.firstVariance, above: -routers.epsilon))
      let (secondMean, secondVariance) = (try numbers(routers.secondMean), try numbers(routers.secondVariance, above: -routers.epsilon))
      heads = try (0..<plan.heads).map { head in
        let rule = ListThreshold(
          lists: [
            .init(count: length, mean: firstMean[head], variance: firstVariance[head]),
            .init(count: length, mean: secondMean[head], variance: secondVariance[head]),
          ], threshold: routers.threshold, epsilon: routers.epsilon)
        let spec = RouterSpec(
          expertCount: 2 * length, scoring: .logits, selection: .aboveThreshold(rule), weighting: .softmaxOfSelectedLogits,
          statedWeights: .unnormalized)
        return Head(
          id: binder.run.router(head: head), router: try Router(spec), first: try rows(routers.first, head),
          second: try rows(routers.second, head))
      }
    }
    self.heads = heads
    routers = heads.map {
      RouterDescription(
        id: $0.id, spec: $0.router.spec, more: RouterFacts(bank: bank, holdsFor: plan.routers?.holdsFor, factors: [length, length]))
    }
    func linear(_ plan: LinearPlan, _ rows: Int, _ columns: Int) throws -> Linear {
      try binder.linear(plan, rows: rows, columns: columns, because: because)
    }
    // Entries are rows in the file: what is multiplied is the other way round.
    func bias(_ matrix: MatrixPlan, _ width: Int) throws -> Linear {
      try linear(LinearPlan(MatrixPlan(matrix.tensor, storedShape: [length, width], transposition: .init())), width, length)
    }
    switch plan.composition {
    case .horizontal(let up, let down, let downBias):
      composition = .horizontal(up: try linear(up, inner, hidden), down: try linear(down, hidden, inner), bias: try bias(downBias, hidden))
    case .vertical(let up, let down, let downBias):
      composition = .vertical(
        up: try [up.0, up.1].map { try linear($0, inner, hidden) },
        down: try [down.0, down.1, down.2, down.3].map { try linear($0, hidden / 2, inner) },
        bias: try [downBias.0, downBias.1].map { try bias($0, hidden / 2) })
    }
  }

  var routerPrecision: StoredType? { heads.first?.first.weight.type }
  var readsEarlierBlocks: Bool { heads.isEmpty }

  func start() -> any RunningOperation { RunningPairedExperts(self) }
}

final class RunningPairedExperts: RunningOperation {
  private let bound: BoundPairedExperts
  private var ledger = CapacityLedger()

  init(_ bound: BoundPairedExperts) { self.bound = bound }

  func run(_ pass: Pass) {
    if !bound.heads.isEmpty {
      let decisions = decide(pass)
      if pass.demand != nil { pass.batches += decisions }
      if pass.isOver { return }
      pass.pairedChoices[pass.position] = PairedChoice(decisions)
    }
    guard let choice = pass.pairedChoices[pass.position] else { preconditionFailure("a block with routers comes first") }
    let width = pass.count * pass.hiddenSize
    let out = pass.arena.zeros(width)
    switch bound.composition {
    case .horizontal(let up, let down, let bias): horizontal(choice, pass, up, down, bias, into: out)
    case .vertical(let up, let down, let bias): vertical(choice, pass, up, down, bias, into: out)
    }
    if let id = bound.heads.first?.id {
      pass.probe?.block(
        id, input: UnsafeBufferPointer(start: pass.x, count: width), output: UnsafeBufferPointer(start: out, count: width))
    }
    mt_add(pass.out, pass.out, out, width)
  }

  /// One batch a head.
  private func decide(_ pass: Pass) -> [RoutingBatch] {
    let (length, heads) = (bound.plan.length, bound.heads)
    let logits = heads.map { _ in pass.arena.floats(pass.count * 2 * length) }
    let products = zip(heads, logits).flatMap { head, logits in
      [(head.first, logits), (head.second, logits + length)].map { linear, out in
        Product(out: out, outStride: 2 * length, x: pass.x, tokens: pass.count, weight: linear.weight)
      }
    }
    products.withUnsafeBufferPointer { pass.pool.multiply($0) }
    return zip(heads, logits).map { head, logits in
      pass.decide(head.router, head.id, logits: logits, rows: pass.count, ledger: &ledger)
    }
  }

  /// `activation(W x + b)`, `[tokens, length * width]`.
  private func activated(_ up: [Linear], _ pass: Pass) -> [UnsafeMutablePointer<Float>] {
    let hidden = up.map { pass.arena.floats(pass.count * $0.weight.rows) }
    zip(up, hidden).map { pass.product($1, $0, from: pass.x) }.withUnsafeBufferPointer { pass.pool.multiply($0) }
    let activation = bound.plan.activation
    for (linear, values) in zip(up, hidden) {
      mt_activate(values, values, nil, pass.count * linear.weight.rows, activation.kernelKind, activation.limit)
    }
    return hidden
  }

  /// Second entries compute with what first entries hand them.
  private func horizontal(
    _ choice: PairedChoice, _ pass: Pass, _ up: Linear, _ down: Linear, _ bias: Linear, into out: UnsafeMutablePointer<Float>
  ) {
    let (length, width) = (bound.plan.length, bound.plan.width)
    let x = activated([up], pass)[0]
    let mixed = pass.arena.zeros(pass.count * length * width)
    let shares = pass.arena.zeros(pass.count * length)
    eachHead(of: choice, pass) { token, chosen in
      hand(choice, chosen, x + token * length * width, toSecond: true, into: mixed + token * length * width)
      for place in chosen where Int(choice.entries[place]) >= length {
        shares[token * length + Int(choice.entries[place]) - length] += choice.weights[place]
      }
    }
    pass.pool.multiply(pass.product(out, down, from: mixed))
    pass.pool.multiply(pass.product(out, bias, from: shares, accumulate: true))
  }

  /// First entries make one half of the output, second ones the other, each of its own hidden layer and of what the others hand it.
  private func vertical(
    _ choice: PairedChoice, _ pass: Pass, _ up: [Linear], _ down: [Linear], _ bias: [Linear], into out: UnsafeMutablePointer<Float>
  ) {
    let (length, width) = (bound.plan.length, bound.plan.width)
    let inner = length * width
    let own = activated(up, pass)
    let handed = [pass.arena.zeros(pass.count * inner), pass.arena.zeros(pass.count * inner)]
    let shares = [pass.arena.zeros(pass.count * length), pass.arena.zeros(pass.count * length)]
    eachHead(of: choice, pass) { token, chosen in
      hand(choice, chosen, own[1] + token * inner, toSecond: false, into: handed[0] + token * inner)
      hand(choice, chosen, own[0] + token * inner, toSecond: true, into: handed[1] + token * inner)
      for place in chosen {
        let (list, entry) = Int(choice.entries[place]).quotientAndRemainder(dividingBy: length)
        shares[list][token * length + entry] += choice.weights[place]
      }
    }
    for list in 0..<2 {
      for row in 0..<pass.count * length {
        for m in 0..<width { own[list][row * width + m] *= shares[list][row] }
      }
    }
    func add(_ linears: [Linear], _ x: [UnsafeMutablePointer<Float>]) {
      let half = pass.hiddenSize / 2
      let products = (0..<2).map { side in
        Product(
          out: out + side * half, outStride: pass.hiddenSize, x: x[side], tokens: pass.count, weight: linears[side].weight, accumulate: true
        )
      }
      products.withUnsafeBufferPointer { pass.pool.multiply($0) }
    }
    add([down[0], down[3]], own)
    add([down[1], down[2]], handed)
    add(bias, shares)
  }

  private func eachHead(of choice: PairedChoice, _ pass: Pass, _ body: (_ token: Int, _ chosen: Range<Int>) -> Void) {
    let heads = bound.plan.heads
    for token in 0..<pass.count {
      for head in token * heads..<(token + 1) * heads { body(token, choice.starts[head]..<choice.starts[head + 1]) }
    }
  }

  /// Adds to each entry of one list, by its weight, the hidden layers `[length, width]` of the chosen entries of the other list by theirs.
  private func hand(
    _ choice: PairedChoice, _ chosen: Range<Int>, _ x: UnsafePointer<Float>, toSecond: Bool, into out: UnsafeMutablePointer<Float>
  ) {
    let (length, width) = (bound.plan.length, bound.plan.width)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: width) { sum in
      sum.initialize(repeating: 0)
      for place in chosen {
        let (list, entry) = Int(choice.entries[place]).quotientAndRemainder(dividingBy: length)
        if list == (toSecond ? 0 : 1) { for m in 0..<width { sum[m] += choice.weights[place] * x[entry * width + m] } }
      }
      for place in chosen {
        let (list, entry) = Int(choice.entries[place]).quotientAndRemainder(dividingBy: length)
        if list == (toSecond ? 1 : 0) { for m in 0..<width { out[entry * width + m] += choice.weights[place] * sum[m] } }
      }
    }
  }
}
