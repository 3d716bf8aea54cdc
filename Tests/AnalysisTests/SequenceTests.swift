import Routing
import Testing

@testable import Analysis

@Suite struct SequenceLinkTests {
  private func fold(_ passes: [RoutingPass]) -> SequenceLinks {
    var links = SequenceLinks()
    for pass in passes { for batch in pass.batches { links.add(batch, tokens: pass.tokens) } }
    return links
  }

  @Test func handComputed() {
    // Pairs: (01,02) same first, one shared; (02,31) none; (31,13) both, first differs.
    let total = fold([handMade(experts: 4, [[0, 1], [0, 2], [3, 1], [1, 3]])]).total
    #expect(total.pairs == 3 && total.sameFirst == 1 && total.anyShared == 2 && total.shared == 3)
    #expect(near(total.repeatFirst, 1.0 / 3) && near(total.repeatAny, 2.0 / 3) && near(total.overlap, 1))
    #expect(near(total.meanJaccard, (1.0 / 3 + 0 + 1) / 3))
  }

  @Test func pairsNeverCrossSequencesOrGaps() {
    let a = handMade(experts: 4, [[0], [0]], sequence: 0)
    let b = handMade(experts: 4, [[0], [0]], sequence: 1, firstToken: 2)
    let gap = handMade(experts: 4, [[0]], sequence: 1, position: 5, firstToken: 4)
    #expect(fold([a, b, gap]).total.pairs == 2)
  }

  @Test func pairAcrossABatchBorderCountsOnce() {
    let whole = fold([handMade(experts: 4, [[0, 1], [1, 2], [2, 0]])])
    let first = handMade(experts: 4, [[0, 1]])
    let rest = handMade(experts: 4, [[1, 2], [2, 0]], position: 1, firstToken: 1)
    #expect(fold([first, rest]).total == whole.total)
    #expect(fold([rest, first]).total == whole.total)
    var merged = fold([rest])
    merged.merge(fold([first]))
    #expect(merged.total == whole.total)
  }

  /// Single tokens of several sequences, shuffled over parts that are merged in random order.
  @Test func anySplitGivesTheWhole() throws {
    let run = try SyntheticRouting(documents: 5, length: 7...15, experts: 8, topK: 3, stickiness: 0.5).run(tokensPerPass: 9)
    let whole = fold(run.passes)
    var random = SplitMix64(seed: 3)
    for _ in 0..<20 {
      var singles = run.passes.flatMap { pass in
        (0..<pass.tokens.count).map { token in
          RoutingPass(tokens: pass.tokens.slice(token..<token + 1), batches: pass.batches.map { $0.slice(token..<token + 1) })
        }
      }
      random.shuffle(&singles)
      var parts = Array(repeating: SequenceLinks(), count: 4)
      for pass in singles { parts[random.below(4)].add(pass.batches[0], tokens: pass.tokens) }
      random.shuffle(&parts)
      var merged = SequenceLinks()
      for part in parts { merged.merge(part) }
      #expect(merged.total.pairs == whole.total.pairs && merged.total.sameFirst == whole.total.sameFirst)
      #expect(merged.total.anyShared == whole.total.anyShared && merged.total.shared == whole.total.shared)
      #expect(near(merged.total.jaccard, whole.total.jaccard))
      #expect(merged.repeatFirstUnderOwnLoad == whole.repeatFirstUnderOwnLoad)
    }
  }

  @Test func chanceValuesHoldForRandomRouting() throws {
    let run = try SyntheticRouting(documents: 60, length: 100...100, experts: 8, topK: 2).run()
    let links = fold(run.passes)
    let chance = Chance(experts: 8, topK: 2)
    #expect(abs((links.total.repeatFirst ?? 0) - chance.share) < 0.02)
    #expect(abs((links.total.repeatAny ?? 0) - chance.anyOverlap) < 0.02)
    #expect(abs((links.total.overlap ?? 0) - chance.meanOverlap) < 0.03)
    #expect(abs((links.total.meanJaccard ?? 0) - chance.meanJaccard) < 0.02)
  }

  /// One expert is wanted by all: repeats rise, and the own-load chance explains them.
  @Test func ownLoadExplainsSkew() {
    var random = SplitMix64(seed: 11)
    let choices = (0..<4000).map { _ in [Int32(random.unit() < 0.7 ? 0 : 1 + random.below(7))] }
    let links = fold([handMade(experts: 8, choices)])
    let expected = 0.49 + 7 * (0.3 / 7) * (0.3 / 7)
    #expect(abs((links.total.repeatFirst ?? 0) - expected) < 0.03)
    #expect(abs((links.repeatFirstUnderOwnLoad ?? 0) - expected) < 0.03)
    #expect(near(links.repeatFirstUnderOwnLoad, links.overlapUnderOwnLoad))
  }
}

/// A text of one token has no pair: it is no text of an interval, and makes none of four.
@Suite struct LinkIntervalTests {
  private func repeatFirst(_ texts: [[Int32]]) throws -> MetricRow {
    var firstToken = 0
    let passes = texts.enumerated().map { number, experts in
      defer { firstToken += experts.count }
      return handMade(experts: 4, experts.map { [$0] }, sequence: number, firstToken: firstToken)
    }
    let report = try analyzed(AnalysisPlan(metrics: [.repeatFirst], intervals: true), passes).report()
    guard case .metric(let rows) = report[.repeatFirst]?.rows else { throw CancellationError() }
    return try #require(rows.first)
  }

  @Test func textsWithoutAPairDoNotCount() throws {
    // 2, 2, 1, 1 and 0 of two pairs each: left out in turn 0.5, 0.5, 0.625, 0.625, 0.75; t of 4 degrees of freedom is 2.7764.
    let texts: [[Int32]] = [[0, 0, 0], [1, 1, 1], [0, 0, 1], [2, 1, 1], [0, 1, 2]]
    let five = try repeatFirst(texts)
    #expect(five.n == 10 && near(five.value, 0.6) && near(five.interval?.high, 0.6 + 2.7764 * 0.035.squareRoot(), 1e-5))
    let more = try repeatFirst(texts + [[3], [3], [3]])
    #expect(more.n == 10 && near(more.interval?.low, five.interval?.low) && near(more.interval?.high, five.interval?.high))
    #expect(try repeatFirst(texts.dropLast() + [[3], [3]]).interval == nil)
  }
}

/// Chance inside a text: two texts that share no expert, each of its own words in random order.
@Suite struct WithinTextTests {
  private func links(_ passes: [RoutingPass], sets: Bool = false) -> SequenceLinks {
    var links = SequenceLinks(keepsSets: sets)
    for pass in passes { links.add(pass.batches[0], tokens: pass.tokens) }
    return links
  }

  private func total(_ links: SequenceLinks) -> LinkChance { links.chanceBySequence.values.reduce(into: LinkChance()) { $0 += $1 } }

  @Test func handComputed() {
    // First choices 0 0 1: one of three pairs of tokens agrees. Experts 0 3 2 of 0 1 | 0 1 | 1 2: three, one and one pairs share one.
    let chance = total(links([handMade(experts: 4, [[0, 1], [0, 1], [1, 2]])], sets: true))
    #expect(chance.pairs == 2 && near(chance.sameFirst, 2.0 / 3) && near(chance.shared, 2 * 4.0 / 3))
    #expect(near(chance.anyShared, 2) && near(chance.jaccard, 2 * (1 + 1.0 / 3 + 1.0 / 3) / 3))
    #expect(total(links([handMade(experts: 4, [[0, 1]])])).pairs == 0)
  }

  /// Tokens in random order: neighbours agree as any two tokens of their text do, which the pooled load does not foresee.
  @Test func explainsTextsOfTheirOwn() {
    var random = SplitMix64(seed: 4)
    let passes = (0..<6).map { text in
      handMade(
        experts: 12, (0..<300).map { _ in random.below(2) }.map { [Int32(2 * text + $0), Int32((2 * text + 5 + $0) % 12)] },
        sequence: text, firstToken: 300 * text)
    }
    let folded = links(passes, sets: true)
    let chance = total(folded)
    let pairs = Double(chance.pairs)
    #expect(folded.total.pairs == chance.pairs)
    #expect(abs((folded.total.repeatFirst ?? 0) - chance.sameFirst / pairs) < 0.03 && chance.sameFirst / pairs > 0.45)
    #expect(abs((folded.total.overlap ?? 0) - chance.shared / pairs) < 0.05)
    #expect(abs((folded.total.repeatAny ?? 0) - chance.anyShared / pairs) < 0.05)
    #expect(abs((folded.total.meanJaccard ?? 0) - chance.jaccard / pairs) < 0.05)
    #expect(folded.repeatFirstUnderOwnLoad ?? 1 < 0.1)
  }

  /// Single tokens in any order, through any parts: the same tallies and the same sets.
  @Test func anySplitGivesTheWhole() throws {
    let run = try SyntheticRouting(documents: 3, length: 80...120, experts: 16, topK: 3, dirichlet: 1, seed: 2).run()
    let whole = links(run.passes, sets: true)
    var random = SplitMix64(seed: 9)
    var singles = run.passes.flatMap { pass in
      (0..<pass.tokens.count).map { token in
        RoutingPass(tokens: pass.tokens.slice(token..<token + 1), batches: pass.batches.map { $0.slice(token..<token + 1) })
      }
    }
    random.shuffle(&singles)
    var parts = Array(repeating: SequenceLinks(keepsSets: true), count: 3)
    for pass in singles { parts[random.below(3)].add(pass.batches[0], tokens: pass.tokens) }
    var merged = SequenceLinks(keepsSets: true)
    for part in parts { merged.merge(part) }
    for (sequence, chance) in whole.chanceBySequence {
      let other = merged.chanceBySequence[sequence]
      #expect(other?.pairs == chance.pairs && near(other?.sameFirst, chance.sameFirst) && near(other?.shared, chance.shared))
      #expect(near(other?.anyShared, chance.anyShared) && near(other?.jaccard, chance.jaccard))
    }
  }
}

@Suite struct StrataTests {
  @Test func binsDouble() {
    #expect([0, 1, 2, 3, 4, 7, 8, 399].map { PositionBin(position: $0).rawValue } == [0, 1, 2, 2, 3, 3, 4, 9])
    #expect(PositionBin(position: 5).name == "4-7" && PositionBin(position: 0).name == "0" && PositionBin(position: -4).rawValue == 0)
    for position in 0..<300 { #expect(PositionBin(position: position).positions.contains(position)) }
  }

  @Test func packedIDs() {
    for experts in [4, 255, 256, 65_535, 65_536, 262_144] {
      var ids = PackedIDs(experts: experts)
      let values = [0, -1, experts - 1, experts / 2]
      for value in values { ids.append(Int32(value)) }
      #expect((0..<4).map { ids[$0] } == values, "\(experts)")
    }
  }

  @Test func sparseAndDenseTalliesAgree() {
    var random = SplitMix64(seed: 5)
    var tally = ExpertTally(experts: 1000)
    var other = ExpertTally(experts: 1000)
    var counts = Array(repeating: UInt32(0), count: 1000)
    for index in 0..<900 {
      let expert = random.below(1000)
      counts[expert] += 1
      if index % 3 == 0 { other.add(Int32(expert)) } else { tally.add(Int32(expert)) }
    }
    tally.merge(other)
    var found = Array(repeating: UInt32(0), count: 1000)
    tally.forEach { found[$0] += $1 }
    #expect(found == counts)
  }

  @Test func routesComeBackInOrder() throws {
    let run = try SyntheticRouting(documents: 4, length: 5...30, experts: 300, topK: 2).run(tokensPerPass: 7)
    var whole = RouteStore()
    var parts = [RouteStore(), RouteStore()]
    for (index, pass) in run.passes.enumerated() {
      whole.add(pass.batches[0], tokens: pass.tokens)
      parts[(index + 1) % 2].add(pass.batches[0], tokens: pass.tokens)
    }
    parts[0].merge(parts[1])
    #expect(parts[0].sequences().map(\.experts) == whole.sequences().map(\.experts))
    #expect(whole.sequences().map(\.sequence) == [0, 1, 2, 3])
  }
}

@Suite struct RandomnessTests {
  /// First numbers of seed 1234567 in the reference implementation.
  @Test func knownNumbers() {
    var random = SplitMix64(seed: 1_234_567)
    let first = (0..<3).map { _ in random.next() }
    #expect(first == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
  }

  @Test func boundedDrawsAreEven() {
    var random = SplitMix64(seed: 1, stream: 9)
    var counts = Array(repeating: 0, count: 7)
    for _ in 0..<7000 { counts[random.below(7)] += 1 }
    #expect(counts.allSatisfy { abs($0 - 1000) < 150 })
    var order = Array(0..<50)
    random.shuffle(&order)
    #expect(order != Array(0..<50) && order.sorted() == Array(0..<50))
  }
}
