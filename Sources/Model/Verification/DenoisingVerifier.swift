// Does this engine denoise as the reference does? Repeats a reference's run from its own noise and compares every decision and latent.

import Formats
import Routing

/// Compares a denoising run with expected tensors.
public struct DenoisingVerifier {
  private let pass: DenoisingPass

  public init(_ model: DenoisingModel, threads: Int? = nil) { pass = DenoisingPass(model, threads: threads) }

  /// Runs what the expected file says it was made by (`run` of its metadata: sampler, steps, cfg, classes, schedule) from given noise.
  ///
  /// - Parameter batch: samples that share a pass; the result must not depend on it.
  /// - Throws: `ModelError` for a request that the model cannot serve or noise of the wrong shape, `FormatError` for a damaged file.
  public func verify(noise: SafetensorsFile, against expected: SafetensorsFile, batch: Int = 1) throws -> VerificationReport {
    let run = try ReferenceRun(expected)
    let request = try DenoisingRequest(
      pass.model, classes: run.classes, rule: run.rule, steps: run.steps, guidance: run.guidance, batch: batch)
    let denoiser = Denoiser(pass, request, noise: .given(try GivenNoise(noise, for: request, of: pass.model)))
    let capture = VerificationCapture(wanted: Set(expected.tensors.map(\.name)), finalHidden: nil)
    let place = Self.place(samples: run.classes.count, batch: batch, denoiser.layout)
    let ties = try TieRulings(expected, routers: pass.model.routers, place: place)
    pass.review = ties
    defer { pass.review = nil }
    let listener = DenoisingListener()
    while !denoiser.isFinished {
      let ended = try denoiser.advance(sink: listener)
      denoiser.latents.withUnsafeBufferPointer {
        capture.append("latent.\(denoiser.step - 1)", $0)
        if ended { capture.append("latent", $0) }
      }
    }
    listener.deliver(to: capture, layout: denoiser.layout)
    let model = pass.model
    var comparison = Comparison(
      expected: expected, capture: capture, routers: model.routers,
      rowShapes: ["latent": [model.channels, model.inputSize, model.inputSize]], ties: ties)
    for (name, numbers) in Self.coordinates(samples: run.classes.count, denoiser.layout) {
      try comparison.compareIntegers(name, numbers, unit: "rows")
    }
    try comparison.compareRouting()
    try comparison.compareActivations()
    try expected.requireWhole()
    return comparison.report
  }

  /// Which row is which, in the order of expected files: by sample, step, branch and patch.
  private static func coordinates(samples: Int, _ layout: DenoisingLayout) -> [(String, [Int32])] {
    let rows = layout.rowsPerSample
    func all(_ number: (Int) -> Int) -> [Int32] { (0..<samples * rows).map { Int32(truncatingIfNeeded: number($0)) } }
    return [
      ("sample", all { $0 / rows }), ("step", all { layout.place(at: $0 % rows).step }),
      ("branch", all { layout.place(at: $0 % rows).branch }), ("patch", all { $0 % layout.patchCount }),
    ]
  }

  /// The row of an expected file, which goes sample by sample, for a row of a run, where samples of a group take their steps together.
  static func place(samples: Int, batch: Int, _ layout: DenoisingLayout) -> (Int) -> Int {
    let turn = layout.branchCount * layout.patchCount
    let rows = layout.timesteps.count * turn
    return { row in
      let first = row / (batch * rows) * batch
      let members = min(batch, samples - first)
      let (step, rest) = (row - first * rows).quotientAndRemainder(dividingBy: members * turn)
      return (first + rest / turn) * rows + step * turn + rest % turn
    }
  }
}

/// How an expected file was made.
private struct ReferenceRun {
  var rule: SamplingRule
  var steps: Int
  var guidance: Float?
  var classes: [Int]

  init(_ file: SafetensorsFile) throws {
    guard let text = file.metadata.first(where: { $0.key == "run" })?.value else {
      throw ModelError.configuration(
        file: file.path, key: "run in the metadata", expected: "sampler, steps, cfg and classes of the run", found: "nothing")
    }
    let root = try JSON.parse(text: text, name: "\(file.path): run")
    let sampler = try root.string("sampler")
    let name = try root.stringIfPresent("schedule") == "cosine" ? "\(sampler)-cosine" : sampler
    guard let rule = SamplingRule(name: name) else {
      throw ModelError.configuration(file: file.path, key: "run: sampler", expected: SamplingRule.names, found: name)
    }
    self.rule = rule
    steps = try root.integer("steps", in: 1...100_000)
    guidance = root["cfg"]?.double.flatMap { $0 == 1 ? nil : Float($0) }
    classes = try root.array("classes").map { try $0.requireInteger(in: 0...Int(Int32.max)) }
  }
}

/// Keeps decisions until all are there: samples that share a pass arrive interleaved, expected files go sample by sample.
private final class DenoisingListener: RoutingSink {
  let demand = RoutingDemand(logitsEvery: 1)
  private var passes: [RoutingPass] = []

  func receive(_ pass: RoutingPass) { passes.append(pass) }

  func deliver(to capture: VerificationCapture, layout: DenoisingLayout) {
    var parts: [(sequence: Int32, position: Int32, batches: [RoutingBatch])] = []
    for pass in passes {
      for start in stride(from: 0, to: pass.tokens.count, by: layout.patchCount) {
        let rows = start..<start + layout.patchCount
        parts.append((pass.tokens.sequence[start], pass.tokens.position[start], pass.batches.map { $0.slice(rows) }))
      }
    }
    for part in parts.sorted(by: { ($0.sequence, $0.position) < ($1.sequence, $1.position) }) {
      capture.add(part.batches)
      let step = layout.place(at: Int(part.position)).step
      let timesteps = Array(repeating: layout.timesteps[step], count: layout.patchCount)
      timesteps.withUnsafeBufferPointer { capture.append("timestep", $0) }
    }
  }
}
