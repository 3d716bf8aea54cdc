"""Switch-DiT in plain PyTorch, from the equations and tensor names of the paper (Park et al. 2024, arXiv:2403.09176), and its diffusion prior.

The gate of a block sees the timestep embedding alone: p = softmax(W SiLU(t) + b), the best `top_k` kept with their p as they are. The experts are
one linear map each and make a mask m = 1 + sum p_i (z w_i + b_i) with w_i stored input first; a block is z <- Block(m z) + (1 - m) z, where Block
is DiT's (adaLN-Zero, attention, dense MLP with the tanh GELU). All patches of an image share the experts of a timestep."""

import torch
import torch.nn.functional as F
from torch import nn

from dit_model import Attention, FinalLayer, LabelEmbedder, PatchEmbedder, TimestepEmbedder, modulate, position_table

TASKS = 1000


def prior_mapping(units, share, tasks=TASKS, power=4.0):
    """Which units (layer * experts + expert) the prior turns on for each timestep, [tasks, units] of 0 and 1: a window of `share` of all units that
    moves to higher units with the `power` of the timestep."""
    window = int(units * share)
    starts = (torch.linspace(0, 1, tasks, dtype=torch.float64) ** power * (units - window)).round().long()
    unit = torch.arange(units)
    return ((unit >= starts[:, None]) & (unit < starts[:, None] + window)).float()


def assignment(cost):
    """The column of each row in a cheapest one-to-one assignment, by shortest augmenting paths (Kuhn 1955, Jonker and Volgenant 1987); cost [n, n]."""
    n = len(cost)
    cost = cost.tolist()
    row_price, column_price, row_of = [0.0] * n, [0.0] * (n + 1), [-1] * (n + 1)
    for row in range(n):
        row_of[n], column = row, n      # column n stands for "not yet assigned"
        slack, before, seen = [float("inf")] * n, [n] * n, [False] * (n + 1)
        while row_of[column] >= 0:
            seen[column], here = True, row_of[column]
            for j in range(n):
                reduced = cost[here][j] - row_price[here] - column_price[j]
                if not seen[j] and reduced < slack[j]:
                    slack[j], before[j] = reduced, column
            nearest = min((j for j in range(n) if not seen[j]), key=slack.__getitem__)
            step = slack[nearest]
            for j in range(n + 1):
                if seen[j]:
                    row_price[row_of[j]] += step
                    column_price[j] -= step
                elif j < n:
                    slack[j] -= step
            column = nearest
        while column != n:
            row_of[column], column = row_of[before[column]], before[column]
    return torch.tensor([row_of.index(row) for row in range(n)])


def prior_distance(probs, top_k, mapping):
    """How far a table of scores [tasks, layers, experts] is from the prior [tasks, units]: (the prior's unit for each unit of the network, the number
    of places where the two maps then differ, the mean Jensen-Shannon divergence in nats over the tasks, 1e-6 inside the logarithms)."""
    tasks, layers, _ = probs.shape
    chosen = torch.zeros_like(probs).scatter(-1, probs.topk(top_k, -1)[1], 1).view(tasks, -1)
    cost = (chosen[:, :, None] - mapping[:, None]).abs().sum(0)
    match = assignment(cost)
    own, wanted = probs.view(tasks, -1) / layers, mapping[:, match] / mapping.sum(1, keepdim=True)
    middle = ((own + wanted) / 2 + 1e-6).log()
    divergence = (own * ((own + 1e-6).log() - middle) + wanted * ((wanted + 1e-6).log() - middle)).sum(1) / 2
    return match, cost[torch.arange(len(match)), match].sum(), divergence.mean()


class Prior(nn.Module):
    def __init__(self, depth, experts, top_k):
        super().__init__()
        self.register_buffer("_unit_mapping", prior_mapping(depth * experts, top_k / experts))


class Experts(nn.Module):
    def __init__(self, experts, width):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(experts, width, width))
        self.b = nn.Parameter(torch.zeros(experts, width))


class Router(nn.Module):
    """Adds to `record` (a list, when given) the logits, chosen ids by falling score and weights of every call, one row a sample."""

    def __init__(self, width, experts, top_k):
        super().__init__()
        self.top_k = top_k
        self.f_gate = nn.Sequential(nn.SiLU(), nn.Linear(width, experts))
        self.experts = Experts(experts, width)
        self.record = None

    def forward(self, z, time):
        logits = self.f_gate(time)
        weights, ids = logits.softmax(-1).topk(self.top_k, dim=-1)
        if self.record is not None:
            self.record.append((logits, ids, weights))
        mask = torch.ones_like(z)
        for rank in range(self.top_k):
            w, b = self.experts.w[ids[:, rank]], self.experts.b[ids[:, rank]]
            mask = mask + weights[:, rank, None, None] * (z @ w + b[:, None])
        return mask


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn, self.mlp = Attention(width, heads, False), MLP(width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c)[:, None].chunk(6, -1)
        x = x + gate1 * self.attn(modulate(x, shift1, scale1))
        return x + gate2 * self.mlp(modulate(x, shift2, scale2))


class SwitchDiT(nn.Module):
    """`forward(x, t, y)`: x [batch, channels, size, size], t [batch] 0...999, y [batch] class ids -> [batch, 2 * channels, size, size]."""

    def __init__(self, size=32, patch=2, channels=4, width=384, depth=12, heads=6, experts=3, top_k=2, classes=1000):
        super().__init__()
        self.size, self.patch, self.channels, self.classes = size, patch, channels, classes
        self.register_buffer("full_time", torch.arange(TASKS))
        self.prior = Prior(depth, experts, top_k)
        self.x_embedder = PatchEmbedder(channels, patch, width)
        self.t_embedder = TimestepEmbedder(width)
        # A model of one class is not trained without it: no row for "no class".
        self.y_embedder = LabelEmbedder(classes if classes > 1 else 0, width)
        self.pos_embed = nn.Parameter(position_table(width, size // patch)[None], requires_grad=False)
        self.routers = nn.ModuleList(Router(width, experts, top_k) for _ in range(depth))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.final_layer = FinalLayer(width, patch * patch * 2 * channels)

    def table(self):
        """Scores of every expert at every timestep, [1000, depth, experts]; no image is needed."""
        time = self.t_embedder(self.full_time)
        return torch.stack([router.f_gate(time).softmax(-1) for router in self.routers], 1)

    def forward(self, x, t, y):
        x = self.x_embedder.proj(x).flatten(2).transpose(1, 2) + self.pos_embed
        time = self.t_embedder(t)
        c = time + self.y_embedder.embedding_table(y)
        for router, block in zip(self.routers, self.blocks):
            mask = router(x, time)
            x = block(x * mask, c) + (1 - mask) * x
        grid, patch = self.size // self.patch, self.patch
        x = self.final_layer(x, c).view(-1, grid, grid, patch, patch, 2 * self.channels)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, 2 * self.channels, self.size, self.size)
