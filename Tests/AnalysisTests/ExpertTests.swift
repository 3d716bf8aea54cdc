// What experts take and with whom they are chosen: planted preferences are found, routers without any are not accused.

import Routing
import Testing

@testable import Analysis

struct ExpertTests {
  /// Texts of `length` tokens over `vocabulary` ids; `prefers` gives the logits that a token adds.
  private func pass(
    texts: Int = 12, length: Int = 80, experts: Int = 8, topK: Int = 2, vocabulary: Int = 20, seed: UInt64 = 3,
    prefers: (Int32) -> [Int: Float] = { _ in [:] }
  ) throws -> RoutingPass {
    var random = SplitMix64(seed: seed)
    let router = try Router(RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK)))
    var tokens = TokenTable()
    var logits: [Float] = []
    for text in 0..<texts {
      for position in 0..<length {
        let id = Int32(random.below(vocabulary))
        tokens.append(sequence: text, position: position, tokenID: id, phase: .prefill)
        let own = prefers(id)
        for expert in 0..<experts { logits.append(Float(random.unit()) + (own[expert] ?? 0)) }
      }
    }
    var batch = RoutingBatch(router: RouterID(layer: 0), expertCount: experts, topK: topK, firstToken: 0, count: texts * length)
    logits.withUnsafeBufferPointer { if let base = $0.baseAddress { router.decide(base, demand: RoutingDemand(), into: &batch) } }
    return RoutingPass(tokens: tokens, batches: [batch])
  }

  @Test func aPlantedTokenIsFound() throws {
    let pass = try pass { $0 == 7 ? [3: 2] : [:] }
    let found = ExpertTokens(3, of: pass.batches[0], tokens: pass.tokens, settings: NullSettings(draws: 99, seed: 1))
    let first = try #require(found.preferences.first)
    #expect(first.tokenID == 7 && first.share == 1 && first.adjustedP == 0.01)
    #expect(abs(first.lift - Double(found.decisions) / Double(found.taken)) < 1e-9 && first.lift > (found.chanceLift ?? .infinity))
    let interval = try #require(first.interval)
    #expect(interval.low <= first.lift && first.lift <= interval.high)
    #expect(found.preferences.dropFirst().allSatisfy { $0.lift < first.lift })
  }

  /// With no preference the largest lift is what chance makes of it: p is spread over the whole range.
  @Test func aRouterWithoutTasteIsNotAccused() throws {
    var least: [Double] = []
    for seed in 0..<40 {
      let pass = try pass(seed: UInt64(seed))
      let found = ExpertTokens(0, of: pass.batches[0], tokens: pass.tokens, settings: NullSettings(draws: 99, seed: UInt64(seed)))
      least.append(try #require(found.preferences.first).adjustedP)
    }
    #expect(least.count { $0 <= 0.05 } <= 6, "\(least.sorted().prefix(8))")
    #expect(least.contains { $0 > 0.5 })
  }

  @Test func rareTokensAreLeftOut() throws {
    let pass = try pass(texts: 2, length: 30, vocabulary: 500)
    let found = ExpertTokens(1, of: pass.batches[0], tokens: pass.tokens, settings: NullSettings(draws: 9))
    #expect(found.preferences.isEmpty && found.rare > 20 && found.chanceLift == nil && found.draws == 0)
    let none = ExpertTokens(1, of: pass.batches[0], tokens: pass.tokens, settings: NullSettings(draws: 9), isWanted: { false })
    #expect(none.draws == 0)
  }

  @Test func partnersAreHeldAgainstLoad() throws {
    let even = try pass(texts: 40)
    let chance = ExpertPartners(2, of: even.batches[0])
    #expect(chance.partners.count == 7 && chance.partners.allSatisfy { abs($0.ratio - 1) < 0.35 })
    #expect(chance.partners.reduce(0) { $0 + $1.together } == chance.taken)
    #expect(abs(chance.partners.reduce(0) { $0 + $1.expected } - Double(chance.taken)) < 1e-6)
    let planted = try pass { $0 < 6 ? [2: 2, 5: 2] : [:] }
    #expect(ExpertPartners(2, of: planted.batches[0]).partners.first?.expert == 5)
    #expect(ExpertPartners(2, of: try pass(texts: 1, length: 6).batches[0]).partners.isEmpty, "too few to say")
  }

  @Test func useCountsRanksWeightsAndTheFirstToken() throws {
    let pass = try pass { $0 == 4 ? [6: 3] : [:] }
    let batch = pass.batches[0]
    let use = ExpertUse(batch, tokens: pass.tokens)
    #expect(use.decisions == 960 && use.rows[6].topToken == 4)
    for expert in 0..<8 {
      let slots = batch.selectedExperts.indices.filter { batch.selectedExperts[$0] == Int32(expert) }
      #expect(use.rows[expert].ranks == [slots.count { $0 % 2 == 0 }, slots.count { $0 % 2 == 1 }])
      #expect(abs(use.rows[expert].weightSum - slots.reduce(0.0) { $0 + Double(batch.routingWeights[$1]) }) < 1e-6)
    }
    let heaviest = batch.heaviestRows(of: 6, tokens: pass.tokens, most: 6)
    #expect(heaviest.count == 6 && heaviest.map(\.weight) == heaviest.map(\.weight).sorted(by: >))
    let ids = Dictionary(grouping: heaviest) { pass.tokens.tokenID[$0.row] }
    #expect(ids.values.allSatisfy { $0.count <= 2 })
  }
}
