// From sums of texts to effects: changes of loss with intervals over texts, held against their controls text by text. Texts are what is left
// out, and what signs are turned of: tokens of one text are not independent. Images stand in the place of texts where a model makes images.

import Routing

/// The texts that were read under all variants of a plan.
public struct EffectStudy: Sendable {
  public let plan: EffectPlan
  public let measure: EffectMeasure
  /// `[texts][variants]`
  private var sums: [[EffectSums]] = []
  /// `[texts]`
  private var labels: [[String: String]] = []
  /// `[texts][variants]`: decisions that a control of equal size could not match.
  private var missing: [[Int]] = []

  /// Turns of the signs.
  public static let flips = 999

  public init(_ plan: EffectPlan, measure: EffectMeasure = .loss) {
    self.plan = plan
    self.measure = measure
  }

  /// Takes a text.
  ///
  /// - Parameters:
  ///   - sums: of each variant.
  ///   - missing: of each variant, decisions that its control could not match in this text.
  public mutating func add(_ sums: [EffectSums], missing: [Int], labels: [String: String]) {
    precondition(sums.count == plan.variants.count, "a sum for each variant")
    self.sums.append(sums)
    self.labels.append(labels)
    self.missing.append(missing)
  }

  /// Takes what another batch made of a text that was taken before.
  public mutating func add(_ shift: BatchShift, _ kind: WritableKeyPath<EffectSums, BatchShift>, text: Int, variant: Int) {
    sums[text][variant][keyPath: kind] += shift
  }

  public var texts: Int { sums.count }

  /// Tokens with a surprisal.
  public var scoredTokens: Int { sums.reduce(0) { $0 + ($1.first?.scored ?? 0) } }

  /// Surprisal of the unchanged reading over scored tokens, nats; nil where none was scored.
  public var baselineLoss: Double? {
    let scored = sums.compactMap(\.first)
    let tokens = scored.reduce(0) { $0 + $1.scored }
    return tokens > 0 ? scored.reduce(0) { $0 + $1.unchanged } / Double(tokens) : nil
  }

  /// - Parameter label: also the effects in the texts of each of its values.
  public func effects(by label: String? = nil) -> [RoutingEffect] {
    var effects = plan.rows.map { effect($0, over: Array(sums.indices)) }
    let whole = SignFlips(effects.map(\.paired), seed: plan.seed, flips: Self.flips)
    for row in effects.indices { effects[row].judge(whole[row]) }
    guard let label else { return effects }
    let values = Set(labels.compactMap { $0[label] }).sorted()
    var parts: [(row: Int, part: RoutingEffect)] = []
    for row in plan.rows.indices {
      for value in values {
        var part = effect(plan.rows[row], over: labels.indices.filter { labels[$0][label] == value })
        part.name = value
        parts.append((row, part))
      }
    }
    let flips = SignFlips(parts.map(\.part.paired), seed: plan.seed, flips: Self.flips)
    for (index, (row, part)) in parts.enumerated() {
      var part = part
      part.judge(flips[index])
      effects[row].parts.append(part)
    }
    return effects
  }

  private func effect(_ row: EffectRow, over texts: [Int]) -> RoutingEffect {
    var (pooled, control) = (EffectSums(), EffectSums())
    var (own, others) = ([MeanSum](), [MeanSum]())
    for text in texts where (sums[text].first?.scored ?? 0) > 0 {
      for variant in row.variants { pooled.add(sums[text][variant]) }
      for variant in row.control.variants { control.add(sums[text][variant]) }
      own.append(change(text, row.variants))
      others.append(change(text, row.control.variants))
    }
    var effect = RoutingEffect(
      name: row.name, rules: row.rules, control: row.control, draws: row.variants.count, texts: own.count, measure: measure)
    effect.pool(pooled)
    if plan.replacesMates {
      effect.mates = BatchEffect(texts.map { sums[$0][row.variants[0]].mates })
      effect.order = BatchEffect(texts.map { sums[$0][row.variants[0]].order })
    }
    effect.change = RoutingEffect.Change(own)
    effect.unmatched = texts.reduce(0) { sum, text in row.control.variants.reduce(sum) { $0 + missing[text][$1] } }
    if row.control.kind == .equalSize, effect.named > 0, control.named == 0 {
      effect.control = .none(
        "the condition holds for all or none of the decisions of each \(measure.rows): there is no other of them to stand for chance")
    }
    guard effect.control.kind != .none, effect.named > 0 else { return effect }
    effect.controlChange = RoutingEffect.Change(others)
    let differences = zip(own, others).map { own, other in
      var difference = own
      difference.sum -= other.sum
      return difference
    }
    effect.difference = RoutingEffect.Change(differences)
    if differences.count >= Jackknife.minimumSequences {
      // Of all texts of the study, so that every row turns the same texts: what a row has not is 0.
      effect.paired = Array(repeating: 0, count: sums.count)
      let scored = texts.filter { (sums[$0].first?.scored ?? 0) > 0 }
      for (text, difference) in zip(scored, differences) { effect.paired[text] = difference.sum }
    }
    return effect
  }

  /// What some variants change in a text on average, over its scored tokens.
  private func change(_ text: Int, _ variants: [Int]) -> MeanSum {
    var change = MeanSum()
    change.count = sums[text][0].scored
    for variant in variants { change.sum += sums[text][variant].changed - sums[text][variant].unchanged }
    if !variants.isEmpty { change.sum /= Double(variants.count) }
    return change
  }
}

/// What rules do to the texts that were read.
public struct RoutingEffect: Sendable {
  /// A mean over texts or images, in the unit of the measure, with its 95 % interval.
  public struct Change: Sendable, Equatable {
    public var value: Double?
    public var interval: Interval?

    /// - Parameter sums: of each text, scored tokens and nats; or their like.
    init(_ sums: [MeanSum]) {
      value = sums.reduce(into: MeanSum()) { $0 += $1 }.mean
      interval = Jackknife.interval(sums: sums)
    }
  }

  public internal(set) var name: String
  public let rules: String
  public internal(set) var control: EffectControl
  /// Variants that were averaged.
  public let draws: Int
  /// Texts with a scored token; or images.
  public let texts: Int
  public let measure: EffectMeasure
  /// Share of the unchanged run's decisions that the rules would make otherwise from the same logits.
  public private(set) var touched: Double?
  /// Decisions that the rules are about; 0 where their conditions hold nowhere, which is no effect of 0 but none.
  public private(set) var named = 0
  public internal(set) var change = Change([])
  /// Mean over scored places, nats.
  public private(set) var divergence: Double?
  public private(set) var sameTop1: Double?
  public private(set) var laterAgreement: Double?
  /// Assignments a decision.
  public private(set) var expertsPerToken: Double?
  public internal(set) var controlChange: Change?
  public internal(set) var difference: Change?
  public private(set) var p: Double?
  public private(set) var adjustedP: Double?
  /// Decisions of the condition, over all draws, for which no other was there.
  public internal(set) var unmatched = 0
  /// What other mates, or another order, of a batch do; nil where that was not asked.
  public internal(set) var mates: BatchEffect?
  public internal(set) var order: BatchEffect?
  /// By value of a label; `name` is the value.
  public internal(set) var parts: [RoutingEffect] = []
  /// The smaller of what the rules change and of what they change beyond their control; 0 where one rises and the other falls. A control that holds
  /// an expert which matters makes a difference for every expert beside it, and no change.
  public var evidence: Double {
    guard let change = change.value, let difference = difference?.value, change * difference > 0 else { return 0 }
    return min(abs(change), abs(difference))
  }
  /// `[texts of the study]`: nats by which the texts differ from their control; empty where signs cannot be turned.
  var paired: [Double] = []

  init(name: String, rules: String, control: EffectControl, draws: Int, texts: Int, measure: EffectMeasure) {
    self.name = name
    self.rules = rules
    self.control = control
    self.draws = draws
    self.texts = texts
    self.measure = measure
  }

  mutating func pool(_ sums: EffectSums) {
    func share(_ part: Double, _ whole: Int) -> Double? { whole > 0 ? part / Double(whole) : nil }
    touched = share(Double(sums.touched), sums.decisions)
    named = sums.named
    if measure == .loss {
      divergence = share(sums.divergence, sums.scored)
      sameTop1 = share(Double(sums.sameBest), sums.scored)
    }
    expertsPerToken = share(Double(sums.experts), sums.decisions)
    laterAgreement = sums.laterAgreement.mean
  }

  mutating func judge(_ verdict: SignFlips.Verdict?) { (p, adjustedP) = (verdict?.p, verdict?.adjusted) }
}

extension EffectSums {
  /// Joins what means are made of.
  fileprivate mutating func add(_ other: EffectSums) {
    scored += other.scored
    divergence += other.divergence
    sameBest += other.sameBest
    laterAgreement += other.laterAgreement
    experts += other.experts
    decisions += other.decisions
    touched += other.touched
    named += other.named
  }
}
