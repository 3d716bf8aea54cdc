// From noise to images, step by step: the loop that asks the model, mixes its two branches, and moves the samples. Routing goes to a
// sink after every step; images can be looked at between steps.

import CKernels
import Formats
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What is to be denoised, and how.
public struct DenoisingRequest: Sendable {
  /// Class of each sample.
  public var classes: [Int]
  public var rule: SamplingRule
  public var steps: Int
  /// Factor of classifier-free guidance; nil: no second branch.
  public var guidance: Float?
  public var seed: UInt64
  /// Samples that share a pass: a matter of speed and memory only.
  public var batch: Int

  /// - Parameters:
  ///   - rule, steps: nil takes what the checkpoint says.
  ///   - guidance: nil for none; `DenoisingModel.usualGuidance` when nobody said.
  ///   - batch: nil lets patches of about 2,048 rows share a pass.
  public init(
    _ model: DenoisingModel, classes: [Int], rule: SamplingRule? = nil, steps: Int? = nil, guidance: Float?, seed: UInt64 = 0,
    batch: Int? = nil
  ) throws {
    self.classes = classes
    self.rule = rule ?? model.plan.sampling.rule
    self.steps = steps ?? (self.rule == model.plan.sampling.rule ? model.plan.sampling.steps : 50)
    self.guidance = guidance
    self.seed = seed
    self.batch = batch ?? max(1, 2048 / (model.plan.patchCount * (guidance == nil ? 1 : 2)))
    if guidance != nil && !model.hasNullClass {
      throw ModelError.badOption(name: "--cfg", expected: "1: the model knows no second branch", found: "\(guidance ?? 1)")
    }
    for label in classes where label < 0 || label >= model.classCount {
      throw ModelError.badOption(name: "--class", expected: "0 to \(model.classCount - 1)", found: "\(label)")
    }
    if case .ddpm = self.rule {
      guard model.plan.predictsVariance else {
        throw ModelError.badOption(name: "--sampler", expected: "rectified-flow: the model predicts no variance", found: self.rule.name)
      }
      let most = model.trainedSteps
      guard 1...most ~= self.steps else { throw ModelError.badOption(name: "--steps", expected: "1 to \(most)", found: "\(self.steps)") }
    } else {
      guard 1...10_000 ~= self.steps else { throw ModelError.badOption(name: "--steps", expected: "1 to 10000", found: "\(self.steps)") }
    }
  }
}

/// Runs a request, group of samples by group, step by step.
///
/// Not thread-safe: one value belongs to one thread at a time.
public final class Denoiser {
  public let request: DenoisingRequest
  public let layout: DenoisingLayout
  /// `[samples of the group, channels, inputSize, inputSize]`: as far as they have come.
  public private(set) var latents: [Float] = []
  /// The image each sample is heading for, as of the last step; same shape.
  public private(set) var predicted: [Float] = []
  /// Samples of the current group.
  public private(set) var group: Range<Int> = 0..<0
  /// Steps of the current group that are done.
  public private(set) var step = 0
  /// Row that the next decision gets: those recorded so far, per router, after the rows of earlier requests of the same run.
  public private(set) var tokenCount: Int
  /// What came of the steps so far, in rows.
  public private(set) var outputs = OutputTally()
  /// Sequence of the run that sample 0 is.
  private let firstSequence: Int
  private let firstToken: Int

  private let pass: DenoisingPass
  private let plan: DenoisingPlan
  private let schedule: NoiseSchedule?
  private let noise: NoiseSource

  /// - Parameters:
  ///   - sequence: the number of sample 0 among the sequences of the run.
  ///   - firstToken: rows of the run before this request.
  public init(_ pass: DenoisingPass, _ request: DenoisingRequest, noise: NoiseSource? = nil, sequence: Int = 0, firstToken: Int = 0) {
    self.pass = pass
    firstSequence = sequence
    self.firstToken = firstToken
    tokenCount = firstToken
    self.request = request
    plan = pass.model.plan
    self.noise = noise ?? .seeded(request.seed)
    let timesteps: [Float]
    switch request.rule {
    case .rectifiedFlow:
      schedule = nil
      timesteps = (0..<request.steps).map { Float(Double(request.steps - $0) / Double(request.steps)) }
    case .ddpm(let kind):
      let steps = NoiseSchedule(kind, trainedSteps: plan.sampling.trainedSteps, stepCount: request.steps)
      schedule = steps
      timesteps = steps.steps.map(\.timestep)
    }
    let grid = pass.model.routesByTimestep ? 1 : plan.gridSize
    layout = DenoisingLayout(
      sampler: request.rule.name, timesteps: timesteps, branchCount: request.guidance == nil ? 1 : 2, patchRows: grid,
      patchColumns: grid, guidanceScale: request.guidance ?? 1)
  }

  public var sampleCount: Int { request.classes.count }
  /// Whether every sample has come to its end.
  public var isFinished: Bool { group.upperBound == sampleCount && step == request.steps }

  /// Takes one step with one group of samples.
  ///
  /// - Throws: `FormatError.changed` when a file of the model lost pages meanwhile; what the sink throws.
  /// - Returns: whether the group has come to its end: `latents` are its images.
  /// - Precondition: not `isFinished`.
  public func advance(sink: (any RoutingSink)?) throws -> Bool {
    precondition(!isFinished, "all samples are done")
    if step == request.steps || group.isEmpty { begin() }
    let branches = layout.branchCount
    let labels = group.flatMap { sample in
      (0..<branches).map { Int32($0 == 0 ? request.classes[sample] : plan.classCount) }
    }
    var tokens = table()
    let (answer, batches) = latents.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("an empty group") }
      return pass.run(
        base, samples: group.count, timestep: layout.timesteps[step], classes: labels, demand: sink?.demand, firstToken: tokenCount,
        table: tokens)
    }
    try pass.model.weights.checkpoint.requireWhole()
    switch schedule {
    case nil: flow(answer)
    case let schedule?: diffuse(answer, schedule.steps[step])
    }
    let tally = tallied()
    outputs += tally
    if let sink {
      tokens.outputs = tally
      try sink.receive(RoutingPass(tokens: tokens, batches: batches))
    }
    tokenCount += group.count * branches * layout.patchCount
    step += 1
    return step == request.steps
  }

  /// Goes to a step of one sample.
  ///
  /// - Parameters:
  ///   - latents: of the sample as that step finds them; nil: its noise, before step 0.
  func begin(sample: Int, step: Int = 0, latents: [Float]? = nil) {
    group = sample..<sample + 1
    self.step = step
    self.latents = latents ?? noise.initial(sample: sample, count: plan.latentCount)
    predicted = self.latents
    tokenCount = firstToken + sample * layout.rowsPerSample + layout.position(step: step, branch: 0)
    outputs = OutputTally()
  }

  private func begin() {
    group = group.upperBound..<min(sampleCount, group.upperBound + request.batch)
    step = 0
    latents = group.flatMap { noise.initial(sample: $0, count: plan.latentCount) }
    predicted = latents
  }

  /// The rows of this step, and those of samples whose image has a number that is none.
  private func tallied() -> OutputTally {
    let rows = layout.branchCount * layout.patchCount
    var tally = OutputTally()
    for index in 0..<group.count {
      let place = index * plan.latentCount..<(index + 1) * plan.latentCount
      tally.rows += rows
      if !latents[place].allSatisfy(\.isFinite) || !predicted[place].allSatisfy(\.isFinite) { tally.notFiniteRows += rows }
    }
    return tally
  }

  private func table() -> TokenTable {
    var table = TokenTable(firstToken: tokenCount)
    for sample in group {
      for branch in 0..<layout.branchCount {
        let first = layout.position(step: step, branch: branch)
        for patch in 0..<layout.patchCount {
          table.append(sequence: firstSequence + sample, position: first + patch, tokenID: -1, phase: .denoise)
        }
      }
    }
    return table
  }

  /// The guided answer in `channel` of sample `index` of the group, and where its plane begins.
  private func planes(_ answer: UnsafeMutablePointer<Float>, _ index: Int, _ channel: Int, guided: Bool) -> UnsafeMutablePointer<Float> {
    let size = plan.inputSize * plan.inputSize
    let branch = plan.outputChannels * size
    let conditional = answer + index * layout.branchCount * branch + channel * size
    if guided, let scale = request.guidance {
      let free = conditional + branch
      for i in 0..<size { conditional[i] = free[i] + scale * (conditional[i] - free[i]) }
    }
    return conditional
  }

  /// z - velocity / steps; the image it is heading for is z - t * velocity.
  private func flow(_ answer: UnsafeMutablePointer<Float>) {
    let size = plan.inputSize * plan.inputSize
    let pace = Float(1 / Double(request.steps))
    let left = Float(request.steps - step) * pace
    for index in 0..<group.count {
      for channel in 0..<plan.channels {
        let velocity = planes(answer, index, channel, guided: true)
        let place = (index * plan.channels + channel) * size
        for i in 0..<size {
          predicted[place + i] = latents[place + i] - left * velocity[i]
          latents[place + i] -= pace * velocity[i]
        }
      }
    }
  }

  private func diffuse(_ answer: UnsafeMutablePointer<Float>, _ rule: NoiseSchedule.Step) {
    let size = plan.inputSize * plan.inputSize
    let isLast = step == request.steps - 1
    for index in 0..<group.count {
      let fresh = isLast ? [] : noise.between(sample: group.lowerBound + index, step: step, count: plan.latentCount)
      for channel in 0..<plan.channels {
        let noisy = planes(answer, index, channel, guided: channel < plan.sampling.guidedOutputs)
        let second = plan.channels + channel
        let variance = planes(answer, index, second, guided: second < plan.sampling.guidedOutputs)
        let place = (index * plan.channels + channel) * size
        for i in 0..<size {
          let x = latents[place + i]
          let image = rule.imageOfSample * x - rule.imageOfNoise * noisy[i]
          predicted[place + i] = image
          var next = rule.meanOfImage * image + rule.meanOfSample * x
          if !isLast {
            let share = (variance[i] + 1) / 2
            let logVariance = share * rule.logVarianceHigh + (1 - share) * rule.logVarianceLow
            next += expf(0.5 * logVariance) * fresh[channel * size + i]
          }
          latents[place + i] = next
        }
      }
    }
  }
}
