// NLLB-MoE (NLLB Team 2022, arXiv:2207.04672): a translation model; every fourth block has experts, a token takes two. The two weights
// are divided by the sum of those that were not dropped, and all of them by what training's masking of expert outputs expects.
//
// | key                        | meaning                                                                     | default  |
// |----------------------------|-----------------------------------------------------------------------------|----------|
// | d_model                    | width                                                                       | required |
// | encoder_layers, decoder_layers, .._attention_heads, .._ffn_dim | of each stack                           | required |
// | encoder_sparse_step, decoder_sparse_step | every n-th block is routed, counted from 1; 0: none           | 4        |
// | num_experts                | routed experts a layer                                                      | required |
// | moe_eval_capacity_token_fraction | share of a sequence's tokens that an expert takes; 0 or less: expert_capacity | 1  |
// | expert_capacity            | tokens of a sequence that an expert takes, where the share does not say     | 64       |
// | batch_prioritized_routing  | the surest tokens are served first                                          | false    |
// | normalize_router_prob_before_dropping | dropping takes weight away instead of shifting it                | false    |
// | moe_token_dropout          | the weights are multiplied by one minus this                                | 0.2      |
// | router_bias                | bias on the router's logits                                                 | false    |
// | scale_embedding            | embeddings are multiplied by sqrt(d_model)                                  | true     |
// | pad_token_id               | a token without a position                                                  | 1        |

import Routing

extension Family {
  static let nllbMoE = Family(modelType: "nllb-moe") { configuration in
    try NLLBDeclaration(configuration).model()
  }
}

private struct NLLBDeclaration {
  struct Stack {
    var side: RouterStack
    var name: String
    var layers: Int
    var heads: Int
    var width: Int
    var step: Int
  }

  let hiddenSize: Int
  let vocabularySize: Int
  let contextLength: Int
  let activation: ExpertActivation
  let router: RouterSpec
  let routerHasBias: Bool
  let scalesEmbedding: Bool
  let isTied: Bool
  let paddingToken: Int
  let encoder: Stack
  let decoder: Stack

  init(_ configuration: Configuration) throws {
    let hiddenSize = try configuration.count("d_model", "hidden_size")
    self.hiddenSize = hiddenSize
    vocabularySize = try configuration.count("vocab_size")
    contextLength = try configuration.count("max_position_embeddings", default: 1024)
    activation = try configuration.activation("activation_function", default: "relu")
    routerHasBias = try configuration.flag("router_bias", default: false)
    scalesEmbedding = try configuration.flag("scale_embedding", default: true)
    isTied = try configuration.flag("tie_word_embeddings", default: true)
    paddingToken = try configuration.wholeNumber("pad_token_id", default: 1)
    router = try Self.router(configuration)
    func stack(_ side: RouterStack, _ name: String, _ layers: Int) throws -> Stack {
      let heads = try configuration.count("\(name)_attention_heads")
      if hiddenSize % heads != 0 {
        throw ModelError.configuration(
          file: configuration.file, key: "\(name)_attention_heads", expected: "a divisor of d_model \(hiddenSize)", found: "\(heads)")
      }
      return Stack(
        side: side, name: name, layers: layers, heads: heads, width: try configuration.count("\(name)_ffn_dim"),
        step: try configuration.wholeNumber("\(name)_sparse_step", default: 4))
    }
    encoder = try stack(.encoder, "encoder", configuration.layerCount("encoder_layers", "num_hidden_layers"))
    decoder = try stack(.decoder, "decoder", configuration.layerCount("decoder_layers"))
    if hiddenSize % 2 != 0 || hiddenSize < 4 {
      throw configuration.refused("d_model", found: "\(hiddenSize)", supported: "an even width of 4 or more, for positions by waves")
    }
    configuration.disregardTraining(and: [
      "activation_dropout", "decoder_layerdrop", "dropout", "encoder_layerdrop", "init_std", "num_attention_heads",
    ])
  }

  private static func router(_ configuration: Configuration) throws -> RouterSpec {
    try configuration.require("router_dtype", "float32", default: "float32")
    try configuration.require("router_type", "top_2", default: "top_2")
    try configuration.require("second_expert_policy", "all", default: "all")
    let fixed = try configuration.wholeNumber("expert_capacity", default: 64)
    let share = try configuration.number("moe_eval_capacity_token_fraction", default: 1)
    let order: CapacityRule.Order = try configuration.flag("batch_prioritized_routing", default: false) ? .probability : .position
    let renormalizes = !(try configuration.flag("normalize_router_prob_before_dropping", default: false))
    let masked = try configuration.number("moe_token_dropout", default: 0.2)
    if !(0..<1).contains(masked) { throw configuration.refused("moe_token_dropout", found: "\(masked)", supported: "0..<1") }
    var router = RouterSpec(
      expertCount: try configuration.count("num_experts"), scoring: .softmax, selection: .tokenChoice(topK: 2),
      normalization: .sumClamped(minimum: .ulpOfOne), routedScale: Float(1 - masked))
    // An expert that takes as many tokens as there are drops none; what a drop does to the weights still holds, where rules bring one.
    if share < 1 || renormalizes {
      router.capacity = CapacityRule(limit: share > 0 ? .share(min(1, share)) : .tokens(fixed), order: order, renormalizes: renormalizes)
    }
    return router
  }

  func model() -> ModelPlan {
    func embedding(_ stack: Stack) -> MatrixPlan {
      var plan: MatrixPlan = isTied ? "model.shared.weight" : "model.\(stack.name).embed_tokens.weight"
      plan.alternatives = isTied ? [] : ["model.shared.weight"]
      return plan
    }
    return ModelPlan(
      family: "nllb_moe", hiddenSize: hiddenSize, vocabularySize: vocabularySize, contextLength: contextLength,
      embedding: embedding(decoder), embeddingScale: scalesEmbedding ? Float(hiddenSize).squareRoot() : 1,
      positions: SinusoidalPositionsPlan(paddingToken: paddingToken),
      encoder: EncoderPlan(embedding: embedding(encoder), stack: plan(encoder)), decoder: plan(decoder),
      outputHead: LinearPlan(isTied ? .tiedHead(embedding(decoder)) : "lm_head.weight"))
  }

  private func plan(_ stack: Stack) -> StackPlan {
    StackPlan(blocks: (0..<stack.layers).map { block(stack, $0) }, finalNorm: norm("model.\(stack.name).layer_norm"))
  }

  private func norm(_ name: String) -> NormPlan { .layer("\(name).weight", bias: "\(name).bias", 1e-5) }

  private func block(_ stack: Stack, _ layer: Int) -> BlockPlan {
    let prefix = "model.\(stack.name).layers.\(layer)."
    let headSize = hiddenSize / stack.heads
    func linear(_ attention: String, _ name: String) -> LinearPlan { LinearPlan(prefix: prefix + attention + name, bias: true) }
    var sublayers = [
      SublayerPlan(
        norm(prefix + "self_attn_layer_norm"),
        AttentionPlan(
          headCount: stack.heads, keyValueHeadCount: stack.heads, headSize: headSize, query: linear("self_attn.", "q_proj"),
          key: linear("self_attn.", "k_proj"), value: linear("self_attn.", "v_proj"), output: linear("self_attn.", "out_proj"),
          looksBothWays: stack.side == .encoder))
    ]
    if stack.side == .decoder {
      sublayers.append(
        SublayerPlan(
          norm(prefix + "cross_attention_layer_norm"),
          CrossAttentionPlan(
            headCount: stack.heads, headSize: headSize, query: linear("cross_attention.", "q_proj"),
            key: linear("cross_attention.", "k_proj"), value: linear("cross_attention.", "v_proj"),
            output: linear("cross_attention.", "out_proj"))))
    }
    let isRouted = stack.step > 0 && (layer + 1) % stack.step == 0
    sublayers.append(
      SublayerPlan(
        norm(prefix + "ff_layer_norm"), isRouted ? experts(stack, prefix + "ffn.") : gated(prefix + "ffn.", stack.width)))
    return BlockPlan(sublayers)
  }

  private func experts(_ stack: Stack, _ prefix: String) -> any OperationPlan {
    ExpertsPlan(
      stack: stack.side, router: router, routerLinear: LinearPlan(prefix: prefix + "router.classifier", bias: routerHasBias),
      expert: { gated("\(prefix)experts.expert_\($0).", stack.width) })
  }

  private func gated(_ prefix: String, _ width: Int) -> GatedPlan {
    GatedPlan(
      up: LinearPlan(prefix: prefix + "fc1", bias: true), down: LinearPlan(prefix: prefix + "fc2", bias: true), intermediateSize: width,
      activation: activation)
  }
}
