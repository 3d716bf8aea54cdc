// What encoder-decoder families share: the settings of their stacks, the names of an activation, fields that only training reads.

import Routing

extension Configuration {
  /// The activation of a plain feed-forward half.
  func activation(_ key: String, default fallback: String) throws -> ExpertActivation {
    switch try text(key, default: fallback) {
    case "relu": .relu
    case "gelu": .gelu
    case "gelu_new", "gelu_pytorch_tanh": .geluTanh
    case "silu", "swish": .silu
    case let other: throw refused(key, found: "\"\(other)\"", supported: "relu, gelu, gelu_new, gelu_pytorch_tanh, silu")
    }
  }

  /// Accounts for fields that do not touch the routing of given tokens: dropouts, starts of generation, marks of padding. A sequence
  /// that is read along has no padding.
  func disregardTraining(and others: [String]) {
    let common = [
      "add_cross_attention", "decoder_start_token_id", "early_stopping", "forced_bos_token_id", "forced_eos_token_id", "is_decoder",
      "max_length", "num_beams", "output_past", "router_ignore_padding_tokens", "task_specific_params", "tokenizer_class",
    ]
    for key in common + others { _ = value(key) }
  }
}
