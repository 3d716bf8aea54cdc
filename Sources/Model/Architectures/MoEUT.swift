// MoEUT (Csordás et al. 2024, arXiv:2405.16039): a group of layers runs several times over, one set of weights for all of its runs. Experts of the
// feed-forward halves read the stream as it is, their routers read its norm; heads of the attention choose experts for their values and
// for their output. Weights are sigmoid scores, not normalised. Fields are the arguments of the published class MoEUTLM.
//
// | key              | meaning                                                                   | default             |
// |------------------|---------------------------------------------------------------------------|---------------------|
// | n_tokens, d_model, n_heads | vocabulary, hidden size, heads                                  | required            |
// | n_layers         | blocks that a token goes through                                          | required            |
// | group_size       | layers of a group; it runs n_layers / group_size times                    | 2                   |
// | d_head           | size of a head, of which the first half turns (an even number, base 10000) | d_model / n_heads   |
// | ff_n_experts, ff_k, ff_expert_size | experts of a feed-forward half, topK, width of one      | required, 8, 128    |
// | att_n_experts, att_k | experts of each head for its values, and for its output; topK         | required, 2         |
// | max_position_embeddings | positions of a sequence; the class has no such argument and no limit | 1024, as trained    |
//
// One attention expert is none: plain attention without a router, whose heads are multiplied by the sigmoid of a projection (`sel_o`).

import Routing

extension Family {
  static let moeUT = Family(
    modelType: "moeut", defaults: ["group_size": "2", "ff_k": "8", "ff_expert_size": "128", "att_k": "2"]
  ) { configuration in
    let sizes = try MoEUTSizes(configuration)
    // Of training.
    configuration.disregard(["dropout", "ff_expert_dropout", "att_expert_dropout", "entropy_reg", "att_entropy_reg"])
    try configuration.require("attention", "SwitchHeadRope", default: "SwitchHeadRope")
    let blocks = (0..<sizes.layerCount).map { number in
      let layer = number % sizes.groupSize
      let prefix = "transformer.layers.\(layer)."
      var routed = sizes.experts(prefix + "ffn.")
      routed.routerInput = .stream(sizes.norm(prefix + "ln2"), factor: 1)
      return BlockPlan(
        [
          SublayerPlan(sizes.norm(prefix + "ln1"), sizes.attention(prefix + "attention.")), SublayerPlan(.stream, routed),
        ], run: LayerRun(layer: layer, repetition: number / sizes.groupSize, of: sizes.layerCount / sizes.groupSize))
    }
    return ModelPlan(
      family: "moeut", hiddenSize: sizes.hiddenSize, vocabularySize: sizes.vocabularySize, contextLength: sizes.contextLength,
      embedding: "embedding.weight", decoder: StackPlan(blocks: blocks, finalNorm: sizes.norm("out_norm")),
      outputHead: LinearPlan(prefix: "lm_head", bias: true))
  }
}

/// The arguments of the published class.
private struct MoEUTSizes: Sendable {
  let hiddenSize: Int
  let vocabularySize: Int
  let contextLength: Int
  let layerCount: Int
  let groupSize: Int
  let headCount: Int
  let headSize: Int
  let width: Int
  let router: RouterSpec
  /// nil: attention has no experts.
  let attentionRouter: RouterSpec?

  /// Heads of all blocks together: each has two routers, which even a configuration without its weights is asked for.
  private static let mostHeads = 1 << 14
  /// No file bounds how often its layers run, and each run has a state. Published models have 18 at most.
  private static let mostRuns = 1 << 10

  init(_ configuration: Configuration) throws {
    func wrong(_ key: String, _ expected: String, _ found: Int) -> ModelError {
      .configuration(file: configuration.file, key: key, expected: expected, found: "\(found)")
    }
    hiddenSize = try configuration.count("d_model")
    vocabularySize = try configuration.count("n_tokens")
    contextLength = try configuration.count("max_position_embeddings", default: 1024)
    layerCount = try configuration.layerCount("n_layers")
    groupSize = try configuration.count("group_size")
    guard layerCount % groupSize == 0 else { throw wrong("group_size", "a divisor of n_layers \(layerCount)", groupSize) }
    guard layerCount / groupSize <= Self.mostRuns else {
      throw wrong("n_layers", "at most \(Self.mostRuns) runs of group_size \(groupSize)", layerCount)
    }
    headCount = try configuration.count("n_heads")
    guard headCount <= Self.mostHeads / layerCount else {
      throw wrong("n_heads", "at most \(Self.mostHeads / layerCount) in each of \(layerCount) layers", headCount)
    }
    let head = try configuration.optionalCount("d_head")
    guard head != nil || hiddenSize % headCount == 0 else { throw wrong("n_heads", "a divisor of d_model \(hiddenSize)", headCount) }
    headSize = head ?? hiddenSize / headCount
    width = try configuration.count("ff_expert_size")
    func choice(_ topK: String, of experts: String) throws -> RouterSpec {
      let (k, count) = (try configuration.count(topK), try configuration.count(experts))
      guard k <= count else { throw wrong(topK, "at most \(experts), which is \(count)", k) }
      return .sigmoidTopK(k, of: count, normalization: .none)
    }
    router = try choice("ff_k", of: "ff_n_experts")
    if try configuration.count("att_n_experts") == 1 {
      // Nobody chooses, whatever it says.
      configuration.disregard(["att_k"])
      attentionRouter = nil
    } else {
      attentionRouter = try choice("att_k", of: "att_n_experts")
    }
  }

  func norm(_ name: String) -> NormPlan { .layer(VectorPlan("\(name).weight"), bias: VectorPlan("\(name).bias"), 1e-5) }

  /// Half of each head turns. Where half is an odd number one element less does, as in the program that trained the published models; the
  /// published class cannot turn such a head.
  private var rotary: RotaryPlan? {
    let size = headSize / 4 * 2
    return size > 0 ? RotaryPlan(base: 10_000, rotatedSize: size) : nil
  }

  /// One of several matrices `[columns, rows]` in a tensor that has inputs as rows.
  private func part(_ name: String, _ index: Int, of count: Int, rows: Int, columns: Int) -> LinearPlan {
    LinearPlan(MatrixPlan(name, storedShape: [count, columns, rows], firstRow: index * columns, transposition: .init()))
  }

  func experts(_ prefix: String) -> ExpertsPlan {
    ExpertsPlan(router: router, routerLinear: LinearPlan(MatrixPlan(prefix + "expert_sel"))) { expert in
      GatedPlan(
        up: part(prefix + "keys", expert, of: router.expertCount, rows: width, columns: hiddenSize),
        down: part(prefix + "values", expert, of: router.expertCount, rows: hiddenSize, columns: width),
        intermediateSize: width, activation: .relu)
    }
  }

  func attention(_ prefix: String) -> any OperationPlan {
    guard let router = attentionRouter else {
      func whole(_ name: String) -> LinearPlan { LinearPlan(MatrixPlan(prefix + name)) }
      return AttentionPlan(
        headCount: headCount, keyValueHeadCount: headCount, headSize: headSize, query: LinearPlan(prefix: prefix + "q"),
        key: LinearPlan(prefix: prefix + "k"), value: whole("v"), output: whole("o"), rotary: rotary, valuesReadStream: true,
        outputGate: OutputGatePlan(linear: whole("sel_o"), form: .init(isPerHead: true)))
    }
    let (experts, all) = (router.expertCount, headCount * router.expertCount)
    func chooser(_ name: String) -> @Sendable (Int) -> LinearPlan {
      { LinearPlan(MatrixPlan(prefix + name, storedShape: [all, hiddenSize], firstRow: $0 * experts)) }
    }
    return HeadMixturePlan(
      router: router, headCount: headCount, headSize: headSize, query: LinearPlan(prefix: prefix + "q"),
      key: LinearPlan(prefix: prefix + "k"),
      valueRouter: chooser("sel_v"), outputRouter: chooser("sel_o"),
      value: { part(prefix + "v", $0 * experts + $1, of: all, rows: headSize, columns: hiddenSize) },
      output: { part(prefix + "o", $0 * experts + $1, of: all, rows: hiddenSize, columns: headSize) }, rotary: rotary)
  }
}
