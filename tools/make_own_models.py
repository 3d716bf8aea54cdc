"""Tiny random checkpoints of families that transformers has no code for, each with what this file computes on it.

usage: make_own_models.py [NAME ...] [-o Tests/Fixtures/models]      (no name: all)

The computation is our own reading of what the publishers' modelling files say (modeling_deepseek.py of deepseek-moe-16b,
modeling_bailing_moe.py of Ling-lite, modeling_bailing_moe_v2.py of Ling-mini-2.0, modeling_llama_moe_hf.py of LLaMA-MoE,
modeling_llama_moe_upscaling_hf.py of XFT, modeling_sarvam_moe.py of sarvam-30b, modeling_smallthinker.py of SmallThinker-4BA0.6B), in float32 on the stored weights, one sequence after the other, written without a look at the engine. Files and tensors are those of make_models.py.
"""
import re

import torch
import torch.nn.functional as F

import make_models

BASE = dict(vocab_size=64, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
            moe_intermediate_size=16, max_position_embeddings=64, hidden_act="silu", rms_norm_eps=1e-5, rope_theta=10000.0,
            rope_scaling=None, tie_word_embeddings=False, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2)
DEEPSEEK = dict(BASE, model_type="deepseek", architectures=["DeepseekForCausalLM"], attention_bias=False, scoring_func="softmax",
                n_routed_experts=8, n_shared_experts=2, num_experts_per_tok=3, first_k_dense_replace=1, moe_layer_freq=1,
                norm_topk_prob=False)
BAILING = dict(BASE, model_type="bailing_moe", use_bias=False, use_qkv_bias=False, num_experts=8, num_shared_experts=2,
               num_experts_per_tok=3, first_k_dense_replace=0, norm_topk_prob=True)
LLAMA = {k: v for k, v in dict(
    BASE, model_type="llama_moe", architectures=["LlamaMoEForCausalLM"], num_hidden_layers=2, num_key_value_heads=4, num_experts=8,
    num_selects=2, size_experts=None, gate_type="TopKBalancedNoisyGate", gate_network="mlp", gate_use_softmax=True, gate_use_balance=True,
    gate_balance_loss_weight=0.01, gate_add_noise=True, gate_noise_epsilon=0.01, calculator_type="UniversalCalculator",
    multiply_gate_scores=True, score_scale_factor=4.0, add_weight_norm=False, drop_tokens=True, dropped_padding="zero", capacity_factor=1.25,
    pretraining_tp=1).items() if k not in ("moe_intermediate_size", "rope_theta")}
UPSCALED = dict(LLAMA, model_type="llama_moe_upscaling", architectures=["LlamaMoEUpscalingForCausalLM"], intermediate_size=16, num_experts=7, num_selects=4,
                gate_type="TopKUniversalBalancedNoisyGate", score_scale_factor=1.0, attention_bias=False, attention_dropout=0.0,
                rope_scaling=dict(type="linear", factor=4.0), shared_expert_weight=0.75, ffn_folder_path="")
SECOND = dict(BAILING, head_dim=16, num_experts=12, num_experts_per_tok=4, num_shared_experts=1, first_k_dense_replace=1, n_group=4,
              topk_group=2, routed_scaling_factor=2.5, use_qk_norm=True, moe_router_enable_expert_bias=True, router_dtype="fp32",
              use_rmsnorm=True, moe_shared_expert_intermediate_size=16)
SMALL = {k: v for k, v in dict(
    BASE, model_type="smallthinker", architectures=["SmallThinkerForCausalLM"], num_hidden_layers=2, head_dim=16, num_attention_heads=2,
    num_key_value_heads=1, moe_num_primary_experts=8, moe_num_active_primary_experts=3, moe_ffn_hidden_size=16, norm_topk_prob=True,
    moe_primary_router_apply_softmax=False, rope_layout=[0, 1], sliding_window_layout=[0, 1], sliding_window_size=6,
    rms_norm_eps=1e-6).items() if k not in ("moe_intermediate_size", "intermediate_size", "hidden_act")}
MODELS = {
    "deepseek": DEEPSEEK,
    "deepseek-norm": dict(DEEPSEEK, attention_bias=True, n_shared_experts=None, norm_topk_prob=True, num_experts_per_tok=2),
    "bailing_moe": dict(BAILING, architectures=["BailingMoeForCausalLM"], norm_head=False, norm_softmax=False, embedding_dropout=0.0),
    "bailing_moe-second": dict(
        BAILING, architectures=["BailingMoeV2ForCausalLM"], head_dim=16, use_qkv_bias=True, num_experts=12, num_experts_per_tok=4,
        num_shared_experts=1, first_k_dense_replace=1, score_function="sigmoid", n_group=4, topk_group=2, routed_scaling_factor=2.5,
        partial_rotary_factor=0.5, use_qk_norm=True, moe_router_enable_expert_bias=True, router_dtype="fp32", use_rmsnorm=True,
        moe_shared_expert_intermediate_size=16, num_nextn_predict_layers=0, rope_theta=600000.0),
    "sarvam_moe": dict(SECOND, model_type="sarvam_moe", architectures=["SarvamMoEForCausalLM"], score_function="sigmoid", num_hidden_layers=2,
                       num_attention_heads=2, num_key_value_heads=1, rope_theta=8000000.0),
    "smallthinker": SMALL,
    "smallthinker-softmax": dict(SMALL, moe_primary_router_apply_softmax=True, rope_layout=[1, 1],
                                 sliding_window_layout=[0, 0], moe_num_primary_experts=6, moe_num_active_primary_experts=2,
                                 tie_word_embeddings=True),
    "llama_moe": dict(LLAMA, intermediate_size=96),
    "llama_moe-sizes": dict(LLAMA, num_experts=6, num_selects=3, size_experts=[[4, 8, 12, 6, 10, 8], [20, 4, 4, 4, 8, 8]],
                            score_scale_factor=[2.0, 3.5], rope_scaling=dict(type="linear", factor=2.0)),
    "llama_moe_upscaling": UPSCALED,
    "llama_moe_upscaling-plain": dict(
        UPSCALED, gate_type="TopKUniversalBalancedNoNormalizationNoisyGate", gate_network="linear", gate_add_noise=False, num_experts=5,
        num_selects=3),
    "llama_moe-linear": dict(LLAMA, num_key_value_heads=2, gate_network="linear", gate_add_noise=False, score_scale_factor=1.0),
}


class Names:
    """What the tensors of a family are called."""

    def __init__(self, c):
        bailing = c["model_type"] in ("bailing_moe", "sarvam_moe")
        self.embedding = "model.word_embeddings.weight" if bailing else "model.embed_tokens.weight"
        self.attention = "attention" if bailing else "self_attn"
        self.output = "dense" if bailing else "o_proj"
        self.is_fused = bailing

    @staticmethod
    def expert(c, layer, e):
        """Gate, up and down of one expert."""
        p = f"model.layers.{layer}.mlp"
        if c["model_type"] == "smallthinker":
            return [f"model.layers.{layer}.block_sparse_moe.experts.{e}.{part}.weight" for part in ("gate", "up", "down")]
        if Sizes(c).is_cut:
            return [f"{p}.calculator.experts.weight_{part}.{e}{'.weight' * Sizes(c).lead}" for part in ("gate", "up", "down")]
        return [f"{p}.experts.{e}.{part}_proj.weight" for part in ("gate", "up", "down")]


class Sizes:
    def __init__(self, c):
        self.heads, self.pairs = c["num_attention_heads"], c["num_key_value_heads"]
        self.head = c.get("head_dim") or c["hidden_size"] // self.heads
        self.experts = c.get("n_routed_experts") or c.get("num_experts") or c["moe_num_primary_experts"]
        self.shared = (c.get("n_shared_experts") or c.get("num_shared_experts") or 0) * c.get("moe_intermediate_size", 0)
        self.is_cut = c["model_type"].startswith("llama_moe")
        # Experts in front of the routed ones, which every token takes.
        self.lead = int("Universal" in c.get("gate_type", ""))
        self.routed = self.experts - self.lead
        self.has_bias = c.get("attention_bias") or c.get("use_qkv_bias") or False
        self.is_second = c.get("score_function") == "sigmoid" or c["model_type"] == "sarvam_moe"
        self.is_early = c["model_type"] == "smallthinker"
        self.has_norms = self.is_second and c.get("use_qk_norm", False)
        self.c = c

    def width(self, layer, e):
        if not self.is_cut:
            return self.c["moe_ffn_hidden_size" if self.is_early else "moe_intermediate_size"]
        lists = self.c["size_experts"]
        return lists[layer][e] if lists else self.c["intermediate_size"] // (1 if self.lead else self.experts)

    def factor(self, layer):
        """On the weights of a layer's experts."""
        factor = self.c.get("score_scale_factor", self.c.get("routed_scaling_factor", 1.0))
        return factor[layer] if isinstance(factor, list) else factor


def shapes(c):
    """{name: shape} of the whole checkpoint."""
    names, s, hidden = Names(c), Sizes(c), c["hidden_size"]
    out = {names.embedding: (c["vocab_size"], hidden), "lm_head.weight": (c["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    if c["tie_word_embeddings"]:
        del out["lm_head.weight"]

    def gated(prefix, width):
        for name in ("gate_proj", "up_proj"):
            out[f"{prefix}.{name}.weight"] = (width, hidden)
        out[f"{prefix}.down_proj.weight"] = (hidden, width)

    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            out[f"{p}.{norm}.weight"] = (hidden,)
        parts = {"query_key_value": s.heads + 2 * s.pairs} if names.is_fused else dict(q_proj=s.heads, k_proj=s.pairs, v_proj=s.pairs)
        for name, heads in parts.items():
            out[f"{p}.{names.attention}.{name}.weight"] = (heads * s.head, hidden)
            if s.has_bias:
                out[f"{p}.{names.attention}.{name}.bias"] = (heads * s.head,)
        out[f"{p}.{names.attention}.{names.output}.weight"] = (hidden, s.heads * s.head)
        if s.has_bias and not names.is_fused:
            out[f"{p}.{names.attention}.{names.output}.bias"] = (hidden,)
        if s.has_norms:
            for norm in ("query_layernorm", "key_layernorm"):
                out[f"{p}.{names.attention}.{norm}.weight"] = (s.head,)
        if layer < c.get("first_k_dense_replace", 0):
            gated(f"{p}.mlp", c["intermediate_size"])
            continue
        for name, inputs in router(c, layer):
            out[name] = (s.routed, inputs)
        if s.is_second:
            out[f"{p}.mlp.gate.expert_bias"] = (s.experts,)
        for expert in range(s.experts):
            gate, up, down = names.expert(c, layer, expert)
            width = s.width(layer, expert)
            out.update({gate: (width, hidden), up: (width, hidden), down: (hidden, width)})
        if c.get("gate_add_noise"):
            out[f"{p}.mlp.gate.weight_noise.weight"] = (s.routed, hidden)
        if s.shared:
            gated(f"{p}.mlp.shared_experts", s.shared)
    return out


def router(c, layer):
    """[(name, inputs)] of the router's layers."""
    p, hidden = f"model.layers.{layer}.mlp.gate", c["hidden_size"]
    if c["model_type"] == "smallthinker":
        return [(f"model.layers.{layer}.block_sparse_moe.primary_router.weight", hidden)]
    if not Sizes(c).is_cut:
        return [(f"{p}.weight", hidden)]
    if c["gate_network"] == "linear":
        return [(f"{p}.gate_network.weight", hidden)]
    return [(f"{p}.gate_network.0.weight", hidden), (f"{p}.gate_network.2.weight", Sizes(c).routed)]


def weights(c, seed):
    """bfloat16 numbers by seed, spread as make_models.py spreads them."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes(c).items():
        mean, spread = 0.0, 2.0 / shape[-1] ** 0.5 if re.search(r"mlp\.gate\.weight$|\.gate_network\.", name) else 1 / shape[-1] ** 0.5
        if name.endswith("embeddings.weight") or name.endswith("embed_tokens.weight"):
            spread = 1.0
        elif name.endswith("norm.weight"):
            mean, spread = 1.0, 0.1
        elif len(shape) == 1:
            spread = 0.15
        out[name] = (torch.randn(shape, generator=generator) * spread + mean).to(torch.bfloat16)
    return out


def rms(x, weight, c):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + c["rms_norm_eps"]) * weight


def turn(x, c, size):
    """Element i of a head's first `size` turns with element i + size / 2, by its position."""
    positions = torch.arange(x.shape[0]) / (c["rope_scaling"] or dict(factor=1.0))["factor"]
    angles = positions[:, None, None] * c.get("rope_theta", 10000.0) ** (-torch.arange(0, size, 2).float() / size)
    a, b, rest = x[..., :size // 2], x[..., size // 2:size], x[..., size:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin(), rest], -1)


def attend(x, w, c, p, layer):
    names, s = Names(c), Sizes(c)
    linear = lambda name, y: F.linear(y, w[f"{p}.{name}.weight"], w.get(f"{p}.{name}.bias"))
    if names.is_fused:
        q, k, v = linear("query_key_value", x).split([s.heads * s.head, s.pairs * s.head, s.pairs * s.head], -1)
    else:
        q, k, v = (linear(name, x) for name in ("q_proj", "k_proj", "v_proj"))
    q, k, v = (y.view(len(x), -1, s.head) for y in (q, k, v))
    if s.has_norms:
        q, k = rms(q, w[f"{p}.query_layernorm.weight"], c), rms(k, w[f"{p}.key_layernorm.weight"], c)
    size = int(s.head * c.get("partial_rotary_factor", 1.0)) if s.is_second else s.head
    if c.get("rope_layout", [1] * (layer + 1))[layer]:
        q, k = turn(q, c, size), turn(k, c, size)
    k, v = (y.repeat_interleave(s.heads // s.pairs, 1) for y in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) / s.head ** 0.5
    hidden = torch.ones(len(x), len(x)).triu(1).bool()
    if c.get("sliding_window_layout", [0] * (layer + 1))[layer]:
        hidden |= torch.ones(len(x), len(x)).tril(-c["sliding_window_size"]).bool()
    scores = scores.masked_fill(hidden, float("-inf"))
    return linear(names.output, torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1))


def choose(logits, bias, c, layer):
    """(ids best first, weights, the least distance of a choice from what was left out)."""
    top_k, s = next(c[key] for key in ("num_experts_per_tok", "num_selects", "moe_num_active_primary_experts") if key in c), Sizes(c)
    if s.lead:
        top = logits.softmax(-1).topk(top_k, -1)
        shares, margin = top.values[:, :-1], (top.values[:, -2] - top.values[:, -1]).min().item()
        if "NoNormalization" not in c["gate_type"]:
            shares = shares.softmax(-1) * shares[:, :1]
        return top.indices[:, :-1], shares, margin
    if s.is_cut or s.is_early:
        top = logits.topk(top_k + 1, -1)
        margin = (top.values[:, -2] - top.values[:, -1]).min().item()
        if s.is_early and not c["moe_primary_router_apply_softmax"]:
            shares = top.values[:, :-1].sigmoid()
            return top.indices[:, :-1], shares / shares.sum(-1, keepdim=True), margin
        return top.indices[:, :-1], top.values[:, :-1].softmax(-1) * s.factor(layer), margin
    scores = logits.sigmoid() if s.is_second else logits.softmax(-1)
    ranked, margin = scores + bias if s.is_second else scores, float("inf")
    if s.is_second and c["n_group"] > c["topk_group"]:
        best = ranked.view(len(logits), c["n_group"], -1).topk(2, -1).values.sum(-1)
        order = best.sort(-1, descending=True)
        margin = (order.values[:, c["topk_group"] - 1] - order.values[:, c["topk_group"]]).min().item()
        kept = torch.zeros_like(best).scatter(1, order.indices[:, :c["topk_group"]], 1.0).bool()
        ranked = ranked.masked_fill(~kept.repeat_interleave(s.experts // c["n_group"], 1), float("-inf"))
    top = ranked.topk(top_k + 1, -1)
    margin = min(margin, (top.values[:, :-1] - top.values[:, 1:])[:, -1].min().item())
    ids = top.indices[:, :top_k]
    chosen = scores.gather(1, ids)
    if top_k > 1 and c.get("norm_topk_prob", True):
        chosen = chosen / (chosen.sum(-1, keepdim=True) + 1e-20)
    return ids, chosen * s.factor(layer), margin


def feed_forward(x, w, c, layer, seen, entry):
    """- entry: the stream in front of attention, which some routers read."""
    p = f"model.layers.{layer}.mlp"
    act = F.relu if Sizes(c).is_early else F.silu
    gated = lambda parts, y: F.linear(act(F.linear(y, w[parts[0]])) * F.linear(y, w[parts[1]]), w[parts[2]])
    under = lambda q: [f"{q}.{part}_proj.weight" for part in ("gate", "up", "down")]
    if layer < c.get("first_k_dense_replace", 0):
        return gated(under(p), x), float("inf")
    first, *rest = [w[name] for name, _ in router(c, layer)]
    logits = F.linear(entry if Sizes(c).is_early else x, first)
    for matrix in rest:
        logits = F.linear(logits.tanh(), matrix)
    ids, factors, margin = choose(logits, w.get(f"{p}.gate.expert_bias"), c, layer)
    expert = lambda e, row: gated(Names(c).expert(c, layer, e + Sizes(c).lead), row)
    out = torch.stack([sum(f * expert(e, row) for e, f in zip(i.tolist(), fs)) for row, i, fs in zip(x, ids, factors)])
    if Sizes(c).lead:
        out = out + (1 - logits.softmax(-1).amax(-1, keepdim=True)) * expert(-1, x)
    if Sizes(c).shared:
        out = out + gated(under(f"{p}.shared_experts"), x)
    found = dict(router_logits=logits, expert_ids=ids.int(), weights=factors, block_in=x, block_out=out)
    for name, value in found.items():
        seen.setdefault(f"ffn.{layer}.{name}", []).append(value)
    return out, margin


@torch.inference_mode()
def expected(c, stored, sequences):
    w, names, seen, margin = {k: v.float() for k, v in stored.items()}, Names(c), {}, float("inf")
    for ids in sequences:
        x = w[names.embedding][ids]
        seen.setdefault("hidden.0", []).append(x)
        for layer in range(c["num_hidden_layers"]):
            p = f"model.layers.{layer}"
            entry = x
            x = x + attend(rms(x, w[f"{p}.input_layernorm.weight"], c), w, c, f"{p}.{names.attention}", layer)
            out, least = feed_forward(rms(x, w[f"{p}.post_attention_layernorm.weight"], c), w, c, layer, seen, entry)
            x, margin = x + out, min(margin, least)
            if layer == c["num_hidden_layers"] - 1:
                x = rms(x, w["model.norm.weight"], c)
            seen.setdefault(f"hidden.{layer + 1}", []).append(x)
        seen.setdefault("logits", []).append(F.linear(x, w["lm_head.weight" if "lm_head.weight" in w else names.embedding]))
    tensors = {k: torch.cat(v).contiguous() for k, v in seen.items()}
    return tensors, margin


def make(name, folder):
    c = MODELS[name]
    make_models.make_own(name, folder, c, lambda seed: weights(c, seed), lambda stored, sequences: expected(c, stored, sequences))


if __name__ == "__main__":
    make_models.main(__doc__, MODELS, make)
