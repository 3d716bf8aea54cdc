// Qwen3-MoE (Yang et al. 2025, arXiv:2505.09388): RMS norm on each query and key head; blocks are routed unless listed as dense.
//
// | key                   | meaning                                              | default        |
// |-----------------------|------------------------------------------------------|----------------|
// | num_experts           | routed experts a layer (num_local_experts likewise)  | required       |
// | num_experts_per_tok   | topK                                                 | required       |
// | norm_topk_prob        | weights divided by their sum                         | false          |
// | moe_intermediate_size | width of one expert                                  | required       |
// | intermediate_size     | width of a dense block                               | with dense     |
// | mlp_only_layers       | dense blocks                                         | none           |
// | decoder_sparse_step   | every n-th block is routed, counted from 1           | 1              |
// | attention_bias        | biases on q, k, v, o                                 | false          |
// | use_sliding_window    | whether sliding_window holds                         | false          |

import Routing

extension Family {
  static let qwen3MoE = Family(modelType: "qwen3_moe") { configuration in
    let sizes = try DecoderSizes(configuration, normEpsilon: 1e-6)
    let router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("num_experts", "num_local_experts"),
      renormalised: configuration.flag("norm_topk_prob", default: false))
    let width = try configuration.count("moe_intermediate_size")
    let denseWidth = try configuration.optionalCount("intermediate_size")
    let denseLayers = Set(try configuration.counts("mlp_only_layers"))
    let sparseStep = try configuration.count("decoder_sparse_step", default: 1)
    let bias = try configuration.flag("attention_bias", default: false)
    let declaredWindow = try configuration.optionalCount("sliding_window")
    let window = try configuration.flag("use_sliding_window", default: false) ? declaredWindow : nil
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 10_000)
    let tied = try configuration.flag("tie_word_embeddings", default: false)
    return try sizes.model(family: "qwen3_moe", rotary: rotary, tiedHead: tied) { layer in
      var attention = sizes.attention(layer: layer, bias: bias)
      attention.queryNorm = HeadNormPlan(weight: "model.layers.\(layer).self_attn.q_norm.weight", scope: .head)
      attention.keyNorm = HeadNormPlan(weight: "model.layers.\(layer).self_attn.k_norm.weight", scope: .head)
      attention.window = window
      return attention
    } feedForward: { layer in
      let prefix = "model.layers.\(layer).mlp."
      if denseLayers.contains(layer) || (layer + 1) % sparseStep != 0 {
        guard let denseWidth else {
          throw ModelError.configuration(
            file: configuration.file, key: "intermediate_size", expected: "a width for the dense layer \(layer)", found: "nothing")
        }
        return .dense(.projections(prefix, intermediateSize: denseWidth))
      }
      return .experts(
        ExpertsPlan(
          router: router, routerWeight: prefix + "gate.weight", expertCount: router.expertCount,
          expert: .projections(prefix + "experts.{expert}.", intermediateSize: width)))
    }
  }
}
