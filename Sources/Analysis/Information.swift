// Plug-in mutual information from integer counts, fast enough to be computed a million times for a null.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// n ln n for counts, from a table where n is small; 0 ln 0 = 0.
struct XLogX: Sendable {
  static let shared = XLogX()
  private let table: [Double]

  private init() { table = (0..<4096).map { $0 == 0 ? 0 : Double($0) * log(Double($0)) } }

  @inline(__always)
  func callAsFunction(_ n: Int) -> Double { n < table.count ? table[n] : Double(n) * log(Double(n)) }
}

/// Mutual information of two variables from a table of counts, nats; not corrected for bias.
///
/// I = (sum n_ce ln n_ce - sum n_c ln n_c - sum n_e ln n_e + N ln N) / N. 0: independent in this table; at most the smaller entropy.
/// Biased upwards: by about (C-1)(E-1)/(2N) for independent decisions, by more when decisions cluster, which is why it is never shown
/// without its null.
///
/// - Parameter table: `[cells, experts]`.
/// - Test: independent table 0; diagonal table ln C; a 2 x 2 table by hand.
func mutualInformation(table: [UInt32], cells: Int, experts: Int) -> Double {
  let f = XLogX.shared
  var cellSums = Array(repeating: 0, count: cells)
  var expertSums = Array(repeating: 0, count: experts)
  var joint = 0.0
  for cell in 0..<cells {
    for expert in 0..<experts {
      let n = Int(table[cell * experts + expert])
      joint += f(n)
      cellSums[cell] += n
      expertSums[expert] += n
    }
  }
  let total = cellSums.reduce(0, +)
  guard total > 0 else { return 0 }
  let marginal = cellSums.reduce(0.0) { $0 + f($1) } + expertSums.reduce(0.0) { $0 + f($1) }
  return max(0, (joint - marginal + f(total)) / Double(total))
}
