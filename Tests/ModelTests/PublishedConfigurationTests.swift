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
    _ = try whole.packing()
    return try Family.plan(for: whole.ofText())
  }

  /// What transformers 4 and other programs leave in every configuration, at whatever depth.
  private static let boilerplate: [String: String] = [
    "add_cross_attention": "false", "bad_words_ids": "[[1]]", "cross_attention_hidden_size": "\"\"", "do_sample": "true",
    "max_length": "20",
    "num_beams": "1", "pruned_heads": "{}", "remove_invalid_values": "false", "temperature": "1.0", "tf_legacy_loss": "false",
    "top_k": "50",
    "top_p": "1.0", "torchscript": "false", "typical_p": "1.0", "use_bfloat16": "false", "unsloth_fixed": "true",
    "unsloth_version": "\"2025.9.1\"", "model_name": "\"unsloth/x\"", "attn_implementation": "\"sdpa\"", "use_grouped_mm": "true",
    "load_balance_coeff": "0.001",
  ]

  @Test(arguments: files)
  func acceptsWhatDoesNotMatter(_ path: String) throws { #expect(throws: Never.self) { try Self.plan(path, Self.boilerplate) } }

  /// A sound published configuration is described without a word of what the reference takes for fields that it leaves out.
  @Test(arguments: files) func nothingIsAssumed(_ path: String) throws {
    let whole = try Configuration(path: path, overrides: [:])
    _ = try whole.packing()
    let settings = try whole.ofText()
    _ = try Family.plan(for: settings)
    #expect(settings.assumptions.map { "\($0.key) = \($0.value)" } == [])
  }

  @Test func acceptsItInsideAWrapper() throws {
    let folder = try TemporaryDirectory()
    let inner = try String(contentsOfFile: Self.published("Kimi-K2-Instruct"), encoding: .utf8)
    let more = Self.boilerplate.map { "\"\($0)\": \($1)" }.sorted().joined(separator: ", ")
    let text = inner.replacing(/^\s*\{/, with: "{\(more), ", maxReplacements: 1)
    let path = try folder.write(
      Array("{\"model_type\": \"kimi_k25\", \"media_placeholder_token_id\": 163605, \"text_config\": \(text)}".utf8), to: "config.json")
    #expect(try Self.plan(path).family == "kimi_k2")
  }

  /// Parts of the same boilerplate that would matter if they were used.
  @Test(arguments: [("add_cross_attention", "true"), ("pruned_heads", "{\"1\": [0]}"), ("tie_encoder_decoder", "true")])
  func refusesWhatWouldMatter(_ key: String, _ value: String) throws {
    #expect(throws: ModelError.self) { try Self.plan(Self.published("Mixtral-8x7B-v0.1"), [key: value]) }
  }

  /// Second spellings of other programs are held to what runs: accepted where they agree, refused by name where they do not.
  @Test func secondSpellingsHaveToAgree() throws {
    let routed = "[false" + String(repeating: ", true", count: 47) + "]"
    let cases: [(name: String, agrees: [String: String], differs: [String: String])] = [
      (
        "K-EXAONE-236B-A23B", ["first_last_k_dense_replace": "1", "is_moe_layer": routed],
        ["is_moe_layer": routed.replacing("[false", with: "[true")]
      ),
      (
        "Trinity-Mini", ["n_group": "1", "topk_group": "1", "num_expert_groups": "1", "num_limited_groups": "1"],
        ["n_group": "8", "num_expert_groups": "4"]
      ),
      (
        "jetmoe-8b",
        [
          "bias": "true", "ffn_hidden_size": "5632", "glu": "true", "moe_num_experts": "8", "moe_top_k": "2", "n_layer": "24",
          "n_positions": "4096", "rotary_percent": "1.0",
        ],
        [
          "bias": "false", "ffn_hidden_size": "11264", "glu": "false", "moe_num_experts": "16", "moe_top_k": "4", "n_layer": "12",
          "n_positions": "8192", "rotary_percent": "0.5",
        ]
      ),
    ]
    for (name, agrees, differs) in cases {
      let path = try Self.published(name)
      #expect(throws: Never.self, "\(name)") { try Self.plan(path, agrees) }
      for (key, value) in differs {
        do {
          _ = try Self.plan(path, agrees.merging([key: value]) { $1 })
          Issue.record("\(name): \(key) = \(value) was accepted")
        } catch { #expect("\(error)".contains(key), "\(error)") }
      }
    }
  }

  /// EXAONE-MoE's first configurations have only the other spelling.
  @Test func aSpellingOfTheFirstDaysIsRead() throws {
    let settings = ["first_k_dense_replace": "null", "mlp_layer_types": "null", "first_last_k_dense_replace": "1"]
    let plan = try Self.plan(Self.published("K-EXAONE-236B-A23B"), settings)
    #expect(plan.decoder.blocks.count { $0.sublayers[1].operation is GatedPlan } == 1)
  }

  /// A width of dense layers that there are none of need not be said.
  @Test(arguments: [
    ("Solar-Open-100B", "intermediate_size", [String: String]()),
    ("DeepSeek-V3", "intermediate_size", ["first_k_dense_replace": "0"]),
    ("Qwen3-30B-A3B", "intermediate_size", [String: String]()), ("Trinity-Mini", "intermediate_size", ["num_dense_layers": "0"]),
    ("LFM2-8B-A1B", "intermediate_size", ["num_dense_layers": "0"]),
    ("ERNIE-4.5-21B-A3B-PT", "intermediate_size", ["moe_layer_start_index": "0"]),
    ("Llama-4-Scout-17B-16E", "intermediate_size_mlp", [String: String]()),
  ])
  func aWidthThatNoLayerHasIsNotRequired(_ name: String, _ width: String, _ routed: [String: String]) throws {
    let path = try Self.published(name)
    #expect(throws: Never.self) { try Self.plan(path, routed.merging([width: "null"]) { $1 }) }
    if !routed.isEmpty { #expect(throws: ModelError.self) { try Self.plan(path, [width: "null"]) } }
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
