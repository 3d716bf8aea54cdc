"""Write what lies beside the model: the labelled corpus, its attribution, and the model card.

usage: bundle.py RAW DATA RUN MODEL EVALUATION.json SAMPLES [--per-domain 32]

SAMPLES/corpus.jsonl   held-out documents, so many a domain, spread over their sources: {"text", "domain", "source"}
SAMPLES/SOURCES.md     package, version and licence behind every domain, of the corpus and of the weights
MODEL/README.md        the model card; every number in it is read from files the other scripts wrote
"""
import argparse
import json
from collections import Counter
from pathlib import Path

from sources import DOMAINS, SOURCES, SYNTHETIC

ABOUT = {
    "python": "Python code", "c": "C code", "manual": "English technical prose", "story": "English story and dialogue",
    "german": "German technical prose", "russian": "Russian technical prose (Cyrillic)", "json": "JSON records, synthetic",
    "arithmetic": "worked arithmetic, synthetic",
}


def spread(rows, count):
    """`count` rows at even distances, so that sources take part in proportion to what they hold."""
    rows = sorted(rows, key=lambda r: r["source"])
    return [rows[i * len(rows) // count] for i in range(count)]


def write_corpus(data, path, count):
    with open(path, "w") as out:
        for domain in DOMAINS:
            with open(data / "heldout" / f"{domain}.jsonl") as lines:
                rows = [json.loads(line) for line in lines]
            for row in spread(rows, count):
                out.write(json.dumps({"text": row["text"], "domain": domain, "source": row["source"]}, ensure_ascii=False) + "\n")


def source_table(versions, stats, packages):
    """Markdown rows: one per domain and package that gave documents."""
    out = ["| domain | package | version | licence | what |", "|---|---|---|---|---|"]
    for s in SOURCES:
        if packages(s.domain).get(s.package):
            kind = "Debian source package" if s.upstream else "Debian package"
            version = versions[f"{'src' if s.upstream else 'bin'}:{s.package}"]
            out.append(f"| {s.domain} | {kind} `{s.package}` | {version} | {s.licence} | {s.about} |")
    out += [f"| {domain} | none: `tools/train_lm/synthetic.py`, seed 0 | | as this repository | {ABOUT[domain]} |" for domain in SYNTHETIC]
    return "\n".join(out)


def write_sources(raw, data, corpus, path):
    versions = json.loads((raw / "versions.json").read_text())
    stats = json.loads((data / "stats.json").read_text())
    with open(corpus) as lines:
        rows = [json.loads(line) for line in lines]
    held = {d: Counter(r["source"].split(":")[0] for r in rows if r["domain"] == d) for d in DOMAINS}
    trained = {d: Counter(stats[d]["train"]["packages"]) for d in DOMAINS}
    path.write_text(f"""# Where the samples' text comes from

All of it is free software or free documentation as Debian 12 (bookworm) distributes it; nothing was taken from the web.
Copyright stays with the authors that the packages' `copyright` files name. Licences are those of the files that were
read, as the package states them.

## `corpus.jsonl`

Excerpts, {len(rows)} documents, each with its package and file in `source`. Whoever passes the file on passes on the licences below.

{source_table(versions, stats, held.get)}

## Training text of the model's weights

{source_table(versions, stats, trained.get)}
""")


def results_table(domains):
    out = ["| domain | what | held-out documents | bytes scored | bits per byte | `xz -9e` | below xz |", "|---|---|---|---|---|---|---|"]
    for d in DOMAINS:
        r = domains[d]
        below = 100 * (1 - r["bits_per_byte"] / r["xz_bits_per_byte"])
        out.append(f"| {d} | {ABOUT[d]} | {r['documents']} | {r['bytes']:,} | {r['bits_per_byte']:.3f} | {r['xz_bits_per_byte']:.3f} | {below:.1f} % |")
    return "\n".join(out)


def write_card(data, run, model, evaluation, path):
    config = json.loads((model / "config.json").read_text())
    stats = json.loads((data / "stats.json").read_text())
    found = json.loads(evaluation.read_text())
    with open(run / "log.jsonl") as lines:
        log = [json.loads(line) for line in lines]
    last = log[-1]
    tail = [r["loss"] for r in log[-100:]]
    rounds = next(r["rounds"] for r in reversed(log) if "rounds" in r)
    trained = "\n".join(f"| {d} | {stats[d]['train']['documents']:,} | {stats[d]['train']['bytes']:,} | {rounds[d]} |" for d in DOMAINS)
    shares = "\n".join(f"- {p['pair'][0]} and {p['pair'][1]}: {100 * p['shared_types']:.0f} % of the distinct tokens of the one with fewer are also used "
                       f"by the other; they make up {100 * p['occurrences'][0]:.0f} % of the {p['pair'][0]} tokens and "
                       f"{100 * p['occurrences'][1]:.0f} % of the {p['pair'][1]} tokens" for p in found["vocabulary"])
    spec = found["specialization"]
    layers = "\n".join(f"| {i} | {mi:.3f} | {lo:.3f} | {hi:.3f} |" for i, (mi, lo, hi) in
                       enumerate(zip(spec["mutual_information_bits"], spec["least_load"], spec["most_load"])))
    uniform = 1 / config["num_experts"]
    path.write_text(f"""---
license: other
license_name: mixed-free
license_link: ../SOURCES.md
library_name: transformers
pipeline_tag: text-generation
tags: [moe, olmoe]
---

# {model.name}: a small mixture of experts, really trained

moetop's bundled model. It exists so that every screen, metric and test has a model whose experts have something to
specialise in, and is small enough to keep in a repository. It writes plausible-looking text and knows nothing.

OLMoE layout, loaded by `transformers` (`OlmoeForCausalLM`) unchanged: {config['num_hidden_layers']} layers, {config['num_experts']} experts a layer,
{config['num_experts_per_tok']} active a token, hidden size {config['hidden_size']}, expert size {config['intermediate_size']}, {config['num_attention_heads']} heads, vocabulary {config['vocab_size']:,} (byte-level BPE),
tied embeddings, {found['parameters']:,} parameters in bfloat16. The tokenizer puts `<|bos|>` before every text. Trained on at most 512 tokens at a time.

## Held-out bits per byte

BOS, then each document up to 512 tokens, from position 0; bytes are those of the scored tokens; `xz -9e` compresses the same bytes,
concatenated. The stored bfloat16 weights were run in float32.

{results_table(found['domains'])}

Domains that share most of their vocabulary, measured on the scored held-out tokens:

{shares}

## Experts

Mutual information between domain and selected expert on the held-out documents (domains weighted alike; at most log2({len(DOMAINS)}) = 3 bits),
plug-in estimate over {sum(r['tokens'] for r in found['domains'].values()):,} tokens; and the smallest and largest load of an expert (even would be {uniform:.4f}):

| layer | mutual information, bits | least load | most load |
|---|---|---|---|
{layers}

## Training

`tools/train_lm/` holds every step from package names to this folder; its README gives the commands. {last['tokens']:,} tokens in
{last['step']:,} steps on two CPU cores, Muon for the matrices of attention and experts and AdamW for the rest, bfloat16 matrix
products with float32 weights, dropless routing, load-balancing loss (0.01) and router z-loss (0.001); level learning rate,
then a linear fall to zero over the last 30 % of the tokens. Mean training loss of the last 100 steps: {sum(tail) / len(tail):.3f} nats a token
(domains mixed by the weights in `train.py`). The held-out losses were still falling when it ended.

| domain | training documents | bytes | full rounds seen |
|---|---|---|---|
{trained}

Documents are whole files; a file is on one side of the split by a hash of its path. Held-out documents are sections of held-out
files; a section that shares more than a fifth of its eight-word runs with training text was dropped. Synthetic documents of
the two sides come from disjoint seeds.

## Sources and licences

The text is free documentation and software from Debian packages, under the licences listed in `../SOURCES.md` (PSF-2.0, MIT, BSD,
zlib, curl, MPL-2.0, CC-BY-SA-3.0, GPL and Artistic), and two synthetic domains. The weights are given away under the licence of this
repository as far as its authors hold rights in them; the texts' own licences are named so that you can judge for yourself.
""")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("raw", "data", "run", "model", "evaluation", "samples"):
        ap.add_argument(name, type=Path)
    ap.add_argument("--per-domain", type=int, default=32)
    args = ap.parse_args()
    args.samples.mkdir(parents=True, exist_ok=True)
    write_corpus(args.data, args.samples / "corpus.jsonl", args.per_domain)
    write_sources(args.raw, args.data, args.samples / "corpus.jsonl", args.samples / "SOURCES.md")
    write_card(args.data, args.run, args.model, args.evaluation, args.model / "README.md")


if __name__ == "__main__":
    main()
