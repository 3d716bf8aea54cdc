// What does an expert take? Tokens that choose it more often than all tokens do, beside the largest such ratio that comes about when its
// choices are shifted along each text: a rare token reaches a large ratio by chance, and of many tokens some will.

import Routing

/// Tokens by how much more often they choose one expert than tokens do on the whole.
public struct ExpertTokens: Sendable {
  /// One entry of the vocabulary.
  public struct Preference: Sendable, Equatable {
    public var tokenID: Int32
    /// Decisions about this token, and those that chose the expert.
    public var count: Int
    public var taken: Int
    /// Share of the token's decisions over that of all decisions.
    public var lift: Double
    /// 95 %, over texts; nil where the token is in fewer than five.
    public var interval: Interval?
    /// By the largest lift of all tokens under the null.
    public var adjustedP: Double

    public var share: Double { Double(taken) / Double(max(1, count)) }
  }

  /// Occurrences that a token needs to be shown.
  public static let least = 20

  public let decisions: Int
  /// Decisions that chose the expert.
  public let taken: Int
  /// By falling lift, ties by falling count; of tokens that occur `least` times and chose the expert.
  public let preferences: [Preference]
  /// Entries of the vocabulary that occur less often and are left out.
  public let rare: Int
  /// The lift that the largest of all tokens exceeds in 5 % of the draws; nil without draws or without a token to judge.
  public let chanceLift: Double?
  public let draws: Int

  /// - Parameters:
  ///   - batch: decisions of the router whose expert this is.
  ///   - table: the rows that they are about, `rows(in:)` of them.
  ///   - most: preferences kept.
  ///   - isWanted: asked between draws; when it says no, what is there is returned.
  /// - Test: a planted token is found, p of a router that draws at random is uniform.
  public init(
    _ expert: Int, of batch: RoutingBatch, tokens table: TokenTable, most: Int = 24, settings: NullSettings, isWanted: () -> Bool = { true }
  ) {
    let rows = ExpertRows(expert, of: batch, tokens: table)
    var counts: [Int32: (count: Int, taken: Int)] = [:]
    for row in rows.ids.indices { counts[rows.ids[row], default: (0, 0)].count += 1 }
    for row in rows.ids.indices where rows.isTaken[row] { counts[rows.ids[row], default: (0, 0)].taken += 1 }
    let frequent = counts.filter { $0.value.count >= Self.least }.keys.sorted()
    (decisions, taken, rare) = (rows.ids.count, rows.isTaken.count { $0 }, counts.count - frequent.count)
    let rate = Double(taken) / Double(max(1, decisions))
    func lift(_ taken: Int, _ count: Int) -> Double { rate > 0 ? Double(taken) / Double(count) / rate : 0 }
    let places = Dictionary(uniqueKeysWithValues: frequent.enumerated().map { ($1, Int32($0)) })
    let columns = rows.ids.map { places[$0] ?? -1 }
    let sizes = frequent.map { counts[$0]?.count ?? 1 }
    var largest: [Double] = []
    for draw in 0..<(taken > 0 && !frequent.isEmpty ? settings.draws : 0) where isWanted() {
      let shifted = rows.shifted(columns, width: frequent.count, seed: settings.seed, draw: draw)
      largest.append(zip(shifted, sizes).reduce(0) { max($0, lift($1.0, $1.1)) })
    }
    largest.sort()
    draws = largest.count
    chanceLift = largest.isEmpty ? nil : largest[min(largest.count - 1, largest.count * 95 / 100)]
    let found = frequent.compactMap { id -> Preference? in
      guard let (count, taken) = counts[id], taken > 0 else { return nil }
      let value = lift(taken, count)
      // What is equal but for rounding counts as equal.
      let above = largest.count { $0 >= value * (1 - 1e-9) }
      return Preference(
        tokenID: id, count: count, taken: taken, lift: value, interval: nil, adjustedP: Double(1 + above) / Double(1 + largest.count))
    }
    // Of tokens that always choose it the most frequent say most.
    let shown = found.sorted { ($1.lift, $1.count, $0.tokenID) < ($0.lift, $0.count, $1.tokenID) }.prefix(most)
    let texts = rows.sums(of: Set(shown.map(\.tokenID)))
    preferences = shown.map { preference in
      var preference = preference
      preference.interval = texts[preference.tokenID].flatMap { Jackknife.interval(sums: $0) }.map {
        Interval(low: max(0, $0.low) / rate, high: $0.high / rate)
      }
      return preference
    }
  }
}

/// The decisions of one router as one expert sees them.
private struct ExpertRows {
  /// `[decisions]`: token, text, and whether the expert was chosen.
  var ids: [Int32] = []
  private var texts: [Int32] = []
  var isTaken: [Bool] = []

  init(_ expert: Int, of batch: RoutingBatch, tokens table: TokenTable) {
    let offset = batch.rows(in: table).lowerBound
    for token in 0..<batch.count {
      let chosen = batch.selectedExperts[token * batch.topK..<(token + 1) * batch.topK]
      guard chosen.contains(where: { $0 >= 0 }) else { continue }
      ids.append(table.tokenID[offset + token])
      texts.append(table.sequence[offset + token])
      isTaken.append(chosen.contains(Int32(expert)))
    }
  }

  /// Choices of each column's tokens after the expert's choices went round each text by a step of its own.
  ///
  /// - Parameter columns: `[decisions]`; -1 is not counted.
  func shifted(_ columns: [Int32], width: Int, seed: UInt64, draw: Int) -> [Int] {
    var counts = Array(repeating: 0, count: width)
    var random = SplitMix64(seed: seed, stream: UInt64(draw))
    var start = 0
    while start < ids.count {
      var end = start + 1
      while end < ids.count, texts[end] == texts[start] { end += 1 }
      let length = end - start
      let step = random.below(length)
      for place in 0..<length where isTaken[start + place] {
        let column = columns[start + (place + step) % length]
        if column >= 0 { counts[Int(column)] += 1 }
      }
      start = end
    }
    return counts
  }

  /// Choices and occurrences of some tokens, text by text.
  func sums(of wanted: Set<Int32>) -> [Int32: [MeanSum]] {
    var sums: [Int32: [Int32: MeanSum]] = [:]
    for row in ids.indices where wanted.contains(ids[row]) {
      sums[ids[row], default: [:]][texts[row], default: MeanSum()].addOne(isTaken[row] ? 1 : 0)
    }
    return sums.mapValues { texts in texts.sorted { $0.key < $1.key }.map(\.value) }
  }
}
