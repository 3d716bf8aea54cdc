"""Several processes: a file each, joined as one run that is the run of one process."""
import os
import subprocess
import sys

import pytest

from moetop_record import Recorder
from moetop_record.ranks import this_rank

PROGRAM = """
import os, sys
import torch
from moetop_record import trace
from test_families import MODELS, load, sequences

file, rank, world = sys.argv[1], int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
model = load(MODELS / "olmoe")
texts = sequences(MODELS / "olmoe")
texts = [ids[at:at + 8 + at] for at in range(5) for ids in texts]
half = (len(texts) + world - 1) // world
with trace(model, file, record="full") as recorder, torch.inference_mode():
    for at in range(rank * half, min(len(texts), (rank + 1) * half)):
        recorder.next_sequences([f"text {at}"], {"parity": str(at % 2)})
        model(torch.tensor([texts[at]]))
"""


def run(tmp_path, name, words=(), **environment):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.pathsep.join([here, os.path.dirname(here)])
    done = subprocess.run([sys.executable, *words, str(program), str(tmp_path / name)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment})
    assert done.returncode == 0, done.stderr


def test_two_ranks_under_torchrun_are_one_process(tmp_path, moetop):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    run(tmp_path, "one.db")
    run(tmp_path, "t.db", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"])
    parts = [tmp_path / f"t.rank{rank}.db" for rank in range(2)]
    for part in parts:
        moetop.check(part)
    assert not (tmp_path / "t.db").exists()
    series = {row["series"] for part in parts for row in moetop.sql(part, "SELECT series FROM runs")}
    assert len(series) == 1 and next(iter(series)).startswith("t-")
    moetop("merge", *parts, "--one", "-o", tmp_path / "all.db")
    moetop.check(tmp_path / "all.db")
    pair = moetop.compare(tmp_path / "one.db", tmp_path / "all.db")
    assert (pair["texts"], pair["set_agreement"], pair["flips"]) == (10, 1, 0)
    columns = "SELECT sequence, position, router, r.rank AS place, expert, round(weight, 5) AS weight FROM routing AS r JOIN tokens USING (run, token) ORDER BY 1, 2, 3, 4"
    assert moetop.sql(tmp_path / "one.db", columns) == moetop.sql(tmp_path / "all.db", columns)
    labels = "SELECT name, labels, tokens FROM sequences ORDER BY sequence"
    assert moetop.sql(tmp_path / "one.db", labels) == moetop.sql(tmp_path / "all.db", labels)
    assert {row["rank"] for row in moetop.sql(tmp_path / "all.db", "SELECT DISTINCT rank FROM tokens")} == {0, 1}
    one, merged = (moetop("analyze", tmp_path / name, "--metric", "load_cv,entropy", "--json").stdout for name in ("one.db", "all.db"))
    assert one.count("load_cv") == merged.count("load_cv")


def test_a_process_knows_its_rank(monkeypatch, tmp_path):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert this_rank("t.db") is None
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    found = this_rank("folder/t.db")
    assert (found.rank, found.world, found.file("folder/t.db")) == (3, 4, "folder/t.rank3.db")
    assert this_rank("t.db", series="job").series == "job"
    monkeypatch.setenv("MASTER_PORT", "1")
    other = this_rank("t.db").series
    monkeypatch.setenv("MASTER_PORT", "2")
    assert this_rank("t.db").series != other
    with Recorder(tmp_path / "t.db") as recorder:
        assert recorder.file.endswith("t.rank3.db")
