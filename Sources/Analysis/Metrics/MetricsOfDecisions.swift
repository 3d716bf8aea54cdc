// Metrics of single decisions that are worked out from their columns: how the weights are shared out, how near another choice was, what the
// correction bias does, and what falls to the shared expert. What is said about them, and the numbers themselves.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Metric {
  static let routerPerplexity = Metric(
    key: .routerPerplexity, name: "effective experts of a token", unit: "experts", range: "1...E",
    reading: "mean of exp(router entropy): as many equally likely experts would leave the router as unsure about a token",
    grain: .layer, format: .number(2), baseline: "E for equal logits", baselineValue: { Double($0.chance.experts) }, facets: .all,
    interval: .onRequest, source: "standard (perplexity of the router's distribution)",
    glossary: "exp(router entropy), mean over decisions: how many experts the router wavers between",
    missing: "where no decision has an entropy, and where experts are looked up by token id", needsChoice: true,
    measure: StatisticMeasure { batch, _ in batch.routerEntropy.map { exp($0) } })

  static let topKEntropy = Metric(
    key: .topKEntropy, name: "entropy of the chosen experts' weights", unit: "share of ln k", range: "0...1",
    reading:
      "0: one of the chosen experts has all the weight; 1: all have the same; another quantity than the router's entropy over all experts",
    grain: .layer, format: .number(3), baseline: "1 for equal weights", baselineValue: { $0.chance.topK > 1 ? 1 : nil }, facets: .all,
    interval: .onRequest, source: "moe-routing-organized `qwen_router.py`; weights divided by their sum",
    glossary: "entropy of the weights of the chosen experts, divided by ln k: 0 one has all, 1 all alike",
    missing: "for decisions that fewer than two experts compute, and where a weight is negative", needs: RecordingLevel(),
    measure: StatisticMeasure { batch, _ in
      batch.eachDecision { slots in chosenEntropy(slots.map { Double(batch.routingWeights[$0]) }) }
    })

  static let flipRisk = Metric(
    key: .flipRisk, name: "flip risk", unit: "probability", range: "0...1",
    reading: "P(|noise| > selection margin)",
    grain: .layer, format: .percent(2), baseline: "1 for equal logits, whatever the noise", baselineValue: { _ in 1 }, facets: .all,
    interval: .onRequest, source: "derived; ViperEkura/AstrAI#57 (near ties)",
    glossary: "how likely noise of a stated size exceeds the margin of the last expert taken",
    missing: "where every expert is taken (k = E), and where experts are looked up by token id", needsChoice: true,
    measure: StatisticMeasure(
      inWords: { reading in
        "P(|noise| > selection margin), noise normal with mean 0 and standard deviation \(plainNumber(reading.plan.noise)) (--noise), in the "
          + "unit of the router's selection scores; not comparable across units"
      }, completes: { $0.noise = $1.plan.noise },
      values: { batch, context in
        batch.selectionMargin.map { Float(erfc(Double($0) / (context.noise * 2.0.squareRoot()))) }
      }),
    details: """
      The margin is the gap between the last expert taken and the first one left out, in the unit of what the router compares: probability, logit,
      sigmoid score. `--noise` is the standard deviation of a disturbance of that gap, in the same unit: what a change of precision or of kernel
      does to it can be measured with `compare` (`flip_margin_q95`). Limits of groups have gaps of their own, which are not looked at.
      """)

  static let biasFlips = Metric(
    key: .biasFlips, name: "decisions that the correction bias changes", unit: "share of decisions", range: "0...1",
    reading: "0: the router would choose the same experts without its correction bias; 1: it would choose others every time",
    grain: .layer, format: .percent(1), baseline: "0 for a bias that is the same for all experts", baselineValue: { _ in 0 }, facets: .all,
    interval: .onRequest, source: "derived; DeepSeek-V3, arXiv:2412.19437 (the bias steers selection only)",
    glossary: "share of decisions whose experts change when the correction bias is left out",
    missing: "for routers without a correction bias, and where no decision has finite logits",
    needs: RecordingLevel(content: .full), isAboutBias: true,
    measure: StatisticMeasure(isYesOrNo: true, values: { batch, context in biasFlips(batch, context.specs[batch.router]) }),
    details: """
      Both choices are made from the recorded logits by the router's own rule, with and without its correction bias, as `bias all=off` leaves it
      out; decisions without recorded logits take no part (n says how many do). It is the change of one layer by itself: what a model without the
      bias would choose further on is answered by `whatif --rules 'bias all=off'`.
      """)

  static let sharedWeightShare = Metric(
    key: .sharedWeightShare, name: "weight of the shared expert", unit: "share of the applied weights", range: "0...1",
    reading: "0: all weight is on the routed experts; 1/(1+k): the shared expert weighs as much as each of them; 1: it has all",
    grain: .layer, format: .percent(1), baseline: "1/(1+k), where it weighs as much as each routed expert",
    baselineValue: { 1 / (1 + $0.chance.k) }, facets: .all, interval: .onRequest, source: "derived",
    glossary: "share of the shared expert in all weights that a token's experts get",
    missing: "without a shared expert, and where a weight is negative", needs: RecordingLevel(extras: .shared),
    measure: StatisticMeasure { batch, _ in
      batch.sharedShare(batch.sharedWeight) { slot in Double(batch.routingWeights[slot]) }
    })

  static let sharedNormShare = Metric(
    key: .sharedNormShare, name: "norm of the shared expert's output", unit: "share of the norms added up", range: "0...1",
    reading:
      "0: all is on the routed experts; 1/(1+k): the shared expert adds as much as each of them; 1: it adds all; norms, not the sum of vectors",
    grain: .layer, format: .percent(1), baseline: "1/(1+k), where its output is as large as each routed expert's",
    baselineValue: { 1 / (1 + $0.chance.k) }, facets: .all, interval: .onRequest, source: "derived",
    glossary: "share of the shared expert in the weighted norms of all experts' outputs",
    missing: "without a shared expert", needs: RecordingLevel(extras: [.norms, .shared]),
    measure: StatisticMeasure { batch, context in
      let norms = batch.expertNorms ?? []
      let isWeighted = context.specs[batch.router]?.appliesTo == .input
      let own = zip(batch.sharedWeight ?? [], batch.sharedNorm ?? []).map { $0 * $1 }
      return batch.sharedShare(own.isEmpty ? nil : own) { slot in
        norms.isEmpty ? .nan : Double(norms[slot]) * (isWeighted ? 1 : Double(batch.routingWeights[slot]))
      }
    })

  /// -sum g ln g / ln k of weights divided by their sum; NaN where there are fewer than two, or one is negative.
  ///
  /// - Test: 3/4 and 1/4 give 0.8113; equal weights 1.
  static func chosenEntropy(_ weights: [Double]) -> Float {
    guard weights.count > 1, weights.allSatisfy({ $0 >= 0 }), let shares = normalized(weights) else { return .nan }
    return Float(min(1, shannonEntropy(shares) / log(Double(weights.count))))
  }

  /// 1 where the router's choice without its correction bias is another set of experts, 0 where it is the same.
  private static func biasFlips(_ batch: RoutingBatch, _ spec: RouterSpec?) -> [Float] {
    var flips = Array(repeating: Float.nan, count: batch.count)
    guard let spec, spec.correctionBias != nil, let logits = batch.logits, logits.values.count == logits.rows.count * spec.expertCount
    else { return flips }
    var plain = spec
    plain.correctionBias = nil
    let choices = [spec, plain].compactMap { spec in
      (try? Router(spec)).map { router in
        var made = RoutingBatch(
          router: batch.router, expertCount: spec.expertCount, topK: spec.topK, firstToken: 0, count: logits.rows.count)
        logits.values.withUnsafeBufferPointer {
          if let base = $0.baseAddress { router.decide(base, demand: RoutingDemand(statistics: false), into: &made) }
        }
        return made.selectedExperts
      }
    }
    guard choices.count == 2 else { return flips }
    for (index, row) in logits.rows.enumerated() {
      let own = logits.values[index * spec.expertCount..<(index + 1) * spec.expertCount]
      guard own.allSatisfy(\.isFinite) else { continue }
      let slots = index * spec.topK..<(index + 1) * spec.topK
      flips[Int(row)] = Set(choices[0][slots]) == Set(choices[1][slots]) ? 0 : 1
    }
    return flips
  }
}

extension RoutingBatch {
  /// `[count]`: a number of each decision's assignments that were computed, given their slots.
  fileprivate func eachDecision(_ value: ([Int]) -> Float) -> [Float] {
    (0..<count).map { token in
      value((token * topK..<(token + 1) * topK).filter { selectedExperts[$0] >= 0 && dropped?[$0] != true })
    }
  }

  /// What the shared expert has of all: own / (own + sum over the computed assignments); NaN where a part is none or negative.
  fileprivate func sharedShare(_ own: [Float]?, routed: (Int) -> Double) -> [Float] {
    guard let own else { return Array(repeating: .nan, count: count) }
    var token = -1
    return eachDecision { slots in
      token += 1
      let parts = [Double(own[token])] + slots.map(routed)
      let total = parts.reduce(0, +)
      return total > 0 && parts.allSatisfy { $0 >= 0 } ? Float(parts[0] / total) : .nan
    }
  }
}
