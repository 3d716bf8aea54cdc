"""Load of experts and how evenly it falls."""
import functools
import itertools
import math

import numpy as np
from scipy.stats import binom

from .answers import Chance
from .cells import rows_by_cell
from .statistics import MINIMUM_TEXTS, ends, entropy, half_width

# Draws of loads under uniform choice: ours, and those that moetop takes at least.
DRAWS = 2000
THEIR_DRAWS = 250


def assignments(run, router, axis=None, computed=True):
    """(names of cells, counts [texts, cells, experts], tokens [texts, cells]) of what passes; without drops where `computed`."""
    names, cell = (["all"], np.zeros(len(router.tokens), int)) if axis is None else rows_by_cell(run, axis, router.tokens)
    rows = router.passes & (cell >= 0)
    shape = (run.texts, len(names))
    place = router.tokens.text * len(names) + cell
    tokens = np.bincount(place[rows], minlength=shape[0] * shape[1]).reshape(shape)
    counted = router.chosen & rows[:, None]
    if computed:
        counted = counted & ~router.dropped
    flat = (place[:, None] * router.experts + router.ids)[counted]
    return names, np.bincount(flat, minlength=shape[0] * shape[1] * router.experts).reshape(*shape, router.experts), tokens


def variation(n):
    return n.std(axis=-1) / n.mean(axis=-1)


def max_over_mean(n):
    return n.max(axis=-1) / n.mean(axis=-1)


def gini(n):
    experts = n.shape[-1]
    return ((2 * np.arange(1, experts + 1) - experts - 1) * np.sort(n, axis=-1)).sum(axis=-1) / (experts * n.sum(axis=-1))


def coverage(n):
    quarter = math.ceil(n.shape[-1] / 4)
    return np.sort(n, axis=-1)[..., -quarter:].sum(axis=-1) / n.sum(axis=-1)


# name: (statistic, unit, has an interval, needs assignments)
SHAPES = {
    "load_cv": (variation, "times the mean", True),
    "max_vio": (lambda n: max_over_mean(n) - 1, "times the mean", False),
    "max_over_mean": (max_over_mean, "times the mean", False),
    "gini": (gini, "dimensionless", True),
    "coverage": (coverage, "share of assignments", True),
    "idle": (lambda n: (n == 0).sum(axis=-1), "experts", False),
    "load_entropy": (entropy, "nat", True),
    "effective_experts": (lambda n: np.exp(entropy(n)), "experts", True),
}


@functools.lru_cache(None)
def chance_loads(experts, k, tokens):
    """[draws, experts] loads when each token chooses k of E evenly. Subsets of many tokens are drawn by their counts."""
    random = np.random.default_rng([experts, k, tokens])
    subsets = math.comb(experts, k)
    if subsets <= 5000:
        member = np.zeros((subsets, experts))
        for index, subset in enumerate(_subsets(experts, k)):
            member[index, subset] = 1
        return random.multinomial(tokens, np.full(subsets, 1 / subsets), size=DRAWS) @ member
    loads = np.zeros((DRAWS, experts))
    for draw in range(DRAWS):
        for start in range(0, tokens, 20_000):
            chosen = np.argpartition(random.random((min(20_000, tokens - start), experts)), k - 1, axis=1)[:, :k]
            loads[draw] += np.bincount(chosen.ravel(), minlength=experts)
    return loads


def _subsets(experts, k):
    return map(list, itertools.combinations(range(experts), k))


@functools.lru_cache(None)
def expected_entropy(experts, k, tokens):
    """ln(T k) - E / (T k) E[n ln n], n binomial."""
    n = np.arange(1, tokens + 1)
    return math.log(tokens * k) - experts / (tokens * k) * float((binom.pmf(n, tokens, k / experts) * n * np.log(n)).sum())


@functools.lru_cache(None)
def expected_gini(experts, k, tokens):
    """(E - 1) E|n_1 - n_2| / (2 T k). A token moves the difference by one either way with probability q each: its law by its Fourier transform."""
    q = k * (experts - k) / (experts * (experts - 1)) if experts > 1 else 0
    size = 2 * tokens + 1
    law = np.fft.fft((1 - 2 * q + 2 * q * np.cos(2 * np.pi * np.arange(size) / size)) ** tokens).real / size
    distance = np.minimum(np.arange(size), size - np.arange(size))
    return (experts - 1) * float((law * distance).sum()) / (2 * tokens * k)


def chance(name, router, tokens):
    if tokens == 0:
        return None
    experts, k = router.experts, router.k
    if name == "load_cv":
        return math.sqrt((experts - k) / (k * tokens))
    if name == "idle":
        return experts * (1 - k / experts) ** tokens
    if name in ("gini", "load_entropy"):
        return (expected_gini if name == "gini" else expected_entropy)(experts, k, int(tokens))
    values = SHAPES[name][0](chance_loads(experts, k, int(tokens)))
    return Chance(float(values.mean()), float(values.std()) * math.sqrt(1 / DRAWS + 1 / THEIR_DRAWS))


def shape_rows(run, name, axis, options):
    statistic, unit, smooth = SHAPES[name]
    rows = []
    for router in options.routers(run):
        names, counts, tokens = assignments(run, router, axis)
        for c, cell in enumerate(names):
            own, total = counts[:, c], counts[:, c].sum(axis=0)
            took = tokens[:, c].sum()
            if axis is not None and took == 0:
                continue
            has = total.sum() > 0 if name != "idle" else took > 0
            row = {
                "router": router.name, "layer": router.layer, "unit": unit, "n": int(total.sum()), "n_of": "assignments",
                "value": float(statistic(total)) if has else None, "baseline": chance(name, router, took),
            }
            if axis is not None:
                row["cell"] = cell
            if options.ci and smooth:
                texts = own[own.sum(axis=1) > 0]
                half = half_width(statistic(total - texts)) if has and len(texts) >= MINIMUM_TEXTS else math.nan
                row["low"], row["high"] = ends(row["value"], float(half))
            rows.append(row)
    return rows


def expert_rows(run, name, axis, options):
    rows = []
    for router in options.routers(run):
        names, counts, tokens = assignments(run, router, axis)
        for c, cell in enumerate(names):
            total, took = counts[:, c].sum(axis=0), tokens[:, c].sum()
            if axis is not None and took == 0:
                continue
            e, k, n = router.experts, router.k, total.sum()
            value, unit, baseline = {
                "load": lambda x: (x / n if n else None, "share of assignments", 1 / e),
                "load_ratio": lambda x: (x / n * e if n else None, "times uniform", 1.0),
                "activation_rate": lambda x: (x / took if took else None, "share of tokens", k / e),
            }[name], None, None
            for expert in range(e):
                number, unit, baseline = value(total[expert])
                row = {
                    "router": router.name, "layer": router.layer, "expert": expert, "unit": unit, "n": int(total[expert]),
                    "n_of": "assignments", "value": number, "baseline": baseline,
                }
                if axis is not None:
                    row["cell"] = cell
                rows.append(row)
    return rows


def weighted_rows(run, name, axis, options):
    rows = []
    for router in options.routers(run):
        _, counts, _ = assignments(run, router)
        total = counts.sum(axis=(0, 1))
        weights = np.zeros(router.experts)
        if router.weights is not None:
            taken = router.chosen & router.passes[:, None]
            weights = np.bincount(router.ids[taken], router.weights[taken].astype(np.float64), router.experts)
        for expert in range(router.experts):
            rows.append({
                "router": router.name, "layer": router.layer, "expert": expert, "unit": "share of routing weight", "n": int(total[expert]),
                "n_of": "assignments", "value": weights[expert] / weights.sum() if weights.sum() else None, "baseline": 1 / router.experts,
            })
    return rows


def dropped_rows(run, name, axis, options):
    rows = []
    for router in options.routers(run):
        taken = router.chosen & router.passes[:, None]
        rows.append({
            "router": router.name, "layer": router.layer, "unit": "share of choices", "n": int(taken.sum()), "n_of": "assignments",
            "value": (router.dropped & taken).sum() / taken.sum() if taken.any() else None, "baseline": 0.0,
        })
    return rows
