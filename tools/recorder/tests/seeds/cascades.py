"""Which of several whole models answers: by confidence (Mowst), by how many were asked (FoE), by a domain's rule (CCoE), by a category and
then an expert (CoE). Lines for `moetop import`."""
import math
import random

from .common import basis, best, deal, near, softmax, times, write_lines


def mowst(path, control=False):
    """A node stays with the weak expert with probability 1 - H(p) / ln n of its prediction p, else it goes to the strong one. Half of the
    nodes are certain (one class has 0.999), half are not (four classes alike), so that their probabilities are 0.993 and 0."""
    draw = random.Random(48)
    predictions = [[0.999, 0.0005, 0.0003, 0.0002] if at % 2 else [0.25] * 4 for at in range(400)]
    rows = []
    confidences = [1 + sum(p * math.log(p) for p in prediction) / math.log(4) for prediction in predictions]
    for confidence, said in zip(confidences, deal(confidences, control)):
        rows.append({"coordinates": {"confidence": said}, "route.0": {"ids": [0 if draw.random() < confidence else 1]}})
    write_lines(path, "node", [("route.0", 2, 1, "drawn")], rows)


def fusing_experts(path, control=False):
    """The frugal variant: experts are asked until the k-nearest-neighbour estimate of the loss is low enough. Classes 0 to 4 need their one
    expert, classes 5 to 9 three of five."""
    classes = [at % 10 for at in range(200)]
    rows = []
    for kind, label in zip(classes, deal(classes, control)):
        asked = [kind] if kind < 5 else [kind - 5, (kind - 4) % 5, (kind - 3) % 5]
        rows.append({"labels": {"class": str(label), "need": "one" if label < 5 else "three"}, "route.0": {"ids": asked}})
    write_lines(path, "sample", [("route.0", 5, 5, "threshold")], rows)


def collaboration(path, control=False):
    """Five domains; a classifier that is wrong for one query in ten hands them to the domain's expert."""
    draw, prototypes = random.Random(62), basis(5)
    domains = [at % 5 for at in range(200)]
    rows = []
    for at, (domain, label) in enumerate(zip(domains, deal(domains, control))):
        read = (domain + 1) % 5 if at // 5 % 10 == 9 else domain
        ids = best(times(prototypes, near(prototypes[read], draw)), 1)
        rows.append({"labels": {"domain": ("code", "math", "law", "medicine", "text")[label]}, "route.0": {"ids": ids}})
    write_lines(path, "sample", [("route.0", 5, 1, "fixed")], rows)


def composition(path, control=False):
    """Two steps: a category of four, then the expert that the category has; a query whose category is uncertain (entropy above 0.5 nat) goes
    to the general expert 3. One in five was planted to be so."""
    draw, prototypes = random.Random(67), basis(4)
    decisions = []
    for at in range(200):
        certain = at // 4 % 5 != 4
        logits = times(prototypes, near(prototypes[at % 4], draw, gain=8.0 if certain else 0.0, noise=0.1))
        scores = softmax(logits)
        entropy = -sum(p * math.log(p) for p in scores)
        decisions.append((logits, scores, entropy, 3 if entropy > 0.5 else (0, 1, 2, 2)[best(scores, 1)[0]]))
    said = deal([entropy for _, _, entropy, _ in decisions], control)
    rows = [{"labels": {"category": f"category{at % 4}"}, "coordinates": {"entropy": said[at]},
             "route.0": {"ids": best(scores, 1), "weights": [max(scores)], "logits": logits}, "route.0.t1": {"ids": [expert]}}
            for at, (logits, scores, _, expert) in enumerate(decisions)]
    write_lines(path, "sample", [("route.0", 4, 1, "top_k"), ("route.0.t1", 4, 1, "fixed")], rows)
