// Routers of two layers and experts of different sizes: FamilyParityTests holds llama_moe to the reference; here are the logits from the
// tensors of the file, what is counted, and what is refused.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct RouterLayersTests {
  private func open(_ name: String, _ settings: [String: String] = [:]) throws -> LanguageModel {
    try LanguageModel(path: #require(ModelFixture.named(name).first).folder, overrides: settings)
  }

  /// `[rows][columns]` of a bfloat16 tensor.
  private func matrix(_ tensors: [StoredTensor], _ name: String) throws -> [[Float]] {
    let tensor = try #require(tensors.first { $0.name == name })
    let columns = tensor.shape[1]
    return (0..<tensor.shape[0]).map { row in
      (0..<columns).map { column in
        let place = 2 * (row * columns + column)
        let (low, high) = (UInt32(tensor.bytes[place]), UInt32(tensor.bytes[place + 1]))
        return Float(bitPattern: low << 16 | high << 24)
      }
    }
  }

  private func multiply(_ matrix: [[Float]], _ x: [Float]) -> [Float] {
    matrix.map { row in zip(row, x).reduce(Float(0)) { $0 + $1.0 * $1.1 } }
  }

  @Test func theFirstLayerStandsBehindATangent() throws {
    let fixture = try #require(ModelFixture.named("llama_moe").first)
    let tensors = try StoredTensor.read(fixture.file("model.safetensors"))
    let inputs = try SafetensorsFile(path: fixture.file("expected.safetensors")).tensor("ffn.0.block_in").floats()
    let sink = ExpertNormTests.Kept(.all)
    _ = try Reader(ForwardPass(open("llama_moe"), threads: 2)).read(fixture.sequences(), sink: sink)
    let batch = try #require(sink.passes.first?.batches.first { $0.router.layer.rawValue == 0 })
    let logits = try #require(batch.logits).values
    let gate = "model.layers.0.mlp.gate.gate_network."
    let (first, second) = (try matrix(tensors, gate + "0.weight"), try matrix(tensors, gate + "2.weight"))
    for token in [0, 7, 23] {
      let inner = multiply(first, Array(inputs[token * 32..<(token + 1) * 32])).map { tanh($0) }
      for (expert, wanted) in multiply(second, inner).enumerated() {
        #expect(abs(logits[token * 8 + expert] - wanted) <= 1e-5 * max(1, abs(wanted)), "token \(token), expert \(expert)")
      }
    }
  }

  /// What shapes noise in training is named apart; a token meets experts of the mean size.
  @Test func countsWhatRuns() throws {
    let model = try open("llama_moe-sizes")
    let facts = model.facts()
    #expect(facts.otherParameters.training == 2 * 6 * 32 && model.notes.isEmpty)
    #expect(facts.unusedTensors.allSatisfy { $0.hasSuffix("gate.weight_noise.weight") } && facts.unusedTensors.count == 2)
    // Of 48 elements of all experts of a layer half are met, each with a row of three matrices.
    let idle = 2 * 24 * 3 * 32
    let table = 64 * 32
    #expect(facts.parameters - facts.activeParameters == idle + table)
    #expect(ModelSummary(path: model.path).parameters == facts.parameters)
  }

  @Test(arguments: [
    ("size_experts", "[[8, 8, 8, 8, 8, 8]]"), ("size_experts", "[[8, 8, 8, 8, 8, 9], [8, 8, 8, 8, 8, 8]]"), ("size_experts", "[8, 8]"),
    ("size_experts", "[[48, 0, 0, 0, 0, 0], [8, 8, 8, 8, 8, 8]]"), ("score_scale_factor", "[1.0, 2.0, 3.0]"),
    ("gate_network", "\"deep\""), ("gate_use_softmax", "false"), ("multiply_gate_scores", "false"), ("rope_theta", "500000.0"),
    ("calculator_type", "\"SwitchDropTokenCalculator\""), ("num_experts", "5"),
  ])
  func refuses(_ key: String, _ value: String) {
    #expect(throws: ModelError.self) { try open("llama_moe-sizes", [key: value]) }
  }
}
