// LongCat-Flash (Meituan 2025, arXiv:2509.01322): two attention layers and two dense halves a block, and a routed half that reads what
// the first dense one reads and is added behind the second. Router outputs beyond the experts are identity experts.
//
// | key                   | meaning                                        | default  |
// |-----------------------|------------------------------------------------|----------|
// | num_layers            | blocks                                         | required |
// | n_routed_experts      | experts with weights                           | required |
// | zero_expert_num       | identity experts behind them                   | 256      |
// | moe_topk              | topK                                           | required |
// | ffn_hidden_size, expert_ffn_hidden_size | widths of dense halves and experts | required |
// | routed_scaling_factor | factor on the weights                          | 6        |
// | mla_scale_q_lora, mla_scale_kv_lora | latent norms times sqrt(hidden / rank) | true |

import Routing

extension Family {
  static let longCatFlash = Family(
    modelType: "longcat_flash",
    defaults: [
      "zero_expert_num": "256", "q_lora_rank": "1536", "routed_scaling_factor": "6.0", "rope_theta": "10000000.0", "rms_norm_eps": "1e-05",
    ]
  ) { configuration in
    let rotated = try configuration.count("qk_rope_head_dim")
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5, headSize: rotated)
    _ = configuration.value("head_dim", "qk_head_dim", "num_layers")
    let real = try configuration.count("n_routed_experts", "num_local_experts")
    let zero = try configuration.wholeNumber("zero_expert_num", default: 0)
    try configuration.require("zero_expert_type", "identity", default: "identity")
    if try configuration.flag("router_bias", default: false) {
      throw configuration.refused("router_bias", found: "true", supported: "false")
    }
    var router = RouterSpec(
      expertCount: real + zero, identityExperts: zero, scoring: .softmax,
      selection: .tokenChoice(topK: try configuration.count("moe_topk", "num_experts_per_tok")))
    router.routedScale = Float(try configuration.number("routed_scaling_factor", default: 6))
    if try configuration.flag("norm_topk_prob", default: false) {
      throw configuration.refused("norm_topk_prob", found: "true", supported: "false")
    }
    let denseWidth = try configuration.count("ffn_hidden_size", "intermediate_size")
    let width = try configuration.count("expert_ffn_hidden_size", "moe_intermediate_size")
    let scales = try [configuration.flag("mla_scale_q_lora", default: true), configuration.flag("mla_scale_kv_lora", default: true)]
    if scales.contains(false) { throw configuration.refused("mla_scale_q_lora, mla_scale_kv_lora", found: "false", supported: "true") }
    try configuration.require("attention_method", "MLA", default: "MLA")
    let attention = try latentAttention(sizes, interleaved: true)
    let spec = router
    return sizes.model("longcat_flash") { layer in
      let prefix = sizes.prefix(layer)
      func mixer(_ place: Int) -> LatentAttentionPlan {
        var plan = attention(layer, "self_attn.\(place).")
        plan.queryFactor = Float((Double(sizes.hiddenSize) / Double(max(1, plan.queryDownSize))).squareRoot())
        plan.latentFactor = Float((Double(sizes.hiddenSize) / Double(plan.latentSize)).squareRoot())
        return plan
      }
      func norm(_ name: String, _ place: Int) -> NormPlan { sizes.rms("\(prefix)\(name).\(place)") }
      var routed = SublayerPlan(
        norm("post_attention_layernorm", 0),
        ExpertsPlan(
          router: spec, routerLinear: LinearPlan(prefix: prefix + "mlp.router.classifier"),
          correctionBias: VectorPlan(prefix + "mlp.router.e_score_correction_bias"),
          expert: { .projections(prefix + "mlp.experts.\($0).", width) }))
      routed.destination = .held
      var last = SublayerPlan(norm("post_attention_layernorm", 1), GatedPlan.projections(prefix + "mlps.1.", denseWidth))
      last.addsHeld = true
      return BlockPlan([
        SublayerPlan(norm("input_layernorm", 0), mixer(0)), routed,
        SublayerPlan(.previous, GatedPlan.projections(prefix + "mlps.0.", denseWidth)),
        SublayerPlan(norm("input_layernorm", 1), mixer(1)), last,
      ])
    }
  }
}
