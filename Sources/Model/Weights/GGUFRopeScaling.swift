// How a GGUF file says that positions are stretched: keys of its metadata, or tensors of divisors.

import Formats

extension GGUFMetadata {
  /// `rope_scaling` of config.json as JSON; nil where the file scales nothing.
  ///
  /// - Parameter extra: members that the family adds.
  func ropeScaling(_ extra: (GGUFMetadata) -> [String]) throws -> String? {
    var members: [String] = []
    func copy(_ keys: [(String, String)]) {
      members += keys.compactMap { name, key in json("rope.scaling.\(key)").map { "\"\(name)\": \($0)" } }
    }
    let context = ("original_max_position_embeddings", "original_context_length")
    var type = self["rope.scaling.type"]?.string
    if let short = list("rope_factors_short.weight"), let long = list("rope_factors_long.weight") {
      type = "longrope"
      members = ["\"short_factor\": \(short)", "\"long_factor\": \(long)"]
      copy([context, ("attention_factor", "attn_factor")])
    } else if let divisors = list("rope_freqs.weight") {
      type = "longrope"
      let length = try required("context_length")
      members = [
        "\"short_factor\": \(divisors)", "\"long_factor\": \(divisors)", "\"original_max_position_embeddings\": \(length)",
        "\"attention_factor\": 1.0",
      ]
    } else {
      copy([
        ("factor", "factor"), context, ("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow"),
        ("attention_factor", "yarn_attn_factor"),
      ])
    }
    guard let type, type != "none" else { return nil }
    return "{" + (["\"type\": \(JSONValue.quoted(type))"] + members + extra(self)).joined(separator: ", ") + "}"
  }
}
