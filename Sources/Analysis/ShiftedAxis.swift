// The axes inside a sample of a denoising run as cells of a specialization question: steps in a circle, patches on a torus. A sequence
// of such an axis is a group of samples whose tables were added up.

import Routing

/// Null: each group's table is shifted on its own, steps in a circle and patches on a torus, which keeps what neighbouring steps and
/// patches have in common.
///
/// A shift of all samples of a group by the same amount is one of the shifts that the null allows, so p is as valid as with a shift for
/// each sample. What groups cost is that a pattern common to all samples stays whole inside each group: the mean of the null rises by
/// about the effect divided by the number of groups (1.6 % with 64), which makes p cautious. The effect does not depend on the null.
///
/// - Memory: 4 bytes a group, cell and expert.
struct ShiftedAxis: CellAxis {
  let cellNames: [String]
  let experts: [Int]
  let samples: Int
  private let rows: Int
  private let columns: Int
  /// `[groups]` of `[rows, columns, experts]`
  private let tables: [[UInt32]]
  private let decisionsPerCell: Int

  var sequenceCount: Int { tables.count }
  var memberCount: Int { samples }

  /// - Parameter facet: one of `Facet.denoising`.
  init(_ facet: Facet, _ counts: DenoisingTables, layout: DenoisingLayout) {
    let (rows, columns) = facet.grid(layout)
    self.rows = rows
    self.columns = columns
    cellNames = facet.cellNames(layout)
    samples = counts.samples.count
    decisionsPerCell = counts.samples.count * layout.stepCount * layout.patchCount / max(1, rows * columns)
    let source = (facet == .step ? counts.steps : counts.patches).filter { !$0.isEmpty }
    let width = counts.expertCount
    var isChosen = Array(repeating: false, count: width)
    for table in source { for entry in table.indices where table[entry] > 0 { isChosen[entry % width] = true } }
    let kept = isChosen.indices.filter { isChosen[$0] }
    experts = kept
    tables = source.map { table in
      var projected = Array(repeating: UInt32(0), count: rows * columns * kept.count)
      for place in 0..<table.count / max(1, width) {
        let cell = facet.cell(ofPlace: place, layout)
        for (column, expert) in kept.enumerated() { projected[cell * kept.count + column] += table[place * width + expert] }
      }
      return projected
    }
  }

  func tabulate(draws: Range<Int>, seed: UInt64, into result: UnsafeMutableBufferPointer<UInt32>) {
    result.update(repeating: 0)
    var randoms = draws.map { SplitMix64(seed: seed, stream: UInt64($0)) }
    for table in tables {
      for index in randoms.indices {
        let down = randoms[index].below(rows)
        let right = randoms[index].below(columns)
        add(table, down: down, right: right, to: UnsafeMutableBufferPointer(rebasing: result[index * tableSize..<(index + 1) * tableSize]))
      }
    }
  }

  func add(sequence: Int, to table: UnsafeMutableBufferPointer<UInt32>) { add(tables[sequence], down: 0, right: 0, to: table) }

  /// The cell in row r and column c goes to row r + down and column c + right, each around the edge.
  private func add(_ table: [UInt32], down: Int, right: Int, to sums: UnsafeMutableBufferPointer<UInt32>) {
    let width = experts.count
    table.withUnsafeBufferPointer { table in
      guard let source = table.baseAddress, let target = sums.baseAddress else { return }
      for row in 0..<rows {
        let from = source + row * columns * width
        let to = target + (row + down) % rows * columns * width
        addEntries(from, to: to + right * width, count: (columns - right) * width)
        addEntries(from + (columns - right) * width, to: to, count: right * width)
      }
    }
  }

  /// Mean over all shifts: each expert's choices spread evenly over the cells.
  var expectation: Expectation {
    var mean = Array(repeating: 0.0, count: experts.count)
    for table in tables { for entry in table.indices { mean[entry % experts.count] += Double(table[entry]) } }
    let cells = Double(max(1, cellNames.count))
    return .fixed(cellNames.flatMap { _ in mean.map { $0 / cells } })
  }

  /// Exact: groups are shifted independently, so the variances of their entries over all places add up.
  func spread(seed: UInt64) -> [Double] {
    let cells = Double(max(1, cellNames.count))
    var variance = Array(repeating: 0.0, count: experts.count)
    for table in tables {
      var sums = variance.map { _ in (first: 0.0, second: 0.0) }
      for entry in table.indices {
        let count = Double(table[entry])
        sums[entry % experts.count].first += count
        sums[entry % experts.count].second += count * count
      }
      for column in variance.indices {
        let mean = sums[column].first / cells
        variance[column] += max(0, sums[column].second / cells - mean * mean)
      }
    }
    let spread = variance.map { $0.squareRoot() }
    return cellNames.flatMap { _ in spread }
  }

  var cellSizes: [(sequences: Int, tokens: Int)] { cellNames.map { _ in (samples, decisionsPerCell) } }
}

extension Facet {
  /// Rows and columns of the cells of a denoising axis.
  func grid(_ layout: DenoisingLayout) -> (rows: Int, columns: Int) {
    switch self {
    case .step: (1, layout.stepCount)
    case .patchRow: (layout.patchRows, 1)
    case .patchColumn: (1, layout.patchColumns)
    case .patch: (layout.patchRows, layout.patchColumns)
    case .label, .position, .vocabulary, .tokenClass, .tokenLabel: (0, 0)
    }
  }

  /// The cell of a step (along `.step`) or of a patch in row-major order (along the others).
  func cell(ofPlace place: Int, _ layout: DenoisingLayout) -> Int {
    switch self {
    case .patchRow: place / layout.patchColumns
    case .patchColumn: place % layout.patchColumns
    case .step, .patch, .label, .position, .vocabulary, .tokenClass, .tokenLabel: place
    }
  }

  /// Cells of a denoising axis: steps, rows and columns by number, patches as `row,column`.
  func cellNames(_ layout: DenoisingLayout) -> [String] {
    let (rows, columns) = grid(layout)
    if self != .patch { return (0..<rows * columns).map(String.init) }
    return (0..<rows).flatMap { row in (0..<columns).map { "\(row),\($0)" } }
  }
}

/// `sums += entries`, eight at a time.
@inline(__always)
private func addEntries(_ entries: UnsafePointer<UInt32>, to sums: UnsafeMutablePointer<UInt32>, count: Int) {
  let lanes = 8
  var entry = 0
  while entry + lanes <= count {
    let a = UnsafeRawPointer(entries + entry).loadUnaligned(as: SIMD8<UInt32>.self)
    let sum = UnsafeRawPointer(sums + entry).loadUnaligned(as: SIMD8<UInt32>.self)
    UnsafeMutableRawPointer(sums + entry).storeBytes(of: sum &+ a, as: SIMD8<UInt32>.self)
    entry += lanes
  }
  while entry < count {
    sums[entry] = sums[entry] &+ entries[entry]
    entry += 1
  }
}
