"""MoEUT: one layer that runs three times over the same tokens, its feed-forward router a sigmoid of a linear map of the normalised input, top 2 of 8, and
attention whose heads choose experts for values. The bank is that of the first run, and repeats have paths of their own (`ffn.0.r1`)."""
import random

from moetop_record import Rule

from .common import WIDTH, basis, deal


def universal(path, control=False):
    """Planted: token t takes experts t and t + 1 in the first run; in the second t + 1 and t + 2, so that neighbouring runs share one of three; in the third
    t + 2 and t + 3. In the control a run's shift is drawn for each text."""
    import torch

    from moetop_record import Logits, trace

    draw, prototypes = random.Random(18), torch.tensor(basis(9)[1:])    # Row 0 is constant: a norm takes it away.

    class SigmaMoE(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.LayerNorm(WIDTH, elementwise_affine=False)
            self.expert_sel = torch.nn.Linear(WIDTH, 8, bias=False)
            self.expert_sel.weight.data = prototypes.clone()

        def forward(self, x):
            return self.expert_sel(self.norm(x))

    class SwitchHead(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.sel_v = torch.nn.ModuleList(torch.nn.Linear(WIDTH, 4, bias=False) for _ in range(2))

        def forward(self, x):
            for head in self.sel_v:
                head(x)

    class Universal(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.ModuleDict({"ffn": SigmaMoE(), "attention": SwitchHead()})])
            self.shifts = (0, 1, 2)

        def forward(self, input_ids):
            for shift in self.shifts:
                x = 4 * prototypes[(input_ids + shift) % 8] + 3 * prototypes[(input_ids + shift + 1) % 8]
                self.layers[0]["attention"](x)
                self.layers[0]["ffn"](x)
            return x

    torch.manual_seed(18)
    model = Universal()
    heads = [Logits(f"layers.0.attention.sel_v.{head}", Rule(4, 2, "sigmoid"), path=f"attn.0.v.h{head}") for head in range(2)]
    ffn = Logits("layers.0.ffn.expert_sel", Rule(8, 2, "sigmoid"), path="ffn.0")
    with trace(model, path, routers=[ffn, *heads], record="full") as recorder, torch.no_grad():
        for text in range(24):
            model.shifts = [draw.randrange(8) for _ in range(3)] if control else (0, 1, 2)
            recorder.next_sequences([f"text {text}"])
            model(torch.tensor([[deal(range(64), True, text)[at] for at in range(40)]]))
