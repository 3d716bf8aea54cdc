// DeepSeek-MoE (arXiv:2401.06066): grouped attention, softmax router, shared experts.
// DeepSeek-V2 (arXiv:2405.04434): latent attention, softmax router that may be limited to the best groups, shared experts.
// DeepSeek-V3 (arXiv:2412.19437): sigmoid router with a bias that steers selection only and groups scored by their two best experts.
// The same router serves GLM-4.5, dots.llm1, Solar Open, EXAONE-MoE and Kimi-K2; GLM-4.7-Flash has the latent attention too.
//
// Defaults are those of silence; what the reference takes instead in one of the families stands beside the family's name.
//
// | key                   | meaning                                                       | default        |
// |-----------------------|---------------------------------------------------------------|----------------|
// | n_routed_experts      | routed experts a layer                                        | required       |
// | num_experts_per_tok   | topK                                                          | required       |
// | n_shared_experts      | always-on experts, stored as one of their summed width        | none           |
// | moe_intermediate_size | width of one expert                                           | required       |
// | first_k_dense_replace | so many first blocks are dense, of width intermediate_size    | 0              |
// | mlp_layer_types       | the same, layer by layer                                      | -              |
// | topk_method           | V2: greedy or group_limited_greedy; V3: noaux_tc              | greedy         |
// | n_group, topk_group   | groups of experts, and how many a token may choose from       | 1, 1           |
// | norm_topk_prob        | V3: weights divided by their sum + 1e-20; V2 never            | true           |
// | routed_scaling_factor | factor on the weights                                         | 1              |
// | q_lora_rank, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim | latent attention | required   |

import Routing

extension Family {
  static let deepSeek = Family(modelType: "deepseek", defaults: ["rms_norm_eps": "1e-06", "norm_topk_prob": "false"]) { configuration in
    let sizes = try DecoderSizes(configuration)
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let feedForward = try sharedExperts(sizes, router: configuration.softmaxRouter(), hasBias: false)
    try configuration.require("scoring_func", "softmax", default: "softmax")
    return sizes.model("deepseek") {
      sizes.block(layer: $0, sizes.attention(layer: $0, rotary: rotary, bias: bias), feedForward($0))
    }
  }

  static let deepSeekV2 = Family(
    modelType: "deepseek_v2", defaults: ["n_shared_experts": "2", "q_lora_rank": "1536", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(latent: configuration)
    let router = try greedyRouter(configuration)
    // The reference never renormalises, whatever this says.
    _ = try configuration.flag("norm_topk_prob", default: false)
    let attention = try latentAttention(sizes, interleaved: true)
    let feedForward = try sharedExperts(sizes, router: router, hasBias: false)
    return sizes.model("deepseek_v2") { sizes.block(layer: $0, attention($0, "self_attn."), feedForward($0)) }
  }

  /// The router of DeepSeek-V2: softmax over all experts, of the best groups alone where the file says so, never renormalised.
  static func greedyRouter(_ configuration: Configuration) throws -> RouterSpec {
    let method = try configuration.text("topk_method", default: "greedy")
    var router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("n_routed_experts"), renormalised: false)
    router.routedScale = Float(try configuration.number("routed_scaling_factor", default: 1))
    let groups = try configuration.groups(score: .maximum, fill: .zero)
    switch method {
    case "greedy": break
    case "group_limited_greedy": router.groupLimit = groups
    default:
      throw configuration.refused("topk_method", found: "\"\(method)\"", supported: "\"greedy\", \"group_limited_greedy\"")
    }
    try configuration.require("scoring_func", "softmax", default: "softmax")
    return router
  }

  private static let defaultsOfV3 = [
    "n_shared_experts": "1", "routed_scaling_factor": "2.5", "q_lora_rank": "1536", "n_group": "8", "topk_group": "4",
    "first_k_dense_replace": "3", "rms_norm_eps": "1e-06",
  ]

  static let deepSeekV3 = Family(modelType: "deepseek_v3", defaults: defaultsOfV3) { try latentSigmoid("deepseek_v3", $0) }
  /// Kimi-K2 is published under this name, with the configuration class of DeepSeek-V3.
  static let kimiK2 = Family(modelType: "kimi_k2", defaults: defaultsOfV3) { try latentSigmoid("kimi_k2", $0) }
  /// A.X-K1 (SKT 2026): DeepSeek-V3 with a norm behind each routed half.
  static let axK1 = Family(modelType: "axk1", defaults: defaultsOfV3.merging(["first_k_dense_replace": "1"]) { $1 }) {
    try latentSigmoid("axk1", $0, normsRoutedOutput: true)
  }
  /// Sarvam-105B (Sarvam AI 2026): DeepSeek-V3 without a narrow layer for queries, under the field names of Ling.
  static let sarvamMLA = Family(
    modelType: "sarvam_mla",
    defaults: ["routed_scaling_factor": "2.5", "num_shared_experts": "1", "first_k_dense_replace": "1", "rms_norm_eps": "1e-06"]
  ) { configuration in
    try configuration.require("score_function", "sigmoid", default: "sigmoid")
    try configuration.requireSet("moe_router_enable_expert_bias")
    configuration.disregard(["default_theta", "q_head_dim", "use_qk_norm", "router_dtype", "embedding_dropout", "output_dropout"])
    // What the published file is silent about: weights are always divided by their sum, and all experts are one group.
    if configuration.isThere("norm_topk_prob") { try configuration.requireSet("norm_topk_prob") }
    var router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("num_experts", "n_routed_experts"),
      normalization: .sum(epsilon: 1e-20), scale: try configuration.number("routed_scaling_factor", default: 2.5))
    router.groupLimit = try configuration.groups(score: .sumOfTopTwo, fill: .negativeInfinity)
    return try latentSigmoid("sarvam_mla", configuration, router: router)
  }
  /// DeepSeek-V3.2: a scorer beside each attention chooses which earlier tokens it sees.
  static let deepSeekV32 = Family(modelType: "deepseek_v32", defaults: defaultsOfV3.merging(defaultsOfIndex) { $1 }) {
    try latentSigmoid("deepseek_v32", $0, indexTurns: .halves)
  }
  /// GLM-5; GLM-5.2 has layers that take over an earlier one's choice.
  static let glmMoEDSA = Family(
    modelType: "glm_moe_dsa",
    defaults: [
      "n_shared_experts": "1", "routed_scaling_factor": "2.5", "q_lora_rank": "2048", "first_k_dense_replace": "3", "rms_norm_eps": "1e-05",
      "index_n_heads": "32",
    ].merging(defaultsOfIndex) { first, _ in first }
  ) { try latentSigmoid("glm_moe_dsa", $0, indexTurns: .pairs) }
  private static let defaultsOfIndex = ["index_n_heads": "64", "index_head_dim": "128", "index_topk": "2048"]

  static let glm4MoELite = Family(
    modelType: "glm4_moe_lite",
    defaults: [
      "n_shared_experts": "1", "routed_scaling_factor": "1.8", "q_lora_rank": "768", "first_k_dense_replace": "1", "rms_norm_eps": "1e-05",
    ]
  ) { try latentSigmoid("glm4_moe_lite", $0) }

  /// Which elements of the scorer's queries and keys turn together.
  enum IndexTurns { case halves, pairs }

  private static func latentSigmoid(
    _ family: String, _ configuration: Configuration, router: RouterSpec? = nil, indexTurns: IndexTurns? = nil,
    normsRoutedOutput: Bool = false
  ) throws -> ModelPlan {
    let sizes = try DecoderSizes(latent: configuration)
    let isInterleaved = try configuration.flag("rope_interleave", default: true)
    let attention = try latentAttention(sizes, interleaved: isInterleaved)
    let feedForward = try sharedExperts(sizes, router: router ?? configuration.sigmoidRouter(), hasBias: true)
    let index = try indexTurns.map { try tokenIndex(sizes, $0) }
    return sizes.model(family) { layer in
      var latent = attention(layer, "self_attn.")
      latent.index = index?(layer, latent.rotary)
      var block = sizes.block(layer: layer, latent, feedForward(layer))
      if normsRoutedOutput, block.sublayers[1].operation is ExpertsPlan {
        block.sublayers[1].outputNorm = sizes.rms(sizes.prefix(layer) + "post_mlp_layernorm")
      }
      return block
    }
  }

  /// The scorer of each layer, or whose choice it takes over.
  ///
  /// - Parameters:
  ///   - turnsLast: whether the last elements of its heads turn, and not the first.
  ///   - epsilon: of the norm on its keys.
  static func tokenIndex(
    _ sizes: DecoderSizes, _ turns: IndexTurns, turnsLast: Bool = false, epsilon: Double = 1e-6
  ) throws -> (Int, RotaryPlan?) -> LatentAttentionPlan.Index? {
    let configuration = sizes.configuration
    let (heads, size) = (try configuration.count("index_n_heads"), try configuration.count("index_head_dim"))
    let topK = try configuration.count("index_topk")
    let isOwn = try configuration.ownIndices(sizes.layerCount)
    if try configuration.flag("indexer_rope_interleave", default: turns == .pairs) != (turns == .pairs) {
      throw configuration.refused("indexer_rope_interleave", found: "\(turns != .pairs)", supported: "\(turns == .pairs)")
    }
    if let types = try configuration.layerTypes(count: sizes.layerCount), types.contains(where: { $0 != "indexed_attention" }) {
      throw configuration.refused("layer_types", found: "other layers", supported: "indexed_attention")
    }
    configuration.disregard(["index_share_for_mtp_iteration", "moe_router_dtype"])
    return { layer, rotary in
      guard isOwn[layer], var rotary else { return .earlier(topK: topK) }
      rotary.isInterleaved = turns == .pairs
      let prefix = sizes.prefix(layer) + "self_attn.indexer."
      return .own(
        TokenIndexPlan(
          headCount: heads, headSize: size, topK: topK, query: LinearPlan(prefix: prefix + "wq_b"), key: LinearPlan(prefix: prefix + "wk"),
          keyNorm: .layer("\(prefix)k_norm.weight", bias: "\(prefix)k_norm.bias", epsilon),
          weights: LinearPlan(prefix: prefix + "weights_proj"), rotary: rotary, turnsLast: turnsLast))
    }
  }

  /// Latent attention by block and by the name it has there.
  ///
  /// - Parameters:
  ///   - heatsQueries: whether queries grow with the position as the rotary settings say; there `partial_rotary_factor` is a share of the
  ///     whole head.
  ///   - turns: whether positions are encoded at all.
  ///   - output: the name of the projection behind the heads.
  static func latentAttention(
    _ sizes: DecoderSizes, interleaved: Bool, heatsQueries: Bool = false, turns: Bool = true, output: String = "o_proj"
  ) throws -> (Int, String) -> LatentAttentionPlan {
    let configuration = sizes.configuration
    let plain = try configuration.count("qk_nope_head_dim")
    let rotated = try configuration.count("qk_rope_head_dim")
    let value = try configuration.count("v_head_dim")
    let latent = try configuration.count("kv_lora_rank")
    let queryRank = try configuration.optionalCount("q_lora_rank")
    let bias = try configuration.flag("attention_bias", default: false)
    var settings: RotarySettings?
    if heatsQueries {
      settings = try configuration.rotarySettings(
        headSize: plain + rotated, defaultShare: Double(rotated) / Double(plain + rotated), isInterleaved: interleaved, heatsQueries: true)
    } else if turns {
      settings = try configuration.rotarySettings(headSize: rotated, isInterleaved: interleaved)
    } else {
      // Nothing turns, whatever these say.
      configuration.disregard(["rope_theta", "rope_scaling", "rope_parameters"])
    }
    if let found = settings?.plan.rotatedSize, found != rotated {
      throw configuration.refused(
        "partial_rotary_factor", found: "\(found) of \(plain + rotated) elements", supported: "qk_rope_head_dim, which is \(rotated)")
    }
    let magnitude = settings?.attentionMagnitude ?? 1
    let scale = Float(magnitude * magnitude / Double(plain + rotated).squareRoot())
    return { layer, name in
      let prefix = sizes.prefix(layer) + name
      return LatentAttentionPlan(
        headCount: sizes.headCount, plainSize: plain, rotatedSize: rotated, valueSize: value, latentSize: latent,
        queryDown: queryRank.map { _ in LinearPlan(prefix: prefix + "q_a_proj", bias: bias) },
        queryNorm: queryRank.map { _ in .rms("\(prefix)q_a_layernorm.weight", 1e-6) }, queryDownSize: queryRank ?? 0,
        query: LinearPlan(prefix: prefix + (queryRank == nil ? "q_proj" : "q_b_proj")),
        latent: LinearPlan(prefix: prefix + "kv_a_proj_with_mqa", bias: bias), latentNorm: .rms("\(prefix)kv_a_layernorm.weight", 1e-6),
        unfold: "\(prefix)kv_b_proj.weight", output: LinearPlan(prefix: prefix + output, bias: bias),
        rotary: settings?.plan, scale: scale, temperature: settings?.temperature)
    }
  }

  /// Dense blocks first, then routed ones with shared experts under `mlp.`.
  ///
  /// - Parameter isFused: whether the routed experts of a layer lie in two tensors.
  static func sharedExperts(
    _ sizes: DecoderSizes, router: RouterSpec, hasBias: Bool, bias: String = "gate.e_score_correction_bias", hasDenseBlocks: Bool = true,
    isFused: Bool = false
  ) throws -> (Int) -> any OperationPlan {
    let configuration = sizes.configuration
    let width = try configuration.count("moe_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let sharedCount = try configuration.optionalCount("n_shared_experts", "num_shared_experts") ?? 0
    let types = try configuration.layerTypes("mlp_layer_types", count: sizes.layerCount)
    // Where a list says which blocks are dense, a number that is not there is not missed.
    let isCounted = types == nil || configuration.isThere("first_k_dense_replace") || configuration.isThere("first_last_k_dense_replace")
    let declaredBlocks = isCounted ? try configuration.denseBlocks() : 0
    let denseBlocks = hasDenseBlocks ? declaredBlocks : 0
    let frequency = try configuration.count("moe_layer_freq", default: 1)
    if frequency != 1 { throw configuration.refused("moe_layer_freq", found: "\(frequency)", supported: "1") }
    if try configuration.flag("mlp_bias", default: false) { throw configuration.refused("mlp_bias", found: "true", supported: "false") }
    let isDense = (0..<sizes.layerCount).map { layer in types.map { $0[layer] == "dense" } ?? (layer < denseBlocks) }
    try configuration.requireRouted("is_moe_layer", isDense.map { !$0 })
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense)
    let hidden = sizes.hiddenSize
    return { layer in
      let prefix = sizes.prefix(layer) + "mlp."
      if isDense[layer] { return GatedPlan.projections(prefix, denseWidth) }
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"),
        expert: {
          guard isFused else { return .projections(prefix + "experts.\($0).", width) }
          return .fused(
            prefix + "experts.gate_up_proj", prefix + "experts.down_proj", width: width, hidden: hidden,
            expert: ($0, router.expertCount))
        })
      if hasBias { experts.correctionBias = VectorPlan(prefix + bias) }
      if sharedCount > 0 {
        experts.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_experts.", sharedCount * width))]
      }
      return experts
    }
  }
}

extension DecoderSizes {
  /// Head sizes are those of the latent attention; `head_dim` only repeats one of them.
  init(latent configuration: Configuration) throws {
    try self.init(configuration, headSize: configuration.count("qk_rope_head_dim"))
    _ = configuration.value("head_dim", "qk_head_dim")
    _ = configuration.value("num_nextn_predict_layers")
  }
}

extension Configuration {
  /// How many first blocks are dense; the other spelling is that of EXAONE-MoE's first configurations.
  fileprivate func denseBlocks() throws -> Int {
    let declared = try wholeNumber("first_k_dense_replace", "first_last_k_dense_replace", default: 0)
    guard isThere("first_last_k_dense_replace") else { return declared }
    let again = try wholeNumber("first_last_k_dense_replace", default: declared)
    if again != declared {
      throw refused("first_last_k_dense_replace", found: "\(again)", supported: "first_k_dense_replace, which is \(declared)")
    }
    return declared
  }

  /// `n_group` and `topk_group`; nil when every group is kept.
  func groups(score: RouterSpec.GroupLimit.GroupScore, fill: RouterSpec.GroupLimit.Fill) throws -> RouterSpec.GroupLimit? {
    let groups = try optionalCount("n_group", "num_expert_group") ?? 1
    let kept = try optionalCount("topk_group") ?? 1
    return groups == kept ? nil : RouterSpec.GroupLimit(groupCount: groups, topKGroups: kept, groupScore: score, fill: fill)
  }

  /// Of each layer whether it chooses by itself: by a list, by letters, or every n-th.
  fileprivate func ownIndices(_ count: Int) throws -> [Bool] {
    disregard(["index_topk_pattern", "index_topk_freq", "index_skip_topk_offset"])
    let names = try layerTypes("indexer_types", count: count) ?? value("index_topk_pattern")?.string?.map { String($0) }
    let offset = try wholeNumber("index_skip_topk_offset", default: 2)
    let frequency = try self.count("index_topk_freq", default: 1)
    guard let names else { return (0..<count).map { max($0 - offset + 1, 0) % frequency == 0 } }
    let kinds = ["full": true, "F": true, "shared": false, "S": false]
    guard names.count == count, names.first.flatMap({ kinds[$0] }) == true, names.allSatisfy({ kinds[$0] != nil }) else {
      throw ModelError.configuration(
        file: file, key: "indexer_types", expected: "\(count) times full or shared, the first full", found: "\(names.prefix(4))")
    }
    return names.map { kinds[$0] == true }
  }

  /// The router of DeepSeek-V3 without its bias, which is a tensor.
  func sigmoidRouter() throws -> RouterSpec {
    let experts = try count("n_routed_experts", "num_experts", "num_local_experts")
    let topK = try count("num_experts_per_tok", "num_experts_per_token")
    let scale = try number("routed_scaling_factor", default: 1)
    // dots.llm1 names the method of selection in both places.
    let scoring = try text("scoring_func", "moe_router_activation_func", default: "sigmoid")
    if !["noaux_tc", "sigmoid"].contains(scoring) { throw refused("scoring_func", found: "\"\(scoring)\"", supported: "\"sigmoid\"") }
    try require("topk_method", "noaux_tc", default: "noaux_tc")
    let isNormalised = try flag("norm_topk_prob", "moe_renormalize", default: true)
    var router = RouterSpec.sigmoidTopK(topK, of: experts, normalization: isNormalised ? .sum(epsilon: 1e-20) : .none, scale: scale)
    router.groupLimit = try groups(score: .sumOfTopTwo, fill: .negativeInfinity)
    return router
  }
}
