"""moetop beside PyTorch at denoising: the same model, steps, guidance and cores, in one run.

usage: compare_dit.py --moetop BIN MODEL [MODEL ...] [--threads 2] [--samples 1] [--steps 20] [--rounds 9]

A step is one guided evaluation of one sample: both branches of the model and the step of rectified flow. moetop records every decision into a trace
while it runs; PyTorch records nothing and has its fastest grouping of experts (peer_dit.py). Rounds alternate between the two, of as many steps as
PyTorch does in three seconds, 20 at least; `ratio` is the median over rounds of one beside the other right after it, so that a machine that
is slower for a while is so for both. Beside the speed stand the multiply-adds of the model's own products (attention, experts that were chosen,
shared experts), and their share of what the machine can do at all with the same threads (ceiling.c) and of what torch's large f32 product reaches,
both measured in the same run. Prints JSON.
"""
import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import peer_dit
import torch
from machine import ceiling


def torch_product(size=2048, rounds=5):
    """f32 multiply-adds a second of a square product."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    best = 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        a @ b
        best = max(best, size**3 / (time.perf_counter() - began))
    return best


def multiply_adds(config):
    """Of one guided step of one sample."""
    width, depth, patch, channels = config["hidden_size"], config["depth"], config["patch_size"], config["in_channels"]
    patches = (config["input_size"] // patch) ** 2
    attention = 4 * width**2 + 2 * patches * width
    experts = 3 * 4 * width**2 * config["num_experts_per_tok"] + 3 * config["n_shared_experts"] * width**2 + config["num_experts"] * width
    row = depth * (attention + experts) + 3 * channels * patch**2 * width
    return 2 * (patches * row + (6 * depth + 2) * width**2)


def moetop_speed(arguments, model, steps):
    with tempfile.TemporaryDirectory() as folder:
        found = subprocess.run(
            [arguments.moetop, "run", model, "--images", str(arguments.samples), "--batch", str(arguments.samples), "--steps", str(steps),
             "--sampler", "rectified-flow", "--cfg", "1.5", "--threads", str(arguments.threads), "--trace", f"{folder}/trace.db", "--no-progress",
             "--json"], check=True, capture_output=True, text=True)
        return json.loads(found.stdout)["denoising"]["steps_per_second"]


def compare(arguments, model):
    peer = peer_dit.prepared(model)
    ways = {way: max(peer_dit.speed(peer, arguments.samples, 2, way) for _ in range(3)) for way in peer_dit.WAYS}
    way = max(ways, key=ways.get)
    steps = max(arguments.steps, round(3 * ways[way]))
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(moetop_speed(arguments, str(model), steps))
        theirs.append(arguments.samples * peer_dit.speed(peer, arguments.samples, steps, way))
    top, product = ceiling(arguments.threads), torch_product()
    work = multiply_adds(json.loads((Path(model) / "config.json").read_text()))
    middle, ratios = statistics.median(ours), sorted(own / other for own, other in zip(ours, theirs))
    return dict(
        model=Path(model).name, moetop=middle, pytorch=statistics.median(theirs), ratio=statistics.median(ratios),
        ratio_range=[ratios[0], ratios[-1]], experts=way, steps=steps,
        moetop_rounds=ours, pytorch_rounds=theirs, gigaflops=2e-9 * work * middle, ceiling_gigaflops=2e-9 * top,
        share_of_ceiling=work * middle / top, torch_product_gigaflops=2e-9 * product, share_of_torch_product=work * middle / product)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        print(json.dumps([compare(arguments, model) for model in arguments.models], indent=1))


if __name__ == "__main__":
    main()
