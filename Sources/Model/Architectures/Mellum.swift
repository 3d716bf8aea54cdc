// Mellum 2 (JetBrains): the router and norms of Qwen3-MoE; layers with a window have rotary frequencies of their own.
//
// | key                       | meaning                                      | default  |
// |---------------------------|----------------------------------------------|----------|
// | num_experts, num_experts_per_tok, norm_topk_prob, moe_intermediate_size | as Qwen3-MoE | required |
// | layer_types, sliding_window | which layers see how far                   | required |
// | rope_parameters           | settings by type of layer                    | base 500000, with a window 10000 |
// | mlp_layer_types           | dense or sparse                              | sparse   |

import Routing

extension Family {
  static let mellum = Family(
    modelType: "mellum", defaults: ["num_key_value_heads": "4", "head_dim": "128", "sliding_window": "1024", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("num_experts", "num_local_experts"),
      renormalised: configuration.flag("norm_topk_prob", default: true))
    let width = try configuration.count("moe_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let halves = try configuration.layerTypes("mlp_layer_types", count: sizes.layerCount)
    let isDense = (0..<sizes.layerCount).map { halves?[$0] == "dense" }
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense)
    let window = try configuration.slidingWindow(sizes.layerCount) { _ in false }
    let bias = try configuration.flag("attention_bias", default: false)
    _ = configuration.value("num_mtp_layers", "num_nextn_predict_layers", "mtp_layer_types", "mtp_mlp_layer_types")
    let far = try configuration.rotary(headSize: sizes.headSize, defaultBase: 500_000, layerType: "full_attention")
    let near = try configuration.rotary(headSize: sizes.headSize, defaultBase: 10_000, layerType: "sliding_attention")
    return sizes.model("mellum") { layer in
      var attention = sizes.attention(layer: layer, rotary: window(layer) == nil ? far : near, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.window = window(layer)
      let prefix = sizes.prefix(layer) + "mlp."
      if isDense[layer] { return sizes.block(layer: layer, attention, GatedPlan.projections(prefix, denseWidth)) }
      return sizes.block(
        layer: layer, attention,
        ExpertsPlan(
          router: router, routerLinear: LinearPlan(prefix: prefix + "gate"),
          expert: { .projections(prefix + "experts.\($0).", width) }))
    }
  }
}
