// Mixtral (Jiang et al. 2024, arXiv:2401.04088): every block is routed, softmax top-k renormalised, optional sliding window.
//
// | key                  | meaning                                              | default        |
// |----------------------|------------------------------------------------------|----------------|
// | num_local_experts    | routed experts a layer                               | required       |
// | num_experts_per_tok  | topK                                                 | required       |
// | intermediate_size    | width of one expert                                  | required       |
// | sliding_window       | tokens a token sees, itself included                 | none           |

import Routing

extension Family {
  static let mixtral = Family(modelType: "mixtral") { configuration in
    let sizes = try DecoderSizes(configuration, normEpsilon: 1e-5)
    let router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("num_local_experts", "num_experts"), renormalised: true)
    let width = try configuration.count("intermediate_size")
    let window = try configuration.optionalCount("sliding_window")
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 1_000_000)
    let tied = try configuration.flag("tie_word_embeddings", default: false)
    return sizes.model(family: "mixtral", rotary: rotary, tiedHead: tied) { layer in
      var attention = sizes.attention(layer: layer)
      attention.window = window
      return attention
    } feedForward: { layer in
      let prefix = "model.layers.\(layer).block_sparse_moe."
      return .experts(
        ExpertsPlan(
          router: router, routerWeight: prefix + "gate.weight", expertCount: router.expertCount,
          expert: GatedPlan(
            gate: prefix + "experts.{expert}.w1.weight", up: prefix + "experts.{expert}.w3.weight",
            down: prefix + "experts.{expert}.w2.weight", intermediateSize: width)))
    }
  }
}
