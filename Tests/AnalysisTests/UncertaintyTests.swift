import Routing
import Testing

@testable import Analysis

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

@Suite struct ThresholdTests {
  @Test(arguments: [
    ("1.6nat", EntropyThreshold.nats(1.6)), ("0nat", .nats(0)), ("0.92", .share(0.92)), ("1", .share(1)), ("q0.95", .quantile(0.95)),
    ("q.5", .quantile(0.5)),
  ])
  func parses(text: String, threshold: EntropyThreshold) throws {
    #expect(try EntropyThreshold(parsing: text) == threshold)
    #expect(try EntropyThreshold(parsing: threshold.description) == threshold)
  }

  @Test(arguments: [
    "", "0", "1.01", "-0.5", "q0", "q1", "q95", "q", "nat", "1.6 nat", "1.6nats", "abc", "nan", "inf", "0x1", "q0.9nat", "infnat",
  ])
  func refuses(text: String) {
    #expect(throws: AnalysisError.badThreshold(found: text)) { try EntropyThreshold(parsing: text) }
  }

  @Test func unitsOfAThreshold() {
    let nats = ResolvedThreshold(.nats(1.6), entropies: Histogram())
    #expect(near(nats.share(experts: 8), 1.6 / log(8)) && nats.nats(experts: 64) == 1.6 && nats.share(experts: 1) == nil)
    let share = ResolvedThreshold(.share(0.5), entropies: Histogram())
    #expect(near(share.nats(experts: 8), 0.5 * log(8)))
    #expect(ResolvedThreshold(.quantile(0.9)) == nil)
  }

  /// The constants of seeds.md B1: 2.07936 at equal logits of 8 experts, -1.0e-5 at one-hot.
  @Test func constantOfGWMoE() {
    #expect(abs(EntropyForm.gwMoEEntropy(logits: Array(repeating: Float(3), count: 8)[...]) - 2.07936) < 5e-6)
    #expect(abs(EntropyForm.gwMoEEntropy(logits: [100, 0, 0, 0, 0, 0, 0, 0]) + 1.0e-5) < 1e-8)
    #expect(EntropyForm.gwMoEEntropy(logits: [.nan, 0]).isNaN)
  }

  @Test func reachingCountsAsUncertain() throws {
    let pass = try routed(logits: [[0, 0, 0, 0], [9, 0, 0, 0]], topK: 1)
    var fold = RouterUncertainty(threshold: .share(1))
    fold.add(pass.batches[0])
    #expect(fold.uncertainCount(ResolvedThreshold(.share(1), entropies: Histogram())) == 1)
  }
}

@Suite struct HistogramTests {
  private func samples(_ count: Int, _ make: (inout SplitMix64) -> Float) -> [Float] {
    var random = SplitMix64(seed: 7)
    return (0..<count).map { _ in make(&random) }
  }

  @Test func boundOnUnitScale() {
    let values = samples(5000) { Float(0.7 + 0.3 * $0.unit() * $0.unit()) }
    checkQuantiles(values, scale: .unit) { abs($0 - $1) <= 0x1p-15 + 1e-12 }
  }

  @Test func boundOnRelativeScale() {
    let values = samples(5000) { Float(exp(-14 * $0.unit()) * 30) }
    checkQuantiles(values, scale: .relative) { abs($0 - $1) <= 0x1p-10 * $1 + 1e-12 }
  }

  private func checkQuantiles(_ values: [Float], scale: Histogram.Scale, _ isClose: (Double, Double) -> Bool) {
    var histogram = Histogram(scale)
    for value in values { histogram.add(value) }
    let sorted = values.sorted()
    for q in [0.001, 0.05, 0.25, 0.5, 0.9, 0.95, 0.999, 1] {
      let exact = Double(sorted[max(0, Int((q * Double(sorted.count)).rounded(.up)) - 1)])
      #expect(isClose(histogram.quantile(q) ?? -1, exact), "\(scale) \(q)")
    }
  }

  @Test func countsAtAnEdgeAreExact() {
    let values = samples(3000) { Float($0.unit()) }
    var histogram = Histogram()
    for value in values { histogram.add(value) }
    let edge = histogram.lowerEdge(ofQuantile: 0.95) ?? 0
    #expect(histogram.count(atLeast: edge) == values.count { Double($0) >= edge })
    #expect(Double(histogram.count(atLeast: edge)) >= 0.05 * 3000)
  }

  @Test func mergeEqualsWhole() {
    for scale in [Histogram.Scale.unit, .relative] {
      let values = samples(2000) { Float($0.unit() * $0.unit()) }
      var whole = Histogram(scale)
      var parts = Array(repeating: Histogram(scale), count: 5)
      for (index, value) in values.enumerated() {
        whole.add(value)
        parts[index * 7 % 5].add(value)
      }
      var merged = Histogram(scale)
      for part in parts.reversed() { merged.merge(part) }
      #expect(merged == whole)
    }
  }

  @Test func extremesStayInBounds() {
    var unit = Histogram()
    for value: Float in [-1e-5, 0, 1, 1.0000001, 5] { unit.add(value) }
    #expect(unit.quantile(1) == 5 || near(unit.quantile(1), 1, 1e-3))
    var relative = Histogram(.relative)
    for value: Float in [0, -3, 1e-38, 1e30, 65_536] { relative.add(value) }
    #expect(relative.quantile(0.01) == 0 && relative.count == 5)
    #expect(Histogram().quantile(0.5) == nil && Histogram().lowerEdge(ofQuantile: 0.5) == nil)
    #expect(unit.binned(4).reduce(0, +) == 5)
  }
}

@Suite struct UncertaintyTests {
  @Test func uniformIsOneAndOneHotIsZero() throws {
    var fold = RouterUncertainty(threshold: .share(0.5))
    fold.add(try routed(logits: [[0, 0, 0, 0]], topK: 2).batches[0])
    #expect(near(fold.entropy.moments.mean, 1, 1e-6) && near(fold.entropyNats.mean, log(4), 1e-6))
    #expect(near(fold.top1Margin.moments.mean, 0, 1e-6) && near(fold.topKMass.moments.mean, 0.5, 1e-6))
    var certain = RouterUncertainty(threshold: .share(0.5))
    certain.add(try routed(logits: [[90, 0, 0, 0]], topK: 2).batches[0])
    #expect(near(certain.entropy.moments.mean, 0, 1e-6) && near(certain.top1Margin.moments.mean, 1, 1e-6))
  }

  /// Two experts at 3:1: H = 0.5623 nat, margin 0.5.
  @Test func handComputed() throws {
    let pass = try routed(logits: [[Float(log(3.0)), 0]], topK: 1)
    var fold = RouterUncertainty()
    fold.add(pass.batches[0])
    let entropy = -(0.75 * log(0.75) + 0.25 * log(0.25))
    #expect(near(fold.entropyNats.mean, entropy, 1e-6) && near(fold.entropy.moments.mean, entropy / log(2), 1e-6))
    #expect(near(fold.top1Margin.moments.mean, 0.5, 1e-6) && near(fold.selectionMargin.moments.mean, 0.5, 1e-6))
    #expect(near(fold.topKMass.moments.mean, 0.75, 1e-6))
  }

  @Test func oneExpertIsNeverUncertain() {
    let pass = handMade(experts: 1, [[0], [0]])
    var one = pass.batches[0]
    one.routerEntropy = [0, 0]
    var fold = RouterUncertainty(threshold: .nats(0))
    fold.add(one)
    #expect(fold.uncertainCount(ResolvedThreshold(.nats(0), entropies: Histogram())) == 0)
    #expect(fold.entropy.undefined == 2)
  }

  /// The share from the histogram is the share that a second look with the resolved threshold counts.
  @Test func quantileShareIsExact() throws {
    let run = try SyntheticRouting(documents: 8, layers: 3, dirichlet: 1).run()
    var first = PerRouter(RouterUncertainty(threshold: .quantile(0.9)))
    for pass in run.passes { first.add(pass) }
    let threshold = first.resolve(.quantile(0.9))
    var tokens = UncertainTokens(threshold: threshold)
    for pass in run.passes { tokens.add(pass) }
    let total = first.folds.values.reduce(0) { $0 + $1.uncertainCount(threshold) }
    #expect(total == tokens.uncertainDecisions)
    #expect(abs(Double(total) / Double(8 * 60 * 3) - 0.1) < 0.01)
    #expect(tokens.tokens == 480)
  }

  @Test func listsTheMostUncertain() throws {
    let run = try SyntheticRouting(documents: 6, layers: 4, dirichlet: 0.5).run(tokensPerPass: 17)
    let threshold = ResolvedThreshold(.share(0.6), entropies: Histogram())
    var all = UncertainTokens(threshold: threshold, capacity: 10_000)
    var short = UncertainTokens(threshold: threshold, capacity: 12)
    var parts = [short, short, short]
    for (index, pass) in run.passes.enumerated() {
      all.add(pass)
      short.add(pass)
      parts[index % 3].add(pass)
    }
    var merged = parts[2]
    merged.merge(parts[0])
    merged.merge(parts[1])
    #expect(all.result().count == all.uncertainTokens && all.uncertainTokens > 12)
    #expect(Array(all.result().prefix(12)).map(\.token) == short.result().map(\.token))
    #expect(merged.result().map(\.token) == short.result().map(\.token) && merged.routersOver == short.routersOver)
    for token in all.result() { #expect(token.routersOver >= 1 && Double(token.maxEntropy) >= 0.6) }
  }

  @Test func constantVariantNeedsLogits() throws {
    var pass = try routed(logits: [[0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]], topK: 1)
    pass.batches[0].logits?.rows = [0, 2]
    pass.batches[0].logits?.values = [0, 0, 0, 0, 2, 0, 0, 0]
    var fold = RouterUncertainty(threshold: .nats(1.38), form: .gwMoE)
    fold.add(pass.batches[0])
    #expect(fold.entropyNats.count == 2 && fold.entropy.undefined == 1)
    #expect(fold.uncertainCount(ResolvedThreshold(.nats(1.38), entropies: Histogram())) == 1)
  }
}
