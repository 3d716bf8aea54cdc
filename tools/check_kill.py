"""Kill a long run at random moments and look at what is left.

usage: check_kill.py --moetop .build/release/moetop --model samples/olmoe-tiny --corpus samples/corpus.jsonl [--times 10] [--seed 1]

Each round starts `moetop run` on the corpus, repeated until the run is long enough, on a pseudo-terminal, reads its progress line, sends
SIGKILL at a random moment and then asks: does the trace open, is `PRAGMA integrity_check` ok, does `moetop runs check` agree, and how
many tokens that the progress line had already counted are missing? At most one second's worth or 4,096 tokens may be.
"""
import argparse
import json
import os
import pathlib
import pty
import random
import re
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

PROGRESS = re.compile(rb"([\d,]+) of ([\d,]+) tokens")


def number(text):
    return int(text.replace(b",", b""))


def one_round(args, corpus, trace, moment):
    pid, master = pty.fork()
    if pid == 0:
        os.execv(args.moetop, [args.moetop, "run", args.model, "-f", str(corpus), "--trace", trace, "--name", "killed"])
    seen = []  # (time, tokens)
    first = None
    buffer = b""
    while True:
        ready, _, _ = select.select([master], [], [], 0.02)
        now = time.monotonic()
        if ready:
            try:
                buffer += os.read(master, 65536)
            except OSError:
                break
            for match in PROGRESS.finditer(buffer):
                seen.append((now, number(match.group(1))))
                first = first or now
            buffer = buffer[-80:]
        if first and now - first >= moment:
            os.kill(pid, signal.SIGKILL)
            break
    killed = time.monotonic()
    os.waitpid(pid, 0)
    os.close(master)
    counted = seen[-1][1] if seen else 0
    second_ago = max([tokens for at, tokens in seen if killed - at >= 1.0], default=0)
    with sqlite3.connect(trace) as db:
        integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
        kept, state = db.execute("SELECT tokens, state FROM runs ORDER BY run DESC LIMIT 1").fetchone()
    check = subprocess.run([args.moetop, "runs", "check", trace], capture_output=True, text=True)
    lost = counted - kept
    good = integrity == "ok" and check.returncode == 0 and (lost <= 4096 or kept >= second_ago)
    print(f"killed after {moment:5.2f} s  counted {counted:8,}  kept {kept:8,}  lost {lost:6,}  {state}  integrity {integrity}  "
          f"check {check.returncode}  {'ok' if good else 'BAD ' + check.stderr.strip()}")
    return good, kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=40, help="copies of the corpus in one run")
    parser.add_argument("--longest", type=float, default=8.0, help="seconds after the first progress line")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.moetop = os.path.abspath(args.moetop)
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        corpus = pathlib.Path(folder, "long.jsonl")
        corpus.write_text(args.corpus.read_text() * args.repeat)
        rounds = [
            one_round(args, corpus, os.path.join(folder, f"killed-{i}.db"), chance.uniform(0.05, args.longest)) for i in range(args.times)
        ]
    full = sum(1 for _, kept in rounds if kept > 0)
    print(json.dumps({"rounds": len(rounds), "good": sum(good for good, _ in rounds), "holding_tokens": full}))
    sys.exit(0 if all(good for good, _ in rounds) and full * 2 > len(rounds) else 1)


if __name__ == "__main__":
    main()
