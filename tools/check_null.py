"""Are the p-values of specialization uniform when there is nothing to find?

usage: check_null.py --moetop .build/release/moetop TRACE [--by domain] [--times 200] [--null 999]

Permutes the labels over the sequences of a recorded run `--times` times (`moetop analyze --shuffle-labels SEED`), collects each layer's
p-values and compares them with the uniform distribution by a Kolmogorov-Smirnov test. Exit code 1 when a layer's test has p <= 0.01.
"""
import argparse
import json
import math
import subprocess
import sys


def kolmogorov_smirnov(values):
    """Statistic and asymptotic p-value against the uniform distribution on 0..1."""
    n = len(values)
    ordered = sorted(values)
    statistic = max(max((i + 1) / n - v, v - i / n) for i, v in enumerate(ordered))
    x = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * statistic
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return statistic, min(1.0, max(0.0, p))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace")
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--by", default="domain")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--null", type=int, default=999)
    args = parser.parse_args()
    found = {}
    for seed in range(args.times):
        out = subprocess.run(
            [args.moetop, "analyze", args.trace, "--metric", "specialization", "--by", args.by, "--null", str(args.null), "--seed", str(seed),
             "--shuffle-labels", str(seed), "--json"],
            check=True, capture_output=True, text=True).stdout
        for layer in json.loads(out)["layers"]:
            found.setdefault(layer["layer"], []).append(layer["p"])
    worst = 1.0
    for layer, values in sorted(found.items()):
        statistic, p = kolmogorov_smirnov(values)
        worst = min(worst, p)
        below = sum(v < 0.05 for v in values) / len(values)
        print(f"layer {layer}: {len(values)} p-values, {below:.1%} below 0.05, KS D {statistic:.3f}, p {p:.3f}")
    sys.exit(0 if worst > 0.01 else 1)


if __name__ == "__main__":
    main()
