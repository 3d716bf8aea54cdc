// What would the model have made of a sample under other rules? A sample is denoised once as it is, keeping its latent at each step, and then as
// often as one likes under rules, each time from the first step at which anything changes.

import Routing

/// What came of denoising one sample.
public struct ImageReading: Sendable {
  /// One pass a step, one batch per router.
  public var passes: [RoutingPass] = []
  /// `[steps + 1][channels * size * size]`: the latent before each step, and the last one.
  public var latents: [[Float]] = []

  /// Whether a latent has a number that is none.
  public var isBroken: Bool { !latents.allSatisfy { $0.allSatisfy(\.isFinite) } }

  /// Root mean square of the last latent.
  public var rms: Double { Self.rms(latents.last ?? []) }

  /// Rms of the difference of the last latents over the rms of the other's; infinite where that is 0 and the latents differ.
  ///
  /// - Precondition: the same sample.
  public func change(from other: ImageReading) -> Double {
    let difference = Self.rms(zip(latents.last ?? [], other.latents.last ?? []).map { $0 - $1 })
    return difference == 0 ? 0 : difference / other.rms
  }

  private static func rms(_ values: [Float]) -> Double {
    (values.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(max(1, values.count))).squareRoot()
  }
}

/// Denoises the samples of a request with and without rules. Not thread-safe: one value belongs to one thread at a time.
public final class ImageReader {
  public let model: DenoisingModel
  public let request: DenoisingRequest
  public let layout: DenoisingLayout
  private let pass: DenoisingPass
  private let denoiser: Denoiser
  /// Called after every step with the number of those done of the sample; return false to stop.
  public var onProgress: ((Int) -> Bool)?

  /// - Parameters:
  ///   - noise: nil: of the request's seed.
  ///   - threads: nil takes every core.
  public init(_ model: DenoisingModel, _ request: DenoisingRequest, noise: NoiseSource?, threads: Int? = nil) {
    self.model = model
    self.request = request
    pass = DenoisingPass(model, threads: threads)
    denoiser = Denoiser(pass, request, noise: noise)
    layout = denoiser.layout
  }

  public var threadCount: Int { pass.threadCount }

  /// Denoises a sample as it is.
  ///
  /// - Returns: nil when stopped by `onProgress`.
  /// - Throws: `FormatError.changed` when a file of the model lost pages meanwhile.
  public func baseline(_ sample: Int, demand: RoutingDemand) throws -> ImageReading? {
    pass.intervention = nil
    denoiser.begin(sample: sample)
    return try read(ImageReading(), demand: demand)
  }

  /// Denoises the same sample under rules from the same noise. The result is, bit for bit, that of beginning at the first step.
  ///
  /// - Parameter step: before which nothing changes.
  public func variant(
    _ intervention: Intervention, of sample: Int, baseline: ImageReading, from step: Int, demand: RoutingDemand
  ) throws -> ImageReading? {
    pass.intervention = intervention
    defer { pass.intervention = nil }
    denoiser.begin(sample: sample, step: step, latents: baseline.latents[step])
    let known = ImageReading(passes: Array(baseline.passes[..<step]), latents: Array(baseline.latents[..<step]))
    return try read(known, demand: demand)
  }

  private func read(_ known: ImageReading, demand: RoutingDemand) throws -> ImageReading? {
    let collector = PassCollector(demand)
    var reading = known
    var isDone = false
    while !isDone {
      reading.latents.append(denoiser.latents)
      isDone = try denoiser.advance(sink: collector)
      if let onProgress, !onProgress(denoiser.step) { return nil }
    }
    reading.latents.append(denoiser.latents)
    reading.passes += collector.passes
    return reading
  }
}
