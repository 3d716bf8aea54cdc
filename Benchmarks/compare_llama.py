"""moetop beside llama.cpp on the same GGUF file, token ids and cores, in one run. Both keep every routing decision.

usage: compare_llama.py --moetop BIN --model FILE.gguf [--threads 2] [--rounds 3] [--documents 2] [--tokens 512] [--decode 32]
                        [--kinds capture,score,decode] [--override KEY=N]

Needs llama-cpp-python, built natively from source (CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary llama-cpp-python llama-cpp-python).
Documents of random ids, each on its own, tokens per second over all of them.
  capture  moetop stops behind its last router (--routing-only); llama.cpp computes logits of the last token, and so only that token in its last layer
  score    both compute the logits of every token; moetop takes the surprisal of every token too
  decode   single tokens after the first document
llama.cpp multiplies activations rounded to 8 bits, moetop exact ones; both record ids, weights and router logits: moetop into a trace,
llama.cpp by copies out of its graph. Rounds alternate; `ratio` is the median over rounds of one beside the other right after it, `ratio_range` the
least and the greatest. --override tells llama.cpp what a file's metadata leave out: deepseek2.attention.q_lora_rank=0 of a DeepSeek-V2-Lite that was
cut to fewer than 26 layers. Prints JSON: that, medians, all rounds.
"""
import argparse
import json
from pathlib import Path

import peer_llama
import rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, threads=2, rounds=3, documents=2, tokens=512, decode=32)
    rounds.add_kinds(parser)
    peer_llama.add_override(parser)
    args = parser.parse_args()
    peer = peer_llama.Peer(args.model, args.threads, args.tokens + args.decode, args.override)
    documents = rounds.random_documents(peer.vocabulary, args.documents, args.tokens)
    peer.measure("capture", documents[:1], 0)
    mine, theirs = {kind: [] for kind in args.kinds}, {kind: [] for kind in args.kinds}
    for _ in range(args.rounds):
        for kind in args.kinds:
            mine[kind].append(rounds.moetop_speed(args, kind, documents))
            theirs[kind].append(peer.measure(kind, documents, args.decode))
    report = {"peer": peer_llama.NAME, "model": Path(args.model).name, "threads": args.threads, "documents": args.documents, "tokens": args.tokens}
    report |= {kind: rounds.compared("llama_cpp", mine[kind], theirs[kind]) for kind in args.kinds}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
