// Checkpoints of diffusion transformers as their authors' training scripts leave them: settings beside the weights, wrapped names, other
// entries; and what shapes and settings say about classes, guidance and sampling. `tools/make_training_pt.py` makes the files.

import Formats
import Foundation
import Support
import Testing

@testable import Model

@Suite struct TrainingCheckpointTests {
  private func file(_ name: String) throws -> String { try #require(Fixtures.own("dit/training/\(name)")) }

  @Test(arguments: [
    ("switch-dit.pt", ["num_heads": "3"], "switch"),
    ("mp_rank_00_model_states.pt", ["num_heads": "2", "num_experts_per_tok": "2"], "timm"),
  ])
  func decidesAsTheSameWeightsElsewhere(_ name: String, _ settings: [String: String], _ folder: String) throws {
    let noise = try SafetensorsFile(path: #require(Fixtures.own("dit/\(folder)/noise.safetensors")))
    let expected = try SafetensorsFile(path: #require(Fixtures.own("dit/\(folder)/expected-ddpm.safetensors")))
    let model = try DenoisingModel(path: file(name), overrides: settings)
    let report = try DenoisingVerifier(model, threads: 1).verify(noise: noise, against: expected)
    #expect(report.holds && report.decisions > 0)
  }

  @Test func settingsOfTheTrainingAreNotAssumed() throws {
    let path = try file("switch-dit.pt")
    #expect(try PyTorchFile(path: path).settings["config.routing.param.k"] == .whole(2))
    let model = try DenoisingModel(path: path, overrides: ["num_heads": "3"])
    #expect(model.assumed.map(\.key) == ["sampler"])
    #expect(model.sampling.rule == .ddpm(.linear), "the configuration says linear, where the released one says cosine")
    #expect(model.usualGuidance == 1.5 && model.hasNullClass && model.classCount == 5)

    let flow = try DenoisingModel(path: file("dit-moe.pt"), overrides: ["num_heads": "2"])
    #expect(flow.sampling.rule == .rectifiedFlow && flow.assumed.isEmpty)
    #expect(flow.classCount == 6 && !flow.hasNullClass && flow.usualGuidance == nil, "a table of as many rows as classes has none to spare")
  }

  @Test func theLastRowOfTheTableMayBeAClass() throws {
    let path = try file("mp_rank_00_model_states.pt")
    let settings = ["num_heads": "2", "num_experts_per_tok": "2"]
    let model = try DenoisingModel(path: path, overrides: settings)
    #expect(model.classCount == 5 && model.hasNullClass && model.assumed.contains { $0.key == "num_classes" })
    let other = try DenoisingModel(path: path, overrides: settings.merging(["num_classes": "6"]) { $1 })
    #expect(other.classCount == 6 && !other.hasNullClass && !other.assumed.contains { $0.key == "num_classes" })
  }

  @Test func guidanceIsTheAuthors() throws {
    let path = try file("mp_rank_00_model_states.pt")
    let settings = ["num_heads": "2", "num_experts_per_tok": "2"]
    for (sampler, guidance) in [("ddpm", Float(4)), ("rectified-flow", 7)] {
      let model = try DenoisingModel(path: path, overrides: settings.merging(["sampler": "\"\(sampler)\""]) { $1 })
      #expect(model.usualGuidance == guidance)
    }
  }

  @Test func otherModelsOfTheSameAuthorsAreRefusedByTheirName() throws {
    let timm = try StoredTensor.read(try #require(Fixtures.own("dit/timm/model.safetensors")))
    let folder = try TemporaryDirectory()
    func refusal(_ more: [StoredTensor]) throws -> String {
      let dense = timm.filter { !$0.name.contains(".moe.") } + more
      try StoredTensor.write(dense, to: folder.file("dense.safetensors"))
      var said = ""
      do { _ = try DenoisingModel(path: folder.file("dense.safetensors")) } catch { said = "\(error)" }
      return said
    }
    let half = StoredTensor(name: "blocks.0.mlp.fc1.weight", type: .f32, shape: [4, 16], bytes: Array(repeating: 0, count: 256))
    #expect(try refusal([half]).contains("every block is dense"))
    let mask = StoredTensor(name: "routers.0._unit_mapping", type: .f32, shape: [1, 16], bytes: Array(repeating: 0, count: 64))
    #expect(try refusal([half, mask]).contains("DTR"))
  }

  /// The first three outputs are guided, whatever they are: with two channels the first variance is among them.
  @Test func threeOutputsAreGuided() throws {
    let folder = try TemporaryDirectory()
    let kept = try StoredTensor.read(try #require(Fixtures.own("dit/timm/model.safetensors"))).map { tensor in
      switch tensor.name {
      case "x_embedder.proj.weight": tensor.taking(2, of: 4, inGroupsOf: 4 * 4, shape: [16, 2, 2, 2])
      case "final_layer.linear.weight": tensor.taking(4, of: 8, inGroupsOf: 16 * 4, shape: [16, 16])
      case "final_layer.linear.bias": tensor.taking(4, of: 8, inGroupsOf: 4, shape: [16])
      default: tensor
      }
    }
    try StoredTensor.write(kept, to: folder.file("two_4E2A.safetensors"))
    let model = try DenoisingModel(path: folder.file("two_4E2A.safetensors"), overrides: ["num_heads": "2"])
    #expect(model.channels == 2)
    let scale: Float = 4
    let pass = DenoisingPass(model, threads: 1)
    let denoiser = Denoiser(pass, try DenoisingRequest(model, classes: [1], steps: 2, guidance: scale, seed: 3))
    let start = NoiseSource.seeded(3).initial(sample: 0, count: 128)
    let fresh = NoiseSource.seeded(3).between(sample: 0, step: 0, count: 128)
    _ = try denoiser.advance(sink: nil)

    let rule = NoiseSchedule(.linear, trainedSteps: 1000, stepCount: 2).steps[0]
    let answer = start.withUnsafeBufferPointer { buffer in
      buffer.baseAddress.map { base in
        let (pointer, _) = pass.run(base, samples: 1, timestep: rule.timestep, classes: [1, 5], demand: nil, firstToken: 0)
        return Array(UnsafeBufferPointer(start: pointer, count: 2 * 256))
      }
    }
    let outputs = try #require(answer)
    func output(_ channel: Int, _ i: Int) -> Float {
      let (given, free) = (outputs[channel * 64 + i], outputs[256 + channel * 64 + i])
      return channel < 3 ? free + scale * (given - free) : given
    }
    for channel in 0..<2 {
      for i in 0..<64 {
        let x = start[channel * 64 + i]
        let image = rule.imageOfSample * x - rule.imageOfNoise * output(channel, i)
        let share = (output(2 + channel, i) + 1) / 2
        let logVariance = share * rule.logVarianceHigh + (1 - share) * rule.logVarianceLow
        let next = rule.meanOfImage * image + rule.meanOfSample * x + expf(0.5 * logVariance) * fresh[channel * 64 + i]
        let got = denoiser.latents[channel * 64 + i]
        #expect(abs(got - next) <= 1e-4 * max(1, abs(next)), "channel \(channel), \(i): \(got), expected \(next)")
      }
    }
  }
}

extension StoredTensor {
  /// Of every `count` neighbouring groups of `bytesEach` bytes the first `kept`.
  fileprivate func taking(_ kept: Int, of count: Int, inGroupsOf bytesEach: Int, shape: [Int]) -> StoredTensor {
    var copy = self
    copy.shape = shape
    copy.bytes = stride(from: 0, to: bytes.count, by: count * bytesEach).flatMap { bytes[$0..<$0 + kept * bytesEach] }
    return copy
  }
}
