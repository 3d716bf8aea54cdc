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

/// The axis of what tokens are: cells, its null, and what it finds.
struct TokenAxisTests {
  /// Texts whose router looks at tokens below `planted`, or at none.
  private func run(planted: Int32, seed: UInt64) throws -> SyntheticRouting.Run {
    var run = try SyntheticRouting(documents: 16, length: 60...60, dirichlet: 0.5, stickiness: 0.5, seed: seed).run()
    var random = SplitMix64(seed: seed &+ 99)
    for pass in run.passes.indices {
      for row in 0..<run.passes[pass].tokens.count {
        let id = Int32(random.below(30))
        run.passes[pass].tokens.tokenID[row] = id
        if id < planted { run.passes[pass].batches[0].selectedExperts[row * 2] = id % 8 }
      }
    }
    return run
  }

  @Test func aPlantedPreferenceIsFoundAndNoneIsNot() throws {
    let found = try #require(try study(run(planted: 6, seed: 1), .vocabulary, draws: 99).result().first)
    #expect(found.p == 0.01 && (found.effect ?? 0) > 0.03 && found.cells.count == 30)
    let strongest = try #require(found.enrichment.first)
    #expect(strongest.observed > 0 && found.cells[strongest.cell].name.count >= 3)
    var small = 0
    for seed in 0..<40 {
      let none = try #require(try study(run(planted: 0, seed: UInt64(seed)), .vocabulary, draws: 99, seed: UInt64(seed)).result().first)
      if none.p <= 0.05 { small += 1 }
    }
    #expect(small <= 6, "clustered texts and sticky choices are not taken for a taste in tokens")
  }

  /// Every shift leaves each text its tokens and its choices, and the mean over them is what is expected.
  @Test func theNullKeepsWhatTextsHave() throws {
    let run = try run(planted: 6, seed: 2)
    var routes = RouteStore(keepsTokens: true)
    for pass in run.passes { for batch in pass.batches { routes.add(batch, tokens: pass.tokens) } }
    let cells = TokenCells(.vocabulary, counts: routes.tokenCounts) { "\($0)" }
    let axis = TokenAxis(routes, cells)
    guard case .fixed(let expected) = axis.expectation else { Issue.record("no fixed expectation"); return }
    let width = axis.experts.count
    let observed = axis.observed()
    var mean = Array(repeating: 0.0, count: axis.tableSize)
    axis.forEachDraw(0..<400, seed: 5) { _, table in
      for cell in 0..<axis.cellNames.count {
        let range = cell * width..<(cell + 1) * width
        let (drawn, seen): (UInt32, UInt32) = (table[range].reduce(0, +), observed[range].reduce(0, +))
        #expect(drawn == seen)
      }
      for entry in table.indices { mean[entry] += Double(table[entry]) / 400 }
    }
    var error = 0.0
    for entry in mean.indices { error += abs(mean[entry] - expected[entry]) }
    #expect(error / Double(axis.tableSize) < 0.35, "\(error)")
    let choices: UInt32 = observed.reduce(0, +)
    #expect(abs(expected.reduce(0, +) - Double(choices)) < 1e-6)
  }

  @Test func rareWordsShareACellAndClassesAreTold() {
    let counts = Dictionary(uniqueKeysWithValues: (0..<100).map { (Int32($0), 1000 - $0) })
    let cells = TokenCells(.vocabulary, counts: counts) { "w\($0)" }
    #expect(cells.names.count == 64 && cells.names[0] == "'w0'")
    #expect(cells.names[63] == "37 others" && cells.cell(99) == 63)
    let classes: [(String?, TokenClass)] = [
      (" the", .word), (" Paris", .capitalised), ("The", .capitalised), ("ing", .wordPart), (" сказал", .otherScript), (" 7", .number),
      ("42", .number), (",", .punctuation), ("();", .punctuation), ("   ", .space), ("\n\n", .lineEnd), ("<|bos|>", .special),
      (nil, .other),
      ("\u{FFFD}", .other), ("<", .punctuation), ("it's", .wordPart), ("x1", .other),
    ]
    for (text, kind) in classes { #expect(TokenClass(text) == kind, "\(text ?? "nil")") }
  }
}
