// Reads texts as they are and under every variant of a plan, text by text, so that memory is that of one text; what comes of it are sums.

import Analysis
import Model
import Routing

final class WhatIfRun {
  let model: LanguageModel
  let texts: [TokenSequence]
  var threadCount: Int { reader.threadCount }
  /// Runs that rules replay, by the name they have there.
  var replays: [String: ReplayedRouting] = [:]
  private let context: FilterContext
  private let reader: VariantReader
  private let routers: [RouterID: Router]
  private let showsProgress: Bool
  private var ground: EffectGround
  /// Normalised entropies of the texts as they are, all routers pooled; empty where nobody asked.
  private var entropies = EntropySurvey()

  init(_ model: LanguageModel, texts: [TokenSequence], context: FilterContext, threads: Int?, showsProgress: Bool) {
    (self.model, self.texts, self.context, self.showsProgress) = (model, texts, context, showsProgress)
    reader = VariantReader(model, threads: threads)
    // Routers that a model has been opened with are valid.
    routers = Dictionary(
      model.routers.compactMap { router in (try? Router(router.spec)).map { (router.id, $0) } }, uniquingKeysWith: { first, _ in first })
    ground = EffectGround(routers: model.routers, sharedExperts: model.sharedExpertCounts)
  }

  /// The variants and rows of a question. Loads and quantiles of the unchanged run take a reading of all texts of their own.
  ///
  /// - Throws: `RuleError`, `ExperimentError`.
  func plan(_ question: WhatIfQuestion, draws: Int, seed: UInt64) throws -> EffectPlan {
    switch question {
    case .rules(let sets):
      // What the model does not have is refused before anything is read.
      for rules in sets { _ = try bind(rules, seed: seed, settled: nil) { _ in 0.5 } }
      let asksQuantiles = sets.contains { $0.rules.contains { $0.condition?.entropyQuantiles.isEmpty == false } }
      if asksQuantiles || sets.contains(where: \.namesExperts) { try survey() }
      var plan = EffectPlan(draws: draws, seed: seed)
      for rules in sets { try plan.add(rules, ground: ground) }
      return plan
    case .experiment(let experiment):
      if experiment.needsSurvey { try survey() }
      return try experiment.plan(draws: draws, seed: seed, ground: ground)
    }
  }

  /// Rules for this model, with quantiles of the texts as they are.
  ///
  /// - Parameter settled: the decisions of conditions; nil: each is asked when it is made.
  func bind(_ rules: RuleSet, seed: UInt64, settled: SettledDecisions?) throws -> Intervention {
    try bind(rules, seed: seed, settled: settled) { [entropies] in entropies.share(ofQuantile: $0) }
  }

  private func bind(
    _ rules: RuleSet, seed: UInt64, settled: SettledDecisions?, quantile: @escaping (Double) -> Double?
  ) throws -> Intervention {
    try Intervention(
      rules, run: context, sharedExperts: model.sharedExpertCounts, replays: replays, seed: seed, settled: settled, baseline: quantile)
  }

  /// The variants of a plan, made ready.
  func bind(_ plan: EffectPlan) throws -> BoundVariants {
    let settled = plan.variants.map { _ in SettledDecisions() }
    return BoundVariants(
      plan: plan, interventions: try zip(plan.variants, settled).map { try bind($0.rules, seed: $0.seed, settled: $1) }, settled: settled)
  }

  /// Reads all texts once for loads and entropies.
  private func survey() throws {
    var meter = Meter("loads and entropies", of: texts.reduce(0) { $0 + $1.count }, isShown: showsProgress)
    defer { meter.finish() }
    for (index, text) in texts.enumerated() {
      reader.sequence = index
      reader.onProgress = { meter.tell($0) }
      guard let reading = try reader.baseline(text, demand: RoutingDemand(), scores: false) else {
        throw Failure(Interruption.status ?? .failed, "stopped before a text was read under all rules")
      }
      for pass in reading.passes {
        entropies.add(pass)
        pass.batches.forEach { ground.add($0) }
      }
      meter.add(text.count)
    }
  }

  /// Reads every text under every variant, until a signal asks to stop: then what came of the texts that were finished.
  ///
  /// - Throws: `Failure` when an output is no number.
  func measure(_ variants: BoundVariants, recorder: VariantRecorder?) throws -> EffectStudy {
    let (plan, interventions, settled) = (variants.plan, variants.interventions, variants.settled)
    let conditioned = zip(plan.variants, interventions).filter { $0.0.rules.hasConditions }.map(\.1)
    let places = reader.places(for: interventions)
    let demand = RoutingDemand(statistics: true, logitsEvery: 1)
    let variantDemand = RoutingDemand(statistics: recorder != nil)
    var study = EffectStudy(plan)
    var meter = Meter(
      "what if", of: texts.reduce(0) { $0 + $1.count } * (1 + plan.variants.count), isShown: showsProgress)
    defer { meter.finish() }
    reader.onProgress = { meter.tell($0) }
    var firstToken = 0
    for (index, text) in texts.enumerated() {
      (reader.sequence, reader.firstToken) = (index, firstToken)
      firstToken += text.count
      guard let baseline = try reader.baseline(text, demand: demand, keeping: places) else { return study }
      try Self.requireNumbers(baseline.score, of: text, "as it is")
      meter.add(text.count)
      let decisions = ConditionedDecisions(of: conditioned, in: baseline.passes)
      var sums: [EffectSums] = []
      var missing: [Int] = []
      var readings: [TextReading] = []
      for (number, variant) in plan.variants.enumerated() {
        if recorder == nil { settled[number].clear() }
        if let draw = variant.otherDecisions {
          missing.append(decisions.settleOthers(settled[number], sequence: index, seed: plan.seed, draw: draw))
        } else {
          decisions.settle(settled[number], sequence: index)
          missing.append(0)
        }
        let touched = try TouchedDecisions(by: interventions[number], in: baseline.passes, routers: routers)
        // Where no decision is touched, the changed reading is the unchanged one.
        let isRead = touched.count > 0 || recorder != nil
        guard
          let changed = isRead
            ? try reader.variant(interventions[number], of: text, baseline: baseline, demand: variantDemand) : baseline
        else { return study }
        if isRead { try Self.requireNumbers(changed.score, of: text, "under '\(variant.rules.text)'") }
        sums.append(EffectSums(baseline, changed, touched: touched, isSame: !isRead))
        if recorder != nil { readings.append(changed) }
        meter.add(text.count)
      }
      try recorder?.receive(baseline, readings)
      study.add(sums, missing: missing, labels: text.description.labels)
    }
    return study
  }

  private static func requireNumbers(_ score: SequenceScore, of text: TokenSequence, _ how: String) throws {
    let broken = score.outputs.notFiniteRows + score.outputs.notFiniteScores
    if broken > 0 || !score.nats.isFinite || !score.divergence.nats.isFinite {
      throw Failure(
        .failed,
        "\(Show.line(text.description.name)), read \(how): an output is NaN or infinite, so there is no loss to compare\n"
          + "  try: moetop run MODEL -f TEXTS, which says where")
    }
  }
}

/// Variants bound to a model, each with the decisions that its conditions hold for.
struct BoundVariants {
  let plan: EffectPlan
  /// `[variants]` each.
  let interventions: [Intervention]
  let settled: [SettledDecisions]
}

extension EffectSums {
  /// - Parameter isSame: nothing was read again, for nothing can be different.
  fileprivate init(_ baseline: TextReading, _ changed: TextReading, touched: TouchedDecisions, isSame: Bool) {
    self.init(baseline: baseline.passes, changed: changed.passes, touched: touched)
    scored = baseline.score.scoredTokens
    (baselineNats, nats) = (baseline.score.nats, changed.score.nats)
    divergence = isSame ? 0 : changed.score.divergence.nats
    sameBest = isSame ? scored : changed.score.divergence.sameBest
  }
}

/// Tokens read so far, drawn as they come.
private struct Meter {
  private var progress: Progress
  private let total: Int
  private var done = 0

  init(_ label: String, of total: Int, isShown: Bool) {
    progress = Progress(label, enabled: isShown)
    self.total = total
  }

  /// - Returns: false when a signal asks to stop.
  mutating func tell(_ reading: ReadingProgress) -> Bool {
    progress.update(done: min(total, done + reading.tokens), of: total, unit: "tokens")
    return Interruption.signal == nil
  }

  mutating func add(_ tokens: Int) {
    done += tokens
    progress.update(done: done, of: total, unit: "tokens")
  }

  func finish() { progress.finish() }
}
