"""Weights over whole experts that may be negative or follow from no input: WEMoE (a sample's weights of task vectors), MOORE (a task's weights of
orthogonal experts), Superposition (a blend by depth)."""
import random

from moetop_record import Recorder, stated

from .common import WIDTH, basis, deal, near

TASKS = ("sun397", "cars", "mnist", "dtd")


def weight_ensembling(path, control=False):
    """WEMoE: in each block an MLP gives a signed weight to each of four task vectors, for each token; their mean over tokens counts. The last block
    knows the task (its own vector first, another below 0), block 0 does not."""
    import torch

    from moetop_record import Gate, trace

    draw, prototypes = random.Random(20), basis(4)

    class DepthOneGate(torch.nn.Module):
        def __init__(self, knows):
            super().__init__()
            self.knows = knows
            self.fc = torch.nn.Linear(WIDTH, 4)
            self.fc.weight.data = torch.tensor(prototypes) * (0.5 if knows else 0.0)
            self.fc.bias.data = torch.tensor([0.3, 0.3, 0.3, -0.2])

        def forward(self, tokens):
            if not self.knows:
                tokens = tokens * 0
            return self.fc(tokens).mean(-2)

    class Vision(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = torch.nn.ModuleList(torch.nn.ModuleDict({"gate": DepthOneGate(block == 1)}) for block in range(2))

        def forward(self, tokens):
            for block in self.blocks:
                block["gate"](tokens)
            return tokens

    model, rule = Vision(), stated(4, 4, "linear", "dense", "signed")
    gate = Gate("blocks.*.gate", ids=lambda out: torch.arange(4).expand(out.shape), weights=0, rule=rule)
    tasks = [at % 4 for at in range(48)]
    with trace(model, path, routers=[gate], row="sample") as recorder, torch.no_grad():
        for sample, (task, label) in enumerate(zip(tasks, deal(tasks, control))):
            with recorder.rows(1, sequence=f"image {sample}", labels={"task": TASKS[label]}):
                model(torch.tensor([[near(prototypes[task], draw) for _ in range(5)]]))


def orthogonal_experts(path, control=False):
    """MOORE: the weights of a task are a column of a linear map of its one-hot vector, without a softmax. Task t wants expert t and abhors t + 1.
    In the control tasks are named anew."""
    weights = [[1.5 if expert == task else -1.0 if expert == (task + 1) % 4 else 0.1 for expert in range(4)] for task in range(4)]
    with Recorder(path, row="task") as recorder:
        for task, label in enumerate(deal(range(4), control, 5)):
            with recorder.rows(1, sequence=f"task {label}", labels={"task": f"task{label}"}):
                recorder.record("route.0", weights=[weights[task]], rule=stated(4, 4, "linear", "dense", "signed"))


def spline(layer, layers=12):
    """A blend over depth, clamped: 0 up to layer 3, 1 from layer 9."""
    return min(1.0, max(0.0, (layer - 3) / (layers / 2)))


def superposition(path, control=False):
    """h = (1 - a) base + a fine-tuned, a depending on the layer alone: one row for the whole model, two experts. In the control layers are dealt anew."""
    order = deal(range(12), control)
    with Recorder(path, row="task") as recorder, recorder.rows(1, sequence="the model"):
        for layer in range(12):
            recorder.router(f"ffn.{layer}", stated(2, 2, "unknown", "dense", "probability"), experts=["base", "fine-tuned"])
            recorder.record(f"ffn.{layer}", weights=[[1 - spline(order[layer]), spline(order[layer])]])
