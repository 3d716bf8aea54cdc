// Numbers of single decisions and norms of experts, worked out by hand; parts that merge to the whole; runs that did not record what a metric is
// taken over.

import Foundation
import Routing
import Testing

@testable import Analysis

struct DecisionStatisticTests {
  private static let id = RouterID(layer: 0)

  private func analysis(
    _ metrics: [MetricKey], _ passes: [RoutingPass], spec: RouterSpec? = nil, change: (inout AnalysisPlan) -> Void = { _ in }
  )
    throws -> RunAnalysis
  {
    var plan = AnalysisPlan(metrics: metrics, routers: spec.map { [RouterDescription(id: Self.id, spec: $0)] } ?? [])
    change(&plan)
    var analysis = try RunAnalysis(plan)
    repeat { for pass in passes { analysis.add(pass) } } while analysis.beginNextRound()
    return analysis
  }

  private func rows(_ metric: MetricKey, _ passes: [RoutingPass], spec: RouterSpec? = nil, change: (inout AnalysisPlan) -> Void = { _ in })
    throws
    -> [MetricRow]
  {
    try #require(try analysis([metric], passes, spec: spec, change: change).report()[metric]?.metricRows)
  }

  private func row(_ metric: MetricKey, _ pass: RoutingPass, spec: RouterSpec? = nil, change: (inout AnalysisPlan) -> Void = { _ in })
    throws
    -> MetricRow
  {
    try #require(try rows(metric, [pass], spec: spec, change: change).first)
  }

  /// -(3/4 ln 3/4 + 1/4 ln 1/4) / ln 2 = 0.8113; equal weights 1; one expert left, and a negative weight: none.
  @Test func entropyOfTheChosen() throws {
    var pass = handMade(experts: 4, [[0, 1], [1, 2], [2, 3], [3, 0], [1, 3]])
    pass.batches[0].routingWeights = [0.75, 0.25, 2, 2, 1, 1, 1, -1, 0, 0]
    pass.batches[0].dropped = [false, false, false, false, false, true, false, false, false, false]
    let found = try row(.topKEntropy, pass)
    #expect(found.n == 2 && near(found.value, (0.811_278_124 + 1) / 2, 1e-6) && found.baseline == 1 && found.unit == "share of ln k")
    #expect(near(found[.quantile05], 0.811_278, 1e-3))
    // With one expert a token there is nothing to share out.
    let alone = try row(.topKEntropy, handMade(experts: 4, [[0], [1]]))
    #expect(alone.n == 0 && alone.value == nil && alone.baseline == nil)
  }

  /// P(|noise| > m) is 1 at m = 0 and 0.3173 at one standard deviation.
  @Test func flipRiskIsTheTailOfTheNoise() throws {
    var pass = handMade(experts: 4, [[0, 1], [1, 2], [2, 3]])
    pass.batches[0].selectionMargin = [0, 0.02, .nan]
    let found = try row(.flipRisk, pass) { $0.noise = 0.02 }
    #expect(found.n == 2 && near(found.value, (1 + 0.317_310_508) / 2, 1e-6) && found.baseline == 1)
    let document = try #require(try analysis([.flipRisk], [pass]) { $0.noise = 0.02 }.report()[.flipRisk])
    #expect(document.settings.noise == 0.02 && document.words.contains("standard deviation 0.02 (--noise)"))
    #expect(throws: AnalysisError.invalidPlan(field: "--noise", expected: "a standard deviation above 0", found: "0")) {
      try row(.flipRisk, pass) { $0.noise = 0 }
    }
  }

  /// exp(ln 2) and exp(ln 4).
  @Test func expertsThatARouterWaversBetween() throws {
    var pass = handMade(experts: 8, [[0, 1], [1, 2], [2, 3]])
    pass.batches[0].routerEntropy = [Float(log(2.0)), Float(log(4.0)), .nan]
    let found = try row(.routerPerplexity, pass)
    #expect(found.n == 2 && near(found.value, 3, 1e-6) && found.baseline == 8 && found.unit == "experts")
  }

  /// Sigmoid scores .5 .6 .7 .8: without a bias experts 3 and 2; a bias on expert 0 brings it in, where it is large enough.
  @Test func whatTheCorrectionBiasChanges() throws {
    let spec = RouterSpec(
      expertCount: 4, scoring: .sigmoid, correctionBias: [0.25, 0, 0, 0], selection: .tokenChoice(topK: 2))
    func logit(_ p: Double) -> Float { Float(log(p / (1 - p))) }
    let rows: [[Float]] = [
      [0.5, 0.6, 0.7, 0.8].map(logit),  // .75 .6 .7 .8: 3 0 instead of 3 2
      [0.3, 0.6, 0.7, 0.8].map(logit),  // .55: as without
      [0.9, 0.6, 0.7, 0.8].map(logit),  // another order, the same set
      [.nan, 0, 0, 0],
    ]
    var pass = try routed(logits: rows, topK: 2, scoring: .sigmoid)
    let found = try row(.biasFlips, pass, spec: spec)
    #expect(found.n == 3 && near(found.value, 1.0 / 3, 1e-6) && found.baseline == 0 && found[.sd] == nil)
    // Of every second token: n says so.
    pass.batches[0].logits = RouterLogits(rows: [0, 2], values: rows[0] + rows[2])
    let some = try row(.biasFlips, pass, spec: spec)
    #expect(some.n == 2 && near(some.value, 0.5, 1e-6))
    var plain = spec
    plain.correctionBias = nil
    #expect(throws: AnalysisError.noCorrectionBias(metric: "bias_flips")) { try row(.biasFlips, pass, spec: plain) }
  }

  /// Of weights 1 and .25 + .75: one half. Of norms 2 x 1 and .25 x 4 + .75 x 2: 2 / 4.5; with the weight on the input 2 / (2 + 4 + 2).
  @Test func whatFallsToTheSharedExpert() throws {
    var pass = handMade(experts: 4, [[0, 1], [1, 2]])
    pass.batches[0].routingWeights = [0.25, 0.75, 0.5, 0.5]
    pass.batches[0].expertNorms = [4, 2, 0, 0]
    pass.batches[0].sharedWeight = [1, .nan]
    pass.batches[0].sharedNorm = [2, .nan]
    let weight = try row(.sharedWeightShare, pass)
    #expect(weight.n == 1 && near(weight.value, 0.5, 1e-6) && near(weight.baseline, 1.0 / 3))
    var spec = RouterSpec(expertCount: 4, scoring: .softmax, selection: .tokenChoice(topK: 2))
    #expect(near(try row(.sharedNormShare, pass, spec: spec).value, 2 / 4.5, 1e-6))
    spec.appliesTo = .input
    #expect(near(try row(.sharedNormShare, pass, spec: spec).value, 0.25, 1e-6))
    // A router without one.
    pass.batches[0].sharedWeight = nil
    let none = try row(.sharedWeightShare, pass)
    #expect(none.n == 0 && none.value == nil)
  }

  /// Expert 0: norms 1 and 3, weights .5 and .25; expert 1: one norm of 8 that was dropped and one of 2; expert 2 none.
  @Test func normsOfExperts() throws {
    var first = handMade(experts: 3, [[0, 1], [0, 1]])
    first.batches[0].routingWeights = [0.5, 0.5, 0.25, 0.75]
    first.batches[0].expertNorms = [1, 2, 3, .nan]
    var second = handMade(experts: 3, [[0, 1]], sequence: 1, firstToken: 2)
    second.batches[0].routingWeights = [1, 1]
    second.batches[0].expertNorms = [5, .nan]
    let plain = try rows(.expertNorm, [first, second])
    #expect(plain.map(\.value) == [3, 2, nil] && plain.map(\.n) == [3, 1, 0] && plain.map(\.expert) == [0, 1, 2])
    #expect(plain.allSatisfy { near($0.baseline, 11.0 / 4) && $0.unit == "L2 norm" })
    let weighted = try rows(.weightedExpertNorm, [first, second])
    #expect(near(weighted[0].value, (0.5 + 0.75 + 5) / 3) && near(weighted[1].value, 1) && near(weighted[0].baseline, 7.25 / 4))
    // What was weighed before it went in has its weight.
    var spec = RouterSpec(expertCount: 3, scoring: .softmax, selection: .tokenChoice(topK: 2))
    spec.appliesTo = .input
    #expect(near(try rows(.weightedExpertNorm, [first, second], spec: spec)[0].value, 3))
    let cells = try rows(.expertNorm, [first, second]) {
      $0.grouping = AnalysisGrouping(facet: .label("d"))
      $0.sequences = [SequenceDescription(name: "", labels: ["d": "x"]), SequenceDescription(name: "", labels: ["d": "y"])]
    }
    #expect(cells.map(\.cell) == ["x", "x", "x", "y", "y", "y"] && cells.map(\.value) == [2, 2, nil, 5, nil, nil])
    #expect(near(cells[0].baseline, 2) && near(cells[3].baseline, 5))
  }

  /// The mean over texts is centred in its jackknife interval, for decisions and for experts.
  @Test func intervalsAreOverTexts() throws {
    let passes = (0..<6).map { text -> RoutingPass in
      var pass = handMade(experts: 2, [[0, 1]], sequence: text, firstToken: text)
      pass.batches[0].expertNorms = [Float(text), 1]
      pass.batches[0].routerEntropy = [Float(text) / 10]
      return pass
    }
    let norms = try rows(.expertNorm, passes) { $0.intervals = true }
    let interval = try #require(norms[0].interval)
    #expect(near((interval.low + interval.high) / 2, 2.5) && interval.high > 4 && norms[1].interval == Interval(low: 1, high: 1))
    #expect(try rows(.routerPerplexity, passes) { $0.intervals = true }[0].interval != nil)
  }

  /// One number over all layers and tokens of a stack, for decoders too.
  @Test func figuresOverAllLayers() throws {
    var first = handMade(experts: 4, [[0, 1], [1, 2]])
    first.batches[0].routerEntropy = [0.2, 1.2]
    var other = handMade(experts: 4, [[0, 1], [1, 2]], layer: 1)
    other.batches[0].routerEntropy = [1, .nan]
    first.batches += other.batches
    var attention = other.batches[0]
    attention.router = RouterID(stack: .attention, layer: 0)
    attention.routerEntropy = [0.5, 0.7]
    first.batches.append(attention)
    let entropy = try rows(.pooledEntropy, [first])
    #expect(entropy.map(\.place) == ["ffn", "attn"] && entropy.map(\.n) == [3, 2] && entropy.map(\.pooledRouters) == [2, 1])
    #expect(near(entropy[0].value, 0.8, 1e-6) && near(entropy[1].value, 0.6, 1e-6) && near(entropy[0].baseline, log(4)))
    let ratio = try rows(.pooledRatio, [first]) { $0.threshold = .nats(1) }
    #expect(near(ratio[0].value, 2.0 / 3) && near(ratio[1].value, 0))
  }

  @Test func partsMergeToTheWhole() throws {
    let run = try SyntheticRouting(documents: 8, length: 20...30, experts: 8, topK: 3, layers: 2).run().withExtras()
    let metrics: [MetricKey] = [
      .routerPerplexity, .topKEntropy, .flipRisk, .sharedWeightShare, .sharedNormShare, .expertNorm, .weightedExpertNorm, .pooledEntropy,
      .pooledRatio,
    ]
    let plan = AnalysisPlan(metrics: metrics, threshold: .share(0.8), intervals: true, sequences: run.sequences)
    var whole = try RunAnalysis(plan)
    var odd = whole.emptyPart()
    for pass in run.passes { whole.add(pass) }
    var even = whole.emptyPart()
    for (index, pass) in run.passes.enumerated() { if index % 2 == 0 { even.add(pass) } else { odd.add(pass) } }
    odd.merge(even)
    let (a, b) = (try whole.report(), try odd.report())
    for metric in metrics {
      let (x, y) = (try #require(a[metric]?.metricRows), try #require(b[metric]?.metricRows))
      #expect(!x.isEmpty && x.count == y.count)
      for (x, y) in zip(x, y) {
        #expect(near(x.value, y.value) && x.n == y.n && near(x.interval?.low, y.interval?.low, 1e-7), "\(metric)")
      }
    }
  }

  /// What to record is said as the option is written.
  @Test func whatWasNotRecordedIsAskedFor() throws {
    func refused(_ metric: MetricKey, _ recording: String, _ needed: String) {
      #expect(
        throws: AnalysisError.notRecorded(
          metric: metric.rawValue, recording: recording, needed: needed, missing: MetricCatalog.entry(metric).missing)
      ) {
        try AnalysisPlan(metrics: [metric], recording: RecordingLevel(parsing: recording)).validate()
      }
    }
    refused(.expertNorm, "ids", "ids+norms")
    refused(.weightedExpertNorm, "ids+norms", "weights+norms")
    refused(.weightedExpertNorm, "full:every=4", "full:every=4+norms")
    refused(.sharedWeightShare, "weights+passes", "weights+shared+passes")
    refused(.sharedNormShare, "weights+shared", "weights+norms+shared")
    refused(.topKEntropy, "ids", "weights")
    refused(.biasFlips, "weights", "full")
    try AnalysisPlan(metrics: [.expertNorm], recording: RecordingLevel(parsing: "ids+norms")).validate()
    try AnalysisPlan(metrics: [.biasFlips], recording: RecordingLevel(parsing: "full:every=9")).validate()
    #expect(AnalysisPlan(metrics: [.biasFlips]).needsLogits && !AnalysisPlan(metrics: [.expertNorm]).needsLogits)
  }
}
