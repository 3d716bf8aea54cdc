// Files of diffusion transformers as training scripts leave them, given to the commands.

import Foundation
import Support
import Testing

struct TrainingCheckpointCommandTests {
  private func file(_ name: String) throws -> String { try #require(Fixtures.own("dit/training/\(name)")) }

  @Test func whatTheScriptSavedIsRead() throws {
    let sound = try Binary.run(["inspect", file("switch-dit.pt"), "--set", "num_heads=3"])
    #expect(sound.status == 0, "\(sound.errors)")
    #expect(sound.output.contains("top-2 of 3") && sound.output.contains("guidance 1.5") && !sound.output.contains("num_experts_per_tok ="))
    let open = try Binary.run(["inspect", file("switch-dit.pt")])
    #expect(open.status == 64 && open.errors.contains("--set num_heads="))
  }

  @Test func aRunTakesTheAuthorsGuidance() throws {
    let folder = try TemporaryDirectory()
    let result = try Binary.run([
      "run", file("dit-moe.pt"), "--set", "num_heads=2", "--set", "num_classes=5", "--images", "1", "--steps", "2", "--trace",
      folder.file("t.db"),
    ])
    #expect(result.status == 0, "\(result.errors)")
    let shown = try Binary.run(["runs", "show", folder.file("t.db")])
    #expect(shown.output.contains("rectified-flow, 2 steps, guidance 7.00"), "\(shown.output)")
  }

  @Test func aSamplerThatTheModelCannotServeIsRefused() throws {
    let folder = try TemporaryDirectory()
    let source = try #require(Fixtures.own("dit/timm"))
    try FileManager.default.copyItem(atPath: source + "/model.safetensors", toPath: folder.file("model.safetensors"))
    let configuration = try String(contentsOfFile: source + "/config.json", encoding: .utf8)
    try folder.write(Array(configuration.replacing("\"learn_sigma\": true", with: "\"learn_sigma\": false").utf8), to: "config.json")
    let result = try Binary.run(["inspect", folder.path])
    #expect(result.status == 69 && result.errors.contains("predicts no variance"), "\(result.errors)")
  }
}
