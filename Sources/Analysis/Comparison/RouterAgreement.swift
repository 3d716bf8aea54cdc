// How far do two routers decide alike about the same tokens? Sums over decisions that stand side by side: experts in common, first choices,
// distance of the routers' distributions, and the decisions that fell otherwise with how near they were.

import Routing

/// One decision of A that fell otherwise in B.
public struct FlippedDecision: Sendable, Equatable {
  public var router: RouterID
  /// Rows of the runs.
  public var token: Int
  public var tokenB: Int
  /// Number of the pair of texts, and the position in it.
  public var text: Int
  public var position: Int
  public var tokenID: Int32
  /// A's selection margin, in the unit of its selection scores; NaN where unknown.
  public var margin: Float
  /// By falling selection score; B's own numbers of its experts.
  public var a: [Int32]
  public var b: [Int32]
}

/// Agreement of one pair of routers.
///
/// - Memory: 48 bytes an expert, 24 a pair of experts that were exchanged where that is counted, 16 a text, at most 300 KiB for margins of flips, at most 2.4 MB for bins of entropy (a cell for each 1/1024
///   of an octave that occurs), and the first 100 flips.
/// - Test: hand-made sets; merging random splits equals the whole.
public struct RouterAgreement: Sendable {
  /// Flips that are kept one by one.
  public static let shownFlips = 100

  public let pair: RouterPair
  public private(set) var topKA = 0
  public private(set) var topKB = 0
  public private(set) var decisions = 0
  /// Rows at which only one of the runs took an expert.
  private(set) var oneSided = 0
  private(set) var agreement = 0.0
  private(set) var sameFirst = 0
  private(set) var jaccard = 0.0
  private(set) var divergence = MeanSum()
  /// `[experts]`, B's renamed: choices; and assignments that were computed, without those that capacity dropped.
  private(set) var chosenA: [Int]
  private(set) var chosenB: [Int]
  private(set) var computedA: [Int]
  private(set) var computedB: [Int]
  /// `[experts]`: first choices of rows in which both runs have one.
  private(set) var firstA: [Int]
  private(set) var firstB: [Int]
  public private(set) var flips = 0
  /// A's margins of flips, where they are known.
  private(set) var flipMargins = Histogram()
  private(set) var flipsAboveMargin = 0
  /// By rising row of A; the first `shownFlips`.
  private(set) var flipped: [FlippedDecision] = []
  private(set) var byText: [Int: MeanSum] = [:]
  private(set) var byEntropy = EntropyBins()

  /// Choices of A that B made otherwise, by A's expert and B's in its place, B's as A calls it. Where several were lost at once, each of
  /// them is shared out among all that came.
  private(set) var replaced: [Replacement: Double] = [:]
  private let countsReplaced: Bool
  private let margin: Double
  /// `[experts of B]`: B's experts as A calls them; nil leaves them as they are.
  let matching: [Int32]?

  /// - Parameter margin: flips of a margin above this are counted, in the unit of A's selection scores.
  init(_ pair: RouterPair, margin: Double, matching: [Int32]? = nil, countsReplaced: Bool = false) {
    self.countsReplaced = countsReplaced
    self.pair = pair
    self.margin = margin
    self.matching = matching
    chosenA = Array(repeating: 0, count: pair.experts)
    chosenB = chosenA
    computedA = chosenA
    computedB = chosenA
    firstA = chosenA
    firstB = chosenA
  }

  mutating func add(_ rows: PairedRows) {
    rows.forEach(pair) { batches in
      topKA = max(topKA, batches.a.topK)
      topKB = max(topKB, batches.b.topK)
      addSets(batches, rows)
      addDivergence(batches)
    }
  }

  private mutating func addSets(_ batches: PairedBatches, _ rows: PairedRows) {
    var inText = MeanSum()
    oneSided += batches.oneSided
    batches.forEachDecision(matching) { index, sets in
      decisions += 1
      inText.addOne(sets.agreement)
      jaccard += sets.jaccard
      if let first = sets.first {
        firstA[Int(first.a)] += 1
        firstB[Int(first.b)] += 1
        if first.a == first.b { sameFirst += 1 }
      }
      let entropy = normalizedEntropy(batches.a.routerEntropy[batches.firstA + index], experts: batches.a.expertCount)
      byEntropy.add(entropy, agreement: sets.agreement)
      Self.count(batches.a, batches.firstA + index, nil, &chosenA, &computedA)
      Self.count(batches.b, batches.firstB + index, matching, &chosenB, &computedB)
      if !sets.areEqual {
        addFlip(batches, index, rows)
        if countsReplaced { addReplaced(batches, index) }
      }
    }
    agreement += inText.sum
    byText[rows.place.text, default: MeanSum()] += inText
  }

  private static func count(
    _ batch: RoutingBatch, _ token: Int, _ matching: [Int32]?, _ chosen: inout [Int], _ computed: inout [Int]
  ) {
    for slot in token * batch.topK..<(token + 1) * batch.topK where batch.selectedExperts[slot] >= 0 {
      let id = Int(batch.selectedExperts[slot])
      let expert = matching.map { Int($0[id]) } ?? id
      chosen[expert] += 1
      if batch.dropped?[slot] != true { computed[expert] += 1 }
    }
  }

  private mutating func addFlip(_ batches: PairedBatches, _ index: Int, _ rows: PairedRows) {
    flips += 1
    let (rowA, rowB) = (batches.firstA + index, batches.firstB + index)
    let own = batches.a.selectionMargin[rowA]
    if own.isFinite {
      flipMargins.add(own)
      if Double(own) > margin { flipsAboveMargin += 1 }
    }
    let token = batches.a.firstToken + rowA
    if flipped.count == Self.shownFlips, let last = flipped.last, last.token < token { return }
    let place = token - rows.a.tokens.firstToken
    func ids(_ batch: RoutingBatch, _ row: Int) -> [Int32] {
      batch.selectedExperts[row * batch.topK..<(row + 1) * batch.topK].filter { $0 >= 0 }
    }
    keep([
      FlippedDecision(
        router: pair.a.id, token: token, tokenB: batches.b.firstToken + rowB, text: rows.place.text,
        position: Int(rows.a.tokens.position[place]), tokenID: rows.a.tokens.tokenID[place], margin: own, a: ids(batches.a, rowA),
        b: ids(batches.b, rowB))
    ])
  }

  private mutating func addReplaced(_ batches: PairedBatches, _ index: Int) {
    let (rowA, rowB) = (batches.firstA + index, batches.firstB + index)
    let mine = batches.a.selectedExperts[rowA * batches.a.topK..<(rowA + 1) * batches.a.topK].filter { $0 >= 0 }
    let theirs = batches.b.selectedExperts[rowB * batches.b.topK..<(rowB + 1) * batches.b.topK].filter { $0 >= 0 }
      .map { expert in matching.map { $0[Int(expert)] } ?? expert }
    let (lost, come) = (mine.filter { !theirs.contains($0) }, theirs.filter { !mine.contains($0) })
    for from in lost { for to in come { replaced[Replacement(a: from, b: to), default: 0] += 1 / Double(come.count) } }
  }

  private mutating func keep(_ more: [FlippedDecision]) {
    let isInOrder = flipped.last.map { last in more.first.map { last.token < $0.token } ?? true } ?? true
    flipped += more
    if !isInOrder { flipped.sort { $0.token < $1.token } }
    flipped.removeLast(max(0, flipped.count - Self.shownFlips))
  }

  private mutating func addDivergence(_ batches: PairedBatches) {
    guard let logitsA = batches.a.logits, let logitsB = batches.b.logits else { return }
    var (placeA, placeB) = (logitsA.index(from: batches.firstA), logitsB.index(from: batches.firstB))
    for index in 0..<batches.count {
      let (rowA, rowB) = (Int32(batches.firstA + index), Int32(batches.firstB + index))
      while placeA < logitsA.rows.count, logitsA.rows[placeA] < rowA { placeA += 1 }
      while placeB < logitsB.rows.count, logitsB.rows[placeB] < rowB { placeB += 1 }
      guard placeA < logitsA.rows.count, placeB < logitsB.rows.count else { return }
      guard logitsA.rows[placeA] == rowA, logitsB.rows[placeB] == rowB, batches.areDecisions(index) else { continue }
      let (widthA, widthB) = (batches.a.expertCount, batches.b.expertCount)
      let p = RouterDistribution.probabilities(logitsA.values[placeA * widthA..<(placeA + 1) * widthA], of: pair.a.spec)
      let q = RouterDistribution.probabilities(logitsB.values[placeB * widthB..<(placeB + 1) * widthB], of: pair.b.spec)
      guard let p, let q else { continue }
      divergence.addOne(RouterDistribution.divergence(p, RouterDistribution.renamed(q, matching, experts: pair.experts)))
    }
  }

  /// - Precondition: the same pair, margin and matching.
  mutating func merge(_ other: RouterAgreement) {
    precondition(pair == other.pair && margin == other.margin && matching == other.matching, "folds of two comparisons")
    topKA = max(topKA, other.topKA)
    topKB = max(topKB, other.topKB)
    decisions += other.decisions
    oneSided += other.oneSided
    agreement += other.agreement
    sameFirst += other.sameFirst
    jaccard += other.jaccard
    divergence += other.divergence
    for expert in chosenA.indices {
      chosenA[expert] += other.chosenA[expert]
      chosenB[expert] += other.chosenB[expert]
      computedA[expert] += other.computedA[expert]
      computedB[expert] += other.computedB[expert]
      firstA[expert] += other.firstA[expert]
      firstB[expert] += other.firstB[expert]
    }
    flips += other.flips
    flipMargins.merge(other.flipMargins)
    flipsAboveMargin += other.flipsAboveMargin
    keep(other.flipped)
    byText.merge(other.byText) { mine, theirs in
      var sum = mine
      sum += theirs
      return sum
    }
    byEntropy.merge(other.byEntropy)
    replaced.merge(other.replaced, uniquingKeysWith: +)
  }
}

/// An expert of A, and the one that B chose in its place.
public struct Replacement: Hashable, Sendable {
  public var a: Int32
  public var b: Int32
}

/// Agreement of one pair of routers about other texts at equal positions: what position and load alone make alike.
struct TurnedAgreement: Sendable {
  let pair: RouterPair
  let matching: [Int32]?
  private(set) var agreement = MeanSum()

  mutating func add(_ rows: PairedRows) {
    rows.forEach(pair) { batches in
      batches.forEachDecision(matching) { _, sets in agreement.addOne(sets.agreement) }
    }
  }

  mutating func merge(_ other: TurnedAgreement) { agreement += other.agreement }

  init(_ pair: RouterPair, matching: [Int32]?) {
    self.pair = pair
    self.matching = matching
  }
}
