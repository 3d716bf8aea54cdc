// A reference file of other shapes is another answer, even where its numbers come in the same order; and rows that claim to be other rows
// are a difference.

import Formats
import Foundation
import Support
import Testing

struct VerifyShapeTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func verify(
    _ source: String, _ input: [String], _ name: String, _ change: (inout ChangedModel.Tensor) throws -> Void
  ) throws -> (text: CommandResult, entry: JSONValue?) {
    let file = try SafetensorsFile(path: source)
    var tensors = try ChangedModel.tensors(source)
    let place = try #require(tensors.firstIndex { $0.name == name }, "\(name)")
    try change(&tensors[place])
    let writer = try SafetensorsWriter(
      path: folder.file("e.safetensors"), tensors: tensors.map { .init($0.name, $0.type, $0.shape) },
      metadata: file.metadata.map { (key: $0.key, value: $0.value) })
    for tensor in tensors { try writer.append(tensor.bytes, to: tensor.name) }
    try writer.finish()
    let command = ["verify"] + input + ["--expected", folder.file("e.safetensors")]
    let answer = try Answer(command)
    return (try Binary.run(command), answer["tensors"]?.elements.first { $0["name"]?.string == name })
  }

  @Test(arguments: [
    ("ffn.0.expert_ids", false), ("ffn.0.expert_ids", true), ("ffn.0.weights", false), ("ffn.0.router_logits", true),
    ("ffn.0.router_logits", false), ("hidden.0", false), ("hidden.1", true), ("ffn.1.block_out", true), ("logits", true),
    ("input_ids", true),
  ])
  func anotherShapeIsADifference(_ name: String, _ turned: Bool) throws {
    let model = try #require(Fixtures.own("models/mixtral"))
    var shapes: [[Int]] = []
    let (text, entry) = try verify(model + "/expected.safetensors", [model, "--tokens", model + "/input.json"], name) { tensor in
      shapes.append(tensor.shape)
      tensor.shape = !turned ? [tensor.shape.reduce(1, *)] : tensor.shape.count == 1 ? [tensor.shape[0], 1] : tensor.shape.reversed()
      shapes.append(tensor.shape)
    }
    #expect(text.status == 2 && text.output.contains("DIFFERS") && !text.output.contains("all holds"), "\(text.output)")
    #expect(entry?["result"]?.string == "differs")
    #expect(entry?["detail"]?.string == "shape \(shapes[0]), expected \(shapes[1])")
  }

  @Test(arguments: ["sample", "step", "branch", "patch"]) func anotherRowIsADifference(_ name: String) throws {
    let model = try #require(Fixtures.own("dit/timm"))
    let input = [model, "--noise", model + "/noise.safetensors"]
    let sound = try verify(model + "/expected-ddpm.safetensors", input, name) { _ in }
    #expect(sound.text.status == 0 && sound.entry?["result"]?.string == "equal", "\(sound.text.output)")
    let moved = try verify(model + "/expected-ddpm.safetensors", input, name) { $0.bytes[0] ^= 1 }
    #expect(moved.text.status == 2 && moved.entry?["result"]?.string == "differs", "\(moved.text.output)")
  }

  @Test func aLatentOfAnotherShapeIsADifference() throws {
    let model = try #require(Fixtures.own("dit/timm"))
    let input = [model, "--noise", model + "/noise.safetensors"]
    let flat = try verify(model + "/expected-ddpm.safetensors", input, "latent") { $0.shape = [$0.shape.reduce(1, *)] }
    #expect(flat.text.status == 2 && flat.entry?["detail"]?.string?.hasPrefix("shape [") == true, "\(flat.text.output)")
  }
}
