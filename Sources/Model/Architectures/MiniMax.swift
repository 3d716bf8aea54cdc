// MiniMax-Text-01 (MiniMax 2025, arXiv:2501.08313): lightning attention in most layers, softmax attention in the others. The residual
// is what a half has read after its norm, times alpha; what the half adds is multiplied by beta.
//
// | key                  | meaning                                             | default  |
// |----------------------|-----------------------------------------------------|----------|
// | layer_types          | linear_attention or full_attention for each layer   | in turn, full first |
// | rotary_dim           | rotated elements of a head                          | all      |
// | block_size           | positions of a block of lightning attention         | 256      |
// | sliding_window       | tokens that full attention sees                     | all      |
// | num_local_experts    | experts a layer                                     | required |
// | num_experts_per_tok  | topK                                                | required |
// | intermediate_size    | width of one expert                                 | required |
// | linear_attn_alpha_factor, full_attn_alpha_factor, mlp_alpha_factor | factor on the residual | 1 |
// | linear_attn_beta_factor, full_attn_beta_factor, mlp_beta_factor    | factor on the output   | 1 |

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Family {
  static let miniMax = Family(modelType: "minimax", defaults: ["num_key_value_heads": "8", "rms_norm_eps": "1e-05"]) { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let router = try RouterSpec.softmaxTopK(
      configuration.count("num_experts_per_tok"), of: configuration.count("num_local_experts", "num_experts"), renormalised: true)
    let width = try configuration.count("intermediate_size")
    // The reference has no rotary_dim; the model's own code, and what it was trained with, has.
    let rotated = try configuration.optionalCount("rotary_dim")
    let rotary = try configuration.rotary(
      headSize: sizes.headSize, defaultBase: 1_000_000, defaultShare: rotated.map { Double($0) / Double(sizes.headSize) })
    let window = try configuration.optionalCount("sliding_window")
    let blockSize = try configuration.count("block_size", default: 256)
    if blockSize > 1024 { throw configuration.refused("block_size", found: "\(blockSize)", supported: "at most 1024") }
    let isLinear = try configuration.layerKinds(
      ["linear_attention": true, "full_attention": false], count: sizes.layerCount, default: { $0 % 2 == 1 })
    func factors(_ half: String) throws -> (alpha: Float, beta: Float) {
      (
        Float(try configuration.number("\(half)_alpha_factor", default: 1)),
        Float(try configuration.number("\(half)_beta_factor", default: 1))
      )
    }
    let (linear, full, feedForward) = (try factors("linear_attn"), try factors("full_attn"), try factors("mlp"))
    return sizes.model("minimax") { layer in
      var attention = sizes.attention(layer: layer, rotary: rotary)
      attention.window = window
      let prefix = sizes.prefix(layer) + "block_sparse_moe."
      let experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { .numbered(prefix + "experts.\($0).", width) })
      var block = sizes.block(layer: layer, isLinear[layer] ? lightning(sizes, layer, blockSize: blockSize) : attention, experts)
      for (index, factors) in [isLinear[layer] ? linear : full, feedForward].enumerated() {
        block.sublayers[index].inputAsResidual = factors.alpha
        block.sublayers[index].outputScale = factors.beta
      }
      return block
    }
  }

  private static func lightning(_ sizes: DecoderSizes, _ layer: Int, blockSize: Int) -> LightningAttentionPlan {
    let prefix = sizes.prefix(layer) + "self_attn."
    let depth = Float(1 - Double(layer) / (Double(sizes.layerCount - 1) + 1e-5) + 1e-5)
    let base = Float(1 / pow(2, 8 / Double(sizes.headCount)))
    return LightningAttentionPlan(
      headCount: sizes.headCount, headSize: sizes.headSize, blockSize: blockSize,
      slope: { pow(base, Float($0 + 1)) * depth }, tables: prefix,
      queryKeyValue: LinearPlan(prefix: prefix + "qkv_proj"), norm: .rms(VectorPlan(prefix + "norm.weight"), 1e-6),
      outputGate: LinearPlan(prefix: prefix + "output_gate"), output: LinearPlan(prefix: prefix + "out_proj"))
  }
}
