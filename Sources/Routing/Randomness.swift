// Seeded randomness for nulls. Own generator and own bounded draw, because a p-value must come out the same on every machine and
// with every version of the standard library.

/// SplitMix64: one 64-bit state, one addition and one mix per number.
///
/// Streams: draw i of a null uses `SplitMix64(seed: seed, stream: i)`, so the draws can be split over cores in any way and stay the
/// same draws.
///
/// - Source: Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators (OOPSLA).
/// - Test: the first numbers of seed 1234567.
public struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64
  private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

  public init(seed: UInt64) { state = seed }

  public init(seed: UInt64, stream: UInt64) {
    state = Self.mix(Self.mix(seed) &+ Self.increment &* (stream &+ 1))
  }

  public mutating func next() -> UInt64 {
    state &+= Self.increment
    return Self.mix(state)
  }

  /// Uniform over `0..<bound`, without modulo bias (multiply and reject).
  /// - Precondition: `bound` > 0.
  public mutating func below(_ bound: Int) -> Int {
    precondition(bound > 0, "empty range")
    let range = UInt64(bound)
    let reject = (0 &- range) % range
    while true {
      let (high, low) = next().multipliedFullWidth(by: range)
      if low >= reject { return Int(high) }
    }
  }

  /// Uniform in `0..<1`, 53 bits.
  public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// Fisher-Yates.
  public mutating func shuffle<Element>(_ elements: inout [Element]) {
    guard elements.count > 1 else { return }
    for last in stride(from: elements.count - 1, to: 0, by: -1) { elements.swapAt(last, below(last + 1)) }
  }

  static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
