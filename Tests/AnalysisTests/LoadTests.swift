import Routing
import Testing

@testable import Analysis

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

@Suite struct LoadTests {
  private func fold(_ passes: [RoutingPass]) -> RouterLoad {
    var load = PerRouter(RouterLoad())
    for pass in passes { load.add(pass) }
    return load[RouterID(layer: 0)] ?? RouterLoad()
  }

  /// 4 experts, top-2, counts 3 2 1 0 by hand.
  @Test func handComputed() {
    let load = fold([handMade(experts: 4, [[0, 1], [0, 1], [0, 2]])])
    let shape = load.shape
    #expect(shape.counts == [3, 2, 1, 0])
    #expect(shape.tokens == 3 && shape.assignments == 6)
    #expect(near(shape.load?[0], 0.5) && near(shape.activationRate?[0], 1) && near(shape.loadRatio?[0], 2))
    #expect(near(shape.cv, 1.25.squareRoot() / 1.5))
    #expect(near(shape.maxOverMean, 2) && near(shape.maxViolation, 1))
    // ascending 0 1 2 3: (-3*0 - 1*1 + 1*2 + 3*3) / (4 * 6)
    #expect(near(shape.gini, 10.0 / 24))
    #expect(near(shape.coverage(busiest: 1), 0.5) && near(shape.coverage(busiest: 2), 5.0 / 6))
    #expect(shape.idle == 1)
    let entropy = -(0.5 * log(0.5) + 1.0 / 3 * log(1.0 / 3) + 1.0 / 6 * log(1.0 / 6))
    #expect(near(shape.entropy, entropy) && near(shape.effectiveExperts, exp(entropy)))
  }

  @Test func uniformAndOneHot() {
    let even = LoadShape(counts: [5, 5, 5, 5], tokens: 20, topK: 1)
    #expect(near(even.cv, 0) && near(even.gini, 0) && near(even.maxOverMean, 1) && near(even.entropy, log(4)))
    let single = LoadShape(counts: [20, 0, 0, 0], tokens: 20, topK: 1)
    #expect(near(single.cv, 3.0.squareRoot()) && near(single.gini, 0.75) && near(single.maxOverMean, 4))
    #expect(near(single.effectiveExperts, 1) && single.idle == 3)
    let empty = LoadShape(counts: [0, 0], tokens: 0, topK: 1)
    #expect(empty.cv == nil && empty.gini == nil && empty.load == nil && empty.entropy == nil)
  }

  @Test func relabellingExpertsChangesNoScalar() {
    let counts = [9, 0, 4, 4, 1, 30, 2, 2]
    let a = LoadShape(counts: counts, tokens: 26, topK: 2)
    let b = LoadShape(counts: [4, 30, 2, 0, 9, 1, 2, 4], tokens: 26, topK: 2)
    for metric in MetricCatalog.entries {
      guard let measure = metric.measure as? ShapeMeasure else { continue }
      #expect(near(measure.value(a), measure.value(b)), "\(metric.key)")
    }
  }

  /// Under uniform choice the mean squared CV is (E-k)/(kT).
  @Test func chanceOfTheCoefficientOfVariation() throws {
    var squares = 0.0
    let repeats = 60
    for seed in 0..<repeats {
      let run = try SyntheticRouting(documents: 4, length: 50...50, experts: 16, topK: 4, seed: UInt64(seed)).run()
      let cv = fold(run.passes).shape.cv ?? 0
      squares += cv * cv
    }
    let chance = Chance(experts: 16, topK: 4).loadCV(tokens: 200)
    #expect(abs((squares / Double(repeats)).squareRoot() / chance - 1) < 0.1)
  }

  @Test func droppedChoicesAreNotLoad() {
    var pass = handMade(experts: 4, [[0, 1], [0, 2]])
    pass.batches[0].dropped = [false, false, true, false]
    let load = fold([pass])
    #expect(load.counts == [1, 1, 1, 0] && load.chosen == [2, 1, 1, 0])
    #expect(near(load.droppedShare, 0.25))
    #expect(load.weightedLoad.map { near($0[0], 1.0 / 3) } == true)
  }

  @Test func tokensThatTakeFewerExpertsPad() {
    let load = fold([handMade(experts: 4, [[0, 1], [3]])])
    #expect(load.counts == [1, 1, 0, 1] && load.shape.assignments == 3)
  }

  @Test func balanceLosses() throws {
    let uniform = fold([handMadeWithImportance([[0, 1], [2, 3]], importance: [0.5, 0.5, 0.5, 0.5])])
    #expect(near(uniform.balanceLoss, 1) && near(uniform.balanceLossHF, 2))
    let oneHot = fold([handMadeWithImportance([[0], [0]], importance: [2, 0, 0, 0])])
    #expect(near(oneHot.balanceLoss, 4))
    // f = (.5, .25, .25, 0), P = (.4, .3, .2, .1): 4 (.2 + .075 + .05)
    let mixed = fold([handMadeWithImportance([[0, 1], [0, 2]], importance: [0.8, 0.6, 0.4, 0.2])])
    #expect(near(mixed.balanceLoss, 1.3) && near(mixed.balanceLossHF, 2.6))
    #expect(fold([handMade(experts: 4, [[0]])]).balanceLoss == nil)

    let zero = fold([try routed(logits: Array(repeating: [0, 0, 0, 0], count: 3), topK: 1)])
    #expect(near(zero.zLoss, log(4) * log(4), 1e-6))
    #expect(fold([handMade(experts: 4, [[0]])]).zLoss == nil)
  }

  /// Decisions whose logits are not all finite are left out of what is summed over logits and probabilities, and out of its size.
  @Test func lossesAreOfDecisionsThatHaveNumbers() throws {
    let rows: [[Float]] = [[1, 2, 3, 0], [0, 0, 1, 2], [2, 1, 0, 0]]
    let broken: [[Float]] = [[.nan, 0, 9, 9], [.nan, .nan, .nan, .nan], [0, .infinity, 0, 0]]
    let whole = fold([try routed(logits: rows, topK: 2)])
    let mixed = fold([try routed(logits: [rows[0], broken[0], broken[1], rows[1], broken[2], rows[2]], topK: 2)])
    #expect(whole.measuredCount == 3 && mixed.measuredCount == 3 && mixed.tokens == 6)
    var parts = fold([try routed(logits: [broken[0], rows[0]], topK: 2)])
    parts.merge(fold([try routed(logits: [rows[1], broken[1], rows[2]], topK: 2)]))
    let none = fold([try routed(logits: broken, topK: 2)])
    #expect(none.measuredCount == 0 && none.chosen.reduce(0, +) == 6)
    for value in [\RouterLoad.zLoss, \.balanceLoss, \.balanceLossHF, \.tokenInformation] {
      #expect(whole[keyPath: value] != nil && near(mixed[keyPath: value], whole[keyPath: value]))
      #expect(near(parts[keyPath: value], whole[keyPath: value]) && none[keyPath: value] == nil)
    }
    #expect(near(mixed.balanceLossHF, mixed.balanceLoss.map { 2 * $0 }))
  }

  private func handMadeWithImportance(_ choices: [[Int32]], importance: [Double]) -> RoutingPass {
    var pass = handMade(experts: 4, choices)
    pass.batches[0].importanceSum = importance
    pass.batches[0].routerEntropy = choices.map { _ in 0 }
    return pass
  }

  @Test func informationOfAToken() throws {
    let same = fold([try routed(logits: Array(repeating: [1, 2, 3, 0], count: 5), topK: 1)])
    #expect(near(same.tokenInformation, 0, 1e-6))
    let far: Float = 60
    let certain = fold([try routed(logits: [[far, 0, 0, 0], [0, far, 0, 0], [0, 0, far, 0], [0, 0, 0, far]], topK: 1)])
    #expect(near(certain.tokenInformation, log(4), 1e-6))
  }
}

/// One rule for choices that capacity dropped: they are no load, along no axis and in no interval; what routers want counts them.
@Suite struct CapacityLoadTests {
  /// Four texts; every other first choice is dropped.
  private var passes: [RoutingPass] {
    (0..<4).map { sequence in
      var pass = handMade(
        experts: 4, (0..<6).map { [Int32(($0 + sequence) % 4), Int32(($0 + sequence + 1 + $0 % 2) % 4)] }, sequence: sequence,
        firstToken: 6 * sequence)
      pass.batches[0].dropped = (0..<12).map { $0 % 4 == 0 }
      return pass
    }
  }

  private func rows(_ metric: MetricKey, _ facet: Facet?) throws -> [MetricRow] {
    let sequences = (0..<4).map { SequenceDescription(name: "\($0)", labels: ["kind": "only"]) }
    var analysis = try RunAnalysis(
      AnalysisPlan(metrics: [metric], grouping: AnalysisGrouping(facet: facet), intervals: true, sequences: sequences))
    for pass in passes { analysis.add(pass) }
    return try analysis.report()[metric]?.metricRows ?? []
  }

  @Test(arguments: [MetricKey.loadCV, .gini, .coverage, .loadEntropy, .effectiveExperts, .maxOverMean, .idle, .load, .activationRate])
  func anAxisWithOneValueGivesTheLayersNumber(_ metric: MetricKey) throws {
    let layer = try rows(metric, nil)
    let axis = try rows(metric, .label("kind"))
    #expect(!layer.isEmpty && layer.count == axis.count)
    for (a, b) in zip(layer, axis) { #expect(near(a.value, b.value) && a.n == b.n && a.baseline == b.baseline && a.interval == b.interval) }
  }

  @Test func strataKeepBoth() {
    var counts = StratumCounts()
    var load = RouterLoad()
    for pass in passes {
      counts.add(pass.batches[0], tokens: pass.tokens)
      load.add(pass.batches[0])
    }
    #expect(counts.whole.shape.counts == load.counts && load.counts.reduce(0, +) == 36)
    var chosen = [0, 0, 0, 0]
    for row in counts.rows.values { row.choices.forEach { chosen[$0] += Int($1) } }
    #expect(chosen == load.chosen)
    var halves = [StratumCounts(), StratumCounts()]
    for (index, pass) in passes.flatMap({ $0.split(at: 3) }).enumerated() { halves[index % 2].add(pass.batches[0], tokens: pass.tokens) }
    halves[1].merge(halves[0])
    #expect(halves[1].rows.values.reduce(0) { $0 + $1.tokens } == 24)
  }
}

@Suite struct ChanceTests {
  /// Means over 3,000 draws of tokens that take k of E experts at random (NumPy).
  @Test(arguments: [
    (256, 8, 100, 0.3073, 2.885, 0.4333, 5.376, 216.2), (8, 2, 48, 0.1318, 1.391, 0.3276, 2.0475, 7.750),
    (8, 2, 100, 0.0913, 1.270, 0.3033, 2.0643, 7.880), (4, 1, 64, 0.1067, 1.265, 0.3162, 1.362, 3.905),
    (64, 8, 130, 0.1294, 1.582, 0.3246, 4.1317, 62.28), (16, 4, 20, 0.2096, 1.742, 0.3728, 2.6934, 14.79),
  ])
  func loadAtANumberOfTokens(
    experts: Int, topK: Int, tokens: Int, gini: Double, busiest: Double, coverage: Double, entropy: Double, effective: Double
  ) throws {
    let load = try #require(Chance(experts: experts, topK: topK).load(tokens: tokens))
    #expect(abs(load.gini / gini - 1) < 0.02 && abs(load.maxOverMean / busiest - 1) < 0.02)
    #expect(abs(load.coverage / coverage - 1) < 0.01 && abs(load.entropy / entropy - 1) < 0.002)
    #expect(abs(load.effectiveExperts / effective - 1) < 0.004)
  }

  /// One token, all experts, no token; and the closed forms against ways to the same number.
  @Test func edgesOfTheLoad() throws {
    let one = try #require(Chance(experts: 8, topK: 2).load(tokens: 1))
    #expect(near(one.gini, 0.75) && near(one.maxOverMean, 4) && near(one.coverage, 1) && near(one.entropy, log(2)))
    #expect(near(one.effectiveExperts, 2))
    let all = try #require(Chance(experts: 4, topK: 4).load(tokens: 9))
    #expect(all == ChanceLoad(gini: 0, maxOverMean: 1, coverage: 0.25, entropy: log(4), effectiveExperts: 4))
    #expect(Chance(experts: 4, topK: 1).load(tokens: 0) == nil)
    #expect(Chance(experts: 1, topK: 1).load(tokens: 5)?.maxOverMean == 1)
    // Two experts, top-1: the Gini coefficient is E|heads - tails| / 2T.
    let coins = try #require(Chance(experts: 2, topK: 1).load(tokens: 4))
    #expect(near(coins.gini, (2 * 4.0 + 8 * 2.0) / 16 / 8))
  }

  /// Any size in bounded time, and falling with the number of tokens across the borders of the methods.
  @Test func largeRunsComeDownToEven() throws {
    for (experts, topK) in [(8, 2), (256, 8), (262_144, 8)] {
      let chance = Chance(experts: experts, topK: topK)
      var before = try #require(chance.load(tokens: 32))
      for power in [7, 13, 20, 30] {
        let load = try #require(chance.load(tokens: 1 << power))
        #expect(load.gini < before.gini && load.coverage < before.coverage + 1e-9 && load.entropy > before.entropy, "\(experts) 2^\(power)")
        #expect(load.effectiveExperts > before.effectiveExperts && load.maxOverMean < before.maxOverMean)
        before = load
      }
      guard experts < 1000 else { continue }
      let far = try #require(chance.load(tokens: 1_000_000_000))
      // Normal counts, far beyond what is simulated: a Gini coefficient of cv / sqrt(pi).
      let spread = chance.loadCV(tokens: 1_000_000_000) * (Double(experts - 1) / Double(experts)).squareRoot()
      #expect(abs(far.gini / (spread / Double.pi.squareRoot()) - 1) < 0.01)
    }
  }

  /// metrics.md B7, to the digits printed there.
  @Test(arguments: [
    (8, 2, 0.250, 0.464, 0.500, 0.179, 0.143), (16, 2, 0.125, 0.242, 0.250, 0.086, 0.067), (32, 4, 0.125, 0.431, 0.500, 0.075, 0.097),
    (60, 4, 0.067, 0.247, 0.267, 0.039, 0.051), (64, 6, 0.094, 0.460, 0.563, 0.053, 0.079), (64, 8, 0.125, 0.679, 1.000, 0.071, 0.111),
    (128, 8, 0.063, 0.412, 0.500, 0.034, 0.055), (256, 8, 0.031, 0.227, 0.250, 0.017, 0.028), (512, 10, 0.020, 0.181, 0.195, 0.010, 0.018),
  ])
  func table(experts: Int, topK: Int, rate: Double, any: Double, overlap: Double, jaccard: Double, coActivation: Double) {
    let chance = Chance(experts: experts, topK: topK)
    // The table was simulated: two of its last digits are off by one (256,8 P(j|i) is .0275; 512,10 any is .1805).
    let close = { (a: Double, b: Double) in abs(a - b) <= 0.000_6 }
    #expect(close(chance.activationRate, rate))
    #expect(close(chance.anyOverlap, any))
    #expect(close(chance.meanOverlap, overlap))
    #expect(close(chance.meanJaccard, jaccard))
    #expect(close(chance.coActivation, coActivation))
  }

  @Test func edges() {
    #expect(Chance(experts: 4, topK: 4).anyOverlap == 1)
    #expect(near(Chance(experts: 4, topK: 4).meanJaccard, 1))
    #expect(Chance(experts: 5, topK: 3).anyOverlap == 1)
    #expect(near(Chance(experts: 8, topK: 2).idleExperts(tokens: 1), 6))
  }
}
