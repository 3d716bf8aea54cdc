// Mistral Small 4 (2026): the latent attention of DeepSeek, with queries that grow with the position, and a softmax router whose chosen
// weights are divided by their sum; experts of a layer in two tensors.
//
// | key                   | meaning                                                       | default  |
// |-----------------------|---------------------------------------------------------------|----------|
// | n_routed_experts      | routed experts a layer                                        | required |
// | num_experts_per_tok   | topK                                                          | required |
// | n_group, topk_group   | groups by the sum of their two best, and how many are kept    | 1, 1     |
// | norm_topk_prob        | weights divided by their sum + 1e-20                          | true     |
// | routed_scaling_factor | factor on the weights                                         | 1        |
// | rope_parameters.llama_4_scaling_beta | queries * (1 + beta ln(1 + floor(position / original context))) | none |
// The other keys are those of DeepSeek.swift.

import Routing

extension Family {
  static let mistral4 = Family(
    modelType: "mistral4",
    defaults: [
      "n_shared_experts": "1", "q_lora_rank": "1024", "kv_lora_rank": "256", "qk_rope_head_dim": "64", "v_head_dim": "128",
      "qk_nope_head_dim": "64", "rms_norm_eps": "1e-06",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(latent: configuration)
    var router = RouterSpec.softmaxTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("n_routed_experts"), renormalised: false)
    if try configuration.flag("norm_topk_prob", default: true) { router.normalization = .sum(epsilon: 1e-20) }
    router.routedScale = Float(try configuration.number("routed_scaling_factor", default: 1))
    router.groupLimit = try configuration.groups(score: .sumOfTopTwo, fill: .zero)
    let isInterleaved = try configuration.flag("rope_interleave", default: true)
    let attention = try latentAttention(sizes, interleaved: isInterleaved, heatsQueries: true)
    let feedForward = try sharedExperts(sizes, router: router, hasBias: false, isFused: true)
    return sizes.model("mistral4") { sizes.block(layer: $0, attention($0, "self_attn."), feedForward($0)) }
  }
}
