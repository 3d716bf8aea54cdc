// Where the noise of a run comes from: a seed, whose numbers are the same on every machine and whatever shares a pass; or a file, so that
// another program's run can be repeated to the last bit of its noise.

import Formats
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Standard normal numbers for the samples of a run.
public enum NoiseSource: Sendable {
  /// Each sample and step has a stream of its own.
  case seeded(UInt64)
  case given(GivenNoise)

  /// `[count]`: where a sample begins.
  func initial(sample: Int, count: Int) -> [Float] {
    switch self {
    case .seeded(let seed): Self.normal(count, SplitMix64(seed: seed, stream: UInt64(sample) << 20))
    case .given(let noise): Array(noise.initial[sample * count..<(sample + 1) * count])
    }
  }

  /// `[count]`: what is added to a sample after a step.
  func between(sample: Int, step: Int, count: Int) -> [Float] {
    switch self {
    case .seeded(let seed): return Self.normal(count, SplitMix64(seed: seed, stream: UInt64(sample) << 20 + UInt64(step) + 1))
    case .given(let noise):
      let first = (step * noise.samples + sample) * count
      return Array(noise.steps[first..<first + count])
    }
  }

  /// Box and Muller's pairs.
  private static func normal(_ count: Int, _ generator: SplitMix64) -> [Float] {
    var generator = generator
    return [Float](unsafeUninitializedCapacity: count) { buffer, filled in
      for i in stride(from: 0, to: count, by: 2) {
        let radius = (-2 * log(1 - generator.unit())).squareRoot()
        let angle = 2 * Double.pi * generator.unit()
        buffer[i] = Float(radius * cos(angle))
        if i + 1 < count { buffer[i + 1] = Float(radius * sin(angle)) }
      }
      filled = count
    }
  }
}

/// The noise of a file: `initial` f32 `[samples, channels, size, size]` and, where the rule adds noise, `step` f32
/// `[steps, samples, channels, size, size]`, step in order of execution.
public struct GivenNoise: Sendable {
  let initial: [Float]
  let steps: [Float]
  public let samples: Int

  /// - Throws: `FormatError` for a damaged file, `ModelError` for tensors that do not fit the request.
  public init(_ file: SafetensorsFile, for request: DenoisingRequest, of model: DenoisingModel) throws {
    let plane = [model.channels, model.inputSize, model.inputSize]
    samples = request.classes.count
    initial = try Self.values(file, "initial", [samples] + plane, because: "the samples of the run and the model's latent")
    if case .ddpm = request.rule {
      steps = try Self.values(
        file, "step", [request.steps, samples] + plane, because: "the steps and samples of the run and the model's latent")
    } else {
      steps = []
    }
  }

  private static func values(_ file: SafetensorsFile, _ name: String, _ shape: [Int], because: String) throws -> [Float] {
    guard let view = file[name] else { throw ModelError.missingTensor(file: file.path, name: name) }
    guard view.shape == shape else {
      throw ModelError.tensorShape(file: file.path, name: name, expected: shape, found: view.shape, because: because)
    }
    return try view.floats()
  }
}
