"""What every comparison shares: runs of moetop, rounds that alternate, and the spread of their ratios.

A speed of one engine stands beside that of the other right after it; `ratio` is the median over rounds of these pairs and `ratio_range` the
least and the greatest, so that a machine that is slower for a while is so for both.
"""
import json
import random
import statistics
import subprocess
import tempfile
from pathlib import Path

KINDS = ("capture", "score", "decode")


def add_options(parser, **defaults):
    """--moetop, --model and whole numbers."""
    parser.add_argument("--moetop", required=True, type=lambda p: str(Path(p).resolve()))
    parser.add_argument("--model", required=True)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)


def add_kinds(parser):
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS), help="some of capture,score,decode")


def random_documents(vocabulary, count, tokens):
    chance = random.Random(1)
    return [[chance.randrange(vocabulary) for _ in range(tokens)] for _ in range(count)]


def run(moetop, model, threads, more, sequences=None, record="full"):
    """The JSON that one run prints: of token ids, or of what `more` names; into a trace of its own, or none with record=None."""
    with tempfile.TemporaryDirectory() as folder:
        command = [moetop, "run", model, "--threads", str(threads), "--json", "--no-progress", *map(str, more)]
        command += ["--trace", f"{folder}/trace.db", "--record", record] if record else ["--no-trace"]
        if sequences is not None:
            ids = Path(folder) / "ids.json"
            ids.write_text(json.dumps({"sequences": sequences}))
            command += ["--tokens", str(ids)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{Path(model).name}: moetop ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout)


def moetop_speed(args, kind, documents, record="full"):
    """Tokens per second of one run: documents read (capture, score), or tokens generated after the first (decode)."""
    decode = kind == "decode"
    more = {"capture": ["--routing-only"], "score": [], "decode": ["--generate", "--max-tokens", args.decode + 1, "--greedy"]}[kind]
    done = run(args.moetop, args.model, args.threads, more, documents[:1] if decode else documents, record)
    return done["decode" if decode else "prefill"]["tokens_per_second"]


def spread(pairs):
    """Of (one, other) a round."""
    ratios = sorted(one / other for one, other in pairs)
    return {"ratio": round(statistics.median(ratios), 2), "ratio_range": [round(ratios[0], 2), round(ratios[-1], 2)]}


def compared(peer, own, theirs):
    """The report of one kind: medians, the ratio and its range, all rounds."""
    return {"moetop": round(statistics.median(own), 1), peer: round(statistics.median(theirs), 1), **spread(list(zip(own, theirs))),
            "moetop_rounds": [round(v, 1) for v in own], f"{peer}_rounds": [round(v, 1) for v in theirs]}
