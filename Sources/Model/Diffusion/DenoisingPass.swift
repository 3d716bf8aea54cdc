// The forward pass of a denoising model, once: latents of some samples and a timestep in, the model's answer and its routing decisions
// out. It executes a plan with bound weights; which family the plan came from it never learns.

import CKernels
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Runs batches of samples through the blocks of a denoising model.
///
/// Not thread-safe: one value belongs to one thread at a time. Results do not depend on which samples share a pass, nor on the number of
/// threads.
public final class DenoisingPass {
  public let model: DenoisingModel
  let pool: WorkerPool
  private let plan: DenoisingPlan
  private let weights: DenoisingWeights
  private let pass: Pass
  private let operations: [[any RunningOperation]]
  /// `[rows, hiddenSize]` each: the residual stream, what an operation reads, what it answers, what a mask holds back.
  private let stream = GrowingBuffer()
  private let input = GrowingBuffer()
  private let answer = GrowingBuffer()
  private let held = GrowingBuffer()
  /// Of the timestep, of a sample and branch, and SiLU of each.
  private let conditions = GrowingBuffer()
  private let modulations = GrowingBuffer()
  private let output = GrowingBuffer()

  /// - Parameter threads: nil takes every core.
  public init(_ model: DenoisingModel, threads: Int? = nil) {
    self.model = model
    plan = model.plan
    weights = model.weights
    pool = WorkerPool(threads: threads)
    pass = Pass(pool: pool, hiddenSize: plan.hiddenSize)
    operations = weights.blocks.map { $0.operations.map { $0.start() } }
  }

  public var threadCount: Int { pool.threadCount }

  /// What is changed about routing.
  public var intervention: Intervention? {
    get { pass.intervention }
    set { pass.intervention = newValue?.rules.isEmpty == false ? newValue : nil }
  }

  var review: (any DecisionReview)? {
    get { pass.review }
    set { pass.review = newValue }
  }

  /// The model's answer for every sample and branch.
  ///
  /// - Parameters:
  ///   - latents: `[samples, channels, inputSize, inputSize]`.
  ///   - timestep: the model's own t.
  ///   - classes: `[samples, branches]`: row of the class table; `DenoisingModel.classCount` is "no class".
  ///   - demand: what a sink wants to know; nil when nobody listens, and then nothing is recorded.
  ///   - firstToken: row of the first decision in the run.
  ///   - table: who the decision's rows are; only rules look at it.
  /// - Returns: the answer `[samples, branches, output channels, inputSize, inputSize]`, valid until the next call; one batch per router,
  ///   rows by sample, branch, patch.
  func run(
    _ latents: UnsafePointer<Float>, samples: Int, timestep: Float, classes: [Int32], demand: RoutingDemand? = nil, firstToken: Int = 0,
    table: TokenTable? = nil
  ) -> (answer: UnsafeMutablePointer<Float>, batches: [RoutingBatch]) {
    let branches = classes.count / samples
    let groups = classes.count
    let rows = groups * plan.patchCount
    let hidden = plan.hiddenSize
    (pass.count, pass.position, pass.firstToken, pass.demand, pass.batches) = (rows, 0, firstToken, demand, [])
    pass.rows = intervention.flatMap { rules in
      table.map { DecisionRows($0, keys: rules.readsTexts ? TextKey.all(of: $0) : []) }
    }
    pass.arena.reset()
    let stream = stream.floats(rows * hidden)
    embed(latents, samples: samples, branches: branches, into: stream)
    // [timestep; groups]: conditions, then the same through SiLU, which is what every modulation reads.
    let conditions = conditions.floats(2 * (groups + 1) * hidden)
    let activated = conditions + (groups + 1) * hidden
    condition(conditions, timestep: timestep, classes: classes)
    mt_activate(activated, conditions, nil, (groups + 1) * hidden, MT_SILU, 0)
    let steering = activated + hidden

    for (block, operations) in zip(weights.blocks, operations) {
      let width = 3 * operations.count * hidden
      let modulation = modulations.floats(groups * width)
      pool.multiply(Product(out: modulation, x: steering, tokens: groups, weight: block.modulation.weight, bias: block.modulation.bias))
      if let mask = block.mask {
        pass.arena.reset()
        let decision = mask.decide(pass, activated: activated, samples: groups)
        mask.apply(decision, pass, stream: stream, held: held.floats(rows * hidden))
        if demand != nil { pass.batches.append(decision) }
      }
      for (index, operation) in operations.enumerated() {
        let shift = modulation + 3 * index * hidden
        pass.arena.reset()
        modulate(stream, into: input.floats(rows * hidden), shift: shift, scale: shift + hidden, stride: width, rows: rows)
        (pass.x, pass.out) = (input.floats(rows * hidden), answer.zeros(rows * hidden))
        operation.run(pass)
        addGated(pass.out, to: stream, gate: shift + 2 * hidden, stride: width, rows: rows)
      }
      if block.mask != nil { mt_add(stream, stream, held.floats(rows * hidden), rows * hidden) }
    }

    let modulation = modulations.floats(groups * 2 * hidden)
    pool.multiply(
      Product(out: modulation, x: steering, tokens: groups, weight: weights.finalModulation.weight, bias: weights.finalModulation.bias))
    let final = input.floats(rows * hidden)
    modulate(stream, into: final, shift: modulation, scale: modulation + hidden, stride: 2 * hidden, rows: rows)
    let patches = answer.floats(rows * weights.output.weight.rows)
    pool.multiply(Product(out: patches, x: final, tokens: rows, weight: weights.output.weight, bias: weights.output.bias))
    return (unfold(patches, groups: groups), pass.batches)
  }

  /// What routers of the timestep decide about each of these timesteps, without any sample: row i is timestep i of the list.
  ///
  /// - Returns: one batch per such router, with logits; empty for a model whose routers read tokens.
  public func decisions(about timesteps: [Float]) -> [RoutingBatch] {
    let hidden = plan.hiddenSize
    let masks = weights.blocks.compactMap(\.mask)
    (pass.firstToken, pass.demand, pass.rows) = (0, RoutingDemand(logitsEvery: 1), nil)
    var batches: [RoutingBatch] = []
    for (row, timestep) in timesteps.enumerated() where !masks.isEmpty {
      pass.arena.reset()
      pass.firstToken = row
      let activated = pass.arena.floats(hidden)
      embed(timestep: timestep, into: activated)
      mt_activate(activated, activated, nil, hidden, MT_SILU, 0)
      let decided = masks.map { $0.decide(pass, activated: activated, samples: 1) }
      if batches.isEmpty { batches = decided } else { for (index, batch) in decided.enumerated() { batches[index].append(batch) } }
    }
    return batches
  }

  // MARK: Parts

  /// Patches of the latents through the patch embedding, plus positions; both branches of a sample start alike.
  private func embed(_ latents: UnsafePointer<Float>, samples: Int, branches: Int, into stream: UnsafeMutablePointer<Float>) {
    let (grid, patch, size, hidden) = (plan.gridSize, plan.patchSize, plan.inputSize, plan.hiddenSize)
    let depth = plan.channels * patch * patch
    let patches = pass.arena.floats(samples * plan.patchCount * depth)
    var place = 0
    for sample in 0..<samples {
      for row in 0..<grid {
        for column in 0..<grid {
          for channel in 0..<plan.channels {
            let plane = latents + (sample * plan.channels + channel) * size * size
            for y in 0..<patch {
              let line = plane + (row * patch + y) * size + column * patch
              (patches + place).update(from: line, count: patch)
              place += patch
            }
          }
        }
      }
    }
    let embedded = pass.arena.floats(samples * plan.patchCount * hidden)
    pool.multiply(
      Product(
        out: embedded, x: patches, tokens: samples * plan.patchCount, weight: weights.patchEmbedding.weight,
        bias: weights.patchEmbedding.bias))
    let position = pass.arena.floats(hidden)
    for index in 0..<plan.patchCount {
      weights.positions.read(row: index, into: position)
      for sample in 0..<samples {
        let source = embedded + (sample * plan.patchCount + index) * hidden
        for branch in 0..<branches {
          mt_add(stream + ((sample * branches + branch) * plan.patchCount + index) * hidden, source, position, hidden)
        }
      }
    }
  }

  private func embed(timestep: Float, into out: UnsafeMutablePointer<Float>) {
    let half = DenoisingPlan.frequencyCount / 2
    let waves = pass.arena.floats(2 * half)
    for i in 0..<half {
      let angle = timestep * expf(Float(-log(10_000.0)) * Float(i) / Float(half))
      (waves[i], waves[half + i]) = (cosf(angle), sinf(angle))
    }
    let inner = pass.arena.floats(plan.hiddenSize)
    pool.multiply(
      Product(out: inner, x: waves, tokens: 1, weight: weights.timestepInput.weight, bias: weights.timestepInput.bias))
    mt_activate(inner, inner, nil, plan.hiddenSize, MT_SILU, 0)
    pool.multiply(
      Product(out: out, x: inner, tokens: 1, weight: weights.timestepOutput.weight, bias: weights.timestepOutput.bias))
  }

  /// Row 0: the timestep's embedding; then, for each sample and branch, its sum with the class's.
  private func condition(_ out: UnsafeMutablePointer<Float>, timestep: Float, classes: [Int32]) {
    let hidden = plan.hiddenSize
    embed(timestep: timestep, into: out)
    for (group, label) in classes.enumerated() {
      let row = out + (group + 1) * hidden
      weights.classEmbedding.read(row: Int(label), into: row)
      mt_add(row, out, row, hidden)
    }
  }

  /// `norm(x) * (1 + scale) + shift`, the two from the group a row belongs to.
  private func modulate(
    _ x: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, shift: UnsafePointer<Float>, scale: UnsafePointer<Float>,
    stride: Int, rows: Int
  ) {
    let hidden = plan.hiddenSize
    pool.forEachRow(of: rows, cost: hidden * 5) { range in
      let first = range.lowerBound * hidden
      mt_layer_norm(out + first, hidden, x + first, hidden, range.count, hidden, nil, nil, 1e-6)
      for row in range {
        let group = row / plan.patchCount * stride
        mt_modulate(out + row * hidden, out + row * hidden, scale + group, shift + group, hidden)
      }
    }
  }

  private func addGated(
    _ x: UnsafeMutablePointer<Float>, to stream: UnsafeMutablePointer<Float>, gate: UnsafePointer<Float>, stride: Int, rows: Int
  ) {
    let hidden = plan.hiddenSize
    pool.forEachRow(of: rows, cost: hidden * 2) { range in
      for row in range {
        let place = row * hidden
        mt_multiply(x + place, x + place, gate + row / plan.patchCount * stride, hidden)
        mt_add(stream + place, stream + place, x + place, hidden)
      }
    }
  }

  /// Patches `[groups, patches, patchSize, patchSize, channels]` to planes `[groups, channels, inputSize, inputSize]`.
  private func unfold(_ patches: UnsafePointer<Float>, groups: Int) -> UnsafeMutablePointer<Float> {
    let (grid, patch, size, channels) = (plan.gridSize, plan.patchSize, plan.inputSize, plan.outputChannels)
    let planes = output.floats(groups * channels * size * size)
    var source = patches
    for group in 0..<groups {
      for row in 0..<grid {
        for column in 0..<grid {
          for y in 0..<patch {
            for x in 0..<patch {
              let place = (row * patch + y) * size + column * patch + x
              for channel in 0..<channels { planes[(group * channels + channel) * size * size + place] = source[channel] }
              source += channels
            }
          }
        }
      }
    }
    return planes
  }
}
