"""How much memory beyond the mapped weights does a text need, in moetop and in llama.cpp?

usage: footprint.py --moetop BIN --model FILE.gguf [--threads 2] [--tokens 2048] [--override KEY=N]

Anonymous memory: the most that /proc/PID/status shows (RssAnon and RssShmem) while a document of random ids is read and its decisions are
recorded; pages of the model's file do not count. llama.cpp runs twice: as it does by itself, where it makes a second copy of many weights in
an order that suits its kernels, and without that copy. What its interpreter and library hold before a model is opened is taken off.
Prints JSON in bytes; llama_cpp is null where this interpreter has no llama-cpp-python.
"""
import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rounds

HERE = Path(__file__).resolve().parent


def anonymous(pid):
    """Bytes of a process that no file holds; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def peak(command):
    """(the most of anonymous memory, what was printed) of a command."""
    most = 0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=errors)
        while process.poll() is None:
            most = max(most, anonymous(process.pid))
            time.sleep(0.01)
        out.seek(0), errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{Path(command[0]).name} ended with {process.returncode}: {errors.read().strip()[-500:]}")
        return most, out.read()


def moetop_peak(args, vocabulary):
    with tempfile.TemporaryDirectory() as folder:
        ids = Path(folder) / "ids.json"
        ids.write_text(json.dumps({"sequences": rounds.random_documents(vocabulary, 1, args.tokens)}))
        return peak([args.moetop, "run", args.model, "--tokens", ids, "--threads", args.threads, "--no-loss", "--record", "full",
                     "--trace", f"{folder}/trace.db", "--quiet"])[0]


def llama_peak(args, *more):
    told = [part for text in args.override for part in ("--override", text)]
    most, printed = peak([sys.executable, HERE / "peer_llama.py", args.model, "--threads", args.threads, "--tokens", args.tokens, *told, *more])
    return most - json.loads(printed.splitlines()[0])["before"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, threads=2, tokens=2048)
    parser.add_argument("--override", action="append", default=[])
    args = parser.parse_args()
    report = {"model": Path(args.model).name, "tokens": args.tokens, "moetop": moetop_peak(args, 50000), "llama_cpp": None}
    if importlib.util.find_spec("llama_cpp"):
        report |= {"llama_cpp": llama_peak(args), "llama_cpp_without_copy": llama_peak(args, "--keep-weights")}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
