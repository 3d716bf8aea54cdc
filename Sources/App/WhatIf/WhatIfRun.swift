// Reads texts, or images, as they are and under every variant of a plan, batch by batch, so that memory is that of one batch; what comes of it
// are sums.

import Analysis
import Model
import Routing

final class WhatIfRun<Subject: WhatIfSubject> {
  let subject: Subject
  /// Runs that rules replay, by the name they have there.
  var replays: [String: ReplayedRouting] = [:]
  private let routers: [RouterID: Router]
  let showsProgress: Bool
  /// Told what is done, in words and as steps done of all; false stops. In the place of the line of progress.
  var onSteps: ((String, Int, Int) -> Bool)?
  private var ground: EffectGround
  /// Normalised entropies of what is read as it is, all routers pooled; empty where nobody asked.
  private var entropies = EntropySurvey()

  init(_ subject: Subject, showsProgress: Bool) {
    (self.subject, self.showsProgress) = (subject, showsProgress)
    // Routers that a model has been opened with are valid.
    routers = Dictionary(
      subject.routers.compactMap { router in (try? Router(router.spec)).map { (router.id, $0) } }, uniquingKeysWith: { first, _ in first })
    ground = EffectGround(routers: subject.routers, sharedExperts: subject.sharedExperts)
  }

  /// The variants and rows of a question. Loads and quantiles of the unchanged run take a reading of everything of their own.
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

  /// Rules for this model, with quantiles of what is read as it is.
  ///
  /// - Parameter settled: the decisions of conditions; nil: each is asked when it is made.
  func bind(_ rules: RuleSet, seed: UInt64, settled: SettledDecisions?) throws -> Intervention {
    try bind(rules, seed: seed, settled: settled) { [entropies] in entropies.share(ofQuantile: $0) }
  }

  private func bind(
    _ rules: RuleSet, seed: UInt64, settled: SettledDecisions?, quantile: @escaping (Double) -> Double?
  ) throws -> Intervention {
    try Intervention(
      rules, run: subject.context, sharedExperts: subject.sharedExperts, replays: replays, seed: seed, settled: settled, baseline: quantile)
  }

  /// The variants of a plan, made ready.
  func bind(_ plan: EffectPlan) throws -> BoundVariants {
    let settled = plan.variants.map { _ in SettledDecisions() }
    return BoundVariants(
      plan: plan, interventions: try zip(plan.variants, settled).map { try bind($0.rules, seed: $0.seed, settled: $1) }, settled: settled)
  }

  /// Steps of progress that one reading of some members is worth.
  func size(of members: Range<Int>) -> Int { members.reduce(0) { $0 + subject.size(of: $1) } }

  private var batches: [Range<Int>] {
    let count = subject.members.count
    return stride(from: 0, to: count, by: subject.batch).map { $0..<min($0 + subject.batch, count) }
  }

  /// Reads everything once for loads and entropies.
  private func survey() throws {
    let meter = Meter(
      "loads and entropies", of: size(of: subject.members.indices), unit: subject.unit, isShown: showsProgress, onSteps: onSteps)
    defer { meter.finish() }
    subject.onProgress = meter.tell
    for index in subject.members.indices {
      guard let reading = try subject.unchanged(index..<index + 1, before: [], demand: RoutingDemand(), scores: false)?.first else {
        throw Failure(Interruption.status ?? .failed, "stopped before a \(subject.measure.subject) was read under all rules")
      }
      for pass in reading.passes {
        entropies.add(pass)
        pass.batches.forEach { ground.add($0) }
      }
      meter.add(subject.size(of: index))
    }
  }

  /// Reads every member under every variant, until a signal asks to stop: then what came of the batches that were finished.
  ///
  /// - Parameters:
  ///   - rest: steps of progress that follow.
  ///   - kept: called with every reading: member, variant, what it is.
  /// - Throws: `Failure` when an output is no number.
  func measure(
    _ variants: BoundVariants, recorder: VariantRecorder?, rest: Int = 0,
    kept: (_ member: Int, _ variant: Int, Subject.Reading) -> Void = { _, _, _ in }
  ) throws -> EffectStudy {
    let (plan, interventions, settled) = (variants.plan, variants.interventions, variants.settled)
    let conditioned = zip(plan.variants, interventions).filter { $0.0.rules.hasConditions }.map(\.1)
    let variantDemand = RoutingDemand(statistics: recorder != nil)
    var study = EffectStudy(plan, measure: subject.measure)
    let meter = Meter(
      "what if", of: size(of: subject.members.indices) * (1 + plan.variants.count) + rest, unit: subject.unit, isShown: showsProgress,
      onSteps: onSteps)
    defer { meter.finish() }
    subject.onProgress = meter.tell
    for members in batches {
      let demand = RoutingDemand(statistics: true, logitsEvery: 1)
      guard let unchanged = try subject.unchanged(members, before: interventions, demand: demand, scores: true) else { return study }
      try requireNumbers(unchanged, of: members, "as it is")
      meter.add(size(of: members))
      let decisions = unchanged.map { ConditionedDecisions(of: conditioned, in: $0.passes) }
      var sums: [[EffectSums]] = members.map { _ in [] }
      var missing = members.map { _ in Array(repeating: 0, count: plan.variants.count) }
      var readings: [[Subject.Reading]] = members.map { _ in [] }
      for (number, variant) in plan.variants.enumerated() {
        if recorder == nil { settled[number].clear() }
        for (index, member) in members.enumerated() {
          if let draw = variant.otherDecisions {
            missing[index][number] = decisions[index].settleOthers(
              settled[number], of: interventions[number], sequence: member, seed: plan.seed, draw: draw)
          } else {
            decisions[index].settle(settled[number], sequence: member)
          }
        }
        guard
          let changed = try changed(
            members, by: interventions[number], unchanged, demand: variantDemand, readsAll: recorder != nil)
        else { return study }
        try requireNumbers(changed.map(\.reading), of: members, "under '\(variant.rules.text)'")
        for (index, change) in changed.enumerated() {
          var sum = EffectSums(baseline: unchanged[index].passes, changed: change.reading.passes, touched: change.touched)
          change.reading.measure(from: unchanged[index], isSame: change.isSame, into: &sum)
          sums[index].append(sum)
          if recorder != nil { readings[index].append(change.reading) }
          kept(members.lowerBound + index, number, change.reading)
        }
        meter.add(size(of: members))
      }
      for (index, member) in members.enumerated() {
        try recorder?.receive(unchanged[index].passes, readings[index].map(\.passes))
        study.add(sums[index], missing: missing[index], labels: subject.members[member].labels)
      }
    }
    return study
  }

  private typealias Change = (reading: Subject.Reading, touched: TouchedDecisions, isSame: Bool)

  /// Members under one variant, those of a batch together where its rules count the rows of one. Where no decision is touched, the changed
  /// reading is the unchanged one.
  private func changed(
    _ members: Range<Int>, by intervention: Intervention, _ unchanged: [Subject.Reading], demand: RoutingDemand, readsAll: Bool
  ) throws -> [Change]? {
    let width = intervention.countsRows ? members.count : 1
    var changes: [Change] = []
    for start in stride(from: 0, to: members.count, by: width) {
      let part = start..<start + width
      let mine = Array(unchanged[part])
      let touched = TouchedDecisions.all(by: intervention, in: mine.map(\.passes), routers: routers)
      guard readsAll || touched.contains(where: { $0.count > 0 }) else {
        changes += zip(mine, touched).map { ($0, $1, true) }
        continue
      }
      let places = members.lowerBound + part.lowerBound..<members.lowerBound + part.upperBound
      guard let read = try subject.changed(places, by: intervention, mine, touched: touched, demand: demand) else { return nil }
      changes += zip(read, touched).map { ($0, $1, false) }
    }
    return changes
  }

  private func requireNumbers(_ readings: [Subject.Reading], of members: Range<Int>, _ how: String) throws {
    for (reading, member) in zip(readings, members) where reading.isBroken {
      let name = Show.line(subject.members[member].name)
      switch subject.measure {
      case .loss:
        throw Failure(
          .failed,
          "\(name), read \(how): an output is NaN or infinite, so there is no loss to compare\n"
            + "  try: moetop run MODEL -f TEXTS, which says where")
      case .latent:
        throw Failure(
          .failed,
          "\(name), made \(how): a latent is NaN or infinite, so there is nothing to compare\n"
            + "  try: moetop run MODEL, which says at how many steps")
      }
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

/// Steps done so far, drawn as they come.
final class Meter {
  private var progress: Progress
  private let total: Int
  private let unit: String
  private let label: String
  private let onSteps: ((String, Int, Int) -> Bool)?
  private var done = 0

  init(_ label: String, of total: Int, unit: String, isShown: Bool, onSteps: ((String, Int, Int) -> Bool)? = nil) {
    progress = Progress(label, enabled: isShown)
    (self.label, self.total, self.unit, self.onSteps) = (label, total, unit, onSteps)
  }

  /// - Parameter steps: done of the reading at hand.
  /// - Returns: false when a signal asks to stop.
  func tell(_ steps: Int) -> Bool {
    progress.update(done: min(total, done + steps), of: total, unit: unit)
    return (onSteps?(label, min(total, done + steps), total) ?? true) && Interruption.signal == nil
  }

  func add(_ steps: Int) {
    done += steps
    progress.update(done: done, of: total, unit: unit)
  }

  func finish() { progress.finish() }
}
