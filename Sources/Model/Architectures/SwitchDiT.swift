// Switch-DiT (Park et al. 2024, arXiv:2403.09176): a dense diffusion transformer whose stream passes through a mask before each block.
// The mask is made by experts that the timestep alone chooses, so one decision holds for a whole image and step.
//
// | key                  | meaning                                              | default        |
// |----------------------|------------------------------------------------------|----------------|
// | num_experts          | experts a block                                      | 3              |
// | num_experts_per_tok  | topK                                                 | 2              |
// | mlp_ratio            | width of the feed-forward half / hidden_size         | 4              |
//
// Trained on one class, its table has no row for "no class".
//
// and the keys of `DiffusionTransformerSizes`; the released configuration trains with `noise_schedule` cosine.

import Routing

extension DenoisingFamily {
  static let switchDiT = DenoisingFamily(modelType: "switch_dit") { configuration in
    let sizes = try DiffusionTransformerSizes(configuration)
    let hidden = sizes.hidden
    let experts = try configuration.count("num_experts", default: 3)
    let router = RouterSpec.softmaxTopK(try configuration.count("num_experts_per_tok", default: 2), of: experts, renormalised: false)
    let width = try configuration.count("mlp_ratio", default: 4) * hidden
    return sizes.plan("switch_dit", guidance: 1.5, guidedOutputs: sizes.channels, steps: 250) { layer, prefix in
      var dense = GatedPlan(
        up: LinearPlan(prefix: prefix + "mlp.fc1", bias: true), down: LinearPlan(prefix: prefix + "mlp.fc2", bias: true),
        intermediateSize: width)
      dense.activation = .geluTanh
      return DenoisingBlockPlan(
        modulation: LinearPlan(prefix: prefix + "adaLN_modulation.1", bias: true),
        operations: [sizes.attention(prefix + "attn.", merged: "qkv", output: "proj"), dense],
        mask: TimestepMaskPlan(router: router, routerLinear: LinearPlan(prefix: "routers.\(layer).f_gate.1", bias: true)) { expert in
          LinearPlan(
            MatrixPlan(
              "routers.\(layer).experts.w", storedShape: [experts, hidden, hidden], firstRow: expert * hidden,
              transposition: .init()),
            bias: VectorPlan("routers.\(layer).experts.b", storedShape: [experts, hidden], first: expert * hidden))
        })
    }
  }
}
