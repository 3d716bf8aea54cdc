// Hy4 (Tencent 2026): DeepSeek-V3.2 with sinks in its attention, a gate on what the heads give, clamped routed experts, and several residual
// streams that are never mixed: each half reads a weighed sum of them and adds its output to each by a weight of its own.
//
// | key                     | meaning                                                           | default        |
// |-------------------------|-------------------------------------------------------------------|----------------|
// | hc_mult, hc_magnitude, hc_eps | residual streams; the most that a weight of the output is; added to weights | 4, 2, 1e-6 |
// | swiglu_limit            | clamp of gate (above) and up (both sides) of routed experts       | 10             |
// | index_n_heads, index_head_dim, index_topk | the scorer of earlier tokens, as in DeepSeek.swift; its last elements turn | 16, 128, 2048 |
// | indexer_types           | full, or shared: the choice of the last full one                  | the first, and each 4th from the second on |
// All else is as in DeepSeek.swift. Tensors have their published names, or those that transformers gives them.

import Routing

extension Family {
  static let hunYuanV4 = Family(
    modelType: "hy_v4",
    defaults: [
      "n_shared_experts": "1", "routed_scaling_factor": "2.827", "q_lora_rank": "1536", "first_k_dense_replace": "1",
      "rms_norm_eps": "1e-05",
      "index_n_heads": "16", "index_head_dim": "128", "index_topk": "2048", "index_topk_freq": "4", "hc_mult": "4", "hc_magnitude": "2.0",
      "hc_eps": "1e-06", "swiglu_limit": "10.0",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(latent: configuration)
    let attention = try latentAttention(sizes, interleaved: false)
    let index = try tokenIndex(sizes, .halves, turnsLast: true, epsilon: sizes.epsilon)
    let feedForward = try clampedExperts(sizes)
    let connection = try unmixedConnections(sizes)
    configuration.disregard(["learnable_sink_init"])
    var model = sizes.model("hy_v4") { layer in
      let prefix = sizes.prefix(layer)
      var latent = attention(layer, "self_attn.")
      latent.index = index(layer, latent.rotary)
      latent.sinks = VectorPlan(prefix + "self_attn.learnable_sink_param", or: prefix + "self_attn.sinks")
      latent.outputGate = OutputGatePlan(linear: linearGate(prefix + "self_attn."))
      var block = sizes.block(layer: layer, latent, feedForward(layer))
      block.sublayers[0].connection = connection(prefix, "hc_attn_layer", "attn_hc")
      block.sublayers[1].connection = connection(prefix, "hc_mlp_layer", "ffn_hc")
      return block
    }
    let (streams, epsilon) = (try configuration.count("hc_mult"), Float(try configuration.positive("hc_eps", default: 1e-6)))
    func head(_ part: String) -> [String] {
      ["model.hc_head.hc_head_", "model.hc_pre.hc_head.hc_head_", "model.hc_head.hc_"].map { $0 + part }
    }
    model.streamCount = streams
    model.decoder.join = HyperJoinPlan(
      streams: streams, function: MatrixPlan(anyOf: head("fn")), base: VectorPlan(anyOf: head("base")),
      scale: VectorPlan(anyOf: head("scale")),
      epsilon: epsilon, normEpsilon: Float(sizes.epsilon))
    return model
  }

  private static func unmixedConnections(_ sizes: DecoderSizes) throws -> (String, String, String) -> HyperConnectionPlan {
    let configuration = sizes.configuration
    let streams = try configuration.count("hc_mult")
    let magnitude = Float(try configuration.positive("hc_magnitude", default: 2))
    let epsilon = Float(try configuration.positive("hc_eps", default: 1e-6))
    return { prefix, published, own in
      func names(_ part: String) -> [String] {
        ["\(prefix)\(published).hc_pre.hc_\(part)", "\(prefix)hc_pre.\(published).hc_\(part)", "\(prefix)\(own).\(part)"]
      }
      return HyperConnectionPlan(
        streams: streams, function: MatrixPlan(anyOf: names("fn")), base: VectorPlan(anyOf: names("base")),
        scale: VectorPlan(anyOf: names("scale")), iterations: nil, outputFactor: magnitude, outputEpsilon: epsilon, epsilon: epsilon,
        normEpsilon: Float(sizes.epsilon))
    }
  }

  /// DeepSeek's halves with a clamp on routed experts, which lie in two tensors or in tensors of their own.
  private static func clampedExperts(_ sizes: DecoderSizes) throws -> (Int) -> any OperationPlan {
    let configuration = sizes.configuration
    let limit = Float(try configuration.positive("swiglu_limit", default: 10))
    let router = try configuration.sigmoidRouter()
    let halves = try sharedExperts(sizes, router: router, hasBias: true)
    let (width, hidden) = (try configuration.count("moe_intermediate_size"), sizes.hiddenSize)
    /// A gate that is always on may have the name of the gate in attention, where transformers saved it.
    @Sendable func renamed(_ plan: GatedPlan) -> GatedPlan {
      var plan = plan
      if let gate = plan.gate?.weight.tensor {
        plan.gate?.weight.alternatives = [MatrixPlan(gate.replacing(".gate_proj.", with: ".linear_gate."))]
      }
      return plan
    }
    return { layer in
      let half = halves(layer)
      guard var experts = half as? ExpertsPlan else { return (half as? GatedPlan).map(renamed) ?? half }
      let prefix = sizes.prefix(layer) + "mlp.experts"
      experts.expert = {
        .ownOrFused(prefix, $0, of: router.expertCount, width: width, hidden: hidden).activated(.clampedSilu(limit: limit))
      }
      experts.shared = experts.shared.map { .init(expert: renamed($0.expert)) }
      return experts
    }
  }

  private static func linearGate(_ prefix: String) -> LinearPlan {
    LinearPlan(MatrixPlan(anyOf: ["\(prefix)linear_gate.weight", "\(prefix)gate_proj.weight"]))
  }
}

extension MatrixPlan {
  /// - Precondition: at least one name.
  fileprivate init(anyOf names: [String]) {
    self.init(names[0])
    alternatives = names.dropFirst().map { MatrixPlan($0) }
  }
}

extension VectorPlan {
  /// - Precondition: at least one name.
  fileprivate init(anyOf names: [String]) {
    self.init(names[0])
    alternatives = Array(names.dropFirst())
  }
}
