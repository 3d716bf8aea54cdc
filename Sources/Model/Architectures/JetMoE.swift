// JetMoE (Shen et al. 2024, arXiv:2404.07413): two routers a layer. One picks the experts that project queries and outputs of the
// attention, the other the experts of the feed-forward half; both halves add a bias behind their experts.
//
// | key                 | meaning                                              | default  |
// |---------------------|------------------------------------------------------|----------|
// | num_local_experts   | experts of each router                               | required |
// | num_experts_per_tok | topK of each router                                  | required |
// | num_key_value_heads | heads of one attention expert                        | required |
// | kv_channels         | size of a head                                       | 128      |
// | intermediate_size   | width of one feed-forward expert                     | required |
// | rms_norm_eps        | of the final norm; the others have 1e-6              | 1e-6     |
// | num_attention_heads | follows from the heads of an expert and topK         |          |
// | moe_num_experts, moe_top_k, n_layer, n_positions, ffn_hidden_size | the same again     | agree    |
// | bias, glu, rotary_percent | true, true and 1: all that the reference computes     |          |

import Routing

extension Family {
  static let jetMoE = Family(modelType: "jetmoe", defaults: ["num_key_value_heads": "16", "rms_norm_eps": "1e-06"]) { configuration in
    let sizes = try DecoderSizes(configuration, tied: true, headSize: configuration.count("kv_channels", "head_dim", default: 128))
    try configuration.require("activation_function", "silu", default: "silu")
    let router = try RouterSpec.topKSoftmax(configuration.count("num_experts_per_tok"), of: configuration.count("num_local_experts"))
    let width = try configuration.count("intermediate_size")
    // Published configurations say most things a second time, in the words of the code that trained the model.
    for (key, known, name) in [
      ("moe_num_experts", router.expertCount, "num_local_experts"), ("moe_top_k", router.topK, "num_experts_per_tok"),
      ("n_layer", sizes.layerCount, "num_hidden_layers"), ("n_positions", sizes.contextLength, "max_position_embeddings"),
      ("ffn_hidden_size", width, "intermediate_size"),
    ] { try configuration.requireSame(key, as: known, named: name) }
    try configuration.requireSet("bias", "glu")
    try configuration.requireOne("rotary_percent")
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let hidden = sizes.hiddenSize
    return sizes.model("jetmoe") { layer in
      let prefix = sizes.prefix(layer)
      let experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "mlp.router.layer"),
        expert: {
          .fused(
            prefix + "mlp.input_linear.weight", prefix + "mlp.output_linear.weight", width: width, hidden: hidden,
            expert: ($0, router.expertCount))
        },
        outputBias: VectorPlan(prefix + "mlp.bias"))
      func norm(_ name: String) -> NormPlan { .rms(VectorPlan(prefix + name + ".weight"), 1e-6) }
      return BlockPlan([
        SublayerPlan(norm("input_layernorm"), mixture(sizes, router, rotary, layer)),
        SublayerPlan(norm("post_attention_layernorm"), experts),
      ])
    }
  }

  private static func mixture(_ sizes: DecoderSizes, _ router: RouterSpec, _ rotary: RotaryPlan, _ layer: Int) -> AttentionMixturePlan {
    let prefix = sizes.prefix(layer) + "self_attention."
    let (heads, hidden) = (sizes.keyValueHeadCount, sizes.hiddenSize)
    let width = heads * sizes.headSize
    func keyValue(_ first: Int) -> LinearPlan {
      LinearPlan(MatrixPlan(prefix + "kv_proj.weight", storedShape: [2 * width, hidden], firstRow: first))
    }
    return AttentionMixturePlan(
      router: router, routerLinear: LinearPlan(prefix: prefix + "experts.router.layer"), headCount: heads, headSize: sizes.headSize,
      query: {
        LinearPlan(
          MatrixPlan(prefix + "experts.input_linear.weight", storedShape: [router.expertCount, width, hidden], firstRow: $0 * width))
      },
      output: {
        LinearPlan(
          MatrixPlan(prefix + "experts.output_linear.weight", storedShape: [router.expertCount, hidden, width], firstRow: $0 * hidden))
      },
      key: keyValue(0), value: keyValue(width), rotary: rotary, outputBias: VectorPlan(prefix + "experts.bias"))
  }
}
