"""Token routers of language models, taken from PyTorch: XFT (a shared expert that gets what the best leaves), CMoE (neurons as a
router, a bias that steers), HMoE (experts of unequal width, as many as it takes), Nexus (router rows made from embeddings of domains)."""
import math
import random

from moetop_record import Recorder, Rule, stated

from .common import basis, best, deal, near, scaled, softmax, times


def xft(path, control=False):
    """Eight experts, one of them shared: of seven routed the best five, weighed by a softmax of their probabilities times the largest probability; what
    is left of 1 is the weight of the shared one. Planted: the largest probability is 1/2 in code and 1/7 in prose."""
    draw = random.Random(2)
    domains = [("code", "prose")[at % 2] for at in range(20)]
    rule = Rule(7, 5, "softmax", weighting="best_times_softmax_of_selected_scores", weights="probability")
    with Recorder(path, record="full", shared_weights=True) as recorder:
        recorder.router("ffn.0", rule, shared_experts=1)
        for text, (domain, label) in enumerate(zip(domains, deal(domains, control))):
            logits, shared = [], []
            for _ in range(16):
                own = draw.randrange(7)
                logits.append([math.log(6) if domain == "code" and expert == own else 0.0 for expert in range(7)])
                shared.append(1 - max(softmax(logits[-1])))
            with recorder.rows(ids=[draw.randrange(400) for _ in range(16)], sequence=f"text {text}", labels={"domain": label}):
                recorder.record("ffn.0", logits=logits, shared=shared)


def cmoe(path, control=False):
    """A routed expert's representative neuron gives |(c x) SiLU(g x)|, which is the logit; a bias is added for the selection alone; weights are 1. In wiki
    texts the second expert is so near that the bias of 0.5 on it decides; in code it does not. In the control the bias is 0."""
    draw, neurons = random.Random(5), basis(4)
    domains = [("wiki", "code")[at % 2] for at in range(20)]
    rule = Rule(4, 1, "softmax", weighting="ones", bias=[0, 0 if control else 0.5, 0, 0])

    def representative(x):
        return [abs(value * value / (1 + math.exp(-value))) for value in times(neurons, x)]    # gate and classifier rows are the same here.

    with Recorder(path, record="full") as recorder:
        for text, domain in enumerate(domains):
            shape = [1.6, 1.5, 0.0, 0.0] if domain == "wiki" else [3.0, 0.0, 0.0, 0.0]
            rows = [[sum(part * neuron[at] for part, neuron in zip(shape, neurons)) for at in range(len(neurons[0]))] for _ in range(16)]
            with recorder.rows(ids=[draw.randrange(400) for _ in rows], sequence=f"text {text}", labels={"domain": domain}):
                recorder.record("ffn.0", logits=[representative(row) for row in rows], rule=rule)


def heterogeneous(path, control=False):
    """HMoE: eight experts of 9 to 23 units, taken until their probabilities reach 0.6. Easy texts are certain (one expert, the smallest), hard ones are not
    at all (five of eight, 5/8 >= 0.6)."""
    draw = random.Random(37)
    kinds = [("easy", "hard")[at % 2] for at in range(20)]
    widths = list(range(9, 24, 2))
    with Recorder(path) as recorder:
        recorder.router("ffn.0", stated(8, 8, "softmax", "top_p", "probability"), experts=[{"width": width} for width in widths])
        for text, (kind, label) in enumerate(zip(kinds, deal(kinds, control))):
            ids, weights = [], []
            for _ in range(10):
                scores = softmax([9.0] + [0.0] * 7) if kind == "easy" else [1 / 8] * 8
                order, mass, taken = best(scores, 8), 0.0, []
                while mass < 0.6 - 1e-9:
                    taken.append(order[len(taken)])
                    mass += scores[taken[-1]]
                ids.append(taken + [-1] * (8 - len(taken)))
                weights.append([scores[at] / mass for at in taken] + [0.0] * (8 - len(taken)))
            with recorder.rows(ids=[draw.randrange(400) for _ in range(10)], sequence=f"text {text}", labels={"kind": label}):
                recorder.record("ffn.0", ids, weights)


def nexus(path, control=False):
    """The row of an expert is a projection of its domain's embedding; the best of four is taken, its softmax is its weight, and the first model's own
    network is always added. Planted: tokens lie near their domain's projection."""
    draw, prototypes = random.Random(41), basis(4)
    embeddings = {name: scaled(prototype, 0.5) for name, prototype in zip(("arxiv", "books", "code", "wiki"), prototypes)}
    router = [scaled(embedding, 2.0) for embedding in embeddings.values()]    # P_r: one linear map.
    domains = [list(embeddings)[at % 4] for at in range(24)]
    with Recorder(path, record="full") as recorder:
        recorder.router("ffn.0", Rule(4, 1), shared_experts=1, experts=list(embeddings))
        for text, (domain, label) in enumerate(zip(domains, deal(domains, control))):
            with recorder.rows(ids=[draw.randrange(400) for _ in range(16)], sequence=f"text {text}", labels={"domain": label}):
                recorder.record("ffn.0", logits=[times(router, near(scaled(embeddings[domain], 2.0), draw, gain=6.0)) for _ in range(16)])
