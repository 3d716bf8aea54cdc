// The one value that everything in the product speaks: the decisions of one router over n consecutive tokens, as columns.
// A model makes batches, an importer makes batches, a stored trace yields the same batches again; metrics fold over them.

/// Decisions of one router over `count` consecutive tokens of a run.
///
/// All columns are row-major with the token as the slowest axis. `NaN` in a statistic means "not defined here" (no other expert to
/// compare with), never "zero".
public struct RoutingBatch: Sendable, Equatable {
  public var router: RouterID
  /// Scores the router gives out for one token.
  public var expertCount: Int
  /// Slots per token; a token that takes fewer experts pads with id -1 and weight 0.
  public var topK: Int
  /// Row of the first token in the run's token table.
  public var firstToken: Int
  public var count: Int
  /// `[count, topK]`, by falling selection score, ties to the lower id; -1 pads.
  public var selectedExperts: [Int32]
  /// `[count, topK]`: the factor really applied to each expert.
  public var routingWeights: [Float]
  /// `[count, topK]`: the assignment was chosen but not computed (capacity); nil when no assignment of the batch was dropped.
  public var dropped: [Bool]?
  /// `[count]`: Shannon entropy of the router's distribution over all experts, nats.
  public var routerEntropy: [Float]
  /// `[count]`: k-th minus (k+1)-th selection score, in `RouterSpec.selectionScoreUnit`.
  public var selectionMargin: [Float]
  /// `[count]`: largest minus second largest router probability.
  public var top1Margin: [Float]
  /// `[count]`: router probability that falls on the selected experts.
  public var topKMass: [Float]
  /// `[expertCount]`: sum over the batch's tokens of the router's distribution; empty when unknown (foreign dumps without scores).
  public var importanceSum: [Double]
  /// Sum over the batch's tokens of the squared log-sum-exp of the logits; NaN when unknown.
  public var squaredLogSumExpSum: Double
  /// Raw router logits of some or all tokens; nil when they were not asked for.
  public var logits: RouterLogits?
  /// `[count, topK]`: L2 norm of what each expert computed, before its weight (of f(w x) where the weight is on the input); NaN for
  /// padding and for an assignment that was dropped. nil when they were not asked for, or the router's choices compute nothing.
  public var expertNorms: [Float]?
  /// `[count]`: the factor of the shared expert's output, 1 where it has none. nil when it was not asked for, or there is no shared expert.
  public var sharedWeight: [Float]?
  /// `[count]`: L2 norm of the shared expert's output before its factor.
  public var sharedNorm: [Float]?

  public init(router: RouterID, expertCount: Int, topK: Int, firstToken: Int, count: Int) {
    self.router = router
    self.expertCount = expertCount
    self.topK = topK
    self.firstToken = firstToken
    self.count = count
    selectedExperts = Array(repeating: -1, count: count * topK)
    routingWeights = Array(repeating: 0, count: count * topK)
    dropped = nil
    routerEntropy = Array(repeating: .nan, count: count)
    selectionMargin = routerEntropy
    top1Margin = routerEntropy
    topKMass = routerEntropy
    importanceSum = []
    squaredLogSumExpSum = .nan
    logits = nil
  }

  /// Whether the router's distribution over all experts is known of a token: logits that are not finite have none. Where experts are looked
  /// up it has no entropy, as nothing is chosen, and is there all the same.
  public func isMeasured(_ token: Int) -> Bool { routerEntropy[token].isFinite || topKMass[token].isFinite }

  /// Tokens that are measured.
  public var measuredCount: Int {
    precondition(routerEntropy.count == count && topKMass.count == count, "columns of one shape")
    return routerEntropy.withUnsafeBufferPointer { entropies in
      topKMass.withUnsafeBufferPointer { masses in
        var measured = 0
        for token in entropies.indices { measured += entropies[token].isFinite || masses[token].isFinite ? 1 : 0 }
        return measured
      }
    }
  }

  /// Whether a token's experts were looked up: it has a distribution and no entropy.
  public func isLookedUp(_ token: Int) -> Bool { topKMass[token].isFinite && routerEntropy[token].isNaN }

  /// Experts that a token of the batch took: its slots before the padding.
  public func taken(_ token: Int) -> Int {
    let slots = selectedExperts[token * topK..<(token + 1) * topK]
    return (slots.firstIndex { $0 < 0 } ?? slots.endIndex) - slots.startIndex
  }

  /// `[count, topK]`: the experts that compute, -1 where one was dropped too.
  public var carriedOut: [Int32] {
    guard let dropped else { return selectedExperts }
    return zip(selectedExperts, dropped).map { $1 ? -1 : $0 }
  }

  /// Assignments that were computed: selected and not dropped.
  public var assignmentCount: Int {
    var total = 0
    for slot in selectedExperts.indices where selectedExperts[slot] >= 0 && dropped?[slot] != true { total += 1 }
    return total
  }

  /// - Throws: `RoutingError.malformedBatch` when a column does not have the length its shape says.
  public func validate() throws {
    func require(_ column: String, _ found: Int, _ expected: Int) throws {
      if found != expected { throw RoutingError.malformedBatch(router: router, column: column, expected: expected, found: found) }
    }
    try require("selectedExperts", selectedExperts.count, count * topK)
    try require("routingWeights", routingWeights.count, count * topK)
    if let dropped { try require("dropped", dropped.count, count * topK) }
    try require("routerEntropy", routerEntropy.count, count)
    try require("selectionMargin", selectionMargin.count, count)
    try require("top1Margin", top1Margin.count, count)
    try require("topKMass", topKMass.count, count)
    if let expertNorms { try require("expertNorms", expertNorms.count, count * topK) }
    if let sharedWeight { try require("sharedWeight", sharedWeight.count, count) }
    if let sharedNorm { try require("sharedNorm", sharedNorm.count, count) }
    if !importanceSum.isEmpty { try require("importanceSum", importanceSum.count, expertCount) }
    if let logits { try require("logits", logits.values.count, logits.rows.count * expertCount) }
    // Without a branch an expert first: nearly always all are good.
    let most = selectedExperts.reduce(0) { max($0, UInt32(bitPattern: $1 &+ 1)) }
    guard most > expertCount else { return }
    for expert in selectedExperts where expert < -1 || Int(expert) >= expertCount {
      throw RoutingError.malformedBatch(router: router, column: "selectedExperts", expected: expertCount, found: Int(expert))
    }
  }
}

/// Raw router logits (before any score function or selection bias) of some tokens of a batch.
public struct RouterLogits: Sendable, Equatable {
  /// Tokens that have a row, counted from the batch's first token, rising.
  public var rows: [Int32]
  /// `[rows.count, expertCount]`.
  public var values: [Float]

  public init(rows: [Int32], values: [Float]) {
    self.rows = rows
    self.values = values
  }
}

/// What one forward pass leaves behind: its tokens, and one batch per router, all over the same tokens.
public struct RoutingPass: Sendable, Equatable {
  public var tokens: TokenTable
  public var batches: [RoutingBatch]

  public init(tokens: TokenTable, batches: [RoutingBatch]) {
    self.tokens = tokens
    self.batches = batches
  }
}
