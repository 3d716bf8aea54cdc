// What does the metadata of each architecture of llama.cpp mean in the words of config.json? One value a family: the fields that a
// declaration reads, each copied from a key, computed, or assumed where the file has nothing to say. An assumption is the value of the
// family's published checkpoints; `inspect` lists it and `--set` replaces it.

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

  /// - Throws: `ModelError.unsupportedFamily`.
  static func of(_ metadata: GGUFMetadata) throws -> GGUFFamily {
    guard let family = all.first(where: { $0.architecture == metadata.architecture && $0.applies(metadata) }) else {
      throw ModelError.unsupportedFamily(
        file: metadata.file.path, found: metadata.architecture, known: Set(all.map(\.architecture)).sorted())
    }
    return family
  }

  // MARK: Ways to say a field

  private static func copy(_ key: String, _ sources: String...) -> Field {
    Field(key: key, source: .metadata { metadata in sources.lazy.compactMap { metadata.json($0) }.first })
  }

  private static func whole(_ key: String, _ read: @escaping @Sendable (GGUFMetadata) throws -> Int?) -> Field {
    Field(key: key, source: .metadata { try read($0).map { "\($0)" } })
  }

  private static func flag(_ key: String, _ read: @escaping @Sendable (GGUFMetadata) -> Bool) -> Field {
    Field(key: key, source: .metadata { "\(read($0))" })
  }

  private static func text(_ key: String, _ read: @escaping @Sendable (GGUFMetadata) -> String?) -> Field {
    Field(key: key, source: .metadata { read($0).map { "\"\($0)\"" } })
  }

  private static func list(_ key: String, _ name: @escaping @Sendable (GGUFMetadata, Int) -> String) -> Field {
    Field(
      key: key,
      source: .metadata { metadata in "[" + (0..<metadata.blockCount).map { "\"\(name(metadata, $0))\"" }.joined(separator: ", ") + "]" })
  }

  private static func assume(_ key: String, _ value: String) -> Field { assume(key) { _ in value } }

  private static func assume(_ key: String, _ value: @escaping @Sendable (GGUFMetadata) -> String?) -> Field {
    Field(key: key, source: .assumed(value))
  }

  private static func copy(_ key: String, _ source: String, otherwise: @escaping @Sendable (GGUFMetadata) -> String?) -> Field {
    Field(key: key, source: .key(source, otherwise: otherwise))
  }

  // MARK: What families share

  /// Sizes that every decoder has.
  private static let sizes: [Field] = [
    whole("hidden_size") { try $0.required("embedding_length") }, whole("vocab_size", \.vocabularySize),
    whole("num_hidden_layers") {
      _ = try $0.required("block_count"); return $0.blockCount
    },
    whole("num_attention_heads") { try $0.required("attention.head_count") },
    whole("num_key_value_heads") { $0.integer("attention.head_count_kv") },
    whole("max_position_embeddings") { try $0.required("context_length") }, copy("rope_theta", "rope.freq_base"),
    flag("tie_word_embeddings") { !$0.has("output.weight") }, ropeScaling(),
    Field(key: "eos_token_id", source: .metadata { $0.file["tokenizer.ggml.eos_token_id"]?.int64.map { "\($0)" } }),
  ]

  private static let rms = copy("rms_norm_eps", "attention.layer_norm_rms_epsilon")
  private static let headSize = whole("head_dim") { $0.headSize }
  private static let topK = copy("num_experts_per_tok", "expert_used_count")
  private static let denseWidth = whole("intermediate_size") { $0.integer("feed_forward_length") }
  private static let expertWidth = whole("moe_intermediate_size") { $0.integer("expert_feed_forward_length", "feed_forward_length") }
  /// For families whose `intermediate_size` is that of one expert.
  private static let onlyWidth = whole("intermediate_size") { $0.integer("expert_feed_forward_length", "feed_forward_length") }
  private static let attentionBias = flag("attention_bias") { $0.anyBlock(has: "attn_q.bias") }
  private static let headNorms = flag("use_qk_norm") { $0.anyBlock(has: "attn_q_norm.weight") }

  private static func experts(_ key: String) -> Field { copy(key, "expert_count") }

  /// The share of each head that turns.
  private static let partialRotary = Field(
    key: "partial_rotary_factor",
    source: .metadata { metadata in
      metadata.integer("rope.dimension_count").map { "\(Double($0) / Double(max(1, metadata.headSize)))" }
    })

  /// Which layers have a window.
  private static let windows = list("layer_types") { metadata, layer in
    let windows = metadata["attention.sliding_window_pattern"]?.array?.bools ?? []
    return layer < windows.count && !windows[layer] ? "full_attention" : "sliding_attention"
  }

  private static let scoring = text("scoring_func", score)

  @Sendable private static func score(_ metadata: GGUFMetadata) -> String? {
    switch metadata.integer("expert_gating_func") {
    case 1: "softmax"
    case 2: "sigmoid"
    default: nil
    }
  }

  /// `rope_scaling`; absent where the file scales nothing. A divisor for each frequency is a tensor in these files: two lists are
  /// longrope, and one is what Llama 3's rule amounts to, which longrope with two equal lists and no magnitude says too.
  private static func ropeScaling(_ extra: @escaping @Sendable (GGUFMetadata) -> [String] = { _ in [] }) -> Field {
    Field(key: "rope_scaling", source: .metadata { try $0.ropeScaling(extra) })
  }

  /// How many groups of experts there are, and how many a token may choose from, by the number of experts of a published checkpoint.
  private typealias Groups = [Int: (count: Int, kept: Int)]

  /// Files converted before late 2025 do not say how experts are grouped: the published DeepSeek-V2 and V3 are known by their experts.
  private static let groupsOfV2: Groups = [160: (8, 3)]
  private static let groupsOfV3: Groups = [256: (8, 4)]

  /// The router of DeepSeek-V3 and those that share it.
  private static func groupedRouter(_ published: Groups = [:]) -> [Field] {
    @Sendable func groups(_ metadata: GGUFMetadata) -> (count: Int, kept: Int)? {
      metadata.integer("expert_count").flatMap { published[$0] }
    }
    return [
      experts("n_routed_experts"), topK, copy("n_shared_experts", "expert_shared_count"),
      copy("n_group", "expert_group_count") { metadata in groups(metadata).map { "\($0.count)" } },
      copy("topk_group", "expert_group_used_count") { metadata in groups(metadata).map { "\($0.kept)" } },
      copy("routed_scaling_factor", "expert_weights_scale"), copy("norm_topk_prob", "expert_weights_norm") { _ in "false" },
      copy("first_k_dense_replace", "leading_dense_block_count"), denseWidth, expertWidth,
    ]
  }

  /// Latent attention. The file counts one key head; the configuration has one for each query.
  private static let latent: [Field] = [
    whole("num_key_value_heads", \.headCount), copy("q_lora_rank", "attention.q_lora_rank"),
    copy("kv_lora_rank", "attention.kv_lora_rank"), copy("qk_rope_head_dim", "rope.dimension_count"),
    whole("qk_nope_head_dim") { metadata in
      let key = metadata.integer("attention.key_length_mla", "attention.key_length")
      return key.flatMap { key in metadata.integer("rope.dimension_count").map { key - $0 } }
    },
    whole("v_head_dim") { $0.integer("attention.value_length_mla", "attention.value_length") },
    ropeScaling { metadata in
      guard let multiplier = metadata["rope.scaling.yarn_log_multiplier"]?.double else { return [] }
      let scale = Float(multiplier) / 0.1
      return ["\"mscale\": \(scale)", "\"mscale_all_dim\": \(scale)"]
    },
  ]

  /// `short_mscale` and `long_mscale` of Phi-3.5-MoE; llama.cpp derives another magnitude from the context.
  private static let magnitudeOfPhi = "1.243163121016122"

  private static func assumeLongRope(_ member: String) -> Field {
    assume("rope_scaling.\(member)") { $0.has("rope_factors_long.weight") ? magnitudeOfPhi : nil }
  }

  private static let granite: [Field] = [
    rms, experts("num_local_experts"), topK, onlyWidth, attentionBias, copy("attention_multiplier", "attention.scale"),
    copy("embedding_multiplier", "embedding_scale"), copy("residual_multiplier", "residual_scale"), copy("logits_scaling", "logit_scale"),
  ]

  private static let sharedWidth = copy("shared_intermediate_size", "expert_shared_feed_forward_length")

  // MARK: The families

  static let all: [GGUFFamily] = [
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
      fields: sizes + [
        rms, headSize, experts("num_experts"), topK, denseWidth, expertWidth, partialRotary,
        copy("shared_expert_intermediate_size", "expert_shared_feed_forward_length"), copy("linear_conv_kernel_dim", "ssm.conv_kernel"),
        copy("linear_key_head_dim", "ssm.state_size"), copy("linear_num_key_heads", "ssm.group_count"),
        copy("linear_num_value_heads", "ssm.time_step_rank"),
        whole("linear_value_head_dim") { metadata in
          metadata.integer("ssm.inner_size").map { $0 / max(1, metadata.integer("ssm.time_step_rank") ?? 1) }
        },
        list("layer_types") { metadata, layer in metadata.has("blk.\(layer).ssm_a") ? "linear_attention" : "full_attention" },
        assume("norm_topk_prob", "true"),
      ]),
    latentSigmoid("glm4_moe_lite") { $0.textSplitting == "glm4" },
    latentSigmoid("kimi_k2") { $0.textSplitting == "kimi-k2" },
    latentSigmoid("deepseek_v3") { $0.textSplitting == "deepseek-v3" },
    latentSigmoid("deepseek_v3", isAssumed: true) { _ in true },
    GGUFFamily(
      architecture: "deepseek2", modelType: "deepseek_v2",
      fields: sizes + groupedRouter(groupsOfV2) + latent + [
        rms,
        text("topk_method") { metadata in
          let published = metadata.integer("expert_count").flatMap { groupsOfV2[$0]?.count }
          return (metadata.integer("expert_group_count") ?? published ?? 1) > 1 ? "group_limited_greedy" : "greedy"
        },
      ]),
    GGUFFamily(
      architecture: "glm4moe", modelType: "solar_open", applies: { $0.textSplitting == "solar-open" },
      fields: sizes + groupedRouter() + [rms, headSize, attentionBias, headNorms]),
    GGUFFamily(
      architecture: "glm4moe", modelType: "glm4_moe",
      fields: sizes + groupedRouter() + [rms, headSize, partialRotary, attentionBias, headNorms]),
    GGUFFamily(architecture: "dots1", modelType: "dots1", fields: sizes + groupedRouter() + [rms, headSize, attentionBias]),
    GGUFFamily(
      architecture: "exaone-moe", modelType: "exaone_moe",
      fields: sizes + groupedRouter() + [rms, headSize, copy("sliding_window", "attention.sliding_window"), windows]),
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
        ropeScaling { _ in ["\"truncate\": false"] }, assume("rope_scaling.truncate", "false"), assume("swiglu_limit", "7.0"),
      ]),
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
        copy("interleave_moe_layer_step", "interleave_moe_layer_step"),
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
        ropeScaling { _ in ["\"short_mscale\": \(magnitudeOfPhi)", "\"long_mscale\": \(magnitudeOfPhi)"] },
        assumeLongRope("short_mscale"), assumeLongRope("long_mscale"),
      ]),
    GGUFFamily(
      architecture: "hunyuan-moe", modelType: "hunyuan_v1_moe",
      fields: sizes + [
        rms, headSize, experts("num_experts"), copy("moe_topk", "expert_used_count"), onlyWidth, expertWidth,
        copy("num_shared_expert", "expert_shared_count"), attentionBias, headNorms,
      ]),
    GGUFFamily(
      architecture: "ernie4_5-moe", modelType: "ernie4_5_moe",
      fields: sizes + [
        rms, experts("moe_num_experts"), copy("moe_k", "expert_used_count"), denseWidth, expertWidth,
        copy("moe_num_shared_experts", "expert_shared_count"), copy("moe_layer_start_index", "leading_dense_block_count"),
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
        rms, headSize, experts("num_experts"), topK, denseWidth, expertWidth, copy("num_shared_experts", "expert_shared_count"),
        copy("num_dense_layers", "leading_dense_block_count"), text("score_func", score), copy("route_norm", "expert_weights_norm"),
        copy("route_scale", "expert_weights_scale"), copy("sliding_window", "attention.sliding_window"),
        assume("global_attn_every_n_layers", "4"), assume("mup_enabled", "true"),
      ]),
    GGUFFamily(
      architecture: "cohere2moe", modelType: "cohere2_moe",
      fields: sizes + [
        copy("layer_norm_eps", "attention.layer_norm_epsilon"), headSize, experts("num_experts"), topK, onlyWidth,
        text("expert_selection_fn", score), copy("norm_topk_prob", "expert_weights_norm"), copy("logit_scale", "logit_scale"),
        copy("num_shared_experts", "expert_shared_count"), copy("sliding_window", "attention.sliding_window"),
        windows,
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
    _ type: String, isAssumed: Bool = false, applies: @escaping @Sendable (GGUFMetadata) -> Bool
  ) -> GGUFFamily {
    GGUFFamily(
      architecture: "deepseek2", modelType: type, assumedName: isAssumed ? type : nil,
      applies: { (score($0) == "sigmoid" || $0.anyBlock(has: "exp_probs_b.bias")) && applies($0) },
      fields: sizes + groupedRouter(groupsOfV3) + latent + [rms])
  }

  private static func graniteMoE(_ type: String, applies: @escaping @Sendable (GGUFMetadata) -> Bool) -> GGUFFamily {
    GGUFFamily(
      architecture: "granitemoe", modelType: type, applies: applies, habits: .init(pairsHeadRows: true),
      fields: sizes + granite + (type == "granitemoeshared" ? [sharedWidth] : []))
  }
}
