// Models with an encoder: equal to their references, drops included, however the decoder's tokens are cut; read in the right order; and
// what they cannot do is refused by name. The reference of NLLB-MoE is its published computation: top-2, weights renormalised over
// what was not dropped, times one minus moe_token_dropout.

import Formats
import Foundation
import Model
import Routing
import Support
import Testing

struct EncoderDecoderTests {
  private struct Input: Decodable {
    struct Pair: Decodable {
      var encoder: [Int32]
      var decoder: [Int32]
    }
    var sequences: [Pair]
  }

  static let families = ["switch_transformers", "switch_transformers-untied", "nllb_moe", "nllb_moe-prioritized", "nllb_moe-fixed"]

  private func folder(_ family: String) throws -> String { try #require(Fixtures.own("models/\(family)")) }

  private func sequences(_ family: String) throws -> [TokenSequence] {
    let input = try Data(contentsOf: URL(fileURLWithPath: folder(family) + "/input.json"))
    return try JSONDecoder().decode(Input.self, from: input).sequences.enumerated().map {
      TokenSequence(SequenceDescription(name: "sequence \($0)"), encoder: $1.encoder, tokens: $1.decoder)
    }
  }

  private func report(_ family: String, passLimit: Int = 512, overrides: [String: String] = [:]) throws -> VerificationReport {
    let model = try LanguageModel(path: folder(family), overrides: overrides)
    return try Verifier(model, threads: 1, passLimit: passLimit).verify(
      sequences(family), against: SafetensorsFile(path: folder(family) + "/expected.safetensors"))
  }

  @Test(arguments: families)
  func equalsTheReference(_ family: String) throws {
    let report = try report(family)
    for entry in report.entries { #expect(entry.outcome == .equal || entry.outcome == .within, "\(entry)") }
    #expect(report.holds && report.decisions > 0 && report.equalDecisions == report.decisions)
    for tensor in ["encoder_hidden", "decoder_hidden", "logits", "enc.1.block_out", "dec.1.block_out"] {
      #expect(report.entries.contains { $0.tensor == tensor })
    }
  }

  @Test(arguments: families, [1, 5, 24])
  func doesNotDependOnHowTheDecoderIsCut(_ family: String, passLimit: Int) throws {
    #expect(try report(family, passLimit: passLimit).holds)
  }

  /// What the older configurations leave to be computed, and what they say in another way.
  @Test func readsTheOlderConfigurationSpelling() throws {
    let older = [
      "encoder_sparse_step": "null", "decoder_sparse_step": "null", "feed_forward_proj": "\"relu\"", "is_gated_act": "false",
      "dtype": "null", "torch_dtype": "\"bfloat16\"", "output_past": "true", "router_type": "\"tokens_masked\"",
    ]
    #expect(try report("switch_transformers", overrides: older).holds)
    #expect(try report("nllb_moe", overrides: ["router_type": "\"top_2\"", "num_hidden_layers": "2", "max_length": "200"]).holds)
  }

  @Test(arguments: [
    ("switch_transformers", "expert_capacity", "6"), ("nllb_moe", "moe_eval_capacity_token_fraction", "0.5"),
    ("nllb_moe", "batch_prioritized_routing", "true"), ("nllb_moe", "normalize_router_prob_before_dropping", "true"),
    ("nllb_moe", "moe_token_dropout", "0.1"),
  ])
  func everySettingOfCapacityMatters(_ family: String, key: String, value: String) throws {
    #expect(try !report(family, overrides: [key: value]).holds)
  }

  @Test(arguments: [
    ("switch_transformers", "router_dtype", "\"bfloat16\""), ("switch_transformers", "feed_forward_proj", "\"gated-gelu\""),
    ("switch_transformers", "dense_act_fn", "\"tanh\""), ("switch_transformers", "router_type", "\"experts_masked\""),
    ("switch_transformers", "is_gated_act", "true"), ("switch_transformers", "layer_scale", "1"),
    ("nllb_moe", "second_expert_policy", "\"random\""), ("nllb_moe", "router_dtype", "\"float16\""),
    ("nllb_moe", "activation_function", "\"tanh\""), ("nllb_moe", "layernorm_embedding", "true"),
  ])
  func whatIsNotImplementedIsRefusedByName(_ family: String, key: String, value: String) throws {
    let error = #expect(throws: ModelError.self) { try LanguageModel(path: folder(family), overrides: [key: value]) }
    #expect(error?.kind == .unsupported)
    #expect(error.map { "\($0)".contains(key) } == true)
  }

  /// Keeps what it is given.
  private final class Listener: RoutingSink {
    let demand = RoutingDemand()
    var passes: [RoutingPass] = []
    func receive(_ pass: RoutingPass) { passes.append(pass) }
  }

  @Test func encoderRowsComeFirstAndDropsAreMarked() throws {
    let model = try LanguageModel(path: folder("switch_transformers"))
    #expect(model.routers.map(\.id) == [RouterID(stack: .encoder, layer: 1), RouterID(stack: .decoder, layer: 1)])
    let listener = Listener()
    let scores = try Reader(ForwardPass(model, threads: 1, passLimit: 5)).read(sequences("switch_transformers"), sink: listener)
    #expect(scores.map(\.tokens) == [36, 36] && scores.map(\.scoredTokens) == [11, 11])

    var next = 0
    var drops: [RouterID: Int] = [:]
    for pass in listener.passes {
      let isEncoder = pass.tokens.phase.allSatisfy { $0 == .encode }
      #expect(isEncoder || pass.tokens.phase.allSatisfy { $0 == .prefill })
      #expect(pass.tokens.firstToken == next)
      #expect(pass.batches.map(\.router.stack) == [isEncoder ? .encoder : .decoder])
      next += pass.tokens.count
      for batch in pass.batches {
        for slot in batch.selectedExperts.indices where batch.dropped?[slot] == true {
          drops[batch.router, default: 0] += 1
          #expect(batch.routingWeights[slot] == 0 && batch.selectedExperts[slot] >= 0)
        }
      }
    }
    #expect(next == 72)
    #expect(drops == [RouterID(stack: .encoder, layer: 1): 4, RouterID(stack: .decoder, layer: 1): 2])
    #expect(listener.passes[0].tokens.position == Array(0..<24))
    #expect(listener.passes[1].tokens.position == Array(0..<5))
    #expect(!listener.passes[0].tokens.surprisal.contains { !$0.isNaN }, "an encoder predicts nothing")
  }

  @Test func inputsOfTheOtherKindAreRefused() throws {
    let pair = try LanguageModel(path: folder("switch_transformers"))
    let single = try LanguageModel(path: folder("olmoe"))
    let name = SequenceDescription(name: "a")
    #expect(throws: ModelError.sequenceKind(sequence: "a", modelHasEncoder: true)) { try pair.check(TokenSequence(name, tokens: [1])) }
    #expect(throws: ModelError.sequenceKind(sequence: "a", modelHasEncoder: true)) {
      try pair.check(TokenSequence(name, encoder: [], tokens: [1]))
    }
    #expect(throws: ModelError.sequenceKind(sequence: "a", modelHasEncoder: false)) {
      try single.check(TokenSequence(name, encoder: [1], tokens: [1]))
    }
    #expect(throws: ModelError.unknownToken(id: 999, vocabularySize: 256, sequence: "a")) {
      try pair.check(TokenSequence(name, encoder: [999], tokens: [1]))
    }
    #expect(throws: ModelError.cannotContinue(sequence: "a")) {
      try Generator(
        ForwardPass(pair, threads: 1), prompt: TokenSequence(name, encoder: [1], tokens: [0]), sampling: SamplingSettings(), sink: nil)
    }
  }

  @Test func theInputHashCoversBothLists() {
    let name = SequenceDescription(name: "a")
    let hashes = [
      [TokenSequence(name, encoder: [1, 2], tokens: [3])], [TokenSequence(name, encoder: [1], tokens: [2, 3])],
      [TokenSequence(name, tokens: [1, 2, 3])],
    ].map(\.inputHash)
    #expect(Set(hashes).count == 3)
  }
}
