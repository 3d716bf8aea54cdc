"""One decision a sample, and all experts weighed: what these systems write into a file of their own, as lines for `moetop import`.

Twin-Merging weighs task vectors by a softmax of an MLP's logits; the mixture for speech scoring weighs graders; MMOE weighs models for
redundant, unique and synergistic samples; MergeME takes the softmax of the two largest inverse perplexities.
"""
import random

from .common import basis, best, chosen, deal, executable, near, softmax, times, write_lines


def twin_merging(path, control=False):
    """Eight tasks; the router's hidden layer rectifies, its logits are near 3 for the task's own expert and near 0 for all others."""
    draw, prototypes = random.Random(10), basis(8)
    tasks = [f"task{at % 8}" for at in range(160)]
    rows = []
    for task, label in zip(tasks, deal(tasks, control)):
        hidden = [max(0.0, value) for value in times(prototypes, near(prototypes[int(task[4:])], draw, noise=0.02))]
        logits = [3 * value / 4 for value in hidden]
        rows.append({"labels": {"task": label}, "route.0": chosen(logits, 8)})
    write_lines(path, "sample", [("route.0", 8, 8, executable(8, 8))], rows)


def speech_scoring(path, control=False):
    """Three graders; the weights of fluent and of halting speakers were planted as 0.7, 0.2, 0.1 and the other way round."""
    levels = ["fluent" if at % 2 else "halting" for at in range(60)]
    rows = []
    for level, label in zip(levels, deal(levels, control)):
        weights = [0.7, 0.2, 0.1] if level == "fluent" else [0.1, 0.2, 0.7]
        ids = best(weights, 3)
        rows.append({"labels": {"level": label}, "route.0": {"ids": ids, "weights": [weights[at] for at in ids]}})
    write_lines(path, "sample", [("route.0", 3, 3, "dense")], rows)


def interactions(path, control=False):
    """Samples are redundant, unique or synergistic; the fuser's three logits say which, but for one sample in ten."""
    kinds = [("redundant", "unique", "synergistic")[at % 3] for at in range(90)]
    rows = []
    for at, (kind, label) in enumerate(zip(kinds, deal(kinds, control))):
        said = ("redundant", "unique", "synergistic").index(kind)
        said = (said + 1) % 3 if at % 10 == 9 else said
        rows.append({"labels": {"interaction": label}, "route.0": chosen([2.0 if one == said else 0.0 for one in range(3)], 1)})
    write_lines(path, "sample", [("route.0", 3, 1, executable(3, 1))], rows)


def merge_me(path, control=False):
    """Experts base, code, math, knowledge; weights are the softmax of the two largest 1 / perplexity of the whole input."""
    perplexities = {"gsm8k": [4.0, 8.0, 2.0, 5.0], "mbpp": [5.0, 2.0, 4.0, 8.0]}
    names = [list(perplexities)[at % 2] for at in range(40)]
    rows = []
    for name, label in zip(names, deal(names, control)):
        inverse = [1 / value for value in perplexities[name]]
        ids = best(inverse, 2)
        rows.append({"labels": {"benchmark": label}, "route.0": {"ids": ids, "weights": softmax([inverse[at] for at in ids])}})
    write_lines(path, "sample", [("route.0", 4, 2, "top_k")], rows)
