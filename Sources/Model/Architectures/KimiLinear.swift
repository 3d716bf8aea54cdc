// Kimi Linear (arXiv:2510.26692) and Ling 3.0 (inclusionAI 2026): linear attention that fades element by element in most layers, latent
// attention in the others, the router of DeepSeek-V3.
//
// | key                      | meaning                                                    | default  |
// |--------------------------|------------------------------------------------------------|----------|
// | layer_types              | linear_attention or full_attention                         | by the lists or the interval below |
// | linear_attn_config       | Kimi: kda_layers and full_attn_layers counted from 1, num_heads, head_dim, short_conv_kernel_size | - |
// | layer_group_size         | Ling: every n-th layer is latent attention                 | 6        |
// | linear_num_heads, linear_head_dim, linear_conv_kernel_dim | sizes of the linear attention | required (Kimi); num_attention_heads, head_dim, short_conv_kernel_size |
// | kda_safe_gate, kda_lower_bound | Ling: the logarithm of a factor is bound * sigmoid, or -rate * softplus | true, -5 |
// | mla_use_nope             | Kimi: latent attention without positions                   | true     |
// | mlp_layer_types, first_k_dense_replace | which layers are dense                       | the first, the first two |
// | num_experts, num_experts_per_token, num_expert_group, topk_group, moe_renormalize, num_shared_experts | as in DeepSeek.swift | - |

import Routing

extension Family {
  static let kimiLinear = Family(
    modelType: "kimi_linear",
    defaults: ["num_shared_experts": "1", "routed_scaling_factor": "2.446", "rms_norm_eps": "1e-05", "first_k_dense_replace": "1"]
  ) { configuration in
    let sizes = try DecoderSizes(latent: configuration)
    let linear = try LinearSizes(kimi: configuration, layers: sizes.layerCount)
    try configuration.requireSet("mla_use_nope", "use_grouped_topk")
    let attention = try latentAttention(sizes, interleaved: true, turns: false)
    let feedForward = try hybridHalves(sizes, "block_sparse_moe.", bias: "gate.e_score_correction_bias") { .numbered($0, $1) }
    return sizes.model("kimi_linear") { layer in
      let prefix = sizes.prefix(layer) + "self_attn."
      guard linear.isLinear[layer] else { return sizes.block(layer: layer, attention(layer, "self_attn."), feedForward(layer)) }
      var delta = linear.plan(prefix, norm: sizes.rms(prefix + "o_norm"), output: "o_proj")
      delta.logRate.storedShape = [1, 1, linear.headCount, 1]
      delta.decay = .init(
        down: LinearPlan(prefix: prefix + "f_a_proj"), downSize: linear.headSize, up: LinearPlan(prefix: prefix + "f_b_proj"))
      delta.gate = .init(
        down: LinearPlan(prefix: prefix + "g_a_proj"), downSize: linear.headSize, up: LinearPlan(prefix: prefix + "g_b_proj"))
      return sizes.block(layer: layer, delta, feedForward(layer))
    }
  }

  static let bailingHybrid = Family(
    modelType: "bailing_hybrid",
    defaults: [
      "num_shared_experts": "1", "num_expert_group": "8", "topk_group": "4", "routed_scaling_factor": "2.5", "rms_norm_eps": "1e-06",
      "first_k_dense_replace": "2",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(latent: configuration)
    let linear = try LinearSizes(bailing: configuration, sizes)
    let bound = try configuration.flag("kda_safe_gate", default: true) ? configuration.number("kda_lower_bound", default: -5) : nil
    configuration.disregard(["kda_lower_bound", "mtp_loss_scaling_factor", "rope_interleave"])
    let attention = try latentAttention(sizes, interleaved: true, output: "dense")
    let feedForward = try hybridHalves(sizes, "mlp.", bias: "gate.expert_bias") { .projections($0, $1) }
    var model = sizes.model("bailing_hybrid") { layer in
      let prefix = sizes.prefix(layer) + "attention."
      guard linear.isLinear[layer] else {
        var latent = attention(layer, "attention.")
        latent.outputGate = OutputGatePlan(linear: LinearPlan(prefix: prefix + "g_proj"), form: .init(isPerHead: true))
        return sizes.block(layer: layer, latent, feedForward(layer))
      }
      var delta = linear.plan(prefix, norm: sizes.rms(prefix + "o_norm"), output: "dense")
      delta.bound = bound.map { Float($0) }
      return sizes.block(layer: layer, delta, feedForward(layer))
    }
    model.embedding = "model.word_embeddings.weight"
    if sizes.isTied { model.outputHead = LinearPlan(.tiedHead(model.embedding)) }
    return model
  }

  /// Dense halves under `mlp.` first, then routed ones.
  ///
  /// - Parameters:
  ///   - routed: where routed halves lie in their layer.
  ///   - expert: the projections of a routed expert, by prefix and width.
  private static func hybridHalves(
    _ sizes: DecoderSizes, _ routed: String, bias: String, expert: @escaping @Sendable (String, Int) -> GatedPlan
  ) throws -> (Int) -> any OperationPlan {
    let configuration = sizes.configuration
    let router = try configuration.sigmoidRouter()
    let width = try configuration.count("moe_intermediate_size")
    let sharedCount = try configuration.wholeNumber("num_shared_experts", "n_shared_experts", default: 1)
    let types = try configuration.layerTypes("mlp_layer_types", count: sizes.layerCount)
    let denseBlocks = try configuration.wholeNumber("first_k_dense_replace", default: 1)
    let isDense = (0..<sizes.layerCount).map { layer in types.map { $0[layer] == "dense" } ?? (layer < denseBlocks) }
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense)
    if try configuration.count("moe_layer_freq", default: 1) != 1 {
      throw configuration.refused("moe_layer_freq", found: "another", supported: "1")
    }
    return { layer in
      let prefix = sizes.prefix(layer)
      // The reference saves dense halves under the name of routed ones too.
      if isDense[layer] { return GatedPlan.projections(prefix + "mlp.", denseWidth).or(.projections(prefix + routed, denseWidth)) }
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + routed + "gate"),
        expert: { expert("\(prefix)\(routed)experts.\($0).", width) })
      experts.correctionBias = VectorPlan(prefix + routed + bias)
      if sharedCount > 0 {
        experts.shared = [ExpertsPlan.Shared(expert: .projections(prefix + routed + "shared_experts.", sharedCount * width))]
      }
      return experts
    }
  }
}

/// Which layers are linear attention, and its sizes.
private struct LinearSizes {
  var isLinear: [Bool]
  var headCount: Int
  var headSize: Int
  var reach: Int

  private static let names = ["linear_attention": true, "full_attention": false]

  init(kimi configuration: Configuration, layers: Int) throws {
    guard configuration.isThere("linear_attn_config") else {
      isLinear = try configuration.layerKinds(Self.names, count: layers, default: { $0 == 0 || $0 % 4 != 0 })
      headCount = try configuration.count("linear_num_heads")
      headSize = try configuration.count("linear_head_dim")
      reach = try configuration.count("linear_conv_kernel_dim", default: 4)
      return
    }
    let section = try configuration.section("linear_attn_config", irrelevant: [])
    headCount = try section.count("num_heads")
    headSize = try section.count("head_dim")
    reach = try section.count("short_conv_kernel_size", default: 4)
    let (linear, full) = (Set(try section.counts("kda_layers")), Set(try section.counts("full_attn_layers")))
    guard linear.isDisjoint(with: full), linear.union(full) == Set(1...layers) else {
      throw ModelError.configuration(
        file: section.file, key: "kda_layers", expected: "with full_attn_layers each layer from 1 to \(layers) once", found: "others")
    }
    try section.finish()
    configuration.disregard(["layer_types"])
    isLinear = (1...layers).map { linear.contains($0) }
  }

  init(bailing configuration: Configuration, _ sizes: DecoderSizes) throws {
    let group = try configuration.count("layer_group_size", default: 6)
    isLinear = try configuration.layerKinds(Self.names, count: sizes.layerCount, default: { ($0 + 1) % group != 0 })
    headCount = try configuration.count("linear_num_heads", default: sizes.headCount)
    headSize = try configuration.optionalCount("linear_head_dim") ?? configuration.count("head_dim", default: 128)
    reach = try configuration.optionalCount("linear_conv_kernel_dim") ?? configuration.count("short_conv_kernel_size", default: 4)
    configuration.disregard(["short_conv_kernel_size"])
  }

  /// With projections of the decay and the gate in one matrix each.
  func plan(_ prefix: String, norm: NormPlan, output: String) -> ChannelDeltaPlan {
    func input(_ name: String) -> (linear: LinearPlan, convolution: ConvolutionPlan) {
      (
        LinearPlan(prefix: prefix + name + "_proj"),
        ConvolutionPlan(channels: headCount * headSize, width: reach, weight: prefix + name + "_conv1d.weight")
      )
    }
    return ChannelDeltaPlan(
      headCount: headCount, headSize: headSize, query: input("q"), key: input("k"), value: input("v"),
      strength: LinearPlan(prefix: prefix + "b_proj"), decay: .init(up: LinearPlan(prefix: prefix + "f_proj")),
      logRate: VectorPlan(prefix + "A_log"), stepBias: VectorPlan(prefix + "dt_bias"),
      gate: .init(up: LinearPlan(prefix: prefix + "g_proj")), norm: norm, output: LinearPlan(prefix: prefix + output))
  }
}
