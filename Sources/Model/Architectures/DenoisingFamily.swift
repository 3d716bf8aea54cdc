// The list of families that denoise images: one line each, as `Family` is for language models.

import Routing

/// A family's declaration: configuration in, plan out.
struct DenoisingFamily: Sendable {
  /// `model_type` of config.json. Published checkpoints have no config.json: `DenoisingShapes` writes one from names and shapes.
  let modelType: String
  /// - Throws: `ModelError` for a value that is missing, wrong or not supported.
  let plan: @Sendable (Configuration) throws -> DenoisingPlan

  static let all: [DenoisingFamily] = [.diTMoE, .switchDiT]

  /// - Throws: `ModelError.unsupportedFamily`, or what the declaration throws.
  static func plan(for configuration: Configuration) throws -> DenoisingPlan {
    let type = try configuration.text("model_type")
    guard let family = all.first(where: { $0.modelType == type }) else {
      throw ModelError.unsupportedFamily(file: configuration.file, found: type, known: all.map(\.modelType).sorted())
    }
    let plan = try family.plan(configuration)
    try configuration.finish()
    return plan
  }
}

/// The sizes that diffusion transformers share, and the parts that have the same names in all of them.
///
/// | key          | meaning                                                        | default  |
/// |--------------|----------------------------------------------------------------|----------|
/// | input_size   | rows and columns of the latent                                 | required |
/// | patch_size   | rows and columns of a patch                                    | required |
/// | in_channels  | channels of the latent                                         | required |
/// | hidden_size  | width of the residual stream                                   | required |
/// | depth        | blocks                                                         | required |
/// | num_heads    | attention heads                                                | required |
/// | num_classes  | classes, without "no class"                                    | required |
/// | learn_sigma  | the answer has a second half, the variance                     | true     |
/// | sampler      | rectified-flow or ddpm                                         | ddpm     |
/// | noise_schedule | of ddpm: linear or cosine                                    | linear   |
/// | guidance     | factor of classifier-free guidance when nobody says one        | the authors' |
/// | null_class   | the table of classes has a last row for "no class"              | true     |
/// | class_names  | a name for each class                                          | none     |
struct DiffusionTransformerSizes {
  var inputSize: Int
  var patchSize: Int
  var channels: Int
  var hidden: Int
  var depth: Int
  var heads: Int
  var classes: Int
  var predictsVariance: Bool
  var rule: SamplingRule
  var hasNullClass: Bool
  var guidance: Float?
  var classNames: [String]

  init(_ configuration: Configuration) throws {
    inputSize = try configuration.count("input_size")
    patchSize = try configuration.count("patch_size")
    channels = try configuration.count("in_channels")
    hidden = try configuration.count("hidden_size")
    depth = try configuration.layerCount("depth")
    heads = try configuration.count("num_heads")
    classes = try configuration.count("num_classes")
    predictsVariance = try configuration.flag("learn_sigma", default: true)
    let schedule = try configuration.text("noise_schedule", default: "linear")
    let sampler = try configuration.text("sampler", default: "ddpm") + (schedule == "linear" ? "" : "-\(schedule)")
    guard let rule = SamplingRule(name: sampler) else {
      throw configuration.refused("sampler", found: "\"\(sampler)\"", supported: SamplingRule.names)
    }
    self.rule = rule
    if rule != .rectifiedFlow && !predictsVariance {
      throw configuration.refused("sampler", found: "\"\(sampler)\"", supported: "rectified-flow: the model predicts no variance")
    }
    hasNullClass = try configuration.flag("null_class", default: classes > 1)
    guidance = configuration.value("guidance") == nil ? nil : Float(try configuration.positive("guidance", default: 1))
    classNames = try configuration.texts("class_names")
    func require(_ holds: Bool, _ key: String, _ expected: String, _ found: Int) throws {
      if !holds { throw ModelError.configuration(file: configuration.file, key: key, expected: expected, found: "\(found)") }
    }
    try require(inputSize <= 4096, "input_size", "at most 4096", inputSize)
    try require(channels <= 4096, "in_channels", "at most 4096", channels)
    try require(inputSize % patchSize == 0, "patch_size", "a divisor of input_size \(inputSize)", patchSize)
    try require(hidden % heads == 0, "num_heads", "a divisor of hidden_size \(hidden)", heads)
    // Names become labels of a trace, where a database ends a text at a NUL.
    if let name = classNames.firstIndex(where: { $0.utf8.contains(0) }) {
      throw ModelError.configuration(file: configuration.file, key: "class_names[\(name)]", expected: "a name without NUL", found: "one")
    }
    try require(classNames.isEmpty || classNames.count == classes, "class_names", "\(classes) names", classNames.count)
  }

  var patchCount: Int { inputSize / patchSize * (inputSize / patchSize) }

  /// Attention of a block; `merged` holds query, key and value one below the other.
  func attention(_ prefix: String, merged: String, output: String) -> PatchAttentionPlan {
    func part(_ index: Int) -> LinearPlan {
      LinearPlan(
        MatrixPlan("\(prefix)\(merged).weight", storedShape: [3 * hidden, hidden], firstRow: index * hidden),
        bias: VectorPlan("\(prefix)\(merged).bias", storedShape: [3 * hidden], first: index * hidden))
    }
    return PatchAttentionPlan(
      headCount: heads, headSize: hidden / heads, patchCount: patchCount, query: part(0), key: part(1), value: part(2),
      output: LinearPlan(prefix: prefix + output, bias: true))
  }

  func plan(
    _ family: String, guidance usual: Float, guidedOutputs: Int, steps: Int, block: (_ layer: Int, _ prefix: String) -> DenoisingBlockPlan
  ) -> DenoisingPlan {
    let patches = inputSize / patchSize
    return DenoisingPlan(
      family: family, inputSize: inputSize, patchSize: patchSize, channels: channels, predictsVariance: predictsVariance,
      hiddenSize: hidden, classCount: classes, hasNullClass: hasNullClass,
      patchEmbedding: LinearPlan(
        MatrixPlan("x_embedder.proj.weight", storedShape: [hidden, channels, patchSize, patchSize], columnAxes: 3),
        bias: "x_embedder.proj.bias"),
      positions: MatrixPlan("pos_embed", storedShape: [1, patches * patches, hidden]),
      timestepInput: LinearPlan(prefix: "t_embedder.mlp.0", bias: true),
      timestepOutput: LinearPlan(prefix: "t_embedder.mlp.2", bias: true),
      classEmbedding: "y_embedder.embedding_table.weight", blocks: (0..<depth).map { block($0, "blocks.\($0).") },
      finalModulation: LinearPlan(prefix: "final_layer.adaLN_modulation.1", bias: true),
      output: LinearPlan(prefix: "final_layer.linear", bias: true),
      sampling: SamplingPlan(rule: rule, steps: steps, guidance: guidance ?? usual, guidedOutputs: guidedOutputs),
      classNames: classNames)
  }
}
