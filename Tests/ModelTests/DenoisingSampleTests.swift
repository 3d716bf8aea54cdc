// The bundled model that makes images: is it what its card says, and does it decide as the reference does?

import Formats
import Foundation
import Support
import Testing

@testable import Model

@Suite struct DenoisingSampleTests {
  static let path = Fixtures.root + "/samples/dit-moe-tiny"

  @Test func isWhatItsCardSays() throws {
    let model = try DenoisingModel(path: Self.path)
    #expect(model.family == "dit_moe" && model.channels == 3 && model.inputSize == 32 && model.gridSize == 8)
    #expect(model.classCount == 12 && model.classNames.count == 12 && model.hasNullClass)
    #expect(model.layerCount == 6 && model.routers.count == 6)
    #expect(model.routers.allSatisfy { $0.spec.expertCount == 8 && $0.spec.topK == 2 })
    #expect(model.facts().parameters == 6_277_536 && model.facts().unusedTensors.isEmpty)
    let weights = try MappedFile(path: Self.path + "/model.safetensors")
    #expect(weights.byteCount < 20 << 20)
    let card = try String(contentsOfFile: Self.path + "/README.md", encoding: .utf8)
    #expect(card.contains("6,277,536") && model.classNames.allSatisfy { card.contains($0) })
  }

  @Test func decidesAsTheReference() throws {
    let noise = try SafetensorsFile(path: Self.path + "/reference/noise.safetensors")
    let expected = try SafetensorsFile(path: Self.path + "/reference/expected.safetensors")
    let report = try DenoisingVerifier(DenoisingModel(path: Self.path), threads: 2).verify(noise: noise, against: expected)
    #expect(report.holds && report.decisions > 0 && report.equalDecisions == report.decisions)
    #expect(try #require(report.worst("latent")) < 1e-4)
  }
}
