// A plan with its tensors: what everyone who runs the model shares.

import Routing

/// The tensors of a model, bound.
///
/// Everything points into the maps that `checkpoint` keeps, or is made from them at its first use.
struct ModelWeights: Sendable {
  let checkpoint: Checkpoint
  /// `[vocabularySize, hiddenSize]`
  let embedding: WeightMatrix
  let encoder: (embedding: WeightMatrix, stack: BoundStack)?
  let decoder: BoundStack
  /// `[vocabularySize, hiddenSize]`
  let outputHead: Linear
  /// Names of tensors that no part of the plan asked for.
  let unusedTensors: [String]

  /// - Throws: `ModelError.missingTensor`, `.tensorShape`, `.tensorType`; `RoutingError.invalidSpec`.
  init(plan: ModelPlan, checkpoint: Checkpoint) throws {
    self.checkpoint = checkpoint
    let spelling = checkpoint.keepsNames ? plan.spellings.first { checkpoint.has($0.name(plan.embedding.tensor)) } : nil
    let binder = WeightBinder(checkpoint, hiddenSize: plan.hiddenSize, spelling: spelling)
    let sizes = "vocab_size, hidden_size in config.json"
    embedding = try binder.matrix(plan.embedding, rows: plan.vocabularySize, columns: plan.hiddenSize, because: sizes).matrix
    encoder = try plan.encoder.map { encoder in
      (
        try binder.matrix(encoder.embedding, rows: plan.vocabularySize, columns: plan.hiddenSize, because: sizes).matrix,
        try BoundStack(encoder.stack, binder)
      )
    }
    decoder = try BoundStack(plan.decoder, binder)
    outputHead = try binder.linear(plan.outputHead, rows: plan.vocabularySize, columns: plan.hiddenSize, because: sizes)
    unusedTensors = checkpoint.unusedTensors
  }

  /// Of both stacks, the encoder's first.
  var operations: [any BoundOperation] { (encoder?.stack.operations ?? []) + decoder.operations }
}

struct BoundStack: Sendable {
  let blocks: [[BoundSublayer]]
  let join: (any BoundStreamJoin)?
  let finalNorm: Norm?

  init(_ plan: StackPlan, _ binder: WeightBinder) throws {
    // Later runs of a layer share what its first one has bound: a configuration may ask for many.
    var firstRuns: [Int: [BoundSublayer]] = [:]
    blocks = try plan.blocks.enumerated().map { number, block in
      let run = block.run ?? LayerRun(layer: number)
      if let first = firstRuns[run.layer] { return first.map { $0.repeated(as: run) } }
      binder.run = run
      let bound = try block.sublayers.map { try BoundSublayer($0, binder) }
      if run.count > 1 { firstRuns[run.layer] = bound }
      return bound
    }
    join = try plan.join?.bindJoin(binder)
    finalNorm = try plan.finalNorm.map { try binder.norm($0, size: binder.hiddenSize) }
  }

  var operations: [any BoundOperation] { blocks.flatMap { $0.map(\.operation) } }
}

struct BoundSublayer: Sendable {
  let plan: SublayerPlan
  let inputNorm: Norm?
  let inputGate: BoundInputGate?
  let connection: (any BoundStreamConnection)?
  private(set) var operation: any BoundOperation
  let outputNorm: Norm?
  let sumNorm: Norm?
  let streamFactor: WeightVector?

  init(_ plan: SublayerPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    if case .norm(let norm) = plan.input { inputNorm = try binder.norm(norm, size: binder.hiddenSize) } else { inputNorm = nil }
    inputGate = try plan.inputGate.map { try BoundInputGate($0, binder) }
    connection = try plan.connection?.bind(binder)
    operation = try plan.operation.bind(binder)
    outputNorm = try plan.outputNorm.map { try binder.norm($0, size: binder.hiddenSize) }
    sumNorm = try plan.sumNorm.map { try binder.norm($0, size: binder.hiddenSize) }
    streamFactor = try plan.streamFactor.map { try binder.vector($0, count: 1, because: "it is one number") }
  }

  func repeated(as run: LayerRun) -> BoundSublayer {
    var copy = self
    copy.operation = operation.repeated(as: run)
    return copy
  }
}

extension [[BoundSublayer]] {
  /// Where the last router of these blocks is; nil where they have none.
  var lastRouter: (block: Int, sublayer: Int)? {
    for (block, sublayers) in enumerated().reversed() {
      if let sublayer = sublayers.lastIndex(where: { !$0.operation.routers.isEmpty }) { return (block, sublayer) }
    }
    return nil
  }
}
