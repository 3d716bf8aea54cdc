// OLMoE (Muennighoff et al. 2024, arXiv:2409.02060): every block is routed; RMS norm over the whole query and key projections.
// FlexOlmo (Shi et al. 2025, arXiv:2507.07024) routes alike and normalises behind its operations instead of before them.
//
// | key                  | meaning                                              | default        |
// |----------------------|------------------------------------------------------|----------------|
// | num_experts          | routed experts a layer                               | required       |
// | num_experts_per_tok  | topK                                                 | required       |
// | norm_topk_prob       | weights divided by their sum                         | false          |
// | intermediate_size    | width of one expert                                  | required       |
// | clip_qkv             | clamp of queries, keys, values after the norms       | none           |
// | attention_bias       | biases on q, k, v, o                                 | false          |

import Routing

extension Family {
  static let olmoe = Family(modelType: "olmoe") { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let clip = try configuration.optionalNumber("clip_qkv").map { Float($0) }
    let halves = try olmo(sizes, base: 10_000)
    return sizes.model("olmoe") { layer in
      var (attention, experts) = halves(layer)
      attention.clip = clip
      return sizes.block(layer: layer, attention, experts)
    }
  }

  static let flexOlmo = Family(modelType: "flex_olmo", defaults: ["rms_norm_eps": "1e-06"]) { configuration in
    let sizes = try DecoderSizes(configuration)
    let halves = try olmo(sizes, base: 500_000)
    return sizes.model("flex_olmo") { layer in
      let (attention, experts) = halves(layer)
      var sublayers = [SublayerPlan(.stream, attention), SublayerPlan(.stream, experts)]
      sublayers[0].outputNorm = sizes.rms(sizes.prefix(layer) + "post_attention_layernorm")
      sublayers[1].outputNorm = sizes.rms(sizes.prefix(layer) + "post_feedforward_layernorm")
      return BlockPlan(sublayers)
    }
  }

  private static func olmo(_ sizes: DecoderSizes, base: Double) throws -> (Int) -> (AttentionPlan, ExpertsPlan) {
    let configuration = sizes.configuration
    let router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("num_experts", "num_local_experts"),
      renormalised: configuration.flag("norm_topk_prob", default: false))
    let width = try configuration.count("intermediate_size")
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: base)
    return { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .projection)
      let prefix = sizes.prefix(layer) + "mlp."
      return (
        attention,
        ExpertsPlan(
          router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { .projections(prefix + "experts.\($0).", width) })
      )
    }
  }
}
