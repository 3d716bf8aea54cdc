"""GNT-MOVE: points along the rays of a scene. Logits are cosines over a learned temperature, the two best of four are taken with their softmax as
it is, and a permanent expert is averaged in, so that all weights are halved. Planted: near and far points want other experts, and scenes too."""
import random

from moetop_record import Rule

from .common import basis, deal, near, plus


def points(path, control=False):
    import torch

    from moetop_record import Gate, trace

    draw, prototypes = random.Random(4), basis(4)

    class CosineGate(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.directions = torch.nn.Parameter(torch.tensor(prototypes))
            self.temperature = torch.nn.Parameter(torch.tensor(0.2))

        def forward(self, x):
            logits = torch.nn.functional.normalize(x, dim=-1) @ torch.nn.functional.normalize(self.directions, dim=-1).T / self.temperature
            weights, ids = logits.softmax(-1).topk(2, -1, sorted=False)
            return ids, weights, logits

    class Renderer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList(torch.nn.ModuleDict({"gate": CosineGate()}) for _ in range(2))

        def forward(self, x):
            for layer in self.layers:
                layer["gate"](x)
            return x

    model, gate = Renderer(), Gate("layers.*.gate", ids=0, weights=1, logits=2, rule=Rule(4, 2, scale=0.5), scale=0.5)
    with trace(model, path, routers=[gate], row="patch", record="full") as recorder, torch.no_grad():
        for layer in range(2):
            recorder.router(f"ffn.{layer}", gate.rule, shared_experts=1)
        for ray in range(32):
            depths = [at / 15 for at in range(16)]
            rows = [plus(near(prototypes[0 if depth < 0.5 else 1], draw, gain=4.0, noise=0.3), near(prototypes[2 + ray % 2], draw, gain=3.0, noise=0.3))
                    for depth in depths]
            with recorder.rows(16, sequence=f"ray {ray}", labels={"scene": ("fern", "horns")[deal(range(32), control)[ray] % 2]},
                               coordinates={"depth": deal(depths, control, ray), "x": [ray % 8] * 16, "y": [ray // 8] * 16}):
                model(torch.tensor([rows]))
