// How much noise is in a sample at each step of a diffusion process, and what a step back takes of it.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The variances of a diffusion process, thinned out to the steps that sampling takes.
///
/// All sums are f64, as in the published samplers; a step's coefficients are rounded to f32 when they are used.
///
/// - Source: Ho et al. 2020, arXiv:2006.11239 (posterior); Nichol and Dhariwal 2021, arXiv:2102.09672 (cosine schedule, respacing).
/// - Test: 1000 steps of which 1000 are taken have betas from 1e-4 to 0.02; of 250 the first timestep is 999, the last 0.
public struct NoiseSchedule: Sendable {
  public enum Kind: String, Sendable, Codable { case linear, cosine }

  /// What a step needs.
  struct Step: Sendable {
    /// The model's own t.
    var timestep: Float
    /// The image the model means: `imageOfSample * x - imageOfNoise * noise`.
    var imageOfSample: Float
    var imageOfNoise: Float
    /// Mean of the next sample: `meanOfImage * image + meanOfSample * x`.
    var meanOfImage: Float
    var meanOfSample: Float
    /// Bounds of the logarithm of its variance.
    var logVarianceLow: Float
    var logVarianceHigh: Float
  }

  /// In order of execution: the noisiest first.
  let steps: [Step]

  /// - Parameter stepCount: 1 to `trainedSteps`: how many are taken, evenly spaced, the first and the last among them.
  init(_ kind: Kind, trainedSteps: Int, stepCount: Int) {
    precondition(stepCount >= 1 && stepCount <= trainedSteps, "more steps than the schedule has")
    var kept: [(timestep: Int, remaining: Double)] = []
    let taken = Set(Self.timesteps(stepCount, of: trainedSteps))
    var remaining = 1.0
    for (t, beta) in Self.betas(kind, trainedSteps).enumerated() {
      remaining *= 1 - beta
      if taken.contains(t) { kept.append((t, remaining)) }
    }
    let previous = [1.0] + kept.dropLast().map(\.remaining)
    let betas = zip(kept, previous).map { 1 - $0.remaining / $1 }
    let variances = kept.indices.map { betas[$0] * (1 - previous[$0]) / (1 - kept[$0].remaining) }
    steps = kept.indices.reversed().map { i in
      let left = kept[i].remaining
      // The variance of the last step is 0; its neighbour's stands in, so that the logarithm exists.
      let low = i == 0 ? (variances.count > 1 ? variances[1] : 0) : variances[i]
      return Step(
        timestep: Float(kept[i].timestep), imageOfSample: Float((1 / left).squareRoot()),
        imageOfNoise: Float((1 / left - 1).squareRoot()),
        meanOfImage: Float(betas[i] * previous[i].squareRoot() / (1 - left)),
        meanOfSample: Float((1 - previous[i]) * (1 - betas[i]).squareRoot() / (1 - left)), logVarianceLow: Float(log(low)),
        logVarianceHigh: Float(log(betas[i])))
    }
  }

  private static func betas(_ kind: Kind, _ count: Int) -> [Double] {
    switch kind {
    case .linear:
      let scale = 1000 / Double(count)
      let (low, high) = (scale * 0.0001, scale * 0.02)
      return (0..<count).map { count == 1 ? low : low + (high - low) * Double($0) / Double(count - 1) }
    case .cosine:
      func remaining(_ t: Double) -> Double {
        let cosine = cos((t + 0.008) / 1.008 * .pi / 2)
        return cosine * cosine
      }
      return (0..<count).map { min(1 - remaining(Double($0 + 1) / Double(count)) / remaining(Double($0) / Double(count)), 0.999) }
    }
  }

  /// Rising.
  private static func timesteps(_ count: Int, of total: Int) -> [Int] {
    guard count > 1 else { return [0] }
    let stride = Double(total - 1) / Double(count - 1)
    var place = 0.0
    return (0..<count).map { _ in
      defer { place += stride }
      return Int(place.rounded(.toNearestOrEven))
    }
  }
}
