// What each rule does to a decision, on routers small enough to decide by hand; and the identities that hold whatever the model.

import Foundation
import Routing
import Testing

struct RuledRouterTests {
  private let softmax = RouterSpec(expertCount: 6, scoring: .softmax, selection: .tokenChoice(topK: 2))

  /// Decides about rows of one sequence.
  private func decide(
    _ spec: RouterSpec, _ logits: [Float], _ rules: String, shared: Int = 0, replays: [String: ReplayedRouting] = [:], seed: UInt64 = 0,
    tokens: TokenTable? = nil, keys: [UInt64] = [], first: Int = 0, count: Int? = nil
  ) throws -> RoutingBatch {
    let description = RouterDescription(id: RouterID(layer: 0), spec: spec)
    let intervention = try Intervention(
      RuleSet(parsing: rules), run: FilterContext(routers: [description]), sharedExperts: [shared], replays: replays, seed: seed)
    let rows = logits.count / spec.expertCount
    var table = TokenTable()
    for row in 0..<rows { table.append(sequence: 0, position: row, tokenID: Int32(row), phase: .prefill) }
    let ruled = intervention[description.id].map { RuledRows($0, DecisionRows(tokens ?? table, keys: keys, first: first)) }
    let batchRows = count ?? rows
    var batch = RoutingBatch(
      router: description.id, expertCount: spec.expertCount, topK: intervention.described([description])[0].slots, firstToken: first,
      count: batchRows)
    var ledger = CapacityLedger()
    try logits.withUnsafeBufferPointer {
      let base = try #require($0.baseAddress) + first * spec.expertCount
      try Router(spec).decide(base, ruled: ruled, demand: RoutingDemand(logitsEvery: 1), ledger: &ledger, into: &batch)
    }
    return batch
  }

  private func random(_ tokens: Int, _ experts: Int, seed: UInt64 = 7) -> [Float] {
    var generator = SplitMix64(seed: seed)
    return (0..<tokens * experts).map { _ in Float(generator.unit() * 6 - 3) }
  }

  private let row: [Float] = [3, 2.5, 2, 1.5, 1, 0.5]

  private func ids(_ rules: String, _ spec: RouterSpec? = nil, _ logits: [Float]? = nil) throws -> [Int32] {
    try decide(spec ?? softmax, logits ?? row, rules).selectedExperts
  }

  /// Router kinds: softmax renormalised; sigmoid with bias and groups; softmax of the selected; sparsemixer; weight on the input.
  static let kinds: [RouterSpec] = [
    RouterSpec(expertCount: 8, scoring: .softmax, selection: .tokenChoice(topK: 3), normalization: .sum(epsilon: 0)),
    RouterSpec(
      expertCount: 8, scoring: .sigmoid, correctionBias: [0.1, -0.3, 0, 0.2, 0.05, -0.1, 0.3, 0],
      groupLimit: .init(groupCount: 4, topKGroups: 2, groupScore: .sumOfTopTwo, fill: .zero), selection: .tokenChoice(topK: 3),
      normalization: .sum(epsilon: 1e-20), routedScale: 2.5),
    RouterSpec(expertCount: 8, scoring: .logits, selection: .tokenChoice(topK: 2), weighting: .softmaxOfSelectedLogits),
    RouterSpec(expertCount: 8, scoring: .sparsemixer(epsilon: 0.1), selection: .tokenChoice(topK: 2)),
    RouterSpec(expertCount: 8, scoring: .logits, selection: .tokenChoice(topK: 1), weighting: .sigmoidOfSelectedLogits, appliesTo: .input),
    RouterSpec(
      expertCount: 8, scoring: .softmax, selection: .tokenChoice(topK: 2), normalization: .sumClamped(minimum: 1e-9),
      capacity: CapacityRule(limit: .tokens(3), order: .probability, renormalizes: true)),
  ]

  @Test(arguments: kinds)
  func whatChangesNothingChangesNoBit(_ spec: RouterSpec) throws {
    let logits = random(20, spec.expertCount)
    let plain = try decide(spec, logits, "")
    let chosen = plain.selectedExperts[0]
    var rules = ["temperature all=1", "topk all=+0", "scale 0:all=1", "mask all:top0", "force 0:\(chosen)", "topk all=+1; topk all=-1"]
    if spec.correctionBias != nil { rules += ["bias all=on", "bias all=off; bias all=on"] }
    if spec.capacity == nil { rules += ["capacity all=1000tok", "capacity all=1000000,switch", "capacity all=20tok,priority"] }
    for rule in rules {
      let one = rule.hasPrefix("force") ? Array(logits.prefix(spec.expertCount)) : logits
      let (got, want) = (try decide(spec, one, rule), try decide(spec, one, ""))
      #expect(got.bits == want.bits, "\(rule)")
    }
  }

  @Test func maskedExpertsMakeRoomForTheNext() throws {
    #expect(try ids("mask 0:0") == [1, 2])
    #expect(try ids("mask 0:top2") == [2, 3])
    #expect(try ids("mask 0:top1; mask 0:top1") == [2, 3])
    #expect(try ids("mask 0:0,1,2,3,4") == [5, -1])
    #expect(try ids("mask 0:all") == [-1, -1])
    let batch = try decide(softmax, row, "mask 0:0,1,2,3,4")
    #expect(batch.routingWeights[1] == 0 && batch.taken(0) == 1)
    let plain = try decide(softmax, row, "")
    #expect(batch.routerEntropy == plain.routerEntropy && batch.selectionMargin == plain.selectionMargin, "those of the router itself")
    #expect(abs(batch.topKMass[0] - batch.routingWeights[0]) < 1e-6, "of what was taken")
  }

  @Test func maskedGroupsAreNotChosenByTheirFill() throws {
    var spec = softmax
    spec.groupLimit = .init(groupCount: 3, topKGroups: 1, groupScore: .maximum, fill: .zero)
    #expect(try ids("", spec) == [0, 1])
    #expect(try ids("mask 0:0,1", spec) == [2, 3], "before groups: another group is the best")
    #expect(try ids("mask 0:0,1,2,3,4", spec) == [5, -1])
  }

  /// Experts of groups that were not kept are no (k+1)-th, and where k takes all of the kept the rule is refused.
  @Test(arguments: [RouterSpec.GroupLimit.Fill.zero, .negativeInfinity])
  func noneIsSwappedInFromGroupsThatWereNotKept(_ fill: RouterSpec.GroupLimit.Fill) throws {
    var spec = RouterSpec(expertCount: 6, scoring: .sigmoid, selection: .tokenChoice(topK: 2))
    spec.groupLimit = .init(groupCount: 2, topKGroups: 1, groupScore: .maximum, fill: fill)
    #expect(try ids("swap 0", spec) == [0, 2])
    #expect(try ids("mask 0:2; swap 0", spec) == [0, 1], "no other of the group is left")
    if fill == .negativeInfinity {
      #expect(throws: RuleError.self) { try ids("topk 0=3; swap 0", spec) }
    } else {
      #expect(try ids("topk 0=3; swap 0", spec) == [0, 1, 2])
    }
  }

  /// A masked expert is in no denominator, as if its logit were minus infinity.
  @Test func sparsemixerWeighsWhatIsLeft() throws {
    let spec = RouterSpec(expertCount: 6, scoring: .sparsemixer(epsilon: 0.01), selection: .tokenChoice(topK: 2))
    let masked = try decide(spec, row, "mask 0:0,1")
    #expect(masked.selectedExperts == [2, 3] && masked.routingWeights == [1, 1])
  }

  @Test func placesAreForcedSwappedAndRenumbered() throws {
    #expect(try ids("force 0:4") == [0, 4])
    #expect(try ids("force 0:4,0") == [0, 4], "0 stays where it is")
    #expect(try ids("force 0:5,4") == [4, 5])
    #expect(try ids("swap 0") == [0, 2])
    #expect(try ids("swap 0; swap 0") == [0, 1], "the second takes back what the first did")
    #expect(try ids("topk 0=+1; swap 0") == [0, 1, 3])
    #expect(try ids("force 0:4; mask 0:4") == [0, 1])
    #expect(try ids("mask 0:4; force 0:4") == [0, 4])
    #expect(try ids("force 0:4; topk 0=+1") == [0, 1, 4])
    #expect(try ids("force 0:4; mask 0:0") == [1, 4])
    #expect(try ids("topk 0=1; force 0:4") == [4])
  }

  @Test func weightsAreTheFamilysOwn() throws {
    for spec in Self.kinds where spec.capacity == nil {
      let logits = random(6, spec.expertCount, seed: 3)
      for k in 1...4 {
        var wider = spec
        wider.selection = .tokenChoice(topK: k)
        guard (try? wider.validate()) != nil else { continue }
        let (got, want) = (try decide(spec, logits, "topk all=\(k)"), try decide(wider, logits, ""))
        #expect(got.selectedExperts == want.selectedExperts)
        #expect(got.routingWeights.map(\.bitPattern) == want.routingWeights.map(\.bitPattern))
      }
    }
  }

  @Test func theTemperatureIsTheRoutersOwn() throws {
    let logits = random(5, 6)
    let (got, want) = (try decide(softmax, logits, "temperature all=0.5"), try decide(softmax, logits.map { $0 / 0.5 }, ""))
    #expect(got.routingWeights == want.routingWeights && got.routerEntropy == want.routerEntropy)
    #expect(got.logits?.values == logits, "the logits recorded stay the router's output")
  }

  @Test func theBiasIsLeftOut() throws {
    var spec = Self.kinds[1]
    let logits = random(10, 8)
    let got = try decide(spec, logits, "bias all=off")
    spec.correctionBias = nil
    let want = try decide(spec, logits, "")
    #expect(got.selectedExperts == want.selectedExperts && got.routingWeights == want.routingWeights)
  }

  @Test func drawsDependOnThePlaceAlone() throws {
    let logits = random(40, 6)
    let whole = try decide(softmax, logits, "redraw all=uniform", seed: 5)
    var table = TokenTable()
    for row in 0..<40 { table.append(sequence: 0, position: row, tokenID: 0, phase: .prefill) }
    for start in stride(from: 0, to: 40, by: 7) {
      let count = min(7, 40 - start)
      let part = try decide(softmax, logits, "redraw all=uniform", seed: 5, tokens: table, first: start, count: count)
      #expect(part.selectedExperts == Array(whole.selectedExperts[2 * start..<2 * (start + count)]))
    }
    #expect(try decide(softmax, logits, "redraw all=uniform", seed: 6).selectedExperts != whole.selectedExperts)
    for row in 0..<40 { #expect(Set(whole.selectedExperts[2 * row..<2 * row + 2]).count == 2) }
    #expect(try decide(softmax, logits, "mask all:0,1,2; redraw all=uniform").selectedExperts.allSatisfy { $0 > 2 })
  }

  @Test func drawsFollowTheirOdds() throws {
    let tokens = 4000
    let logits = (0..<tokens).flatMap { _ in [Float(log(0.5)), Float(log(0.3)), Float(log(0.2))] }
    let spec = RouterSpec(expertCount: 3, scoring: .softmax, selection: .tokenChoice(topK: 1))
    func shares(_ rule: String) throws -> [Double] {
      let ids = try decide(spec, logits, rule).selectedExperts
      return (0..<3).map { e in Double(ids.count { $0 == Int32(e) }) / Double(tokens) }
    }
    for (got, want) in zip(try shares("redraw all=router"), [0.5, 0.3, 0.2]) { #expect(abs(got - want) < 0.03) }
    for got in try shares("redraw all=uniform") { #expect(abs(got - 1.0 / 3) < 0.03) }
  }

  @Test func anotherRunIsReplayedByItsText() throws {
    let logits = random(6, 6)
    var key = TextKey()
    let keys = (0..<6).map { key.next($0) }
    var other = try decide(softmax, logits, "redraw all=uniform", seed: 9)
    var replay = ReplayedRouting(keys: keys)
    replay.add(other)
    let got = try decide(softmax, logits, "replay all=r", replays: ["r": replay], keys: keys)
    #expect(
      zip(stride(from: 0, to: 12, by: 2), 0..<6).allSatisfy { slot, _ in
        Set(got.selectedExperts[slot..<slot + 2]) == Set(other.selectedExperts[slot..<slot + 2])
      })
    // A text that has become another one is decided by the router itself from there on.
    let strange = keys.enumerated().map { $0.offset < 3 ? $0.element : $0.element ^ 1 }
    let half = try decide(softmax, logits, "replay all=r", replays: ["r": replay], keys: strange)
    #expect(half.selectedExperts[6...] == (try decide(softmax, logits, "")).selectedExperts[6...])
    // Of itself: not a bit.
    let plain = try decide(softmax, logits, "")
    var itself = ReplayedRouting(keys: keys)
    itself.add(plain)
    for rule in ["replay all=r", "replay all=r+weights"] {
      #expect(try decide(softmax, logits, rule, replays: ["r": itself], keys: keys).bits == plain.bits)
    }
    other.routingWeights = other.routingWeights.map { $0 / 2 }
    var weighed = ReplayedRouting(keys: keys)
    weighed.add(other)
    let halves = try decide(softmax, logits, "replay all=r+weights", replays: ["r": weighed], keys: keys)
    #expect(zip(halves.routingWeights, got.routingWeights).allSatisfy { abs($0 * 2 - $1) < 1e-6 })
  }

  @Test func capacityCountsTheRowsOfASequence() throws {
    // All want expert 0, then expert 1.
    let logits = (0..<4).flatMap { row -> [Float] in [4 + Float(row) / 10, 3, 0, 0, 0, 0] }
    func dropped(_ rule: String) throws -> [Bool] { try decide(softmax, logits, rule).dropped ?? [] }
    // 1.5 x 2 x 4 / 6 = 2 rows an expert.
    #expect(try dropped("capacity all=1.5") == [false, false, false, false, true, true, true, true])
    #expect(try dropped("capacity all=1.5,priority") == [true, true, true, true, false, false, false, false])
    #expect(try dropped("capacity all=1tok") == [false, false, true, true, true, true, true, true])
    // Row 0 takes 1 then 0; row 1 takes 0 then 1. Row by row, row 0 is served whole.
    let crossed: [Float] = [1, 2, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0]
    #expect(try decide(softmax, crossed, "capacity all=1tok,switch").dropped == [false, false, true, true])
    #expect(try decide(softmax, crossed, "capacity all=1tok").dropped == [false, true, false, true])
    var table = TokenTable()
    for row in 0..<4 { table.append(sequence: row / 2, position: row % 2, tokenID: 0, phase: .prefill) }
    #expect(
      try decide(softmax, logits, "capacity all=1tok", tokens: table).dropped == [false, false, true, true, false, false, true, true],
      "each sequence has room of its own")
  }

  @Test func expertsChoose() throws {
    let logits = random(12, 6)
    let batch = try decide(softmax, logits, "capacity all=1,expert-choice")
    // ceil(1 x 2 x 12 / 6) = 4 rows for each expert.
    for e in 0..<6 { #expect(batch.selectedExperts.count { $0 == Int32(e) } == 4) }
    let probabilities = try decide(softmax, logits, "broadcast all")
    for e in 0..<6 as Range<Int32> {
      func probability(_ row: Int) -> Float {
        (0..<6).map { row * 6 + $0 }.first { probabilities.selectedExperts[$0] == e }.map { probabilities.routingWeights[$0] } ?? 0
      }
      let best = Set((0..<12).sorted { (-probability($0), $0) < (-probability($1), $1) }.prefix(4))
      let taken = Set((0..<12).filter { row in batch.selectedExperts[row * 6..<row * 6 + 6].contains(e) })
      #expect(taken == best)
    }
  }

  @Test(arguments: kinds)
  func allExpertsAnswer(_ spec: RouterSpec) throws {
    let batch = try decide(spec, random(5, spec.expertCount), "broadcast all")
    for row in 0..<5 {
      let slots = row * 8..<row * 8 + 8
      #expect(Set(batch.selectedExperts[slots]).count == 8)
      #expect(abs(batch.routingWeights[slots].reduce(0, +) - spec.routedScale) < 1e-4)
    }
    #expect(batch.dropped?.contains(true) != true)
  }

  @Test func weightsAreScaledBehindEverything() throws {
    let logits = random(8, 8)
    let spec = Self.kinds[1]
    let plain = try decide(spec, logits, "")
    let got = try decide(spec, logits, "scale 0:3,6=-2")
    for slot in plain.selectedExperts.indices {
      let factor: Float = [3, 6].contains(plain.selectedExperts[slot]) ? -2 : 1
      #expect(got.routingWeights[slot] == plain.routingWeights[slot] * factor && got.selectedExperts[slot] == plain.selectedExperts[slot])
    }
    let best = try decide(spec, logits, "scale 0:top1=0")
    #expect((0..<8).allSatisfy { best.routingWeights[3 * $0] == 0 && best.routingWeights[3 * $0 + 1] == plain.routingWeights[3 * $0 + 1] })
    #expect(try decide(spec, logits, "scale 0:all=0; broadcast 0").routingWeights.allSatisfy { $0 > 0 }, "from left to right")
  }

  @Test func conditionsAreAskedOfTheRoutersOwnDecision() throws {
    let logits = random(30, 6)
    let plain = try decide(softmax, logits, "")
    func differing(_ rules: String) throws -> [Int] {
      let got = try decide(softmax, logits, rules)
      return (0..<30).filter { row in
        let mine = Set(got.selectedExperts[got.topK * row..<got.topK * (row + 1)].filter { $0 >= 0 })
        return mine != Set(plain.selectedExperts[2 * row..<2 * row + 2])
      }
    }
    let took3 = (0..<30).filter { plain.selectedExperts[2 * $0..<2 * $0 + 2].contains(3) }
    #expect(try differing("swap all if expert=3") == took3)
    #expect(try differing("swap all if !expert=3") == (0..<30).filter { !took3.contains($0) })
    #expect(try differing("mask all:3 if position>9") == took3.filter { $0 > 9 })
    #expect(try differing("topk all=1 if position<5") == Array(0..<5))
    let unsure = (0..<30).filter { Double(plain.routerEntropy[$0]) / log(6.0) > 0.7 }
    #expect(try differing("broadcast all if entropy>0.7") == unsure && unsure.count > 2 && unsure.count < 28)
    // The first rule changes what the second is asked about as little as the other way round.
    #expect(try differing("temperature all=9; swap all if entropy>0.7") == unsure)
    #expect(try differing("swap all if layer=0") == Array(0..<30) && differing("swap all if !layer=0") == [])
    let scaled = try decide(softmax, logits, "scale all:all=0 if rank=0 expert=3")
    let first3 = (0..<30).filter { plain.selectedExperts[2 * $0] == 3 }
    #expect((0..<30).filter { scaled.routingWeights[2 * $0] == 0 } == first3)
    let hot = try decide(softmax, logits, "temperature all=0.5 if position=3")
    #expect((0..<30).filter { hot.routerEntropy[$0].bitPattern != plain.routerEntropy[$0].bitPattern } == [3])
    let dropped = try decide(softmax, logits, "capacity all=1tok if position>=20")
    #expect((0..<60).allSatisfy { dropped.dropped?[$0] == false || $0 >= 40 } && dropped.dropped?.contains(true) == true)
  }

  @Test func brokenLogitsStayBroken() throws {
    let broken: [Float] = [.nan, 1, 2, 3, 4, 5]
    for rule in ["mask 0:5", "redraw 0=router", "broadcast 0", "temperature 0=2", "capacity 0=1,expert-choice", "swap 0"] {
      let batch = try decide(softmax, broken, rule)
      #expect(batch.routerEntropy[0].isNaN, "\(rule)")
    }
  }

  /// A trace under rules is checked by the same rules.
  @Test(arguments: [
    "temperature all=2", "mask all:2", "topk all=+1", "force all:4", "swap all", "redraw all=uniform", "broadcast all",
    "swap all if entropy>0.7",
  ])
  func theAuditDecidesByTheSameRules(_ rules: String) throws {
    let description = RouterDescription(id: RouterID(layer: 0), spec: softmax)
    let intervention = try Intervention(RuleSet(parsing: rules), run: FilterContext(routers: [description]), sharedExperts: [0], seed: 0)
    let described = intervention.described([description])
    func checks(_ intervention: Intervention?) throws -> [String: CaptureCheck] {
      var audit = try CaptureAudit(routers: described, intervention: intervention)
      var table = TokenTable()
      for row in 0..<70 { table.append(sequence: 0, position: row, tokenID: Int32(row), phase: .prefill) }
      audit.add(RoutingPass(tokens: table, batches: [try decide(softmax, random(70, 6), rules)]))
      return Dictionary(uniqueKeysWithValues: audit.result().map { ($0.name, $0) })
    }
    let checked = try checks(intervention)
    #expect(checked["selection_recomputed"]?.outcome == .held)
    #expect(checked.values.allSatisfy { $0.outcome != .failed }, "\(checked.values.filter { $0.outcome == .failed })")
  }
}

extension RoutingBatch {
  /// Everything as bits, so that NaN equals NaN.
  fileprivate var bits: [[UInt64]] {
    [routingWeights, routerEntropy, selectionMargin, top1Margin, topKMass, logits?.values ?? []].map { $0.map { UInt64($0.bitPattern) } }
      + [selectedExperts.map { UInt64(UInt32(bitPattern: $0)) }, (dropped ?? []).map { $0 ? 1 : 0 }, importanceSum.map(\.bitPattern)]
      + [[squaredLogSumExpSum.bitPattern]]
  }
}
