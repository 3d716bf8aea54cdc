// Switch Transformers (Fedus et al. 2021, arXiv:2101.03961), T5 with experts: every token takes one, as long as it has room. What does
// not fit keeps its choice with weight 0, so that only the residual passes. Attention is T5's: unscaled, with a bias by distance that
// the first block of a stack holds for all.
//
// | key                        | meaning                                                              | default    |
// |----------------------------|----------------------------------------------------------------------|------------|
// | d_model, d_kv, num_heads   | width; size and number of heads                                      | required   |
// | d_ff, dense_act_fn         | width of an expert and of a dense half; its activation               | -, relu    |
// | num_layers                 | blocks of the encoder                                                | required   |
// | num_decoder_layers         | blocks of the decoder                                                | 12; null: num_layers |
// | encoder_sparse_step, decoder_sparse_step | blocks whose index leaves 1 when divided by it; 1: all | from below |
// | num_sparse_encoder_layers, num_sparse_decoder_layers | blocks divided by it is the step; 0: by 1  | 3          |
// | num_experts                | routed experts a layer                                               | required   |
// | expert_capacity            | tokens of a sequence that an expert takes                            | required   |
// | router_bias                | bias on the router's logits                                          | false      |
// | relative_attention_num_buckets, relative_attention_max_distance | of the bias by distance         | 32, 128    |
// | tie_word_embeddings        | the head is the embedding, divided by sqrt(d_model)                  | true       |

import Routing

extension Family {
  static let switchTransformers = Family(
    modelType: "switch_transformers", defaults: ["num_decoder_layers": "12"]
  ) { configuration in
    try SwitchDeclaration(configuration).model()
  }
}

private struct SwitchDeclaration {
  let hiddenSize: Int
  let vocabularySize: Int
  let headCount: Int
  let headSize: Int
  let width: Int
  let activation: ExpertActivation
  let router: RouterSpec
  let routerHasBias: Bool
  let epsilon: Double
  let bucketCount: Int
  let farthest: Int
  let isTied: Bool
  let encoderLayers: (count: Int, step: Int)
  let decoderLayers: (count: Int, step: Int)

  init(_ configuration: Configuration) throws {
    hiddenSize = try configuration.count("d_model", "hidden_size")
    vocabularySize = try configuration.count("vocab_size")
    headCount = try configuration.count("num_heads", "num_attention_heads")
    headSize = try configuration.count("d_kv")
    width = try configuration.count("d_ff")
    activation = try configuration.activation("dense_act_fn", default: "relu")
    routerHasBias = try configuration.flag("router_bias", default: false)
    epsilon = try configuration.positive("layer_norm_epsilon", default: 1e-6)
    bucketCount = try configuration.count("relative_attention_num_buckets", default: 32)
    farthest = try configuration.count("relative_attention_max_distance", default: 128)
    isTied = try configuration.flag("tie_word_embeddings", default: true)
    router = try RouterSpec(
      expertCount: configuration.count("num_experts"), scoring: .softmax, selection: .tokenChoice(topK: 1),
      capacity: CapacityRule(limit: .tokens(configuration.wholeNumber("expert_capacity", default: 64))))
    let encoderCount = try configuration.layerCount("num_layers", "num_hidden_layers")
    encoderLayers = (encoderCount, try Self.step(configuration, "encoder", of: encoderCount))
    let decoderCount = try configuration.layerCount("num_decoder_layers", default: encoderCount)
    decoderLayers = (decoderCount, try Self.step(configuration, "decoder", of: decoderCount))

    try configuration.require("router_dtype", "float32", default: "float32")
    try configuration.require("router_type", "tokens_masked", default: "tokens_masked")
    try configuration.require("feed_forward_proj", "relu", default: "relu")
    if try configuration.flag("is_gated_act", default: false) {
      throw configuration.refused("is_gated_act", found: "true", supported: "false")
    }
    if bucketCount < 4 || bucketCount % 4 != 0 || farthest <= bucketCount / 2 {
      throw configuration.refused(
        "relative_attention_num_buckets", found: "\(bucketCount) up to a distance of \(farthest)",
        supported: "a multiple of 4, of which half is less than relative_attention_max_distance")
    }
    try configuration.refuseSet("batch_prioritized_routing")
    configuration.disregardTraining(and: ["add_router_probs", "dropout_rate", "initializer_factor", "n_positions"])
  }

  /// The distance between routed blocks of a stack; what the file says itself goes before what follows from their number.
  private static func step(_ configuration: Configuration, _ stack: String, of layers: Int) throws -> Int {
    let routed = try configuration.wholeNumber("num_sparse_\(stack)_layers", default: 3)
    return try configuration.wholeNumber("\(stack)_sparse_step", default: routed > 0 ? layers / routed : layers)
  }

  func model() -> ModelPlan {
    func embedding(_ stack: String) -> MatrixPlan {
      var plan: MatrixPlan = isTied ? "shared.weight" : "\(stack).embed_tokens.weight"
      plan.alternatives = isTied ? [] : ["shared.weight"]
      return plan
    }
    var model = ModelPlan(
      family: "switch_transformers", hiddenSize: hiddenSize, vocabularySize: vocabularySize, contextLength: Self.longestSequence,
      embedding: embedding("decoder"), encoder: EncoderPlan(embedding: embedding("encoder"), stack: stack(.encoder, encoderLayers)),
      decoder: stack(.decoder, decoderLayers), outputHead: LinearPlan(isTied ? .tiedHead(embedding("decoder")) : "lm_head.weight"))
    if isTied { model.logitScale = 1 / Float(hiddenSize).squareRoot() }
    return model
  }

  /// Distances have no limit of their own; this one keeps a damaged input from asking for all memory.
  private static let longestSequence = 1 << 20

  private func stack(_ side: RouterStack, _ layers: (count: Int, step: Int)) -> StackPlan {
    let name = side == .encoder ? "encoder" : "decoder"
    return StackPlan(
      blocks: (0..<layers.count).map { layer in
        let isRouted = layers.step > 0 && (layers.step == 1 || layer % layers.step == 1)
        return block(side, name, layer, isRouted: isRouted)
      }, finalNorm: .rms("\(name).final_layer_norm.weight", epsilon))
  }

  private func block(_ side: RouterStack, _ stack: String, _ layer: Int, isRouted: Bool) -> BlockPlan {
    var sublayers: [SublayerPlan] = []
    func add(_ operation: (String) -> any OperationPlan) {
      let prefix = "\(stack).block.\(layer).layer.\(sublayers.count)."
      sublayers.append(SublayerPlan(.rms("\(prefix)layer_norm.weight", epsilon), operation(prefix)))
    }
    add { selfAttention(side, stack, $0) }
    if side == .decoder { add { crossAttention($0) } }
    add { isRouted ? experts(side, $0) : gated($0 + "mlp.") }
    return BlockPlan(sublayers)
  }

  private func selfAttention(_ side: RouterStack, _ stack: String, _ prefix: String) -> AttentionPlan {
    func linear(_ name: String) -> LinearPlan { LinearPlan(prefix: "\(prefix)SelfAttention.\(name)") }
    return AttentionPlan(
      headCount: headCount, keyValueHeadCount: headCount, headSize: headSize, query: linear("q"), key: linear("k"), value: linear("v"),
      output: linear("o"), scale: 1, looksBothWays: side == .encoder,
      distanceBias: DistanceBiasPlan(
        table: VectorPlan(
          "\(stack).block.0.layer.0.SelfAttention.relative_attention_bias.weight", storedShape: [bucketCount, headCount]),
        bucketCount: bucketCount, farthest: farthest, looksBothWays: side == .encoder))
  }

  private func crossAttention(_ prefix: String) -> CrossAttentionPlan {
    func linear(_ name: String) -> LinearPlan { LinearPlan(prefix: "\(prefix)EncDecAttention.\(name)") }
    return CrossAttentionPlan(
      headCount: headCount, headSize: headSize, query: linear("q"), key: linear("k"), value: linear("v"), output: linear("o"), scale: 1)
  }

  private func experts(_ side: RouterStack, _ prefix: String) -> any OperationPlan {
    ExpertsPlan(
      stack: side, router: router, routerLinear: LinearPlan(prefix: prefix + "mlp.router.classifier", bias: routerHasBias),
      expert: { gated("\(prefix)mlp.experts.expert_\($0).") })
  }

  private func gated(_ prefix: String) -> GatedPlan {
    GatedPlan(
      up: LinearPlan(prefix: prefix + "wi"), down: LinearPlan(prefix: prefix + "wo"), intermediateSize: width, activation: activation)
  }
}
