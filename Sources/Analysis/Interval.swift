// How far an estimate may be off, over sequences: the tokens of one text are not independent, so texts are what is left out in turn.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A 95 % interval, centred on the estimate.
public struct Interval: Sendable, Hashable, Encodable {
  public var low: Double
  public var high: Double

  public init(low: Double, high: Double) {
    self.low = low
    self.high = high
  }
}

/// Delete-one-sequence jackknife.
///
/// The percentile bootstrap is not offered: for mutual information its whole interval can miss the estimate.
public enum Jackknife {
  /// Fewer sequences than this give no interval.
  public static let minimumSequences = 5

  /// - Parameters:
  ///   - estimate: from all sequences; the interval's centre.
  ///   - leftOut: the statistic without sequence i, for each i. Nil or NaN entries (statistic not defined) forbid an interval.
  ///   - freedom: degrees of freedom of the t quantile, taken as 4 when fewer; S - 1 unless given.
  /// - Returns: estimate -+ t sqrt((S-1)/S sum (leftOut - mean)^2); nil with fewer than `minimumSequences`.
  /// - Test: for a mean it is the classical t interval.
  public static func interval(estimate: Double, leftOut: [Double?], freedom: Int? = nil) -> Interval? {
    let values = leftOut.compactMap { $0 }.filter(\.isFinite)
    guard values.count == leftOut.count, values.count >= minimumSequences, estimate.isFinite else { return nil }
    let n = Double(values.count)
    let mean = values.reduce(0, +) / n
    let variance = (n - 1) / n * values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let half = studentQuantile975(freedom: max(4, freedom ?? values.count - 1)) * variance.squareRoot()
    return Interval(low: estimate - half, high: estimate + half)
  }

  /// The estimate without the part of its bias that falls as 1 / S: I - (S - 1) (mean of leftOut - I).
  ///
  /// - Returns: nil with fewer than two sequences, or where the statistic is not defined without one of them.
  /// - Source: Quenouille 1956; the jackknife estimate of bias.
  /// - Test: the divisor n of a variance becomes n - 1.
  static func centred(_ estimate: Double, leftOut: [Double?]) -> Double? {
    let values = leftOut.compactMap { $0 }.filter(\.isFinite)
    guard values.count == leftOut.count, values.count > 1 else { return nil }
    let n = Double(values.count)
    return estimate - (n - 1) * (values.reduce(0, +) / n - estimate)
  }

  /// Interval of a ratio of sums, e.g. a mean over decisions that come in sequences.
  static func interval(sums: [MeanSum]) -> Interval? {
    let total = sums.reduce(into: MeanSum()) { $0 += $1 }
    guard let mean = total.mean else { return nil }
    return interval(estimate: mean, leftOut: sums.map { (total - $0).mean })
  }

  /// 97.5 % quantile of Student's t. - Source: Abramowitz and Stegun 26.7.5; within 1 % from 4 degrees of freedom on.
  static func studentQuantile975(freedom: Int) -> Double {
    let z = 1.959963984540054
    let v = Double(freedom)
    let z3 = z * z * z
    let z5 = z3 * z * z
    let z7 = z5 * z * z
    return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v)
  }
}
