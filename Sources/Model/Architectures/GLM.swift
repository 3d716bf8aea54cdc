// GLM-4.5 (arXiv:2508.06471), dots.llm1 (arXiv:2506.05767), Solar Open and EXAONE-MoE: grouped attention with the router of DeepSeek-V3.
//
// | key                   | meaning                                             | default |
// |-----------------------|-----------------------------------------------------|---------|
// | use_qk_norm           | RMS norm on each query and key head                 | false   |
// | partial_rotary_factor | share of each head that turns                       | 0.5 (GLM) |
// | attention_bias        | biases on q, k, v (dots, EXAONE: o too)             | false   |
// | layer_types           | sliding_attention where sliding_window holds        | full    |
// The router's keys are those of DeepSeek.swift.

import Routing

extension Family {
  static let glm4MoE = Family(modelType: "glm4_moe") { try glm("glm4_moe", $0, base: 10_000, rotatedShare: 0.5, hasDenseBlocks: true) }
  /// The reference has no dense blocks, whatever first_k_dense_replace says.
  static let solarOpen = Family(modelType: "solar_open") {
    try glm("solar_open", $0, base: 1_000_000, rotatedShare: nil, hasDenseBlocks: false)
  }

  private static func glm(
    _ family: String, _ configuration: Configuration, base: Double, rotatedShare: Double?, hasDenseBlocks: Bool
  ) throws -> ModelPlan {
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let bias = try configuration.flag("attention_bias", default: false)
    let hasNorms = try configuration.flag("use_qk_norm", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: base, defaultShare: rotatedShare)
    let feedForward = try sharedExperts(sizes, router: configuration.sigmoidRouter(), hasBias: true, hasDenseBlocks: hasDenseBlocks)
    _ = configuration.value("num_nextn_predict_layers")
    return sizes.model(family) { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias, outputBias: false)
      if hasNorms { sizes.normHeads(&attention, layer: layer, scope: .head) }
      return sizes.block(layer: layer, attention, feedForward(layer))
    }
  }

  static let dots1 = Family(modelType: "dots1") { configuration in
    let sizes = try DecoderSizes(configuration)
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let window = try configuration.slidingWindow(sizes.layerCount)
    let feedForward = try sharedExperts(sizes, router: configuration.sigmoidRouter(), hasBias: true)
    return sizes.model("dots1") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.window = window(layer)
      return sizes.block(layer: layer, attention, feedForward(layer))
    }
  }

  static let exaoneMoE = Family(modelType: "exaone_moe") { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let window = try configuration.slidingWindow(sizes.layerCount)
    let hasWindow = (0..<sizes.layerCount).contains { window($0) != nil }
    let feedForward = try sharedExperts(sizes, router: configuration.sigmoidRouter(), hasBias: true, bias: "e_score_correction_bias")
    _ = configuration.value("num_nextn_predict_layers")
    return sizes.model("exaone_moe") { layer in
      // With windows, only the layers that have one encode positions.
      var attention = sizes.attention(layer: layer, rotary: !hasWindow || window(layer) != nil ? rotary : nil)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.window = window(layer)
      return sizes.block(layer: layer, attention, feedForward(layer))
    }
  }
}

extension Configuration {
  /// The window of each layer: `sliding_window` where `layer_types` says so, or nowhere.
  func slidingWindow(_ layerCount: Int) throws -> (Int) -> Int? {
    let window = try optionalCount("sliding_window")
    _ = value("sliding_window_pattern", "max_window_layers", "use_sliding_window")
    guard let types = try layerTypes(count: layerCount) else {
      if let window { throw refused("sliding_window", found: "\(window)", supported: "with layer_types") }
      return { _ in nil }
    }
    for type in types where type != "full_attention" && !(type == "sliding_attention" && window != nil) {
      throw refused("layer_types", found: "\"\(type)\"", supported: "full_attention, and sliding_attention with sliding_window")
    }
    return { types[$0] == "sliding_attention" ? window : nil }
  }
}
