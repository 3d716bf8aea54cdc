// How is a field of config.json said by a GGUF file, and which fields do many families have in common? Copied from a key, computed from
// several, read off the tensors, or assumed: the published value where a file leaves out what the model depends on.

import Formats

extension GGUFFamily {
  // MARK: Ways to say a field

  static func copy(_ key: String, _ sources: String...) -> Field {
    Field(key: key, source: .metadata { metadata in sources.lazy.compactMap { metadata.json($0) }.first })
  }

  static func whole(_ key: String, _ read: @escaping @Sendable (GGUFMetadata) throws -> Int?) -> Field {
    Field(key: key, source: .metadata { try read($0).map { "\($0)" } })
  }

  static func flag(_ key: String, _ read: @escaping @Sendable (GGUFMetadata) -> Bool) -> Field {
    Field(key: key, source: .metadata { "\(read($0))" })
  }

  static func text(_ key: String, _ read: @escaping @Sendable (GGUFMetadata) -> String?) -> Field {
    Field(key: key, source: .metadata { read($0).map { "\"\($0)\"" } })
  }

  static func list(_ key: String, _ name: @escaping @Sendable (GGUFMetadata, Int) -> String) -> Field {
    Field(
      key: key,
      source: .metadata { metadata in "[" + (0..<metadata.blockCount).map { "\"\(name(metadata, $0))\"" }.joined(separator: ", ") + "]" })
  }

  static func assume(_ key: String, _ value: String) -> Field { assume(key) { _ in value } }

  static func assume(_ key: String, _ value: @escaping @Sendable (GGUFMetadata) -> String?) -> Field {
    Field(key: key, source: .assumed(value))
  }

  static func copy(_ key: String, _ source: String, otherwise: @escaping @Sendable (GGUFMetadata) -> String?) -> Field {
    Field(key: key, source: .key(source, otherwise: otherwise))
  }

  // MARK: What families share

  /// Sizes that every decoder has.
  static let sizes: [Field] = [
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

  static let rms = copy("rms_norm_eps", "attention.layer_norm_rms_epsilon")
  static let headSize = whole("head_dim") { $0.headSize }
  static let topK = copy("num_experts_per_tok", "expert_used_count")
  static let denseWidth = whole("intermediate_size") { $0.integer("feed_forward_length") }
  static let expertWidth = whole("moe_intermediate_size") { $0.integer("expert_feed_forward_length", "feed_forward_length") }
  /// For families whose `intermediate_size` is that of one expert.
  static let onlyWidth = whole("intermediate_size") { $0.integer("expert_feed_forward_length", "feed_forward_length") }
  static let attentionBias = flag("attention_bias") { $0.anyBlock(has: "attn_q.bias") }
  static let headNorms = flag("use_qk_norm") { $0.anyBlock(has: "attn_q_norm.weight") }

  static func experts(_ key: String) -> Field { copy(key, "expert_count") }

  /// Shared experts, by their number or else by the width of the tensor that holds them all.
  static func sharedCount(_ key: String) -> Field { whole(key, \.sharedExpertCount) }

  /// The share of each head that turns.
  static let partialRotary = Field(
    key: "partial_rotary_factor",
    source: .metadata { metadata in
      metadata.integer("rope.dimension_count").map { "\(Double($0) / Double(max(1, metadata.headSize)))" }
    })

  /// Which layers have a window, where the file says it: layer by layer, or that every n-th has none.
  static let windows = Field(
    key: "layer_types",
    source: .metadata { metadata in
      let listed = metadata.flags("attention.sliding_window_pattern")
      let every = metadata.integer("attention.sliding_window_pattern")
      guard listed != nil || every != nil else { return nil }
      return metadata.layerTypes { layer in
        listed.map { layer < $0.count && $0[layer] } ?? every.map { $0 == 0 || (layer + 1) % $0 != 0 } ?? true
      }
    })

  /// Three layers with a window, then one without, as published; for files that have windows and do not say where.
  static let usualWindows = assume("layer_types") { metadata in
    guard metadata["attention.sliding_window_pattern"] == nil, metadata.integer("attention.sliding_window") ?? 0 > 0 else { return nil }
    return metadata.layerTypes { ($0 + 1) % 4 != 0 }
  }

  static let scoring = text("scoring_func", score)

  @Sendable static func score(_ metadata: GGUFMetadata) -> String? {
    switch metadata.integer("expert_gating_func") {
    case 1: "softmax"
    case 2: "sigmoid"
    default: nil
    }
  }

  /// `rope_scaling`; absent where the file scales nothing. A divisor for each frequency is a tensor in these files: two lists are
  /// longrope, and one is what Llama 3's rule amounts to, which longrope with two equal lists and no magnitude says too.
  static func ropeScaling(_ extra: @escaping @Sendable (GGUFMetadata) -> [String] = { _ in [] }) -> Field {
    Field(key: "rope_scaling", source: .metadata { try $0.ropeScaling(extra) })
  }

  /// How many groups of experts there are, and how many a token may choose from, by the number of experts of a published checkpoint.
  typealias Groups = [Int: (count: Int, kept: Int)]

  /// Files converted before late 2025 do not say how experts are grouped: the published DeepSeek-V2 and V3 are known by their experts.
  static let groupsOfV2: Groups = [160: (8, 3)]
  static let groupsOfV3: Groups = [256: (8, 4)]

  /// The router of DeepSeek-V3 and those that share it. What a file leaves out is what the published checkpoints have.
  ///
  /// - Parameters:
  ///   - published: groups by the number of experts; all others have one.
  ///   - scale: the factor on the weights by the number of experts, and of all others.
  ///   - normalized: whether weights are divided by their sum.
  static func groupedRouter(
    _ published: Groups = [:], scale: (known: [Int: String], other: String), normalized: Bool = true
  ) -> [Field] {
    @Sendable func groups(_ metadata: GGUFMetadata) -> (count: Int, kept: Int) {
      metadata.integer("expert_count").flatMap { published[$0] } ?? (1, 1)
    }
    return [
      experts("n_routed_experts"), topK, sharedCount("n_shared_experts"),
      copy("n_group", "expert_group_count") { "\(groups($0).count)" },
      copy("topk_group", "expert_group_used_count") { "\(groups($0).kept)" },
      copy("routed_scaling_factor", "expert_weights_scale") { $0.integer("expert_count").flatMap { scale.known[$0] } ?? scale.other },
      copy("norm_topk_prob", "expert_weights_norm") { _ in "\(normalized)" },
      copy("first_k_dense_replace", "leading_dense_block_count"), denseWidth, expertWidth,
    ]
  }

  /// Latent attention. The file counts one key head; the configuration has one for each query.
  ///
  /// - Parameter magnitude: `mscale` and `mscale_all_dim` of the published checkpoints, for files that are stretched and leave them out.
  static func latent(magnitude: String) -> [Field] {
    latentSizes
      + ["mscale", "mscale_all_dim"].map { member in
        assume("rope_scaling.\(member)") { metadata in
          metadata["rope.scaling.type"]?.string == "yarn" && metadata["rope.scaling.yarn_log_multiplier"] == nil ? magnitude : nil
        }
      }
  }

  private static let latentSizes: [Field] = [
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
  static let magnitudeOfPhi = "1.243163121016122"

  static func assumeLongRope(_ member: String) -> Field {
    assume("rope_scaling.\(member)") { $0.has("rope_factors_long.weight") ? magnitudeOfPhi : nil }
  }

  static let granite: [Field] = [
    rms, experts("num_local_experts"), topK, onlyWidth, attentionBias, copy("attention_multiplier", "attention.scale"),
    copy("embedding_multiplier", "embedding_scale"), copy("residual_multiplier", "residual_scale"), copy("logits_scaling", "logit_scale"),
  ]

  /// gpt-oss is stretched even where its configuration says nothing; a file that says "none" is taken at its word.
  static let stretchOfGptOss: [Field] = [
    Field(
      key: "rope_scaling",
      source: .metadata { metadata in
        try metadata.ropeScaling { _ in [] } ?? (metadata["rope.scaling.type"] == nil ? nil : "{\"type\": \"default\"}")
      }),
    assume("rope_scaling") { metadata in
      guard metadata["rope.scaling.type"] == nil, !metadata.scalesPositions else { return nil }
      return "{\"type\": \"yarn\", \"factor\": 32.0, \"original_max_position_embeddings\": 4096, \"beta_fast\": 32.0, \"beta_slow\": 1.0}"
    },
    assume("rope_scaling.truncate") { $0["rope.scaling.type"]?.string == "none" ? nil : "false" },
  ]

  static let sharedWidth = copy("shared_intermediate_size", "expert_shared_feed_forward_length")
}
