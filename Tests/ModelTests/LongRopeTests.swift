// Longrope turns sequences beyond the context of the first training otherwise, from their first token on. The reference reads all of a text
// again when it grows across that length (PhimoeForCausalLM.prepare_inputs_for_generation); here that is refused with the length.

import Foundation
import Testing

@testable import Model

struct LongRopeTests {
  /// The model of 16 tokens of original context, and how far a text of so many tokens grows.
  private func grown(from count: Int, settings: [String: String] = [:]) throws -> (tokens: Int, error: (any Error)?) {
    let fixture = try #require(ModelFixture.named("phimoe-longrope").first)
    let forward = ForwardPass(try LanguageModel(path: fixture.folder, overrides: settings), threads: 1)
    let prompt = TokenSequence(try fixture.sequences()[0].description, tokens: Array(try fixture.sequences()[0].tokens.prefix(count)))
    let generator = try Generator(forward, prompt: prompt, sampling: SamplingSettings(temperature: 0), sink: nil)
    do {
      while generator.tokenCount < 24, try generator.advance() != nil {}
      return (generator.tokenCount, nil)
    } catch { return (generator.tokenCount, error) }
  }

  @Test func aTextDoesNotGrowAcrossTheOriginalContext() throws {
    let (tokens, error) = try grown(from: 12)
    #expect(tokens == 16)
    #expect("\(error.map { "\($0)" } ?? "")".contains("beyond 16 tokens the model encodes all positions otherwise"))
  }

  @Test func aLongerPromptHasNoBorder() throws {
    let (tokens, error) = try grown(from: 17)
    #expect(tokens == 24 && error == nil)
  }

  /// Published checkpoints of the family have one magnitude for both lengths, and the reference has the short divisors for every length.
  @Test func equalMagnitudesHaveNoBorder() throws {
    let (tokens, error) = try grown(from: 12, settings: ["rope_parameters.long_mscale": "1.1"])
    #expect(tokens == 24 && error == nil)
  }

  @Test func onlyWhatDiffersIsABorder() {
    var plan = RotaryPlan(base: 10_000, rotatedSize: 4)
    #expect(plan.border == nil)
    plan.scaling = .longRope(short: [1, 2], long: [1, 2], originalContext: 8)
    #expect(plan.border == nil)
    plan.longMagnitude = 1.5
    #expect(plan.border == 8)
    plan.longMagnitude = nil
    plan.scaling = .longRope(short: [1, 2], long: [1, 3], originalContext: 8)
    #expect(plan.border == 8)
  }
}
