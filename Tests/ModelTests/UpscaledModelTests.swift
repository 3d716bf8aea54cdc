// The shared expert whose weight the router gives (XFT): FamilyParityTests holds both forms to the reference; here is what is recorded of it, what
// rules do to it, and what is refused.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct UpscaledModelTests {
  private func passes(_ name: String, _ extras: RecordingExtras, rules: String = "") throws -> [RoutingPass] {
    let fixture = try #require(ModelFixture.named(name).first)
    let model = try LanguageModel(path: fixture.folder)
    let forward = ForwardPass(model, threads: 2)
    if !rules.isEmpty {
      forward.intervention = try Intervention(
        RuleSet(parsing: rules), run: FilterContext(routers: model.routers), sharedExperts: model.sharedExpertCounts, seed: 0)
    }
    let sink = ExpertNormTests.Kept(extras)
    _ = try Reader(forward).read(fixture.sequences(), sink: sink)
    return sink.passes
  }

  @Test func theRestOfTheBestGoesToTheSharedExpert() throws {
    let batches = try passes("llama_moe_upscaling", .shared).flatMap(\.batches)
    #expect(!batches.isEmpty)
    for batch in batches {
      let shared = try #require(batch.sharedWeight)
      for token in 0..<batch.count {
        let sum = batch.routingWeights[token * batch.topK..<(token + 1) * batch.topK].reduce(0, +) + shared[token]
        #expect(abs(sum - 1) < 1e-6 && shared[token] > 0)
      }
    }
    // Where the others keep their probabilities, the best of them is what is missing.
    for batch in try passes("llama_moe_upscaling-plain", .shared).flatMap(\.batches) {
      let shared = try #require(batch.sharedWeight)
      for token in 0..<batch.count { #expect(shared[token] == 1 - batch.routingWeights[token * batch.topK]) }
    }
  }

  @Test func itIsKeptOnRequestOnly() throws {
    #expect(try passes("llama_moe_upscaling", []).flatMap(\.batches).allSatisfy { $0.sharedWeight == nil })
  }

  /// The best of those that are left counts.
  @Test func rulesChangeItsWeight() throws {
    let plain = try passes("llama_moe_upscaling", .shared).flatMap(\.batches).filter { $0.router.layer.rawValue == 0 }
    let masked = try passes("llama_moe_upscaling", .shared, rules: "mask all:top1").flatMap(\.batches).filter {
      $0.router.layer.rawValue == 0
    }
    for (before, after) in zip(plain, masked) {
      let (a, b) = (try #require(before.sharedWeight), try #require(after.sharedWeight))
      #expect(zip(a, b).allSatisfy { $0 < $1 })
    }
    let without = try passes("llama_moe_upscaling", .shared, rules: "shared all=off").flatMap(\.batches)
    #expect(without.allSatisfy { $0.sharedWeight?.allSatisfy { $0 == 0 } == true })
  }

  @Test(arguments: [
    ("gate_type", "\"SwitchBalancedGate\""), ("num_selects", "1"), ("num_experts", "1"), ("score_scale_factor", "2.0"),
    ("gate_use_softmax", "false"), ("rope_theta", "100000.0"), ("attention_bias", "true"), ("num_selects", "8"),
  ])
  func refuses(_ key: String, _ value: String) throws {
    let folder = try #require(ModelFixture.named("llama_moe_upscaling").first).folder
    #expect(throws: (any Error).self) { try LanguageModel(path: folder, overrides: [key: value]) }
  }
}
