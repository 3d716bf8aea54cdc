// Experts in a space of their own: FamilyParityTests holds nemotron_h-latent to the reference; here is what is measured of one expert, from
// the tensors of the file.

import Formats
import Routing
import Testing

@testable import Model

struct LatentExpertsTests {
  /// `[rows][columns]` of a bfloat16 tensor.
  private func matrix(_ tensors: [StoredTensor], _ name: String) throws -> [[Float]] {
    let tensor = try #require(tensors.first { $0.name == name })
    let columns = try #require(tensor.shape.last)
    return (0..<tensor.shape[0]).map { row in
      (0..<columns).map { column in
        let place = 2 * (row * columns + column)
        let (low, high) = (UInt32(tensor.bytes[place]), UInt32(tensor.bytes[place + 1]))
        return Float(bitPattern: low << 16 | high << 24)
      }
    }
  }

  private func multiply(_ matrix: [[Float]], _ x: [Float]) -> [Float] {
    matrix.map { row in
      var sum: Float = 0
      for (weight, value) in zip(row, x) { sum += weight * value }
      return sum
    }
  }

  /// The norm of what one expert adds to the stream: through the space's two projections, without its weight.
  @Test func normsAreOfWhatReachesTheStream() throws {
    let fixture = try #require(ModelFixture.named("nemotron_h-latent").first)
    let tensors = try StoredTensor.read(fixture.file("model.safetensors"))
    let inputs = try SafetensorsFile(path: fixture.file("expected.safetensors")).tensor("ffn.0.block_in").floats()
    let sink = ExpertNormTests.Kept(.all)
    _ = try Reader(ForwardPass(LanguageModel(path: fixture.folder), threads: 2)).read(fixture.sequences(), sink: sink)
    let batch = try #require(sink.passes.first?.batches.first { $0.router.layer.rawValue == 0 })
    let norms = try #require(batch.expertNorms)
    let prefix = "backbone.layers.0.mixer."
    let down = try matrix(tensors, prefix + "fc1_latent_proj.weight"), up = try matrix(tensors, prefix + "fc2_latent_proj.weight")
    for slot in [0, 5, 10, 31] {
      let expert = "\(prefix)experts.\(batch.selectedExperts[slot])."
      let x = Array(inputs[slot / batch.topK * 32..<(slot / batch.topK + 1) * 32])
      let inner = multiply(try matrix(tensors, expert + "up_proj.weight"), multiply(down, x)).map { (u: Float) in max(u, 0) * max(u, 0) }
      let out = multiply(up, multiply(try matrix(tensors, expert + "down_proj.weight"), inner))
      let wanted: Float = out.reduce(Float(0)) { $0 + $1 * $1 }.squareRoot()
      #expect(abs(norms[slot] - wanted) <= 1e-4 * max(1, wanted), "slot \(slot)")
    }
    #expect(batch.sharedNorm != nil && batch.sharedWeight?.allSatisfy { $0 == 1 } == true)
  }
}
