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
    var (isUnknown, isZero, isOutside, isDouble) = (true, true, false, false)
    for slot in ids.indices {
      let id = ids[slot]
      if id != -1 { isUnknown = false }
      if id != 0 { isZero = false }
      if id < 0 ? !(mayTakeFewer && id == -1) : Int(id) >= experts { isOutside = true }
      if id >= 0 { for before in 0..<slot where ids[before] == id { isDouble = true } }
    }
    if isUnknown { return .unknown }
    if isZero && ids.count > 1 { return .zero }
    return isOutside ? .outOfRange : isDouble ? .duplicate : nil
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

  /// - Parameter rows: `[routers]`, one row of each.
  mutating func add(_ rows: [UnsafeBufferPointer<Int32>], at place: Int) {
    guard slots > 1, experts > slots else { return }
    let counted = rows.allSatisfy { row in (1..<slots).allSatisfy { (Int(row[$0]) - Int(row[0]) - $0) % experts == 0 } }
    let now = rows.map { $0[0] }
    defer { (firsts, isCounted) = (now, counted) }
    guard counted, isCounted else { return finish(at: place) }
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

  mutating func add(_ rows: [UnsafeBufferPointer<Int32>]) {
    guard length > 0, allDealt else { return }
    if window.isEmpty {
      window = Array(repeating: [], count: rows.count)
      if seen.isEmpty { seen = Array(repeating: [], count: rows.count) }
    }
    for router in rows.indices { window[router] += rows[router] }
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

  mutating func add(_ row: UnsafeBufferPointer<Int32>) {
    guard rises, surprise > 0 else { return }
    for slot in 1..<row.count where row[slot] <= row[slot - 1] {
      rises = false
      return
    }
    if !isEvident { distinct.insert(Array(row)) }
  }

  private var isEvident: Bool { Double(distinct.count) * surprise >= RecordJudge.evidence }

  var isFound: Bool { rises && isEvident }
}
