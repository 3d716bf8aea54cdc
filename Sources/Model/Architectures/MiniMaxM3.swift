// MiniMax-M3 (MiniMax 2026): the router of MiniMax-M2 with a factor and a shared expert, clamped gates as in gpt-oss everywhere, norms that
// store the difference from 1, and a scorer that keeps blocks of earlier tokens.
//
// | key                          | meaning                                              | default  |
// |------------------------------|------------------------------------------------------|----------|
// | num_local_experts, num_experts_per_tok | experts a layer, topK                      | required |
// | intermediate_size, shared_intermediate_size, dense_intermediate_size | widths of an expert, the shared one, a dense layer | required |
// | routed_scaling_factor        | factor on the weights                                | 2        |
// | swiglu_limit                 | clamp of gate (above) and up (both sides)            | 7        |
// | moe_layer_freq, mlp_layer_types | which layers are routed (1, sparse)               | all      |
// | partial_rotary_factor        | share of a head that turns                           | 1        |
// | sparse_attention_config      | sparse_attention_freq: which layers have a scorer; its sparse_num_index_heads, sparse_index_dim, sparse_block_size, sparse_topk_blocks, sparse_local_block | - |
// | layer_types, index_n_heads, index_head_dim, index_block_size, index_topk_blocks, index_local_blocks | the same in other words | - |

import Routing

extension Family {
  private static let defaultsOfM3 = [
    "num_key_value_heads": "4", "head_dim": "128", "routed_scaling_factor": "2.0", "swiglu_limit": "7.0", "index_n_heads": "4",
    "index_head_dim": "128", "index_block_size": "128", "index_topk_blocks": "16",
  ]

  static let miniMaxM3 = Family(modelType: "minimax_m3", defaults: defaultsOfM3) { try m3("minimax_m3", $0) }
  /// As it is called inside the checkpoint that sees too.
  static let miniMaxM3Text = Family(modelType: "minimax_m3_vl_text", wrapper: "minimax_m3_vl", defaults: defaultsOfM3) {
    try m3("minimax_m3_vl_text", $0)
  }

  private static func m3(_ family: String, _ configuration: Configuration) throws -> ModelPlan {
    let activation = try configuration.text("hidden_act", default: "swigluoai")
    // The reference's own files say silu, and it never uses that.
    if !["swigluoai", "silu"].contains(activation) {
      throw configuration.refused("hidden_act", found: "\"\(activation)\"", supported: "\"swigluoai\"")
    }
    let sizes = try DecoderSizes(configuration, activation: ("hidden_act", activation))
    let isRouted = try configuration.routedLayersOfM3(sizes.layerCount)
    let router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("num_local_experts"), normalization: .sum(epsilon: 0),
      scale: try configuration.number("routed_scaling_factor", default: 1))
    let width = try configuration.count("intermediate_size")
    try configuration.requireSame("moe_intermediate_size", as: width, named: "intermediate_size")
    try configuration.requireSame("n_shared_experts", as: 1, named: "the number of experts in shared_intermediate_size")
    let sharedWidth = try configuration.count("shared_intermediate_size")
    let denseWidth = try configuration.width(
      configuration.optionalCount("dense_intermediate_size"), ofDense: isRouted.map { !$0 }, key: "dense_intermediate_size")
    let limit = Float(try configuration.positive("swiglu_limit", default: 7))
    if try configuration.number("swiglu_alpha", default: 1.702) != 1.702 {
      throw configuration.refused("swiglu_alpha", found: "another", supported: "1.702")
    }
    try configuration.requireSet("use_gemma_norm", "use_qk_norm", "use_routing_bias")
    try configuration.refuseSet("attention_output_gate")
    try configuration.require("scoring_func", "sigmoid", default: "sigmoid")
    try configuration.require("qk_norm_type", "per_head", default: "per_head")
    configuration.disregard(["num_mtp_modules", "num_nextn_predict_layers", "rotary_dim"])
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 5_000_000, defaultShare: 1)
    let index = try blockIndex(sizes, rotary: rotary)
    let (hidden, experts) = (sizes.hiddenSize, router.expertCount)
    return sizes.model(family, finalNorm: sizes.rms("model.norm", offset: 1)) { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary)
      sizes.normHeads(&attention, layer: layer, scope: .head, offset: 1)
      attention.blockIndex = index(layer)
      let (own, published) = (sizes.prefix(layer) + "mlp.", sizes.prefix(layer) + "block_sparse_moe.")
      func half(_ name: String, _ fused: String, _ width: Int) -> GatedPlan {
        .projections(name, width).or(.fused(fused + "gate_up_proj.weight", fused + "down_proj.weight", width: width, hidden: hidden))
          .activated(.clampedSwiGLU(limit: limit))
      }
      guard isRouted[layer] else { return sizes.block(layer: layer, attention, half(own, own, denseWidth), offset: 1) }
      var plan = ExpertsPlan(router: router, routerLinear: LinearPlan(prefix: published + "gate")) {
        .numbered("\(published)experts.\($0).", width).or(
          .fused(own + "experts.gate_up_proj", own + "experts.down_proj", width: width, hidden: hidden, expert: ($0, experts))
        ).activated(.clampedSwiGLU(limit: limit))
      }
      plan.routerLinear.weight.alternatives = ["\(own)gate.weight"]
      plan.correctionBias = VectorPlan(published + "e_score_correction_bias", or: own + "gate.e_score_correction_bias")
      plan.shared = [ExpertsPlan.Shared(expert: half(published + "shared_experts.", own + "shared_experts.", sharedWidth))]
      return sizes.block(layer: layer, attention, plan, offset: 1)
    }
  }

  /// The scorer of each layer that has one.
  private static func blockIndex(_ sizes: DecoderSizes, rotary: RotaryPlan) throws -> (Int) -> BlockIndexPlan? {
    let configuration = sizes.configuration
    let names = ["minimax_m3_sparse": true, "full_attention": false]
    let section =
      try configuration.isThere("sparse_attention_config") ? configuration.section("sparse_attention_config", irrelevant: []) : nil
    let source = section ?? configuration
    let hasIndex: [Bool]
    if let section, !configuration.isThere("layer_types") {
      hasIndex = try section.marked("sparse_attention_freq", or: "layer_types", named: names, count: sizes.layerCount) { _ in false }
    } else {
      hasIndex = try configuration.layerKinds(names, count: sizes.layerCount) { _ in false }
      section?.disregard(["sparse_attention_freq"])
    }
    guard hasIndex.contains(true) else {
      configuration.disregard(["index_n_heads", "index_head_dim", "index_block_size", "index_topk_blocks", "index_local_blocks"])
      return { _ in nil }
    }
    try source.requireSet("use_sparse_attention")
    try source.require("sparse_score_type", "max", default: "max")
    if try source.wholeNumber("sparse_init_block", default: 0) != 0 {
      throw source.refused("sparse_init_block", found: "set", supported: "0: no first blocks that are always kept")
    }
    let withoutValues = try source.counts("sparse_disable_index_value")
    if !withoutValues.isEmpty, zip(hasIndex, withoutValues).contains(where: { $0 && $1 != 1 }) {
      throw source.refused("sparse_disable_index_value", found: "0 for a layer with a scorer", supported: "1")
    }
    let (heads, size) = (
      try source.count("index_n_heads", "sparse_num_index_heads"), try source.count("index_head_dim", "sparse_index_dim")
    )
    let (topK, local) = (
      try source.count("index_topk_blocks", "sparse_topk_blocks"), try source.count("index_local_blocks", "sparse_local_block", default: 1)
    )
    let blockSize = try source.count("index_block_size", "sparse_block_size")
    try section?.finish()
    guard heads == sizes.keyValueHeadCount, size >= rotary.rotatedSize, local <= topK else {
      throw ModelError.configuration(
        file: source.file, key: "index_n_heads, index_head_dim, index_local_blocks",
        expected: "\(sizes.keyValueHeadCount), at least \(rotary.rotatedSize), at most \(topK)", found: "\(heads), \(size), \(local)")
    }
    return { layer in
      guard hasIndex[layer] else { return nil }
      let prefix = sizes.prefix(layer) + "self_attn."
      func linear(_ name: String) -> LinearPlan {
        var plan = LinearPlan(prefix: prefix + "index_" + name)
        plan.weight.alternatives = ["\(prefix)indexer.\(name).weight"]
        return plan
      }
      func norm(_ name: String) -> NormPlan {
        .rms(VectorPlan("\(prefix)index_\(name).weight", or: "\(prefix)indexer.\(name).weight"), sizes.epsilon, offset: 1)
      }
      return BlockIndexPlan(
        headCount: heads, headSize: size, blockSize: blockSize, topK: topK, localBlocks: local, query: linear("q_proj"),
        key: linear("k_proj"),
        queryNorm: norm("q_norm"), keyNorm: norm("k_norm"), rotary: rotary)
    }
  }
}

extension Configuration {
  /// Which layers are routed, by one list or the other; a number of dense ones beside it has to agree.
  fileprivate func routedLayersOfM3(_ count: Int) throws -> [Bool] {
    let isRouted = try marked("moe_layer_freq", or: "mlp_layer_types", named: ["sparse": true, "dense": false], count: count) { _ in true }
    if isThere("first_k_dense_replace") {
      let first = try wholeNumber("first_k_dense_replace", default: 0)
      guard (0..<count).allSatisfy({ isRouted[$0] == ($0 >= first) }) else {
        throw refused("first_k_dense_replace", found: "\(first)", supported: "what the list of layers says")
      }
    }
    return isRouted
  }
}
