// The tensors of a denoising plan, bound: what everyone who runs the model shares.

import Routing

/// Everything points into the maps that `checkpoint` keeps, or is made from them at its first use.
struct DenoisingWeights: Sendable {
  struct Block: Sendable {
    let modulation: Linear
    let operations: [any BoundOperation]
    let mask: BoundTimestepMask?
  }

  let checkpoint: Checkpoint
  let patchEmbedding: Linear
  let positions: WeightMatrix
  let timestepInput: Linear
  let timestepOutput: Linear
  let classEmbedding: WeightMatrix
  let blocks: [Block]
  let finalModulation: Linear
  let output: Linear
  /// Names of tensors that no part of the plan asked for.
  let unusedTensors: [String]

  /// - Throws: `ModelError.missingTensor`, `.tensorShape`, `.tensorType`; `RoutingError.invalidSpec`.
  init(plan: DenoisingPlan, checkpoint: Checkpoint) throws {
    self.checkpoint = checkpoint
    let hidden = plan.hiddenSize
    let binder = WeightBinder(checkpoint, hiddenSize: hidden)
    let sizes = "the sizes of the model"
    patchEmbedding = try binder.linear(
      plan.patchEmbedding, rows: hidden, columns: plan.channels * plan.patchSize * plan.patchSize, because: sizes)
    positions = try binder.matrix(plan.positions, rows: plan.patchCount, columns: hidden, because: sizes).matrix
    timestepInput = try binder.linear(plan.timestepInput, rows: hidden, columns: DenoisingPlan.frequencyCount, because: sizes)
    timestepOutput = try binder.linear(plan.timestepOutput, rows: hidden, columns: hidden, because: sizes)
    classEmbedding = try binder.matrix(
      plan.classEmbedding, rows: plan.classCount + (plan.hasNullClass ? 1 : 0), columns: hidden, because: sizes
    ).matrix
    blocks = try plan.blocks.enumerated().map { layer, block in
      binder.run = LayerRun(layer: layer)
      return Block(
        modulation: try binder.linear(
          block.modulation, rows: 3 * block.operations.count * hidden, columns: hidden, because: sizes),
        operations: try block.operations.map { try $0.bind(binder) }, mask: try block.mask.map { try BoundTimestepMask($0, binder) })
    }
    finalModulation = try binder.linear(plan.finalModulation, rows: 2 * hidden, columns: hidden, because: sizes)
    output = try binder.linear(
      plan.output, rows: plan.patchSize * plan.patchSize * plan.outputChannels, columns: hidden, because: sizes)
    unusedTensors = checkpoint.unusedTensors
  }

  var routers: [RouterDescription] {
    blocks.flatMap { block in
      (block.mask.map { [RouterDescription($0.id, $0.router.spec)] } ?? []) + block.operations.flatMap(\.routers)
    }
  }

  /// Experts that every patch takes, by router in the order of `routers`.
  var sharedExpertCounts: [Int] {
    blocks.flatMap { block in
      (block.mask == nil ? [] : [0])
        + block.operations.flatMap { operation in operation.routers.map { _ in (operation as? BoundExperts)?.sharedGates.count ?? 0 } }
    }
  }

  /// Weights that a patch does not meet: those of the experts it does not take.
  var idle: WeightSize {
    blocks.reduce(into: WeightSize()) { sum, block in
      for size in block.operations.map(\.idle) + [block.mask?.idle ?? WeightSize()] {
        sum.parameters += size.parameters
        sum.bytes += size.bytes
      }
    }
  }

  var routerPrecision: StoredType? {
    blocks.compactMap { block in
      block.mask?.routerLinear.weight.type ?? block.operations.compactMap(\.routerPrecision).first
    }.first
  }
}
