// What do the rows of a record add up to, by router of the run? Router by router a piece at a time, as rows of one router lie side by side; then row
// by row what all routers have in common.

import Routing

/// What the second reading of a record finds.
struct RowTally {
  /// What of a router is asked for every row.
  private struct Place {
    /// In the routers of the run.
    var number: Int
    var column: Int
    /// Ids of a row in the record, and those of them that are choices.
    var stride: Int
    var slots: Int
    var experts: Int
    /// Rows of the record of which a finding says already why they are unknown.
    var explained: [Range<Int>]
  }

  private let places: [Place]
  private let mayTakeFewer: Bool
  /// `[routers][RowFault]`
  private(set) var faults: [[FoundRows]]
  /// Ids in [E, 2E), and those beyond or below 0 in rows that are known.
  private(set) var beyond: [Int]
  private(set) var outside: [Int]
  private(set) var isConstant: [Bool]
  private(set) var weightsRise: [FoundRows]
  /// By router: whether a row without a fault has a weight below 0.
  private(set) var isSigned: [Bool]
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
    self.mayTakeFewer = mayTakeFewer
    places = routers.enumerated().compactMap { number, router in
      guard let column = router.column else { return nil }
      return Place(
        number: number, column: column, stride: columns[column].slots, slots: router.slots, experts: router.experts,
        explained: columns[column].explained.sorted { $0.lowerBound < $1.lowerBound })
    }
    faults = routers.map { _ in Array(repeating: FoundRows(), count: RowFault.allCases.count) }
    beyond = Array(repeating: 0, count: routers.count)
    outside = beyond
    isConstant = Array(repeating: true, count: routers.count)
    weightsRise = Array(repeating: FoundRows(), count: routers.count)
    isSigned = Array(repeating: false, count: routers.count)
    firstRows = Array(repeating: [], count: routers.count)
    let shape = places.first
    let isUniform = places.allSatisfy { $0.slots == shape?.slots && $0.experts == shape?.experts }
    patterns = expectsPatterns && isUniform && shape != nil
    counted = CountedRows(experts: shape?.experts ?? 1, slots: shape?.slots ?? 1)
    dealt = DealtWindows(experts: shape?.experts ?? 1, slots: shape?.slots ?? 1)
    rising = RisingRows(slots: shape?.slots ?? 1)
  }

  mutating func add(_ block: ForeignRows, sequence: Int, first: Int, isLost: Bool) {
    while self.sequence < sequence { begin(isLost: isLost) }
    defer { row += block.count }
    if isLost {
      lost += block.count
      return
    }
    var isClean = Array(repeating: true, count: block.count)
    for place in places { judge(place, block.columns[place.column], &isClean) }
    clean += isClean.count { $0 }
    if patterns { judgePatterns(block, isClean) }
    sequenceRows += block.count
  }

  private mutating func begin(isLost: Bool) {
    finish()
    sequence += 1
    accused.append([])
    (sequenceStart, sequenceRows, isSkipped) = (row, 0, isLost)
    counted.begin()
    dealt.begin()
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

  // MARK: One router

  private mutating func judge(_ place: Place, _ decisions: ForeignDecisions, _ isClean: inout [Bool]) {
    decisions.ids.withUnsafeBufferPointer { all in
      for index in isClean.indices {
        let start = index * place.stride
        let ids = UnsafeBufferPointer(rebasing: all[start..<start + place.slots])
        if let fault = RowFault.of(ids, experts: place.experts, mayTakeFewer: mayTakeFewer) {
          isClean[index] = false
          note(fault, row + index, ids, place)
        } else if isConstant[place.number] {
          compare(ids, place.number)
        }
      }
    }
    guard let weights = decisions.weights else { return }
    weights.withUnsafeBufferPointer { all in
      for index in isClean.indices {
        let start = index * place.stride
        if (1..<max(place.slots, 1)).contains(where: { all[start + $0 - 1] < all[start + $0] }) {
          weightsRise[place.number].add(row + index)
        }
        if isClean[index], (0..<place.slots).contains(where: { all[start + $0] < 0 }) { isSigned[place.number] = true }
      }
    }
  }

  private mutating func note(_ fault: RowFault, _ row: Int, _ ids: UnsafeBufferPointer<Int32>, _ place: Place) {
    if fault != .unknown || !isExplained(row, place) { faults[place.number][fault.rawValue].add(row) }
    guard fault == .outOfRange || fault == .duplicate else { return }
    for id in ids {
      if id < 0 || Int(id) >= 2 * place.experts {
        outside[place.number] += 1
      } else if Int(id) >= place.experts {
        beyond[place.number] += 1
      }
    }
  }

  private mutating func compare(_ ids: UnsafeBufferPointer<Int32>, _ number: Int) {
    if firstRows[number].isEmpty {
      firstRows[number] = Array(ids)
    } else if !ids.elementsEqual(firstRows[number]) {
      isConstant[number] = false
    }
  }

  private func isExplained(_ row: Int, _ place: Place) -> Bool {
    let ranges = place.explained
    let number = Sorted.first(of: ranges.count) { ranges[$0].upperBound > row }
    return number < ranges.count && ranges[number].contains(row)
  }

  // MARK: All routers

  private mutating func judgePatterns(_ block: ForeignRows, _ isClean: [Bool]) {
    let rows = RowsOfRouters(places.map { ($0.slots, $0.stride, block.columns[$0.column].ids) })
    for index in isClean.indices {
      if isClean[index], rising.isOpen { for router in 0..<rows.count { rising.add(rows[router, index]) } }
      counted.add(rows, index, at: sequenceRows + index)
      dealt.add(rows, index)
    }
  }
}

/// The rows of one piece of a record, by router. All routers have as many choices.
struct RowsOfRouters {
  let slots: Int
  private let strides: [Int]
  private let ids: [[Int32]]

  var count: Int { ids.count }

  init(_ routers: [(slots: Int, stride: Int, ids: [Int32])]) {
    slots = routers.first?.slots ?? 0
    (strides, ids) = (routers.map(\.stride), routers.map(\.ids))
  }

  func id(_ router: Int, _ index: Int, _ slot: Int) -> Int { Int(ids[router][index * strides[router] + slot]) }

  /// The choices of one row.
  subscript(router: Int, index: Int) -> ArraySlice<Int32> {
    ids[router][index * strides[router]..<index * strides[router] + slots]
  }
}
