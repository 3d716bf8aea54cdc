// Could paired differences as large come about if treatment and control were exchangeable? The sign of each text's difference is turned at
// random, the same texts in all rows at once, so that rows that go together are not taken for independent evidence.

import Routing

/// Two-sided tests of paired differences by turned signs.
///
/// - Precondition of the test: under the null a text's difference is as likely to have the other sign. With S texts no p falls below
///   2^(1 - S) on average, however many turns there are.
/// - Source: Fisher 1935, The Design of Experiments, section 21; the maximum over rows: Westfall and Young 1993.
/// - Test: p of symmetric noise is uniform; a planted difference is found; the maximum keeps the chance of a single false find.
public struct SignFlips: Sendable {
  public struct Verdict: Sendable, Equatable {
    /// (1 + b) / (1 + N).
    public var p: Double
    /// The same by the largest standardised difference of all rows.
    public var adjusted: Double
  }

  private let verdicts: [Verdict?]

  /// - Parameters:
  ///   - rows: `[rows][texts]`: differences, summed over a text; empty rows have no verdict and take no part. Weights are in the sums: the
  ///     statistic is |sum| over fixed numbers of tokens.
  ///   - flips: turns, N.
  public init(_ rows: [[Double]], seed: UInt64, flips: Int) {
    let texts = rows.map(\.count).max() ?? 0
    let judged = rows.indices.filter { !rows[$0].isEmpty }
    // Turned signs leave the sum of squares as it is.
    let scales = rows.map { row in row.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    // What is equal but for the order of its sum counts as equal.
    let observed = rows.map { abs($0.reduce(0, +)) * (1 - 1e-9) }
    func standard(_ value: Double, _ row: Int) -> Double { scales[row] > 0 ? value / scales[row] : 0 }
    var exceeded = Array(repeating: 0, count: rows.count)
    var exceededByMost = exceeded
    var signs = Array(repeating: 1.0, count: texts)
    for flip in 0..<flips {
      var generator = SplitMix64(seed: seed, stream: UInt64(flip))
      for text in signs.indices { signs[text] = generator.below(2) == 0 ? -1 : 1 }
      var most = 0.0
      for row in judged {
        var sum = 0.0
        for (difference, sign) in zip(rows[row], signs) { sum += difference * sign }
        if abs(sum) >= observed[row] { exceeded[row] += 1 }
        most = max(most, standard(abs(sum), row))
      }
      for row in judged where most >= standard(observed[row], row) { exceededByMost[row] += 1 }
    }
    verdicts = rows.indices.map { row in
      rows[row].isEmpty
        ? nil
        : Verdict(p: Double(1 + exceeded[row]) / Double(1 + flips), adjusted: Double(1 + exceededByMost[row]) / Double(1 + flips))
    }
  }

  public subscript(row: Int) -> Verdict? { verdicts[row] }
}
