// ERNIE 4.5 MoE (Baidu 2025): softmax router with a bias that steers selection only, weights divided by their sum but not by less
// than a minimum; neighbouring elements of a head turn together. ERNIE 4.5 VL has in each layer routed experts for texts and as many others for
// images, each with a router of its own, and shared ones for both: here it is its text model, whose experts come first in the files.
//
// | key                     | meaning                                   | default  |
// |-------------------------|-------------------------------------------|----------|
// | moe_num_experts         | routed experts a layer; VL: or one number for texts and one for images | required |
// | moe_k                   | topK                                      | required |
// | moe_num_shared_experts  | always-on experts, stored as one          | 2        |
// | moe_intermediate_size   | width of one expert; VL: of texts, of images | required |
// | mlp_layer_types         | VL: which blocks are routed               | as below |
// | moe_layer_start_index, moe_layer_end_index, moe_layer_interval | which blocks are routed; VL: or lists for texts and images | 1, last, 1 |
// | moe_norm_min            | least divisor of the weights              | 1e-12    |
// | use_bias                | biases on every projection but the routed experts' | false |

import Formats
import Routing

extension Family {
  static let ernie45MoE = Family(
    modelType: "ernie4_5_moe",
    defaults: ["num_key_value_heads": "4", "moe_num_shared_experts": "2", "moe_layer_start_index": "1", "rms_norm_eps": "1e-05"]
  ) { try ernie("ernie4_5_moe", $0, senses: 1) }

  static let ernie45VLText = Family(
    modelType: "ernie4_5_vl_moe_text", wrapper: "ernie4_5_vl_moe",
    defaults: ["num_key_value_heads": "4", "moe_num_shared_experts": "2", "moe_layer_start_index": "1", "rms_norm_eps": "1e-05"]
  ) { try ernie("ernie4_5_vl_moe_text", $0, senses: 2) }

  /// As it is published: the fields of texts and images side by side.
  static let ernie45VL = Family(modelType: "ernie4_5_moe_vl", defaults: ["moe_layer_start_index": "1", "rms_norm_eps": "1e-05"]) {
    $0.disregard([
      "vision_config", "im_patch_id", "max_text_id", "image_start_token_id", "image_end_token_id", "video_start_token_id",
      "video_end_token_id", "pixel_hidden_size", "spatial_conv_size", "temporal_conv_size", "use_temporal_conv", "modality_detach",
      "rope_3d", "freq_allocation", "mm_vocab_size", "moe_multimodal_dispatch_use_allgather", "moe_use_hard_gate", "moe_group",
      "moe_group_orthogonal_loss", "moe_orthogonal_loss_lambda", "moe_aux_loss_lambda", "moe_z_loss_lambda", "moe_reverse_token_drop",
      "moe_layer_feed_fake_token", "moe_dense_experts_token_type_id", "fuse_rope", "use_flash_attention", "use_sparse_flash_attn",
    ])
    try $0.refuseSet("moe_group_experts")
    try $0.requireSet("moe_norm_gate_logits")
    return try ernie("ernie4_5_moe_vl", $0, senses: 2)
  }

  /// - Parameter senses: kinds of tokens that have routed experts of their own; texts come first.
  private static func ernie(_ family: String, _ configuration: Configuration, senses: Int) throws -> ModelPlan {
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5, tied: true)
    let experts = try configuration.ofTexts(senses, "moe_num_experts", or: "num_experts", areEqual: true)
    let router = RouterSpec(
      expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: try configuration.count("moe_k", "num_experts_per_tok")),
      normalization: .sumClamped(minimum: Float(try configuration.number("moe_norm_min", default: 1e-12))))
    let width = try configuration.ofTexts(senses, "moe_intermediate_size")
    let declaredWidth = try configuration.optionalCount("intermediate_size")
    let shared = try configuration.wholeNumber("moe_num_shared_experts", default: 0)
    let isDense = try configuration.denseLayersOfErnie(sizes.layerCount)
    let denseWidth = try configuration.width(declaredWidth, ofDense: isDense)
    let bias = try configuration.flag("use_bias", default: false)
    try configuration.requireSet("use_rmsnorm")
    _ = configuration.value("moe_capacity", "moe_use_aux_free", "moe_gate", "num_nextn_predict_layers")
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 500_000, isInterleaved: true)
    var model = sizes.model(family, headBias: bias && senses == 1) { layer in
      let attention = sizes.attention(layer: layer, rotary: rotary, bias: bias)
      let prefix = sizes.prefix(layer) + "mlp."
      if isDense[layer] {
        return sizes.block(layer: layer, attention, GatedPlan.projections(prefix, denseWidth, bias: bias))
      }
      var routed = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"),
        correctionBias: VectorPlan(prefix + "moe_statics.e_score_correction_bias", storedShape: [senses, experts]),
        expert: { .projections(prefix + "experts.\($0).", width) })
      if senses > 1 {
        routed.routerLinear = LinearPlan(
          MatrixPlan("\(prefix)gate.weight", storedShape: [sizes.hiddenSize, experts], transposition: .init()))
      }
      if shared > 0 { routed.shared = [ExpertsPlan.Shared(expert: .projections(prefix + "shared_experts.", shared * width, bias: bias))] }
      return sizes.block(layer: layer, attention, routed)
    }
    if senses > 1 { model.ownExperts = experts }
    return model
  }
}

extension Configuration {
  /// A number of texts: the only one, or the first of a list with one for each sense.
  fileprivate func ofTexts(_ senses: Int, _ key: String, or other: String? = nil, areEqual: Bool = false) throws -> Int {
    guard senses > 1, value(key)?.kind == .array else { return try other.map { try count(key, $0) } ?? count(key) }
    let numbers = try counts(key)
    guard numbers.count == senses, numbers.allSatisfy({ (1...Self.largestCount).contains($0) }), !areEqual || Set(numbers).count == 1 else {
      throw ModelError.configuration(
        file: file, key: key, expected: areEqual ? "\(senses) equal numbers" : "\(senses) positive numbers", found: "\(numbers)")
    }
    return numbers[0]
  }

  fileprivate func denseLayersOfErnie(_ count: Int) throws -> [Bool] {
    if let types = try layerTypes("mlp_layer_types", count: count) {
      guard Set(types).isSubset(of: ["dense", "sparse"]) else {
        throw refused("mlp_layer_types", found: "other layers", supported: "dense, sparse")
      }
      return types.map { $0 == "dense" }
    }
    /// One number, or one for each sense.
    func numbers(_ key: String) throws -> [Int] {
      guard let value = value(key) else { return [] }
      let numbers = ([value] + value.elements).compactMap { $0.int64.map { Int(clamping: $0) } }
      guard !numbers.isEmpty else { throw wrong([key], "a number of a layer, or several", value) }
      return numbers
    }
    let first = try numbers("moe_layer_start_index").min() ?? 0
    let declaredLast = try numbers("moe_layer_end_index").max() ?? -1
    let last = declaredLast < 0 ? count - 1 : declaredLast
    let interval = try self.count("moe_layer_interval", default: 1)
    return (0..<count).map { ($0 + 1) % interval != 0 || $0 < first || $0 > last }
  }
}
