"""Read the unpacked sources, clean, deduplicate, split by file, and write the training and held-out documents.

usage: make_corpus.py RAW DATA [--seed 0]

DATA/train/<domain>.jsonl    whole files: {"text", "source"}; training cuts its own windows from them
DATA/heldout/<domain>.jsonl  sections of a few hundred tokens: {"text", "source"}, from files that training never sees
DATA/stats.json              what was kept, in documents and bytes, per domain and package

A file goes to one side of the split by a hash of its path; files beyond what training takes are held out too. A held-out
section that shares more than a fifth of its eight-word runs with training text or with another held-out section (a
copied licence, a repeated paragraph) is dropped.
"""
import argparse
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import synthetic
from readers import READERS
from sources import DOMAINS, SOURCES, SYNTHETIC

TRAIN_BYTES = 6_000_000        # at most so much a domain, whole files in hash order
HELDOUT_BYTES = 330_000
SECTION_CHARS = (1100, 1800)   # a held-out section ends at the first line end after the first, or at the last before the second
SECTIONS_PER_FILE = 6
RUN = 8                        # words in a run that counts as shared
SHARED = 0.2
TABLE_DIGITS = 0.1              # more digits than this: tables of characters, not text
LARGEST = 200_000              # bytes of a file; above it are generated ones and single-page copies
BOILERPLATE_FILES = 12         # a line found in more files of one package than this is furniture, not text


def fraction(text):
    """A number in 0..1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def read(source, raw):
    """(path, text) of every file of a source, furniture removed."""
    base = raw / ("src" if source.upstream else "root") / source.package
    paths = sorted({p for g in source.globs for p in base.glob(g) if p.is_file() and not p.is_symlink()})
    paths = [p for p in paths if not re.search(r"/(tests?|idle_test|lib2to3/tests|locale|_sources)/", str(p.relative_to(base)))]
    files = [(str(p.relative_to(base)), READERS[source.reader](p.read_bytes().decode("utf-8", "ignore"))) for p in paths]
    if source.reader == "html":
        seen = Counter(line for _, text in files for line in set(text.split("\n")))
        files = [(p, "\n".join(s for s in t.split("\n") if seen[s] <= BOILERPLATE_FILES)) for p, t in files]
    return files


def wanted(domain, text):
    """Is this text long enough, no table of numbers, and in the domain's language (translations are often unfinished)?"""
    if len(text) < 400 or sum(ch.isdigit() for ch in text) > TABLE_DIGITS * len(text):
        return False
    if domain == "russian":
        return len(re.findall(r"[а-яё]", text.lower())) > 0.4 * len(text)
    if domain == "german":
        return len(re.findall(r"\b(?:der|die|das|und|nicht|ist|ein|eine|wird|mit|für|auf)\b", text)) > len(text.split()) * 0.06
    letters = sum(ch.isascii() for ch in text)
    return letters > 0.97 * len(text)


def sections(text):
    """Cut a file into sections that begin and end at line ends."""
    low, high = SECTION_CHARS
    out, now, size = [], [], 0
    for line in text.splitlines(keepends=True):
        if size and size + len(line) > high or size > low and not line.strip():
            out.append("".join(now))
            now, size = [], 0
        if line.strip() or now:
            now.append(line)
            size += len(line)
    out.append("".join(now))
    return [s for s in out if low * 0.7 <= len(s) <= high * 1.3]


def runs(text):
    """Hashes of all runs of RUN words."""
    words = re.findall(r"\w+", text)
    return {hash(tuple(words[i:i + RUN])) for i in range(len(words) - RUN + 1)}


def real(domain, raw):
    """Training files and held-out sections of a domain with real documents."""
    files, seen = [], set()
    for source in (s for s in SOURCES if s.domain == domain):
        for path, text in read(source, raw):
            digest = hashlib.sha256(re.sub(r"\s+", " ", text).encode()).digest()
            if digest not in seen and len(text) <= LARGEST and wanted(domain, text):
                seen.add(digest)
                files.append({"text": text.strip() + "\n", "source": f"{source.package}:{path}"})
    files.sort(key=lambda f: fraction(f["source"]))
    held, train, size, taken, known = [], [], 0, 0, set()
    total = sum(len(f["text"].encode()) for f in files)
    want = min(HELDOUT_BYTES * 2, total * 0.22)
    limit = SECTIONS_PER_FILE if total > 3 * TRAIN_BYTES / 4 else None     # a small domain gives all its sections
    for f in files:
        bytes_ = len(f["text"].encode())
        if size < want:
            held.append(f)
            size += min(bytes_, limit * 2 * SECTION_CHARS[1]) if limit else bytes_
        elif taken + bytes_ <= TRAIN_BYTES:
            train.append(f)
            taken += bytes_
            known |= runs(f["text"])
        else:
            held.append(f)
    return train, heldout(domain, held, limit, known)


def heldout(domain, files, limit, known):
    """One section of every file, then a second of every file, and so on, until there are HELDOUT_BYTES."""
    cut = [(f["source"], sorted(sections(f["text"]), key=fraction)[:limit]) for f in files]
    kept, size = [], 0
    for turn in range(max(len(found) for _, found in cut)):
        for source, found in cut:
            r = runs(found[turn]) if turn < len(found) else set()
            if r and size < HELDOUT_BYTES and wanted(domain, found[turn]) and len(r & known) <= SHARED * len(r):
                known |= r
                kept.append({"text": found[turn], "source": source})
                size += len(found[turn].encode())
    return kept


def generated(domain, seed):
    """Training and held-out documents of a synthetic domain: disjoint ranges of document numbers."""
    held, train, size, i = [], [], 0, 0
    while size < HELDOUT_BYTES:
        held.append({"text": synthetic.document(domain, i, seed), "source": f"synthetic:{domain}:{i}"})
        size += len(held[-1]["text"])
        i += 1
    size = 0
    while size < TRAIN_BYTES // 2:
        train.append({"text": synthetic.document(domain, i, seed), "source": f"synthetic:{domain}:{i}"})
        size += len(train[-1]["text"])
        i += 1
    return train, held


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("raw", type=Path)
    ap.add_argument("data", type=Path)
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    stats = {}
    for domain in DOMAINS:
        train, held = generated(domain, args.seed) if domain in SYNTHETIC else real(domain, args.raw)
        for name, rows in (("train", train), ("heldout", held)):
            (args.data / name).mkdir(parents=True, exist_ok=True)
            with open(args.data / name / f"{domain}.jsonl", "w") as out:
                out.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
        count = {name: {"documents": len(rows), "bytes": sum(len(r["text"].encode()) for r in rows),
                        "packages": dict(Counter(r["source"].split(":")[0] for r in rows))}
                 for name, rows in (("train", train), ("heldout", held))}
        stats[domain] = count
        print(domain, {k: (v["documents"], v["bytes"]) for k, v in count.items()}, flush=True)
    (args.data / "stats.json").write_text(json.dumps(stats, indent=1) + "\n")


if __name__ == "__main__":
    main()
