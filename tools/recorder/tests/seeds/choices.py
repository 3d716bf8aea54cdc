"""One choice a sample or task, from what lies outside of a network: an adapter for a domain, experts for a client, the expert whose classes
lie furthest apart, the nearest cluster of demonstrations. Lines for `moetop import`."""
import random

from .common import basis, best, deal, near, softmax, times, write_lines


def panel_of_experts(path, control=False):
    """Four domains with an adapter each: the label of the run chooses it."""
    domains = [("law", "medicine", "news", "code")[at % 4] for at in range(80)]
    rows = [{"labels": {"domain": label}, "route.0": {"ids": [at % 4]}} for at, label in enumerate(deal(domains, control))]
    write_lines(path, "sample", [("route.0", 4, 1, "fixed")], rows)


def fed_jets(path, control=False):
    """Ten classes, five experts; the gate reads features of the common expert, and the two best are sent to the client. A client holds
    samples of two classes."""
    draw, prototypes = random.Random(26), basis(5)
    classes = [at % 10 for at in range(200)]
    rows = []
    for kind, label in zip(classes, deal(classes, control)):
        scores = softmax(times(prototypes, near(prototypes[kind // 2], draw)))
        ids = best(scores, 2)
        rows.append({"labels": {"class": str(label), "client": f"client{label // 2}"}, "route.0": {"ids": ids, "weights": [scores[at] for at in ids]}})
    write_lines(path, "sample", [("route.0", 5, 2, "top_k")], rows)


def seed(path, control=False):
    """Continual learning, three experts: a new task goes to the one in which its classes' Gaussians have the largest mean divergence.
    Planted: expert `task mod 3` spreads the means of a task's two classes twice as far as the others do."""
    tasks = list(range(12))
    rows = []
    for task, label in zip(tasks, deal(tasks, control)):
        means = [(0.0, 2.0 if expert == task % 3 else 1.0) for expert in range(3)]
        divergences = [(low - high) ** 2 / 2 for low, high in means]    # KL of Gaussians of the same unit variance.
        rows.append({"labels": {"residue": f"r{label % 3}"}, "coordinates": {"task": label, "divergence": max(divergences)},
                     "route.0": {"ids": best(divergences, 1)}})
    write_lines(path, "task", [("route.0", 3, 1, "fixed")], rows)


def mixture_of_prompts(path, control=False):
    """Five clusters of demonstrations: a query takes the prompt of the nearest centre."""
    draw, centres = random.Random(66), basis(5)
    topics = [at % 5 for at in range(100)]
    rows = []
    for topic, label in zip(topics, deal(topics, control)):
        query = near(centres[topic], draw, gain=1.0, noise=0.05)
        distances = [sum((a - b) ** 2 for a, b in zip(query, centre)) for centre in centres]
        rows.append({"labels": {"topic": f"topic{label}"}, "route.0": {"ids": best([-one for one in distances], 1)}})
    write_lines(path, "sample", [("route.0", 5, 1, "fixed")], rows)
