// The five statements that the authors of DiT-MoE make about routing from heat maps, each judged by a written rule: holds, does not hold,
// undecided. The rules stand here as text next to the code that follows them; `moetop docs metrics` prints them.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

public enum Verdict: String, Sendable, Encodable {
  case holds
  case doesNotHold = "does not hold"
  case undecided
}

/// One of the statements.
public enum DenoisingClaim: String, CaseIterable, Sendable, Encodable {
  case noExpertIdle = "no-expert-idle"
  case positionAndStepPreferred = "position-and-step-preferred"
  case classIgnored = "class-ignored"
  case deeperMoreDispersed = "deeper-more-dispersed"
  case earlyConcentrated = "early-concentrated"

  public var statement: String {
    switch self {
    case .noExpertIdle: "no expert is idle"
    case .positionAndStepPreferred: "experts prefer positions and steps"
    case .classIgnored: "experts ignore the class"
    case .deeperMoreDispersed: "deeper layers are more dispersed over positions"
    case .earlyConcentrated: "early steps are concentrated, later ones more uniform"
    }
  }

  /// When it holds, and when it does not; everything else is undecided.
  public var rule: String {
    switch self {
    case .noExpertIdle:
      "Holds when every expert of every layer was chosen at least once; the smallest share stands beside its chance value 1/E. Does not "
        + "hold when one never was, and its even share of the layer's choices is 20 or more."
    case .positionAndStepPreferred:
      "Position (I(expert; patch)) and step (I(expert; step)) are judged apart, each as the mean effect over layers against a limit of 1 % "
        + "of ln E: preferred when the whole interval lies above the limit and p <= 0.05, not preferred when it lies wholly below. Holds "
        + "when both are preferred, does not hold when one of them is not."
    case .classIgnored:
      "The effect of the class (mean over layers) is compared with a tenth of the smaller effect among position and step that is preferred, "
        + "or with 1 % of ln E where neither is. Holds when the whole interval of the class lies below that limit: a demonstration of "
        + "equivalence, not a lack of significance. Does not hold when the whole interval lies above it and p <= 0.05. Whether the class is "
        + "preferred by the rule of position and step stands beside it. The t quantile of its interval has the mean number of samples a "
        + "class, less one, as degrees of freedom: with few samples a class it is wide, and below 2 there is none and no verdict."
    case .deeperMoreDispersed:
      "Spearman's rank correlation of depth with the layer's effect I(expert; patch). Holds when it is below 0 and a random order of the "
        + "layers falls as much with probability p <= 0.05. Does not hold when it is above 0 and a random order rises as much with probability "
        + "at most 0.05. What chance would give as often (few layers do so easily), and fewer than 4 layers, are undecided. It has no "
        + "interval: ranks of a few layers move in jumps, which no jackknife measures."
    case .earlyConcentrated:
      "Contrast: normalised entropy of use (0 one expert, 1 all alike), mean over the last three fifths of the steps minus mean over the "
        + "first fifth, mean over layers. Holds when the whole interval lies above 0.02 and p <= 0.05 under circular shifts; does not hold "
        + "when the whole interval lies below 0.02. Fewer than 5 steps are undecided."
    }
  }
}

/// A number that a verdict rests on.
public struct ClaimEvidence: Sendable, Equatable, Encodable {
  /// What was measured, e.g. `position`.
  public var name: String
  /// Nil for a number over all layers.
  public var router: RouterID?
  public var value: Double?
  public var unit: String
  public var interval: Interval?
  public var nullMean: Double?
  public var nullSD: Double?
  public var p: Double?
  /// What the value is compared with.
  public var limit: Double?
  /// Of this number alone, where it has one.
  public var verdict: Verdict?

  init(
    _ name: String, router: RouterID? = nil, value: Double?, unit: String, interval: Interval? = nil,
    null: SpecializationStudy.Null? = nil, p: Double? = nil, limit: Double? = nil, verdict: Verdict? = nil
  ) {
    self.name = name
    self.router = router
    self.value = value.flatMap { $0.isFinite ? $0 : nil }
    self.unit = unit
    self.interval = interval
    nullMean = null?.mean
    nullSD = null?.sd
    self.p = p ?? null?.p
    self.limit = limit
    self.verdict = verdict
  }

  private enum CodingKeys: String, CodingKey {
    case name, router, value, unit, low, high
    case nullMean = "null_mean"
    case nullSD = "null_sd"
    case p, limit, verdict
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(name, forKey: .name)
    try container.encodeIfPresent(router?.description, forKey: .router)
    try container.encode(value, forKey: .value)
    try container.encode(unit, forKey: .unit)
    try container.encodeIfPresent(interval?.low, forKey: .low)
    try container.encodeIfPresent(interval?.high, forKey: .high)
    try container.encodeIfPresent(nullMean, forKey: .nullMean)
    try container.encodeIfPresent(nullSD, forKey: .nullSD)
    try container.encodeIfPresent(p, forKey: .p)
    try container.encodeIfPresent(limit, forKey: .limit)
    try container.encodeIfPresent(verdict, forKey: .verdict)
  }
}

/// A statement, judged.
public struct JudgedClaim: Sendable, Equatable, Encodable {
  public var claim: DenoisingClaim
  public var verdict: Verdict
  /// Why, in one sentence with numbers.
  public var reason: String
  /// Over all layers.
  public var evidence: [ClaimEvidence]
  /// By layer.
  public var layers: [ClaimEvidence]

  private enum CodingKeys: String, CodingKey { case claim, statement, verdict, reason, rule, evidence, layers }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(claim, forKey: .claim)
    try container.encode(claim.statement, forKey: .statement)
    try container.encode(verdict, forKey: .verdict)
    try container.encode(reason, forKey: .reason)
    try container.encode(claim.rule, forKey: .rule)
    try container.encode(evidence, forKey: .evidence)
    try container.encode(layers, forKey: .layers)
  }
}

/// All five statements about one run.
public struct DenoisingClaims: Sendable, Equatable, Encodable {
  public var samples: Int
  /// Samples some of whose rows are missing; they are left out.
  public var unfinished: Int
  public var branch: Int
  public var steps: Int
  public var patches: Int
  /// Values of the label `class`.
  public var classes: Int
  public var claims: [JudgedClaim]

  public subscript(claim: DenoisingClaim) -> JudgedClaim? { claims.first { $0.claim == claim } }
}

/// Judges the statements from the counts of a run.
///
/// - Complexity: that of three specialization studies (steps, patches, classes).
struct ClaimJudge {
  /// A find needs p at most this.
  static let level = 0.05
  /// Share of ln E from which an effect is a preference.
  static let floor = 0.01
  /// Difference of normalised entropies from which early steps are concentrated.
  static let contrastFloor = 0.02
  /// Share of a preference below which the class counts as ignored.
  static let ignoredShare = 0.1

  let counts: DenoisingCounts
  let sequences: [SequenceDescription]
  let settings: NullSettings

  func judge() -> DenoisingClaims {
    let position = information(.patch)
    let step = information(.step)
    let classes = information(.label(SampleClasses.label))
    let positionPart = preference("position", position)
    let stepPart = preference("step", step)
    let classPart = preference("class", classes)
    return DenoisingClaims(
      samples: counts.samples.count, unfinished: counts.unfinishedCount, branch: counts.branch, steps: counts.layout.stepCount,
      patches: counts.layout.patchCount,
      classes: SampleClasses(SampleClasses.label, samples: counts.samples, sequences: sequences).names.count,
      claims: [
        idle(),
        preferred(positionPart, stepPart, layers: byLayer("position", position) + byLayer("step", step)),
        ignored(classPart, among: [positionPart, stepPart], layers: byLayer("class", classes)),
        dispersed(position), concentrated(),
      ])
  }

  /// Empty where the run has fewer than two cells of the axis.
  private func information(_ facet: Facet) -> [RouterInformation] {
    guard let study = try? SpecializationStudy(facet, of: counts, sequences: sequences, settings: settings) else { return [] }
    return study.information(study.draws(0..<settings.draws))
  }

  private func byLayer(_ name: String, _ routers: [RouterInformation]) -> [ClaimEvidence] {
    routers.map { own in
      ClaimEvidence(
        name, router: own.router, value: own.information.effect, unit: "nat", interval: own.information.interval, null: own.null)
    }
  }

  // MARK: - No expert is idle

  private func idle() -> JudgedClaim {
    var layers: [ClaimEvidence] = []
    var never: [String] = []
    var isEnough = true
    for router in counts.routerIDs {
      guard let use = counts.projection(.step, of: router) else { continue }
      var sums = Array(repeating: 0.0, count: use.expertCount)
      for entry in use.values.indices { sums[entry % use.expertCount] += use.values[entry] }
      let total = sums.reduce(0, +)
      let idle = sums.indices.filter { sums[$0] == 0 }
      never += idle.map { "\(router) expert \($0)" }
      if total < SpecializationStudy.faintBelow * Double(use.expertCount) && !idle.isEmpty { isEnough = false }
      layers.append(
        ClaimEvidence(
          "smallest share", router: router, value: total > 0 ? (sums.min() ?? 0) / total : nil, unit: "share of choices",
          limit: 1 / Double(use.expertCount)))
    }
    let smallest = layers.min { ($0.value ?? 0) < ($1.value ?? 0) }
    let verdict: Verdict = counts.samples.isEmpty || !isEnough ? .undecided : never.isEmpty ? .holds : .doesNotHold
    let share = (smallest?.value).map { "\(percent($0)) at \(smallest?.router?.description ?? "-")" } ?? "unknown"
    let reason =
      counts.samples.isEmpty
      ? "no sample is whole"
      : never.isEmpty
        ? "the least used expert has \(share), an even share is \(percent(smallest?.limit ?? 0))"
        : "never chosen: \(never.prefix(8).joined(separator: ", "))\(never.count > 8 ? " and \(never.count - 8) more" : "")"
    var evidence: [ClaimEvidence] = [
      ClaimEvidence("experts never chosen", value: Double(never.count), unit: "experts", limit: 0, verdict: verdict)
    ]
    if let smallest { evidence.append(smallest) }
    return JudgedClaim(claim: .noExpertIdle, verdict: verdict, reason: reason, evidence: evidence, layers: layers)
  }

  // MARK: - Position, step, class

  /// 1 % of ln E, averaged over routers.
  private var preferenceLimit: Double {
    let logs = counts.routers.values.map { log(Double($0.expertCount)) }
    return logs.isEmpty ? 0 : Self.floor * logs.reduce(0, +) / Double(logs.count)
  }

  private func preference(_ name: String, _ routers: [RouterInformation]) -> ClaimEvidence {
    guard let mean = RouterInformation.mean(routers) else {
      return ClaimEvidence(name, value: nil, unit: "nat", limit: preferenceLimit, verdict: .undecided)
    }
    let interval = mean.information.interval
    return ClaimEvidence(
      name, value: mean.information.effect, unit: "nat", interval: interval, null: mean.null, limit: preferenceLimit,
      verdict: Self.verdict(interval, above: preferenceLimit, p: mean.null.p))
  }

  /// Above the limit with its whole interval, or below it with its whole interval.
  private static func verdict(_ interval: Interval?, above limit: Double, p: Double) -> Verdict {
    guard let interval else { return .undecided }
    if interval.low > limit && p <= level { return .holds }
    return interval.high < limit ? .doesNotHold : .undecided
  }

  private func preferred(_ position: ClaimEvidence, _ step: ClaimEvidence, layers: [ClaimEvidence]) -> JudgedClaim {
    let verdicts = [position.verdict, step.verdict]
    let verdict: Verdict = verdicts.contains(.doesNotHold) ? .doesNotHold : verdicts.contains(.undecided) ? .undecided : .holds
    let reason = [position, step].map { "\($0.name) \(nats($0))" }.joined(separator: ", ") + "; limit \(nats(preferenceLimit))"
    return JudgedClaim(
      claim: .positionAndStepPreferred, verdict: verdict, reason: reason, evidence: [position, step], layers: layers)
  }

  private func ignored(_ own: ClaimEvidence, among others: [ClaimEvidence], layers: [ClaimEvidence]) -> JudgedClaim {
    let preferences = others.filter { $0.verdict == .holds }.compactMap(\.value)
    let limit = preferences.min().map { $0 * Self.ignoredShare } ?? preferenceLimit
    var verdict = Verdict.undecided
    if let interval = own.interval {
      if interval.high < limit { verdict = .holds }
      if interval.low > limit && (own.p ?? 1) <= Self.level { verdict = .doesNotHold }
    }
    var ignored = own
    ignored.name = "class against the others"
    (ignored.limit, ignored.verdict) = (limit, verdict)
    var preferred = own
    preferred.name = "class preferred"
    let against = preferences.isEmpty ? "1 % of ln E" : "a tenth of the smaller preference"
    let reason =
      own.value == nil
      ? "the samples have fewer than two values of the label \(SampleClasses.label)"
      : "class \(nats(own)); \(against) is \(nats(limit))" + fewSamples(hasInterval: own.interval != nil)
    return JudgedClaim(
      claim: .classIgnored, verdict: verdict, reason: reason, evidence: [ignored, preferred], layers: layers)
  }

  /// `; few samples: a class has only 2`, and why there is no interval; empty where there are enough.
  private func fewSamples(hasInterval: Bool) -> String {
    let classes = SampleClasses(SampleClasses.label, samples: counts.samples, sequences: sequences)
    let sizes = classes.cells.values.reduce(into: [Int32: Int]()) { $0[$1, default: 0] += 1 }
    guard let fewest = sizes.values.min(), fewest < Jackknife.minimumSequences else { return "" }
    return "; few samples: a class has only \(fewest)"
      + (hasInterval ? "" : ", and an interval takes \(Jackknife.minimumSequences) samples and 2 a class on average")
  }

  // MARK: - Depth

  private func dispersed(_ position: [RouterInformation]) -> JudgedClaim {
    func judged(_ verdict: Verdict, _ reason: String, _ evidence: ClaimEvidence) -> JudgedClaim {
      JudgedClaim(
        claim: .deeperMoreDispersed, verdict: verdict, reason: reason, evidence: [evidence], layers: byLayer("position", position))
    }
    let name = "correlation of depth and effect"
    guard position.count >= 4 else {
      return judged(
        .undecided, "\(position.count) layers; fewer than 4 cannot be ordered beyond chance",
        ClaimEvidence(name, value: nil, unit: "rank correlation", verdict: .undecided))
    }
    let observed = spearman(position.map { $0.information.effect ?? $0.information.plugIn })
    let orders = RankOrders(count: position.count, seed: settings.seed)
    let p = orders.probability(atMost: observed)
    // Orders read backwards are as many: a rise is as likely as the fall of the same size.
    let rise = orders.probability(atMost: -observed)
    let limit = orders.critical(level: Self.level)
    let verdict: Verdict =
      observed < 0 && p <= Self.level ? .holds : observed > 0 && rise <= Self.level ? .doesNotHold : .undecided
    return judged(
      verdict,
      "rank correlation \(fixedPoint(observed, digits: 2)) over \(position.count) layers, p \(fixedPoint(p, digits: 4))"
        + (observed > 0 ? " (of a rise as large \(fixedPoint(rise, digits: 4)))" : "")
        + "; p = 0.05 needs \(fixedPoint(limit, digits: 2)) or less; no interval: ranks of a few layers move in jumps, which no jackknife measures",
      ClaimEvidence(name, value: observed, unit: "rank correlation", p: p, limit: limit, verdict: verdict))
  }

  // MARK: - Early and late

  private func concentrated() -> JudgedClaim {
    let contrasts = counts.stepContrasts(settings)
    let layers = contrasts.filter { $0.router != nil }.map(evidence)
    guard let all = contrasts.last, all.router == nil else {
      return JudgedClaim(
        claim: .earlyConcentrated, verdict: .undecided,
        reason: "\(counts.layout.stepCount) steps and \(counts.samples.count) samples; 5 steps and a sample are the least",
        evidence: [ClaimEvidence("late minus early", value: nil, unit: "share of ln E", verdict: .undecided)], layers: layers)
    }
    var own = evidence(all)
    own.limit = Self.contrastFloor
    own.verdict = Self.verdict(all.interval, above: Self.contrastFloor, p: all.p)
    let steps = counts.layout.stepCount
    let (early, late) = (UseByStep.early(steps), UseByStep.late(steps))
    let reason =
      "entropy of use \(fixedPoint(all.early, digits: 3)) at steps \(early.lowerBound)-\(early.upperBound - 1), "
      + "\(fixedPoint(all.late, digits: 3)) at steps \(late.lowerBound)-\(late.upperBound - 1) (1 is uniform)"
    return JudgedClaim(
      claim: .earlyConcentrated, verdict: own.verdict ?? .undecided, reason: reason,
      evidence: [
        own, ClaimEvidence("early", value: all.early, unit: "share of ln E"), ClaimEvidence("late", value: all.late, unit: "share of ln E"),
      ], layers: layers)
  }

  private func evidence(_ contrast: StepContrast) -> ClaimEvidence {
    var own = ClaimEvidence(
      "late minus early", router: contrast.router, value: contrast.contrast, unit: "share of ln E", interval: contrast.interval,
      p: contrast.p)
    (own.nullMean, own.nullSD) = (contrast.nullMean, contrast.nullSD)
    return own
  }

  // MARK: - Words

  private func percent(_ share: Double) -> String { fixedPoint(100 * share, digits: 2) + " %" }
  private func nats(_ value: Double) -> String { fixedPoint(value, digits: 4) + " nat" }
  private func nats(_ evidence: ClaimEvidence) -> String {
    guard let value = evidence.value else { return "unknown" }
    let interval = evidence.interval.map { " [\(fixedPoint($0.low, digits: 4)), \(fixedPoint($0.high, digits: 4))]" } ?? ""
    return nats(value) + interval + (evidence.p.map { " p \(fixedPoint($0, digits: 4))" } ?? "")
  }
}
