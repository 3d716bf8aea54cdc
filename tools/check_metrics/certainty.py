"""How sure the router is: entropies, margins, mass, and decisions over a threshold."""
import math

import numpy as np

from .answers import TOLERANCE, Near
from .cells import rows_by_cell
from .statistics import quantile, ratio_interval

# Where more than so many values differ, histograms keep fewer low bits (`moetop docs metrics`).
EXACT_VALUES = 1 << 14
QUANTILE_BOUND = 2.0**-10


def forms(router, options):
    """(entropies in nats, as a share of ln E) [rows] in the form asked for."""
    if options.form == "gw-moe":
        with np.errstate(invalid="ignore"):
            p = np.exp(router.logits - router.logits.max(axis=1, keepdims=True)) if router.logits is not None else np.full((len(router.tokens), router.experts), np.nan)
            p = p / p.sum(axis=1, keepdims=True)
            nats = -(p * np.log(p + 1e-5)).sum(axis=1)
        return nats, nats / math.log(router.experts) if router.experts > 1 else np.full(len(nats), np.nan)
    return router.entropy, router.normalised()


MEANS = {
    "entropy": ("share of ln E", lambda r, o: forms(r, o)[1], lambda r: 1.0),
    "entropy_nats": ("nat", lambda r, o: forms(r, o)[0], lambda r: math.log(r.experts)),
    "top1_margin": ("probability", lambda r, o: r.top1, lambda r: 0.0),
    "selection_margin": (None, lambda r, o: r.margin, lambda r: 0.0),
    "top_k_mass": ("probability", lambda r, o: r.mass, lambda r: r.k / r.experts),
}


def near_quantile(values, share, scale=1.0):
    """Exact of few different values; else within 2^-10 of the distance to the nearer of 0 and 1, of numbers that were divided by `scale`."""
    value = quantile(values, share)
    if len(np.unique(values)) <= EXACT_VALUES:
        return value
    return Near(value, QUANTILE_BOUND * min(abs(value), abs(scale - value)) + TOLERANCE * abs(value))


def mean_rows(run, name, axis, options):
    unit, column, baseline = MEANS[name]
    rows = []
    for router in options.routers(run):
        values = column(router, options)
        known = router.passes & np.isfinite(values)
        for cell, inside in _cells(run, router, axis):
            own = values[known & inside].astype(np.float64)
            if axis is not None and not (router.passes & inside).any():
                continue
            row = {
                "router": router.name, "layer": router.layer, "unit": unit or router.unit, "n": len(own), "n_of": "decisions",
                "value": own.mean() if len(own) else None, "baseline": baseline(router),
            }
            if axis is not None:
                row["cell"] = cell
            else:
                row["sd"] = own.std(ddof=1) if len(own) > 1 else None
                for key, share in [("q05", 0.05), ("median", 0.5), ("q95", 0.95)]:
                    row[key] = near_quantile(own, share, math.log(router.experts) if name == "entropy_nats" else 1.0) if len(own) else None
            _interval(row, run, router, values, known & inside, options)
            rows.append(row)
    return rows


def uncertain_rows(run, name, axis, options):
    if axis == "token":
        return uncertain_tokens(run, options)
    rows = []
    for router in options.routers(run):
        share = forms(router, options)[1]
        known = router.passes & np.isfinite(share)
        over = options.over(router, share)
        for cell, inside in _cells(run, router, axis):
            count = (known & inside).sum()
            if axis is not None and not (router.passes & inside).any():
                continue
            row = {
                "router": router.name, "layer": router.layer, "unit": "share of decisions", "n": int(count), "n_of": "decisions",
                "value": over[known & inside].mean() if count else None, "baseline": options.threshold_baseline,
            }
            if axis is not None:
                row["cell"] = cell
            _interval(row, run, router, over, known & inside, options)
            rows.append(row)
    return rows


def _cells(run, router, axis):
    if axis is None:
        return [("all", np.ones(len(router.tokens), bool))]
    names, cell = rows_by_cell(run, axis, router.tokens)
    return [(name, cell == index) for index, name in enumerate(names)]


def _interval(row, run, router, values, known, options):
    if options.ci:
        text = router.tokens.text[known]
        row["low"], row["high"] = ratio_interval(
            np.bincount(text, values[known].astype(np.float64), run.texts), np.bincount(text, minlength=run.texts))


def stack_rows(run, name, axis, options):
    """Over all routers of the encoder, or of the decoder."""
    stack = name[:3]
    routers = [r for r in options.routers(run) if r.stack == stack]
    sums, counts = np.zeros(run.texts), np.zeros(run.texts)
    for router in routers:
        nats, share = forms(router, options)
        known = router.passes & np.isfinite(share)
        values = nats if name.endswith("entropy") else options.over(router, share)
        text = router.tokens.text[known]
        sums += np.bincount(text, values[known].astype(np.float64), run.texts)
        counts += np.bincount(text, minlength=run.texts)
    is_entropy = name.endswith("entropy")
    row = {
        "stack": stack, "routers": len(routers), "unit": "nat" if is_entropy else "share of decisions", "n": int(counts.sum()),
        "n_of": "decisions", "value": sums.sum() / counts.sum() if counts.sum() else None,
        "baseline": math.log(routers[0].experts) if is_entropy else options.threshold_baseline,
    }
    if options.ci:
        row["low"], row["high"] = ratio_interval(sums, counts)
    return [row]


def uncertain_tokens(run, options):
    """Tokens by falling number of routers that are uncertain of them, then by their largest entropy; the margin is that of the router with it.

    A filter chooses which tokens show; what is said of one is of all its decisions at the layers looked at."""
    listed = []
    for table in run.tables:
        routers = [r for r in options.looked_at(run) if r.tokens is table]
        if not routers:
            continue
        shares = np.stack([np.where(np.isfinite(s := forms(r, options)[1]), s, -np.inf) for r in routers])
        over = np.stack([options.over(r, s) & np.isfinite(s) for r, s in zip(routers, shares)]).sum(axis=0)
        shown = np.stack([r.passes for r in routers]).any(axis=0)
        for row in np.nonzero((over > 0) & shown)[0]:
            listed.append((-int(over[row]), -float(shares[:, row].max()), int(table.row[row]), table, row, routers[int(shares[:, row].argmax())]))
    listed.sort(key=lambda x: x[:3])
    rows = []
    for over, largest, token, table, row, router in listed[: options.top]:
        one = {
            "routers_over": -over, "max_entropy": -largest, "max_entropy_router": router.name,
            "token": token, "token_id": int(table.ids[row]), "sequence": int(table.text[row]), "position": int(table.position[row]),
        }
        for key, value in [
            ("surprisal", table.surprisal[row]), ("next_token_entropy", table.next_entropy[row]), ("selection_margin", router.margin[row]),
        ]:
            if np.isfinite(value):
                one[key] = float(value)
        rows.append(one)
    return rows
