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
    func verdict(_ condition: ResolvedFilter?) -> [Bool]? {
      condition.map { condition in (0..<plain.count).map { condition.passes($0, of: plain, tokens: rows.tokens) } }
    }
    verdicts = rules.conditions.map(verdict)
    capacityVerdict = verdict(rules.capacityCondition)
  }

  /// Whether a step holds for a row.
  func holds(_ step: Int, _ row: Int) -> Bool { verdicts.isEmpty ? true : verdicts[step]?[row] ?? true }

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

  public init(_ tokens: TokenTable, keys: [UInt64] = [], first: Int = 0) {
    self.tokens = tokens
    self.keys = keys
    self.first = first
  }

  /// The same tokens, for a batch that begins at another.
  public func from(_ first: Int) -> DecisionRows { DecisionRows(tokens, keys: keys, first: first) }

  func key(_ row: Int) -> UInt64? { keys.isEmpty ? nil : keys[first + row] }

  /// A number for the row's place in the run, whatever the batch and pass it came in.
  func place(_ row: Int) -> UInt64 {
    UInt64(UInt32(bitPattern: tokens.sequence[first + row])) << 32 | UInt64(UInt32(bitPattern: tokens.position[first + row]))
  }

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
