// What one changed reading of one text, or image, adds to an answer: sums alone, so that texts can be left out, joined and split by label
// afterwards.

import Routing

/// Sums over one text or image read under one variant, beside the same one read as it is.
public struct EffectSums: Sendable, Equatable {
  /// What the effect is a mean over: tokens with a surprisal; of an image 1.
  public var scored = 0
  /// Their surprisals in the unchanged and in the changed reading, nats; of an image 0 and its relative change.
  public var unchanged = 0.0
  public var changed = 0.0
  /// KL(unchanged || changed) of the next-token distributions at the scored places, nats.
  public var divergence = 0.0
  /// Scored places with the same most probable token.
  public var sameBest = 0
  /// Of later decisions that no rule is about: |A and B| / |A| of the experts that computed, unchanged and changed.
  public var laterAgreement = MeanSum()
  /// Assignments that were computed in the changed reading.
  public var experts = 0
  /// Decisions of the unchanged reading, and those that the rules would decide otherwise.
  public var decisions = 0
  public var touched = 0
  /// Decisions that rules are about: those of their layers for which their conditions hold.
  public var named = 0
  /// What became of the text among other texts of a batch, and in another place of the same batch.
  public var mates = BatchShift()
  public var order = BatchShift()

  public init() {}

  /// - Parameters:
  ///   - baseline: the text as it is.
  ///   - changed: the same passes and routers under rules.
  ///   - touched: of `baseline`.
  public init(baseline: [RoutingPass], changed: [RoutingPass], touched: TouchedDecisions) {
    self.touched = touched.count
    named = touched.named.joined().reduce(0) { $0 + ($1?.count { $0 } ?? 0) }
    for (pass, (old, new)) in zip(baseline, changed).enumerated() {
      let batches = Dictionary(new.batches.map { ($0.router, $0) }, uniquingKeysWith: { first, _ in first })
      for (place, batch) in old.batches.enumerated() {
        decisions += batch.count
        guard let other = batches[batch.router] else { continue }
        experts += other.assignmentCount
        guard let first = touched.first, (pass, place) > first else { continue }
        let named = touched.named[pass][place]
        for row in 0..<batch.count where named?[row] != true {
          laterAgreement.add(Self.agreement(batch.computed(row), other.computed(row)))
        }
      }
    }
  }

  /// Share of a set that is in another; NaN for the empty set.
  private static func agreement(_ a: Set<Int32>, _ b: Set<Int32>) -> Float { Float(a.intersection(b).count) / Float(a.count) }
}

extension RoutingBatch {
  /// The experts that computed a row.
  func computed(_ row: Int) -> Set<Int32> {
    Set((row * topK..<(row + 1) * topK).filter { dropped?[$0] != true && selectedExperts[$0] >= 0 }.map { selectedExperts[$0] })
  }
}
