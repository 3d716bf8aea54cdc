// Lists with thresholds: worked by hand. FamilyParityTests holds Monet to its reference.

import Routing
import Testing

@testable import Routing

struct ListThresholdTests {
  /// Two lists of four; the first has mean 1 and variance 4, the second is as it is. A normalised logit has to reach 1.
  private static let rule = ListThreshold(
    lists: [.init(count: 4, mean: 1, variance: 4), .init(count: 4, mean: 0, variance: 1)], threshold: 1, epsilon: 0)
  private static let spec = RouterSpec(
    expertCount: 8, scoring: .logits, selection: .aboveThreshold(rule), weighting: .softmaxOfSelectedLogits, statedWeights: .unnormalized)

  private func decide(_ logits: [Float], rules: String = "", spec: RouterSpec = spec) throws -> RoutingBatch {
    let id = RouterID(layer: 0)
    var batch = RoutingBatch(router: id, expertCount: 8, topK: spec.topK, firstToken: 0, count: logits.count / 8)
    var ruled: RuledRows?
    if !rules.isEmpty {
      let router = RouterDescription(id: id, spec: spec)
      let intervention = try Intervention(RuleSet(parsing: rules), run: FilterContext(routers: [router]), sharedExperts: [0], seed: 0)
      var table = TokenTable()
      for token in 0..<batch.count { table.append(sequence: 0, position: token, tokenID: 0, phase: .prefill) }
      ruled = RuledRows(try #require(intervention[id]), DecisionRows(table))
    }
    try Router(spec).decide(logits, ruled: ruled, demand: RoutingDemand(logitsEvery: 1), into: &batch)
    try batch.validate()
    return batch
  }

  @Test func takesAllThatReachTheThresholdOrTheBest() throws {
    // Normalised: 1.5, 1, 0.5, -1 in the first list; none of the second reaches 1, and its best is taken.
    let batch = try decide([4, 3, 2, -1, 0.5, 0.25, -2, 0.75])
    // By what they are above their list's bound: 0.5, 0 and 0, ties to the lower id.
    #expect(batch.selectedExperts == [0, 1, 7, -1, -1, -1, -1, -1])
    let (a, b) = (Float(1) / (1 + exp1(-1)), Float(1) / (1 + exp1(1)))
    for (weight, wanted) in zip(batch.routingWeights, [a, b, 1, 0, 0, 0, 0, 0]) { #expect(abs(weight - wanted) < 1e-6) }
    // The next best is a quarter of a deviation below its bound.
    #expect(abs(batch.selectionMargin[0] - 0.25) < 1e-6)
    #expect(abs(batch.importanceSum.reduce(0, +) - 1) < 1e-6 && abs(batch.importanceSum[4...].reduce(0, +) - 0.5) < 1e-6)
  }

  private func exp1(_ x: Double) -> Float {
    // Of two chosen logits one apart.
    Float(x < 0 ? 0.36787944117144233 : 2.718281828459045)
  }

  @Test func entropyIsOfAllEntries() throws {
    let even = try decide(Array(repeating: 0, count: 8))
    #expect(abs(even.routerEntropy[0] - 2.0794415) < 1e-6)
    // Certain in each list: what is left is which list.
    let sure = try decide([50, 0, 0, 0, 0, 0, 50, 0])
    #expect(abs(sure.routerEntropy[0] - 0.6931472) < 1e-5 && sure.selectedExperts.prefix(3) == [6, 0, -1])
  }

  @Test func nearTiesAreOfThresholdsOnly() throws {
    let router = try Router(Self.spec)
    func margin(_ logits: [Float]) -> Float { logits.withUnsafeBufferPointer { router.decisionMargin($0) } }
    // 3.002 and 2.9 lie 0.001 and 0.05 of a deviation from the bound; the best of the second list is taken wherever the others lie.
    #expect(abs(margin([9, 3.002, 2.9, -1, 0.999, 0, 0, 0]) - 0.001) < 1e-5)
    let near: [Float] = [9, 3.002, 2.9, -1, 0.5, 0.4995, 0, 0]
    let tie = try #require(near.withUnsafeBufferPointer { router.nearTie($0, within: 0.01) })
    #expect(tie.allows([0, 1, 4]) && tie.allows([0, 4]) && tie.allows([0, 1, 5]) && tie.allows([0, 4, 5]))
    #expect(tie.certain == [0] && !tie.allows([1, 4]))
    #expect(!tie.allows([0, 2, 4]))
  }

  @Test func numbersThatAreNoneAreNotTaken() throws {
    let batch = try decide([.nan, 3, 2, -1, .nan, .nan, .nan, .nan])
    #expect(batch.selectedExperts.prefix(2) == [1, -1] && batch.routerEntropy[0].isNaN)
  }

  @Test func masksLetOthersInOnlyWhereTheBestWent() throws {
    let logits: [Float] = [4, 3, 2, -1, 0.5, 0.25, -2, 0.75]
    // Entry 7 was the best of its list: now 4 is.
    #expect(try decide(logits, rules: "mask 0:7").selectedExperts.prefix(4) == [0, 1, 4, -1])
    // Entry 0 was one of two that reach the threshold: nobody comes in.
    #expect(try decide(logits, rules: "mask 0:0").selectedExperts.prefix(3) == [1, 7, -1])
    #expect(try decide(logits, rules: "mask 0:4-7").selectedExperts.prefix(3) == [0, 1, -1])
    #expect(try decide(logits, rules: "scale 0:0=0.5").routingWeights[0] < 0.5)
  }

  @Test(arguments: ["topk all=2", "swap all", "force 0:1", "redraw all=uniform", "broadcast all", "capacity all=1"])
  func rulesOfPlacesAreRefused(_ rules: String) {
    let router = RouterDescription(id: RouterID(layer: 0), spec: Self.spec)
    #expect { try Intervention(RuleSet(parsing: rules), run: FilterContext(routers: [router]), sharedExperts: [0], seed: 0) } throws: {
      "\($0)".contains("tokens take all that reaches a threshold")
    }
  }

  @Test func contradictionsAreRefused() {
    func refused(_ change: (inout RouterSpec) -> Void) -> Bool {
      var spec = Self.spec
      change(&spec)
      do { try spec.validate() } catch { return true }
      return false
    }
    #expect(!refused { _ in })
    #expect(refused { $0.expertCount = 9 })
    #expect(refused { $0.scoring = .softmax })
    #expect(refused { $0.correctionBias = Array(repeating: 0, count: 8) })
    #expect(
      refused { $0.selection = .aboveThreshold(ListThreshold(lists: [.init(count: 8, mean: 0, variance: -1)], threshold: 1, epsilon: 0)) })
    #expect(refused { $0.selection = .aboveThreshold(ListThreshold(lists: [], threshold: 1, epsilon: 0)) })
    #expect(refused { $0.selection = .aboveThreshold(ListThreshold(lists: Self.rule.lists, threshold: .nan, epsilon: 0)) })
  }
}
