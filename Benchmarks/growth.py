"""How does the time of a text grow with its length, the number of layers and of threads?

usage: growth.py --moetop BIN --model FILE.gguf [--deeper FILE.gguf] [--threads 2] [--rounds 3] [--tokens 256] [--override KEY=N]

One document of random ids is read and its decisions are recorded (no logits), in moetop and beside it in llama.cpp; the factor is the median time
over that of the first line of the same engine.
  tokens   1, 2, 4 and 8 times --tokens, with all threads
  layers   the first text in --deeper, of the same shape and twice the layers
  threads  the first text with one thread and with all
Prints JSON: rows with medians, ranges and factors; llama_cpp is null where this interpreter has no llama-cpp-python.
"""
import argparse
import importlib.util
import json
import statistics
from pathlib import Path

import rounds


def peer_of(args, model, length):
    if not importlib.util.find_spec("llama_cpp"):
        return None
    import peer_llama
    return peer_llama.Peer(model, args.threads, length, args.override)


def seconds(args, peer, model, tokens, threads):
    """Rounds of both engines in turn: ([seconds], [seconds])."""
    document = rounds.random_documents(50000, 1, tokens)
    own, theirs = [], []
    for _ in range(args.rounds):
        own.append(rounds.run(args.moetop, model, threads, ["--routing-only"], document)["prefill"]["seconds"])
        if peer:
            peer.set_threads(threads)
            theirs.append(tokens / peer.measure("capture", document, 0))
    return own, theirs


def row(label, times, first):
    found = {"of": label}
    for name, values, base in zip(("moetop", "llama_cpp"), times, first):
        found[name] = None if not values else {
            "seconds": round(statistics.median(values), 3), "range": [round(min(values), 3), round(max(values), 3)],
            "factor": round(statistics.median(values) / statistics.median(base), 2)}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, threads=2, rounds=3, tokens=256)
    parser.add_argument("--deeper")
    parser.add_argument("--override", action="append", default=[])
    args = parser.parse_args()
    report = {"model": Path(args.model).name, "threads": args.threads, "tokens": args.tokens}
    peer = peer_of(args, args.model, 8 * args.tokens)
    seconds(argparse.Namespace(**vars(args) | {"rounds": 1}), peer, args.model, args.tokens, args.threads)
    lengths = [args.tokens * times for times in (1, 2, 4, 8)]
    by_length = [seconds(args, peer, args.model, length, args.threads) for length in lengths]
    report["tokens_rows"] = [row(length, times, by_length[0]) for length, times in zip(lengths, by_length)]
    if args.threads > 1:
        alone = seconds(args, peer, args.model, args.tokens, 1)
        report["threads_rows"] = [row(1, alone, alone), row(args.threads, by_length[0], alone)]
    if peer:
        peer.close()
    if args.deeper:
        peer = peer_of(args, args.deeper, args.tokens)
        seconds(argparse.Namespace(**vars(args) | {"rounds": 1}), peer, args.deeper, args.tokens, args.threads)
        deeper = seconds(args, peer, args.deeper, args.tokens, args.threads)
        report["layers_rows"] = [row("x1", by_length[0], by_length[0]), row("x2", deeper, by_length[0])]
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
