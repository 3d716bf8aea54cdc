// Every family against running reference models: router logits, experts, weights, hidden states and logits, by the rules of `verify`.

import Formats
import Foundation
import Model
import Routing
import Support
import Testing

struct FamilyParityTests {
  private struct Input: Decodable {
    var sequences: [[Int32]]
  }

  /// Tiny models that travel with the project.
  static let families = [
    "olmoe", "mixtral", "qwen3_moe", "lfm2_moe", "qwen3_next", "minimax", "minimax-factors", "jetmoe", "granitemoehybrid",
    "granitemoehybrid-rope-groups",
  ]

  private func sequences(_ folder: String) throws -> [TokenSequence] {
    try JSONDecoder().decode(Input.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/input.json"))).sequences.enumerated().map {
      TokenSequence(SequenceDescription(name: "sequence \($0)"), tokens: $1)
    }
  }

  private func report(_ family: String, passLimit: Int = 512, threads: Int? = nil, configuration: String = "config.json") throws
    -> VerificationReport
  {
    let source = try #require(Fixtures.own("models/\(family)"))
    let folder = try TemporaryDirectory()
    for (from, to) in [(configuration, "config.json"), ("model.safetensors", "model.safetensors")] {
      try FileManager.default.createSymbolicLink(atPath: folder.file(to), withDestinationPath: "\(source)/\(from)")
    }
    let model = try LanguageModel(path: folder.path)
    return try Verifier(model, threads: threads, passLimit: passLimit).verify(
      sequences(source), against: SafetensorsFile(path: source + "/expected.safetensors"))
  }

  @Test(arguments: families)
  func equalsTheReference(_ family: String) throws {
    let report = try report(family)
    for entry in report.entries { #expect(entry.outcome == .equal || entry.outcome == .within, "\(entry)") }
    #expect(report.holds)
    #expect(report.decisions >= 96 && report.equalDecisions == report.decisions)
  }

  @Test(arguments: families)
  func readsTheOlderConfigurationSpelling(_ family: String) throws {
    #expect(try report(family, configuration: "config_v4.json").holds)
  }

  @Test(arguments: [1, 5, 24])
  func doesNotDependOnHowTheSequenceIsCut(_ passLimit: Int) throws {
    #expect(try report("qwen3_moe", passLimit: passLimit, threads: 1).holds)
  }
}
