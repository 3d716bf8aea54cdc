// Cohere2-MoE: both halves of a block read the same normalised input; windowed layers with positions, full ones without.
//
// | key                  | meaning                                            | default  |
// |----------------------|----------------------------------------------------|----------|
// | num_experts          | experts a layer                                    | required |
// | num_experts_per_tok  | topK                                               | required |
// | expert_selection_fn  | softmax or sigmoid of the chosen logits            | softmax  |
// | norm_topk_prob       | sigmoid: weights divided by their sum              | true     |
// | num_shared_experts, shared_expert_combination_strategy | sum or average | 0, average |
// | mlp_layer_types, prefix_dense_intermediate_size | dense blocks            | none     |
// | rms_norm_eps         | RMS norms where set, else layer norms without bias | unset    |
// | logit_scale          | factor on logits                                   | 0.0625   |

import Routing

extension Family {
  static let cohere2MoE = Family(
    modelType: "cohere2_moe", defaults: ["head_dim": "128", "layer_norm_eps": "1e-05", "sliding_window": "4096"]
  ) { configuration in
    let epsilon = try configuration.optionalNumber("rms_norm_eps")
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5, tied: true)
    if epsilon != nil { configuration.disregard(["layer_norm_eps"]) }
    func norm(_ name: String) -> NormPlan {
      epsilon == nil ? .layer("\(name).weight", sizes.epsilon) : .rms("\(name).weight", sizes.epsilon)
    }
    var router = try RouterSpec.topKSoftmax(configuration.count("num_experts_per_tok"), of: configuration.count("num_experts"))
    let isNormalised = try configuration.flag("norm_topk_prob", default: true)
    let selection = try configuration.text("expert_selection_fn", default: "softmax")
    switch selection {
    case "softmax": break
    case "sigmoid":
      router.weighting = .sigmoidOfSelectedLogits
      router.normalization = isNormalised ? .sum(epsilon: 0) : .none
    default: throw configuration.refused("expert_selection_fn", found: "\"\(selection)\"", supported: "\"softmax\", \"sigmoid\"")
    }
    let width = try configuration.count("intermediate_size")
    let shared = try configuration.wholeNumber("num_shared_experts", default: 0)
    let strategy = try configuration.text("shared_expert_combination_strategy", default: "average")
    guard ["sum", "average"].contains(strategy) else {
      throw configuration.refused("shared_expert_combination_strategy", found: "\"\(strategy)\"", supported: "\"sum\", \"average\"")
    }
    let declaredWidth = try configuration.optionalCount("prefix_dense_intermediate_size")
    let densePattern = try configuration.count("prefix_dense_sliding_window_pattern", default: 1)
    let halves = try configuration.layerTypes("mlp_layer_types", count: sizes.layerCount)
    let isDense = (0..<sizes.layerCount).map { halves?[$0] == "dense" }
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense, key: "prefix_dense_intermediate_size")
    let pattern = try configuration.windowPattern(4)
    let window = try configuration.slidingWindow(sizes.layerCount) { ($0 + 1) % pattern != 0 }
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize, isInterleaved: true)
    let logitScale = Float(try configuration.number("logit_scale", default: 0.0625))
    var model = sizes.model("cohere2_moe", finalNorm: norm("model.norm")) { layer in
      let prefix = sizes.prefix(layer)
      var attention = sizes.attention(
        layer: layer, rotary: window(layer) != nil || (isDense[layer] && densePattern == 1) ? rotary : nil, bias: bias)
      attention.window = window(layer)
      var half: any OperationPlan
      if isDense[layer] {
        half = GatedPlan.projections(prefix + "mlp.", denseWidth)
      } else {
        var experts = ExpertsPlan(
          router: router, routerLinear: LinearPlan(prefix: prefix + "mlp.gate"),
          expert: { .projections(prefix + "mlp.experts.\($0).", width) })
        if shared > 0 {
          experts.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "mlp.shared_experts.", shared * width))]
          if strategy == "average" { experts.outputScale = 0.5 }
        }
        half = experts
      }
      return BlockPlan([SublayerPlan(norm(prefix + "input_layernorm"), attention), SublayerPlan(.previous, half)])
    }
    model.logitScale = logitScale
    return model
  }
}
