"""Every benchmark in one command: makes the models, installs the peers, measures, and writes the page.

usage: run.py [--moetop .build/release/moetop] [--quick] [--parts llama,transformers,diffusion,recording,footprint,start,growth,traces]
              [--models NAMES] [--threads CORES] [--rounds 5] [--cache FOLDER] [--results FOLDER] [--llama-python P] [--torch-python P] [--llama-source SDIST]

  llama         ratios beside llama.cpp on shapes of published models, GGUF (compare_llama.py)
  transformers  ratios beside transformers, a Hugging Face folder (compare_speed.py)
  diffusion     ratios beside PyTorch at denoising (compare_dit.py)
  recording     what a trace costs (recording_cost.py)
  footprint     memory beyond the mapped weights at 2,048 tokens (footprint.py)
  start         time until it answers (start_up.py)
  growth        with tokens, layers and threads (growth.py)
  traces        decisions a core writes, reads and folds (trace_rates.py)

--quick goes through all parts with cut models, short texts and two rounds, to see that they run: its numbers are no results, and are written to
the cache folder. --models takes some of those beside llama.cpp alone, by the names of their files without .gguf.
Models and peers are kept in --cache (default: moetop-benchmarks in $XDG_CACHE_HOME or ~/.cache); about 60 GB of disk, and half
an hour to build llama.cpp once. --llama-python and --torch-python name interpreters that have the peers already.
Parts of one day, machine and program are gathered in one file. Needs Linux and a C compiler.
Limits of the machine (ceiling.c) are measured before each comparison with the same number of threads. A peer that is not there is said so.
Writes RESULTS/DATE-PROCESSOR.json after every part, and docs/speed.md from all of them (make_page.py) where RESULTS is Benchmarks/results.
"""
import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cached_models as models
import install_peers
import machine
import make_page
from install_peers import Missing

HERE = Path(__file__).resolve().parent
QUICK = dict(rounds=2, documents=1, tokens=64, decode=8, long=256, growth=32, steps=4, decisions=100_000)
FULL = dict(rounds=5, documents=2, tokens=512, decode=32, long=2048, growth=256, steps=20, decisions=3_000_000)


class Bench:
    def __init__(self, args):
        self.args, self.sizes = args, (QUICK if args.quick else FULL)
        self.rounds = args.rounds or self.sizes["rounds"]
        self.report = {"schema": "moetop.speed/1", "date": datetime.date.today().isoformat(), "quick": args.quick, "threads": args.threads,
                       "moetop": self.version(), "machine": machine.described(), "at_rest": machine.at_rest(), "peers": {}, "parts": {}}
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.report["machine"]["processor"]).strip("-")
        self.path = args.results / f"{self.report['date']}-{name}.json"
        self.keep_earlier()
        self.pythons = {"torch": self.peer("torch", self.torch), "llama": None}
        if set(args.parts) & {"llama", "footprint", "start", "growth"}:
            self.pythons["llama"] = self.peer("llama", self.llama)

    def keep_earlier(self):
        """Parts that the same program has been measured in today stay, unless they are measured again."""
        earlier = json.loads(self.path.read_text()) if self.path.exists() else {}
        if all(earlier.get(key) == self.report[key] for key in ("schema", "moetop", "threads", "quick")):
            self.report["peers"], self.report["parts"] = earlier["peers"], earlier["parts"]

    def version(self):
        return subprocess.run([self.args.moetop, "--version"], check=True, capture_output=True, text=True).stdout.strip()

    # MARK: Peers

    def peer(self, name, install):
        try:
            python, self.report["peers"][name] = install()
            return python
        except Missing as reason:
            self.report["peers"][name] = {"not_measured": str(reason)}
            print(f"{name}: not measured: {reason}", file=sys.stderr, flush=True)

    def torch(self):
        if self.args.torch_python:
            return self.args.torch_python, {"given": True}
        return install_peers.torch(self.args.cache), {"given": False}

    def llama(self):
        path, _ = models.make(self.args.cache, models.OLMOE_4, self.maker())
        if not self.args.llama_python:
            return install_peers.llama(self.args.cache, self.args.llama_source, path)
        status, words = install_peers.smoke(self.args.llama_python, path)
        if status:
            raise Missing(f"--llama-python ends with status {status} on a short run: {words}")
        return self.args.llama_python, {"given": True}

    def maker(self):
        if not self.pythons["torch"]:
            raise Missing("models are made with numpy and gguf, of the environment that failed to install")
        return self.pythons["torch"]

    # MARK: Running

    def step(self, python, script, *options):
        """What a script prints, and what else the machine did meanwhile.

        - Throws: `Missing` with the reason of a script that failed.
        """
        if not python:
            raise Missing("the peer is not installed")
        watch = machine.Watch()
        done = subprocess.run([str(part) for part in (python, HERE / script, "--moetop", self.args.moetop, *options)], capture_output=True, text=True)
        meanwhile = watch.stop()
        if done.returncode:
            how = "was killed, as for want of memory" if done.returncode == -9 else f"ended with {done.returncode}"
            raise Missing(f"{script} {how}: {(done.stderr.strip() or done.stdout.strip())[-400:]}".rstrip(": "))
        return json.loads(done.stdout), meanwhile

    def compared(self, peer, python, script, path, work, *options):
        """One comparison by kinds, with the shares of limits measured right before it."""
        limits = machine.limits(self.args.threads)
        found, meanwhile = self.step(python, script, "--model", path, "--threads", self.args.threads, "--rounds", self.rounds,
                                     "--documents", self.sizes["documents"], "--tokens", self.sizes["tokens"], "--decode", self.sizes["decode"],
                                     *options)
        for kind in ("capture", "score", "decode"):
            row = found[kind]
            row["of_limits"] = {name: machine.shares(work, kind, row[name], self.sizes["tokens"], self.sizes["decode"], limits, name)
                                for name in ("moetop", peer)}
            print(f"{models.title(work)}: {kind}: moetop {row['moetop']}, {peer} {row[peer]} tok/s, ratio {row['ratio']} "
                  f"({row['ratio_range'][0]} to {row['ratio_range'][1]}), of limits {row['of_limits']['moetop']}", flush=True)
        return {**found, "title": models.title(work), "work": work, "limits": limits, "meanwhile": meanwhile}

    def entry(self, title, work):
        """A value of the report: what `work` gives, or why it gives nothing."""
        try:
            return work()
        except Missing as reason:
            print(f"{title}: not measured: {reason}", file=sys.stderr, flush=True)
            return {"title": title, "not_measured": str(reason)}

    # MARK: Parts

    def part_llama(self):
        def one(wanted):
            path, work = models.make(self.args.cache, wanted, self.maker())
            return self.compared("llama_cpp", self.pythons["llama"], "compare_llama.py", path, work, *models.override(work))
        wanted = models.QUICK_BESIDE_LLAMA if self.args.quick else models.BESIDE_LLAMA
        if self.args.models:
            wanted = [w for w in wanted if w.file.removesuffix(".gguf") in self.args.models]
        return [self.entry(w.file, lambda w=w: one(w)) for w in wanted]

    def part_transformers(self):
        path, work = models.make(self.args.cache, models.QUICK_FOLDER if self.args.quick else models.FOLDER, self.maker())
        return [self.compared("transformers", self.pythons["torch"], "compare_speed.py", path, work)]

    def part_diffusion(self):
        rows = []
        for shape in ("S/2", "B/2-8E2A"):
            folder = self.args.cache / "models" / f"dit-{shape.replace('/', '-')}"
            if not (folder / "model.safetensors").exists():
                install_peers.call([self.maker(), HERE.parent / "tools" / "reference_dit.py", "--make", folder, "--shape", shape, "--names",
                                    "timm", "--seed", "1", "--sampler", "rectified-flow"])
            found, meanwhile = self.step(self.pythons["torch"], "compare_dit.py", folder, "--threads", self.args.threads,
                                         "--rounds", self.rounds, "--steps", self.sizes["steps"])
            rows.append({**found[0], "title": f"DiT-MoE {shape}", "meanwhile": meanwhile})
            print(f"DiT-MoE {shape}: ratio {found[0]['ratio']:.2f}", flush=True)
            if self.args.quick:
                break
        return rows

    def alone(self, script, wanted, *options, python=None, told=True):
        path, work = models.make(self.args.cache, wanted, self.maker())
        python = python or self.pythons["llama"] or sys.executable
        found, meanwhile = self.step(python, script, "--model", path, "--threads", self.args.threads, *options, *(models.override(work) if told else []))
        print(f"{script[:-3]}: {models.title(work)}: done", flush=True)
        return {**found, "title": models.title(work), "meanwhile": meanwhile}

    def part_recording(self):
        return [self.alone("recording_cost.py", models.OLMOE_4 if self.args.quick else models.FULL, "--rounds", self.rounds,
                           "--documents", self.sizes["documents"], "--tokens", self.sizes["tokens"], "--decode", 2 * self.sizes["decode"], told=False)]

    def part_footprint(self):
        wanted = models.QUICK_BESIDE_LLAMA[:1] if self.args.quick else models.BESIDE_LLAMA[:1] + models.BESIDE_LLAMA[-3:]
        return [self.entry(w.file, lambda w=w: self.alone("footprint.py", w, "--tokens", self.sizes["long"])) for w in wanted]

    def part_start(self):
        sparse, _ = models.make(self.args.cache, models.SPARSE, self.maker())
        return [self.alone("start_up.py", models.OLMOE_4 if self.args.quick else models.FULL, "--inspect", sparse, "--rounds", self.rounds)]

    def part_growth(self):
        deeper, _ = models.make(self.args.cache, models.OLMOE_8, self.maker())
        return [self.alone("growth.py", models.OLMOE_4, "--deeper", deeper, "--tokens", self.sizes["growth"], "--rounds", self.rounds)]

    def part_traces(self):
        found, meanwhile = self.step(sys.executable, "trace_rates.py", "--decisions", self.sizes["decisions"], "--rounds", self.rounds)
        print(f"trace_rates: {found}", flush=True)
        return [{**found, "title": f"{found['routers']} routers, {found['k']} of {found['experts']} experts", "meanwhile": meanwhile}]

    def run(self):
        for part in self.args.parts:
            print(f"== {part}", flush=True)
            found = self.entry(part, getattr(self, f"part_{part}"))
            self.report["parts"][part] = found if isinstance(found, list) else [found]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.report, indent=1) + "\n")
        print(self.path)


PARTS = [name.removeprefix("part_") for name in vars(Bench) if name.startswith("part_")]


def parts(text):
    unknown = set(text.split(",")) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(PARTS)}, found {','.join(sorted(unknown))}")
    return text.split(",")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    resolved = lambda p: Path(p).resolve()   # noqa: E731
    parser.add_argument("--moetop", type=resolved, default=HERE.parent / ".build" / "release" / "moetop")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", type=parts, default=PARTS)
    parser.add_argument("--models", type=lambda names: names.split(","))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--cache", type=resolved, default=Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moetop-benchmarks")
    parser.add_argument("--results", type=resolved)
    parser.add_argument("--llama-python")
    parser.add_argument("--torch-python")
    parser.add_argument("--llama-source", default=install_peers.LLAMA)
    args = parser.parse_args()
    if not args.moetop.exists():
        parser.error(f"{args.moetop}: expected the program, found nothing; make build, or --moetop FILE")
    args.results = args.results or (args.cache / "quick" if args.quick else make_page.RESULTS)
    Bench(args).run()
    page = make_page.PAGE if args.results == make_page.RESULTS else args.results / "speed.md"
    page.write_text(make_page.page(args.results))
    print(page)


if __name__ == "__main__":
    main()
