"""Routers over low-rank adapters: single ranks (SMoRA), another number of experts by layer (MoSLD), one router for all layers (MiXSE), imported
experts by module (Rocket), and a user's adapter (CoPL)."""
import random

from moetop_record import Recorder, Rule, stated

from .common import basis, best, deal, near, plus, sigmoid, times

MODULES = ("q", "k", "v", "o", "up", "down")


def single_ranks(path, control=False):
    """SMoRA: 64 ranks, 8 of them by sigmoid + bias; the weight is the biased score, divided by the sum and times 8, which no executable rule says.
    In the module q ranks 0-7 serve translation and 8-15 code; in v ranks do not know the task. The bias closes rank 63."""
    draw = random.Random(17)
    bias = [0.0] * 63 + [-1.0]
    tasks = [("translation", "code")[at % 2] for at in range(24)]
    rule = stated(64, 8, "sigmoid", "top_k", "unnormalized")
    with Recorder(path) as recorder:
        for text, (task, label) in enumerate(zip(tasks, deal(tasks, control))):
            with recorder.rows(ids=[draw.randrange(400) for _ in range(12)], sequence=f"text {text}", labels={"task": label}):
                for stack, module in (("attn", "q"), ("attn", "v")):
                    ids, weights = [], []
                    for _ in range(12):
                        first = {"translation": 0, "code": 8}[task] if module == "q" else 8 * draw.randrange(8)
                        logits = [(4.0 if first <= rank < first + 8 else -2.0) + 0.1 * draw.gauss(0, 1) for rank in range(64)]
                        scores = [score + shift for score, shift in zip(sigmoid(logits), bias)]
                        ids.append(best(scores, 8))
                        weights.append([8 * scores[rank] / sum(scores[one] for one in ids[-1]) for rank in ids[-1]])
                    recorder.record(f"{stack}.0.{module}", ids, weights, rule=rule)


def shared_a(path, control=False):
    """MoSLD: 8, 6, 4 and 2 experts from the lowest layer to the highest, two of them by a softmax that is renormalised, at q and v. All of a layer
    share the matrix A. Layer 0 knows the task."""
    draw = random.Random(19)
    tasks = [("arc", "mmlu")[at % 2] for at in range(20)]
    with Recorder(path, record="full") as recorder:
        for text, (task, label) in enumerate(zip(tasks, deal(tasks, control))):
            with recorder.rows(ids=[draw.randrange(400) for _ in range(12)], sequence=f"text {text}", labels={"task": label}):
                for layer, experts in enumerate((8, 6, 4, 2)):
                    for module in ("q", "v"):
                        rule = Rule(experts, 2, normalization="sum")
                        own = {"arc": (0, 1), "mmlu": (2, 3)}[task] if layer == 0 else ()
                        logits = [[(6.0 if expert in own else 0.0) + draw.gauss(0, 1) for expert in range(experts)] for _ in range(12)]
                        recorder.record(f"attn.{layer}.{module}", logits=logits, rule=rule)


def self_specialised(path, control=False):
    """MiXSE: four adapters with names, one linear router whose choice all layers use."""
    draw, prototypes = random.Random(23), basis(4)
    names = ["knowledge", "reasoning", "math", "coding"]
    benchmarks = [at % 4 for at in range(32)]
    with Recorder(path, record="full") as recorder:
        recorder.router("route.0", Rule(4, 1), holds_for=range(8), experts=names)
        for text, (benchmark, label) in enumerate(zip(benchmarks, deal(benchmarks, control))):
            with recorder.rows(ids=[draw.randrange(400) for _ in range(12)], sequence=f"text {text}", labels={"benchmark": ("mmlu", "bbh", "gsm8k", "humaneval")[label]}):
                recorder.record("route.0", logits=[times(prototypes, near(prototypes[benchmark], draw, gain=6.0)) for _ in range(12)])


def imported_experts(path, control=False):
    """Rocket: the K best adapters of others, two of four by a softmax over the selected logits, at six modules of a layer. Only q and down know the source
    of the text."""
    draw, prototypes = random.Random(44), basis(4)
    sources = [at % 2 for at in range(24)]
    with Recorder(path, record="full") as recorder:
        for text, (source, label) in enumerate(zip(sources, deal(sources, control))):
            with recorder.rows(ids=[draw.randrange(400) for _ in range(10)], sequence=f"text {text}", labels={"source": ("hub", "own")[label]}):
                for module in MODULES:
                    path_of = f"{'ffn' if module in ('up', 'down') else 'attn'}.1.{module}"
                    rows = []
                    for _ in range(10):
                        first = 2 * source if module in ("q", "down") else 2 * draw.randrange(2)
                        rows.append(times(prototypes, plus(near(prototypes[first], draw), near(prototypes[first + 1], draw))))
                    recorder.record(path_of, logits=rows, rule=Rule(4, 2, scoring="logits", weighting="softmax_of_selected"))


def users(path, control=False):
    """CoPL: an embedding of the user through two layers and a softmax with a temperature, the best of eight, beside a shared adapter. One decision a user
    for all modules. Users come in four clusters."""
    draw, prototypes = random.Random(29), basis(8)
    clusters = [at % 4 for at in range(64)]
    with Recorder(path, row="user", record="full") as recorder:
        recorder.router("route.0", Rule(8, 1), shared_experts=1, holds_for=range(4))
        for user, (cluster, label) in enumerate(zip(clusters, deal(clusters, control))):
            hidden = [max(0.0, value) for value in times(prototypes, near(prototypes[2 * cluster], draw))]
            with recorder.rows(1, sequence=f"user {user}", labels={"cluster": f"cluster{label}"}):
                recorder.record("route.0", logits=[[value / 0.5 for value in hidden]])

