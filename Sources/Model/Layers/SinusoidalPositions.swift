// Absolute positions as waves: added to the embeddings of a stack before its first block. Padding tokens have no position and do not
// count, as in the reference, which numbers what is not padding.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// - Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, with sines in the first half and cosines in the second.
struct SinusoidalPositionsPlan: Sendable, Hashable {
  /// Its id is also the number before the first position.
  var paddingToken: Int
}

/// Numbers the tokens of one stack of one sequence.
struct SinusoidalPositions {
  private let plan: SinusoidalPositionsPlan
  /// `[width / 2]`: radians a position.
  private let frequencies: [Float]
  private let width: Int
  /// Tokens so far that are not padding.
  private var placed = 0

  init(_ plan: SinusoidalPositionsPlan, width: Int) {
    self.plan = plan
    self.width = width
    let step = Float(log(10_000.0) / Double(width / 2 - 1))
    frequencies = (0..<width / 2).map { exp(Float($0) * -step) }
  }

  mutating func reset() { placed = 0 }

  /// Adds to `stream`, `[tokens.count, width]`.
  mutating func add(to stream: UnsafeMutablePointer<Float>, of tokens: ArraySlice<Int32>) {
    for (row, token) in tokens.enumerated() where Int(token) != plan.paddingToken {
      placed += 1
      let position = Float(placed + plan.paddingToken)
      let out = stream + row * width
      for (i, frequency) in frequencies.enumerated() {
        out[i] += sin(position * frequency)
        out[frequencies.count + i] += cos(position * frequency)
      }
    }
  }
}
