// Qwen2-MoE (Yang et al. 2024, arXiv:2407.10671): a shared expert behind a sigmoid gate beside the routed ones.
// Qwen3-MoE (Yang et al. 2025, arXiv:2505.09388): no shared expert; RMS norm on each query and key head.
//
// | key                   | meaning                                              | default        |
// |-----------------------|------------------------------------------------------|----------------|
// | num_experts           | routed experts a layer (num_local_experts likewise)  | required       |
// | num_experts_per_tok   | topK                                                 | required       |
// | norm_topk_prob        | weights divided by their sum                         | false          |
// | moe_intermediate_size | width of one expert                                  | required       |
// | shared_expert_intermediate_size | width of the shared expert                 | Qwen2-MoE only |
// | intermediate_size     | width of a dense block                               | with dense     |
// | mlp_only_layers       | dense blocks                                         | none           |
// | decoder_sparse_step   | every n-th block is routed, counted from 1           | 1              |
// | qkv_bias, attention_bias | biases on q, k, v (and o)                         | true, false    |
// | use_sliding_window    | whether sliding_window holds, in Qwen2-MoE by layer_types | false      |

import Routing

extension Family {
  static let qwen2MoE = Family(
    modelType: "qwen2_moe", defaults: ["num_key_value_heads": "16", "sliding_window": "4096", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let bias = try configuration.flag("qkv_bias", default: true)
    let shared = try configuration.count("shared_expert_intermediate_size")
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 10_000)
    let windows = try slidingWindows(sizes)
    let feedForward = try qwenFeedForward(sizes, shared: shared)
    return sizes.model("qwen2_moe") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias, outputBias: false)
      attention.window = windows(layer)
      return sizes.block(layer: layer, attention, feedForward(layer))
    }
  }

  private static let defaultsOfQwen3 = ["num_key_value_heads": "4", "sliding_window": "4096", "rms_norm_eps": "1e-06"]

  static let qwen3MoE = Family(modelType: "qwen3_moe", defaults: defaultsOfQwen3) { try qwen3("qwen3_moe", $0) }
  /// The text models of Qwen3-VL and Qwen3-Omni. The reference always divides by the sum of the chosen.
  static let qwen3VLMoE = Family(modelType: "qwen3_vl_moe_text", defaults: defaultsOfQwen3) {
    try $0.requireSet("norm_topk_prob")
    return try qwen3("qwen3_vl_moe_text", $0, isNormalizedByDefault: true, layout: .fusedEitherWay)
  }
  static let qwen3OmniMoE = Family(modelType: "qwen3_omni_moe_text", defaults: defaultsOfQwen3) {
    try $0.requireSet("norm_topk_prob")
    return try qwen3("qwen3_omni_moe_text", $0, isNormalizedByDefault: true)
  }

  private static func qwen3(
    _ family: String, _ configuration: Configuration, isNormalizedByDefault: Bool = false, layout: ExpertLayout = .own
  ) throws -> ModelPlan {
    let sizes = try DecoderSizes(configuration)
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 10_000)
    let window = try configuration.flag("use_sliding_window", default: false) ? configuration.optionalCount("sliding_window") : nil
    configuration.disregard(["sliding_window"])
    // Some configurations of the family say what has only one answer in it.
    try configuration.requireSet("use_qk_norm")
    try configuration.refuseSet("qkv_bias")
    if try configuration.wholeNumber("shared_expert_intermediate_size", default: 0) != 0 {
      throw configuration.refused("shared_expert_intermediate_size", found: "set", supported: "0: no shared expert")
    }
    let feedForward = try qwenFeedForward(sizes, shared: nil, isNormalizedByDefault: isNormalizedByDefault, layout: layout)
    return sizes.model(family) { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.window = window
      return sizes.block(layer: layer, attention, feedForward(layer))
    }
  }

  /// The window of each layer: by `layer_types`, or for every other one of the layers before `max_window_layers`.
  private static func slidingWindows(_ sizes: DecoderSizes) throws -> (Int) -> Int? {
    let configuration = sizes.configuration
    let isUsed = try configuration.flag("use_sliding_window", default: false)
    guard isUsed else {
      configuration.disregard(["sliding_window", "max_window_layers", "layer_types"])
      return { _ in nil }
    }
    let types = try configuration.layerTypes(count: sizes.layerCount)
    let window = try configuration.count("sliding_window")
    if let types { return { types[$0] == "sliding_attention" ? window : nil } }
    let end = try configuration.wholeNumber("max_window_layers", default: 28)
    return { ($0 + 1) % 2 != 0 && $0 < end ? window : nil }
  }

  /// Where the projections of routed experts lie.
  enum ExpertLayout {
    /// In tensors of each expert.
    case own
    /// There, or in two of a layer.
    case ownOrFused
    /// In two of a layer, with outputs or inputs as rows.
    case fusedEitherWay
  }

  /// - Parameter isStated: whether published configurations say `norm_topk_prob`, so that one which does not is worth a word.
  static func qwenFeedForward(
    _ sizes: DecoderSizes, shared: Int?, isNormalizedByDefault: Bool = false, isStated: Bool = true, layout: ExpertLayout = .own
  ) throws -> (Int) -> any OperationPlan {
    let configuration = sizes.configuration
    let isSilent = !isStated && !configuration.isThere("norm_topk_prob")
    let router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("num_experts", "num_local_experts"),
      renormalised: isSilent ? isNormalizedByDefault : configuration.flag("norm_topk_prob", default: isNormalizedByDefault))
    let (width, hidden, count) = (try configuration.count("moe_intermediate_size"), sizes.hiddenSize, router.expertCount)
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let isDense = try configuration.isDense()
    let denseWidth = try configuration.width(declaredWidth, ofDense: (0..<sizes.layerCount).map(isDense))
    return { layer in
      let prefix = sizes.prefix(layer) + "mlp."
      if isDense(layer) { return GatedPlan.projections(prefix, denseWidth) }
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"),
        expert: {
          switch layout {
          case .own: .projections(prefix + "experts.\($0).", width)
          case .ownOrFused: .ownOrFused(prefix + "experts", $0, of: count, width: width, hidden: hidden)
          case .fusedEitherWay: .fusedEitherWay(prefix + "experts", $0, of: count, width: width, hidden: hidden)
          }
        })
      if let shared {
        experts.shared = [
          ExpertsPlan.Shared(
            expert: .projections(prefix + "shared_expert.", shared), gate: LinearPlan(prefix: prefix + "shared_expert_gate"))
        ]
      }
      return experts
    }
  }
}
