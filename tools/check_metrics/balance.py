"""Importance and the losses that are made of it."""
import json
import math

import numpy as np

from .answers import Skip
from .loads import assignments
from .record import moetop
from .statistics import entropy


def importance(run, router, options):
    """(mean probability of each expert, tokens it is of, whether from logits): from logits, else as `moetop export --what load` has it."""
    p = router.probabilities()
    if p is not None:
        known = router.passes & np.isfinite(p).all(axis=1)
        return p[known].mean(axis=0), int(known.sum()), known
    if options.filtered:
        return None, int(router.passes.sum()), None
    listed = [json.loads(x) for x in moetop(run.binary, "export", run.name, "--what", "load", "--format", "jsonl").splitlines()]
    own = [x for x in listed if x["layer"] == router.layer and x.get("stack", "ffn") == router.stack]
    values = np.array([np.nan if x.get("importance") is None else x["importance"] for x in own])
    return values, int(router.passes.sum()), None


def importance_rows(run, name, axis, options):
    rows = []
    for router in options.routers(run):
        mean, _, _ = importance(run, router, options)
        total = assignments(run, router)[1].sum(axis=(0, 1))
        for expert in range(router.experts):
            rows.append({
                "router": router.name, "layer": router.layer, "expert": expert, "unit": "mean probability", "n": int(total[expert]),
                "n_of": "assignments", "value": mean[expert], "baseline": 1 / router.experts,
            })
    return rows


def loss_rows(run, name, axis, options):
    rows = []
    for router in options.routers(run):
        mean, tokens, known = importance(run, router, options)
        e, k = router.experts, router.k
        row = {"router": router.name, "layer": router.layer, "n": tokens, "n_of": "tokens"}
        if name == "z_loss":
            row |= {"unit": "nat squared", "baseline": math.log(e) ** 2}
            if known is None:
                row["value"] = Skip("z_loss: without recorded logits nothing that export writes holds the router's log-sum-exp")
            else:
                largest = router.logits[known].max(axis=1, keepdims=True)
                logs = largest[:, 0] + np.log(np.exp(router.logits[known] - largest).sum(axis=1))
                row["value"] = (logs**2).mean() if len(logs) else None
        elif name == "token_information":
            entropies = router.entropy[router.passes if known is None else known].astype(np.float64)
            entropies = entropies[np.isfinite(entropies)]
            row |= {"unit": "nat", "baseline": 0.0, "value": entropy(mean) - entropies.mean()}
        else:
            choices = assignments(run, router, computed=False)[1].sum(axis=(0, 1))
            took = router.passes.sum()
            loss = e * (choices / took * mean).sum()
            hf = name == "balance_loss_hf"
            row |= {"unit": "dimensionless", "baseline": float(k) if hf else 1.0, "value": loss if hf else loss / k}
        rows.append(row)
    return rows
