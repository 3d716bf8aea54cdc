"""UoE: the whole input chooses half of the experts, and each of these takes half of the positions, so that a position has none or several. The first
decision is of samples and the second of tokens: two runs, as a run has one kind of row."""
import random

from moetop_record import Recorder, stated

from .common import basis, best, deal, near, times


def union(path, control=False):
    """Planted: an expert takes exactly half of a text's positions; texts of two domains choose experts 0-2 and 3-5. In the control domains are dealt anew."""
    draw, prototypes = random.Random(45), basis(6)
    domains = [at % 2 for at in range(20)]
    labels = [("news", "reviews")[label] for label in deal(domains, control)]
    chosen, decisions = [], []
    for domain in domains:
        flat = [near(prototypes[3 * domain + at % 3], draw) for at in range(12)]
        scores = [sum(column) for column in zip(*(times(prototypes, row) for row in flat))]
        ids = best(scores, 3)
        chosen.append(ids)
        taken = {expert: best([times(prototypes, row)[expert] for row in flat], 6) for expert in ids}
        decisions.append([[expert for expert in ids if at in taken[expert]] for at in range(12)])
    with Recorder(path, row="sample", name="inputs choose experts") as recorder:
        for text, ids in enumerate(chosen):
            with recorder.rows(1, sequence=f"text {text}", labels={"domain": labels[text]}):
                recorder.record("route.0", [ids], rule=stated(6, 3, "softmax", "top_k", "none"))
    with Recorder(path, name="experts choose positions") as recorder:
        recorder.router("ffn.0", stated(6, 6, "softmax", "expert_choice", "none"), holds_for=[0])
        for text, rows in enumerate(decisions):
            with recorder.rows(ids=[draw.randrange(400) for _ in rows], sequence=f"text {text}", labels={"domain": labels[text]}):
                recorder.record("ffn.0", [row + [-1] * (6 - len(row)) for row in rows])
