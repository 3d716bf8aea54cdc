"""Tiny checkpoints of three published designs in the layouts of families that compute the same, each with what their own equations give.

usage: make_seed_models.py [NAME ...] [-o Tests/Fixtures/models]      (no name: all)

None of the three publishes a layout of its own:
  deepseek-nexus     Nexus (arXiv:2408.15901): the router's rows are made of embeddings of domains, e_i = W2 SwiGLU(W1 d_i); a token takes the expert of
                     the largest softmax(x e_i) with that weight, beside the first model's network. Rows can be computed beforehand: a DeepSeekMoE
                     with one routed and one shared expert.
  llama_moe-hmoe     HMoE (arXiv:2408.10681), its top-k form: experts of unequal widths, weights P_i over the sum of the chosen. A LLaMA-MoE with a
                     list of widths. (The top-p form has no layout that says it.)
  mixtral-mergeme    MergeME (arXiv:2502.00997), its trained form: named experts over merged attention, softmax over the top-k logits. A Mixtral.
Stored numbers, sequences and files are those of make_own_models.py, which this stands on; the routers here are written from the papers' equations.
"""
import torch
import torch.nn.functional as F

import make_models
import make_own_models as own

DOMAINS, EMBEDDED = 4, 24


def nexus_rows(shape, generator):
    """[domains, hidden]: what the projection makes of the domains' embeddings."""
    domains = F.normalize(torch.randn(DOMAINS, EMBEDDED, generator=generator), dim=-1)
    first = torch.randn(2 * EMBEDDED, EMBEDDED, generator=generator) / EMBEDDED ** 0.5
    second = torch.randn(shape[1], EMBEDDED, generator=generator)
    gate, up = F.linear(domains, first).chunk(2, -1)
    rows = F.linear(F.silu(gate) * up, second)
    return rows / rows.std() * 2 / shape[1] ** 0.5


def nexus(logits, _bias, _c, _layer):
    shares = logits.softmax(-1)
    best = shares.max(-1, keepdim=True)
    rest = shares.scatter(-1, best.indices, 0).amax(-1)
    return best.indices, best.values, (best.values[:, 0] - rest).min().item()


def hmoe(logits, _bias, c, _layer):
    top = logits.softmax(-1).topk(c["num_selects"] + 1, -1)
    chosen = top.values[:, :-1]
    return top.indices[:, :-1], chosen / chosen.sum(-1, keepdim=True), (top.values[:, -2] - top.values[:, -1]).min().item()


def merge_me(logits, _bias, c, _layer):
    top = logits.topk(c["num_experts_per_tok"] + 1, -1)
    return top.indices[:, :-1], top.values[:, :-1].exp() / top.values[:, :-1].exp().sum(-1, keepdim=True), (top.values[:, -2] - top.values[:, -1]).min().item()


MIXTRAL = {k: v for k, v in dict(own.BASE, model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=4, num_experts_per_tok=2,
                                 intermediate_size=16, rope_theta=10000.0).items() if k != "moe_intermediate_size"}
MODELS = {
    "deepseek-nexus": (nexus, dict(own.DEEPSEEK, n_routed_experts=DOMAINS, n_shared_experts=1, num_experts_per_tok=1, first_k_dense_replace=0,
                                   num_hidden_layers=2)),
    "llama_moe-hmoe": (hmoe, dict(own.LLAMA, gate_network="linear", gate_add_noise=False, score_scale_factor=1.0, intermediate_size=128,
                                  size_experts=[[9, 11, 13, 15, 17, 19, 21, 23]] * 2)),
    "mixtral-mergeme": (merge_me, MIXTRAL),
}


def renamed(name):
    """Mixtral's names of make_own_models.py's tensors."""
    return name.replace(".mlp.", ".block_sparse_moe.").replace("gate_proj", "w1").replace("up_proj", "w3").replace("down_proj", "w2")


def make(name, folder):
    rule, c = MODELS[name]
    own.choose = rule
    # What the shared code asks of every family, beside the file's own words.
    asked = dict(c, n_routed_experts=4, moe_intermediate_size=16, norm_topk_prob=True) if rule is merge_me else c

    def weights(seed):
        stored = own.weights(asked, seed)
        generator = torch.Generator().manual_seed(1000 + seed)
        for key in sorted(stored):
            if rule is nexus and key.endswith("mlp.gate.weight"):
                stored[key] = nexus_rows(stored[key].shape, generator).to(torch.bfloat16)
        return {renamed(key): value for key, value in stored.items()} if rule is merge_me else stored

    def expected(stored, sequences):
        known = {renamed(key): key for key in own.shapes(asked)} if rule is merge_me else {key: key for key in stored}
        return own.expected(asked, {known[key]: value for key, value in stored.items()}, sequences)

    make_models.make_own(name, folder, c, weights, expected)


if __name__ == "__main__":
    make_models.main(__doc__, MODELS, make)
