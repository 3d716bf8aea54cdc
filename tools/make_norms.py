"""What `--record +norms+shared+predicted` must find on tiny models: Tests/Fixtures/norms.

usage: make_norms.py [NAME ...] [-o Tests/Fixtures/norms]      (no name: all of LAYOUTS)

transformers runs the model as it is; what goes into each block of experts, who is chosen and with which weight is taken from
that run (make_expected.Recorder). Each expert's output is then computed from the stored weights in NumPy, float64, one
assignment at a time. NAME.safetensors: <router>.expert_ids i32 [T,k], .expert_norms f32 [T,k] (before the weight; of f(w x)
where the weight is on the input), .shared_weight and .shared_norm f32 [T] where there is a shared expert; predicted_ids i32 [T].
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import make_expected
import reference

ROOT = Path(__file__).resolve().parent.parent


def silu(x):
    return x / (1 + np.exp(-x))


def gated(gate, up, down, x):
    return down @ (silu(gate @ x) * (up @ x))


def projections(weights, prefix, x):
    """Three matrices of their own, [out, in] each."""
    return gated(*(weights[f"{prefix}{name}_proj.weight"] for name in ("gate", "up", "down")), x)


def halves(both, down, x):
    """Gate and up in one matrix, [2 width, in]."""
    width = len(both) // 2
    return gated(both[:width], both[width:], down, x)


class Separate:
    """mlp.experts.<e>.*_proj, a shared expert of any name, with or without a gate."""

    def __init__(self, shared=None, gate=None):
        self.shared_name, self.gate_name = shared, gate

    def routed(self, weights, layer, expert, x):
        return projections(weights, f"model.layers.{layer}.mlp.experts.{expert}.", x)

    def shared(self, weights, layer, x):
        if self.shared_name is None:
            return None
        factor = 1.0
        if self.gate_name:
            factor = 1 / (1 + np.exp(-float(weights[f"model.layers.{layer}.mlp.{self.gate_name}.weight"][0] @ x)))
        return factor, projections(weights, f"model.layers.{layer}.mlp.{self.shared_name}.", x)


class Llama4:
    """feed_forward.experts, [E, in, out]; the weight is on the input."""

    weighs_input = True

    def routed(self, weights, layer, expert, x):
        both = weights[f"model.layers.{layer}.feed_forward.experts.gate_up_proj"][expert].T
        return halves(both, weights[f"model.layers.{layer}.feed_forward.experts.down_proj"][expert].T, x)

    def shared(self, weights, layer, x):
        return 1.0, projections(weights, f"model.layers.{layer}.feed_forward.shared_expert.", x)


class Granite:
    """block_sparse_moe, [E, out, in], and shared_mlp beside it, which reads the same."""

    def routed(self, weights, layer, expert, x):
        prefix = f"model.layers.{layer}.block_sparse_moe."
        return halves(weights[prefix + "input_linear.weight"][expert], weights[prefix + "output_linear.weight"][expert], x)

    def shared(self, weights, layer, x):
        prefix = f"model.layers.{layer}.shared_mlp."
        return 1.0, halves(weights[prefix + "input_linear.weight"], weights[prefix + "output_linear.weight"], x)


LAYOUTS = {
    "olmoe": Separate(), "deepseek_v3": Separate("shared_experts"), "qwen2_moe": Separate("shared_expert", "shared_expert_gate"),
    "llama4_text": Llama4(), "granitemoeshared": Granite(),
}


def norms(name):
    folder = ROOT / "Tests/Fixtures/models" / name
    layout = LAYOUTS[name]
    model = reference.load_model(folder)
    recorder = make_expected.Recorder(model, make_expected.FAMILIES[model.config.model_type])
    with torch.inference_mode():
        logits = [model(torch.tensor([ids]), use_cache=False).logits[0] for ids in reference.read_sequences(folder / "input.json")]
    seen = {key: value.numpy() for key, value in recorder.tensors().items()}
    with safe_open(folder / "model.safetensors", "pt") as file:
        weights = {key: file.get_tensor(key).double().numpy() for key in file.keys()}
    out = {"predicted_ids": torch.cat(logits).argmax(-1).int()}
    for router in sorted({key.rpartition(".")[0] for key in seen}):
        layer = int(router.split(".")[1])
        ids, factors, x = (seen[f"{router}.{column}"] for column in ("expert_ids", "weights", "block_in"))
        x = x.astype(np.float64)
        found = np.zeros(ids.shape, np.float32)
        for t, slot in np.ndindex(*ids.shape):
            scale = float(factors[t, slot]) if getattr(layout, "weighs_input", False) else 1.0
            found[t, slot] = np.linalg.norm(layout.routed(weights, layer, ids[t, slot], scale * x[t]))
        out[f"{router}.expert_ids"], out[f"{router}.expert_norms"] = torch.tensor(ids), torch.tensor(found)
        shared = [layout.shared(weights, layer, row) for row in x]
        if shared[0] is not None:
            out[f"{router}.shared_weight"] = torch.tensor([factor for factor, _ in shared], dtype=torch.float32)
            out[f"{router}.shared_norm"] = torch.tensor([np.linalg.norm(y) for _, y in shared], dtype=torch.float32)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(LAYOUTS))
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "Tests/Fixtures/norms")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        tensors = norms(name)
        save_file(tensors, options.out / f"{name}.safetensors")
        print(f"{name}: {len(tensors)} tensors, {len(tensors['predicted_ids'])} tokens")


if __name__ == "__main__":
    main()
