// Families that are known and not run are refused by name and with what they need, wherever the name stands; and no name is both run and refused.

import Formats
import Foundation
import Support
import Testing

@testable import Model

struct KnownGapTests {
  private func refusal(_ config: String) throws -> ModelError? {
    let folder = try TemporaryDirectory()
    let path = try folder.write(Array(config.utf8), to: "config.json")
    do {
      _ = try Family.plan(for: Configuration(path: path, overrides: [:]).ofText())
      return nil
    } catch let error as ModelError { return error }
  }

  @Test func everyGapIsRefusedWithItsReason() throws {
    for gap in KnownGap.all {
      for name in gap.names {
        let error = try #require(try refusal("{\"model_type\": \"\(name)\"}"))
        #expect(error == .missingOperation(file: "config.json", key: "model_type", found: name, needs: gap.needs))
        #expect(error.kind == .unsupported && "\(error)".contains(name) && "\(error)".contains(gap.needs))
        #expect(error.particulars.contains { $0.name == "needs" && $0.value == gap.needs })
      }
    }
  }

  /// A class tells apart what has the type of a family that is run, or of one without experts.
  @Test func theClassIsAskedFirst() throws {
    let error = try refusal("{\"model_type\": \"qwen3_moe\", \"architectures\": [\"GroveMoeForCausalLM\"], \"hidden_size\": 8}")
    guard case .missingOperation(_, "architectures", "GroveMoeForCausalLM", _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  /// A checkpoint that sees too says its type outside of the text model.
  @Test func theWholeIsNamedWhereItIsAWhole() throws {
    let error = try refusal("{\"model_type\": \"glm5_next\", \"text_config\": {\"model_type\": \"glm5_next_text\", \"hidden_size\": 8}}")
    guard case .missingOperation(_, "model_type", "glm5_next", _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func nothingIsBothRunAndRefused() {
    let names = KnownGap.all.flatMap(\.names)
    #expect(Set(names).count == names.count, "one reason for each name")
    let run = Set(Family.all.map(\.modelType) + Family.all.compactMap(\.wrapper) + GGUFFamily.all.map(\.architecture))
    #expect(run.isDisjoint(with: names))
    #expect(Set(GGUFFamily.all.map(\.architecture)).isDisjoint(with: KnownGap.ofGGUF.flatMap(\.names)))
  }

  /// A GGUF file says its architecture, and with it what it would take.
  @Test(arguments: ["grovemoe", "hy_v4"]) func filesAreRefusedByTheirArchitecture(_ name: String) throws {
    let folder = try TemporaryDirectory()
    let own = name == "hy_v4" ? "hy_v3" : "deepseek"
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: try #require(Fixtures.own("gguf/\(own).gguf")))))
    while let place = bytes.firstRange(of: Array(own.utf8)) { bytes.replaceSubrange(place, with: Array(name.utf8)) }
    let path = try folder.write(bytes, to: "model.gguf")
    do {
      _ = try LanguageModel(path: path)
      Issue.record("\(name) was opened")
    } catch let error as ModelError {
      guard case .missingOperation(_, "general.architecture", name, _) = error else {
        Issue.record("\(error)")
        return
      }
    }
  }

  /// The file's own hash of n-grams is compared when it is opened: another seed would choose other rows.
  @Test(arguments: [("seed", "8"), ("ngram_vocab_size_base", "44"), ("ngram_size", "3")])
  func otherHashesOfAFileAreRefused(_ key: String, _ value: String) throws {
    var settings = try #require(GGUFParityTests.converted["qwen4_exp-wrapped"])
    settings[key] = value
    #expect(throws: ModelError.self) {
      try LanguageModel(path: #require(Fixtures.own("gguf/qwen4_exp-wrapped.gguf")), overrides: settings)
    }
  }

  /// `architectures` of another form says nothing.
  @Test(arguments: ["\"MixtralForCausalLM\"", "[1, null]", "{}", "null"])
  func aClassThatIsNoneIsNoReason(_ text: String) throws {
    let fixture = try #require(ModelFixture.named("mixtral").first)
    #expect(throws: Never.self) { try LanguageModel(path: fixture.folder, overrides: ["architectures": text]) }
  }
}
