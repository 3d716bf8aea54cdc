// MiniMax-M2 (MiniMax 2025): sigmoid router with a bias that steers selection only, RMS norm over whole query and key projections,
// half of each head turns.
//
// | key                  | meaning                             | default  |
// |----------------------|-------------------------------------|----------|
// | num_local_experts    | experts a layer                     | required |
// | num_experts_per_tok  | topK                                | required |
// | intermediate_size    | width of one expert                 | required |
// | rotary_dim           | rotated elements of a head          | by partial_rotary_factor |

import Routing

extension Family {
  static let miniMaxM2 = Family(
    modelType: "minimax_m2", defaults: ["num_key_value_heads": "8", "head_dim": "128", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    try configuration.requireOne("layernorm_full_attention_beta", "layernorm_linear_attention_beta", "layernorm_mlp_beta")
    if try configuration.wholeNumber("shared_intermediate_size", default: 0) != 0 {
      throw configuration.refused("shared_intermediate_size", found: "set", supported: "0: no shared expert")
    }
    if try configuration.optionalCount("sliding_window") != nil {
      throw configuration.refused("sliding_window", found: "set", supported: "null")
    }
    let router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("num_local_experts"), normalization: .sum(epsilon: 0))
    try configuration.require("scoring_func", "sigmoid", default: "sigmoid")
    if !(try configuration.flag("use_routing_bias", default: true)) {
      throw configuration.refused("use_routing_bias", found: "false", supported: "true")
    }
    if !(try configuration.flag("use_qk_norm", default: true)) {
      throw configuration.refused("use_qk_norm", found: "false", supported: "true")
    }
    try configuration.require("qk_norm_type", "per_layer", default: "per_layer")
    _ = configuration.value(
      "attn_type_list", "layer_types", "mtp_transformer_layers", "num_mtp_modules", "use_mtp", "shared_moe_mode", "mlp_intermediate_size",
      "swa_rope_theta", "max_model_len", "attn_window_size")
    let width = try configuration.count("intermediate_size")
    let rotated = try configuration.optionalCount("rotary_dim")
    let rotary = try configuration.rotary(
      headSize: sizes.headSize, defaultBase: 5_000_000, defaultShare: rotated.map { Double($0) / Double(sizes.headSize) } ?? 1)
    return sizes.model("minimax_m2") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary)
      sizes.normHeads(&attention, layer: layer, scope: .projection)
      let prefix = sizes.prefix(layer) + "block_sparse_moe."
      return sizes.block(
        layer: layer, attention,
        ExpertsPlan(
          router: router, routerLinear: LinearPlan(prefix: prefix + "gate"),
          correctionBias: VectorPlan(prefix + "e_score_correction_bias"), expert: { .numbered(prefix + "experts.\($0).", width) }))
    }
  }
}
