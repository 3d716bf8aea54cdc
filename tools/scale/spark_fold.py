"""Folds a folder of traces on a Spark cluster and analyzes the parts: the numbers of one process over one trace of all texts.

usage: spark_fold.py --moetop BIN --traces FOLDER [--master local[*]] [--analyze OPTIONS] [-- FOLD OPTIONS]

    spark_fold.py --moetop moetop --traces traces/ --analyze "--ci --json" -- --metric load_cv,uncertain --threshold 0.92

Each trace of FOLDER (or run, where a line of FOLDER/runs.txt says FILE#RUN) is one task: `moetop fold` runs where the task runs, on a path that
every worker sees, and only the part comes back. The driver hands all parts to one `moetop analyze`. What a trace holds
never leaves the machine that has it. A task that fails names its trace, and nothing is printed.
"""
import argparse
import os
import shlex
import subprocess
import sys
import tempfile


def runs(folder):
    """The runs to fold: lines of runs.txt, else every trace of the folder."""
    listed = os.path.join(folder, "runs.txt")
    if os.path.exists(listed):
        with open(listed) as file:
            return [os.path.join(folder, line.strip()) for line in file if line.strip()]
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".db"))


def fold(moetop, options):
    """A function from a run to its part, as (run, bytes, error)."""
    def one(run):
        with tempfile.TemporaryDirectory() as folder:
            part = os.path.join(folder, "part")
            result = subprocess.run([moetop, "fold", run, "-q", "-o", part] + options, capture_output=True, text=True)
            if result.returncode != 0:
                return run, None, f"moetop fold ended with {result.returncode}: {result.stderr.strip()}"
            with open(part, "rb") as file:
                return run, file.read(), result.stderr.strip()
    return one


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--traces", required=True)
    parser.add_argument("--master", default="local[*]")
    parser.add_argument("--analyze", default="", help="options of `moetop analyze`, in one word")
    parser.add_argument("options", nargs="*", help="options of `moetop fold`, after --")
    given = parser.parse_args()
    wanted = runs(given.traces)
    if not wanted:
        sys.exit(f"error: {given.traces}: expected traces (*.db), found none")
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master(given.master).appName("moetop fold").config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        parts = spark.sparkContext.parallelize(wanted, len(wanted)).map(fold(given.moetop, given.options)).collect()
    finally:
        spark.stop()
    failed = [(run, error) for run, part, error in parts if part is None]
    if failed:
        sys.exit("\n".join(f"error: {run}: {error}" for run, error in failed))
    for run, _, warning in parts:
        if warning:
            print(f"{run}: {warning}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, (_, part, _) in enumerate(parts):
            paths.append(os.path.join(folder, f"{number}.part"))
            with open(paths[-1], "wb") as file:
                file.write(part)
        sys.exit(subprocess.run([given.moetop, "analyze"] + paths + shlex.split(given.analyze)).returncode)


if __name__ == "__main__":
    main()
