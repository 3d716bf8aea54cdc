// Gemma 4 with experts (Google 2026): beside each routed half runs a dense one that every token takes; the router reads the residual stream
// and not what its experts read, and each expert has a factor of its own on its weights. Values are normalised, and where layers see
// everything they may be the keys before their norm and their positions.
//
// | key                     | meaning                                                      | default  |
// |-------------------------|--------------------------------------------------------------|----------|
// | num_experts, top_k_experts | routed experts a layer, topK                              | required |
// | moe_intermediate_size, intermediate_size | widths of an expert and of the dense half   | required |
// | layer_types             | sliding_attention or full_attention                          | required |
// | global_head_dim, num_global_key_value_heads | of the layers that see everything        | as the others |
// | per_layer_config        | the same layer by layer: head_dim, num_key_value_heads       | none     |
// | attention_k_eq_v        | values are the keys' projection in layers that see everything | false   |
// | final_logit_softcapping | logits become cap * tanh(logit / cap)                        | none     |
// | hidden_size_per_layer_input, num_kv_shared_layers | others than 0 are refused          | 0        |

import Routing

extension Family {
  static let gemma4 = Family(
    modelType: "gemma4_text",
    defaults: ["num_key_value_heads": "4", "head_dim": "256", "sliding_window": "512", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, tied: true, activation: ("hidden_activation", "gelu_pytorch_tanh"))
    let layers = 0..<sizes.layerCount
    let hasWindow = try configuration.layerKinds(
      ["sliding_attention": true, "full_attention": false], count: sizes.layerCount)
    let heads = try configuration.headsOfLayers(sizes, isGlobal: layers.map { !hasWindow[$0] })
    let window = try hasWindow.contains(true) ? configuration.count("sliding_window") : nil
    let sharesKeys = try configuration.flag("attention_k_eq_v", default: false)
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try layers.map { layer in
      try configuration.rotary(
        headSize: heads[layer].size, defaultBase: hasWindow[layer] ? 10_000 : 1_000_000, defaultShare: 1,
        layerType: hasWindow[layer] ? "sliding_attention" : "full_attention")
    }
    for key in ["hidden_size_per_layer_input", "num_kv_shared_layers"] where try configuration.wholeNumber(key, default: 0) != 0 {
      throw configuration.refused(key, found: "set", supported: "0")
    }
    try configuration.refuseSet("use_double_wide_mlp")
    try configuration.requireSet("enable_moe_block")
    // Images see each other both ways, text does not.
    configuration.disregard(["use_bidirectional_attention", "vocab_size_per_layer_input", "sliding_window"])
    let experts = try experts(sizes)
    let denseWidth = try configuration.count("intermediate_size")
    var model = sizes.model("gemma4_text") { layer in
      let prefix = sizes.prefix(layer)
      var attention = sizes.attention(layer: layer, rotary: rotary[layer], bias: bias)
      (attention.headSize, attention.keyValueHeadCount) = (heads[layer].size, heads[layer].keyValueCount)
      attention.scale = 1
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.valueNorm = .rms(nil, sizes.epsilon)
      attention.window = hasWindow[layer] ? window : nil
      if sharesKeys, !hasWindow[layer] { attention.value = attention.key }
      var mixer = SublayerPlan(sizes.rms(prefix + "input_layernorm"), attention)
      mixer.outputNorm = sizes.rms(prefix + "post_attention_layernorm")
      var routed = SublayerPlan(sizes.rms(prefix + "pre_feedforward_layernorm_2"), experts(prefix))
      (routed.outputNorm, routed.destination) = (sizes.rms(prefix + "post_feedforward_layernorm_2"), .held)
      var always = GatedPlan.projections(prefix + "mlp.", denseWidth)
      (always.activation, always.isSharedExpert) = (.geluTanh, true)
      var dense = SublayerPlan(sizes.rms(prefix + "pre_feedforward_layernorm"), always)
      (dense.outputNorm, dense.addsHeld) = (sizes.rms(prefix + "post_feedforward_layernorm_1"), true)
      dense.sumNorm = sizes.rms(prefix + "post_feedforward_layernorm")
      dense.streamFactor = VectorPlan(prefix + "layer_scalar")
      return BlockPlan([mixer, routed, dense])
    }
    model.embeddingScale = Float(sizes.hiddenSize).squareRoot()
    model.logitCap = try configuration.optionalNumber("final_logit_softcapping").map { Float($0) }
    return model
  }

  private static func experts(_ sizes: DecoderSizes) throws -> (String) -> ExpertsPlan {
    let configuration = sizes.configuration
    let router = RouterSpec.softmaxTopK(
      try configuration.count("top_k_experts"), of: try configuration.count("num_experts"), renormalised: true)
    let (count, width, hidden) = (router.expertCount, try configuration.count("moe_intermediate_size"), sizes.hiddenSize)
    let epsilon = sizes.epsilon
    return { prefix in
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "router.proj"),
        expert: {
          var plan = GatedPlan.fused(
            prefix + "experts.gate_up_proj", prefix + "experts.down_proj", width: width, hidden: hidden, expert: ($0, count))
          plan.activation = .geluTanh
          return plan
        })
      experts.routerInput = .stream(.rms(VectorPlan(prefix + "router.scale"), epsilon), factor: 1 / Float(hidden).squareRoot())
      experts.expertScales = VectorPlan(prefix + "router.per_expert_scale")
      return experts
    }
  }
}

/// Heads of one layer.
private struct LayerHeads {
  var size: Int
  var keyValueCount: Int
}

extension Configuration {
  /// Size and number of the key-value heads of each layer: of those that see everything by fields of their own, or layer by layer.
  fileprivate func headsOfLayers(_ sizes: DecoderSizes, isGlobal: [Bool]) throws -> [LayerHeads] {
    let globalSize = try optionalCount("global_head_dim") ?? sizes.headSize
    let globalCount = try optionalCount("num_global_key_value_heads") ?? sizes.keyValueHeadCount
    var heads = isGlobal.map {
      $0
        ? LayerHeads(size: globalSize, keyValueCount: globalCount)
        : LayerHeads(size: sizes.headSize, keyValueCount: sizes.keyValueHeadCount)
    }
    guard let own = value("per_layer_config") else { return heads }
    for (layer, fields) in own.objectMembers {
      guard let number = Int(layer), heads.indices.contains(number) else {
        throw ModelError.configuration(
          file: file, key: "per_layer_config", expected: "layers below \(heads.count)", found: layer)
      }
      for (field, value) in fields.objectMembers {
        guard let count = value.int64, count > 0, count <= Int64(Self.largestCount) else {
          throw ModelError.configuration(
            file: file, key: "per_layer_config.\(layer).\(field)", expected: "a positive integer", found: "something else")
        }
        switch field {
        case "head_dim": heads[number].size = Int(count)
        case "num_key_value_heads": heads[number].keyValueCount = Int(count)
        default:
          throw refused("per_layer_config.\(layer).\(field)", found: "set", supported: "head_dim, num_key_value_heads")
        }
      }
    }
    if let layer = heads.firstIndex(where: { $0.size % 2 != 0 || sizes.headCount % $0.keyValueCount != 0 }) {
      throw ModelError.configuration(
        file: file, key: "num_key_value_heads", expected: "a divisor of num_attention_heads \(sizes.headCount), and heads of even size",
        found: "\(heads[layer].keyValueCount) heads of \(heads[layer].size) in layer \(layer)")
    }
    return heads
  }
}
