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

  /// No entropy exceeds ln E of the largest router that is looked at.
  @Test func natsBeyondEveryRouterAreRefused() throws {
    func plan(_ threshold: String, layers: LayerSelection? = nil) throws -> AnalysisPlan {
      let routers = [(0, 8), (1, 16)].map { layer, experts in
        RouterDescription(
          id: RouterID(layer: layer), spec: RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: 2)))
      }
      return AnalysisPlan(metrics: [.uncertain], layers: layers, threshold: try EntropyThreshold(parsing: threshold), routers: routers)
    }
    for threshold in ["2.5nat", "2.772588nat", "2.772589nat", "0nat", "1", "q0.95"] { try plan(threshold).validate() }
    for (threshold, most) in [("2.9nat", "2.773"), ("99nat", "2.773"), ("2.773nat", "2.772589")] {
      #expect(
        throws: AnalysisError.invalidPlan(field: "--threshold", expected: "at most \(most) nat (ln 16)", found: threshold)
      ) { try plan(threshold).validate() }
    }
    let small = LayerSelection([0...0])
    try plan("2nat", layers: small).validate()
    #expect(throws: AnalysisError.invalidPlan(field: "--threshold", expected: "at most 2.079 nat (ln 8)", found: "2.5nat")) {
      try plan("2.5nat", layers: small).validate()
    }
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

  private func histogram(_ values: [Float]) -> Histogram { values.reduce(into: Histogram()) { $0.add($1) } }

  private static let quantiles = [0.001, 0.05, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1]

  private func exact(_ sorted: [Float], _ q: Double) -> Double {
    Double(sorted[max(0, Int((q * Double(sorted.count)).rounded(.up)) - 1)])
  }

  /// Almost flat, almost certain, at a place in between, over many octaves, far beyond 1, below 0, with ties and one far outlier: to the
  /// float, as long as few numbers differ.
  @Test func fewNumbersAreExactAtAnyScale() {
    let kinds: [(inout SplitMix64) -> Float] = [
      { 1 - 1e-6 * Float($0.unit()) }, { 1e-9 * Float($0.unit()) }, { 0.7 + 1e-6 * Float($0.unit()) },
      { Float(exp(-14 * $0.unit()) * 30) }, { 5000 + Float($0.unit()) }, { -1e-5 + 1e-7 * Float($0.unit()) },
      { $0.below(3) == 0 ? 0.25 : 0.5 + Float($0.unit()) / 4 }, { $0.below(1000) == 0 ? 0 : 0.7 + 1e-6 * Float($0.unit()) },
      { 0.999_999 + 2e-6 * Float($0.unit()) },
    ]
    for (kind, make) in kinds.enumerated() {
      let values = samples(5000, make)
      let histogram = histogram(values)
      let sorted = values.sorted()
      for q in Self.quantiles {
        let edge = exact(sorted, q)
        #expect(histogram.quantile(q) == edge && histogram.lowerEdge(ofQuantile: q) == edge, "\(kind) \(q)")
        #expect(histogram.count(atLeast: edge) == values.count { Double($0) >= edge }, "\(kind) \(q)")
      }
    }
  }

  /// Beyond, within 2^-10 of the distance to the nearer of 0 and 1; and a quantile flags its share.
  @Test func manyNumbersKeepTheirBound() {
    for make: (inout SplitMix64) -> Float in [
      { Float($0.unit()) }, { 1 - Float(exp(-15 * $0.unit())) }, { Float(exp(-15 * $0.unit())) }, { Float(exp(6 * $0.unit() - 3)) },
    ] {
      let values = samples(60_000, make)
      let histogram = histogram(values)
      let sorted = values.sorted()
      for q in Self.quantiles {
        let edge = exact(sorted, q)
        #expect(abs((histogram.quantile(q) ?? .nan) - edge) <= 0x1p-10 * min(abs(edge), abs(1 - edge)) + 1e-12, "\(q)")
        let lower = histogram.lowerEdge(ofQuantile: q) ?? .nan
        let flagged = histogram.count(atLeast: lower)
        #expect(flagged == values.count { Double($0) >= lower } && lower <= edge)
        #expect(Double(flagged) >= (1 - q) * 60_000 && flagged <= values.count { Double($0) >= edge } + 100, "\(q)")
      }
    }
  }

  /// Of two routers, one flat and one not, a quantile of both flags its share, though most numbers lie in a thousandth of the range.
  @Test func aFlatRouterAmongOthersIsResolved() {
    var random = SplitMix64(seed: 3)
    let flat = (0..<40_000).map { _ in 1 - 1e-4 * Float(random.unit()) }
    let other = (0..<40_000).map { _ in Float(random.unit()) }
    var pooled = histogram(flat)
    pooled.merge(histogram(other))
    for q in [0.6, 0.9, 0.95, 0.99] {
      let edge = pooled.lowerEdge(ofQuantile: q) ?? .nan
      let share = Double(pooled.count(atLeast: edge)) / 80_000
      #expect(share >= 1 - q && share <= 1 - q + 0.002, "\(q) \(share)")
      // The cells of a part are those of the whole, cut finer: counts at an edge of the whole are exact in it.
      #expect(histogram(flat).count(atLeast: edge) == flat.count { Double($0) >= edge })
    }
  }

  /// The same however parts were made, merged and asked in between, also where keys must lose bits.
  @Test func mergeEqualsWhole() {
    for count in [300, 2000, 40_000] {
      let values = samples(count) { Float($0.unit() * $0.unit()) }
      let whole = histogram(values)
      var parts = Array(repeating: Histogram(), count: 5)
      for (index, value) in values.enumerated() {
        parts[index * 7 % 5].add(value)
        if index % 1000 == 0 { #expect(parts[index * 7 % 5].quantile(0.5) != nil) }
      }
      var merged = Histogram()
      for part in parts.reversed() { merged.merge(part) }
      #expect(merged == whole && merged.quantile(0.3) == whole.quantile(0.3))
      var backwards = Histogram()
      for value in values.reversed() { backwards.add(value) }
      #expect(backwards == whole)
    }
  }

  /// Many numbers at once are what they are one by one, to the last bit, undefined ones and odd ones among them.
  @Test func manyAtOnceAreTheSame() {
    var values = samples(50_000) { Float($0.unit()) }
    let odd: [Float] = [.nan, 0, -0.0, 1, 0.5, -3, .infinity, .leastNonzeroMagnitude, 1.000_000_1, 5e7]
    for (place, value) in odd.enumerated() { values[place * 4000] = value }
    var (single, many) = (Distribution(), Distribution())
    for value in values { single.add(value) }
    var next = 0
    for length in [1, 2, 255, 256, 257, 1000, 20_000] {
      many.add(Array(values[next..<next + length]))
      next += length
    }
    many.add(Array(values[next...]))
    #expect(many == single && many.undefined == 2)

    var divided = Distribution()
    var (raw, shares, nats) = (Moments(), Distribution(), Moments())
    divided.add(values, dividedBy: 3.7, undivided: &raw)
    for value in values {
      shares.add(value / 3.7)
      if value.isFinite { nats.add(Double(value)) }
    }
    #expect(divided == shares && raw == nats)
    let finite = values.filter { !$0.isNaN }
    #expect(finite.withUnsafeBufferPointer(NumberKey.keys) == finite.map { NumberKey.key(of: Double($0)) })
  }

  @Test func keysAreSorted() {
    var random = SplitMix64(seed: 5)
    for (count, spread) in [(0, 9), (100, 9), (511, 1000), (512, 1), (5000, 3000), (20_000, 1 << 21), (9000, Int(UInt32.max))] {
      let keys = (0..<count).map { _ in Int32(truncatingIfNeeded: random.below(spread)) }
      var sorted = keys
      sorted.withUnsafeMutableBufferPointer { NumberKey.sort($0) }
      #expect(sorted == keys.sorted(), "\(count) below \(spread)")
    }
  }

  @Test func keysRiseWithNumbersAndComeBack() {
    let numbers: [Float] = [
      -1e30, -5, -1, -1e-5, -1e-12, 0, 1e-12, 1e-7, 0.1, 0.499_999_97, 0.5, 0.500_000_06, 0.9, 0.999_999_94, 1, 1.000_000_1, 1.5, 2, 3.7,
      70_000, 1e20,
    ]
    let keys = numbers.map { NumberKey.key(of: Double($0)) }
    for (a, b) in zip(keys, keys.dropFirst()) { #expect(a < b) }
    for number in numbers where abs(number) < 1e6 { #expect(NumberKey.number(of: NumberKey.key(of: Double(number))) == Double(number)) }
  }

  @Test func edges() {
    let few = histogram([0, -3, 1e-38, 1e30, 65_536])
    #expect(few.count == 5 && few.minimum == -3 && few.quantile(0.2) == -3 && few.quantile(1) ?? 0 > 65_536)
    #expect(Histogram().quantile(0.5) == nil && Histogram().lowerEdge(ofQuantile: 0.5) == nil && Histogram().count(atLeast: 0) == 0)
    #expect(histogram([-1e-5, 0, 0.3, 1, 1.000_000_1, 5]).binned(4) == [2, 1, 0, 3])
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
