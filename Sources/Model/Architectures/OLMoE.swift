// OLMoE (Muennighoff et al. 2024, arXiv:2409.02060): every block is routed; RMS norm over the whole query and key projections.
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
    let sizes = try DecoderSizes(configuration, normEpsilon: 1e-5)
    let router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("num_experts", "num_local_experts"),
      renormalised: configuration.flag("norm_topk_prob", default: false))
    let width = try configuration.count("intermediate_size")
    let clip = try configuration.optionalNumber("clip_qkv").map { Float($0) }
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 10_000)
    let tied = try configuration.flag("tie_word_embeddings", default: false)
    return sizes.model(family: "olmoe", rotary: rotary, tiedHead: tied) { layer in
      var attention = sizes.attention(layer: layer, bias: bias)
      attention.queryNorm = HeadNormPlan(weight: "model.layers.\(layer).self_attn.q_norm.weight", scope: .projection)
      attention.keyNorm = HeadNormPlan(weight: "model.layers.\(layer).self_attn.k_norm.weight", scope: .projection)
      attention.clip = clip
      return attention
    } feedForward: { layer in
      .experts(
        ExpertsPlan(
          router: router, routerWeight: "model.layers.\(layer).mlp.gate.weight", expertCount: router.expertCount,
          expert: .projections("model.layers.\(layer).mlp.experts.{expert}.", intermediateSize: width)))
    }
  }
}
