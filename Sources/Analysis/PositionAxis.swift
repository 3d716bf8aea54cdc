// The axis "place in the text", made ready for many tables: cells are bins of positions, and the null shifts each text inside itself. What
// an axis is for is in CellAxis.swift.

import Routing

/// Null: the axis is shifted inside each sequence, circularly, by an amount of its own: uniform over all L shifts, then moved so that the
/// join, where the text's end meets its beginning, lies at the start of the cell it falls into; and every other text is read backwards.
/// Each sequence keeps its length, its cells and the likeness of neighbouring tokens; only where along the text things happen is lost.
///
/// A join inside a cell would give that cell two unrelated stretches where the text itself has one: draws would be more even than texts are,
/// and p too small (0.12 in place of 0.05 for 20 texts of 64 tokens that stay with an expert for ten). Permuting positions between
/// sequences would test nothing when they are equally long. A single sequence has too few such shifts to be weighed by length: there all
/// cells are alike as the place of the join.
///
/// - Memory: the ids (4 bytes a choice), and running counts of 4 E bytes a token where these make a draw cheaper and stay below 256 MiB.
/// - Test: sizes of the test by simulation, `tools/simulate_specialization.py`.
struct PositionAxis: CellAxis {
  /// Tokens `range` of a sequence lie in cell `cell`.
  private struct Run: Sendable {
    var range: Range<Int>
    var cell: Int
  }
  private struct Sequence: Sendable {
    var length: Int
    var runs: [Run]
    /// First token in `columns`, first row in `running`.
    var start: Int
    var runningStart: Int
  }

  let cellNames: [String]
  let experts: [Int]
  private let topK: Int
  private var sequences: [Sequence] = []
  /// `[tokens, topK]`: columns; -1 for none.
  private var columns: [Int32] = []
  /// `[tokens + sequences, experts]`: choices of the sequence before token i; empty when counting directly.
  private var running: [UInt32] = []

  var sequenceCount: Int { sequences.count }

  /// - Parameter usesRunningCounts: nil chooses what is cheaper; tests force both ways, which give the same tables.
  init(_ store: RouteStore, usesRunningCounts: Bool? = nil) {
    let routes = store.sequences()
    topK = store.topK
    var isSeen = Array(repeating: false, count: PositionBin(position: .max).rawValue + 1)
    for route in routes { for position in route.positions { isSeen[PositionBin(position: position).rawValue] = true } }
    let bins = isSeen.indices.filter { isSeen[$0] }.map(PositionBin.init(rawValue:))
    let cellOf = Dictionary(uniqueKeysWithValues: bins.enumerated().map { ($1, $0) })
    cellNames = bins.map(\.name)
    var isChosen = Array(repeating: false, count: store.experts)
    for route in routes { for expert in route.experts where expert >= 0 { isChosen[Int(expert)] = true } }
    experts = isChosen.indices.filter { isChosen[$0] }
    var columnOf = Array(repeating: Int32(-1), count: store.experts)
    for (column, expert) in experts.enumerated() { columnOf[expert] = Int32(column) }
    var tokens = 0
    for route in routes {
      var runs: [Run] = []
      for (token, position) in route.positions.enumerated() {
        guard let cell = cellOf[PositionBin(position: position)] else { continue }
        if let last = runs.last, last.cell == cell {
          runs[runs.count - 1].range = last.range.lowerBound..<token + 1
        } else {
          runs.append(Run(range: token..<token + 1, cell: cell))
        }
      }
      sequences.append(
        Sequence(length: route.positions.count, runs: runs, start: tokens, runningStart: tokens + sequences.count))
      tokens += route.positions.count
      columns += route.experts.map { $0 >= 0 ? columnOf[Int($0)] : -1 }
    }
    let rows = tokens + sequences.count
    let meanRuns = Double(sequences.reduce(0) { $0 + $1.runs.count }) / Double(max(1, sequences.count))
    let meanLength = Double(tokens) / Double(max(1, sequences.count))
    // Adding a row of counts goes several experts at a time, counting single choices does not.
    let isCheaper = meanRuns * Double(experts.count) <= 4 * meanLength * Double(topK)
    if usesRunningCounts ?? (isCheaper && rows * experts.count * 4 <= 256 << 20) { sumUp(rows: rows) }
  }

  private mutating func sumUp(rows: Int) {
    let width = experts.count
    running = Array(repeating: 0, count: rows * width)
    for sequence in sequences {
      for token in 0..<sequence.length {
        let here = (sequence.runningStart + token) * width
        for column in 0..<width { running[here + width + column] = running[here + column] }
        for slot in (sequence.start + token) * topK..<(sequence.start + token + 1) * topK where columns[slot] >= 0 {
          running[here + width + Int(columns[slot])] += 1
        }
      }
    }
  }

  /// Sequence by sequence, all draws at each: the running counts of one sequence fit the cache, those of a run do not.
  func tabulate(draws: Range<Int>, seed: UInt64, into tables: UnsafeMutableBufferPointer<UInt32>) {
    tables.update(repeating: 0)
    var randoms = draws.map { SplitMix64(seed: seed, stream: UInt64($0)) }
    for sequence in sequences.indices where sequences[sequence].length > 0 {
      for index in randoms.indices {
        let table = UnsafeMutableBufferPointer(rebasing: tables[index * tableSize..<(index + 1) * tableSize])
        add(sequence: sequence, shift: shift(of: sequences[sequence], &randoms[index]), to: table)
      }
    }
  }

  func add(sequence: Int, to table: UnsafeMutableBufferPointer<UInt32>) { add(sequence: sequence, shift: Shift(), to: table) }

  /// How the axis lies on a sequence.
  private struct Shift {
    /// The place on the axis of the first token.
    var join = 0
    var isBackwards = false
  }

  private func shift(of sequence: Sequence, _ random: inout SplitMix64) -> Shift {
    let run: Run?
    if sequences.count == 1 {
      run = sequence.runs[random.below(sequence.runs.count)]
    } else {
      let join = random.below(sequence.length)
      run = sequence.runs.last { $0.range.lowerBound <= join }
    }
    return Shift(join: run?.range.lowerBound ?? 0, isBackwards: random.below(2) == 1)
  }

  /// Token j gets the cell of place (j + join) mod L; backwards, token L - 1 - j does.
  private func add(sequence index: Int, shift: Shift, to table: UnsafeMutableBufferPointer<UInt32>) {
    let sequence = sequences[index]
    func add(_ tokens: Range<Int>, _ cell: Int) {
      let range = shift.isBackwards ? sequence.length - tokens.upperBound..<sequence.length - tokens.lowerBound : tokens
      self.add(sequence, tokens: range, cell: cell, to: table)
    }
    for run in sequence.runs {
      var low = run.range.lowerBound - shift.join
      if low < 0 { low += sequence.length }
      let high = low + run.range.count
      if high <= sequence.length {
        add(low..<high, run.cell)
      } else {
        add(low..<sequence.length, run.cell)
        add(0..<high - sequence.length, run.cell)
      }
    }
  }

  @inline(__always)
  private func add(_ sequence: Sequence, tokens: Range<Int>, cell: Int, to table: UnsafeMutableBufferPointer<UInt32>) {
    let width = experts.count
    if running.isEmpty {
      columns.withUnsafeBufferPointer { columns in
        for slot in (sequence.start + tokens.lowerBound) * topK..<(sequence.start + tokens.upperBound) * topK where columns[slot] >= 0 {
          table[cell * width + Int(columns[slot])] &+= 1
        }
      }
    } else {
      running.withUnsafeBufferPointer { running in
        guard let counts = running.baseAddress, let sums = table.baseAddress else { return }
        addDifference(
          counts + (sequence.runningStart + tokens.upperBound) * width, counts + (sequence.runningStart + tokens.lowerBound) * width,
          to: sums + cell * width, count: width)
      }
    }
  }

  /// Mean over the shifts that a draw can have.
  private var meanTable: [Double] {
    var mean = Array(repeating: 0.0, count: tableSize)
    var table = Array(repeating: UInt32(0), count: tableSize)
    for (index, sequence) in sequences.enumerated() {
      for run in sequence.runs {
        table.withUnsafeMutableBufferPointer {
          $0.update(repeating: 0)
          for isBackwards in [false, true] {
            add(sequence: index, shift: Shift(join: run.range.lowerBound, isBackwards: isBackwards), to: $0)
          }
        }
        let share = sequences.count == 1 ? 1 / Double(sequence.runs.count) : Double(run.range.count) / Double(sequence.length)
        for entry in table.indices where table[entry] > 0 { mean[entry] += Double(table[entry]) * share / 2 }
      }
    }
    return mean
  }

  var expectation: Expectation { .fixed(meanTable) }

  func spread(seed: UInt64) -> [Double] { pilotSpread(about: meanTable, seed: seed) }

  var cellSizes: [(sequences: Int, tokens: Int)] {
    var sizes = cellNames.map { _ in (sequences: 0, tokens: 0) }
    for sequence in sequences {
      for run in sequence.runs {
        sizes[run.cell].sequences += 1
        sizes[run.cell].tokens += run.range.count
      }
    }
    return sizes
  }
}

/// `sums += after - before`, entry by entry. Eight at a time: left to itself the compiler does not see that the rows cannot overlap.
@inline(__always)
private func addDifference(
  _ after: UnsafePointer<UInt32>, _ before: UnsafePointer<UInt32>, to sums: UnsafeMutablePointer<UInt32>, count: Int
) {
  let lanes = 8
  var column = 0
  while column + lanes <= count {
    let a = UnsafeRawPointer(after + column).loadUnaligned(as: SIMD8<UInt32>.self)
    let b = UnsafeRawPointer(before + column).loadUnaligned(as: SIMD8<UInt32>.self)
    let sum = UnsafeRawPointer(sums + column).loadUnaligned(as: SIMD8<UInt32>.self)
    UnsafeMutableRawPointer(sums + column).storeBytes(of: sum &+ a &- b, as: SIMD8<UInt32>.self)
    column += lanes
  }
  while column < count {
    sums[column] = sums[column] &+ after[column] &- before[column]
    column += 1
  }
}
