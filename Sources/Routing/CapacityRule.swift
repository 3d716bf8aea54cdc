// Capacity as a value: how many tokens of a sequence an expert takes, who is served first, and what a drop does to the weights.
// `Router` applies it; the ledger is what one sequence has used up so far, so that a sequence may come in several batches.

/// A limit on the tokens of one sequence that an expert computes.
///
/// What does not fit is dropped: the token keeps the expert it chose, with weight 0, and the assignment is recorded as dropped.
///
/// - Source: Fedus et al. 2021, Switch Transformer, arXiv:2101.03961, section 2.2; NLLB Team 2022, arXiv:2207.04672, section 6.2.
public struct CapacityRule: Hashable, Sendable, Codable {
  public enum Limit: Hashable, Sendable, Codable {
    /// So many tokens of the sequence for each expert.
    case tokens(Int)
    /// This share of the sequence's tokens for each expert, rounded up.
    case share(Double)
  }

  /// Who is served first.
  public enum Order: String, Hashable, Sendable, Codable {
    /// In the order of the sequence, all first choices before all second choices.
    case position
    /// By falling probability of the token's first choice, equal ones in the order of the sequence; all first choices before all second
    /// choices.
    case probability
    /// In the order of the sequence, all choices of a token before those of the next.
    case token
  }

  public var limit: Limit
  public var order: Order
  /// Weights are normalised over what was not dropped; false: dropping takes weight away.
  public var renormalizes: Bool

  public init(limit: Limit, order: Order = .position, renormalizes: Bool = false) {
    self.limit = limit
    self.order = order
    self.renormalizes = renormalizes
  }

  /// Tokens of a sequence of `length` that one expert takes.
  public func tokensPerExpert(length: Int) -> Int {
    switch limit {
    case .tokens(let count): count
    case .share(let share): Int((share * Double(length)).rounded(.up))
    }
  }

  /// Whether a token's fate depends on tokens behind it, so that a sequence has to be decided in one batch.
  public func looksAhead(topK: Int) -> Bool {
    if case .share = limit { return true }
    return order == .probability || order == .position && topK > 1
  }
}

/// What one sequence has used of the experts' capacity.
public struct CapacityLedger: Sendable, Equatable {
  /// `[experts]`: tokens that chose the expert, dropped ones included; empty before the first batch.
  fileprivate var chosen: [Int] = []

  public init() {}

  fileprivate mutating func take(_ expert: Int) -> Int {
    chosen[expert] += 1
    return chosen[expert]
  }
}

extension CapacityRule {
  /// Drops what does not fit from the decisions of a batch, weights included.
  ///
  /// - Parameters:
  ///   - rows: of the batch, those of one sequence.
  ///   - firstProbability: `[batch.count]`; only read when the order is by probability.
  ///   - ledger: of the sequence the batch continues.
  /// - Precondition: a rule that looks ahead gets the whole sequence in one batch.
  func apply(to batch: inout RoutingBatch, rows: [Int], firstProbability: [Float], ledger: inout CapacityLedger) {
    precondition(ledger.chosen.isEmpty || !looksAhead(topK: batch.topK), "a whole sequence at once")
    if ledger.chosen.isEmpty { ledger.chosen = Array(repeating: 0, count: batch.expertCount) }
    let capacity = tokensPerExpert(length: rows.count)
    var tokens = rows
    if order == .probability {
      tokens.sort { (firstProbability[$0], $1) > (firstProbability[$1], $0) }
    }
    func serve(_ slot: Int) {
      let expert = Int(batch.selectedExperts[slot])
      guard expert >= 0, ledger.take(expert) > capacity else { return }
      if batch.dropped == nil { batch.dropped = Array(repeating: false, count: batch.selectedExperts.count) }
      batch.dropped?[slot] = true
      batch.routingWeights[slot] = 0
    }
    if order == .token {
      for token in tokens { for rank in 0..<batch.topK { serve(token * batch.topK + rank) } }
    } else {
      for rank in 0..<batch.topK { for token in tokens { serve(token * batch.topK + rank) } }
    }
  }
}
