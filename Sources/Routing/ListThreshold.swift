// Experts that are pairs: a router scores the entries of several lists, takes from each list all that stand out, and a token's experts are the
// combinations of what it took. The lists lie one behind the other in logits, ids and weights; pairs are never written out.
// Source: Park et al. 2024 (Monet), arXiv:2412.04139, with the thresholds of the released models.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Lists of scores, each with a threshold of its own.
public struct ListThreshold: Hashable, Sendable, Codable {
  /// One list: its length, and mean and variance of its logits as they were counted in training.
  public struct ScoreList: Hashable, Sendable, Codable {
    public var count: Int
    public var mean: Float
    public var variance: Float

    public init(count: Int, mean: Float, variance: Float) {
      self.count = count
      self.mean = mean
      self.variance = variance
    }
  }

  public var lists: [ScoreList]
  /// A normalised logit has to reach it; in a list where none does, the best one is taken.
  public var threshold: Float
  /// Added to the variance.
  public var epsilon: Float

  public init(lists: [ScoreList], threshold: Float, epsilon: Float) {
    self.lists = lists
    self.threshold = threshold
    self.epsilon = epsilon
  }

  /// Entries of all lists.
  public var count: Int { lists.reduce(0) { $0 + $1.count } }

  /// The entries of each list.
  var ranges: [Range<Int>] {
    var start = 0
    return lists.map { list in
      defer { start += list.count }
      return start..<start + list.count
    }
  }

  /// The list of an entry.
  func list(of entry: Int32) -> Int { ranges.firstIndex { $0.contains(Int(entry)) } ?? 0 }

  /// Turns the logits in `scores` into what they are above the bound of their list: not below 0 for entries that are taken. What is
  /// -infinity stays so, and bounds nothing.
  func lower(_ scores: UnsafeMutableBufferPointer<Float>) {
    for (list, range) in zip(lists, ranges) {
      let slope = 1 / (list.variance + epsilon).squareRoot()
      let offset = -(list.mean * slope)
      var peak = -Float.infinity
      for e in range {
        if scores[e] == -.infinity { continue }
        scores[e] = scores[e] * slope + offset
        if scores[e] > peak { peak = scores[e] }
      }
      let bound = min(threshold, peak)
      for e in range where scores[e] > -.infinity { scores[e] -= bound }
    }
  }

  /// How far the entries of a list are from being taken or not, whichever they are: the smallest distance but for that of the best one, which
  /// is taken in any case.
  func margin(_ scores: UnsafeMutableBufferPointer<Float>) -> Float {
    var margin = Float.infinity
    for range in ranges {
      guard let best = range.max(by: { scores[$0] < scores[$1] }) else { continue }
      for e in range where e != best { margin = min(margin, abs(scores[e])) }
    }
    return margin
  }

  /// What may come of a decision whose lowered scores are known up to `tolerance`.
  func tie(_ scores: UnsafeMutableBufferPointer<Float>, within tolerance: Float) -> NearTie {
    var (certain, possible): (Set<Int32>, Set<Int32>) = ([], [])
    for range in ranges {
      let mine = range.filter { scores[$0] >= -tolerance }.map(Int32.init)
      possible.formUnion(mine)
      certain.formUnion(mine.count == 1 ? mine : mine.filter { scores[Int($0)] > tolerance })
    }
    return NearTie(certain: certain, possible: possible)
  }

  /// A softmax of each list for itself, divided by the number of lists: one distribution over all entries.
  ///
  /// - Returns: the root of the mean squared log-sum-exp of the lists.
  func distribute(_ logits: UnsafeBufferPointer<Float>, into probs: UnsafeMutableBufferPointer<Float>) -> Float {
    var squares: Float = 0
    for range in ranges {
      let own = UnsafeBufferPointer(rebasing: logits[range])
      let peak = own.max() ?? 0
      var sum: Float = 0
      for e in range {
        probs[e] = exp(logits[e] - peak)
        sum += probs[e]
      }
      for e in range { probs[e] /= sum * Float(lists.count) }
      let logSumExp = peak + log(sum)
      squares += logSumExp * logSumExp
    }
    return (squares / Float(lists.count)).squareRoot()
  }

  /// A softmax over the chosen of each list.
  ///
  /// - Parameters:
  ///   - logits: of all entries.
  ///   - chosen: entries; their weights come in `weights`.
  func weigh(_ logits: UnsafeBufferPointer<Float>, _ chosen: ArraySlice<Int32>, into weights: UnsafeMutableBufferPointer<Float>) {
    for range in ranges {
      let mine = chosen.indices.filter { range.contains(Int(chosen[$0])) }
      let peak = mine.map { logits[Int(chosen[$0])] }.max() ?? 0
      var sum: Float = 0
      for place in mine {
        let slot = place - chosen.startIndex
        weights[slot] = exp(logits[Int(chosen[place])] - peak)
        sum += weights[slot]
      }
      for place in mine { weights[place - chosen.startIndex] /= sum }
    }
  }

  /// - Throws: `RoutingError.invalidSpec`.
  func validate(experts: Int) throws {
    func require(_ holds: Bool, _ expected: String, _ found: String) throws {
      if !holds { throw RoutingError.invalidSpec(expected: expected, found: found) }
    }
    try require(!lists.isEmpty && lists.allSatisfy { $0.count > 0 }, "lists of one entry or more", "\(lists.map(\.count))")
    try require(count == experts, "lists of \(experts) entries together", "\(count)")
    try require(threshold.isFinite, "a finite threshold", "\(threshold)")
    for list in lists {
      try require(
        list.mean.isFinite && (list.variance + epsilon).isFinite && list.variance + epsilon > 0, "a finite mean and a positive variance",
        "\(list.mean), \(list.variance)")
    }
  }
}
