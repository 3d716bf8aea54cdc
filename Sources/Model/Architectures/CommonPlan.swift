// What most decoder-only families share, so that a declaration only says where it differs: size fields, the frame of names around the
// blocks, projections, gated experts in the layouts that files use.

import Routing

/// The fields of config.json that nearly every decoder-only family has, and the names they come with.
struct DecoderSizes {
  let configuration: Configuration
  let hiddenSize: Int
  let vocabularySize: Int
  let layerCount: Int
  let headCount: Int
  let keyValueHeadCount: Int
  let headSize: Int
  let contextLength: Int
  let epsilon: Double
  let isTied: Bool

  /// - Parameters:
  ///   - epsilon: of the norms, where the configuration does not say.
  ///   - tied: whether the head is the embedding, where the configuration does not say.
  ///   - ownHeadSize: the size of a head where `head_dim` is not what says it.
  ///   - ownLayerCount: the number of layers where `num_hidden_layers` is not what says it.
  ///   - activation: of the feed-forward halves, and the field that says it.
  /// - Throws: `ModelError` when a size is missing or the head counts do not divide.
  init(
    _ configuration: Configuration, epsilon defaultEpsilon: Double = 1e-6, tied: Bool = false, headSize ownHeadSize: Int? = nil,
    layers ownLayerCount: Int? = nil, activation: (key: String, name: String) = ("hidden_act", "silu")
  ) throws {
    self.configuration = configuration
    hiddenSize = try configuration.count("hidden_size")
    vocabularySize = try configuration.count("vocab_size")
    layerCount = try ownLayerCount ?? configuration.layerCount("num_hidden_layers", "num_layers")
    headCount = try configuration.count("num_attention_heads")
    keyValueHeadCount = try configuration.count("num_key_value_heads", "num_attention_groups", default: headCount)
    contextLength = try configuration.count("max_position_embeddings", "model_max_length")
    epsilon = try configuration.positive("rms_norm_eps", "norm_eps", "layer_norm_eps", default: defaultEpsilon)
    isTied = try configuration.flag("tie_word_embeddings", default: tied)
    let head = try ownHeadSize ?? configuration.optionalCount("head_dim")
    headSize = head ?? hiddenSize / headCount
    if head == nil && hiddenSize % headCount != 0 {
      throw ModelError.configuration(
        file: configuration.file, key: "num_attention_heads", expected: "a divisor of hidden_size \(hiddenSize)", found: "\(headCount)")
    }
    if headCount % keyValueHeadCount != 0 {
      throw ModelError.configuration(
        file: configuration.file, key: "num_key_value_heads", expected: "a divisor of num_attention_heads \(headCount)",
        found: "\(keyValueHeadCount)")
    }
    if headSize % 2 != 0 {
      throw ModelError.configuration(file: configuration.file, key: "head_dim", expected: "an even number", found: "\(headSize)")
    }
    try configuration.require(activation.key, activation.name, default: activation.name)
  }

  func prefix(_ layer: Int) -> String { "model.layers.\(layer)." }

  func rms(_ name: String, offset: Float = 0) -> NormPlan { .rms(VectorPlan("\(name).weight"), epsilon, offset: offset) }

  /// Attention with the usual projection names.
  func attention(layer: Int, rotary: RotaryPlan?, bias: Bool = false, outputBias: Bool? = nil, output: String = "o_proj") -> AttentionPlan {
    let prefix = prefix(layer) + "self_attn."
    func linear(_ name: String, _ bias: Bool) -> LinearPlan { LinearPlan(prefix: prefix + name, bias: bias) }
    return AttentionPlan(
      headCount: headCount, keyValueHeadCount: keyValueHeadCount, headSize: headSize, query: linear("q_proj", bias),
      key: linear("k_proj", bias), value: linear("v_proj", bias), output: linear(output, outputBias ?? bias), rotary: rotary)
  }

  /// RMS norms on queries and keys, `q_norm` and `k_norm` unless named otherwise.
  func normHeads(
    _ attention: inout AttentionPlan, layer: Int, scope: HeadNormPlan.Scope, query: String = "q_norm", key: String = "k_norm",
    offset: Float = 0
  ) {
    let prefix = prefix(layer) + "self_attn."
    attention.queryNorm = HeadNormPlan(norm: rms(prefix + query, offset: offset), scope: scope)
    attention.keyNorm = HeadNormPlan(norm: rms(prefix + key, offset: offset), scope: scope)
  }

  /// The usual block: norm, attention, norm, feed-forward half.
  func block(layer: Int, _ mixer: any OperationPlan, _ feedForward: any OperationPlan, offset: Float = 0) -> BlockPlan {
    BlockPlan([
      SublayerPlan(rms(prefix(layer) + "input_layernorm", offset: offset), mixer),
      SublayerPlan(rms(prefix(layer) + "post_attention_layernorm", offset: offset), feedForward),
    ])
  }

  /// The whole model around its blocks, with the usual names for embedding, final norm and head.
  func model(
    _ family: String, finalNorm: NormPlan? = nil, headBias: Bool = false, blocks: (Int) throws -> BlockPlan
  ) rethrows -> ModelPlan {
    let embedding: MatrixPlan = "model.embed_tokens.weight"
    return ModelPlan(
      family: family, hiddenSize: hiddenSize, vocabularySize: vocabularySize, contextLength: contextLength, embedding: embedding,
      decoder: StackPlan(blocks: try (0..<layerCount).map(blocks), finalNorm: finalNorm ?? rms("model.norm")),
      outputHead: LinearPlan(isTied ? .tiedHead(embedding) : "lm_head.weight", bias: headBias ? "lm_head.bias" : nil))
  }
}

extension GatedPlan {
  /// `gate_proj`, `up_proj`, `down_proj` under a prefix, or other names for them.
  static func projections(
    _ prefix: String, _ width: Int, names: (gate: String, up: String, down: String) = ("gate_proj", "up_proj", "down_proj"),
    bias: Bool = false
  ) -> GatedPlan {
    GatedPlan(
      gate: LinearPlan(prefix: prefix + names.gate, bias: bias), up: LinearPlan(prefix: prefix + names.up, bias: bias),
      down: LinearPlan(prefix: prefix + names.down, bias: bias), intermediateSize: width)
  }

  /// The names of the Mixtral line: w1 gate, w3 up, w2 down.
  static func numbered(_ prefix: String, _ width: Int) -> GatedPlan { projections(prefix, width, names: ("w1", "w3", "w2")) }

  /// Gate rows and then up rows in one tensor, `[2 * width, hidden]` or, with `of`, `[experts, 2 * width, hidden]`.
  static func fused(_ input: String, _ output: String, width: Int, hidden: Int, expert: (index: Int, of: Int)? = nil) -> GatedPlan {
    let lead = expert.map { [$0.of] } ?? []
    let place = expert?.index ?? 0
    func rows(_ first: Int) -> LinearPlan {
      LinearPlan(MatrixPlan(input, storedShape: lead + [2 * width, hidden], firstRow: 2 * width * place + first))
    }
    return GatedPlan(
      gate: rows(0), up: rows(width),
      down: LinearPlan(MatrixPlan(output, storedShape: lead + [hidden, width], firstRow: hidden * place)), intermediateSize: width)
  }
}

extension GatedPlan {
  /// One of `of` experts that some writers keep in tensors of their own, `prefix.N.gate_proj.weight`, and others in two of all experts:
  /// `prefix.gate_up_proj` `[of, 2 * width, hidden]` and `prefix.down_proj` `[of, hidden, width]`.
  static func ownOrFused(_ prefix: String, _ index: Int, of count: Int, width: Int, hidden: Int) -> GatedPlan {
    projections("\(prefix).\(index).", width)
      .or(fused("\(prefix).gate_up_proj", "\(prefix).down_proj", width: width, hidden: hidden, expert: (index, count)))
  }

  /// In two tensors of all experts, with outputs as rows, or, where the shapes are not those, with inputs as rows.
  static func fusedEitherWay(_ prefix: String, _ index: Int, of count: Int, width: Int, hidden: Int) -> GatedPlan {
    fused("\(prefix).gate_up_proj", "\(prefix).down_proj", width: width, hidden: hidden, expert: (index, count))
      .or(transposed(prefix, index, of: count, width: width, hidden: hidden))
  }

  func activated(_ activation: ExpertActivation) -> GatedPlan {
    var plan = self
    plan.activation = activation
    return plan
  }

  /// This layout, or another where the file does not have it.
  func or(_ other: GatedPlan) -> GatedPlan {
    var plan = self
    if let gate = other.gate?.weight { plan.gate?.weight.alternatives.append(gate) }
    plan.up.weight.alternatives.append(other.up.weight)
    plan.down.weight.alternatives.append(other.down.weight)
    return plan
  }

  /// One of `of` experts in two tensors that have inputs as rows: `gate_up_proj` `[of, hidden, 2 * width]`, `down_proj`
  /// `[of, width, hidden]`, or other names for them.
  static func transposed(
    _ prefix: String, _ index: Int, of count: Int, width: Int, hidden: Int,
    names: (input: String, output: String) = ("gate_up_proj", "down_proj")
  ) -> GatedPlan {
    func half(_ first: Int) -> LinearPlan {
      LinearPlan(
        MatrixPlan(
          "\(prefix).\(names.input)", storedShape: [count, hidden, 2 * width], firstRow: index * hidden,
          transposition: .init(firstColumn: first)))
    }
    return GatedPlan(
      gate: half(0), up: half(width),
      down: LinearPlan(
        MatrixPlan("\(prefix).\(names.output)", storedShape: [count, width, hidden], firstRow: index * width, transposition: .init())),
      intermediateSize: width)
  }
}

extension RouterSpec {
  /// Softmax over all experts, top-k of the probabilities, renormalised or not.
  static func softmaxTopK(_ topK: Int, of expertCount: Int, renormalised: Bool) -> RouterSpec {
    RouterSpec(
      expertCount: expertCount, scoring: .softmax, selection: .tokenChoice(topK: topK),
      normalization: renormalised ? .sum(epsilon: 0) : .none)
  }

  /// Top-k of the logits, softmax over the chosen.
  static func topKSoftmax(_ topK: Int, of expertCount: Int) -> RouterSpec {
    RouterSpec(
      expertCount: expertCount, scoring: .logits, selection: .tokenChoice(topK: topK), weighting: .softmaxOfSelectedLogits)
  }

  /// Sigmoid scores, top-k of the (usually biased) scores, weights from the scores themselves.
  static func sigmoidTopK(_ topK: Int, of expertCount: Int, normalization: Normalization, scale: Double = 1) -> RouterSpec {
    RouterSpec(
      expertCount: expertCount, scoring: .sigmoid, selection: .tokenChoice(topK: topK), normalization: normalization,
      routedScale: Float(scale))
  }
}

extension Configuration {
  /// The width of dense blocks: needed only where there are any.
  ///
  /// - Parameter isDense: for each block.
  /// - Throws: `ModelError.configuration` when the file does not say it and a block needs it.
  func width(_ declared: Int?, ofDense isDense: [Bool], key: String = "intermediate_size") throws -> Int {
    guard let layer = isDense.firstIndex(of: true) else { return declared ?? 1 }
    guard let declared else {
      throw ModelError.configuration(file: file, key: key, expected: "a width for the dense layer \(layer)", found: "nothing")
    }
    return declared
  }

  /// A list that says again which blocks are routed: it has to agree with what runs.
  func requireRouted(_ key: String, _ isRouted: [Bool]) throws {
    guard let value = value(key) else { return }
    let flags = value.kind == .array ? value.elements.map(\.bool) : []
    // Blocks that look further ahead may follow.
    guard flags.count >= isRouted.count, !flags.contains(nil) else {
      throw ModelError.configuration(file: file, key: key, expected: "\(isRouted.count) times true or false", found: "\(flags.count)")
    }
    if let layer = isRouted.indices.first(where: { flags[$0] != isRouted[$0] }) {
      throw refused(key, found: "\(!isRouted[layer]) for layer \(layer)", supported: "what the other fields say, \(isRouted[layer])")
    }
  }

  /// Which blocks are dense by the rule of the Qwen line: listed, or not at every n-th place.
  func isDense() throws -> (Int) -> Bool {
    let listed = Set(try counts("mlp_only_layers"))
    let step = try count("decoder_sparse_step", default: 1)
    return { listed.contains($0) || ($0 + 1) % step != 0 }
  }

  /// What each layer is, by its name in `layer_types` (or `layers_block_type`), or by a rule where the configuration has none.
  ///
  /// - Throws: `ModelError` for a name that is not among these, or for none and no rule.
  func layerKinds(_ names: [String: Bool], count: Int, default rule: ((Int) -> Bool)? = nil) throws -> [Bool] {
    let older = try layerTypes("layers_block_type", count: count)
    guard let types = try layerTypes(count: count) ?? older else {
      guard let rule else { throw ModelError.configuration(file: file, key: "layer_types", expected: "\(count) names", found: "nothing") }
      return (0..<count).map(rule)
    }
    return try types.map { type in
      guard let kind = names[type] else {
        throw refused("layer_types", found: "\"\(type)\"", supported: names.keys.sorted().joined(separator: ", "))
      }
      return kind
    }
  }

  /// One name for each layer, from `layer_types`; nil where the configuration has none.
  func layerTypes(_ key: String = "layer_types", count: Int) throws -> [String]? {
    guard let value = value(key) else { return nil }
    let names = value.kind == .array ? value.elements.compactMap(\.string) : []
    guard names.count == count else {
      throw ModelError.configuration(file: file, key: key, expected: "\(count) names", found: "\(names.count)")
    }
    return names
  }
}
