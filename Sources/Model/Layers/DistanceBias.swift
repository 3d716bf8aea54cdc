// Relative positions as T5 has them: a number for each head and each bucket of distances is added to the scores of attention. Buckets
// are exact for near keys and grow logarithmically until a distance beyond which all are alike.

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// - Source: Raffel et al. 2019, arXiv:1910.10683, section 2.1, with the buckets of its released code.
struct DistanceBiasPlan: Sendable, Hashable {
  /// `[bucketCount, headCount]`
  var table: VectorPlan
  var bucketCount: Int
  /// Keys at this distance and beyond share a bucket.
  var farthest: Int
  /// Keys behind the token have buckets of their own: half of them.
  var looksBothWays: Bool

  /// The bucket of a key at `distance` from the token (key minus token).
  func bucket(_ distance: Int) -> Int {
    let count = looksBothWays ? bucketCount / 2 : bucketCount
    let start = looksBothWays && distance > 0 ? count : 0
    let steps = looksBothWays ? abs(distance) : max(0, -distance)
    let exact = count / 2
    if steps < exact { return start + steps }
    // In f32, as in the reference: the border of a bucket is where its logarithm rounds to.
    let share = log(Float(steps) / Float(exact)) / Float(log(Double(farthest) / Double(exact))) * Float(count - exact)
    return start + min(exact + Int(share), count - 1)
  }
}

/// The bias of every distance a sequence has, head by head.
final class DistanceBias {
  private let plan: DistanceBiasPlan
  private let headCount: Int
  /// `[bucketCount, headCount]`
  private let buckets: WeightVector
  /// `[headCount, 2 * reach]`: distances from `-reach` to `reach - 1`.
  private var values: [Float] = []
  private var reach = 0

  init(_ plan: DistanceBiasPlan, headCount: Int, buckets: WeightVector) {
    (self.plan, self.headCount, self.buckets) = (plan, headCount, buckets)
  }

  /// Calls `body` with distance 0 of head 0, and the distance between heads.
  func withValues(positions: Int, _ body: (UnsafePointer<Float>, Int) -> Void) {
    if positions > reach { extend(to: max(positions, 2 * reach, 64)) }
    values.withUnsafeBufferPointer { if let base = $0.baseAddress { body(base + reach, 2 * reach) } }
  }

  private func extend(to positions: Int) {
    reach = positions
    let bucketOf = (-reach..<reach).map(plan.bucket)
    let buckets = buckets.values
    values = (0..<headCount).flatMap { head in bucketOf.map { buckets[$0 * headCount + head] } }
  }
}
