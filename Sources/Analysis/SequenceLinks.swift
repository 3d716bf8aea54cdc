// Does a token go where the token before it went? Pairs of neighbours inside a sequence: same first choice, any expert in common,
// how many in common. Pairs never cross sequences, and do count across the borders of batches, passes and merged parts. Beside them
// stands what two tokens of the same text have in common wherever they stand: a text repeats its words, and neighbours are only alike as
// neighbours where they agree more often than that.

import Routing

/// What pairs of consecutive tokens would have in common if they were any two tokens of their text, summed over the pairs.
public struct LinkChance: Sendable, Equatable {
  public var pairs = 0
  public var sameFirst = 0.0
  public var shared = 0.0
  public var anyShared = 0.0
  public var jaccard = 0.0

  public init() {}

  static func += (a: inout LinkChance, b: LinkChance) {
    a.pairs += b.pairs
    a.sameFirst += b.sameFirst
    a.shared += b.shared
    a.anyShared += b.anyShared
    a.jaccard += b.jaccard
  }
}

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
/// Chance inside a text needs the text's own load: how often each expert was first choice, and chosen at all. Any expert in common and the
/// Jaccard index depend on whole sets, of which `setsPerSequence` are kept where asked for: those whose positions have the smallest hashes, which
/// any split and any order of arrival agrees on.
///
/// - Memory: per sequence 100 + 8 k bytes for each stretch; a sequence that arrives in order is one stretch. Two tallies a sequence, each the
///   smaller of 4 E bytes and about 24 a visited expert; with sets 8 + 4 k bytes for each set kept. And 16 bytes an expert.
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
    /// Tokens with a first choice.
    var tokens = 0
    var firsts: ExpertTally
    var choices: ExpertTally
    /// By rising hash of their positions.
    var sets: [(hash: UInt64, row: [Int32])] = []

    init(experts: Int) {
      firsts = ExpertTally(experts: experts)
      choices = ExpertTally(experts: experts)
    }

    static func == (a: Sequence, b: Sequence) -> Bool {
      a.counts == b.counts && a.stretches == b.stretches && a.tokens == b.tokens && a.firsts == b.firsts && a.choices == b.choices
        && a.sets.elementsEqual(b.sets) { $0 == $1 }
    }

    mutating func tally(_ row: ArraySlice<Int32>) {
      guard let first = row.first, first >= 0 else { return }
      tokens += 1
      firsts.add(first)
      for expert in row where expert >= 0 { choices.add(expert) }
    }

    mutating func keep(_ row: ArraySlice<Int32>, hash: UInt64) {
      guard let first = row.first, first >= 0 else { return }
      if sets.count == SequenceLinks.setsPerSequence {
        guard let last = sets.last, hash < last.hash else { return }
        sets.removeLast()
      }
      let place = sets.firstIndex { $0.hash > hash } ?? sets.count
      sets.insert((hash, Array(row)), at: place)
    }

    /// The pairs of the sequence as if drawn from all pairs of its tokens, without the pairs of a token with itself.
    var chance: LinkChance {
      var chance = LinkChance()
      guard counts.pairs > 0, tokens > 1 else { return chance }
      chance.pairs = counts.pairs
      let scale = Double(counts.pairs) / (Double(tokens) * Double(tokens - 1))
      func agreeing(_ tally: ExpertTally) -> Double {
        var sum = 0
        tally.forEach { sum += Int($1) * (Int($1) - 1) }
        return Double(sum)
      }
      chance.sameFirst = agreeing(firsts) * scale
      chance.shared = agreeing(choices) * scale
      guard sets.count > 1 else { return chance }
      var pairs = LinkCounts()
      for (index, set) in sets.enumerated() { for other in sets[(index + 1)...] { pairs.addPair(set.row[...], other.row[...]) } }
      chance.anyShared = (pairs.repeatAny ?? 0) * Double(counts.pairs)
      chance.jaccard = (pairs.meanJaccard ?? 0) * Double(counts.pairs)
      return chance
    }

    mutating func add(_ pairs: LinkCounts, _ stretch: Stretch, rows: ArraySlice<Int32>, topK: Int, keepsSets: Bool) {
      counts += pairs
      insert(stretch)
      guard topK > 0 else { return }
      for (offset, start) in stride(from: rows.startIndex, to: rows.endIndex, by: topK).enumerated() {
        tally(rows[start..<start + topK])
        guard keepsSets else { continue }
        var random = SplitMix64(seed: UInt64(bitPattern: Int64(stretch.firstPosition + offset)))
        keep(rows[start..<start + topK], hash: random.next())
      }
    }

    mutating func merge(_ other: Sequence) {
      counts += other.counts
      for stretch in other.stretches { insert(stretch) }
      tokens += other.tokens
      firsts.merge(other.firsts)
      choices.merge(other.choices)
      for set in other.sets { keep(set.row[...], hash: set.hash) }
    }

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

  private let keepsSets: Bool

  /// Sets of a sequence kept at most: 2,016 pairs.
  private static let setsPerSequence = 64

  /// - Parameter keepsSets: whether the chance inside a text of any shared expert and of the Jaccard index will be asked for.
  public init(keepsSets: Bool = false) { self.keepsSets = keepsSets }

  public mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) {
    grow(experts: batch.expertCount, topK: batch.topK)
    let experts = experts
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
      let stretch = Stretch(
        firstPosition: firstPosition, lastPosition: firstPosition + end - start - 1, firstRow: Array(row(start)),
        lastRow: Array(row(end - 1)))
      sequences[sequence, default: Sequence(experts: experts)].add(
        counts, stretch, rows: batch.selectedExperts[start * k..<end * k], topK: k, keepsSets: keepsSets)
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
      sequences[id, default: Sequence(experts: other.experts)].merge(sequence)
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

  /// Chance inside each sequence, by its index in the run; summed over sequences it weighs them by their pairs.
  public var chanceBySequence: [Int: LinkChance] {
    Dictionary(uniqueKeysWithValues: sequences.map { (Int($0.key), $0.value.chance) })
  }

  /// Experts that any two tokens of the same text have in common, each text weighted by its pairs; nil without a pair.
  public var overlapWithinText: Double? {
    let chance = chanceBySequence.sorted { $0.key < $1.key }.reduce(into: LinkChance()) { $0 += $1.value }
    return chance.pairs > 0 ? chance.shared / Double(chance.pairs) : nil
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

extension SequenceLinks: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    let numbers = sequences.keys.sorted()
    let kept = numbers.compactMap { sequences[$0] }
    let pairs = kept.map(\.counts)
    columns.set("shape", .numbers([experts, topK, tokens]))
    columns.set("first", .numbers(firstChoices))
    columns.set("all", .numbers(choices))
    columns.set("sequence", .ids(numbers))
    columns.set("tokens", .numbers(kept.map(\.tokens)))
    columns.set("pairs", .numbers(pairs.flatMap { [$0.pairs, $0.sameFirst, $0.anyShared, $0.shared] }))
    columns.set("jaccard", .reals(pairs.map(\.jaccard)))
    ExpertTally.save(kept.map(\.firsts), "firsts", &columns)
    ExpertTally.save(kept.map(\.choices), "choices", &columns)
    let stretches = kept.flatMap(\.stretches)
    columns.set("stretches", .counts(kept.map { UInt32($0.stretches.count) }))
    columns.set("bounds", .numbers(stretches.flatMap { [$0.firstPosition, $0.lastPosition] }))
    columns.set("ends", .ids(stretches.flatMap { $0.firstRow + $0.lastRow }))
    let sets = kept.flatMap(\.sets)
    columns.set("sets", .counts(kept.map { UInt32($0.sets.count) }))
    columns.set("hash", .numbers(sets.flatMap { [Int($0.hash >> 32), Int($0.hash & 0xFFFF_FFFF)] }))
    columns.set("set", .ids(sets.flatMap(\.row)))
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let shape = try columns.numbers("shape", 3)
    try columns.shape(shape[0], shape[1])
    (experts, topK, tokens) = (shape[0], shape[1], shape[2])
    firstChoices = try columns.numbers("first", experts)
    choices = try columns.numbers("all", experts)
    let numbers = try columns.sequences("sequence")
    if Set(numbers).count < numbers.count { throw columns.error("sequence", expected: "each once", found: "one twice") }
    let own = try columns.numbers("tokens", numbers.count)
    let pairs = try columns.numbers("pairs", 4 * numbers.count)
    let jaccard = try columns.reals("jaccard", numbers.count)
    let firsts = try ExpertTally.loaded("firsts", numbers.count, experts: experts, columns)
    let all = try ExpertTally.loaded("choices", numbers.count, experts: experts, columns)
    var stretches = try self.stretches(columns, numbers.count)
    var sets = try self.sets(columns, numbers.count)
    for (place, number) in numbers.enumerated() {
      var sequence = Sequence(experts: experts)
      sequence.counts.pairs = pairs[4 * place]
      sequence.counts.sameFirst = pairs[4 * place + 1]
      sequence.counts.anyShared = pairs[4 * place + 2]
      sequence.counts.shared = pairs[4 * place + 3]
      sequence.counts.jaccard = jaccard[place]
      (sequence.tokens, sequence.firsts, sequence.choices) = (own[place], firsts[place], all[place])
      (sequence.stretches, sequence.sets) = (stretches.removeFirst(), sets.removeFirst())
      sequences[Int32(number)] = sequence
    }
  }

  private func stretches(_ columns: FoldReader, _ count: Int) throws(FoldColumnError) -> ArraySlice<[Stretch]> {
    let lengths = try columns.counts("stretches", count)
    let total = lengths.reduce(0) { $0 + Int($1) }
    let bounds = try columns.numbers("bounds", 2 * total)
    let ends = try columns.ids("ends", 2 * total * topK, in: -1...Int32(max(0, experts - 1)))
    var next = 0
    return lengths.map { length in
      (0..<Int(length)).map { _ in
        defer { next += 1 }
        let rows = ends[2 * next * topK..<2 * (next + 1) * topK]
        return Stretch(
          firstPosition: bounds[2 * next], lastPosition: bounds[2 * next + 1], firstRow: Array(rows.prefix(topK)),
          lastRow: Array(rows.suffix(topK)))
      }
    }[...]
  }

  private func sets(_ columns: FoldReader, _ count: Int) throws(FoldColumnError) -> ArraySlice<[(hash: UInt64, row: [Int32])]> {
    let lengths = try columns.counts("sets", count)
    if let most = lengths.max(), most > Self.setsPerSequence {
      throw columns.error("sets", expected: "at most \(Self.setsPerSequence) a sequence", found: "\(most)")
    }
    let total = lengths.reduce(0) { $0 + Int($1) }
    let hashes = try columns.numbers("hash", 2 * total)
    let rows = try columns.ids("set", total * topK, in: -1...Int32(max(0, experts - 1)))
    var next = 0
    return lengths.map { length in
      (0..<Int(length)).map { _ in
        defer { next += 1 }
        return (
          UInt64(hashes[2 * next]) << 32 | UInt64(hashes[2 * next + 1] & 0xFFFF_FFFF), Array(rows[next * topK..<(next + 1) * topK])
        )
      }
    }[...]
  }
}
