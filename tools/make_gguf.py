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
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_expert_count(config.get("num_local_experts") or config["num_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
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


def olmoe(writer, config, tensors):
    common(writer, config)
    yield from stacked(tensors)


# The architecture's name, the one of gguf-py whose table of tensor names serves, and the function.
FAMILIES = {
    "exaone_moe": ("exaone-moe", ARCH.EXAONE_MOE, exaone),
    "hy_v3": ("hy_v3", ARCH.EXAONE_MOE, hunyuan3),
    "mellum": ("mellum", ARCH.QWEN3MOE, mellum),
    "olmoe": ("olmoe", ARCH.OLMOE, olmoe),
    "minimax": ("minimax-01", ARCH.MINIMAXM2, minimax),
    "granitemoehybrid": ("granitehybrid", ARCH.GRANITE_HYBRID, granite_hybrid),
    "llama4_text": ("llama4", ARCH.LLAMA4, llama4),
    "phimoe": ("phimoe", ARCH.PHIMOE, phimoe),
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
    architecture, table, convert = FAMILIES[config["model_type"]]
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=tensors_per_file)
    names = gguf.get_tensor_name_map(table, config["num_hidden_layers"])
    tensors = load_file(folder / "model.safetensors")
    if config["tie_word_embeddings"]:
        tensors.pop("lm_head.weight", None)
    for name, value in convert(writer, config, tensors.items()):
        stored = names.get_name(name, try_suffixes=(".weight", ".bias")) or name
        if value.dim() > 1 and value.dtype == torch.bfloat16:
            bits = np.ascontiguousarray(value.contiguous().view(torch.uint8).numpy())
            writer.add_tensor(stored, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
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
