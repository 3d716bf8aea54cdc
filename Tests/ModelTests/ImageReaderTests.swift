// A sample under rules that begins at the step where they begin is, bit for bit, the sample made from its noise on.

import Foundation
import Routing
import Support
import Testing

@testable import Model

struct ImageReaderTests {
  private func bits(_ reading: ImageReading) -> [[UInt32]] {
    reading.latents.map { $0.map(\.bitPattern) }
      + reading.passes.flatMap { pass in
        pass.batches.flatMap { batch in
          [batch.routingWeights.map(\.bitPattern), batch.selectedExperts.map { UInt32(bitPattern: $0) }, [UInt32(batch.firstToken)]]
        } + [pass.tokens.position.map { UInt32($0) }]
      }
  }

  @Test(arguments: ["flash", "timm", "switch"], [2, 4])
  func aVariantBeginsAtTheStepWhereItsRulesBegin(_ name: String, _ step: Int) throws {
    let model = try DenoisingModel(path: try #require(Fixtures.own("dit/\(name)")))
    let request = try DenoisingRequest(model, classes: [1, 0, 1], steps: 6, guidance: model.usualGuidance, seed: 4, batch: 2)
    let reader = ImageReader(model, request, noise: nil, threads: 1)
    let samples = (0..<3).map { SequenceDescription(name: "sample \($0)") }
    let rules = try Intervention(
      RuleSet(parsing: "redraw all=uniform if step>=\(step)"),
      run: FilterContext(routers: model.routers, sequences: samples, layout: reader.layout), sharedExperts: model.sharedExpertCounts,
      seed: 2)
    for sample in 0..<3 {
      let plain = try #require(try reader.baseline(sample, demand: RoutingDemand()))
      #expect(plain.latents.count == 7 && plain.passes.count == 6 && plain.change(from: plain) == 0)
      let whole = try #require(try reader.variant(rules, of: sample, baseline: plain, from: 0, demand: RoutingDemand()))
      let short = try #require(try reader.variant(rules, of: sample, baseline: plain, from: step, demand: RoutingDemand()))
      #expect(bits(whole) == bits(short))
      #expect(whole.latents[..<(step + 1)] == plain.latents[..<(step + 1)] && whole.change(from: plain) > 0)
      // What the command `run` makes of the same request.
      let denoiser = Denoiser(DenoisingPass(model, threads: 2), request)
      var latents: [Float] = []
      while !denoiser.isFinished { if try denoiser.advance(sink: nil) { latents += denoiser.latents } }
      let size = latents.count / 3
      #expect(Array(latents[sample * size..<(sample + 1) * size]) == plain.latents[6])
    }
  }
}
