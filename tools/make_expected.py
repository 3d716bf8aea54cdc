"""Golden values of a model by transformers, for checking an engine against it.

usage: make_expected.py MODEL --tokens FILE.json -o OUT.safetensors [--brief]

Float32 compute on the stored weights, eager attention and experts, every sequence run on its own; rows of all
sequences concatenated. Tensors: ffn.<layer>.router_logits [T,E], .expert_ids [T,k] (int32, best selection score
first), .weights [T,k] (the factors really applied), .block_in and .block_out [T,H]; attn.<layer>.* likewise where
attention has experts; hidden.<i> [T,H], 0 the embeddings, the last after the final norm; logits [T,V]; input_ids and
sequence_lengths (int32). --brief leaves out blocks and all hidden states but the first and the last.

A family is one row of FAMILIES: what its modules are called and which score its experts are chosen by. Ids and weights
are those that the model's own experts were called with, not a second derivation.
"""
import argparse
import re
from dataclasses import dataclass
from typing import Callable

import torch
from safetensors.torch import save_file

import reference

# Where a bias that steers selection only may lie, seen from the router and from the block around it.
BIASES = ("e_score_correction_bias", "moe_statics.e_score_correction_bias", "expert_bias")


def _bias(*modules):
    """The selection bias of the first module that has one, else 0."""
    for module in modules:
        for path in BIASES:
            found = module
            for name in path.split("."):
                found = getattr(found, name, None)
            if found is not None:
                return found.float().reshape(-1)
    return 0.0


def _softmax(logits, router, block):
    return logits.softmax(-1) + _bias(router, block)


def _sigmoid(logits, router, block):
    return logits.sigmoid() + _bias(router, block)


def _sqrt_softplus(logits, router, block):
    return torch.nn.functional.softplus(logits).sqrt() + _bias(router, block)


def _logits(logits, router, block):
    return logits


def _biased_logits(logits, router, block):
    return logits + _bias(router, block)


def _of_experts(router_output, experts_call, top_k):
    """(ids, weights) as the experts module got them."""
    _, ids, weights = experts_call[:3]
    return ids, weights


def _of_dense_scores(router_output, experts_call, top_k):
    """Llama 4: every expert is run, those not chosen on zeros."""
    weights, ids = router_output[0].topk(top_k, -1)
    return ids, weights


def _of_sorted_gates(router_output, experts_call, top_k):
    """JetMoE: assignments sorted by expert, with the place each came from."""
    places, _, gates, sizes, _ = router_output
    ids = torch.empty_like(places)
    ids[places] = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    weights = torch.empty_like(gates)
    weights[places] = gates
    return ids.reshape(-1, top_k), weights.reshape(-1, top_k)


@dataclass(frozen=True)
class Family:
    """How to read one model_type: a router is a module of this name beside (or inside) its experts."""

    selection: Callable             # (router logits, router, block) -> [T,E] score whose order is the order of choice
    router: str = "gate"
    logits_at: int = 0              # position of the logits among the router's outputs
    decision: Callable = _of_experts
    group_score: str = "sum"        # a group counts by its best expert (max) or its best two (sum)
    scale: str | None = None        # the field of the configuration that multiplies the experts' sum outside of the router
    sense: str | None = None        # the part of a block that texts have a router and experts in, where other tokens have others
    logits_of: str | None = None    # the module of the router that gives the logits, where the router keeps them to itself


FAMILIES = {
    "afmoe": Family(_sigmoid, router="router"),
    "aria_text": Family(_logits, router="router"),
    "axk1": Family(_sigmoid),
    "axk2": Family(_sigmoid),
    "bailing_hybrid": Family(_sigmoid),
    "cohere2_moe": Family(_logits),
    "dbrx": Family(_softmax, router="router"),
    "deepseek_ocr2_text": Family(_softmax, group_score="max"),
    "deepseek_v2": Family(_softmax, group_score="max"),
    "deepseek_v3": Family(_sigmoid),
    "deepseek_v32": Family(_sigmoid),
    "deepseek_v4": Family(_sqrt_softplus),
    "dots1": Family(_sigmoid),
    "ernie4_5_moe": Family(_softmax),
    "ernie4_5_vl_moe_text": Family(_softmax, sense="text_moe"),
    "exaone_moe": Family(_sigmoid),
    "flex_olmo": Family(_softmax),
    "flint": Family(_sigmoid),
    "gemma4_text": Family(_softmax, router="router", logits_of="proj"),
    "glm4_moe": Family(_sigmoid),
    "glm4_moe_lite": Family(_sigmoid),
    "glm4v_moe_text": Family(_sigmoid),
    "glm_moe_dsa": Family(_sigmoid),
    "gpt_oss": Family(_logits, router="router"),
    "granitemoe": Family(_logits, router="router"),
    "granitemoe_swa": Family(_logits, router="router"),
    "granitemoehybrid": Family(_logits, router="router"),
    "granitemoeshared": Family(_logits, router="router"),
    "hunyuan_v1_moe": Family(_softmax),
    "hy_v3": Family(_sigmoid),
    "hy_v4": Family(_sigmoid),
    "jamba": Family(_softmax, router="router"),
    "jetmoe": Family(_logits, router="router", logits_at=-1, decision=_of_sorted_gates),
    "kimi_linear": Family(_sigmoid),
    "kolibri1": Family(_biased_logits),
    "laguna": Family(_sigmoid, scale="moe_routed_scaling_factor"),
    "lfm2_moe": Family(_sigmoid),
    "llama4_text": Family(_logits, router="router", logits_at=1, decision=_of_dense_scores),
    "longcat_flash": Family(_softmax, router="router"),
    "mellum": Family(_softmax),
    "mimo_v2_flash": Family(_sigmoid),
    "minimax": Family(_softmax),
    "minimax_m2": Family(_sigmoid),
    "minimax_m3_vl_text": Family(_sigmoid, scale="routed_scaling_factor"),
    "mistral4": Family(_softmax),
    "mixtral": Family(_softmax),
    "nemotron_h": Family(_sigmoid),
    "olmoe": Family(_softmax),
    "phimoe": Family(_logits, router="router"),
    "qwen2_moe": Family(_softmax),
    "qwen3_5_moe_text": Family(_softmax),
    "qwen3_moe": Family(_softmax),
    "qwen3_next": Family(_softmax),
    "qwen3_omni_moe_text": Family(_softmax),
    "qwen3_vl_moe_text": Family(_softmax),
    "qwen4_exp_text": Family(_softmax),
    "solar_open": Family(_sigmoid),
    "step3p5": Family(_sigmoid, scale="moe_router_scaling_factor"),
}

TOP_K = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk")


class Recorder:
    """Forward hooks on every router, its block and its experts; `tensors()` gives what they saw."""

    def __init__(self, model, family):
        self.family, self.config, self.seen = family, model.config.get_text_config(), {}
        self.margin = float("inf")
        modules = dict(model.named_modules())
        for name, router in modules.items():
            parent, _, own = name.rpartition(".")
            block = modules.get(parent)
            experts = getattr(block, "experts", None)
            if own != family.router or (experts is None and family.decision is not _of_sorted_gates):
                continue
            whole = block
            if family.sense:
                outer, _, sense = parent.rpartition(".")
                if sense != family.sense:
                    continue
                whole = modules[outer]
            layer = int(re.search(r"\.(\d+)\.", name).group(1))
            key = f"{'attn' if 'attention' in parent else 'ffn'}.{layer}"
            self.seen[key] = {n: [] for n in ("router_logits", "expert_ids", "weights", "block_in", "block_out")}
            source = router.get_submodule(family.logits_of) if family.logits_of else router
            source.register_forward_hook(self._router(key, router, block))
            if family.decision is _of_experts:
                experts.register_forward_pre_hook(self._experts(key, router, block), with_kwargs=True)
            whole.register_forward_hook(self._block(key), with_kwargs=True)
        if not self.seen:
            raise SystemExit("no router found: the modules have other names than FAMILIES says")

    def _keep(self, key, name, value):
        self.seen[key][name].append(value.detach().reshape(-1, value.shape[-1]).clone())

    def _block(self, key):
        def hook(module, args, kwargs, out):
            self._keep(key, "block_in", args[0] if args else next(iter(kwargs.values())))
            self._keep(key, "block_out", out[0] if isinstance(out, tuple) else out)
        return hook

    def _router(self, key, router, block):
        def hook(module, args, out):
            self._keep(key, "router_logits", (out[self.family.logits_at] if isinstance(out, tuple) else out).float())
            if self.family.decision is not _of_experts:
                top_k = next(getattr(self.config, n) for n in TOP_K if hasattr(self.config, n))
                self._decide(key, router, block, *self.family.decision(out, None, top_k))
        return hook

    def _experts(self, key, router, block):
        def hook(module, args, kwargs):
            self._decide(key, router, block, *self.family.decision(None, (*args, *kwargs.values()), None))
        return hook

    def _decide(self, key, router, block, ids, weights):
        score = self.family.selection(self.seen[key]["router_logits"][-1], router, block)
        order = torch.sort(score.gather(1, ids), dim=-1, descending=True, stable=True).indices
        self._keep(key, "expert_ids", ids.gather(1, order).int())
        factor = getattr(self.config, self.family.scale) if self.family.scale else 1.0
        self._keep(key, "weights", weights.gather(1, order).float() * factor)
        # Where experts are looked up by token id nothing is compared.
        if not hasattr(router, "tid2eid"):
            self.margin = min(self.margin, self._smallest_margin(score, ids))

    def _smallest_margin(self, score, ids):
        """Least distance of these choices from others: between experts, and between groups where they are limited."""
        groups, kept = (getattr(self.config, n, None) or 1 for n in ("n_group", "topk_group"))
        margin = float("inf")
        if groups > kept and getattr(self.config, "topk_method", None) != "greedy":
            parts = score.view(len(score), groups, -1)
            best = parts.topk(1 if self.family.group_score == "max" else 2, -1).values.sum(-1)
            ranked = best.sort(-1, descending=True)
            margin = (ranked.values[:, kept - 1] - ranked.values[:, kept]).min().item()
            dropped = torch.ones_like(best, dtype=torch.bool).scatter(1, ranked.indices[:, :kept], False)
            score = parts.masked_fill(dropped[..., None], float("-inf")).reshape(score.shape)
        rejected = score.scatter(1, ids, float("-inf")).max(-1).values
        return min(margin, (score.gather(1, ids).min(-1).values - rejected).min().item())

    def tensors(self):
        return {f"{key}.{name}": torch.cat(parts) for key, seen in self.seen.items() for name, parts in seen.items() if parts}


@torch.inference_mode()
def expected(folder, sequences, threads=2, brief=False):
    """All tensors of the format above, and the smallest margin of all decisions."""
    model = reference.load_model(folder, threads=threads)
    kind = model.config.get_text_config().model_type
    if kind not in FAMILIES:
        raise SystemExit(f"{folder}: no row for model_type {kind} in FAMILIES (known: {', '.join(FAMILIES)})")
    recorder = Recorder(model, FAMILIES[kind])
    runs = [model(torch.tensor([ids]), use_cache=False, output_hidden_states=True) for ids in sequences]
    out = recorder.tensors()
    out["logits"] = torch.cat([r.logits[0] for r in runs])
    last = len(runs[0].hidden_states) - 1
    for i in range(last + 1):
        # Several residual streams lie side by side.
        out[f"hidden.{i}"] = torch.cat([r.hidden_states[i][0].flatten(1) for r in runs])
    out["input_ids"] = torch.tensor([t for s in sequences for t in s], dtype=torch.int32)
    out["sequence_lengths"] = torch.tensor([len(s) for s in sequences], dtype=torch.int32)
    if brief:
        inner = re.compile(rf".*\.block_(in|out)|hidden\.(?!0$|{last}$)\d+")
        out = {k: v for k, v in out.items() if not inner.fullmatch(k)}
    return {k: v.contiguous() for k, v in out.items()}, recorder.margin


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("--tokens", required=True)
    ap.add_argument("-o", "--out", required=True)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--brief", action="store_true")
    args = ap.parse_args()
    tensors, margin = expected(args.model, reference.read_sequences(args.tokens), args.threads, args.brief)
    save_file(tensors, args.out)
    print(f"{args.out}: {len(tensors)} tensors, {len(tensors['input_ids'])} tokens, smallest margin {margin:.1e}")


if __name__ == "__main__":
    main()
