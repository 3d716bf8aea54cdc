// Whole 4-bit numbers of compressed-tensors: FamilyParityTests holds kimi_k2-int4 to the reference; here is what is read from the file and
// what is refused, by name.

import Foundation
import Support
import Testing

@testable import Model

struct PackedNumbersTests {
  private func folder(_ change: (String) -> String = { $0 }) throws -> TemporaryDirectory {
    let fixture = try #require(ModelFixture.named("kimi_k2-int4").first)
    let folder = try fixture.linked(without: ["config.json"])
    let settings = try String(contentsOfFile: fixture.file("config.json"), encoding: .utf8)
    try folder.write(Array(change(settings).utf8), to: "config.json")
    return folder
  }

  /// Eight numbers a word, the first in the low bits, each 8 too large, times the scale of its 32 inputs.
  @Test func numbersAreThoseOfTheWords() throws {
    let folder = try folder()
    let name = "language_model.model.layers.1.mlp.experts.0.down_proj.weight"
    let tensors = try StoredTensor.read(folder.file("model.safetensors"))
    let words = try #require(tensors.first { $0.name == name + "_packed" })
    let scales = try #require(tensors.first { $0.name == name + "_scale" })
    #expect(words.shape == [64, 4] && scales.shape == [64, 1])
    let checkpoint = try Checkpoint(directory: folder.path, packing: WeightPacking(groupSize: 32))
    let matrix = try checkpoint.matrix(
      MatrixPlan("model.layers.1.mlp.experts.0.down_proj.weight"), rows: 64, columns: 32, because: "the test"
    ).matrix
    var row = [Float](repeating: 0, count: 32)
    for index in 0..<64 {
      matrix.read(row: index, into: &row)
      let (low, high) = (UInt32(scales.bytes[2 * index]), UInt32(scales.bytes[2 * index + 1]))
      let scale = Float(bitPattern: low << 16 | high << 24)
      var wanted: [Float] = []
      for byte in words.bytes[16 * index..<16 * (index + 1)] {
        wanted.append((Float(byte & 15) - 8) * scale)
        wanted.append((Float(byte >> 4) - 8) * scale)
      }
      #expect(row == wanted)
    }
  }

  @Test(arguments: [
    ("\"num_bits\": 4", "\"num_bits\": 8", "config_groups"), ("\"symmetric\": true", "\"symmetric\": false", "config_groups"),
    ("\"strategy\": \"group\"", "\"strategy\": \"channel\"", "config_groups"), ("\"group_size\": 32", "\"group_size\": 0", "config_groups"),
    ("\"actorder\": null", "\"actorder\": \"group\"", "config_groups"),
    ("\"format\": \"pack-quantized\"", "\"format\": \"nvfp4-pack-quantized\"", "format"),
    ("\"quant_method\": \"compressed-tensors\"", "\"quant_method\": \"awq\"", "quant_method"),
    ("\"group_size\": 32", "\"group_size\": 16", "weight_scale"),
  ])
  func otherLayoutsAreRefusedByName(_ said: String, _ other: String, _ named: String) throws {
    let folder = try folder { $0.replacingOccurrences(of: said, with: other) }
    let error = #expect(throws: ModelError.self) { try LanguageModel(path: folder.path) }
    #expect("\(try #require(error))".contains(named))
  }
}
