"""Tiny random checkpoints of MoEUT, each with what this file computes on it.

usage: make_moeut_models.py [NAME ...] [-o Tests/Fixtures/models]      (no name: all)

transformers has no code for it. The computation is our own reading of the paper (arXiv:2405.16039) and of what its authors published
(moeut.py: the classes MoEUTLM, SigmaMoE and SwitchHeadRope), in float32 on the stored weights, one sequence after the other, written
without a look at the engine. config.json has the arguments of MoEUTLM, tensors have the names of its state_dict; files are those of make_models.py.
"""

import torch
import torch.nn.functional as F

import make_models

SEEDS = range(24)           # Of a few hundred decisions a sequence the closest is close.
TRAINING = dict(dropout=0.0, ff_expert_dropout=0.0, att_expert_dropout=0.0, entropy_reg=0.01, att_entropy_reg=0.001)
BASE = dict(model_type="moeut", architectures=["MoEUTLM"], n_tokens=64, d_model=32, n_heads=2, ff_n_experts=8, ff_k=3, ff_expert_size=16,
            group_size=2, **TRAINING, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2)
MODELS = {
    "moeut": dict(BASE, n_layers=4, d_head=12, att_n_experts=4, att_k=2, max_position_embeddings=64),
    "moeut-dense": dict(BASE, n_layers=2, att_n_experts=1, ff_n_experts=6, ff_k=2),
}


def head_size(c):
    return c.get("d_head") or c["d_model"] // c["n_heads"]


def shapes(c):
    """{name: (shape, inputs of a row's sum)} of the whole checkpoint."""
    hidden, heads, size, experts = c["d_model"], c["n_heads"], head_size(c), c["att_n_experts"]
    out = {"embedding.weight": ((c["n_tokens"], hidden), 1), "lm_head.weight": ((c["n_tokens"], hidden), hidden),
           "lm_head.bias": ((c["n_tokens"],), None)}
    norms = ["out_norm"]
    for group in range(c["group_size"]):
        p = f"transformer.layers.{group}"
        norms += [f"{p}.ln1", f"{p}.ln2"]
        a, f = f"{p}.attention", f"{p}.ffn"
        out.update({f"{a}.q.weight": ((heads * size, hidden), hidden), f"{a}.k.weight": ((heads * size, hidden), hidden)})
        out[f"{a}.sel_o"] = ((heads * experts, hidden), hidden)
        if experts > 1:
            out.update({f"{a}.v": ((heads * experts, hidden, size), hidden), f"{a}.o": ((heads * experts, size, hidden), heads * size),
                        f"{a}.sel_v": ((heads * experts, hidden), hidden)})
        else:
            out.update({f"{a}.v": ((heads * size, hidden), hidden), f"{a}.o": ((hidden, heads * size), heads * size)})
        out.update({f"{f}.keys": ((c["ff_n_experts"], hidden, c["ff_expert_size"]), hidden),
                    f"{f}.values": ((c["ff_n_experts"], c["ff_expert_size"], hidden), c["ff_expert_size"]),
                    f"{f}.expert_sel": ((c["ff_n_experts"], hidden), hidden)})
    for norm in norms:
        out.update({f"{norm}.weight": ((hidden,), None), f"{norm}.bias": ((hidden,), None)})
    return out


def weights(c, seed):
    """bfloat16 numbers by seed, spread as make_models.py spreads them; routers twice as wide."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, (shape, inputs) in shapes(c).items():
        mean = 1.0 if inputs is None and name.endswith("weight") else 0.0
        spread = 0.1 if inputs is None else (2.0 if "sel" in name else 1.0) / inputs ** 0.5
        out[name] = (torch.randn(shape, generator=generator) * spread + mean).to(torch.bfloat16)
    return out


class Forward:
    """One sequence after the other; keeps what was seen under the names of the engine's routers."""

    def __init__(self, c, stored):
        self.c, self.w = c, {k: v.float() for k, v in stored.items()}
        self.seen, self.margin = {}, float("inf")

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-5)

    def keep(self, **found):
        for name, value in found.items():
            self.seen.setdefault(name, []).append(value)

    def choose(self, x, rows, top_k, router):
        """The best experts of each token by the sigmoid of their logits, and these scores as they are: [T, k] each."""
        logits = x @ rows.T
        top = logits.sigmoid().topk(min(top_k + 1, len(rows)), -1)
        if len(rows) > top_k:
            self.margin = min(self.margin, (top.values[:, -2] - top.values[:, -1]).min().item())
        ids, scores = top.indices[:, :top_k], top.values[:, :top_k]
        self.keep(**{f"{router}.router_logits": logits, f"{router}.expert_ids": ids.int(), f"{router}.weights": scores})
        return ids, scores

    def turn(self, x):
        """[T, head size]: of the first half of a head, element i and element i + half of that turn together, by the position."""
        size = int(0.5 * x.shape[-1])
        size -= size % 2
        angles = torch.outer(torch.arange(len(x)).float(), 10000.0 ** (-torch.arange(0, size, 2).float() / size))
        a, b, rest = x[:, :size // 2], x[:, size // 2:size], x[:, size:]
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin(), rest], -1)

    def attend(self, x, normed, p, layer, run):
        """What attention adds to the stream x: queries, keys and choices read the norm of it, values x itself."""
        c, w, size, experts, out = self.c, self.w, head_size(self.c), self.c["att_n_experts"], 0
        hidden = torch.ones(len(x), len(x)).triu(1).bool()
        for head in range(c["n_heads"]):
            rows, own = slice(head * size, (head + 1) * size), slice(head * experts, (head + 1) * experts)
            q, k = (self.turn(normed @ w[f"{p}.{name}.weight"][rows].T) for name in ("q", "k"))
            if experts > 1:
                # A token's values are made where it stands; what comes of a mixture is made where it is mixed.
                made, share = self.choose(normed, w[f"{p}.sel_v"][own], c["att_k"], f"attn.{layer}.v.h{head}{run}")
                v = torch.einsum("tk,ti,tkio->to", share, x, w[f"{p}.v"][own][made])
            else:
                v = x @ w[f"{p}.v"][rows].T
            mixed = (q @ k.T / size ** 0.5).masked_fill(hidden, float("-inf")).softmax(-1) @ v
            if experts > 1:
                taken, share = self.choose(normed, w[f"{p}.sel_o"][own], c["att_k"], f"attn.{layer}.o.h{head}{run}")
                out = out + torch.einsum("tk,ti,tkio->to", share, mixed, w[f"{p}.o"][own][taken])
            else:
                out = out + (normed @ w[f"{p}.sel_o"][own].T).sigmoid() * mixed @ w[f"{p}.o"][:, rows].T
        return out

    def feed_forward(self, x, normed, p, router):
        """What the experts add to the stream x: they read x itself, the router its norm."""
        w = self.w
        ids, scores = self.choose(normed, w[f"{p}.expert_sel"], self.c["ff_k"], router)
        inner = torch.einsum("ti,tkio->tko", x, w[f"{p}.keys"][ids]).relu()
        out = torch.einsum("tk,tki,tkio->to", scores, inner, w[f"{p}.values"][ids])
        self.keep(**{f"{router}.block_in": x, f"{router}.block_out": out})
        return out

    def __call__(self, ids):
        c, x, number = self.c, self.w["embedding.weight"][ids], 0
        self.keep(**{"hidden.0": x})
        runs = c["n_layers"] // c["group_size"]
        for again in range(runs):
            for layer in range(c["group_size"]):
                p, run = f"transformer.layers.{layer}", f".r{again}" if again else ""
                x = x + self.attend(x, self.norm(x, f"{p}.ln1"), f"{p}.attention", layer, run)
                x = x + self.feed_forward(x, self.norm(x, f"{p}.ln2"), f"{p}.ffn", f"ffn.{layer}{run}")
                number += 1
                if number < c["n_layers"]:
                    self.keep(**{f"hidden.{number}": x})
        x = self.norm(x, "out_norm")
        self.keep(**{f"hidden.{number}": x, "logits": x @ self.w["lm_head.weight"].T + self.w["lm_head.bias"]})


@torch.inference_mode()
def expected(c, stored, sequences):
    forward = Forward(c, stored)
    for ids in sequences:
        forward(ids)
    tensors = {k: torch.cat(v).contiguous() for k, v in forward.seen.items()}
    return tensors, forward.margin


def make(name, folder):
    c = MODELS[name]
    make_models.make_own(name, folder, c, lambda seed: weights(c, seed), lambda stored, sequences: expected(c, stored, sequences), SEEDS)


if __name__ == "__main__":
    make_models.main(__doc__, MODELS, make)
