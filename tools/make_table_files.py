"""Files from which `inspect --table` reads a route, laid out as each system's own programs save them, with planted numbers: Tests/Fixtures/tables.

usage: make_table_files.py [-o Tests/Fixtures/tables]

moore.pt (networks of an actor and a critic), superposition-1d.pt, superposition-2d.pt, vlmo.pt, scimult.ckpt, scimult.json, crosstask/route.npy with a config.json
beside it, branches.json (a form of ours: Learning to Branch published none), both.pt (what two systems would take). Layouts are in Sources/App/Tables.
"""
import argparse
import json
import math
from pathlib import Path

import numpy
import torch

ROOT = Path(__file__).resolve().parents[1]


def moore():
    """Weights [experts, tasks]: the actor's task t wants expert t; the critic's are the negative, with a bias."""
    actor = torch.tensor([[1.5, 0.1, -1.0], [-1.0, 1.5, 0.1]])
    return {"policy_mu_approximator_state_dict": {"_task_encoder.weight": actor, "_output_heads.0.weight": torch.zeros(2, 4)},
            "critic_0_state_dict": {"_task_encoder.weight": -actor, "_task_encoder.bias": torch.tensor([0.0, 0.25])},
            "log_alpha": 0.5}


def hats(layers, points):
    """A basis whose rows sum to 1: straight lines between control points."""
    places = torch.linspace(0, points - 1, layers)
    return (1 - (places[:, None] - torch.arange(points)).abs()).clamp(min=0)


def superposition(width):
    """Control points from 0 to 1 over five layers; of the last dimension, where there are several, falling."""
    basis, rising = hats(5, 3), torch.tensor([0.0, 0.5, 1.0])
    if width == 1:
        module = {"control_points": rising, "layer_biases": torch.tensor([-5.0, 0.0, 1.0, 0.0, 5.0]), "basis_functions": basis}
    else:
        points = torch.stack([4 * rising] * (width - 1) + [-4 * rising], 1)
        module = {"control_points": points, "layer_bias": torch.zeros(5, width), "basis_functions": basis}
    return {"alpha_module_state_dict": module, "autoencoders_state_dict": {"layer_2.encoder.0.weight": torch.zeros(3, 4)}}


def vlmo(blocks=4, first=3):
    state = {}
    for block in range(blocks):
        for module in ("mlp_text", "mlp_imag") + (("mlp_vl",) if block >= first else ()):
            state[f"transformer.blocks.{block}.{module}.fc1.weight"] = torch.zeros(2, 1)
    state["text_embeddings.position_ids"] = torch.arange(24)[None]
    return {"state_dict": state, "epoch": 3}


def scimult(layers=6):
    """Three experts in every third layer, in both encoders, which share them."""
    state = {}
    for tower in ("question_model", "ctx_model"):
        for layer in range(layers):
            state[f"{tower}.encoder.encoder.layer.{layer}.attention.output.dense.weight"] = torch.zeros(1, 1)
            for expert in range(3 if (layer + 1) % 3 == 0 else 0):
                state[f"{tower}.encoder.encoder.layer.{layer}.moe_layer.interm_layers.{expert}.dense.weight"] = torch.zeros(1, 1)
    settings = {"use_moe": True, "num_expert": 3, "moe_type": "mod3:fwd", "use_infer_expert": False, "shared_encoder": True, "mean_pool": False}
    return {"model_dict": state, "optimizer_dict": {"state": {0: {"step": 4}}}, "offset": 0, "epoch": 2, "encoder_params": settings}


def route():
    """Four tasks, two layers of an encoder and one of a decoder, three experts: task t has logit 2 for expert t modulo 3, in the decoder none."""
    logits = numpy.zeros((4, 3, 3), dtype=numpy.float32)
    for task in range(4):
        logits[task, :2, task % 3] = 2
    powers = numpy.exp(logits)
    return powers / powers.sum(-1, keepdims=True)


def branches():
    """Four tasks below three nodes below two roots; node 2 has no task."""
    ln2 = math.log(2)
    return {"tasks": ["depth", "normals", "edges", "segmentation"],
            "branches": [[[ln2, 0], [0, ln2], [0, 0]], [[ln2, 0, 0], [ln2, 0, 0], [0, ln2, 0], [0, 2 * ln2, 0]]]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "Tests" / "Fixtures" / "tables")
    folder = parser.parse_args().output
    (folder / "crosstask").mkdir(parents=True, exist_ok=True)
    for name, content in (("moore.pt", moore()), ("superposition-1d.pt", superposition(1)), ("superposition-2d.pt", superposition(3)), ("vlmo.pt", vlmo()),
                          ("scimult.ckpt", scimult()), ("both.pt", {**moore(), **superposition(1)})):
        torch.save(content, folder / name)
    names = {"single-hop-retrieval": 0, "multi-hop-retrieval": 1, "entity-retrieval": 1}
    maps = {"3-expert": {task: {"query": expert, "ctx": expert} for task, expert in names.items()}}
    for name, content in (("scimult.json", maps), ("branches.json", branches()), ("crosstask/config.json", {"encoder_layers": 2, "decoder_layers": 1})):
        (folder / name).write_text(json.dumps(content) + "\n", encoding="utf-8")
    numpy.save(folder / "crosstask" / "route.npy", route())


if __name__ == "__main__":
    main()
