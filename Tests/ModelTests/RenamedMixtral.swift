// A family that nobody published: Mixtral under another name, with two fields renamed. What it takes to add a family is this file
// and a line in a list of families.
//
// | key          | meaning                  | default  |
// |--------------|--------------------------|----------|
// | expert_total | routed experts a layer   | required |
// | experts_used | topK                     | required |
// | intermediate_size | width of one expert | required |

import Routing

@testable import Model

extension Family {
  static let renamedMixtral = Family(modelType: "renamed_mixtral") { configuration in
    let sizes = try DecoderSizes(configuration, epsilon: 1e-5)
    let router = try RouterSpec.softmaxTopK(
      configuration.count("experts_used"), of: configuration.count("expert_total"), renormalised: true)
    let width = try configuration.count("intermediate_size")
    let rotary = try configuration.rotary(headSize: sizes.headSize, defaultBase: 1_000_000)
    return sizes.model("renamed_mixtral") { layer in
      let prefix = sizes.prefix(layer) + "block_sparse_moe."
      let experts = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "gate"), expert: { .numbered(prefix + "experts.\($0).", width) })
      return sizes.block(layer: layer, sizes.attention(layer: layer, rotary: rotary), experts)
    }
  }
}
