"""How many decisions a second does a core write, read and fold?

usage: trace_rates.py --moetop BIN [--bench TraceBench] [--decisions 3000000] [--routers 48] [--experts 128] [--k 8] [--rounds 5]

Decisions of random logits, made by the router as an engine makes them, with weights and statistics. Millions a second of processor time, that of
the system included; of some rounds the least time:
  write    into a new trace, passes of 512 tokens
  decode   the same in passes of one token
  read     pages back into batches, checksums compared
  fold     load and entropy of batches in memory
  answer   load and entropy of the trace: read, fold and report
  analyze  `moetop analyze --metric load,entropy` of the same trace, without its start; `seconds` with it, `start` alone
TraceBench is built where it is not given. Prints JSON.
"""
import argparse
import json
import resource
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def built():
    subprocess.run(["swift", "build", "-c", "release", "--package-path", HERE, "--product", "TraceBench"], check=True, stdout=subprocess.DEVNULL)
    return HERE / ".build" / "release" / "TraceBench"


def processor_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--bench")
    for name, value in dict(decisions=3_000_000, routers=48, experts=128, k=8, rounds=5).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace = f"{folder}/trace.db"
        shape = [part for name in ("decisions", "routers", "experts", "k", "rounds") for part in (name, str(getattr(args, name)))]
        printed = subprocess.run([args.bench or built(), *shape, "keep", trace], check=True, capture_output=True, text=True).stdout
        report = json.loads(printed)
        start = min(processor_seconds([args.moetop, "--version"]) for _ in range(args.rounds))
        seconds = min(processor_seconds([args.moetop, "analyze", trace, "--metric", "load,entropy", "--json"]) for _ in range(args.rounds))
    report |= {"analyze": round(report["decisions"] / (seconds - start) / 1e6, 2), "seconds": round(seconds, 3), "start": round(start, 3)}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
