// Properties of the router that no reference table pins: statistics, groups, ties, bad numbers, refused specs.

import Foundation
import Routing
import Testing

struct RouterTests {
  private func decide(_ spec: RouterSpec, _ logits: [Float], every: Int? = nil, firstToken: Int = 0) throws -> RoutingBatch {
    var batch = RoutingBatch(
      router: RouterID(layer: 0), expertCount: spec.expertCount, topK: spec.topK, firstToken: firstToken,
      count: logits.count / spec.expertCount)
    try Router(spec).decide(logits, demand: RoutingDemand(logitsEvery: every), into: &batch)
    return batch
  }

  private func softmax(_ topK: Int, _ experts: Int) -> RouterSpec {
    RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK))
  }

  @Test func uniformLogitsAreMaximallyUncertain() throws {
    let batch = try decide(softmax(2, 8), Array(repeating: 1, count: 8))
    #expect(abs(batch.routerEntropy[0] - 2.0794415) < 1e-5)
    #expect(batch.selectionMargin[0] == 0)
    #expect(batch.top1Margin[0] == 0)
    #expect(abs(batch.topKMass[0] - 0.25) < 1e-6)
    #expect(batch.selectedExperts == [0, 1], "ties go to the lower id")
    #expect(abs(batch.squaredLogSumExpSum - (1 + 2.0794415) * (1 + 2.0794415)) < 1e-4)
    #expect(abs(batch.importanceSum.reduce(0, +) - 1) < 1e-6)
  }

  @Test func oneHotLogitsAreCertain() throws {
    let batch = try decide(softmax(1, 4), [0, 0, 200, 0])
    #expect(batch.routerEntropy[0] < 1e-6)
    #expect(batch.top1Margin[0] == 1)
    #expect(batch.topKMass[0] == 1)
    #expect(batch.selectedExperts == [2])
  }

  @Test func sigmoidUncertaintyUsesScoresDividedByTheirSum() throws {
    let spec = RouterSpec(expertCount: 2, scoring: .sigmoid, selection: .tokenChoice(topK: 1))
    let batch = try decide(spec, [0, -1.0986123])  // sigmoids 0.5 and 0.25: shares 2/3 and 1/3
    #expect(abs(batch.routerEntropy[0] - 0.6365142) < 1e-5)
    #expect(abs(batch.topKMass[0] - 2.0 / 3) < 1e-5)
    #expect(abs(batch.selectionMargin[0] - 0.25) < 1e-6)
  }

  @Test func marginsAreUndefinedWithoutAnotherExpert() throws {
    let batch = try decide(softmax(2, 2), [1, 0])
    #expect(batch.selectionMargin[0].isNaN)
    #expect(try decide(softmax(1, 1), [3]).top1Margin[0].isNaN)
  }

  @Test func groupsByTheirMaximumWithZeroFill() throws {
    var spec = softmax(2, 6)
    spec.groupLimit = .init(groupCount: 3, topKGroups: 1, groupScore: .maximum, fill: .zero)
    // Expert 4 is the best; its group holds expert 5, the worst: both are taken.
    let batch = try decide(spec, [2, 2, 1, 1, 3, -3])
    #expect(batch.selectedExperts == [4, 5])
  }

  @Test func groupsByTheSumOfTheirTopTwo() throws {
    var spec = RouterSpec(expertCount: 6, scoring: .logits, selection: .tokenChoice(topK: 2), weighting: .ones)
    spec.groupLimit = .init(groupCount: 2, topKGroups: 1, groupScore: .sumOfTopTwo, fill: .negativeInfinity)
    let batch = try decide(spec, [5, -4, -4, 2, 2, 2])
    #expect(batch.selectedExperts == [3, 4])
    let margin = try [Float]([5, -4, -4, 2, 2, 2]).withUnsafeBufferPointer { try Router(spec).decisionMargin($0) }
    #expect(margin == 0, "experts 3, 4 and 5 tie")
  }

  @Test func aNearTieAllowsOnlyWhatTies() throws {
    let router = try Router(RouterSpec(expertCount: 5, scoring: .logits, selection: .tokenChoice(topK: 2), weighting: .ones))
    func tie(_ logits: [Float]) -> NearTie? { logits.withUnsafeBufferPointer { router.nearTie($0, within: 0.01) } }
    #expect(tie([5, 4, 3, 0, 0]) == nil)
    let found = try #require(tie([5, 4, 3.995, 0, 0]))
    #expect(found.certain == [0] && found.possible == [0, 1, 2])
    #expect(found.allows([0, 1]) && found.allows([2, 0]) && !found.allows([1, 2]) && !found.allows([0, 3]))
    #expect(tie([5, 5, 5, 5, 0])?.allows([2, 3]) == true)
    // Which group is kept is open: so is everything.
    var spec = RouterSpec(expertCount: 4, scoring: .logits, selection: .tokenChoice(topK: 1), weighting: .ones)
    spec.groupLimit = .init(groupCount: 2, topKGroups: 1, groupScore: .maximum, fill: .negativeInfinity)
    let grouped = try [Float]([3, 0, 3, 1]).withUnsafeBufferPointer { try Router(spec).nearTie($0, within: 0.01) }
    #expect(grouped?.allows([0]) == true && grouped?.allows([2]) == true)
  }

  @Test func biasSelectsButDoesNotWeigh() throws {
    let spec = RouterSpec(
      expertCount: 3, scoring: .sigmoid, correctionBias: [0, 0, 1], selection: .tokenChoice(topK: 1))
    let batch = try decide(spec, [2, 0, 0])
    #expect(batch.selectedExperts == [2])
    #expect(batch.routingWeights == [0.5])
  }

  @Test func imposedExpertsAreWeighedByTheirOwnScores() throws {
    var spec = softmax(2, 4)
    let logits: [Float] = [3, 2, 1, 0, 3, 2, 1, 0]
    func imposed(_ experts: [Int32]) throws -> RoutingBatch {
      var batch = RoutingBatch(router: RouterID(layer: 0), expertCount: 4, topK: 2, firstToken: 0, count: 2)
      var ledger = CapacityLedger()
      try Router(spec).decide(logits, imposed: [1: experts], demand: RoutingDemand(), ledger: &ledger, into: &batch)
      return batch
    }
    let scores = [3, 2, 1, 0].map { exp(Float($0)) }
    let sum = scores.reduce(0, +)
    let batch = try imposed([3, 1])
    #expect(batch.selectedExperts == [0, 1, 1, 3], "by falling score; the other token is left alone")
    #expect(zip(batch.routingWeights, [0, 1, 1, 3].map { scores[$0] / sum }).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(abs(batch.selectionMargin[1] - (scores[3] - scores[0]) / sum) < 1e-6, "the best expert was passed over")
    #expect(abs(batch.topKMass[1] - (scores[1] + scores[3]) / sum) < 1e-6)
    spec.normalization = .sum(epsilon: 0)
    #expect(abs(try imposed([2, 3]).routingWeights[2] - scores[2] / (scores[2] + scores[3])) < 1e-6)
    #expect(try imposed([1, 0]) == imposed([0, 1]) && imposed([0, 1]).selectedExperts == [0, 1, 0, 1])
  }

  @Test func nonFiniteLogitsAreReportedAndNeverPreferred() throws {
    let batch = try decide(softmax(1, 3), [.nan, 1, 0, 1, .infinity, 0])
    #expect(batch.routerEntropy[0].isNaN)
    #expect(batch.routerEntropy[1].isNaN)
    try batch.validate()
  }

  @Test func keepsLogitsOfEveryNthTokenOfTheRun() throws {
    let logits = (0..<10).map(Float.init)
    let batch = try decide(softmax(1, 2), logits, every: 2, firstToken: 3)
    #expect(batch.logits == RouterLogits(rows: [1, 3], values: [2, 3, 6, 7]))
  }

  @Test func refusesContradictorySpecs() {
    #expect(throws: RoutingError.self) { try Router(softmax(9, 8)) }
    #expect(throws: RoutingError.self) { try Router(softmax(0, 8)) }
    var grouped = softmax(4, 8)
    grouped.groupLimit = .init(groupCount: 3, topKGroups: 1, groupScore: .maximum, fill: .zero)
    #expect(throws: RoutingError.self) { try Router(grouped) }
    grouped.groupLimit = .init(groupCount: 4, topKGroups: 1, groupScore: .maximum, fill: .negativeInfinity)
    #expect(throws: RoutingError.self) { try Router(grouped) }
    var biased = softmax(1, 8)
    biased.correctionBias = [1]
    #expect(throws: RoutingError.self) { try Router(biased) }
  }
}
