// MiMo-V2-Flash (Xiaomi 2025): the router of DeepSeek-V3 without shared experts; values narrower than keys; layers with a window have
// attention sinks and twice the key-value heads.
//
// | key                    | meaning                                                   | default  |
// |------------------------|-----------------------------------------------------------|----------|
// | v_head_dim             | size of a head's values                                   | head_dim |
// | attention_value_scale  | factor on the values                                      | 1        |
// | layer_types, hybrid_layer_pattern | which layers have a window (1)                 | every layer but the first and each 6th |
// | sliding_window, sliding_window_size | tokens of the window, the own one in it or not | required |
// | swa_num_key_value_heads, swa_rope_theta | of the layers with a window               | twice num_key_value_heads, rope_theta |
// | mlp_layer_types, moe_layer_freq | which layers are routed (1)                      | all but the first |
// The router's keys are those of DeepSeek.swift.

import Routing

extension Family {
  static let miMoV2Flash = Family(
    modelType: "mimo_v2_flash",
    defaults: ["num_key_value_heads": "4", "head_dim": "192", "v_head_dim": "128", "attention_value_scale": "0.707"]
  ) { configuration in
    let epsilon = try configuration.positive("layernorm_epsilon", "rms_norm_eps", default: 1e-5)
    let sizes = try DecoderSizes(configuration, epsilon: epsilon)
    let layers = 0..<sizes.layerCount
    let hasWindow = try configuration.marked(
      "hybrid_layer_pattern", or: "layer_types", named: ["sliding_attention": true, "full_attention": false], count: sizes.layerCount
    ) { $0 != 0 && ($0 + 1) % 6 != 0 }
    let isRouted = try configuration.marked(
      "moe_layer_freq", or: "mlp_layer_types", named: ["sparse": true, "dense": false], count: sizes.layerCount
    ) { $0 != 0 }
    // The file's size is of what lies before a token; the other spelling counts the token too.
    let window = try configuration.optionalCount("sliding_window_size").map { $0 + 1 } ?? configuration.count("sliding_window")
    configuration.disregard(["sliding_window", "attention_chunk_size"])
    try configuration.requireSame("swa_num_attention_heads", as: sizes.headCount, named: "num_attention_heads")
    try configuration.requireSame("swa_head_dim", as: sizes.headSize, named: "head_dim")
    let valueSize = try configuration.count("v_head_dim", default: sizes.headSize)
    try configuration.requireSame("swa_v_head_dim", as: valueSize, named: "v_head_dim")
    let windowHeads = try configuration.count("swa_num_key_value_heads", default: 2 * sizes.keyValueHeadCount)
    let valueFactor = Float(try configuration.number("attention_value_scale", default: 1))
    let bias = try configuration.flag("attention_bias", default: false)
    let sinks = (
      window: try configuration.flag("add_swa_attention_sink_bias", default: true),
      full: try configuration.flag("add_full_attention_sink_bias", default: false)
    )
    let windowBase = try configuration.optionalNumber("swa_rope_theta")
    let full = try configuration.rotary(
      headSize: sizes.headSize, defaultBase: 5_000_000, defaultShare: 0.334, layerType: "full_attention",
      completesPairs: true)
    var turned = try configuration.rotary(
      headSize: sizes.headSize, defaultBase: windowBase ?? 10_000, defaultShare: 0.334, layerType: "sliding_attention",
      completesPairs: true)
    if let windowBase { turned.base = windowBase }
    let width = try configuration.count("moe_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let denseWidth = try configuration.width(declaredWidth, ofDense: layers.map { !isRouted[$0] })
    if try configuration.wholeNumber("n_shared_experts", default: 0) != 0 {
      throw configuration.refused("n_shared_experts", found: "set", supported: "0: the reference has none")
    }
    let router = try configuration.sigmoidRouter()
    return sizes.model("mimo_v2_flash") { [turned] layer in
      var attention = sizes.attention(layer: layer, rotary: hasWindow[layer] ? turned : full, bias: bias, outputBias: false)
      attention.keyValueHeadCount = hasWindow[layer] ? windowHeads : sizes.keyValueHeadCount
      (attention.valueSize, attention.valueFactor) = (valueSize, valueFactor)
      attention.window = hasWindow[layer] ? window : nil
      if hasWindow[layer] ? sinks.window : sinks.full {
        attention.sinks = VectorPlan(sizes.prefix(layer) + "self_attn.attention_sink_bias")
      }
      let prefix = sizes.prefix(layer) + "mlp."
      guard isRouted[layer] else { return sizes.block(layer: layer, attention, GatedPlan.projections(prefix, denseWidth)) }
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { .projections(prefix + "experts.\($0).", width) })
      experts.correctionBias = VectorPlan(prefix + "gate.e_score_correction_bias")
      return sizes.block(layer: layer, attention, experts)
    }
  }
}

extension Configuration {
  /// What each layer is, by a list of 0 and 1, by a list of names, or by a rule where the configuration has neither.
  ///
  /// - Throws: `ModelError` for lists of other lengths and other entries.
  func marked(
    _ flags: String, or key: String, named names: [String: Bool], count: Int, default rule: (Int) -> Bool
  ) throws -> [Bool] {
    if let types = try layerTypes(key, count: count) {
      disregard([flags])
      return try types.map { type in
        guard let kind = names[type] else {
          throw refused(key, found: "\"\(type)\"", supported: names.keys.sorted().joined(separator: ", "))
        }
        return kind
      }
    }
    guard isThere(flags) else { return (0..<count).map(rule) }
    let marks = try counts(flags)
    guard marks.count == count, marks.allSatisfy({ $0 < 2 }) else {
      throw ModelError.configuration(file: file, key: flags, expected: "\(count) times 0 or 1", found: "\(marks.count) numbers")
    }
    return marks.map { $0 == 1 }
  }
}
