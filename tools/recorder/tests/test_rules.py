"""The rule as a value, and the two ways of deciding by it: row by row in Python, and with torch."""
import json
import random

import pytest

from moetop_record import Groups, RouterPath, Rule, stated
from moetop_record.columns import Block, bitmap, id_bytes
from moetop_record.decide import decide
from moetop_record.parquet import rule_words

RULES = [
    Rule(8, 2),
    Rule(8, 3, normalization="sum"),
    Rule(8, 8),
    Rule(1, 1),
    Rule(6, 2, normalization="p_norm", epsilon=2.0),
    Rule(6, 2, normalization="sum_clamped", epsilon=0.6, bias=[0.3, 0, 0, -0.2, 0, 0.1]),
    Rule(12, 3, scoring="sigmoid", bias=[0.1 * (at % 5) for at in range(12)], groups=Groups(4, 2), normalization="sum", epsilon=1e-20, scale=2.5),
    Rule(12, 3, groups=Groups(4, 2, "maximum", "zero"), scale=1.5),
    Rule(8, 2, scoring="sqrt_softplus", normalization="sum"),
    Rule(8, 2, scoring="logits", weighting="softmax_of_selected"),
    Rule(8, 2, scoring="logits", weighting="sigmoid_of_selected", applies_to="input"),
    Rule(8, 2, scoring="sparsemixer", sparsemixer_epsilon=0.05),
    Rule(8, 2, weighting="ones"),
    Rule(8, 3, weighting="best_times_softmax_of_selected_scores", weights="probability"),
    Rule(8, 2, normalization="sum", expert_scales=[1 + at / 8 for at in range(8)]),
]


def rows(experts, count=40):
    chance = random.Random(experts)
    return [[chance.gauss(0, 2) for _ in range(experts)] for _ in range(count)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.policy)
def test_torch_and_python_decide_alike(rule):
    torch = pytest.importorskip("torch")
    from moetop_record import decide_torch
    logits = torch.tensor([rows(rule.experts)] * 2, dtype=torch.float32)

    def vector(values):
        return None if values is None else torch.tensor(values)[None, None].expand(2, 1, -1)
    made = decide_torch.decide(rule.plain, logits, vector(rule.bias), vector(rule.expert_scales))
    for at, row in enumerate(logits[1].tolist()):
        own = decide(rule, row)
        assert made.ids[1, at].tolist() == own.ids
        assert made.weights[1, at].tolist() == pytest.approx(own.weights, abs=1e-5)
        for name in ("entropy", "selection_margin", "top1_margin", "top_k_mass"):
            column = getattr(made, name)
            assert (float("nan") if column is None else column[1, at].item()) == pytest.approx(getattr(own, name), abs=1e-5, nan_ok=True), name
        assert made.probs[1, at].tolist() == pytest.approx(own.probs, abs=1e-5)


def test_what_a_model_chose_is_ordered_and_checked():
    torch = pytest.importorskip("torch")
    from moetop_record import decide_torch
    logits = torch.tensor([[[0.0, 3, 2, 1], [0, 3, 2, 1], [1, 1, 1, 0]]])
    made = decide_torch.decide(Rule(4, 2), logits, ids=torch.tensor([[[2, 1], [0, 1], [2, 1]]]), weights=torch.tensor([[[0.2, 0.7], [0.1, 0.2], [0.3, 0.4]]]))
    assert made.ids.tolist() == [[[1, 2], [1, 0], [1, 2]]]
    assert made.differs.tolist() == [[False, True, False]] and made.ties.tolist() == [[False, False, True]]
    assert made.weights[0, 0].tolist() == pytest.approx([0.7, 0.2])


def test_logits_that_are_no_numbers_have_no_statistics():
    torch = pytest.importorskip("torch")
    from moetop_record import decide_torch
    made = decide_torch.decide(Rule(3, 1), torch.tensor([[[float("nan"), 1, 2], [0, 1, 2]]]))
    assert made.entropy.isnan().tolist() == [[True, False]] and made.probs[0, 0].tolist() == [0, 0, 0]
    assert decide(Rule(3, 1), [float("nan"), 1.0, 2.0]).ids == [2]


def test_ties_go_to_the_lower_expert():
    torch = pytest.importorskip("torch")
    from moetop_record import decide_torch
    assert decide_torch.decide(Rule(6, 3), torch.ones(1, 1, 6)).ids.tolist() == [[[0, 1, 2]]]
    assert decide(Rule(6, 3), [1.0] * 6).ids == [0, 1, 2]


@pytest.mark.parametrize("rule", RULES + [stated(4, 2), stated(4, 4, "linear", "dense", "signed"), stated(8, 2, "softmax", "top_p")],
                         ids=lambda rule: rule.policy)
def test_the_words_of_a_rule_are_those_of_the_view(rule):
    words = rule_words(json.loads(rule.to_json()))
    assert words["rule"] == rule.knowledge and words["weight_kind"] == rule.weight_kind
    assert words["scoring"] == rule.scoring and words["selection"] == rule.selection


def test_moetop_says_the_same_of_each_rule(tmp_path, moetop):
    from moetop_record import Recorder
    with Recorder(tmp_path / "t.db") as recorder, recorder.rows(3):
        for layer, rule in enumerate(RULES):
            recorder.record(f"ffn.{layer}", logits=rows(rule.experts, 3), rule=rule)
    moetop.check(tmp_path / "t.db")
    found = moetop.sql(tmp_path / "t.db", "SELECT layer, rule, scoring, weight_kind FROM routers ORDER BY layer")
    assert [(row["rule"], row["scoring"], row["weight_kind"]) for row in found] == [("executable", rule.scoring, rule.weight_kind) for rule in RULES]


def test_paths():
    for text in ("ffn.3", "vision.attn.4.q.h2", "ffn.0.r1", "route.0.t7", "enc.11"):
        path = RouterPath.parse(text)
        assert str(path) == text and RouterPath.parse(path) is path
    assert RouterPath.parse("vision.attn.4.q.h2").lane == "vision.attn.q.h2"
    for bad in ("ffn", "3", "ffn.x", "Vision.ffn.0", "ffn.0.q.q", "a.b.ffn.0", "ffn.0.r1.h2", None):
        with pytest.raises(ValueError):
            RouterPath.parse(bad)


def test_columns():
    assert [id_bytes(experts) for experts in (256, 257, 65536, 65537)] == [1, 2, 2, 4]
    assert bitmap(bytes([1, 0, 0, 0, 0, 0, 0, 0, 0, 1])) == bytes([1, 2]) and bitmap(bytes(9)) is None
    both = Block(1, b"\1", weights=b"abcd").joined(Block(2, b"\2\3", dropped=b"\0\1", weights=b"efghijkl"))
    assert (both.count, both.ids, both.weights, both.dropped) == (3, b"\1\2\3", b"abcdefghijkl", b"\0\0\1")
