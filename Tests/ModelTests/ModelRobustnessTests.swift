// Files from outside are hostile: whatever a configuration or a checkpoint says, opening and running it ends in an error that names
// the file and what is wrong there, never in a crash. Random damage is drawn by seed, so that every run draws the same.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct ModelRobustnessTests {
  /// What takes the place of a value; null takes the field away.
  private static let damage = [
    "null", "\"text\"", "true", "false", "[]", "[1]", "[\"dense\", null]", "{}", "{\"factor\": -1}", "0", "-1", "1", "3", "7", "0.5",
    "-0.5",
    "1e-300", "1e300", "1000000", "268435456", "2147483647", "2147483648", "9223372036854775807", "1e400",
  ]

  /// Three of them a field: with seventy families every kind of damage meets every kind of field many times.
  @Test(arguments: ModelFixture.onePerFamily)
  func anyFieldMayHoldAnything(_ fixture: ModelFixture) throws {
    var random = SeededRandom(seed: fixture.name.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) })
    let root = try JSON.read(fixture.file("config.json"), options: .python)
    for (key, value) in root.objectMembers {
      for text in Self.damage.shuffled(using: &random).prefix(3) { try check(fixture, key, text) }
      for (inner, _) in value.objectMembers {
        for text in Self.damage.shuffled(using: &random).prefix(3) { try check(fixture, key, value.text(replacing: [inner], with: text)) }
      }
    }
  }

  /// Opens with one field replaced and, where that succeeds, runs a few tokens.
  private func check(_ fixture: ModelFixture, _ key: String, _ text: String) throws {
    do {
      let model = try LanguageModel(path: fixture.folder, overrides: [key: text])
      try run(model)
    } catch let error as ModelError {
      switch error {
      case .configuration(let file, let place, _, _), .unsupportedSetting(let file, let place, _, _):
        #expect(file.hasPrefix("config.json") && !place.isEmpty, "\(error)")
      case .unsupportedFamily(let file, _, _): #expect(file.hasPrefix("config.json"))
      case .tensorShape(let file, let name, _, _, let because):
        #expect(file.hasPrefix(fixture.folder) && !name.isEmpty && because.contains("config.json"), "\(error)")
      case .missingTensor(let file, let name): #expect(file.hasPrefix(fixture.folder) && !name.isEmpty, "\(error)")
      // No number of JSON, or a field that is there for other programs.
      case .badOption(_, _, let found): #expect(text.contains("1e400") || found.contains("changes nothing"), "\(key): \(error)")
      case .sequenceTooLong, .unknownToken: break
      default: Issue.record("\(key) = \(text): \(error)")
      }
    }
  }

  /// A few tokens; every decision names experts, as many as the rule says, and of lists whose scores are numbers one at least.
  private func run(_ model: LanguageModel) throws {
    let tokens: [Int32] = [3, 4, 5]
    try model.check(TokenSequence(SequenceDescription(name: "three tokens"), encoder: model.hasEncoder ? tokens : nil, tokens: tokens))
    let forward = ForwardPass(model, threads: 1)
    let demand = RoutingDemand(logitsEvery: 1)
    let batches = (model.hasEncoder ? forward.encode(tokens, demand: demand) : []) + forward.advance(tokens[...], demand: demand)
    for batch in batches {
      try batch.validate()
      let spec = try #require(model.routers.first { $0.id == batch.router }).spec
      let least = spec.lists == nil ? spec.topK : batch.logits?.values.allSatisfy(\.isFinite) == true ? 1 : 0
      #expect((0..<batch.count).allSatisfy { batch.taken($0) >= least })
    }
    _ = forward.logits(0..<tokens.count)
  }

  @Test func anUnknownFieldIsRefusedByName() throws {
    for fixture in ModelFixture.onePerFamily {
      #expect(throws: ModelError.self, "\(fixture.name)") {
        try LanguageModel(path: fixture.folder, overrides: ["expert_telepathy": "true"])
      }
    }
  }

  @Test(arguments: ModelFixture.named("mixtral", "gpt_oss", "dbrx", "deepseek_v3", "moeut", "moeut-dense"))
  func everyTensorIsNeededInItsShape(_ fixture: ModelFixture) throws {
    let tensors = try StoredTensor.read(fixture.file("model.safetensors"))
    let folder = try fixture.linked(without: ["model.safetensors"])
    let path = folder.file("model.safetensors")
    for index in tensors.indices {
      let name = tensors[index].name
      var rest = tensors
      rest.remove(at: index)
      try StoredTensor.write(rest, to: path)
      #expect(throws: ModelError.missingTensor(file: path, name: name)) { try LanguageModel(path: folder.path) }

      var wrong = tensors
      wrong[index].shape[0] += 1
      wrong[index].bytes += Array(repeating: 0, count: wrong[index].bytes.count / tensors[index].shape[0])
      try StoredTensor.write(wrong, to: path)
      let error = #expect(throws: ModelError.self) { try LanguageModel(path: folder.path) }
      guard case .tensorShape(path, name, let expected, _, _) = error else {
        Issue.record("\(name): \(String(describing: error))")
        continue
      }
      #expect(expected == tensors[index].shape)
    }
  }

  /// Weights that are no numbers give no numbers, and decisions that still name experts.
  @Test(arguments: ModelFixture.onePerFamily)
  func weightsMayBeAnything(_ fixture: ModelFixture) throws {
    let tensors = try StoredTensor.read(fixture.file("model.safetensors"))
    for (low, high) in [(UInt8(0xFF), UInt8(0xFF)), (0x80, 0x7F), (0, 0)] {
      let folder = try fixture.linked(without: ["model.safetensors"])
      let filled = tensors.map { tensor in
        var copy = tensor
        for i in copy.bytes.indices { copy.bytes[i] = i % 2 == 0 ? low : high }
        return copy
      }
      try StoredTensor.write(filled, to: folder.file("model.safetensors"))
      // A rule that is read from the weights has to be one.
      do { try run(LanguageModel(path: folder.path)) } catch ModelError.tensorValues { continue }
    }
  }
}
