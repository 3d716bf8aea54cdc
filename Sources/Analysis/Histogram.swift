// Quantiles of a stream in bounded memory, with a bounded error and an exact merge. Two scales: cells of equal width for shares in
// 0...1, and cells of equal relative width for margins, where 0.0002 and 0.002 must stay apart.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Counts of numbers in cells.
///
/// Quantiles are by nearest rank: the value number ceil(q n) in rising order. The answer lies in the same cell as that value.
///
/// - Memory: `unit`, at most 64 KiB; `relative`, at most 96 KiB; only the touched range is kept.
/// - Error of a quantile: `unit`, at most 2^-15 (0.00003), exactly half a cell; `relative`, at most 2^-10 (0.1 %) of the value for
///   values in 2^-30...2^16, smaller ones read as 0.
/// - Complexity: O(1) a value; O(cells) a merge or a quantile.
/// - Test: sorted samples against quantiles, both scales; merge equals whole exactly.
public struct Histogram: Sendable, Equatable {
  public enum Scale: Sendable, Hashable {
    /// 2^14 cells of equal width over 0...1; values outside count in the first or last cell.
    case unit
    /// 2^9 cells to the octave over 2^-30...2^16, and one for what lies below (0 and negative values too).
    case relative
  }

  public let scale: Scale
  public private(set) var count = 0
  public private(set) var minimum = Float.infinity
  public private(set) var maximum = -Float.infinity
  /// Cell `first + i` holds `cells[i]` values.
  private var first = 0
  private var cells: [UInt32] = []

  public init(_ scale: Scale) { self.scale = scale }

  private static let unitCells = 1 << 14
  private static let mantissaShift = UInt32(23 - 9)
  private static let lowestExponent = UInt32(127 - 30)
  private static let highestCell = Int((UInt32(127 + 16) << 23) >> mantissaShift) - 1
  private static let zeroCell = Int((lowestExponent << 23) >> mantissaShift) - 1

  private func cell(of value: Float) -> Int {
    switch scale {
    case .unit: return min(Self.unitCells - 1, max(0, Int(value * Float(Self.unitCells))))
    case .relative:
      // The bit patterns of positive floats rise with the floats, so the leading bits are a cell number of constant relative width.
      guard value > 0 else { return Self.zeroCell }
      return min(Self.highestCell, max(Self.zeroCell, Int(value.bitPattern >> Self.mantissaShift)))
    }
  }

  /// Smallest value of a cell.
  private func edge(of cell: Int) -> Double {
    switch scale {
    case .unit: return Double(cell) / Double(Self.unitCells)
    case .relative:
      if cell <= Self.zeroCell { return 0 }
      return Double(Float(bitPattern: UInt32(cell) << Self.mantissaShift))
    }
  }

  /// - Precondition: `value` is finite.
  public mutating func add(_ value: Float) {
    count += 1
    minimum = min(minimum, value)
    maximum = max(maximum, value)
    let cell = cell(of: max(-1e9, min(1e9, value)))
    cover(cell..<cell + 1)
    cells[cell - first] += 1
  }

  public mutating func merge(_ other: Histogram) {
    precondition(scale == other.scale, "histograms of two scales")
    guard other.count > 0 else { return }
    count += other.count
    minimum = min(minimum, other.minimum)
    maximum = max(maximum, other.maximum)
    cover(other.first..<other.first + other.cells.count)
    for index in other.cells.indices { cells[other.first - first + index] += other.cells[index] }
  }

  private mutating func cover(_ range: Range<Int>) {
    if cells.isEmpty {
      first = range.lowerBound
      cells = Array(repeating: 0, count: range.count)
      return
    }
    if range.lowerBound < first {
      cells.insert(contentsOf: repeatElement(0, count: first - range.lowerBound), at: 0)
      first = range.lowerBound
    }
    let missing = range.upperBound - (first + cells.count)
    if missing > 0 { cells.append(contentsOf: repeatElement(0, count: missing)) }
  }

  /// Equal in meaning: the same numbers were added, in whatever order and through whatever merges.
  public static func == (a: Histogram, b: Histogram) -> Bool {
    guard a.scale == b.scale, a.count == b.count, a.minimum == b.minimum, a.maximum == b.maximum else { return false }
    return a.occupied.elementsEqual(b.occupied) { $0 == $1 }
  }

  private var occupied: [(cell: Int, count: UInt32)] {
    cells.enumerated().compactMap { $1 > 0 ? (first + $0, $1) : nil }
  }

  /// The cell that holds the value of nearest rank.
  private func cell(ofQuantile q: Double) -> Int? {
    guard count > 0 else { return nil }
    let rank = min(count, max(1, Int((q * Double(count)).rounded(.up))))
    var seen = 0
    for index in cells.indices {
      seen += Int(cells[index])
      if seen >= rank { return first + index }
    }
    return nil
  }

  /// Value at quantile `q` in 0...1: the middle of its cell, kept within the smallest and the largest value seen; nil when empty.
  public func quantile(_ q: Double) -> Double? {
    guard let cell = cell(ofQuantile: q) else { return nil }
    let middle = (edge(of: cell) + edge(of: cell + 1)) / 2
    return min(Double(maximum), max(Double(minimum), cell <= Self.zeroCell && scale == .relative ? 0 : middle))
  }

  /// Lower edge of the cell that holds quantile `q`. Shares at or above such an edge are exact, which is why a quantile threshold is
  /// put on one; it lies at most one cell below the quantile, so at least a share 1 - q reaches it.
  public func lowerEdge(ofQuantile q: Double) -> Double? { cell(ofQuantile: q).map(edge) }

  /// How many values are >= `edge`; exact when `edge` is a cell's edge, else counted from the edge below.
  public func count(atLeast edge: Double) -> Int {
    let start = max(first, cell(of: Float(edge)))
    var total = 0
    for cell in start..<max(start, first + cells.count) { total += Int(cells[cell - first]) }
    return total
  }

  /// Counts in `bins` equal bins over `range`, for drawing; a cell counts where its lower edge falls, values outside go to the ends.
  public func binned(_ bins: Int, over range: ClosedRange<Double> = 0...1) -> [Int] {
    var result = Array(repeating: 0, count: max(1, bins))
    let width = (range.upperBound - range.lowerBound) / Double(result.count)
    for (cell, count) in occupied where width > 0 {
      let bin = Int(((edge(of: cell) - range.lowerBound) / width).rounded(.down))
      result[min(result.count - 1, max(0, bin))] += Int(count)
    }
    return result
  }
}
