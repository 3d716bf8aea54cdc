"""A task's route through a network, known without a token: SciMult (a map), CrossTaskMoE (an embedding through a small router),
Learning to Branch (a parent for each task at each level)."""
import random

from moetop_record import Recorder, Rule, stated

from .common import basis, deal, near, times

SCIMULT = {"classification": 0, "link": 1, "search": 2}


def sci_mult(path, control=False):
    """Each kind of task has its expert, in every block."""
    with Recorder(path, row="task") as recorder:
        for block in (1, 3):
            recorder.router(f"ffn.{block}", stated(3, 1, "unknown", "fixed", "none"))
        for task, said in zip(SCIMULT, deal(SCIMULT, control, 2)):
            with recorder.rows(1, sequence=task, labels={"task": said}):
                for block in (1, 3):
                    recorder.record(f"ffn.{block}", [[SCIMULT[task]]])


def cross_task(path, control=False):
    """Twelve tasks of three kinds; the embedding of a task goes through a linear router of each layer to three experts. Encoder and decoder are towers here:
    rows of a task are no tokens of an encoder. The decoder's first layer does not know the kind."""
    draw, prototypes = random.Random(64), basis(3)
    kinds = [at % 3 for at in range(24)]
    with Recorder(path, row="task", record="full") as recorder:
        for task, (kind, label) in enumerate(zip(kinds, deal(kinds, control))):
            embedding = near(prototypes[kind], draw)
            with recorder.rows(1, sequence=f"task {task}", labels={"kind": ("classification", "qa", "generation")[label]}):
                for tower, layer in (("encoder", 0), ("encoder", 1), ("decoder", 0), ("decoder", 1)):
                    knows = (tower, layer) != ("decoder", 0)
                    recorder.record(f"{tower}.ffn.{layer}", logits=[times(prototypes, embedding if knows else near(prototypes[task // 3 % 3], draw))], rule=Rule(3, 1))


def branches(path, control=False):
    """Six tasks, two branches at level 0 and three at level 1; probabilities of a parent are a softmax that is drawn from in training and whose largest
    is the tree. Tasks 0 to 2 share a branch at level 0."""
    parents = {0: [0, 0, 0, 1, 1, 1], 1: [0, 0, 1, 1, 2, 2]}
    with Recorder(path, row="task", record="full") as recorder:
        for task, label in enumerate(deal(range(6), control)):
            with recorder.rows(1, sequence=f"task {label}", labels={"task": f"task{label}", "half": "first" if label < 3 else "second"}):
                for level, experts in ((0, 2), (1, 3)):
                    logits = [2.0 if one == parents[level][task] else 0.0 for one in range(experts)]
                    recorder.record(f"route.0.t{level}", logits=[logits], rule=Rule(experts, 1))
