"""moetop against transformers (float32) on the same model folder: bits per byte and greedy continuations.

usage: compare_sample.py --moetop BINARY --model DIR --corpus FILE [--prompts 10] [--continue 48] [--out REPORT.json]

Bits per byte: BOS, then each document up to 512 tokens, from position 0; per domain equal within 1e-3. Greedy: the
first 32 tokens of the first document of each domain (then of the second, until there are enough) are continued;
identical up to the first token whose two best reference logits lie within 1e-4. Both engines get the same token ids.
Exit status 0: both hold.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import reference

BITS_TOLERANCE = 1e-3
TIE = 1e-4
PROMPT_TOKENS = 32


def moetop_json(command):
    """Standard output of a moetop command, parsed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def moetop_nats(binary, model, documents, folder):
    """Nats of each document as `moetop run --tokens` reports them."""
    tokens = folder / "documents.json"
    tokens.write_text(json.dumps({"sequences": [d.ids for d in documents], "names": [d.name for d in documents]}))
    report = moetop_json([binary, "run", model, "--tokens", tokens, "--no-trace", "--json"])
    by_name = {s["name"]: s["nats"] for s in report["sequences"]}
    return [by_name[d.name] for d in documents]


def moetop_greedy(binary, model, ids, count, folder):
    """Greedy continuation of `ids` as `moetop run --tokens --generate` reports it."""
    tokens = folder / "prompt.json"
    tokens.write_text(json.dumps({"sequences": [ids]}))
    report = moetop_json(
        [binary, "run", model, "--tokens", tokens, "--generate", "--greedy", "--max-tokens", str(count), "--no-trace", "--json"])
    return report["sequences"][0]["generated"]


def pick_prompts(documents, count):
    """The beginnings of `count` documents, going round the domains."""
    queues = {}
    for d in documents:
        queues.setdefault(d.domain, []).append(d.ids[:PROMPT_TOKENS + 1])
    order = [queue[i] for i in range(max(map(len, queues.values()))) for queue in queues.values() if i < len(queue)]
    return order[:count]


def compare_continuation(theirs, gaps, ours, end):
    """Agreement up to the reference's first near tie or the end of its text: (tokens that had to agree, tokens that did)."""
    binding = next((i for i, gap in enumerate(gaps) if gap < TIE), len(theirs))
    binding = min(binding, next((i + 1 for i, token in enumerate(theirs) if token == end), binding))
    agreed = next((i for i, (a, b) in enumerate(zip(theirs, ours)) if a != b), min(len(theirs), len(ours)))
    return binding, min(agreed, binding)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--moetop", type=Path, required=True)
    ap.add_argument("--model", type=Path, required=True)
    ap.add_argument("--corpus", type=Path, required=True)
    ap.add_argument("--prompts", type=int, default=10)
    ap.add_argument("--continue", dest="count", type=int, default=48, help="greedy tokens a prompt")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--out", type=Path, help="also write the report here, as JSON")
    args = ap.parse_args()
    model = reference.load_model(args.model, threads=args.threads)
    documents = reference.read_corpus(args.corpus, args.model)
    report = {"bits_per_byte": {}, "greedy": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = reference.domain_bits_per_byte(documents, [reference.nats(model, d.ids) for d in documents])
        ours = reference.domain_bits_per_byte(documents, moetop_nats(args.moetop, args.model, documents, folder))
        for domain, bits in theirs.items():
            report["bits_per_byte"][domain] = {"transformers": bits, "moetop": ours[domain], "difference": ours[domain] - bits,
                                               "ok": abs(ours[domain] - bits) <= BITS_TOLERANCE}
        for ids in pick_prompts(documents, args.prompts):
            expected, gaps = reference.greedy(model, ids, args.count)
            binding, agreed = compare_continuation(expected, gaps, moetop_greedy(args.moetop, args.model, ids, args.count, folder),
                                                   model.config.eos_token_id)
            report["greedy"].append({"prompt": ids, "transformers": expected, "must_agree": binding, "agreed": agreed, "ok": agreed >= binding})
    for domain, row in report["bits_per_byte"].items():
        print(f"{'ok  ' if row['ok'] else 'FAIL'} {domain}: transformers {row['transformers']:.5f}, moetop {row['moetop']:.5f} bits per byte")
    for number, row in enumerate(report["greedy"]):
        print(f"{'ok  ' if row['ok'] else 'FAIL'} prompt {number}: {row['agreed']} of {row['must_agree']} tokens agree")
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(0 if all(r["ok"] for r in [*report["bits_per_byte"].values(), *report["greedy"]]) else 1)


if __name__ == "__main__":
    main()
