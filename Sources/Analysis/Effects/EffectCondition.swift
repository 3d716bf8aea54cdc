// `--fail-if 'difference.p<0.05'` on effects: which numbers a row has, under the keys that its JSON has them, and what a condition says to them.

/// A condition on the rows of an answer about effects.
public struct EffectCondition: Sendable {
  public let condition: NumberCondition

  /// - Throws: `AnalysisError.badCondition`.
  public init(parsing text: String) throws {
    condition = try NumberCondition(parsing: text, what: "key", example: "loss_change>0.01")
    if !RoutingEffect.keys.contains(condition.fullName) {
      throw AnalysisError.badCondition(found: text, expected: "one of the keys \(RoutingEffect.keys.joined(separator: ", "))")
    }
  }

  /// Judges every row. Rows without a control are not asked for numbers of it, unless no row has one.
  ///
  /// - Returns: a line for each row of which the condition is true, and which number is not there; nil when none is missing.
  public func verdict(on effects: [RoutingEffect]) -> (violations: [String], fault: String?) {
    let isOfControl = ["control", "difference"].contains(condition.name)
    let controlled = effects.filter { $0.control.kind != .none }
    var violations: [String] = []
    var missing: [String] = []
    for effect in isOfControl && !controlled.isEmpty ? controlled : effects {
      guard let value = effect.number(condition.fullName), value.isFinite else {
        missing.append(effect.name)
        continue
      }
      if condition.holds(value) {
        violations.append(
          "\(effect.name): \(condition.fullName) \(plainNumber(value)) \(condition.comparison.rawValue) \(condition.limitText)")
      }
    }
    if missing.isEmpty && !effects.isEmpty { return (violations, nil) }
    let shown = effects.isEmpty ? "any rules" : missing.prefix(3).joined(separator: ", ")
    let more = missing.count > 3 ? " and \(missing.count - 3) more" : ""
    return (violations, "\(condition.fullName) of \(shown)\(more) is not there, so '\(condition)' cannot be judged")
  }
}

extension RoutingEffect {
  /// The numbers of a row, as conditions name them.
  static let keys = [
    "touched", "loss_change", "latent_change", "low", "high", "n", "kl", "same_top1", "later_set_agreement", "experts_per_token",
    "control.loss_change", "control.latent_change", "control.low", "control.high", "control.draws", "control.load_ratio",
    "control.unmatched", "difference.loss_change", "difference.latent_change", "difference.low",
    "difference.high", "difference.p", "difference.adjusted_p", "mates.changed_tokens", "mates.changed_tokens_low",
    "mates.changed_tokens_high",
    "mates.changed_top1", "mates.changed_top1_low", "mates.changed_top1_high", "order.changed_tokens", "order.changed_tokens_low",
    "order.changed_tokens_high", "order.changed_top1", "order.changed_top1_low", "order.changed_top1_high",
  ]

  /// Those of them that a row like this one has.
  var ownKeys: [String] {
    let other = measure == .loss ? EffectMeasure.latent.key : EffectMeasure.loss.key
    return Self.keys.filter { key in
      !key.hasSuffix(other) && (!["control.load_ratio", "control.unmatched"].contains(key) || number(key) != nil)
        && (measure == .loss || !["kl", "same_top1"].contains(key))
        && (mates != nil || !key.contains(".changed_"))
    }
  }

  func unit(of key: String) -> String {
    switch key {
    case "touched", "same_top1", "later_set_agreement": "share"
    case "experts_per_token": "experts"
    case "kl": "nat"
    case "n": measure.countedAs
    case "control.draws": "draws"
    case "control.load_ratio": "times"
    case "control.unmatched": "decisions"
    case "difference.p", "difference.adjusted_p": "probability"
    default: key.contains(".changed_") ? "share" : measure.unit
    }
  }

  func number(_ key: String) -> Double? {
    switch key {
    case "touched": touched
    case measure.key: change.value
    case "low": change.interval?.low
    case "high": change.interval?.high
    case "n": Double(texts)
    case "kl": divergence
    case "same_top1": sameTop1
    case "later_set_agreement": laterAgreement
    case "experts_per_token": expertsPerToken
    case "control." + measure.key: controlChange?.value
    case "control.low": controlChange?.interval?.low
    case "control.high": controlChange?.interval?.high
    case "control.draws": control.kind == .none ? nil : Double(control.variants.count)
    case "control.load_ratio": control.loadRatio
    case "control.unmatched": control.kind == .equalSize ? Double(unmatched) : nil
    case "difference." + measure.key: difference?.value
    case "difference.low": difference?.interval?.low
    case "difference.high": difference?.interval?.high
    case "difference.p": p
    case "difference.adjusted_p": adjustedP
    default:
      if key.hasPrefix("mates.") {
        mates?.number(String(key.dropFirst("mates.".count)))
      } else if key.hasPrefix("order.") {
        order?.number(String(key.dropFirst("order.".count)))
      } else {
        nil
      }
    }
  }
}

extension BatchEffect {
  fileprivate func number(_ key: String) -> Double? {
    switch key {
    case "changed_tokens": changedTokens.value
    case "changed_tokens_low": changedTokens.interval?.low
    case "changed_tokens_high": changedTokens.interval?.high
    case "changed_top1": changedTop1.value
    case "changed_top1_low": changedTop1.interval?.low
    case "changed_top1_high": changedTop1.interval?.high
    default: nil
    }
  }
}
