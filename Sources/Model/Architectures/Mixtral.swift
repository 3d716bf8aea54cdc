// Mixtral (Jiang et al. 2024, arXiv:2401.04088): every block is routed, the two weights are renormalised.
//
// | key                  | meaning                                   | default  |
// |----------------------|-------------------------------------------|----------|
// | num_local_experts    | routed experts a layer                    | required |
// | num_experts_per_tok  | topK                                      | required |
// | intermediate_size    | width of one expert                       | required |
// | sliding_window       | tokens a token sees, itself included      | all      |

import Routing

extension Family {
  static let mixtral = Family(modelType: "mixtral", defaults: ["num_key_value_heads": "8", "rms_norm_eps": "1e-05"]) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("num_local_experts", "num_experts"), renormalised: true)
    let width = try configuration.count("intermediate_size")
    let window = try configuration.optionalCount("sliding_window")
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 1_000_000)
    return sizes.model("mixtral") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary)
      attention.window = window
      let prefix = sizes.prefix(layer) + "block_sparse_moe."
      let experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { .numbered(prefix + "experts.\($0).", width) })
      return sizes.block(layer: layer, attention, experts)
    }
  }
}
