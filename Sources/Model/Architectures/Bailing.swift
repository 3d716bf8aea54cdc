// Ling and Ring (inclusionAI 2025), and Sarvam-30B, which is of their line. The first generation has the softmax router of the first
// DeepSeek-MoE, the second the router of DeepSeek-V3 under other names, norms on query and key heads, and turns half of each head; both write
// model_type bailing_moe.
//
// | key                   | meaning                                                       | default        |
// |-----------------------|---------------------------------------------------------------|----------------|
// | score_function        | sigmoid: second generation (or n_group is there)              | softmax        |
// | num_experts, num_experts_per_tok | experts a layer, topK                              | required       |
// | num_shared_experts    | always-on experts, stored as one of their summed width        | none           |
// | moe_intermediate_size, intermediate_size | widths of an expert, of a dense layer      | required       |
// | first_k_dense_replace | so many first blocks are dense                                | 0              |
// | norm_topk_prob        | weights divided by their sum + 1e-20                          | true           |
// | n_group, topk_group, routed_scaling_factor | second: as in DeepSeek.swift             | 1, 1, 1        |
// | use_qk_norm, partial_rotary_factor | second: norms on heads, share that turns         | true, 0.5      |
// | use_qkv_bias          | biases on queries, keys and values                            | false          |

import Routing

extension Family {
  static let bailingMoE = Family(modelType: "bailing_moe", defaults: ["rms_norm_eps": "1e-06"]) { configuration in
    let scoring = try configuration.text("score_function", default: configuration.isThere("n_group") ? "sigmoid" : "softmax")
    guard ["softmax", "sigmoid"].contains(scoring) else {
      throw configuration.refused("score_function", found: "\"\(scoring)\"", supported: "\"softmax\", \"sigmoid\"")
    }
    return try bailing("bailing_moe", configuration, isSecond: scoring == "sigmoid")
  }

  /// Sarvam-30B (Sarvam AI 2026): the second generation, turning whole heads.
  static let sarvamMoE = Family(
    modelType: "sarvam_moe",
    defaults: ["rms_norm_eps": "1e-06", "routed_scaling_factor": "2.5", "num_shared_experts": "1", "first_k_dense_replace": "1"]
  ) { configuration in
    try configuration.require("score_function", "sigmoid", default: "sigmoid")
    // The reference always divides by the sum.
    try configuration.requireSet("norm_topk_prob")
    return try bailing("sarvam_moe", configuration, isSecond: true, turnsWholeHeads: true)
  }

  private static func bailing(
    _ family: String, _ configuration: Configuration, isSecond: Bool, turnsWholeHeads: Bool = false
  ) throws -> ModelPlan {
    let sizes = try DecoderSizes(configuration)
    let router = try isSecond ? configuration.sigmoidRouter() : configuration.softmaxRouter()
    let feedForward = try sharedExperts(sizes, router: router, hasBias: isSecond, bias: "gate.expert_bias")
    let turnsHalves = isSecond && !turnsWholeHeads
    let rotary = try configuration.rotary(
      headSize: sizes.headSize, defaultBase: turnsHalves ? 600_000 : 10_000, defaultShare: turnsHalves ? 0.5 : nil)
    let bias = try configuration.flag("use_qkv_bias", default: false)
    let hasNorms = try isSecond && configuration.flag("use_qk_norm", default: true)
    try configuration.refuseSet("use_bias", "norm_head", "norm_softmax", "multi_gate", "use_sliding_window")
    try configuration.requireSet("use_rmsnorm", "moe_router_enable_expert_bias")
    if let width = try configuration.optionalCount("moe_shared_expert_intermediate_size") {
      let own = try configuration.count("moe_intermediate_size")
      if width != own {
        throw configuration.refused(
          "moe_shared_expert_intermediate_size", found: "\(width)", supported: "moe_intermediate_size, which is \(own)")
      }
    }
    configuration.disregard([
      "embedding_dropout", "output_dropout", "router_dtype", "num_nextn_predict_layers", "mtp_loss_scaling_factor", "sliding_window",
      "use_qk_norm",
    ])
    var model = sizes.model(family) { layer in
      var attention = fusedAttention(sizes, sizes.prefix(layer) + "attention.", rotary: rotary, bias: bias)
      if hasNorms {
        attention.queryNorm = HeadNormPlan(norm: sizes.rms(sizes.prefix(layer) + "attention.query_layernorm"), scope: .head)
        attention.keyNorm = HeadNormPlan(norm: sizes.rms(sizes.prefix(layer) + "attention.key_layernorm"), scope: .head)
      }
      return sizes.block(layer: layer, attention, feedForward(layer))
    }
    model.embedding = "model.word_embeddings.weight"
    if sizes.isTied { model.outputHead = LinearPlan(.tiedHead(model.embedding)) }
    return model
  }

  /// Queries, then keys, then values in one projection.
  private static func fusedAttention(_ sizes: DecoderSizes, _ prefix: String, rotary: RotaryPlan, bias: Bool) -> AttentionPlan {
    let (queries, keys) = (sizes.headCount * sizes.headSize, sizes.keyValueHeadCount * sizes.headSize)
    func rows(from first: Int) -> LinearPlan {
      let (name, total) = (prefix + "query_key_value", queries + 2 * keys)
      return LinearPlan(
        MatrixPlan("\(name).weight", storedShape: [total, sizes.hiddenSize], firstRow: first),
        bias: bias ? VectorPlan("\(name).bias", storedShape: [total], first: first) : nil)
    }
    return AttentionPlan(
      headCount: sizes.headCount, keyValueHeadCount: sizes.keyValueHeadCount, headSize: sizes.headSize, query: rows(from: 0),
      key: rows(from: queries), value: rows(from: queries + keys), output: LinearPlan(prefix: prefix + "dense"), rotary: rotary)
  }
}

extension Configuration {
  /// The router of the first DeepSeek-MoE: softmax over all experts, weights divided by their sum where the file says so.
  func softmaxRouter() throws -> RouterSpec {
    var router = RouterSpec.softmaxTopK(
      try count("num_experts_per_tok"), of: try count("n_routed_experts", "num_experts"), renormalised: false)
    if try flag("norm_topk_prob", default: true), router.topK > 1 { router.normalization = .sum(epsilon: 1e-20) }
    return router
  }
}
