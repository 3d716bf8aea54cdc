// How does a near tie fall? Where the reference's own margin is beneath what rounding moves, neither choice is the right one, and a
// reference with other kernels makes the other. Behind it everything differs, rightly. So a near tie is decided as the expected file has
// it, and all that follows is compared in full.

import Formats
import Routing

/// The near ties of an expected file, and how often this engine would have decided them otherwise.
final class TieRulings: DecisionReview {
  /// The expected experts of a near tie, and what else could have come of it.
  private typealias Ruling = (chosen: [Int32], tie: NearTie)

  /// By row of the expected file.
  private var rulings: [RouterID: [Int: Ruling]] = [:]
  /// Decisions that were changed.
  private(set) var changed: [RouterID: Int] = [:]
  /// The row of the expected file that a row of the run is.
  private let place: (Int) -> Int

  /// Near ties are known where the file has the logits of every row.
  init(_ expected: SafetensorsFile, routers: [RouterDescription], place: @escaping (Int) -> Int = { $0 }) throws {
    self.place = place
    for description in routers {
      let (prefix, spec) = ("\(description.id).", description.spec)
      guard expected[prefix + "rows"] == nil, let view = expected[prefix + "router_logits"], expected[prefix + "expert_ids"] != nil else {
        continue
      }
      let router = try Router(spec)
      let ids = try expected.tensor(prefix + "expert_ids").integers()
      let logits = try view.floats()
      guard ids.count / spec.topK == logits.count / spec.expertCount else { continue }
      logits.withUnsafeBufferPointer { logits in
        for row in 0..<ids.count / spec.topK {
          let mine = UnsafeBufferPointer(rebasing: logits[row * spec.expertCount..<(row + 1) * spec.expertCount])
          let chosen = ids[row * spec.topK..<(row + 1) * spec.topK]
          let taken = chosen.filter { $0 >= 0 }
          guard let tie = router.nearTie(mine, within: Verifier.Tolerance.nearTie), Set(taken).count == taken.count,
            taken.count == spec.topK || spec.fillsSlots == false, tie.allows(taken)
          else {
            continue
          }
          rulings[description.id, default: [:]][row] = (Array(taken), tie)
        }
      }
    }
  }

  func overruled(_ decisions: RoutingBatch) -> [Int: [Int32]] {
    guard let rulings = rulings[decisions.router] else { return [:] }
    var imposed: [Int: [Int32]] = [:]
    for row in 0..<decisions.count {
      guard let ruling = rulings[place(decisions.firstToken + row)] else { continue }
      let own = decisions.selectedExperts[row * decisions.topK..<(row + 1) * decisions.topK]
      // A choice that no rounding explains is left to differ.
      if Set(ruling.chosen) != Set(own), ruling.tie.allows(own) { imposed[row] = ruling.chosen }
    }
    changed[decisions.router, default: 0] += imposed.count
    return imposed
  }
}
