"""Information between expert and axis of texts: the centred effect, its interval, and the permutation null."""
import math

import numpy as np

from .answers import Chance
from .cells import label_cells, position_cell, position_name
from .loads import assignments
from .statistics import MINIMUM_TEXTS, ends, entropy, half_width, information, probability_error

BATCH = 250
MATCHED_FROM = 16


class Study:
    """Counts of one axis inside texts, or of labels of texts, of one router. tables [texts, cells, experts]."""

    def __init__(self, tables):
        tables = np.asarray(tables, np.float64)
        self.tables = tables[tables.sum(axis=(1, 2)) > 0]
        self.texts = len(self.tables)
        self.total = self.tables.sum(axis=0)
        self.value = float(information(self.total)) if self.texts else 0.0
        self.left_out = information(self.total - self.tables) if self.texts > 1 else np.zeros(0)
        self.effect = self.value - (self.texts - 1) * (self.left_out.mean() - self.value) if self.texts > 1 else None

    def interval(self, freedom):
        """(low, high); `freedom` of Student's t, no interval below 1."""
        if self.texts < MINIMUM_TEXTS or freedom < 1:
            return None, None
        return ends(self.effect, float(half_width(self.left_out, freedom)))


def label_draws(values, experts_of_texts, cells, draws, seed):
    """Information under permutations of labels. values [texts]: cells; experts_of_texts: [texts, experts] of each router. [routers, draws]"""
    random = np.random.default_rng(seed)
    found = np.zeros((len(experts_of_texts), draws))
    for start in range(0, draws, BATCH):
        n = min(BATCH, draws - start)
        shuffled = random.permuted(np.tile(values, (n, 1)), axis=1)
        member = (shuffled[:, None, :] == np.arange(cells)[None, :, None]).astype(np.float64)
        for r, counts in enumerate(experts_of_texts):
            found[r, start : start + n] = information(member @ counts)
    return found


def option_draws(options, weights, draws, seed):
    """Information when each text takes one of its own tables: [routers, draws].

    options: for each router a list over texts of [choices, cells, experts]; weights: for each text how often each is taken, None: evenly.
    """
    random = np.random.default_rng(seed)
    texts = len(options[0])
    found = np.zeros((len(options), draws))
    for start in range(0, draws, BATCH):
        n = min(BATCH, draws - start)
        sums = [np.zeros((n, *own[0].shape[1:])) for own in options]
        for text in range(texts):
            chosen = random.choice(len(options[0][text]), size=n, p=None if weights is None else weights[text])
            for r, own in enumerate(options):
                sums[r] += own[text][chosen]
        for r, tables in enumerate(sums):
            found[r, start : start + n] = information(tables)
    return found


def null_numbers(value, draws, theirs):
    """null_mean, null_sd and p of one router, with the error of the difference of both sides."""
    n = len(draws)
    sd = float(draws.std(ddof=1))
    at_least = int((draws >= value - 1e-9 * max(1, abs(value))).sum())
    p = (1 + at_least) / (1 + n)
    # The error of a spread: from the fourth moment.
    centred = draws - draws.mean()
    fourth = (centred**4).mean()
    spread = math.sqrt(max(0, fourth - sd**4) / n) / (2 * sd) if sd > 0 else 0
    ratio = math.sqrt(n / theirs)
    scale = lambda error: error * math.sqrt(1 + ratio**2) if theirs else 0
    return {
        "null_mean": Chance(float(draws.mean()), scale(sd / math.sqrt(n))), "null_sd": Chance(sd, scale(spread)),
        "p": Chance(p, scale(probability_error(p, n)) + abs(1 / (1 + n) - 1 / (1 + theirs))),
    }


def adjusted(values, draws, theirs):
    """p of each router by the largest of all in spreads of its own null. values [routers], draws [routers, draws]"""
    mean, sd = draws.mean(axis=1), draws.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(sd[:, None] > 0, (draws - mean[:, None]) / sd[:, None], 0)
        own = np.where(sd > 0, (values - mean) / sd, 0)
    largest = z.max(axis=0)
    n = draws.shape[1]
    found = []
    for one in own:
        p = (1 + (largest >= one - 1e-9).sum()) / (1 + n)
        # z of an answer is known as well as its mean and spread are: that much the share may move.
        shift = 4 * math.sqrt((1 + one**2 / 2) * (1 / n + 1 / theirs))
        apart = abs(np.mean(largest >= one - shift) - np.mean(largest >= one + shift)) / 4 / 2
        error = probability_error(p, n) * math.sqrt(1 + n / theirs) + apart
        found.append(Chance(p, error + abs(1 / (1 + n) - 1 / (1 + theirs))))
    return found


def cut(length):
    """The largest power of two that is no larger."""
    return 1 << (int(length).bit_length() - 1)


def rows(run, name, axis, options):
    routers = options.routers(run)
    if axis == "position":
        return position_rows(run, routers, options)
    names, value = label_cells(run, axis)
    per_router = [assignments(run, r, computed=False) for r in routers]
    found = label_study(run, routers, names, value, [counts[:, 0] for _, counts, _ in per_router], [t[:, 0] for _, _, t in per_router], options)
    matched = matched_rows(run, routers, names, value, options)
    for row, other in zip(found, matched or []):
        row["matched"] = other
    return found


def label_study(run, routers, names, value, counts, tokens, options, short=False):
    cells = len(names)
    has = value >= 0
    member = (value[:, None] == np.arange(cells)).astype(np.float64)
    draws = label_draws(value[has], [c[has] for c in counts], cells, options.draws, options.our_seed)
    studies = [Study(member[:, :, None] * c[:, None, :]) for c in counts]
    # Texts that a router saw nothing of do not count; the labels of such texts are still dealt among all.
    levels = adjusted(np.array([s.value for s in studies]), draws, options.draws)
    found = []
    for index, (router, study, own) in enumerate(zip(routers, studies, counts)):
        present = has & (own.sum(axis=1) > 0)
        of_value = np.bincount(value[present], minlength=cells)
        used = of_value[of_value > 0]
        mean_texts = used.mean() if len(used) else 0
        row = core(study, draws[index], mean_texts - 1 if mean_texts >= 2 else 0, used.min() < MINIMUM_TEXTS, options)
        if not short:
            row |= common(router, study, row, levels[index], "samples" if run.images else "texts", options)
            row["cells"] = [
                {"name": n, "sequences": int(of_value[c]), "tokens": int(tokens[index][value == c].sum()), "assignments": int(own[value == c].sum())}
                for c, n in enumerate(names) if of_value[c]]
        found.append(row)
    return found


def core(study, draws, freedom, few, options):
    row = {"mutual_information": study.value, "effect": study.effect, "few_texts": bool(few)}
    row["low"], row["high"] = study.interval(freedom)
    return row | null_numbers(study.value, draws, options.draws)


def common(router, study, row, level, n_of, options):
    spread = float(entropy(study.total.sum(axis=1)))
    return {
        "router": router.name, "layer": router.layer, "unit": "nat", "n": study.texts, "n_of": n_of, "sequences": study.texts, "baseline": 0.0,
        "assignments": int(study.total.sum()), "cell_entropy": spread, "null_count": options.draws, "family": "layers", "adjusted_p": level,
        "normalized": study.effect / spread if study.effect is not None and spread > 0 else None,
    }


def matched_rows(run, routers, names, value, options):
    """The same with every text cut to the longest power of two that all of 16 tokens or more have; None where all are equally long."""
    table = routers[0].tokens
    lengths = np.bincount(table.text, minlength=run.texts)
    lengths[value < 0] = 0
    if run.images or options.filtered or len({r.stack for r in routers} & {"enc", "dec"}) > 1 or len(set(lengths[lengths > 0])) < 2:
        return None
    long = lengths >= MATCHED_FROM
    if not long.any():
        return None
    stretch = cut(lengths[long].min())
    counts, tokens = [], []
    for router in routers:
        kept = router.passes.copy()
        router.passes = kept & (router.tokens.position < stretch) & long[router.tokens.text]
        _, own, took = assignments(run, router, computed=False)
        router.passes = kept
        counts.append(own[:, 0])
        tokens.append(took[:, 0])
    found = label_study(run, routers, names, np.where(long, value, -1), counts, tokens, options, short=True)
    for row in found:
        row |= {"positions": stretch, "left_out": int(((lengths > 0) & ~long).sum())}
    return found


def position_rows(run, routers, options):
    cells = 1 + max(int(position_cell(t.position).max()) for t in run.tables)
    studies, shifted, tokens = [], [], []
    for router in routers:
        _, counts, took = assignments(run, router, "position", computed=False)
        studies.append(Study(counts))
        tokens.append(took)
        shifted.append([shifts(router, text, cells) for text in range(run.texts)])
    draws = stacked_draws(routers, shifted, cells, options)
    levels = adjusted(np.array([s.value for s in studies]), draws, options.draws)
    found = []
    for index, (router, study) in enumerate(zip(routers, studies)):
        row = core(study, draws[index], study.texts - 1, study.texts < MINIMUM_TEXTS, options)
        row |= common(router, study, row, levels[index], "texts", options)
        _, counts, took = assignments(run, router, "position", computed=False)
        row["cells"] = [
            {"name": position_name(c), "sequences": int((took[:, c] > 0).sum()), "tokens": int(took[:, c].sum()), "assignments": int(counts[:, c].sum())}
            for c in range(cells) if took[:, c].sum()]
        found.append(row)
    return found


def stacked_draws(routers, shifted, cells, options):
    """Draws of all routers; routers of one stack see the same texts and take the same shifts. [routers, draws]"""
    found = np.zeros((len(routers), options.draws))
    for table in {id(r.tokens): r.tokens for r in routers}.values():
        own = [i for i, r in enumerate(routers) if r.tokens is table]
        groups = {}
        for i in own:
            groups.setdefault(tuple(len(t) for t, _ in shifted[i]), []).append(i)
        for members in groups.values():
            texts = [t for t, (tables, _) in enumerate(shifted[members[0]]) if len(tables)]
            # A single text has too few turns to be weighed: all its borders are alike.
            weights = [shifted[members[0]][t][1] for t in texts] if len(texts) > 1 else None
            found[members] = option_draws([[shifted[i][t][0] for t in texts] for i in members], weights, options.draws, options.our_seed)
    return found


def shifts(router, text, cells):
    """([2 x borders, cells, experts], how often each): a text turned so that the join of its end with its beginning lies at the border of two
    cells, either way round. A border is taken as often as the cell behind it is long: any place is drawn, and the join goes to its cell's start."""
    rows = np.nonzero((router.tokens.text == text) & router.passes)[0]
    cell = position_cell(router.tokens.position[rows])
    starts = [i for i in range(len(rows)) if i == 0 or cell[i] != cell[i - 1]]
    lengths = np.diff([*starts, len(rows)])
    found = []
    for way in (rows, rows[::-1]):
        for start in starts:
            ids = router.ids[np.roll(way, start)]
            place = np.repeat(cell[:, None], ids.shape[1], axis=1) * router.experts + ids
            found.append(np.bincount(place[ids >= 0], minlength=cells * router.experts).reshape(cells, router.experts))
    return np.array(found, np.float64), np.tile(lengths, 2) / max(1, 2 * len(rows))
