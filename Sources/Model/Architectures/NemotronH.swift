// Nemotron-H with experts (NVIDIA 2025; Nemotron 3 Nano): one mixer a layer, a state space, attention without positions, a router with its
// experts, or a dense projection. Experts have no gate, their activation is the square of relu; the router is that of DeepSeek-V3.
//
// | key                    | meaning                                                            | default  |
// |------------------------|--------------------------------------------------------------------|----------|
// | layers_block_type      | mamba (linear_attention), attention (full_attention), moe or mlp   | -        |
// | hybrid_override_pattern | the same in letters: M, *, E, -                                   | one of the two |
// | mamba_num_heads, mamba_head_dim, n_groups, ssm_state_size, conv_kernel | the state space    | required |
// | moe_intermediate_size, moe_shared_expert_intermediate_size | widths                         | required |
// | moe_latent_size        | routed experts compute in a space of this width; null: in the stream | null   |
// | intermediate_size      | width of a dense layer                                             | with mlp |
// The router's keys are those of DeepSeek.swift.

import Routing

extension Family {
  static let nemotronH = Family(
    modelType: "nemotron_h",
    defaults: [
      "num_key_value_heads": "8", "head_dim": "128", "n_routed_experts": "8", "num_experts_per_tok": "2", "mamba_num_heads": "128",
      "mamba_head_dim": "64", "n_groups": "8", "ssm_state_size": "128", "conv_kernel": "4",
    ]
  ) { configuration in
    let kinds = try configuration.mixers()
    let epsilon = try configuration.positive("layer_norm_epsilon", "norm_eps", default: 1e-5)
    let sizes = try DecoderSizes(configuration, epsilon: epsilon, layers: kinds.count, activation: ("mlp_hidden_act", "relu2"))
    let bias = try configuration.flag("attention_bias", default: false)
    let stateSpace = try stateSpace(sizes)
    let experts = try experts(sizes)
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let denseWidth = try configuration.width(declaredWidth, ofDense: kinds.map { $0 == .dense })
    try configuration.refuseSet("mlp_bias")
    configuration.disregard(irrelevant)
    let embedding: MatrixPlan = "backbone.embeddings.weight"
    let blocks = kinds.enumerated().map { layer, kind in
      let prefix = "backbone.layers.\(layer)."
      let mixer: any OperationPlan =
        switch kind {
        case .stateSpace: stateSpace(prefix + "mixer.")
        case .attention: attention(sizes, prefix + "mixer.", bias: bias)
        case .experts: experts(prefix + "mixer.")
        case .dense: ungated(prefix + "mixer.", denseWidth)
        }
      return BlockPlan([SublayerPlan(sizes.rms(prefix + "norm"), mixer)])
    }
    return ModelPlan(
      family: "nemotron_h", hiddenSize: sizes.hiddenSize, vocabularySize: sizes.vocabularySize, contextLength: sizes.contextLength,
      embedding: embedding, decoder: StackPlan(blocks: blocks, finalNorm: sizes.rms("backbone.norm_f")),
      outputHead: LinearPlan(sizes.isTied ? .tiedHead(embedding) : "lm_head.weight"))
  }

  /// Attention has no positions and no window, whatever these say; the others are about training, speed, memory and layers that look ahead.
  private static let irrelevant = [
    "rope_theta", "partial_rotary_factor", "rope_parameters", "sliding_window", "norm_eps", "chunk_size", "expand", "time_step_floor",
    "time_step_max", "time_step_min", "use_mamba_kernels", "mamba_ssm_cache_dtype", "moe_shared_expert_overlap", "residual_in_fp32",
    "rescale_prenorm_residual", "hidden_dropout", "num_logits_to_keep", "mtp_layers_block_type", "mtp_hybrid_override_pattern",
    "num_nextn_predict_layers",
  ]

  private static func attention(_ sizes: DecoderSizes, _ prefix: String, bias: Bool) -> AttentionPlan {
    func linear(_ name: String) -> LinearPlan { LinearPlan(prefix: prefix + name, bias: bias) }
    return AttentionPlan(
      headCount: sizes.headCount, keyValueHeadCount: sizes.keyValueHeadCount, headSize: sizes.headSize, query: linear("q_proj"),
      key: linear("k_proj"), value: linear("v_proj"), output: linear("o_proj"), rotary: nil)
  }

  private static func ungated(_ prefix: String, _ width: Int) -> GatedPlan {
    GatedPlan(
      gate: nil, up: LinearPlan(prefix: prefix + "up_proj"), down: LinearPlan(prefix: prefix + "down_proj"), intermediateSize: width,
      activation: .reluSquared)
  }

  private static func experts(_ sizes: DecoderSizes) throws -> @Sendable (String) -> ExpertsPlan {
    let configuration = sizes.configuration
    let router = try configuration.sigmoidRouter()
    let width = try configuration.count("moe_intermediate_size")
    let sharedCount = try configuration.wholeNumber("n_shared_experts", default: 1)
    let sharedWidth = try configuration.count("moe_shared_expert_intermediate_size")
    let latent = try configuration.optionalCount("moe_latent_size")
    return { prefix in
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { ungated(prefix + "experts.\($0).", width) })
      experts.latent = latent.map {
        ExpertsPlan.Latent(
          size: $0, down: LinearPlan(prefix: prefix + "fc1_latent_proj"), up: LinearPlan(prefix: prefix + "fc2_latent_proj"))
      }
      experts.correctionBias = VectorPlan(prefix + "gate.e_score_correction_bias")
      // The reference has one of the declared width, whatever the number.
      if sharedCount > 0 { experts.shared = [ExpertsPlan.Shared(expert: ungated(prefix + "shared_experts.", sharedWidth))] }
      return experts
    }
  }

  private static func stateSpace(_ sizes: DecoderSizes) throws -> @Sendable (String) -> StateSpacePlan {
    let configuration = sizes.configuration
    let heads = try configuration.count("mamba_num_heads")
    let groups = try configuration.count("n_groups")
    if heads % groups != 0 {
      throw ModelError.configuration(
        file: configuration.file, key: "mamba_num_heads", expected: "a multiple of n_groups \(groups)", found: "\(heads)")
    }
    let bias = try configuration.flag("use_bias", "mamba_proj_bias", default: false)
    let hasBias = try configuration.flag("use_conv_bias", default: true)
    try configuration.require("mamba_hidden_act", "silu", default: "silu")
    try configuration.refuseStepLimits()
    let (headSize, stateSize) = (try configuration.count("mamba_head_dim"), try configuration.count("ssm_state_size"))
    let reach = try configuration.count("conv_kernel")
    let epsilon = sizes.epsilon
    return { prefix in
      var plan = StateSpacePlan(
        headCount: heads, headSize: headSize, groupCount: groups, stateSize: stateSize,
        input: LinearPlan(prefix: prefix + "in_proj", bias: bias),
        convolution: ConvolutionPlan(channels: 0, width: reach, weight: prefix + "conv1d.weight"),
        logRate: VectorPlan(prefix + "A_log"), stepBias: VectorPlan(prefix + "dt_bias"), skip: VectorPlan(prefix + "D"),
        norm: .rms("\(prefix)norm.weight", epsilon), output: LinearPlan(prefix: prefix + "out_proj", bias: bias))
      plan.convolution.channels = plan.convolvedWidth
      plan.convolution.bias = hasBias ? VectorPlan(prefix + "conv1d.bias") : nil
      return plan
    }
  }
}

/// What a layer of Nemotron-H is.
private enum Mixer: Equatable {
  case stateSpace, attention, experts, dense

  static let byName: [String: Mixer] = [
    "mamba": .stateSpace, "linear_attention": .stateSpace, "attention": .attention, "full_attention": .attention, "moe": .experts,
    "mlp": .dense, "M": .stateSpace, "*": .attention, "E": .experts, "-": .dense,
  ]
}

extension Configuration {
  /// One for each layer, by names or by letters; where both are there, by names.
  fileprivate func mixers() throws -> [Mixer] {
    let key = isThere("layers_block_type") ? "layers_block_type" : "hybrid_override_pattern"
    let names = key == "layers_block_type" ? try texts(key) : try text(key).map { String($0) }
    disregard(["hybrid_override_pattern"])
    guard !names.isEmpty, names.count <= 1 << 14 else {
      throw ModelError.configuration(file: file, key: key, expected: "an entry for each layer", found: "\(names.count)")
    }
    try requireSame("num_hidden_layers", as: names.count, named: "the length of \(key)")
    return try names.map { name in
      guard let mixer = Mixer.byName[name] else {
        throw refused(key, found: "\"\(name)\"", supported: key == "layers_block_type" ? "mamba, attention, moe, mlp" : "M, *, E, -")
      }
      return mixer
    }
  }
}
