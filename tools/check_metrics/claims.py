"""Specialists of steps, places and classes, and the five statements of DiT-MoE with their rules."""
import itertools
import math

import numpy as np

from .answers import Chance, Skip
from .cells import label_cells
from .denoising import GROUPS, Grid, axis_study, contrast_study, group_tables, parts, use
from .loads import assignments
from .specialization import Study, null_numbers
from .statistics import ends, half_width, information, probability_error

SIGNIFICANT = 0.05
PREFERENCE = 0.01
RATIO = 0.1
CONCENTRATION = 0.02
LAYERS = 4
CHANCE_OF_IDLE = 20
# Choices that chance puts into a cell, below which it takes no part in a search for specialists.
FEWEST_EXPECTED = 20


def class_tables(run, routers):
    """(names, class of each sample, [samples, experts] of each router)"""
    names, value = label_cells(run, "class")
    return names, value, [assignments(run, r, computed=False)[1][:, 0].astype(np.float64) for r in routers]


def cell_draws(tables, draws, seed):
    """Sums and sums of squares of each cell over draws, and the draws of the largest |z|. tables: of each router [groups, shifts, cells, experts]."""
    random = np.random.default_rng(seed)
    groups, shifts = tables[0].shape[:2]
    chosen = random.integers(0, shifts, size=(draws, groups))
    batches = lambda t: (t[np.arange(groups), chosen[d]].sum(axis=0) for d in range(draws))
    return standardised([lambda t=t: batches(t) for t in tables], draws)


def label_cell_draws(value, counts, cells, draws, seed):
    random = np.random.default_rng(seed)
    has = value >= 0
    orders = [random.permutation(value[has]) for _ in range(draws)]
    member = lambda order: (order[None, :] == np.arange(cells)[:, None]).astype(np.float64)
    return standardised([lambda c=c: (member(o) @ c[has] for o in orders) for c in counts], draws)


def standardised(sources, draws):
    """(mean and spread of each cell, of each source; the largest |z| over all cells and sources of each draw)"""
    moments, largest = [], np.zeros(draws)
    for source in sources:
        total = square = 0
        for table in source():
            total, square = total + table, square + table**2
        mean = total / draws
        sd = np.sqrt(np.maximum(0, square - draws * mean**2) / (draws - 1))
        moments.append((mean, sd))
        for d, table in enumerate(source()):
            largest[d] = max(largest[d], np.abs(z_scores(table, mean, sd)).max())
    return moments, largest


def z_scores(table, mean, sd):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((sd > 1e-9) & (mean >= FEWEST_EXPECTED), (table - mean) / sd, 0)


def specialist_rows(run, name, axis, options):
    routers = options.routers(run)
    grids = [Grid(run, r) for r in routers]
    names, value, by_class = class_tables(run, routers)
    axes = {}
    for key, inside in [("when", "step"), ("where", "patch")]:
        tables = [group_tables(g, inside).astype(np.float64) for g in grids]
        labels = grids[0].cells(run, inside, grids[0].counts)[0]
        axes[key] = (labels, [t[:, 0].sum(axis=0) for t in tables], *cell_draws(tables, options.draws, options.our_seed))
    real = [np.stack([c[value == i].sum(axis=0) for i in range(len(names))]) for c in by_class]
    axes["class"] = (names, real, *label_cell_draws(value, by_class, len(names), options.draws, options.our_seed))
    answered = {(r["router"], r["expert"]): r for r in options.answer.get("experts", [])}
    found = []
    for index, router in enumerate(routers):
        counts = grids[index].counts.sum(axis=(0, 1, 2, 3))
        for expert in range(router.experts):
            row = {"router": router.name, "layer": router.layer, "expert": expert, "share": counts[expert] / counts.sum()}
            for key, (labels, tables, moments, largest) in axes.items():
                got = (answered.get((router.name, expert)) or {}).get(key)
                row[key] = preferred(got, labels, tables[index], *moments[index], largest, expert, options)
            found.append(row)
    return found


def preferred(got, labels, table, mean, sd, largest, expert, options):
    """The cell that prefers an expert most, where that is beyond chance. Of cells that lie within each other's errors the answer's is taken."""
    z = z_scores(table, mean, sd)[:, expert]
    n = options.draws
    error = lambda one: math.sqrt(2 * (1 + one**2 / 2) / n)
    level = lambda one: (1 + (largest >= one - 1e-9).sum()) / (1 + n)
    best = int(z.argmax())
    if got is not None and got.get("cell") in labels:
        other = labels.index(got["cell"])
        best = other if z[other] >= z[best] - 4 * error(z[best]) else best
    p = level(z[best])
    shift = 4 * error(z[best])
    apart = abs(level(z[best] - shift) - level(z[best] + shift)) / 4 + probability_error(p, n) * math.sqrt(2)
    if z[best] <= 0 or p > SIGNIFICANT:
        return Skip("specialists whose adjusted p is within its error of .05") if got is not None and p - 4 * apart <= SIGNIFICANT else None
    if got is None and p + 4 * apart > SIGNIFICANT:
        return Skip("specialists whose adjusted p is within its error of .05")
    expected = table[best].sum() * table[:, expert].sum() / table.sum()
    return {"cell": labels[best], "ratio": table[best, expert] / expected, "z": Chance(z[best], error(z[best])), "adjusted_p": Chance(p, apart)}


def verdict(below, above):
    return "holds" if below else "does not hold" if above else "undecided"


class Pooled:
    """An effect as the mean over layers, with its interval and null."""

    def __init__(self, studies, draws, freedom, options):
        self.value = float(np.mean([s.effect for s in studies]))
        half = float(half_width(np.mean([s.left_out for s in studies], axis=0), freedom)) if freedom >= 1 else math.nan
        self.low, self.high = ends(self.value, half)
        self.null = null_numbers(float(np.mean([s.value for s in studies])), draws.mean(axis=0), options.draws)

    def numbers(self, name, unit, **others):
        return {"name": name, "unit": unit, "value": self.value, "low": self.low, "high": self.high} | self.null | others

    def over(self, limit):
        """Preferred, not preferred or undecided."""
        if self.low is None:
            return "undecided"
        return verdict(self.low.value > limit and self.null["p"].value <= SIGNIFICANT, self.high.value < limit)


def layer_numbers(name, unit, routers, studies, draws, freedom, options):
    found = []
    for router, study, own in zip(routers, studies, draws):
        row = {"name": name, "unit": unit, "router": router.name, "value": study.effect}
        row["low"], row["high"] = study.interval(freedom)
        found.append(row | null_numbers(study.value, own, options.draws))
    return found


def claim(name, evidence, layers, judged):
    return {"claim": name, "evidence": evidence, "layers": layers, "verdict": judged, **{k: Skip(f"words: {k} of a claim") for k in ("reason", "rule", "statement")}}


def claim_rows(run, name, axis, options):
    routers = options.routers(run)
    grids = [Grid(run, r) for r in routers]
    limit = PREFERENCE * float(np.mean([math.log(r.experts) for r in routers]))
    freedom = min(GROUPS, run.texts) - 1
    patch, patch_draws = axis_study(run, routers, "patch", options)
    step, step_draws = axis_study(run, routers, "step", options)
    position, steps = Pooled(patch, patch_draws, freedom, options), Pooled(step, step_draws, freedom, options)
    by_patch = layer_numbers("position", "nat", routers, patch, patch_draws, freedom, options)
    preferences = [("position", position, position.over(limit)), ("step", steps, steps.over(limit))]
    judged = [v for _, _, v in preferences]
    prefers = claim(
        "position-and-step-preferred", [p.numbers(n, "nat", limit=limit, verdict=v) for n, p, v in preferences],
        by_patch + layer_numbers("step", "nat", routers, step, step_draws, freedom, options),
        verdict(all(v == "holds" for v in judged), "does not hold" in judged))
    claims = [
        idle(routers, grids), prefers, class_ignored(run, routers, preferences, limit, options), deeper(patch, by_patch), early(run, routers, grids, options)]
    return {
        "branch": options.branch, "claims": claims, "classes": len(label_cells(run, "class")[0]), "patches": grids[0].rows * grids[0].columns,
        "samples": run.texts, "steps": grids[0].steps, "unfinished": 0,
    }


def idle(routers, grids):
    counts = [g.counts.sum(axis=(0, 1, 2, 3)) for g in grids]
    smallest = [c.min() / c.sum() for c in counts]
    never = sum(int((c == 0).sum()) for c in counts)
    least = int(np.argmin(smallest))
    row = lambda i: {"name": "smallest share", "router": routers[i].name, "unit": "share of choices", "value": smallest[i], "limit": 1 / routers[i].experts}
    enough = any((c == 0).any() and c.sum() / len(c) >= CHANCE_OF_IDLE for c in counts)
    judged = verdict(never == 0, enough)
    return claim(
        "no-expert-idle", [{"name": "experts never chosen", "unit": "experts", "value": never, "limit": 0, "verdict": judged}, row(least)],
        [row(i) for i in range(len(routers))], judged)


def class_ignored(run, routers, preferences, limit, options):
    names, value, counts = class_tables(run, routers)
    member = (value[:, None] == np.arange(len(names))).astype(np.float64)
    studies = [Study(member[:, :, None] * c[:, None, :]) for c in counts]
    random = np.random.default_rng(options.our_seed)
    draws = np.zeros((len(routers), options.draws))
    for d in range(options.draws):
        order = random.permutation(value)
        one = (order[None, :] == np.arange(len(names))[:, None]).astype(np.float64)
        for r, c in enumerate(counts):
            draws[r, d] = information(one @ c)
    per_class = run.texts / len(names)
    freedom = per_class - 1 if per_class >= 2 else 0
    pooled = Pooled(studies, draws, freedom, options)
    preferred = [p.value for _, p, v in preferences if v == "holds"]
    other = RATIO * min(preferred) if preferred else limit
    if pooled.low is None:
        judged = "undecided"
    else:
        judged = verdict(pooled.high.value < other, pooled.low.value > other and pooled.null["p"].value <= SIGNIFICANT)
    return claim(
        "class-ignored", [pooled.numbers("class against the others", "nat", limit=other, verdict=judged),
                          pooled.numbers("class preferred", "nat", limit=limit, verdict=pooled.over(limit))],
        layer_numbers("class", "nat", routers, studies, draws, freedom, options), judged)


def deeper(patch, by_patch):
    effects = np.array([s.effect for s in patch])
    n = len(effects)
    rank = lambda x: np.argsort(np.argsort(x))
    correlation = lambda order: 1 - 6 * ((np.arange(n) - order) ** 2).sum() / (n * (n * n - 1))
    rho = correlation(rank(effects))
    orders = np.array([correlation(np.array(o)) for o in itertools.permutations(range(n))])
    falls, rises = (orders <= rho + 1e-9).mean(), (orders >= rho - 1e-9).mean()
    possible = [x for x in np.unique(orders) if (orders <= x + 1e-9).mean() <= SIGNIFICANT]
    judged = "undecided" if n < LAYERS else verdict(rho < 0 and falls <= SIGNIFICANT, rho > 0 and rises <= SIGNIFICANT)
    evidence = {
        "name": "correlation of depth and effect", "unit": "rank correlation", "value": rho, "p": falls,
        "limit": float(possible[-1]) if possible else None, "verdict": judged}
    return claim("deeper-more-dispersed", [evidence], by_patch, judged)


def early(run, routers, grids, options):
    studies = contrast_study(run, routers, options)
    value = float(np.mean([s[0] for s in studies]))
    half = float(half_width(np.mean([s[1] for s in studies], axis=0)))
    null = null_numbers(value, np.mean([s[2] for s in studies], axis=0), options.draws)
    low, high = ends(value, half)
    judged = "undecided" if low is None else verdict(low.value > CONCENTRATION and null["p"].value <= SIGNIFICANT, high.value < CONCENTRATION)
    first, last = parts(grids[0].steps)
    entropies = np.mean([use(g.by_step) for g in grids], axis=0)
    evidence = [{"name": "late minus early", "unit": "share of ln E", "value": value, "low": low, "high": high, "limit": CONCENTRATION, "verdict": judged} | null]
    evidence += [{"name": n, "unit": "share of ln E", "value": v} for n, v in [("early", entropies[:first].mean()), ("late", entropies[last:].mean())]]
    layers = []
    for router, (own, left_out, draws) in zip(routers, studies):
        low, high = ends(own, float(half_width(left_out)))
        row = {"name": "late minus early", "unit": "share of ln E", "router": router.name, "value": own, "low": low, "high": high}
        layers.append(row | null_numbers(own, draws, options.draws))
    return claim("early-concentrated", evidence, layers, judged)
