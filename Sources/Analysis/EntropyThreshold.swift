// When is a token uncertain? The user owns the threshold and may give it in three units; here it is read, and resolved against a run.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// H* as the user writes it: `1.6nat`, `0.92` (share of ln E) or `q0.95` (quantile of the run).
public enum EntropyThreshold: Sendable, Hashable, CustomStringConvertible {
  /// The same number of nats at every router, as GW-MoE has it.
  case nats(Double)
  /// The same share of ln E at every router.
  case share(Double)
  /// The quantile of the normalised entropies of all decisions of the run, all routers pooled. Normalised, because routers of
  /// different E reach different entropies; pooled, so that layers can be compared: with one threshold a layer in which every token
  /// hesitates shows 100 %, with a threshold of its own it would show 5 % like all others.
  case quantile(Double)

  public static let standard = EntropyThreshold.quantile(0.95)

  /// - Throws: `AnalysisError.badThreshold`.
  public init(parsing text: String) throws {
    func number(_ part: Substring) -> Double? {
      let plain = part.allSatisfy { $0.isASCII && ($0.isNumber || $0 == "." || $0 == "e" || $0 == "-") }
      return plain ? Double(part) : nil
    }
    let value: EntropyThreshold?
    if text.hasSuffix("nat") {
      value = number(text.dropLast(3)).flatMap { $0.isFinite && $0 >= 0 ? .nats($0) : nil }
    } else if text.hasPrefix("q") {
      value = number(text.dropFirst()).flatMap { $0 > 0 && $0 < 1 ? .quantile($0) : nil }
    } else {
      value = number(text[...]).flatMap { $0 > 0 && $0 <= 1 ? .share($0) : nil }
    }
    guard let value else { throw AnalysisError.badThreshold(found: text) }
    self = value
  }

  /// No entropy exceeds ln E; what no decision can reach is a slip.
  ///
  /// - Parameters:
  ///   - experts: of the largest router that is looked at.
  ///   - field: what the user calls the threshold.
  /// - Throws: `AnalysisError.invalidPlan` with the largest number there is.
  public func validate(experts: Int, field: String) throws {
    guard case .nats(let nats) = self, experts > 0 else { return }
    let most = log(Double(experts))
    // ln E as a user has it from a page or from this message, with six digits, is meant.
    guard nats > most + 1e-6 else { return }
    let shown = fixedPoint(most, digits: nats - most < 0.001 ? 6 : 3)
    throw AnalysisError.invalidPlan(field: field, expected: "at most \(shown) nat (ln \(experts))", found: "\(self)")
  }

  public var description: String {
    switch self {
    case .nats(let value): "\(plainNumber(value))nat"
    case .share(let value): plainNumber(value)
    case .quantile(let value): "q\(plainNumber(value))"
    }
  }
}

/// A threshold that needs no further look at the run.
public struct ResolvedThreshold: Sendable, Hashable {
  public enum Level: Sendable, Hashable {
    case nats(Double)
    case share(Double)
  }

  public let level: Level
  /// What the user asked for.
  public let asked: EntropyThreshold
  /// False: a quantile was asked for of decisions of which not one has an entropy, so there is none; `level` is 1 then.
  public let isKnown: Bool

  /// - Parameter entropies: normalised entropies of the run; only read for a quantile.
  public init(_ threshold: EntropyThreshold, entropies: Histogram) {
    asked = threshold
    isKnown = !threshold.isQuantile || entropies.count > 0
    switch threshold {
    case .nats(let value): level = .nats(value)
    case .share(let value): level = .share(value)
    case .quantile(let q): level = .share(entropies.lowerEdge(ofQuantile: q) ?? 1)
    }
  }

  /// Nil when `threshold` is a quantile, which needs the run.
  public init?(_ threshold: EntropyThreshold) {
    if case .quantile = threshold { return nil }
    self.init(threshold, entropies: Histogram())
  }

  public func nats(experts: Int) -> Double {
    switch level {
    case .nats(let value): value
    case .share(let value): value * log(Double(experts))
    }
  }

  /// Nil for a router with one expert, which is never uncertain.
  public func share(experts: Int) -> Double? {
    switch level {
    case .nats(let value): experts > 1 ? value / log(Double(experts)) : nil
    case .share(let value): value
    }
  }

  /// Whether H >= H*. False for NaN and for a router with one expert.
  /// - Parameters:
  ///   - nats: router entropy of the decision.
  ///   - normalized: the same divided by ln E, from `normalizedEntropy(_:experts:)`.
  public func isUncertain(nats: Float, normalized: Float) -> Bool {
    switch level {
    case .nats(let value): !normalized.isNaN && Double(nats) >= value
    case .share(let value): Double(normalized) >= value
    }
  }
}

/// Which entropy is meant.
public enum EntropyForm: String, Sendable, Hashable, Codable, CaseIterable {
  /// -sum p ln p over the router's distribution, as recorded.
  case standard
  /// -sum p ln(p + 1e-5) over the softmax of all logits, as GW-MoE's released code has it; needs recorded logits, and only decisions
  /// that have them are counted. A one-hot router gives -0.00001.
  /// - Source: WaitHZ/GW-MoE, `calc_entropy`; Wu et al. 2024, arXiv:2406.12375.
  case gwMoE = "gw-moe"

  var needsLogits: Bool {
    switch self {
    case .standard: false
    case .gwMoE: true
    }
  }

  /// `[batch.count]`: entropy in nats; NaN where this form cannot be had.
  func entropies(of batch: RoutingBatch) -> [Float] {
    guard self == .gwMoE else { return batch.routerEntropy }
    var result = Array(repeating: Float.nan, count: batch.count)
    guard let logits = batch.logits else { return result }
    let experts = batch.expertCount
    // Where the router chose nothing its logits have no entropy in this form either.
    for (index, row) in logits.rows.enumerated() where Int(row) < batch.count && !batch.isLookedUp(Int(row)) {
      result[Int(row)] = Self.gwMoEEntropy(logits: logits.values[index * experts..<(index + 1) * experts])
    }
    return result
  }

  /// - Test: equal logits of 8 experts give 2.07936; a one-hot router gives -1.0e-5.
  static func gwMoEEntropy(logits: ArraySlice<Float>) -> Float {
    guard let probabilities = RouterDistribution.softmax(logits) else { return .nan }
    return Float(probabilities.reduce(0.0) { $0 - $1 * log($1 + 1e-5) })
  }
}
