// Does a value rise with depth, and how likely is a rank correlation at least this large when the order is chance? Counted over all orders
// where they are few.

import Routing

/// Spearman's rank correlation of values with their order; ties share the mean rank; 0 when all are equal.
///
/// - Test: rising 1, falling -1.
func spearman(_ values: [Double]) -> Double {
  let ranks = values.map { value in
    Double(values.count { $0 < value }) + Double(values.count { $0 == value } - 1) / 2
  }
  return rankCorrelation(ranks)
}

/// Pearson's correlation of ranks with 0, 1, 2, ...
private func rankCorrelation(_ ranks: [Double]) -> Double {
  let middle = Double(ranks.count - 1) / 2
  var product = 0.0
  var ranksSquared = 0.0
  var orderSquared = 0.0
  for (index, rank) in ranks.enumerated() {
    let place = Double(index) - middle
    product += place * (rank - middle)
    ranksSquared += (rank - middle) * (rank - middle)
    orderSquared += place * place
  }
  return ranksSquared > 0 ? product / (ranksSquared * orderSquared).squareRoot() : 0
}

/// Rank correlations of random orders: all of them up to 7 layers, 20,000 drawn beyond.
struct RankOrders {
  /// Rising.
  private let correlations: [Double]
  private let isDrawn: Bool

  init(count: Int, seed: UInt64) {
    var found: [Double] = []
    var ranks = (0..<count).map(Double.init)
    isDrawn = count > 7
    if isDrawn {
      var random = SplitMix64(seed: seed)
      for _ in 0..<20_000 {
        random.shuffle(&ranks)
        found.append(rankCorrelation(ranks))
      }
    } else {
      Self.permute(&ranks, count) { found.append(rankCorrelation($0)) }
    }
    correlations = found.sorted()
  }

  /// Heap's method.
  private static func permute(_ ranks: inout [Double], _ count: Int, _ body: ([Double]) -> Void) {
    if count <= 1 { return body(ranks) }
    for index in 0..<count {
      permute(&ranks, count - 1, body)
      if index < count - 1 { ranks.swapAt(count % 2 == 0 ? index : 0, count - 1) }
    }
  }

  /// Share of orders that correlate at most so; of drawn ones, with the observed order among them.
  func probability(atMost limit: Double) -> Double {
    let reaching = correlations.count { $0 <= limit + 1e-9 }
    return isDrawn ? Double(reaching + 1) / Double(correlations.count + 1) : Double(reaching) / Double(correlations.count)
  }

  /// The largest correlation that has at most this probability; below -1 when none has.
  func critical(level: Double) -> Double {
    var index = Int(level * Double(correlations.count)) - 1
    while index >= 0 && probability(atMost: correlations[index]) > level { index -= 1 }
    return index >= 0 ? correlations[index] : -2
  }
}
