// Does a token go where the token before it went? Pairs of neighbours inside a sequence: same first choice, any expert in common,
// how many in common. Pairs never cross sequences, and do count across the borders of batches, passes and merged parts.

import Routing

/// Sums over pairs of consecutive tokens.
public struct LinkCounts: Sendable, Equatable {
  /// Pairs in which both tokens have a first choice.
  public var pairs = 0
  public var sameFirst = 0
  /// Pairs with at least one expert in common.
  public var anyShared = 0
  /// Experts in common, summed.
  public var shared = 0
  /// Experts in common over experts of either, summed.
  public var jaccard = 0.0

  public init() {}

  static func += (a: inout LinkCounts, b: LinkCounts) {
    a.pairs += b.pairs
    a.sameFirst += b.sameFirst
    a.anyShared += b.anyShared
    a.shared += b.shared
    a.jaccard += b.jaccard
  }

  static func - (a: LinkCounts, b: LinkCounts) -> LinkCounts {
    var difference = a
    difference.pairs -= b.pairs
    difference.sameFirst -= b.sameFirst
    difference.anyShared -= b.anyShared
    difference.shared -= b.shared
    difference.jaccard -= b.jaccard
    return difference
  }

  /// Chance 1/E; under the layer's own load the sum of squares of the first-choice shares.
  /// - Source: Mixtral, arXiv:2401.04088, section 5.
  public var repeatFirst: Double? { rate(Double(sameFirst)) }
  /// Chance 1 - C(E-k, k) / C(E, k). - Source: Mixtral, section 5.
  public var repeatAny: Double? { rate(Double(anyShared)) }
  /// Experts in common, 0...k. Chance k^2/E; under the layer's own load the sum of squares of the activation rates.
  public var overlap: Double? { rate(Double(shared)) }
  /// Jaccard index of the two sets, 0...1; one minus it is MoEAtlas' churn.
  public var meanJaccard: Double? { rate(jaccard) }

  private func rate(_ sum: Double) -> Double? { pairs > 0 ? sum / Double(pairs) : nil }

  mutating func addPair(_ before: ArraySlice<Int32>, _ after: ArraySlice<Int32>) {
    guard let first = before.first, let second = after.first, first >= 0, second >= 0 else { return }
    pairs += 1
    if first == second { sameFirst += 1 }
    var common = 0
    var sizes = 0
    for expert in before where expert >= 0 {
      sizes += 1
      for other in after where other == expert { common += 1 }
    }
    for expert in after where expert >= 0 { sizes += 1 }
    if common > 0 { anyShared += 1 }
    shared += common
    jaccard += Double(common) / Double(sizes - common)
  }
}

/// Pairs of consecutive tokens at one router.
///
/// Two tokens are a pair when they belong to one sequence and their positions differ by one. Each stretch of known tokens keeps its
/// first and last row, so that a pair whose tokens arrive in different batches, passes or merged parts is counted exactly once.
///
/// - Memory: per sequence 100 + 8 k bytes for each stretch; a sequence that arrives in order is one stretch. And 16 bytes an expert.
/// - Test: merging random splits, even of single tokens in any order, equals the whole.
public struct SequenceLinks: RouterFold, Equatable {
  /// Neighbouring tokens that have been seen, from the first to the last.
  private struct Stretch: Sendable, Equatable {
    var firstPosition: Int
    var lastPosition: Int
    var firstRow: [Int32]
    var lastRow: [Int32]
  }
  private struct Sequence: Sendable, Equatable {
    var counts = LinkCounts()
    /// By rising position, no two of them adjacent.
    var stretches: [Stretch] = []

    mutating func insert(_ stretch: Stretch) {
      var place = stretches.count
      while place > 0 && stretches[place - 1].firstPosition > stretch.firstPosition { place -= 1 }
      var fused = stretch
      if place < stretches.count && stretches[place].firstPosition == stretch.lastPosition + 1 {
        counts.addPair(fused.lastRow[...], stretches[place].firstRow[...])
        fused.lastPosition = stretches[place].lastPosition
        fused.lastRow = stretches[place].lastRow
        stretches.remove(at: place)
      }
      if place > 0 && stretches[place - 1].lastPosition + 1 == stretch.firstPosition {
        counts.addPair(stretches[place - 1].lastRow[...], fused.firstRow[...])
        stretches[place - 1].lastPosition = fused.lastPosition
        stretches[place - 1].lastRow = fused.lastRow
      } else {
        stretches.insert(fused, at: place)
      }
    }
  }

  public private(set) var experts = 0
  public private(set) var topK = 0
  public private(set) var tokens = 0
  private var sequences: [Int32: Sequence] = [:]
  /// `[experts]`: first choices, and all choices.
  private var firstChoices: [Int] = []
  private var choices: [Int] = []

  public init() {}

  public mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) {
    grow(experts: batch.expertCount, topK: batch.topK)
    tokens += batch.count
    let k = batch.topK
    let rows = batch.rows(in: table)
    func row(_ token: Int) -> ArraySlice<Int32> { batch.selectedExperts[token * k..<(token + 1) * k] }
    var start = 0
    while start < batch.count {
      let sequence = table.sequence[rows.lowerBound + start]
      let firstPosition = Int(table.position[rows.lowerBound + start])
      var counts = LinkCounts()
      var end = start + 1
      while end < batch.count, table.sequence[rows.lowerBound + end] == sequence,
        Int(table.position[rows.lowerBound + end]) == firstPosition + end - start
      {
        counts.addPair(row(end - 1), row(end))
        end += 1
      }
      sequences[sequence, default: Sequence()].counts += counts
      sequences[sequence, default: Sequence()].insert(
        Stretch(
          firstPosition: firstPosition, lastPosition: firstPosition + end - start - 1, firstRow: Array(row(start)),
          lastRow: Array(row(end - 1))))
      start = end
    }
    for token in 0..<batch.count where k > 0 {
      let first = batch.selectedExperts[token * k]
      if first >= 0 { firstChoices[Int(first)] += 1 }
    }
    for expert in batch.selectedExperts where expert >= 0 { choices[Int(expert)] += 1 }
  }

  public mutating func merge(_ other: SequenceLinks) {
    grow(experts: other.experts, topK: other.topK)
    tokens += other.tokens
    for (id, sequence) in other.sequences {
      sequences[id, default: Sequence()].counts += sequence.counts
      for stretch in sequence.stretches { sequences[id, default: Sequence()].insert(stretch) }
    }
    for expert in other.choices.indices {
      firstChoices[expert] += other.firstChoices[expert]
      choices[expert] += other.choices[expert]
    }
  }

  private mutating func grow(experts count: Int, topK slots: Int) {
    topK = max(topK, slots)
    guard count > experts else { return }
    firstChoices += Array(repeating: 0, count: count - experts)
    choices += Array(repeating: 0, count: count - experts)
    experts = count
  }

  public func result() -> LinkCounts { total }

  public var total: LinkCounts { sequences.sorted { $0.key < $1.key }.reduce(into: LinkCounts()) { $0 += $1.value.counts } }
  /// Counts of each sequence, by its index in the run.
  public var bySequence: [Int: LinkCounts] {
    Dictionary(uniqueKeysWithValues: sequences.map { (Int($0.key), $0.value.counts) })
  }

  /// Chance of the same first choice if every token drew it for itself from the layer's own first choices: sum f_e^2 >= 1/E.
  public var repeatFirstUnderOwnLoad: Double? {
    normalized(firstChoices.map(Double.init)).map { $0.reduce(0) { $0 + $1 * $1 } }
  }

  /// Expected overlap if every token drew for itself with the layer's own activation rates: sum a_e^2 >= k^2/E.
  public var overlapUnderOwnLoad: Double? {
    tokens > 0 ? choices.reduce(0) { $0 + (Double($1) / Double(tokens)) * (Double($1) / Double(tokens)) } : nil
  }
}
