// Groups of experts as M-SMoE makes them: cosines against columns written out, the numbers of kept experts by hand, and what joins what.

import Routing
import Testing

@testable import Analysis

struct ExpertGroupTests {
  @Test func likenessIsTheCosineOfColumns() throws {
    var fold = LogitProducts()
    let first = try routed(logits: [[1, 2, -1, 0], [2, 4, -2, 0]], topK: 1)
    let second = try routed(logits: [[0, 0, 3, 0]], topK: 1)
    for pass in [first, second] { fold.add(pass.batches[0], tokens: pass.tokens) }
    #expect(fold.tokens == 3)
    #expect(near(fold.similarity(0, 1), 1) && near(fold.similarity(1, 0), 1))
    // (1, 2, 0) and (-1, -2, 3): -5 over the roots of 5 and 14.
    #expect(near(fold.similarity(0, 2), (1 - 5 / (5.0 * 14).squareRoot()) / 2))
    // A column of zeros is like nothing and unlike nothing.
    #expect(near(fold.similarity(0, 3), 0.5) && fold.similarity(3, 3) == 1)
    var whole = LogitProducts()
    var other = LogitProducts()
    whole.add(first.batches[0], tokens: first.tokens)
    other.add(second.batches[0], tokens: second.tokens)
    whole.merge(other)
    whole.merge(LogitProducts())
    #expect(whole.similarity(0, 2) == fold.similarity(0, 2) && whole.tokens == 3)
  }

  @Test func logitsThatAreNoneAreLeftOut() throws {
    var fold = LogitProducts()
    let pass = try routed(logits: [[1, .nan], [3, 1]], topK: 1)
    fold.add(pass.batches[0], tokens: pass.tokens)
    #expect(fold.tokens == 1 && near(fold.similarity(0, 1), 1))
  }

  /// Shares 0.6 0.2 0.1 0.1 and 0.4 0.3 0.2 0.1; the most used of each counts 1.
  @Test(arguments: [
    // Two of the eight: the third largest is 0.3, and only the most used are above it.
    (1, [1, 1], 0.3),
    // Four: behind them 0.2 stands twice, so that three are kept.
    (2, [1, 2], 0.2), (3, [2, 3], 0.1),
    // All but the least, and then some: nothing is above the last.
    (4, [2, 3], 0.1), (9, [2, 3], 0.1),
  ]) func asManyAsAreUsedMoreThanTheNext(_ average: Int, _ counts: [Int], _ threshold: Double) {
    let sizes = ExpertGroups.sizes([[6, 2, 1, 1], [3, 4, 1, 2]], average: average)
    #expect(sizes.counts == counts && near(sizes.threshold, threshold))
  }

  @Test func aRouterKeepsItsMostUsedExpertWhateverTheOthersDo() {
    #expect(ExpertGroups.sizes([[0, 0, 0], [9, 9, 9]], average: 1).counts == [1, 1])
    #expect(ExpertGroups.sizes([], average: 1).counts.isEmpty)
  }

  @Test func theOthersJoinTheCoreMostLikeThem() {
    let likeness = [[1, 0.2, 0.9, 0.4], [0.2, 1, 0.1, 0.4], [0.9, 0.1, 1, 0.3], [0.4, 0.4, 0.3, 1]]
    let groups = ExpertGroups([5, 7, 1, 2], keeping: 2) { likeness[$0][$1] }
    // Expert 3 is as like the one as the other: the more used one has it.
    #expect(groups.cores == [1, 0] && groups.core == [0, 1, 0, 1])
    #expect(ExpertGroups([0, 0], keeping: 1) { _, _ in 0 }.core == [0, 0])
  }

  @Test func rowsSayWhoStandsForWhom() throws {
    let pass = try routed(logits: [[3, 1, 2, -1], [3, 1, 2.5, -1], [0, 4, 0, 1], [1, 0, 0.5, 3]], topK: 1)
    var plan = AnalysisPlan(
      metrics: [.coreSimilarity], sequences: [SequenceDescription(name: "a")],
      routers: [
        RouterDescription(
          id: RouterID(layer: 0), spec: RouterSpec(expertCount: 4, scoring: .softmax, selection: .tokenChoice(topK: 1)))
      ])
    plan.groups = 2
    var analysis = try RunAnalysis(plan)
    analysis.add(pass)
    let rows = try analysis.report().documents.flatMap(\.metricRows)
    #expect(rows.map { $0[.core] } == [0, 0, 0, 0])
    #expect(rows.map(\.n) == [2, 1, 0, 1])
    #expect(rows[2][.core] == 0 && rows[2].value.map { $0 > 0.9 } == true && rows[0].value == 1)
    #expect(rows.allSatisfy { $0.baseline.map { (0...1).contains($0) } == true })
  }
}
