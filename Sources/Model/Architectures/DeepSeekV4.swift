// DeepSeek-V4 (2026): experts scored by the root of softplus, with a bias that steers selection only; in the first layers they are looked up by
// token id. Several residual streams; one vector a token as key and value of all heads, seen as it is within a window and compressed beyond.
//
// | key                        | meaning                                                                  | default      |
// |----------------------------|--------------------------------------------------------------------------|--------------|
// | layer_types, or compress_ratios | a layer: a window (0), and beyond it chosen (4) or all (128) entries | required     |
// | compress_rates.TYPE, compress_rate_csa, compress_rate_hca | tokens of an entry                        | 4, 128       |
// | mlp_layer_types, or num_hash_layers | whether a layer looks experts up                                | first 3 do   |
// | index_n_heads, index_head_dim, index_topk | the scorer of entries                                     | 64, 128, 512 |
// | o_groups, o_lora_rank      | groups of heads, and what each is narrowed to                            | 8, 1024      |
// | hc_mult, hc_sinkhorn_iters, hc_eps | residual streams, and how their mixture is balanced              | 4, 20, 1e-6  |
// | swiglu_limit               | clamp of gate (above) and up (both sides) of every expert                | 10           |
// | rope_theta, compress_rope_theta, rope_scaling | rotary base of window layers; of the others, with yarn | 1e4, 1.6e5   |
// | qk_rope_head_dim, or partial_rotary_factor | the last elements of a head, which turn                  | 1/8 of them  |

import Routing

extension Family {
  static let deepSeekV4 = Family(
    modelType: "deepseek_v4",
    defaults: [
      "num_hash_layers": "3", "index_n_heads": "64", "index_head_dim": "128", "index_topk": "512", "o_groups": "8", "o_lora_rank": "1024",
      "q_lora_rank": "1024", "hc_mult": "4", "hc_sinkhorn_iters": "20", "hc_eps": "1e-06", "swiglu_limit": "10.0", "head_dim": "512",
      "num_key_value_heads": "1", "sliding_window": "128", "routed_scaling_factor": "1.5", "compress_rope_theta": "160000.0",
      "rms_norm_eps": "1e-06",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let connection = try hyperConnections(sizes)
    let (attention, feedForward) = (try compressedAttention(sizes), try hashedExperts(sizes))
    var model = sizes.model("deepseek_v4", finalNorm: sizes.rms("norm")) { layer in
      let prefix = "layers.\(layer)."
      var mixer = SublayerPlan(sizes.rms(prefix + "attn_norm"), attention(layer, prefix + "attn."))
      var experts = SublayerPlan(sizes.rms(prefix + "ffn_norm"), feedForward(layer, prefix + "ffn."))
      (mixer.connection, experts.connection) = (connection(prefix + "hc_attn_"), connection(prefix + "hc_ffn_"))
      return BlockPlan([mixer, experts])
    }
    model.embedding = "embed.weight"
    model.outputHead = LinearPlan("head.weight")
    if sizes.isTied { model.outputHead.weight.alternatives = [model.embedding] }
    let whole = connection("hc_head_")
    model.streamCount = whole.streams
    model.decoder.join = HyperJoinPlan(
      streams: whole.streams, function: whole.function, base: whole.base, scale: whole.scale, epsilon: whole.epsilon,
      normEpsilon: whole.normEpsilon)
    let streams = Dictionary(uniqueKeysWithValues: ["fn", "base", "scale"].map { ("hc_head_\($0)", "model.hc_head.hc_\($0)") })
    let bias = [".gate.e_score_correction_bias": ".gate.bias"]
    model.spellings = [
      NameSpelling(endings: bias),
      // As transformers saves it.
      NameSpelling(
        whole: streams.merging(["embed.weight": "model.embed_tokens.weight", "head.weight": "head.weight"]) { $1 }, prefix: "model.",
        endings: bias.merging([".attn.kv_norm.weight": ".attn.norm.weight"]) { $1 }),
    ]
    configuration.disregard(["num_nextn_predict_layers", "expert_dtype"])
    return model
  }

  private static func hyperConnections(_ sizes: DecoderSizes) throws -> (String) -> HyperConnectionPlan {
    let configuration = sizes.configuration
    let (streams, rounds) = (try configuration.count("hc_mult"), try configuration.count("hc_sinkhorn_iters"))
    let epsilon = Float(try configuration.positive("hc_eps", default: 1e-6))
    return { prefix in
      HyperConnectionPlan(
        streams: streams, function: MatrixPlan(prefix + "fn"), base: VectorPlan(prefix + "base"), scale: VectorPlan(prefix + "scale"),
        iterations: rounds, epsilon: epsilon, normEpsilon: Float(sizes.epsilon))
    }
  }

  private static func hashedExperts(_ sizes: DecoderSizes) throws -> (Int, String) -> ExpertsPlan {
    let configuration = sizes.configuration
    let topK = try configuration.count("num_experts_per_tok")
    let width = try configuration.count("moe_intermediate_size")
    let limit = Float(try configuration.positive("swiglu_limit", default: 10))
    let isHashed = try configuration.hashedLayers(sizes.layerCount)
    let scored = RouterSpec(
      expertCount: try configuration.count("n_routed_experts", "num_local_experts"), scoring: .sqrtSoftplus,
      selection: .tokenChoice(topK: topK), normalization: .sum(epsilon: 1e-20),
      routedScale: Float(try configuration.number("routed_scaling_factor", default: 1.5)))
    try configuration.require("scoring_func", "sqrtsoftplus", default: "sqrtsoftplus")
    try configuration.require("topk_method", "noaux_tc", default: "noaux_tc")
    // The reference always divides, whatever this says.
    _ = try configuration.flag("norm_topk_prob", default: true)
    if try configuration.flag("mlp_bias", default: false) { throw configuration.refused("mlp_bias", found: "true", supported: "false") }
    let shared = try configuration.count("n_shared_experts", default: 1)
    if shared != 1 { throw configuration.refused("n_shared_experts", found: "\(shared)", supported: "1") }
    @Sendable func expert(_ prefix: String) -> GatedPlan {
      var plan = GatedPlan.numbered(prefix, width)
      plan.activation = .clampedSilu(limit: limit)
      return plan
    }
    return { layer, prefix in
      var router = scored
      if isHashed[layer] { router.selection = .hash(topK: topK) }
      var experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { expert("\(prefix)experts.\($0).") })
      if isHashed[layer] {
        experts.table = ExpertTablePlan(tensor: prefix + "gate.tid2eid", rows: sizes.vocabularySize)
      } else {
        experts.correctionBias = VectorPlan(prefix + "gate.e_score_correction_bias")
      }
      experts.shared = [ExpertsPlan.Shared(expert: expert(prefix + "shared_experts."))]
      return experts
    }
  }
}
