"""Golden values of a model by transformers, for checking an engine against it.

usage: make_expected.py MODEL --tokens FILE.json -o OUT.safetensors

Float32 compute on the stored weights, eager attention and experts, every sequence run on its own; rows of all
sequences concatenated. Tensors: ffn.<layer>.router_logits [T,E], .expert_ids [T,k] (int32, best selection score
first), .weights [T,k] (the factors really applied), .block_in and .block_out [T,H]; hidden.<i> [T,H], 0 the embeddings,
the last after the final norm; logits [T,V]; input_ids and sequence_lengths (int32).

A family is one row of FAMILIES: what its modules are called and which score its experts are chosen by. Ids and weights
are taken from the call of the experts module, so they are those the model used, not a second derivation.
"""
import argparse
import re
from dataclasses import dataclass
from typing import Callable

import torch
from safetensors.torch import save_file

import reference


def _softmax(logits, router):
    return logits.softmax(-1)


def _logits(logits, router):
    return logits


def _biased_sigmoid(logits, router):
    return logits.sigmoid() + router.e_score_correction_bias


@dataclass(frozen=True)
class Family:
    """How to read one model_type: the MoE block is the module that holds `experts` and `router`."""

    selection: Callable             # (router logits, router module) -> [T,E] score whose order is the order of choice
    router: str = "gate"
    experts: str = "experts"
    logits_at: int = 0              # position of the logits among the router's outputs


FAMILIES = {
    "olmoe": Family(_softmax),
    "mixtral": Family(_softmax),
    "qwen3_moe": Family(_softmax),
    "qwen2_moe": Family(_softmax),
    "qwen3_next": Family(_softmax),
    "flex_olmo": Family(_softmax),
    "gpt_oss": Family(_logits, router="router"),
    "granitemoe": Family(_logits, router="router"),
    "deepseek_v3": Family(_biased_sigmoid),
    "glm4_moe": Family(_biased_sigmoid),
    "dots1": Family(_biased_sigmoid),
}


class Recorder:
    """Forward hooks on every MoE block of a model; `tensors()` gives what they saw."""

    def __init__(self, model, family):
        self.family, self.seen = family, {}
        for name, module in model.named_modules():
            if hasattr(module, family.experts) and hasattr(module, family.router):
                layer = int(re.search(r"\.(\d+)\.", name + ".").group(1))
                router = getattr(module, family.router)
                module.register_forward_hook(self._block(layer))
                router.register_forward_hook(self._router(layer))
                getattr(module, family.experts).register_forward_pre_hook(self._experts(layer, router), with_kwargs=True)
        if not self.seen:
            raise SystemExit("no MoE block found: the modules have other names than FAMILIES says")

    def _keep(self, layer, name, value):
        self.seen[layer][name].append(value.detach().reshape(-1, value.shape[-1]).clone())

    def _block(self, layer):
        self.seen[layer] = {n: [] for n in ("router_logits", "expert_ids", "weights", "block_in", "block_out")}

        def hook(module, args, out):
            self._keep(layer, "block_in", args[0])
            self._keep(layer, "block_out", out[0] if isinstance(out, tuple) else out)
        return hook

    def _router(self, layer):
        def hook(module, args, out):
            self._keep(layer, "router_logits", out[self.family.logits_at].float())
        return hook

    def _experts(self, layer, router):
        def hook(module, args, kwargs):
            _, ids, weights = (*args, *kwargs.values())[:3]
            score = self.family.selection(self.seen[layer]["router_logits"][-1], router)
            order = torch.sort(score.gather(1, ids), dim=-1, descending=True, stable=True).indices
            self._keep(layer, "expert_ids", ids.gather(1, order).int())
            self._keep(layer, "weights", weights.gather(1, order).float())
        return hook

    def tensors(self):
        return {f"ffn.{layer}.{name}": torch.cat(parts) for layer, seen in self.seen.items() for name, parts in seen.items()}


@torch.inference_mode()
def expected(folder, sequences, threads=2):
    """All tensors of the format above."""
    model = reference.load_model(folder, threads=threads)
    kind = model.config.model_type
    if kind not in FAMILIES:
        raise SystemExit(f"{folder}: no row for model_type {kind} in FAMILIES (known: {', '.join(FAMILIES)})")
    recorder = Recorder(model, FAMILIES[kind])
    runs = [model(torch.tensor([ids]), use_cache=False, output_hidden_states=True) for ids in sequences]
    out = recorder.tensors()
    out["logits"] = torch.cat([r.logits[0] for r in runs])
    for i in range(len(runs[0].hidden_states)):
        out[f"hidden.{i}"] = torch.cat([r.hidden_states[i][0] for r in runs])
    out["input_ids"] = torch.tensor([t for s in sequences for t in s], dtype=torch.int32)
    out["sequence_lengths"] = torch.tensor([len(s) for s in sequences], dtype=torch.int32)
    return {k: v.contiguous() for k, v in out.items()}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("--tokens", required=True)
    ap.add_argument("-o", "--out", required=True)
    ap.add_argument("--threads", type=int, default=2)
    args = ap.parse_args()
    tensors = expected(args.model, reference.read_sequences(args.tokens), args.threads)
    save_file(tensors, args.out)
    print(f"{args.out}: {len(tensors)} tensors, {len(tensors['input_ids'])} tokens")


if __name__ == "__main__":
    main()
