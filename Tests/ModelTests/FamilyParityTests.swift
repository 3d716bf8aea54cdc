// Every family against running reference models: router logits, experts, weights, hidden states and logits, by the rules of `verify`.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct FamilyParityTests {
  @Test func everyFamilyHasAModelHere() {
    let shown = Set(ModelFixture.all.map(\.modelType))
    for family in Family.all where !shown.contains(family.modelType) {
      Issue.record("no folder of Tests/Fixtures/models has model_type \(family.modelType): add a row to tools/make_models.py")
    }
  }

  /// docs/models.md has a row for every family and for every folder.
  @Test func everyModelIsOnThePage() throws {
    let page = try String(contentsOfFile: Fixtures.root + "/docs/models.md", encoding: .utf8)
    for family in Family.all where !page.contains("| `\(family.modelType)` |") {
      Issue.record("docs/models.md lacks \(family.modelType): tools/make_models_page.py writes the page")
    }
    for fixture in ModelFixture.all where !page.contains("| `\(fixture.modelType)` | \(fixture.name) |") {
      Issue.record("docs/models.md lacks the model \(fixture.name): tools/make_models_page.py writes the page")
    }
    for gap in KnownGap.all where !page.contains("| \(gap.needs) |") {
      Issue.record("docs/models.md lacks a family that is not run: \(gap.names)")
    }
    #expect(!page.contains("differs**"))
  }

  /// Both spellings of the configuration where there are two.
  @Test(arguments: ModelFixture.all)
  func equalsTheReference(_ fixture: ModelFixture) throws {
    for configuration in fixture.configurations {
      let folder = try fixture.linked(without: ["config.json"])
      try FileManager.default.createSymbolicLink(
        atPath: folder.file("config.json"), withDestinationPath: fixture.file(configuration))
      let model = try LanguageModel(path: folder.path)
      let report = try fixture.report(model)
      for entry in report.entries {
        #expect(entry.outcome == .equal || entry.outcome == .within, "\(configuration): \(entry)")
      }
      #expect(report.holds)
      #expect(report.decisions > 0 && report.equalDecisions == report.decisions)
      // The reference saves weights of identity experts too, and a shared embedding that is not tied, and does not use them; checkpoints
      // that see hold a tower and experts for images.
      let hasIdentities = model.routers.contains { $0.spec.identityExperts > 0 }
      let isForgotten = { (name: String) in
        !(model.hasEncoder && name.hasSuffix("shared.weight")) && ModelPart(name, of: model.layers) == .text
      }
      #expect(hasIdentities || !model.facts().unusedTensors.contains(where: isForgotten), "\(model.facts().unusedTensors)")
    }
  }

  /// Windows, chunks, latent attention, sinks: each with its own way of looking back over a cut.
  @Test(
    arguments: ModelFixture.named(
      "mixtral-window", "deepseek_v3", "gpt_oss", "llama4_text", "longcat_flash", "gemma4", "mimo_v2_flash", "mistral4", "laguna",
      "deepseek_v32", "glm_moe_dsa", "deepseek_v4", "deepseek_v4-yarn", "minimax_m3", "minimax_m3-wrapped", "step3p5", "axk2",
      "axk2-groups", "qwen4_exp", "qwen4_exp-wrapped", "smallthinker", "hy_v4", "moeut", "moeut-dense"),
    [(1, 1), (5, 2), (24, 1)])
  func doesNotDependOnHowTheSequenceIsCut(_ fixture: ModelFixture, _ cut: (tokens: Int, threads: Int)) throws {
    let report = try fixture.report(LanguageModel(path: fixture.folder), threads: cut.threads, passLimit: cut.tokens)
    #expect(report.holds && report.equalDecisions == report.decisions)
  }

  @Test(arguments: [ElementType.f32, .f16])
  func equalsTheReferenceInOtherTypes(_ type: ElementType) throws {
    for fixture in ModelFixture.named("qwen2_moe", "gpt_oss") {
      let folder = try fixture.linked(without: ["model.safetensors"])
      try StoredTensor.write(
        StoredTensor.read(fixture.file("model.safetensors")).map { $0.converted(type) }, to: folder.file("model.safetensors"))
      let model = try LanguageModel(path: folder.path)
      #expect(model.facts().quantization == type.rawValue)
      #expect(try fixture.report(model).holds)
    }
  }

  @Test func equalsTheReferenceInShards() throws {
    for fixture in ModelFixture.named("mixtral", "deepseek_v3") {
      let folder = try fixture.linked(without: ["model.safetensors"])
      let tensors = try StoredTensor.read(fixture.file("model.safetensors"))
      let shards = (0..<3).map { shard in tensors.indices.filter { $0 % 3 == shard }.map { tensors[$0] } }
      var map: [String: String] = [:]
      for (index, shard) in shards.enumerated() {
        let name = "model-0000\(index + 1)-of-00003.safetensors"
        try StoredTensor.write(shard, to: folder.file(name))
        for tensor in shard { map[tensor.name] = name }
      }
      try folder.write(JSONEncoder().encode(["weight_map": map]), to: "model.safetensors.index.json")
      #expect(try fixture.report(LanguageModel(path: folder.path)).holds)
    }
  }
}
