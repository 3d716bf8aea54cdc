// Llama 4, text (Meta 2025): one expert a token whose weight, a sigmoid, multiplies the expert's input; a shared expert; attention in
// chunks, and layers without positions whose queries grow with the position.
//
// | key                        | meaning                                               | default   |
// |----------------------------|-------------------------------------------------------|-----------|
// | num_local_experts          | experts a layer                                       | required  |
// | num_experts_per_tok        | topK                                                  | 1         |
// | intermediate_size          | width of an expert and of the shared one              | required  |
// | intermediate_size_mlp      | width of a dense block                                | with dense  |
// | interleave_moe_layer_step  | every n-th block is routed; moe_layers lists them     | 1         |
// | no_rope_layers             | 1 where positions are encoded                         | all but every 4th |
// | attention_chunk_size       | positions a token may look back to, by whole chunks   | 8192      |
// | use_qk_norm                | L2 norm on heads, behind the rotation                 | true      |
// | attn_temperature_tuning, floor_scale, attn_scale | queries of layers without positions | true, 8192, 0.1 |

import Routing

extension Family {
  static let llama4Text = Family(
    modelType: "llama4_text",
    defaults: ["num_key_value_heads": "8", "head_dim": "128", "attention_chunk_size": "8192", "rms_norm_eps": "1e-05"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let experts = try configuration.count("num_local_experts")
    let router = RouterSpec(
      expertCount: experts, scoring: .logits, selection: .tokenChoice(topK: try configuration.count("num_experts_per_tok", default: 1)),
      weighting: .sigmoidOfSelectedLogits, appliesTo: .input)
    let width = try configuration.count("intermediate_size")
    let hidden = sizes.hiddenSize
    let declaredWidth = try configuration.optionalCount("intermediate_size_mlp")
    let step = try configuration.count("interleave_moe_layer_step", default: 1)
    let listed = configuration.value("moe_layers") == nil ? nil : Set(try configuration.counts("moe_layers"))
    let isDense = (0..<sizes.layerCount).map { !(listed?.contains($0) ?? (($0 + 1) % step == 0)) }
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense, key: "intermediate_size_mlp")
    let interval = try configuration.count("no_rope_layer_interval", default: 4)
    let flags = try configuration.counts("no_rope_layers")
    let rotates = { (layer: Int) in layer < flags.count ? flags[layer] == 1 : (layer + 1) % interval != 0 }
    let chunk = try configuration.optionalCount("attention_chunk_size")
    let hasNorms = try configuration.flag("use_qk_norm", default: true)
    let bias = try configuration.flag("attention_bias", default: false)
    // Published as true, and as 4 by the configurations of the first days: anything but 0 is on.
    let tuning = configuration.value("attn_temperature_tuning")
    let isTuned = try tuning?.int64.map { $0 != 0 } ?? configuration.flag("attn_temperature_tuning", default: true)
    let temperature = TemperaturePlan(
      floor: Float(try configuration.positive("floor_scale", default: 8192)),
      scale: Float(try configuration.number("attn_scale", default: 0.1)))
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 500_000, isInterleaved: true)
    let types = try configuration.layerTypes(count: sizes.layerCount)
    return sizes.model("llama4_text") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotates(layer) ? rotary : nil, bias: bias)
      attention.chunk = (types.map { $0[layer] == "chunked_attention" } ?? rotates(layer)) ? chunk : nil
      if rotates(layer), hasNorms {
        let norm = HeadNormPlan(norm: .rms(nil, sizes.epsilon), scope: .head)
        (attention.queryNorm, attention.keyNorm, attention.normsFollowRotary) = (norm, norm, true)
      }
      if !rotates(layer), isTuned { attention.temperature = temperature }
      let prefix = sizes.prefix(layer) + "feed_forward."
      if isDense[layer] { return sizes.block(layer: layer, attention, GatedPlan.projections(prefix, denseWidth)) }
      var routed = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "router"),
        expert: { .transposed(prefix + "experts", $0, of: experts, width: width, hidden: hidden) })
      routed.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_expert.", width))]
      return sizes.block(layer: layer, attention, routed)
    }
  }
}
