"""Checkpoints as training scripts leave them, made from a model folder: Tests/Fixtures/dit/*-training.

usage: make_training_pt.py switch-dit|deepspeed|dit-moe MODEL_FOLDER OUT.pt [key=value ...]

switch-dit: "ema" beside "model", and the OmegaConf settings that Switch-DiT's train.py stores as "config"; names carry DDP's prefix.
deepspeed: what DeepSpeed writes as mp_rank_00_model_states.pt, weights under "module".
dit-moe: "ema", and the arguments that DiT-MoE's train.py stores as "args".

The archive is laid out as torch.save does it, without torch: the pickle names torch's classes, and this script has stand-ins of these
names. Needs numpy, safetensors and omegaconf.
"""
import argparse
import io
import json
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

from omegaconf import OmegaConf
from safetensors.numpy import load_file

STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}

torch = types.ModuleType("torch")
utilities = types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": utilities})
for name in STORAGES.values():
    setattr(torch, name, type(name, (), {"__module__": "torch"}))


def _rebuild_tensor_v2(*arguments):
    raise NotImplementedError("written, never read here")


_rebuild_tensor_v2.__module__ = "torch._utils"
utilities._rebuild_tensor_v2 = _rebuild_tensor_v2


class Storage:
    def __init__(self, array):
        self.array = array


class Tensor:
    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        strides = tuple(stride // self.array.itemsize for stride in self.array.strides)
        return _rebuild_tensor_v2, (Storage(self.array), 0, self.array.shape, strides, False, OrderedDict())


class Pickler(pickle.Pickler):
    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = []

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        self.storages.append(value.array)
        kind = getattr(torch, STORAGES[str(value.array.dtype)])
        return "storage", kind, str(len(self.storages) - 1), "cpu", value.array.size


def save(value, path):
    buffer = io.BytesIO()
    pickler = Pickler(buffer)
    pickler.dump(value)
    folder = path.stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        def put(name, content):
            archive.writestr(zipfile.ZipInfo(f"{folder}/{name}", (1980, 1, 1, 0, 0, 0)), content)
        put("data.pkl", buffer.getvalue())
        put("byteorder", "little")
        for number, array in enumerate(pickler.storages):
            put(f"data/{number}", array.tobytes())
        put("version", "3\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["switch-dit", "deepspeed", "dit-moe"])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    given = {key: json.loads(value) for key, value in (text.split("=", 1) for text in arguments.settings)}
    arrays = load_file(arguments.model / "model.safetensors")
    state = OrderedDict((name, Tensor(array)) for name, array in arrays.items())
    if arguments.kind == "switch-dit":
        config = OmegaConf.create({
            "general": {"iterations": 400000, "schedule_name": "cosine", "data_path": None}, "optim": {"lr": 1e-4},
            "data": {"num_classes": 1, "is_uncond": True}, "eval": {"cfg_scale": 1.5, "steps": [250]},
            "models": {"name": "DiT-S/2", "param": {"num_classes": "${data.num_classes}", "latent_size": 32}},
            "routing": {"name": "DMoE", "taskcount": 1000, "w_JSD": 1, "param": {"num_experts": 3, "k": 2}}})
        for path, value in given.items():
            OmegaConf.update(config, path, value)
        wrapped = OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
        save({"ema": wrapped, "opt": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "config": config}, arguments.out)
    elif arguments.kind == "dit-moe":
        save({"ema": state, "args": argparse.Namespace(**given)}, arguments.out)
    else:
        save({"module": state, "buffer_names": [], "optimizer": None, "sparse_tensor_module_names": set(), "global_steps": 7,
              "ds_config": {"train_batch_size": 2, "zero_optimization": {"stage": 2}}, "ds_version": "0.14.4", **given}, arguments.out)


if __name__ == "__main__":
    main()
