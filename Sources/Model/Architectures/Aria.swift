// Aria (Li et al. 2024, arXiv:2410.05993), its text model: LLaMA with fine-grained experts, the best of them by their logits and weighed by a softmax
// over those, and shared experts for every token.
//
// | key                   | meaning                                                             | default  |
// |-----------------------|---------------------------------------------------------------------|----------|
// | moe_num_experts, moe_topk | experts a layer, topK                                           | 8, 2     |
// | intermediate_size     | width of one expert (moe_intermediate_size in its first uploads)    | required |
// | moe_num_shared_experts | always-on experts, stored as one of their summed width             | 2        |
// | attention_bias, mlp_bias | biases of attention, of the shared experts                       | false    |

import Routing

extension Family {
  static let ariaText = Family(
    modelType: "aria_text", wrapper: "aria",
    defaults: ["moe_num_experts": "8", "moe_topk": "2", "moe_num_shared_experts": "2", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let router = RouterSpec.topKSoftmax(try configuration.count("moe_topk"), of: try configuration.count("moe_num_experts"))
    let width = try configuration.count("moe_intermediate_size", "intermediate_size")
    let shared = try configuration.wholeNumber("moe_num_shared_experts", default: 2)
    let (bias, hasSharedBias) = (
      try configuration.flag("attention_bias", default: false), try configuration.flag("mlp_bias", default: false)
    )
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    configuration.disregard(["intermediate_size", "moe_z_loss_coeff", "moe_aux_loss_coeff"])
    let (hidden, experts) = (sizes.hiddenSize, router.expertCount)
    return sizes.model("aria_text") { layer in
      let prefix = sizes.prefix(layer) + "mlp."
      var plan = ExpertsPlan(router: router, routerLinear: LinearPlan(prefix: prefix + "router")) {
        .transposed(
          prefix + "experts", $0, of: experts, width: width, hidden: hidden, names: (input: "fc1.weight", output: "fc2.weight"))
      }
      if shared > 0 {
        plan.shared = [.init(expert: .projections(prefix + "shared_experts.", shared * width, bias: hasSharedBias))]
      }
      return sizes.block(layer: layer, sizes.attention(layer: layer, rotary: rotary, bias: bias), plan)
    }
  }
}
