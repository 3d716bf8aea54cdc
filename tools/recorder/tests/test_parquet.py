"""Parquet files beside the views that `moetop sql` shows."""
import re

import pytest

pytest.importorskip("pyarrow")
import pyarrow.parquet  # noqa: E402

from conftest import REPOSITORY  # noqa: E402
from moetop_record import Capacity, RecordError, Recorder, Rule, stated  # noqa: E402
from moetop_record.cli import main  # noqa: E402
from moetop_record.parquet import to_parquet  # noqa: E402

VIEWS = {"tokens": "tokens", "routing": "routing", "stats": "routing_stats", "sequences": "sequences", "routers": "routers"}


def made(file):
    """Two runs with gaps, drops, absent slots, NaN, labels, unequal routers and rules that change."""
    for run in range(2):
        with Recorder(file, name=f"run {run}", record="full") as recorder:
            recorder.router("attn.1.q", stated(300, 3, "cosine", "top_p"), parent="ffn.0", shared_experts=2)
            for part in range(3):
                with recorder.rows(ids=list(range(50)), sequence=f"text {part}", request=part, labels={"domain": "a"}):
                    logits = [[(row * at * 7 + part) % 5 - 2.0 for at in range(6)] for row in range(50)]
                    logits[4][0] = float("nan")
                    recorder.record("ffn.0", logits=logits, rule=Rule(6, 2, capacity=Capacity(tokens=3)))
                    recorder.record("attn.1.q", [None if row % 9 == 0 else [row, 299 - row, -1] for row in range(50)], [[0.5, 0.25, 0]] * 50)
            recorder.change_rule("ffn.0", Rule(6, 2, bias=[0.5] + [0] * 5, capacity=Capacity(tokens=3))) if run else None
            recorder.record("ffn.0", [[1, 2]], [[0.1, 0.0]], dropped=[[False, True]], logits=[[0, 3, 2, 0, 0, 0]], sequence="text 0")


@pytest.fixture
def trace(tmp_path):
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made(tmp_path / "t.db")
    return tmp_path / "t.db"


def test_duckdb_reads_what_the_views_say(trace, tmp_path, moetop):
    duckdb = pytest.importorskip("duckdb")
    counts = to_parquet(trace, tmp_path / "out")
    for name, view in VIEWS.items():
        count = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/out/{name}.parquet'").fetchall()[0][0]
        assert count == counts[f"{name}.parquet"] == moetop.sql(trace, f"SELECT count(*) AS n FROM {view}")[0]["n"] > 0
    grouped = "SELECT run, router, count(*) AS n, sum(weight) AS weight, sum(dropped) AS dropped FROM {} GROUP BY 1, 2 ORDER BY 1, 2"
    own = duckdb.sql(grouped.format(f"'{tmp_path}/out/routing.parquet'")).fetchall()
    theirs = [tuple(row.values()) for row in moetop.sql(trace, grouped.format("routing"))]
    assert [row[:3] + row[4:] for row in own] == [row[:3] + row[4:] for row in theirs]
    assert [row[3] for row in own] == pytest.approx([row[3] for row in theirs])


@pytest.mark.parametrize("name, view", VIEWS.items())
def test_every_row_and_column_is_that_of_the_view(name, view, trace, tmp_path, moetop):
    to_parquet(trace, tmp_path / "out")
    table = pyarrow.parquet.read_table(tmp_path / "out" / f"{name}.parquet")
    rows = moetop.sql(trace, f"SELECT * FROM {view}")
    assert table.column_names == list(rows[0])

    def key(row):
        return [row["run"], row.get("router") or "", *(row.get(column) or 0 for column in ("token", "rank", "sequence"))]
    for own, theirs in zip(sorted(table.to_pylist(), key=key), sorted(rows, key=key), strict=True):
        assert own == pytest.approx(theirs, nan_ok=False) if name in ("routing", "stats") else own == theirs


def test_columns_have_the_types_of_the_documentation(trace, tmp_path):
    if not (REPOSITORY / "docs" / "trace-schema.md").exists():
        pytest.skip("needs the repository")
    page = (REPOSITORY / "docs" / "trace-schema.md").read_text()
    to_parquet(trace, tmp_path / "out")
    words = {"INTEGER": "int64", "REAL": "double", "TEXT": "string"}
    for name, view in VIEWS.items():
        section = page.split(f"\n## {view}\n")[1].split("\n## ")[0]
        said = [(column, words[kind]) for column, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.M)]
        schema = pyarrow.parquet.read_schema(tmp_path / "out" / f"{name}.parquet")
        assert [(field.name, str(field.type)) for field in schema] == said


def test_a_run_of_a_trace_and_the_command(trace, tmp_path, capsys):
    assert main(["to-parquet", f"{trace}#2", "-o", str(tmp_path / "two")]) == 0
    assert "routing.parquet" in capsys.readouterr().out
    assert set(pyarrow.parquet.read_table(tmp_path / "two" / "tokens.parquet")["run"].to_pylist()) == {2}
    assert main(["to-parquet", f"{trace}#2", "-o", str(tmp_path / "two")]) == 65
    assert "a folder without these files" in capsys.readouterr().err
    assert main(["to-parquet", f"{trace}#9", "-o", str(tmp_path / "none")]) == 65
    (tmp_path / "other").write_text("no trace " * 99)
    with pytest.raises(RecordError, match="a trace"):
        to_parquet(tmp_path / "other", tmp_path / "none")
    assert main(["routers"]) == 0 and "OlmoeTopKRouter" in capsys.readouterr().out


def test_the_engines_own_traces(tmp_path, moetop):
    model = REPOSITORY / "Tests" / "Fixtures" / "models" / "jetmoe"
    if not model.exists():
        pytest.skip("needs the models of the repository")
    own = tmp_path / "own.db"
    moetop("run", model, "--tokens", model / "input.json", "--record", "full:every=5+norms+shared+passes+predicted", "--trace", own, "-q")
    to_parquet(own, tmp_path / "out")
    for name, view in VIEWS.items():
        table = pyarrow.parquet.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist()
        key = [column for column in ("run", "router", "token", "rank", "sequence") if column in table[0] and name != "tokens" or column in ("run",
                                                                                                                                            "token") and column in table[0]]
        rows = moetop.sql(own, f"SELECT * FROM {view}")
        order = lambda row: [row[column] for column in key]    # noqa: E731
        assert sorted(table, key=order) == [pytest.approx(row) if name in ("routing", "stats") else row for row in sorted(rows, key=order)]


def test_memory_does_not_grow_with_the_trace(tmp_path):
    torch = pytest.importorskip("torch")
    import resource
    import subprocess
    import sys
    peaks = []
    for size in (1, 8):
        file = tmp_path / f"{size}.db"
        with Recorder(file) as recorder:
            for part in range(size * 10):
                recorder.record("ffn.0", logits=torch.randn(4000, 32), rule=Rule(32, 8), sequence="a")
        program = f"import resource; from moetop_record.parquet import to_parquet; to_parquet({str(file)!r}, {str(tmp_path / f'out{size}')!r}); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                              env={"PYTHONPATH": str(REPOSITORY / "tools" / "recorder")})
        peaks.append(int(done.stdout))
    assert resource and peaks[1] < peaks[0] + 120_000, peaks
