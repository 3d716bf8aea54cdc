"""Checkpoints as torch.save writes them, with the same tensors in safetensors: Tests/Fixtures/pytorch.

usage: make_pt_files.py [-o Tests/Fixtures/pytorch]

Good ones: training.pt (model, ema, optimizer and settings, as training scripts save them), state.pt (a bare state
dictionary of every element type, with parameters, views, tied weights, an empty and a scalar tensor), protocol4.pt.
Ones to be refused: legacy.pt (PyTorch before 1.6), module.pt (a whole module), transposed.pt, and hostile ones that run
`touch executed` when somebody unpickles them: system.pt, nested.pt, eval.pt.
"""
import argparse
from collections import OrderedDict
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
         torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]


class Hostile:
    """Unpickles by calling a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def training():
    """A small network after one step of AdamW, with averaged weights."""
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2, bias=False))
    ema = OrderedDict((name, value * 0.5) for name, value in model.state_dict().items())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.randn(3, 6)).sum().backward()
    optimizer.step()
    settings = argparse.Namespace(model="DiT-S/2", epochs=1400, rate=1e-4, layers=[1, 2], path=Path("/data"), none=None,
                                  large=10 ** 30, device=torch.device("cpu"), dtype=torch.float16, nested=argparse.Namespace(a=True))
    return {"model": model.state_dict(), "ema": ema, "opt": optimizer.state_dict(), "args": settings, "step": 7}


def state():
    """Every element type, and every way in which a tensor lies in its storage that safetensors can say."""
    tensors = OrderedDict()
    for index, dtype in enumerate(TYPES):
        tensors[f"types.{str(dtype).removeprefix('torch.')}"] = (torch.arange(6).reshape(2, 3) % (2 + index)).to(dtype)
    base = torch.arange(24.0).reshape(6, 4)
    tensors["rows"] = base[2:5]
    tensors["parameter"] = torch.nn.Parameter(base.clone())
    tensors["tied"] = tensors["parameter"]
    tensors["scalar"] = torch.tensor(-3)
    tensors["empty"] = torch.zeros(0, 4)
    tensors["thin"] = torch.arange(5.0).reshape(5, 1).t()
    tensors["name.é"] = torch.ones(2)
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", type=Path, default=Path(__file__).parents[1] / "Tests/Fixtures/pytorch")
    folder = parser.parse_args().o
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    made = training()
    torch.save(made, folder / "training.pt")
    torch.save({"model": made["model"]}, folder / "protocol4.pt", pickle_protocol=4)
    save_file({name: value.contiguous() for name, value in made["ema"].items()}, folder / "training.safetensors")
    save_file({name: value.contiguous() for name, value in made["model"].items()}, folder / "protocol4.safetensors")
    tensors = state()
    torch.save(tensors, folder / "state.pt")
    save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, folder / "state.safetensors")

    torch.save(made["model"], folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 2), folder / "module.pt")
    torch.save({"weight": torch.zeros(2, 3).t()}, folder / "transposed.pt")
    weight = torch.zeros(2)
    torch.save({"weight": weight, "x": Hostile(os.system, "touch executed")}, folder / "system.pt")
    torch.save({"weight": weight, "x": Hostile(eval, "open('executed', 'w')")}, folder / "eval.pt")
    torch.save({"weight": weight, "x": Hostile(getattr, Hostile(__import__, "os"), "system")}, folder / "nested.pt")


if __name__ == "__main__":
    main()
