// Routers that look experts up by token id: what is defined there (experts, weights, what the gate would have had) and what is not (how sure
// a choice was that nobody made), which rules mean something, and how a capture that is off by one shows.

import Foundation
import Routing
import Testing

struct HashRoutingTests {
  private static let id = RouterID(layer: 0)
  private static let spec = RouterSpec(
    expertCount: 4, scoring: .sqrtSoftplus, selection: .hash(topK: 2), normalization: .sum(epsilon: 1e-20), routedScale: 1.5)
  private static let scored = RouterSpec(
    expertCount: 4, scoring: .sqrtSoftplus, correctionBias: [0, 0, 1, 0], selection: .tokenChoice(topK: 2),
    normalization: .sum(epsilon: 1e-20), routedScale: 1.5)
  private static let description = RouterDescription(id: id, spec: spec)
  /// Two tokens.
  private static let logits: [Float] = [0, 1, 30, -1, 2, 2, 0, -20]
  private static let table: [Int32] = [3, 0, 1, 2]

  private func decide(
    _ spec: RouterSpec, _ logits: [Float], _ hashed: [Int32] = [], _ rules: String = "", tokens: [Int32] = [5, 9]
  ) throws -> RoutingBatch {
    let count = logits.count / spec.expertCount
    let routers = [RouterDescription(id: Self.id, spec: spec)]
    let bound = try Intervention(RuleSet(parsing: rules), run: FilterContext(routers: routers), sharedExperts: [1])[Self.id]
    let table = self.table(tokens.prefix(count))
    var batch = RoutingBatch(
      router: Self.id, expertCount: spec.expertCount, topK: bound?.slots ?? spec.topK, firstToken: 0, count: count)
    var ledger = CapacityLedger()
    try hashed.withUnsafeBufferPointer {
      try Router(spec).decide(
        logits, hashed: $0.baseAddress, ruled: bound.map { RuledRows($0, DecisionRows(table)) }, demand: RoutingDemand(logitsEvery: 1),
        ledger: &ledger, into: &batch)
    }
    return batch
  }

  private func table(_ tokens: ArraySlice<Int32>) -> TokenTable {
    var table = TokenTable()
    for (position, id) in tokens.enumerated() { table.append(sequence: 0, position: position, tokenID: id, phase: .prefill) }
    return table
  }

  private func isNear(_ a: [Float], _ b: [Float]) -> Bool { a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) < 1e-5 } }

  @Test func scoresAreRootsOfSoftplus() throws {
    // ln 2, ln(1 + e), 30 and ln(1 + 1/e), and of these the roots.
    let scores = [Float(0), 1, 30, -1].map { RouterSpec.Share.sqrtSoftplus($0) }
    #expect(isNear(scores, [0.832555, 1.145976, 5.477226, 0.559701]))
    let batch = try decide(Self.scored, Array(Self.logits.prefix(4)))
    #expect(batch.selectedExperts == [2, 1])
    // 1.5 x 5.477226 and 1.5 x 1.145976, each over their sum 6.623202.
    #expect(isNear(batch.routingWeights, [1.240462, 0.259537]), "the bias weighs nothing")
    // The third is 0.832555; all four sum to 8.015457.
    #expect(isNear(batch.selectionMargin, [0.313421]))
    #expect(isNear(batch.topKMass, [0.826304]))
    #expect(Self.scored.selectionScoreUnit == "biased sqrt-softplus score")
    #expect(Self.scored.share == .sqrtSoftplus && Self.spec.share == .sqrtSoftplus)
  }

  @Test func expertsAreThoseOfTheTableAndNothingIsUncertain() throws {
    let batch = try decide(Self.spec, Self.logits, Self.table)
    #expect(batch.selectedExperts == [0, 3, 1, 2], "the better scored first: the order of a table means nothing")
    // 0.832555 and 0.559701 of 1.392256.
    #expect(isNear(Array(batch.routingWeights[..<2]), [0.896986, 0.603014]))
    let undefined = batch.routerEntropy + batch.selectionMargin + batch.top1Margin
    #expect(undefined.count == 6)
    let areNaN = undefined.allSatisfy { $0.isNaN }
    #expect(areNaN)
    #expect(isNear([batch.topKMass[0]], [0.173697]), "what the gate's own distribution gives them is a number")
    let mass: Double = batch.importanceSum.reduce(0, +)
    #expect(abs(mass - 2) < 1e-5)
    #expect(batch.squaredLogSumExpSum > 900)
    #expect(batch.logits?.values == Self.logits)
    let router = try Router(Self.spec)
    Self.logits.prefix(4).withContiguousStorageIfAvailable {
      #expect(router.decisionMargin($0) == .infinity && router.nearTie($0, within: 100) == nil)
    }
    #expect(Self.spec.selectionScoreUnit == "none")
    #expect(Self.spec.summary == "sqrt-softplus, 2 of 4 by token id, weights renormalised, scaled by 1.5")
  }

  @Test func theSpecGoesThroughATrace() throws {
    let stored = try JSONEncoder().encode(Self.spec)
    #expect(try JSONDecoder().decode(RouterSpec.self, from: stored) == Self.spec)
    var biased = Self.spec
    biased.correctionBias = [0, 0, 0, 0]
    #expect(throws: RoutingError.self) { try biased.validate() }
    var drawn = Self.spec
    drawn.scoring = .sparsemixer(epsilon: 0.1)
    #expect(throws: RoutingError.self) { try drawn.validate() }
  }

  @Test func rulesThatMeanSomethingDoIt() throws {
    func ids(_ rules: String) throws -> [Int32] { try decide(Self.spec, Self.logits, Self.table, rules).selectedExperts }
    #expect(try ids("force 0:2") == [2, 0, 1, 2], "in place of the one that weighs least; token 9 has it already")
    let all = try ids("broadcast 0")
    #expect(all.count == 8)
    let redrawn = try ids("redraw 0=uniform")
    #expect(redrawn.count == 4 && redrawn.allSatisfy { $0 >= 0 && $0 < 4 })
    let plain = try decide(Self.spec, Self.logits, Self.table)
    let scaled = try decide(Self.spec, Self.logits, Self.table, "scale 0:3=0")
    #expect(scaled.selectedExperts == plain.selectedExperts && scaled.routingWeights[1] == 0)
    let hot = try decide(Self.spec, Self.logits, Self.table, "temperature 0=2")
    #expect(hot.selectedExperts == plain.selectedExperts && hot.routingWeights != plain.routingWeights, "weights, not experts")
    let full = try decide(Self.spec, Self.logits + Self.logits, Self.table + Self.table, "capacity 0=1tok", tokens: [5, 9, 5, 9])
    #expect(full.selectedExperts == plain.selectedExperts + plain.selectedExperts)
    #expect(full.dropped == [false, false, false, false, true, true, true, true])
    #expect(try ids("force 0:2 if entropy>0") == plain.selectedExperts, "no condition on what is not defined holds")
    #expect(try ids("force 0:2 if id=5") == [2, 0, 1, 2])
  }

  @Test(arguments: ["mask 0:1", "mask 0:top1", "topk 0=1", "topk all=+1", "swap 0", "bias 0=off"])
  func rulesThatCompareScoresAreRefused(_ rules: String) {
    let error = #expect(throws: RuleError.self) {
      try Intervention(RuleSet(parsing: rules), run: FilterContext(routers: [Self.description]), sharedExperts: [1])
    }
    let words = error.map { "\($0)" } ?? ""
    #expect(words.contains(rules.hasPrefix("bias") ? "no correction bias" : "looked up by token id"))
  }

  @Test func rulesForAllLeaveThemAloneAndSaySo() throws {
    let routers = [Self.description, RouterDescription(id: RouterID(layer: 1), spec: Self.scored)]
    let rules = try Intervention(
      RuleSet(parsing: "mask all:1; scale all:1=0"), run: FilterContext(routers: routers), sharedExperts: [1, 1])
    #expect(rules.rules.skipped(routers)?.hasPrefix("mask, topk and swap leave ffn.0 as they are") == true)
    #expect(rules.rules.skipped(Array(routers.dropFirst())) == nil)
    #expect(rules[routers[0].id]?.choosesExperts == false && rules[routers[1].id]?.choosesExperts == true)
    let error = #expect(throws: RuleError.self) {
      try Intervention(RuleSet(parsing: "swap 0-1"), run: FilterContext(routers: routers), sharedExperts: [1, 1])
    }
    let words = error.map { "\($0)" } ?? ""
    #expect(words.contains("chosen by score at ffn.1"))
  }

  /// - Parameter shift: rows by which the decisions lag behind the tokens.
  private func checks(shift: Int) throws -> [String: CaptureCheck] {
    let tokens = (0..<200).map { Int32($0 * $0 % 40) }
    func experts(_ token: Int32) -> [Int32] { [token % 4, (token + 1 + token / 4 % 3) % 4] }
    let logits = (0..<800).map { Float(($0 * 37) % 19) / 9 - 1 }
    let hashed = tokens.indices.flatMap { experts(tokens[($0 + shift) % tokens.count]) }
    let batch = try decide(Self.spec, logits, hashed, tokens: tokens)
    let table = self.table(tokens[...])
    var audit = try CaptureAudit(routers: [Self.description])
    audit.add(RoutingPass(tokens: table, batches: [batch]))
    return Dictionary(uniqueKeysWithValues: audit.result().map { ($0.name, $0) })
  }

  @Test func aTokenTakesTheSameExpertsWhereverItStands() throws {
    let sound = try checks(shift: 0)
    #expect(sound["selection_recomputed"]?.outcome == .held)
    #expect(sound["finite_logits"]?.outcome == .held, "an entropy that is not defined is no fault")
    #expect(sound["score_sum"]?.detail == "sqrt-softplus scores need not sum to 1")
    let shifted = try checks(shift: 1)
    #expect(shifted["selection_recomputed"]?.outcome == .failed, "a capture that is off by a token")
  }
}
