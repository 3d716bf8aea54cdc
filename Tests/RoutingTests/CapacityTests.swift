// Capacity: who is served, who is dropped, what a drop does to the weights; and that neither the cut of a sequence into batches nor an
// old trace's spec changes anything.

import Foundation
import Routing
import Testing

struct CapacityTests {
  /// Logits of tokens whose probabilities are given, `[tokens][experts]`.
  private func logits(_ probabilities: [[Float]]) -> [Float] { probabilities.flatMap { $0.map { Float(log(Double($0))) } } }

  private func decide(_ spec: RouterSpec, _ logits: [Float], cuts: [Int]? = nil) throws -> RoutingBatch {
    let router = try Router(spec)
    let tokens = logits.count / spec.expertCount
    var ledger = CapacityLedger()
    var whole: RoutingBatch?
    var first = 0
    for count in cuts ?? [tokens] {
      var part = RoutingBatch(
        router: RouterID(layer: 0), expertCount: spec.expertCount, topK: spec.topK, firstToken: first, count: count)
      logits.withUnsafeBufferPointer {
        if let base = $0.baseAddress {
          router.decide(base + first * spec.expertCount, demand: RoutingDemand(), ledger: &ledger, into: &part)
        }
      }
      if whole == nil { whole = part } else { whole?.append(part) }
      first += count
    }
    return try #require(whole)
  }

  private func top1(capacity: Int) -> RouterSpec {
    RouterSpec(
      expertCount: 2, scoring: .softmax, selection: .tokenChoice(topK: 1), capacity: CapacityRule(limit: .tokens(capacity)))
  }

  private func top2(
    _ limit: CapacityRule.Limit, order: CapacityRule.Order = .position, renormalizes: Bool = true
  ) -> RouterSpec {
    RouterSpec(
      expertCount: 3, scoring: .softmax, selection: .tokenChoice(topK: 2), normalization: .sumClamped(minimum: .ulpOfOne),
      capacity: CapacityRule(limit: limit, order: order, renormalizes: renormalizes))
  }

  private let five: [[Float]] = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4], [0.4, 0.6]]

  @Test func laterTokensAreDroppedAndKeepTheirChoice() throws {
    let batch = try decide(top1(capacity: 2), logits(five))
    #expect(batch.selectedExperts == [0, 1, 0, 0, 1])
    #expect(batch.dropped == [false, false, false, true, false])
    #expect(batch.routingWeights[3] == 0)
    #expect(abs(batch.routingWeights[2] - 0.7) < 1e-6)
    #expect(batch.assignmentCount == 4)
    #expect(abs(batch.topKMass[3] - 0.6) < 1e-6, "statistics are those of the router, drop or not")
  }

  @Test func withRoomForAllNothingIsMarked() throws {
    #expect(try decide(top1(capacity: 3), logits(five)).dropped == nil)
    #expect(try decide(top1(capacity: 0), logits(five)).dropped == Array(repeating: true, count: 5))
  }

  @Test(arguments: [[1, 1, 1, 1, 1], [3, 2], [1, 4]])
  func cutsDoNotMatter(_ cuts: [Int]) throws {
    let whole = try decide(top1(capacity: 2), logits(five))
    let parts = try decide(top1(capacity: 2), logits(five), cuts: cuts)
    #expect(parts.dropped == whole.dropped && parts.routingWeights == whole.routingWeights)
  }

  @Test func firstChoicesOfAllComeBeforeSecondChoices() throws {
    // Token 0 takes 0 then 1; token 1 takes 1 then 0; token 2 takes 1 then 2. Room for two.
    let three: [[Float]] = [[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.1, 0.6, 0.3]]
    let batch = try decide(top2(.tokens(2)), logits(three))
    #expect(batch.dropped == [false, true, false, false, false, false], "both places of expert 1 go to first choices")
    #expect(abs(batch.routingWeights[0] - 1) < 1e-6, "renormalised over what is left")
    #expect(abs(batch.routingWeights[2] - 2.0 / 3) < 1e-6)
    let before = try decide(top2(.tokens(2), renormalizes: false), logits(three))
    #expect(abs(before.routingWeights[0] - 2.0 / 3) < 1e-6, "the drop takes weight away")
    #expect(before.dropped == batch.dropped)
  }

  @Test func theSurestTokensAreServedFirst() throws {
    let three: [[Float]] = [[0.5, 0.3, 0.2], [0.7, 0.2, 0.1], [0.6, 0.1, 0.3]]
    let byPlace = try decide(top2(.tokens(1)), logits(three))
    let byProbability = try decide(top2(.tokens(1), order: .probability), logits(three))
    #expect(byPlace.dropped?[0] == false && byPlace.dropped?[2] == true)
    #expect(byProbability.dropped?[0] == true && byProbability.dropped?[2] == false)
  }

  @Test func aTokenThatLosesAllHasNoWeight() throws {
    let same: [[Float]] = [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]
    let batch = try decide(top2(.tokens(1)), logits(same))
    #expect(batch.routingWeights[2...3].elementsEqual([0, 0]))
    #expect(batch.dropped == [false, false, true, true])
  }

  @Test func aShareIsRoundedUp() {
    let rule = CapacityRule(limit: .share(0.25))
    #expect([1, 4, 5, 8, 9].map(rule.tokensPerExpert) == [1, 1, 2, 2, 3])
    #expect(rule.looksAhead(topK: 1))
    #expect(!CapacityRule(limit: .tokens(3)).looksAhead(topK: 1))
    #expect(CapacityRule(limit: .tokens(3)).looksAhead(topK: 2))
  }

  @Test func impossibleRulesAreRefused() {
    #expect(throws: RoutingError.self) { try Router(top1(capacity: -1)) }
    #expect(throws: RoutingError.self) { try Router(top2(.share(1.5))) }
    var unbounded = top2(.tokens(1))
    unbounded.normalization = .sum(epsilon: 0)
    #expect(throws: RoutingError.self) { try Router(unbounded) }
  }

  @Test func specsWrittenBeforeCapacityExistedAreRead() throws {
    let old = #"""
      {"expertCount":4,"identityExperts":0,"scoring":{"softmax":{}},"selection":{"tokenChoice":{"topK":2}},"weighting":"scores",
      "normalization":{"none":{}},"routedScale":1,"appliesTo":"output"}
      """#
    let spec = try JSONDecoder().decode(RouterSpec.self, from: Data(old.utf8))
    #expect(spec.capacity == nil && !spec.takesWholeSequences)
    for spec in [top1(capacity: 5), top2(.share(0.34), order: .probability)] {
      #expect(try JSONDecoder().decode(RouterSpec.self, from: JSONEncoder().encode(spec)) == spec)
    }
  }

  /// Drops are drops to the audit; each stack is held to its own tokens.
  @Test func theAuditKnowsDropsAndStacks() throws {
    let encoder = RouterID(stack: .encoder, layer: 1)
    let decoder = RouterID(stack: .decoder, layer: 1)
    let spec = top1(capacity: 2)
    func pass(_ router: RouterID, _ phase: TokenPhase, firstToken: Int, tokens: Int) throws -> RoutingPass {
      var batch = try decide(spec, logits(Array(five.prefix(tokens))))
      (batch.router, batch.firstToken) = (router, firstToken)
      var table = TokenTable(firstToken: firstToken)
      for position in 0..<tokens { table.append(sequence: 0, position: position, tokenID: 0, phase: phase) }
      return RoutingPass(tokens: table, batches: [batch])
    }
    var audit = try CaptureAudit(routers: [encoder, decoder].map { RouterDescription(id: $0, spec: spec) })
    audit.add(try pass(encoder, .encode, firstToken: 0, tokens: 5))
    audit.add(try pass(decoder, .prefill, firstToken: 5, tokens: 3))
    let checks = Dictionary(uniqueKeysWithValues: audit.result().map { ($0.name, $0) })
    #expect(checks["assignment_sum"]?.outcome == .held)
    #expect(checks["equal_tokens"]?.outcome == .held)
    audit.add(try pass(encoder, .prefill, firstToken: 8, tokens: 3))
    let wrong = Dictionary(uniqueKeysWithValues: audit.result().map { ($0.name, $0) })
    #expect(wrong["equal_tokens"]?.outcome == .failed, "an encoder's router on tokens that no encoder was fed")
  }
}
