// Quantiles of a stream in bounded memory: exact while few numbers differ, with a bounded relative error beyond, and the same however a
// run was split and merged. Routers that are almost certain put all their numbers next to 0, those that are almost flat next to 1, so
// what counts as close is measured by the distance to the nearer of these two.

/// Counts of numbers.
///
/// Quantiles are by nearest rank: the value number ceil(q n) in rising order.
///
/// A number is kept as a key that rises with it: the bits of its distance to 0 below one half, of its distance to 1 above. Float bits rise
/// with the float, so keys with their last bits cut off are cells of constant width relative to that distance. While at most `capacity`
/// keys differ nothing is cut and quantiles are exact; beyond, all keys lose as many bits as it takes. How many depends on the numbers
/// alone, not on their order or on how parts were merged, and the cells of a part are cells of the whole cut finer.
///
/// - Memory: 8 bytes a cell, at most 128 KiB, and up to 64 KiB of numbers that wait to be sorted in.
/// - Error of a quantile: none up to `capacity` different numbers; beyond, half a cell: at most 2^-10 (0.1 %) of the distance to the
///   nearer of 0 and 1 while these distances span 32 octaves, 2^-7 whatever they span. Distances below 2^-60 are 0.
/// - Complexity: O(1) a number, amortised; O(cells) a merge or a quantile.
/// - Test: sorted samples against quantiles, at any scale; merge equals whole exactly.
public struct Histogram: Sendable {
  /// Cells kept at most.
  public static let capacity = 1 << 14

  public private(set) var count = 0
  public private(set) var minimum = Float.infinity
  public private(set) var maximum = -Float.infinity
  /// Low bits that all keys have lost.
  private var shift: Int32 = 0
  /// Rising; `key >> shift`.
  private var cells: [Int32] = []
  /// `[cells]`
  private var counts: [UInt32] = []
  /// Keys that were not sorted in yet.
  private var waiting: [Int32] = []

  public init() {}

  /// - Precondition: `value` is not NaN.
  public mutating func add(_ value: Float) { withUnsafePointer(to: value) { add(UnsafeBufferPointer(start: $0, count: 1)) } }

  /// Adds each of the numbers.
  ///
  /// - Precondition: none is NaN.
  mutating func add(_ values: UnsafeBufferPointer<Float>) {
    count += values.count
    var (least, most) = (minimum, maximum)
    for value in values { (least, most) = (min(least, value), max(most, value)) }
    (minimum, maximum) = (least, most)
    var next = 0
    while next < values.count {
      let room = max(256, cells.count) - waiting.count
      let part = next..<min(next + room, values.count)
      waiting += NumberKey.keys(of: UnsafeBufferPointer(rebasing: values[part]))
      next = part.upperBound
      if part.count == room { settle() }
    }
  }

  public mutating func merge(_ other: Histogram) {
    count += other.count
    minimum = min(minimum, other.minimum)
    maximum = max(maximum, other.maximum)
    settle()
    let other = other.settled
    if other.shift > shift { cut(to: other.shift) }
    let keys = other.cells.map { $0 >> (shift - other.shift) }
    keys.withUnsafeBufferPointer { keys in other.counts.withUnsafeBufferPointer { take(keys, $0) } }
  }

  /// Sorts in what waits.
  private mutating func settle() {
    guard !waiting.isEmpty else { return }
    // Set aside while the rest changes, and put back for its room.
    var keys: [Int32] = []
    swap(&keys, &waiting)
    let bits = shift
    keys.withUnsafeMutableBufferPointer { keys in
      for place in keys.indices { keys[place] >>= bits }
      NumberKey.sort(keys)
      take(UnsafeBufferPointer(keys), nil)
    }
    keys.removeAll(keepingCapacity: true)
    swap(&keys, &waiting)
  }

  private var settled: Histogram {
    var copy = self
    copy.settle()
    return copy
  }

  /// Merges rising cells, each once where `times` is nil.
  private mutating func take(_ new: UnsafeBufferPointer<Int32>, _ times: UnsafeBufferPointer<UInt32>?) {
    guard !new.isEmpty else { return }
    let most = cells.count + new.count
    var sums: [UInt32] = []
    let merged = [Int32](unsafeUninitializedCapacity: most) { merged, kept in
      sums = [UInt32](unsafeUninitializedCapacity: most) { sums, initialized in
        var (last, sum) = (Int.min, UInt32(0))
        func add(_ cell: Int32, _ number: UInt32) {
          let isNext = Int(cell) != last
          kept += isNext ? 1 : 0
          sum = (isNext ? 0 : sum) + number
          merged[kept - 1] = cell
          sums[kept - 1] = sum
          last = Int(cell)
        }
        var (own, next) = (0, 0)
        // Which comes next is as good as random: steps do not branch on it.
        cells.withUnsafeBufferPointer { cells in
          counts.withUnsafeBufferPointer { counts in
            while own < cells.count && next < new.count {
              let (a, b) = (cells[own], new[next])
              add(min(a, b), (a <= b ? counts[own] : 0) + (b <= a ? times?[next] ?? 1 : 0))
              own += a <= b ? 1 : 0
              next += b <= a ? 1 : 0
            }
            for own in own..<cells.count { add(cells[own], counts[own]) }
          }
        }
        for next in next..<new.count { add(new[next], times?[next] ?? 1) }
        initialized = kept
      }
    }
    (cells, counts) = (merged, sums)
    if cells.count > Self.capacity { cut(to: bitsToFit) }
  }

  /// The fewest bits that all keys must lose so that the cells left are not too many.
  private var bitsToFit: Int32 {
    // Neighbours stay apart until all bits in which they differ are lost.
    var apart = Array(repeating: 0, count: 33)
    for (cell, next) in zip(cells, cells.dropFirst()) { apart[32 - (cell ^ next).leadingZeroBitCount] += 1 }
    var (bits, left) = (0, cells.count)
    while left > Self.capacity {
      bits += 1
      left -= apart[bits]
    }
    return shift + Int32(bits)
  }

  /// - Parameter bits: that all keys have lost from now on.
  private mutating func cut(to bits: Int32) {
    let more = bits - shift
    var kept = 0
    for index in cells.indices {
      let cell = cells[index] >> more
      if kept > 0 && cells[kept - 1] == cell {
        counts[kept - 1] += counts[index]
      } else {
        cells[kept] = cell
        counts[kept] = counts[index]
        kept += 1
      }
    }
    cells.removeLast(cells.count - kept)
    counts.removeLast(counts.count - kept)
    shift = bits
  }

  /// Smallest number of a cell.
  private func edge(of cell: Int32) -> Double { NumberKey.number(of: cell << shift) }

  /// The cell that holds the value of nearest rank.
  /// - Precondition: nothing waits.
  private func cell(ofQuantile q: Double) -> Int32? {
    guard count > 0 else { return nil }
    let rank = min(count, max(1, Int((q * Double(count)).rounded(.up))))
    var seen = 0
    for index in cells.indices {
      seen += Int(counts[index])
      if seen >= rank { return cells[index] }
    }
    return cells.last
  }

  /// Value at quantile `q` in 0...1: the middle of its cell, kept within the smallest and the largest value seen; nil when empty.
  public func quantile(_ q: Double) -> Double? {
    let settled = settled
    guard let cell = settled.cell(ofQuantile: q) else { return nil }
    let middle = settled.shift == 0 ? edge(of: cell) : (settled.edge(of: cell) + settled.edge(of: cell + 1)) / 2
    return min(Double(maximum), max(Double(minimum), middle))
  }

  /// Lower edge of the cell that holds quantile `q`; the quantile itself while nothing was cut. Shares at or above such an edge are exact,
  /// in this histogram and in every part of it, which is why a quantile threshold is put on one. At least a share 1 - q reaches it, and
  /// no more than ties and the rest of the cell add.
  public func lowerEdge(ofQuantile q: Double) -> Double? {
    let settled = settled
    return settled.cell(ofQuantile: q).map { settled.edge(of: $0) }
  }

  /// How many values are >= `edge`; exact when `edge` is a cell's edge, else counted from the edge below.
  public func count(atLeast edge: Double) -> Int {
    let settled = settled
    let start = NumberKey.key(of: edge) >> settled.shift
    var total = 0
    for index in settled.cells.indices.reversed() {
      if settled.cells[index] < start { break }
      total += Int(settled.counts[index])
    }
    return total
  }

  /// Counts in `bins` equal bins over `range`, for drawing; a cell counts where its lower edge falls, values outside go to the ends.
  public func binned(_ bins: Int, over range: ClosedRange<Double> = 0...1) -> [Int] {
    let settled = settled
    var result = Array(repeating: 0, count: max(1, bins))
    let width = (range.upperBound - range.lowerBound) / Double(result.count)
    for index in settled.cells.indices where width > 0 {
      let bin = ((settled.edge(of: settled.cells[index]) - range.lowerBound) / width).rounded(.down)
      result[Int(min(Double(result.count - 1), max(0, bin)))] += Int(settled.counts[index])
    }
    return result
  }
}

extension Histogram: Equatable {
  /// Equal in meaning: the same numbers were added, in whatever order and through whatever merges.
  public static func == (a: Histogram, b: Histogram) -> Bool {
    guard a.count == b.count, a.minimum == b.minimum, a.maximum == b.maximum else { return false }
    let (a, b) = (a.settled, b.settled)
    return a.shift == b.shift && a.cells == b.cells && a.counts == b.counts
  }
}

extension Histogram {
  func save(_ name: String, _ columns: inout FoldColumns) {
    let settled = settled
    columns.set(name + ".count", .numbers([count, Int(settled.shift)]))
    columns.set(name + ".range", .reals([Double(minimum), Double(maximum)]))
    columns.set(name + ".cells", .ids(settled.cells))
    columns.set(name + ".counts", .counts(settled.counts))
  }

  static func loaded(_ name: String, _ columns: FoldReader) throws(FoldColumnError) -> Histogram {
    var histogram = Histogram()
    let shape = try columns.numbers(name + ".count", 2)
    let range = try columns.reals(name + ".range", 2)
    histogram.cells = try columns.ids(name + ".cells", in: Int32.min...Int32.max)
    histogram.counts = try columns.counts(name + ".counts", histogram.cells.count)
    let isRising = zip(histogram.cells, histogram.cells.dropFirst()).allSatisfy { $0 < $1 }
    let total = histogram.counts.reduce(0) { $0 + Int($1) }
    guard isRising, histogram.cells.count <= capacity, shape[1] < 32, total == shape[0] else {
      throw columns.error(
        name + ".cells", expected: "at most \(capacity) rising cells of \(shape[0]) numbers",
        found: isRising ? "\(histogram.cells.count) of \(total)" : "others")
    }
    (histogram.count, histogram.shift) = (shape[0], Int32(shape[1]))
    (histogram.minimum, histogram.maximum) = (Float(range[0]), Float(range[1]))
    return histogram
  }
}
