// Kolibri (Aleph Alpha 2026): experts by their logits and a bias that steers selection only, weights by the sigmoid of the logits alone, one
// shared expert; norms on both sides of each half; layers with a window turn, the others do not.
//
// | key                           | meaning                                            | default  |
// |-------------------------------|----------------------------------------------------|----------|
// | num_experts, num_experts_per_tok | routed experts a layer, topK                    | required |
// | moe_intermediate_size, shared_expert_intermediate_size | widths                    | required |
// | norm_topk_prob                | weights divided by their sum                       | false    |
// | layer_types, sliding_window   | which layers have a window, of so many tokens      | all but each 5th |

import Routing

extension Family {
  static let kolibri1 = Family(
    modelType: "kolibri1",
    defaults: [
      "num_key_value_heads": "4", "head_dim": "128", "sliding_window": "513", "shared_expert_intermediate_size": "512",
      "rms_norm_eps": "1e-06",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let hasWindow = try configuration.layerKinds(
      ["sliding_attention": true, "full_attention": false], count: sizes.layerCount, default: { ($0 + 1) % 5 != 0 })
    let window = try configuration.optionalCount("sliding_window")
    if window == nil, hasWindow.contains(true) {
      throw configuration.refused("sliding_window", found: "nothing", supported: "the tokens of layers with a window")
    }
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let router = RouterSpec(
      expertCount: try configuration.count("num_experts", "num_local_experts"), scoring: .logits,
      selection: .tokenChoice(topK: try configuration.count("num_experts_per_tok")), weighting: .sigmoidOfSelectedLogits,
      normalization: try configuration.flag("norm_topk_prob", default: false) ? .sum(epsilon: 0) : .none)
    let (width, sharedWidth) = (
      try configuration.count("moe_intermediate_size"), try configuration.count("shared_expert_intermediate_size")
    )
    return sizes.model("kolibri1") { layer in
      var attention = sizes.attention(layer: layer, rotary: window == nil || hasWindow[layer] ? rotary : nil)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.window = hasWindow[layer] ? window : nil
      let prefix = sizes.prefix(layer) + "mlp."
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { .projections(prefix + "experts.\($0).", width) })
      experts.correctionBias = VectorPlan(
        sizes.prefix(layer) + "moe.router.expert_bias", or: prefix + "gate.e_score_correction_bias")
      experts.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_experts.", sharedWidth))]
      var block = sizes.block(layer: layer, attention, experts)
      block.sublayers[0].outputNorm = sizes.rms(sizes.prefix(layer) + "post_attn_norm")
      block.sublayers[1].outputNorm = sizes.rms(sizes.prefix(layer) + "post_ffn_norm")
      return block
    }
  }
}
