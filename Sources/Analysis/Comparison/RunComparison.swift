// Two runs compared: the folds that see their decisions side by side, in one round, or in two where experts are matched by behaviour first.
// Reading both runs is the caller's business; printing is that of ComparisonTables and of App.

import Routing

/// What is compared, and how.
public struct ComparisonPlan: Sendable {
  /// How B's experts are named.
  public enum Matching: String, Sendable, CaseIterable {
    /// By their number.
    case index
    /// One to one within a layer, so that as many choices as possible agree: found on texts 0, 2, 4 ..., counted on the others.
    case behaviour
  }

  public var routers: [RouterPair]
  public var matching: Matching
  /// Flips of a larger margin are counted, in the unit of A's selection scores.
  public var margin: Double
  /// Which decisions and tokens of A are compared; nil for all.
  public var filter: ResolvedFilter?
  /// Whether it is counted which expert of B came in the place of which of A.
  public var countsReplaced = false

  /// - Parameter routers: those that the filter does not admit are left out.
  public init(routers: [RouterPair], matching: Matching = .index, margin: Double = 1e-3, filter: ResolvedFilter? = nil) {
    self.routers = routers.filter { filter?.admits($0.a.id) ?? true }
    self.matching = matching
    self.margin = margin
    self.filter = filter
  }

  /// - Parameter texts: pairs of texts that will be compared.
  /// - Throws: `AnalysisError`.
  public func validate(texts: Int) throws {
    guard margin >= 0, margin.isFinite else {
      throw AnalysisError.invalidPlan(field: "--margin", expected: "0 or more", found: plainNumber(margin))
    }
    switch matching {
    case .index:
      for pair in routers where pair.a.spec.expertCount != pair.b.spec.expertCount {
        throw AnalysisError.invalidPlan(
          field: "--match index", expected: "as many experts in both runs, so that a number names the same one (others: --match behaviour)",
          found: "\(pair.a.id) of \(pair.a.spec.expertCount) and of \(pair.b.spec.expertCount)")
      }
    case .behaviour:
      if texts < 2 {
        throw AnalysisError.invalidPlan(
          field: "--match behaviour", expected: "two texts or more: the matching is found on some and judged on others", found: "\(texts)")
      }
      for pair in routers where pair.experts > JointChoices.mostExperts {
        throw AnalysisError.invalidPlan(
          field: "--match behaviour", expected: "at most \(JointChoices.mostExperts) experts a router", found: "\(pair.experts)")
      }
    }
  }
}

/// Folds rows side by side into the comparison of two runs.
///
///     var comparison = RunComparison(plan)
///     repeat {
///       for rows in alignment.stretches { comparison.add(rows) }
///       for rows in alignment.turned { comparison.addTurned(rows) }
///     } while comparison.beginNextRound()
///     let result = comparison.result()
///
/// - Memory: the sum of the folds; each states its own. None keeps passes.
/// - Test: merging parts of a split at random equals the whole.
public struct RunComparison: Sendable {
  public let plan: ComparisonPlan
  /// Whether this round only finds out which expert is which.
  public private(set) var isMatching: Bool
  private var choices: [JointChoices]
  private var agreements: [RouterAgreement]
  private var turned: [TurnedAgreement]
  private var losses = PairedLosses()
  private var left: FilteredPairs?

  /// - Precondition: `plan.validate` did not throw.
  public init(_ plan: ComparisonPlan) {
    self.plan = plan
    isMatching = plan.matching == .behaviour
    choices = isMatching ? plan.routers.map { JointChoices($0) } : []
    agreements = plan.routers.map { RouterAgreement($0, margin: plan.margin, countsReplaced: plan.countsReplaced) }
    turned = plan.routers.map { TurnedAgreement($0, matching: nil) }
    left = plan.filter.map { FilteredPairs($0, routers: plan.routers) }
  }

  /// Adds rows of the same tokens.
  public mutating func add(_ rows: PairedRows) {
    let (decisions, tokens) = left?.left(of: rows, counts: !isMatching) ?? (rows, [rows])
    let isEven = rows.place.text % 2 == 0
    if isMatching {
      if isEven { for index in choices.indices { choices[index].add(decisions) } }
      return
    }
    for part in tokens { losses.add(part) }
    if plan.matching == .behaviour, isEven { return }
    for index in agreements.indices { agreements[index].add(decisions) }
  }

  /// Adds rows of other texts at equal positions.
  public mutating func addTurned(_ rows: PairedRows) {
    if isMatching || plan.matching == .behaviour && rows.place.text % 2 == 0 { return }
    let decisions = left?.left(of: rows, counts: false).decisions ?? rows
    for index in turned.indices { turned[index].add(decisions) }
  }

  /// Call after all rows were added (and all parts merged). True: the rows are needed once more.
  public mutating func beginNextRound() -> Bool {
    guard isMatching else { return false }
    isMatching = false
    // Passes are read again, with logits.
    left = plan.filter.map { FilteredPairs($0, routers: plan.routers) }
    let matchings = choices.map { $0.matching() }
    choices = []
    agreements = zip(plan.routers, matchings).map {
      RouterAgreement($0, margin: plan.margin, matching: $1, countsReplaced: plan.countsReplaced)
    }
    turned = zip(plan.routers, matchings).map { TurnedAgreement($0, matching: $1) }
    return true
  }

  /// An empty fold with this one's plan, round and matching, for another core to fill and this one to merge.
  public func emptyPart() -> RunComparison {
    var part = self
    part.choices = choices.map { JointChoices($0.pair) }
    part.agreements = agreements.map {
      RouterAgreement($0.pair, margin: plan.margin, matching: $0.matching, countsReplaced: plan.countsReplaced)
    }
    part.turned = turned.map { TurnedAgreement($0.pair, matching: $0.matching) }
    part.losses = PairedLosses()
    part.left = plan.filter.map { FilteredPairs($0, routers: plan.routers) }
    return part
  }

  /// - Precondition: both parts have the same plan, round and matching.
  public mutating func merge(_ other: RunComparison) {
    precondition(isMatching == other.isMatching && plan.routers == other.plan.routers, "parts of two comparisons")
    for index in choices.indices { choices[index].merge(other.choices[index]) }
    for index in agreements.indices { agreements[index].merge(other.agreements[index]) }
    for index in turned.indices { turned[index].merge(other.turned[index]) }
    losses.merge(other.losses)
    if let more = other.left { left?.merge(more) }
  }

  public func result() -> ComparisonOutcome {
    ComparisonOutcome(plan: plan, agreements: agreements, turned: turned.map(\.agreement), losses: losses, left: left?.tally)
  }
}
