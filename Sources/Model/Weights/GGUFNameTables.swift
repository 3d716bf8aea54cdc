// What does llama.cpp call the tensors of the published layouts? By module, that is a published name without its block, its expert and its
// ending: data for GGUFNames.

extension GGUFNames {
  /// Projections whose rows turn with the position.
  static let turnedProjections: Set = ["self_attn.q_proj", "self_attn.k_proj", "mixer.q_proj", "mixer.k_proj"]

  /// Norms that a state space layer has one of for each group.
  static let groupedNorms: Set = ["mamba.norm", "mixer.norm"]

  /// Tensors that belong to no block.
  static let outside = [
    "model.embed_tokens.weight": "token_embd.weight", "transformer.wte.weight": "token_embd.weight", "lm_head.weight": "output.weight",
    "lm_head.bias": "output.bias", "model.norm.weight": "output_norm.weight", "model.norm.bias": "output_norm.bias",
    "model.final_layernorm.weight": "output_norm.weight",
    "transformer.norm_f.weight": "output_norm.weight", "backbone.embeddings.weight": "token_embd.weight",
    "model.word_embeddings.weight": "token_embd.weight", "backbone.norm_f.weight": "output_norm.weight",
    "model.embedding_norm.weight": "token_embd_norm.weight",
    "embed.weight": "token_embd.weight", "head.weight": "output.weight", "norm.weight": "output_norm.weight",
    "model.hyper_connection_mixer.hc_norm.weight": "output_hc_norm.weight",
    "model.hyper_connection_mixer.input_mix_weight_down.weight": "output_hc_down.weight",
    "model.hyper_connection_mixer.input_mix_weight_up.weight": "output_hc_up.weight",
    "hc_head_fn": "output_hc_fn.weight", "hc_head_base": "output_hc_base.weight", "hc_head_scale": "output_hc_scale.weight",
  ]

  /// Tensors of a block that stand in no block of the file.
  static let blockless = ["ple.ple_embedding.ngram_embedding": "per_layer_token_embd.weight"]

  /// Gate and up projections that are published as one tensor.
  static let fused: [String: (gate: String, up: String)] = [
    "mlp.experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"), "feed_forward.experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"),
    "experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"), "block_sparse_moe.input_linear": ("ffn_gate_exps", "ffn_up_exps"),
    "block_sparse_moe.experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"),
    "shared_mlp.input_linear": ("ffn_gate_shexp", "ffn_up_shexp"),
  ]

  /// Which half of a stack that holds both is meant, for files that were converted so.
  static let halves = ["ffn_gate_exps": 0, "ffn_up_exps": 1]

  /// Tensors that are published as one for all experts.
  static let stacks = [
    "mlp.experts.down_proj": "ffn_down_exps", "feed_forward.experts.down_proj": "ffn_down_exps",
    "experts.down_proj": "ffn_down_exps", "block_sparse_moe.output_linear": "ffn_down_exps", "ffn.experts.mlp.w1": "ffn_gate_exps",
    "ffn.experts.mlp.v1": "ffn_up_exps",
    "ffn.experts.mlp.w2": "ffn_down_exps", "moe.gate_proj": "ffn_gate_exps", "moe.up_proj": "ffn_up_exps",
    "moe.down_proj": "ffn_down_exps",
  ]

  /// Everything else of a block; where there are several names, the first that the file has.
  static let modules: [String: [String]] = {
    var table: [String: [String]] = [
      "input_layernorm": ["attn_norm"], "operator_norm": ["attn_norm"], "norm_attn_norm.norm_1": ["attn_norm"],
      "norm_attn_norm.norm_2": ["attn_output_norm"], "post_attention_layernorm": ["post_attention_norm", "ffn_norm"],
      "pre_mlp_layernorm": ["ffn_norm"], "ffn_norm": ["ffn_norm"], "post_mlp_layernorm": ["post_ffw_norm"],
      "norm_attn_norm.attn.Wqkv": ["attn_qkv"], "norm_attn_norm.attn.out_proj": ["attn_output"], "self_attn.q_proj": ["attn_q"],
      "self_attn.k_proj": ["attn_k"], "self_attn.v_proj": ["attn_v"], "self_attn.o_proj": ["attn_output"],
      "self_attn.out_proj": ["attn_output"], "self_attn.qkv_proj": ["attn_qkv"], "self_attn.output_gate": ["attn_gate"],
      "self_attn.norm": ["attn_norm_2"], "self_attn.gate_proj": ["attn_gate"], "self_attn.sinks": ["attn_sinks"],
      "self_attn.q_a_proj": ["attn_q_a"], "self_attn.q_b_proj": ["attn_q_b"], "self_attn.q_a_layernorm": ["attn_q_a_norm"],
      "self_attn.kv_a_proj_with_mqa": ["attn_kv_a_mqa"], "self_attn.kv_a_layernorm": ["attn_kv_a_norm"],
      "self_attn.kv_b_proj": ["attn_kv_b"], "shared_mlp.output_linear": ["ffn_down_shexp"], "linear_attn.A_log": ["ssm_a"],
      "linear_attn.conv1d": ["ssm_conv1d"], "linear_attn.dt_bias": ["ssm_dt"], "linear_attn.in_proj_ba": ["ssm_ba"],
      "linear_attn.in_proj_qkvz": ["ssm_in"], "linear_attn.norm": ["ssm_norm"], "linear_attn.out_proj": ["ssm_out"],
      "linear_attn.in_proj_qkv": ["attn_qkv"], "linear_attn.in_proj_z": ["attn_gate"], "linear_attn.in_proj_a": ["ssm_alpha"],
      "linear_attn.in_proj_b": ["ssm_beta"], "norm": ["attn_norm"], "pre_feedforward_layernorm": ["ffn_norm"],
      "pre_feedforward_layernorm_2": ["pre_ffw_norm_2"], "post_feedforward_layernorm": ["post_ffw_norm"],
      "post_feedforward_layernorm_1": ["post_ffw_norm_1"], "post_feedforward_layernorm_2": ["post_ffw_norm_2"],
      "layer_scalar": ["layer_output_scale"], "router.proj": ["ffn_gate_inp"], "router.scale": ["ffn_gate_inp.scale"],
      "router.per_expert_scale": ["ffn_down_exps.scale"], "self_attn.g_proj": ["attn_gate"],
      "self_attn.attention_sink_bias": ["attn_sinks.weight", "attn_sinks"], "pre_ff_layernorm": ["ffn_norm"], "mamba.x_proj": ["ssm_x"],
      "mamba.dt_proj": ["ssm_dt"], "mamba.dt_layernorm": ["ssm_dt_norm"], "mamba.b_layernorm": ["ssm_b_norm"],
      "mamba.c_layernorm": ["ssm_c_norm"], "self_attn.A_log": ["ssm_a"], "self_attn.dt_bias": ["ssm_dt"],
      "self_attn.q_conv1d": ["ssm_conv1d_q"], "self_attn.k_conv1d": ["ssm_conv1d_k"], "self_attn.v_conv1d": ["ssm_conv1d_v"],
      "self_attn.b_proj": ["ssm_beta"], "self_attn.f_a_proj": ["ssm_f_a"], "self_attn.f_b_proj": ["ssm_f_b"],
      "self_attn.g_a_proj": ["ssm_g_a"], "self_attn.g_b_proj": ["ssm_g_b"], "self_attn.o_norm": ["ssm_norm"],
      "self_attn.indexer.wq_b": ["indexer.attn_q_b"], "self_attn.indexer.wk": ["indexer.attn_k"],
      "self_attn.indexer.weights_proj": ["indexer.proj"], "self_attn.indexer.k_norm": ["indexer.k_norm"], "conv.conv": ["shortconv.conv"],
      "conv.in_proj": ["shortconv.in_proj"], "conv.out_proj": ["shortconv.out_proj"],
      "attn.attn_sink": ["attn_sinks"], "attn.wq_a": ["attn_q_a"], "attn.q_norm": ["attn_q_a_norm"], "attn.wq_b": ["attn_q_b"],
      "attn.wkv": ["attn_kv"], "attn.kv_norm": ["attn_kv_a_norm"], "attn.wo_a": ["attn_output_a"], "attn.wo_b": ["attn_output_b"],
      "attn.indexer.wq_b": ["indexer.attn_q_b"], "attn.indexer.weights_proj": ["indexer.proj"],
      "ffn.gate.tid2eid": ["ffn_gate_tid2eid"], "moe.gate": ["ffn_gate_inp"], "moe.router_bias": ["exp_probs_b"],
    ]
    for part in ["q_proj", "k_proj", "q_norm", "k_norm"] { table["self_attn.index_\(part)"] = ["indexer.\(part)", "index_\(part)"] }
    for (half, own) in [("attn", "attn"), ("mlp", "ffn")] {
      for (published, base) in [
        ("hc_norm", "norm"), ("input_mix_weight_down", "down"), ("input_mix_weight_up", "up"), ("block_inject_weight", "inject"),
      ] { table["\(half)_hyper_connection.\(published)"] = ["hc_\(own)_\(base)"] }
    }
    for (published, base) in [
      ("key_proj", "key"), ("value_proj", "value"), ("norm_key", "norm_key"), ("norm_query", "norm_query"), ("norm_conv", "norm_conv"),
      ("conv1d", "conv1d"),
    ] { table["ple.\(published)"] = ["ple_\(base)"] }
    for letter in ["q", "k"] { table["self_attn.indexer.\(letter)_layernorm"] = ["indexer.\(letter)_norm"] }
    table["block_sparse_moe.primary_router"] = ["ffn_gate_inp"]
    for part in ["gate", "up", "down"] { table["block_sparse_moe.experts.*.\(part)"] = ["ffn_\(part)_exps"] }
    for part in ["gate", "up", "down"] { table["share_expert.\(part)_proj"] = ["ffn_\(part)_shexp"] }
    for (published, base) in [("wkv", "kv"), ("wgate", "gate"), ("ape", "ape"), ("norm", "norm")] {
      table["attn.compressor.\(published)"] = ["attn_compressor_\(base)"]
      table["attn.indexer.compressor.\(published)"] = ["indexer_compressor_\(base)"]
    }
    for (head, letter) in [("q", "q"), ("k", "k"), ("query", "q"), ("key", "k")] {
      table["self_attn.\(head)_norm"] = ["attn_\(letter)_norm"]
      table["self_attn.\(head)_layernorm"] = ["attn_\(letter)_norm"]
    }
    for (module, bases) in table where module.hasPrefix("self_attn.") { table["attention." + module.dropFirst("self_attn.".count)] = bases }
    for (published, bases) in [
      ("query_key_value", ["attn_qkv"]), ("dense", ["attn_output"]), ("f_proj", ["ssm_f_a"]), ("g_proj", ["attn_gate", "ssm_g_a"]),
    ] { table["attention.\(published)"] = bases }
    for mixer in ["mamba", "mixer"] {
      for (published, base) in [
        ("A_log", "a"), ("D", "d"), ("dt_bias", "dt"), ("in_proj", "in"), ("conv1d", "conv1d"), ("norm", "norm"), ("out_proj", "out"),
      ] {
        table["\(mixer).\(published)"] = ["ssm_\(base)"]
      }
    }
    for (published, base) in [("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v"), ("o_proj", "output")] {
      table["mixer.\(published)"] = ["attn_\(base)"]
    }
    for moe in ["mlp", "block_sparse_moe", "feed_forward", "ffn", "mixer"] {
      for router in ["gate", "router", "router.gate", "router.layer", "gate.wg"] { table["\(moe).\(router)"] = ["ffn_gate_inp"] }
      for bias in [
        "gate.e_score_correction_bias", "e_score_correction_bias", "expert_bias", "gate.expert_bias", "moe_statics.e_score_correction_bias",
        "experts.e_score_correction_bias",
      ] {
        table["\(moe).\(bias)"] = ["exp_probs_b"]
      }
      table["\(moe).shared_expert_gate"] = ["ffn_gate_inp_shexp"]
      let projections = [
        ("gate_proj", "gate"), ("up_proj", "up"), ("down_proj", "down"), ("w1", "gate"), ("w3", "up"), ("w2", "down"),
      ]
      for (published, part) in projections {
        table["\(moe).\(published)"] = ["ffn_\(part)"]
        table["\(moe).experts.*.\(published)"] = ["ffn_\(part)_exps"]
        for shared in ["shared_expert", "shared_experts", "shared_mlp"] { table["\(moe).\(shared).\(published)"] = ["ffn_\(part)_shexp"] }
      }
    }
    return table
  }()
}
