"""Tiny random checkpoints of Monet, which transformers has no code for, each with what this file computes on it.

usage: make_monet_models.py [NAME ...] [-o Tests/Fixtures/models]      (no name: all)

The computation is our own reading of the paper (arXiv:2412.04139: routers of two lists, equations 6 to 15 for the experts) and of the released
modeling_monet.py (thresholds by running statistics, groups of layers), in float32 on the stored weights, written without a look at the engine. Pairs are
written out here, one expert after the other, where the released code and the engine take sums apart. Files and tensors are those of make_models.py;
ids and weights have a row of all entries, those that were not taken as -1 and 0 behind the others.
"""
from statistics import NormalDist

import torch
import torch.nn.functional as F

import make_models

BASE = dict(model_type="monet", architectures=["MonetForCausalLM"], vocab_size=64, hidden_size=32, intermediate_size=None, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, hidden_act="relu2", max_position_embeddings=64, rms_norm_eps=1e-6, rope_theta=10000.0,
            rope_scaling=None, attention_bias=False, attention_dropout=0.0, mlp_bias=None, tie_word_embeddings=False, torch_dtype="bfloat16",
            bos_token_id=1, eos_token_id=2, moe_dim=4, moe_heads=3, moe_experts=12, moe_topk=3, moe_groups=2, moe_decompose="vertical",
            output_router_probs=False)
MODELS = {
    "monet": BASE,
    "monet-horizontal": dict(BASE, num_hidden_layers=3, moe_decompose="horizontal", moe_dim=3, moe_heads=2, moe_experts=8, moe_topk=1,
                             attention_bias=True, num_key_value_heads=4),
}


def shapes(c):
    hidden, entries, heads = c["hidden_size"], c["moe_experts"], c["moe_heads"]
    size = hidden // c["num_attention_heads"]
    out = {"model.embed_tokens.weight": (c["vocab_size"], hidden), "lm_head.weight": (c["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            out[f"{p}.{norm}.weight"] = (hidden,)
        for name, rows in (("q", c["num_attention_heads"]), ("k", c["num_key_value_heads"]), ("v", c["num_key_value_heads"])):
            out[f"{p}.self_attn.{name}_proj.weight"] = (rows * size, hidden)
        out[f"{p}.self_attn.o_proj.weight"] = (hidden, c["num_attention_heads"] * size)
        if c["attention_bias"]:
            for name in "qkvo":
                out[f"{p}.self_attn.{name}_proj.bias"] = out[f"{p}.self_attn.{name}_proj.weight"][:1]
        if layer % c["moe_groups"] == 0:
            for side in (1, 2):
                out[f"{p}.router.w{side}.weight"] = (heads * entries, hidden)
                out[f"{p}.router.norm{side}.running_mean"] = out[f"{p}.router.norm{side}.running_var"] = (heads,)
        if c["moe_decompose"] == "horizontal":
            inner = entries * c["moe_dim"]
            out.update({f"{p}.moe.u.weight": (inner, hidden), f"{p}.moe.u.bias": (inner,), f"{p}.moe.v.weight": (hidden, inner),
                        f"{p}.moe.b": (entries, hidden)})
            continue
        inner = entries * c["moe_dim"] // 2
        for side in (1, 2):
            out.update({f"{p}.moe.u{side}.weight": (inner, hidden), f"{p}.moe.u{side}.bias": (inner,), f"{p}.moe.b{side}": (entries, hidden // 2)})
            for of in (1, 2):
                out[f"{p}.moe.v{side}{of}.weight"] = (hidden // 2, inner)
    return out


def weights(c, seed):
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes(c).items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            value = (0.3 * noise).exp() * 1.5
        elif name.endswith("running_mean"):
            value = 0.2 * noise
        elif name.endswith("norm.weight"):
            value = 1 + 0.1 * noise
        elif name.endswith("embed_tokens.weight"):
            value = noise
        elif len(shape) == 1:
            value = 0.15 * noise
        else:
            value = noise * (1.2 if ".router." in name else 1.5 if ".moe.v" in name else 1.0) / shape[-1] ** 0.5
        # Statistics stay f32 in the released files.
        out[name] = value if "running" in name else value.to(torch.bfloat16)
    for layer in range(0, c["num_hidden_layers"], c["moe_groups"]):
        for side in (1, 2):
            out[f"model.layers.{layer}.router.norm{side}.num_batches_tracked"] = torch.tensor(7)
    return out


def rms(x, weight, c):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + c["rms_norm_eps"]) * weight


def attend(x, w, c, p):
    size = c["hidden_size"] // c["num_attention_heads"]
    linear = lambda name, y: F.linear(y, w[f"{p}.{name}_proj.weight"], w.get(f"{p}.{name}_proj.bias"))
    q, k, v = (linear(name, x).view(len(x), -1, size) for name in "qkv")
    angles = torch.arange(len(x))[:, None, None] * c["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
    turn = lambda y: torch.cat([y[..., :size // 2] * angles.cos() - y[..., size // 2:] * angles.sin(),
                                y[..., size // 2:] * angles.cos() + y[..., :size // 2] * angles.sin()], -1)
    q, k = turn(q), turn(k)
    k, v = (y.repeat_interleave(c["num_attention_heads"] // c["num_key_value_heads"], 1) for y in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) / size ** 0.5
    scores = scores.masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), float("-inf"))
    return linear("o", torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1))


def choose(x, w, c, p):
    """By head (logits of both lists, what they are above their bounds, shares of the chosen), each [tokens, 2 entries]; the least distance to a bound."""
    entries, least, out = c["moe_experts"], float("inf"), []
    limit = torch.tensor(NormalDist().inv_cdf(1 - c["moe_topk"] / entries), dtype=torch.float32)
    for head in range(c["moe_heads"]):
        logits, above, shares = [], [], []
        for side in (1, 2):
            z = F.linear(x, w[f"{p}.w{side}.weight"][head * entries:(head + 1) * entries])
            mean, variance = (w[f"{p}.norm{side}.running_{name}"][head] for name in ("mean", "var"))
            n = (z - mean) / (variance + 1e-5).sqrt()
            over = n - n.amax(-1, keepdim=True).clamp(max=limit)
            logits.append(z)
            above.append(over)
            shares.append(z.masked_fill(over < 0, float("-inf")).softmax(-1))
            # The best is taken wherever the bound lies.
            others = over.scatter(-1, n.argmax(-1, keepdim=True), float("inf"))
            least = min(least, others.abs().min().item())
        out.append(tuple(torch.cat(parts, -1) for parts in (logits, above, shares)))
    return out, least


def pair(w, c, p, i, j):
    """Up, its bias, down and its bias of the expert of entries i and j."""
    dim = c["moe_dim"]
    rows = lambda name, at, width: w[f"{p}.{name}"][at * width:(at + 1) * width]
    columns = lambda name, at, width: w[f"{p}.{name}"][:, at * width:(at + 1) * width]
    if c["moe_decompose"] == "horizontal":
        return rows("u.weight", i, dim), rows("u.bias", i, dim), columns("v.weight", j, dim), w[f"{p}.b"][j]
    half = dim // 2
    up = torch.cat([rows("u1.weight", i, half), rows("u2.weight", j, half)])
    bias = torch.cat([rows("u1.bias", i, half), rows("u2.bias", j, half)])
    down = torch.cat([torch.cat([columns("v11.weight", i, half), columns("v12.weight", i, half)], 1),
                      torch.cat([columns("v21.weight", j, half), columns("v22.weight", j, half)], 1)])
    return up, bias, down, torch.cat([w[f"{p}.b1"][i], w[f"{p}.b2"][j]])


def experts(x, w, c, p, choice):
    entries, out = c["moe_experts"], torch.zeros_like(x)
    shares = sum(torch.einsum("ti,tj->tij", s[:, :entries], s[:, entries:]) for _, _, s in choice)
    for i in range(entries):
        for j in range(entries):
            up, bias, down, end = pair(w, c, p, i, j)
            out += shares[:, i, j, None] * (F.linear(F.relu(F.linear(x, up, bias)) ** 2, down) + end)
    return out


@torch.inference_mode()
def expected(c, stored, sequences):
    w, seen, margin = {k: v.float() for k, v in stored.items()}, {}, float("inf")
    note = lambda name, value: seen.setdefault(name, []).append(value)
    for ids in sequences:
        x = w["model.embed_tokens.weight"][ids]
        note("hidden.0", x)
        for layer in range(c["num_hidden_layers"]):
            p = f"model.layers.{layer}"
            x = x + attend(rms(x, w[f"{p}.input_layernorm.weight"], c), w, c, f"{p}.self_attn")
            y = rms(x, w[f"{p}.post_attention_layernorm.weight"], c)
            if layer % c["moe_groups"] == 0:
                choice, least = choose(y, w, c, f"{p}.router")
                margin = min(margin, least)
                for head, (logits, above, shares) in enumerate(choice):
                    order = torch.sort(above, dim=-1, descending=True, stable=True).indices
                    taken = above.gather(-1, order) >= 0
                    note(f"ffn.{layer}.h{head}.router_logits", logits)
                    note(f"ffn.{layer}.h{head}.expert_ids", order.masked_fill(~taken, -1).int())
                    note(f"ffn.{layer}.h{head}.weights", shares.gather(-1, order))
            made = experts(y, w, c, f"{p}.moe", choice)
            if layer % c["moe_groups"] == 0:
                note(f"ffn.{layer}.h0.block_in", y)
                note(f"ffn.{layer}.h0.block_out", made)
            x = x + made
            if layer == c["num_hidden_layers"] - 1:
                x = rms(x, w["model.norm.weight"], c)
            note(f"hidden.{layer + 1}", x)
        note("logits", F.linear(x, w["lm_head.weight"]))
    tensors = {k: torch.cat(v).contiguous() for k, v in seen.items()}
    return tensors, margin


def make(name, folder):
    c = MODELS[name]
    make_models.make_own(name, folder, c, lambda seed: weights(c, seed), lambda stored, sequences: expected(c, stored, sequences))


if __name__ == "__main__":
    make_models.main(__doc__, MODELS, make)
