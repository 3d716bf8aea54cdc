// How far has a change moved what the model says next? Two distributions over the vocabulary for each scored place, held against each other
// while both are at hand; only sums are kept.

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Sums over places of one text: the next-token distributions of a changed reading against those of the unchanged one.
public struct OutputDivergence: Sendable, Equatable {
  /// Places that were compared: those whose next token is scored.
  public var rows = 0
  /// Sum of KL(unchanged || changed), nats; NaN when an output was no number.
  public var nats = 0.0
  /// Places with the same most probable token (of equals the lowest id).
  public var sameBest = 0

  public init() {}

  /// - Parameters:
  ///   - changed: logits and summaries of the changed reading.
  ///   - reference: `[places.count, vocabulary]`, logits of the unchanged one.
  mutating func add(_ changed: OutputRows, from reference: UnsafeBufferPointer<Float>, of places: Range<Int>, _ pool: WorkerPool) {
    guard let base = reference.baseAddress else { return }
    let vocabulary = reference.count / places.count
    var rows = Array(repeating: (nats: 0.0, isSame: false), count: places.count)
    rows.withUnsafeMutableBufferPointer { out in
      guard let out = out.baseAddress else { return }
      pool.forEachRow(of: places.count, cost: 16 * vocabulary) { part in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: vocabulary) { probabilities in
          guard let probabilities = probabilities.baseAddress else { return }
          for row in part {
            let place = places.lowerBound + row
            out[row] = changed.compare(place, with: base + row * vocabulary, count: vocabulary, scratch: probabilities)
          }
        }
      }
    }
    self.rows += places.count
    for row in rows {
      nats += row.nats
      if row.isSame { sameBest += 1 }
    }
  }
}

/// Outputs of a block of rows.
struct OutputRows: @unchecked Sendable {
  /// `[rows, vocabulary]`; the pointer is read while the buffer it points into is untouched.
  let logits: UnsafePointer<Float>
  /// The place of the first row.
  let first: Int
  /// By place.
  let summaries: [mt_logits_summary]

  /// KL(p || q) = sum p (x - y) - lse(x) + lse(y), with x the reference's logits and y the changed ones.
  ///
  /// - Parameter scratch: `[count]`
  /// - Returns: nats, at least 0 but for NaN; exactly 0 for equal rows.
  func compare(
    _ place: Int, with reference: UnsafePointer<Float>, count: Int, scratch: UnsafeMutablePointer<Float>
  ) -> (nats: Double, isSame: Bool) {
    let mine = logits + (place - first) * count
    var summary = mt_logits_summary()
    mt_logits_summary_of(&summary, reference, count, .max)
    for id in 0..<count { scratch[id] = reference[id] - summary.log_sum_exp }
    mt_exp(scratch, scratch, count)
    var (sum, total) = (0.0, 0.0)
    for id in 0..<count where scratch[id] > 0 {
      // An impossible token stays impossible: what both give no chance takes no part.
      sum += Double(scratch[id]) * (Double(reference[id]) - Double(mine[id]))
      total += Double(scratch[id])
    }
    // Probabilities in f32 sum to 1 but for rounding, which must not be taken for divergence.
    let shift = Double(summary.log_sum_exp) - Double(summaries[place].log_sum_exp)
    let nats = sum / total - shift
    return (nats.isNaN ? .nan : max(0, nats), summary.argmax == summaries[place].argmax)
  }
}
