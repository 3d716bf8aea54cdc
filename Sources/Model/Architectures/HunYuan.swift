// Hunyuan-A13B (Tencent 2025): RMS norm on heads behind the rotation, a shared expert, softmax router with renormalised weights.
// Hy3 has the sigmoid router with a bias that steers selection only.
//
// | key                   | meaning                                             | default  |
// |-----------------------|-----------------------------------------------------|----------|
// | num_experts           | routed experts a layer                              | required |
// | moe_topk              | topK, one number or one a layer                     | required |
// | moe_intermediate_size | width of one expert, one number or one a layer      | intermediate_size |
// | num_shared_expert     | 1 where a layer has the shared expert               | 1        |
// | intermediate_size     | width of the shared expert                          | required |
// | rope_scaling.alpha    | base times alpha^(d / (d - 2)), type dynamic        | none     |

import Routing

extension Family {
  static let hunYuanMoE = Family(modelType: "hunyuan_v1_moe", defaults: ["rms_norm_eps": "1e-05"]) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let experts = try configuration.count("num_experts")
    let topK = try configuration.perLayer("moe_topk", sizes.layerCount)
    let declared = try configuration.optionalPerLayer("moe_intermediate_size", sizes.layerCount)
    let sharedWidth = try configuration.count("intermediate_size")
    let shared = try configuration.optionalPerLayer("num_shared_expert", sizes.layerCount)
    if let shared, shared.contains(where: { $0 != 1 }) {
      throw configuration.refused("num_shared_expert", found: "\(shared)", supported: "1 in every layer")
    }
    if !(try configuration.flag("use_qk_norm", default: true)) {
      throw configuration.refused("use_qk_norm", found: "false", supported: "true")
    }
    let bias = try configuration.flag("attention_bias", default: false)
    try configuration.refuseSet(
      "use_cla", "use_mla", "mlp_bias", "group_limited_greedy", "position_embedding_xdrope", "moe_drop_tokens",
      "moe_random_routing_dropped_token", "add_classification_head")
    if try configuration.wholeNumber("moe_layer_num_skipped", default: 0) != 0 {
      throw configuration.refused("moe_layer_num_skipped", found: "set", supported: "0")
    }
    try configuration.require("norm_type", "rms", default: "rms")
    // Marks of the tokenizer, parts for images, and settings that only matter with those refused above.
    configuration.disregard([
      "eod_token_id", "use_mixed_mlp_moe", "norm_topk_prob", "attention_head_dim", "cla_share_factor", "class_num", "dense_list",
      "org_vocab_size", "pad_id", "pool_type", "skip_cls_token", "use_rotary_pos_emb", "routed_scaling_factor", "n_group", "topk_group",
      "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "xdrope_section", "image_token_id",
      "im_start_id", "im_end_id", "im_newline_id", "text_start_id", "text_end_id", "video_start_id", "video_end_id", "mask_init_id",
      "num_media_embeds", "anyres_pooling_size", "anyres_vit_max_image_size", "anyres_vit_two_views", "vit_add_patchemb_bias",
      "vit_input_resolution", "vit_mapping_type", "vit_norm_type", "vit_patch", "vit_path", "vit_remove_prenorm", "vit_token",
      "vit_type", "vit_used_rms_norm", "max_image_size", "max_vit_seq_len",
    ])
    let rotary = try configuration.rotary(headSize: sizes.headSize, stretchesBase: true)
    // The reference gives routed experts the width of the shared one.
    if let declared, declared.contains(where: { $0 != sharedWidth }) {
      throw configuration.refused("moe_intermediate_size", found: "\(declared)", supported: "intermediate_size \(sharedWidth)")
    }
    return sizes.model("hunyuan_v1_moe") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .head, query: "query_layernorm", key: "key_layernorm")
      attention.normsFollowRotary = true
      let prefix = sizes.prefix(layer) + "mlp."
      var routed = ExpertsPlan(
        router: .softmaxTopK(topK[layer], of: experts, renormalised: true), routerLinear: LinearPlan(prefix: prefix + "gate.wg"),
        expert: { .projections(prefix + "experts.\($0).", sharedWidth) })
      routed.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_mlp.", sharedWidth))]
      return sizes.block(layer: layer, attention, routed)
    }
  }
}

extension Family {
  static let hunYuanV3 = Family(
    modelType: "hy_v3",
    defaults: [
      "num_key_value_heads": "8", "head_dim": "128", "num_shared_experts": "1", "first_k_dense_replace": "1",
      "router_scaling_factor": "2.826", "rms_norm_eps": "1e-05",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("num_experts", "num_local_experts"),
      normalization: .sum(epsilon: 1e-20), scale: try configuration.number("router_scaling_factor", default: 2.826))
    let width = try configuration.count("moe_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let shared = try configuration.count("num_shared_experts", default: 1)
    let halves = try configuration.layerTypes("mlp_layer_types", count: sizes.layerCount)
    let isCounted = halves == nil || configuration.isThere("first_k_dense_replace")
    let denseBlocks = isCounted ? try configuration.wholeNumber("first_k_dense_replace", default: 1) : 0
    let isDense = (0..<sizes.layerCount).map { layer in halves.map { $0[layer] == "dense" } ?? (layer < denseBlocks) }
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense)
    let bias = try configuration.flag("attention_bias", default: false)
    try configuration.refuseSet("mlp_bias")
    try configuration.requireSet("route_norm", "qk_norm", "moe_router_use_sigmoid", "moe_router_enable_expert_bias")
    if let again = try configuration.optionalCount("expert_hidden_dim"), again != width {
      throw configuration.refused("expert_hidden_dim", found: "\(again)", supported: "moe_intermediate_size \(width)")
    }
    configuration.disregard([
      "enable_moe_fp32_combine", "enable_lm_head_fp32", "enable_attention_fp32_softmax", "num_nextn_predict_layers", "use_grouped_mm",
      "eod_token_id",
    ])
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 11_158_840)
    return sizes.model("hy_v3") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      let prefix = sizes.prefix(layer) + "mlp."
      if isDense[layer] {
        return sizes.block(layer: layer, attention, GatedPlan.projections(prefix, denseWidth))
      }
      var routed = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "router.gate"), correctionBias: VectorPlan(prefix + "expert_bias"),
        expert: { .projections(prefix + "experts.\($0).", width) })
      routed.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_mlp.", shared * width))]
      return sizes.block(layer: layer, attention, routed)
    }
  }
}

extension Configuration {
  /// One positive number for every layer, or one each.
  func perLayer(_ key: String, _ layerCount: Int) throws -> [Int] {
    guard let values = try optionalPerLayer(key, layerCount) else {
      throw ModelError.configuration(file: file, key: key, expected: "a positive integer, or one for each layer", found: "nothing")
    }
    return values
  }

  func optionalPerLayer(_ key: String, _ layerCount: Int) throws -> [Int]? {
    guard let value = value(key) else { return nil }
    let values =
      value.kind == .array ? value.elements.compactMap(\.int64) : value.int64.map { Array(repeating: $0, count: layerCount) } ?? []
    guard values.count == layerCount, values.allSatisfy({ $0 > 0 && $0 <= Self.largestCount }) else {
      throw ModelError.configuration(
        file: file, key: key, expected: "a positive integer, or \(layerCount) of them", found: "\(values.count) numbers")
    }
    return values.map { Int($0) }
  }
}
