// DiT-MoE (Fei et al. 2024, arXiv:2407.11633): a diffusion transformer whose feed-forward halves are routed. The router reads the
// modulated token, so timestep and class reach it through shift and scale; scores are used as they are, without renormalising. The
// shared experts are one network of their summed width. Two naming schemes are published: the smaller models', and the larger ones'
// with norms on queries and keys. Guidance, steps and the three guided outputs are those of the authors' sample.py.
//
// | key                  | meaning                                              | default        |
// |----------------------|------------------------------------------------------|----------------|
// | num_experts          | routed experts a block                               | required       |
// | num_experts_per_tok  | topK                                                 | required       |
// | n_shared_experts     | width of the shared experts divided by hidden_size   | 2              |
// | mlp_ratio            | width of an expert divided by hidden_size            | 4              |
// | qk_norm              | LayerNorm on queries and keys, the larger models' names | false       |
//
// and the keys of `DiffusionTransformerSizes`.

import Routing

extension DenoisingFamily {
  static let diTMoE = DenoisingFamily(modelType: "dit_moe") { configuration in
    let sizes = try DiffusionTransformerSizes(configuration)
    let experts = try configuration.count("num_experts")
    let router = RouterSpec.softmaxTopK(try configuration.count("num_experts_per_tok"), of: experts, renormalised: false)
    let shared = try configuration.wholeNumber("n_shared_experts", default: 2)
    let width = try configuration.count("mlp_ratio", default: 4) * sizes.hidden
    let hasNorms = try configuration.flag("qk_norm", default: false)
    let steps = sizes.rule == .rectifiedFlow ? 50 : 250
    let guidance: Float = sizes.rule == .rectifiedFlow ? 7 : 4
    var plan = sizes.plan("dit_moe", guidance: guidance, guidedOutputs: 3, steps: steps) { _, prefix in
      var attention = sizes.attention(
        prefix + "attn.", merged: hasNorms ? "Wqkv" : "qkv", output: hasNorms ? "out_proj" : "proj")
      if hasNorms {
        attention.queryNorm = .layer("\(prefix)attn.q_norm.weight", bias: "\(prefix)attn.q_norm.bias", 1e-6)
        attention.keyNorm = .layer("\(prefix)attn.k_norm.weight", bias: "\(prefix)attn.k_norm.bias", 1e-6)
      }
      var routed = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "moe.gate"),
        expert: { .projections("\(prefix)moe.experts.\($0).", width) })
      if shared > 0 { routed.shared = [.init(expert: .projections(prefix + "moe.shared_experts.", shared * sizes.hidden))] }
      return DenoisingBlockPlan(
        modulation: LinearPlan(prefix: prefix + "adaLN_modulation.1", bias: true), operations: [attention, routed])
    }
    if hasNorms {
      plan.remark =
        "computed in f32; the authors sample their models with norms on queries and keys in f16, where decisions near ties differ"
    }
    return plan
  }
}
