// Qwen3-Next (Qwen team 2025), Qwen3.5 and Qwen3.6 (2026): gated delta networks in most layers, in the others attention whose heads are gated
// and whose first quarter turns; norms store the difference from 1; the routed half is Qwen2-MoE's, with its shared expert.
//
// | key                     | meaning                                             | default  |
// |-------------------------|-----------------------------------------------------|----------|
// | layer_types             | linear_attention or full_attention for each layer   | by the interval |
// | full_attention_interval | every n-th layer is attention                       | 4        |
// | linear_num_key_heads    | queries and keys of a delta network                 | 16       |
// | linear_num_value_heads  | its values, a multiple of the keys                  | 32       |
// | linear_key_head_dim, linear_value_head_dim | their sizes                      | 128      |
// | linear_conv_kernel_dim  | tokens its convolution reaches                      | 4        |
// | head_dim                | size of an attention head                           | 256      |
//
// The fields of the routed half are in Qwen.swift; norm_topk_prob is true by default here.

import Routing

extension Family {
  static let qwen3Next = Family(
    modelType: "qwen3_next", defaults: ["num_key_value_heads": "2", "rms_norm_eps": "1e-06", "partial_rotary_factor": "0.25"]
  ) { configuration in
    try deltaModel("qwen3_next", configuration, isFused: false) {
      .byHead(mixed: LinearPlan(prefix: $0 + "in_proj_qkvz"), scalars: LinearPlan(prefix: $0 + "in_proj_ba"))
    }
  }

  /// The text model of Qwen3.5 and 3.6. The reference always divides by the sum of the chosen.
  static let qwen35MoE = Family(
    modelType: "qwen3_5_moe_text", defaults: ["num_key_value_heads": "2", "rms_norm_eps": "1e-06", "partial_rotary_factor": "0.25"]
  ) { configuration in
    try configuration.requireSet("norm_topk_prob", "attn_output_gate")
    configuration.disregard(["mamba_ssm_dtype", "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"])
    return try deltaModel("qwen3_5_moe_text", configuration, isFused: true, projections: separateProjections)
  }

  /// Queries, keys and values of a delta network in one matrix, all else in matrices of their own.
  ///
  /// - Parameter prefix: of the layer's names.
  @Sendable static func separateProjections(_ prefix: String) -> GatedDeltaNetPlan.Projections {
    .apart(
      queryKeyValue: LinearPlan(prefix: prefix + "in_proj_qkv"), gate: LinearPlan(prefix: prefix + "in_proj_z"),
      strength: LinearPlan(prefix: prefix + "in_proj_b"), decay: LinearPlan(prefix: prefix + "in_proj_a"))
  }

  /// - Parameter isFused: whether the experts of a layer may lie in two tensors.
  private static func deltaModel(
    _ family: String, _ configuration: Configuration, isFused: Bool,
    projections: @escaping @Sendable (String) -> GatedDeltaNetPlan.Projections
  ) throws -> ModelPlan {
    let sizes = try DecoderSizes(configuration, headSize: configuration.count("head_dim", default: 256))
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultShare: 0.25)
    let bias = try configuration.flag("attention_bias", default: false)
    if try configuration.flag("use_sliding_window", default: false) {
      throw configuration.refused("use_sliding_window", found: "true", supported: "false")
    }
    let interval = try configuration.count("full_attention_interval", default: 4)
    let isLinear = try configuration.layerKinds(
      ["linear_attention": true, "full_attention": false], count: sizes.layerCount, default: { ($0 + 1) % interval != 0 })
    let feedForward = try qwenFeedForward(
      sizes, shared: configuration.count("shared_expert_intermediate_size"), isNormalizedByDefault: true,
      layout: isFused ? .ownOrFused : .own)
    let network = try deltaNetwork(sizes, projections: projections)
    return sizes.model(family, finalNorm: sizes.rms("model.norm", offset: 1)) { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      attention.queryCarriesGate = true
      sizes.normHeads(&attention, layer: layer, scope: .head, offset: 1)
      return sizes.block(layer: layer, isLinear[layer] ? network(layer) : attention, feedForward(layer), offset: 1)
    }
  }

  /// - Parameter projections: of a layer, by the prefix of its names.
  static func deltaNetwork(
    _ sizes: DecoderSizes, gate: GatedDeltaNetPlan.Gate = .silu, projections: @escaping @Sendable (String) -> GatedDeltaNetPlan.Projections
  ) throws -> (Int) -> GatedDeltaNetPlan {
    let configuration = sizes.configuration
    let keyHeads = try configuration.count("linear_num_key_heads", default: 16)
    let valueHeads = try configuration.count("linear_num_value_heads", default: 32)
    let keySize = try configuration.count("linear_key_head_dim", default: 128)
    let valueSize = try configuration.count("linear_value_head_dim", default: 128)
    let reach = try configuration.count("linear_conv_kernel_dim", default: 4)
    if valueHeads % keyHeads != 0 {
      throw ModelError.configuration(
        file: configuration.file, key: "linear_num_value_heads", expected: "a multiple of linear_num_key_heads \(keyHeads)",
        found: "\(valueHeads)")
    }
    return { layer in
      let prefix = sizes.prefix(layer) + "linear_attn."
      return GatedDeltaNetPlan(
        keyHeadCount: keyHeads, valueHeadCount: valueHeads, keySize: keySize, valueSize: valueSize,
        projections: projections(prefix),
        convolution: ConvolutionPlan(
          channels: 2 * keyHeads * keySize + valueHeads * valueSize, width: reach, weight: prefix + "conv1d.weight"),
        logRate: VectorPlan(prefix + "A_log"), stepBias: VectorPlan(prefix + "dt_bias"), norm: sizes.rms(prefix + "norm"),
        gate: gate, output: LinearPlan(prefix: prefix + "out_proj"))
    }
  }
}
