"""`moetop compare` against NumPy: every number of the answer recomputed from what `moetop export` writes of both runs.

usage: check_compare.py --moetop BINARY [--match index|behaviour] [--margin 1e-3] [--layers 3=4,...] [--filter TERMS] A B [C ...]

A, B, C are runs of text by decoder models as `moetop compare` takes them. Pairs of texts are found here by order where
all ids of both begin alike, else by equal ids. Numbers agree when |got - expected| <= 1e-6 x max(1, |expected|); quantiles of
margins within 2^-10 of the value where more than 16,384 margins differ. A matching by behaviour must be one to one and share
as many choices on even texts as the best one does (SciPy's assignment). Of filters the terms layer, entropy, margin, expert,
position, id, surprisal and labels are known here, with numbers, lists, ranges, comparisons and "!"; they choose rows of A.
Exit status 0: everything agrees; 2: something differs; 1: this tool does not know such runs.
"""
import argparse
import functools
import json
import math
import operator
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

TOLERANCE = 1e-6
EXACT_MARGINS = 1 << 14
MINIMUM_TEXTS = 5


def moetop(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}\nended with {done.returncode}:\n{done.stderr}")
    return done.stdout


class Run:
    """One run as exported: rows by text, then position."""

    def __init__(self, binary, name, folder):
        path = folder / f"{abs(hash(name))}.safetensors"
        moetop(binary, "export", name, "--what", "routing", "--format", "safetensors", "-o", path, "--no-progress")
        self.tensors = load_file(path)
        if "decoder_ids" in self.tensors or "branch" in self.tensors:
            raise SystemExit(f"{name}: only runs of text by decoder models are known here")
        lengths = self.tensors["sequence_lengths"]
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int)
        self.ids = [self.tensors["input_ids"][a:b] for a, b in zip(self.starts, self.starts[1:])]
        tokens = [json.loads(line) for line in moetop(binary, "export", name, "--what", "tokens", "--format", "jsonl").splitlines()]
        tokens.sort(key=lambda t: (t["sequence"], t["position"]))
        self.row_in_run = np.array([t["token"] for t in tokens])
        self.text = np.repeat(np.arange(len(lengths)), lengths)
        self.position = np.concatenate([np.arange(n) for n in lengths])
        labels = moetop(binary, "sql", name, "SELECT sequence, label, value FROM sequence_labels", "--format", "csv").splitlines()[1:]
        self.labels = {(int(text), label): value for text, label, value in (line.split(",", 2) for line in labels)}
        self.surprisal = np.array([t["surprisal"] if t.get("surprisal") is not None else np.nan for t in tokens], np.float32)
        shown = json.loads(moetop(binary, "runs", "show", name, "--json"))
        self.routers = {r["router"]: r for r in shown["routers"]}

    def distribution(self, router):
        """[rows, E] probabilities of every row; NaN where no logits were recorded. None without any."""
        logits = self.tensors.get(f"{router}.router_logits")
        if logits is None:
            return None
        logits = logits.astype(np.float64)
        if self.routers[router]["policy"].startswith("sigmoid"):
            scores = 1 / (1 + np.exp(-logits))
        else:
            scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        rows = self.tensors.get(f"{router}.rows", np.arange(len(scores)))
        everywhere = np.full((len(self.surprisal), scores.shape[1]), np.nan)
        everywhere[rows] = scores
        return everywhere


COMPARISONS = {"=": operator.eq, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


def holds(values, comparison, wanted):
    """Which of `values` compare so with a number, or are in a list of numbers and ranges; NaN never."""
    with np.errstate(invalid="ignore"):
        if comparison != "=":
            return COMPARISONS[comparison](values, float(wanted))
        found = np.zeros(values.shape, bool)
        for part in wanted.split(","):
            low, _, high = part.partition("-")
            found |= (values >= float(low)) & (values <= float(high or low))
        return found


def passing(run, text):
    """{router: [rows] whether its decision passes} of the routers that a filter admits."""
    entropies = {r: run.tensors[f"{r}.entropy"] / np.log(np.float32(run.routers[r]["experts"])) for r in run.routers}
    masks = {}
    for router in run.routers:
        mask = np.ones(len(run.text), bool)
        is_admitted = True
        some = np.ones(run.tensors[f"{router}.expert_ids"].shape, bool)
        has_some = False
        for term in text.split():
            negated, name, comparison, wanted = re.fullmatch(r"(!?)([a-z]+)(>=|<=|=|>|<)(\S+)", term).groups()
            if name == "layer":
                is_admitted &= bool(holds(np.array([int(router.split(".")[1])]), comparison, wanted)[0]) != bool(negated)
                continue
            if name == "expert":
                ids = run.tensors[f"{router}.expert_ids"]
                took = holds(ids, comparison, wanted) & (ids >= 0)
                if negated:
                    mask &= ~took.any(1)
                else:
                    some, has_some = some & took, True
                continue
            if name == "entropy":
                found = holds(entropies[router].astype(np.float64), comparison, wanted)
            elif name in ("margin", "position", "id", "surprisal"):
                values = {"margin": run.tensors[f"{router}.selection_margin"], "position": run.position,
                          "id": run.tensors["input_ids"], "surprisal": run.surprisal}[name]
                found = holds(values.astype(np.float64), comparison, wanted)
            else:
                texts = [text for text in range(len(run.ids)) if run.labels.get((text, name)) in wanted.split(",")]
                found = np.isin(run.text, texts)
            mask &= found != bool(negated)
        if has_some:
            mask &= some.any(1)
        if is_admitted:
            masks[router] = mask
    return masks


def common(a, b):
    """How many ids two texts have in common before they part, and where they part."""
    n = min(len(a), len(b))
    differ = np.nonzero(a[:n] != b[:n])[0]
    return (n, None) if len(differ) == 0 else (int(differ[0]), int(differ[0]))


def pair_texts(a, b):
    """[(text of A, text of B, tokens in common, where they part)]"""
    if all(np.array_equal(x, y) for x, y in zip(a.ids, b.ids)) or sorted(map(tuple, a.ids)) != sorted(map(tuple, b.ids)):
        found = [(i, i, *common(a.ids[i], b.ids[i])) for i in range(min(len(a.ids), len(b.ids)))]
        return [pair for pair in found if pair[2] > 0]
    free = {}
    for j, ids in enumerate(b.ids):
        free.setdefault(tuple(ids), []).append(j)
    pairs = {}
    for i, ids in enumerate(a.ids):
        if i < len(b.ids) and np.array_equal(ids, b.ids[i]):
            free[tuple(ids)].remove(i)
            pairs[i] = i
    return [(i, pairs[i] if i in pairs else free[tuple(ids)].pop(0), len(ids), None) for i, ids in enumerate(a.ids)]


@functools.lru_cache
def student975(freedom):
    """97.5 % quantile of Student's t: bisection on the integral of its density."""
    def beyond(t):
        # Density after the substitution x = t + u / (1 - u).
        u = np.linspace(0, 1, 200_001)[:-1]
        x = t + u / (1 - u)
        density = np.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
        values = density * (1 + x * x / freedom) ** (-(freedom + 1) / 2) / (1 - u) ** 2
        return np.trapezoid(np.append(values, 0), np.linspace(0, 1, 200_001))
    low, high = 0.0, 1000.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) > 0.025 else (low, middle)
    return low


def jackknife(sums, counts):
    """(low, high) of sum / count by leaving out one text at a time; (None, None) with few texts."""
    sums, counts = np.array(sums, np.float64), np.array(counts, np.float64)
    keep = counts > 0
    sums, counts = sums[keep], counts[keep]
    n = len(sums)
    if n < MINIMUM_TEXTS:
        return None, None
    estimate = sums.sum() / counts.sum()
    left_out = (sums.sum() - sums) / (counts.sum() - counts)
    half = student975(n - 1) * math.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    return estimate - half, estimate + half


def sets(ids, experts):
    """[rows, k] ids as [rows, E] membership."""
    member = np.zeros((len(ids), experts), bool)
    for column in ids.T:
        known = column >= 0
        member[np.nonzero(known)[0], column[known]] = True
    return member


def mean_jaccard(e, k, other):
    total = math.comb(e, other)
    return sum(
        math.comb(k, m) * math.comb(e - k, other - m) / total * m / (k + other - m)
        for m in range(max(1, k + other - e), min(k, other) + 1))


class Check:
    def __init__(self):
        self.count = 0
        self.faults = []
        self.largest = 0.0

    def same(self, where, got, expected, tolerance=TOLERANCE):
        self.count += 1
        if got is None or expected is None:
            if not (got is None and expected is None):
                self.faults.append(f"{where}: {got}, expected {expected}")
            return
        error = abs(got - expected) / max(1, abs(expected))
        self.largest = max(self.largest, error)
        if not error <= tolerance:
            self.faults.append(f"{where}: {got}, expected {expected}")


def check_pair(check, a, b, answer, options, order, passes):
    name = answer["b"]["run"]
    order = [(router, other) for router, other in order if router in passes]
    shown = np.any([passes[router] for router, _ in order], axis=0)
    pairs = pair_texts(a, b)
    texts = np.concatenate([np.full(p[2], i) for i, p in enumerate(pairs)])
    positions = np.concatenate([np.arange(p[2]) for p in pairs])
    rows_a = np.concatenate([a.starts[p[0]] + np.arange(p[2]) for p in pairs])
    rows_b = np.concatenate([b.starts[p[1]] + np.arange(p[2]) for p in pairs])
    n = len(pairs)
    turned = []
    for i, p in enumerate(pairs):
        q = pairs[(i + n // 2) % n]
        if n > 1:
            length = min(p[2], q[2])
            turned.append((np.full(length, i), a.starts[p[0]] + np.arange(length), b.starts[q[1]] + np.arange(length)))
    behaviour = options.match == "behaviour"
    odd = texts % 2 == 1 if behaviour else np.ones(len(texts), bool)

    parted = [p[3] for p in pairs if p[3] is not None]
    for key, expected in [
        ("texts", len(set(texts[shown[rows_a]]))), ("tokens", int(shown[rows_a].sum())), ("parted_at", min(parted) if parted else None), ("parted_texts", len(parted)),
    ]:
        check.same(f"{name} {key}", answer[key], expected)

    loss_a, loss_b = a.surprisal[rows_a].astype(np.float64), b.surprisal[rows_b].astype(np.float64)
    scored = np.isfinite(loss_a) & np.isfinite(loss_b) & shown[rows_a]
    mean = lambda values: float(values.mean()) if len(values) else None
    change = (loss_b - loss_a)[scored]
    low, high = jackknife(np.bincount(texts[scored], change, n), np.bincount(texts[scored], minlength=n))
    for key, expected in [
        ("loss_a", mean(loss_a[scored])), ("loss_b", mean(loss_b[scored])), ("loss_change", mean(change)), ("low", low),
        ("high", high), ("scored_tokens", int(scored.sum())),
    ]:
        check.same(f"{name} {key}", answer[key], expected)

    pooled = {}
    flips = []
    entropies, agreements = [], []
    text_sums, text_counts = np.zeros(n), np.zeros(n)
    turned_sum = turned_count = 0
    for index, (layer, (router, other)) in enumerate(zip(answer["layers"], order, strict=True)):
        place = f"{name} {router}"
        check.same(f"{place} routers", float(layer["router"] == router and layer["router_b"] == other), 1.0)
        experts = max(a.routers[router]["experts"], b.routers[other]["experts"])
        counted = odd & passes[router][rows_a]
        ids_a, ids_b = a.tensors[f"{router}.expert_ids"], b.tensors[f"{other}.expert_ids"]
        renamed = np.arange(experts)
        if behaviour:
            from scipy.optimize import linear_sum_assignment
            even = ~odd & passes[router][rows_a]
            joint = sets(ids_a[rows_a[even]], experts).T.astype(np.int64) @ sets(ids_b[rows_b[even]], experts).astype(np.int64)
            own, theirs = linear_sum_assignment(joint, maximize=True)
            matching = np.array(layer["experts_b"])
            known = matching >= 0
            check.same(f"{place} one to one", float(len(set(matching[known])) == known.sum()), 1.0)
            renamed = np.full(experts, -1)
            renamed[matching[known]] = np.nonzero(known)[0]
            spare = iter(e for e in range(experts) if e not in set(renamed[renamed >= 0]))
            for e in range(experts):
                if renamed[e] < 0:
                    renamed[e] = next(spare)
            check.same(f"{place} matching", int(joint[renamed, np.arange(experts)].sum()), int(joint[own, theirs].sum()))
            check.same(f"{place} moved", layer["moved"], int((matching[known] != np.nonzero(known)[0]).sum()))
        rename = lambda ids: np.where(ids >= 0, renamed[np.maximum(ids, 0)], -1)
        here_a, here_b = ids_a[rows_a[counted]], rename(ids_b[rows_b[counted]])
        in_a, in_b = sets(here_a, experts), sets(here_b, experts)
        shared = (in_a & in_b).sum(1)
        size_a, size_b = in_a.sum(1), in_b.sum(1)
        agreement = shared / np.maximum(size_a, size_b)
        union = size_a + size_b - shared
        text = texts[counted]
        sums, counts = np.bincount(text, agreement, n), np.bincount(text, minlength=n)
        text_sums += sums
        text_counts += counts
        low, high = jackknife(sums, counts)
        k_a, k_b = ids_a.shape[1], ids_b.shape[1]
        count = len(agreement)
        p, q = a.distribution(router), b.distribution(other)
        divergence = np.array([])
        if p is not None and q is not None:
            p, q = p[rows_a[counted]], q[rows_b[counted]]
            wide = lambda x, names: np.stack([x[:, names == e].sum(1) if (names == e).any() else np.zeros(len(x)) for e in range(experts)], 1)
            p, q = wide(p, np.arange(p.shape[1])), wide(q, renamed[: q.shape[1]])
            have = np.isfinite(p).all(1) & np.isfinite(q).all(1)
            p, q = p[have], q[have]
            m = (p + q) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                terms = np.where(p > 0, p * np.log(p / m), 0) + np.where(q > 0, q * np.log(q / m), 0)
            divergence = np.maximum(0, terms.sum(1) / 2)
        # What was dropped by capacity keeps its id and has the weight 0; loads count what was computed.
        def load(run, path, rows, names):
            ids = run.tensors[f"{path}.expert_ids"][rows]
            weights = run.tensors.get(f"{path}.weights")
            took = (ids >= 0) & ((weights[rows] != 0) if options.dropped and weights is not None else True)
            counts = np.bincount(names(ids)[took], minlength=experts)
            return counts / counts.sum()
        distance = np.abs(load(a, router, rows_a[counted], lambda x: x) - load(b, other, rows_b[counted], rename)).sum() / 2
        kept = [(x[passes[router][x]], y[passes[router][x]]) for t, x, y in turned if not behaviour or t[0] % 2 == 1]
        own_turned = [(sets(ids_a[x], experts), sets(rename(ids_b[y]), experts)) for x, y in kept]
        values = [((x & y).sum(1) / np.maximum(x.sum(1), y.sum(1))) for x, y in own_turned]
        values = np.concatenate(values) if values else np.array([])
        turned_sum += values.sum()
        turned_count += len(values)
        flipped = (shared != size_a) | (shared != size_b)
        margins = a.tensors[f"{router}.selection_margin"][rows_a[counted]]
        known = margins[flipped & np.isfinite(margins)].astype(np.float64)
        ranked = np.sort(known)
        quantile = lambda s: float(ranked[max(1, math.ceil(s * len(ranked))) - 1]) if len(ranked) else None
        exact = TOLERANCE if len(np.unique(known)) <= EXACT_MARGINS else 2.0**-10
        expected = {
            "set_agreement": agreement.mean(), "set_agreement_low": low, "set_agreement_high": high,
            "baseline": min(k_a, k_b) / experts,
            "load_baseline": float((in_a.sum(0) / count) @ (in_b.sum(0) / count)) / max(k_a, k_b),
            "shuffled_baseline": mean(values), "top1_agreement": (here_a[:, 0] == here_b[:, 0]).mean(), "top1_baseline": 1 / experts,
            "top1_load_baseline": float(np.bincount(here_a[:, 0], minlength=experts) @ np.bincount(here_b[:, 0], minlength=experts)) / count**2,
            "jaccard": (shared / union).mean(), "jaccard_baseline": mean_jaccard(experts, k_a, k_b),
            "js_divergence": mean(divergence), "js_decisions": len(divergence), "load_tv": distance, "decisions": count,
            "flips": int(flipped.sum()), "flip_margin_q50": quantile(0.5), "flip_margin_q95": quantile(0.95),
            "flip_margin_max": float(ranked[-1]) if len(ranked) else None, "flips_above_margin": int((known > options.margin).sum()),
        }
        for key, value in expected.items():
            check.same(f"{place} {key}", layer[key], value, exact if key.startswith("flip_margin_q") else TOLERANCE)
            pooled.setdefault(key, []).append(value)
        entropy = a.tensors[f"{router}.entropy"][rows_a[counted]]
        if a.routers[router]["experts"] > 1:
            entropies.append(entropy / np.log(np.float32(a.routers[router]["experts"])))
            agreements.append(agreement)
        for row in np.nonzero(flipped)[0]:
            where = np.nonzero(counted)[0][row]
            flips.append((int(a.row_in_run[rows_a[where]]), index, router, int(texts[where]), int(positions[where]), float(margins[row]),
                          [int(e) for e in ids_a[rows_a[where]] if e >= 0], [int(e) for e in ids_b[rows_b[where]] if e >= 0]))

    weights = np.array(pooled["decisions"], np.float64)
    for key in ["baseline", "load_baseline", "top1_agreement", "top1_baseline", "top1_load_baseline", "jaccard", "jaccard_baseline", "load_tv"]:
        check.same(f"{name} {key}", answer[key], float(np.average(pooled[key], weights=weights)))
    for key in ["js_decisions", "decisions", "flips", "flips_above_margin"]:
        check.same(f"{name} {key}", answer[key], int(sum(pooled[key])))
    divergences = [(v, c) for v, c in zip(pooled["js_divergence"], pooled["js_decisions"]) if v is not None]
    check.same(f"{name} js_divergence", answer["js_divergence"], sum(v * c for v, c in divergences) / sum(c for _, c in divergences) if divergences else None)
    low, high = jackknife(text_sums, text_counts)
    check.same(f"{name} set_agreement", answer["set_agreement"], text_sums.sum() / text_counts.sum())
    check.same(f"{name} set_agreement_low", answer["set_agreement_low"], low)
    check.same(f"{name} set_agreement_high", answer["set_agreement_high"], high)
    check.same(f"{name} shuffled_baseline", answer["shuffled_baseline"], turned_sum / turned_count if turned_count else None)

    # Bins: as many decisions as fall between their ends, and together all.
    entropies, agreements = np.concatenate(entropies).astype(np.float64), np.concatenate(agreements)
    known = np.isfinite(entropies)
    entropies, agreements = entropies[known], agreements[known]
    bins = answer["by_entropy"]
    check.same(f"{name} by_entropy decisions", sum(x["decisions"] for x in bins), len(entropies))
    for index, one in enumerate(bins):
        inside = (entropies >= one["low"]) & ((entropies < one["high"]) | (index == len(bins) - 1))
        check.same(f"{name} by_entropy {index} decisions", one["decisions"], int(inside.sum()))
        check.same(f"{name} by_entropy {index} set_agreement", one["set_agreement"], mean(agreements[inside]))

    flips.sort(key=lambda f: (f[0], f[1]))
    check.same(f"{name} flipped", len(answer["flipped"]), min(100, len(flips)))
    for got, (token, _, router, text, position, margin, own, theirs) in zip(answer["flipped"], flips):
        place = f"{name} flipped {router} token {token}"
        same = (got["token"], got["router"], got["text"], got["position"], got["a"], got["b"]) == (token, router, text, position, own, theirs)
        check.same(place, float(same), 1.0)
        check.same(f"{place} margin", got["margin"], margin if math.isfinite(margin) else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--match", default="index")
    parser.add_argument("--margin", type=float, default=1e-3)
    parser.add_argument("--layers", help="single layers of the stack ffn, e.g. 0=1,2=2")
    parser.add_argument("--filter", help="terms of the filter, as moetop takes them")
    parser.add_argument("--dropped", action="store_true", help="a weight of 0 is an assignment that capacity dropped")
    parser.add_argument("runs", nargs="+")
    options = parser.parse_args()
    arguments = ["compare", *options.runs, "--json", "--match", options.match, "--margin", options.margin]
    if options.layers:
        arguments += ["--layers", options.layers]
    if options.filter:
        arguments += ["--filter", options.filter]
    answer = json.loads(moetop(options.moetop, *arguments))
    check = Check()
    with tempfile.TemporaryDirectory() as folder:
        a, *others = [Run(options.moetop, name, Path(folder)) for name in options.runs]
        for other, pair in zip(others, answer["pairs"], strict=True):
            order = [(router, router) for router in a.routers]
            if options.layers:
                order = [tuple(f"ffn.{layer}" for layer in (term.split("=") * 2)[:2]) for term in options.layers.split(",")]
            passes = passing(a, options.filter or "")
            check_pair(check, a, other, pair, options, order, passes)
    for fault in check.faults[:20]:
        print(fault)
    print(f"{check.count} numbers of {len(answer['pairs'])} pair(s), {len(check.faults)} differ, largest relative error {check.largest:.1e}")
    sys.exit(2 if check.faults else 0)


if __name__ == "__main__":
    main()
