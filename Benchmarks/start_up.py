"""How long does moetop take until it answers?

usage: start_up.py --moetop BIN --model FILE.gguf [--inspect MODEL] [--threads 2] [--rounds 5]

Wall time in seconds from starting the program to its end, median, least and greatest of some rounds:
  version    --version
  inspect    inspect of --inspect: what a large checkpoint says of itself (make_bench_model.py --sparse)
  answer     8 token ids read, the model's file in the page cache, nothing recorded
  recorded   the same into a new trace
  llama_cpp  the same 8 tokens in llama.cpp, from opening the file, without the start of its interpreter; null where there is none
Prints JSON.
"""
import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import rounds

HERE = Path(__file__).resolve().parent
IDS = [[11, 22, 33, 44, 55, 66, 77, 88]]


def read_once(path):
    """Brings a file, or those of a folder, into the page cache."""
    for file in ([path] if path.is_file() else path.iterdir()):
        with open(file, "rb", buffering=0) as opened:
            while opened.read(1 << 24):
                pass


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def summed_up(values):
    return {"median": round(statistics.median(values), 4), "range": [round(min(values), 4), round(max(values), 4)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, threads=2, rounds=5)
    parser.add_argument("--inspect")
    parser.add_argument("--override", action="append", default=[])
    args = parser.parse_args()
    quiet = dict(check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cases = {"version": lambda: subprocess.run([args.moetop, "--version"], **quiet)}
    if args.inspect:
        cases["inspect"] = lambda: subprocess.run([args.moetop, "inspect", args.inspect], **quiet)
    for name, record in (("answer", None), ("recorded", "weights")):
        cases[name] = lambda record=record: rounds.run(args.moetop, args.model, args.threads, [], IDS, record)
    read_once(Path(args.model))
    found = {name: [] for name in cases}
    theirs = []
    told = [part for text in args.override for part in ("--override", text)]
    peer = [sys.executable, HERE / "peer_llama.py", args.model, "--threads", str(args.threads), "--tokens", "8", *told]
    for _ in range(args.rounds):
        for name, work in cases.items():
            found[name].append(seconds(work))
        if importlib.util.find_spec("llama_cpp"):
            printed = subprocess.run(peer, check=True, capture_output=True, text=True).stdout
            theirs.append(json.loads(printed.splitlines()[1])["seconds"])
    report = {"model": Path(args.model).name, "bytes": Path(args.model).stat().st_size, "threads": args.threads}
    report |= {name: summed_up(values) for name, values in found.items()}
    print(json.dumps(report | {"llama_cpp": summed_up(theirs) if theirs else None}, indent=1))


if __name__ == "__main__":
    main()
