// Effects by hand: planted numbers come out, chance looks like chance, and what is drawn as a control is as large as what it stands for.

import Testing

@testable import Analysis
@testable import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct EffectTests {
  private func routers(_ layers: Int, experts: Int = 8, topK: Int = 2) -> [RouterDescription] {
    (0..<layers).map {
      RouterDescription(
        id: RouterID(layer: $0), spec: RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK)))
    }
  }

  private func ground(_ layers: Int, loads: [Int]? = nil, shared: Int = 0) -> EffectGround {
    var ground = EffectGround(routers: routers(layers), sharedExperts: Array(repeating: shared, count: layers))
    if let loads { for layer in 0..<layers { ground.loads[RouterID(layer: layer)] = loads } }
    return ground
  }

  private func rules(_ text: String) throws -> RuleSet { try RuleSet(parsing: text) }

  private func sums(_ scored: Int, _ change: Double, kl: Double = 0, same: Int = 0) -> EffectSums {
    var sums = EffectSums()
    (sums.scored, sums.unchanged, sums.changed) = (scored, 2 * Double(scored), 2 * Double(scored) + change)
    (sums.divergence, sums.sameBest, sums.decisions, sums.named, sums.touched, sums.experts) = (kl, same, 10, 5, 3, 20)
    return sums
  }

  // MARK: Numbers

  @Test func plantedChangesComeOut() throws {
    var plan = EffectPlan(draws: 2, seed: 1)
    try plan.add(rules("swap all if position>3"), ground: ground(1))
    #expect(plan.variants.count == 3 && plan.rows[0].control.variants == [1, 2])
    var study = EffectStudy(plan)
    let changes = [1.0, 2, 3, 4, 5, 6]
    for (index, change) in changes.enumerated() {
      study.add(
        [sums(10, change, kl: 0.5, same: 8), sums(10, 0.5 * change), sums(10, 0)], missing: [0, 1, 0],
        labels: ["domain": index < 5 ? "code" : "law"])
    }
    let effect = try #require(study.effects(by: "domain").first)
    #expect(study.baselineLoss == 2)
    #expect(abs(try #require(effect.change.value) - 0.35) < 1e-12)
    #expect(abs(try #require(effect.controlChange?.value) - 0.0875) < 1e-12)
    #expect(abs(try #require(effect.difference?.value) - 0.2625) < 1e-12)
    #expect(effect.texts == 6 && effect.touched == 0.3 && effect.sameTop1 == 0.8 && effect.divergence == 0.05)
    #expect(effect.expertsPerToken == 2 && effect.laterAgreement == nil && effect.unmatched == 6)
    // Texts of one length: the classical t interval of the mean, with 5 degrees of freedom.
    let sd = (3.5 / 100.0).squareRoot()
    let half = 2.570582 * sd / 6.0.squareRoot()
    #expect(abs(try #require(effect.change.interval).high - (0.35 + half)) < 1e-5)
    // All differences have one sign: only all turned or none is as large.
    let p = try #require(effect.p)
    #expect(p < 0.08 && p == effect.adjustedP)
    #expect(effect.parts.map(\.name) == ["code", "law"] && effect.parts.map(\.texts) == [5, 1])
    #expect(abs(try #require(effect.parts[0].change.value) - 0.3) < 1e-12)
    #expect(effect.parts[1].change.interval == nil && effect.parts[1].p == nil, "one text has no spread")
  }

  @Test func lossesAreOverTokensAndNotOverTexts() throws {
    var plan = EffectPlan(draws: 1, seed: 0)
    try plan.add(rules("swap all"), ground: ground(1))
    var study = EffectStudy(plan)
    study.add([sums(30, 3)], missing: [0], labels: [:])
    study.add([sums(10, 5)], missing: [0], labels: [:])
    study.add([sums(0, 0)], missing: [0], labels: [:])
    let effect = try #require(study.effects().first)
    #expect(effect.change.value == 0.2 && effect.texts == 2)
    #expect(effect.change.interval == nil && effect.difference == nil && effect.p == nil)
    #expect(effect.control.kind == .none && effect.control.reason?.contains("whole layers") == true)
  }

  // MARK: Chance

  private func normal(_ random: inout SplitMix64) -> Double {
    (-2 * log(1 - random.unit())).squareRoot() * cos(2 * .pi * random.unit())
  }

  /// Largest distance of the distribution of `ps` from the uniform one.
  private func distance(_ ps: [Double]) -> Double {
    let count = Double(ps.count)
    var distance = 0.0
    for (index, p) in ps.sorted().enumerated() {
      distance = max(distance, abs(p - Double(index) / count), abs(p - Double(index + 1) / count))
    }
    return distance
  }

  @Test func chanceHasUniformPAndFewFalseFinds() {
    var random = SplitMix64(seed: 5)
    var ps: [Double] = []
    var finds = 0
    let runs = 300
    for run in 0..<runs {
      // Rows that go together, of different scales.
      let common = (0..<12).map { _ in normal(&random) }
      let rows = (0..<5).map { row in common.map { (0.6 * $0 + normal(&random)) * pow(10, Double(row)) } }
      let flips = SignFlips(rows, seed: UInt64(run), flips: 199)
      ps.append(flips[2]?.p ?? 0)
      if (0..<5).contains(where: { (flips[$0]?.adjusted ?? 1) <= 0.05 }) { finds += 1 }
    }
    #expect(distance(ps) < 1.63 / Double(runs).squareRoot(), "p <= .01 of Kolmogorov and Smirnov")
    #expect(finds <= 27, "\(finds) of \(runs) with a false find: 15 expected")
  }

  @Test func aPlantedDifferenceIsFoundAndItsNeighboursAreNot() {
    var random = SplitMix64(seed: 6)
    let rows = (0..<20).map { row in (0..<16).map { _ in normal(&random) + (row == 7 ? 2 : 0) } }
    let flips = SignFlips(rows + [[], Array(repeating: 0, count: 16)], seed: 1, flips: 999)
    #expect(flips[7]?.p == 0.001)
    #expect(flips[7].map { $0.adjusted < 0.01 } == true)
    let others = (0..<20).filter { $0 != 7 }.map { flips[$0]?.adjusted ?? 0 }
    #expect(others.allSatisfy { $0 >= 0.05 })
    #expect(flips[20] == nil && flips[21] == SignFlips.Verdict(p: 1, adjusted: 1))
  }

  // MARK: Controls

  @Test func neighboursAreNearInLoadAndOutsideTheRule() throws {
    let loads = [10, 50, 12, 9, 100, 11, 13, 55]
    func plan(_ text: String) throws -> EffectPlan {
      var plan = EffectPlan(draws: 5, seed: 0)
      try plan.add(rules(text), ground: ground(2, loads: loads))
      return plan
    }
    let single = try plan("mask 1:0")
    #expect(single.variants.map(\.rules.text) == ["mask 1:0", "mask ffn.1:3", "mask ffn.1:5", "mask ffn.1:2"])
    let ratio = try #require(single.rows[0].control.loadRatio)
    #expect(single.rows[0].control.kind == .equalLoad && abs(ratio - 1.2) < 1e-12)
    // Two at a time stand in as two different ones; other rules stay.
    let pair = try plan("scale 0:0,2=0.5; topk all=+1")
    #expect(pair.variants[1].rules.text == "scale ffn.0:3,5=0.5; topk all=+1")
    #expect(pair.variants[2].rules.text == "scale ffn.0:6,1=0.5; topk all=+1", "nobody stands in twice")
    // In each layer of its own.
    #expect(try plan("force all:4").variants[1].rules.text == "force ffn.0:7; force ffn.1:7")
    let far = try #require(try plan("mask 0:4").rows[0].control.loadRatio)
    #expect(far > EffectControl.flaggedRatio)
    let all = try plan("mask 0:0,1,2,3,4,5,6,7")
    #expect(all.rows[0].control.kind == .none && all.variants.count == 1)
    #expect(try plan("mask 0:top1").rows[0].control.kind == .none)
  }

  @Test func rulesThatDrawAreDrawnAsOftenAsTheirControl() throws {
    var plan = EffectPlan(draws: 3, seed: 7)
    try plan.add(rules("redraw all=uniform if entropy>0.9"), ground: ground(1))
    try plan.add(rules("swap all if entropy>0.9"), ground: ground(1))
    #expect(plan.rows[0].variants.count == 3 && plan.rows[0].control.variants.count == 3)
    #expect(plan.rows[1].variants.count == 1 && plan.rows[1].control.variants.count == 3)
    #expect(plan.variants.prefix(3).map(\.seed) == [7, 8, 9] && plan.variants.prefix(6).map(\.otherDecisions) == [nil, nil, nil, 0, 1, 2])
  }

  private func pass(_ run: SyntheticRouting.Run, document: Int) -> RoutingPass {
    let pass = run.passes[0]
    let rows = pass.tokens.sequence.indices.filter { pass.tokens.sequence[$0] == Int32(document) }
    let span = (rows.first ?? 0)..<(rows.last ?? -1) + 1
    return RoutingPass(tokens: pass.tokens.slice(span), batches: pass.batches.map { $0.slice(span) })
  }

  @Test func aControlOfEqualSizeIsEquallyLargeAndElsewhere() throws {
    var synthetic = SyntheticRouting()
    (synthetic.documents, synthetic.layers, synthetic.length) = (2, 3, 40...40)
    let text = pass(try synthetic.run(tokensPerPass: 1000), document: 1)
    let context = FilterContext(routers: routers(3))
    for (filter, isOfTokens) in [("entropy>0.8", false), ("position=3-9,20", true), ("expert=2", false), ("position<30", true)] {
      let settled = SettledDecisions()
      let intervention = try Intervention(
        rules("swap all if \(filter)"), run: context, sharedExperts: [0, 0, 0], settled: settled, baseline: { _ in nil })
      let decisions = ConditionedDecisions(of: [intervention], in: [text])
      var drawn: [RouterID: Set<Int>] = [:]
      var held: [RouterID: Set<Int>] = [:]
      for batch in text.batches {
        held[batch.router] = Set(try #require(decisions.splits[.init(router: batch.router, condition: filter, pass: 0)]).held)
      }
      let missing = decisions.settleOthers(settled, of: intervention, sequence: 1, seed: 3, draw: 0)
      for batch in text.batches {
        let places = settled.positions(of: 1, at: batch.router, under: filter)
        drawn[batch.router] = places
        #expect(places.isDisjoint(with: held[batch.router] ?? []), "\(filter)")
      }
      let wanted = held.values.reduce(0) { $0 + $1.count }
      #expect(drawn.values.reduce(0) { $0 + $1.count } == wanted - missing && wanted > 0, "\(filter)")
      #expect(missing == (filter == "position<30" ? 3 * 20 : 0), "\(filter)")
      #expect((Set(drawn.values).count == 1) == isOfTokens, "\(filter): the same tokens in all layers where the condition is of tokens")
      let again = SettledDecisions()
      _ = decisions.settleOthers(again, of: intervention, sequence: 1, seed: 3, draw: 0)
      #expect(text.batches.allSatisfy { again.positions(of: 1, at: $0.router, under: filter) == drawn[$0.router] }, "the same seed")
      let other = SettledDecisions()
      _ = decisions.settleOthers(other, of: intervention, sequence: 1, seed: 3, draw: 1)
      if missing == 0 {
        #expect(text.batches.contains { other.positions(of: 1, at: $0.router, under: filter) != drawn[$0.router] }, "another draw")
      }
    }
  }

  /// An image comes in a pass a step: each step has a control of its own, among the patches of that step.
  @Test func aControlOfAnImageIsOfTheSameStep() throws {
    let layout = DenoisingLayout(sampler: "ddpm", timesteps: [3, 2, 1], branchCount: 1, patchRows: 4, patchColumns: 4, guidanceScale: 1)
    let image = (0..<3).map { step -> RoutingPass in
      var pass = RoutingPass(tokens: TokenTable(firstToken: 16 * step), batches: [])
      for patch in 0..<16 { pass.tokens.append(sequence: 0, position: 16 * step + patch, tokenID: -1, phase: .denoise) }
      for router in routers(2) {
        pass.batches.append(RoutingBatch(router: router.id, expertCount: 8, topK: 2, firstToken: 16 * step, count: 16))
      }
      return pass
    }
    let context = FilterContext(routers: routers(2), sequences: [SequenceDescription(name: "sample 0")], layout: layout)
    let (filter, settled) = ("patch-row=1 step<2", SettledDecisions())
    let intervention = try Intervention(
      rules("swap all if \(filter)"), run: context, sharedExperts: [0, 0], settled: settled, baseline: { _ in nil })
    let decisions = ConditionedDecisions(of: [intervention], in: image)
    #expect(decisions.settleOthers(settled, of: intervention, sequence: 0, seed: 1, draw: 0) == 0)
    for router in routers(2) {
      let places = settled.positions(of: 0, at: router.id, under: filter)
      #expect(places.count { $0 < 16 } == 4 && places.count { 16..<32 ~= $0 } == 4 && places.count { $0 >= 32 } == 0)
      #expect(places.allSatisfy { $0 % 16 / 4 != 1 })
    }
    #expect(
      settled.positions(of: 0, at: RouterID(layer: 0), under: filter) == settled.positions(of: 0, at: RouterID(layer: 1), under: filter))
  }

  // MARK: Batches

  @Test(arguments: [(64, 8), (17, 4), (4, 2), (23, 3)])
  func everyMateIsReplacedAndEveryTextStays(_ texts: Int, _ batch: Int) throws {
    let shuffle = BatchShuffle(texts: texts, batch: batch)
    let used = Array(0..<texts / batch * batch)
    var seen: Set<[[Int]]> = []
    for draw in 0..<5 {
      let batches = shuffle.otherMates(seed: 7, draw: draw)
      seen.insert(batches)
      #expect(batches.flatMap { $0 }.sorted() == used && batches == shuffle.otherMates(seed: 7, draw: draw))
      for mates in batches {
        #expect(mates.enumerated().allSatisfy { $1 % batch == $0 }, "its place")
        #expect(Set(mates.map { $0 / batch }).count == batch, "nobody of the same batch")
      }
    }
    #expect(seen.count > 1)
    let turned = (0..<shuffle.turns).map { shuffle.otherOrder(seed: 7, draw: $0) }
    #expect(Set(turned).count == batch - 1)
    for batches in turned {
      #expect(batches.flatMap { $0 }.sorted() == used && batches.allSatisfy { Set($0.map { $0 / batch }).count == 1 })
      #expect(batches.allSatisfy { mates in mates.enumerated().allSatisfy { $1 % batch != $0 } }, "nobody at its place")
    }
  }

  @Test func tokensThatOtherExpertsComputeAreCounted() throws {
    var pass = RoutingPass(tokens: TokenTable(), batches: [])
    for row in 0..<4 { pass.tokens.append(sequence: 0, position: row, tokenID: Int32(row), phase: .prefill) }
    for router in routers(2) {
      var batch = RoutingBatch(router: router.id, expertCount: 8, topK: 2, firstToken: 0, count: 4)
      batch.selectedExperts = [0, 1, 2, 3, 4, 5, 6, 7]
      pass.batches.append(batch)
    }
    var other = pass
    other.batches[0].selectedExperts = [1, 0, 2, 3, 4, 5, 6, 7]
    other.batches[1].dropped = [false, false, false, true, false, false, false, false]
    other.batches[1].selectedExperts[6] = 1
    let shift = BatchShift(TextTrail([pass], best: [1, 2, 3, 4]), TextTrail([other], best: [1, 5, 3, 9]))
    // Another order of the same experts is no change; a dropped choice is one, another expert is one; the last place is scored by nothing.
    #expect(shift.tokens.count == 4 && shift.tokens.sum == 2 && shift.top1.count == 3 && shift.top1.sum == 1 && shift.changes == 3)
    var plan = EffectPlan(draws: 1, seed: 0)
    plan.replacesMates = true
    try plan.add(uncontrolled: rules("capacity all=1"), name: "1", because: "")
    var study = EffectStudy(plan)
    for _ in 0..<6 { study.add([sums(10, 1)], missing: [0], labels: [:]) }
    for text in 0..<6 { for _ in 0..<2 { study.add(shift, \.mates, text: text, variant: 0) } }
    let effect = try #require(study.effects().first)
    #expect(effect.order == nil && effect.mates?.draws == 2 && effect.mates?.texts == 6 && effect.mates?.tokens == 48)
    #expect(effect.mates?.changedTokens.value == 0.5 && effect.mates?.changedTop1.value == 1.0 / 3)
    #expect(try EffectCondition(parsing: "mates.changed_tokens>0.4").verdict(on: [effect]).violations.count == 1)
    #expect(try EffectCondition(parsing: "order.changed_tokens>0.4").verdict(on: [effect]).fault != nil)
    #expect(try EffectCondition(parsing: "latent_change>0").verdict(on: [effect]).fault != nil)
  }

  // MARK: Touched

  @Test func touchedDecisionsAreThoseThatWouldBeOtherwise() throws {
    var text = RoutingPass(tokens: TokenTable(), batches: [])
    var random = SplitMix64(seed: 9)
    for row in 0..<50 { text.tokens.append(sequence: 0, position: row, tokenID: Int32(row), phase: .prefill) }
    let descriptions = routers(2)
    let known = try Dictionary(uniqueKeysWithValues: descriptions.map { ($0.id, try Router($0.spec)) })
    for description in descriptions {
      let logits = (0..<50 * 8).map { _ in Float(4 * random.unit()) }
      var batch = RoutingBatch(router: description.id, expertCount: 8, topK: 2, firstToken: 0, count: 50)
      known[description.id]?.decide(logits, demand: RoutingDemand(logitsEvery: 1), into: &batch)
      text.batches.append(batch)
    }
    func touched(_ rules: String) throws -> TouchedDecisions {
      let intervention = try Intervention(self.rules(rules), run: FilterContext(routers: descriptions), sharedExperts: [0, 1])
      return TouchedDecisions(by: intervention, in: [text], routers: known)
    }
    for rules in ["topk all=+0", "temperature all=1", "scale all:all=1", "capacity all=1000000", "mask all:top0", "shared all=on"] {
      #expect(try touched(rules).count == 0, "\(rules)")
    }
    #expect(try touched("swap all").count == 100 && touched("topk 1=3").count == 50 && touched("shared all=off").count == 50)
    #expect(try touched("topk 1=3").first.map { $0 == (0, 1) } == true)
    let takers = text.batches[0].selectedExperts.count { $0 == 3 }
    #expect(try touched("mask 0:3").count == takers && touched("scale 0:3=2").count == takers)
    // What comes of it: later decisions that are the router's own.
    var changed = text
    let verdicts = try touched("mask 0:3")
    for row in 0..<25 { changed.batches[1].selectedExperts[2 * row] = (changed.batches[1].selectedExperts[2 * row + 1] + 1) % 8 }
    let expected = (0..<50).map { row -> Double in
      let (a, b) = (
        Set(text.batches[1].selectedExperts[2 * row...2 * row + 1]), Set(changed.batches[1].selectedExperts[2 * row...2 * row + 1])
      )
      return Double(a.intersection(b).count) / 2
    }
    let sums = EffectSums(baseline: [text], changed: [changed], touched: verdicts)
    #expect(sums.decisions == 100 && sums.touched == takers && sums.experts == 200)
    #expect(abs((sums.laterAgreement.mean ?? 0) - expected.reduce(0, +) / 50) < 1e-6 && sums.laterAgreement.count == 50)
    text.batches = []
    #expect(EffectSums(baseline: [text], changed: [text], touched: try touched("swap all")).laterAgreement.mean == nil)
  }

  // MARK: Experiments and conditions

  @Test func experimentsAreRules() throws {
    func plan(_ experiment: Experiment, shared: Int = 0) throws -> EffectPlan {
      try experiment.plan(draws: 2, seed: 0, ground: ground(2, loads: [1, 2, 3, 4, 5, 6, 7, 8], shared: shared))
    }
    #expect(try plan(.kSweep).rows.map(\.rules) == ["topk all=1", "topk all=2", "topk all=3", "topk all=4"])
    #expect(try plan(.redundancy).rows.map(\.rules) == ["mask all:top0", "mask all:top1", "mask all:top2"])
    #expect(try plan(.redundancy, shared: 1).rows.last?.rules == "shared all=off; topk all=+1")
    let gw = try plan(.gwMoE)
    #expect(gw.rows.count == 9 && gw.rows[1].variants == gw.rows[0].control.variants && gw.rows[2].control.kind == .none)
    let importance = try plan(.importance)
    #expect(importance.variants.count == 16 && importance.rows.count == 16 && importance.isRanked)
    #expect(importance.rows[0].control.variants == [1, 2, 3] && importance.rows[8].control.variants == [9, 10, 11])
    #expect(importance.rows[5].control.variants == [4, 6, 3] && importance.rows[5].name == "ffn.0:5")
    let overflow = try plan(.overflow)
    #expect(overflow.rows.count == 17 && overflow.rows[0].rules == "" && overflow.rows[16].rules == "capacity all=2,expert-choice")
    #expect(overflow.replacesMates && !overflow.isRanked)
    #expect(throws: ExperimentError.noRouter(name: "k-sweep")) {
      try Experiment.kSweep.plan(draws: 1, seed: 0, ground: EffectGround(routers: [], sharedExperts: []))
    }
  }

  @Test func conditionsAskForNumbersThatAreThere() throws {
    var plan = EffectPlan(draws: 1, seed: 0)
    try plan.add(rules("swap all"), name: "a", ground: ground(1))
    try plan.add(rules("swap all if position>2"), name: "b", ground: ground(1))
    var study = EffectStudy(plan)
    for _ in 0..<6 { study.add([sums(10, 1), sums(10, 2), sums(10, 1)], missing: [0, 0, 0], labels: [:]) }
    let effects = study.effects()
    func verdict(_ text: String) throws -> (violations: [String], fault: String?) {
      try EffectCondition(parsing: text).verdict(on: effects)
    }
    #expect(try verdict("loss_change > 0.15").violations == ["b: loss_change 0.2 > 0.15"])
    #expect(try verdict("touched>20%").violations.count == 2)
    #expect(try verdict("difference.loss_change>0").violations.count == 1 && verdict("difference.loss_change>0").fault == nil)
    #expect(try verdict("later_set_agreement<1").fault?.contains("of a, b is not there") == true)
    #expect(throws: AnalysisError.self) { try EffectCondition(parsing: "loss>1") }
    #expect(throws: AnalysisError.self) { try EffectCondition(parsing: "loss_change>x") }
  }
}

extension SettledDecisions {
  /// Positions in one sequence.
  fileprivate func positions(of sequence: Int, at router: RouterID, under condition: String) -> Set<Int> {
    Set(places(at: router, under: condition).filter { $0 >> 32 == UInt64(sequence) }.map { Int($0 & 0xFFFF_FFFF) })
  }
}
