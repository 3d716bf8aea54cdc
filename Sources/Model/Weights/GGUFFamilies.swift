// What does the metadata of each architecture of llama.cpp mean in the words of config.json? One value a family: the fields that a
// declaration reads, each copied from a key, computed, or assumed where the file has nothing to say. An assumption is the value of the
// family's published checkpoints; `inspect` lists it and `--set` replaces it. What families share is in GGUFFields.swift.

import Formats

/// A family as llama.cpp's converter writes it.
struct GGUFFamily: Sendable {
  struct Field: Sendable {
    enum Source: Sendable {
      /// nil: the file does not say, and the declaration's default holds.
      case metadata(@Sendable (GGUFMetadata) throws -> String?)
      /// What published checkpoints have; nil: nothing to assume of this file.
      case assumed(@Sendable (GGUFMetadata) -> String?)
      /// Said by some files only: the key, and what is assumed where it is absent.
      case key(String, otherwise: @Sendable (GGUFMetadata) -> String?)
    }
    let key: String
    let source: Source
  }

  let architecture: String
  let modelType: String
  /// What `inspect` says of the family where files do not tell it from others of the same shape.
  var assumedName: String?
  /// Which files of an architecture that several families share.
  var applies: @Sendable (GGUFMetadata) -> Bool = { _ in true }
  var habits = GGUFNames.Habits()
  let fields: [Field]

  /// - Throws: `ModelError.missingOperation`, `.unsupportedFamily`.
  static func of(_ metadata: GGUFMetadata) throws -> GGUFFamily {
    guard let family = all.first(where: { $0.architecture == metadata.architecture && $0.applies(metadata) }) else {
      if let (name, gap) = KnownGap.among([metadata.architecture], in: KnownGap.all + KnownGap.ofGGUF) {
        throw ModelError.missingOperation(file: metadata.file.path, key: "general.architecture", found: name, needs: gap.needs)
      }
      let known = Set(all.map(\.architecture))
      let found = metadata.architecture + (known.contains(metadata.architecture) ? " without experts" : "")
      throw ModelError.unsupportedFamily(file: metadata.file.path, found: found, known: known.sorted())
    }
    return family
  }

  // MARK: The families

  static let all = earlier + of2026 + further

  private static let earlier: [GGUFFamily] = [
    GGUFFamily(
      architecture: "llama", modelType: "mixtral", applies: { ($0.integer("expert_count") ?? 0) > 0 },
      habits: .init(pairsHeadRows: true),
      fields: sizes + [rms, headSize, experts("num_local_experts"), topK, onlyWidth, assume("sliding_window", "null")]),
    GGUFFamily(
      architecture: "olmoe", modelType: "olmoe",
      fields: sizes + [
        rms, experts("num_experts"), topK, onlyWidth, copy("clip_qkv", "attention.clamp_kqv"), attentionBias,
        assume("norm_topk_prob", "false"),
      ]),
    GGUFFamily(
      architecture: "qwen2moe", modelType: "qwen2_moe",
      fields: sizes + [
        rms, experts("num_experts"), topK, denseWidth, expertWidth,
        copy("shared_expert_intermediate_size", "expert_shared_feed_forward_length"),
        flag("qkv_bias") { $0.anyBlock(has: "attn_q.bias") }, assume("norm_topk_prob", "false"),
      ]),
    GGUFFamily(
      architecture: "qwen3moe", modelType: "qwen3_moe",
      fields: sizes + [
        rms, headSize, experts("num_experts"), topK, denseWidth, expertWidth, attentionBias, assume("norm_topk_prob", "true"),
      ]),
    GGUFFamily(
      architecture: "qwen3next", modelType: "qwen3_next", habits: .init(addsOneToNorms: true),
      fields: deltaNetwork + [assume("norm_topk_prob", "true")]),
    latentSigmoid("glm4_moe_lite", scale: "1.8") { $0.textSplitting == "glm4" },
    latentSigmoid("kimi_k2", scale: "2.827") { $0.textSplitting == "kimi-k2" },
    latentSigmoid("deepseek_v3", scale: "2.5") { $0.textSplitting == "deepseek-v3" },
    latentSigmoid("deepseek_v3", scale: "2.5", isAssumed: true) { _ in true },
    GGUFFamily(
      architecture: "deepseek2", modelType: "deepseek_v2",
      fields: sizes + groupedRouter(groupsOfV2, scale: ([160: "16.0"], "1.0"), normalized: false) + latent(magnitude: "0.707") + [
        rms,
        text("topk_method") { metadata in
          let published = metadata.integer("expert_count").flatMap { groupsOfV2[$0]?.count } ?? 1
          return (metadata.integer("expert_group_count") ?? published) > 1 ? "group_limited_greedy" : "greedy"
        },
      ]),
    GGUFFamily(
      architecture: "glm4moe", modelType: "solar_open", applies: { $0.textSplitting == "solar-open" },
      fields: sizes + groupedRouter(scale: ([:], "1.0")) + [rms, headSize, attentionBias, headNorms]),
    GGUFFamily(
      architecture: "glm4moe", modelType: "glm4_moe",
      // GLM-4.5 and 4.6 have 160 experts, GLM-4.5-Air has 128.
      fields: sizes + groupedRouter(scale: ([160: "2.5"], "1.0")) + [rms, headSize, partialRotary, attentionBias, headNorms]),
    GGUFFamily(
      architecture: "dots1", modelType: "dots1", fields: sizes + groupedRouter(scale: ([:], "2.5")) + [rms, headSize, attentionBias]),
    GGUFFamily(
      architecture: "exaone-moe", modelType: "exaone_moe",
      fields: sizes + groupedRouter(scale: ([:], "2.5")) + [
        rms, headSize, copy("sliding_window", "attention.sliding_window"), windows, usualWindows,
      ]),
    GGUFFamily(
      architecture: "hy_v3", modelType: "hy_v3",
      fields: sizes + [
        rms, headSize, experts("num_experts"), topK, denseWidth, expertWidth, attentionBias,
        copy("router_scaling_factor", "expert_weights_scale"),
        whole("num_shared_experts") { metadata in
          metadata.integer("expert_shared_feed_forward_length").map { $0 / max(1, metadata.integer("expert_feed_forward_length") ?? 1) }
        },
        list("mlp_layer_types") { metadata, layer in metadata.has("blk.\(layer).ffn_gate_inp.weight") ? "sparse" : "dense" },
      ]),
    GGUFFamily(
      architecture: "mellum", modelType: "mellum",
      fields: sizes.filter { !["rope_theta", "rope_scaling"].contains($0.key) } + [
        rms, headSize, experts("num_experts"), topK, expertWidth, attentionBias, copy("sliding_window", "attention.sliding_window"),
        windows, assume("norm_topk_prob", "true"),
        Field(
          key: "rope_parameters",
          source: .metadata { metadata in
            // Layers with a window turn by a base of their own, and are not stretched.
            let base = metadata.json("rope.freq_base") ?? "10000.0"
            let near = metadata.json("rope.freq_base_swa") ?? base
            let far = try metadata.ropeScaling { _ in ["\"rope_theta\": \(base)"] } ?? "{\"rope_theta\": \(base)}"
            return "{\"full_attention\": \(far), \"sliding_attention\": {\"rope_theta\": \(near)}}"
          }),
      ]),
    GGUFFamily(
      architecture: "minimax-01", modelType: "minimax",
      fields: sizes + [
        rms, headSize, experts("num_local_experts"), topK, onlyWidth, copy("rotary_dim", "rope.dimension_count"),
        list("layer_types") { metadata, layer in metadata.has("blk.\(layer).attn_qkv.weight") ? "linear_attention" : "full_attention" },
      ] + ["linear_attn", "full_attn", "mlp"].map { copy("\($0)_alpha_factor", "residual_scale") }),
    GGUFFamily(
      architecture: "gpt-oss", modelType: "gpt_oss",
      fields: sizes + [
        rms, headSize, experts("num_local_experts"), topK, onlyWidth, attentionBias, copy("sliding_window", "attention.sliding_window"),
        assume("swiglu_limit", "7.0"),
      ] + stretchOfGptOss),
    graniteMoE("granitemoeshared", applies: { $0.anyBlock(has: "ffn_gate_shexp.weight") }),
    graniteMoE("granitemoe", applies: { _ in true }),
    GGUFFamily(
      architecture: "granitehybrid", modelType: "granitemoehybrid", applies: { ($0.integer("expert_count") ?? 0) > 0 },
      habits: .init(pairsHeadRows: true),
      fields: sizes + granite + [
        sharedWidth, copy("mamba_d_conv", "ssm.conv_kernel"), copy("mamba_d_state", "ssm.state_size"),
        copy("mamba_n_groups", "ssm.group_count"), copy("mamba_n_heads", "ssm.time_step_rank"),
        whole("mamba_d_head") { metadata in
          metadata.integer("ssm.inner_size").map { $0 / max(1, metadata.integer("ssm.time_step_rank") ?? 1) }
        },
        whole("mamba_expand") { metadata in
          metadata.integer("ssm.inner_size").map { $0 / max(1, metadata.integer("embedding_length") ?? 1) }
        },
        flag("mamba_conv_bias") { $0.anyBlock(has: "ssm_conv1d.bias") }, flag("mamba_proj_bias") { $0.anyBlock(has: "ssm_in.bias") },
        list("layer_types") { metadata, layer in metadata.has("blk.\(layer).ssm_in.weight") ? "mamba" : "attention" },
        text("position_embedding_type") { $0["rope.scaling.finetuned"]?.bool == true ? "rope" : "nope" },
      ]),
    GGUFFamily(
      architecture: "llama4", modelType: "llama4_text", applies: { ($0.integer("expert_count") ?? 0) > 0 },
      fields: sizes + [
        rms, headSize, experts("num_local_experts"), topK, attentionBias,
        whole("intermediate_size") { $0.integer("expert_feed_forward_length") },
        whole("intermediate_size_mlp") { $0.integer("feed_forward_length") },
        copy("interleave_moe_layer_step", "interleave_moe_layer_step") { $0.integer("expert_count") == 128 ? "2" : "1" },
        // The published model of 128 experts has no norms on its heads, the one of 16 has.
        assume("use_qk_norm") { "\($0.integer("expert_count") != 128)" },
        assume("attention_chunk_size", "8192"), assume("no_rope_layer_interval", "4"), assume("attn_temperature_tuning", "true"),
        assume("floor_scale", "8192"), assume("attn_scale", "0.1"),
      ]),
    GGUFFamily(
      architecture: "phimoe", modelType: "phimoe",
      fields: sizes + [
        rms, experts("num_local_experts"), topK, onlyWidth, attentionBias, flag("lm_head_bias") { $0.has("output.bias") },
        whole("sliding_window") { metadata in metadata.integer("attention.sliding_window").flatMap { $0 > 0 ? $0 : nil } },
        assume("router_jitter_noise", "0.01"),
        assumeLongRope("short_mscale"), assumeLongRope("long_mscale"),
      ]),
    GGUFFamily(
      architecture: "hunyuan-moe", modelType: "hunyuan_v1_moe",
      fields: sizes + [
        rms, headSize, experts("num_experts"), copy("moe_topk", "expert_used_count"), onlyWidth, expertWidth,
        sharedCount("num_shared_expert"), attentionBias, headNorms,
      ]),
    GGUFFamily(
      architecture: "ernie4_5-moe", modelType: "ernie4_5_moe",
      fields: sizes + [
        rms, experts("moe_num_experts"), copy("moe_k", "expert_used_count"), denseWidth, expertWidth,
        sharedCount("moe_num_shared_experts"), copy("moe_layer_start_index", "leading_dense_block_count"),
        copy("moe_layer_interval", "interleave_moe_layer_step"), flag("use_bias") { $0.anyBlock(has: "attn_q.bias") },
        assume("moe_norm_min", "1e-12"),
      ]),
    GGUFFamily(
      architecture: "lfm2moe", modelType: "lfm2_moe",
      fields: sizes + [
        copy("norm_eps", "attention.layer_norm_rms_epsilon"), experts("num_experts"), topK, denseWidth, expertWidth,
        copy("num_dense_layers", "leading_dense_block_count"), copy("conv_L_cache", "shortconv.l_cache"),
        flag("use_expert_bias") { $0.anyBlock(has: "exp_probs_b.bias") },
        list("layer_types") { metadata, layer in metadata.has("blk.\(layer).attn_q.weight") ? "full_attention" : "conv" },
        assume("norm_topk_prob", "true"), assume("routed_scaling_factor", "1.0"),
      ]),
    GGUFFamily(
      architecture: "minimax-m2", modelType: "minimax_m2",
      fields: sizes + [rms, headSize, experts("num_local_experts"), topK, onlyWidth, copy("rotary_dim", "rope.dimension_count"), scoring]),
    GGUFFamily(
      architecture: "afmoe", modelType: "afmoe",
      fields: sizes + [
        rms, headSize, experts("num_experts"), topK, denseWidth, expertWidth, sharedCount("num_shared_experts"),
        copy("num_dense_layers", "leading_dense_block_count"), text("score_func", score), copy("route_norm", "expert_weights_norm"),
        copy("route_scale", "expert_weights_scale") { _ in "2.826" }, copy("sliding_window", "attention.sliding_window"),
        assume("global_attn_every_n_layers", "4"), assume("mup_enabled", "true"),
      ]),
    GGUFFamily(
      architecture: "cohere2moe", modelType: "cohere2_moe",
      fields: sizes + [
        copy("layer_norm_eps", "attention.layer_norm_epsilon"), headSize, experts("num_experts"), topK, onlyWidth,
        text("expert_selection_fn", score), copy("norm_topk_prob", "expert_weights_norm"), copy("logit_scale", "logit_scale"),
        sharedCount("num_shared_experts"), copy("sliding_window", "attention.sliding_window"),
        windows, usualWindows,
      ]),
    GGUFFamily(
      architecture: "dbrx", modelType: "dbrx",
      fields: [
        whole("d_model") { try $0.required("embedding_length") }, whole("vocab_size", \.vocabularySize),
        whole("n_layers") { try $0.required("block_count") }, whole("n_heads") { try $0.required("attention.head_count") },
        whole("max_seq_len") { try $0.required("context_length") }, flag("tie_word_embeddings") { !$0.has("output.weight") },
        Field(
          key: "attn_config",
          source: .metadata { metadata in
            let members = [
              ("clip_qkv", "attention.clamp_kqv"), ("kv_n_heads", "attention.head_count_kv"), ("rope_theta", "rope.freq_base"),
            ].compactMap { name, key in metadata.json(key).map { "\"\(name)\": \($0)" } }
            return "{" + members.joined(separator: ", ") + "}"
          }),
        Field(
          key: "ffn_config",
          source: .metadata { metadata in
            let members = [
              ("ffn_hidden_size", "feed_forward_length"), ("moe_num_experts", "expert_count"), ("moe_top_k", "expert_used_count"),
            ].compactMap { name, key in metadata.json(key).map { "\"\(name)\": \($0)" } }
            return "{" + (members + ["\"moe_normalize_expert_weights\": 1.0"]).joined(separator: ", ") + "}"
          }),
      ]),
  ]

  /// DeepSeek-V3, GLM-4.7-Flash and Kimi-K2 have one shape in these files; only how their tokenizers split text tells them apart.
  private static func latentSigmoid(
    _ type: String, scale: String, isAssumed: Bool = false, applies: @escaping @Sendable (GGUFMetadata) -> Bool
  ) -> GGUFFamily {
    GGUFFamily(
      architecture: "deepseek2", modelType: type, assumedName: isAssumed ? type : nil,
      applies: { (score($0) == "sigmoid" || $0.anyBlock(has: "exp_probs_b.bias")) && applies($0) },
      fields: sizes + groupedRouter(groupsOfV3, scale: ([:], scale)) + latent(magnitude: "1.0") + [rms])
  }

  private static func graniteMoE(_ type: String, applies: @escaping @Sendable (GGUFMetadata) -> Bool) -> GGUFFamily {
    GGUFFamily(
      architecture: "granitemoe", modelType: type, applies: applies, habits: .init(pairsHeadRows: true),
      fields: sizes + granite + (type == "granitemoeshared" ? [sharedWidth] : []))
  }
}
