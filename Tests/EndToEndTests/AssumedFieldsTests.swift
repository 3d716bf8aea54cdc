// What a config.json leaves out is what transformers' configuration class takes, and is said where published configurations state it.

import Formats
import Foundation
import Support
import Testing

struct AssumedFieldsTests {
  /// Model, field, and the reference's default of it as JSON: transformers 5.24, configuration_*.py.
  static let defaults: [(model: String, field: String, value: String)] = [
    ("afmoe", "num_dense_layers", "1"), ("afmoe", "num_shared_experts", "2"), ("afmoe", "head_dim", "128"),
    ("cohere2_moe", "head_dim", "128"), ("cohere2_moe", "sliding_window", "4096"), ("deepseek_v2", "n_shared_experts", "2"),
    ("deepseek_v2", "q_lora_rank", "1536"), ("deepseek_v3", "n_shared_experts", "1"), ("deepseek_v3", "routed_scaling_factor", "2.5"),
    ("deepseek_v3", "n_group", "8"), ("deepseek_v3", "topk_group", "4"), ("deepseek_v3", "first_k_dense_replace", "3"),
    ("dots1", "num_key_value_heads", "32"), ("ernie4_5_moe", "moe_num_shared_experts", "2"),
    ("ernie4_5_moe", "moe_layer_start_index", "1"), ("ernie4_5_moe", "num_key_value_heads", "4"),
    ("exaone_moe", "routed_scaling_factor", "2.5"), ("exaone_moe", "num_shared_experts", "1"), ("glm4_moe", "n_shared_experts", "1"),
    ("glm4_moe", "num_key_value_heads", "8"), ("glm4_moe_lite", "routed_scaling_factor", "1.8"),
    ("glm4_moe_lite", "n_shared_experts", "1"), ("glm4_moe", "first_k_dense_replace", "1"), ("gpt_oss", "swiglu_limit", "7.0"),
    ("hy_v3", "router_scaling_factor", "2.826"), ("longcat_flash", "routed_scaling_factor", "6.0"),
    ("longcat_flash", "zero_expert_num", "256"), ("llama4_text", "attention_chunk_size", "8192"), ("mixtral", "num_key_value_heads", "8"),
    ("solar_open", "n_shared_experts", "1"), ("qwen3_next", "norm_topk_prob", "true"), ("switch_transformers", "num_decoder_layers", "12"),
  ]

  /// Silence and the default are one model, or one refusal; only the former is an assumption.
  @Test(arguments: defaults) func silenceIsTheReferencesDefault(_ row: (model: String, field: String, value: String)) throws {
    let value = try JSONSerialization.jsonObject(with: Data(row.value.utf8), options: .fragmentsAllowed)
    let silent = try ChangedModel("models/\(row.model)", settings: [row.field: nil])
    let stated = try ChangedModel("models/\(row.model)", settings: [row.field: value])
    let (a, b) = (try Answer(["inspect", silent.path]), try Answer(["inspect", stated.path]))
    #expect(a.status == b.status, "\(a.errors)\(b.errors)")
    func words(_ answer: Answer, _ model: ChangedModel) -> [String?] {
      let policies = answer["routers"]?.elements.compactMap { $0["policy"]?.string }.joined(separator: ";")
      let reason = answer["refused"]?["reason"]?.string?.replacingOccurrences(of: model.path, with: "")
      return [policies, answer["shared_experts"].map { "\($0.elements.compactMap(\.int64))" }, reason]
    }
    #expect(words(a, silent) == words(b, stated), "\(row)")
    guard a.status == 0 else { return }
    #expect(a["assumed"]?[row.field]?.string == row.value && b["assumed"]?[row.field] == nil, "\(row)")
    #expect(try Binary.run(["inspect", silent.path]).output.contains("\(row.field) = \(row.value), which the file does not say"))
    let run = try Answer(["run", silent.path, "--tokens", silent.input, "--no-trace"])
    guard run.status == 0 else { return }
    #expect(run.errors.contains("note: \(row.field) = \(row.value)") && run["assumed"]?[row.field]?.string == row.value, "\(run.errors)")
    let again = try Answer(["run", stated.path, "--tokens", stated.input, "--no-trace"])
    #expect(run["loss"]?.double == again["loss"]?.double)
  }

  /// The user's word is no assumption, null included: it is off.
  @Test func whatIsSetIsNotAssumed() throws {
    let silent = try ChangedModel("models/deepseek_v3", settings: ["routed_scaling_factor": nil])
    for (setting, policy) in [("routed_scaling_factor=3.5", "scaled by 3.5"), ("routed_scaling_factor=null", nil)] {
      let answer = try Answer(["inspect", silent.path, "--set", setting])
      #expect(answer["assumed"]?.count == 0)
      let words = answer["routers"]?.firstElement?["policy"]?.string ?? ""
      #expect(policy.map(words.contains) ?? !words.contains("scaled"), "\(words)")
    }
  }

  /// A fixture says all that published configurations of its family say.
  @Test(arguments: ["mixtral", "olmoe", "deepseek_v3", "qwen3_moe", "gpt_oss", "llama4_text"])
  func aWholeConfigurationIsDescribedWithoutAssumptions(_ model: String) throws {
    let answer = try Answer(["inspect", try #require(Fixtures.own("models/\(model)"))])
    #expect(answer["assumed"]?.count == 0, "\(answer["assumed"]?.members.map { $0.key.string ?? "" } ?? [])")
  }

  /// Where no list says which layers have a window, the family's rule does: in Qwen2-MoE every other one before max_window_layers.
  @Test func windowsWithoutAListFollowTheReferencesRule() throws {
    let base: [String: Any?] = ["use_sliding_window": true, "sliding_window": 3, "max_window_layers": 2]
    let silent = try ChangedModel("models/qwen2_moe", settings: base.merging(["layer_types": nil]) { $1 })
    let count = try #require(try ChangedModel.configuration(silent.path)["num_hidden_layers"] as? Int)
    let types = (0..<count).map { ($0 + 1) % 2 != 0 && $0 < 2 ? "sliding_attention" : "full_attention" }
    let stated = try ChangedModel("models/qwen2_moe", settings: base.merging(["layer_types": types]) { $1 })
    let all = try ChangedModel("models/qwen2_moe", settings: ["use_sliding_window": false, "layer_types": nil])
    let losses = try [silent, stated, all].map { try Answer(["run", $0.path, "--tokens", $0.input, "--no-trace"])["loss"]?.double }
    #expect(losses[0] != nil && losses[0] == losses[1] && losses[0] != losses[2], "\(losses)")
  }
}
