// The list of families: one line each. Adding one means writing its declaration in a file beside this one and naming it here.

/// A family's declaration: configuration in, plan out.
struct Family: Sendable {
  /// `model_type` of config.json.
  let modelType: String
  /// `model_type` of checkpoints that see too, where the part that is this text model need not say its own.
  var wrapper: String?
  /// Another such name, of the publisher's own program.
  var publishedWrapper: String?
  /// What the reference's configuration class takes for fields that a config.json leaves out, as JSON, where that is more than silence
  /// says: a declaration reads these as if the file had them.
  var defaults: [String: String] = [:]
  /// - Throws: `ModelError` for a value that is missing, wrong or not supported.
  let plan: @Sendable (Configuration) throws -> ModelPlan

  static let all: [Family] = [
    .afmoe, .ariaText, .axK1, .axK2, .bailingHybrid, .bailingMoE, .cohere2MoE, .dbrx, .deepSeek, .deepSeekOCR, .deepSeekV2, .deepSeekV3,
    .deepSeekV32,
    .deepSeekV4, .dots1, .ernie45MoE, .ernie45VL, .ernie45VLText, .exaoneMoE, .flexOlmo, .flint, .gemma4, .glm4MoE, .glm4MoELite, .glm4VMoE,
    .glmMoEDSA,
    .gptOss, .graniteMoE, .graniteMoEHybrid, .graniteMoEShared, .graniteMoESWA, .hunYuanMoE, .hunYuanV3, .hunYuanV4, .jamba, .jetMoE,
    .kimiK2, .kimiLinear, .kolibri1, .laguna, .lfm2MoE, .llama4Text, .llamaMoE, .llamaMoEUpscaling, .longCatFlash, .mellum, .miMoV2Flash,
    .miniMax, .miniMaxM2,
    .miniMaxM3, .miniMaxM3Text, .mistral4, .mixtral, .moeUT, .monet, .nemotronH, .nllbMoE, .olmoe, .phiMoE, .qwen2MoE, .qwen35MoE,
    .qwen3MoE,
    .qwen3Next, .qwen3OmniMoE, .qwen3VLMoE, .qwen4Exp, .sarvamMLA, .sarvamMoE, .smallThinker, .solarOpen, .step35, .switchTransformers,
  ]

  /// - Throws: `ModelError.missingOperation`, `.unsupportedFamily`, or what the declaration throws.
  static func plan(for configuration: Configuration, among families: [Family] = all) throws -> ModelPlan {
    let type = try configuration.text("model_type")
    let classes = configuration.value("architectures")?.elements.compactMap(\.string) ?? []
    if let (name, gap) = KnownGap.among(classes + [type]) {
      throw ModelError.missingOperation(
        file: configuration.file, key: name == type ? "model_type" : "architectures", found: name, needs: gap.needs)
    }
    guard let family = families.first(where: { $0.modelType == type }) else {
      throw ModelError.unsupportedFamily(file: configuration.file, found: type, known: families.map(\.modelType).sorted())
    }
    try configuration.refer(to: family.defaults)
    let plan = try family.plan(configuration)
    try configuration.finish()
    return plan
  }
}
