"""Writes the folder that moetop opens: the averaged weights in float16 under DiT-MoE's own tensor names, and a config.json.

    python tools/train_dit/export.py RUN samples/dit-moe-tiny"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from train_dit import draw, train  # noqa: E402

FIELDS = dict(input_size="size", patch_size="patch", in_channels="channels", hidden_size="width", depth="depth", num_heads="heads",
              num_experts="experts", num_experts_per_tok="top_k", n_shared_experts="shared", num_classes="classes")


def main(run, folder):
    state = torch.load(Path(run) / "checkpoint.pt", weights_only=True)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in state["average"].items()}, folder / "model.safetensors")
    config = dict(model_type="dit_moe", **{field: train.SHAPE[key] for field, key in FIELDS.items()},
                  learn_sigma=True, sampler="rectified-flow", class_names=draw.CLASSES)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    print(f"{sum(t.numel() for t in state['average'].values()):,} parameters after {state['step']:,} steps")


if __name__ == "__main__":
    main(*sys.argv[1:3])
