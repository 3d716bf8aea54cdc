// The router against its reference: for every published family, the same logits give the same experts and the same weights. The
// cases are decisions recorded from running reference models; the specs below are the rules as the families' papers state them.

import Foundation
import Routing
import Support
import Testing

struct RouterTableTests {
  /// Cases of families with a capacity are whole sequences.
  private static let specs: [String: RouterSpec] = {
    func softmax(_ topK: Int, _ experts: Int, _ normalization: RouterSpec.Normalization) -> RouterSpec {
      RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK), normalization: normalization)
    }
    func topKSoftmax(_ topK: Int, _ experts: Int) -> RouterSpec {
      RouterSpec(
        expertCount: experts, scoring: .logits, selection: .tokenChoice(topK: topK), weighting: .softmaxOfSelectedLogits)
    }
    func sigmoid(_ topK: Int, _ experts: Int, epsilon: Float, scale: Float, groups: (Int, Int)? = nil) -> RouterSpec {
      RouterSpec(
        expertCount: experts, scoring: .sigmoid,
        groupLimit: groups.map { .init(groupCount: $0.0, topKGroups: $0.1, groupScore: .sumOfTopTwo, fill: .negativeInfinity) },
        selection: .tokenChoice(topK: topK), normalization: .sum(epsilon: epsilon), routedScale: scale)
    }
    return [
      "mixtral": softmax(2, 8, .sum(epsilon: 0)),
      "olmoe": softmax(4, 12, .none),
      "flex_olmo": softmax(5, 7, .none),
      "qwen2_moe": softmax(2, 8, .none),
      "qwen3_moe": softmax(2, 8, .sum(epsilon: 0)),
      "qwen3_next": softmax(3, 8, .sum(epsilon: 0)),
      "deepseek_v2-greedy": softmax(3, 8, .none),
      "deepseek_v2-q-greedy": softmax(3, 8, .none),
      "hunyuan_v1_moe": softmax(2, 8, .sum(epsilon: 0)),
      "minimax": softmax(2, 4, .sum(epsilon: 0)),
      "ernie4_5_moe": softmax(3, 8, .sumClamped(minimum: 1e-12)),
      "dbrx": softmax(3, 8, .pNorm(1)),
      "switch_transformers": RouterSpec(
        expertCount: 8, scoring: .softmax, selection: .tokenChoice(topK: 1), capacity: CapacityRule(limit: .tokens(5))),
      "nllb_moe": RouterSpec(
        expertCount: 6, scoring: .softmax, selection: .tokenChoice(topK: 2), normalization: .sumClamped(minimum: .ulpOfOne),
        routedScale: 0.8, capacity: CapacityRule(limit: .share(0.34), renormalizes: true)),
      "llama_moe_upscaling": RouterSpec(
        expertCount: 6, scoring: .softmax, selection: .tokenChoice(topK: 3), weighting: .bestTimesSoftmaxOfSelectedScores),
      "gpt_oss": topKSoftmax(4, 8),
      "gpt_oss-mxfp4": topKSoftmax(4, 8),
      "granitemoe": topKSoftmax(2, 8),
      "granitemoeshared": topKSoftmax(3, 8),
      "jetmoe": topKSoftmax(2, 4),
      "cohere2_moe": topKSoftmax(2, 8),
      "llama4_text": RouterSpec(
        expertCount: 8, scoring: .logits, selection: .tokenChoice(topK: 1), weighting: .sigmoidOfSelectedLogits, appliesTo: .input),
      "phimoe": RouterSpec(expertCount: 8, scoring: .sparsemixer(epsilon: 0.01), selection: .tokenChoice(topK: 2)),
      "deepseek_v3": sigmoid(4, 12, epsilon: 1e-20, scale: 2.5, groups: (4, 2)),
      "deepseek_v3-fp8": sigmoid(4, 12, epsilon: 1e-20, scale: 2.5, groups: (4, 2)),
      "glm4_moe": sigmoid(2, 8, epsilon: 1e-20, scale: 1.5),
      "glm4_moe_lite": sigmoid(3, 8, epsilon: 1e-20, scale: 1.8),
      "dots1": sigmoid(3, 8, epsilon: 1e-20, scale: 2.5),
      "lfm2_moe": sigmoid(3, 8, epsilon: 1e-6, scale: 1),
      "minimax_m2": sigmoid(3, 8, epsilon: 0, scale: 1),
      "afmoe": sigmoid(3, 8, epsilon: 1e-20, scale: 2),
    ]
  }()

  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    var family: String
    var router: String
    var expertCount: Int
    var logits: [Float]
    var ids: [Int32]
    var weights: [Float]
    var bias: [Float]?
    var testDescription: String { "\(family) \(router)" }

    static let all: [Case] = {
      guard let path = Fixtures.own("router_cases.json") else { return [] }
      return (try? JSONDecoder().decode([Case].self, from: Data(contentsOf: URL(fileURLWithPath: path)))) ?? []
    }()
  }

  @Test func everyFamilyHasACase() {
    #expect(Set(Case.all.map(\.family)) == Set(Self.specs.keys))
  }

  @Test(arguments: Case.all)
  func decidesAsTheReference(_ row: Case) throws {
    var spec = try #require(Self.specs[row.family])
    spec.correctionBias = row.bias
    let tokens = row.logits.count / row.expertCount
    var batch = RoutingBatch(router: RouterID(layer: 0), expertCount: row.expertCount, topK: spec.topK, firstToken: 0, count: tokens)
    var ledger = CapacityLedger()
    try Router(spec).decide(row.logits, demand: RoutingDemand(), ledger: &ledger, into: &batch)

    for token in 0..<tokens {
      let slots = token * spec.topK..<(token + 1) * spec.topK
      let expected = Dictionary(uniqueKeysWithValues: zip(row.ids[slots], row.weights[slots]))
      #expect(Set(batch.selectedExperts[slots]) == Set(expected.keys), "token \(token)")
      for slot in slots {
        guard let weight = expected[batch.selectedExperts[slot]] else { continue }
        #expect((batch.dropped?[slot] == true) == (weight == 0), "token \(token): a drop is weight 0, and nothing else is")
        #expect(abs(batch.routingWeights[slot] - weight) < 1e-5, "token \(token) expert \(batch.selectedExperts[slot])")
      }
    }
    try batch.validate()
    #expect(batch.selectedExperts.elementsEqual(row.ids), "order by falling selection score")
  }
}
