// Does agreement fall where A's router was unsure? Agreement by A's normalised entropy, in cells fine enough to be joined into bins of equal
// numbers of decisions when all are known: routers that are almost flat or almost certain would all fall into one of a few fixed bins.

/// Agreement of decisions by A's entropy.
///
/// Cells are those of `Histogram`'s keys: 1/1024 of an octave of the distance to the nearer of 0 and 1.
/// - Memory: 24 bytes a cell that occurs.
/// - Test: merge equals whole; bins hold all decisions, each about as many.
struct EntropyBins: Sendable {
  struct Bin: Sendable, Equatable {
    /// Smallest share of ln E of the bin; its largest in the last bin, else the next one's smallest. The last bin holds its upper end.
    var low: Double
    var high: Double
    var agreement: MeanSum
  }

  /// Bins at most.
  static let count = 10
  private static let cut: Int32 = 13

  private var cells: [Int32: MeanSum] = [:]
  private var minimum = Float.infinity
  private var maximum = -Float.infinity

  /// - Parameter entropy: divided by ln E; decisions without one are in no bin.
  mutating func add(_ entropy: Float, agreement: Double) {
    guard entropy.isFinite else { return }
    minimum = min(minimum, entropy)
    maximum = max(maximum, entropy)
    let cell = NumberKey.key(of: Double(entropy)) >> Self.cut
    cells[cell, default: MeanSum()].addOne(agreement)
  }

  mutating func merge(_ other: EntropyBins) {
    minimum = min(minimum, other.minimum)
    maximum = max(maximum, other.maximum)
    for (cell, sum) in other.cells { cells[cell, default: MeanSum()] += sum }
  }

  /// By rising entropy; a bin ends with the cell that completes its share of all decisions.
  func bins() -> [Bin] {
    let total = cells.values.reduce(0) { $0 + $1.count }
    var bins: [Bin] = []
    var seen = 0
    var begins = true
    for (cell, sum) in cells.sorted(by: { $0.key < $1.key }) {
      if begins {
        let edge = bins.isEmpty ? Double(minimum) : NumberKey.number(of: cell << Self.cut)
        if !bins.isEmpty { bins[bins.count - 1].high = edge }
        bins.append(Bin(low: edge, high: Double(maximum), agreement: MeanSum()))
        begins = false
      }
      bins[bins.count - 1].agreement += sum
      seen += sum.count
      if seen * Self.count >= bins.count * total { begins = true }
    }
    return bins
  }
}
