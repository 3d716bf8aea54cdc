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
  ///   - freedom: degrees of freedom of the t quantile, whole or not; S - 1 unless given.
  /// - Returns: estimate -+ t sqrt((S-1)/S sum (leftOut - mean)^2); nil with fewer than `minimumSequences` or less than one degree of
  ///   freedom.
  /// - Test: for a mean it is the classical t interval.
  public static func interval(estimate: Double, leftOut: [Double?], freedom: Double? = nil) -> Interval? {
    let values = leftOut.compactMap { $0 }.filter(\.isFinite)
    guard values.count == leftOut.count, values.count >= minimumSequences, estimate.isFinite else { return nil }
    let n = Double(values.count)
    let mean = values.reduce(0, +) / n
    let variance = (n - 1) / n * values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    guard let t = studentQuantile975(freedom: freedom ?? n - 1) else { return nil }
    let half = t * variance.squareRoot()
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

  /// 97.5 % quantile of Student's t, to six digits.
  ///
  /// From 30 degrees of freedom on by series; below, t = sqrt(v) tan a, where the integral of cos^(v - 1) from 0 to a is 0.95 of that to a
  /// right angle. It rises ever more slowly, so that Newton's method from below never oversteps.
  ///
  /// - Parameter freedom: degrees of freedom v, whole or not.
  /// - Returns: nil below one.
  /// - Source: Abramowitz and Stegun 26.7.5 (series); 26.7.3 and 26.7.4 give the integral for whole v.
  /// - Test: 12.7062 at 1, 2.7764 at 4, 2.0423 at 30.
  static func studentQuantile975(freedom: Double) -> Double? {
    guard freedom >= 1, freedom.isFinite else { return nil }
    let z = 1.959963984540054
    let v = freedom
    guard v < 30 else {
      let z3 = z * z * z
      let z5 = z3 * z * z
      let z7 = z5 * z * z
      return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v)
    }
    let wanted = 0.95 * Double.pi.squareRoot() / 2 * exp(lgamma(v / 2) - lgamma((v + 1) / 2))
    let density = { (angle: Double) in pow(cos(angle), v - 1) }
    var angle = atan(z / v.squareRoot())
    for _ in 0..<50 {
      // Simpson's rule.
      let parts = 256
      let width = angle / Double(parts)
      let inner = (1..<parts).reduce(0.0) { $0 + ($1 % 2 == 1 ? 4 : 2) * density(Double($1) * width) }
      let reached = width / 3 * (density(0) + inner + density(angle))
      let step = (wanted - reached) / density(angle)
      angle += step
      if abs(step) < 1e-12 { break }
    }
    return v.squareRoot() * tan(angle)
  }
}
