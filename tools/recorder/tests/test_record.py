"""Explicit records, without torch: rows of every kind, routers of every shape, and what is refused."""
import json
import os
import signal
import subprocess
import sys

import pytest

from moetop_record import Capacity, CaptureWarning, Groups, RecordError, Recorder, Rule, stated, unknown
from moetop_record.schema import TABLES
from support import checks, rows


def test_the_tables_are_those_of_the_documentation(repository):
    page = (repository / "docs" / "trace-format.md").read_text()
    assert TABLES in page


def test_importing_needs_nothing(repository):
    program = "import sys; sys.modules['torch'] = sys.modules['numpy'] = None; import moetop_record; print(moetop_record.Recorder.__name__)"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(repository / "tools" / "recorder")})
    assert done.stdout == "Recorder\n", done.stderr
    asked = "import sys; sys.modules['torch'] = None; import moetop_record; moetop_record.trace"
    done = subprocess.run([sys.executable, "-S", "-c", asked], capture_output=True, text=True, env={"PYTHONPATH": str(repository / "tools" / "recorder")})
    assert "expected torch, found no such package" in done.stderr


def test_one_router_of_a_sample_model(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with Recorder(trace, row="sample", name="adapters", tags=["a"]) as recorder:
        recorder.record("route.0", [[2], [0], [1]], [[0.5], [0.25], [1.0]], experts=4, labels={"task": "math"}, row_labels={"correct": ["yes", None, "no"]},
                        coordinates={"confidence": [0.9, None, 0.1]})
        recorder.record("route.0", [[3], [3]], [[1.0], [1.0]], labels={"task": "code"})
    moetop.check(trace)
    assert moetop.sql(trace, "SELECT router, rule, experts, tokens FROM routers") == [{"router": "route.0", "rule": "unknown", "experts": 4, "tokens": 5}]
    assert [row["expert"] for row in moetop.sql(trace, "SELECT expert FROM routing ORDER BY token")] == [2, 0, 1, 3, 3]
    assert moetop.sql(trace, "SELECT token, value FROM token_labels ORDER BY token") == [{"token": 0, "value": "yes"}, {"token": 2, "value": "no"}]
    assert [row["value"] for row in moetop.sql(trace, "SELECT value FROM coordinates ORDER BY token")] == [0.9, 0.1]
    assert moetop.sql(trace, "SELECT value, count(*) AS n FROM sequence_labels GROUP BY 1 ORDER BY 1") == [{"value": "code", "n": 1}, {"value": "math", "n": 1}]
    assert "adapters" in moetop("runs", trace).stdout


def test_routers_of_every_path_and_unequal_experts(tmp_path, moetop):
    trace = tmp_path / "t.db"
    paths = {"ffn.0": 4, "attn.0": 8, "ffn.1.q.h2": 300, "vision.ffn.3.r1": 5, "route.0.t7": 2}
    with Recorder(trace, name="paths") as recorder:
        for path, experts in paths.items():
            recorder.router(path, stated(experts, 2, "sigmoid", "top_p", "unnormalized"), bank="shared" if experts < 8 else None, shared_experts=1,
                            experts=[{"width": 8 + at} for at in range(experts)])
        recorder.router("ffn.9", stated(6, 2), parent="ffn.0", holds_for=[9, 10], factors=[4, 2])
        with recorder.rows(ids=[5, 6, 7], sequence="text"):
            for path, experts in paths.items():
                recorder.record(path, [[experts - 1, 0], [1, -1], [-1, -1]], [[0.5, 0.75], [1, 0], [0, 0]])
            recorder.record("ffn.9", [[0, 4], None, [1, 5]])
    moetop.check(trace)
    found = {row["router"]: row for row in moetop.sql(trace, "SELECT * FROM routers")}
    assert {path: found[path]["experts"] for path in paths} == paths
    assert found["ffn.0"]["bank"] == "shared" and found["ffn.0"]["shared_experts"] == 1 and found["ffn.0"]["rule"] == "declared"
    # Experts stand by falling weight; the third row took none.
    assert moetop.sql(trace, "SELECT token, rank, expert FROM routing WHERE router = 'ffn.1.q.h2' ORDER BY 1, 2") == [
        {"token": 0, "rank": 0, "expert": 0}, {"token": 0, "rank": 1, "expert": 299}, {"token": 1, "rank": 0, "expert": 1}]
    assert rows(trace, "SELECT token_count FROM router ORDER BY id DESC LIMIT 1") == [(2,)], "the row in between is unknown"
    assert moetop.sql(trace, "SELECT width FROM experts WHERE router = 'attn.0' AND expert = 3") == [{"width": 11}]
    assert checks(trace)["equal_tokens"][0] != "failed"


def test_logits_become_decisions(tmp_path, moetop):
    trace = tmp_path / "t.db"
    rule = Rule(8, 3, scoring="sigmoid", bias=[0.1 * (at % 3) for at in range(8)], groups=Groups(4, 2), normalization="sum", epsilon=1e-20, scale=2.5)
    logits = [[((at * 7 + row * 5) % 11) / 3 - 1.7 for at in range(8)] for row in range(20)]
    with Recorder(trace, record="full") as recorder:
        recorder.record("ffn.0", logits=logits, rule=rule)
    moetop.check(trace)
    assert moetop.sql(trace, "SELECT rule, selection_unit FROM routers") == [{"rule": "executable", "selection_unit": "biased sigmoid score"}]
    total = moetop.sql(trace, "SELECT sum(weight) AS total FROM routing WHERE token = 4")[0]["total"]
    assert abs(total - 2.5) < 1e-6
    assert moetop.sql(trace, "SELECT count(*) AS n FROM routing_stats WHERE entropy > 0 AND selection_margin >= 0")[0]["n"] == 20


def test_a_bias_that_moves(tmp_path, moetop):
    trace = tmp_path / "t.db"
    rule = Rule(4, 1, scoring="sigmoid", bias=[0, 0, 0, 0])
    with Recorder(trace, record="full") as recorder:
        recorder.record("ffn.0", logits=[[0, 1, 2, 3]], rule=rule, sequence="a")
        recorder.change_rule("ffn.0", Rule(4, 1, scoring="sigmoid", bias=[1, 0, 0, 0]))
        recorder.record("ffn.0", logits=[[0, 1, 2, 3]], sequence="a")
    moetop.check(trace)
    assert [row["expert"] for row in moetop.sql(trace, "SELECT expert FROM routing ORDER BY token")] == [3, 0]
    assert [row["state"] for row in moetop.sql(trace, "SELECT state FROM routing_stats ORDER BY token")] == [0, 1]


def test_dense_and_signed_weights(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with Recorder(trace, row="task") as recorder:
        recorder.record("ffn.0", weights=[[0.2, -0.5, 0.3], [1, 2, 3]], rule=stated(3, 3, "linear", "dense", "signed"))
    moetop.check(trace)
    assert [row["expert"] for row in moetop.sql(trace, "SELECT expert FROM routing WHERE token = 0 ORDER BY rank")] == [2, 0, 1]
    assert moetop.sql(trace, "SELECT weight_kind FROM routers") == [{"weight_kind": "signed"}]


def test_drops_are_kept(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with Recorder(trace) as recorder:
        recorder.record("enc.0", [[1], [1], [0]], [[0.5], [0.0], [0.7]], rule=Rule(4, 1, capacity=Capacity(tokens=1)), dropped=[[False], [True], [False]],
                        phase="encode")
    moetop.check(trace)
    assert moetop.sql(trace, "SELECT dropped FROM routing ORDER BY token") == [{"dropped": 0}, {"dropped": 1}, {"dropped": 0}]


def test_sequences_go_on_and_runs_follow_each_other(tmp_path, moetop):
    trace = tmp_path / "t.db"
    for run in range(2):
        with Recorder(trace, name=f"run {run}") as recorder:
            for part in ("a", "b", "a"):
                _ids(recorder, part)
    moetop.check(trace)
    assert [row["name"] for row in moetop.sql(trace, "SELECT name FROM runs ORDER BY run")] == ["run 0", "run 1"]
    found = moetop.sql(trace, "SELECT sequence, position, token_id, request FROM tokens WHERE run = 2 ORDER BY token")
    assert [(row["sequence"], row["position"]) for row in found] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3)]
    assert {row["request"] for row in found} == {7}


def _ids(recorder, sequence):
    with recorder.rows(ids=[3, 4], sequence=sequence, request=7):
        recorder.record("ffn.0", [[0], [1]], experts=2)


def test_without_ids_nothing_of_the_text_stays(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with Recorder(trace, without_ids=True) as recorder, recorder.rows(ids=[3, 4]):
        recorder.record("ffn.0", [[0], [1]], experts=2)
    assert [row["token_id"] for row in moetop.sql(trace, "SELECT token_id FROM tokens")] == [-1, -1]


def test_what_fails_inside_leaves_nothing(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with pytest.raises(RuntimeError), Recorder(trace) as recorder:
        _ids(recorder, "a")
        with recorder.rows(ids=[1, 2]):
            recorder.record("ffn.0", [[0], [1]])
            raise RuntimeError("out of memory")
    moetop.check(trace)
    assert rows(trace, "SELECT state, reason, token_count FROM run") == [("failed", "RuntimeError: out of memory", 2)]


def test_a_killed_run_keeps_every_whole_batch(tmp_path, moetop, repository):
    trace = tmp_path / "t.db"
    program = f"""
import sys, time
sys.path.insert(0, {str(repository / 'tools' / 'recorder')!r})
from moetop_record import Recorder
recorder = Recorder({str(trace)!r})
for batch in range(10):
    with recorder.rows(ids=list(range(20))):
        recorder.record("ffn.0", [[row % 4, (row + 1) % 4] for row in range(20)], [[0.5, 0.5]] * 20, experts=4)
print("ready", flush=True)
with recorder.rows(ids=[1, 2]):
    recorder.record("ffn.0", [[0, 1], [1, 0]])
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    moetop.check(trace)
    assert moetop.sql(trace, "SELECT count(*) AS n FROM routing")[0]["n"] == 400
    assert "interrupted" in moetop("runs", trace).stdout


def test_a_reader_sees_what_is_there_while_it_is_written(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with Recorder(trace, commit_seconds=0) as recorder:
        for count in range(1, 4):
            _ids(recorder, "a")
            assert moetop.sql(trace, "SELECT tokens FROM runs")[0]["tokens"] == 2 * count
    moetop.check(trace)


def test_failed_checks_are_loud(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with pytest.warns(CaptureWarning, match="selection_recomputed failed: router ffn.0: 1 of 2 decisions"):
        with Recorder(trace) as recorder:
            recorder.record("ffn.0", [[0], [1]], [[0.9], [0.5]], [[3.0, 0, 0], [0, 0, 3.0]], rule=Rule(3, 1))
    assert "selection_recomputed" in moetop("runs", trace).stderr
    assert "selection_recomputed" in moetop("analyze", trace, "--metric", "load_cv", fails=True).stderr
    shown = moetop("runs", "show", trace).stdout
    assert "selection_recomputed" in shown


def test_equal_rows_and_even_counts_are_seen(tmp_path):
    same, dealt = tmp_path / "same.db", tmp_path / "dealt.db"
    with Recorder(same) as recorder, recorder.rows(ids=list(range(64))):
        recorder.record("ffn.0", [[0, 1]] * 64, rule=stated(8, 2, "softmax", "top_k", "none"))
    assert checks(same)["distinct_rows"][0] == "suspicious"
    with pytest.warns(CaptureWarning, match="no_partition"), Recorder(dealt) as recorder, recorder.rows(ids=list(range(256))):
        recorder.record("ffn.0", [[(2 * row) % 8, (2 * row + 1) % 8] for row in range(256)], rule=stated(8, 2, "softmax", "top_k", "none"))
    assert checks(dealt)["load_variance"][0] == "failed"


@pytest.mark.parametrize("call, words", [
    (lambda r: r.record("ffn.0", [[4]], experts=4), "experts from 0 to 3, found expert 4"),
    (lambda r: r.record("ffn.0", [[1, 1]], experts=4), "no expert twice"),
    (lambda r: r.record("ffn.0", [[1]]), "a rule, or the number of its experts"),
    (lambda r: r.record("blocks.0", [[1]], experts=4), "\\[tower.\\]stack.layer"),
    (lambda r: r.record("ffn.0", logits=[[1.0, 2.0]], experts=2), "its rule is not executable"),
    (lambda r: r.record("ffn.0", logits=[[1.0, 2.0]], rule=Rule(3, 1)), "3 numbers a row, found 2"),
    (lambda r: r.record("ffn.0", [[0], [1]], [[1.0]], experts=2), "weights: expected 2 rows, found 1"),
    (lambda r: r.record("ffn.0"), "ids, weights or logits"),
    (lambda r: r.router("ffn.0", Rule(4, 5)), "top_k: expected 1 to 4, found 5"),
    (lambda r: r.router("ffn.0", Rule(4, 2, scoring="cosine")), "moetop_record.stated"),
    (lambda r: r.router("ffn.0", Rule(6, 2, groups=Groups(4, 1))), "a divisor of 6"),
    (lambda r: r.router("ffn.0", stated(4, 2), factors=[3, 3]), "lengths that sum to 4"),
    (lambda r: r.rows(2, ids=[1]).__enter__(), "ids: expected 2 ids, found 1"),
])
def test_mistakes_are_said(tmp_path, call, words):
    with Recorder(tmp_path / "t.db") as recorder:
        with pytest.raises(RecordError, match=words):
            call(recorder)


def test_files_that_are_no_traces_are_left_alone(tmp_path):
    other = tmp_path / "other.db"
    other.write_text("no database at all, but long enough for one" * 9)
    with pytest.raises(RecordError, match="expected a trace, or no file"):
        Recorder(other)
    assert other.read_text().startswith("no database")
    newer = tmp_path / "newer.db"
    Recorder(newer).close()
    import sqlite3
    with sqlite3.connect(newer) as db:
        db.execute("INSERT INTO grdb_migrations VALUES ('trace-999')")
    with pytest.raises(RecordError, match="newer moetop"):
        Recorder(newer)
    with pytest.raises(RecordError, match="make the folder"):
        Recorder(tmp_path / "none" / "t.db")
    for bad in ({"record": "all"}, {"row": "word"}, {"hash_weights": "yes"}, {"rank": 3, "world": 2}):
        with pytest.raises(RecordError):
            Recorder(tmp_path / "x.db", **bad)


def test_a_run_is_described(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with Recorder(trace, model_name="mine", input_source="corpus.jsonl") as recorder:
        _ids(recorder, "a")
    found = json.loads(moetop.sql(trace, "SELECT description FROM runs")[0]["description"])
    assert found["model"]["name"] == "mine" and found["input"]["source"] == "corpus.jsonl"
    assert found["recorded"] == {"kind": "recorder", "row": "token"}
    assert found["engine"]["version"].startswith("moetop-record 0.1.0") and "weights not hashed" in found["engine"]["version"]
    assert len(found["input"]["hash"]) == 64


def test_an_unknown_rule_says_no_more_than_it_knows():
    rule = unknown(4, 2)
    assert (rule.knowledge, rule.weight_kind, rule.weight_sum, rule.selection_unit) == ("unknown", "none", None, "score")


def test_what_waits_is_written_when_nothing_more_comes(tmp_path, moetop):
    import time
    trace = tmp_path / "t.db"
    with Recorder(trace, commit_seconds=0.2) as recorder:
        for _ in range(3):
            _ids(recorder, "a")
        deadline = time.time() + 20
        while moetop.sql(trace, "SELECT tokens FROM runs")[0]["tokens"] < 6 and time.time() < deadline:
            time.sleep(0.1)
        assert moetop.sql(trace, "SELECT tokens FROM runs")[0]["tokens"] == 6
    moetop.check(trace)


def test_a_trace_that_cannot_be_written_any_more_says_so_and_stays_whole(tmp_path, moetop):
    import sqlite3
    trace = tmp_path / "t.db"
    recorder = Recorder(trace, commit_seconds=0)
    _ids(recorder, "a")
    recorder._writer._db.execute("PRAGMA query_only = ON")
    for _ in range(2):
        with pytest.raises(RecordError, match="room on the disk"):
            _ids(recorder, "a")
    with pytest.raises((RecordError, sqlite3.Error)):
        recorder.close()
    moetop.check(trace)
    assert rows(trace, "SELECT token_count, state FROM run") == [(2, "running")]


def test_more_is_said_of_a_known_router(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with Recorder(trace) as recorder:
        recorder.record("ffn.0", [[0], [1]], experts=2)
        recorder.router("ffn.0", unknown(2, 1), holds_for=[1, 2])
        recorder.router("ffn.0", unknown(2, 1), bank="b", experts=["left", "right"])
        recorder.record("ffn.0", [[1], [1]])
    moetop.check(trace)
    assert json.loads(rows(trace, "SELECT facts FROM router_more")[0][0]) == {
        "bank": "b", "holdsFor": [1, 2], "experts": [{"expert": 0, "name": "left"}, {"expert": 1, "name": "right"}]}


def test_the_weight_of_a_shared_expert(tmp_path, moetop):
    trace = tmp_path / "t.db"
    with Recorder(trace, shared_weights=True, commit_seconds=0) as recorder:
        recorder.router("ffn.0", stated(4, 1, "softmax", "top_k", "probability"), shared_experts=1)
        for part in range(3):    # The last page is written anew while it grows.
            with recorder.rows(ids=[7, 8], sequence="text"):
                recorder.record("ffn.0", [[part], [3]], [[0.75], [0.5]], shared=[0.25, None])
                recorder.record("ffn.1", [[0], [1]], experts=2)
    moetop.check(trace)
    assert [row["shared_weight"] for row in moetop.sql(trace, "SELECT shared_weight FROM routing_stats WHERE router = 'ffn.0' ORDER BY token")] == [0.25, None] * 3
    share = json.loads(moetop("analyze", trace, "--metric", "shared_weight_share", "--filter", "router=ffn.0", "--json").stdout)["layers"][0]
    assert (share["value"], share["n"]) == (0.25, 3)
    with pytest.raises(RecordError, match="shared_weights=True"), Recorder(tmp_path / "without.db") as recorder:
        recorder.record("ffn.0", [[0]], [[1.0]], experts=2, shared=[0.5])
