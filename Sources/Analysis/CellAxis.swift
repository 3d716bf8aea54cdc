// An axis of a specialization question, made ready for many tables: the observed one, and as many as the null draws. A table is
// `[cells, experts]`, counts of choices. Experts never chosen have no column.

import Routing

/// How many choices a cell is expected to get of an expert under the null.
enum Expectation: Sendable {
  /// The expert's overall share (`[experts]`) times the cell's total: conditions on how long the cell's texts are.
  case proportional([Double])
  /// `[cells, experts]`
  case fixed([Double])
}

protocol CellAxis: Sendable {
  var cellNames: [String] { get }
  /// Expert id of each column.
  var experts: [Int] { get }
  /// What is shifted, dealt out or left out as one.
  var sequenceCount: Int { get }
  /// Sequences of the run behind them: more where a group of them is taken as one.
  var memberCount: Int { get }
  /// Writes the tables of draws number `draws` of the null of `seed`: `[draws, cells, experts]`. Several at once, so that what is
  /// read of a sequence can be used while it is near.
  func tabulate(draws: Range<Int>, seed: UInt64, into tables: UnsafeMutableBufferPointer<UInt32>)
  /// Adds what one sequence puts into the observed table.
  func add(sequence: Int, to table: UnsafeMutableBufferPointer<UInt32>)
  /// What one sequence puts into the observed table, entries that are not 0.
  func entries(of sequence: Int) -> [(entry: Int, count: Int)]
  var expectation: Expectation { get }
  /// `[cells, experts]`: spread of (count - expectation) under the null.
  func spread(seed: UInt64) -> [Double]
  /// Per cell: sequences and tokens in it.
  var cellSizes: [(sequences: Int, tokens: Int)] { get }
  /// Degrees of freedom of an interval over sequences, whole or not.
  var freedom: Double { get }
}

extension CellAxis {
  var memberCount: Int { sequenceCount }
  var freedom: Double { Double(sequenceCount - 1) }
  var tableSize: Int { cellNames.count * experts.count }

  func entries(of sequence: Int) -> [(entry: Int, count: Int)] {
    var own = Array(repeating: UInt32(0), count: tableSize)
    own.withUnsafeMutableBufferPointer { add(sequence: sequence, to: $0) }
    return own.indices.compactMap { own[$0] > 0 ? ($0, Int(own[$0])) : nil }
  }

  func observed() -> [UInt32] {
    var table = Array(repeating: UInt32(0), count: tableSize)
    table.withUnsafeMutableBufferPointer { for sequence in 0..<sequenceCount { add(sequence: sequence, to: $0) } }
    return table
  }

  /// Estimated from 64 draws of a stream of its own, about the exact mean. The scale only decides how cells are weighed against each
  /// other in the largest deviation; the control of the family holds for any scale that does not look at the observed order.
  func pilotSpread(about mean: [Double], seed: UInt64) -> [Double] {
    let pilots = 64
    var squares = Array(repeating: 0.0, count: tableSize)
    forEachDraw(0..<pilots, seed: ~seed) { _, table in
      for entry in table.indices { squares[entry] += (Double(table[entry]) - mean[entry]) * (Double(table[entry]) - mean[entry]) }
    }
    return squares.map { ($0 / Double(pilots)).squareRoot() }
  }

  /// Calls `body` with the table of each draw. Blocks of draws stay below 128 KiB.
  func forEachDraw(_ draws: Range<Int>, seed: UInt64, _ body: (_ draw: Int, _ table: UnsafeMutableBufferPointer<UInt32>) -> Void) {
    guard tableSize > 0 else { return }
    let block = max(1, min(64, 32_768 / tableSize))
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: block * tableSize) { tables in
      tables.initialize(repeating: 0)
      var start = draws.lowerBound
      while start < draws.upperBound {
        let end = min(draws.upperBound, start + block)
        tabulate(draws: start..<end, seed: seed, into: tables)
        for draw in start..<end {
          let offset = (draw - start) * tableSize
          body(draw, UnsafeMutableBufferPointer(rebasing: tables[offset..<offset + tableSize]))
        }
        start = end
      }
    }
  }
}

// MARK: - Labels of whole sequences

/// Null: the labels are dealt out anew over the sequences, so what tokens of one text have in common cannot count as evidence.
///
/// - Memory: 4 bytes a sequence and expert, or 8 a non-zero entry where fewer than a quarter are non-zero.
struct LabelAxis: CellAxis {
  let cellNames: [String]
  let experts: [Int]
  /// `[sequences]`
  private let cellOf: [Int32]
  private let tokens: [Int]
  /// `[sequences, experts]`, empty when sparse.
  private var dense: [UInt32] = []
  /// Entries of sequence s: `starts[s]..<starts[s + 1]`; empty when dense.
  private var starts: [Int] = []
  private var columns: [Int32] = []
  private var values: [UInt32] = []

  var sequenceCount: Int { cellOf.count }
  /// Mean number of sequences a value, less one.
  var freedom: Double { Double(sequenceCount) / Double(max(1, Set(cellOf).count)) - 1 }

  /// - Parameters:
  ///   - cells: cell of each sequence that has one.
  ///   - lastBin: positions beyond this bin are left out; nil keeps all.
  init(_ counts: StratumCounts, cells: [Int: Int32], cellNames: [String], lastBin: PositionBin?) {
    var rows: [Int: (tokens: Int, choices: [Int: UInt32])] = [:]
    for (stratum, row) in counts.rows where cells[stratum.sequence] != nil && stratum.bin <= lastBin ?? stratum.bin {
      rows[stratum.sequence, default: (0, [:])].tokens += row.tokens
      row.choices.forEach { rows[stratum.sequence, default: (0, [:])].choices[$0, default: 0] += $1 }
    }
    let sequences = rows.keys.sorted()
    self.cellNames = cellNames
    cellOf = sequences.compactMap { cells[$0] }
    tokens = sequences.map { rows[$0]?.tokens ?? 0 }
    experts = Set(rows.values.flatMap(\.choices.keys)).sorted()
    let columnOf = Dictionary(uniqueKeysWithValues: experts.enumerated().map { ($1, $0) })
    let entries = rows.values.reduce(0) { $0 + $1.choices.count }
    let isDense = 4 * entries >= sequences.count * experts.count
    if isDense { dense = Array(repeating: 0, count: sequences.count * experts.count) } else { starts = [0] }
    for (index, sequence) in sequences.enumerated() {
      for (expert, count) in (rows[sequence]?.choices ?? [:]).sorted(by: { $0.key < $1.key }) {
        guard let column = columnOf[expert] else { continue }
        if isDense {
          dense[index * experts.count + column] = count
        } else {
          columns.append(Int32(column))
          values.append(count)
        }
      }
      if !isDense { starts.append(columns.count) }
    }
  }

  /// Samples of a denoising run, by the totals of each.
  /// - Parameter rows: decisions of one sample.
  init(_ samples: [Int: DenoisingTables.Sample], cells: [Int: Int32], cellNames: [String], expertCount: Int, rows: Int) {
    let sequences = samples.keys.filter { cells[$0] != nil }.sorted()
    self.cellNames = cellNames
    cellOf = sequences.compactMap { cells[$0] }
    tokens = sequences.map { _ in rows }
    let own = sequences.compactMap { samples[$0]?.counts }
    let chosen = (0..<expertCount).filter { expert in own.contains { $0[expert] > 0 } }
    experts = chosen
    dense = own.flatMap { counts in chosen.map { counts[$0] } }
  }

  func tabulate(draws: Range<Int>, seed: UInt64, into tables: UnsafeMutableBufferPointer<UInt32>) {
    tables.update(repeating: 0)
    for (index, draw) in draws.enumerated() {
      var labels = cellOf
      var random = SplitMix64(seed: seed, stream: UInt64(draw))
      random.shuffle(&labels)
      let table = UnsafeMutableBufferPointer(rebasing: tables[index * tableSize..<(index + 1) * tableSize])
      for sequence in labels.indices { add(sequence: sequence, cell: Int(labels[sequence]), to: table) }
    }
  }

  func add(sequence: Int, to table: UnsafeMutableBufferPointer<UInt32>) {
    add(sequence: sequence, cell: Int(cellOf[sequence]), to: table)
  }

  func entries(of sequence: Int) -> [(entry: Int, count: Int)] {
    let first = Int(cellOf[sequence]) * experts.count
    guard starts.isEmpty else {
      return (starts[sequence]..<starts[sequence + 1]).map { (first + Int(columns[$0]), Int(values[$0])) }
    }
    return experts.indices.compactMap { column in
      let count = dense[sequence * experts.count + column]
      return count > 0 ? (first + column, Int(count)) : nil
    }
  }

  @inline(__always)
  private func add(sequence: Int, cell: Int, to table: UnsafeMutableBufferPointer<UInt32>) {
    let width = experts.count
    guard starts.isEmpty else {
      for entry in starts[sequence]..<starts[sequence + 1] { table[cell * width + Int(columns[entry])] &+= values[entry] }
      return
    }
    dense.withUnsafeBufferPointer { counts in
      for column in 0..<width { table[cell * width + column] &+= counts[sequence * width + column] }
    }
  }

  private func forEachEntry(_ body: (_ sequence: Int, _ column: Int, _ count: Double) -> Void) {
    for sequence in 0..<sequenceCount {
      if starts.isEmpty {
        for column in experts.indices { body(sequence, column, Double(dense[sequence * experts.count + column])) }
      } else {
        for entry in starts[sequence]..<starts[sequence + 1] { body(sequence, Int(columns[entry]), Double(values[entry])) }
      }
    }
  }

  private var lengths: [Double] {
    var lengths = Array(repeating: 0.0, count: sequenceCount)
    forEachEntry { lengths[$0] += $2 }
    return lengths
  }

  private var shares: [Double] {
    var sums = Array(repeating: 0.0, count: experts.count)
    forEachEntry { sums[$1] += $2 }
    return normalized(sums) ?? sums
  }

  var expectation: Expectation { .proportional(shares) }

  /// Exact: a cell's deviation is the sum of m_c of the S numbers R_s = n_se - f_e n_s, drawn without replacement, whose mean is 0;
  /// its variance is m_c (S - m_c) / (S - 1) times the mean of R^2.
  func spread(seed: UInt64) -> [Double] {
    let lengths = lengths
    let shares = shares
    let squaredLengths = lengths.reduce(0) { $0 + $1 * $1 }
    var squares = shares.map { $0 * $0 * squaredLengths }
    forEachEntry { squares[$1] += $2 * $2 - 2 * shares[$1] * $2 * lengths[$0] }
    let total = Double(sequenceCount)
    return cellSizes.flatMap { size -> [Double] in
      let members = Double(size.sequences)
      let factor = total > 1 ? members * (total - members) / (total - 1) / total : 0
      return squares.map { max(0, $0 * factor).squareRoot() }
    }
  }

  var cellSizes: [(sequences: Int, tokens: Int)] {
    var sizes = cellNames.map { _ in (sequences: 0, tokens: 0) }
    for sequence in cellOf.indices {
      sizes[Int(cellOf[sequence])].sequences += 1
      sizes[Int(cellOf[sequence])].tokens += tokens[sequence]
    }
    return sizes
  }
}
