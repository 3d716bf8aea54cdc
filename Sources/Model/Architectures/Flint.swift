// Flint (2026): a sigmoid router without a bias and one shared expert; attention sinks; layers with a window turn, the others do not.
//
// | key                           | meaning                                            | default  |
// |-------------------------------|----------------------------------------------------|----------|
// | num_experts, num_experts_per_tok | routed experts a layer, topK                    | required |
// | moe_intermediate_size, shared_expert_intermediate_size | widths                    | required |
// | norm_topk_prob                | weights divided by their sum                       | true     |
// | mlp_only_layers, decoder_sparse_step | dense layers: listed, or not at every n-th place | the first two, 1 |
// | layer_types, sliding_window   | which layers have a window, of so many tokens      | all but the first two, each 4th (from 1) and the last |

import Routing

extension Family {
  static let flint = Family(
    modelType: "flint",
    defaults: [
      "num_key_value_heads": "4", "head_dim": "128", "sliding_window": "513", "shared_expert_intermediate_size": "1024",
      "norm_topk_prob": "true", "rms_norm_eps": "1e-06", "mlp_only_layers": "[0, 1]",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let last = sizes.layerCount - 1
    let hasWindow = try configuration.layerKinds(
      ["sliding_attention": true, "full_attention": false], count: sizes.layerCount, default: { $0 > 1 && $0 % 4 != 1 && $0 != last })
    let window = try hasWindow.contains(true) ? configuration.count("sliding_window") : nil
    configuration.disregard(["sliding_window"])
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let bias = try configuration.flag("attention_bias", default: false)
    let router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("num_experts"),
      normalization: try configuration.flag("norm_topk_prob", default: true) ? .sum(epsilon: 0) : .none)
    let (width, sharedWidth) = (
      try configuration.count("moe_intermediate_size"), try configuration.count("shared_expert_intermediate_size")
    )
    let isDense = try configuration.isDense()
    let denseWidth = try configuration.width(
      configuration.optionalCount("intermediate_size"), ofDense: (0..<sizes.layerCount).map(isDense))
    return sizes.model("flint") { layer in
      var attention = sizes.attention(layer: layer, rotary: hasWindow[layer] ? rotary : nil, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.window = hasWindow[layer] ? window : nil
      attention.sinks = VectorPlan(sizes.prefix(layer) + "self_attn.softmax_offset")
      let prefix = sizes.prefix(layer) + "mlp."
      if isDense(layer) { return sizes.block(layer: layer, attention, GatedPlan.projections(prefix, denseWidth)) }
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { .projections(prefix + "experts.\($0).", width) })
      experts.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_expert.", sharedWidth))]
      return sizes.block(layer: layer, attention, experts)
    }
  }
}
