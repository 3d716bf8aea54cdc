// Binds the names of a plan to the tensors of a checkpoint, checking every shape. What comes out can be computed with and nothing in
// it can be missing.

import Routing

/// The tensors of a model, bound.
///
/// `@unchecked Sendable`: pointers into read-only maps and vectors that `checkpoint` keeps.
struct ModelWeights: @unchecked Sendable {
  let checkpoint: Checkpoint
  /// `[vocabularySize, hiddenSize]`
  let embedding: WeightMatrix
  /// `[hiddenSize]`
  let finalNorm: UnsafePointer<Float>
  /// `[vocabularySize, hiddenSize]`
  let outputHead: WeightMatrix
  let blocks: [BlockWeights]

  /// - Throws: `ModelError.missingTensor`, `.tensorShape`, `.tensorType`; `RoutingError.invalidSpec`.
  init(plan: ModelPlan, checkpoint: Checkpoint) throws {
    self.checkpoint = checkpoint
    let hidden = plan.hiddenSize
    embedding = try checkpoint.matrix(
      plan.embedding, rows: plan.vocabularySize, columns: hidden, because: "vocab_size, hidden_size in config.json")
    finalNorm = try checkpoint.vector(plan.finalNorm, count: hidden, because: "hidden_size in config.json")
    outputHead = try checkpoint.matrix(
      plan.outputHead, rows: plan.vocabularySize, columns: hidden, because: "vocab_size, hidden_size in config.json")
    blocks = try plan.blocks.enumerated().map { try BlockWeights(plan: $1, layer: $0, model: plan, checkpoint: checkpoint) }
  }
}

struct LinearWeights {
  let weight: WeightMatrix
  /// `[weight.rows]`
  let bias: UnsafePointer<Float>?

  init(_ plan: LinearPlan, rows: Int, columns: Int, because: String, checkpoint: Checkpoint) throws {
    weight = try checkpoint.matrix(plan.weight, rows: rows, columns: columns, because: because)
    bias = try plan.bias.map { try checkpoint.vector($0, count: rows, because: because) }
  }
}

struct HeadNormWeights {
  let scope: HeadNormPlan.Scope
  /// `[headSize]` or `[headCount * headSize]`
  let weight: UnsafePointer<Float>

  init(_ plan: HeadNormPlan, heads: Int, headSize: Int, checkpoint: Checkpoint) throws {
    scope = plan.scope
    weight = try checkpoint.vector(
      plan.weight, count: plan.scope == .head ? headSize : heads * headSize, because: "the heads of config.json")
  }
}

struct AttentionWeights {
  let plan: AttentionPlan
  let query: LinearWeights
  let key: LinearWeights
  let value: LinearWeights
  let output: LinearWeights
  let queryNorm: HeadNormWeights?
  let keyNorm: HeadNormWeights?

  init(_ plan: AttentionPlan, hiddenSize: Int, checkpoint: Checkpoint) throws {
    self.plan = plan
    let because = "hidden_size, head_dim and the head counts in config.json"
    func linear(_ linear: LinearPlan, rows: Int, columns: Int) throws -> LinearWeights {
      try LinearWeights(linear, rows: rows, columns: columns, because: because, checkpoint: checkpoint)
    }
    let queries = plan.headCount * plan.headSize
    let keys = plan.keyValueHeadCount * plan.headSize
    query = try linear(plan.query, rows: queries, columns: hiddenSize)
    key = try linear(plan.key, rows: keys, columns: hiddenSize)
    value = try linear(plan.value, rows: keys, columns: hiddenSize)
    output = try linear(plan.output, rows: hiddenSize, columns: queries)
    queryNorm = try plan.queryNorm.map {
      try HeadNormWeights($0, heads: plan.headCount, headSize: plan.headSize, checkpoint: checkpoint)
    }
    keyNorm = try plan.keyNorm.map {
      try HeadNormWeights($0, heads: plan.keyValueHeadCount, headSize: plan.headSize, checkpoint: checkpoint)
    }
  }
}

/// The feed-forward half of a block: a router with its experts, or no router and one expert that takes every token.
struct FeedForwardWeights {
  struct Routing {
    let id: RouterID
    let router: Router
    /// `[expertCount, hiddenSize]`
    let weight: WeightMatrix
  }
  let routing: Routing?
  let experts: [ExpertWeights]
  let intermediateSize: Int

  init(_ plan: FeedForwardPlan, layer: Int, hiddenSize: Int, checkpoint: Checkpoint) throws {
    func gated(_ gated: GatedPlan, expert: Int) throws -> ExpertWeights {
      func matrix(_ template: String, rows: Int, columns: Int) throws -> WeightMatrix {
        try checkpoint.matrix(
          template.naming(expert: expert), rows: rows, columns: columns, because: "hidden_size and the expert width in config.json")
      }
      return ExpertWeights(
        gate: try matrix(gated.gate, rows: gated.intermediateSize, columns: hiddenSize),
        up: try matrix(gated.up, rows: gated.intermediateSize, columns: hiddenSize),
        down: try matrix(gated.down, rows: hiddenSize, columns: gated.intermediateSize))
    }
    switch plan {
    case .dense(let dense):
      routing = nil
      experts = [try gated(dense, expert: 0)]
      intermediateSize = dense.intermediateSize
    case .experts(let plan):
      routing = Routing(
        id: RouterID(layer: layer), router: try Router(plan.router),
        weight: try checkpoint.matrix(
          plan.routerWeight, rows: plan.expertCount, columns: hiddenSize, because: "the expert count in config.json"))
      experts = try (0..<plan.expertCount).map { try gated(plan.expert, expert: $0) }
      intermediateSize = plan.expert.intermediateSize
    }
  }
}

struct BlockWeights {
  let attentionNorm: UnsafePointer<Float>
  let attention: AttentionWeights
  let feedForwardNorm: UnsafePointer<Float>
  let feedForward: FeedForwardWeights

  init(plan: BlockPlan, layer: Int, model: ModelPlan, checkpoint: Checkpoint) throws {
    let because = "hidden_size in config.json"
    attentionNorm = try checkpoint.vector(plan.attentionNorm, count: model.hiddenSize, because: because)
    attention = try AttentionWeights(plan.attention, hiddenSize: model.hiddenSize, checkpoint: checkpoint)
    feedForwardNorm = try checkpoint.vector(plan.feedForwardNorm, count: model.hiddenSize, because: because)
    feedForward = try FeedForwardWeights(plan.feedForward, layer: layer, hiddenSize: model.hiddenSize, checkpoint: checkpoint)
  }
}
