"""moetop beside transformers on the same model, documents and cores, in one run.

usage: compare_speed.py --moetop BIN --model DIR --corpus FILE [--threads 2] [--rounds 3] [--decode 128]

Prefill: every document (BOS and up to 512 tokens more), each on its own, tokens per second over all of them.
  capture  moetop records every decision into a trace and computes no logits; transformers computes the last token's logits only
  score    both compute the logits of every token; moetop also records, and takes the surprisal of every token
Decode: greedy single tokens after the first document; moetop records.
Transformers runs in float32 with every experts implementation it has; the fastest counts, for each of the three. One that is
five times slower than the best on the first documents is measured on those alone. Rounds alternate between the two engines.
Prints JSON: medians, all rounds, ratios.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import reference  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

EXPERTS = ("eager", "grouped_mm", "batched_mm")
CUT = reference.SCORED_TOKENS + 1


class Peer:
    """One experts implementation of transformers."""

    def __init__(self, folder, experts, threads):
        self.model = reference.load_model(folder, experts=experts, attention="sdpa", threads=threads)

    @torch.inference_mode()
    def prefill(self, documents, keep):
        began = time.perf_counter()
        for document in documents:
            self.model(torch.tensor([document.ids]), use_cache=True, logits_to_keep=keep)
        return sum(len(d.ids) for d in documents) / (time.perf_counter() - began)

    @torch.inference_mode()
    def decode(self, ids, count):
        past = self.model(torch.tensor([ids]), use_cache=True, logits_to_keep=1).past_key_values
        step = torch.tensor([ids[-1:]])
        began = time.perf_counter()
        for _ in range(count):
            result = self.model(step, past_key_values=past, use_cache=True)
            past, step = result.past_key_values, result.logits[:, -1:].argmax(-1)
        return count / (time.perf_counter() - began)

    def measure(self, kind, documents, decode):
        if kind == "decode":
            return self.decode(documents[0].ids, decode)
        return self.prefill(documents, keep=1 if kind == "capture" else 0)


def ours(args, kind, first):
    """Tokens per second of one run of moetop, recorded into a trace of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [args.moetop, "run", args.model, "--threads", str(args.threads), "--trace", f"{folder}/trace.db", "--json"]
        if kind == "decode":
            (Path(folder) / "first.json").write_text(json.dumps({"sequences": [first]}))
            command += ["--tokens", f"{folder}/first.json", "--generate", "--max-tokens", str(args.decode + 1), "--greedy"]
        else:
            command += ["-f", args.corpus, "--length", str(CUT)] + (["--no-loss"] if kind == "capture" else [])
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return done["decode" if kind == "decode" else "prefill"]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--moetop", required=True, type=lambda p: str(Path(p).resolve()))
    ap.add_argument("--model", required=True)
    ap.add_argument("--corpus", required=True)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--decode", type=int, default=128)
    args = ap.parse_args()
    documents = reference.read_corpus(args.corpus, args.model)
    tokens = sum(len(d.ids) for d in documents)
    peers = {experts: Peer(args.model, experts, args.threads) for experts in EXPERTS}
    kinds = ("capture", "score", "decode")
    trial = {kind: {name: peer.measure(kind, documents[:2], 8) for name, peer in peers.items()} for kind in kinds}
    own = {kind: [] for kind in kinds}
    theirs = {kind: {name: [] for name in peers} for kind in kinds}
    for _ in range(args.rounds):
        for kind in kinds:
            run = ours(args, kind, documents[0].ids)
            if kind != "decode" and run["tokens"] != tokens:
                raise SystemExit(f"moetop read {run['tokens']} tokens, transformers {tokens}")
            own[kind].append(run["tokens_per_second"])
            for name, peer in peers.items():
                slow = trial[kind][name] * 5 < max(trial[kind].values())
                theirs[kind][name].append(peer.measure(kind, documents[:2] if slow else documents, args.decode))
    report = {"peer": f"transformers {transformers.__version__}, torch {torch.__version__}, float32", "threads": args.threads,
              "documents": len(documents), "tokens": tokens}
    for kind in kinds:
        best = max(theirs[kind], key=lambda name: statistics.median(theirs[kind][name]))
        mine, other = statistics.median(own[kind]), statistics.median(theirs[kind][best])
        report[kind] = {"moetop": round(mine, 1), "transformers": round(other, 1), "experts": best, "ratio": round(mine / other, 2),
                        "moetop_rounds": [round(v, 1) for v in own[kind]],
                        "transformers_rounds": {name: [round(v, 1) for v in values] for name, values in theirs[kind].items()}}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
