// Does the family's declaration accept what published checkpoints say of themselves? Tests/Fixtures/configs has the fields of their
// config.json; and the ones that the reference ignores are refused where they ask for something else.

import Foundation
import Routing
import Support
import Testing

@testable import Model

struct PublishedConfigurationTests {
  static let files: [String] = {
    let folder = Fixtures.root + "/Tests/Fixtures/configs"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(".json") }.sorted().map { "\(folder)/\($0)" }
  }()

  private static func plan(_ path: String, _ overrides: [String: String] = [:]) throws -> ModelPlan {
    let whole = try Configuration(path: path, overrides: overrides)
    _ = try whole.scaleBlock()
    return try Family.plan(for: whole.ofText())
  }

  private static func published(_ name: String) throws -> String { try #require(files.first { $0.hasSuffix("/\(name).json") }) }

  @Test(arguments: files)
  func isAccepted(_ path: String) throws {
    let plan = try Self.plan(path)
    let routers = plan.decoder.blocks.flatMap(\.sublayers).compactMap { ($0.operation as? ExpertsPlan)?.router }
    #expect(!routers.isEmpty)
    for router in routers { try router.validate() }
  }

  @Test func thereAreManyOfThem() { #expect(Self.files.count >= 30) }

  /// Left out, the power that DBRX normalises its weights by is 1; null is none.
  @Test func absenceIsNotNull() throws {
    func normalization(_ settings: [String: String]) throws -> RouterSpec.Normalization? {
      let experts = try Self.plan(Self.published("dbrx-base"), settings).decoder.blocks[0].sublayers[1].operation as? ExpertsPlan
      return experts?.router.normalization
    }
    #expect(try normalization([:]) == .pNorm(1))
    #expect(
      try normalization([
        "ffn_config": "{\"moe_num_experts\": 16, \"moe_top_k\": 4, \"ffn_hidden_size\": 64, \"moe_normalize_expert_weights\": null}"
      ])
        == RouterSpec.Normalization.none)
  }

  /// The base that Hunyuan-A13B's alpha amounts to, as its technical report's context of 256K needs it.
  @Test func alphaStretchesTheBase() throws {
    let attention = try Self.plan(Self.published("Hunyuan-A13B-Instruct")).decoder.blocks[0].sublayers[0].operation as? AttentionPlan
    let base = try #require(attention?.rotary?.base)
    #expect(abs(base - 11_158_839.9251) < 1)
  }

  /// The reference turns whole heads in these, whatever `partial_rotary_factor` says.
  @Test(arguments: ["MiniMax-Text-01-hf", "LFM2-8B-A1B", "jetmoe-8b", "granite-3.0-1b-a400m-base", "Mixtral-8x7B-v0.1"])
  func refusesToTurnPartsOfHeads(_ name: String) throws {
    let path = try Self.published(name)
    let whole = ["partial_rotary_factor": "1.0", "rotary_dim": "null"]
    #expect(throws: Never.self) { try Self.plan(path, whole) }
    do {
      _ = try Self.plan(path, whole.merging(["partial_rotary_factor": "0.5"]) { $1 })
      Issue.record("accepted")
    } catch { #expect("\(error)".contains("partial_rotary_factor = 0.5 is not supported"), "\(error)") }
  }

  @Test func refusesThemInGraniteHybridToo() throws {
    let settings = ["position_embedding_type": "\"rope\"", "partial_rotary_factor": "0.5"]
    #expect(throws: ModelError.self) { try Self.plan(Self.published("granite-4.0-h-small"), settings) }
  }

  /// A checkpoint that sees too: its settings are a part of the configuration, its tensors have a prefix.
  @Test func opensTheTextModelOfALargerOne() throws {
    let fixture = try #require(ModelFixture.named("llama4_text").first)
    let text = try String(contentsOfFile: fixture.file("config.json"), encoding: .utf8)
    let folder = try TemporaryDirectory()
    try folder.write(Array("{\"model_type\": \"llama4\", \"vision_config\": {}, \"text_config\": \(text)}".utf8), to: "config.json")
    let tensors = try StoredTensor.read(fixture.file("model.safetensors")).map { tensor in
      var tensor = tensor
      tensor.name = "language_model." + tensor.name
      return tensor
    }
    try StoredTensor.write(tensors, to: folder.file("model.safetensors"))
    let model = try LanguageModel(path: folder.path)
    #expect(model.family == "llama4_text" && model.endTokens == [2] && model.facts().unusedTensors.isEmpty)
    #expect(try fixture.report(model).holds)
    #expect(ModelSummary(path: folder.path).obstacle == nil)
  }

  /// Settings of the user reach the part of a configuration that is about the text model.
  @Test func overridesReachTheTextModel() throws {
    let attention =
      try Self.plan(Self.published("Llama-4-Scout-17B-16E"), ["attention_chunk_size": "16"])
      .decoder.blocks[0].sublayers[0].operation as? AttentionPlan
    #expect(attention?.chunk == 16)
  }
}
