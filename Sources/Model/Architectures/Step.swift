// Step-3.5 and Step-3.7 (StepFun 2026): a sigmoid router with a bias that steers selection only and one shared expert; layers with a window
// have heads of another number and turn otherwise; a sigmoid of the input multiplies each head's output; the last layers clamp.
//
// | key                          | meaning                                              | default  |
// |------------------------------|------------------------------------------------------|----------|
// | n_routed_experts, moe_num_experts; num_experts_per_tok, moe_top_k | experts a layer, topK | required |
// | moe_intermediate_size, share_expert_dim | widths                                    | required |
// | moe_router_scaling_factor    | factor on the weights                                | 1        |
// | mlp_layer_types, moe_layers_enum | which layers are routed                          | all but the first three |
// | layer_types, sliding_window  | which layers have a window, of so many tokens        | none     |
// | num_sliding_attention_heads, attention_other_setting.num_attention_heads | query heads of layers with a window | num_attention_heads |
// | swiglu_limits, swiglu_limits_shared | by layer the clamp of routed experts, of the shared one and dense layers; 0 or null: none | none |
// | rope_theta, partial_rotary_factors | numbers for each layer, or rope_parameters by type of layer; rope_scaling is of full attention | - |
// Lists may go on for layers that look further ahead.

import Formats
import Routing

extension Family {
  static let step35 = Family(
    modelType: "step3p5", wrapper: "step3p7",
    defaults: ["num_key_value_heads": "8", "head_dim": "128", "share_expert_dim": "1280", "rms_norm_eps": "1e-05"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let count = sizes.layerCount
    let ahead = try configuration.wholeNumber("num_nextn_predict_layers", "num_mtp_layers", default: 0)
    let hasWindow =
      try configuration.texts("layer_types", of: count, or: count + ahead, ["full_attention", "sliding_attention"])
      .map { $0.map { $0 == "sliding_attention" } } ?? Array(repeating: false, count: count)
    let isRouted = try configuration.routedLayersOfStep(count, ahead)
    let window = try hasWindow.contains(true) ? configuration.count("sliding_window") : nil
    let windowHeads = try configuration.headsOfWindows(sizes)
    let rotary = try configuration.rotariesOfStep(sizes, hasWindow, ahead)
    let scale = Float(1 / (try configuration.positive("query_pre_attn_scalar", default: Double(sizes.headSize))).squareRoot())
    let router = RouterSpec.sigmoidTopK(
      try configuration.count("num_experts_per_tok", "moe_top_k"),
      of: try configuration.count("n_routed_experts", "moe_num_experts", "num_experts"), normalization: .sum(epsilon: 0),
      scale: try configuration.number("moe_router_scaling_factor", default: 1))
    let (width, sharedWidth) = (
      try configuration.count("moe_intermediate_size"), try configuration.count("share_expert_dim", "share_expert_dims")
    )
    let denseWidth = try configuration.width(configuration.optionalCount("intermediate_size"), ofDense: isRouted.map { !$0 })
    let limits = (
      routed: try configuration.limits("swiglu_limits", count, ahead), other: try configuration.limits("swiglu_limits_shared", count, ahead)
    )
    let bias = try configuration.flag("attention_bias", default: false)
    try configuration.require("moe_router_activation", "sigmoid", default: "sigmoid")
    try configuration.require("att_impl_type", "GQA", default: "GQA")
    try configuration.requireSet(
      "use_moe", "use_moe_router_bias", "norm_expert_weight", "use_head_wise_attn_gate", "use_qk_norm", "zero_centered")
    try configuration.refuseSet("sink", "mlp_bias", "use_bidirectional_attention")
    configuration.disregard([
      "sliding_window", "max_seq_len", "need_fp32_gate", "mtp_layer_types", "mtp_mlp_layer_types", "num_local_experts", "residual_in_fp32",
    ])
    let (hidden, experts) = (sizes.hiddenSize, router.expertCount)
    return sizes.model("step3p5", finalNorm: sizes.rms("model.norm", offset: 1)) { layer in
      var attention = sizes.attention(layer: layer, rotary: hasWindow[layer] ? rotary.window : rotary.full, bias: bias)
      attention.headCount = hasWindow[layer] ? windowHeads : sizes.headCount
      attention.window = hasWindow[layer] ? window : nil
      attention.scale = scale
      attention.outputGate = OutputGatePlan(
        linear: LinearPlan(prefix: sizes.prefix(layer) + "self_attn.g_proj"), form: .init(isPerHead: true))
      sizes.normHeads(&attention, layer: layer, scope: .head, offset: 1)
      let (own, published) = (sizes.prefix(layer) + "mlp.", sizes.prefix(layer) + "moe.")
      let (routed, other) = (ExpertActivation(topped: limits.routed[layer]), ExpertActivation(topped: limits.other[layer]))
      guard isRouted[layer] else {
        return sizes.block(layer: layer, attention, GatedPlan.projections(own, denseWidth).activated(other), offset: 1)
      }
      var plan = ExpertsPlan(router: router, routerLinear: LinearPlan(prefix: published + "gate")) {
        .stacked(published, $0, of: experts, width: width, hidden: hidden).or(
          .fused(own + "experts.gate_up_proj", own + "experts.down_proj", width: width, hidden: hidden, expert: ($0, experts))
        ).activated(routed)
      }
      plan.routerLinear.weight.alternatives = ["\(own)gate.weight"]
      plan.correctionBias = VectorPlan(published + "router_bias", or: own + "gate.e_score_correction_bias")
      plan.shared = [
        ExpertsPlan.Shared(
          expert: .projections(sizes.prefix(layer) + "share_expert.", sharedWidth).or(.projections(own + "shared_experts.", sharedWidth))
            .activated(other))
      ]
      return sizes.block(layer: layer, attention, plan, offset: 1)
    }
  }
}

extension ExpertActivation {
  fileprivate init(topped limit: Double) { self = limit > 0 ? .toppedSilu(limit: Float(limit)) : .silu }
}

extension GatedPlan {
  /// One of `of` experts in three tensors of all: `gate_proj`, `up_proj` `[of, width, hidden]`, `down_proj` `[of, hidden, width]`.
  fileprivate static func stacked(_ prefix: String, _ index: Int, of count: Int, width: Int, hidden: Int) -> GatedPlan {
    func part(_ name: String, _ rows: Int, _ columns: Int) -> LinearPlan {
      LinearPlan(MatrixPlan("\(prefix)\(name)_proj.weight", storedShape: [count, rows, columns], firstRow: index * rows))
    }
    return GatedPlan(
      gate: part("gate", width, hidden), up: part("up", width, hidden), down: part("down", hidden, width), intermediateSize: width)
  }
}

extension Configuration {
  /// One of some words for each layer, and perhaps for those that look further ahead; nil where the configuration has none.
  fileprivate func texts(_ key: String, of count: Int, or longer: Int, _ words: Set<String>) throws -> [String]? {
    guard isThere(key) else { return nil }
    let names = try texts(key)
    guard names.count == count || names.count == longer, words.isSuperset(of: names) else {
      throw ModelError.configuration(
        file: file, key: key, expected: "\(count) times \(words.sorted().joined(separator: " or "))", found: "\(names.count) names")
    }
    return Array(names.prefix(count))
  }

  fileprivate func routedLayersOfStep(_ count: Int, _ ahead: Int) throws -> [Bool] {
    if let types = try texts("mlp_layer_types", of: count, or: count + ahead, ["dense", "sparse"]) {
      disregard(["moe_layers_enum"])
      return types.map { $0 == "sparse" }
    }
    guard let list = value("moe_layers_enum") else { return (0..<count).map { $0 >= 3 } }
    let layers =
      list.string.map { $0.split(separator: ",").map { Int($0.trimmed) } } ?? list.elements.map { $0.int64.map { Int(clamping: $0) } }
    guard !layers.contains(nil), list.kind == .string || list.kind == .array else {
      throw ModelError.configuration(file: file, key: "moe_layers_enum", expected: "numbers of layers", found: "others")
    }
    return (0..<count).map(layers.contains)
  }

  /// Query heads of layers with a window, wherever it is said.
  fileprivate func headsOfWindows(_ sizes: DecoderSizes) throws -> Int {
    var heads = try optionalCount("num_sliding_attention_heads")
    if isThere("attention_other_setting") {
      let section = try section("attention_other_setting", irrelevant: [])
      try section.require("attention_type", "sliding_attention", default: "sliding_attention")
      let other = try section.count("num_attention_heads", default: sizes.headCount)
      try section.requireSame("num_attention_groups", as: sizes.keyValueHeadCount, named: "num_attention_groups")
      for key in ["head_dim", "true_head_dim"] { try section.requireSame(key, as: sizes.headSize, named: "head_dim") }
      try section.finish()
      heads = heads ?? other
    }
    let settled = heads ?? sizes.headCount
    for (layer, settings) in value("per_layer_config")?.objectMembers ?? [] {
      for (key, value) in settings.objectMembers where key != "num_attention_heads" || value.int64 != Int64(settled) {
        throw refused(
          "per_layer_config", found: "\(key) of layer \(layer)", supported: "num_attention_heads \(settled) of layers with a window")
      }
    }
    guard settled % sizes.keyValueHeadCount == 0 else {
      throw ModelError.configuration(
        file: file, key: "num_sliding_attention_heads", expected: "a multiple of \(sizes.keyValueHeadCount)", found: "\(settled)")
    }
    return settled
  }

  /// How layers of both types turn.
  fileprivate func rotariesOfStep(
    _ sizes: DecoderSizes, _ hasWindow: [Bool], _ ahead: Int
  ) throws -> (full: RotaryPlan, window: RotaryPlan) {
    let (count, size) = (sizes.layerCount, sizes.headSize)
    let only = try texts("yarn_only_types")
    if only.contains("sliding_attention") { throw refused("yarn_only_types", found: "sliding_attention", supported: "full_attention") }
    if let layers = value("use_rope_layers"), layers.elements.contains(where: { $0.bool == false || $0.int64 == 0 }) {
      throw refused("use_rope_layers", found: "a layer without positions", supported: "all layers")
    }
    if let parameters = value("rope_parameters") {
      guard Set(hasWindow).allSatisfy({ parameters[$0 ? "sliding_attention" : "full_attention"]?.kind == .object }) else {
        throw refused("rope_parameters", found: "no entry for a type of layer", supported: "one for each, or rope_theta and rope_scaling")
      }
      disregard(["rope_theta", "partial_rotary_factors"])
      let full = try rotary(headSize: size, defaultShare: 1, layerType: "full_attention")
      return (full, try rotary(headSize: size, defaultShare: 1, layerType: "sliding_attention"))
    }
    /// The number that all layers of a type have.
    func common(_ key: String, _ isWindow: Bool) throws -> Double? {
      guard let value = value(key), value.kind == .array, let list = try numbers(key) else { return nil }
      let own = Set(zip(list, hasWindow).filter { $1 == isWindow }.map(\.0))
      guard [count, count + ahead].contains(list.count), own.count <= 1 else {
        throw ModelError.configuration(
          file: file, key: key, expected: "\(count) numbers, one for each type of layer", found: "\(list.count)")
      }
      return own.first
    }
    let base = try value("rope_theta")?.kind == .array ? 10_000 : number("rope_theta", default: 10_000)
    func share(_ isWindow: Bool) throws -> Double { try common("partial_rotary_factors", isWindow) ?? 1 }
    let full = try rotary(
      headSize: size, defaultBase: base, statedBase: common("rope_theta", false), defaultShare: share(false), layerType: "full_attention")
    let turned = Int(Double(size) * (try share(true)))
    guard turned > 0, turned <= size, turned % 2 == 0 else {
      throw ModelError.configuration(file: file, key: "partial_rotary_factors", expected: "shares of \(size)", found: "\(try share(true))")
    }
    let windowBase = try common("rope_theta", true) ?? base
    guard Float(windowBase) > 0, Float(windowBase).isFinite else {
      throw ModelError.configuration(file: file, key: "rope_theta", expected: "positive numbers", found: "\(windowBase)")
    }
    return (full, RotaryPlan(base: windowBase, rotatedSize: turned))
  }

  /// By layer a clamp, 0 for none.
  fileprivate func limits(_ key: String, _ count: Int, _ ahead: Int) throws -> [Double] {
    guard let value = value(key) else { return Array(repeating: 0, count: count) }
    let numbers = value.elements.map { $0.isNull ? 0 : $0.double ?? -1 }
    guard value.kind == .array, [count, count + ahead].contains(numbers.count), numbers.allSatisfy({ $0 >= 0 && $0.isFinite }) else {
      throw ModelError.configuration(file: file, key: key, expected: "\(count) numbers, none below 0", found: "others")
    }
    return numbers
  }
}

extension Substring {
  fileprivate var trimmed: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}
