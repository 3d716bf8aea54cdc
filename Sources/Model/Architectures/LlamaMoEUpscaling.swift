// XFT (Ding et al. 2024, arXiv:2404.15247): a dense model whose feed-forward halves are copied into experts, on LLaMA-MoE's code. Expert 0 of the
// files is the one that every token takes: it weighs 1 minus the best probability of the others, who share the rest. In traces the routed
// experts count from 0: expert 0 is the files' expert 1.
//
// | key                  | meaning                                                                  | default               |
// |----------------------|--------------------------------------------------------------------------|-----------------------|
// | num_experts, num_selects | experts of a layer and those a token takes, the shared one included  | 8, 2                  |
// | intermediate_size    | width of one expert                                                      | required              |
// | gate_type            | TopKUniversalBalancedNoisyGate: the chosen weigh a softmax of their probabilities times the best; with NoNormalization: their probabilities; TopKBalancedNoisyGate: no shared expert, a softmax over the chosen logits | TopKBalancedNoisyGate |
// | gate_network         | mlp: Linear, tanh, Linear; linear: one layer                             | mlp                   |
// | score_scale_factor   | factor on the weights of all experts                                     | 1                     |
// | rope_scaling         |                                                                          | linear, 4             |
// Positions turn with the base 10000. What merges experts back into a dense model (shared_expert_weight, ffn_folder_path) is not read.

import Routing

extension Family {
  static let llamaMoEUpscaling = Family(
    modelType: "llama_moe_upscaling",
    defaults: ["num_experts": "8", "num_selects": "2", "rms_norm_eps": "1e-06", "rope_scaling": #"{"factor": 4.0, "type": "linear"}"#]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let width = try configuration.count("intermediate_size")
    let gate = try NoisyGate(configuration)
    let (router, shared) = try configuration.upscaledRouter()
    try configuration.refuseSet("attention_bias")
    configuration.disregard(["shared_expert_weight", "ffn_folder_path", "size_experts"])
    let rotary = try configuration.rotary(headSize: sizes.headSize, statedBase: 10_000)
    return sizes.model("llama_moe_upscaling") { layer in
      let prefix = sizes.prefix(layer) + "mlp."
      @Sendable func expert(_ number: Int) -> GatedPlan {
        func part(_ name: String) -> LinearPlan { LinearPlan(prefix: "\(prefix)calculator.experts.weight_\(name).\(number)") }
        return GatedPlan(gate: part("gate"), up: part("up"), down: part("down"), intermediateSize: width)
      }
      var plan = gate.experts(router, prefix) { expert($0 + shared) }
      if shared > 0 { plan.shared = [.init(expert: expert(0))] }
      return sizes.block(layer: layer, sizes.attention(layer: layer, rotary: rotary), plan)
    }
  }
}

extension Configuration {
  /// The rule, and how many of the files' first experts are shared.
  fileprivate func upscaledRouter() throws -> (RouterSpec, shared: Int) {
    let (experts, topK) = (try count("num_experts"), try count("num_selects"))
    let type = try text("gate_type", default: "TopKBalancedNoisyGate")
    let scale = try number("score_scale_factor", default: 1)
    if type == "TopKBalancedNoisyGate" {
      var router = RouterSpec.topKSoftmax(topK, of: experts)
      router.routedScale = Float(scale)
      return (router, 0)
    }
    let weightings: [String: RouterSpec.Weighting] = [
      "TopKUniversalBalancedNoisyGate": .bestTimesSoftmaxOfSelectedScores, "TopKUniversalBalancedNoNormalizationNoisyGate": .scores,
    ]
    guard let weighting = weightings[type] else {
      throw refused(
        "gate_type", found: "\"\(type)\"", supported: (["TopKBalancedNoisyGate"] + weightings.keys.sorted()).joined(separator: ", "))
    }
    for (key, found) in [("num_experts", experts), ("num_selects", topK)] where found < 2 {
      throw ModelError.configuration(file: file, key: key, expected: "the shared expert and a routed one, at least 2", found: "\(found)")
    }
    guard scale == 1 else {
      throw refused("score_scale_factor", found: "\(scale)", supported: "1 where an expert is shared")
    }
    return (
      RouterSpec(
        expertCount: experts - 1, scoring: .softmax, selection: .tokenChoice(topK: topK - 1), weighting: weighting,
        statedWeights: .probability, sharedWeight: .oneMinusBestScore), 1
    )
  }
}
