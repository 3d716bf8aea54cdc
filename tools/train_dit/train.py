"""Trains the bundled denoising sample: rectified flow on the drawn images, one process, processor only.

The published recipe at a small size: x_t = (1 - t) x + t noise, the model answers with the velocity noise - x (the first half of its output; the
second half, the published model's variance, stays untrained), t from a logistic normal, a class left out one time in ten. Checkpoints hold everything
that is needed to go on; a killed run continues from the last one.

    . tools/train_lm/environment.sh && python tools/train_dit/train.py --out DIR --steps 40000"""

import argparse
import copy
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import dit_model  # noqa: E402
from train_dit import draw  # noqa: E402
from train_lm.muon import Muon  # noqa: E402

SHAPE = dict(size=32, patch=4, channels=3, width=96, depth=6, heads=6, experts=8, top_k=2, shared=2, classes=len(draw.CLASSES))


@torch.compile(dynamic=True)
def gated(gate, up):
    return F.silu(gate) * up


@torch.compile(dynamic=True)
def gated_backward(gate, up, slope):
    share = torch.sigmoid(gate)
    return slope * up * (share + gate * share * (1 - share)), slope * gate * share


class Gated(torch.autograd.Function):
    """silu(gate) * up in one pass over memory each way: a seventh of a training step."""

    @staticmethod
    def forward(context, gate, up):
        context.save_for_backward(gate, up)
        return gated(gate, up)

    @staticmethod
    def backward(context, slope):
        return gated_backward(*context.saved_tensors, slope)


def rate(step, arguments):
    """Share of the full learning rate: a linear warm-up, a long constant stretch, and a straight way down over the last `decay` steps: the end may be chosen while training runs."""
    rise, fall = (step + 1) / arguments.warmup, (arguments.steps - step) / arguments.decay
    return max(0.02, min(1.0, rise, fall))


def loss_of(model, images, labels, generator, arguments):
    noise = torch.randn(images.shape, generator=generator)
    t = torch.sigmoid(torch.randn(len(images), generator=generator))
    mixed = (1 - t[:, None, None, None]) * images + t[:, None, None, None] * noise
    dropped = torch.rand(len(images), generator=generator) < 0.1
    labels = torch.where(dropped, SHAPE["classes"], labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        velocity = model(mixed, t, labels)[:, : SHAPE["channels"]]
    error = ((velocity.float() - (noise - images)) ** 2).mean()
    balance = sum(block.moe.balance for block in model.blocks) / len(model.blocks)
    return error, error + arguments.balance * balance, balance.detach()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40000)
    parser.add_argument("--decay", type=int, default=5000, help="steps at the end over which the rate falls")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3, help="of AdamW: embeddings, routers, modulation, output")
    parser.add_argument("--inner-rate", type=float, default=0.01, help="of Muon: attention and experts")
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--balance", type=float, default=0.005)
    parser.add_argument("--average", type=float, default=0.999)
    parser.add_argument("--images", type=int, default=120000)
    parser.add_argument("--minutes", type=float, default=1e9, help="save and stop after this long")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(7)
    arguments.out.mkdir(parents=True, exist_ok=True)

    dit_model.SwiGLU.forward = lambda self, x: self.down_proj(Gated.apply(self.gate_proj(x), self.up_proj(x)))
    dit_model.modulate = torch.compile(dit_model.modulate, dynamic=False)
    model = dit_model.DiTMoE(**SHAPE)
    dit_model.start_training(model)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    trained = [p for _, p in named]
    inner = [p for name, p in named if (".moe." in name and "gate.weight" not in name) or (".attn." in name and p.dim() == 2)]
    chosen_for_muon = set(map(id, inner))
    optimizers = [
        torch.optim.AdamW([p for p in trained if id(p) not in chosen_for_muon], lr=arguments.rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
        Muon([{"params": inner}], lr=arguments.inner_rate, weight_decay=0.0),
    ]
    pool = ThreadPoolExecutor(arguments.threads)
    generator = torch.Generator().manual_seed(11)
    step, checkpoint = 0, arguments.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, known in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(known)
        generator.set_state(state["generator"])
        step = state["step"]
    pixels, labels = draw.dataset(arguments.images, seed=1)
    pixels, labels = torch.from_numpy(pixels), torch.from_numpy(labels)

    def save():
        torch.save(dict(model=model.state_dict(), average=average.state_dict(), optimizers=[optimizer.state_dict() for optimizer in optimizers],
                        generator=generator.get_state(), step=step), checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)

    start = saved = reported = time.time()
    errors = []
    while step < arguments.steps and time.time() - start < arguments.minutes * 60:
        share = rate(step, arguments)
        for optimizer, highest in zip(optimizers, (arguments.rate, arguments.inner_rate)):
            for group in optimizer.param_groups:
                group["lr"] = share * highest
        chosen = torch.randint(len(labels), (arguments.batch,), generator=generator)
        images = pixels[chosen].float() / 127.5 - 1
        error, loss, balance = loss_of(model, images, labels[chosen], generator, arguments)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizers[0].step()
        optimizers[1].step(pool)
        step += 1
        keep = min(arguments.average, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_([p for p in average.parameters() if p.dtype == torch.float32], list(model.parameters()), 1 - keep)
        errors.append(error.item())
        if step % 100 == 0:
            now = time.time()
            print(json.dumps(dict(step=step, error=round(sum(errors[-100:]) / 100, 5), balance=round(balance.item(), 3),
                                  images_per_second=round(100 * arguments.batch / (now - reported), 1))), flush=True)
            reported = now
        if time.time() - saved > 300:
            save()
            saved = time.time()
    save()

if __name__ == "__main__":
    main()
