// Laguna (poolside 2026): a sigmoid router with a bias that steers selection only, one shared expert; every layer has as many heads as its
// entry says, and a softplus of the input multiplies their output.
//
// | key                           | meaning                                            | default  |
// |-------------------------------|----------------------------------------------------|----------|
// | num_experts, num_experts_per_tok | routed experts a layer, topK                    | required |
// | moe_intermediate_size, shared_expert_intermediate_size | widths                    | required |
// | moe_routed_scaling_factor     | factor on the weights                              | 1        |
// | moe_router_logit_softcapping  | router logits become cap * tanh(logit / cap); 0: they stay | 0 |
// | mlp_layer_types               | dense or sparse                                    | the first is dense |
// | num_attention_heads_per_layer | query heads of each layer                          | num_attention_heads |
// | gating                        | true or per-head: a number a head; per-element     | true     |
// | layer_types, sliding_window   | which layers have a window                         | none     |
// | rope_parameters               | an entry for each type of layer                    | required |

import Routing

extension Family {
  static let laguna = Family(
    modelType: "laguna",
    defaults: [
      "num_key_value_heads": "8", "head_dim": "128", "sliding_window": "512", "shared_expert_intermediate_size": "512",
      "rms_norm_eps": "1e-06",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let layers = 0..<sizes.layerCount
    let hasWindow = try configuration.layerKinds(
      ["sliding_attention": true, "full_attention": false], count: sizes.layerCount, default: { _ in false })
    let types = try configuration.layerTypes("mlp_layer_types", count: sizes.layerCount)
    let isDense = layers.map { layer in types.map { $0[layer] == "dense" } ?? (layer == 0) }
    let listed = try configuration.counts("num_attention_heads_per_layer")
    let heads = listed.isEmpty ? layers.map { _ in sizes.headCount } : listed
    guard heads.count == sizes.layerCount, heads.allSatisfy({ $0 > 0 && $0 <= 1 << 16 && $0 % sizes.keyValueHeadCount == 0 }) else {
      throw ModelError.configuration(
        file: configuration.file, key: "num_attention_heads_per_layer",
        expected: "\(sizes.layerCount) multiples of num_key_value_heads \(sizes.keyValueHeadCount)", found: "\(heads)")
    }
    let gatesHeads = try configuration.gatesHeads()
    let window = try hasWindow.contains(true) ? configuration.count("sliding_window") : nil
    configuration.disregard(["sliding_window"])
    let bias = try configuration.flag("attention_bias", default: false)
    let full = try configuration.rotary(headSize: sizes.headSize, defaultBase: 500_000, defaultShare: 0.5, layerType: "full_attention")
    let near = try configuration.rotary(headSize: sizes.headSize, defaultBase: 10_000, defaultShare: 1, layerType: "sliding_attention")
    let cap = try configuration.number("moe_router_logit_softcapping", default: 0)
    if cap < 0 { throw configuration.refused("moe_router_logit_softcapping", found: "\(cap)", supported: "0 and more") }
    try configuration.refuseSet("moe_apply_router_weight_on_input")
    let router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("num_experts"), normalization: .sum(epsilon: 0),
      scale: try configuration.number("moe_routed_scaling_factor", default: 1))
    let width = try configuration.count("moe_intermediate_size")
    let sharedWidth = try configuration.count("shared_expert_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense)
    return sizes.model("laguna") { layer in
      var attention = sizes.attention(layer: layer, rotary: hasWindow[layer] ? near : full, bias: bias)
      attention.headCount = heads[layer]
      attention.window = hasWindow[layer] ? window : nil
      attention.outputGate = OutputGatePlan(
        linear: LinearPlan(prefix: sizes.prefix(layer) + "self_attn.g_proj"), form: .init(function: .softplus, isPerHead: gatesHeads))
      sizes.normHeads(&attention, layer: layer, scope: .head)
      let prefix = sizes.prefix(layer) + "mlp."
      if isDense[layer] { return sizes.block(layer: layer, attention, GatedPlan.projections(prefix, denseWidth)) }
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { .projections(prefix + "experts.\($0).", width) })
      experts.logitCap = cap > 0 ? Float(cap) : nil
      experts.correctionBias = VectorPlan(prefix + "experts.e_score_correction_bias")
      experts.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_expert.", sharedWidth))]
      return sizes.block(layer: layer, attention, experts)
    }
  }
}

extension Configuration {
  /// Laguna's `gating`: true or a word.
  fileprivate func gatesHeads() throws -> Bool {
    guard value("gating")?.kind == .string else {
      try requireSet("gating")
      return true
    }
    let word = try text("gating")
    guard ["per-head", "per-element"].contains(word) else {
      throw refused("gating", found: "\"\(word)\"", supported: "true, \"per-head\", \"per-element\"")
    }
    return word == "per-head"
  }
}
