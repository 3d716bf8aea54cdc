"""Speed of a model under transformers (float32, CPU): the yardstick beside moetop's own numbers.

usage: peer_transformers.py --model DIR --corpus FILE [--threads 2] [--repeat 3] [--decode 128]

Prefill: every document of the corpus (BOS and up to 512 tokens), each on its own, tokens per second over all of them.
Decode: single tokens after the first document. Every experts implementation is tried and the fastest reported for
each of the two; the figure is the median over --repeat passes after one warm-up pass. Prints JSON.
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import reference  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

EXPERTS = ("eager", "grouped_mm", "batched_mm")


@torch.inference_mode()
def prefill_pass(model, documents):
    """Tokens per second of one pass over the documents."""
    began = time.perf_counter()
    for d in documents:
        model(torch.tensor([d.ids]), use_cache=True)
    return sum(len(d.ids) for d in documents) / (time.perf_counter() - began)


@torch.inference_mode()
def decode_pass(model, ids, count):
    """Tokens per second of `count` single-token steps after `ids`."""
    past = model(torch.tensor([ids]), use_cache=True).past_key_values
    step = torch.tensor([ids[-1:]])
    began = time.perf_counter()
    for _ in range(count):
        result = model(step, past_key_values=past, use_cache=True)
        past, step = result.past_key_values, result.logits[:, -1:].argmax(-1)
    return count / (time.perf_counter() - began)


def measure(folder, documents, experts, args):
    """Medians of one experts implementation."""
    model = reference.load_model(folder, experts=experts, attention="sdpa", threads=args.threads)
    prefill = [prefill_pass(model, documents) for _ in range(args.repeat + 1)][1:]
    decode = [decode_pass(model, documents[0].ids, args.decode) for _ in range(args.repeat + 1)][1:]
    return {"prefill_tokens_per_s": round(statistics.median(prefill), 1), "decode_tokens_per_s": round(statistics.median(decode), 1)}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", type=Path, required=True)
    ap.add_argument("--corpus", type=Path, required=True)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--repeat", type=int, default=3)
    ap.add_argument("--decode", type=int, default=128)
    ap.add_argument("--documents", type=int, help="only so many documents, spread over the corpus")
    args = ap.parse_args()
    documents = reference.read_corpus(args.corpus, args.model)
    if args.documents:
        documents = documents[::max(1, len(documents) // args.documents)][:args.documents]
    results, refused = {}, {}
    for experts in EXPERTS:
        try:
            results[experts] = measure(args.model, documents, experts, args)
        except (ValueError, RuntimeError, NotImplementedError) as error:
            refused[experts] = str(error).split("\n")[0]
    best = {key: max(results, key=lambda name: results[name][key]) for key in ("prefill_tokens_per_s", "decode_tokens_per_s")}
    print(json.dumps({"engine": f"transformers {transformers.__version__}, torch {torch.__version__}", "dtype": "float32",
                      "threads": args.threads, "documents": len(documents), "tokens": sum(len(d.ids) for d in documents),
                      **{key: results[name][key] for key, name in best.items()}, "fastest_experts": best,
                      "by_experts": results, "refused": refused}, indent=1))


if __name__ == "__main__":
    main()
