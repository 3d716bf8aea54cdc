// Two runs side by side: numbers worked out by hand, parts that merge to the whole, experts that were renamed.

import Foundation
import Routing
import Testing

@testable import Analysis

/// Runs of given choices, without a trace.
struct RunsBeside {
  var a: [RoutingPass]
  var b: [RoutingPass]
  var sequencesA: [SequenceDescription] = []
  var sequencesB: [SequenceDescription] = []
  var alignment: TextAlignment {
    func texts(_ passes: [RoutingPass], _ sequences: [SequenceDescription]) -> RunTexts {
      var texts = RunTexts(sequences: sequences)
      for pass in passes { texts.add(pass.tokens) }
      return texts
    }
    return TextAlignment(texts(a, sequencesA), texts(b, sequencesB))
  }

  init(a: [RoutingPass], b: [RoutingPass]) {
    self.a = a
    self.b = b
  }

  /// One router of `experts`, a text each.
  init(experts: Int, a: [[[Int32]]], b: [[[Int32]]]) {
    func passes(_ texts: [[[Int32]]]) -> [RoutingPass] {
      var row = 0
      return texts.enumerated().map { text, choices in
        defer { row += choices.count }
        return handMade(experts: experts, choices, sequence: text, firstToken: row)
      }
    }
    self.init(a: passes(a), b: passes(b))
  }

  /// Rows of `stretches`, cut where a pass ends.
  func rows(_ stretches: [AlignedStretch]) -> [PairedRows] {
    func pass(_ passes: [RoutingPass], _ row: Int) -> RoutingPass? {
      passes.first { ($0.tokens.firstToken..<$0.tokens.firstToken + $0.tokens.count).contains(row) }
    }
    var rows: [PairedRows] = []
    for stretch in stretches {
      var done = 0
      while done < stretch.count, let passA = pass(a, stretch.rowA + done), let passB = pass(b, stretch.rowB + done) {
        let place = AlignedStretch(
          text: stretch.text, rowA: stretch.rowA + done, rowB: stretch.rowB + done,
          count: min(
            stretch.count - done, passA.tokens.firstToken + passA.tokens.count - stretch.rowA - done,
            passB.tokens.firstToken + passB.tokens.count - stretch.rowB - done))
        rows.append(PairedRows(a: passA, b: passB, place: place))
        done += place.count
      }
    }
    return rows
  }

  func plan(_ matching: ComparisonPlan.Matching = .index, margin: Double = 1e-3, scoring: RouterSpec.Scoring = .softmax) -> ComparisonPlan {
    func routers(_ passes: [RoutingPass]) -> [RouterDescription] {
      passes[0].batches.map {
        RouterDescription(
          id: $0.router, spec: RouterSpec(expertCount: $0.expertCount, scoring: scoring, selection: .tokenChoice(topK: $0.topK)))
      }
    }
    return ComparisonPlan(
      routers: zip(routers(a), routers(b)).map { RouterPair(a: $0, b: $1) }, matching: matching, margin: margin)
  }

  func compared(_ plan: ComparisonPlan) -> ComparisonOutcome {
    var comparison = RunComparison(plan)
    repeat {
      for rows in rows(alignment.stretches) { comparison.add(rows) }
      for rows in rows(alignment.turned) { comparison.addTurned(rows) }
    } while comparison.beginNextRound()
    return comparison.result()
  }
}

@Suite struct ComparisonTests {
  private struct SetCase {
    var a: [Int32]
    var b: [Int32]
    var agreement: Double
    var jaccard: Double
    var hasSameFirst = false
  }

  @Test func setsOfExperts() {
    let cases = [
      SetCase(a: [0, 1], b: [1, 2], agreement: 0.5, jaccard: 1.0 / 3), SetCase(a: [0, 1], b: [1, 0], agreement: 1, jaccard: 1),
      SetCase(a: [0, 1], b: [0, 1], agreement: 1, jaccard: 1, hasSameFirst: true),
      SetCase(a: [2, -1], b: [2, 3], agreement: 0.5, jaccard: 0.5, hasSameFirst: true),
      SetCase(a: [0, 1], b: [2, 3], agreement: 0, jaccard: 0),
      SetCase(a: [0, 1], b: [0, 1, 2], agreement: 2.0 / 3, jaccard: 2.0 / 3, hasSameFirst: true),
    ]
    for one in cases {
      let sets = one.a.withUnsafeBufferPointer { a in one.b.withUnsafeBufferPointer { ExpertSets(a, $0) } }
      #expect(near(sets.agreement, one.agreement) && near(sets.jaccard, one.jaccard), "\(one)")
      #expect(sets.first.map { $0.a == $0.b } == one.hasSameFirst && sets.areEqual == (one.agreement == 1), "\(one)")
    }
  }

  /// Three decisions, two of four experts each: agreement (1 + 1/2 + 0) / 3.
  @Test func numbersOfThreeDecisions() throws {
    var runs = RunsBeside(experts: 4, a: [[[0, 1], [1, 2], [2, 3]]], b: [[[1, 0], [1, 3], [0, 1]]])
    runs.a[0].batches[0].selectionMargin = [0.1, 0.0005, 0.2]
    let result = runs.compared(runs.plan())
    let row = try #require(result.layers.first?.row)
    let expected: [ComparisonKey: Double] = [
      .decisions: 3, .setAgreement: 0.5, .baseline: 0.5, .loadBaseline: 0.5, .top1Agreement: 1.0 / 3, .top1Baseline: 0.25,
      .top1LoadBaseline: 1.0 / 3,
      .jaccard: 4.0 / 9, .jaccardBaseline: Chance(experts: 4, topK: 2).meanJaccard, .loadTV: 1.0 / 3, .flips: 2, .flipsAboveMargin: 1,
      .flipMargin50: 0.0005, .flipMargin95: 0.2, .flipMarginMax: 0.2, .jsDecisions: 0,
    ]
    for (key, value) in expected { #expect(near(row[key], value, 1e-7), "\(key)") }
    for key in [ComparisonKey.setAgreementLow, .shuffledBaseline, .jsDivergence] { #expect(row[key] == nil, "\(key)") }
    #expect(result.flipped.map(\.token) == [1, 2])
    #expect(result.flipped.map(\.a) == [[1, 2], [2, 3]] && result.flipped.map(\.b) == [[1, 3], [0, 1]])
    let pooled = result.pooledRow(runs.alignment)
    #expect(pooled[.tokens] == 3 && pooled[.texts] == 1 && pooled[.partedAt] == nil && pooled[.setAgreement] == 0.5)
    #expect(pooled[.lossA] == nil && pooled[.scoredTokens] == 0)
  }

  /// What the other text of B shares at each position, and nothing beyond the shorter one's end.
  @Test func turnedTextsAreTheBaseline() throws {
    let texts: [[[Int32]]] = [[[0, 1], [2, 3], [4, 5]], [[0, 2], [2, 3]]]
    let runs = RunsBeside(experts: 6, a: texts, b: texts)
    let row = try #require(runs.compared(runs.plan()).layers.first?.row)
    #expect(row[.setAgreement] == 1 && row[.flips] == 0 && near(row[.shuffledBaseline], 0.75))
    #expect(runs.alignment.turned.map(\.count) == [2, 2] && runs.alignment.turned.map(\.rowB) == [3, 0])
  }

  @Test func otherNumbersOfExpertsAToken() throws {
    let runs = RunsBeside(experts: 4, a: [[[0, 1], [2, 3]]], b: [[[0, 1, 2], [2, 3, 0]]])
    let row = try #require(runs.compared(runs.plan()).layers.first?.row)
    #expect(near(row[.setAgreement], 2.0 / 3) && row[.baseline] == 0.5 && row[.flips] == 2 && row[.top1Agreement] == 1)
    // 1/2 of the sets of three hold both of two: Jaccard 2/3, the others 1/4.
    #expect(near(row[.jaccardBaseline], (2.0 / 3 + 0.25) / 2))
  }

  @Test func rowsWithoutAnExpertAreNoDecisions() throws {
    let runs = RunsBeside(experts: 4, a: [[[0, 1], [-1, -1], [2, -1]]], b: [[[0, 1], [1, 2], [2, 3]]])
    let row = try #require(runs.compared(runs.plan()).layers.first?.row)
    #expect(row[.decisions] == 2 && near(row[.setAgreement], 0.75) && row[.flips] == 1 && row[.flipsAboveMargin] == nil)
  }

  @Test func distancesOfDistributions() {
    #expect(RouterDistribution.divergence([0.5, 0.5], [0.5, 0.5]) == 0)
    #expect(near(RouterDistribution.divergence([1, 0], [0, 1]), log(2)))
    #expect(near(RouterDistribution.divergence([1, 0], [0.5, 0.5]), 0.215762, 1e-6))
    #expect(near(RouterDistribution.divergence([1], [0, 1]), log(2)))
    let sigmoid = RouterSpec(expertCount: 2, scoring: .sigmoid, selection: .tokenChoice(topK: 1))
    #expect(near(RouterDistribution.probabilities([0, 0], of: sigmoid)?[0], 0.5))
    #expect(near(RouterDistribution.probabilities([0, Float(log(3.0))], of: sigmoid)?[1], 0.6, 1e-7))
    let softmax = RouterSpec(expertCount: 2, scoring: .softmax, selection: .tokenChoice(topK: 1))
    #expect(near(RouterDistribution.probabilities([0, Float(log(3.0))], of: softmax)?[1], 0.75, 1e-7))
    #expect(RouterDistribution.probabilities([0, .infinity], of: softmax) == nil)
    #expect(RouterDistribution.renamed([0.2, 0.8], [1, 0], experts: 2) == [0.8, 0.2])
    #expect(RouterDistribution.renamed([0.2, 0.8], nil, experts: 3) == [0.2, 0.8, 0])
  }

  @Test func divergenceOfRecordedLogits() throws {
    let runs = RunsBeside(
      a: [try routed(logits: [[0, 0], [0, Float(log(3.0))]], topK: 1)], b: [try routed(logits: [[0, 0], [0, 0]], topK: 1)])
    let row = try #require(runs.compared(runs.plan()).layers.first?.row)
    let expected = RouterDistribution.divergence([0.25, 0.75], [0.5, 0.5]) / 2
    #expect(near(row[.jsDivergence], expected, 1e-7) && row[.jsDecisions] == 2)
  }

  /// Of n numbers in equal texts the interval is the classical t interval of their means.
  @Test func lossesArePaired() throws {
    let changes = [0.1, 0.2, 0.4, 0.0, 0.3]
    var runs = RunsBeside(
      experts: 2, a: Array(repeating: [[0], [0], [0]], count: 5), b: Array(repeating: [[0], [0], [0]], count: 5))
    for (text, change) in changes.enumerated() {
      // Texts differ much from each other; their first token has no surprisal.
      runs.a[text].tokens.surprisal = [.nan, Float(text), Float(text + 1)]
      runs.b[text].tokens.surprisal = [.nan, Float(Double(text) + change), Float(Double(text + 1) + change)]
    }
    let row = runs.compared(runs.plan()).pooledRow(runs.alignment)
    #expect(near(row[.lossA], 2.5, 1e-6) && near(row[.lossB], 2.7, 1e-6) && near(row[.lossChange], 0.2, 1e-6) && row[.scoredTokens] == 10)
    let half = 2.7764451 * (0.1 / 4 / 5).squareRoot()
    #expect(near(row[.low], 0.2 - half, 1e-5) && near(row[.high], 0.2 + half, 1e-5))
  }

  @Test func binsHoldAllDecisionsInTurn() {
    var bins = EntropyBins()
    for step in 0..<1000 { bins.add(Float(step) / 1000, agreement: step < 500 ? 1 : 0) }
    bins.add(.nan, agreement: 1)
    let found = bins.bins()
    #expect(found.count == EntropyBins.count && found.reduce(0) { $0 + $1.agreement.count } == 1000)
    #expect(found.allSatisfy { (95...105).contains($0.agreement.count) })
    #expect(found[0].low == 0 && near(found[9].high, 0.999, 1e-6) && found[0].agreement.mean == 1 && found[9].agreement.mean == 0)
    for (bin, next) in zip(found, found.dropFirst()) { #expect(bin.high == next.low) }
    // A router that is always alike has one bin, and one that has no entropy none.
    var flat = EntropyBins()
    for _ in 0..<30 { flat.add(0.99, agreement: 1) }
    #expect(flat.bins().count == 1 && EntropyBins().bins().isEmpty)
  }

  // MARK: - Experts in another order

  @Test func assignmentsAreTheBestOfAll() {
    var random = SplitMix64(seed: 3)
    func permutations(_ items: [Int]) -> [[Int]] {
      items.isEmpty ? [[]] : items.flatMap { first in permutations(items.filter { $0 != first }).map { [first] + $0 } }
    }
    for size in 1...5 {
      for _ in 0..<20 {
        let costs = (0..<size).map { _ in (0..<size).map { _ in random.below(10) - 5 } }
        let rows = Assignment.rows(costs)
        let best = permutations(Array(0..<size)).map { order in order.indices.reduce(0) { $0 + costs[order[$1]][$1] } }.min()
        #expect(Set(rows).count == size && Assignment.leastCost(costs) == best)
      }
    }
  }

  /// Found on texts 0, 2, 4, counted on 1, 3, 5: the renaming is undone where it holds and the noise of the odd texts is not fitted.
  @Test func renamedExpertsAreFoundByWhatTheyDo() throws {
    let runs = try renamed(order: [3, 0, 5, 1, 7, 2, 6, 4])
    let byIndex = try #require(runs.compared(runs.plan()).layers.first?.row)
    #expect((byIndex[.setAgreement] ?? 1) < 0.4)
    let result = runs.compared(runs.plan(.behaviour))
    let layer = try #require(result.layers.first)
    #expect(layer.row[.setAgreement] == 1 && layer.row[.flips] == 0 && layer.row[.top1Agreement] == 1 && near(layer.row[.jsDivergence], 0))
    #expect(layer.row[.moved] == 7 && layer.matching == [3, 0, 5, 1, 7, 2, 6, 4])
    // Counted on odd texts alone; loss and tokens are of all.
    let odd = runs.alignment.pairs.enumerated().filter { $0.offset % 2 == 1 }.reduce(0) { $0 + $1.element.tokens }
    #expect(layer.row[.decisions] == Double(odd) && result.pooledRow(runs.alignment)[.tokens] == Double(runs.alignment.tokens))
    #expect(throws: AnalysisError.self) { try runs.plan(.behaviour).validate(texts: 1) }
  }

  /// A synthetic run, and the same with expert e called `order[e]`.
  private func renamed(order: [Int]) throws -> RunsBeside {
    var source = SyntheticRouting()
    source.documents = 12
    source.dirichlet = 0.5
    let run = try source.run()
    var passes = run.passes
    for pass in passes.indices {
      let logits = passes[pass].batches[0].logits
      passes[pass].batches[0].selectedExperts = passes[pass].batches[0].selectedExperts.map { Int32(order[Int($0)]) }
      for row in 0..<(logits?.rows.count ?? 0) {
        for expert in order.indices {
          passes[pass].batches[0].logits?.values[row * order.count + order[expert]] = logits?.values[row * order.count + expert] ?? 0
        }
      }
    }
    return RunsBeside(a: run.passes, b: passes)
  }

  // MARK: - Parts

  @Test(arguments: [ComparisonPlan.Matching.index, .behaviour])
  func partsMergeToTheWhole(matching: ComparisonPlan.Matching) throws {
    var source = SyntheticRouting()
    source.layers = 2
    source.documents = 9
    let a = try source.run()
    source.domainEffect = 1
    var b = try source.run(tokensPerPass: 50)
    let ids = a.passes.flatMap(\.tokens.tokenID)
    for pass in b.passes.indices {
      let first = b.passes[pass].tokens.firstToken
      b.passes[pass].tokens.tokenID = Array(ids[first..<first + b.passes[pass].tokens.count])
    }
    let runs = RunsBeside(a: a.passes, b: b.passes)
    let plan = runs.plan(matching)
    let whole = runs.compared(plan)
    var random = SplitMix64(seed: 7)
    var comparison = RunComparison(plan)
    repeat {
      var parts = (0..<4).map { _ in comparison.emptyPart() }
      for rows in runs.rows(runs.alignment.stretches) { parts[random.below(4)].add(rows) }
      for rows in runs.rows(runs.alignment.turned) { parts[random.below(4)].addTurned(rows) }
      for part in parts { comparison.merge(part) }
    } while comparison.beginNextRound()
    let merged = comparison.result()
    func numbers(_ result: ComparisonOutcome) -> [Double?] {
      ([result.pooledRow(runs.alignment)] + result.layers.map(\.row) + result.byEntropy).flatMap { row in row.kind.keys.map { row[$0] } }
    }
    #expect(zip(numbers(whole), numbers(merged)).allSatisfy { near($0, $1, 1e-12) } && numbers(whole).count == numbers(merged).count)
    #expect(whole.flipped.map(\.token) == merged.flipped.map(\.token) && whole.flipped.map(\.router) == merged.flipped.map(\.router))
    #expect(whole.flipped.count == RouterAgreement.shownFlips && whole.flipped.map(\.token) == whole.flipped.map(\.token).sorted())
    #expect(whole.layers.map(\.matching) == merged.layers.map(\.matching))
  }

  // MARK: - Layers

  @Test func routersPairByNameOrAsTheUserSays() throws {
    func routers(_ layers: [Int], _ stack: RouterStack = .feedForward) -> [RouterDescription] {
      layers.map {
        RouterDescription(
          id: RouterID(stack: stack, layer: $0), spec: RouterSpec(expertCount: 4, scoring: .softmax, selection: .tokenChoice(topK: 1)))
      }
    }
    func pairs(_ text: String?, _ a: [RouterDescription], _ b: [RouterDescription]) throws -> [String] {
      try RouterPairing.pairs(a, b, by: try text.map { try RouterPairing(parsing: $0) }).map { "\($0.a.id)=\($0.b.id)" }
    }
    #expect(try pairs(nil, routers([0, 1]), routers([1, 0])) == ["ffn.0=ffn.0", "ffn.1=ffn.1"])
    #expect(try pairs("1=3,0=2", routers([0, 1]), routers([2, 3])) == ["ffn.0=ffn.2", "ffn.1=ffn.3"])
    #expect(try pairs("0-1=2-3", routers([0, 1]), routers([2, 3])) == ["ffn.0=ffn.2", "ffn.1=ffn.3"])
    #expect(try pairs("1", routers([0, 1]), routers([1])) == ["ffn.1=ffn.1"])
    #expect(try pairs("enc.0=dec.1", routers([0], .encoder), routers([1], .decoder)) == ["enc.0=dec.1"])
    for text in ["", "x", "0=1=2", "0-1=2", "0=", "enc=1", "3-1=3-1", "ffm.0=1", "0=99999999999"] {
      #expect(throws: AnalysisError.badPairing(found: text), "\(text)") { try RouterPairing(parsing: text) }
    }
    let wrong: [(String?, [Int], [Int])] = [
      (nil, [0, 1], [0]), (nil, [0], [0, 1]), (nil, [], []), ("0=5", [0], [0]), ("5=0", [0], [0]), ("0=0,0=1", [0], [0, 1]),
    ]
    for (text, a, b) in wrong {
      #expect(throws: AnalysisError.self, "\(text ?? "")") { try pairs(text, routers(a), routers(b)) }
    }
  }

  // MARK: - Conditions

  @Test func conditionsNameEveryNumber() throws {
    for kind in ComparisonRow.Kind.allCases {
      for key in kind.keys {
        #expect(try ComparisonCondition(parsing: "\(kind.rawValue).\(key.rawValue) >= 0").key == key)
        #expect(!key.entry.missing.isEmpty)
      }
    }
    #expect(try ComparisonCondition(parsing: "set_agreement<99%").description == "set_agreement < 99%")
    for text in ["nothing<1", "margin<1", "layers.texts>0", "sets.flips>0", "flips", "flips>x", ".flips>0", "flips.value>0"] {
      #expect(throws: AnalysisError.self, "\(text)") { try ComparisonCondition(parsing: text) }
    }
  }

  @Test func conditionsJudgeRows() throws {
    let runs = RunsBeside(experts: 4, a: [[[0, 1], [1, 2], [2, 3]]], b: [[[1, 0], [1, 3], [0, 1]]])
    let run = ComparedRun(label: "a.db#1", trace: "a.db", description: .nameless, tokens: 3, texts: 1)
    let report = ComparisonReport(
      a: run, pairs: [ComparedPair(a: run, b: run, alignment: runs.alignment, result: runs.compared(runs.plan()))],
      plan: ComparisonReport.Settings(margin: 1e-3, matching: .index, layers: nil, branch: nil))
    func verdict(_ text: String) throws -> ComparisonCondition.Verdict { try ComparisonCondition(parsing: text).verdict(on: report) }
    #expect(try verdict("set_agreement<0.4") == ComparisonCondition.Verdict())
    let both = try verdict("set_agreement<0.9")
    #expect(both.violations == ["a.db#1 all routers: set_agreement 0.5000 < 0.9", "a.db#1 ffn.0: set_agreement 0.5000 < 0.9"])
    #expect(try verdict("layers.set_agreement<0.9").violations.count == 1)
    #expect(try verdict("flipped.token>1").violations == ["a.db#1 ffn.0 token 2: flipped.token 2 > 1"])
    let missing = try verdict("js_divergence>0")
    #expect(missing.violations.isEmpty && missing.fault?.contains("js_divergence of a.db#1 all routers, a.db#1 ffn.0 is not there") == true)
    #expect(missing.fault?.contains("--record full") == true)
    #expect(try verdict("by_entropy.decisions>0").fault != nil)
    // Every record of csv has its unit and its n.
    let records = report.records()[0]
    #expect(records.rows.count == 20 && records.rows.allSatisfy { $0.count == records.columns.count && $0[4].plain != "" })
  }
}

extension RunDescription {
  /// A run of nothing in particular.
  static var nameless: RunDescription {
    RunDescription(
      name: "",
      model: ModelIdentity(
        name: "m", family: "f", path: "", filesHash: "", quantization: "", routerPrecision: "", tokenizerHash: "", layerCount: 1,
        vocabularySize: 1), routers: [], input: InputIdentity(source: "", hash: ""), recording: RecordingLevel(),
      engine: EngineIdentity(version: "", simd: "", threads: 1), startedAt: 0)
  }
}
