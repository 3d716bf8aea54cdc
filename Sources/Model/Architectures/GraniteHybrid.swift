// Granite 4 (IBM 2025): Granite-MoE-Shared with state space layers (Mamba-2) in place of most attention. Positions are not encoded
// unless position_embedding_type says so.
//
// | key                     | meaning                                              | default  |
// |-------------------------|------------------------------------------------------|----------|
// | layer_types, layers_block_type | mamba (linear_attention) or attention (full_attention) | all mamba |
// | position_embedding_type | rope, or nope                                        | nope     |
// | mamba_n_heads           | heads of a state space layer                         | 128      |
// | mamba_d_head            | size of a head, or auto                              | auto     |
// | mamba_expand            | width of the layer as a multiple of hidden_size      | 2        |
// | mamba_n_groups          | groups of heads with common directions               | 1        |
// | mamba_d_state           | size of a direction                                  | 256      |
// | mamba_d_conv            | tokens the convolution reaches                       | 4        |
// | mamba_conv_bias, mamba_proj_bias | biases on the convolution, on the projections | true, false |
// | mamba_chunk_size        | how others cut the computation                       |          |
//
// The other fields are in Granite.swift.

import Routing

extension Family {
  static let graniteMoEHybrid = Family(modelType: "granitemoehybrid", defaults: ["rms_norm_eps": "1e-06"]) { configuration in
    let granite = try GraniteHalves(configuration, shared: configuration.wholeNumber("shared_intermediate_size", default: 1024))
    let sizes = granite.sizes
    let bias = try configuration.flag("attention_bias", default: false)
    try configuration.require("normalization_function", "rmsnorm", default: "rmsnorm")
    let isStateSpace = try configuration.layerKinds(
      ["mamba": true, "linear_attention": true, "attention": false, "full_attention": false], count: sizes.layerCount,
      default: { _ in true }
    )
    let rotary: RotaryPlan?
    switch try configuration.text("position_embedding_type", default: "nope") {
    case "rope": rotary = try configuration.rotary(headSize: sizes.headSize)
    case "nope":
      _ = configuration.value("rope_theta", "rope_scaling", "rope_parameters")
      rotary = nil
    case let other: throw configuration.refused("position_embedding_type", found: "\"\(other)\"", supported: "rope, nope")
    }
    let stateSpace = try stateSpace(sizes)
    return granite.model("granitemoehybrid") { layer in
      if isStateSpace[layer] { return stateSpace(layer) }
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      attention.scale = granite.attentionMultiplier
      return attention
    }
  }

  private static func stateSpace(_ sizes: DecoderSizes) throws -> (Int) -> StateSpacePlan {
    let configuration = sizes.configuration
    let heads = try configuration.count("mamba_n_heads", default: 128)
    let width = try configuration.count("mamba_expand", default: 2) * sizes.hiddenSize
    let isAutomatic = configuration.value("mamba_d_head").map { $0.string == "auto" } ?? true
    let headSize = isAutomatic ? width / heads : try configuration.count("mamba_d_head")
    let groups = try configuration.count("mamba_n_groups", default: 1)
    if heads * headSize != width || heads % groups != 0 {
      throw ModelError.configuration(
        file: configuration.file, key: "mamba_n_heads", expected: "heads of \(headSize) that fill \(width), in \(groups) groups",
        found: "\(heads)")
    }
    let stateSize = try configuration.count("mamba_d_state", default: 256)
    let reach = try configuration.count("mamba_d_conv", default: 4)
    let convolutionBias = try configuration.flag("mamba_conv_bias", default: true)
    let bias = try configuration.flag("mamba_proj_bias", default: false)
    _ = configuration.value("mamba_chunk_size")
    try configuration.refuseStepLimits()
    return { layer in
      let prefix = sizes.prefix(layer) + "mamba."
      var plan = StateSpacePlan(
        headCount: heads, headSize: headSize, groupCount: groups, stateSize: stateSize,
        input: LinearPlan(prefix: prefix + "in_proj", bias: bias),
        convolution: ConvolutionPlan(channels: 0, width: reach, weight: prefix + "conv1d.weight"),
        logRate: VectorPlan(prefix + "A_log"), stepBias: VectorPlan(prefix + "dt_bias"), skip: VectorPlan(prefix + "D"),
        norm: sizes.rms(prefix + "norm"), output: LinearPlan(prefix: prefix + "out_proj", bias: bias))
      plan.convolution.channels = plan.convolvedWidth
      plan.convolution.bias = convolutionBias ? VectorPlan(prefix + "conv1d.bias") : nil
      return plan
    }
  }
}

extension Configuration {
  /// The reference limits steps while it reads a prompt and not while it continues it, so limits have no meaning to follow.
  func refuseStepLimits() throws {
    guard let limits = value("time_step_limit") else { return }
    // Newer files spell the upper end {"__float__": "Infinity"}.
    let ends = limits.kind == .array ? limits.elements.map { $0["__float__"]?.string.flatMap(Double.init) ?? $0.double } : []
    // The largest number of a double stands for none, where a writer knows no infinity.
    guard ends.count == 2, ends[0] == 0, let last = ends[1], last >= 1e308 else {
      let found = ends.map { $0.map { "\($0)" } ?? "?" }.joined(separator: ", ")
      throw refused("time_step_limit", found: "[\(found)]", supported: "[0, Infinity]")
    }
  }
}
