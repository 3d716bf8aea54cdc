// Whom does a decision under rules concern? Rules may draw, replay and count by sequence, so they must know which token of which sequence
// each row is; a router that decides by itself never asks.

/// Rules at one router, with the rows of a batch that it decides about.
public struct RuledRows: Sendable {
  public let rules: BoundRules
  public let rows: DecisionRows
  /// Of each step, whether it holds for each row; nil for a step that holds for all.
  private(set) var verdicts: [[Bool]?] = []
  private(set) var capacityVerdict: [Bool]?

  public init(_ rules: BoundRules, _ rows: DecisionRows) {
    self.rules = rules
    self.rows = rows
  }

  /// Asks every condition about every row.
  ///
  /// - Parameter plain: what the router decides about the rows without rules.
  mutating func judge(_ plain: RoutingBatch) {
    judge { [rows] condition in (0..<plain.count).map { condition.passes($0, of: plain, tokens: rows.tokens) } }
  }

  /// The same for a batch of `count` whose conditions are settled beforehand.
  mutating func judge(by settled: SettledDecisions, count: Int) {
    judge { [rules, rows] condition in
      let places = settled.places(at: rules.router, under: condition.filter.text)
      return (0..<count).map { places.contains(rows.place($0)) }
    }
  }

  private mutating func judge(_ verdict: (ResolvedFilter) -> [Bool]) {
    verdicts = rules.conditions.map { $0.map(verdict) }
    capacityVerdict = rules.capacityCondition.map(verdict)
  }

  /// Whether a step holds for a row.
  func holds(_ step: Int, _ row: Int) -> Bool { verdicts.isEmpty ? true : verdicts[step]?[row] ?? true }

  /// Whether some rule is about a row, whatever it does to it.
  /// - Precondition: every condition has been asked (`Router.judged`).
  public func isAbout(_ row: Int) -> Bool {
    rules.steps.indices.contains { holds($0, row) } || (rules.capacity != nil && capacityVerdict?[row] ?? true)
  }

  /// Rows of several sequences, one behind the other, that rules of capacity count as one batch.
  ///
  /// - Precondition: every part is of the same rules, and its conditions have been asked.
  public static func together(_ parts: [(ruled: RuledRows, count: Int)]) -> RuledRows {
    precondition(!parts.isEmpty, "at least one part")
    var tokens = TokenTable()
    var keys: [UInt64] = []
    for (ruled, count) in parts {
      let range = ruled.rows.first..<ruled.rows.first + count
      tokens.append(contentsOf: ruled.rows.tokens.slice(range))
      if !ruled.rows.keys.isEmpty { keys += ruled.rows.keys[range] }
    }
    var whole = RuledRows(parts[0].ruled.rules, DecisionRows(tokens, keys: keys, isOneBatch: true))
    /// One list over all rows; a list that is not there holds for all of them, in every part.
    func joined(_ list: (RuledRows) -> [Bool]?) -> [Bool]? {
      let lists = parts.compactMap { list($0.ruled) }
      return lists.count == parts.count ? lists.flatMap(\.self) : nil
    }
    whole.verdicts = parts[0].ruled.verdicts.indices.map { step in joined { $0.verdicts[step] } }
    whole.capacityVerdict = joined(\.capacityVerdict)
    return whole
  }

  /// Rows of a batch of `count` whose shared experts are taken away; nil: of none.
  public func hiddenShared(count: Int) -> [Bool]? {
    var hidden: [Bool]?
    for (index, step) in rules.steps.enumerated() {
      guard case .sharedExperts(let isOn) = step else { continue }
      var rows = hidden ?? Array(repeating: false, count: count)
      for row in 0..<count where holds(index, row) { rows[row] = !isOn }
      hidden = rows
    }
    return hidden?.contains(true) == true ? hidden : nil
  }
}

/// The rows of a batch among the tokens of a pass.
public struct DecisionRows: Sendable {
  public let tokens: TokenTable
  /// `TextKey` of each token; empty where no rule asks for it.
  public let keys: [UInt64]
  /// Row of `tokens` that is the batch's first.
  public let first: Int
  /// Whether a rule of capacity counts over all sequences together; false: over each by itself.
  let isOneBatch: Bool

  public init(_ tokens: TokenTable, keys: [UInt64] = [], first: Int = 0, isOneBatch: Bool = false) {
    self.tokens = tokens
    self.keys = keys
    self.first = first
    self.isOneBatch = isOneBatch
  }

  /// The same tokens, for a batch that begins at another.
  public func from(_ first: Int) -> DecisionRows { DecisionRows(tokens, keys: keys, first: first) }

  func key(_ row: Int) -> UInt64? { keys.isEmpty ? nil : keys[first + row] }

  /// A number for the row's place in the run, whatever the batch and pass it came in.
  func place(_ row: Int) -> UInt64 { Self.place(sequence: tokens.sequence[first + row], position: tokens.position[first + row]) }

  static func place(sequence: Int32, position: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: sequence)) << 32 | UInt64(UInt32(bitPattern: position))
  }

  /// Rows of a batch of `count` that a rule of capacity counts together.
  func counted(count: Int) -> [Range<Int>] { isOneBatch && count > 0 ? [0..<count] : sequences(count: count) }

  /// Rows of a batch of `count`, one range for each sequence.
  func sequences(count: Int) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    for row in 1..<max(1, count + 1) where row == count || tokens.sequence[first + row] != tokens.sequence[first + start] {
      if row > start { ranges.append(start..<row) }
      start = row
    }
    return ranges
  }
}
