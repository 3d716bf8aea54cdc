"""What the small systems share: draws by a seed, orthonormal prototypes, inputs near one of them, and lines that `moetop import` reads.

Every maker is called with the file it writes and with `control`: then the values of its axis are dealt anew over its rows, so that
routing knows nothing of them.
"""
import json
import math
import random

WIDTH = 16


def softmax(logits, temperature=1.0):
    high = max(logits)
    powers = [math.exp((logit - high) / temperature) for logit in logits]
    return [power / sum(powers) for power in powers]


def sigmoid(logits):
    return [1 / (1 + math.exp(-logit)) for logit in logits]


def best(scores, k):
    """Ids of the k largest, by falling score."""
    return sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:k]


def basis(count, width=WIDTH):
    """Orthonormal vectors: rows of a Walsh matrix."""
    return [[(-1) ** (row & column).bit_count() / math.sqrt(width) for column in range(width)] for row in range(count)]


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


def scaled(vector, factor):
    return [factor * value for value in vector]


def plus(*vectors):
    return [sum(values) for values in zip(*vectors)]


def near(prototype, draw, gain=4.0, noise=0.5):
    """An input: a prototype, and noise of this spread along every direction."""
    return [gain * value + noise * draw.gauss(0, 1) for value in prototype]


def deal(values, control, seed=97):
    """The values of an axis, row by row; of a control in an order that a seed draws."""
    values = list(values)
    if control:
        random.Random(seed).shuffle(values)
    return values


def executable(experts, k):
    """`routers.spec` of a softmax over all experts and the k best of it, weights as they are."""
    return {"expertCount": experts, "identityExperts": 0, "scoring": {"softmax": {}}, "selection": {"tokenChoice": {"topK": k}}, "weighting": "scores",
            "normalization": {"none": {}}, "routedScale": 1, "appliesTo": "output"}


def write_lines(path, kind, routers, rows):
    """The lines that `moetop import` reads: routers as (path, experts, slots, rule), rows as dictionaries."""
    with open(path, "w", encoding="utf-8") as file:
        names = [{"router": router, "experts": experts, "top_k": slots, "rule": rule} for router, experts, slots, rule in routers]
        file.write(json.dumps({"moetop": "routing/1", "row": kind, "routers": names}) + "\n")
        for at, row in enumerate(rows):
            file.write(json.dumps({"sequence": str(at), "position": 0, **row}) + "\n")


def chosen(logits, k, spread=softmax):
    """A decision as a line holds it: ids and weights of the k best, and the logits."""
    scores = spread(logits)
    ids = best(scores, k)
    return {"ids": ids, "weights": [scores[at] for at in ids], "logits": logits}
