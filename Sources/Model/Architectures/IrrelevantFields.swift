// Which fields of config.json cannot change what a model computes, whoever wrote them and at whatever depth they stand? Programs that
// save checkpoints leave their own bookkeeping in them: how text was generated, how training went, which program it was. Everything
// that is not in these lists and that no declaration reads is refused by name.

import Formats

enum IrrelevantFields {
  /// - Parameter value: what the field says; some are bookkeeping only as long as they are empty.
  static func contain(_ key: String, _ value: JSONValue?) -> Bool {
    if whatever.contains(key) || generation.contains(key) || key.hasPrefix("unsloth_") { return true }
    switch whileEmpty[key] {
    case .off: return value?.bool == false
    case .empty: return value.map { $0.kind == .object || $0.kind == .array ? $0.count == 0 : $0.string == "" } ?? true
    case nil: return false
    }
  }

  /// Training, bookkeeping, and how other programs compute the same thing.
  private static let whatever: Set<String> = [
    // Names and versions.
    "architectures", "auto_map", "model_type", "model_name", "name_or_path", "_name_or_path", "transformers_version", "tokenizer_class",
    "finetuning_task", "problem_type", "task_specific_params", "id2label", "label2id", "num_labels",
    // Marks of the tokenizer.
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "pad_token", "decoder_start_token_id",
    // Types and kernels: this engine computes in f32, and all ways of running attention compute the same.
    "dtype", "torch_dtype", "use_cache", "chunk_size_feed_forward", "_attn_implementation", "attn_implementation",
    "_attn_implementation_autoset", "use_grouped_mm", "torchscript", "use_bfloat16", "tf_legacy_loss", "for_llm_compressor",
    "pretraining_tp", "ep_size",
    // What a program returns beside the logits.
    "output_attentions", "output_hidden_states", "output_router_logits", "return_dict", "use_return_dict", "is_encoder_decoder",
    "is_decoder",
    // Training.
    "attention_dropout", "hidden_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "init_method",
    "router_aux_loss_coef", "router_jitter_noise", "router_z_loss_coef", "aux_loss_alpha", "aux_loss_coef", "seq_aux",
    "load_balance_coeff",
    // Without use_sliding_window, which families read, this says nothing.
    "max_window_layers",
  ]

  /// How transformers 4 continued texts: it wrote these into every configuration.
  private static let generation: Set<String> = [
    "bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id", "length_penalty", "max_length", "min_length",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_scores", "prefix", "remove_invalid_values",
    "repetition_penalty", "return_dict_in_generate", "suppress_tokens", "temperature", "top_k", "top_p", "typical_p",
  ]

  private enum Harmless { case off, empty }

  /// Fields of the same boilerplate that would matter if they were used.
  private static let whileEmpty: [String: Harmless] = [
    "add_cross_attention": .off, "tie_encoder_decoder": .off, "pruned_heads": .empty, "cross_attention_hidden_size": .empty,
  ]
}
