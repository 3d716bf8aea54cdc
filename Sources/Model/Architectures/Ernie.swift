// ERNIE 4.5 MoE (Baidu 2025): softmax router with a bias that steers selection only, weights divided by their sum but not by less
// than a minimum; neighbouring elements of a head turn together.
//
// | key                     | meaning                                   | default  |
// |-------------------------|-------------------------------------------|----------|
// | moe_num_experts         | routed experts a layer                    | required |
// | moe_k                   | topK                                      | required |
// | moe_num_shared_experts  | always-on experts, stored as one          | 2        |
// | moe_intermediate_size   | width of one expert                       | required |
// | moe_layer_start_index, moe_layer_end_index, moe_layer_interval | which blocks are routed | 1, last, 1 |
// | moe_norm_min            | least divisor of the weights              | 1e-12    |
// | use_bias                | biases on every projection but the routed experts' | false |

import Routing

extension Family {
  static let ernie45MoE = Family(
    modelType: "ernie4_5_moe",
    defaults: ["num_key_value_heads": "4", "moe_num_shared_experts": "2", "moe_layer_start_index": "1", "rms_norm_eps": "1e-05"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5, tied: true)
    let experts = try configuration.count("moe_num_experts", "num_experts")
    let router = RouterSpec(
      expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: try configuration.count("moe_k", "num_experts_per_tok")),
      normalization: .sumClamped(minimum: Float(try configuration.number("moe_norm_min", default: 1e-12))))
    let width = try configuration.count("moe_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let shared = try configuration.wholeNumber("moe_num_shared_experts", default: 0)
    let first = try configuration.wholeNumber("moe_layer_start_index", default: 0)
    let declaredLast = configuration.value("moe_layer_end_index")?.int64 ?? -1
    let last = declaredLast < 0 ? sizes.layerCount - 1 : Int(clamping: declaredLast)
    let interval = try configuration.count("moe_layer_interval", default: 1)
    let isDense = (0..<sizes.layerCount).map { ($0 + 1) % interval != 0 || $0 < first || $0 > last }
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense)
    let bias = try configuration.flag("use_bias", default: false)
    try configuration.requireSet("use_rmsnorm")
    _ = configuration.value("moe_capacity", "moe_use_aux_free", "moe_gate", "num_nextn_predict_layers")
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 500_000, isInterleaved: true)
    return sizes.model("ernie4_5_moe", headBias: bias) { layer in
      let attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      let prefix = sizes.prefix(layer) + "mlp."
      if isDense[layer] {
        return sizes.block(layer: layer, attention, GatedPlan.projections(prefix, denseWidth, bias: bias))
      }
      var routed = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"),
        correctionBias: VectorPlan(prefix + "moe_statics.e_score_correction_bias", storedShape: [1, experts]),
        expert: { .projections(prefix + "experts.\($0).", width) })
      if shared > 0 { routed.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_experts.", shared * width, bias: bias))] }
      return sizes.block(layer: layer, attention, routed)
    }
  }
}
