import Routing
import Testing

@testable import Analysis

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Texts of given counts, a label each, as sequences of single choices.
private func run(_ texts: [(label: String, counts: [Int])], layers: Int = 1) -> SyntheticRouting.Run {
  var passes: [RoutingPass] = []
  var first = 0
  for (sequence, text) in texts.enumerated() {
    let choices = text.counts.enumerated().flatMap { expert, count in Array(repeating: [Int32(expert)], count: count) }
    for layer in 0..<layers {
      passes.append(handMade(experts: text.counts.count, choices, sequence: sequence, firstToken: first, layer: layer))
    }
    first += choices.count
  }
  return SyntheticRouting.Run(
    passes: passes, sequences: texts.enumerated().map { SequenceDescription(name: "\($0)", labels: ["kind": $1.label]) })
}

@Suite struct CentredInformationTests {
  /// The numbers of `tools/simulate_specialization.py --cases`: the estimator whose bias and coverage were simulated is this one.
  @Test func equalsTheSimulatedEstimator() throws {
    let cases: [(texts: [(String, [Int])], plugIn: Double, effect: Double, half: Double)] = [
      (
        [("a", [8, 2, 0]), ("a", [6, 3, 1]), ("a", [9, 1, 2]), ("b", [1, 7, 2]), ("b", [2, 6, 4]), ("b", [0, 9, 3])],
        0.229133982726354, 0.253530897798091, 0.290904090978550
      ),
      (
        [
          ("a", [30, 4, 2, 1]), ("a", [5, 5, 0, 0]), ("a", [12, 3, 3, 0]), ("b", [2, 9, 1, 8]), ("b", [1, 20, 4, 6]),
          ("c", [3, 2, 2, 9]), ("c", [0, 1, 5, 30]),
        ],
        0.421784395322091, 0.495166079481993, 1.009535857495598
      ),
    ]
    for (texts, plugIn, effect, half) in cases {
      let result = try #require(study(run(texts), .label("kind"), draws: 19, matches: false).result().first)
      let interval = try #require(result.interval)
      #expect(near(result.mutualInformation, plugIn, 1e-12) && near(result.effect, effect, 1e-11))
      // The t quantile has six digits.
      #expect(near((interval.high - interval.low) / 2, half, 1e-6) && near(interval.low + interval.high, 2 * effect, 1e-11))
    }
  }

  /// The jackknife takes all of a bias that falls as 1 / n: the divisor of a variance.
  @Test func varianceBecomesUnbiased() {
    let values = [1.0, 4, 2, 8, 5, 7]
    func variance(_ x: [Double]) -> Double {
      let mean = x.reduce(0, +) / Double(x.count)
      return x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
    }
    let leftOut = values.indices.map { index in variance(values.enumerated().filter { $0.offset != index }.map(\.element)) }
    #expect(near(Jackknife.centred(variance(values), leftOut: leftOut), variance(values) * 6 / 5))
    #expect(Jackknife.centred(1, leftOut: [1]) == nil && Jackknife.centred(1, leftOut: [1, nil]) == nil)
  }

  /// Leaving a text out by differences of counts is leaving it out, for sparse and dense rows and for axes inside texts.
  @Test func leavingOutByDifferencesIsExact() throws {
    for (experts, facet) in [(8, Facet.label("domain")), (400, .label("domain")), (8, .position)] {
      let whole = try SyntheticRouting(documents: 6, length: 20...40, experts: experts, topK: 2, dirichlet: 1, seed: 3).run()
      let studied = try study(whole, facet, draws: 19, matches: false)
      let found = try #require(studied.prepared.values.first).information
      for sequence in 0..<6 {
        var part = whole
        part.passes = whole.passes.flatMap { pass in
          (0..<pass.tokens.count).filter { pass.tokens.sequence[$0] != Int32(sequence) }.map { row in
            RoutingPass(tokens: pass.tokens.slice(row..<row + 1), batches: pass.batches.map { $0.slice(row..<row + 1) })
          }
        }
        let without = try #require(study(part, facet, draws: 19, matches: false).prepared.values.first).information
        #expect(near(found.leftOut[sequence], without.plugIn, 1e-10))
      }
    }
  }

  /// Documents cluster and domains mean nothing: the effect is 0 within its spread, which the plug-in value is far from.
  @Test func nothingToFindGivesNothing() throws {
    let effects = try (0..<40).map { seed -> (effect: Double, plugIn: Double) in
      let run = try SyntheticRouting(documents: 20, length: 30...90, dirichlet: 4, seed: 300 + UInt64(seed)).run(tokensPerPass: 2000)
      let result = try #require(study(run, .label("domain"), draws: 19, matches: false).result().first)
      return (result.effect ?? .nan, result.mutualInformation)
    }
    let mean = effects.reduce(0) { $0 + $1.effect } / 40
    let sd = (effects.reduce(0) { $0 + ($1.effect - mean) * ($1.effect - mean) } / 39).squareRoot()
    #expect(abs(mean) < 0.5 * sd, "\(mean) \(sd)")
    #expect(effects.reduce(0) { $0 + $1.plugIn } / 40 > 2 * sd)
  }

  /// Fewer than five texts of a label value: shown with a mark. One text along an axis inside texts: no effect at all.
  @Test func fewTextsAreMarked() throws {
    let few = try SyntheticRouting(documents: 17, length: 20...20, seed: 5).run()
    #expect(try study(few, .label("domain"), draws: 19).result().allSatisfy { $0.hasFewTexts && $0.fewest == 4 && $0.effect != nil })
    let enough = try SyntheticRouting(documents: 20, length: 20...20, seed: 5).run()
    #expect(try study(enough, .label("domain"), draws: 19).result().allSatisfy { !$0.hasFewTexts && $0.fewest == 5 })
    let one = try SyntheticRouting(documents: 1, length: 64...64, seed: 5).run()
    let alone = try #require(study(one, .position, draws: 19).result().first)
    #expect(alone.effect == nil && alone.interval == nil && alone.hasFewTexts && alone.normalizedEffect == nil)
  }
}

@Suite struct FamilyOfLayersTests {
  /// Layers of which none prefers anything: some layer's own p is at most 0.05 far too often, the adjusted one in a twentieth.
  @Test func adjustedPControlsTheLargestLayer() throws {
    var own = 0
    var adjusted = 0
    for repetition in 0..<120 {
      let run = try SyntheticRouting(documents: 16, length: 12...30, layers: 6, dirichlet: 1, seed: 900 + UInt64(repetition)).run(
        tokensPerPass: 640)
      let results = try study(run, .label("domain"), draws: 99, seed: UInt64(repetition)).result()
      if results.contains(where: { $0.p <= 0.05 }) { own += 1 }
      if results.contains(where: { $0.adjustedP <= 0.05 }) { adjusted += 1 }
      #expect(results.allSatisfy { $0.p <= $0.adjustedP })
    }
    #expect(own >= 18, "\(own) of 120")
    #expect(adjusted <= 13, "\(adjusted) of 120")
  }

  @Test func oneLayerHasItsOwnP() throws {
    for seed in 0..<5 {
      let run = try SyntheticRouting(documents: 16, length: 30...30, dirichlet: 1, seed: UInt64(seed)).run()
      let result = try #require(study(run, .label("domain"), draws: 99).result().first)
      #expect(result.p == result.adjustedP)
    }
  }

  /// A layer whose null is wide does not hide one that stands far above its own.
  @Test func layersAreStandardised() throws {
    let loud = run((0..<12).map { ($0 % 2 == 0 ? "a" : "b", $0 % 2 == 0 ? [30, 10] : [10, 30]) })
    let wide = run((0..<12).map { ("a", $0 % 3 == 0 ? [400, 0] : [0, 400]) })
    var passes = loud.passes
    for pass in wide.passes {
      passes.append(
        RoutingPass(
          tokens: pass.tokens,
          batches: pass.batches.map { batch in
            var batch = batch
            batch.router = RouterID(layer: 1)
            return batch
          }))
    }
    let results = try study(SyntheticRouting.Run(passes: passes, sequences: loud.sequences), .label("kind"), draws: 199, matches: false)
      .result()
    #expect(results[1].nullMean > results[0].nullMean && results[0].adjustedP <= 0.02, "\(results.map(\.adjustedP))")
  }
}

@Suite struct MatchedLengthTests {
  private func texts(_ lengths: [(String, Int)]) -> SyntheticRouting.Run {
    var random = SplitMix64(seed: 6)
    return run(
      lengths.map { label, length in
        var counts = [0, 0, 0, 0]
        for _ in 0..<length { counts[random.below(4)] += 1 }
        return (label, counts)
      })
  }

  /// One text too short for the comparison is left out of it and counted; it no longer takes the comparison away.
  @Test func aShortTextIsLeftOut() throws {
    let lengths = (0..<6).map { _ in ("long", 100) } + (0..<6).map { _ in ("short", 24) } + [("short", 10)]
    let result = try #require(study(texts(lengths), .label("kind"), draws: 19).result().first)
    let matched = try #require(result.matched)
    #expect(matched.positions == 16 && matched.leftOut == 1 && !result.lacksLengthControl && matched.interval != nil)
    let even = try #require(study(texts(lengths.dropLast()), .label("kind"), draws: 19).result().first?.matched)
    #expect(even.leftOut == 0 && near(even.mutualInformation, matched.mutualInformation))
  }

  /// A label value without a long text leaves nothing to compare, which is said; equal lengths need no comparison.
  @Test func whatCannotBeMatchedIsSaid() throws {
    let short = try #require(study(texts([("a", 40), ("a", 50), ("b", 9), ("b", 12)]), .label("kind"), draws: 19).result().first)
    #expect(short.matched == nil && short.lacksLengthControl)
    let even = try #require(study(texts([("a", 40), ("a", 40), ("b", 40), ("b", 40)]), .label("kind"), draws: 19).result().first)
    #expect(even.matched == nil && !even.lacksLengthControl)
  }
}

@Suite struct LabelCellsTests {
  @Test func rareValuesShareTheLastCell() {
    let cells = LabelCells([(0, "b", 9), (1, "a", 5), (2, "b", 1), (3, "c", 7), (4, "d", 7), (5, "a", 1)], most: 3)
    #expect(cells.names == ["a", "b", "c", "1 other values"] && cells.pooled == 1)
    #expect(cells.cells == [0: 1, 1: 0, 2: 1, 3: 2, 4: 3, 5: 0])
    let all = LabelCells([(0, "10", 1), (1, "9", 1)], most: 3) { (Int($0) ?? 0) < (Int($1) ?? 0) }
    #expect(all.names == ["9", "10"] && all.pooled == 0)
  }

  /// As many values as texts: the study stays as small as its bound.
  @Test func aLabelOfManyValuesIsBounded() throws {
    let texts = (0..<1500).map { ("v\($0)", [1 + $0 % 3, 1]) }
    let studied = try study(run(texts), .label("kind"), draws: 19, matches: false)
    let result = try #require(studied.result().first)
    #expect(studied.pooledValues == 500 && result.cells.count == 1001 && result.cells.last?.sequences == 500)
    #expect(result.sequences == 1500 && result.hasFewTexts)
  }
}
