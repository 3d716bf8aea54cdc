// Superposition in Transformers (Ben Chaliah and Dellagi 2024, arXiv:2501.00530): hidden states of a base model and of a fine-tuned one are
// blended, h = (1 - a) base + a fine-tuned, with an a of each layer that a B-spline over depth gives. Nothing is decided by an input, so the
// curve is the table. Layout: BenChaliah/Superposition-Transformer@a7699f3, class BSplineAlpha of the notebooks, saved in
// merged_model_params.pt under `alpha_module_state_dict`.
//
// | tensor | shape | |
// |---|---|---|
// | `basis_functions` | [layers, points] | the spline's basis at each layer's depth, a buffer of the module |
// | `control_points` | [points], or [points, width] | one a of a layer, or one for each dimension |
// | `layer_biases` | [layers] | a = clamp(basis control_points + 0.1 bias, 0, 1) |
// | `layer_bias` | [layers, width] | a = round to tenths of 0.1 + 0.9 sigmoid(basis control_points + 0.01 bias) |

import Analysis
import Formats
import Foundation
import Routing

extension TableSystem {
  static let superposition = TableSystem(
    name: "superposition", title: "Superposition in Transformers", paper: "2501.00530",
    reads: "tensors control_points, basis_functions and layer_biases or layer_bias (merged_model_params.pt)",
    isRecognised: { !$0.arrays(ending: "control_points").isEmpty && !$0.arrays(ending: "basis_functions").isEmpty },
    table: SuperpositionTable.table)
}

private enum SuperpositionTable {
  static func table(_ source: TableSource) throws -> RouteTable {
    let basis = try array(source, "basis_functions").require(rank: 2, "[layers, control points]")
    let points = try array(source, "control_points")
    let (layers, count) = (basis.shape[0], basis.shape[1])
    let isByDimension = points.shape.count == 2
    let width = isByDimension ? points.shape[1] : 1
    guard points.shape == (isByDimension ? [count, width] : [count]), width > 0 else {
      throw points.unexpected("[\(count)] or [\(count), width], as basis_functions has \(count) columns")
    }
    try source.requireCells([layers, width], "\(layers) layers and \(width) dimensions")
    let biases = try array(source, isByDimension ? "layer_bias" : "layer_biases")
    guard biases.shape == (isByDimension ? [layers, width] : [layers]) else {
      throw biases.unexpected("\(isByDimension ? [layers, width] : [layers]), as basis_functions has \(layers) layers")
    }
    let (basisValues, pointValues, biasValues) = (try basis.numbers(), try points.numbers(), try biases.numbers())
    let rows = (0..<layers).map { layer in
      let alphas = (0..<width).map { dimension in
        let spline = (0..<count).reduce(0) { $0 + basisValues[layer * count + $1] * pointValues[$1 * width + dimension] }
        let bias = biasValues[layer * width + dimension]
        return isByDimension ? quantized(spline + 0.01 * bias) : min(1, max(0, spline + 0.1 * bias))
      }
      let alpha = alphas.reduce(0, +) / Double(width)
      let range = (alphas.min() ?? alpha)...(alphas.max() ?? alpha)
      return RouteTable.Row(
        RouterID(layer: layer), [.number(layer)], weights: [1 - alpha, alpha], range: isByDimension ? range : nil)
    }
    var table = RouteTable(.probability, axes: ["layer"], experts: ["base", "fine-tuned"], rows: rows)
    let mean = rows.reduce(0) { $0 + $1.weights[1] } / Double(layers)
    table.facts = [
      ("mean_alpha", "mean weight of the fine-tuned model, which blends the embeddings", .number(mean)),
      ("dimensions", "blends of a layer", .whole(width)),
    ]
    if isByDimension {
      table.notes = ["a layer has a blend for each dimension: the mean stands and its entropy, the smallest and the largest beside them"]
    }
    return table
  }

  private static func array(_ source: TableSource, _ name: String) throws -> TableArray {
    guard let found = source.arrays(ending: name).first else {
      throw source.lacks("a tensor \(name)", hint: "save alpha_module.state_dict() as the notebooks do, its buffer included")
    }
    return found
  }

  /// Steps of a tenth between 0.1 and 1; halves go to the even neighbour, as torch rounds.
  private static func quantized(_ value: Double) -> Double {
    ((0.1 + 0.9 / (1 + exp(-value))) * 10).rounded(.toNearestOrEven) / 10
  }
}
