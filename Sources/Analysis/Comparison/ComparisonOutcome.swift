// What a comparison found, as rows of numbers: all routers pooled, each router, bins of A's entropy, and single flips. Pooled numbers are means
// over all decisions, not over routers.

import Routing

/// The comparison of two runs.
public struct ComparisonOutcome: Sendable {
  public struct Layer: Sendable {
    public var pair: RouterPair
    public var row: ComparisonRow
    /// Experts that a decision took, mean of either run; NaN without decisions.
    var taken: (a: Double, b: Double)
    /// Rows at which only one of the runs took an expert.
    var oneSided: Int
    /// `[experts]`: assignments that were computed; B's experts as A calls them.
    public var assignments: (a: [Int], b: [Int])
    /// Choices of A that B made otherwise, most first; empty where that was not counted.
    public var replaced: [(experts: Replacement, choices: Double)]
    /// `[experts of A]`: the expert of B that was taken for it, -1 where it has none; nil where experts go by their number.
    public var matching: [Int]?
  }

  public let plan: ComparisonPlan
  public let layers: [Layer]
  public let byEntropy: [ComparisonRow]
  /// By rising row of A, then router; at most `RouterAgreement.shownFlips`.
  public let flipped: [FlippedDecision]
  /// What a filter left; nil without one.
  let left: FilteredPairs.Tally?
  /// Without what only the alignment knows.
  private let pooled: [ComparisonKey: Double?]

  init(plan: ComparisonPlan, agreements: [RouterAgreement], turned: [MeanSum], losses: PairedLosses, left: FilteredPairs.Tally?) {
    self.plan = plan
    self.left = left
    let all = zip(agreements, turned).map { fold, turned in
      Layer(
        pair: fold.pair, row: fold.row(turned: turned, isMatched: plan.matching == .behaviour), taken: fold.taken, oneSided: fold.oneSided,
        assignments: (fold.computedA, fold.computedB),
        replaced: fold.replaced.map { ($0.key, $0.value) }.sorted { ($1.1, $0.0.a, $0.0.b) < ($0.1, $1.0.a, $1.0.b) },
        matching: fold.matchingByA)
    }
    // Routers of which a filter leaves nothing are no rows.
    layers = left == nil ? all : all.filter { $0.row[.decisions] != 0 }
    var bins = EntropyBins()
    for fold in agreements { bins.merge(fold.byEntropy) }
    byEntropy = bins.bins().map { bin in
      ComparisonRow(
        .byEntropy, place: "entropy \(fixedPoint(bin.low, digits: 4)) to \(fixedPoint(bin.high, digits: 4))",
        values: [
          .low: bin.low, .high: bin.high, .decisions: Double(bin.agreement.count), .setAgreement: bin.agreement.mean,
        ])
    }
    let order = Dictionary(uniqueKeysWithValues: agreements.enumerated().map { ($1.pair.a.id, $0) })
    let flips = agreements.flatMap(\.flipped).sorted { ($0.token, order[$0.router] ?? 0) < ($1.token, order[$1.router] ?? 0) }
    flipped = Array(flips.prefix(RouterAgreement.shownFlips))
    pooled = Self.pooled(all.map(\.row), turned, agreements, losses)
  }

  private static func pooled(
    _ rows: [ComparisonRow], _ turned: [MeanSum], _ agreements: [RouterAgreement], _ losses: PairedLosses
  ) -> [ComparisonKey: Double?] {
    /// Mean over what `n` counts; of routers that have the number.
    func mean(_ key: ComparisonKey, over n: ComparisonKey = .decisions) -> Double? {
      let parts = rows.compactMap { row in row[key].map { (value: $0, n: row[n] ?? 0) } }
      let total = parts.reduce(0) { $0 + $1.n }
      return total > 0 ? parts.reduce(0) { $0 + $1.value * $1.n } / total : nil
    }
    func sum(_ key: ComparisonKey) -> Double? {
      let parts = rows.filter { $0[.decisions] != 0 }.map { $0[key] }
      return parts.isEmpty || parts.contains(nil) ? nil : parts.reduce(0) { $0 + ($1 ?? 0) }
    }
    var texts: [Int: MeanSum] = [:]
    for fold in agreements { for (text, sum) in fold.byText { texts[text, default: MeanSum()] += sum } }
    let total = texts.sorted { $0.key < $1.key }.map(\.value)
    let interval = Jackknife.interval(sums: total)
    let change = losses.interval
    return [
      .setAgreement: total.reduce(into: MeanSum()) { $0 += $1 }.mean, .setAgreementLow: interval?.low, .setAgreementHigh: interval?.high,
      .baseline: mean(.baseline), .loadBaseline: mean(.loadBaseline),
      .shuffledBaseline: turned.reduce(into: MeanSum()) { $0 += $1 }.mean, .top1Agreement: mean(.top1Agreement),
      .top1Baseline: mean(.top1Baseline), .top1LoadBaseline: mean(.top1LoadBaseline), .jaccard: mean(.jaccard),
      .jaccardBaseline: mean(.jaccardBaseline),
      .jsDivergence: mean(.jsDivergence, over: .jsDecisions), .jsDecisions: sum(.jsDecisions), .loadTV: mean(.loadTV),
      .lossA: losses.a, .lossB: losses.b, .lossChange: losses.change, .low: change?.low, .high: change?.high,
      .scoredTokens: Double(losses.tokens), .decisions: sum(.decisions) ?? 0, .flips: sum(.flips),
      .flipsAboveMargin: sum(.flipsAboveMargin),
    ]
  }

  /// - Throws: `FilterError.nothingPasses` where a filter left no decision.
  public func requireSomethingPasses() throws {
    guard let left, left.passing == 0, let filter = plan.filter?.filter else { return }
    throw FilterError.nothingPasses(filter: filter.text, of: "the \(left.decisions) decisions of A that are compared")
  }

  /// Whether both runs took an expert at one row at least.
  public var hasDecisions: Bool { layers.contains { $0.row[.decisions] != 0 } }

  /// All routers pooled, with what the alignment says of the texts.
  public func pooledRow(_ alignment: TextAlignment) -> ComparisonRow {
    let own: [ComparisonKey: Double?] = [
      .texts: Double(left?.texts.count ?? alignment.pairs.count), .tokens: Double(left?.shown ?? alignment.tokens),
      .partedAt: alignment.partedAt.map(Double.init),
      .partedTexts: Double(alignment.partedTexts),
    ]
    let units = Set(layers.filter { !$0.pair.a.spec.isHashed }.compactMap(\.row.marginUnit))
    return ComparisonRow(
      .pairs, place: "all routers", marginUnit: units.count == 1 ? units.first : nil, values: pooled.merging(own) { $1 })
  }

  public var flippedRows: [ComparisonRow] {
    let units = Dictionary(layers.map { ($0.pair.a.id, $0.row.marginUnit) }, uniquingKeysWith: { first, _ in first })
    return flipped.map { flip in
      ComparisonRow(
        .flipped, place: "\(flip.router) token \(flip.token)", marginUnit: units[flip.router] ?? nil,
        values: [.token: Double(flip.token), .position: Double(flip.position), .margin: Double(flip.margin)])
    }
  }
}

extension RouterAgreement {
  fileprivate var taken: (a: Double, b: Double) {
    (Double(chosenA.reduce(0, +)) / Double(decisions), Double(chosenB.reduce(0, +)) / Double(decisions))
  }

  fileprivate func row(turned: MeanSum, isMatched: Bool) -> ComparisonRow {
    let n = Double(decisions)
    func share(_ sum: Double) -> Double? { decisions > 0 ? sum / n : nil }
    func known(_ chance: Double) -> Double? { decisions > 0 ? chance : nil }
    let most = Double(max(topKA, topKB))
    let interval = Jackknife.interval(sums: byText.sorted { $0.key < $1.key }.map(\.value))
    let jointLoad = zip(chosenA, chosenB).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    let jointFirst = zip(firstA, firstB).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    let isKnown = flips == 0 || flipMargins.count > 0
    return ComparisonRow(
      .layers, place: pair.a.id.description, marginUnit: pair.a.spec.selectionScoreUnit,
      values: [
        .decisions: n, .setAgreement: share(agreement), .setAgreementLow: interval?.low, .setAgreementHigh: interval?.high,
        .baseline: known(Double(min(topKA, topKB)) / Double(pair.experts)), .loadBaseline: share(jointLoad / (n * most)),
        .shuffledBaseline: turned.mean, .top1Agreement: share(Double(sameFirst)), .top1Baseline: known(1 / Double(pair.experts)),
        .top1LoadBaseline: share(jointFirst / n),
        .jaccard: share(jaccard), .jaccardBaseline: known(jaccardChance), .jsDivergence: divergence.mean,
        .jsDecisions: Double(divergence.count), .loadTV: loadDistance, .flips: share(1).map { _ in Double(flips) },
        .flipMargin50: flipMargins.quantile(0.5),
        .flipMargin95: flipMargins.quantile(0.95), .flipMarginMax: flipMargins.count > 0 ? Double(flipMargins.maximum) : nil,
        .flipsAboveMargin: isKnown ? Double(flipsAboveMargin) : nil, .moved: isMatched ? Double(moved) : nil,
      ])
  }

  private var jaccardChance: Double {
    guard topKA > 0, topKB > 0 else { return .nan }
    return Chance(experts: pair.experts, topK: topKA).meanJaccard(with: topKB)
  }

  /// Half the sum of |load of A - load of B|, of what experts computed.
  private var loadDistance: Double? {
    let (totalA, totalB) = (computedA.reduce(0, +), computedB.reduce(0, +))
    guard totalA > 0, totalB > 0 else { return nil }
    return zip(computedA, computedB).reduce(0.0) { $0 + abs(Double($1.0) / Double(totalA) - Double($1.1) / Double(totalB)) } / 2
  }

  /// Experts of A whose expert of B has another number.
  private var moved: Int { (matchingByA ?? []).enumerated().count { $0.element >= 0 && $0.element != $0.offset } }

  fileprivate var matchingByA: [Int]? {
    matching.map { matching in
      var result = Array(repeating: -1, count: pair.a.spec.expertCount)
      for (other, mine) in matching.prefix(pair.b.spec.expertCount).enumerated() where Int(mine) < result.count {
        result[Int(mine)] = other
      }
      return result
    }
  }
}
