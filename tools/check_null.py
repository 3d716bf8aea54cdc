"""Are p-values uniform when there is nothing to find? Of `analyze --metric specialization`, and of `whatif`.

usage: check_null.py --moetop .build/release/moetop TRACE [--by domain] [--times 200] [--null 999]
       check_null.py --moetop .build/release/moetop --whatif MODEL [--times 200]

TRACE: the labels are permuted over the sequences of a recorded run `--times` times (`moetop analyze --shuffle-labels SEED`); the
p-values of each layer.
--whatif: texts of random tokens, each cut into parts of equal length. A die chooses for each text which part the rule `swap all` is about, so
the chosen decisions are no other than their control: of two parts by construction to the sign, of four on average. New texts
each time; p of the difference.

For each: the share of p at or below .05 and .1 with its 95 % interval (Clopper and Pearson), and a Kolmogorov-Smirnov test against the
uniform distribution. Exit code 1 when a test has p <= 0.01.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import binomtest, kstest

TEXTS, LENGTH = 24, 16


def moetop(*command):
    return json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout)


def of_specialization(args):
    """{layer: p-values}"""
    found = {}
    for seed in range(args.times):
        answer = moetop(
            args.moetop, "analyze", args.trace, "--metric", "specialization", "--by", args.by, "--null", args.null, "--seed", seed,
            "--shuffle-labels", seed, "--json")
        for layer in answer["layers"]:
            found.setdefault(f"layer {layer['layer']}", []).append(layer["p"])
    return found


def of_whatif(args):
    """{number of parts: p-values}"""
    vocabulary = json.loads((args.whatif / "config.json").read_text())["vocab_size"]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        for parts in (2, 4):
            size = LENGTH // parts
            for seed in range(args.times):
                rng = np.random.default_rng([parts, seed])
                texts = rng.integers(4, vocabulary, (TEXTS, LENGTH)).tolist()
                chosen = rng.integers(parts, size=TEXTS)
                rules = "; ".join(f"swap all if part={i} position={i * size}-{(i + 1) * size - 1}" for i in sorted(set(chosen)))
                labels = [{"part": str(part)} for part in chosen]
                path.write_text(json.dumps({"sequences": texts, "labels": labels}))
                answer = moetop(
                    args.moetop, "whatif", args.whatif, "--tokens", path, "--rules", rules, "--seed", seed, "--threads", 1, "--json", "--quiet",
                    "--no-progress")
                effect, = answer["effects"]
                assert effect["control"]["kind"] == "equal_size" and effect["control"]["unmatched"] == 0
                assert abs(effect["touched"] - 1 / parts) < 1e-9
                found.setdefault(f"one part of {parts}", []).append(effect["difference"]["p"])
    return found


def share(values, limit):
    test = binomtest(sum(v <= limit for v in values), len(values))
    low, high = test.proportion_ci()
    return f"{test.statistic:6.1%} [{low:.1%}, {high:.1%}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", nargs="?")
    parser.add_argument("--whatif", type=Path, metavar="MODEL")
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--by", default="domain")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--null", type=int, default=999)
    args = parser.parse_args()
    if (args.trace is None) == (args.whatif is None):
        parser.error("expected TRACE or --whatif MODEL")
    found = of_whatif(args) if args.whatif else of_specialization(args)
    worst = 1.0
    print(f"{'':<15}    n  {'p <= .05':<20}  {'p <= .1':<20}   KS D   KS p")
    for name, values in sorted(found.items()):
        test = kstest(values, "uniform")
        worst = min(worst, test.pvalue)
        print(f"{name:<15} {len(values):>4}  {share(values, 0.05):<20}  {share(values, 0.1):<20}  {test.statistic:.3f}  {test.pvalue:.3f}")
    sys.exit(0 if worst > 0.01 else 1)


if __name__ == "__main__":
    main()
