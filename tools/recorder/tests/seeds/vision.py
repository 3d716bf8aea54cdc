"""Patches and modalities: a gate a task over 16 experts (M3ViT, which Edge-MoE runs), a router that knows the modality (EVE), a rule without a
score (VLMo)."""
import random

from moetop_record import Recorder, Rule, stated

from .common import WIDTH, basis, deal, near, plus, times


def task_gates(path, control=False):
    """M3ViT: every second block has a gate a task, two of 16, weights as the softmax has them. Segmentation (t0) uses experts 0 to 7 alone,
    depth (t1) all. In the control the columns of t0 are not limited."""
    import torch

    from moetop_record import Gate, trace


    class NoisyGate(torch.nn.Module):
        def __init__(self, limited, seed):
            super().__init__()
            self.w_gate = torch.nn.Parameter(torch.tensor(basis(16)).T * 4)
            self.limited = limited

        def forward(self, x):
            logits = x @ self.w_gate    # The noise is of training alone.
            if self.limited:
                logits = torch.cat([logits[..., :8], logits[..., 8:] - 100], -1)
            weights, ids = logits.softmax(-1).topk(2, -1)
            return ids, weights

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = torch.nn.ModuleList(NoisyGate(not control and task == 0, task) for task in range(2))

        def forward(self, x):
            for gate in self.gate:
                gate(x)
            return x

    torch.manual_seed(28)
    model = torch.nn.Sequential(Block())
    rule = stated(16, 2, "softmax", "top_k", "probability")
    gates = [Gate(f"0.gate.{task}", ids=0, weights=1, rule=rule, path=f"ffn.1.t{task}") for task in range(2)]
    with trace(model, path, routers=gates, row="patch") as recorder, torch.no_grad():
        for image in range(4):
            with recorder.rows(128, sequence=f"image {image}", coordinates={"patch": range(128)}):
                model(torch.randn(1, 128, WIDTH))


def modality_aware(path, control=False):
    """EVE: an image's patches, then its caption. The router reads the token and its modality: in block 0 that hardly matters, in block 2 images want
    experts 0 and 1, texts 2 and 3."""
    draw, prototypes = random.Random(30), basis(4)
    with Recorder(path, record="full") as recorder:
        for pair in range(16):
            modalities = ["image"] * 16 + ["text"] * 16
            with recorder.rows(32, sequence=f"pair {pair}", row_labels={"modality": deal(modalities, control, pair)}):
                for block, strength in ((0, 0.0), (2, 12.0)):
                    logits = []
                    for modality in modalities:
                        first = 0 if modality == "image" else 2
                        known = plus(near(prototypes[first], draw, gain=strength / 2, noise=0), near(prototypes[first + 1], draw, gain=strength / 2, noise=0))
                        logits.append(times(prototypes, plus(known, near(prototypes[draw.randrange(4)], draw))))
                    recorder.record(f"ffn.{block}", logits=logits, rule=Rule(4, 1))


def modality_experts(path, control=False):
    """VLMo, base: 12 blocks; language, vision and, from block 10 on, one expert for both. No score exists: the rule is said, not repeated."""
    experts = ["language", "vision", "vision-language"]
    with Recorder(path) as recorder:
        for block in range(12):
            recorder.router(f"ffn.{block}", stated(3, 1, "unknown", "fixed", "none"), experts=experts)
        for pair in range(6):
            modalities = ["text"] * 10 + ["image"] * 14
            with recorder.rows(24, sequence=f"pair {pair}", row_labels={"modality": deal(modalities, control, pair)}):
                for block in range(12):
                    recorder.record(f"ffn.{block}", [[2 if block >= 10 else int(modality == "image")] for modality in modalities])
