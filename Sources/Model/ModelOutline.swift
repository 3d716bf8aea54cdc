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
    blocks.enumerated().flatMap { number, block in
      block.sublayers.flatMap { sublayer in
        (sublayer.operation as? any RoutedPlan)?.routers(in: block.run ?? LayerRun(layer: number)) ?? []
      }
    }
  }
}

/// A plan whose operation chooses among experts.
protocol RoutedPlan: OperationPlan {
  /// Its routers, in the order of their batches.
  func routers(in run: LayerRun) -> [RouterDescription]
}

extension ExpertsPlan: RoutedPlan {
  func routers(in run: LayerRun) -> [RouterDescription] { [RouterDescription(run.router(stack), router)] }
}

extension AttentionMixturePlan: RoutedPlan {
  func routers(in run: LayerRun) -> [RouterDescription] { [RouterDescription(run.router(.attention), router)] }
}

extension HeadMixturePlan: RoutedPlan {
  func routers(in run: LayerRun) -> [RouterDescription] { places(in: run).map { RouterDescription($0, router) } }
}
