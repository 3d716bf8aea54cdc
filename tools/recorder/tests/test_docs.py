"""The examples of docs/recorder.md run as they stand there, in order, and moetop reads what they write."""
import re

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")


def test_every_example_runs(repository, tmp_path, monkeypatch, moetop):
    page = repository / "docs" / "recorder.md"
    if not page.exists():
        pytest.skip("needs the repository")
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    assert len(blocks) >= 6
    for trace, runs in {"t.db": 2, "mine.db": 3, "samples.db": 1, "tasks.db": 1}.items():
        moetop.check(tmp_path / trace)
        assert moetop.sql(tmp_path / trace, "SELECT count(*) AS n FROM runs")[0]["n"] == runs
        assert not moetop.sql(tmp_path / trace, "SELECT * FROM capture_checks WHERE outcome = 'failed'")
    assert moetop.sql("t.db#1", "SELECT phase, count(*) AS n FROM tokens GROUP BY 1 ORDER BY 1") == [{"phase": "decode", "n": 3}, {"phase": "prefill", "n": 7}]
    moetop("analyze", "t.db#2", "--metric", "load_cv,entropy")


def test_every_rule_word_is_on_the_page(repository):
    from moetop_record import rules
    page = (repository / "docs" / "recorder.md").read_text()
    for word in [*rules.SCORINGS, *rules.WEIGHTINGS, *rules.NORMALIZATIONS, *rules.WEIGHT_KINDS]:
        assert f"`{word}`" in page, word
