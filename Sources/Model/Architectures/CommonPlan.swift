// What most decoder-only families share, so that a declaration only says where it differs: the frame of names around the blocks, the
// size fields, and the projections of grouped-query attention.

import Routing

/// The fields of config.json that every decoder-only family has.
struct DecoderSizes {
  let hiddenSize: Int
  let vocabularySize: Int
  let layerCount: Int
  let headCount: Int
  let keyValueHeadCount: Int
  let headSize: Int
  let contextLength: Int
  let normEpsilon: Double

  /// - Throws: `ModelError` when a size is missing or the head counts do not divide.
  init(_ configuration: Configuration, normEpsilon defaultEpsilon: Double) throws {
    hiddenSize = try configuration.count("hidden_size")
    vocabularySize = try configuration.count("vocab_size")
    layerCount = try configuration.count("num_hidden_layers")
    headCount = try configuration.count("num_attention_heads")
    keyValueHeadCount = try configuration.count("num_key_value_heads", default: headCount)
    contextLength = try configuration.count("max_position_embeddings")
    normEpsilon = try configuration.number("rms_norm_eps", default: defaultEpsilon)
    let head = try configuration.optionalCount("head_dim")
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
    try configuration.require("hidden_act", "silu", default: "silu")
  }

  /// Attention with the usual projection names under `model.layers.N.self_attn`.
  func attention(layer: Int, bias: Bool = false) -> AttentionPlan {
    let prefix = "model.layers.\(layer).self_attn."
    func linear(_ name: String) -> LinearPlan {
      LinearPlan(weight: prefix + name + ".weight", bias: bias ? prefix + name + ".bias" : nil)
    }
    return AttentionPlan(
      headCount: headCount, keyValueHeadCount: keyValueHeadCount, headSize: headSize, query: linear("q_proj"), key: linear("k_proj"),
      value: linear("v_proj"), output: linear("o_proj"))
  }

  /// The whole model around the given blocks, with the usual names for embedding, final norm and head.
  func model(
    family: String, rotary: RotaryPlan, tiedHead: Bool, attention: (Int) -> AttentionPlan, feedForward: (Int) throws -> FeedForwardPlan
  ) rethrows -> ModelPlan {
    let blocks = try (0..<layerCount).map { layer in
      BlockPlan(
        attentionNorm: "model.layers.\(layer).input_layernorm.weight", attention: attention(layer),
        feedForwardNorm: "model.layers.\(layer).post_attention_layernorm.weight", feedForward: try feedForward(layer))
    }
    return ModelPlan(
      family: family, hiddenSize: hiddenSize, vocabularySize: vocabularySize, contextLength: contextLength,
      normEpsilon: Float(normEpsilon), embedding: "model.embed_tokens.weight", finalNorm: "model.norm.weight",
      outputHead: tiedHead ? "model.embed_tokens.weight" : "lm_head.weight", rotary: rotary, blocks: blocks)
  }
}

extension GatedPlan {
  /// `gate_proj`, `up_proj`, `down_proj` under a prefix.
  static func projections(_ prefix: String, intermediateSize: Int) -> GatedPlan {
    GatedPlan(
      gate: prefix + "gate_proj.weight", up: prefix + "up_proj.weight", down: prefix + "down_proj.weight",
      intermediateSize: intermediateSize)
  }
}

extension RouterSpec {
  /// Softmax over all experts, top-k of the probabilities, renormalised or not.
  static func softmaxTopK(_ topK: Int, of expertCount: Int, renormalised: Bool) -> RouterSpec {
    RouterSpec(
      expertCount: expertCount, scoring: .softmax, selection: .tokenChoice(topK: topK),
      normalization: renormalised ? .sum(epsilon: 0) : .none)
  }
}
