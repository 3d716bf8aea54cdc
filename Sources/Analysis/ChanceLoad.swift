// How uneven does pure chance leave the load after so many tokens? Few tokens cannot fall evenly on many experts, so a Gini coefficient of
// 0.3 may be what chance yields. Closed forms where there are some, seeded simulation in bounded time for the rest.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The expected shape of the load of `tokens` tokens that each take `topK` of `experts` at random.
public struct ChanceLoad: Sendable, Hashable {
  public var gini: Double
  /// Busiest expert over the mean.
  public var maxOverMean: Double
  /// Share of assignments on the busiest quarter of the experts, rounded up.
  public var coverage: Double
  /// Entropy of the load, nats.
  public var entropy: Double
  /// Mean of exp(entropy).
  public var effectiveExperts: Double
}

extension Chance {
  /// What `LoadShape` would show on average under uniform random choice; nil without tokens.
  ///
  /// - Exact: `gini` (the difference of two experts' counts is a lazy random walk) and `entropy` (an expert's count is binomial).
  /// - Simulated: the others, with a seed of their own for each (E, k, T) and about 10^6 draws of a count or less. Tokens are drawn while
  ///   there are few; where they are many, each expert's count is drawn from its binomial and the counts are spread about their own mean by
  ///   sqrt(E / (E - 1)), which gives them the variance and covariance of the true ones. Standard error about 1 %; the numbers are kept.
  /// - Between 64 tokens and the point where an expert expects 2^14 choices, simulated numbers stand at eight places an octave and are
  ///   interpolated; beyond that point the distance from an even load shrinks as 1 / sqrt(T), that of entropies as 1 / T.
  /// - Test: E 256, k 8, T 100: Gini 0.307, busiest over mean 2.88, coverage 0.433, 216 effective experts.
  public func load(tokens: Int) -> ChanceLoad? {
    guard tokens > 0 else { return nil }
    let even = ChanceLoad(
      gini: 0, maxOverMean: 1, coverage: quarter / e, entropy: log(e), effectiveExperts: e)
    guard topK < experts else { return even }
    // Counts so large that only their variance matters are those of fewer tokens, scaled.
    let most = Double(1 << 14) * e / k
    guard Double(tokens) <= most else {
      guard let found = load(tokens: Int(most)) else { return nil }
      let shrinks = (most.rounded(.down) / Double(tokens)).squareRoot()
      return ChanceLoad(
        gini: found.gini * shrinks, maxOverMean: 1 + (found.maxOverMean - 1) * shrinks,
        coverage: even.coverage + (found.coverage - even.coverage) * shrinks,
        entropy: log(e) - (log(e) - found.entropy) * shrinks * shrinks,
        effectiveExperts: e * exp(-log(e / found.effectiveExperts) * shrinks * shrinks))
    }
    let (busiest, covered, effective) = simulatedBetween(tokens)
    let entropy = expectedEntropy(tokens)
    return ChanceLoad(
      gini: expectedGini(tokens), maxOverMean: busiest, coverage: covered, entropy: entropy,
      effectiveExperts: effective ?? exp(entropy))
  }

  private var quarter: Double { Double((experts + 3) / 4) }

  /// (E - 1) E|n_1 - n_2| / (2 T k): a token moves the difference of two counts by 1, either way alike, with probability
  /// 2 k (E - k) / (E (E - 1)), so that |n_1 - n_2| is |S_M|, S a simple random walk and M binomial.
  private func expectedGini(_ tokens: Int) -> Double {
    let moves = Binomial(trials: tokens, probability: 2 * k * (e - k) / (e * (e - 1)))
    // E|S_m| is the same for m = 2j - 1 and 2j: 2j C(2j, j) / 4^j, and grows by (2j + 1) / 2j.
    var step = (moves.first + 1) / 2
    var distance =
      step > 0 ? 2 * Double(step) * exp(lgamma(Double(2 * step) + 1) - 2 * lgamma(Double(step) + 1) - Double(2 * step) * log(2)) : 0
    var mean = 0.0
    for (offset, probability) in moves.probabilities.enumerated() {
      let own = (moves.first + offset + 1) / 2
      if own > step {
        distance = step > 0 ? distance * (2 * Double(step) + 1) / (2 * Double(step)) : 1
        step = own
      }
      mean += probability * distance
    }
    return (e - 1) * mean / (2 * Double(tokens) * k)
  }

  /// ln(T k) - E / (T k) times the mean of n ln n.
  private func expectedEntropy(_ tokens: Int) -> Double {
    let f = XLogX.shared
    let count = Binomial(trials: tokens, probability: k / e)
    let total = Double(tokens) * k
    let mean = count.probabilities.enumerated().reduce(0) { $0 + $1.element * f(count.first + $1.offset) }
    return log(total) - e / total * mean
  }

  // MARK: - Simulated

  private typealias Simulated = (busiest: Double, covered: Double, effective: Double?)
  private struct Place: Hashable {
    var chance: Chance
    var tokens: Int
  }
  private static let known = Locked<[Place: Simulated]>([:])

  private func simulatedBetween(_ tokens: Int) -> Simulated {
    guard tokens > 64 else { return simulated(tokens) }
    let octaves = (8 * log2(Double(tokens) / 64)).rounded(.down)
    let low = Int((64 * exp2(octaves / 8)).rounded(.up))
    let high = Int((64 * exp2((octaves + 1) / 8)).rounded(.up))
    guard tokens > low, high > low else { return simulated(tokens == low ? low : tokens) }
    let (a, b) = (simulated(low), simulated(high))
    let way = log(Double(tokens) / Double(low)) / log(Double(high) / Double(low))
    func between(_ a: Double, _ b: Double) -> Double { a > 0 && b > 0 ? exp(log(a) + way * (log(b) - log(a))) : a + way * (b - a) }
    let even = quarter / e
    return (
      1 + between(a.busiest - 1, b.busiest - 1), even + between(a.covered - even, b.covered - even),
      a.effective.flatMap { a in b.effective.map { e * exp(-between(log(e / a), log(e / $0))) } }
    )
  }

  private func simulated(_ tokens: Int) -> Simulated {
    let place = Place(chance: self, tokens: tokens)
    if let found = Self.known.withLock({ $0[place] }) { return found }
    let seed = UInt64(experts) &* 0x1_0000_0001 ^ UInt64(topK) << 20 ^ UInt64(tokens)
    var random = SplitMix64(seed: seed)
    let assignments = tokens * topK
    let found =
      assignments <= 1 << 16 && assignments <= 16 * experts
      ? simulatedTokens(tokens, &random) : simulatedCounts(tokens, &random)
    Self.known.withLock { $0[place] = found }
    return found
  }

  /// Tokens one by one.
  private func simulatedTokens(_ tokens: Int, _ random: inout SplitMix64) -> Simulated {
    let draws = max(16, min(1000, (1 << 20) / (tokens * topK)))
    let f = XLogX.shared
    var counts = Array(repeating: 0, count: experts)
    var taken = Array(repeating: -1, count: experts)
    var touched: [Int] = []
    var levels: [Int] = []
    var sums = (busiest: 0.0, covered: 0.0, effective: 0.0)
    let total = Double(tokens * topK)
    for draw in 0..<draws {
      for token in 0..<tokens {
        // Floyd's sample of k out of E.
        for last in experts - topK..<experts {
          var expert = random.below(last + 1)
          if taken[expert] == draw * tokens + token { expert = last }
          taken[expert] = draw * tokens + token
          if counts[expert] == 0 { touched.append(expert) }
          counts[expert] += 1
        }
      }
      levels.removeAll(keepingCapacity: true)
      var joint = 0.0
      for expert in touched {
        let count = counts[expert]
        while levels.count <= count { levels.append(0) }
        levels[count] += 1
        joint += f(count)
        counts[expert] = 0
      }
      touched.removeAll(keepingCapacity: true)
      sums.busiest += Double(levels.count - 1)
      sums.covered += Double(Self.largest(Int(quarter), levels: levels, first: 0))
      sums.effective += exp(log(total) - joint / total)
    }
    let n = Double(draws)
    return (sums.busiest / n * e / total, sums.covered / n / total, sums.effective / n)
  }

  /// Counts of experts one by one.
  private func simulatedCounts(_ tokens: Int, _ random: inout SplitMix64) -> Simulated {
    let draws = max(4, min(500, (1 << 18) / experts))
    let count = Binomial(trials: tokens, probability: k / e)
    var cumulative: [Double] = []
    for probability in count.probabilities { cumulative.append((cumulative.last ?? 0) + probability) }
    var levels = Array(repeating: 0, count: cumulative.count)
    var sums = (busiest: 0.0, covered: 0.0)
    for _ in 0..<draws {
      for level in levels.indices { levels[level] = 0 }
      var sum = 0
      for _ in 0..<experts {
        let level = cumulative.firstIndex(reaching: random.unit())
        levels[level] += 1
        sum += count.first + level
      }
      let mean = Double(sum) / e
      sums.busiest += Double(count.first + (levels.lastIndex { $0 > 0 } ?? 0)) - mean
      sums.covered += Double(Self.largest(Int(quarter), levels: levels, first: count.first)) - quarter * mean
    }
    let scale = (e / (e - 1)).squareRoot() / Double(draws)
    let total = Double(tokens) * k
    return (1 + sums.busiest * scale * e / total, quarter / e + sums.covered * scale / total, nil)
  }

  /// Sum of the `number` largest counts; `levels[i]` counts are `first` + i.
  private static func largest(_ number: Int, levels: [Int], first: Int) -> Int {
    var missing = number
    var sum = 0
    for level in levels.indices.reversed() where missing > 0 {
      let here = min(missing, levels[level])
      sum += here * (first + level)
      missing -= here
    }
    return sum
  }
}

/// The probabilities of a binomial count, where they are not negligible.
struct Binomial {
  /// The count that `probabilities` begins with.
  let first: Int
  /// Sums to 1.
  let probabilities: [Double]

  /// - Complexity: O(standard deviation).
  init(trials: Int, probability: Double) {
    guard probability < 1 else {
      (first, probabilities) = (trials, [1])
      return
    }
    let odds = probability / (1 - probability)
    let mode = min(trials, Int(Double(trials + 1) * probability))
    // From the mode outward, by the ratio of neighbours, until nothing more is added.
    var below: [Double] = []
    var weight = 1.0
    var count = mode
    while count > 0 && weight > 1e-17 {
      weight *= Double(count) / (Double(trials - count + 1) * odds)
      count -= 1
      below.append(weight)
    }
    var above: [Double] = []
    weight = 1
    count = mode
    while count < trials && weight > 1e-17 {
      weight *= Double(trials - count) * odds / Double(count + 1)
      count += 1
      above.append(weight)
    }
    first = mode - below.count
    let weights = below.reversed() + [1] + above
    let sum = weights.reduce(0, +)
    probabilities = weights.map { $0 / sum }
  }
}

extension [Double] {
  /// The first place whose number reaches `value`; the last one when none does.
  /// - Precondition: rising, not empty.
  fileprivate func firstIndex(reaching value: Double) -> Int {
    var low = 0
    var high = count - 1
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < value { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
