// The attention of DeepSeek-V4, by layer: what lies beyond the window, and by which angles it turns.

extension Family {
  static func compressedAttention(_ sizes: DecoderSizes) throws -> (Int, String) -> CompressedAttentionPlan {
    let configuration = sizes.configuration
    let size = sizes.headSize
    let (rank, window) = (try configuration.count("q_lora_rank"), try configuration.count("sliding_window"))
    let (groups, groupSize) = (try configuration.count("o_groups"), try configuration.count("o_lora_rank"))
    let index = (
      heads: try configuration.count("index_n_heads"), size: try configuration.count("index_head_dim"),
      topK: try configuration.count("index_topk")
    )
    let kinds = try configuration.compressions(sizes.layerCount)
    let rotary = try configuration.rotaryOfWindowAndEntries(headSize: size)
    try configuration.require(sizes.keyValueHeadCount == 1, "num_key_value_heads", found: "\(sizes.keyValueHeadCount)", "1")
    try configuration.require(sizes.headCount % groups == 0, "o_groups", found: "\(groups)", "a divisor of num_attention_heads")
    try configuration.require(
      rotary.entries.rotatedSize <= index.size, "index_head_dim", found: "\(index.size)",
      "at least the \(rotary.entries.rotatedSize) elements that turn")
    if try configuration.flag("attention_bias", default: false) {
      throw configuration.refused("attention_bias", found: "true", supported: "false")
    }
    func compressor(_ prefix: String, rate: Int, size: Int, overlaps: Bool) -> CompressorPlan {
      CompressorPlan(
        rate: rate, size: size, overlaps: overlaps, value: LinearPlan(prefix: prefix + "wkv"), gate: LinearPlan(prefix: prefix + "wgate"),
        places: VectorPlan(prefix + "ape"), norm: sizes.rms(prefix + "norm"), rotary: rotary.entries)
    }
    return { layer, prefix in
      func linear(_ name: String) -> LinearPlan { LinearPlan(prefix: prefix + name) }
      var plan = CompressedAttentionPlan(
        headCount: sizes.headCount, headSize: size, queryDown: linear("wq_a"), queryNorm: sizes.rms(prefix + "q_norm"), queryDownSize: rank,
        query: linear("wq_b"), headNorm: .rms(nil, sizes.epsilon), keyValue: linear("wkv"), keyValueNorm: sizes.rms(prefix + "kv_norm"),
        rotary: rotary.window, window: window, sinks: VectorPlan(prefix + "attn_sink"), groups: groups, groupSize: groupSize,
        outputDown: linear("wo_a"), output: linear("wo_b"))
      guard let kind = kinds[layer] else { return plan }
      plan.rotary = rotary.entries
      plan.compressor = compressor(prefix + "compressor.", rate: kind.rate, size: size, overlaps: kind.isChosen)
      guard kind.isChosen else { return plan }
      plan.index = CompressedAttentionPlan.Index(
        headCount: index.heads, topK: index.topK, query: linear("indexer.wq_b"), weights: linear("indexer.weights_proj"),
        compressor: compressor(prefix + "indexer.compressor.", rate: kind.rate, size: index.size, overlaps: true))
      return plan
    }
  }
}

extension Configuration {
  /// What a layer sees beyond its window: entries of so many tokens, those a scorer chooses or all.
  fileprivate typealias Compression = (rate: Int, isChosen: Bool)

  fileprivate func require(_ holds: Bool, _ key: String, found: String, _ supported: String) throws {
    if !holds { throw refused(key, found: found, supported: supported) }
  }

  /// By layer; nil: nothing.
  fileprivate func compressions(_ count: Int) throws -> [Compression?] {
    let (near, chosen, all) = ("sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention")
    var rates = [chosen: try self.count("compress_rate_csa", default: 4), all: try self.count("compress_rate_hca", default: 128)]
    if value("compress_rates") != nil {
      let section = try section("compress_rates", irrelevant: [])
      for kind in [chosen, all] { rates[kind] = try section.count(kind, default: rates[kind]) }
      try section.finish()
    }
    let kinds: [String: Compression] = rates.reduce(into: [:]) { $0[$1.key] = ($1.value, $1.key == chosen) }
    let ratios = value("compress_ratios").map { $0.kind == .array ? $0.elements.map(\.int64) : [] }
    guard let names = try layerTypes(count: count) else {
      // A number for each layer that looks further ahead follows.
      guard let ratios, ratios.count >= count else {
        throw ModelError.configuration(
          file: file, key: "compress_ratios", expected: "\(count) numbers, or layer_types", found: "\(ratios?.count ?? 0)")
      }
      return try ratios.prefix(count).map { ratio in
        switch ratio {
        case 0: nil
        case 4: kinds[chosen]
        case 128: kinds[all]
        default: throw refused("compress_ratios", found: ratio.map { "\($0)" } ?? "something else", supported: "0, 4, 128")
        }
      }
    }
    return try names.map { name in
      if name == near { return nil }
      guard let kind = kinds[name] else {
        throw refused("layer_types", found: "\"\(name)\"", supported: [near, chosen, all].joined(separator: ", "))
      }
      return kind
    }
  }

  /// Whether each layer looks its experts up.
  func hashedLayers(_ count: Int) throws -> [Bool] {
    guard let names = try layerTypes("mlp_layer_types", count: count) else {
      let first = try wholeNumber("num_hash_layers", default: 3)
      return (0..<count).map { $0 < first }
    }
    // The list counts.
    disregard(["num_hash_layers"])
    return try names.map { name in
      guard let isHashed = ["hash_moe": true, "moe": false][name] else {
        throw refused("mlp_layer_types", found: "\"\(name)\"", supported: "hash_moe, moe")
      }
      return isHashed
    }
  }

  /// Of layers that see a window only, and of the others with their entries. Newer files have an entry for each; older ones scale the second
  /// kind only, whose cosines yarn leaves as long as they are.
  fileprivate func rotaryOfWindowAndEntries(headSize: Int) throws -> (window: RotaryPlan, entries: RotaryPlan) {
    let share = try optionalCount("qk_rope_head_dim").map { Double($0) / Double(headSize) } ?? 0.125
    let (base, entryBase) = (
      try positive("rope_theta", default: 10_000), try positive("compress_rope_theta", default: 160_000)
    )
    let stated = value("rope_parameters")
    let isNested = stated?.kind == .object && ["main", "compress"].allSatisfy { stated?[$0]?.kind == .object }
    func plan(_ type: String, _ base: Double, magnitude: Double?) throws -> RotaryPlan {
      try rotarySettings(
        headSize: headSize, statedBase: base, defaultShare: share, layerType: type, isInterleaved: true, defaultMagnitude: magnitude
      ).plan
    }
    if isNested { return (try plan("main", base, magnitude: nil), try plan("compress", entryBase, magnitude: nil)) }
    var entries = try plan("compress", entryBase, magnitude: 1)
    entries.base = entryBase
    return (RotaryPlan(base: base, rotatedSize: entries.rotatedSize, isInterleaved: true), entries)
  }
}
