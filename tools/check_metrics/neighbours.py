"""Likeness of a token's experts to those of the token before."""
import math

import numpy as np

from .cells import label_cells
from .statistics import ratio_interval

PAIRED_TOKENS = 64


def membership(router):
    member = np.zeros((len(router.tokens), router.experts), bool)
    for column in router.ids.T:
        known = column >= 0
        member[np.nonzero(known)[0], column[known]] = True
    return member


def likeness(name, first_a, a, first_b, b):
    """Of two tokens: their first experts and sets [.., E]."""
    if name == "repeat_first":
        return (first_a == first_b).astype(np.float64)
    shared = (a & b).sum(axis=-1)
    if name == "repeat_any":
        return (shared > 0).astype(np.float64)
    if name == "overlap":
        return shared.astype(np.float64)
    return shared / np.maximum(1, (a | b).sum(axis=-1))


def uniform(name, e, k):
    total = math.comb(e, k)
    if name == "repeat_first":
        return 1 / e
    if name == "repeat_any":
        return 1 - math.comb(e - k, k) / total
    if name == "overlap":
        return k * k / e
    return sum(math.comb(k, m) * math.comb(e - k, k - m) / total * m / (2 * k - m) for m in range(max(1, 2 * k - e), k + 1))


def within_text(name, first, member, positions):
    """Likeness of any two different tokens of one text; None for fewer than two."""
    n = len(first)
    if n < 2:
        return None
    if name in ("repeat_first", "overlap"):
        counts = np.bincount(first, minlength=member.shape[1]) if name == "repeat_first" else member.sum(axis=0)
        return float((counts * (counts - 1.0)).sum() / (n * (n - 1.0)))
    chosen = sampled(positions)
    i, j = np.triu_indices(len(chosen), 1)
    i, j = chosen[i], chosen[j]
    return float(likeness(name, first[i], member[i], first[j], member[j]).mean())


def sampled(positions):
    """Which of a text's tokens stand for all where they are more than 64: those whose positions SplitMix64 makes the smallest numbers of."""
    if len(positions) <= PAIRED_TOKENS:
        return np.arange(len(positions))
    with np.errstate(over="ignore"):
        mixed = positions.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.argsort(mixed)[:PAIRED_TOKENS]


UNITS = {"repeat_first": "share of pairs", "repeat_any": "share of pairs", "overlap": "experts", "jaccard": "dimensionless"}


def rows(run, name, axis, options):
    found = []
    for router in options.routers(run):
        tokens, member, first = router.tokens, membership(router), router.ids[:, 0]
        passes = router.passes
        pairs = np.nonzero(passes[1:] & passes[:-1] & (tokens.text[1:] == tokens.text[:-1]) & (tokens.position[1:] == tokens.position[:-1] + 1))[0]
        values = likeness(name, first[pairs], member[pairs], first[pairs + 1], member[pairs + 1])
        text = tokens.text[pairs]
        sums, counts = np.bincount(text, values, run.texts), np.bincount(text, minlength=run.texts)
        inside = np.array([
            np.nan if (value := within_text(name, first[own], member[own], tokens.position[own])) is None else value
            for own in (np.nonzero(passes & (tokens.text == t))[0] for t in range(run.texts))])
        names, cell = (["all"], np.zeros(run.texts, int)) if axis is None else label_cells(run, axis)
        for c, one in enumerate(names):
            here = cell == c
            n = counts[here].sum()
            if axis is not None and not passes[here[tokens.text]].any():
                continue
            weighed = here & (counts > 0) & np.isfinite(inside)
            row = {
                "router": router.name, "layer": router.layer, "unit": UNITS[name], "n": int(n), "n_of": "pairs",
                "value": sums[here].sum() / n if n else None, "baseline": uniform(name, router.experts, router.k),
                "within_text_baseline": float((inside * counts)[weighed].sum() / counts[weighed].sum()) if weighed.any() else None,
            }
            if axis is not None:
                row["cell"] = one
            elif name == "repeat_first":
                shares = np.bincount(first[passes], minlength=router.experts) / max(1, passes.sum())
                row["own_load_baseline"] = float((shares**2).sum()) if n else None
            elif name == "overlap":
                rates = member[passes].sum(axis=0) / max(1, passes.sum())
                row["own_load_baseline"] = float((rates**2).sum()) if n else None
            if options.ci:
                row["low"], row["high"] = ratio_interval(np.where(here, sums, 0), np.where(here, counts, 0))
            found.append(row)
    return found

