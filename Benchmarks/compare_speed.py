"""moetop beside transformers on the same model, documents and cores, in one run.

usage: compare_speed.py --moetop BIN --model DIR [--corpus FILE | --documents 2 --tokens 512] [--threads 2] [--rounds 3] [--decode 128]
                        [--kinds capture,score,decode]

Prefill: every document (BOS and up to 512 tokens more; without a corpus random ids), each on its own, tokens per second over all of them.
  capture  moetop records every decision into a trace and computes no logits; transformers computes the last token's logits only
  score    both compute the logits of every token; moetop also records, and takes the surprisal of every token
Decode: greedy single tokens after the first document; moetop records.
Transformers runs in float32 with every experts implementation that it has and that fits in memory; the fastest counts, for each of the three. One that is
five times slower than the best on the first documents is measured on those alone. Rounds alternate between the two engines; `ratio` is
the median over rounds of one beside the other right after it, `ratio_range` the least and the greatest.
Prints JSON: medians, all rounds, ratios.
"""
import argparse
import json
import statistics

import peer_transformers
import rounds


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(ap, threads=2, rounds=3, documents=2, tokens=512, decode=128)
    rounds.add_kinds(ap)
    ap.add_argument("--corpus")
    args = ap.parse_args()
    peer = peer_transformers.Peer(args.model, args.threads)
    if args.corpus:
        documents = [d.ids for d in peer_transformers.reference.read_corpus(args.corpus, args.model)]
    else:
        documents = rounds.random_documents(peer.vocabulary, args.documents, args.tokens)
    tokens, ways = sum(map(len, documents)), {kind: peer.ways(kind, documents) for kind in args.kinds}
    trial = {kind: {way: peer.measure(way, kind, documents[:2], 8) for way in ways[kind]} for kind in args.kinds}
    own = {kind: [] for kind in args.kinds}
    theirs = {kind: {way: [] for way in ways[kind]} for kind in args.kinds}
    for _ in range(args.rounds):
        for kind in args.kinds:
            own[kind].append(rounds.moetop_speed(args, kind, documents, record="weights"))
            for way in ways[kind]:
                slow = trial[kind][way] * 5 < max(trial[kind].values())
                theirs[kind][way].append(peer.measure(way, kind, documents[:2] if slow else documents, args.decode))
    report = {"peer": peer_transformers.NAME, "threads": args.threads, "documents": len(documents), "tokens": tokens}
    for kind in args.kinds:
        best = max(ways[kind], key=lambda way: statistics.median(theirs[kind][way]))
        report[kind] = rounds.compared("transformers", own[kind], theirs[kind][best]) | {
            "experts": best, "transformers_rounds": {way: [round(v, 1) for v in values] for way, values in theirs[kind].items()}}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
