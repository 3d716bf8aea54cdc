// AFMoE (Arcee AI, Trinity): a gate on attention's output, norms before and behind both halves, positions only in windowed layers,
// sigmoid router with a bias that steers selection only.
//
// | key                    | meaning                                    | default  |
// |------------------------|--------------------------------------------|----------|
// | num_experts            | routed experts a layer                     | required |
// | num_experts_per_tok    | topK                                       | required |
// | num_shared_experts     | always-on experts, stored as one           | 2        |
// | num_dense_layers       | so many first blocks are dense             | 1        |
// | route_scale            | factor on the weights                      | 1        |
// | route_norm, score_func | true and sigmoid: all that the reference computes |   |
// | global_attn_every_n_layers, layer_types | which layers see everything | every 4th |
// | mup_enabled            | embeddings times sqrt(hidden_size)         | false    |
// | n_group, num_expert_groups; topk_group, num_limited_groups | groups of experts: all are kept | 1 |

import Routing

extension Family {
  static let afmoe = Family(
    modelType: "afmoe", defaults: ["head_dim": "128", "num_shared_experts": "2", "num_dense_layers": "1", "rms_norm_eps": "1e-05"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let experts = try configuration.count("num_experts")
    let router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok"), of: experts, normalization: .sum(epsilon: 1e-20),
      scale: try configuration.number("route_scale", default: 1))
    try configuration.require("score_func", "sigmoid", default: "sigmoid")
    if !(try configuration.flag("route_norm", default: true)) {
      throw configuration.refused("route_norm", found: "false", supported: "true")
    }
    let width = try configuration.count("moe_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let shared = try configuration.wholeNumber("num_shared_experts", default: 0)
    let denseBlocks = try configuration.wholeNumber("num_dense_layers", default: 0)
    let denseWidth = try configuration.width(declaredWidth, ofDense: (0..<sizes.layerCount).map { $0 < denseBlocks })
    try requireOneGroup(configuration)
    let every = try configuration.count("global_attn_every_n_layers", default: 4)
    let window = try configuration.count("sliding_window")
    let types = try configuration.layerTypes(count: sizes.layerCount)
    let isLocal = { (layer: Int) in types.map { $0[layer] == "sliding_attention" } ?? ((layer + 1) % every != 0) }
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let isScaled = try configuration.flag("mup_enabled", default: false)
    var model = sizes.model("afmoe") { layer in
      let prefix = sizes.prefix(layer)
      var attention = sizes.attention(layer: layer, rotary: isLocal(layer) ? rotary : nil, bias: bias)
      sizes.normHeads(&attention, layer: layer, scope: .head)
      attention.window = isLocal(layer) ? window : nil
      attention.outputGate = OutputGatePlan(linear: LinearPlan(prefix: prefix + "self_attn.gate_proj"))
      var mixing = SublayerPlan(sizes.rms(prefix + "input_layernorm"), attention)
      mixing.outputNorm = sizes.rms(prefix + "post_attention_layernorm")
      var routed = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "mlp.router.gate"),
        correctionBias: VectorPlan(prefix + "mlp.expert_bias"), expert: { .projections(prefix + "mlp.experts.\($0).", width) })
      if shared > 0 { routed.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "mlp.shared_experts.", shared * width))] }
      let half: any OperationPlan = layer < denseBlocks ? GatedPlan.projections(prefix + "mlp.", denseWidth) : routed
      var feeding = SublayerPlan(sizes.rms(prefix + "pre_mlp_layernorm"), half)
      feeding.outputNorm = sizes.rms(prefix + "post_mlp_layernorm")
      return BlockPlan([mixing, feeding])
    }
    if isScaled { model.embeddingScale = Float(sizes.hiddenSize).squareRoot() }
    return model
  }

  /// Trinity's configurations name groups of experts, in the words of two programs; the reference knows none.
  private static func requireOneGroup(_ configuration: Configuration) throws {
    for (all, kept) in [("n_group", "topk_group"), ("num_expert_groups", "num_limited_groups")] {
      let groups = try configuration.optionalCount(all) ?? 1
      let used = try configuration.optionalCount(kept) ?? groups
      if groups != used { throw configuration.refused(all, found: "\(groups), of which \(used) are kept", supported: "every group kept") }
    }
  }
}
