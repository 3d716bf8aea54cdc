// Monet (Park et al. 2024, arXiv:2412.04139): an expert for each pair of an entry of two lists, 262,144 of them, chosen by eight heads; a
// decision holds for several layers. The router's logits are normalised by the running statistics of its training.
//
// | key                    | meaning                                                                 | default  |
// |------------------------|-------------------------------------------------------------------------|----------|
// | moe_experts, moe_heads | entries of each list, heads that choose                                 | 512, 8   |
// | moe_topk               | entries a list keeps on average: it sets the threshold                  | 32       |
// | moe_groups             | layers that share a decision, the first of them makes it                | 4        |
// | moe_dim                | width of one expert                                                     | 8        |
// | moe_decompose          | vertical or horizontal: how the matrices of a pair are put together     | vertical |
// | hidden_act             | relu2                                                                   | relu2    |
// | intermediate_size, mlp_bias | not read: experts have neither                                     |          |

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Family {
  static let monet = Family(
    modelType: "monet",
    defaults: [
      "moe_experts": "512", "moe_heads": "8", "moe_topk": "32", "moe_groups": "4", "moe_dim": "8", "rms_norm_eps": "1e-06",
      "max_position_embeddings": "2048",
    ]
  ) { configuration in
    let sizes = try DecoderSizes(configuration, activation: ("hidden_act", "relu2"))
    let (heads, length) = (try configuration.count("moe_heads"), try configuration.count("moe_experts"))
    let (kept, groups) = (try configuration.count("moe_topk"), try configuration.count("moe_groups"))
    guard kept < length else {
      throw ModelError.configuration(
        file: configuration.file, key: "moe_topk", expected: "fewer than moe_experts \(length)", found: "\(kept)")
    }
    let threshold = Float(normalQuantile(1 - Double(kept) / Double(length)))
    let pairs = try configuration.pairs(sizes)
    let bias = try configuration.flag("attention_bias", default: false)
    configuration.disregard(["intermediate_size", "mlp_bias", "output_router_probs", "pretraining_tp"])
    let rotary = try configuration.rotary(headSize: sizes.headSize)
    return sizes.model("monet") { layer in
      let prefix = sizes.prefix(layer)
      func vector(_ name: String) -> VectorPlan { VectorPlan("\(prefix)router.\(name)") }
      var experts = PairedExpertsPlan(
        heads: heads, length: length, width: pairs.width, composition: pairs.composition(prefix + "moe."), activation: .reluSquared)
      if layer % groups == 0 {
        experts.routers = PairedExpertsPlan.Routers(
          threshold: threshold, epsilon: 1e-5, first: "\(prefix)router.w1.weight", second: "\(prefix)router.w2.weight",
          firstMean: vector("norm1.running_mean"), firstVariance: vector("norm1.running_var"), secondMean: vector("norm2.running_mean"),
          secondVariance: vector("norm2.running_var"), holdsFor: Array(layer..<min(layer + groups, sizes.layerCount)))
      }
      return sizes.block(layer: layer, sizes.attention(layer: layer, rotary: rotary, bias: bias), experts)
    }
  }
}

/// How the experts of a checkpoint are put together.
private struct PairLayout: Sendable {
  let isVertical: Bool
  /// Elements of an entry's hidden layer.
  let width: Int

  func composition(_ prefix: String) -> PairedExpertsPlan.Composition {
    func linear(_ name: String, bias: Bool = false) -> LinearPlan { LinearPlan(prefix: prefix + name, bias: bias) }
    func matrix(_ name: String) -> MatrixPlan { MatrixPlan(prefix + name) }
    if isVertical {
      return .vertical(
        up: (linear("u1", bias: true), linear("u2", bias: true)), down: (linear("v11"), linear("v12"), linear("v21"), linear("v22")),
        downBias: (matrix("b1"), matrix("b2")))
    }
    return .horizontal(up: linear("u", bias: true), down: linear("v"), downBias: matrix("b"))
  }
}

extension Configuration {
  fileprivate func pairs(_ sizes: DecoderSizes) throws -> PairLayout {
    let width = try count("moe_dim")
    let way = try text("moe_decompose", default: "vertical")
    guard ["vertical", "horizontal"].contains(way) else {
      throw refused("moe_decompose", found: "\"\(way)\"", supported: "\"vertical\", \"horizontal\"")
    }
    guard way == "vertical" else { return PairLayout(isVertical: false, width: width) }
    for (key, number) in [("moe_dim", width), ("hidden_size", sizes.hiddenSize)] where number % 2 != 0 {
      throw ModelError.configuration(file: file, key: key, expected: "an even number, as both halves are made apart", found: "\(number)")
    }
    return PairLayout(isVertical: true, width: width / 2)
  }
}

/// The number that a normal deviate stays below with this probability, by halving.
private func normalQuantile(_ probability: Double) -> Double {
  var (low, high) = (-40.0, 40.0)
  while true {
    let middle = (low + high) / 2
    if middle <= low || middle >= high { return middle }
    if erfc(-middle / 2.0.squareRoot()) / 2 < probability { low = middle } else { high = middle }
  }
}
