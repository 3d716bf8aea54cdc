// GLM-4.5 (arXiv:2508.06471), dots.llm1 (arXiv:2506.05767), Solar Open and EXAONE-MoE: grouped attention with the router of DeepSeek-V3.
//
// | key                   | meaning                                             | default |
// |-----------------------|-----------------------------------------------------|---------|
// | use_qk_norm           | RMS norm on each query and key head                 | false   |
// | partial_rotary_factor | share of each head that turns                       | 0.5 (GLM) |
// | attention_bias        | biases on q, k, v (dots, EXAONE: o too)             | false   |
// | layer_types           | sliding_attention where sliding_window holds        | full (GLM), from max_window_layers (dots), by sliding_window_pattern (EXAONE) |
// The router's keys are those of DeepSeek.swift; what a family takes for those that are not there is beside its name.

import Routing

extension Family {
  static let glm4MoE = Family(
    modelType: "glm4_moe",
    defaults: [
      "num_key_value_heads": "8", "n_shared_experts": "1", "first_k_dense_replace": "1", "rms_norm_eps": "1e-05",
      "partial_rotary_factor": "0.5",
    ]
  ) { try glm("glm4_moe", $0, base: 10_000, rotatedShare: 0.5, hasDenseBlocks: true) }
  /// The text model of GLM-4.5V: text turns by one position, whatever mrope_section says.
  static let glm4VMoE = Family(
    modelType: "glm4v_moe_text", wrapper: "glm4v_moe",
    defaults: [
      "num_key_value_heads": "8", "n_shared_experts": "1", "first_k_dense_replace": "1", "rms_norm_eps": "1e-05",
      "partial_rotary_factor": "0.5", "attention_bias": "true",
    ]
  ) {
    try $0.refuseSet("use_qk_norm")
    return try glm("glm4v_moe_text", $0, base: 10_000, rotatedShare: 0.5, hasDenseBlocks: true)
  }
  /// The reference has no dense blocks, whatever first_k_dense_replace says.
  static let solarOpen = Family(
    modelType: "solar_open", defaults: ["num_key_value_heads": "8", "head_dim": "128", "n_shared_experts": "1", "rms_norm_eps": "1e-05"]
  ) {
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

  static let dots1 = Family(
    modelType: "dots1",
    defaults: ["num_key_value_heads": "32", "norm_topk_prob": "false", "sliding_window": "4096", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let first = try configuration.wholeNumber("max_window_layers", default: 62)
    let window = try configuration.slidingWindow(sizes.layerCount) { $0 >= first }
    let feedForward = try sharedExperts(sizes, router: configuration.sigmoidRouter(), hasBias: true)
    return sizes.model("dots1") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.window = window(layer)
      return sizes.block(layer: layer, attention, feedForward(layer))
    }
  }

  static let exaoneMoE = Family(
    modelType: "exaone_moe",
    defaults: [
      "num_key_value_heads": "32", "num_shared_experts": "1", "first_k_dense_replace": "1", "routed_scaling_factor": "2.5",
      "sliding_window": "4096", "rms_norm_eps": "1e-05",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let pattern = try configuration.windowPattern(4)
    let window = try configuration.slidingWindow(sizes.layerCount) { ($0 + 1) % pattern != 0 }
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
  /// Every so many layers one sees everything, where no list says which. A pattern that is spelt out comes with the list.
  func windowPattern(_ usual: Int) throws -> Int {
    if isThere("layer_types") { return usual }
    return try count("sliding_window_pattern", default: usual)
  }

  /// The window of each layer: `sliding_window` where `layer_types` says so, or, without that, where the family's rule does.
  func slidingWindow(_ layerCount: Int, without types: (Int) -> Bool) throws -> (Int) -> Int? {
    disregard(["sliding_window_pattern", "max_window_layers", "use_sliding_window"])
    guard let names = try layerTypes(count: layerCount) else {
      let windowed = (0..<layerCount).map(types)
      guard windowed.contains(true) else {
        disregard(["sliding_window"])
        return { _ in nil }
      }
      let window = try optionalCount("sliding_window")
      return { windowed[$0] ? window : nil }
    }
    let window = names.contains("sliding_attention") ? try optionalCount("sliding_window") : nil
    disregard(["sliding_window"])
    for type in names where type != "full_attention" && !(type == "sliding_attention" && window != nil) {
      throw refused("layer_types", found: "\"\(type)\"", supported: "full_attention, and sliding_attention with sliding_window")
    }
    return { names[$0] == "sliding_attention" ? window : nil }
  }
}
