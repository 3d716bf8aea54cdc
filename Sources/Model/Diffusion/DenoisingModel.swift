// A checkpoint of a denoising model that is ready to run: its plan, its bound weights and what there is to know about it.

import Formats
import Routing

/// A Mixture-of-Experts model that turns noise into latent images. Immutable; several passes may share it.
public final class DenoisingModel: Sendable {
  /// Folder or file of the checkpoint as the caller named it.
  public let path: String
  let plan: DenoisingPlan
  let weights: DenoisingWeights
  /// Settings that the file leaves out: field and value as JSON, and where the value was taken from.
  public let assumed: [(key: String, value: String)]

  /// Whether the checkpoint is one of this kind, as far as its configuration or the names of its tensors tell.
  public static func isAt(_ path: String) -> Bool {
    guard !GGUFFile.isAt(path) else { return false }
    let configuration = path + "/config.json"
    guard FileStatus.exists(configuration) else { return DenoisingShapes.fit(path) }
    let type = try? JSON.read(configuration, options: .python).stringIfPresent("model_type")
    return DenoisingFamily.all.contains { $0.modelType == type }
  }

  /// - Parameters:
  ///   - path: folder with config.json and weights, or a single file of weights whose shapes tell the rest.
  ///   - overrides: `key=value` replacements for fields of config.json, values as JSON.
  /// - Throws: `ModelError` for what is missing, unsupported or of the wrong shape, `FormatError` for damaged files.
  public init(path: String, overrides: [String: String] = [:]) throws {
    self.path = path
    guard FileStatus.exists(path) else { throw ModelError.noCheckpoint(path: path, why: "there is no such file or folder") }
    let configuration = path + "/config.json"
    let settings: Configuration
    let checkpoint: Checkpoint
    if FileStatus.exists(configuration) {
      settings = try Configuration(path: configuration, overrides: overrides)
      checkpoint = try Checkpoint(directory: path)
      assumed = []
    } else {
      checkpoint = try DenoisingShapes.open(path)
      let shapes = try DenoisingShapes(checkpoint, overrides: overrides)
      try shapes.requireAnswers(overrides)
      settings = try Configuration(file: shapes.file, fields: shapes.fields, overrides: overrides)
      assumed = shapes.assumed.filter { overrides[$0.key] == nil }
    }
    plan = try DenoisingFamily.plan(for: settings)
    do {
      weights = try DenoisingWeights(plan: plan, checkpoint: checkpoint)
    } catch RoutingError.invalidSpec(let expected, let found) {
      throw ModelError.configuration(file: settings.file, key: "the router's fields", expected: expected, found: found)
    }
  }

  public var family: String { plan.family }
  public var layerCount: Int { plan.blocks.count }
  public var hiddenSize: Int { plan.hiddenSize }
  public var classCount: Int { plan.classCount }
  /// Whether the model knows "no class": what guidance needs.
  public var hasNullClass: Bool { plan.hasNullClass }
  /// The factor of guidance when nobody says one; nil where there is no second branch.
  public var usualGuidance: Float? { plan.hasNullClass ? plan.sampling.guidance : nil }
  /// Names of the classes; empty when the checkpoint brings none.
  public var classNames: [String] { plan.classNames }
  /// What a reader of its numbers must know about how its authors run it.
  public var remark: String? { plan.remark }
  public var channels: Int { plan.channels }
  /// Rows (and columns) of the latent.
  public var inputSize: Int { plan.inputSize }
  /// Patches along one side.
  public var gridSize: Int { plan.gridSize }
  public var sampling: (rule: SamplingRule, steps: Int) { (plan.sampling.rule, plan.sampling.steps) }
  /// Steps of the noise schedule the model was trained with.
  public var trainedSteps: Int { plan.sampling.trainedSteps }
  /// Every router, in layer order.
  public var routers: [RouterDescription] { weights.routers }
  /// Experts that every patch takes, by router in the order of `routers`.
  public var sharedExpertCounts: [Int] { weights.sharedExpertCounts }
  /// Whether the timestep alone decides: one decision a sample, step and branch.
  public var routesByTimestep: Bool { weights.blocks.contains { $0.mask != nil } }

  /// The last component of the path.
  public var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  /// What there is to know about the files before their numbers are used: see `Checkpoint.notes`.
  public var notes: [String] {
    let checkpoint = weights.checkpoint
    return checkpoint.notes(TextLayers(count: nil, among: checkpoint.tensors))
  }

  /// Name of a class, or its number.
  public func className(_ index: Int) -> String { index < classNames.count ? classNames[index] : String(index) }
}

extension DenoisingModel {
  /// Parameter counts and sizes, from shapes; "active" is what one patch meets.
  public func facts() -> ModelFacts {
    let checkpoint = weights.checkpoint
    let idle = weights.idle
    let routed = Set(routers.map(\.id.layer)).count
    let count = ParameterCount(checkpoint.written)
    let total = count.total
    return ModelFacts(
      stored: ModelFacts.Stored.table(of: checkpoint.tensors, count), parameters: total, activeParameters: total - idle.parameters,
      activeWithEmbeddings: total - idle.parameters, weightBytes: checkpoint.weightBytes, activeBytes: checkpoint.weightBytes - idle.bytes,
      unusedTensors: weights.unusedTensors,
      routedLayers: routed, denseLayers: layerCount - routed, cacheBytesPerToken: 0, stateBytes: 0,
      routerPrecision: weights.routerPrecision.map { "\($0)" } ?? "none")
  }

  public var identity: ModelIdentity {
    let facts = facts()
    return ModelIdentity(
      name: name, family: family, path: path, filesHash: "", quantization: facts.quantization, routerPrecision: facts.routerPrecision,
      tokenizerHash: "", layerCount: layerCount, vocabularySize: 0)
  }
}
