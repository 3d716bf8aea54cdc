// Which expert of B does the work of which expert of A? Two trainings, or a checkpoint whose experts were put in another order, number theirs
// differently. Experts are matched one to one inside a layer so that as many choices as possible agree; the matching is found on some texts
// and must be judged on others, since the best of E! renamings agrees by chance too.

import Routing

/// How often each pair of experts was chosen for the same token, at one pair of routers.
///
/// - Memory: 4 E^2 bytes.
struct JointChoices: Sendable {
  /// More experts are not matched: the table would take 16 MB a router and the search minutes.
  static let mostExperts = 2048

  let pair: RouterPair
  /// `[experts, experts]`: A's expert, then B's.
  private var counts: [UInt32]

  init(_ pair: RouterPair) {
    self.pair = pair
    counts = Array(repeating: 0, count: pair.experts * pair.experts)
  }

  mutating func add(_ rows: PairedRows) {
    let experts = pair.experts
    rows.forEach(pair) { batches in
      for index in 0..<batches.count {
        let (startA, startB) = ((batches.firstA + index) * batches.a.topK, (batches.firstB + index) * batches.b.topK)
        for mine in batches.a.selectedExperts[startA..<startA + batches.a.topK] where mine >= 0 {
          for other in batches.b.selectedExperts[startB..<startB + batches.b.topK] where other >= 0 {
            counts[Int(mine) * experts + Int(other)] += 1
          }
        }
      }
    }
  }

  mutating func merge(_ other: JointChoices) { for cell in counts.indices { counts[cell] += other.counts[cell] } }

  /// `[experts]`: the expert of A that each of B's is taken for. Of equally good matchings the one that leaves more experts their number.
  func matching() -> [Int32] {
    let experts = pair.experts
    let costs = (0..<experts).map { mine in
      (0..<experts).map { other in -Int(counts[mine * experts + other]) * (experts + 1) - (mine == other ? 1 : 0) }
    }
    return Assignment.rows(costs).map(Int32.init)
  }
}
