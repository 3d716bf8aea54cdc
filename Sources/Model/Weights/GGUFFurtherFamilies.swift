// More architectures of llama.cpp in the words of config.json: see GGUFFamilies.swift. Here are DeepSeek-MoE, Ling and Ring, MiniMax-M3,
// Granite with windows, SmallThinker, Qwen4-Exp, and Step.

import Formats

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension GGUFFamily {
  static let further: [GGUFFamily] = [
    GGUFFamily(
      architecture: "deepseek", modelType: "deepseek", habits: .init(pairsHeadRows: true),
      fields: sizes + [
        rms, experts("n_routed_experts"), topK, sharedCount("n_shared_experts"), denseWidth, expertWidth, attentionBias, usualScale,
        copy("first_k_dense_replace", "leading_dense_block_count"), copy("norm_topk_prob", "expert_weights_norm") { _ in "false" },
      ]),
    GGUFFamily(
      architecture: "bailingmoe", modelType: "bailing_moe", habits: .init(pairsHeadRows: true),
      fields: sizes + [
        rms, headSize, experts("num_experts"), topK, sharedCount("num_shared_experts"), denseWidth, expertWidth, fusedBias, usualScale,
        copy("first_k_dense_replace", "leading_dense_block_count"), copy("norm_topk_prob", "expert_weights_norm") { _ in "true" },
        text("score_function") { score($0) ?? "softmax" },
      ]),
    GGUFFamily(
      architecture: "bailingmoe2", modelType: "bailing_moe",
      fields: sizes + groupedRouter(groupsOfV3, scale: ([:], "2.5")) + [
        rms, headSize, fusedBias, partialRotary, headNorms, text("score_function") { score($0) ?? "sigmoid" },
      ]),
    GGUFFamily(
      architecture: "bailingmoe3", modelType: "bailing_hybrid", habits: .init(keepsSignOfRates: true),
      fields: sizes + latent(magnitude: "1.0") + [
        rms, experts("num_experts"), copy("num_experts_per_token", "expert_used_count"), sharedCount("num_shared_experts"),
        copy("num_expert_group", "expert_group_count") { _ in "8" }, copy("topk_group", "expert_group_used_count") { _ in "4" },
        copy("moe_renormalize", "expert_weights_norm") { _ in "true" },
        copy("routed_scaling_factor", "expert_weights_scale") { _ in "2.5" },
        scoring, copy("first_k_dense_replace", "leading_dense_block_count"), denseWidth, expertWidth,
        copy("linear_conv_kernel_dim", "ssm.conv_kernel"), copy("linear_head_dim", "kda.head_dim"),
        whole("linear_num_heads") { $0.rowsOfFirst("ssm_beta.weight") },
        list("layer_types") { metadata, layer in metadata.has("blk.\(layer).ssm_a") ? "linear_attention" : "full_attention" },
        copy("kda_lower_bound", "kda.gate_lower_bound") { _ in "-5.0" }, Field(key: "kda_safe_gate", source: .metadata(boundedGate)),
        clamps("expert_swiglu_limit_list", "swiglu_clamp_exp"), clamps("share_expert_swiglu_limit_list", "swiglu_clamp_shexp"),
      ]),
    GGUFFamily(
      architecture: "minimax-m3", modelType: "minimax_m3", habits: .init(addsOneToNorms: true),
      fields: sizes + [
        rms, headSize, experts("num_local_experts"), topK, onlyWidth, partialRotary, scoring, sparseLayers,
        copy("n_shared_experts", "expert_shared_count"), copy("routed_scaling_factor", "expert_weights_scale") { _ in "2.0" },
        whole("dense_intermediate_size") { $0.rowsOfFirst("ffn_up.weight") },
        whole("shared_intermediate_size") { $0.rowsOfFirst("ffn_up_shexp.weight") }, assume("swiglu_limit", "7.0"),
        Field(key: "layer_types", source: .metadata(layersWithScorer)),
        copy("index_n_heads", "attention.indexer.head_count"), copy("index_head_dim", "attention.indexer.key_length"),
        copy("index_topk_blocks", "attention.indexer.top_k"), copy("index_block_size", "attention.indexer.block_size"),
        copy("index_local_blocks", "attention.indexer.local_blocks"),
      ]),
    GGUFFamily(
      architecture: "granite_swa", modelType: "granitemoe_swa", applies: { ($0.integer("expert_count") ?? 0) > 0 },
      habits: .init(pairsHeadRows: true),
      fields: sizes + granite.filter { $0.key != "num_experts_per_tok" } + [
        whole("num_experts_per_tok", oneCount), sharedWidth, windows, copy("sliding_window", "attention.sliding_window"),
        Field(
          key: "layer_rope_theta",
          source: .metadata { metadata in
            // The file has one base, and says which layers encode no positions.
            guard let turns = metadata.flags("attention.rope_pattern"), let base = metadata.json("rope.freq_base") else { return nil }
            return "[" + turns.prefix(metadata.blockCount).map { $0 ? base : "0" }.joined(separator: ", ") + "]"
          }),
      ]),
    GGUFFamily(
      architecture: "smallthinker", modelType: "smallthinker",
      fields: sizes + [
        rms, headSize, experts("moe_num_primary_experts"), copy("moe_num_active_primary_experts", "expert_used_count"),
        whole("moe_ffn_hidden_size") { $0.integer("expert_feed_forward_length", "feed_forward_length") },
        flag("moe_primary_router_apply_softmax") { score($0) == "softmax" },
        copy("sliding_window_size", "attention.sliding_window"), assume("rope_layout", layoutOfSmallThinker),
        assume("sliding_window_layout", layoutOfSmallThinker),
      ]),
    GGUFFamily(
      architecture: "qwen4exp", modelType: "qwen4_exp_text", habits: .init(addsOneToNorms: true, tilesValueHeads: true),
      fields: deltaNetwork.filter { $0.key != "eos_token_id" } + [
        copy("hc_count", "hyper_connection.count"), copy("hc_lowrank", "hyper_connection.low_rank"),
        copy("indexer_n_heads", "attention.indexer.head_count"), copy("indexer_head_dim", "attention.indexer.key_length"),
        copy("indexer_budget", "attention.indexer.top_k"),
        whole("indexer_compress_ratio") { $0["attention.compress_ratios"]?.array?.integers?.max().flatMap { Int(exactly: $0) } },
        copy("ngram_size", "ple.ngram_size"), copy("heads_per_ngram", "ple.heads_per_ngram"),
        copy("ple_conv_kernel_size", "ple.conv_kernel"),
        Field(key: "ple_layer_ids", source: .metadata { listed($0, "ple.layers", adding: 1) }),
        whole("ple_embed_dim") { metadata in
          guard let orders = metadata.integer("ple.ngram_size"), let heads = metadata.integer("ple.heads_per_ngram") else { return nil }
          return metadata.integer("embedding_length_per_layer_input").map { $0 * max(0, orders - 1) * heads }
        },
        // The first head of the only table has the least prime that there may be.
        whole("ngram_vocab_size_base") { $0["ple.head_vocab_sizes"]?.array?.integers?.first.flatMap { Int(exactly: $0) } },
        whole("split_ngram_parts") { _ in 1 }, assume("make_ngram_vocab_size_divisible_by", "128"),
        Field(key: "layer_multipliers", source: .metadata { listed($0, "ple.layer_multipliers") }),
        Field(key: "ngram_heads_vocab_sizes", source: .metadata { listed($0, "ple.head_vocab_sizes") }),
        Field(key: "ngram_heads_offsets", source: .metadata { listed($0, "ple.head_offsets") }),
        Field(
          key: "eos_token_id",
          source: .metadata { $0.json("ple.eos_token_id") ?? $0.file["tokenizer.ggml.eos_token_id"]?.int64.map { "\($0)" } }),
      ]),
    GGUFFamily(
      architecture: "step35", modelType: "step3p5", habits: .init(addsOneToNorms: true),
      fields: unturnedSizes.filter { $0.key != "num_attention_heads" } + [
        whole("num_attention_heads") { headCount($0, "attention.head_count", nearby: false) },
        whole("num_sliding_attention_heads") { headCount($0, "attention.head_count", nearby: true) },
        rms, headSize, experts("n_routed_experts"), topK, denseWidth, expertWidth, attentionBias, sparseLayers,
        copy("share_expert_dim", "expert_shared_feed_forward_length"), copy("norm_expert_weight", "expert_weights_norm"),
        copy("moe_router_scaling_factor", "expert_weights_scale") { _ in "3.0" }, text("moe_router_activation", score),
        copy("sliding_window", "attention.sliding_window"), windows, clamps("swiglu_limits", "swiglu_clamp_exp"),
        clamps("swiglu_limits_shared", "swiglu_clamp_shexp"), Field(key: "rope_parameters", source: .metadata(turnsOfStep)),
      ]),
  ]

  /// A list of whole numbers as JSON.
  @Sendable private static func listed(_ metadata: GGUFMetadata, _ key: String, adding offset: Int64 = 0) -> String? {
    metadata[key]?.array?.integers.map { "[" + $0.map { "\($0 &+ offset)" }.joined(separator: ", ") + "]" }
  }

  /// Where the published models have windows, each first of four layers has none, and encodes no positions.
  @Sendable private static func layoutOfSmallThinker(_ metadata: GGUFMetadata) -> String? {
    guard (metadata.integer("attention.sliding_window") ?? 0) > 0 else { return nil }
    return "\((0..<metadata.blockCount).map { $0 % 4 == 0 ? 0 : 1 })"
  }

  /// Biases of queries, keys and values in one.
  private static let fusedBias = flag("use_qkv_bias") { $0.anyBlock(has: "attn_qkv.bias") || $0.anyBlock(has: "attn_q.bias") }

  /// A factor on the weights, of families that have none: what is not 1 is for the declaration to refuse.
  private static let usualScale = Field(
    key: "routed_scaling_factor", source: .metadata { $0.json("expert_weights_scale").flatMap { Double($0) == 1 ? nil : $0 } })

  /// By layer a clamp of the experts' halves, where any layer has one.
  private static func clamps(_ key: String, _ source: String) -> Field {
    Field(
      key: key,
      source: .metadata { metadata in
        let limits =
          metadata[source]?.array?.numbers ?? metadata[source]?.double.map { [Double](repeating: $0, count: metadata.blockCount) }
        guard let limits, limits.allSatisfy(\.isFinite), limits.contains(where: { $0 != 0 }) else { return nil }
        return "\(limits.prefix(metadata.blockCount).map { Float($0) })"
      })
  }

  /// How many experts a token takes; newer files say it layer by layer.
  @Sendable private static func oneCount(_ metadata: GGUFMetadata) throws -> Int? {
    if let counts = metadata["expert_used_count"]?.array?.integers, Set(counts.prefix(metadata.blockCount)).count > 1 {
      throw ModelError.unsupportedSetting(
        file: metadata.file.path, key: "\(metadata.prefix).expert_used_count", found: "several numbers", supported: "one for all layers")
    }
    return metadata.integer("expert_used_count")
  }

  /// Which layers of MiniMax-M3 choose blocks of tokens. Files without any scorer were made by programs that have every token see all:
  /// that is another model as soon as a text is longer than the blocks that are kept.
  @Sendable private static func layersWithScorer(_ metadata: GGUFMetadata) throws -> String? {
    let types = (0..<metadata.blockCount).map { layer in
      ["indexer.q_proj", "index_q_proj"].contains { metadata.has("blk.\(layer).\($0).weight") } ? "minimax_m3_sparse" : "full_attention"
    }
    guard types.contains("minimax_m3_sparse") else {
      throw ModelError.unsupportedSetting(
        file: metadata.file.path, key: "blk.*.indexer.q_proj.weight", found: "no layer with a scorer of blocks",
        supported: "the scorers that MiniMax-M3 was trained with")
    }
    return "[" + types.map { "\"\($0)\"" }.joined(separator: ", ") + "]"
  }

  /// The converter writes rates for gates with a bound alone.
  @Sendable private static func boundedGate(_ metadata: GGUFMetadata) throws -> String? {
    guard metadata["kda.safe_gate"]?.bool == false else { return "true" }
    throw ModelError.unsupportedSetting(
      file: metadata.file.path, key: "\(metadata.prefix).kda.safe_gate", found: "false", supported: "true")
  }

  // MARK: How heads of Step turn

  /// Layers with a window turn whole heads, the others half of each, and these are stretched by Llama 3's rule.
  @Sendable private static func turnsOfStep(_ metadata: GGUFMetadata) throws -> String? {
    let size = metadata.headSize
    let turned = metadata.integer("rope.dimension_count") ?? size
    guard size > 0, let base = metadata["rope.freq_base"]?.double else { return nil }
    let (far, near) = (Double(turned) / Double(2 * size), Double(turned) / Double(size))
    guard let divisors = metadata.numbers("rope_freqs.weight"), !divisors.isEmpty else {
      return try turns(metadata, far: (metadata.ropeScaling, "\(far)"), near: "\(near)")
    }
    let stretch = ["\"rope_type\": \"llama3\""] + publishedStretch(divisors, base: base)
    return try turns(
      metadata, far: ({ "{" + (stretch + $0(metadata)).joined(separator: ", ") + "}" }, "\(far)"), near: "\(near)")
  }

  /// The numbers of the rule in the published checkpoints, where a file's divisors are theirs; else none, and they have to be set.
  ///
  /// llama.cpp's converter takes the frequencies of heads that turn whole, so its divisors are not those of the model: the first half of
  /// them would stretch slower turns than the model stretches. What they are good for is to tell which rule they were made by.
  ///
  /// - Parameter divisors: one for each frequency of a head that turns whole.
  static func publishedStretch(_ divisors: [Float], base: Double) -> [String] {
    let (factor, context, low, high) = (2.0, 131_072.0, 1.0, 32.0)
    let isPublished = divisors.indices.allSatisfy { i in
      let wavelength = 2 * Double.pi * pow(base, Double(i) / Double(divisors.count))
      let share = min(max((context / wavelength - low) / (high - low), 0), 1)
      return abs(Double(divisors[i]) * ((1 - share) / factor + share) - 1) < 1e-4
    }
    guard isPublished else { return [] }
    return [
      "\"factor\": \(factor)", "\"original_max_position_embeddings\": \(Int(context))", "\"low_freq_factor\": \(low)",
      "\"high_freq_factor\": \(high)",
    ]
  }
}
