"""Gates that a task owns or that know the task: TMMOE, MMoEEx, AdaTT, TaskExpert (dense, a gate a task), and token routers that know the task
(sparsely activated multi-task learning, JiuZhang 2.0)."""
import random

from moetop_record import Recorder, Rule, stated

from .common import WIDTH, basis, deal, near, plus, scaled, times


def trajectories(path, control=False):
    """TMMOE: three gates (longitudinal, lateral, intention) over the features of the same time steps; each wants its own of three experts,
    and the lateral gate another one while the vehicle turns, in the second half. In the control the steps' times are dealt anew."""
    draw, prototypes = random.Random(12), basis(3)
    with Recorder(path, row="frame", record="full") as recorder:
        for text in range(10):
            seconds = [0.1 * at for at in range(30)]
            with recorder.rows(30, sequence=f"trajectory {text}", coordinates={"seconds": deal(seconds, control, text)}):
                for task in range(3):
                    own = [(task + 1) % 3 if task == 1 and time >= 1.5 else task for time in seconds]
                    logits = [scaled(times(prototypes, near(prototypes[expert], draw, noise=0.1)), 0.75) for expert in own]
                    recorder.record(f"route.0.t{task}", logits=logits, rule=Rule(3, 3))


def exclusivity(path, control=False):
    """MMoEEx: no gate is a module. Kernels [tasks, features, experts] are multiplied by einsum in a function, which is wrapped; a closed
    connection has a kernel of zeros, so its logit is 0 and its weight is small, not 0. In the control nothing is closed."""
    import torch
    tasks, experts = 2, 4
    kernels = torch.full((tasks, WIDTH, experts), 2.0 / WIDTH)
    if not control:
        kernels[1, :, 3] = 0.0

    def gates(x):
        return torch.einsum("bf,tfe->bte", x, kernels)

    with Recorder(path, row="sample", record="full") as recorder:
        for task in range(tasks):
            gates = recorder.wrap(gates, f"route.0.t{task}", ids=None, weights=None, logits=lambda out, task=task: out[:, task], rule=Rule(experts, experts))
        with recorder.rows(40):
            gates(torch.ones(40, WIDTH))


def ada_tt(path, control=False):
    """AdaTT: at each of two levels a task has a Sequential of a linear layer and a softmax over all experts; the module's output are the weights.
    Planted: task 0 learns from its own experts at level 0 and from those of task 1 at level 1. In the control levels were exchanged."""
    import torch

    from moetop_record import Gate, trace


    class Level(torch.nn.Module):
        def __init__(self, level):
            super().__init__()
            self.gate_weights = torch.nn.ModuleList(
                torch.nn.Sequential(torch.nn.Linear(WIDTH, 4, bias=False), torch.nn.Softmax(-1)) for _ in range(2))
            for task, gate in enumerate(self.gate_weights):
                own = (task + level) % 2
                gate[0].weight.data = torch.tensor([[1.0 / WIDTH if expert // 2 == own else 0.0] * WIDTH for expert in range(4)])

        def forward(self, x):
            for gate in self.gate_weights:
                gate(x)
            return x

    model = torch.nn.Sequential(*(Level(level) for level in deal((0, 1), control, 1)))
    gates = [Gate(f"{level}.gate_weights.{task}", ids=lambda out: torch.arange(4).expand(out.shape), weights=0, path=f"ffn.{level}.t{task}",
                  rule=stated(4, 4, "softmax", "dense", "probability")) for level in range(2) for task in range(2)]
    with trace(model, path, routers=gates, row="sample") as recorder, torch.no_grad(), recorder.rows(40):
        model(torch.full((1, 40, WIDTH), 2.0))


def task_expert(path, control=False):
    """TaskExpert: patches of an image, a gate a task; the gate for depth (t0) wants expert 0 in the upper half of the image, that for edges (t1)
    expert 1 in the left half. In the control places are dealt anew."""
    draw, prototypes = random.Random(22), basis(3)
    with Recorder(path, row="patch", record="full") as recorder:
        for image in range(8):
            places = [(at // 8, at % 8) for at in range(64)]
            said = deal(places, control, image)
            with recorder.rows(64, sequence=f"image {image}", coordinates={"row": [row for row, _ in said], "column": [column for _, column in said]}):
                for task in range(2):
                    wanted = [(task if (row if task == 0 else column) < 4 else 2) for row, column in places]
                    logits = [times(prototypes, near(prototypes[expert], draw, gain=3.0, noise=0.1)) for expert in wanted]
                    recorder.record(f"ffn.2.t{task}", logits=logits, rule=Rule(3, 3))


def task_aware(path, control=False):
    """Gupta et al.: a task embedding is added to the router's input. Tasks nli and paraphrase have the same embedding, summary another one."""
    draw, prototypes = random.Random(16), basis(8)
    embeddings = {"nli": prototypes[0], "paraphrase": prototypes[0], "summary": prototypes[4]}
    tasks = [list(embeddings)[at % 3] for at in range(36)]
    with Recorder(path, record="full") as recorder:
        for text, (task, label) in enumerate(zip(tasks, deal(tasks, control))):
            tokens = [near(scaled(embeddings[task], 1.0), draw, gain=5.0, noise=1.0) for _ in range(16)]
            with recorder.rows(ids=[draw.randrange(500) for _ in range(16)], sequence=f"text {text}", labels={"task": label}):
                recorder.record("ffn.0", logits=[times(prototypes, token) for token in tokens], rule=Rule(8, 1))


def jiu_zhang(path, control=False):
    """JiuZhang 2.0: experts of the feed-forward network that encoder and decoder share, so one bank under two routers; problems of two kinds."""
    draw, prototypes = random.Random(35), basis(4)
    kinds = [("choice", "blank")[at % 2] for at in range(24)]
    with Recorder(path, record="full") as recorder:
        for layer in range(2):
            recorder.router(f"ffn.{layer}", Rule(4, 2, normalization="sum"), bank="shared")
        for text, (kind, label) in enumerate(zip(kinds, deal(kinds, control))):
            with recorder.rows(ids=[draw.randrange(300) for _ in range(20)], sequence=f"problem {text}", labels={"kind": label}):
                for layer in range(2):
                    first = 0 if kind == "choice" else 2
                    tokens = [plus(near(prototypes[first], draw), near(prototypes[first + 1], draw)) for _ in range(20)]
                    recorder.record(f"ffn.{layer}", logits=[times(prototypes, token) for token in tokens])
