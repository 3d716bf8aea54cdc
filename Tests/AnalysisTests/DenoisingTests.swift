// Counts of denoising runs by hand, in any order and split; what is read off them; and the axes of text that they must not answer.

import Foundation
import Routing
import Testing

@testable import Analysis

@Suite struct DenoisingCountsTests {
  /// 2 steps, 2 branches, one row of 2 patches; 3 experts, 2 taken.
  static let layout = DenoisingLayout(
    sampler: "ddpm", timesteps: [999, 499], branchCount: 2, patchRows: 1, patchColumns: 2, guidanceScale: 1.5)
  static let router = RouterID(layer: 4)
  static let routers = [
    RouterDescription(id: router, spec: RouterSpec(expertCount: 3, scoring: .softmax, selection: .tokenChoice(topK: 2)))
  ]

  /// Rows of (sample, position, experts); weights 0.5 and 0.25.
  static func pass(_ rows: [(Int, Int, [Int32])], firstToken: Int = 0) -> RoutingPass {
    var tokens = TokenTable(firstToken: firstToken)
    for (sample, position, _) in rows { tokens.append(sequence: sample, position: position, tokenID: -1, phase: .denoise) }
    var batch = RoutingBatch(router: router, expertCount: 3, topK: 2, firstToken: firstToken, count: rows.count)
    batch.selectedExperts = rows.flatMap(\.2)
    batch.routingWeights = rows.flatMap { _ in [0.5, 0.25] as [Float] }
    return RoutingPass(tokens: tokens, batches: [batch])
  }

  /// Sample 0 whole, sample 66 whole, sample 1 without its last row; interleaved as steps go.
  static let passes = [
    pass([(0, 0, [0, 1]), (0, 1, [0, 2]), (66, 0, [0, 1]), (66, 1, [1, 0])]),
    pass([(0, 2, [2, 1]), (0, 3, [2, 1]), (66, 2, [2, 1]), (66, 3, [2, 1]), (1, 0, [1, 2])], firstToken: 4),
    pass([(1, 1, [1, 2]), (0, 4, [2, 1]), (0, 5, [2, -1]), (66, 4, [0, 2]), (66, 5, [1, 2]), (1, 4, [1, 2])], firstToken: 9),
    pass([(0, 6, [0, 1]), (0, 7, [0, 1]), (66, 6, [0, 1]), (66, 7, [0, 1])], firstToken: 15),
  ]

  static func folded(branch: Int = 0) throws -> DenoisingCounts {
    var counts = try DenoisingCounts(layout: layout, routers: routers, branch: branch)
    for pass in passes { counts.add(pass) }
    return counts
  }

  @Test func countsByHand() throws {
    let counts = try Self.folded()
    #expect(counts.samples == [0, 66] && counts.unfinishedCount == 1 && counts.strayRows == 0)
    #expect(counts.stepCounts(of: Self.router) == [4, 3, 1, 1, 2, 4])
    #expect(counts.patchCounts(of: Self.router) == [3, 3, 2, 2, 2, 3])
    #expect(counts.stepCounts(of: Self.router, unfinished: true) == [4, 5, 3, 1, 3, 5])
    let tables = try #require(counts.routers[Self.router])
    #expect(tables.samples[0]?.counts == [2, 2, 3] && tables.samples[66]?.counts == [3, 3, 2])
    #expect(tables.samples[0]?.weights == [1, 0.5, 1.25])
    #expect(tables.stepWeights == [1.75, 1, 0.25, 0.5, 0.75, 1.5])
    // Groups: 66 falls into group 2.
    #expect(tables.steps.indices.filter { !tables.steps[$0].isEmpty } == [0, 2])
    #expect(tables.steps[2] == [2, 2, 0, 1, 1, 2])
    let other = try Self.folded(branch: 1)
    #expect(other.stepCounts(of: Self.router) == [0, 4, 4, 4, 4, 0])
    #expect(other.samples == [0, 66])
  }

  @Test func projectionsByHand() throws {
    let counts = try Self.folded()
    var sequences = (0..<67).map { SequenceDescription(name: "\($0)") }
    sequences[0].labels["class"] = "12"
    sequences[66].labels["class"] = "3"
    let byClass = try #require(counts.projection(.label("class"), of: Self.router, sequences: sequences))
    #expect(byClass.cellNames == ["3", "12"] && byClass.values == [3, 3, 2, 2, 2, 3])
    let byStep = try #require(counts.projection(.step, of: Self.router))
    #expect(byStep.values == [4, 3, 1, 1, 2, 4])
    #expect(byStep.minMax.map { ($0 * 3).rounded() } == [3, 2, 0, 0, 1, 3])
    #expect(counts.projection(.patchRow, of: Self.router)?.values == [5, 5, 5])
    #expect(counts.projection(.patch, of: Self.router)?.cellNames == ["0,0", "0,1"])
    #expect(counts.projection(.step, of: Self.router, weighted: true)?.values.first == 1.75)
    #expect(counts.projection(.position, of: Self.router) == nil && counts.projection(.step, of: RouterID(layer: 9)) == nil)
  }

  @Test func rowsThatCannotBePlacedAreSaid() throws {
    var counts = try Self.folded()
    let before = counts.stepCounts(of: Self.router)
    counts.add(Self.pass([(0, 0, [0, 1]), (7, 8, [0, 1]), (7, -1, [0, 1])]))
    #expect(counts.strayRows == 3 && counts.stepCounts(of: Self.router) == before && counts.unfinishedCount == 1)
    var text = Self.pass([(8, 0, [0, 1])])
    text.tokens.phase = [.prefill]
    counts.add(text)
    #expect(counts.strayRows == 4 && counts.unfinishedCount == 1)
    for layout in [
      DenoisingLayout(sampler: "", timesteps: [], branchCount: 1, patchRows: 1, patchColumns: 1, guidanceScale: 1),
      DenoisingLayout(sampler: "", timesteps: [1], branchCount: 3, patchRows: 1, patchColumns: 1, guidanceScale: 1),
      DenoisingLayout(sampler: "", timesteps: [1], branchCount: 1, patchRows: 0, patchColumns: 1, guidanceScale: 1),
      DenoisingLayout(sampler: "", timesteps: [1], branchCount: 1, patchRows: 1 << 40, patchColumns: 1 << 40, guidanceScale: 1),
    ] { #expect(throws: RoutingError.self) { try DenoisingCounts(layout: layout, routers: Self.routers) } }
    #expect(throws: RoutingError.self) { try DenoisingCounts(layout: Self.layout, routers: Self.routers, branch: 2) }
    let many = RouterDescription(
      id: Self.router, spec: RouterSpec(expertCount: 1 << 26, scoring: .softmax, selection: .tokenChoice(topK: 2)))
    #expect(throws: RoutingError.self) { try DenoisingCounts(layout: Self.layout, routers: [many]) }
  }

  /// Any split of the passes, folded in any order into parts that are merged, gives the whole.
  @Test func partsMerge() throws {
    var run = SyntheticDenoising.planted
    (run.samples, run.place) = (20, [1, 0.5])
    let passes = run.passes()
    var whole = try DenoisingCounts(layout: run.layout, routers: run.routers)
    for pass in passes { whole.add(pass) }
    #expect(whole.samples.count == 20 && whole.unfinishedCount == 0)
    var random = SplitMix64(seed: 4)
    for _ in 0..<3 {
      var pieces = passes.flatMap { $0.split(at: 1 + random.below($0.tokens.count - 1)) }
      random.shuffle(&pieces)
      var parts = (0..<3).map { _ in whole.emptied() }
      for piece in pieces { parts[random.below(3)].add(piece) }
      var total = whole.emptied()
      for part in parts { total.merge(part) }
      #expect(total.samples == whole.samples && total.unfinishedCount == 0)
      for router in whole.routerIDs {
        let (a, b) = (try #require(whole.routers[router]), try #require(total.routers[router]))
        #expect(a.steps == b.steps && a.patches == b.patches)
        #expect(a.samples.mapValues(\.counts) == b.samples.mapValues(\.counts))
        #expect(zip(a.stepWeights, b.stepWeights).allSatisfy { near($0, $1) })
      }
    }
  }

  // MARK: - What is read off the counts

  @Test func useByStepByHand() {
    let use = UseByStep(counts: [4, 0, 2, 2], experts: 2)
    #expect(near(use.normalizedEntropy(0), 0) && near(use.normalizedEntropy(1), 1) && near(use.meanEntropy, 0.5))
    let expected = 0.5 * log(1 / 0.75) + 0.5 * (0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25))
    #expect(near(use.drift(0, 1), expected) && near(use.meanDrift, expected) && near(use.drift(1, 1), 0))
    #expect(near(use.overlap(0, 1), 0.5) && near(use.overlap(0, 0), 1))
    #expect(near(jensenShannon([1, 0], [0, 1]), log(2)))
    #expect(use.contrast == nil, "two steps have no early and late")
    #expect(UseByStep.early(250) == 0..<50 && UseByStep.late(250) == 100..<250 && UseByStep.early(50) == 0..<10)
  }

  /// By timestep alone the overlap is the published one: shared experts over k.
  @Test func pathOverlapOfAGateThatSeesTheTimestepOnly() throws {
    let layout = DenoisingLayout(
      sampler: "ddpm", timesteps: [999, 499], branchCount: 1, patchRows: 1, patchColumns: 1, guidanceScale: 1)
    var counts = try DenoisingCounts(layout: layout, routers: Self.routers)
    counts.add(Self.pass([(0, 0, [0, 1]), (0, 1, [2, 1])]))
    #expect(counts.pathOverlap().map { ($0 * 1e9).rounded() / 1e9 } == [1, 0.5, 0.5, 1])
  }

  @Test func rankCorrelations() {
    #expect(near(spearman([1, 2, 5, 9]), 1) && near(spearman([9, 5, 2, 1]), -1) && near(spearman([3, 3, 3]), 0))
    #expect(near(spearman([1, 3, 2, 4]), 0.8))
    let five = RankOrders(count: 5, seed: 0)
    #expect(near(five.probability(atMost: -1), 1.0 / 120) && near(five.probability(atMost: 1), 1))
    #expect(near(five.critical(level: 0.05), -0.9), "5 of 120 orders reach -0.9")
    #expect(near(RankOrders(count: 4, seed: 0).critical(level: 0.05), -1))
    // The table of critical values of Spearman's rho, one-sided 5 %, 12 layers: 0.503.
    #expect(near(RankOrders(count: 12, seed: 0).critical(level: 0.05), -0.503, 0.02))
  }

  // MARK: - The nulls

  /// One group: every shift moves the whole table, so information is the same in each draw and nothing can be found.
  @Test(arguments: Facet.denoising) func oneSampleSaysNothing(_ facet: Facet) throws {
    var run = SyntheticDenoising.planted
    (run.samples, run.place) = (1, [2])
    var counts = try DenoisingCounts(layout: run.layout, routers: run.routers)
    for pass in run.passes() { counts.add(pass) }
    let result = try #require(try SpecializationStudy(facet, of: counts, settings: NullSettings(draws: 49)).result().first)
    #expect(result.mutualInformation > 0.01 && result.effect == nil && result.nullSD < 1e-9 && result.p == 1 && result.adjustedP == 1)
    #expect(result.sequences == 1 && result.interval == nil)
  }

  /// Draws keep each expert's choices, and their mean is the expectation.
  @Test(arguments: Facet.denoising) func shiftsKeepTotals(_ facet: Facet) throws {
    var run = SyntheticDenoising.planted
    (run.samples, run.place, run.rows, run.columns) = (6, [2], 2, 3)
    var counts = try DenoisingCounts(layout: run.layout, routers: run.routers)
    for pass in run.passes() { counts.add(pass) }
    let axis = ShiftedAxis(facet, try #require(counts.routers.values.first), layout: run.layout)
    let width = axis.experts.count
    func totals(_ table: some Collection<UInt32>) -> [Int] {
      table.enumerated().reduce(into: Array(repeating: 0, count: width)) { $0[$1.offset % width] += Int($1.element) }
    }
    let observed = axis.observed()
    #expect(observed.reduce(0) { $0 + Int($1) } == 6 * run.steps * 6 * 2)
    var sums = Array(repeating: 0.0, count: observed.count)
    var squares = sums
    guard case .fixed(let expected) = axis.expectation else {
      Issue.record("a fixed expectation")
      return
    }
    var keepsTotals = true
    axis.forEachDraw(0..<2000, seed: 3) { _, table in
      keepsTotals = keepsTotals && totals(table) == totals(observed)
      for entry in sums.indices {
        sums[entry] += Double(table[entry]) / 2000
        squares[entry] += (Double(table[entry]) - expected[entry]) * (Double(table[entry]) - expected[entry]) / 2000
      }
    }
    #expect(keepsTotals)
    let spread = axis.spread(seed: 0)
    for entry in sums.indices {
      #expect(abs(sums[entry] - expected[entry]) < 5 * spread[entry] / 2000.0.squareRoot() + 1e-9)
      #expect(abs(squares[entry].squareRoot() - spread[entry]) < 0.15 * spread[entry] + 1e-9)
    }
  }

  /// Where each sample starts its circle elsewhere, the null is true, and p must not be small more often than it may.
  @Test func shiftedStepsGiveUniformP() throws {
    var values: [Double] = []
    for seed in 0..<40 {
      var run = SyntheticDenoising()
      (run.samples, run.place, run.concentration, run.rows, run.columns) = (80, [0], 2, 1, 2)
      run.seed = UInt64(seed)
      var counts = try DenoisingCounts(layout: run.layout, routers: run.routers)
      for pass in run.layout.shiftingSteps(run.passes(), seed: UInt64(seed) &+ 77) { counts.add(pass) }
      values.append(try #require(try SpecializationStudy(.step, of: counts, settings: NullSettings(draws: 99)).result().first).p)
    }
    #expect(uniformityP(values) > 0.001, "\(values.sorted())")
  }
}
