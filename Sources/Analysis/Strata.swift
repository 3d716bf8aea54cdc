// Where every comparison between texts and places starts: sums kept apart by sequence and by stretch of positions. The stretches
// double in length, so there are few of them, they are the same in every run, and cutting all sequences to a common length is a
// matter of leaving the later ones out. Labels are only needed when results are asked for.

import Routing

/// Positions 0, 1, 2-3, 4-7, 8-15, ...: the cells of the position axis.
///
/// Fixed rather than equally filled, because cells must mean the same in every run and in every part that is merged, and because
/// what is special about positions sits at the start (the first token above all), where equal filling would hide it.
public struct PositionBin: RawRepresentable, Hashable, Comparable, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  /// The bin of a position; negative positions count as 0.
  public init(position: Int) { rawValue = position <= 0 ? 0 : Int.bitWidth - position.leadingZeroBitCount }

  public var positions: Range<Int> { rawValue == 0 ? 0..<1 : 1 << (rawValue - 1)..<1 << rawValue }
  /// `0`, `1`, `2-3`, `4-7`, ...
  public var name: String { positions.count == 1 ? "\(positions.lowerBound)" : "\(positions.lowerBound)-\(positions.upperBound - 1)" }
  public static func < (a: PositionBin, b: PositionBin) -> Bool { a.rawValue < b.rawValue }
}

/// One sequence, one bin of positions.
public struct Stratum: Hashable, Comparable, Sendable {
  public var sequence: Int
  public var bin: PositionBin

  public static func < (a: Stratum, b: Stratum) -> Bool { (a.sequence, a.bin) < (b.sequence, b.bin) }
}

/// How often each expert was chosen, dense or sparse, whichever is smaller.
public struct ExpertTally: Sendable, Equatable {
  private var dense: [UInt32] = []
  private var sparse: [Int32: UInt32] = [:]
  private var experts: Int

  init(experts: Int) { self.experts = experts }

  mutating func add(_ expert: Int32, count: UInt32 = 1) {
    if !dense.isEmpty {
      dense[Int(expert)] += count
      return
    }
    sparse[expert, default: 0] += count
    if 4 * sparse.count > experts { makeDense(experts) }
  }

  mutating func merge(_ other: ExpertTally) {
    if other.experts > experts {
      experts = other.experts
      if !dense.isEmpty { dense += Array(repeating: 0, count: experts - dense.count) }
    }
    other.forEach { add(Int32($0), count: $1) }
  }

  private mutating func makeDense(_ count: Int) {
    dense = Array(repeating: 0, count: count)
    for (expert, count) in sparse { dense[Int(expert)] = count }
    sparse = [:]
  }

  subscript(expert: Int) -> UInt32 { dense.isEmpty ? sparse[Int32(expert)] ?? 0 : dense[expert] }

  /// Visits experts with a count, in no stated order.
  public func forEach(_ body: (_ expert: Int, _ count: UInt32) -> Void) {
    for expert in dense.indices where dense[expert] > 0 { body(expert, dense[expert]) }
    for (expert, count) in sparse { body(Int(expert), count) }
  }

  public static func == (a: ExpertTally, b: ExpertTally) -> Bool { a.entries == b.entries }
  private var entries: [Int: UInt32] {
    var result: [Int: UInt32] = [:]
    forEach { result[$0] = $1 }
    return result
  }
}

/// Choices of one router by sequence, bin and expert. Choices that capacity dropped are kept apart: load is what experts computed, along
/// every axis and in every interval, while specialization asks what the router prefers.
///
/// - Memory: per stratum the smaller of 4 E bytes and about 24 bytes a visited expert; a sequence of length L has log2(L) + 2 strata.
///   256 sequences of 400 tokens, 64 experts: at most 0.6 MiB a router.
public struct StratumCounts: RouterFold, Equatable {
  public struct Row: Sendable, Equatable {
    public var tokens = 0
    /// What the router chose, dropped choices included.
    public var choices: ExpertTally
    /// Choices that capacity dropped; nil while there is none.
    public var dropped: ExpertTally?

    /// Visits the experts that computed something, with how often, in no stated order.
    public func forEachComputed(_ body: (_ expert: Int, _ count: Int) -> Void) {
      choices.forEach { expert, chosen in
        let computed = Int(chosen) - Int(dropped?[expert] ?? 0)
        if computed > 0 { body(expert, computed) }
      }
    }
  }

  public private(set) var experts = 0
  public private(set) var topK = 0
  public private(set) var rows: [Stratum: Row] = [:]

  public init() {}

  public mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) {
    experts = max(experts, batch.expertCount)
    topK = max(topK, batch.topK)
    let experts = experts
    forEachStratum(of: batch, in: table) { stratum, tokens in
      rows[stratum, default: Row(choices: ExpertTally(experts: experts))].add(batch, tokens: tokens, experts: experts)
    }
  }

  public mutating func merge(_ other: StratumCounts) {
    experts = max(experts, other.experts)
    topK = max(topK, other.topK)
    for (stratum, row) in other.rows {
      rows[stratum, default: Row(choices: ExpertTally(experts: other.experts))].merge(row)
    }
  }

  public func result() -> StratumCounts { self }
}

extension StratumCounts.Row {
  fileprivate mutating func add(_ batch: RoutingBatch, tokens range: Range<Int>, experts: Int) {
    tokens += range.count
    for slot in range.lowerBound * batch.topK..<range.upperBound * batch.topK {
      let expert = batch.selectedExperts[slot]
      guard expert >= 0 else { continue }
      choices.add(expert)
      if batch.dropped?[slot] == true {
        if dropped == nil { dropped = ExpertTally(experts: experts) }
        dropped?.add(expert)
      }
    }
  }

  fileprivate mutating func merge(_ other: StratumCounts.Row) {
    tokens += other.tokens
    choices.merge(other.choices)
    guard let more = other.dropped else { return }
    if dropped == nil { dropped = more } else { dropped?.merge(more) }
  }
}

/// Calls `body` for each run of neighbouring rows of the batch that lie in one stratum.
func forEachStratum(of batch: RoutingBatch, in table: TokenTable, _ body: (Stratum, Range<Int>) -> Void) {
  let offset = batch.rows(in: table).lowerBound
  func stratum(_ token: Int) -> Stratum {
    Stratum(sequence: Int(table.sequence[offset + token]), bin: PositionBin(position: Int(table.position[offset + token])))
  }
  var start = 0
  while start < batch.count {
    let here = stratum(start)
    var end = start + 1
    while end < batch.count && stratum(end) == here { end += 1 }
    body(here, start..<end)
    start = end
  }
}

/// A statistic of single decisions, summed.
public struct MeanSum: Sendable, Equatable {
  public var count = 0
  public var sum = 0.0

  public init() {}

  init(count: Int, sum: Double) { (self.count, self.sum) = (count, sum) }

  mutating func add(_ value: Float) {
    guard value.isFinite else { return }
    addOne(Double(value))
  }

  /// - Precondition: `value` is finite.
  mutating func addOne(_ value: Double) {
    count += 1
    sum += value
  }

  static func += (a: inout MeanSum, b: MeanSum) {
    a.count += b.count
    a.sum += b.sum
  }

  static func - (a: MeanSum, b: MeanSum) -> MeanSum {
    var difference = a
    difference.count -= b.count
    difference.sum -= b.sum
    return difference
  }

  public var mean: Double? { count > 0 ? sum / Double(count) : nil }
}

/// Sums of the uncertainty statistics of one router by sequence and bin, for means along an axis and for intervals over sequences.
///
/// - Memory: 120 bytes a stratum.
public struct StratumMeans: RouterFold, Equatable {
  public struct Row: Sendable, Equatable {
    public var entropy = MeanSum()
    public var entropyNats = MeanSum()
    public var top1Margin = MeanSum()
    public var selectionMargin = MeanSum()
    public var topKMass = MeanSum()
    /// 1 for each decision over the threshold, 0 for each other whose entropy is known; empty without a threshold.
    public var uncertain = MeanSum()

    public init() {}

    static func += (a: inout Row, b: Row) {
      a.entropy += b.entropy
      a.entropyNats += b.entropyNats
      a.top1Margin += b.top1Margin
      a.selectionMargin += b.selectionMargin
      a.topKMass += b.topKMass
      a.uncertain += b.uncertain
    }
  }

  public private(set) var rows: [Stratum: Row] = [:]
  private let threshold: ResolvedThreshold?
  private let form: EntropyForm

  /// - Parameter threshold: nil leaves the uncertain share out (a quantile that is not known yet).
  public init(threshold: ResolvedThreshold?, form: EntropyForm = .standard) {
    self.threshold = threshold
    self.form = form
  }

  public mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) {
    let entropies = form.entropies(of: batch)
    forEachStratum(of: batch, in: table) { stratum, tokens in
      var row = Row()
      for token in tokens {
        let share = normalizedEntropy(entropies[token], experts: batch.expertCount)
        row.entropy.add(share)
        row.entropyNats.add(entropies[token])
        row.top1Margin.add(batch.top1Margin[token])
        row.selectionMargin.add(batch.selectionMargin[token])
        row.topKMass.add(batch.topKMass[token])
        if let threshold, share.isFinite {
          row.uncertain.add(threshold.isUncertain(nats: entropies[token], normalized: share) ? 1 : 0)
        }
      }
      rows[stratum, default: Row()] += row
    }
  }

  public mutating func merge(_ other: StratumMeans) {
    precondition(threshold == other.threshold && form == other.form, "folds of two thresholds")
    for (stratum, row) in other.rows { rows[stratum, default: Row()] += row }
  }

  public func result() -> StratumMeans { self }
}

extension StratumCounts: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    let strata = rows.keys.sorted()
    let kept = strata.compactMap { rows[$0] }
    columns.set("shape", .numbers([experts, topK]))
    Stratum.save(strata, &columns)
    columns.set("tokens", .numbers(kept.map(\.tokens)))
    ExpertTally.save(kept.map(\.choices), "choices", &columns)
    ExpertTally.save(kept.map { $0.dropped ?? ExpertTally(experts: experts) }, "dropped", &columns)
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let shape = try columns.numbers("shape", 2)
    try columns.shape(shape[0], shape[1])
    (experts, topK) = (shape[0], shape[1])
    let strata = try Stratum.loaded(columns)
    let tokens = try columns.numbers("tokens", strata.count)
    let choices = try ExpertTally.loaded("choices", strata.count, experts: experts, columns)
    let dropped = try ExpertTally.loaded("dropped", strata.count, experts: experts, columns)
    for (place, stratum) in strata.enumerated() {
      var row = Row(choices: choices[place])
      row.tokens = tokens[place]
      dropped[place].forEach { _, _ in row.dropped = dropped[place] }
      rows[stratum] = row
    }
  }
}

extension StratumMeans: ColumnFold {
  private static let names = ["entropy", "nats", "top1", "selection", "mass", "uncertain"]
  private static func sums(_ row: Row) -> [MeanSum] {
    [row.entropy, row.entropyNats, row.top1Margin, row.selectionMargin, row.topKMass, row.uncertain]
  }

  func save(_ columns: inout FoldColumns) {
    let strata = rows.keys.sorted()
    let kept = strata.compactMap { rows[$0].map(Self.sums) }
    Stratum.save(strata, &columns)
    for (place, name) in Self.names.enumerated() { kept.map { $0[place] }.save(name, &columns) }
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let strata = try Stratum.loaded(columns)
    let sums = try Self.names.map { (name) throws(FoldColumnError) in try [MeanSum].loaded(name, strata.count, columns) }
    for (place, stratum) in strata.enumerated() {
      var row = Row()
      (row.entropy, row.entropyNats, row.top1Margin) = (sums[0][place], sums[1][place], sums[2][place])
      (row.selectionMargin, row.topKMass, row.uncertain) = (sums[3][place], sums[4][place], sums[5][place])
      rows[stratum] = row
    }
  }
}
