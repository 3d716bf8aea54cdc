// Mutual information from integer counts, fast enough to be computed a million times for a null: the plug-in value, what it would be without
// each sequence, and from both the value without the bias that few sequences cause.

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

/// Mutual information at one router, observed and without each sequence (or group) in turn.
struct InformationEstimate: Sendable, Equatable {
  /// Biased upwards.
  var plugIn: Double
  /// `[sequences]`: plug-in without this one; nil where nothing would be left.
  var leftOut: [Double?]

  /// Jackknife-centred: I - (S - 1) (mean of leftOut - I). 0 within its spread when the axis says nothing; nil with one sequence.
  ///
  /// Not I minus the mean of the null: permuted labels share in the spread that the real ones cause, so that with few sequences the null
  /// takes part of the effect away (a fifth with 5 texts a label of the sample corpus).
  var effect: Double? { Jackknife.centred(plugIn, leftOut: leftOut) }
  /// Degrees of freedom of the interval.
  var freedom: Double
  /// Delete-one-sequence jackknife around the effect.
  ///
  /// Along a label the t quantile has as many degrees of freedom as a label value has sequences on average, less one: with few texts a label
  /// and many experts some bias is left, which the wider quantile covers (`tools/simulate_specialization.py`). With less than two there is no
  /// interval: texts of one value that differ are what its spread is known from.
  var interval: Interval? { effect.flatMap { Jackknife.interval(estimate: $0, leftOut: leftOut, freedom: freedom) } }

  init(plugIn: Double, leftOut: [Double?], freedom: Double) {
    self.plugIn = plugIn
    self.leftOut = leftOut
    self.freedom = freedom
  }

  /// - Parameter observed: the axis' own table.
  /// - Complexity: O(entries of all sequences that are not 0), by differences of counts.
  init(_ axis: any CellAxis, observed: [UInt32]) {
    let f = XLogX.shared
    let width = axis.experts.count
    let cells = axis.cellNames.count
    var joint = 0.0
    var expertSums = Array(repeating: 0, count: width)
    var cellSums = Array(repeating: 0, count: cells)
    for entry in observed.indices {
      let n = Int(observed[entry])
      joint += f(n)
      expertSums[entry % width] += n
      cellSums[entry / width] += n
    }
    freedom = axis.freedom
    let total = cellSums.reduce(0, +)
    let expertTerm = expertSums.reduce(0) { $0 + f($1) }
    let cellTerm = cellSums.reduce(0) { $0 + f($1) }
    plugIn = total > 0 ? max(0, (joint - expertTerm - cellTerm + f(total)) / Double(total)) : 0
    var ownExperts = Array(repeating: 0, count: width)
    var ownCells = Array(repeating: 0, count: cells)
    leftOut = (0..<axis.sequenceCount).map { sequence in
      let entries = axis.entries(of: sequence)
      var left = joint
      var own = 0
      for (entry, n) in entries {
        left += f(Int(observed[entry]) - n) - f(Int(observed[entry]))
        ownExperts[entry % width] += n
        ownCells[entry / width] += n
        own += n
      }
      var marginals = expertTerm + cellTerm
      for (entry, _) in entries {
        let (column, cell) = (entry % width, entry / width)
        marginals += f(expertSums[column] - ownExperts[column]) - f(expertSums[column])
        marginals += f(cellSums[cell] - ownCells[cell]) - f(cellSums[cell])
        // Taken off once, however many entries share the expert or the cell.
        ownExperts[column] = 0
        ownCells[cell] = 0
      }
      return total > own ? (left - marginals + f(total - own)) / Double(total - own) : nil
    }
  }
}
