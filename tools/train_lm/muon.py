"""Muon: momentum whose update is made orthogonal, for the matrices inside the layers (Jordan et al. 2024).

Every direction of a matrix then moves alike, the rarely used ones too; a run of few tokens gains most. Embedding, norms
and routers stay with AdamW.
"""
import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)       # of the quintic Newton-Schulz iteration
ITERATIONS = 5
MOMENTUM = 0.95


def orthogonal(g):
    """Roughly the nearest semi-orthogonal matrix (singular values near 1) of each matrix in g [..., rows, columns]."""
    a, b, c = COEFFICIENTS
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).bfloat16()
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Parameters are matrices or stacks of matrices [count, rows, columns]; groups may say `halves`: two above each other.

    `step` deals the parameters to the threads of a pool.
    """

    def __init__(self, groups, lr, weight_decay):
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "halves": False})

    @torch.no_grad()
    def _update(self, p, group):
        momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
        momentum.lerp_(p.grad, 1 - MOMENTUM)
        g = p.grad.lerp(momentum, MOMENTUM)
        if group["halves"]:
            g = g.unflatten(-2, (2, -1))
        shape = max(1.0, g.shape[-2] / g.shape[-1]) ** 0.5
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(orthogonal(g).view(p.shape).float(), alpha=group["lr"] * shape)

    def step(self, pool):
        work = [(p, group) for group in self.param_groups for p in group["params"]]
        list(pool.map(lambda item: self._update(*item), work))
