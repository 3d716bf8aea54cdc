"""Runs that make images: use of experts by step and patch, its drift, and information along these axes."""
import math

import numpy as np

from . import specialization
from .cells import label_cells
from .specialization import Study, adjusted, common, core, null_numbers, option_draws
from .statistics import ends, entropy, half_width

GROUPS = 64
AXES = ("step", "patch-row", "patch-column", "patch")


class Grid:
    """Choices of one router on one branch: counts [samples, steps, rows, columns, experts], weighted alike. Whole samples only."""

    def __init__(self, run, router):
        tokens = router.tokens
        step, patch = tokens.place["step"], tokens.place["patch"]
        self.steps, patches = int(step.max()) + 1, int(patch.max()) + 1
        self.rows = self.columns = math.isqrt(patches)
        self.samples = run.texts
        place = (tokens.text * self.steps + step) * patches + patch
        counted = router.chosen & router.passes[:, None]
        flat = (place[:, None] * router.experts + router.ids)[counted]
        shape = (self.samples, self.steps, self.rows, self.columns, router.experts)
        size = math.prod(shape)
        self.counts = np.bincount(flat, minlength=size).reshape(shape)
        weights = router.weights if router.weights is not None else np.zeros(router.ids.shape)
        self.weighted = np.bincount(flat, weights[counted].astype(np.float64), minlength=size).reshape(shape)
        self.by_step = self.counts.sum(axis=(0, 2, 3))

    def cells(self, run, axis, table):
        """(names, [cells, experts]) of counts along an axis."""
        if axis == "step":
            return [str(i) for i in range(self.steps)], table.sum(axis=(0, 2, 3))
        if axis == "patch-row":
            return [str(i) for i in range(self.rows)], table.sum(axis=(0, 1, 3))
        if axis == "patch-column":
            return [str(i) for i in range(self.columns)], table.sum(axis=(0, 1, 2))
        if axis == "patch":
            names = [f"{r},{c}" for r in range(self.rows) for c in range(self.columns)]
            return names, table.sum(axis=(0, 1)).reshape(len(names), -1)
        names, value = label_cells(run, axis)
        return names, np.stack([table[value == c].sum(axis=(0, 1, 2, 3)) for c in range(len(names))])

    def groups(self):
        """[groups, steps, rows, columns, experts]: samples dealt out by number."""
        return np.stack([self.counts[g::GROUPS].sum(axis=0) for g in range(min(GROUPS, self.samples))])


def choice_rows(run, name, axis, options):
    found = []
    for router in options.routers(run):
        grid = Grid(run, router)
        names, counts = grid.cells(run, axis, grid.counts)
        _, values = grid.cells(run, axis, grid.weighted) if name == "choices_weighted" else (names, counts)
        baseline = values.sum() / values.size
        if name == "choices_minmax":
            spread = values.max() - values.min()
            values, baseline = (values - values.min()) / spread if spread else np.zeros(values.shape), None
        unit = {"choices": "choices", "choices_weighted": "sum of routing weights", "choices_minmax": "dimensionless"}[name]
        for c, cell in enumerate(names):
            for expert in range(router.experts):
                found.append({
                    "router": router.name, "layer": router.layer, "cell": cell, "expert": expert, "n": int(counts[c, expert]), "n_of": "assignments",
                    "unit": unit, "value": values[c, expert], "baseline": baseline,
                })
    return found


def divergence(p, q):
    """Jensen-Shannon, in nats, of counts of two steps."""
    p, q = p / p.sum(), q / q.sum()
    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def overlap(p, q):
    return np.minimum(p / p.sum(), q / q.sum()).sum()


def use(by_step):
    """[..., steps]: entropy of use as a share of ln E."""
    return entropy(by_step) / math.log(by_step.shape[-1])


def step_rows(run, name, axis, options):
    found = []
    for router in options.routers(run):
        grid = Grid(run, router)
        counts = grid.by_step
        if name == "use_entropy":
            values, first = use(counts), 0
        else:
            of = divergence if name == "step_drift" else overlap
            values, first = np.array([of(a, b) for a, b in zip(counts, counts[1:])]), 1
        row = {
            "router": router.name, "layer": router.layer, "unit": {"use_entropy": "share of ln E", "step_drift": "nat", "path_overlap": "share"}[name],
            "n_of": "assignments", "baseline": 0.0 if name == "step_drift" else 1.0,
        }
        if axis is None:
            found.append(row | {"n": int(counts.sum()), "value": values.mean() if len(values) else None})
        else:
            found += [row | {"cell": str(i + first), "n": int(counts[i + first].sum()), "value": v} for i, v in enumerate(values)]
    return found


def parts(steps):
    """(steps of the first fifth, first step of the last three fifths)"""
    return steps // 5, steps - 3 * steps // 5


def contrast(by_step):
    """Late minus early entropy of use. [..., steps, experts]"""
    early, late = parts(by_step.shape[-2])
    values = use(by_step)
    return values[..., late:].mean(axis=-1) - values[..., :early].mean(axis=-1)


def contrast_study(run, routers, options):
    """(value, without each group, draws) of each router."""
    random = np.random.default_rng(options.our_seed)
    groups = [Grid(run, r).groups().sum(axis=(2, 3)) for r in routers]
    steps = groups[0].shape[1]
    turned = [np.stack([np.roll(g, s, axis=1) for s in range(steps)], axis=1) for g in groups]
    draws = np.zeros((len(routers), options.draws))
    for d in range(options.draws):
        shift = random.integers(0, steps, size=len(groups[0]))
        for r, tables in enumerate(turned):
            draws[r, d] = contrast(tables[np.arange(len(shift)), shift].sum(axis=0))
    return [(float(contrast(g.sum(axis=0))), contrast(g.sum(axis=0) - g), draws[r]) for r, g in enumerate(groups)]


def early_late_rows(run, name, axis, options):
    routers, found = options.routers(run), []
    studies = contrast_study(run, routers, options) if Grid(run, routers[0]).steps >= 5 else [None] * len(routers)
    for router, study in zip(routers, studies):
        row = {"router": router.name, "layer": router.layer, "unit": "share of ln E", "n": run.texts, "n_of": "samples", "baseline": 0.0, "null_count": options.draws}
        if study is None:
            row |= {"value": None, "null_mean": None, "null_sd": None, "p": None}
        else:
            row |= {"value": study[0]} | null_numbers(study[0], study[2], options.draws)
        if options.ci:
            row["low"], row["high"] = ends(study[0], float(half_width(study[1]))) if study else (None, None)
        found.append(row)
    return found


def group_tables(grid, axis):
    """[groups, shifts, cells, experts]: each group's table of an axis under every shift that its null knows, none first."""
    groups = grid.groups()
    if axis == "step":
        own = groups.sum(axis=(2, 3))
        return np.stack([np.roll(own, s, axis=1) for s in range(grid.steps)], axis=1)
    own = groups.sum(axis=1)
    if axis == "patch":
        turned = [np.roll(own, (r, c), axis=(1, 2)) for r in range(grid.rows) for c in range(grid.columns)]
        return np.stack([t.reshape(len(own), -1, own.shape[-1]) for t in turned], axis=1)
    kept = own.sum(axis=2 if axis == "patch-row" else 1)
    return np.stack([np.roll(kept, s, axis=1) for s in range(kept.shape[1])], axis=1)


def axis_study(run, routers, axis, options):
    """(studies, draws [routers, draws]) of the information along an axis inside samples."""
    tables = [group_tables(Grid(run, r), axis) for r in routers]
    return [Study(t[:, 0]) for t in tables], option_draws([list(t.astype(np.float64)) for t in tables], None, options.draws, options.our_seed)


def information_rows(run, name, axis, options):
    routers = options.routers(run)
    studies, draws = axis_study(run, routers, axis, options)
    levels = adjusted(np.array([s.value for s in studies]), draws, options.draws)
    found = []
    for index, (router, study) in enumerate(zip(routers, studies)):
        grid = Grid(run, router)
        row = core(study, draws[index], study.texts - 1, run.texts < 5, options)
        row |= common(router, study, row, levels[index], "samples", options) | {"n": run.texts, "sequences": run.texts}
        names, counts = grid.cells(run, axis, grid.counts)
        row["cells"] = [
            {"name": n, "sequences": run.texts, "tokens": int(c.sum()) // router.k, "assignments": int(c.sum())} for n, c in zip(names, counts)]
        found.append(row)
    return found


def specialization_rows(run, name, axis, options):
    return information_rows(run, name, axis, options) if axis in AXES else specialization.rows(run, name, axis, options)
