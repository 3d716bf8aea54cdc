// Denoising models against a PyTorch reference written from the papers' equations: every decision of every step, branch and patch, and
// the latent after each step, from the reference's own noise.

import Formats
import Foundation
import Support
import Testing

@testable import Model

@Suite struct DenoisingParityTests {
  static let cases: [(folder: String, expected: String)] = [
    ("timm", "rectified-flow"), ("timm", "ddpm"), ("flash", "rectified-flow"), ("flash", "ddpm"), ("wide-choice", "rectified-flow"),
    ("wide-choice", "ddpm"), ("switch", "ddpm"), ("switch", "ddpm-cosine"),
  ]

  private static func path(_ name: String) -> String { Fixtures.root + "/Tests/Fixtures/dit/\(name)" }

  @Test(arguments: cases) func everyDecisionAndLatentEqualsTheReference(folder: String, expected: String) throws {
    let model = try DenoisingModel(path: Self.path(folder))
    let verifier = DenoisingVerifier(model, threads: 1)
    let noise = try SafetensorsFile(path: Self.path("\(folder)/noise.safetensors"))
    let wanted = try SafetensorsFile(path: Self.path("\(folder)/expected-\(expected).safetensors"))
    for batch in [1, 2] {
      let report = try verifier.verify(noise: noise, against: wanted, batch: batch)
      #expect(report.holds, "\(report.entries.filter { $0.outcome == .differs }.map { "\($0.tensor) \($0.error) \($0.detail)" })")
      #expect(report.decisions > 0 && report.equalDecisions == report.decisions)
      #expect(!report.entries.contains { $0.outcome == .notProduced })
      #expect(try #require(report.worst("latent")) < 1e-4)
    }
  }

  /// Long runs keep the logits of some rows only.
  @Test func logitsOfSomeRowsAreCompared() throws {
    let sound = try SafetensorsFile(path: Self.path("timm/expected-ddpm.safetensors"))
    let rows: [Int32] = [0, 5, 130, 511]
    for damage in [Float(0), 1] {
      let folder = try TemporaryDirectory()
      let parts = sound.tensors.filter { !$0.name.hasSuffix("router_logits") }
      let routers = sound.tensors.filter { $0.name.hasSuffix("router_logits") }
      let writer = try SafetensorsWriter(
        path: folder.file("some.safetensors"),
        tensors: parts.map { .init($0.name, $0.elementType, $0.shape) }
          + routers.flatMap { [.init($0.name, .f32, [rows.count, 4]), .init($0.name.dropLast(13) + "rows", .i32, [rows.count])] },
        metadata: sound.metadata)
      for part in parts { try writer.append(Array(part.bytes), to: part.name) }
      for router in routers {
        let all = router.bytes.bindMemory(to: Float.self)
        try writer.append(rows.flatMap { row in (0..<4).map { all[Int(row) * 4 + $0] + (row == 511 ? damage : 0) } }, to: router.name)
        try writer.append(rows, to: router.name.dropLast(13) + "rows")
      }
      try writer.finish()
      let report = try DenoisingVerifier(try DenoisingModel(path: Self.path("timm")), threads: 1).verify(
        noise: SafetensorsFile(path: Self.path("timm/noise.safetensors")), against: SafetensorsFile(path: folder.file("some.safetensors")))
      #expect(report.holds == (damage == 0) && report.equalDecisions == report.decisions && report.decisions == 3 * 512)
    }
  }

  @Test func routersOfTheTimestepAreKnownForAllThousandWithoutASample() throws {
    let model = try DenoisingModel(path: Self.path("switch"))
    let table = try SafetensorsFile(path: Self.path("switch/table.safetensors"))
    let ids = try table.tensor("table.ids").bytes.bindMemory(to: Int32.self)
    let probs = try table.tensor("table.probs").bytes.bindMemory(to: Float.self)
    let batches = DenoisingPass(model, threads: 1).decisions(about: (0..<1000).map(Float.init))
    try #require(batches.count == 3)
    var worst: Float = 0
    for (layer, batch) in batches.enumerated() {
      try #require(batch.count == 1000 && batch.topK == 2)
      for t in 0..<1000 {
        for slot in 0..<2 {
          let expert = ids[(t * 3 + layer) * 2 + slot]
          #expect(batch.selectedExperts[2 * t + slot] == expert)
          worst = max(worst, abs(batch.routingWeights[2 * t + slot] - probs[(t * 3 + layer) * 3 + Int(expert)]))
        }
      }
    }
    #expect(worst < 1e-5)
  }

  @Test func samplesDoNotDependOnWhoSharesTheirPass() throws {
    let model = try DenoisingModel(path: Self.path("timm"))
    func images(batch: Int, threads: Int) throws -> [Float] {
      let request = try DenoisingRequest(model, classes: [0, 1, 2, 3, 4], steps: 3, guidance: 1.5, seed: 9, batch: batch)
      let denoiser = Denoiser(DenoisingPass(model, threads: threads), request)
      var images: [Float] = []
      while !denoiser.isFinished { if try denoiser.advance(sink: nil) { images += denoiser.latents } }
      return images
    }
    let alone = try images(batch: 1, threads: 1)
    #expect(try images(batch: 3, threads: 1) == alone)
    #expect(try images(batch: 5, threads: 2) == alone)
  }

  @Test func activeParametersAreThoseOfTheChosenExperts() throws {
    let facts = try DenoisingModel(path: Self.path("timm")).facts()
    // Two of four experts idle in each of three blocks: 3 matrices of 64 x 16.
    #expect(facts.parameters - facts.activeParameters == 3 * 2 * 3 * 64 * 16)
  }

  @Test func wrongRequestsNameTheOption() throws {
    let model = try DenoisingModel(path: Self.path("timm"))
    #expect(throws: ModelError.badOption(name: "--class", expected: "0 to 4", found: "5")) {
      try DenoisingRequest(model, classes: [5], guidance: nil)
    }
    #expect(throws: ModelError.badOption(name: "--steps", expected: "1 to 1000", found: "1001")) {
      try DenoisingRequest(model, classes: [0], rule: .ddpm(.linear), steps: 1001, guidance: nil)
    }
  }

  @Test func scheduleHasThePublishedEnds() {
    let whole = NoiseSchedule(.linear, trainedSteps: 1000, stepCount: 1000).steps
    #expect(whole.first?.timestep == 999 && whole.last?.timestep == 0)
    #expect(abs(Double(whole[0].logVarianceHigh) - Foundation.log(0.02)) < 1e-5)
    #expect(abs(Double(whole[999].logVarianceHigh) - Foundation.log(0.0001)) < 1e-5)
    let thinned = NoiseSchedule(.linear, trainedSteps: 1000, stepCount: 250).steps.map(\.timestep)
    #expect(thinned.count == 250 && thinned.first == 999 && thinned.last == 0 && Set(thinned).count == 250)
  }
}
