// One token between its logits and its decision: the columns that the router's steps read and write, and the list of the best.

/// One token on its way through the six steps.
struct RouterRow {
  var logits = UnsafeBufferPointer<Float>(start: nil, count: 0)
  /// `[experts]`: what the weights are read from.
  let scores: UnsafeMutableBufferPointer<Float>
  /// `[experts]`: what top-k compares.
  let selectionScores: UnsafeMutableBufferPointer<Float>
  /// `[experts]`: the router's distribution, for statistics.
  let probs: UnsafeMutableBufferPointer<Float>
  /// Those taken, and behind them the first that was not.
  var best: TopList
  /// `[topK]`: the experts that the token's id names; nil where they are chosen by score.
  var hashed: UnsafeBufferPointer<Int32>?
  var groupGap = Float.infinity
  /// Experts that are taken: the first of `best`.
  var taken: Int
  /// What rules have done to it.
  var changes = RowChanges()

  /// - Parameters:
  ///   - scratch: `[3, experts]`.
  ///   - best: room for those taken and one more.
  init(experts: Int, taking topK: Int, scratch: UnsafeMutableBufferPointer<Float>, best: TopList) {
    scores = UnsafeMutableBufferPointer(rebasing: scratch[0..<experts])
    selectionScores = UnsafeMutableBufferPointer(rebasing: scratch[experts..<2 * experts])
    probs = UnsafeMutableBufferPointer(rebasing: scratch[2 * experts..<3 * experts])
    taken = topK
    self.best = best
  }

  /// Experts by falling selection score, ties to the lower id.
  func ordered(_ experts: some Sequence<Int32>) -> [Int32] { TopList.ordered(experts, by: selectionScores) }

  /// Lets nothing choose what is masked.
  func mask() { for expert in changes.masked { selectionScores[Int(expert)] = -.infinity } }
}

/// How selection scores differ from those of the router by itself.
struct RowChanges {
  /// Whether the correction bias steers selection.
  var usesBias = true
  /// Experts that cannot be chosen.
  var masked: [Int32] = []
}

/// The best few of a list of scores, by falling score, ties to the lower index.
struct TopList {
  private(set) var ids: [Int32]
  private(set) var values: [Float]
  private(set) var count = 0

  init(capacity: Int) {
    ids = Array(repeating: -1, count: capacity)
    values = Array(repeating: -.infinity, count: capacity)
  }

  /// - Complexity: O(n + n capacity) at worst; one comparison per entry that does not make the list.
  mutating func fill(from scores: UnsafeMutableBufferPointer<Float>) {
    count = 0
    let capacity = ids.count
    for index in scores.indices {
      let value = scores[index].isNaN ? -.infinity : scores[index]
      if count == capacity && value <= values[capacity - 1] { continue }
      var place = count < capacity ? count : capacity - 1
      while place > 0 && values[place - 1] < value {
        values[place] = values[place - 1]
        ids[place] = ids[place - 1]
        place -= 1
      }
      values[place] = value
      ids[place] = Int32(index)
      if count < capacity { count += 1 }
    }
  }

  /// All whose score is at least `bound`, and behind them the best of the others.
  ///
  /// - Returns: how many there are.
  mutating func fill(reaching bound: Float, from scores: UnsafeMutableBufferPointer<Float>) -> Int {
    var chosen: [Int32] = []
    var next: Int?
    for index in scores.indices where !scores[index].isNaN {
      if scores[index] >= bound { chosen.append(Int32(index)) } else if next.map({ scores[index] > scores[$0] }) ?? true { next = index }
    }
    let all = Self.ordered(chosen, by: scores) + (next.map { [Int32($0)] } ?? [])
    count = min(ids.count, all.count)
    for (place, id) in all.prefix(count).enumerated() { (ids[place], values[place]) = (id, scores[Int(id)]) }
    return chosen.count
  }

  /// Only `chosen`, in the order of the list; nothing stands behind them.
  mutating func hold(_ chosen: [Int32], from scores: UnsafeMutableBufferPointer<Float>) {
    count = 0
    impose(chosen, from: scores)
  }

  /// Puts `chosen` first, in the order of the list, and the best of the others behind them.
  mutating func impose(_ chosen: [Int32], from scores: UnsafeMutableBufferPointer<Float>) {
    let others = zip(ids[..<count], values).first { !chosen.contains($0.0) }
    let order = Self.ordered(chosen, by: scores)
    count = min(ids.count, order.count + (others == nil ? 0 : 1))
    for (place, (id, value)) in (order.map { ($0, Self.value($0, scores)) } + [others].compactMap { $0 }).prefix(count).enumerated() {
      (ids[place], values[place]) = (id, value)
    }
  }

  /// Ids by falling score, ties to the lower id.
  static func ordered(_ ids: some Sequence<Int32>, by scores: UnsafeMutableBufferPointer<Float>) -> [Int32] {
    ids.sorted { (-value($0, scores), $0) < (-value($1, scores), $1) }
  }

  private static func value(_ id: Int32, _ scores: UnsafeMutableBufferPointer<Float>) -> Float {
    scores[Int(id)].isNaN ? -.infinity : scores[Int(id)]
  }

  /// Value at rank `k` minus the one after it; NaN when there is no one after it that could have been chosen.
  func gap(after k: Int) -> Float {
    guard k > 0, k < count, values[k] > -.infinity else { return .nan }
    return values[k - 1] - values[k]
  }
}
