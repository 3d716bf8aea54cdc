// LLaMA-MoE v1 (Zhu et al. 2024, arXiv:2406.16554): the feed-forward halves of LLaMA-2 cut into experts, which may be of different sizes. The
// router has a hidden layer of as many elements as there are experts; the weights are a softmax over the chosen logits times a factor. Noise
// is added in training only: the network that shapes it lies in the files and is not run.
//
// | key                   | meaning                                                            | default       |
// |-----------------------|--------------------------------------------------------------------|---------------|
// | num_experts, num_selects | experts a layer, topK                                           | 16, 4         |
// | intermediate_size     | width of all experts of a layer together                           | required      |
// | size_experts          | by layer a list of widths                                          | equal parts   |
// | gate_network          | mlp: Linear, tanh, Linear; linear: one layer                       | mlp           |
// | score_scale_factor    | factor on the weights, one or a list of one for each layer         | 1             |
// Positions turn with the base 10000.

import Routing

extension Family {
  static let llamaMoE = Family(
    modelType: "llama_moe", defaults: ["num_experts": "16", "num_selects": "4", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    let (experts, topK) = (try configuration.count("num_experts"), try configuration.count("num_selects"))
    let widths = try configuration.widthsOfExperts(sizes.layerCount, experts)
    let factors = try configuration.factors("score_scale_factor", sizes.layerCount)
    let gate = try NoisyGate(configuration)
    try configuration.require("gate_type", "TopKBalancedNoisyGate", default: "TopKBalancedNoisyGate")
    let rotary = try configuration.rotary(headSize: sizes.headSize, statedBase: 10_000)
    return sizes.model("llama_moe") { layer in
      let prefix = sizes.prefix(layer) + "mlp."
      var router = RouterSpec.topKSoftmax(topK, of: experts)
      router.routedScale = factors[layer]
      let plan = gate.experts(router, prefix) { expert in
        func part(_ name: String) -> LinearPlan { LinearPlan(MatrixPlan("\(prefix)calculator.experts.weight_\(name).\(expert)")) }
        return GatedPlan(gate: part("gate"), up: part("up"), down: part("down"), intermediateSize: widths[layer][expert])
      }
      return sizes.block(layer: layer, sizes.attention(layer: layer, rotary: rotary), plan)
    }
  }
}

/// The router of LLaMA-MoE and of what was made of it, and the settings that all of these have to have.
struct NoisyGate {
  private let isDeep: Bool

  /// - Throws: `ModelError` for a network or a way of computing that is another.
  init(_ configuration: Configuration) throws {
    let network = try configuration.text("gate_network", default: "mlp")
    guard ["mlp", "linear"].contains(network) else {
      throw configuration.refused("gate_network", found: "\"\(network)\"", supported: "\"mlp\", \"linear\"")
    }
    isDeep = network == "mlp"
    try configuration.require("calculator_type", "UniversalCalculator", default: "UniversalCalculator")
    try configuration.requireSet("gate_use_softmax", "multiply_gate_scores")
    try configuration.refuseSet("add_weight_norm")
    if let base = try configuration.optionalNumber("rope_theta"), base != 10_000 {
      throw configuration.refused("rope_theta", found: "\(base)", supported: "10000")
    }
    configuration.disregard([
      "gate_use_balance", "gate_balance_loss_weight", "gate_add_noise", "gate_noise_epsilon", "drop_tokens", "dropped_padding",
      "capacity_factor",
    ])
  }

  /// The routed experts under `prefix`.
  func experts(_ router: RouterSpec, _ prefix: String, expert: @escaping @Sendable (Int) -> GatedPlan) -> ExpertsPlan {
    let gate = prefix + "gate.gate_network"
    var plan = ExpertsPlan(router: router, routerLinear: LinearPlan(prefix: isDeep ? gate + ".2" : gate), expert: expert)
    if isDeep { plan.routerHidden = .init(size: router.expertCount, linear: LinearPlan(prefix: gate + ".0")) }
    return plan
  }
}

extension Configuration {
  /// By layer the width of each expert, in all `intermediate_size`.
  fileprivate func widthsOfExperts(_ layers: Int, _ experts: Int) throws -> [[Int]] {
    let all = try count("intermediate_size")
    guard let lists = value("size_experts") else {
      guard all % experts == 0 else {
        throw ModelError.configuration(
          file: file, key: "num_experts", expected: "a divisor of intermediate_size \(all)", found: "\(experts)")
      }
      return Array(repeating: Array(repeating: all / experts, count: experts), count: layers)
    }
    let widths = lists.elements.map { list in list.elements.map { $0.int64.flatMap { (1...Int64(all)).contains($0) ? Int($0) : nil } ?? 0 }
    }
    guard lists.kind == .array, widths.count == layers,
      widths.allSatisfy({ $0.count == experts && !$0.contains(0) && $0.reduce(0, +) == all })
    else {
      throw ModelError.configuration(
        file: file, key: "size_experts", expected: "\(layers) lists of \(experts) widths that add up to intermediate_size \(all)",
        found: "others")
    }
    return widths
  }

  /// One number for every layer, or one for all of them.
  fileprivate func factors(_ key: String, _ layers: Int) throws -> [Float] {
    guard value(key)?.kind == .array, let list = try numbers(key) else {
      return Array(repeating: Float(try number(key, default: 1)), count: layers)
    }
    guard list.count == layers else {
      throw ModelError.configuration(file: file, key: key, expected: "a number, or \(layers) of them", found: "\(list.count) numbers")
    }
    return list.map { Float($0) }
  }
}
