// Chooses the next token from logits. Deterministic for a given seed on every machine: the generator is seeded, and candidates are
// ordered by falling logit with ties to the lower id.

import CKernels
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// How to sample.
public struct SamplingSettings: Sendable, Equatable, CustomStringConvertible {
  /// 0: greedy.
  public var temperature: Float
  /// Keep the best `topK` tokens; nil keeps all.
  public var topK: Int?
  /// Keep the smallest set of best tokens that holds this probability; 1 keeps all.
  public var topP: Float
  public var seed: UInt64

  public init(temperature: Float = 0, topK: Int? = nil, topP: Float = 1, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.seed = seed
  }

  public var description: String {
    if temperature == 0 { return "greedy" }
    var parts = ["temperature \(temperature)"]
    if let topK { parts.append("top-k \(topK)") }
    if topP < 1 { parts.append("top-p \(topP)") }
    return (parts + ["seed \(seed)"]).joined(separator: " ")
  }

  /// - Throws: `ModelError.badOption`.
  public func validate() throws {
    if !(temperature >= 0 && temperature.isFinite) {
      throw ModelError.badOption(name: "--temperature", expected: "a number of at least 0", found: "\(temperature)")
    }
    if let topK, topK < 1 { throw ModelError.badOption(name: "--top-k", expected: "at least 1", found: "\(topK)") }
    if !(topP > 0 && topP <= 1) { throw ModelError.badOption(name: "--top-p", expected: "above 0, at most 1", found: "\(topP)") }
  }
}

/// One candidate for the next token.
public struct TokenCandidate: Sendable, Equatable {
  public var token: Int32
  /// Under the model's own distribution (temperature 1, nothing cut).
  public var probability: Float
}

/// What was drawn, and from what.
public struct TokenDraw: Sendable {
  public var token: Int32
  /// -ln of the token's probability under the model's own distribution, nats.
  public var surprisal: Float
  /// 1: the most probable token.
  public var rank: Int
  /// Entropy of the model's own distribution, nats.
  public var entropy: Float
  /// The most probable tokens, by falling probability.
  public var candidates: [TokenCandidate]
}

public struct Sampler: Sendable {
  public let settings: SamplingSettings
  private var generator: SplitMix64
  /// How many candidates a draw reports.
  private static let reported = 10

  public init(_ settings: SamplingSettings) {
    self.settings = settings
    generator = SplitMix64(seed: settings.seed)
  }

  /// - Parameter logits: `[vocabularySize]`
  /// - Returns: nil when one of them is not finite: there is nothing to draw from.
  public mutating func draw(_ logits: UnsafeBufferPointer<Float>) -> TokenDraw? {
    guard let base = logits.baseAddress else { preconditionFailure("a vocabulary has tokens") }
    var summary = mt_logits_summary()
    mt_logits_summary_of(&summary, base, logits.count, .max)
    guard summary.is_finite != 0 else { return nil }
    let best = Self.best(logits, count: Self.reported)
    let token = settings.temperature == 0 ? best[0] : pick(logits, peak: summary.max)
    let surprisal = { (id: Int) in Float(Double(summary.log_sum_exp) - Double(logits[id])) }
    return TokenDraw(
      token: Int32(token), surprisal: surprisal(token), rank: 1 + logits.indices.count { Self.precedes(logits, $0, token) },
      entropy: summary.entropy, candidates: best.map { TokenCandidate(token: Int32($0), probability: exp(-surprisal($0))) })
  }

  /// A token drawn at the set temperature from what top-k and top-p leave. Only a cut needs the tokens in order.
  private mutating func pick(_ logits: UnsafeBufferPointer<Float>, peak: Float) -> Int {
    let ids: [Int]? = settings.topK != nil || settings.topP < 1 ? Self.best(logits, count: settings.topK ?? logits.count) : nil
    let exponents = (ids ?? Array(logits.indices)).map { (logits[$0] - peak) / settings.temperature }
    let weights = [Float](unsafeUninitializedCapacity: exponents.count) { buffer, count in
      if let out = buffer.baseAddress { mt_exp(out, exponents, exponents.count) }
      count = exponents.count
    }
    var total = 0.0
    var cumulative = weights.map { weight in
      total += Double(weight)
      return total
    }
    if settings.topP < 1, let end = cumulative.firstIndex(where: { $0 >= Double(settings.topP) * total }) {
      cumulative.removeLast(cumulative.count - 1 - end)
    }
    let point = generator.unit() * (cumulative.last ?? 0)
    let place = cumulative.firstIndex { $0 > point } ?? cumulative.count - 1
    return ids.map { $0[place] } ?? place
  }

  private static func precedes(_ logits: UnsafeBufferPointer<Float>, _ a: Int, _ b: Int) -> Bool {
    logits[a] != logits[b] ? logits[a] > logits[b] : a < b
  }

  /// Ids of the best `count` logits, falling, ties to the lower id.
  private static func best(_ logits: UnsafeBufferPointer<Float>, count: Int) -> [Int] {
    if count > 64 { return Array(logits.indices.sorted { precedes(logits, $0, $1) }.prefix(count)) }
    var best: [Int] = []
    for id in logits.indices {
      if best.count == count, let last = best.last, logits[id] <= logits[last] { continue }
      let place = best.firstIndex { precedes(logits, id, $0) } ?? best.count
      best.insert(id, at: place)
      if best.count > count { best.removeLast() }
    }
    return best
  }
}
