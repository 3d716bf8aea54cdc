// The figures that GW-MoE pools, as its code logs them of an encoder-decoder model: entropy and the share of uncertain decisions, over all
// routers of a stack and all their decisions. What is said about them, and their rows, one a stack.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Metric {
  static let encoderEntropy = Metric(
    key: .encoderEntropy, name: "router entropy of the encoder", unit: "nat", range: "0...ln E",
    reading: "mean over all decisions of all routers of the encoder",
    grain: .stack, format: .number(3), baseline: "ln E for equal logits",
    baselineValue: { log(Double($0.chance.experts)) }, facets: .none, interval: .onRequest, source: pooledSource,
    glossary: "router entropy over all sparse layers of the encoder",
    missing: "where no decision has an entropy (none is finite, or ln E is 0)", runs: .encoderDecoder, usesEntropyForm: true,
    needsChoice: true,
    measure: StackMeasure.entropy(.encoder))

  static let encoderRatio = Metric(
    key: .encoderRatio, name: "uncertain decisions of the encoder", unit: "share of decisions", range: "0...1",
    reading: "share of all decisions of the encoder whose entropy reaches the threshold",
    grain: .stack, format: .percent(1), baseline: "1 - q over the whole run for a quantile threshold, none otherwise",
    baselineValue: { $0.threshold.expectedShare }, facets: .none, interval: .onRequest, source: pooledSource,
    glossary: "share of uncertain decisions over all sparse layers of the encoder",
    missing: "where no decision has an entropy (none is finite, or ln E is 0)", runs: .encoderDecoder, usesEntropyForm: true,
    needsChoice: true,
    measure: StackMeasure.ratio(.encoder))

  static let decoderEntropy = Metric(
    key: .decoderEntropy, name: "router entropy of the decoder", unit: "nat", range: "0...ln E",
    reading: "mean over all decisions of all routers of the decoder",
    grain: .stack, format: .number(3), baseline: "ln E for equal logits",
    baselineValue: { log(Double($0.chance.experts)) }, facets: .none, interval: .onRequest, source: pooledSource,
    glossary: "router entropy over all sparse layers of the decoder",
    missing: "where no decision has an entropy (none is finite, or ln E is 0)", runs: .encoderDecoder, usesEntropyForm: true,
    needsChoice: true,
    measure: StackMeasure.entropy(.decoder))

  static let decoderRatio = Metric(
    key: .decoderRatio, name: "uncertain decisions of the decoder", unit: "share of decisions", range: "0...1",
    reading: "share of all decisions of the decoder whose entropy reaches the threshold",
    grain: .stack, format: .percent(1), baseline: "1 - q over the whole run for a quantile threshold, none otherwise",
    baselineValue: { $0.threshold.expectedShare }, facets: .none, interval: .onRequest, source: pooledSource,
    glossary: "share of uncertain decisions over all sparse layers of the decoder",
    missing: "where no decision has an entropy (none is finite, or ln E is 0)", runs: .encoderDecoder, usesEntropyForm: true,
    needsChoice: true,
    measure: StackMeasure.ratio(.decoder))

  static let pooledEntropy = Metric(
    key: .pooledEntropy, name: "router entropy of all layers", unit: "nat", range: "0...ln E",
    reading: "mean over all decisions of all routers of a stack",
    grain: .stack, format: .number(3), baseline: "ln E for equal logits",
    baselineValue: { log(Double($0.chance.experts)) }, facets: .none, interval: .onRequest, source: pooledSource,
    glossary: "router entropy over all sparse layers of a stack (ffn, attn, enc, dec)",
    missing: "where no decision has an entropy (none is finite, or ln E is 0)", usesEntropyForm: true, needsChoice: true,
    measure: StackMeasure.entropy(nil))

  static let pooledRatio = Metric(
    key: .pooledRatio, name: "uncertain decisions of all layers", unit: "share of decisions", range: "0...1",
    reading: "share of all decisions of a stack, token by layer, whose entropy reaches the threshold",
    grain: .stack, format: .percent(1), baseline: "1 - q over the whole run for a quantile threshold, none otherwise",
    baselineValue: { $0.threshold.expectedShare }, facets: .none, interval: .onRequest, source: pooledSource,
    glossary: "share of uncertain decisions over all sparse layers of a stack (ffn, attn, enc, dec)",
    missing: "where no decision has an entropy (none is finite, or ln E is 0)", usesEntropyForm: true, needsChoice: true,
    measure: StackMeasure.ratio(nil))

  private static let pooledSource = "WaitHZ/GW-MoE, the figures its training loop logs; with its formula under `--as gw-moe`"
}

/// A mean over the decisions of all routers of a stack, at the layers asked for.
struct StackMeasure: Measure {
  /// Nil: a row for each stack of the run.
  let stack: RouterStack?
  let usesThreshold: Bool
  let sum: @Sendable (StratumMeans.Row) -> MeanSum
  /// Mean and number of decisions.
  let pooled: @Sendable ([RouterUncertainty], ResolvedThreshold) -> (mean: Double?, count: Int)

  static func entropy(_ stack: RouterStack?) -> StackMeasure {
    StackMeasure(stack: stack, usesThreshold: false, sum: { $0.entropyNats }) { folds, _ in
      let all = folds.reduce(into: Moments()) { $0.merge($1.entropyNats) }
      return (all.mean, all.count)
    }
  }

  static func ratio(_ stack: RouterStack?) -> StackMeasure {
    StackMeasure(stack: stack, usesThreshold: true, sum: { $0.uncertain }) { folds, threshold in
      let known = folds.reduce(0) { $0 + $1.entropy.moments.count }
      let over = folds.reduce(0) { $0 + $1.uncertainCount(threshold) }
      return (known > 0 ? Double(over) / Double(known) : nil, known)
    }
  }

  func folds(for plan: AnalysisPlan) -> Folds {
    var folds: Folds = usesThreshold ? [.uncertainty, .threshold] : .uncertainty
    if plan.intervals { folds.insert(.means) }
    return folds
  }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    let hashed = Set(reading.plan.routers.filter(\.spec.isHashed).map(\.id))
    let folds = (reading.analysis.uncertainty?.sorted(in: reading.plan.layers) ?? []).filter { !hashed.contains($0.key) }
    let lanes = RouterStack.allCases.flatMap { kind in
      folds.map(\.key).filter { $0.stack == kind }.map(\.lane).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    }
    return .metric(
      lanes.filter { stack == nil || stack?.rawValue == $0 }.compactMap { lane in row(reading, folds.filter { $0.key.lane == lane }) })
  }

  private func row(_ reading: MetricReading, _ own: [(key: RouterID, value: RouterUncertainty)]) -> MetricRow? {
    guard let first = own.first else { return nil }
    let (mean, count) = pooled(own.map(\.value), reading.analysis.resolvedThreshold)
    let shapes = Set(own.map { [$0.value.experts, $0.value.topK] })
    let size = shapes.count == 1 ? reading.size(first.key, experts: first.value.experts, topK: first.value.topK, tokens: count) : nil
    var row = reading.row(first.key, value: mean, n: count, of: .decisions, size: size)
    row.pooledRouters = own.count
    if reading.plan.intervals {
      row.interval = Jackknife.interval(sums: MeanSum.bySequence(own.map { reading.analysis.means?[$0.key]?.rows.mapValues(sum) ?? [:] }))
    }
    return row
  }

  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) {
    if usesThreshold { reading.completeThreshold(&settings) }
  }

  func words(_ reading: MetricReading) -> String {
    usesThreshold ? reading.metric.reading + ": " + reading.thresholdWords : reading.metric.reading
  }
}
