// Experts of every timestep, from hand-made tables, and the published numbers of the diffusion prior.

import Routing
import Testing

@testable import Analysis

@Suite struct TimestepPathsTests {
  /// One router, two of three experts, rows timesteps.
  private func batch(_ rows: [[Int32]], layer: Int = 0) -> RoutingBatch {
    var batch = RoutingBatch(router: RouterID(layer: layer), expertCount: 3, topK: 2, firstToken: 0, count: rows.count)
    batch.selectedExperts = rows.flatMap(\.self)
    return batch
  }

  @Test func aHandMadeTable() {
    let paths = TimestepPaths([batch([[0, 1], [1, 0], [1, 2], [2, 1]])])
    #expect(paths.alwaysOn(router: 0) == [1])
    #expect(paths.neverOn(router: 0).isEmpty)
    #expect(paths.switches(router: 0) == [2])
    #expect(paths.paths == (2, 2))
    #expect(paths.overlap(0, 1) == 1 && paths.overlap(0, 3) == 0.5)
    #expect(paths.meanOverlap(distance: 1) == (1 + 0.5 + 1) / 3.0)
    #expect(paths.chanceOverlap == 2.0 / 3)
  }

  /// The published configuration: 12 blocks, 3 experts, 2 of them, 1000 timesteps.
  @Test func priorHasThePublishedNumbers() {
    let prior = DiffusionPrior(layers: 12, expertCount: 3, topK: 2)
    #expect(prior.unitCount == 36 && prior.window == 24)
    #expect(prior.alwaysOn == 12)
    #expect(prior.windowCount == 13)
    #expect(prior.timestepsInFirstWindow == 452)
  }

  /// A map that is the prior with its units renamed agrees wholly; one that never changes agrees less.
  @Test func agreementFindsTheMatching() throws {
    let prior = DiffusionPrior(layers: 2, expertCount: 3, topK: 2, timestepCount: 40)
    // Window of 4 of 6 units at 0, 1 or 2: units 2 and 3 always on. Unit 0 and 4, 1 and 5 take turns.
    let first = (0..<40).map { t in [Int32(0), prior.isOn(unit: 0, timestep: t) ? 1 : 2] }
    let second = (0..<40).map { t in [Int32(2), prior.isOn(unit: 1, timestep: t) ? 0 : 1] }
    let paths = TimestepPaths([batch(first), batch(second, layer: 1)])
    #expect(paths.agreement(with: prior) == 1)
    let still = TimestepPaths([batch(Array(repeating: [0, 1], count: 40)), batch(Array(repeating: [1, 2], count: 40), layer: 1)])
    #expect(try #require(still.agreement(with: prior)) < 1)
    #expect(paths.agreement(with: DiffusionPrior(layers: 3, expertCount: 3, topK: 2, timestepCount: 40)) == nil)
  }

  @Test func leastCostOfAssignments() {
    #expect(Assignment.leastCost([[4, 1, 3], [2, 0, 5], [3, 2, 2]]) == 5)
    #expect(Assignment.leastCost([[7]]) == 7)
    #expect(Assignment.leastCost([]) == 0)
    #expect(Assignment.leastCost([[1, 1], [1, 1]]) == 2)
  }
}
