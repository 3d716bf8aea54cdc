"""A GGUF file of a model folder, laid out as llama.cpp's converter lays it out: Tests/Fixtures/gguf/NAME.gguf.

usage: make_gguf.py NAME ... [--models Tests/Fixtures/models] [-o Tests/Fixtures/gguf] [--tensors-per-file N]

For families whose files no other fixture has. Tensor names are those of gguf-py's own table; what a converter does beyond renaming is
written here (from conversion/ of llama.cpp): experts stacked, stacks with inputs as rows turned, fused halves taken apart, rows of query and key heads paired where the
runtime turns neighbours, rates of state space layers as -exp(A_log). Matrices stay bfloat16, vectors become float32. There is no
vocabulary. The folder's expected values hold for the file, since the weights are the same; but for MiniMax, whose tables of decay stay
out: minimax.expected.safetensors was made by make_expected.py from the folder without them. settings.json says what a file leaves out
where the folder has another value than published checkpoints.
"""
import argparse
import json
import math
import re
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent
ARCH = gguf.MODEL_ARCH


def paired(weight, heads):
    """Rows (half, i) of each head as (i, half)."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def stacked(tensors):
    """Experts that are published one by one, as one tensor each projection."""
    grouped = {}
    for name, value in tensors:
        match = re.fullmatch(r"(.*\.experts)\.(\d+)\.(.*)", name)
        if match:
            grouped.setdefault(f"{match[1]}.{match[3]}", {})[int(match[2])] = value
        else:
            yield name, value
    for name, experts in grouped.items():
        yield name, torch.stack([experts[i] for i in range(len(experts))])


def common(writer, config):
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    if "rope_parameters" in config:
        writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_expert_count(config.get("num_local_experts") or config.get("num_experts") or config["n_routed_experts"])
    used = config["num_experts_per_tok"]
    if isinstance(used, list):
        writer.add_array(f"{writer.arch}.expert_used_count", used)
    else:
        writer.add_expert_used_count(used)
    writer.add_vocab_size(config["vocab_size"])


def llama4(writer, config, tensors):
    common(writer, {**config, "intermediate_size": config["intermediate_size_mlp"]})
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_interleave_moe_layer_step(config["interleave_moe_layer_step"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    if config["rope_parameters"]["rope_type"] == "llama3":
        yield "rope_freqs.weight", llama3_divisors(config["head_dim"], config["rope_parameters"])
    for name, value in tensors:
        if name.endswith("experts.gate_up_proj"):
            for part, half in zip(("gate_proj", "up_proj"), value.transpose(-1, -2).chunk(2, dim=-2)):
                yield name.replace("gate_up_proj", part + ".weight"), half
        elif name.endswith("experts.down_proj"):
            yield name + ".weight", value.transpose(-1, -2)
        else:
            yield name, value


def llama3_divisors(size, rope):
    frequencies = 1.0 / rope["rope_theta"] ** (torch.arange(0, size, 2, dtype=torch.float32) / size)
    low, high = (rope["original_max_position_embeddings"] / rope[key] for key in ("low_freq_factor", "high_freq_factor"))
    divisors = []
    for wavelength in (2 * math.pi / frequencies).tolist():
        smooth = (rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]) \
            / (rope["high_freq_factor"] - rope["low_freq_factor"])
        divisors.append(1.0 if wavelength < high else rope["factor"] if wavelength > low
                        else 1 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(divisors)


def phimoe(writer, config, tensors):
    common(writer, config)
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_sliding_window(config["sliding_window"] or 0)
    rope = config["rope_parameters"]
    if rope["rope_type"] == "longrope":
        original = rope["original_max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(original)
        stretch = config["max_position_embeddings"] / original
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0)
        yield "rope_factors_long.weight", torch.tensor(rope["long_factor"])
        yield "rope_factors_short.weight", torch.tensor(rope["short_factor"])
    yield from stacked(tensors)


def granite_hybrid(writer, config, tensors):
    attention = {"attention", "full_attention"}
    common(writer, {**config, "num_key_value_heads": [
        config["num_key_value_heads"] if kind in attention else 0 for kind in config["layer_types"]]})
    inner, groups = config["mamba_expand"] * config["hidden_size"], config["mamba_n_groups"]
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_attention_scale(config["attention_multiplier"])
    writer.add_embedding_scale(config["embedding_multiplier"])
    writer.add_residual_scale(config["residual_multiplier"])
    writer.add_logit_scale(config["logits_scaling"])
    writer.add_expert_shared_feed_forward_length(config["shared_intermediate_size"])
    writer.add_ssm_conv_kernel(config["mamba_d_conv"])
    writer.add_ssm_state_size(config["mamba_d_state"])
    writer.add_ssm_group_count(groups)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_time_step_rank(config["mamba_n_heads"])
    writer.add_rope_scaling_finetuned(False)    # whatever position_embedding_type says
    for name, value in tensors:
        if "input_linear" in name:
            gate, up = value.chunk(2, dim=-2)
            base = "ffn_{}_exps" if "block_sparse_moe" in name else "ffn_{}_shexp"
            layer = name.split(".")[2]
            yield f"blk.{layer}.{base.format('gate')}.weight", gate
            yield f"blk.{layer}.{base.format('up')}.weight", up
        elif "self_attn.q_proj" in name:
            yield name, paired(value, config["num_attention_heads"])
        elif "self_attn.k_proj" in name:
            yield name, paired(value, config["num_key_value_heads"])
        elif name.endswith(".A_log"):
            yield name, -torch.exp(value.float()).unsqueeze(-1)
        elif name.endswith("mamba.D"):
            yield name, value.float().unsqueeze(-1)
        elif name.endswith("conv1d.weight"):
            yield name, value.squeeze().float()
        elif name.endswith("mamba.norm.weight"):
            yield name, value.reshape(groups, inner // groups).float()
        elif name.endswith(".dt_bias"):
            yield name.replace(".dt_bias", ".dt_proj.bias"), value
        else:
            yield name, value


def gpt_oss(writer, config, tensors):
    common(writer, config)
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    stretch(writer, config["rope_parameters"])
    for name, value in tensors:
        layer = name.split(".")[2] if "layers" in name else None
        if "gate_up_proj" in name:
            ending = "bias" if name.endswith("bias") else "weight"
            for part, half in (("gate", value[..., 0::2]), ("up", value[..., 1::2])):
                yield f"blk.{layer}.ffn_{part}_exps.{ending}", half if ending == "bias" else half.transpose(-1, -2)
        elif "down_proj" in name:
            ending = "bias" if name.endswith("bias") else "weight"
            yield f"blk.{layer}.ffn_down_exps.{ending}", value if ending == "bias" else value.transpose(-1, -2)
        elif name.endswith(".sinks"):
            yield f"blk.{layer}.attn_sinks.weight", value
        elif "post_attention_layernorm" in name:
            yield f"blk.{layer}.post_attention_norm.weight", value
        else:
            yield name, value


def windows(writer, config):
    writer.add_sliding_window(config["sliding_window"])
    writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])


def exaone(writer, config, tensors):
    common(writer, config)
    writer.add_key_length(config["head_dim"])
    windows(writer, config)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_count(config["num_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])
    writer.add_leading_dense_block_count(config["mlp_layer_types"].count("dense"))
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_expert_group_count(config["n_group"])
    writer.add_expert_group_used_count(config["topk_group"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    for name, value in stacked(tensors):
        yield name.replace(".e_score_correction_bias", ".e_score_correction.bias"), value


def hunyuan3(writer, config, tensors):
    common(writer, config)
    writer.add_key_length(config["head_dim"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_feed_forward_length(config["moe_intermediate_size"] * config["num_shared_experts"])
    writer.add_expert_weights_norm(True)
    writer.add_expert_weights_scale(config["router_scaling_factor"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    renamed = {".router.gate.": ".gate.", ".mlp.expert_bias": ".mlp.gate.e_score_correction.bias", ".shared_mlp.": ".shared_experts."}
    for name, value in stacked(tensors):
        for published, known in renamed.items():
            name = name.replace(published, known)
        yield name, value


def mellum(writer, config, tensors):
    rope = config["rope_parameters"]
    common(writer, {**config, "rope_parameters": rope["full_attention"]})
    writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    writer.add_key_length(config["head_dim"])
    windows(writer, config)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    yield from stacked(tensors)


def minimax(writer, config, tensors):
    common(writer, config)
    writer.add_key_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_residual_scale(float(config["full_attn_alpha_factor"]))
    names = {"self_attn.qkv_proj": "attn_qkv", "self_attn.output_gate": "attn_gate", "self_attn.norm": "attn_norm_2",
             "self_attn.out_proj": "attn_output"}
    for name, value in stacked(tensors):
        if name.endswith(("_decay", "slope_rate")):
            continue    # tables that transformers saves and published checkpoints do not have
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.*)\.weight", name)
        yield (f"blk.{match[1]}.{names[match[2]]}.weight" if match and match[2] in names else name), value


def mixtral(writer, config, tensors):
    common(writer, config)
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, value in stacked(tensors):
        count = heads.get(name.split(".")[-2])
        yield name, paired(value, count) if count else value


def olmoe(writer, config, tensors):
    common(writer, config)
    yield from stacked(tensors)


def state_space(writer, config, heads, inner):
    writer.add_ssm_conv_kernel(config["conv"])
    writer.add_ssm_state_size(config["state"])
    writer.add_ssm_group_count(config["groups"])
    writer.add_ssm_time_step_rank(heads)
    writer.add_ssm_inner_size(inner)


def qwen35(writer, config, tensors):
    common(writer, config)
    keys, values, size = (config[f"linear_{name}"] for name in ("num_key_heads", "num_value_heads", "value_head_dim"))
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(int(config["head_dim"] * config["rope_parameters"]["partial_rotary_factor"]))
    writer.add_rope_dimension_sections([11, 11, 10, 0])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
    writer.add_full_attention_interval(4)
    state_space(writer, {"conv": config["linear_conv_kernel_dim"], "state": config["linear_key_head_dim"], "groups": keys},
                values, values * size)

    def tiled(weight, size, axis=0):
        """Value heads (key head, place) as (place, key head)."""
        axis %= weight.dim()
        shape = weight.shape
        return weight.reshape(*shape[:axis], keys, values // keys, size, *shape[axis + 1:]).transpose(axis, axis + 1).reshape(shape)

    def channels(weight):
        before = 2 * keys * config["linear_key_head_dim"]
        return torch.cat([weight[:before], tiled(weight[before:], size)])

    for name, value in stacked(tensors):
        part = name.removesuffix(".weight").rpartition("linear_attn.")[2]
        if part == "A_log":
            yield name, -torch.exp(tiled(value.float(), 1))
        elif part == "dt_bias":
            yield name.replace(".dt_bias", ".dt_proj.bias"), tiled(value, 1)
        elif part == "conv1d":
            yield name, channels(value.squeeze().float())
        elif part == "in_proj_qkv":
            yield name, channels(value)
        elif part in ("in_proj_z", "in_proj_a", "in_proj_b"):
            yield name, tiled(value, size if part == "in_proj_z" else 1)
        elif part == "out_proj":
            yield name, tiled(value, size, axis=1)
        elif name.endswith("norm.weight") and part != "norm":
            yield name, value.float() + 1
        else:
            yield name, value


def qwen4(writer, config, tensors):
    """Qwen3.5's mixers; the scorer's projection taken apart, the shards of the table of n-grams as one tensor, and the hash in the metadata."""
    own, ratio, shards = writer.arch, config["indexer_compress_ratio"], {}
    hashed = {name.rpartition(".")[2]: value.tolist() for name, value in tensors if not value.is_floating_point()}
    for name, value in (("count", "hc_count"), ("low_rank", "hc_lowrank")):
        writer.add_uint32(f"{own}.hyper_connection.{name}", config[value])
    for name, value in (("head_count", "indexer_n_heads"), ("key_length", "indexer_head_dim"), ("top_k", "indexer_budget")):
        writer.add_uint32(f"{own}.attention.indexer.{name}", config[value])
    writer.add_array(f"{own}.attention.compress_ratios", [0 if kind == "linear_attention" else ratio for kind in config["layer_types"]])
    writer.add_array(f"{own}.ple.layers", [layer - 1 for layer in config["ple_layer_ids"]])
    for name, value in (("ngram_size", "ngram_size"), ("heads_per_ngram", "heads_per_ngram"), ("conv_kernel", "ple_conv_kernel_size"),
                        ("eos_token_id", "eos_token_id")):
        writer.add_uint32(f"{own}.ple.{name}", config[value])
    for name, value in (("layer_multipliers", "layer_multipliers"), ("head_offsets", "ngram_heads_offsets"),
                        ("head_vocab_sizes", "ngram_heads_vocab_sizes")):
        writer.add_key_value(f"{own}.ple.{name}", hashed[value], gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT64)
    names = {"attn_hyper_connection": "hc_attn", "mlp_hyper_connection": "hc_ffn", "hc_norm": "norm", "input_mix_weight_down": "down",
             "input_mix_weight_up": "up", "block_inject_weight": "inject"}
    rest = [(name, value) for name, value in tensors if value.is_floating_point()]
    for name, value in qwen35(writer, {**config, "intermediate_size": config["moe_intermediate_size"]}, rest):
        parts = name.split(".")
        block = f"blk.{parts[2]}." if parts[1] == "layers" else "output_"
        if "hyper_connection_mixer" in name:
            yield f"output_hc_{names[parts[-2]]}.weight", value
        elif "hyper_connection" in name:
            yield f"{block}{names[parts[3]]}_{names[parts[4]]}.weight", value
        elif name.endswith("index_qk_proj.weight"):
            queries = config["indexer_n_heads"] * config["indexer_head_dim"]
            yield f"{block}indexer.q_proj.weight", value[:queries]
            yield f"{block}indexer.k_proj.weight", value[queries:]
        elif ".indexer." in name:
            yield f"{block}indexer.{parts[-2][0]}_norm.weight", value
        elif "ngram_embedding" in name:
            shards[int(parts[-2].removeprefix("shard_")) if "shard_" in name else 0] = value
        elif ".ple." in name:
            part = parts[-2].removesuffix("_proj")
            yield f"{block}ple_{part}.weight", value.float() + 1 if part.startswith("norm") else value.squeeze()
        else:
            yield name, value
    table = torch.cat([shards[i] for i in sorted(shards)])
    writer.add_uint32(f"{own}.embedding_length_per_layer_input", table.shape[1])
    yield "per_layer_token_embd.weight", table


def qwen3_vl(writer, config, tensors):
    common(writer, config)
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_sections([*config["rope_parameters"]["mrope_section"], 0])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_num_deepstack_layers(len(config["vision_config"]["deepstack_visual_indexes"]))
    for name, value in tensors:
        if name.endswith("experts.gate_up_proj"):    # outputs as rows here; published ones are turned first
            for part, half in zip(("gate_proj", "up_proj"), value.chunk(2, dim=-2)):
                yield name.replace("gate_up_proj", part + ".weight"), half
        elif "visual." not in name:    # those go into a file of their own
            yield name + (".weight" if name.endswith("experts.down_proj") else ""), value


def gemma4(writer, config, tensors):
    rope = config["rope_parameters"]
    near = [kind == "sliding_attention" for kind in config["layer_types"]]
    far = config["per_layer_config"][str(near.index(False))]
    common(writer, {**config, "rope_parameters": rope["full_attention"], "num_experts_per_tok": config["top_k_experts"],
                    "num_key_value_heads": [config["num_key_value_heads"] if is_near else far["num_key_value_heads"] for is_near in near]})
    windows(writer, config)
    writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    for key, value in (
            ("attention.shared_kv_layers", config["num_kv_shared_layers"]), ("attention.key_length", far["head_dim"]),
            ("embedding_length_per_layer_input", config["hidden_size_per_layer_input"]), ("attention.value_length", far["head_dim"]),
            ("attention.key_length_swa", config["head_dim"]), ("attention.value_length_swa", config["head_dim"]),
            ("rope.dimension_count", far["head_dim"]), ("rope.dimension_count_swa", config["head_dim"])):
        writer.add_uint32(f"gemma4.{key}", value)
    pairs, turning = far["head_dim"] // 2, int(far["head_dim"] * rope["full_attention"]["partial_rotary_factor"] / 2)
    yield "rope_freqs.weight", torch.tensor([1.0] * turning + [1e30] * (pairs - turning))
    scales = {"router.scale": "ffn_gate_inp.scale", "router.per_expert_scale": "ffn_down_exps.scale"}
    for name, value in tensors:
        scale = next((stored for published, stored in scales.items() if name.endswith(published)), None)
        if scale:
            yield f"blk.{name.split('.')[2]}.{scale}", value
        else:
            yield name + (".weight" if name.endswith("layer_scalar") or ".experts." in name else ""), value


def nemotron(writer, config, tensors):
    kinds = config["layers_block_type"]
    common(writer, {
        **config, "num_hidden_layers": len(kinds), "max_position_embeddings": 2**20, "rms_norm_eps": config["layer_norm_epsilon"],
        "num_key_value_heads": [config["num_key_value_heads"] if kind == "full_attention" else 0 for kind in kinds],
        "intermediate_size": [config["moe_intermediate_size"] if kind == "moe" else 0 for kind in kinds]})
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_scaling_finetuned(False)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_feed_forward_length(config["moe_shared_expert_intermediate_size"])
    router(writer, config)
    heads, groups = config["mamba_num_heads"], config["n_groups"]
    state_space(writer, {"conv": config["conv_kernel"], "state": config["ssm_state_size"], "groups": groups},
                heads, heads * config["mamba_head_dim"])
    # Rows of heads that no position turns are paired too: the converter is that of a family where they turn.
    count = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, value in stacked(tensors):
        part = name.rpartition("mixer.")[2].removesuffix(".weight")
        name = name.replace(".e_score_correction_bias", ".e_score_correction.bias").replace(".dt_bias", ".dt.bias")
        if "mixer.experts." in name:
            name = name.replace("backbone.", "model.").replace("mixer", "mlp")
        if part in count:
            yield name, paired(value, count[part])
        elif part == "conv1d":
            yield name, value.squeeze().float()
        elif part == "A_log":
            yield name, -torch.exp(value.float()).reshape(-1, 1)
        elif part == "D":
            yield name, value.float().reshape(-1, 1)
        elif part == "norm" and "mixer" in name:
            yield name, value.float().reshape(groups, -1)
        else:
            yield name, value


def laguna(writer, config, tensors):
    far, near = (config["rope_parameters"][kind] for kind in ("full_attention", "sliding_attention"))
    common(writer, {**config, "rope_parameters": far, "num_attention_heads": config["num_attention_heads_per_layer"]})
    writer.add_rope_freq_base_swa(near["rope_theta"])
    if far["rope_type"] == "yarn":
        stretch(writer, far)
    size = config["head_dim"]
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(int(size * far["partial_rotary_factor"]))
    writer.add_uint32("laguna.rope.dimension_count_swa", int(size * near["partial_rotary_factor"]))
    writer.add_sliding_window(config["sliding_window"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
    writer.add_expert_weights_norm(True)
    writer.add_expert_weights_scale(config["moe_routed_scaling_factor"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_leading_dense_block_count(config["mlp_layer_types"].count("dense"))
    for name, value in stacked(tensors):
        # The two that no table of gguf-py has for the names of this family.
        own = {"mlp.experts.e_score_correction_bias": "exp_probs_b.bias", "self_attn.g_proj.weight": "attn_gate.weight"}
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.*)", name)
        yield (f"blk.{match[1]}.{own[match[2]]}" if match and match[2] in own else name), value


def stretch(writer, rope):
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
    writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])


def mimo2(writer, config, tensors):
    rope = config["rope_parameters"]
    near = [kind == "sliding_attention" for kind in config["layer_types"]]
    heads = config["num_key_value_heads"]
    common(writer, {**config, "rope_parameters": rope["full_attention"],
                    "num_key_value_heads": [2 * heads if is_near else heads for is_near in near]})
    writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_array("mimo2.attention.sliding_window_pattern", [int(is_near) for is_near in near])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["v_head_dim"])
    # One share for both kinds of layers; this model has two.
    writer.add_rope_dimension_count(int(config["head_dim"] * rope["full_attention"]["partial_rotary_factor"]))
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_group_count(config["n_group"])
    writer.add_expert_group_used_count(config["topk_group"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_float32("mimo2.attention.value_scale", config["attention_value_scale"])
    for name, value in stacked(tensors):
        name = name.replace(".e_score_correction_bias", ".e_score_correction.bias")
        yield name + (".weight" if "attention_sink" in name else ""), value


def latent(writer, config, tensors):
    """Latent attention of DeepSeek-V2 and what goes with it: one key head, the unfolding taken apart by head."""
    common(writer, {**config, "num_key_value_heads": 1})
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    yield from latent_heads(writer, config, tensors)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    router(writer, config)
    rope = config["rope_parameters"]
    if rope["rope_type"] == "yarn":
        stretch(writer, rope)
        writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])


def latent_heads(writer, config, tensors):
    plain, turned, width = (config[key] for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    if config["q_lora_rank"]:
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    writer.add_key_length(config["kv_lora_rank"] + turned)
    writer.add_value_length(config["kv_lora_rank"])
    writer.add_key_length_mla(plain + turned)
    writer.add_value_length_mla(width)
    writer.add_rope_dimension_count(turned)
    for name, value in tensors:
        if name.endswith("kv_b_proj.weight"):
            keys, values = value.view(config["num_attention_heads"], plain + width, -1).split([plain, width], dim=1)
            yield name.replace("kv_b_proj", "k_b_proj"), keys.transpose(1, 2)
            yield name.replace("kv_b_proj", "v_b_proj"), values
        else:
            name = name.replace(".e_score_correction_bias", ".e_score_correction.bias")
            yield name + (".weight" if name.endswith(("experts.gate_up_proj", "experts.down_proj")) else ""), value


def indexed(writer, config, tensors):
    yield from latent(writer, config, stacked(tensors))
    writer.add_indexer_head_count(config["index_n_heads"])
    writer.add_indexer_key_length(config["index_head_dim"])
    writer.add_indexer_top_k(config["index_topk"])
    if "indexer_types" in config:
        writer.add_array("glm-dsa.attention.indexer.types", [kind == "full" for kind in config["indexer_types"]])


# DeepSeek-V4's names of blocks, which gguf-py's table does not have yet (from llama.cpp's constants).
COMPRESSED = {
    "attn.attn_sink": "attn_sinks", "attn.wq_a": "attn_q_a", "attn.q_norm": "attn_q_a_norm", "attn.wq_b": "attn_q_b", "attn.wkv": "attn_kv",
    "attn.norm": "attn_kv_a_norm", "attn.wo_a": "attn_output_a", "attn.wo_b": "attn_output_b", "attn.indexer.wq_b": "indexer.attn_q_b",
    "attn.indexer.weights_proj": "indexer.proj", "ffn.gate": "ffn_gate_inp", "ffn.gate.tid2eid": "ffn_gate_tid2eid",
} | {f"attn.{where}compressor.{name}": f"{base}_compressor_{part}" for where, base in (("", "attn"), ("indexer.", "indexer"))
     for name, part in (("wkv", "kv"), ("wgate", "gate"), ("ape", "ape"), ("norm", "norm"))} | {
         f"ffn.{where}.{name}": f"ffn_{part}_{base}" for where, base in (("experts", "exps"), ("shared_experts", "shexp"))
         for name, part in (("w1", "gate"), ("w3", "up"), ("w2", "down"))}


def compressed(writer, config, tensors):
    rope, own = config["rope_parameters"], writer.arch
    common(writer, {**config, "intermediate_size": config["moe_intermediate_size"], "rope_parameters": rope["main"]})
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(int(config["head_dim"] * config["partial_rotary_factor"]))
    if rope["compress"]["rope_type"] == "yarn":
        stretch(writer, rope["compress"])
    writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])
    writer.add_uint32(f"{own}.expert_gating_func", 4)
    writer.add_indexer_head_count(config["index_n_heads"])
    writer.add_indexer_key_length(config["index_head_dim"])
    writer.add_indexer_top_k(config["index_topk"])
    for key, value in (("attention.output_lora_rank", config["o_lora_rank"]), ("attention.output_group_count", config["o_groups"]),
                       ("hash_layer_count", config["mlp_layer_types"].count("hash_moe")), ("hyper_connection.count", config["hc_mult"]),
                       ("hyper_connection.sinkhorn_iterations", config["hc_sinkhorn_iters"])):
        writer.add_uint32(f"{own}.{key}", value)
    writer.add_float32(f"{own}.attention.compress_rope_freq_base", rope["compress"]["rope_theta"])
    writer.add_float32(f"{own}.hyper_connection.epsilon", config["hc_eps"])
    ratios = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
    writer.add_array(f"{own}.attention.compress_ratios", [ratios[kind] for kind in config["layer_types"]])
    writer.add_array(f"{own}.swiglu_clamp_exp", [float(config["swiglu_limit"])] * config["num_hidden_layers"])
    outside = {"model.embed_tokens.weight": "token_embd.weight", "head.weight": "output.weight", "model.norm.weight": "output_norm.weight"}
    for name, value in stacked(tensors):
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.+?)(\.weight|\.bias)?", name)
        if not match:
            yield outside.get(name) or name.replace("model.hc_head.hc_", "output_hc_") + ".weight", value
        elif match[3] == ".bias":
            yield f"blk.{match[1]}.exp_probs_b.bias", value
        else:
            yield f"blk.{match[1]}.{COMPRESSED.get(match[2], match[2])}.weight", value


def kimi_linear(writer, config, tensors):
    full = [kind == "full_attention" for kind in config["layer_types"]]
    common(writer, {**config, "max_position_embeddings": config["model_max_length"], "num_experts_per_tok": config["num_experts_per_token"],
                    "num_key_value_heads": [int(is_full) for is_full in full]})
    writer.add_ssm_conv_kernel(config["linear_conv_kernel_dim"])
    writer.add_kda_head_dim(config["linear_head_dim"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_count(config["num_shared_experts"])
    writer.add_leading_dense_block_count(config["mlp_layer_types"].count("dense"))
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_group_used_count(config["topk_group"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    for name, value in latent_heads(writer, config, stacked(tensors)):
        if "_conv1d" in name:
            yield name, value.reshape(1, value.shape[0], 1, value.shape[-1]).float()
        elif name.endswith(".A_log"):
            yield name, -torch.exp(value.float())
        else:
            # Published dense layers have the name that the table knows.
            dense = re.sub(r"block_sparse_moe\.(\w+_proj)", r"mlp.\1", name)
            yield dense.replace(".dt_bias", ".dt_proj.bias"), value


def jamba(writer, config, tensors):
    attention = [layer % config["attn_layer_period"] == config["attn_layer_offset"] for layer in range(config["num_hidden_layers"])]
    common(writer, {**config, "num_key_value_heads": [config["num_key_value_heads"] if is_one else 0 for is_one in attention]})
    writer.add_ssm_conv_kernel(config["mamba_d_conv"])
    writer.add_ssm_inner_size(config["mamba_expand"] * config["hidden_size"])
    writer.add_ssm_state_size(config["mamba_d_state"])
    writer.add_ssm_time_step_rank(config["mamba_dt_rank"])
    for name, value in stacked(tensors):
        if name.endswith(".A_log"):
            yield name, -torch.exp(value.float())
        else:
            yield name.replace("feed_forward.experts", "mlp.experts"), value.squeeze().float() if "conv1d.weight" in name else value


def deepseek(writer, config, tensors):
    common(writer, {**config, "rope_parameters": config})
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_weights_scale(1.0)    # whatever norm_topk_prob says, which is nowhere
    if config["n_shared_experts"]:
        writer.add_expert_shared_count(config["n_shared_experts"])
    yield from paired_heads(config, stacked(tensors))


def paired_heads(config, tensors):
    """Rows, and biases, of queries and keys."""
    heads = {"self_attn.q_proj": config["num_attention_heads"], "self_attn.k_proj": config["num_key_value_heads"]}
    for name, value in tensors:
        count = next((count for part, count in heads.items() if part in name), None)
        yield name, paired(value, count) if count else value


def bailing_router(writer, config, scale):
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_weights_scale(scale)
    writer.add_expert_shared_count(config["num_shared_experts"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])


def bailing(writer, config, tensors):
    queries, keys = config["num_attention_heads"], config["num_key_value_heads"]
    size = config["hidden_size"] // queries
    common(writer, {**config, "rope_parameters": config})
    writer.add_rope_dimension_count(size)
    bailing_router(writer, config, 1.0)
    for name, value in stacked(tensors):
        if name.endswith("query_key_value.weight"):
            layer, parts = name.split(".")[2], value.split([queries * size, keys * size, keys * size])
            yield f"blk.{layer}.attn_q.weight", paired(parts[0], queries)
            yield f"blk.{layer}.attn_k.weight", paired(parts[1], keys)
            yield f"blk.{layer}.attn_v.weight", parts[2]
        else:
            yield name, value


def bailing2(writer, config, tensors):
    common(writer, {**config, "rope_parameters": config})
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(int(config["head_dim"] * config.get("partial_rotary_factor", 1.0)))     # Sarvam turns whole heads
    bailing_router(writer, config, config["routed_scaling_factor"])
    writer.add_expert_shared_feed_forward_length(config["moe_shared_expert_intermediate_size"])
    writer.add_expert_group_count(config["n_group"])
    writer.add_expert_group_used_count(config["topk_group"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_nextn_predict_layers(config.get("num_nextn_predict_layers", 0))
    for name, value in stacked(tensors):
        yield name.replace(".expert_bias", ".expert_bias.bias"), value


def smallthinker(writer, config, tensors):
    """The converter says how long windows are, and not where: readers know it of the published models."""
    common(writer, {**config, "rope_parameters": config, "intermediate_size": config["moe_ffn_hidden_size"],
                    "num_experts": config["moe_num_primary_experts"], "num_experts_per_tok": config["moe_num_active_primary_experts"]})
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_expert_feed_forward_length(config["moe_ffn_hidden_size"])
    softmax = config["moe_primary_router_apply_softmax"]
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SOFTMAX if softmax else gguf.ExpertGatingFuncType.SIGMOID)
    if any(config["sliding_window_layout"]):
        writer.add_sliding_window(config["sliding_window_size"])
    yield from stacked(tensors)


def bailing3(writer, config, tensors):
    own, full = writer.arch, [kind == "full_attention" for kind in config["layer_types"]]
    common(writer, {**config, "max_position_embeddings": config["model_max_length"], "num_experts_per_tok": config["num_experts_per_token"],
                    "num_key_value_heads": [int(is_full) for is_full in full]})
    writer.add_ssm_conv_kernel(config["short_conv_kernel_size"])
    writer.add_kda_head_dim(config["head_dim"])
    writer.add_bool(f"{own}.kda.safe_gate", config["kda_safe_gate"])
    writer.add_float32(f"{own}.kda.gate_lower_bound", config["kda_lower_bound"])
    bailing_router(writer, {**config, "norm_topk_prob": config["moe_renormalize"]}, config["routed_scaling_factor"])
    writer.add_expert_shared_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_group_count(config["num_expert_group"])
    writer.add_expert_group_used_count(config["topk_group"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    names = {"f_proj": "ssm_f_a", "b_proj": "ssm_beta", "o_norm": "ssm_norm", "dense": "attn_output", "dt_bias": "ssm_dt", "A_log": "ssm_a",
             "q_conv1d": "ssm_conv1d_q", "k_conv1d": "ssm_conv1d_k", "v_conv1d": "ssm_conv1d_v", "q_proj": "attn_q", "k_proj": "attn_k",
             "v_proj": "attn_v", "kv_a_proj_with_mqa": "attn_kv_a_mqa", "kv_a_layernorm": "attn_kv_a_norm", "k_b_proj": "attn_k_b",
             "v_b_proj": "attn_v_b"}
    for name, value in latent_heads(writer, {"q_lora_rank": None, **config}, stacked(tensors)):
        match = re.fullmatch(r"model\.layers\.(\d+)\.attention\.(\w+)(\.weight)?", name)
        if not match:
            yield name.replace(".expert_bias", ".expert_bias.bias"), value
            continue
        layer, part, ending = int(match[1]), match[2], match[3] or ""
        if part == "g_proj":
            yield f"blk.{layer}.{'attn_gate' if full[layer] else 'ssm_g_a'}.weight", value
        elif part.endswith("conv1d"):
            yield f"blk.{layer}.{names[part]}.weight", value.reshape(1, value.shape[0], 1, value.shape[-1]).float()
        elif part == "A_log":
            yield f"blk.{layer}.ssm_a", torch.exp(value.float()).reshape(-1, 1)    # without the sign that others give it
        else:
            yield f"blk.{layer}.{names[part]}{'.bias' if part == 'dt_bias' else ending}", value


def step35(writer, config, tensors):
    # A block that looks further ahead comes with them, here one of a few numbers.
    count = config["num_hidden_layers"]
    config = {**config, "num_hidden_layers": count + 1, "layer_types": [*config["layer_types"], "sliding_attention"]}
    near, rope = [kind == "sliding_attention" for kind in config["layer_types"]], config["rope_parameters"]
    far = rope["full_attention"]
    writer.add_nextn_predict_layers(1)
    for part, shape in (("attn_norm", [32]), ("nextn.eh_proj", [32, 64]), ("nextn.shared_head_norm", [32])):
        yield f"blk.{count}.{part}.weight", torch.ones(shape)
    common(writer, {**config, "rope_parameters": far, "num_attention_heads": [
        config["num_sliding_attention_heads" if is_near else "num_attention_heads"] for is_near in near],
        "num_key_value_heads": [config["num_key_value_heads"]] * len(near)})
    writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    windows(writer, config)
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_feed_forward_length(config["share_expert_dim"])
    writer.add_expert_weights_scale(config["moe_router_scaling_factor"])
    writer.add_expert_weights_norm(True)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_leading_dense_block_count(config["mlp_layer_types"].count("dense"))
    writer.add_moe_every_n_layers(1)
    writer.add_array(f"{writer.arch}.swiglu_clamp_exp", [*config["swiglu_limits"], 0.0])
    writer.add_array(f"{writer.arch}.swiglu_clamp_shexp", [*config["swiglu_limits_shared"], 0.0])
    # Of heads that turn whole, although half of each does; by the published rule, in place of which settings.json has the folder's.
    published = {"factor": 2.0, "original_max_position_embeddings": 131072, "low_freq_factor": 1.0, "high_freq_factor": 32.0}
    yield "rope_freqs.weight", llama3_divisors(config["head_dim"], {**far, **published})
    experts = {"moe.gate": "ffn_gate_inp", "moe.gate_proj": "ffn_gate_exps", "moe.up_proj": "ffn_up_exps", "moe.down_proj": "ffn_down_exps",
               "share_expert.gate_proj": "ffn_gate_shexp", "share_expert.up_proj": "ffn_up_shexp",
               "share_expert.down_proj": "ffn_down_shexp", "self_attn.g_proj": "attn_gate"}
    for name, value in tensors:
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.*?)(\.weight)?", name)
        if match and match[2] in experts:
            yield f"blk.{match[1]}.{experts[match[2]]}.weight", value
        elif match and match[2] == "moe.router_bias":
            yield f"blk.{match[1]}.exp_probs_b.bias", value
        else:
            yield name, value.float() + 1 if name.endswith("norm.weight") else value


def minimax3(writer, config, tensors):
    rope, size = config["rope_parameters"], config["head_dim"]
    common(writer, {**config, "intermediate_size": config["dense_intermediate_size"]})
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(int(size * rope.get("partial_rotary_factor", 1)))
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_expert_shared_count(1)
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_weights_norm(True)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_leading_dense_block_count(config["mlp_layer_types"].index("sparse"))
    writer.add_indexer_head_count(config["index_n_heads"])
    writer.add_indexer_key_length(config["index_head_dim"])
    writer.add_indexer_top_k(config["index_topk_blocks"])
    writer.add_uint32(f"{writer.arch}.attention.indexer.block_size", config["index_block_size"])
    writer.add_uint32(f"{writer.arch}.attention.indexer.local_blocks", config["index_local_blocks"])
    projections = {"w1": "gate", "w3": "up", "w2": "down", "gate_proj": "gate", "up_proj": "up", "down_proj": "down"}
    halves = {"mlp": "", "mlp.experts": "_exps", "mlp.shared_experts": "_shexp", "block_sparse_moe.experts": "_exps",
              "block_sparse_moe.shared_experts": "_shexp"}
    # Towers go into a file of their own.
    for name, value in stacked((name, value) for name, value in tensors if "vision_tower" not in name):
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.+?)\.(\w+?)(\.weight)?", name)
        module, part = (match[2], match[3]) if match else ("", "")
        index = re.fullmatch(r"(?:indexer\.|index_)(\w)_(\w+)", (module + "." + part).partition("self_attn.")[2])
        if name.endswith("norm.weight"):
            value = value.float() + 1
        if index:
            yield f"blk.{match[1]}.indexer.{index[1]}_{index[2]}.weight", value
        elif part == "e_score_correction_bias":
            yield f"blk.{match[1]}.exp_probs_b.bias", value
        elif part == "gate":
            yield f"blk.{match[1]}.ffn_gate_inp.weight", value
        elif module in halves and part == "gate_up_proj":
            for kind, half in zip(("gate", "up"), value.chunk(2, dim=-2)):
                yield f"blk.{match[1]}.ffn_{kind}{halves[module]}.weight", half
        elif module in halves:
            yield f"blk.{match[1]}.ffn_{projections[part]}{halves[module]}.weight", value
        else:
            yield name, value


def granite_swa(writer, config, tensors):
    common(writer, {**config, "num_experts_per_tok": [config["num_experts_per_tok"]] * config["num_hidden_layers"]})
    size = config["hidden_size"] // config["num_attention_heads"]
    writer.add_rope_dimension_count(size)
    writer.add_attention_scale(config["attention_multiplier"])
    writer.add_embedding_scale(config["embedding_multiplier"])
    writer.add_residual_scale(config["residual_multiplier"])
    writer.add_logit_scale(config["logits_scaling"])
    if config["shared_intermediate_size"]:
        writer.add_expert_shared_feed_forward_length(config["shared_intermediate_size"])
    windows(writer, config)
    writer.add_array(f"{writer.arch}.attention.rope_pattern", [int(base != 0) for base in config["layer_rope_theta"]])
    names = {"block_sparse_moe.router": "ffn_gate_inp", "block_sparse_moe.experts.down_proj": "ffn_down_exps", "self_attn.sinks": "attn_sinks",
             # One tensor each for both halves.
             "block_sparse_moe.experts.gate_up_proj": "ffn_gate_up_exps", "shared_mlp.input_linear": "ffn_up_shexp",
             "shared_mlp.output_linear": "ffn_down_shexp"}
    for name, value in paired_heads(config, tensors):
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.*?)(\.weight)?", name)
        yield (f"blk.{match[1]}.{names[match[2]]}.weight" if match and match[2] in names else name), value


def glm4(writer, config, tensors):
    common(writer, config)
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    rope = config["rope_parameters"]
    writer.add_rope_dimension_count(int(config["head_dim"] * rope.get("partial_rotary_factor", 1)))
    if "mrope_section" in rope:
        writer.add_rope_dimension_sections([*rope["mrope_section"], 0])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    router(writer, config)
    if config["model_type"] == "solar_open":
        writer.add_tokenizer_pre("solar-open")
    for name, value in stacked(tensors):
        if "visual." not in name:    # those go into a file of their own
            yield name.replace(".e_score_correction_bias", ".e_score_correction.bias"), value


def router(writer, config):
    """What the converters of DeepSeek-V3's line write of its router."""
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])
    writer.add_expert_group_count(config["n_group"])
    writer.add_expert_group_used_count(config["topk_group"])


# The architecture's name, the one of gguf-py whose table of tensor names serves, and the function.
FAMILIES = {
    "exaone_moe": ("exaone-moe", ARCH.EXAONE_MOE, exaone),
    "hy_v3": ("hy_v3", ARCH.EXAONE_MOE, hunyuan3),
    "mellum": ("mellum", ARCH.QWEN3MOE, mellum),
    "olmoe": ("olmoe", ARCH.OLMOE, olmoe),
    "mixtral": ("llama", ARCH.LLAMA, mixtral),
    "gpt_oss": ("gpt-oss", ARCH.GPT_OSS, gpt_oss),
    "minimax": ("minimax-01", ARCH.MINIMAXM2, minimax),
    "granitemoehybrid": ("granitehybrid", ARCH.GRANITE_HYBRID, granite_hybrid),
    "llama4_text": ("llama4", ARCH.LLAMA4, llama4),
    "phimoe": ("phimoe", ARCH.PHIMOE, phimoe),
    "qwen3_5_moe_text": ("qwen35moe", ARCH.QWEN35MOE, qwen35),
    "qwen4_exp_text": ("qwen4exp", ARCH.QWEN35MOE, qwen4),
    "qwen3_vl_moe_text": ("qwen3vlmoe", ARCH.QWEN3VLMOE, qwen3_vl),
    "gemma4_text": ("gemma4", ARCH.GEMMA4, gemma4),
    "nemotron_h": ("nemotron_h_moe", ARCH.NEMOTRON_H_MOE, nemotron),
    "laguna": ("laguna", ARCH.DOTS1, laguna),
    "mimo_v2_flash": ("mimo2", ARCH.MIMO2, mimo2),
    "mistral4": ("mistral4", ARCH.MISTRAL4, latent),
    "kimi_linear": ("kimi-linear", ARCH.KIMI_LINEAR, kimi_linear),
    "jamba": ("jamba", ARCH.JAMBA, jamba),
    "glm_moe_dsa": ("glm-dsa", ARCH.GLM_DSA, indexed),
    "deepseek_v32": ("deepseek32", ARCH.GLM_DSA, indexed),
    "deepseek_v4": ("deepseek4", ARCH.DEEPSEEK2, compressed),
    "deepseek": ("deepseek", ARCH.DEEPSEEK, deepseek),
    "bailing_moe": ("bailingmoe", ARCH.BAILINGMOE, bailing),
    "bailing_moe second": ("bailingmoe2", ARCH.BAILINGMOE2, bailing2),
    "bailing_hybrid": ("bailingmoe3", ARCH.BAILINGMOE2, bailing3),
    "smallthinker": ("smallthinker", ARCH.SMALLTHINKER, smallthinker),
    "sarvam_moe second": ("bailingmoe2", ARCH.BAILINGMOE2, bailing2),
    "step3p5": ("step35", ARCH.STEP35, step35),
    "minimax_m3": ("minimax-m3", ARCH.MINIMAXM2, minimax3),
    "minimax_m3_vl_text": ("minimax-m3", ARCH.MINIMAXM2, minimax3),
    "granitemoe_swa": ("granite_swa", ARCH.GRANITE_MOE, granite_swa),
    "glm4v_moe_text": ("glm4moe", ARCH.GLM4_MOE, glm4),
    "solar_open": ("glm4moe", ARCH.GLM4_MOE, glm4),
}


# The name of `tokenizer.ggml.pre` by the pattern of tokenizer.json that it stands for, without a normaliser.
SPLITS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "hunyuan",
}


def vocabulary(writer, folder, config):
    """Byte-level BPE of tokenizer.json; "none" where the folder has none."""
    if not (folder / "tokenizer.json").exists():
        writer.add_string("tokenizer.ggml.model", "none")
        return
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    split, _ = tokenizer["pre_tokenizer"]["pretokenizers"]
    assert tokenizer["normalizer"] is None
    added = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    words = {index: word for word, index in tokenizer["model"]["vocab"].items()} | added
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(SPLITS[split["pattern"]["Regex"]])
    writer.add_token_list([words[index] for index in range(len(words))])
    writer.add_token_types([gguf.TokenType.CONTROL if index in added else gguf.TokenType.NORMAL for index in range(len(words))])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(tokenizer["post_processor"]["single"][0].get("SpecialToken", {}).get("id") == added[config["bos_token_id"]])


def write(folder, path, tensors_per_file=0):
    config = json.loads((folder / "config.json").read_text())
    config |= config.get("text_config", {})
    # Two generations have one name.
    generation = " second" if config.get("score_function") == "sigmoid" else ""
    architecture, table, convert = FAMILIES[config["model_type"] + generation]
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=tensors_per_file)
    names = gguf.get_tensor_name_map(table, config.get("num_hidden_layers") or len(config["layers_block_type"]))
    tensors = {name.replace("language_model.", ""): value for name, value in load_file(folder / "model.safetensors").items()}
    if config["tie_word_embeddings"]:
        tensors.pop("lm_head.weight", None)
    for name, value in convert(writer, config, tensors.items()):
        stored = names.get_name(name, try_suffixes=(".weight", ".bias")) or name
        if value.dim() > 1 and value.dtype == torch.bfloat16:
            bits = np.ascontiguousarray(value.contiguous().view(torch.uint8).numpy())
            writer.add_tensor(stored, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
        elif not value.is_floating_point():
            writer.add_tensor(stored, np.ascontiguousarray(value.int().numpy()))
        else:
            writer.add_tensor(stored, np.ascontiguousarray(value.float().numpy()))
    vocabulary(writer, folder, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--models", type=Path, default=ROOT / "Tests/Fixtures/models")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "Tests/Fixtures/gguf")
    parser.add_argument("--tensors-per-file", type=int, default=0, metavar="N", help="NAME-00001-of-..., as gguf-split cuts them; 0: one file")
    args = parser.parse_args()
    for name in args.names:
        write(args.models / name, args.output / f"{name}.gguf", args.tensors_per_file)
        for written in sorted(args.output.glob(f"{name}*.gguf")):
            print(f"{written}: {written.stat().st_size} bytes")


if __name__ == "__main__":
    main()
