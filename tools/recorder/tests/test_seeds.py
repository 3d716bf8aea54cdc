"""The table of routed systems: its numbers hold, its rows are all fifty, and its page says what it says."""
import dataclasses
import importlib.util
import re

import pytest

import seeds as runner_module    # The package of systems; the runner lies beside the tests' folder.
from seeds.systems import SYSTEMS

TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(scope="module")
def runner(moetop, tmp_path_factory):
    return _runner().Runner(moetop.program, tmp_path_factory.mktemp("seeds"))


def _runner():
    from pathlib import Path
    path = Path(runner_module.__file__).resolve().parents[2] / "seeds.py"
    spec = importlib.util.spec_from_file_location("seeds_runner", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda one: f"{one.number}-{re.sub('[^A-Za-z0-9]+', '-', one.name)}")
def test_what_was_planted_is_found(system, runner):
    if system.torch and not TORCH:
        pytest.skip("needs torch")
    for one in system.asks:
        number, holds, condition, beside = runner.ask(system, one)
        assert holds, f"{one.what}: {number}, must be {condition} ({beside}): moetop {one.command}"


@pytest.mark.parametrize("system", [one for one in SYSTEMS if one.make], ids=lambda one: one.number)
def test_a_control_does_not_pass_for_the_planted(system, runner):
    """The questions about the planted, asked of the trace in which it was dealt anew: one at least must fail, or it would find anything."""
    if system.torch and not TORCH:
        pytest.skip("needs torch")
    for planted, dealt in (("{t}", "{c}"), ("{file}", "{other}")):
        asks = [one for one in system.asks if planted in one.command and "--shuffle-labels" not in one.command]
        if asks or planted == "{t}":
            assert not all(runner.ask(system, dataclasses.replace(one, command=one.command.replace(planted, dealt)))[1] for one in asks)


def test_every_system_has_a_row_and_a_control():
    assert len(SYSTEMS) == 50 == len({one.number for one in SYSTEMS})
    assert all(one.asks and (one.make or one.how in ("engine", "table")) for one in SYSTEMS)
    held = [one for one in SYSTEMS if one.make and not any("{c}" in ask.command or "--shuffle-labels" in ask.command for ask in one.asks)]
    assert not held, "a planted structure stands beside one that was dealt anew"


def test_the_page_has_the_table(repository):
    page = (repository / "docs" / "seeds.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.M)
    assert [(number, name.strip()) for number, name in rows if number in {one.number for one in SYSTEMS}][:50] == [(one.number, one.name) for one in SYSTEMS]
    found = _runner().find({"layers": [{"router": "ffn.0", "value": 2}, {"router": "ffn.1", "value": 3}]}, "max layers[router=ffn.*].value")
    assert found[0] == 3
