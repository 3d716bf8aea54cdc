// By which angles are queries and keys turned? Frequencies as the reference computes them, for every way of stretching a context that
// published checkpoints use, and tables of cosines and sines that grow with the sequence.
// Source: Su et al. 2021, arXiv:2104.09864; Peng et al. 2023, arXiv:2309.00071 (yarn); Ding et al. 2024, arXiv:2402.13753 (longrope).

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Rotary position encoding.
struct RotaryPlan: Sendable, Hashable {
  enum Scaling: Sendable, Hashable {
    case none
    /// Positions divided by a factor.
    case linear(factor: Double)
    /// High frequencies as they are, low ones divided by the factor, a ramp between.
    case yarn(factor: Double, originalContext: Int, betaFast: Double, betaSlow: Double, truncates: Bool)
    /// Llama 3: by wavelength relative to the original context.
    case llama3(factor: Double, lowFactor: Double, highFactor: Double, originalContext: Int)
    /// Only the first pairs turn, by frequencies of the whole size.
    case proportional(pairs: Int)
    /// A divisor for each frequency: one list for sequences within the original context, one for longer ones.
    case longRope(short: [Double], long: [Double], originalContext: Int)
  }

  var base: Double
  /// Elements of each head that turn; the rest passes through.
  var rotatedSize: Int
  /// The size that exponents are shares of, where it is not `rotatedSize`: a share of the head that is no even number.
  var exponentSize: Int?
  /// Neighbours turn together; else element i turns with element i + rotatedSize / 2.
  var isInterleaved = false
  var scaling = Scaling.none
  /// Factor on cosines and sines.
  var magnitude: Float = 1
  /// longrope: the factor of sequences beyond the original context.
  var longMagnitude: Float?

  /// Angle of each pair at position 1, f32. Shape: `[rotatedSize / 2]`.
  ///
  /// - Parameter length: tokens the sequence will have, where the scaling depends on it.
  func frequencies(length: Int) -> [Float] {
    let size = Float(exponentSize ?? rotatedSize)
    let plain = (0..<rotatedSize / 2).map { i in 1 / Float(pow(base, Double(Float(2 * i) / size))) }
    switch scaling {
    case .none: return plain
    case .proportional(let pairs): return plain.enumerated().map { $0 < pairs ? $1 : 0 }
    case .linear(let factor): return plain.map { $0 / Float(factor) }
    case .yarn(let factor, let original, let betaFast, let betaSlow, let truncates):
      func dimension(_ rotations: Double) -> Double {
        Double(rotatedSize) * log(Double(original) / (rotations * 2 * .pi)) / (2 * log(base))
      }
      var low = dimension(betaFast)
      var high = dimension(betaSlow)
      if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
      low = max(low, 0)
      high = min(high, Double(rotatedSize - 1))
      if low == high { high += 0.001 }
      return plain.enumerated().map { i, frequency in
        let ramp = min(max((Float(i) - Float(low)) / Float(high - low), 0), 1)
        let extrapolated = 1 - ramp
        return frequency / Float(factor) * (1 - extrapolated) + frequency * extrapolated
      }
    case .llama3(let factor, let lowFactor, let highFactor, let original):
      return plain.map { frequency in
        let wavelength = 2 * Float.pi / frequency
        if wavelength < Float(Double(original) / highFactor) { return frequency }
        if wavelength > Float(Double(original) / lowFactor) { return frequency / Float(factor) }
        let smooth = (Float(original) / wavelength - Float(lowFactor)) / Float(highFactor - lowFactor)
        return (1 - smooth) * frequency / Float(factor) + smooth * frequency
      }
    case .longRope(let short, let long, let original):
      let divisors = length > original ? long : short
      return zip(divisors, 0..<rotatedSize / 2).map { divisor, i in
        1 / (Float(divisor) * Float(pow(base, Double(Float(2 * i) / size))))
      }
    }
  }

  /// The length beyond which a sequence is turned otherwise; nil: every length is turned alike.
  var border: Int? {
    guard case .longRope(let short, let long, let original) = scaling else { return nil }
    return short == long && (longMagnitude ?? magnitude) == magnitude ? nil : original
  }

  func magnitude(length: Int) -> Float {
    if case .longRope(_, _, let original) = scaling, length > original { return longMagnitude ?? magnitude }
    return magnitude
  }
}

/// Tables of the rotary plans a model uses, filled on first use.
final class RotaryTables {
  private var tables: [RotaryPlan: RotaryTable] = [:]
  /// Tokens the sequence at hand is known to have; scalings that depend on the length look here.
  private(set) var length = 0

  /// A new sequence.
  func begin(length: Int) {
    if length != self.length { tables = tables.filter { if case .longRope = $0.key.scaling { false } else { true } } }
    self.length = length
  }

  /// How many tokens the sequence can have before all of it would have to be turned otherwise; nil: any number.
  var border: Int? { tables.keys.compactMap(\.border).filter { length <= $0 }.min() }

  /// The table of a plan with room for so many positions.
  func table(_ plan: RotaryPlan, positions: Int) -> RotaryTable {
    let table = tables[plan] ?? RotaryTable(plan, length: length)
    tables[plan] = table
    table.reserve(positions)
    return table
  }
}

/// Cosines and sines of one plan, `[position, rotatedSize / 2]` each: angle = position * frequency in f32.
final class RotaryTable {
  let plan: RotaryPlan
  private let frequencies: [Float]
  private let magnitude: Float
  private var cosines: [Float] = []
  private var sines: [Float] = []
  /// Sines of the angles the other way round; made with the first turn back.
  private var backSines: [Float] = []

  init(_ plan: RotaryPlan, length: Int) {
    self.plan = plan
    frequencies = plan.frequencies(length: length)
    magnitude = plan.magnitude(length: length)
  }

  func reserve(_ positions: Int) {
    let half = frequencies.count
    let have = half == 0 ? positions : cosines.count / half
    guard positions > have else { return }
    for position in have..<max(positions, 2 * have) {
      for frequency in frequencies {
        let angle = Float(position) * frequency
        cosines.append(cos(angle) * magnitude)
        sines.append(sin(angle) * magnitude)
      }
    }
  }

  /// Turns the first elements of each head in place.
  ///
  /// - Shape: token t's head h begins at `x + t * tokenStride + h * headStride`.
  /// - Parameter isBackwards: by the negative angles.
  /// - Precondition: `position + count` positions are reserved.
  func turn(
    _ pool: WorkerPool, _ x: UnsafeMutablePointer<Float>, tokenStride: Int, heads: Int, headStride: Int, position: Int, count: Int,
    isBackwards: Bool = false
  ) {
    let half = frequencies.count
    if isBackwards { backSines += sines[backSines.count...].map { -$0 } }
    cosines.withUnsafeBufferPointer { cosines in
      (isBackwards ? backSines : sines).withUnsafeBufferPointer { sines in
        guard let cosines = cosines.baseAddress, let sines = sines.baseAddress else { return }
        pool.forEachRow(of: count, cost: 2 * heads * half) { rows in
          for row in rows {
            let angles = (position + row) * half
            mt_rope(
              x + row * tokenStride, heads, headStride, 2 * half, cosines + angles, sines + angles, plan.isInterleaved)
          }
        }
      }
    }
  }
}
