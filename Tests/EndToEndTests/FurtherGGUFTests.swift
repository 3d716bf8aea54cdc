// What the commands say of GGUF files of Step, Ling and MiniMax-M3: settings that a file lacks, and blocks that look further ahead.

import Formats
import Foundation
import Support
import Testing

struct FurtherGGUFTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func settings(_ fields: [String: String]) -> [String] { fields.flatMap { ["--set", "\($0.key)=\($0.value)"] } }

  /// The rule by which Step is stretched is not in the file. Without divisors that tell the published one it is asked for by name, and
  /// once it is set the model runs.
  @Test func aRuleThatIsNotInTheFileIsSet() throws {
    let whole = try #require(Fixtures.own("gguf/step3p5.gguf")), model = try #require(Fixtures.own("models/step3p5"))
    #expect(try Binary.run(["inspect", whole]).status == 0)
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: whole)))
    let place = try #require(GGUFFile(path: whole).tensors.first { $0.name == "rope_freqs.weight" }).byteOffset
    bytes[place + 3] = 0x41
    let file = try folder.write(bytes, to: "step.gguf")
    let refused = try Binary.run(["inspect", file])
    #expect(refused.status == 65 && refused.errors.contains("rope_parameters.full_attention.factor"), "\(refused.errors)")
    let rule = settings([
      "rope_parameters.full_attention.factor": "8", "rope_parameters.full_attention.low_freq_factor": "1",
      "rope_parameters.full_attention.high_freq_factor": "4", "rope_parameters.full_attention.original_max_position_embeddings": "16",
    ])
    let verified = try Binary.run(
      ["verify", file, "--tokens", model + "/input.json", "--expected", model + "/expected.safetensors"] + rule)
    #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    let seen = try Binary.run(["inspect", file] + rule)
    #expect(seen.status == 0 && seen.output.contains("mtp 2,112"), "\(seen.output)")
  }

  /// Ling's fixture has 4 groups of which 2 are kept; of 12 experts none are published, so one group is assumed, and said.
  @Test func whatLingLeavesOutIsAssumedAndSaid() throws {
    let keys = ["expert_weights_scale", "expert_group_count", "expert_group_used_count"].map { "bailingmoe2." + $0 }
    let file = try ChangedModel.gguf("bailing_moe-second", without: keys, in: folder)
    let model = try #require(Fixtures.own("models/bailing_moe-second"))
    let answer = try Answer(["inspect", file])
    for (key, value) in [("routed_scaling_factor", "2.5"), ("n_group", "1"), ("topk_group", "1")] {
      #expect(answer["assumed"]?[key]?.string == value, "\(key)")
    }
    let verified = try Binary.run(
      ["verify", file, "--tokens", model + "/input.json", "--expected", model + "/expected.safetensors"]
        + settings(["n_group": "4", "topk_group": "2"]))
    #expect(verified.status == 0, "\(verified.output)")
  }

  /// What the choice of tokens depends on is asked for by name.
  @Test(arguments: [
    ("minimax_m3", "minimax-m3.attention.indexer.head_count", "index_n_heads"),
    ("minimax_m3", "minimax-m3.expert_used_count", "num_experts_per_tok"),
    ("step3p5", "step35.attention.head_count", "num_attention_heads"),
    ("bailing_hybrid", "bailingmoe3.attention.kv_lora_rank", "kv_lora_rank"),
    ("granitemoe_swa", "granite_swa.expert_count", "granite_swa without experts"),
  ])
  func aMissingKeyIsNamed(_ name: String, _ key: String, _ field: String) throws {
    let result = try Binary.run(["inspect", ChangedModel.gguf(name, without: [key], in: folder)])
    #expect([65, 69].contains(result.status) && result.errors.contains(field), "\(result.errors)")
  }
}
