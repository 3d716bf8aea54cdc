// Chooses the next token from logits. Deterministic for a given seed on every machine: the generator is seeded, and candidates are
// ordered by falling logit with ties to the lower id.

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

  /// - Parameter logits: `[vocabularySize]`, finite.
  public mutating func draw(_ logits: UnsafeBufferPointer<Float>) -> TokenDraw {
    let order = Self.best(logits, count: settings.temperature == 0 ? Self.reported : logits.count)
    let peak = logits[order[0]]
    var sum = 0.0
    var weighted = 0.0
    for logit in logits {
      let e = exp(Double(logit - peak))
      sum += e
      weighted += e * Double(logit - peak)
    }
    let logSum = log(sum)
    let choice = settings.temperature == 0 ? 0 : pick(logits, order)
    let token = order[choice]
    return TokenDraw(
      token: Int32(token), surprisal: Float(logSum - Double(logits[token] - peak)), rank: choice + 1,
      entropy: Float(logSum - weighted / sum),
      candidates: order.prefix(Self.reported).map {
        TokenCandidate(token: Int32($0), probability: Float(exp(Double(logits[$0] - peak) - logSum)))
      })
  }

  /// Index into `order` of a token drawn at the set temperature from what top-k and top-p leave.
  private mutating func pick(_ logits: UnsafeBufferPointer<Float>, _ order: [Int]) -> Int {
    let kept = order.prefix(settings.topK ?? order.count)
    let peak = logits[order[0]]
    var cumulative: [Double] = []
    cumulative.reserveCapacity(kept.count)
    var sum = 0.0
    for token in kept {
      sum += exp(Double((logits[token] - peak) / settings.temperature))
      cumulative.append(sum)
    }
    let limit = Double(settings.topP) * sum
    let nucleus = (cumulative.firstIndex { $0 >= limit } ?? cumulative.count - 1) + 1
    let point = generator.unit() * cumulative[nucleus - 1]
    return cumulative[..<nucleus].firstIndex { $0 > point } ?? nucleus - 1
  }

  /// Ids of the best `count` logits, falling, ties to the lower id.
  private static func best(_ logits: UnsafeBufferPointer<Float>, count: Int) -> [Int] {
    func precedes(_ a: Int, _ b: Int) -> Bool { logits[a] != logits[b] ? logits[a] > logits[b] : a < b }
    if count >= logits.count { return logits.indices.sorted(by: precedes) }
    var best: [Int] = []
    for id in logits.indices {
      if best.count == count, let last = best.last, !precedes(id, last) { continue }
      let place = best.firstIndex { precedes(id, $0) } ?? best.count
      best.insert(id, at: place)
      if best.count > count { best.removeLast() }
    }
    return best
  }
}
