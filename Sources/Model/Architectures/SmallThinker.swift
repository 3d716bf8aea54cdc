// SmallThinker (Song et al. 2025, arXiv:2507.20984): the router reads the residual stream before attention, so that experts can be fetched while
// attention runs; weights by the sigmoid of the chosen logits, divided by their sum; gates of experts are cut at zero.
//
// | key                              | meaning                                                      | default  |
// |----------------------------------|--------------------------------------------------------------|----------|
// | moe_num_primary_experts, moe_num_active_primary_experts | experts a layer, topK                 | required |
// | moe_ffn_hidden_size              | width of one expert                                          | required |
// | moe_primary_router_apply_softmax | weights by a softmax over the chosen logits instead          | false    |
// | rope_layout                      | 1 where a layer turns its heads, 0 where it encodes no positions | all 1 |
// | sliding_window_layout, sliding_window_size | 1 where a layer has a window, and of how many tokens | none     |

import Routing

extension Family {
  static let smallThinker = Family(
    modelType: "smallthinker", defaults: ["num_key_value_heads": "2", "head_dim": "128", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, tied: true)
    let experts = try configuration.count("moe_num_primary_experts")
    let topK = try configuration.count("moe_num_active_primary_experts")
    let usesSoftmax = try configuration.flag("moe_primary_router_apply_softmax", default: false)
    let router =
      usesSoftmax
      ? RouterSpec.topKSoftmax(topK, of: experts)
      : RouterSpec(
        expertCount: experts, scoring: .logits, selection: .tokenChoice(topK: topK), weighting: .sigmoidOfSelectedLogits,
        normalization: .sum(epsilon: 0))
    let width = try configuration.count("moe_ffn_hidden_size")
    let turns = try configuration.layout("rope_layout", sizes.layerCount, default: true)
    let hasWindow = try configuration.layout("sliding_window_layout", sizes.layerCount, default: false)
    let window = hasWindow.contains(true) ? try configuration.count("sliding_window_size") : nil
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 1_000_000)
    // The reference divides by the sum whatever it says; the second spelling of windows is another program's.
    try configuration.requireSet("norm_topk_prob")
    configuration.disregard(["sliding_window_size", "sliding_window", "sliding_window_pattern"])
    return sizes.model("smallthinker") { layer in
      var attention = sizes.attention(layer: layer, rotary: turns[layer] ? rotary : nil)
      attention.window = hasWindow[layer] ? window : nil
      let prefix = sizes.prefix(layer) + "block_sparse_moe."
      var routed = ExpertsPlan(router: router, routerLinear: LinearPlan(prefix: prefix + "primary_router")) {
        .projections("\(prefix)experts.\($0).", width, names: ("gate", "up", "down")).activated(.relu)
      }
      routed.routerInput = .blockEntry
      return sizes.block(layer: layer, attention, routed)
    }
  }
}

extension Configuration {
  /// A list of 0 and 1, one a layer.
  fileprivate func layout(_ key: String, _ layers: Int, default fallback: Bool) throws -> [Bool] {
    guard isThere(key) else { return Array(repeating: fallback, count: layers) }
    let flags = try counts(key)
    guard flags.count == layers, flags.allSatisfy({ $0 <= 1 }) else {
      throw ModelError.configuration(file: file, key: key, expected: "\(layers) times 0 or 1", found: "\(flags.count) numbers")
    }
    return flags.map { $0 == 1 }
  }
}
