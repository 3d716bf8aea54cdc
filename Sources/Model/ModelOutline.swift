// Which routers does a model have, if only its configuration is there? For records whose weights are on another machine: layers, experts and
// rules without the tensors that belong to them (a correction bias).

import Routing

/// What a config.json says of a model's routers.
public struct ModelOutline: Sendable {
  public let identity: ModelIdentity
  public let routers: [RouterDescription]

  /// - Parameter configuration: the file.
  /// - Throws: `ModelError`, `FormatError`.
  public init(configuration: String, overrides: [String: String] = [:]) throws {
    let whole = try Configuration(path: configuration, overrides: overrides)
    let plan = try Family.plan(for: whole.ofText(among: Family.all))
    routers =
      Self.routers(plan.encoder?.stack.blocks ?? []) + Self.routers(plan.decoder.blocks)
    let parts = configuration.split(separator: "/").map(String.init)
    identity = ModelIdentity(
      name: parts.count > 1 ? parts[parts.count - 2] : configuration, family: plan.family, path: configuration, filesHash: "",
      quantization: "", routerPrecision: "", tokenizerHash: "",
      layerCount: (plan.encoder?.stack.blocks.count ?? 0) + plan.decoder.blocks.count, vocabularySize: plan.vocabularySize)
  }

  private static func routers(_ blocks: [BlockPlan]) -> [RouterDescription] {
    blocks.enumerated().flatMap { layer, block in
      block.sublayers.compactMap { sublayer in
        guard let routed = sublayer.operation as? any RoutedPlan else { return nil }
        return RouterDescription(id: RouterID(stack: routed.stack, layer: layer), spec: routed.router)
      }
    }
  }
}

/// A plan whose operation chooses among experts.
protocol RoutedPlan: OperationPlan {
  var stack: RouterStack { get }
  var router: RouterSpec { get }
}

extension ExpertsPlan: RoutedPlan {}

extension AttentionMixturePlan: RoutedPlan {
  var stack: RouterStack { .attention }
}
