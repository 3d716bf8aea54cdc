"""Denoising steps per second of PyTorch on a DiT-MoE folder: rectified flow under guidance, float32, experts grouped.

usage: peer_dit.py MODEL [--threads 2] [--samples 1] [--steps 20] [--rounds 3]

A step is one guided evaluation of the model: the conditional and the unconditional branch of all samples in one batch. Attention is PyTorch's fused
one. The experts are computed in every way below; those within half of the fastest in a short trial are measured, `rounds` runs of `steps` steps in
turn, and the best median counts.
  loop        tokens sorted by expert, one pair of products an expert (gate and up joined)
  grouped_mm  tokens sorted by expert, torch's grouped product
  padded_bmm  tokens sorted by expert and padded to the longest group, one batched product
Prints JSON.
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

import reference_dit as reference  # noqa: E402
from dit_samplers import rectified_flow  # noqa: E402

GUIDANCE = 1.5


class FusedAttention(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.of = attention
        self.merged, self.out = (attention.Wqkv, attention.out_proj) if attention.qk_norm else (attention.qkv, attention.proj)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.merged(x).view(batch, tokens, 3, self.of.heads, -1).permute(2, 0, 3, 1, 4)
        if self.of.qk_norm:
            q, k = self.of.q_norm(q), self.of.k_norm(k)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


def activated(joined):
    gate, up = joined.chunk(2, -1)
    return F.silu(gate) * up


class GroupedExperts(nn.Module):
    """Weights of one layer joined: `wide` [E, 2 * inner, width] is gate above up, `down` [E, width, inner]."""

    def __init__(self, moe):
        super().__init__()
        self.top_k, self.gate = moe.top_k, moe.gate.weight
        self.wide = torch.stack([torch.cat([e.gate_proj.weight, e.up_proj.weight]) for e in moe.experts])
        self.down = torch.stack([e.down_proj.weight for e in moe.experts])
        shared = moe.shared_experts
        self.shared_wide, self.shared_down = torch.cat([shared.gate_proj.weight, shared.up_proj.weight]), shared.down_proj.weight
        self.way = None

    def loop(self, rows, counts):
        pieces = rows.split(counts.tolist())
        return torch.cat([F.linear(activated(F.linear(piece, w)), d) for piece, w, d in zip(pieces, self.wide, self.down) if len(piece)])

    def grouped_mm(self, rows, counts):
        ends = counts.cumsum(0).int()
        inner = activated(torch._grouped_mm(rows, self.wide.transpose(1, 2), offs=ends))
        return torch._grouped_mm(inner, self.down.transpose(1, 2), offs=ends)

    def padded_bmm(self, rows, counts):
        start = counts.cumsum(0) - counts
        expert = torch.repeat_interleave(torch.arange(len(counts)), counts)
        place = expert * int(counts.max()) + torch.arange(len(rows)) - start[expert]
        padded = rows.new_zeros(len(counts) * int(counts.max()), rows.shape[1])
        padded[place] = rows
        inner = activated(padded.view(len(counts), -1, rows.shape[1]) @ self.wide.transpose(1, 2))
        return (inner @ self.down.transpose(1, 2)).flatten(0, 1)[place]

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, ids = F.linear(flat, self.gate).softmax(-1).topk(self.top_k, -1)
        order = ids.flatten().argsort()
        token = order // self.top_k
        rows = getattr(self, self.way)(flat[token], torch.bincount(ids.flatten(), minlength=len(self.gate)))
        out = F.linear(activated(F.linear(flat, self.shared_wide)), self.shared_down)
        return out.index_add_(0, token, rows * weights.flatten()[order, None]).view_as(x)


WAYS = ("loop", "grouped_mm", "padded_bmm")


def prepared(folder):
    model, _ = reference.load(folder)
    for block in model.blocks:
        block.attn, block.moe = FusedAttention(block.attn), GroupedExperts(block.moe)
    return model


def latents(model, samples, steps, way):
    """The latent after every step, computed when asked for."""
    for block in model.blocks:
        block.moe.way = way
    generator = torch.Generator().manual_seed(7)
    initial = torch.randn(samples, model.channels, model.size, model.size, generator=generator)
    labels = torch.cat([torch.arange(samples) % model.classes, torch.full((samples,), model.classes)])

    def answer(latent, t):
        return model(torch.cat([latent, latent]), torch.full((2 * samples,), t), labels).chunk(2)

    return rectified_flow(answer, initial, steps, GUIDANCE)


def speed(model, samples, steps, way):
    began = time.perf_counter()
    for _ in latents(model, samples, steps, way):
        pass
    return steps / (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with torch.inference_mode():
        model = prepared(args.model)
        for way in WAYS:
            speed(model, args.samples, 1, way)
        trial = {way: max(speed(model, args.samples, 2, way) for _ in range(2)) for way in WAYS}
        rounds = {way: [] for way in WAYS if 2 * trial[way] > max(trial.values())}
        for _ in range(args.rounds):
            for way in rounds:
                rounds[way].append(speed(model, args.samples, args.steps, way))
    best = max(rounds, key=lambda way: statistics.median(rounds[way]))
    print(json.dumps({
        "steps_per_second": round(statistics.median(rounds[best]), 3), "experts": best, "threads": args.threads, "samples": args.samples,
        "steps": args.steps, "rounds": {way: [round(value, 3) for value in values] for way, values in rounds.items()},
        "peer": f"torch {torch.__version__}, float32"}))


if __name__ == "__main__":
    main()
