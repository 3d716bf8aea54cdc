// The audit must hold on honest routing and cry out on each of the known ways to capture it wrongly.

import Routing
import Testing

struct CaptureAuditTests {
  private let spec = RouterSpec(expertCount: 8, scoring: .softmax, selection: .tokenChoice(topK: 2))
  private let id = RouterID(layer: 0)

  /// Decisions of `tokens` pseudo-random tokens.
  private func honest(tokens: Int, logitsEvery: Int? = 1) throws -> RoutingPass {
    var state: UInt64 = 42
    let logits = (0..<tokens * spec.expertCount).map { _ -> Float in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(state >> 40) / Float(1 << 22) - 2
    }
    var batch = RoutingBatch(router: id, expertCount: 8, topK: 2, firstToken: 0, count: tokens)
    try Router(spec).decide(logits, demand: RoutingDemand(logitsEvery: logitsEvery), into: &batch)
    return pass(batch)
  }

  private func pass(_ batch: RoutingBatch, tokens: Int? = nil) -> RoutingPass {
    var table = TokenTable()
    for position in 0..<(tokens ?? batch.count) { table.append(sequence: 0, position: position, tokenID: Int32(position), phase: .prefill) }
    return RoutingPass(tokens: table, batches: [batch])
  }

  private func audit(_ passes: [RoutingPass]) throws -> [String: CaptureCheck] {
    var audit = try CaptureAudit(routers: [RouterDescription(id: id, spec: spec)])
    for pass in passes { audit.add(pass) }
    return Dictionary(uniqueKeysWithValues: audit.result().map { ($0.name, $0) })
  }

  @Test func honestRoutingHolds() throws {
    let checks = try audit([honest(tokens: 300)])
    for check in checks.values where check.name != "finite_outputs" { #expect(check.outcome == .held, "\(check.name): \(check.detail)") }
    #expect(checks["finite_outputs"]?.outcome == .notApplicable)
  }

  @Test func withoutLogitsTheRecheckDoesNotApply() throws {
    #expect(try audit([honest(tokens: 40, logitsEvery: nil)])["selection_recomputed"]?.outcome == .notApplicable)
    #expect(try audit([])["assignment_sum"]?.outcome == .notApplicable)
  }

  @Test func aStridedCopyOfTheArgsortIsFound() throws {
    var pass = try honest(tokens: 256, logitsEvery: nil)
    // Read flat, an argsort of 8 experts looks like four tokens that deal out all experts.
    for token in 0..<256 {
      for slot in 0..<2 { pass.batches[0].selectedExperts[token * 2 + slot] = Int32((token % 4) * 2 + slot) }
    }
    let checks = try audit([pass])
    #expect(checks["no_partition"]?.outcome == .failed)
    #expect(checks["load_variance"]?.outcome == .failed)
  }

  /// Windows of tokens go on from pass to pass.
  @Test(arguments: [1, 3, 7, 256]) func passesAreCutAnywhere(_ length: Int) throws {
    var whole = try honest(tokens: 256, logitsEvery: nil)
    for token in 0..<128 {
      for slot in 0..<2 { whole.batches[0].selectedExperts[token * 2 + slot] = Int32((token % 4) * 2 + slot) }
    }
    whole.batches[0].routerEntropy[9] = .nan
    whole.batches[0].topKMass[9] = .nan
    let parts = stride(from: 0, to: 256, by: length).map { start in
      var part = whole.slice(start..<min(start + length, 256))
      part.batches[0].importanceSum = Array(repeating: Double(part.batches[0].count) / 8, count: 8)
      return part
    }
    let checks = try audit(parts)
    #expect(checks["no_partition"] == (try audit([whole]))["no_partition"])
    #expect(checks["load_variance"] == (try audit([whole]))["load_variance"])
    #expect(checks["finite_logits"]?.detail == "router ffn.0: 1 of 256 tokens have a logit that is not finite")
    #expect(parts.map(\.batches[0].measuredCount).reduce(0, +) == 255)
  }

  /// Numbers of the model that are none, whether it routed well or not; parts of a run add up.
  @Test func outputsThatAreNoNumbersAreFound() throws {
    var sound = try honest(tokens: 40)
    (sound.tokens.outputs.rows, sound.tokens.outputs.scores) = (40, 39)
    #expect(try audit([sound])["finite_outputs"]?.outcome == .held)
    var broken = sound
    (broken.tokens.outputs.notFiniteRows, broken.tokens.outputs.notFiniteScores) = (3, 2)
    let check = try audit([sound, broken])["finite_outputs"]
    #expect(check?.outcome == .failed)
    #expect(check?.detail == "3 of 80 tokens have an output that is not finite, 2 of 78 surprisals are not finite")
  }

  /// Equal tokens may be routed alike or in a period: nothing follows from how their decisions scatter.
  @Test func equalTokensProveNothing() throws {
    var pass = try honest(tokens: 256, logitsEvery: nil)
    for token in 0..<256 {
      pass.tokens.tokenID[token] = Int32(token % 4)
      for slot in 0..<2 { pass.batches[0].selectedExperts[token * 2 + slot] = Int32((token % 4) * 2 + slot) }
    }
    let checks = try audit([pass])
    for name in ["distinct_rows", "load_variance", "no_partition"] { #expect(checks[name]?.outcome == .notApplicable, "\(name)") }
  }

  /// It may as well be a router that is constant: seen, and no failure.
  @Test func anAllZeroDumpIsFound() throws {
    var pass = try honest(tokens: 64, logitsEvery: nil)
    for slot in pass.batches[0].selectedExperts.indices { pass.batches[0].selectedExperts[slot] = Int32(slot % 2) }
    #expect(try audit([pass])["distinct_rows"]?.outcome == .suspicious)
  }

  @Test func aShortLayerIsFound() throws {
    var pass = try honest(tokens: 64)
    pass.tokens.append(sequence: 0, position: 64, tokenID: 0, phase: .prefill)
    #expect(try audit([pass])["equal_tokens"]?.outcome == .failed)
  }

  @Test func swappedIdsAreFound() throws {
    var pass = try honest(tokens: 64)
    pass.batches[0].selectedExperts.swapAt(0, 1)
    let check = try audit([pass])["selection_recomputed"]
    #expect(check?.outcome == .failed)
    #expect(check?.detail == "router ffn.0: 1 of 64 decisions differ from their logits")
  }

  @Test func missingAssignmentsAndBadNumbersAreFound() throws {
    var pass = try honest(tokens: 64)
    pass.batches[0].selectedExperts[5] = -1
    pass.batches[0].routerEntropy[3] = .nan
    let checks = try audit([pass])
    #expect(checks["assignment_sum"]?.outcome == .failed)
    #expect(checks["finite_logits"]?.outcome == .failed)
  }
}
