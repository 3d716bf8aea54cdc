// LFM2-MoE (Liquid AI 2025, arXiv:2511.23404): most layers mix tokens with a short gated convolution, a few with attention; sigmoid
// router with a bias that steers selection only.
//
// | key                   | meaning                                             | default  |
// |-----------------------|-----------------------------------------------------|----------|
// | layer_types           | conv or full_attention for each layer               | required |
// | conv_L_cache          | tokens a convolution reaches, the own included      | 3        |
// | conv_bias             | biases on the convolution and its projections       | false    |
// | num_dense_layers      | leading layers without a router                     | 2        |
// | intermediate_size     | width of a dense block                              | with dense |
// | num_experts           | experts a layer                                     | required |
// | num_experts_per_tok   | topK                                                | required |
// | moe_intermediate_size | width of one expert                                 | required |
// | use_expert_bias       | whether selection is biased                         | true     |
// | norm_topk_prob        | weights divided by their sum                        | true     |
// | routed_scaling_factor | factor on the weights                               | 1        |
// | tie_embedding         | older spelling of tie_word_embeddings               | true     |

import Routing

extension Family {
  static let lfm2MoE = Family(modelType: "lfm2_moe", defaults: ["num_key_value_heads": "8", "num_dense_layers": "2", "norm_eps": "1e-05"]) {
    configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5, tied: configuration.flag("tie_embedding", default: true))
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 1_000_000)
    let isConvolution = try configuration.layerKinds(["conv": true, "full_attention": false], count: sizes.layerCount)
    let reach = try configuration.count("conv_L_cache", default: 3)
    let bias = try configuration.flag("conv_bias", default: false)
    let feedForward = try feedForward(sizes)
    return sizes.model("lfm2_moe", finalNorm: sizes.rms("model.embedding_norm")) { layer in
      let prefix = sizes.prefix(layer)
      var mixer: any OperationPlan = ShortConvolutionPlan(
        input: LinearPlan(prefix: prefix + "conv.in_proj", bias: bias),
        convolution: ConvolutionPlan(
          channels: sizes.hiddenSize, width: reach, weight: prefix + "conv.conv.weight",
          bias: bias ? VectorPlan(prefix + "conv.conv.bias") : nil),
        output: LinearPlan(prefix: prefix + "conv.out_proj", bias: bias))
      if !isConvolution[layer] {
        var attention = sizes.attention(layer: layer, rotary: rotary, output: "out_proj")
        sizes.normHeads(&attention, layer: layer, scope: .head, query: "q_layernorm", key: "k_layernorm")
        mixer = attention
      }
      return BlockPlan([
        SublayerPlan(sizes.rms(prefix + "operator_norm"), mixer), SublayerPlan(sizes.rms(prefix + "ffn_norm"), feedForward(layer)),
      ])
    }
  }

  private static func feedForward(_ sizes: DecoderSizes) throws -> (Int) -> any OperationPlan {
    let configuration = sizes.configuration
    let isNormalized = try configuration.flag("norm_topk_prob", default: true)
    let router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("num_experts"),
      normalization: isNormalized ? .sum(epsilon: 1e-6) : .none, scale: try configuration.number("routed_scaling_factor", default: 1))
    let isBiased = try configuration.flag("use_expert_bias", default: true)
    let width = try configuration.count("moe_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let denseLayers = try configuration.wholeNumber("num_dense_layers", default: 2)
    let denseWidth = try configuration.width(declaredWidth, ofDense: (0..<sizes.layerCount).map { $0 < denseLayers })
    return { layer in
      let prefix = sizes.prefix(layer) + "feed_forward."
      guard layer >= denseLayers else { return GatedPlan.numbered(prefix, denseWidth) }
      return ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"),
        correctionBias: isBiased ? VectorPlan(prefix + "expert_bias") : nil, expert: { .numbered(prefix + "experts.\($0).", width) })
    }
  }
}
