// Granite-MoE (IBM 2024): softmax over the chosen logits, experts in one tensor, and multipliers on embeddings, attention, residuals
// and logits; Granite-MoE-Shared adds an expert for every token beside the block. Granite-MoE-SWA (2026) has windows, sinks and a base for
// each layer.
//
// | key                      | meaning                                   | default  |
// |--------------------------|-------------------------------------------|----------|
// | num_local_experts        | experts a layer                           | required |
// | num_experts_per_tok      | topK                                      | required |
// | intermediate_size        | width of one expert                       | required |
// | shared_intermediate_size | width of the shared expert                | none     |
// | embedding_multiplier     | factor on embeddings                      | 1        |
// | attention_multiplier     | factor on attention scores                | 1        |
// | residual_multiplier      | factor on what each half adds             | 1        |
// | logits_scaling           | divisor of logits                         | 1        |
// | layer_types, sliding_window | SWA: which layers have a window, of so many tokens | all but each 4th, 128 |
// | layer_rope_theta         | SWA: base of each layer, 0: positions are not encoded | rope_theta |

import Routing

extension Family {
  static let graniteMoE = Family(modelType: "granitemoe", defaults: ["rms_norm_eps": "1e-06"]) {
    try granite("granitemoe", $0, shared: nil)
  }
  static let graniteMoEShared = Family(modelType: "granitemoeshared", defaults: ["rms_norm_eps": "1e-06"]) {
    try granite("granitemoeshared", $0, shared: $0.wholeNumber("shared_intermediate_size", default: 0))
  }

  static let graniteMoESWA = Family(modelType: "granitemoe_swa", defaults: ["rms_norm_eps": "1e-06", "sliding_window": "128"]) {
    configuration in
    let granite = try GraniteHalves(configuration, shared: configuration.wholeNumber("shared_intermediate_size", default: 0))
    let sizes = granite.sizes
    let bias = try configuration.flag("attention_bias", default: false)
    let hasWindow = try configuration.layerKinds(
      ["sliding_attention": true, "full_attention": false], count: sizes.layerCount, default: { $0 % 4 != 0 })
    let window = try hasWindow.contains(true) ? configuration.count("sliding_window") : nil
    configuration.disregard(["sliding_window"])
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    let bases = try configuration.numbers("layer_rope_theta") ?? Array(repeating: rotary.base, count: sizes.layerCount)
    guard bases.count == sizes.layerCount, bases.allSatisfy({ $0 >= 0 && Float($0).isFinite && ($0 == 0 || Float($0) > 0) }) else {
      throw ModelError.configuration(
        file: configuration.file, key: "layer_rope_theta", expected: "\(sizes.layerCount) numbers, none below 0", found: "\(bases)")
    }
    return granite.model("granitemoe_swa") { layer in
      var turned = rotary
      turned.base = bases[layer]
      var attention = sizes.attention(layer: layer, rotary: bases[layer] == 0 ? nil : turned, bias: bias)
      attention.scale = granite.attentionMultiplier
      attention.window = hasWindow[layer] ? window : nil
      attention.sinks = VectorPlan(sizes.prefix(layer) + "self_attn.sinks")
      return attention
    }
  }

  private static func granite(_ family: String, _ configuration: Configuration, shared: Int?) throws -> ModelPlan {
    let granite = try GraniteHalves(configuration, shared: shared)
    let bias = try configuration.flag("attention_bias", default: false)
    let rotary = try configuration.rotary(headSize: granite.sizes.headSize)
    return granite.model(family) { layer in
      var attention = granite.sizes.attention(layer: layer, rotary: rotary, bias: bias)
      attention.scale = granite.attentionMultiplier
      return attention
    }
  }
}

/// What the Granite families share: the multipliers and the routed half.
struct GraniteHalves {
  let sizes: DecoderSizes
  let attentionMultiplier: Float
  private let embeddingMultiplier: Float
  private let residualMultiplier: Float
  private let logitDivisor: Float
  private let router: RouterSpec
  private let width: Int
  private let shared: Int?

  init(_ configuration: Configuration, shared: Int?) throws {
    sizes = try DecoderSizes(configuration)
    router = try RouterSpec.topKSoftmax(configuration.count("num_experts_per_tok"), of: configuration.count("num_local_experts"))
    width = try configuration.count("intermediate_size")
    self.shared = shared == 0 ? nil : shared
    embeddingMultiplier = Float(try configuration.number("embedding_multiplier", default: 1))
    attentionMultiplier = Float(try configuration.number("attention_multiplier", default: 1))
    residualMultiplier = Float(try configuration.number("residual_multiplier", default: 1))
    logitDivisor = Float(try configuration.positive("logits_scaling", default: 1))
  }

  func model(_ family: String, mixer: (Int) throws -> any OperationPlan) rethrows -> ModelPlan {
    var model = try sizes.model(family) { try block($0, mixer($0)) }
    model.embeddingScale = embeddingMultiplier
    model.logitScale = 1 / logitDivisor
    return model
  }

  private func block(_ layer: Int, _ mixer: any OperationPlan) -> BlockPlan {
    let prefix = sizes.prefix(layer) + "block_sparse_moe."
    let (router, width, hidden) = (router, width, sizes.hiddenSize)
    var experts = ExpertsPlan(
      router: router, routerLinear: LinearPlan(prefix: prefix + "router.layer"),
      expert: {
        let place = ($0, router.expertCount)
        return .fused(prefix + "input_linear.weight", prefix + "output_linear.weight", width: width, hidden: hidden, expert: place).or(
          .fused(prefix + "experts.gate_up_proj", prefix + "experts.down_proj", width: width, hidden: hidden, expert: place))
      })
    // The newest member has the reference's own names.
    experts.routerLinear.weight.alternatives = ["\(prefix)router.weight"]
    var block = sizes.block(layer: layer, mixer, experts)
    if let shared {
      let prefix = sizes.prefix(layer) + "shared_mlp."
      var expert = GatedPlan.fused(
        prefix + "input_linear.weight", prefix + "output_linear.weight", width: shared, hidden: sizes.hiddenSize)
      expert.isSharedExpert = true
      block.sublayers.append(SublayerPlan(.previous, expert))
    }
    for index in block.sublayers.indices { block.sublayers[index].outputScale = residualMultiplier }
    return block
  }
}
