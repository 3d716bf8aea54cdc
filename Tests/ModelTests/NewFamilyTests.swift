// What adding a family takes: RenamedMixtral.swift and its place in a list. Nothing else in the product knows it.

import Foundation
import Testing

@testable import Model

struct NewFamilyTests {
  /// The one line.
  private static let families = Family.all + [.renamedMixtral]

  @Test func aNewFamilyIsOneFileAndOneLine() throws {
    let mixtral = try #require(ModelFixture.named("mixtral").first)
    let folder = try mixtral.linked(without: ["config.json"])
    let settings = try String(contentsOfFile: mixtral.file("config.json"), encoding: .utf8)
      .replacingOccurrences(of: "\"model_type\": \"mixtral\"", with: "\"model_type\": \"renamed_mixtral\"")
      .replacingOccurrences(of: "\"num_local_experts\"", with: "\"expert_total\"")
      .replacingOccurrences(of: "\"num_experts_per_tok\"", with: "\"experts_used\"")
      .replacingOccurrences(of: "\"sliding_window\": null,", with: "")
    try folder.write(Array(settings.utf8), to: "config.json")

    let model = try LanguageModel(path: folder.path, families: Self.families)
    #expect(model.family == "renamed_mixtral")
    let report = try mixtral.report(model)
    #expect(report.holds && report.decisions == 96 && report.equalDecisions == 96)
    #expect(throws: ModelError.self) { try LanguageModel(path: folder.path) }
  }
}
