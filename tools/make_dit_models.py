"""Tiny denoising models and what tools/reference_dit.py computes on them, for Tests/Fixtures/dit.

usage: make_dit_models.py Tests/Fixtures/dit [NAME ...]

Of a few seeds the one whose closest routing decision is least close is kept, so that no decision hangs on a rounding error. The same weights give
the same files: models and noise come from torch's generator on the CPU.
"""
import argparse
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import reference_dit as reference

SEEDS = range(1, 9)
DDPM_STEPS = 8


@dataclass
class Run:
    sampler: str
    steps: int
    scale: float
    classes: list[int]
    schedule: str = "linear"


@dataclass
class Model:
    shape: str
    names: str
    runs: dict[str, Run]
    sampler: str = "ddpm"
    pickled: str = ""
    table: bool = False


MODELS = {
    "timm": Model("tiny", "timm", {
        "rectified-flow": Run("rectified-flow", 6, 1.5, [1, 3]),
        "ddpm": Run("ddpm", DDPM_STEPS, 1.5, [1, 3]),
    }, pickled="dit_moe_tiny_4E2A.pt"),
    "flash": Model("tiny", "flash", {
        "rectified-flow": Run("rectified-flow", 6, 1.5, [0, 4]),
        "ddpm": Run("ddpm", DDPM_STEPS, 1.5, [0, 4]),
    }, sampler="rectified-flow"),
    "wide-choice": Model("tiny-wide-choice", "flash", {
        "rectified-flow": Run("rectified-flow", 6, 1.0, [2, 4]),
        "ddpm": Run("ddpm", DDPM_STEPS, 1.0, [2, 4]),
    }),
    "switch": Model("switch-tiny", "timm", {
        "ddpm": Run("ddpm", DDPM_STEPS, 1.5, [0, 4]),
        "ddpm-cosine": Run("ddpm", DDPM_STEPS, 1.5, [0, 4], "cosine"),
    }, table=True),
}


def closest(scores, top_k):
    best = scores.sort(-1, descending=True)[0]
    return (best[..., top_k - 1] - best[..., top_k]).min().item()


def write(model, seed, folder, pickled):
    """Makes the files of a model in `folder`; the margin of its closest decision, in units of probability."""
    schedule = "linear" if model.table else None
    reference.make(folder, model.shape, model.names, seed, model.sampler, schedule, pickled / model.pickled if model.pickled else None)
    module, config = reference.load(folder)
    reference.make_noise(folder / "noise.safetensors", folder, 2, "ddpm", DDPM_STEPS, seed)
    noise = load_file(folder / "noise.safetensors")
    margins = []
    for name, run in model.runs.items():
        recorder, walk = reference.run(module, config, noise, run.sampler, run.steps, run.scale, run.classes, run.schedule)
        reference.save_expected(folder / f"expected-{name}.safetensors", recorder, walk, run.sampler, run.scale, run.classes, run.schedule)
        margins += [closest(layer[0].softmax(-1), layer[1].shape[-1]) for call in recorder.calls for layer in call]
    if model.table:
        table = reference.switch_table(module)
        save_file(table, folder / "table.safetensors")
        margins.append(closest(table["table.probs"], table["table.ids"].shape[-1]))
    return min(margins)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.names or MODELS:
        model, margins = MODELS[name], {}
        with tempfile.TemporaryDirectory() as trial:
            for seed in SEEDS:
                margins[seed] = write(model, seed, Path(trial) / str(seed), Path(trial) / str(seed))
            kept = max(margins, key=margins.get)
            shutil.rmtree(args.folder / name, ignore_errors=True)
            (args.folder / name).mkdir(parents=True)
            for file in sorted((Path(trial) / str(kept)).iterdir()):
                shutil.copyfile(file, args.folder / name / file.name)
        if model.pickled:
            beside = args.folder / f"{name}-pt"
            beside.mkdir(exist_ok=True)
            shutil.move(args.folder / name / model.pickled, beside / model.pickled)
            shutil.copyfile(args.folder / name / "config.json", beside / "config.json")
        print(f"{name}: seed {kept}, closest decision {margins[kept]:.2e}")


if __name__ == "__main__":
    main()
