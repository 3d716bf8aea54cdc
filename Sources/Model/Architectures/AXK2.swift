// A.X-K2 (SK Telecom 2026): DeepSeek-V3.2 with a gate of low rank behind each norm in front of attention and of routed halves, and one projection
// for queries and for the gates of what the heads give. Experts outside of the kept groups have the selection score 0 and may still win.
//
// | key                      | meaning                                                      | default            |
// |--------------------------|--------------------------------------------------------------|--------------------|
// | gated_norm_rank          | rank of the gates behind norms                               | 16                 |
// | n_group, topk_group      | groups of experts, and how many a token may choose from      | null: no groups    |
// | index_n_heads, index_head_dim, index_topk | the scorer of earlier tokens, as in DeepSeek.swift | 16, 128, 2048 |
// All else is as in DeepSeek.swift.

import Routing

extension Family {
  static let axK2 = Family(
    modelType: "axk2",
    defaults: [
      "n_shared_experts": "1", "routed_scaling_factor": "2.5", "q_lora_rank": "384", "first_k_dense_replace": "1", "rms_norm_eps": "1e-06",
      "index_n_heads": "16", "index_head_dim": "128", "index_topk": "2048", "gated_norm_rank": "16",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(latent: configuration)
    let rank = try configuration.count("gated_norm_rank")
    var router = try configuration.sigmoidRouter()
    router.groupLimit?.fill = .zero
    // The projection behind it reads the narrow layer of queries, so there has to be one.
    _ = try configuration.count("q_lora_rank")
    let attention = try latentAttention(sizes, interleaved: true)
    let index = try tokenIndex(sizes, .halves)
    let feedForward = try sharedExperts(sizes, router: router, hasBias: true)
    return sizes.model("axk2") { layer in
      var latent = attention(layer, "self_attn.")
      (latent.queryReadsBoth, latent.queryCarriesGate) = (true, true)
      latent.index = index(layer, latent.rotary)
      var block = sizes.block(layer: layer, latent, feedForward(layer))
      sizes.gateInput(&block.sublayers[0], sizes.prefix(layer) + "input_layernorm.", rank)
      if block.sublayers[1].operation is ExpertsPlan {
        sizes.gateInput(&block.sublayers[1], sizes.prefix(layer) + "post_attention_layernorm.", rank)
      }
      return block
    }
  }
}

extension DecoderSizes {
  /// A norm and the gate behind it, under a prefix.
  fileprivate func gateInput(_ sublayer: inout SublayerPlan, _ prefix: String, _ rank: Int) {
    sublayer.input = .norm(rms(prefix + "norm"))
    sublayer.inputGate = InputGatePlan(rank: rank, down: LinearPlan(prefix: prefix + "W_down"), up: LinearPlan(prefix: prefix + "W_up"))
  }
}
