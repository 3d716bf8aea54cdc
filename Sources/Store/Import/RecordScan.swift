// Every row of a record once, piece by piece, and what the rows of each router add up to. Memory is that of one piece.

import Routing

enum RecordScan {
  /// Bytes of ids that are held at once.
  private static let pieceBytes = 8 << 20

  /// - Parameter body: number of the sequence in `sequences`, its first row, and the rows.
  static func forEach(
    _ record: any ForeignRecord, _ sequences: [JudgedSequence], _ body: (Int, Int, ForeignRows) throws -> Void
  ) throws {
    let width = record.shape.columns.reduce(1) { $0 + 4 * ($1.slots + ($1.hasLogits ? $1.experts ?? 0 : 0)) }
    let step = min(max(1, pieceBytes / width), 4096)
    for (number, sequence) in sequences.enumerated() {
      var row = 0
      while row < sequence.rows {
        let end = min(sequence.rows, row + step)
        try body(number, row, try record.rows(row..<end, of: sequence.index))
        row = end
      }
    }
  }
}

/// Rows that something was found at: how many, and the first.
struct FoundRows {
  private(set) var count = 0
  private(set) var first: [Int] = []

  mutating func add(_ row: Int) {
    count += 1
    if first.count < ImportFinding.firstKept { first.append(row) }
  }
}

/// What the second reading of a record finds, by router of the run.
struct RowTally {
  private let routers: [JudgedRouter]
  private let places: [Int]
  private let slots: [Int]
  /// Rows of the record, by router, of which a finding says already why they are unknown.
  private let explained: [[Range<Int>]]
  private let mayTakeFewer: Bool
  /// `[routers][RowFault]`
  private(set) var faults: [[FoundRows]]
  /// Ids in [E, 2E), and those beyond or below 0 in rows that are known.
  private(set) var beyond: [Int]
  private(set) var outside: [Int]
  private(set) var isConstant: [Bool]
  private(set) var weightsRise: [FoundRows]
  /// Rows without a fault in any router.
  private(set) var clean = 0
  /// Rows of sequences whose place is not known.
  private(set) var lost = 0
  private(set) var rising: RisingRows
  /// By sequence.
  private(set) var accused: [[Range<Int>]] = []
  private(set) var firstAccused: [Int] = []
  private var firstRows: [[Int32]]
  private var counted: CountedRows
  private var dealt: DealtWindows
  private let patterns: Bool
  private var sequence = -1
  private var sequenceStart = 0
  private var sequenceRows = 0
  private var isSkipped = false
  private var row = 0

  /// - Parameters:
  ///   - routers: those with a column are judged.
  ///   - expectsPatterns: whether rows follow each other as tokens do.
  init(_ routers: [JudgedRouter], columns: [ForeignColumn], expectsPatterns: Bool, mayTakeFewer: Bool) {
    self.routers = routers
    self.mayTakeFewer = mayTakeFewer
    places = routers.indices.filter { routers[$0].column != nil }
    slots = routers.map { $0.column.map { columns[$0].slots } ?? 0 }
    explained = routers.map { $0.column.map { columns[$0].explained.sorted { $0.lowerBound < $1.lowerBound } } ?? [] }
    faults = routers.map { _ in Array(repeating: FoundRows(), count: RowFault.allCases.count) }
    beyond = Array(repeating: 0, count: routers.count)
    outside = beyond
    isConstant = Array(repeating: true, count: routers.count)
    weightsRise = Array(repeating: FoundRows(), count: routers.count)
    firstRows = Array(repeating: [], count: routers.count)
    let shape = places.first.map { routers[$0] }
    let isUniform = places.allSatisfy { routers[$0].slots == shape?.slots && routers[$0].experts == shape?.experts }
    patterns = expectsPatterns && isUniform && shape != nil
    counted = CountedRows(experts: shape?.experts ?? 1, slots: shape?.slots ?? 1)
    dealt = DealtWindows(experts: shape?.experts ?? 1, slots: shape?.slots ?? 1)
    rising = RisingRows(slots: shape?.slots ?? 1)
  }

  mutating func add(_ block: ForeignRows, sequence: Int, first: Int, isLost: Bool) {
    while self.sequence < sequence { begin(isLost: isLost) }
    if isLost {
      lost += block.count
      row += block.count
      return
    }
    Self.withBuffers(block.columns, places.compactMap { routers[$0].column }) { buffers in
      for index in 0..<block.count {
        judge(index, buffers, block)
        row += 1
        sequenceRows += 1
      }
    }
  }

  private mutating func begin(isLost: Bool) {
    finish()
    sequence += 1
    accused.append([])
    (sequenceStart, sequenceRows, isSkipped) = (row, 0, isLost)
    if let shape = places.first.map({ routers[$0] }) {
      counted = CountedRows(experts: shape.experts, slots: shape.slots)
      dealt = DealtWindows(experts: shape.experts, slots: shape.slots)
    }
  }

  /// Ends the sequence that was read last.
  mutating func finish() {
    guard sequence >= 0, patterns, !isSkipped else { return }
    counted.finish(at: sequenceRows)
    var ranges = counted.accused
    if dealt.accused > 0 { ranges.append(0..<dealt.accused) }
    ranges.sort { $0.lowerBound < $1.lowerBound }
    for range in ranges {
      if let last = accused[sequence].last, range.lowerBound <= last.upperBound {
        accused[sequence][accused[sequence].count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
      } else {
        accused[sequence].append(range)
      }
      let room = ImportFinding.firstKept - firstAccused.count
      firstAccused += range.prefix(max(room, 0)).map { $0 + sequenceStart }
    }
    isSkipped = true
  }

  private mutating func judge(_ index: Int, _ buffers: [UnsafeBufferPointer<Int32>], _ block: ForeignRows) {
    var isClean = true
    var rows: [UnsafeBufferPointer<Int32>] = []
    rows.reserveCapacity(places.count)
    for (number, place) in places.enumerated() {
      let router = routers[place]
      let start = index * slots[place]
      let ids = UnsafeBufferPointer(rebasing: buffers[number][start..<start + router.slots])
      rows.append(ids)
      var isSound = true
      if let fault = RowFault.of(ids, experts: router.experts, mayTakeFewer: mayTakeFewer) {
        (isClean, isSound) = (false, false)
        if fault != .unknown || !isExplained(row, place) { faults[place][fault.rawValue].add(row) }
        if fault == .outOfRange || fault == .duplicate { measure(ids, place) }
      }
      if isConstant[place], isSound {
        if firstRows[place].isEmpty {
          firstRows[place] = Array(ids)
        } else if !ids.elementsEqual(firstRows[place]) {
          isConstant[place] = false
        }
      }
      if let weights = router.column.flatMap({ block.columns[$0].weights }) {
        let row = weights[start..<start + router.slots]
        if zip(row, row.dropFirst()).contains(where: { $0 < $1 }) { weightsRise[place].add(self.row) }
      }
    }
    if isClean {
      clean += 1
      if patterns { for ids in rows { rising.add(ids) } }
    }
    if patterns {
      counted.add(rows, at: sequenceRows)
      dealt.add(rows)
    }
  }

  private func isExplained(_ row: Int, _ place: Int) -> Bool {
    let ranges = explained[place]
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound <= row { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].contains(row)
  }

  private mutating func measure(_ ids: UnsafeBufferPointer<Int32>, _ place: Int) {
    let experts = routers[place].experts
    for id in ids {
      if id < 0 || Int(id) >= 2 * experts { outside[place] += 1 } else if Int(id) >= experts { beyond[place] += 1 }
    }
  }

  private static func withBuffers(
    _ columns: [ForeignDecisions], _ wanted: [Int], _ body: ([UnsafeBufferPointer<Int32>]) -> Void
  ) {
    func next(_ index: Int, _ known: [UnsafeBufferPointer<Int32>]) {
      guard index < wanted.count else { return body(known) }
      columns[wanted[index]].ids.withUnsafeBufferPointer { next(index + 1, known + [$0]) }
    }
    next(0, [])
  }
}
