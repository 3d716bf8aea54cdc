// Phi-3.5-MoE (Abdin et al. 2024, arXiv:2404.14219): two experts drawn one after the other by sparsemixer, layer norms with biases,
// longrope.
//
// | key                   | meaning                                  | default  |
// |-----------------------|------------------------------------------|----------|
// | num_local_experts     | experts a layer                          | required |
// | num_experts_per_tok   | topK; sparsemixer draws two              | 2        |
// | router_jitter_noise   | epsilon of sparsemixer                   | 0.01     |
// | attention_bias, lm_head_bias | biases                            | false    |

import Routing

extension Family {
  static let phiMoE = Family(modelType: "phimoe", defaults: ["num_key_value_heads": "8", "rms_norm_eps": "1e-05"]) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let topK = try configuration.count("num_experts_per_tok", default: 2)
    if topK != 2 { throw configuration.refused("num_experts_per_tok", found: "\(topK)", supported: "2: sparsemixer draws two experts") }
    let router = RouterSpec(
      expertCount: try configuration.count("num_local_experts"),
      scoring: .sparsemixer(epsilon: Float(try configuration.number("router_jitter_noise", default: 0.01))),
      selection: .tokenChoice(topK: 2))
    let width = try configuration.count("intermediate_size")
    let bias = try configuration.flag("attention_bias", default: false)
    let headBias = try configuration.flag("lm_head_bias", default: false)
    let window = try configuration.optionalCount("sliding_window")
    _ = try configuration.optionalNumber("input_jitter_noise")
    var rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 1_000_000)
    // The reference keeps the short divisors for sequences of every length; only the magnitude changes.
    if case .longRope(let short, _, let original) = rotary.scaling {
      rotary.scaling = .longRope(short: short, long: short, originalContext: original)
    }
    let positions = rotary
    _ = try configuration.optionalCount("original_max_position_embeddings")
    func norm(_ name: String) -> NormPlan { .layer("\(name).weight", bias: "\(name).bias", sizes.epsilon) }
    return sizes.model("phimoe", finalNorm: norm("model.norm"), headBias: headBias) { layer in
      var attention = sizes.attention(layer: layer, rotary: positions, bias: bias)
      attention.window = window
      let prefix = sizes.prefix(layer)
      let experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "block_sparse_moe.gate"),
        expert: { .numbered(prefix + "block_sparse_moe.experts.\($0).", width) })
      return BlockPlan([
        SublayerPlan(norm(prefix + "input_layernorm"), attention), SublayerPlan(norm(prefix + "post_attention_layernorm"), experts),
      ])
    }
  }
}
