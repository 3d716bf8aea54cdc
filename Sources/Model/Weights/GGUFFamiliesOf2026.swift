// The architectures of llama.cpp that came with models of 2025 and 2026, in the words of config.json: see GGUFFamilies.swift. Here are
// those whose layers are of several kinds, which tensors and lists of the metadata tell apart.

import Formats

extension GGUFFamily {
  static let of2026: [GGUFFamily] = [
    GGUFFamily(
      architecture: "qwen35moe", modelType: "qwen3_5_moe_text", habits: .init(addsOneToNorms: true, tilesValueHeads: true),
      fields: deltaNetwork),
    // The text model of Qwen3-Omni comes as one of these too.
    GGUFFamily(
      architecture: "qwen3vlmoe", modelType: "qwen3_vl_moe_text",
      fields: sizes + [rms, headSize, experts("num_experts"), topK, denseWidth, expertWidth, attentionBias]),
    GGUFFamily(
      architecture: "gemma4", modelType: "gemma4_text", applies: { ($0.integer("expert_count") ?? 0) > 0 },
      habits: .init(factors: ["ffn_gate_inp.scale", "ffn_down_exps.scale"]),
      fields: unturnedSizes + [
        rms, experts("num_experts"), copy("top_k_experts", "expert_used_count"), denseWidth, expertWidth, attentionBias, windows,
        whole("head_dim") { $0.integer("attention.key_length_swa", "attention.key_length") },
        copy("sliding_window", "attention.sliding_window"), copy("final_logit_softcapping", "final_logit_softcapping"),
        copy("hidden_size_per_layer_input", "embedding_length_per_layer_input"),
        copy("num_kv_shared_layers", "attention.shared_kv_layers"),
        flag("attention_k_eq_v") { metadata in (0..<metadata.blockCount).contains { !metadata.has("blk.\($0).attn_v.weight") } },
        Field(key: "per_layer_config", source: .metadata(headsOfLayers)),
        Field(key: "rope_parameters", source: .metadata(proportionalTurns)),
      ]),
    GGUFFamily(
      architecture: "nemotron_h_moe", modelType: "nemotron_h", habits: .init(pairsHeadRows: true),
      fields: unturnedSizes + groupedRouter(scale: ([:], "2.5")).filter { $0.key != "intermediate_size" } + [
        headSize, attentionBias, copy("layer_norm_epsilon", "attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"),
        copy("moe_shared_expert_intermediate_size", "expert_shared_feed_forward_length"), copy("moe_latent_size", "moe_latent_size"),
        copy("mamba_num_heads", "ssm.time_step_rank"), copy("n_groups", "ssm.group_count"), copy("ssm_state_size", "ssm.state_size"),
        copy("conv_kernel", "ssm.conv_kernel"), stateHeadSize("mamba_head_dim"),
        flag("use_conv_bias") { $0.anyBlock(has: "ssm_conv1d.bias") }, flag("use_bias") { $0.anyBlock(has: "ssm_in.bias") },
        list("layers_block_type") { metadata, layer in
          let tensors = [("ssm_in", "mamba"), ("attn_q", "attention"), ("ffn_gate_inp", "moe")]
          return tensors.first { metadata.has("blk.\(layer).\($0.0).weight") }?.1 ?? "mlp"
        },
        whole("intermediate_size") { $0.rowsOfFirst("ffn_up.weight") },
      ]),
    GGUFFamily(
      architecture: "laguna", modelType: "laguna",
      fields: unturnedSizes + [
        rms, headSize, experts("num_experts"), topK, denseWidth, expertWidth, attentionBias,
        copy("shared_expert_intermediate_size", "expert_shared_feed_forward_length"),
        copy("moe_routed_scaling_factor", "expert_weights_scale"), copy("sliding_window", "attention.sliding_window"), sparseLayers,
        numbers("num_attention_heads_per_layer", "attention.head_count"),
        text("gating") { metadata in
          metadata.rows("blk.0.attn_gate.weight") == metadata.rows("blk.0.attn_q.weight") ? "per-element" : "per-head"
        },
        Field(key: "layer_types", source: .metadata { metadata in windowsAfterFirst(metadata, saysSo: true) }),
        assume("layer_types") { windowsAfterFirst($0, saysSo: false) },
        Field(
          key: "rope_parameters",
          source: .metadata { metadata in
            try turns(
              metadata, far: (metadata.ropeScaling, share(metadata, "rope.dimension_count", metadata.headSize)),
              near: share(metadata, "rope.dimension_count_swa", metadata.headSize))
          }),
      ]),
    GGUFFamily(
      architecture: "mimo2", modelType: "mimo_v2_flash",
      fields: unturnedSizes + groupedRouter(scale: ([:], "1.0")).filter { $0.key != "n_shared_experts" } + [
        copy("layernorm_epsilon", "attention.layer_norm_rms_epsilon"), headSize, attentionBias,
        whole("v_head_dim") { $0.integer("attention.value_length") },
        copy("attention_value_scale", "attention.value_scale") { _ in "0.707" }, copy("sliding_window", "attention.sliding_window"),
        // Published configurations say the window twice, and the spelling that files leave out counts one token more.
        assume("sliding_window_size") { $0.json("attention.sliding_window") },
        list("layer_types") { metadata, layer in hasWindow(metadata, layer) ? "sliding_attention" : "full_attention" }, sparseLayers,
        whole("num_key_value_heads") { headCount($0, nearby: false) }, whole("swa_num_key_value_heads") { headCount($0, nearby: true) },
        flag("add_swa_attention_sink_bias") { hasSinks($0, nearby: true) },
        flag("add_full_attention_sink_bias") { hasSinks($0, nearby: false) },
        Field(
          key: "rope_parameters",
          source: .metadata { metadata in
            let share = share(metadata, "rope.dimension_count", metadata.headSize)
            return try turns(metadata, far: (metadata.ropeScaling, share), near: share)
          }),
      ]),
    GGUFFamily(
      architecture: "mistral4", modelType: "mistral4",
      fields: sizes + groupedRouter(scale: ([:], "1.0"), normalized: false) + latent(magnitude: "1.0") + [
        rms,
        // The converter leaves it out; the published model has it.
        assume("rope_scaling.llama_4_scaling_beta") { metadata in
          metadata.json("attention.temperature_scale") ?? (metadata.scalesPositions ? "0.1" : nil)
        },
      ]),
    GGUFFamily(
      architecture: "kimi-linear", modelType: "kimi_linear",
      fields: sizes + latent(magnitude: "1.0") + [
        rms, experts("num_experts"), copy("num_experts_per_token", "expert_used_count"), sharedCount("num_shared_experts"),
        copy("num_expert_group", "expert_group_count") { _ in "1" }, copy("topk_group", "expert_group_used_count") { _ in "1" },
        copy("moe_renormalize", "expert_weights_norm") { _ in "true" }, copy("routed_scaling_factor", "expert_weights_scale"),
        copy("first_k_dense_replace", "leading_dense_block_count"), denseWidth, expertWidth,
        copy("linear_conv_kernel_dim", "ssm.conv_kernel"), copy("linear_head_dim", "kda.head_dim"),
        whole("linear_num_heads") { $0.rowsOfFirst("ssm_beta.weight") },
        list("layer_types") { metadata, layer in metadata.has("blk.\(layer).ssm_a") ? "linear_attention" : "full_attention" },
      ]),
    GGUFFamily(
      architecture: "jamba", modelType: "jamba",
      fields: unturnedSizes + [
        rms, experts("num_experts"), topK, denseWidth, copy("mamba_d_conv", "ssm.conv_kernel"), copy("mamba_d_state", "ssm.state_size"),
        copy("mamba_dt_rank", "ssm.time_step_rank"),
        whole("mamba_expand") { metadata in
          metadata.integer("ssm.inner_size").map { $0 / max(1, metadata.integer("embedding_length") ?? 1) }
        },
        flag("mamba_conv_bias") { $0.anyBlock(has: "ssm_conv1d.bias") }, flag("mamba_proj_bias") { $0.anyBlock(has: "ssm_in.bias") },
      ] + every("attn", has: "attn_q") + every("expert", has: "ffn_gate_inp")),
    GGUFFamily(architecture: "glm-dsa", modelType: "glm_moe_dsa", fields: indexed),
    GGUFFamily(architecture: "deepseek32", modelType: "deepseek_v32", fields: indexed),
    GGUFFamily(
      architecture: "deepseek4", modelType: "deepseek_v4",
      fields: sizes + [
        rms, headSize, experts("n_routed_experts"), topK, sharedCount("n_shared_experts"), expertWidth,
        copy("routed_scaling_factor", "expert_weights_scale"), copy("norm_topk_prob", "expert_weights_norm"),
        text("scoring_func") { metadata in
          metadata.integer("expert_gating_func").map { $0 == 4 ? "sqrtsoftplus" : "expert_gating_func \($0)" }
        },
        copy("num_hash_layers", "hash_layer_count"), numbers("compress_ratios", "attention.compress_ratios"),
        Field(
          key: "swiglu_limit",
          source: .metadata { metadata in
            let limits = Set(metadata["swiglu_clamp_exp"]?.array?.numbers ?? [])
            return limits.count == 1 ? limits.first.map { "\($0)" } : nil
          }),
        copy("sliding_window", "attention.sliding_window"), copy("qk_rope_head_dim", "rope.dimension_count"),
        copy("compress_rope_theta", "attention.compress_rope_freq_base"), copy("q_lora_rank", "attention.q_lora_rank"),
        copy("o_groups", "attention.output_group_count"), copy("o_lora_rank", "attention.output_lora_rank"),
        copy("index_n_heads", "attention.indexer.head_count"), copy("index_head_dim", "attention.indexer.key_length"),
        copy("index_topk", "attention.indexer.top_k"), copy("hc_mult", "hyper_connection.count"),
        copy("hc_sinkhorn_iters", "hyper_connection.sinkhorn_iterations"), copy("hc_eps", "hyper_connection.epsilon"),
      ]),
  ]

  /// DeepSeek-V3 with a scorer beside each attention; layers without its tensors take over an earlier one's choice.
  private static let indexed =
    sizes + groupedRouter(scale: ([:], "2.5"), normalized: false) + latent(magnitude: "1.0") + [
      rms, copy("index_n_heads", "attention.indexer.head_count"), copy("index_head_dim", "attention.indexer.key_length"),
      copy("index_topk", "attention.indexer.top_k"),
      list("indexer_types") { metadata, layer in choosesItself(metadata, layer) ? "full" : "shared" },
    ]

  /// By the file's list, or by any tensor of a scorer.
  @Sendable private static func choosesItself(_ metadata: GGUFMetadata, _ layer: Int) -> Bool {
    if let marks = metadata.flags("attention.indexer.types") { return layer < marks.count && marks[layer] }
    return layer == 0 || ["attn_k", "attn_q_b", "proj"].contains { metadata.has("blk.\(layer).indexer.\($0).weight") }
  }

  /// Gated delta networks in most layers: Qwen3-Next and Qwen3.5.
  static let deltaNetwork =
    sizes + [
      rms, headSize, experts("num_experts"), topK, denseWidth, expertWidth, partialRotary,
      copy("shared_expert_intermediate_size", "expert_shared_feed_forward_length"), copy("linear_conv_kernel_dim", "ssm.conv_kernel"),
      copy("linear_key_head_dim", "ssm.state_size"), copy("linear_num_key_heads", "ssm.group_count"),
      copy("linear_num_value_heads", "ssm.time_step_rank"), stateHeadSize("linear_value_head_dim"),
      list("layer_types") { metadata, layer in metadata.has("blk.\(layer).ssm_a") ? "linear_attention" : "full_attention" },
    ]

  /// For families that say by layer, or not at all, how positions turn.
  static let unturnedSizes = sizes.filter { !["rope_theta", "rope_scaling"].contains($0.key) }

  /// Elements of one head of a state space or of the values of linear attention.
  static func stateHeadSize(_ key: String) -> Field {
    whole(key) { metadata in metadata.integer("ssm.inner_size").map { $0 / max(1, metadata.integer("ssm.time_step_rank") ?? 1) } }
  }

  static let sparseLayers = list("mlp_layer_types") { metadata, layer in
    metadata.has("blk.\(layer).ffn_gate_inp.weight") ? "sparse" : "dense"
  }

  /// A whole number for each layer.
  private static func numbers(_ key: String, _ source: String) -> Field {
    Field(
      key: key,
      source: .metadata { metadata in
        guard let numbers = metadata[source]?.array?.numbers?.compactMap({ Int(exactly: $0) }) else { return nil }
        return "\(Array(numbers.prefix(metadata.blockCount)))"
      })
  }

  /// Which layers a family has every so often, by the first two that have a tensor.
  private static func every(_ kind: String, has tensor: String) -> [Field] {
    @Sendable func rule(_ metadata: GGUFMetadata) throws -> (period: Int, offset: Int) {
      let count = metadata.blockCount
      let found = (0..<count).filter { metadata.has("blk.\($0).\(tensor).weight") }
      guard let first = found.first else { return (count + 1, count) }
      let period = found.count > 1 ? found[1] - first : count
      guard found == (0..<count).filter({ $0 % period == first }) else {
        throw ModelError.configuration(
          file: metadata.file.path, key: "the blocks with \(tensor)", expected: "every \(period)th from block \(first)", found: "\(found)")
      }
      return (period, first)
    }
    return [whole("\(kind)_layer_period") { try rule($0).period }, whole("\(kind)_layer_offset") { try rule($0).offset }]
  }

  // MARK: Layers with a window and layers without

  /// Layers with a window, by the file's list.
  private static func hasWindow(_ metadata: GGUFMetadata) -> [Bool] { metadata.flags("attention.sliding_window_pattern") ?? [] }

  private static func hasWindow(_ metadata: GGUFMetadata, _ layer: Int) -> Bool {
    let marks = hasWindow(metadata)
    return layer < marks.count && marks[layer]
  }

  /// Laguna: every n-th layer from the first has none; published, and where the file does not say, every fourth.
  private static func windowsAfterFirst(_ metadata: GGUFMetadata, saysSo: Bool) -> String? {
    guard metadata.integer("attention.sliding_window") ?? 0 > 0 else { return saysSo ? metadata.layerTypes { _ in false } : nil }
    let (marks, every) = (hasWindow(metadata), metadata.integer("attention.sliding_window_pattern"))
    guard saysSo == (every != nil || !marks.isEmpty) else { return nil }
    return metadata.layerTypes { marks.isEmpty ? $0 % max(1, every ?? 4) != 0 : $0 < marks.count && marks[$0] }
  }

  /// Heads of the layers with a window, or of the others.
  static func headCount(_ metadata: GGUFMetadata, _ key: String = "attention.head_count_kv", nearby: Bool) -> Int? {
    guard let counts = metadata[key]?.array?.numbers else { return metadata.integer(key) }
    return (0..<min(counts.count, metadata.blockCount)).first { hasWindow(metadata, $0) == nearby }.flatMap { Int(exactly: counts[$0]) }
  }

  private static func hasSinks(_ metadata: GGUFMetadata, nearby: Bool) -> Bool {
    (0..<metadata.blockCount).contains {
      hasWindow(metadata, $0) == nearby && (metadata.has("blk.\($0).attn_sinks.weight") || metadata.has("blk.\($0).attn_sinks"))
    }
  }

  /// Gemma 4: layers that see everything have heads of another size and number.
  @Sendable private static func headsOfLayers(_ metadata: GGUFMetadata) -> String? {
    let (windows, counts) = (hasWindow(metadata), metadata["attention.head_count_kv"]?.array?.numbers)
    let (far, near) = (metadata.integer("attention.key_length"), metadata.integer("attention.key_length_swa"))
    let layers = (0..<min(metadata.blockCount, windows.count)).map { layer in
      let size = (windows[layer] ? near ?? far : far).map { ["\"head_dim\": \($0)"] } ?? []
      let count = counts.flatMap { layer < $0.count ? Int(exactly: $0[layer]) : nil }.map { ["\"num_key_value_heads\": \($0)"] } ?? []
      return "\"\(layer)\": {" + (size + count).joined(separator: ", ") + "}"
    }
    return "{" + layers.joined(separator: ", ") + "}"
  }

  /// `rope_parameters` with an entry for layers that see everything and one for those with a window, which nothing stretches.
  ///
  /// - Parameters:
  ///   - far: the entry of the first, from its other members, and the share of a head that turns in them.
  ///   - near: that share in the others.
  static func turns(
    _ metadata: GGUFMetadata, far: (entry: ((GGUFMetadata) -> [String]) throws -> String?, share: String?), near: String?
  ) throws -> String? {
    func members(_ base: String, _ share: String?) -> [String] {
      (metadata.json(base).map { ["\"rope_theta\": \($0)"] } ?? []) + (share.map { ["\"partial_rotary_factor\": \($0)"] } ?? [])
    }
    let own = members("rope.freq_base", far.share)
    let entry = try far.entry { _ in own } ?? "{" + own.joined(separator: ", ") + "}"
    let others = members(metadata["rope.freq_base_swa"] == nil ? "rope.freq_base" : "rope.freq_base_swa", near)
    return "{\"full_attention\": \(entry), \"sliding_attention\": {" + others.joined(separator: ", ") + "}}"
  }

  /// Gemma 4: in layers that see everything only the first of the head's frequencies turn, as a tensor of divisors says: 1, then 1e30.
  @Sendable private static func proportionalTurns(_ metadata: GGUFMetadata) throws -> String? {
    let near = share(metadata, "rope.dimension_count_swa", metadata.integer("attention.key_length_swa"))
    let tensor = "rope_freqs.weight"
    let windows = hasWindow(metadata)
    guard windows.count >= metadata.blockCount else {
      throw ModelError.configuration(
        file: metadata.file.path, key: "gemma4.attention.sliding_window_pattern",
        expected: "a flag for each of \(metadata.blockCount) blocks",
        found: "\(windows.count)")
    }
    guard windows.contains(false) else { return try turns(metadata, far: ({ _ in nil }, nil), near: near) }
    guard let divisors = metadata.numbers(tensor), !divisors.isEmpty else {
      throw ModelError.missingTensor(file: metadata.file.path, name: tensor)
    }
    let turning = divisors.prefix { $0 == 1 }.count
    guard divisors.dropFirst(turning).allSatisfy({ $0 == 1e30 }) else {
      throw ModelError.unsupportedSetting(
        file: metadata.file.path, key: "tensor \"\(tensor)\"", found: "other divisors", supported: "1 and then 1e30")
    }
    return try turns(
      metadata,
      far: (
        { "{" + (["\"rope_type\": \"proportional\""] + $0(metadata)).joined(separator: ", ") + "}" },
        "\(Double(turning) / Double(divisors.count))"
      ), near: near)
  }

  /// The share of a head that turns; nil where the file does not say.
  private static func share(_ metadata: GGUFMetadata, _ turned: String, _ size: Int?) -> String? {
    guard let turned = metadata.integer(turned), let size, size > 0 else { return nil }
    let share = Double(turned) / Double(size)
    // What a declaration multiplies and rounds down again.
    return "\(Int(Double(size) * share) < turned ? share.nextUp : share)"
  }
}
