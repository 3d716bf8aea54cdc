// Layers that remember a sequence in something other than keys and values: however a sequence is cut into passes, whoever computes
// it and whatever came before, the numbers are the same, bit for bit. And what their declarations refuse.

import Foundation
import Model
import Support
import Testing

struct RecurrentLayerTests {
  static let families = [
    "lfm2_moe", "qwen3_next", "minimax", "minimax-factors", "jetmoe", "granitemoehybrid", "granitemoehybrid-rope-groups",
    "qwen3_5_moe", "kimi_linear", "bailing_hybrid", "bailing_hybrid-softplus", "nemotron_h", "jamba", "glm_moe_dsa", "deepseek_v4",
    "deepseek_v4-yarn",
    "minimax_m3", "minimax_m3-wrapped",
  ]

  private func model(_ family: String, overrides: [String: String] = [:]) throws -> LanguageModel {
    try LanguageModel(path: #require(Fixtures.own("models/\(family)")), overrides: overrides)
  }

  /// Logits of every token, as bits.
  private func logits(_ forward: ForwardPass, _ tokens: [Int32], cuts: [Int]) -> [UInt32] {
    forward.reset(length: tokens.count)
    var bits: [UInt32] = []
    var done = 0
    var turn = 0
    while done < tokens.count {
      let count = min(cuts[turn % cuts.count], tokens.count - done)
      _ = forward.advance(tokens[done..<done + count])
      bits += forward.logits(0..<count).map(\.bitPattern)
      done += count
      turn += 1
    }
    return bits
  }

  @Test(arguments: families)
  func sequencesMayBeCutAnywhere(_ family: String) throws {
    let model = try model(family)
    var random = SeededRandom(seed: 11)
    let length = min(75, model.contextLength)
    let tokens = (0..<length).map { _ in Int32.random(in: 0..<Int32(model.vocabularySize), using: &random) }
    let whole = logits(ForwardPass(model, threads: 1), tokens, cuts: [75])
    let other = ForwardPass(model, threads: 3)
    _ = logits(other, tokens.reversed(), cuts: [20])
    for cuts in [[1], [5], [24], [75], [2, 1, 17]] {
      #expect(logits(other, tokens, cuts: cuts) == whole, "cut into \(cuts)")
    }
    for step in [1, 7, 32] {
      #expect(logits(ForwardPass(model, threads: 2, stepLimit: step), tokens, cuts: [40, 35]) == whole, "in steps of \(step)")
    }
  }

  @Test(arguments: [
    ("lfm2_moe", "layer_types", #"["conv", "mamba", "conv"]"#), ("lfm2_moe", "layer_types", "null"),
    ("qwen3_next", "linear_num_value_heads", "3"), ("qwen3_next", "hidden_act", #""gelu""#),
    ("minimax", "layer_types", #"["linear_attention", "full_attention"]"#), ("minimax", "block_size", "2048"),
    ("jetmoe", "activation_function", #""gelu""#), ("granitemoehybrid", "time_step_limit", "[0.0, 0.1]"),
    ("granitemoehybrid", "position_embedding_type", #""learned""#), ("granitemoehybrid", "mamba_n_heads", "6"),
    ("nemotron_h", "layers_block_type", #"["mamba", "conv", "moe"]"#),
    ("laguna", "moe_router_logit_softcapping", "-5.0"), ("laguna", "gating", #""per-token""#), ("gemma4", "num_kv_shared_layers", "1"),
    ("gemma4", "enable_moe_block", "false"), ("mimo_v2_flash", "n_shared_experts", "1"), ("qwen3_5_moe", "attn_output_gate", "false"),
    ("glm_moe_dsa", "indexer_types", #"["shared", "full", "full", "full"]"#), ("kimi_linear", "mla_use_nope", "false"),
    ("minimax_m3", "index_n_heads", "4"), ("minimax_m3", "index_local_blocks", "3"), ("minimax_m3", "swiglu_alpha", "1.0"),
    ("minimax_m3", "first_k_dense_replace", "2"), ("minimax_m3", "n_shared_experts", "2"), ("granitemoe_swa", "layer_rope_theta", "[1.0]"),
    ("step3p5", "swiglu_limits", "[1.0]"), ("step3p5", "sink", "true"),
    ("step3p5", "rope_parameters", #"{"rope_type": "default", "rope_theta": 1000.0}"#),
    ("step3p5", "use_rope_layers", "[false, true, true, true]"),
    ("glm4v_moe", "use_qk_norm", "true"), ("bailing_moe", "norm_head", "true"), ("bailing_moe-second", "score_function", #""relu""#),
    ("deepseek", "scoring_func", #""sigmoid""#),
    ("mistral4", "partial_rotary_factor", "0.25"), ("jamba", "sliding_window", "4"),
    ("deepseek_v4", "scoring_func", #""sigmoid""#), ("deepseek_v4", "n_shared_experts", "2"), ("deepseek_v4", "o_groups", "3"),
    ("deepseek_v4", "num_key_value_heads", "2"), ("deepseek_v4", "mlp_bias", "true"), ("deepseek_v4", "attention_bias", "true"),
    ("deepseek_v4", "layer_types", #"["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"]"#),
    ("deepseek_v4", "mlp_layer_types", #"["moe", "dense", "moe", "moe"]"#), ("deepseek_v4", "index_head_dim", "4"),
  ])
  func whatADeclarationDoesNotCoverIsRefusedByName(_ family: String, _ key: String, _ value: String) throws {
    let error = #expect(throws: ModelError.self) { try model(family, overrides: [key: value]) }
    #expect("\(try #require(error))".contains(key))
  }

  @Test func aTableOfAnotherBlockSizeIsRefused() throws {
    #expect(throws: ModelError.self) { try model("minimax", overrides: ["block_size": "8"]) }
    _ = try model("minimax-factors", overrides: ["block_size": "4"])
  }

  @Test func stateIsCountedApartFromTheCache() throws {
    let facts = try model("qwen3_next").facts()
    // One delta network: 4 heads of 8 x 8, three past inputs of 64 channels.
    #expect(facts.stateBytes == 4 * (4 * 8 * 8 + 3 * 64))
    #expect(facts.cacheBytesPerToken == 4 * 2 * 2 * 8)
  }
}
