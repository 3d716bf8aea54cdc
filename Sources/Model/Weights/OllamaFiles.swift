// How do the files that Ollama's own converter wrote differ from llama.cpp's? In names, one architecture at a time: of the architecture,
// of a few keys and tensors, of how text is split. Taken from what Ollama itself does to open them with llama.cpp (its folder
// llama/compat). A tensor is renamed only where the file has none of the usual name; towers and layers that look ahead, which these files
// hold too, stay unused and are counted apart.

import Formats

/// The ways of one architecture's files.
struct OllamaFiles: Sendable {
  /// What llama.cpp calls the architecture.
  let architecture: String
  /// Parts of tensors' names and what they are in llama.cpp's files.
  var tensors: [(part: String, usual: String)] = []
  /// Keys of llama.cpp's files, without the architecture, and what these files have in place of them.
  var keys: [String: String] = [:]
  /// What llama.cpp is told in place of a key that these files leave out.
  var values: [String: GGUFValue] = [:]
  /// `tokenizer.ggml.pre`, where these files have another or none.
  var split: String?
  /// `tokenizer.ggml.model` of files with merges that call themselves "llama".
  var mergedTokenizer: String?

  /// - Parameter name: `general.architecture`.
  static func named(_ name: String) -> OllamaFiles? { known[name] }

  private static let known: [String: OllamaFiles] = [
    "gptoss": OllamaFiles(
      architecture: "gpt-oss",
      tensors: [(".attn_out.", ".attn_output."), (".attn_sinks", ".attn_sinks.weight"), (".ffn_norm.", ".post_attention_norm.")],
      values: ["rope.scaling.type": .string("yarn")], split: "gpt-4o"),
    "glm4moelite": OllamaFiles(architecture: "deepseek2", split: "glm4"),
    "laguna": OllamaFiles(
      architecture: "laguna", tensors: [(".attn_g.", ".attn_gate.")],
      keys: [
        "rope.dimension_count_swa": "rope.swa.dimension_count", "rope.freq_base_swa": "rope.swa.freq_base",
        "rope.scaling.yarn_beta_fast": "rope.scaling.beta_fast", "rope.scaling.yarn_beta_slow": "rope.scaling.beta_slow",
        "rope.scaling.yarn_attn_factor": "rope.scaling.attn_factor",
      ]),
    "qwen35moe": OllamaFiles(architecture: "qwen35moe", tensors: [(".ssm_dt", ".ssm_dt.bias")]),
    "qwen3next": OllamaFiles(architecture: "qwen3next", tensors: [(".ssm_dt", ".ssm_dt.bias")]),
    "gemma4": OllamaFiles(
      architecture: "gemma4", tensors: [(".ffn_gate_inp.per_expert_scale", ".ffn_down_exps.scale")], split: "gemma4",
      mergedTokenizer: "gemma4"),
    "nemotron_h_moe": OllamaFiles(
      architecture: "nemotron_h_moe", tensors: [(".ffn_latent_in.", ".ffn_latent_down."), (".ffn_latent_out.", ".ffn_latent_up.")]),
    "lfm2moe": OllamaFiles(architecture: "lfm2moe", tensors: [("output_norm.", "token_embd_norm.")], split: "lfm2"),
  ]

  /// What is to be called otherwise among `names`: a part at the end of a name stands for the whole end, so that what has it already stays.
  func renamed(_ names: some Collection<String>) -> [String: String] {
    let all = Set(names)
    var result: [String: String] = [:]
    for name in names {
      for (part, usual) in tensors {
        let ends = !part.hasSuffix(".")
        guard ends ? name.hasSuffix(part) : name.contains(part) else { continue }
        let other = ends ? String(name.dropLast(part.count)) + usual : name.replacing(part, with: usual, maxReplacements: 1)
        if !all.contains(other) { result[name] = other }
      }
    }
    return result
  }

  /// Tensors of a file that are no part of its text model: towers that see or hear, what projects from them, layers that look ahead.
  static func isBesideText(_ tensor: String) -> Bool {
    ["v.", "a.", "mm.", "s.", "mtp.", "model.vision_tower."].contains { tensor.hasPrefix($0) }
  }
}
