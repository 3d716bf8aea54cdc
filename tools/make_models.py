"""Tiny random checkpoints of every model family, each with what transformers computes on it: Tests/Fixtures/models.

usage: make_models.py [NAME ...] [-o Tests/Fixtures/models]      (no name: all)

A row of MODELS is a folder: a model type and the configuration fields that matter, chosen so that the rows of a family
vary what its declaration reads. Weights are normal numbers by seed, rounded to bfloat16 and saved as such; of a few
seeds the one whose closest routing decision is least close is kept, so that no test hangs on a rounding error. Beside
config.json lies config_v4.json, the spelling of transformers 4 that published checkpoints have, where that can say the
same and transformers reads both alike.
"""
import argparse
import dataclasses
import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import torch
import transformers
from safetensors.torch import load_file, save_file

import make_expected
import reference

SEEDS = range(6)
VOCABULARY = 64
BASE = dict(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=64, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)
ROPE = dict(rope_type="default", rope_theta=10000.0)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16, beta_fast=32.0, beta_slow=1.0)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
LATENT = dict(kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, num_key_value_heads=4)
LONGER = dict(max_position_embeddings=128)      # sequences that pass several blocks of a recurrence
WINDOW, FULL = "sliding_attention", "full_attention"
GEMMA = {"router.proj.weight": 12.0}            # its router divides by the root of the hidden size
INDEX = {"weights_proj.weight": 2.0}
GATES = {"mlp.fc1.weight": 2.0, "mlp.fc2.weight": 2.0}
CSA, HCA = "compressed_sparse_attention", "heavily_compressed_attention"
ARIA_TOWER = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)
VISION = dict(depth=1, num_hidden_layers=1, hidden_size=16, intermediate_size=16, num_heads=2, num_attention_heads=2, head_dim=8,
              out_hidden_size=32, patch_size=4, position_embedding_size=64, num_position_embeddings=16, deepstack_visual_indexes=[])


OCR_OTHERS = "sam_model|vision_tower|qwen2_model|projector|separat|seperat|newline"
HY4 = ((r"hc_pre\.(hc_(attn|mlp)_layer)\.", r"\1.hc_pre."), (r"hc_pre\.hc_head\.", "hc_head."),
       (r"mlp\.(shared_experts\.)?linear_gate", r"mlp.\1gate_proj"))
OCR_TOWER = dict(
    sam_config=dict(hidden_size=16, output_channels=8, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8, window_size=2,
                    global_attn_indexes=[0], mlp_dim=16, downsample_channels=[8, 16]),
    encoder_config=dict(vocab_size=8, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
                        max_position_embeddings=64))


@dataclass(frozen=True)
class Model:
    """One folder to be."""

    model_type: str
    settings: dict                          # fields of config.json
    full: bool = False                      # every hidden state and block in the expected file
    published_as: str | None = None         # model_type to write in place of the one whose code runs it
    router_gain: float = 2.0                # standard deviation of router logits
    bias_spread: float = 0.15               # standard deviation of biases that steer selection only
    zero_centred_norms: bool = False
    omitted: str = ""                       # tensors of these names stay out of the file
    stored: torch.dtype = torch.bfloat16
    shard: str | None = None                # size of the files that transformers cuts the weights into
    wrapper: str | None = None              # model_type of a checkpoint that sees too, whose text model this is
    vision: dict | None = None              # of that checkpoint, where VISION does not fit
    respelled: Callable | None = None       # from transformers' config.json to its publisher's, which transformers does not read
    published_names: tuple = ()             # (pattern, replacement): the publisher's names of tensors, where transformers saves other ones
    packed: str = ""                        # weights of these names become whole 4-bit numbers, as Kimi-K2.5 is published
    gains: dict = field(default_factory=dict)   # end of a weight's name -> factor on its standard deviation


def row(model_type, *, without=(), **fields):
    """A model by BASE and its own fields; `without` names fields of BASE that the type does not have."""
    own = {f.name: fields.pop(f.name) for f in dataclasses.fields(Model) if f.name in fields}
    return Model(model_type, {k: v for k, v in {**BASE, **fields}.items() if k not in without}, **own)


def mixtral(**fields):
    return row("mixtral", **dict(dict(intermediate_size=16, num_local_experts=8, num_experts_per_tok=2), **fields))


def olmo(model_type, **fields):
    return row(model_type, **dict(dict(intermediate_size=16, num_experts=8, num_experts_per_tok=3, num_key_value_heads=4), **fields))


def side_by_side(config):
    """config.json of ERNIE 4.5 VL as its publisher wrote it, from that of transformers: the other way of its conversion script."""
    text = dict(config["text_config"])
    rotary, kinds = text.pop("rope_parameters"), text.pop("mlp_layer_types")
    first = kinds.index("sparse")
    if kinds != ["dense"] * first + ["sparse"] * (len(kinds) - first):
        raise SystemExit("layers with experts have to be the last ones")
    text.update(
        model_type="ernie4_5_moe_vl", architectures=["Ernie4_5_VLMoeForConditionalGeneration"], rope_theta=rotary["rope_theta"],
        rope_scaling=dict(type="default", mrope_section=rotary["mrope_section"]), moe_num_experts=[text["moe_num_experts"]] * 2,
        moe_layer_start_index=[first, first], moe_layer_end_index=[len(kinds), len(kinds) - 1], moe_layer_interval=1, moe_gate="topk",
        moe_capacity=[16, 16, 16], moe_use_aux_free=True, use_rmsnorm=True, vision_config=dict(depth=1, hidden_size=16), im_patch_id=3,
        spatial_conv_size=2, temporal_conv_size=2, pixel_hidden_size=16, rope_3d=True, freq_allocation=2, torch_dtype="bfloat16",
        tie_word_embeddings=config["tie_word_embeddings"], transformers_version="4.54.0")
    return {k: v for k, v in text.items() if k != "dtype"}


def of_ling(config, null=False):
    """config.json of Sarvam-105B as its publisher writes it: DeepSeek-V3 in the words of Ling, and without a word of what is always so, or with null."""
    old = dict(config, model_type="sarvam_mla", architectures=["SarvamMLAForCausalLM"], default_theta=10000.0, use_qk_norm=True,
               moe_router_enable_expert_bias=True, embedding_dropout=0.0, output_dropout=0.0)
    rotary = old.pop("rope_parameters")
    old.update(rope_theta=rotary["rope_theta"], rope_scaling={k: v for k, v in rotary.items() if k not in ("rope_theta", "rope_type")})
    old["rope_scaling"]["type"] = "deepseek_yarn"
    old.update(num_experts=old.pop("n_routed_experts"), num_shared_experts=old.pop("n_shared_experts"), torch_dtype=old.pop("dtype"),
               q_head_dim=old["qk_nope_head_dim"] + old["qk_rope_head_dim"], head_dim=old["kv_lora_rank"] + old["qk_rope_head_dim"])
    for key in ("n_group", "topk_group"):
        if old.pop(key) != 1:
            raise ValueError(f"{key}: Sarvam-105B chooses among all experts at once")
        if null:
            old[key] = None
    silent = ("num_key_value_heads", "q_lora_rank", "norm_topk_prob", "scoring_func", "topk_method", "qk_head_dim", "rope_interleave")
    return {k: v for k, v in old.items() if k not in silent}


def of_language(config):
    """config.json of DeepSeek-OCR as its publisher writes it: what is said of the text model alone, without its type."""
    text = dict(config["text_config"])
    kinds = text.pop("mlp_layer_types")
    text.update(architectures=["DeepseekV2ForCausalLM"], first_k_dense_replace=kinds.index("sparse"), kv_lora_rank=None, q_lora_rank=None,
                qk_nope_head_dim=0, qk_rope_head_dim=0, v_head_dim=0, use_mla=False, lm_head=True, rm_head=False, torch_dtype="bfloat16")
    silent = ("model_type", "dtype", "rope_parameters", "rms_norm_eps", "attention_bias", "mlp_bias", "head_dim", "routed_scaling_factor",
              "tie_word_embeddings")
    return dict(model_type="deepseek_vl_v2", architectures=["DeepseekOCRForCausalLM"], torch_dtype="bfloat16",
                language_config={k: v for k, v in text.items() if k not in silent}, vision_config=dict(model_type="vision", width=16),
                projector_config=dict(model_type="mlp_projector", input_dim=16, n_embed=32), candidate_resolutions=[[1024, 1024]],
                global_view_pos="head", tile_tag="2D")


def qwen(model_type, **fields):
    own = dict(intermediate_size=48, moe_intermediate_size=16, num_experts=8, num_experts_per_tok=2, norm_topk_prob=True)
    if model_type in ("qwen2_moe", "qwen3_next", "qwen3_5_moe_text"):
        own.update(shared_expert_intermediate_size=24)
    return row(model_type, **dict(own, **fields))


def deepseek(model_type, **fields):
    """The families with DeepSeek's fields: two blocks, the first dense unless said otherwise."""
    own = dict(intermediate_size=48, moe_intermediate_size=16, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=1,
               first_k_dense_replace=1, n_group=1, topk_group=1, routed_scaling_factor=1.5, norm_topk_prob=True)
    if model_type in ("deepseek_v2", "deepseek_v3", "deepseek_v32", "glm_moe_dsa", "glm4_moe_lite", "mistral4", "axk2"):
        own.update(LATENT, q_lora_rank=16)
    if model_type in ("deepseek_v3", "glm4_moe_lite"):
        own.update(scoring_func="sigmoid", topk_method="noaux_tc")
    return row(model_type, **dict(own, **fields))


ENDING = 18     # an id of both sequences


def qwen4(**fields):
    """Qwen4-Exp: delta networks and attention that chooses, between several streams, and tables of n-grams."""
    own = dict(**LONGER, intermediate_size=None, num_hidden_layers=4, hc_count=3, hc_lowrank=8, head_dim=16, shared_expert_intermediate_size=24,
               num_experts_per_tok=3, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8,
               indexer_n_heads=16, indexer_kv_heads=1, indexer_head_dim=16, indexer_budget=8, indexer_compress_ratio=2, ple_embed_dim=32,
               ngram_size=3, heads_per_ngram=2, ngram_vocab_size_base=40, make_ngram_vocab_size_divisible_by=8, split_ngram_parts=4,
               rope_parameters=dict(ROPE, partial_rotary_factor=0.25), zero_centred_norms=True, gains={"block_inject_weight.weight": 3.0})
    made = qwen("qwen4_exp_text", **dict(own, **fields))
    made.settings.pop("intermediate_size")
    return made


def dbrx(attention, experts):
    return row("dbrx", without=("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                                "max_position_embeddings"),
               d_model=32, n_heads=4, n_layers=2, max_seq_len=64, attn_config=attention,
               ffn_config=dict(hidden_size=32, ffn_hidden_size=16, ffn_act_fn={"name": "silu"}, **experts))


def compressed(**fields):
    """DeepSeek-V4: every kind of attention, experts looked up by token id in the first layers, two residual streams."""
    own = dict(num_hidden_layers=4, layer_types=[WINDOW, CSA, HCA, CSA], mlp_layer_types=["hash_moe", "hash_moe", "moe", "moe"],
               compress_rates={CSA: 4, HCA: 8}, moe_intermediate_size=16, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=1,
               routed_scaling_factor=1.5, num_key_value_heads=1, head_dim=16, partial_rotary_factor=0.5, q_lora_rank=16, o_groups=2,
               o_lora_rank=8, hc_mult=2, hc_sinkhorn_iters=4, index_n_heads=16, index_head_dim=8, index_topk=2, sliding_window=6,
               swiglu_limit=1.0, num_nextn_predict_layers=0, gains=INDEX, rope_parameters=dict(
                   main=dict(ROPE, partial_rotary_factor=0.5), compress=dict(ROPE, rope_theta=160000.0, partial_rotary_factor=0.5)))
    return row("deepseek_v4", **dict(own, **fields))


def granite(model_type, **fields):
    return row(model_type, **dict(dict(intermediate_size=16, num_local_experts=8, num_experts_per_tok=2), **fields))


def ernie_vl(**fields):
    """The text model of ERNIE 4.5 VL, in a checkpoint with experts for images beside those for texts."""
    own = dict(wrapper="ernie4_5_vl_moe", omitted="vision_|resampler", intermediate_size=48, moe_intermediate_size=[16, 8], moe_num_experts=8,
               moe_k=3, moe_num_shared_experts=1, tie_word_embeddings=True, bias_spread=0.05, mlp_layer_types=["dense", "sparse"],
               rope_parameters=dict(ROPE, rope_theta=500000.0, mrope_section=[1, 1, 2]))
    return row("ernie4_5_vl_moe_text", **dict(own, **fields))


M3_SPARSE = "minimax_m3_sparse"


def minimax_m3(**fields):
    own = dict(num_hidden_layers=3, intermediate_size=16, dense_intermediate_size=48, shared_intermediate_size=24, num_local_experts=8,
               num_experts_per_tok=2, head_dim=8, index_n_heads=2, index_head_dim=8, index_local_blocks=1, zero_centred_norms=True)
    return row("minimax_m3_vl_text", **dict(own, **fields))


MODELS = {
    "afmoe": row("afmoe", num_hidden_layers=3, intermediate_size=32, moe_intermediate_size=16, num_experts=6, num_experts_per_tok=3,
                 num_shared_experts=1, num_dense_layers=1, head_dim=8, sliding_window=6, global_attn_every_n_layers=3, route_scale=2.0,
                 mup_enabled=True, score_func="sigmoid", route_norm=True, layer_types=[WINDOW, WINDOW, FULL]),
    "afmoe-plain": row("afmoe", intermediate_size=48, moe_intermediate_size=16, num_experts=6, num_experts_per_tok=2, num_shared_experts=2,
                       num_dense_layers=1, head_dim=16, sliding_window=4, global_attn_every_n_layers=2, route_scale=1.0,
                       mup_enabled=False),
    "aria": row("aria_text", wrapper="aria", omitted="vision|projector", vision=dict(model_type="idefics3_vision", **ARIA_TOWER),
                intermediate_size=12, moe_num_experts=8, moe_topk=3, moe_num_shared_experts=2),
    "aria-bias": row("aria_text", wrapper="aria", omitted="vision|projector", vision=dict(model_type="idefics3_vision", **ARIA_TOWER),
                     intermediate_size=16, moe_num_experts=6, moe_topk=2, moe_num_shared_experts=1, attention_bias=True, mlp_bias=True,
                     num_key_value_heads=4, rope_parameters=dict(LLAMA3)),
    "cohere2_moe": row("cohere2_moe", intermediate_size=16, num_experts=8, num_experts_per_tok=2, head_dim=8, sliding_window=6,
                       logit_scale=0.5, tie_word_embeddings=True, layer_types=[WINDOW, FULL], mlp_layer_types=["sparse"] * 2,
                       sliding_window_pattern=2),
    "cohere2_moe-sigmoid": row("cohere2_moe", num_hidden_layers=3, intermediate_size=16, num_experts=6, num_experts_per_tok=3, head_dim=8,
                               sliding_window=6, logit_scale=0.25, tie_word_embeddings=True, layer_types=[WINDOW, FULL, WINDOW],
                               mlp_layer_types=["dense", "sparse", "sparse"], prefix_dense_intermediate_size=24,
                               expert_selection_fn="sigmoid", num_shared_experts=2, shared_expert_combination_strategy="average",
                               rms_norm_eps=1e-5),
    "dbrx": dbrx(dict(kv_n_heads=2, clip_qkv=1.0, rope_theta=10000.0),
                 dict(moe_num_experts=8, moe_top_k=3, moe_normalize_expert_weights=1.0)),
    "dbrx-plain": dbrx(dict(kv_n_heads=4, clip_qkv=8.0, rope_theta=500000.0),
                       dict(moe_num_experts=6, moe_top_k=2, moe_normalize_expert_weights=None)),
    "deepseek_v2": deepseek("deepseek_v2", q_lora_rank=None, topk_method="greedy", norm_topk_prob=False, n_shared_experts=2,
                            routed_scaling_factor=1.0),
    "deepseek_v2-groups": deepseek("deepseek_v2", topk_method="group_limited_greedy", n_group=4, topk_group=2, norm_topk_prob=False,
                                   routed_scaling_factor=3.0, rope_parameters=dict(YARN, mscale=0.707, mscale_all_dim=0.707)),
    "deepseek_v3": deepseek("deepseek_v3", n_routed_experts=12, num_experts_per_tok=4, n_group=4, topk_group=2, routed_scaling_factor=2.5,
                            rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0), full=True),
    "deepseek_v3-plain": deepseek("deepseek_v3", q_lora_rank=None, num_experts_per_tok=2, norm_topk_prob=False, rope_parameters=ROPE,
                                  rope_interleave=False),
    "deepseek_v32": deepseek("deepseek_v32", n_routed_experts=12, num_experts_per_tok=4, n_group=4, topk_group=2, index_topk=7,
                             index_head_dim=16, index_n_heads=16, rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0),
                             gains=INDEX),
    "glm_moe_dsa": deepseek("glm_moe_dsa", **LONGER, num_hidden_layers=4, first_k_dense_replace=1, index_topk=5, index_head_dim=16, index_n_heads=16,
                            indexer_types=["full", "shared", "full", "shared"], rope_parameters=ROPE, gains=INDEX),
    "jamba": row("jamba", **LONGER, num_hidden_layers=4, intermediate_size=24, num_experts=6, num_experts_per_tok=2, attn_layer_period=4,
                 attn_layer_offset=2, expert_layer_period=2, expert_layer_offset=1, mamba_d_state=4, mamba_d_conv=3, mamba_expand=2,
                 mamba_dt_rank=4),
    "kimi_k2-int4": deepseek("deepseek_v3", published_as="kimi_k2", stored=torch.float32, packed="experts", moe_intermediate_size=32,
                             hidden_size=64, n_routed_experts=6, num_experts_per_tok=2, num_hidden_layers=2, q_lora_rank=16,
                             rope_parameters=ROPE),
    "kimi_k2": deepseek("deepseek_v3", published_as="kimi_k2", n_routed_experts=8, num_experts_per_tok=3, routed_scaling_factor=2.8,
                        rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
    "deepseek_v4": compressed(),
    "deepseek_v4-published": compressed(
        num_hidden_layers=3, layer_types=[WINDOW, CSA, HCA], mlp_layer_types=["hash_moe", "moe", "moe"], compress_rates={CSA: 4, HCA: 128},
        n_routed_experts=6, num_experts_per_tok=2, hc_mult=4, hc_sinkhorn_iters=20, index_topk=3, rope_parameters=dict(
            main=dict(ROPE, partial_rotary_factor=0.5),
            compress=dict(YARN, rope_theta=160000.0, attention_factor=1.0, partial_rotary_factor=0.5))),
    "deepseek_v4-yarn": compressed(
        num_hidden_layers=2, layer_types=[HCA, CSA], mlp_layer_types=["moe", "hash_moe"], compress_rates={CSA: 3, HCA: 5},
        n_routed_experts=6, num_experts_per_tok=2, routed_scaling_factor=2.5, hc_mult=3, hc_sinkhorn_iters=1, hc_eps=1e-3,
        index_n_heads=16, index_head_dim=16, index_topk=3, head_dim=16, partial_rotary_factor=0.25, o_groups=4, o_lora_rank=4,
        sliding_window=4, swiglu_limit=10.0, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_parameters=dict(
            main=dict(ROPE, rope_theta=5000.0, partial_rotary_factor=0.25),
            compress=dict(YARN, rope_theta=20000.0, attention_factor=1.0, partial_rotary_factor=0.25))),
    "dots1": deepseek("dots1", scoring_func="sigmoid", head_dim=8, routed_scaling_factor=2.5, sliding_window=None),
    "dots1-window": deepseek("dots1", scoring_func="sigmoid", head_dim=16, n_group=2, topk_group=1, norm_topk_prob=False,
                             first_k_dense_replace=0, num_experts_per_tok=2, sliding_window=5, max_window_layers=1, attention_bias=True),
    "ernie4_5_moe": row("ernie4_5_moe", intermediate_size=48, moe_intermediate_size=16, moe_num_experts=8, moe_k=3,
                        moe_num_shared_experts=1, moe_layer_start_index=1, moe_layer_end_index=1, moe_layer_interval=1,
                        tie_word_embeddings=True, bias_spread=0.05),
    "ernie4_5_moe-interval": row("ernie4_5_moe", num_hidden_layers=4, intermediate_size=32, moe_intermediate_size=16, moe_num_experts=6,
                                 moe_k=2, moe_num_shared_experts=0, moe_layer_start_index=0, moe_layer_end_index=3, moe_layer_interval=2,
                                 use_bias=True, bias_spread=0.05),
    "ernie4_5_vl_moe": ernie_vl(),
    "ernie4_5_vl_moe-bias": ernie_vl(num_hidden_layers=3, moe_intermediate_size=[12, 16], moe_num_experts=6, moe_k=2, moe_norm_min=0.9,
                                     moe_num_shared_experts=0, use_bias=True, tie_word_embeddings=False,
                                     mlp_layer_types=["sparse", "dense", "sparse"]),
    "ernie4_5_vl_moe-published": ernie_vl(respelled=side_by_side, num_hidden_layers=3, moe_num_shared_experts=2,
                                          mlp_layer_types=["dense", "sparse", "sparse"]),
    "exaone_moe": row("exaone_moe", num_hidden_layers=3, intermediate_size=48, moe_intermediate_size=16, num_experts=8,
                      num_experts_per_tok=3, num_shared_experts=1, first_k_dense_replace=1, n_group=2, topk_group=1,
                      routed_scaling_factor=2.0, norm_topk_prob=True, head_dim=8, sliding_window=6, sliding_window_pattern=3,
                      layer_types=[WINDOW, WINDOW, FULL], mlp_layer_types=["dense", "sparse", "sparse"]),
    "flex_olmo": olmo("flex_olmo", num_experts=7, num_experts_per_tok=5, norm_topk_prob=False, router_gain=0.5),
    "flex_olmo-norm": olmo("flex_olmo", num_experts_per_tok=2, num_key_value_heads=2, norm_topk_prob=True),
    "glm4_moe": deepseek("glm4_moe", head_dim=8, attention_bias=True, use_qk_norm=True,
                         rope_parameters=dict(ROPE, partial_rotary_factor=0.5)),
    "glm4_moe-groups": deepseek("glm4_moe", head_dim=16, attention_bias=False, use_qk_norm=False, n_group=2, topk_group=1,
                                routed_scaling_factor=1.0, rope_parameters=dict(ROPE, partial_rotary_factor=0.5)),
    "glm4_moe_lite": deepseek("glm4_moe_lite", routed_scaling_factor=1.8, mlp_layer_types=["dense", "sparse"]),
    "gpt_oss": row("gpt_oss", intermediate_size=16, num_local_experts=8, num_experts_per_tok=4, head_dim=8, sliding_window=6,
                   layer_types=[WINDOW, FULL], full=True, gains={"gate_up_proj": 4.0, "down_proj": 0.3},
                   rope_parameters=dict(YARN, rope_theta=150000.0, factor=32.0, truncate=False)),
    "gpt_oss-truncate": row("gpt_oss", intermediate_size=16, num_local_experts=6, num_experts_per_tok=2, head_dim=8, sliding_window=4,
                            num_hidden_layers=3, layer_types=[FULL, WINDOW, FULL],
                            rope_parameters=dict(YARN, rope_theta=150000.0, factor=8.0, truncate=True)),
    "granitemoe": granite("granitemoe", embedding_multiplier=3.0, logits_scaling=2.0, residual_multiplier=0.5, attention_multiplier=0.2),
    "granitemoe-bias": granite("granitemoe", num_local_experts=6, num_experts_per_tok=3, embedding_multiplier=1.0, logits_scaling=1.0,
                               residual_multiplier=1.0, attention_multiplier=0.35, attention_bias=True, tie_word_embeddings=True),
    "granitemoeshared": granite("granitemoeshared", num_experts_per_tok=3, shared_intermediate_size=24, embedding_multiplier=3.0,
                                logits_scaling=2.0, residual_multiplier=0.5, attention_multiplier=0.2, tie_word_embeddings=True),
    "granitemoehybrid": granite("granitemoehybrid", **LONGER, layer_types=["mamba", "attention"], num_experts_per_tok=3,
                                shared_intermediate_size=24, embedding_multiplier=3.0, logits_scaling=2.0, residual_multiplier=0.5,
                                attention_multiplier=0.2, mamba_n_heads=4, mamba_d_head=16, mamba_n_groups=1, mamba_d_state=8,
                                mamba_d_conv=4, mamba_expand=2, position_embedding_type="nope", tie_word_embeddings=True),
    "granitemoehybrid-rope-groups": granite(
        "granitemoehybrid", **LONGER, layer_types=["attention", "mamba"], num_experts_per_tok=2, attention_bias=True,
        position_embedding_type="rope", shared_intermediate_size=24, embedding_multiplier=1.0, logits_scaling=1.0, residual_multiplier=0.5,
        attention_multiplier=0.3, mamba_n_heads=4, mamba_d_head=8, mamba_n_groups=2, mamba_d_state=8, mamba_d_conv=3, mamba_expand=1,
        mamba_chunk_size=8, mamba_conv_bias=False, mamba_proj_bias=True),
    "hunyuan_v1_moe": row("hunyuan_v1_moe", intermediate_size=16, moe_intermediate_size=[16, 16], num_experts=8, moe_topk=[2, 3],
                          num_shared_expert=[1, 1], use_qk_norm=True, head_dim=8, tie_word_embeddings=True),
    "hunyuan_v1_moe-bias": row("hunyuan_v1_moe", intermediate_size=16, moe_intermediate_size=16, num_experts=6, moe_topk=3,
                               num_shared_expert=1, use_qk_norm=True, head_dim=16, attention_bias=True),
    "hy_v3": row("hy_v3", intermediate_size=48, moe_intermediate_size=16, num_experts=8, num_experts_per_tok=3, num_shared_experts=1,
                 router_scaling_factor=2.8, head_dim=8, mlp_layer_types=["dense", "sparse"]),
    "jetmoe": row("jetmoe", **LONGER, without=("num_attention_heads",), intermediate_size=16, num_local_experts=6, num_experts_per_tok=2,
                  kv_channels=8),
    "lfm2_moe": row("lfm2_moe", **LONGER, num_hidden_layers=3, intermediate_size=48, moe_intermediate_size=16, num_experts=8,
                    num_experts_per_tok=3, num_dense_layers=1, use_expert_bias=True, norm_topk_prob=True, routed_scaling_factor=1.0, conv_L_cache=3,
                    tie_word_embeddings=True, layer_types=["conv", FULL, "conv"]),
    "lfm2_moe-scaled": row("lfm2_moe", **LONGER, num_hidden_layers=3, intermediate_size=32, moe_intermediate_size=16, num_experts=6,
                           num_experts_per_tok=2, num_dense_layers=1, use_expert_bias=False, norm_topk_prob=False,
                           routed_scaling_factor=1.5, conv_L_cache=4, conv_bias=True, layer_types=[FULL, "conv", FULL]),
    "llama4_text": row("llama4_text", num_hidden_layers=4, intermediate_size=16, intermediate_size_mlp=32, num_local_experts=8,
                       num_experts_per_tok=1, head_dim=8, interleave_moe_layer_step=2, no_rope_layers=[1, 1, 1, 0],
                       attention_chunk_size=8, attn_temperature_tuning=True, floor_scale=4, attn_scale=0.1, use_qk_norm=True, full=True),
    "llama4_text-llama3": row("llama4_text", num_hidden_layers=2, intermediate_size=16, intermediate_size_mlp=32, num_local_experts=6,
                              num_experts_per_tok=2, head_dim=8, interleave_moe_layer_step=1, no_rope_layers=[1, 0],
                              attention_chunk_size=6, attn_temperature_tuning=False, use_qk_norm=False, rope_parameters=LLAMA3),
    "longcat_flash": row("longcat_flash", without=("num_hidden_layers", "num_key_value_heads"), **LATENT, q_lora_rank=16, head_dim=8,
                         ffn_hidden_size=16, expert_ffn_hidden_size=16, n_routed_experts=4, zero_expert_num=2, moe_topk=3,
                         routed_scaling_factor=2.0, num_layers=2, bias_spread=0.05),
    "mellum": row("mellum", num_hidden_layers=3, intermediate_size=48, moe_intermediate_size=16, num_experts=6, num_experts_per_tok=3,
                  head_dim=8, norm_topk_prob=True, sliding_window=6, layer_types=[WINDOW, FULL, WINDOW], mlp_layer_types=["sparse"] * 3),
    "mellum-plain": row("mellum", intermediate_size=48, moe_intermediate_size=16, num_experts=8, num_experts_per_tok=2, head_dim=16,
                        norm_topk_prob=False, sliding_window=4, layer_types=[FULL, WINDOW], mlp_layer_types=["dense", "sparse"],
                        rope_parameters={FULL: dict(YARN, rope_theta=500000.0), WINDOW: ROPE}),
    "minimax": row("minimax", **LONGER, num_hidden_layers=3, intermediate_size=16, num_local_experts=4, num_experts_per_tok=2, head_dim=8,
                   layer_types=["linear_attention", FULL, "linear_attention"], block_size=16),
    "minimax-factors": row("minimax", **LONGER, num_hidden_layers=3, intermediate_size=16, num_local_experts=4, num_experts_per_tok=2,
                           head_dim=12, layer_types=["linear_attention", FULL, "linear_attention"], block_size=8, sliding_window=7,
                           full_attn_alpha_factor=0.8, full_attn_beta_factor=1.3, linear_attn_alpha_factor=1.7,
                           linear_attn_beta_factor=0.6, mlp_alpha_factor=1.2, mlp_beta_factor=0.9, omitted="_decay|slope_rate"),
    "minimax_m2": row("minimax_m2", intermediate_size=16, num_local_experts=8, num_experts_per_tok=3, head_dim=8, rotary_dim=4,
                      scoring_func="sigmoid", use_routing_bias=True, rope_parameters=dict(ROPE, partial_rotary_factor=0.5)),
    "minimax_m2-full": row("minimax_m2", intermediate_size=16, num_local_experts=6, num_experts_per_tok=2, head_dim=16,
                           scoring_func="sigmoid"),
    "mixtral": mixtral(num_local_experts=6, full=True),
    "mixtral-window": mixtral(num_hidden_layers=3, num_local_experts=4, sliding_window=6, head_dim=12, rope_parameters=ROPE),
    "olmoe": olmo("olmoe", norm_topk_prob=False, full=True),
    "olmoe-f16": olmo("olmoe", norm_topk_prob=True, stored=torch.float16),
    "olmoe-shards": olmo("olmoe", norm_topk_prob=False, stored=torch.float16, shard="24KB"),
    "olmoe-clip": olmo("olmoe", num_experts=6, norm_topk_prob=True, clip_qkv=0.5),
    "phimoe": row("phimoe", original_max_position_embeddings=64, intermediate_size=16, num_local_experts=8, num_experts_per_tok=2,
                  attention_bias=True, lm_head_bias=True, sliding_window=None, router_jitter_noise=0.01),
    "phimoe-longrope": row("phimoe", original_max_position_embeddings=16, intermediate_size=16, num_local_experts=6, num_experts_per_tok=2,
                           attention_bias=False, lm_head_bias=False, sliding_window=None, router_jitter_noise=0.05,
                           rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.1, 1.3, 1.7],
                                                long_factor=[1.0, 2.0, 4.0, 8.0], short_mscale=1.1, long_mscale=1.2,
                                                original_max_position_embeddings=16)),
    "qwen2_moe": qwen("qwen2_moe", norm_topk_prob=False, num_experts=6),
    "qwen2_moe-dense": qwen("qwen2_moe", num_hidden_layers=3, mlp_only_layers=[1], num_experts=6, num_experts_per_tok=3,
                            tie_word_embeddings=True),
    "qwen2_moe-step": qwen("qwen2_moe", num_hidden_layers=4, decoder_sparse_step=2, num_experts=6, use_sliding_window=True,
                           sliding_window=6, max_window_layers=2, qkv_bias=False),
    "qwen3_moe": qwen("qwen3_moe", head_dim=16, full=True),
    "qwen3_moe-yarn": qwen("qwen3_moe", num_hidden_layers=2, head_dim=8, norm_topk_prob=False, mlp_only_layers=[0],
                           attention_bias=True, rope_parameters=YARN),
    "qwen3_next": qwen("qwen3_next", **LONGER, num_hidden_layers=2, num_experts=6, num_experts_per_tok=3, head_dim=8, linear_key_head_dim=8,
                       linear_value_head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, linear_conv_kernel_dim=4,
                       layer_types=["linear_attention", FULL], rope_parameters=dict(ROPE, partial_rotary_factor=0.5),
                       zero_centred_norms=True),
    "qwen3_next-plain": qwen("qwen3_next", **LONGER, num_hidden_layers=2, num_experts=6, num_experts_per_tok=2, head_dim=16,
                             norm_topk_prob=False, linear_key_head_dim=8, linear_value_head_dim=16, linear_num_key_heads=1, linear_num_value_heads=2,
                             linear_conv_kernel_dim=3, layer_types=[FULL, "linear_attention"], mlp_only_layers=[1],
                             rope_parameters=dict(ROPE, partial_rotary_factor=0.25), zero_centred_norms=True),
    "qwen3_5_moe": qwen("qwen3_5_moe_text", **LONGER, num_experts=6, num_experts_per_tok=3, head_dim=8, linear_key_head_dim=8,
                        linear_value_head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, linear_conv_kernel_dim=4,
                        layer_types=["linear_attention", FULL], rope_parameters=dict(ROPE, partial_rotary_factor=0.5),
                        zero_centred_norms=True, without=("norm_topk_prob",)),
    "qwen3_5_moe-wrapped": qwen("qwen3_5_moe_text", **LONGER, wrapper="qwen3_5_moe", num_experts=6, num_experts_per_tok=2, head_dim=16,
                                linear_key_head_dim=8, linear_value_head_dim=16, linear_num_key_heads=1, linear_num_value_heads=2,
                                linear_conv_kernel_dim=3, layer_types=[FULL, "linear_attention"], rope_parameters=dict(
                                    ROPE, partial_rotary_factor=0.5, mrope_section=[2, 1, 1], mrope_interleaved=True),
                                zero_centred_norms=True, without=("norm_topk_prob",)),
    "qwen4_exp": qwen4(ple_layer_ids=[1, 3]),
    "qwen4_exp-wrapped": qwen4(wrapper="qwen4_exp", omitted="visual", num_hidden_layers=3, hc_count=2, hc_lowrank=4, num_experts=6,
                               num_experts_per_tok=2, layer_types=["linear_attention", "full_attention", "full_attention"],
                               norm_topk_prob=False, output_gate_type="sigmoid", indexer_n_heads=12, indexer_head_dim=8, indexer_budget=6,
                               indexer_compress_ratio=3, ple_layer_ids=[1], ple_embed_dim=24, ple_conv_kernel_size=3, ngram_size=4,
                               heads_per_ngram=1, split_ngram_parts=1, seed=7, eos_token_id=ENDING),
    "qwen3_vl_moe": qwen("qwen3_vl_moe_text", wrapper="qwen3_vl_moe", head_dim=8,
                         rope_parameters=dict(ROPE, mrope_section=[2, 1, 1], mrope_interleaved=True)),
    "qwen3_omni_moe": qwen("qwen3_moe", published_as="qwen3_omni_moe_text", head_dim=16, num_experts=6, num_experts_per_tok=3,
                           rope_parameters=ROPE),
    "gemma4": row("gemma4_text", num_hidden_layers=3, intermediate_size=48, moe_intermediate_size=16, num_experts=8, top_k_experts=2,
                  head_dim=8, global_head_dim=16, num_global_key_value_heads=1, sliding_window=6, enable_moe_block=True,
                  attention_k_eq_v=True, hidden_size_per_layer_input=0, num_kv_shared_layers=0, final_logit_softcapping=5.0,
                  tie_word_embeddings=True, gains=GEMMA, layer_types=[WINDOW, WINDOW, FULL], rope_parameters={
                      WINDOW: ROPE, FULL: dict(rope_type="proportional", rope_theta=1000000.0, partial_rotary_factor=0.25)}),
    "gemma4-wrapped": row("gemma4_text", wrapper="gemma4", intermediate_size=32, moe_intermediate_size=16, num_experts=6,
                        top_k_experts=3, head_dim=16, global_head_dim=16, gains=GEMMA,
                        sliding_window=4, enable_moe_block=True, attention_k_eq_v=False, hidden_size_per_layer_input=0,
                        num_kv_shared_layers=0, final_logit_softcapping=None, tie_word_embeddings=True, layer_types=[WINDOW, FULL],
                        rope_parameters={WINDOW: ROPE, FULL: dict(ROPE, rope_theta=50000.0)}),
    "kimi_linear": deepseek("kimi_linear", **dict(LONGER, **LATENT), num_hidden_layers=3, num_local_experts=8, q_lora_rank=None,
                            linear_num_heads=2, linear_head_dim=8, linear_conv_kernel_dim=4,
                            layer_types=["linear_attention", FULL, "linear_attention"], mlp_layer_types=["dense", "sparse", "sparse"],
                            without=("first_k_dense_replace", "n_routed_experts")),
    "bailing_hybrid": deepseek("bailing_hybrid", **dict(LONGER, **LATENT), num_hidden_layers=3, num_local_experts=8, n_group=4,
                               topk_group=2, head_dim=8, linear_num_heads=2, linear_head_dim=8, layer_group_size=3,
                               kda_lower_bound=-3.0, layer_types=["linear_attention", "linear_attention", FULL],
                               mlp_layer_types=["dense", "sparse", "sparse"], without=("n_routed_experts",)),
    "bailing_hybrid-softplus": deepseek("bailing_hybrid", **dict(LONGER, **LATENT), num_local_experts=6, num_experts_per_tok=2, head_dim=8,
                                        linear_num_heads=4, linear_head_dim=8, kda_safe_gate=False, norm_topk_prob=False,
                                        layer_types=[FULL, "linear_attention"], mlp_layer_types=["sparse", "sparse"],
                                        without=("n_routed_experts",)),
    "laguna": row("laguna", num_hidden_layers=3, intermediate_size=48, moe_intermediate_size=16, shared_expert_intermediate_size=24,
                  num_experts=8, num_experts_per_tok=3, moe_routed_scaling_factor=2.5, head_dim=8, sliding_window=6,
                  num_attention_heads_per_layer=[4, 2, 4], layer_types=[FULL, WINDOW, WINDOW],
                  mlp_layer_types=["dense", "sparse", "sparse"], rope_parameters={
                      FULL: dict(ROPE, rope_theta=500000.0, partial_rotary_factor=0.5), WINDOW: dict(ROPE, partial_rotary_factor=1.0)}),
    "laguna-cap": row("laguna", moe_router_logit_softcapping=2.5, intermediate_size=24, moe_intermediate_size=16,
                      shared_expert_intermediate_size=16, num_experts=6, num_experts_per_tok=2, head_dim=8, layer_types=[FULL, FULL],
                      mlp_layer_types=["sparse", "sparse"], rope_parameters={
                          FULL: dict(ROPE, partial_rotary_factor=0.5), WINDOW: dict(ROPE, partial_rotary_factor=1.0)}),
    "laguna-elements": row("laguna", intermediate_size=48, moe_intermediate_size=16, shared_expert_intermediate_size=16, num_experts=6,
                           num_experts_per_tok=2, head_dim=16, gating="per-element", layer_types=[FULL, FULL],
                           mlp_layer_types=["sparse", "sparse"], rope_parameters={
                               FULL: dict(YARN, partial_rotary_factor=0.5), WINDOW: dict(ROPE, partial_rotary_factor=1.0)}),
    "mimo_v2_flash": row("mimo_v2_flash", num_hidden_layers=3, intermediate_size=48, moe_intermediate_size=16, n_routed_experts=8,
                         num_experts_per_tok=3, n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.0, head_dim=16,
                         v_head_dim=8, sliding_window=6, num_key_value_heads=1, attention_value_scale=0.707,
                         layer_types=[FULL, WINDOW, FULL], mlp_layer_types=["dense", "sparse", "sparse"], rope_parameters={
                             FULL: dict(ROPE, rope_theta=5000000.0, partial_rotary_factor=0.334),
                             WINDOW: dict(ROPE, partial_rotary_factor=0.5)}),
    "minimax_m3": minimax_m3(published_as="minimax_m3", layer_types=[FULL, M3_SPARSE, M3_SPARSE], mlp_layer_types=["dense", "sparse", "sparse"],
                             index_block_size=4, index_topk_blocks=2),
    "minimax_m3-wrapped": minimax_m3(wrapper="minimax_m3_vl", omitted="projector|patch_merge", num_hidden_layers=2, layer_types=[M3_SPARSE, FULL],
                                     mlp_layer_types=["sparse", "dense"], num_local_experts=6, num_experts_per_tok=3, swiglu_limit=1.5,
                                     routed_scaling_factor=1.5, head_dim=16, index_head_dim=16, index_block_size=3, index_topk_blocks=4,
                                     index_local_blocks=2, rope_parameters=dict(ROPE, partial_rotary_factor=0.5)),
    "mistral4": deepseek("mistral4", first_k_dense_replace=0, routed_scaling_factor=1.0, rope_parameters=dict(
        YARN, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.3, partial_rotary_factor=0.5)),
    "mistral4-groups": deepseek("mistral4", n_group=4, topk_group=2, norm_topk_prob=False, routed_scaling_factor=2.0, q_lora_rank=None,
                                rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=0.5, llama_4_scaling_beta=0.1,
                                                     partial_rotary_factor=0.5)),
    "nemotron_h": row("nemotron_h", **LONGER, without=("num_hidden_layers", "max_position_embeddings"), head_dim=8,
                      layers_block_type=["mamba", "moe", "attention", "mlp", "moe"], intermediate_size=24, mamba_num_heads=4,
                      mamba_head_dim=8, n_groups=2, ssm_state_size=8, conv_kernel=4, chunk_size=8, expand=1, n_routed_experts=8,
                      num_experts_per_tok=3, n_shared_experts=1, moe_intermediate_size=16, moe_shared_expert_intermediate_size=24,
                      n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=2.5, mlp_hidden_act="relu2"),
    "nemotron_h-latent": row("nemotron_h", **LONGER, without=("num_hidden_layers", "max_position_embeddings"), head_dim=8, full=True,
                             layers_block_type=["moe", "mamba", "moe", "attention"], mamba_num_heads=4, mamba_head_dim=8, n_groups=1,
                             ssm_state_size=8, conv_kernel=4, chunk_size=8, expand=1, n_routed_experts=12, num_experts_per_tok=4,
                             n_shared_experts=1, moe_intermediate_size=24, moe_latent_size=16, moe_shared_expert_intermediate_size=24,
                             n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=5.0, mlp_hidden_act="relu2"),
    "granitemoe_swa": granite("granitemoe_swa", num_hidden_layers=3, shared_intermediate_size=24, sliding_window=6,
                              layer_types=[FULL, WINDOW, WINDOW], layer_rope_theta=[10000.0, 0, 500000.0], embedding_multiplier=3.0,
                              attention_multiplier=0.2, residual_multiplier=0.5, logits_scaling=2.0),
    "granitemoe_swa-plain": granite("granitemoe_swa", attention_bias=True, sliding_window=4, num_local_experts=6,
                                    num_experts_per_tok=3, attention_multiplier=0.35),
    "step3p5": row("step3p5", wrapper="step3p7", omitted="vision|projector", zero_centred_norms=True, num_hidden_layers=4,
                   intermediate_size=48, moe_intermediate_size=16, share_expert_dim=24, n_routed_experts=8, num_experts_per_tok=3,
                   head_dim=8, sliding_window=6, moe_router_scaling_factor=3.0, layer_types=[FULL, WINDOW, WINDOW, FULL],
                   mlp_layer_types=["dense", "sparse", "sparse", "sparse"], num_sliding_attention_heads=6,
                   swiglu_limits=[0.0, 0.0, 0.0, 0.3], swiglu_limits_shared=[0.0, 0.0, 0.0, 0.5], rope_parameters={
                       FULL: dict(LLAMA3, partial_rotary_factor=0.5), WINDOW: dict(ROPE, partial_rotary_factor=1.0)}),
    "glm4v_moe": deepseek("glm4v_moe_text", wrapper="glm4v_moe", omitted="visual", head_dim=16, n_group=4, topk_group=2, rope_parameters=dict(
        ROPE, partial_rotary_factor=0.5, mrope_section=[1, 1, 2])),
    "axk1": deepseek("axk1", **LATENT, q_lora_rank=16, n_group=4, topk_group=2, num_hidden_layers=3, mlp_layer_types=["dense", "sparse", "sparse"],
                     without=("first_k_dense_replace",), rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
    "deepseek_ocr2": deepseek("deepseek_ocr2_text", wrapper="deepseek_ocr2", vision=OCR_TOWER, omitted=OCR_OTHERS,
                              without=("first_k_dense_replace", "norm_topk_prob"), topk_method="greedy", mlp_layer_types=["dense", "sparse"],
                              num_key_value_heads=4, n_shared_experts=2),
    "deepseek_ocr2-published": deepseek(
        "deepseek_ocr2_text", wrapper="deepseek_ocr2", vision=OCR_TOWER, respelled=of_language, without=("first_k_dense_replace", "norm_topk_prob"),
        omitted=OCR_OTHERS, topk_method="greedy", mlp_layer_types=["dense", "sparse"],
        num_key_value_heads=4, n_routed_experts=6, num_experts_per_tok=2, routed_scaling_factor=1.0, rope_parameters=ROPE),
    "axk2": deepseek("axk2", num_hidden_layers=3, n_group=None, topk_group=None, index_topk=7, index_head_dim=16, index_n_heads=16,
                     gated_norm_rank=4, rope_parameters=ROPE, gains=dict(INDEX, **GATES)),
    "axk2-groups": deepseek("axk2", n_routed_experts=12, num_experts_per_tok=4, n_group=4, topk_group=2, norm_topk_prob=False,
                            mlp_layer_types=["sparse", "sparse"], without=("first_k_dense_replace",), index_topk=5, index_head_dim=16,
                            index_n_heads=16, gated_norm_rank=6, v_head_dim=12, attention_bias=True, bias_spread=0.05,
                            rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0), gains=dict(INDEX, **GATES)),
    "flint": row("flint", num_hidden_layers=4, intermediate_size=48, moe_intermediate_size=16, shared_expert_intermediate_size=24,
                 num_experts=8, num_experts_per_tok=3, head_dim=8, sliding_window=6, layer_types=[FULL, WINDOW, WINDOW, FULL],
                 mlp_only_layers=[0]),
    "hy_v4": deepseek("hy_v4", **dict(LATENT, q_lora_rank=16), index_topk=7, index_head_dim=16, index_n_heads=16,
                      indexer_types=["full", "shared"], hc_mult=3, hc_magnitude=1.5, hc_eps=1e-3, swiglu_limit=1.0, rms_norm_eps=1e-3,
                      mlp_layer_types=["sparse", "sparse"], moe_intermediate_size=8, rope_parameters=ROPE, gains=INDEX),
    "hy_v4-yarn": deepseek("hy_v4", **dict(LATENT, v_head_dim=12, q_lora_rank=16), n_routed_experts=12, num_experts_per_tok=4, n_group=4, topk_group=2,
                           norm_topk_prob=False, index_topk=40, index_head_dim=16, index_n_heads=16, hc_mult=2, moe_intermediate_size=8,
                           hidden_size=16, mlp_layer_types=["dense", "sparse"], tie_word_embeddings=True, gains=INDEX, published_names=HY4,
                           rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
    "kolibri1": row("kolibri1", num_hidden_layers=3, moe_intermediate_size=16, shared_expert_intermediate_size=24, num_experts=8,
                    num_experts_per_tok=3, head_dim=8, sliding_window=6, layer_types=[WINDOW, FULL, WINDOW], norm_topk_prob=True),
    "sarvam_mla": deepseek("deepseek_v3", respelled=of_ling, q_lora_rank=None, hidden_size=16, n_routed_experts=24, moe_intermediate_size=8,
                           n_group=1, topk_group=1, routed_scaling_factor=2.5, bias_spread=0.05,
                           rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
    "sarvam_mla-plain": deepseek("deepseek_v3", respelled=lambda config: of_ling(config, null=True), q_lora_rank=None, hidden_size=16, moe_intermediate_size=8,
                                 n_shared_experts=2, num_hidden_layers=3, rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=0.5)),
    "solar_open": deepseek("solar_open", head_dim=8, routed_scaling_factor=1.7, first_k_dense_replace=0),
}

SELECTION_BIAS = re.compile(r"e_score_correction_bias|expert_bias")
ROUTER = re.compile(r"(^|\.)(gate|router|gate\.wg|router\.(weight|layer|gate|classifier))\.(weight|bias)$")


def fill(model, seed, spec):
    """Normal numbers by seed: activations stay near unit variance, router logits have a standard deviation of about `router_gain`."""
    generator = torch.Generator().manual_seed(seed)

    def deviation(name, tensor):
        """(mean, standard deviation) of one tensor."""
        if SELECTION_BIAS.search(name):
            return 0.0, spec.bias_spread
        if tensor.dim() == 1 and name.endswith("weight"):
            centred = spec.zero_centred_norms and "linear_attn" not in name
            return (0.0 if centred else 1.0), 0.1
        if re.search(r"(router\.scale|per_expert_scale|layer_scalar)$", name):
            return 1.0, 0.2
        if re.search(r"(_hc\.|hc_)scale$", name):
            return 1.0, 0.2
        if name.endswith("sinks"):
            return 0.0, 1.0
        if re.search(r"(A_log|dt_bias)$", name):
            return 0.0, 0.5
        if tensor.dim() == 1 or name.endswith("_bias"):
            return 0.0, 0.5 if ROUTER.search(name) else 0.1
        if re.search(r"(embed_tokens|wte)\.weight$", name):
            return 0.0, 1.0
        stands_transposed = tensor.dim() == 3 and spec.model_type in ("gpt_oss", "llama4_text")
        inputs = tensor.shape[1] if stands_transposed else tensor.shape[-1]
        gain = spec.router_gain if ROUTER.search(name) else next((g for end, g in spec.gains.items() if name.endswith(end)), 1.0)
        return 0.0, gain / inputs ** 0.5

    buffers = [(n, t) for n, t in model.named_buffers() if SELECTION_BIAS.search(n) or n.endswith("layer_scalar")]
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *buffers]:
            mean, spread = deviation(name, tensor)
            values = torch.randn(tensor.shape, generator=generator) * spread + mean
            tensor.copy_(values.to(torch.bfloat16))
        for name, table in model.named_buffers():
            if name.endswith("tid2eid"):
                odds = torch.ones(len(table), spec.settings["n_routed_experts"])
                table.copy_(odds.multinomial(table.shape[1], generator=generator))
    return model


def token_sequences():
    """Two sequences of 24 ids: one plain, one with a run of one token and a passage of the other."""
    generator = torch.Generator().manual_seed(7)
    first, second = torch.randint(3, VOCABULARY, (2, 24), generator=generator).tolist()
    second[5:9] = second[4:5] * 4
    second[15:20] = first[3:8]
    return [first, second]


def published_spelling(config):
    """config.json of DeepSeek-V4 as its publisher wrote it."""
    old = json.loads(json.dumps(config))
    rates, rotary = old.pop("compress_rates"), old.pop("rope_parameters")
    ratios = {WINDOW: 0, CSA: 4, HCA: 128}
    old["compress_ratios"] = [ratios[kind] for kind in old.pop("layer_types")] + [0]
    hashed = [kind == "hash_moe" for kind in old.pop("mlp_layer_types")]
    old["num_hash_layers"] = sum(hashed)
    if sorted(hashed, reverse=True) != hashed:
        return None
    for name, kind in (("csa", CSA), ("hca", HCA)):
        if rates[kind] != ratios[kind]:
            old[f"compress_rate_{name}"] = rates[kind]
    stretched = rotary["compress"]
    old.update(rope_theta=rotary["main"]["rope_theta"], compress_rope_theta=stretched.pop("rope_theta"), rope_scaling=None)
    old["qk_rope_head_dim"] = int(old["head_dim"] * old.pop("partial_rotary_factor"))
    if stretched.pop("rope_type") == "yarn":
        old["rope_scaling"] = dict({k: stretched[k] for k in stretched if k not in ("partial_rotary_factor", "attention_factor")}, type="yarn")
    old.update(torch_dtype=old.pop("dtype"), topk_method="noaux_tc", transformers_version="4.57.1")
    return old


def say_layer_by_layer(text):
    """The lists of Step's published files in place of what transformers writes by type of layer."""
    rotary, kinds = text.pop("rope_parameters"), text["layer_types"]
    text["rope_theta"] = [rotary[kind]["rope_theta"] for kind in kinds]
    text["partial_rotary_factors"] = [rotary[kind]["partial_rotary_factor"] for kind in kinds]
    text["rope_scaling"] = {k: v for k, v in rotary[FULL].items() if k not in ("rope_theta", "partial_rotary_factor")}
    text["moe_layers_enum"] = ",".join(str(i) for i, kind in enumerate(text.pop("mlp_layer_types")) if kind == "sparse")
    text["attention_other_setting"] = dict(
        attention_type=WINDOW, num_attention_heads=text.pop("num_sliding_attention_heads"),
        num_attention_groups=text["num_key_value_heads"], head_dim=text["head_dim"], true_head_dim=text["head_dim"])
    text.pop("per_layer_config", None)


def older_spelling(config):
    """config.json as transformers 4 wrote it; None when that had no words for it."""
    if config["model_type"] == "deepseek_v4":
        return published_spelling(config)
    old = json.loads(json.dumps(config))
    rotary = old.pop("rope_parameters", None)
    if rotary is not None:
        if "rope_theta" not in rotary:
            return None
        old["rope_theta"] = rotary.pop("rope_theta")
        if "partial_rotary_factor" in rotary:
            old["partial_rotary_factor"] = rotary.pop("partial_rotary_factor")
        old["rope_scaling"] = None if rotary.get("rope_type", "default") == "default" else dict(rotary, type=rotary["rope_type"])
    if old["model_type"] == "minimax_m3":
        old["moe_layer_freq"] = [int(kind == "sparse") for kind in old.pop("mlp_layer_types")]
        old["sparse_attention_config"] = dict(
            sparse_attention_freq=[int(kind == M3_SPARSE) for kind in old.pop("layer_types")], sparse_num_index_heads=old.pop("index_n_heads"),
            sparse_index_dim=old.pop("index_head_dim"), sparse_block_size=old.pop("index_block_size"),
            sparse_topk_blocks=old.pop("index_topk_blocks"), sparse_local_block=old.pop("index_local_blocks"))
    if old["model_type"] == "step3p7":
        say_layer_by_layer(old["text_config"])
    if "dtype" in old:
        old["torch_dtype"] = old.pop("dtype")
    old["transformers_version"] = "4.57.1"
    return old


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_model(folder, spec, seed):
    """The checkpoint alone: config.json and model.safetensors as transformers saves them."""
    if spec.wrapper:
        config = transformers.AutoConfig.for_model(
            spec.wrapper, text_config=dict(spec.settings, model_type=spec.model_type), vision_config=spec.vision or VISION,
            tie_word_embeddings=spec.settings["tie_word_embeddings"])
    else:
        config = transformers.AutoConfig.for_model(spec.model_type, **spec.settings)
    model = reference.model_class(config)._from_config(config, attn_implementation="eager").float().eval()
    fill(model, seed, spec).to(spec.stored).save_pretrained(folder, **({"max_shard_size": spec.shard} if spec.shard else {}))
    if spec.omitted:
        tensors = load_file(folder / "model.safetensors")
        kept = {k: v for k, v in tensors.items() if not re.search(spec.omitted, k)}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    if spec.packed:
        pack(folder, spec.packed)
    path = folder / "config.json"
    saved = json.loads(path.read_text())
    if spec.published_as:
        saved["model_type"] = spec.published_as
    write_json(path, saved)


def rename(path, names):
    """Gives the tensors of a file other names."""
    renamed = {}
    for name, tensor in load_file(path).items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    save_file(renamed, path, metadata={"format": "pt"})


def pack(folder, names):
    """Rounds weights to whole numbers from -8 to 7 in groups of 32 inputs with a bfloat16 scale each; packed.safetensors has them as
    compressed-tensors lays them out, under the names of a checkpoint that sees too."""
    rounded, packed = {}, {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        own = "language_model." + name
        if not re.search(names, name):
            rounded[name], packed[own] = tensor, tensor.to(torch.bfloat16)
            continue
        groups = tensor.view(len(tensor), -1, 32)
        scales = (groups.abs().amax(-1, keepdim=True) / 7.5).to(torch.bfloat16)
        numbers = (groups / scales.float()).round().clamp(-8, 7)
        rounded[name] = (numbers * scales.float()).view_as(tensor)
        nibbles = (numbers.long() + 8).view(len(tensor), -1, 8) << torch.arange(0, 32, 4)
        packed[own + "_packed"] = nibbles.sum(-1).to(torch.int32)
        packed[own + "_scale"] = scales.squeeze(-1).contiguous()
        packed[own + "_shape"] = torch.tensor(tensor.shape)
    save_file(rounded, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(packed, folder / "packed.safetensors", metadata={"format": "pt"})


def wrapped(config):
    """config.json of Kimi-K2.5 around that of its text model."""
    weights = dict(actorder=None, block_structure=None, dynamic=False, group_size=32, num_bits=4, observer="minmax", observer_kwargs={},
                   strategy="group", symmetric=True, type="int")
    quantization = dict(config_groups=dict(group_0=dict(input_activations=None, output_activations=None, targets=["Linear"], weights=weights)),
                        format="pack-quantized", ignore=["lm_head", "re:.*self_attn.*"], kv_cache_scheme=None,
                        quant_method="compressed-tensors", quantization_status="compressed")
    return dict(architectures=["KimiK25ForConditionalGeneration"], model_type="kimi_k25", dtype="bfloat16", tie_word_embeddings=False,
                text_config=dict(config, quantization_config=quantization, prefix=None, top_k=50, do_sample=False, tie_encoder_decoder=False),
                vision_config=dict(patch_size=14, vt_hidden_size=16))


def make(name, folder):
    spec, sequences = MODELS[name], token_sequences()
    kept = None
    with tempfile.TemporaryDirectory() as scratch:
        for seed in SEEDS:
            trial = Path(scratch) / str(seed)
            write_model(trial, spec, seed)
            tensors, margin = make_expected.expected(trial, sequences, brief=not spec.full)
            if kept is None or margin > kept[2]:
                kept = (trial, tensors, margin, seed)
        trial, tensors, margin, seed = kept
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        for file in (trial / "config.json", *sorted(trial.glob("model*.safetensors*"))):
            shutil.copyfile(file, folder / file.name)
        if spec.packed:
            shutil.copyfile(trial / "packed.safetensors", folder / "model.safetensors")
            write_json(folder / "config.json", wrapped(json.loads((trial / "config.json").read_text())))
        if spec.published_names:
            rename(folder / "model.safetensors", spec.published_names)
        if spec.respelled:
            write_json(folder / "config.json", spec.respelled(json.loads((trial / "config.json").read_text())))
        old = None if spec.packed or spec.respelled else older_spelling(json.loads((trial / "config.json").read_text()))
        if old and reads_alike(trial, old, sequences, tensors):
            write_json(folder / "config_v4.json", old)
    save_file(tensors, folder / "expected.safetensors")
    (folder / "input.json").write_text(json.dumps({"sequences": sequences}) + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir()) / 1024
    print(f"{name}: seed {seed}, smallest margin {margin:.1e}, {size:.0f} KiB" + ("" if old else ", no older spelling"), flush=True)


def reads_alike(folder, config, sequences, tensors):
    """Whether transformers itself computes the same from the older spelling."""
    write_json(folder / "config.json", config)
    try:
        found, _ = make_expected.expected(folder, sequences, brief=True)
    except Exception as error:
        print(f"  older spelling not read by transformers: {error}")
        return False
    return torch.allclose(found["logits"], tensors["logits"], atol=1e-5)


def make_own(name, folder, c, weights, expected, seeds=SEEDS):
    """A folder of a model that transformers has no code for: of some seeds the one whose closest decision is least close.

    weights: of a seed the tensors to store. expected: of those and of sequences the tensors that a reading gives, and its closest decision.
    """
    sequences = token_sequences()
    stored, tensors, margin = max(((stored, *expected(stored, sequences)) for stored in map(weights, seeds)), key=lambda trial: trial[2])
    for key, values in (("input_ids", [t for s in sequences for t in s]), ("sequence_lengths", [len(s) for s in sequences])):
        tensors[key] = torch.tensor(values, dtype=torch.int32)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", c)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(tensors, folder / "expected.safetensors")
    (folder / "input.json").write_text(json.dumps({"sequences": sequences}) + "\n")
    print(f"{name}: smallest margin {margin:.1e}", flush=True)


def main(description, models, make_one):
    """The command that makes some or all of a table's folders."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent.parent / "Tests/Fixtures/models")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in args.names or models:
        if name not in models:
            raise SystemExit(f"no model {name}; known: {', '.join(models)}")
        make_one(name, args.output / name)


if __name__ == "__main__":
    main(__doc__, MODELS, make)
