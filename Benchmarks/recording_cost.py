"""What does it cost to keep every decision? moetop with and without a trace, reading and generating.

usage: recording_cost.py --moetop BIN --model MODEL [--vocabulary 50000] [--threads 2] [--rounds 5] [--documents 2] [--tokens 512] [--decode 64]

  none     --no-trace
  weights  a trace of ids, weights and surprisal: what is recorded unless said otherwise
  full     --record full: raw logits too
Each round runs the three in turn; `cost` is 1 - with / without of the same round: its median, least and greatest. Prints JSON.
"""
import argparse
import json
import statistics
from pathlib import Path

import rounds

LEVELS = {"none": None, "weights": "weights", "full": "full"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, vocabulary=50000, threads=2, rounds=5, documents=2, tokens=512, decode=64)
    args = parser.parse_args()
    documents = rounds.random_documents(args.vocabulary, args.documents, args.tokens)
    rounds.moetop_speed(args, "capture", documents[:1], None)
    report = {"model": Path(args.model).name, "threads": args.threads, "documents": args.documents, "tokens": args.tokens}
    for kind in ("capture", "decode"):
        speeds = {level: [] for level in LEVELS}
        for _ in range(args.rounds):
            for level, record in LEVELS.items():
                speeds[level].append(rounds.moetop_speed(args, kind, documents, record))
        report[kind] = {"none": round(statistics.median(speeds["none"]), 1)}
        for level in ("weights", "full"):
            costs = sorted(1 - held / free for held, free in zip(speeds[level], speeds["none"]))
            report[kind][level] = {"speed": round(statistics.median(speeds[level]), 1), "cost": round(statistics.median(costs), 4),
                                   "cost_range": [round(costs[0], 4), round(costs[-1], 4)]}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
