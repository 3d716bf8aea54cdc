"""DiT-MoE in plain PyTorch, from the equations and tensor names of the paper (Fei et al. 2024, arXiv:2407.11633): what the sample was trained with
and what the engine is compared with.

Block: x <- x + g1 Attn(LN(x)(1 + s1) + b1); x <- x + g2 MoE(LN(x)(1 + s2) + b2), the six vectors from the sum of timestep and class embedding.
The router reads the modulated token; scores are a softmax over all experts; the best `top_k` are weighted by their scores as they are (the sum stays
below 1); shared experts are one SwiGLU of width `shared * width`, added unweighted. Names of tensors are those of published checkpoints: timm's
attention (`attn.qkv`, `attn.proj`) or, with `qk_norm`, the fused one (`attn.Wqkv`, `attn.out_proj`, `attn.q_norm`, `attn.k_norm`)."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def position_table(width, grid):
    """Fixed sines and cosines of column and row, [grid * grid, width]; the first half of the width belongs to the column."""
    quarter = width // 4
    omega = 1.0 / 10000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(torch.arange(grid, dtype=torch.float64), torch.arange(grid, dtype=torch.float64), indexing="ij")
    halves = [torch.cat([(axis.reshape(-1, 1) * omega).sin(), (axis.reshape(-1, 1) * omega).cos()], 1) for axis in (column, row)]
    return torch.cat(halves, 1).float()


class Attention(nn.Module):
    def __init__(self, width, heads, qk_norm):
        super().__init__()
        self.heads, self.qk_norm = heads, qk_norm
        if qk_norm:
            self.Wqkv, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.q_norm, self.k_norm = nn.LayerNorm(width // heads, eps=1e-6), nn.LayerNorm(width // heads, eps=1e-6)
        else:
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        merged, out = (self.Wqkv, self.out_proj) if self.qk_norm else (self.qkv, self.proj)
        q, k, v = merged(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        chances = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        return out((chances.to(v.dtype) @ v).transpose(1, 2).reshape(batch, tokens, width))


class SwiGLU(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Gate(nn.Module):
    def __init__(self, width, experts):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(experts, width))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))


class MoE(nn.Module):
    """Adds to `record` (a list, when given) the router logits, chosen ids by falling score and weights of every call."""

    def __init__(self, width, experts, top_k, shared):
        super().__init__()
        self.top_k = top_k
        self.gate = Gate(width, experts)
        self.experts = nn.ModuleList(SwiGLU(width, 4 * width) for _ in range(experts))
        self.shared_experts = SwiGLU(width, shared * width)
        self.record, self.balance = None, None

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        with torch.autocast("cpu", enabled=False):
            logits = flat.float() @ self.gate.weight.float().T
        scores = logits.softmax(-1)
        weights, ids = scores.topk(self.top_k, dim=-1)
        if self.record is not None:
            self.record.append((logits.detach(), ids, weights.detach()))
        if self.training:
            experts = scores.shape[1]
            share = torch.bincount(ids.flatten(), minlength=experts) / ids.numel() * experts
            self.balance = (share * scores.mean(0)).sum()
        order = ids.flatten().argsort(stable=True)
        token = order // self.top_k
        counts = torch.bincount(ids.flatten(), minlength=len(self.experts)).tolist()
        pieces = [expert(part) for expert, part in zip(self.experts, flat[token].split(counts))]
        mixed = torch.cat(pieces) * weights.flatten()[order, None].to(pieces[0].dtype)
        out = self.shared_experts(flat)
        return out.index_add(0, token, mixed.to(out.dtype)).view_as(x)


class Block(nn.Module):
    def __init__(self, width, heads, experts, top_k, shared, qk_norm):
        super().__init__()
        self.attn = Attention(width, heads, qk_norm)
        self.moe = MoE(width, experts, top_k, shared)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c)[:, None].chunk(6, -1)
        x = x + gate1 * self.attn(modulate(x, shift1, scale1))
        return x + gate2 * self.moe(modulate(x, shift2, scale2))


def modulate(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class FinalLayer(nn.Module):
    def __init__(self, width, outputs):
        super().__init__()
        self.linear = nn.Linear(width, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x, c):
        shift, scale = self.adaLN_modulation(c)[:, None].chunk(2, -1)
        return self.linear(modulate(x, shift, scale))


class TimestepEmbedder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t):
        angles = t.float()[:, None] * torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32) / 128)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], -1))


class LabelEmbedder(nn.Module):
    """One row a class and a last one for "no class"."""

    def __init__(self, classes, width):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)


class PatchEmbedder(nn.Module):
    def __init__(self, channels, patch, width):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)


class DiTMoE(nn.Module):
    """`forward(x, t, y)`: x [batch, channels, size, size], t [batch] as the sampler counts it, y [batch] class ids -> [batch, 2 * channels, size, size]."""

    def __init__(self, size=32, patch=2, channels=4, width=384, depth=12, heads=6, experts=8, top_k=2, shared=2, classes=1000, qk_norm=False):
        super().__init__()
        self.size, self.patch, self.channels, self.classes = size, patch, channels, classes
        self.x_embedder = PatchEmbedder(channels, patch, width)
        self.t_embedder = TimestepEmbedder(width)
        self.y_embedder = LabelEmbedder(classes, width)
        self.pos_embed = nn.Parameter(position_table(width, size // patch)[None], requires_grad=False)
        self.blocks = nn.ModuleList(Block(width, heads, experts, top_k, shared, qk_norm) for _ in range(depth))
        self.final_layer = FinalLayer(width, patch * patch * 2 * channels)

    def forward(self, x, t, y):
        x = self.x_embedder.proj(x).flatten(2).transpose(1, 2) + self.pos_embed
        c = self.t_embedder(t) + self.y_embedder.embedding_table(y)
        for block in self.blocks:
            x = block(x, c)
        grid, patch = self.size // self.patch, self.patch
        x = self.final_layer(x, c).view(-1, grid, grid, patch, patch, 2 * self.channels)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, 2 * self.channels, self.size, self.size)


def start_training(model):
    """DiT's initial weights: Xavier for matrices, small normal embeddings, every gate and the output at zero (adaLN-Zero)."""
    for name, parameter in model.named_parameters():
        if name.endswith("proj.weight") and parameter.dim() == 4:
            nn.init.xavier_uniform_(parameter.view(parameter.shape[0], -1))
        elif parameter.dim() == 2 and "gate.weight" not in name:
            nn.init.xavier_uniform_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    nn.init.normal_(model.y_embedder.embedding_table.weight, std=0.02)
    for index in (0, 2):
        nn.init.normal_(model.t_embedder.mlp[index].weight, std=0.02)
    shut = [block.adaLN_modulation[1] for block in model.blocks] + [model.final_layer.adaLN_modulation[1], model.final_layer.linear]
    for layer in shut:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
