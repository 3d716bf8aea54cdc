// What one row of ids, or a few that follow each other, cannot be if a router chose them: each rule looks at values only, and accuses nobody
// of what chance can do. Evidence is counted in nats over rows that differ, so that a text which repeats itself accuses nobody.

import Foundation
import Routing

/// What is wrong with one row of a router.
enum RowFault: Int, CaseIterable {
  /// Every id is -1: the record itself says that it does not know.
  case unknown
  /// Every id is 0.
  case zero
  case outOfRange
  case duplicate

  var code: ImportFinding.Code {
    switch self {
    case .unknown: .unknownRows
    case .zero: .zeroRows
    case .outOfRange: .outOfRange
    case .duplicate: .duplicateExpert
    }
  }

  /// - Parameters:
  ///   - ids: the row's choices; -1 behind the first ones where a row takes fewer.
  ///   - mayTakeFewer: whether rows of the record do.
  static func of(_ ids: UnsafeBufferPointer<Int32>, experts: Int, mayTakeFewer: Bool) -> RowFault? {
    if mayTakeFewer, ids.first == ForeignDecisions.none { return nil }
    var (any, all, isOutside) = (Int32(0), Int32(-1), false)
    let limit = UInt32(clamping: experts)
    for id in ids {
      any |= id
      all &= id
      isOutside = isOutside || UInt32(bitPattern: id) >= limit
    }
    if all == -1 { return .unknown }
    if any == 0 && ids.count > 1 { return .zero }
    if isOutside, !mayTakeFewer || ids.contains(where: { $0 != -1 && UInt32(bitPattern: $0) >= limit }) { return .outOfRange }
    return hasDouble(ids, experts: experts) ? .duplicate : nil
  }

  /// More ids than this are sorted, or marked, rather than held against each other.
  private static let fewIDs = 16

  private static func hasDouble(_ ids: UnsafeBufferPointer<Int32>, experts: Int) -> Bool {
    if experts <= 64 {
      var taken: UInt64 = 0
      for id in ids where id >= 0 {
        let bit = UInt64(1) << UInt64(truncatingIfNeeded: id)
        if taken & bit != 0 { return true }
        taken |= bit
      }
      return false
    }
    if ids.count <= fewIDs {
      for slot in 1..<max(ids.count, 1) where ids[slot] >= 0 {
        for before in 0..<slot where ids[before] == ids[slot] { return true }
      }
      return false
    }
    let sorted = ids.sorted()
    return zip(sorted, sorted.dropFirst()).contains { $0 == $1 && $0 >= 0 }
  }
}

/// Rows that count through the experts, as memory does that was numbered and never written: row by row the ids a, a+1 … modulo E, and a moves by
/// the same step in each router.
struct CountedRows {
  private let experts: Int
  private let slots: Int
  private let surprise: Double
  private var firsts: [Int32] = []
  private var isCounted = false
  private var run: (start: Int, steps: [Int32], seen: [Set<Int32>])?
  private(set) var accused: [Range<Int>] = []

  init(experts: Int, slots: Int) {
    (self.experts, self.slots) = (experts, slots)
    // ln of the ordered choices that begin with the same expert.
    surprise = slots > 1 ? (1..<slots).reduce(0) { $0 + log(Double(max(experts - $1, 1))) } : 0
  }

  /// Forgets what was found, for the next sequence.
  mutating func begin() { (firsts, isCounted, run, accused) = ([], false, nil, []) }

  /// - Parameter index: of a row in `rows`.
  mutating func add(_ rows: RowsOfRouters, _ index: Int, at place: Int) {
    guard slots > 1, experts > slots else { return }
    let counted = (0..<rows.count).allSatisfy { router in
      let first = rows.id(router, index, 0)
      return (1..<slots).allSatisfy { (rows.id(router, index, $0) - first - $0) % experts == 0 }
    }
    guard counted else {
      isCounted = false
      return finish(at: place)
    }
    let now = (0..<rows.count).map { Int32(truncatingIfNeeded: rows.id($0, index, 0)) }
    defer { (firsts, isCounted) = (now, true) }
    guard isCounted else { return finish(at: place) }
    let steps = zip(firsts, now).map { Int32((Int($1) - Int($0) + experts) % experts) }
    if let known = run, known.steps == steps {
      for router in now.indices { run?.seen[router].insert(now[router]) }
    } else {
      finish(at: place)
      run = (place - 1, steps, zip(firsts, now).map { Set([$0, $1]) })
    }
  }

  /// Ends the run of rows that reaches to a place.
  mutating func finish(at end: Int) {
    guard let run else { return }
    let evidence = Double(run.seen.reduce(0) { $0 + $1.count }) * surprise
    if run.steps.contains(where: { $0 != 0 }), evidence >= RecordJudge.evidence { accused.append(run.start..<end) }
    self.run = nil
  }
}

/// Windows of rows that deal out all experts like cards, in every router: lists that were sorted or strided, read as choices.
struct DealtWindows {
  private let experts: Int
  private let slots: Int
  private let length: Int
  private let surprise: Double
  private var window: [[Int32]] = []
  private var seen: [Set<[Int32]>] = []
  private var rows = 0
  private var allDealt = true

  init(experts: Int, slots: Int) {
    (self.experts, self.slots) = (experts, slots)
    length = slots > 0 && experts % slots == 0 && experts / slots >= 2 ? experts / slots : 0
    let choices = lgamma(Double(experts + 1)) - lgamma(Double(slots + 1)) - lgamma(Double(experts - slots + 1))
    surprise = Double(length) * choices - (lgamma(Double(experts + 1)) - Double(length) * lgamma(Double(slots + 1)))
  }

  /// Forgets what was found, for the next sequence.
  mutating func begin() { (window, seen, rows, allDealt) = ([], [], 0, true) }

  /// - Parameter index: of a row in `rows`.
  mutating func add(_ rows: RowsOfRouters, _ index: Int) {
    guard length > 0, allDealt else { return }
    if window.isEmpty {
      window = Array(repeating: [], count: rows.count)
      if seen.isEmpty { seen = Array(repeating: [], count: rows.count) }
    }
    for router in 0..<rows.count { window[router] += rows[router, index] }
    self.rows += 1
    guard self.rows % length == 0 else { return }
    for router in window.indices {
      if Set(window[router]).count != experts { allDealt = false }
      if evidence < RecordJudge.evidence { seen[router].insert(window[router]) }
    }
    window = []
  }

  private var evidence: Double { Double(seen.reduce(0) { $0 + $1.count }) * surprise }

  /// Rows of the sequence that are accused, from its first on.
  var accused: Int { length > 0 && allDealt && evidence >= RecordJudge.evidence ? rows / length * length : 0 }
}

/// Whether the ids of a row say nothing about ranks: always in the order of their numbers.
struct RisingRows {
  private(set) var rises = true
  private var distinct: Set<[Int32]> = []
  private let surprise: Double

  init(slots: Int) { surprise = slots > 1 ? lgamma(Double(slots + 1)) : 0 }

  /// Whether a row can still change what is found.
  var isOpen: Bool { rises && surprise > 0 }

  mutating func add(_ row: ArraySlice<Int32>) {
    guard isOpen else { return }
    guard zip(row, row.dropFirst()).allSatisfy({ $0 < $1 }) else {
      rises = false
      return
    }
    if !isEvident { distinct.insert(Array(row)) }
  }

  private var isEvident: Bool { Double(distinct.count) * surprise >= RecordJudge.evidence }

  var isFound: Bool { rises && isEvident }
}
