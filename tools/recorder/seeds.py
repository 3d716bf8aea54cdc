"""Runs the table of routed systems (`tests/seeds/systems.py`): makes each trace, asks moetop, reads one number out of the answer and holds it
against what was planted. Exit code 1 where a number differs.

    python seeds.py --moetop ../../.build/release/moetop [--only 4,18] [--without-torch] [--write ../../docs/seeds.md] [--keep FOLDER]
"""
import argparse
import fnmatch
import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FIXTURES = REPOSITORY / "Tests" / "Fixtures"
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE / "tests"))
BEGIN, END = "<!-- seeds.py --write: from here", "<!-- to here -->"


class Fault(Exception):
    """A command that did not do what its row says."""


def find(document, path):
    """(number, the row that it stands in) of a path such as `max layers[router=ffn.*].value`."""
    how, rest = re.fullmatch(r"(?:(max|min|mean) )?(.*)", path).groups()
    places = [(document, None)]
    for key, conditions in re.findall(r"([A-Za-z_0-9]+)(?:\[([^\]]*)\])?", rest):
        places = [(place[key], place) for place, _ in places if isinstance(place, dict) and key in place]
        if conditions is not None and places and isinstance(places[0][0], list):
            wanted = [term.split("=", 1) for term in conditions.split(",") if term]
            places = [(one, one) for entries, _ in places for one in entries
                      if all(fnmatch.fnmatchcase(str(one.get(name)), value) for name, value in wanted)]
    if not places or any(value is None for value, _ in places):
        raise Fault(f"nothing at {path}")
    if how:
        numbers = [value for value, _ in places]
        return {"max": max, "min": min, "mean": lambda all_: sum(all_) / len(all_)}[how](numbers), places[0][1]
    if len(places) != 1:
        raise Fault(f"{len(places)} numbers at {path}")
    return places[0]


def judge(number, must):
    """(holds, the condition in words)."""
    if must[0] == "is":
        return number == must[1], shown(must[1])
    if must[0] == "=":
        _, value, tolerance = must
        return abs(number - value) <= tolerance, f"{value:.6g} ± {tolerance:g}"
    sign, value = must
    return (number > value if sign == ">" else number < value), f"{sign} {value:.6g}"


class Runner:
    """Traces in a folder, and the program asked about them."""

    def __init__(self, moetop, folder):
        self.moetop, self.folder, self.said = str(moetop), Path(folder), {}

    def call(self, words, fails=False):
        done = subprocess.run([self.moetop, *words], capture_output=True, text=True, cwd=self.folder)
        if done.returncode and not fails:
            raise Fault(f"moetop {shlex.join(words)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[:400]}")
        return done

    def prepare(self, system, control):
        """The trace of a system; of an import the file and what the import made of it."""
        trace = self.folder / f"{system.key}{'-control' if control else ''}.db"
        if trace.exists():
            return trace
        if system.make:
            module, _, name = system.make.partition(".")
            make = getattr(importlib.import_module(f"seeds.{module}"), name)
            source = trace.with_suffix(".jsonl") if system.how == "import" else trace
            with warnings.catch_warnings():
                warnings.simplefilter("error")    # A failed capture check is a fault of the row.
                make(source, control)
            if system.how == "import":
                self.call(["import", source.name, "--trace", trace.name, "-q"])
            self.call(["runs", "check", trace.name])
        for command in () if control else system.before:
            self.call(self.words(system, command))
        return trace

    def prepare_file(self, system, control):
        """The file of weights of a system."""
        name, ending = system.file
        module, _, maker = name.partition(".")
        path = self.folder / f"{system.key}{'-control' if control else ''}-table{ending}"
        if not path.exists():
            getattr(importlib.import_module(f"seeds.{module}"), maker)(path, control)

    def words(self, system, command):
        ending = system.file[1] if system.file else ""
        names = {"{t}": f"{system.key}.db", "{c}": f"{system.key}-control.db", "{file}": f"{system.key}-table{ending}", "{other}": f"{system.key}-control-table{ending}",
                 "{fixtures}": str(FIXTURES)}
        for name, path in names.items():
            command = command.replace(name, path)
        return shlex.split(command)

    def ask(self, system, one):
        """(what was read, holds, the condition, what stands beside it)."""
        for control, trace, file in ((False, "{t}", "{file}"), (True, "{c}", "{other}")):
            if file in one.command:
                self.prepare_file(system, control)
            elif trace in one.command or not control and not system.file:
                self.prepare(system, control)
        words = self.words(system, one.command)
        if one.read == "exit":
            code = self.call(words, fails=True).returncode
            return code, *judge(code, one.must), one.beside
        form = ["--format", "jsonl"] if words[0] == "sql" else ["--json"]
        if one.command not in self.said or "{" in one.command.replace("{fixtures}", ""):
            self.said[one.command] = self.call(words + form).stdout
        text = self.said[one.command]
        document = {"rows": [json.loads(line) for line in text.splitlines()]} if words[0] == "sql" else json.loads(text)
        number, row = find(document, one.read)
        beside = one.beside
        for key in re.findall(r":(\w+)", beside):
            value = row.get(key) if isinstance(row, dict) else None
            beside = beside.replace(f":{key}", "none" if value is None else f"{value:.3g}")
        must = one.must(FIXTURES) if callable(one.must) else one.must
        return number, *judge(number, must), beside


def shown(number):
    return str(number).lower() if isinstance(number, (str, bool)) else f"{number:.6g}"


def _runs_too(system):
    return system.how in ("recorder", "import") and any(one.command.startswith("verify ") for one in system.asks)


def table(systems, answers):
    """The rows of docs/seeds.md."""
    count = {how: sum(one.how == how for one in systems) for how in ("engine", "table", "recorder", "import")}
    numbers = sum(len(one.asks) for one in systems)
    head = (f"{count['engine']} by the engine and {sum(map(_runs_too, systems))} of the others too, {count['table']} from the weights alone, {count['recorder']} by the recorder, {count['import']} by import; {numbers} numbers, all as they "
            f"must be. Of {sum(bool(one.lacks) for one in systems)} systems something cannot be asked or run yet.\n")
    words = {"engine": "engine", "recorder": "recorder", "import": "import", "table": "table from the weights"}
    out = [head, "| # | system | paper | record | how | asked and answered |", "|---|---|---|---|---|---|"]
    for system in systems:
        answered = []
        for one, (number, holds, condition, beside) in zip(system.asks, answers[system.key]):
            command = one.command.replace("{t}", "T").replace("{c}", "C").replace("{file}", "F").replace("{other}", "G").replace("{fixtures}", "Tests/Fixtures").replace("|", "\\|")
            answered.append(f"{one.what}: **{shown(number)}** (must be {condition}; {beside}) `moetop {command}`")
        # Some run in the engine too, and are held to a reference there; some tables were recorded too.
        also = ", engine" if _runs_too(system) else ", recorder" if system.how == "table" and system.make else ""
        how = words[system.how] + also + (f"; not yet: {system.lacks}" if system.lacks else "")
        paper = f"[{system.paper}](https://arxiv.org/abs/{system.paper})" if system.paper else "–"
        out.append(f"| {system.number} | {system.name} | {paper} | {system.shape} | {how} | {'<br>'.join(answered)} |")
    return "\n".join(out)


def write(page, systems, answers):
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    line, _, rest = rest.partition("\n")
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}{line}\n\n{table(systems, answers)}\n\n{END}{tail}", encoding="utf-8")


def main(words=None):
    from seeds.systems import SYSTEMS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moetop", default=str(REPOSITORY / ".build" / "release" / "moetop"), help="the program")
    parser.add_argument("--only", help="numbers of systems, separated by commas")
    parser.add_argument("--without-torch", action="store_true", help="leave out the systems that are torch modules")
    parser.add_argument("--write", metavar="PAGE", help="write the table of this page anew; every system must hold")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the traces there")
    options = parser.parse_args(words)
    wanted = options.only.split(",") if options.only else None
    systems = [one for one in SYSTEMS if wanted is None or one.number in wanted]
    has_torch = importlib.util.find_spec("torch") is not None and not options.without_torch
    started, failed, skipped, asked, answers = time.time(), [], [], 0, {}
    with tempfile.TemporaryDirectory() as temporary:
        if options.keep:
            Path(options.keep).mkdir(parents=True, exist_ok=True)
        runner = Runner(Path(options.moetop).resolve(), options.keep or temporary)
        for system in systems:
            if system.torch and not has_torch:
                skipped.append(system)
                print(f"skip  {system.number:>3} {system.name}: needs torch", flush=True)
                continue
            answers[system.key] = []
            for one in system.asks:
                asked += 1
                try:
                    number, holds, condition, beside = runner.ask(system, one)
                    answers[system.key].append((number, holds, condition, beside))
                    said = f"{shown(number)}, must be {condition} ({beside})"
                except Exception as error:    # noqa: BLE001 - a row that breaks must not hide the others
                    holds, said = False, f"{type(error).__name__}: {error}"
                if not holds:
                    failed.append(system)
                print(f"{'ok' if holds else 'FAIL':<4}  {system.number:>3} {system.name}: {one.what}: {said}  [moetop {one.command}]", flush=True)
    counts = {how: sum(one.how == how for one in systems) for how in ("engine", "recorder", "import", "table")}
    open_ = sum(bool(one.lacks) for one in systems)
    print(f"{len(systems)} systems: " + ", ".join(f"{count} {how}" for how, count in counts.items())
          + f"; {open_} of them with something that is not there yet; {asked} numbers, {len(failed)} differ, {len(skipped)} systems skipped, {time.time() - started:.0f} s")
    if options.write:
        if failed or skipped or wanted:
            print("the page was not written: every system must have run and hold", file=sys.stderr)
            return 1
        write(Path(options.write), systems, answers)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
