// Qwen4-Exp (Qwen team 2026, Qwen3.8-Flash-Next): the mixers and the routed half of Qwen3.5 between several gated residual streams; attention
// looks at the best groups of earlier tokens; some layers add what a table remembers of the last tokens' ids. Norms store the difference from 1.
//
// | key                     | meaning                                             | default  |
// |-------------------------|-----------------------------------------------------|----------|
// | hc_count, hc_lowrank    | residual streams, rank of their gates               | 4, 320   |
// | layer_types             | linear_attention; indexed_attention or full_attention | by full_attention_interval, 4 |
// | indexer_n_heads, indexer_head_dim, indexer_kv_heads | the scorer of earlier tokens; one key | required |
// | indexer_budget, indexer_compress_ratio | tokens of the groups that are kept, tokens of a group | required |
// | output_gate_type        | of a delta network's output: silu, sigmoid          | silu     |
// | ple_layer_ids           | layers with a table of n-grams, counted from 1      | none     |
// | ple_embed_dim, ple_conv_kernel_size | width of what is looked up, reach of its convolution | hidden_size, 4 |
// | ngram_size, heads_per_ngram | longest n-gram, hashes of each length         | 3, 8     |
// | ngram_vocab_size_base, make_ngram_vocab_size_divisible_by, seed | the hashes, see NGramMemory.swift | 20000000, 128, 1234 |
// | split_ngram_parts       | tensors that a table lies in                        | 512      |
//
// The other fields are in Qwen.swift and QwenNext.swift.

import Routing

extension Family {
  static let qwen4Exp = Family(
    modelType: "qwen4_exp_text", wrapper: "qwen4_exp",
    defaults: [
      "num_key_value_heads": "2", "rms_norm_eps": "1e-06", "partial_rotary_factor": "0.25", "hc_count": "4", "hc_lowrank": "320",
      "ple_conv_kernel_size": "4", "ngram_size": "3", "heads_per_ngram": "8", "ngram_vocab_size_base": "20000000",
      "make_ngram_vocab_size_divisible_by": "128", "split_ngram_parts": "512",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, headSize: configuration.count("head_dim", default: 256))
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultShare: 0.25)
    let bias = try configuration.flag("attention_bias", default: false)
    let interval = try configuration.count("full_attention_interval", default: 4)
    let isLinear = try configuration.layerKinds(
      ["linear_attention": true, "full_attention": false, "indexed_attention": false], count: sizes.layerCount,
      default: { ($0 + 1) % interval != 0 })
    try configuration.requireSet("attn_output_gate")
    configuration.disregard(["mamba_ssm_dtype", "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "mtp", "number_of_conv_states"])
    let feedForward = try qwenFeedForward(
      sizes, shared: configuration.count("shared_expert_intermediate_size"), isNormalizedByDefault: true, isStated: false,
      layout: .ownOrFused)
    let gate = try configuration.text("output_gate_type", default: "silu")
    guard let function = ["silu": GatedDeltaNetPlan.Gate.silu, "sigmoid": .sigmoid][gate] else {
      throw configuration.refused("output_gate_type", found: "\"\(gate)\"", supported: "\"silu\", \"sigmoid\"")
    }
    let network = try deltaNetwork(sizes, gate: function, projections: separateProjections)
    let index = try configuration.pooledIndex(sizes, rotary)
    let (streams, rank) = (try configuration.count("hc_count"), try configuration.count("hc_lowrank"))
    guard (2...64).contains(streams) else { throw configuration.refused("hc_count", found: "\(streams)", supported: "2 to 64") }
    let memories = try configuration.memories(sizes, streams: streams)
    func gates(_ prefix: String, writes: Bool = true) -> GatedStreamsPlan {
      GatedStreamsPlan(
        streams: streams, rank: rank, norm: .init(streams: streams, weight: VectorPlan(prefix + "hc_norm.weight"), epsilon: sizes.epsilon),
        down: LinearPlan(prefix: prefix + "input_mix_weight_down"), up: LinearPlan(prefix: prefix + "input_mix_weight_up"),
        injection: writes ? LinearPlan(prefix: prefix + "block_inject_weight") : nil)
    }
    var model = sizes.model("qwen4_exp_text") { layer in
      let prefix = sizes.prefix(layer)
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      attention.queryCarriesGate = true
      sizes.normHeads(&attention, layer: layer, scope: .head, offset: 1)
      attention.pooledIndex = index(layer)
      var mixer = SublayerPlan(.stream, isLinear[layer] ? network(layer) : attention)
      var experts = SublayerPlan(.stream, feedForward(layer))
      (mixer.connection, experts.connection) = (gates(prefix + "attn_hyper_connection."), gates(prefix + "mlp_hyper_connection."))
      return BlockPlan((memories[layer].map { [SublayerPlan(.streams, $0)] } ?? []) + [mixer, experts])
    }
    model.streamCount = streams
    model.decoder.join = gates("model.hyper_connection_mixer.", writes: false)
    model.decoder.finalNorm = nil
    return model
  }
}

extension Configuration {
  /// The scorer of each layer with attention.
  fileprivate func pooledIndex(_ sizes: DecoderSizes, _ rotary: RotaryPlan) throws -> (Int) -> PooledIndexPlan {
    let (heads, size) = (try count("indexer_n_heads"), try count("indexer_head_dim"))
    let (budget, length) = (try count("indexer_budget"), try count("indexer_compress_ratio"))
    let keys = try count("indexer_kv_heads", default: 1)
    if keys != 1 { throw refused("indexer_kv_heads", found: "\(keys)", supported: "1") }
    guard budget % length == 0 else {
      throw ModelError.configuration(
        file: file, key: "indexer_budget", expected: "a multiple of indexer_compress_ratio \(length)", found: "\(budget)")
    }
    guard rotary.rotatedSize <= size else {
      throw ModelError.configuration(
        file: file, key: "indexer_head_dim", expected: "at least the \(rotary.rotatedSize) elements that turn", found: "\(size)")
    }
    return { layer in
      let prefix = sizes.prefix(layer) + "self_attn.indexer."
      return PooledIndexPlan(
        headCount: heads, headSize: size, groupSize: length, topK: budget / length,
        projection: LinearPlan(prefix: prefix + "index_qk_proj"), queryNorm: sizes.rms(prefix + "q_layernorm", offset: 1),
        keyNorm: sizes.rms(prefix + "k_layernorm", offset: 1), rotary: rotary)
    }
  }

  /// By layer its table of n-grams.
  fileprivate func memories(_ sizes: DecoderSizes, streams: Int) throws -> [Int: NGramMemoryPlan] {
    let layers = Set(try counts("ple_layer_ids")).sorted()
    let (orders, perOrder) = (try count("ngram_size"), try count("heads_per_ngram"))
    let (base, multiple) = (try count("ngram_vocab_size_base"), try count("make_ngram_vocab_size_divisible_by"))
    let (shards, reach) = (try count("split_ngram_parts"), try count("ple_conv_kernel_size"))
    let width = try count("ple_embed_dim", default: sizes.hiddenSize)
    let seed = try wholeNumber("seed", default: 1234)
    guard !layers.isEmpty else { return [:] }
    guard layers.allSatisfy({ (1...sizes.layerCount).contains($0) }) else {
      throw ModelError.configuration(file: file, key: "ple_layer_ids", expected: "layers from 1 to \(sizes.layerCount)", found: "\(layers)")
    }
    let limit = 1 << 12
    guard orders > 1, orders <= limit, perOrder <= limit, (orders - 1) * perOrder * layers.count <= limit,
      width % ((orders - 1) * perOrder) == 0, shards <= 1 << 16, reach <= limit
    else {
      throw ModelError.configuration(
        file: file, key: "ngram_size, heads_per_ngram, ple_embed_dim, split_ngram_parts, ple_conv_kernel_size",
        expected: "n-grams of 2 and more, in all tables at most \(limit) heads, a number of which divides ple_embed_dim \(width)",
        found: "\(orders), \(perOrder), \(width), \(shards), \(reach)")
    }
    guard let end = integers("eos_token_id").first else {
      throw ModelError.configuration(
        file: file, key: "eos_token_id", expected: "the id that ends texts, which no n-gram reaches over", found: "nothing")
    }
    var memories: [Int: NGramMemoryPlan] = [:]
    for (number, layer) in layers.enumerated() {
      let prefix = sizes.prefix(layer - 1) + "ple."
      let table = prefix + "ple_embedding."
      func norm(_ name: String) -> StreamNormPlan {
        StreamNormPlan(streams: streams, weight: VectorPlan("\(prefix)\(name).weight"), epsilon: sizes.epsilon)
      }
      let hash = NGramHash(
        orders: orders, headsPerOrder: perOrder, end: end, vocabulary: sizes.vocabularySize, layer: number, base: base, multiple: multiple,
        seed: seed)
      try requireSame(hash)
      memories[layer - 1] = NGramMemoryPlan(
        streams: streams, hash: hash,
        width: width, table: (table + "ngram_embedding", shards),
        numbers: (table + "layer_multipliers", table + "ngram_heads_vocab_sizes", table + "ngram_heads_offsets"),
        key: LinearPlan(prefix: prefix + "key_proj"), value: LinearPlan(prefix: prefix + "value_proj"), keyNorm: norm("norm_key"),
        queryNorm: norm("norm_query"), convolutionNorm: norm("norm_conv"),
        convolution: ConvolutionPlan(
          channels: streams * sizes.hiddenSize, width: reach, dilation: orders, weight: prefix + "conv1d.weight"))
    }
    return memories
  }

  /// The numbers of a hash where the configuration says them too, as that of a GGUF file does: others would choose other rows.
  private func requireSame(_ hash: NGramHash) throws {
    let own: [(String, [Double])] = [
      ("layer_multipliers", hash.multipliers.map { Double($0) }), ("ngram_heads_vocab_sizes", hash.sizes.map { Double($0) }),
      ("ngram_heads_offsets", hash.offsets.map { Double($0) }),
    ]
    for (key, wanted) in own {
      if let found = try numbers(key), found != wanted {
        throw refused(key, found: "other numbers", supported: "those that follow from seed and the n-gram sizes")
      }
    }
  }
}
