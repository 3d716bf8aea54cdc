"""What the full-screen program costs the engine: tokens per second with the Live screen in a terminal, beside the same
texts continued and captured without a screen. Needs tmux.

usage: screen_cost.py --moetop BIN --model DIR --corpus FILE [--size 200x60] [--seconds 10] [--rounds 3] [--keys 3]

--keys are pressed before the count begins: the screen that is shown (1 Live, the default; 3 Specialization).

The two alternate. Each continues the openings of the corpus's documents (24 tokens) by 160 sampled tokens as fast as it can and
records them into a new trace; tokens read and tokens drawn count alike.
Prints JSON; `cost` is 1 - with screen / without, of the medians.
"""
import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

OPENING, CONTINUATION = 24, 160


def without_screen(args):
    """Tokens per second of `moetop run --generate`, recorded as a live session is."""
    with tempfile.TemporaryDirectory() as folder:
        return measure_run(args, f"{folder}/trace.db")


def measure_run(args, trace):
    output = subprocess.run(
        [args.moetop, "run", args.model, "-f", args.corpus, "--generate", "--length", str(OPENING), "--max-tokens", str(CONTINUATION),
         "--temperature", "0.8", "--seed", "1", "--trace", trace, "--json"], capture_output=True, text=True, check=True).stdout
    done = json.loads(output)
    return sum(done[part]["tokens"] for part in ("prefill", "decode")) / sum(done[part]["seconds"] for part in ("prefill", "decode"))


def with_screen(args):
    """Tokens per second that the Live screen counts between two looks."""
    columns, rows = args.size.split("x")
    with tempfile.TemporaryDirectory() as folder:
        tmux = ["tmux", "-f", "/dev/null", "-S", f"{folder}/socket"]
        command = f"LANG=C.UTF-8 TERM=xterm-256color {args.moetop} ui {args.model} --trace {folder}/trace.db --data-dir {folder}"
        subprocess.run(tmux + ["new-session", "-d", "-x", columns, "-y", rows, command], check=True)
        try:
            wait_for(tmux, 1, 30)
            subprocess.run(tmux + ["send-keys"] + ["."] * 12 + list(args.keys), check=True)
            time.sleep(8)
            began, first = time.perf_counter(), shown_tokens(tmux)
            time.sleep(args.seconds)
            return (shown_tokens(tmux) - first) / (time.perf_counter() - began)
        finally:
            subprocess.run(tmux + ["kill-server"], check=False)


def shown_tokens(tmux):
    """The token count in the status line; a message may hide it for a while."""
    deadline = time.perf_counter() + 10
    while time.perf_counter() < deadline:
        screen = subprocess.run(tmux + ["capture-pane", "-p"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"([\d,]+) tokens +[\d.,]+ tok/s", screen)
        if found:
            return int(found.group(1).replace(",", ""))
        time.sleep(0.05)
    raise SystemExit("the screen shows no token count")


def wait_for(tmux, tokens, seconds):
    deadline = time.perf_counter() + seconds
    while shown_tokens(tmux) < tokens and time.perf_counter() < deadline:
        time.sleep(0.1)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--moetop", required=True, type=lambda p: str(Path(p).resolve()))
    ap.add_argument("--model", required=True)
    ap.add_argument("--corpus", required=True)
    ap.add_argument("--size", default="200x60")
    ap.add_argument("--seconds", type=float, default=10)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--keys", default="")
    args = ap.parse_args()
    plain, shown = [], []
    for _ in range(args.rounds):
        plain.append(without_screen(args))
        shown.append(with_screen(args))
    print(json.dumps({"size": args.size, "keys": args.keys, "tokens_per_s_without_screen": [round(v, 1) for v in plain],
                      "tokens_per_s_with_screen": [round(v, 1) for v in shown],
                      "cost": round(1 - statistics.median(shown) / statistics.median(plain), 4)}, indent=1))


if __name__ == "__main__":
    main()
