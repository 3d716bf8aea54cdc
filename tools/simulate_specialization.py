"""Do the effect, interval and p of specialization keep their promises? Simulated, because only there the truth is known.

usage: simulate_specialization.py [--runs 400] [--null 199] [--seed 1] [--only labels|position] [--cases]

Labels: texts of 30 to 300 tokens (evenly on a logarithmic scale) choose 2 experts a token; a text's own mixture of experts is drawn from a
Dirichlet distribution about the mixture of its label. With 4 E as its concentration an expert's share varies by half of its mean from text to
text, with E by all of it. Printed: bias of the plug-in value, of the plug-in value minus the mean of its null and of the jackknife-centred
effect, how often the 95 % interval holds the truth, and at a true effect of 0 a Kolmogorov-Smirnov test of p and how often p <= 0.05.

Position: routing that stays with an expert and no place that matters. Printed: how often p <= 0.05 with plain circular shifts and with shifts
whose join lies at the border of two cells, every other text backwards.

--cases prints the small tables and what this estimator makes of them, as pinned in Tests/AnalysisTests/CentredInformationTests.swift.
"""
import argparse
import math

import numpy as np

def student_975(freedom, known={}):
    """97.5 % quantile of Student's t, freedom 1 and above, whole or not: sqrt(v) tan(angle), the angle by bisection of Simpson's rule."""
    if freedom not in known:
        whole = math.sqrt(math.pi) / 2 * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
        weight = np.where(np.arange(4097) % 2 == 1, 4.0, 2.0)
        weight[0] = weight[-1] = 1.0
        low, high = 0.0, math.pi / 2
        for _ in range(60):
            middle = (low + high) / 2
            density = np.cos(np.linspace(0, middle, 4097)) ** (freedom - 1)
            if (weight * density).sum() * middle / 4096 / 3 < 0.95 * whole:
                low = middle
            else:
                high = middle
        known[freedom] = math.sqrt(freedom) * math.tan(low)
    return known[freedom]


def xlogx(n):
    n = np.asarray(n, float)
    return np.where(n > 0, n * np.log(np.where(n > 0, n, 1)), 0.0)


def information(table):
    """Plug-in mutual information of tables [..., cells, experts], nats."""
    total = table.sum((-1, -2))
    return (xlogx(table).sum((-1, -2)) - xlogx(table.sum(-1)).sum(-1) - xlogx(table.sum(-2)).sum(-1) + xlogx(total)) / total


def estimate(counts, labels, values):
    """Plug-in value, centred effect and half width of its interval. counts: [texts, experts]; labels: [texts]."""
    table = np.zeros((values, counts.shape[1]))
    np.add.at(table, labels, counts)
    sums, experts, total, own = table.sum(1), table.sum(0), table.sum(), counts.sum(1)
    plug_in = float(information(table))
    joint = xlogx(table).sum() + (xlogx(table[labels] - counts) - xlogx(table[labels])).sum(1)
    cells = xlogx(sums).sum() + xlogx(sums[labels] - own) - xlogx(sums[labels])
    left_out = (joint - cells - xlogx(experts[None] - counts).sum(1) + xlogx(total - own)) / (total - own)
    texts = len(labels)
    effect = plug_in - (texts - 1) * (left_out.mean() - plug_in)
    spread = math.sqrt((texts - 1) / texts * ((left_out - left_out.mean()) ** 2).sum())
    freedom = texts / len(set(labels.tolist())) - 1
    return plug_in, effect, student_975(freedom) * spread


def kolmogorov_smirnov(values):
    n, ordered = len(values), sorted(values)
    statistic = max(max((i + 1) / n - v, v - i / n) for i, v in enumerate(ordered))
    x = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * statistic
    return min(1.0, max(0.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))))


def labels_table(runs, null, rng):
    print("| labels | experts | a share varies by | true effect, nat | texts a label | plug-in | minus null | centred | spread | interval holds | p <= .05 (KS) |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for values, experts, factor in [(2, 16, 4), (6, 16, 4), (6, 16, 1), (2, 64, 4), (6, 64, 4), (6, 64, 1)]:
        base = rng.normal(0, 0.5, experts)
        directions = rng.normal(0, 1, (values, experts))
        for strength in (0, 0.2, 0.8):
            mixtures = np.exp(base + strength * directions)
            mixtures /= mixtures.sum(1, keepdims=True)
            truth = (mixtures * np.log(mixtures / mixtures.mean(0))).sum() / values
            for texts in (5, 10, 32):
                labels = np.repeat(np.arange(values), texts)
                found, ps = [], []
                for run in range(runs):
                    lengths = np.exp(rng.uniform(math.log(30), math.log(300), len(labels))).astype(int)
                    shares = np.maximum(rng.gamma(factor * experts * mixtures[labels]), 1e-300)
                    counts = rng.multinomial(2 * lengths, shares / shares.sum(1, keepdims=True))
                    plug_in, effect, half = estimate(counts, labels, values)
                    draws = null if strength == 0 else 20
                    tables = np.zeros((draws, values, experts))
                    for draw in range(draws):
                        np.add.at(tables[draw], rng.permutation(labels), counts)
                    drawn = information(tables)
                    found.append((plug_in, plug_in - drawn.mean(), effect, abs(effect - truth) <= half))
                    ps.append((1 + (drawn >= plug_in - 1e-12).sum()) / (1 + draws))
                found = np.array(found)
                def off(column):
                    mean = found[:, column].mean()
                    return f"{mean / truth - 1:+.0%}" if strength else f"{mean:+.4f}"
                test = "" if strength else f"{np.mean(np.array(ps) <= 0.05):.3f} ({kolmogorov_smirnov(ps):.2f})"
                print(f"| {values} | {experts} | {'half' if factor == 4 else 'all'} | {truth:.4f} | {texts} | {off(0)} | {off(1)} | {off(2)} | "
                      f"{found[:, 2].std():.4f} | {found[:, 3].mean():.0%} | {test} |", flush=True)


def cell(position):
    return 0 if position <= 0 else int(position).bit_length()


def position_p(texts, experts, null, rng):
    """p with plain circular shifts, and with the join at a border of two cells, every other text backwards."""
    cells = max(cell(len(text) - 1) for text in texts) + 1
    observed = np.zeros((cells, experts))
    plain, joined = np.zeros((null, cells, experts)), np.zeros((null, cells, experts))
    for text in texts:
        length = len(text)
        own = np.array([cell(position) for position in range(length)])
        np.add.at(observed, (own, text), 1)
        sizes = np.bincount(own)
        starts = np.cumsum(sizes) - sizes
        for tables, borders in ((plain, False), (joined, True)):
            shift = rng.integers(0, length, null)
            backwards = np.zeros(null, bool)
            if borders:
                shift = starts[own[shift]]
                backwards = rng.random(null) < 0.5
            running = {}
            for reads_back in (False, True):
                order = text[::-1] if reads_back else text
                counts = np.zeros((length + 1, experts))
                counts[1:] = np.cumsum(np.eye(experts)[order], 0)
                running[reads_back] = counts
            for index, (start, size) in enumerate(zip(starts, sizes)):
                low = (start - shift) % length
                high = low + size
                for reads_back, counts in running.items():
                    rows = backwards == reads_back
                    tables[rows, index] += (counts[np.minimum(high[rows], length)] - counts[low[rows]]
                                            + np.where(high[rows] > length, 1, 0)[:, None] * counts[np.maximum(high[rows] - length, 0)])
    reached = information(observed) - 1e-12
    return [(1 + (information(tables) >= reached).sum()) / (1 + null) for tables in (plain, joined)]


def position_table(runs, null, rng):
    print("| texts | tokens | experts | stays for | plain shifts | joined at borders |")
    print("|---|---|---|---|---|---|")
    for count, (shortest, longest), experts, stays in [
            (20, (64, 64), 8, 0.9), (20, (50, 90), 8, 0.9), (20, (64, 64), 8, 0.0), (10, (30, 90), 16, 0.9), (5, (64, 64), 8, 0.9),
            (40, (200, 300), 16, 0.95)]:
        ps = []
        for run in range(runs):
            texts = []
            for _ in range(count):
                length = int(rng.integers(shortest, longest + 1))
                shares = rng.dirichlet(np.ones(experts))
                text = rng.choice(experts, length, p=shares)
                for position in range(1, length):
                    if rng.random() < stays:
                        text[position] = text[position - 1]
                texts.append(text)
            ps.append(position_p(texts, experts, null, rng))
        sizes = np.mean(np.array(ps) <= 0.05, 0)
        tokens = shortest if shortest == longest else f"{shortest} to {longest}"
        print(f"| {count} | {tokens} | {experts} | {1 / (1 - stays):.0f} tokens | {sizes[0]:.3f} | {sizes[1]:.3f} |", flush=True)


def cases():
    for name, counts, labels in [
            ("two labels", [[8, 2, 0], [6, 3, 1], [9, 1, 2], [1, 7, 2], [2, 6, 4], [0, 9, 3]], [0, 0, 0, 1, 1, 1]),
            ("unequal texts", [[30, 4, 2, 1], [5, 5, 0, 0], [12, 3, 3, 0], [2, 9, 1, 8], [1, 20, 4, 6], [3, 2, 2, 9], [0, 1, 5, 30]],
             [0, 0, 0, 1, 1, 2, 2])]:
        plug_in, effect, half = estimate(np.array(counts, float), np.array(labels), max(labels) + 1)
        print(f"{name}: plug-in {plug_in:.15f}, effect {effect:.15f}, half width {half:.15f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--null", type=int, default=199)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["labels", "position"])
    parser.add_argument("--cases", action="store_true")
    args = parser.parse_args()
    if args.cases:
        return cases()
    rng = np.random.default_rng(args.seed)
    if args.only != "position":
        labels_table(args.runs, args.null, rng)
        print()
    if args.only != "labels":
        position_table(args.runs, args.null, rng)


if __name__ == "__main__":
    main()
