// gpt-oss (OpenAI 2025, arXiv:2508.10925): softmax over the chosen logits, a bias on router, projections and experts, a clamped gate,
// attention sinks, and a window in every other layer.
//
// | key                  | meaning                                         | default  |
// |----------------------|-------------------------------------------------|----------|
// | num_local_experts    | experts a layer                                 | required |
// | num_experts_per_tok  | topK (experts_per_token likewise)               | required |
// | intermediate_size    | width of one expert                             | required |
// | sliding_window       | tokens seen in sliding_attention layers         | 128      |
// | layer_types          | sliding_attention or full_attention             | alternating, a window first |
// | swiglu_limit         | clamp of gate (above) and up (both sides)       | 7        |
// | rope_scaling         | yarn even where nothing is said, or null is     | yarn x32 |

import Routing

extension Family {
  static let gptOss = Family(
    modelType: "gpt_oss",
    defaults: ["num_key_value_heads": "8", "head_dim": "64", "sliding_window": "128", "swiglu_limit": "7.0", "rms_norm_eps": "1e-05"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let experts = try configuration.count("num_local_experts")
    let router = try RouterSpec.topKSoftmax(configuration.count("num_experts_per_tok", "experts_per_token"), of: experts)
    let width = try configuration.count("intermediate_size")
    let hidden = sizes.hiddenSize
    let limit = Float(try configuration.number("swiglu_limit", default: 7))
    let alpha = try configuration.number("swiglu_alpha", default: 1.702)
    if alpha != 1.702 { throw configuration.refused("swiglu_alpha", found: "\(alpha)", supported: "1.702") }
    let bias = try configuration.flag("attention_bias", default: true)
    let window = try configuration.count("sliding_window", default: 128)
    _ = configuration.value("initial_context_length")
    let types = try configuration.layerTypes(count: sizes.layerCount)
    var rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 150_000)
    if configuration.value("rope_scaling", "rope_parameters") == nil, !configuration.isTurnedOff("rope_scaling", "rope_parameters") {
      rotary.scaling = .yarn(factor: 32, originalContext: 4096, betaFast: 32, betaSlow: 1, truncates: false)
      rotary.magnitude = 1.346_573_6  // 0.1 ln 32 + 1
    }
    return sizes.model("gpt_oss") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      attention.sinks = VectorPlan(sizes.prefix(layer) + "self_attn.sinks")
      attention.window = (types.map { $0[layer] == "sliding_attention" } ?? (layer % 2 == 0)) ? window : nil
      let prefix = sizes.prefix(layer) + "mlp."
      return sizes.block(
        layer: layer, attention,
        ExpertsPlan(
          router: router, routerLinear: LinearPlan(prefix: prefix + "router", bias: true),
          expert: { clampedExpert(prefix + "experts.", $0, of: experts, width: width, hidden: hidden, limit: limit) }))
    }
  }

  /// Gate and up interleaved; inputs are rows of the stored tensors.
  private static func clampedExpert(_ prefix: String, _ index: Int, of count: Int, width: Int, hidden: Int, limit: Float) -> GatedPlan {
    func half(_ odd: Int) -> LinearPlan {
      LinearPlan(
        MatrixPlan(
          prefix + "gate_up_proj", storedShape: [count, hidden, 2 * width], firstRow: index * hidden,
          transposition: .init(firstColumn: odd, step: 2)),
        bias: VectorPlan(prefix + "gate_up_proj_bias", storedShape: [count, 2 * width], first: index * 2 * width + odd, step: 2))
    }
    return GatedPlan(
      gate: half(0), up: half(1),
      down: LinearPlan(
        MatrixPlan(prefix + "down_proj", storedShape: [count, width, hidden], firstRow: index * width, transposition: .init()),
        bias: VectorPlan(prefix + "down_proj_bias", storedShape: [count, hidden], first: index * hidden)),
      intermediateSize: width, activation: .clampedSwiGLU(limit: limit))
  }
}
