"""Held-out bits per byte of a model, beside xz, and how its experts divide the domains.

usage: evaluate.py DATA MODEL [--limit N] [-o FILE.json]

MODEL is an exported folder; its weights are run in float32 by model.py's own forward pass. Protocol: BOS, then each
document up to 512 tokens, every document from position 0; the bytes counted are those of the scored tokens, and
`xz -9e` compresses the same bytes, concatenated in the same order.
"""
import argparse
import json
import lzma
import math
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F

SCORED = 512
NEIGHBOURS = (("manual", "story"), ("python", "c"))       # two kinds of English prose, two kinds of code


def byte_lengths(tokenizer):
    """Bytes each token of a byte-level vocabulary stands for."""
    special = {i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}
    return [0 if i in special else len(tokenizer.id_to_token(i)) for i in range(tokenizer.get_vocab_size())]


def load_documents(folder, tokenizer, limit=None):
    """{domain: [(token ids, the bytes they stand for)]}, each document cut to what is scored; `limit` of them, spread out."""
    lengths = byte_lengths(tokenizer)
    bos = tokenizer.token_to_id("<|bos|>")
    out = {}
    for path in sorted(Path(folder).glob("*.jsonl")):
        with open(path) as lines:
            texts = [json.loads(line)["text"] for line in lines]
        if limit:
            texts = texts[::max(1, len(texts) // limit)][:limit]
        out[path.stem] = []
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=False).ids[:SCORED]
            out[path.stem].append(([bos, *ids], text.encode()[:sum(lengths[i] for i in ids)]))
    return out


@torch.no_grad()
def bits_per_byte(model, documents, dtype=torch.float32, batch=8):
    """{domain: {tokens, bytes, nats, bits_per_byte, load}}; `load` counts assignments [layer][expert]."""
    c = model.config
    out = {}
    for domain, docs in documents.items():
        nats, load = 0.0, torch.zeros(c.num_hidden_layers, c.num_experts, dtype=torch.long)
        for i in range(0, len(docs), batch):
            ids = [d[0] for d in docs[i:i + batch]]
            width = max(map(len, ids)) - 1
            inputs = torch.tensor([row[:-1] + [row[0]] * (width - len(row) + 1) for row in ids])
            targets = torch.tensor([row[1:] + [-100] * (width - len(row) + 1) for row in ids])
            logits, routing = model(inputs, None, dtype)
            nats += F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100, reduction="sum").item()
            real = (targets >= 0).flatten()
            for layer, (_, chosen) in enumerate(routing):
                load[layer] += torch.bincount(chosen[real].flatten(), minlength=c.num_experts)
        size = sum(len(d[1]) for d in docs)
        out[domain] = {"documents": len(docs), "tokens": sum(len(d[0]) - 1 for d in docs), "bytes": size, "nats": nats,
                       "bits_per_byte": nats / math.log(2) / size, "load": load.tolist()}
    return out


def xz_bits_per_byte(docs):
    """What `xz -9e` makes of the same bytes."""
    data = b"".join(d[1] for d in docs)
    return 8 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) / len(data)


def specialization(results):
    """Mutual information (bits) between domain and expert in each layer, domains weighted alike; and the least-used expert's load."""
    load = torch.tensor([r["load"] for r in results.values()], dtype=torch.float64)
    joint = load / load.sum(-1, keepdim=True) / load.shape[0]
    expert = joint.sum(0)
    domain = 1.0 / load.shape[0]
    terms = joint * (joint.clamp_min(1e-30) / (expert * domain).clamp_min(1e-30)).log2()
    return {"mutual_information_bits": [round(x, 4) for x in terms.sum((0, 2)).tolist()],
            "least_load": [round(x, 5) for x in expert.min(-1).values.tolist()],
            "most_load": [round(x, 5) for x in expert.max(-1).values.tolist()]}


def vocabulary_share(documents, a, b):
    """How much of their vocabulary two domains share, over the scored tokens."""
    used = {name: Counter(i for ids, _ in documents[name] for i in ids[1:]) for name in (a, b)}
    both = set(used[a]) & set(used[b])
    return {"pair": [a, b], "shared_types": len(both) / min(map(len, used.values())),
            "occurrences": [sum(used[n][i] for i in both) / used[n].total() for n in (a, b)]}


def main():
    from tokenizers import Tokenizer

    from export import load_exported

    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data", type=Path)
    ap.add_argument("model", type=Path)
    ap.add_argument("--limit", type=int, help="documents a domain")
    ap.add_argument("-o", "--out", type=Path)
    args = ap.parse_args()
    torch.set_num_threads(2)
    documents = load_documents(args.data / "heldout", Tokenizer.from_file(str(args.model / "tokenizer.json")), args.limit)
    model = load_exported(args.model)
    results = bits_per_byte(model, documents)
    print("| domain | documents | bytes | model, bits per byte | xz -9e | below xz |\n|---|---|---|---|---|---|")
    for domain, r in results.items():
        r["xz_bits_per_byte"] = xz_bits_per_byte(documents[domain])
        print(f"| {domain} | {r['documents']} | {r['bytes']:,} | {r['bits_per_byte']:.3f} | {r['xz_bits_per_byte']:.3f} | "
              f"{100 * (1 - r['bits_per_byte'] / r['xz_bits_per_byte']):.1f} % |")
    summary = specialization(results)
    print(json.dumps(summary))
    if args.out:
        found = {"parameters": sum(p.numel() for p in model.parameters()), "domains": results, "specialization": summary,
                 "vocabulary": [vocabulary_share(documents, a, b) for a, b in NEIGHBOURS]}
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
