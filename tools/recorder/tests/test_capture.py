"""Hooks and wrappers on routers of one's own: the four styles, faults, and that nothing is left behind."""
import json
import warnings

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from moetop_record import CaptureWarning, Gate, Logits, RecordError, Recorder, Rule, find_routers, stated, trace, unknown  # noqa: E402
from support import checks, rows  # noqa: E402

EXPERTS, TOP_K, WIDTH = 8, 2, 16


class OwnGate(nn.Module):
    """Gives out what `form` says of its decision."""

    def __init__(self, form):
        super().__init__()
        torch.manual_seed(3)
        self.linear, self.form = nn.Linear(WIDTH, EXPERTS), form

    def forward(self, x):
        logits = self.linear(x)
        weights, ids = logits.softmax(-1).topk(TOP_K, -1)
        return self.form(ids, weights, logits)


class Layer(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.gate = OwnGate(form)
        self.fails = False

    def forward(self, x):
        self.gate(x)
        if self.fails:
            raise RuntimeError("no memory")
        return x * 1.1


class Own(nn.Module):
    """A language model without experts, but with the routers of two layers."""

    def __init__(self, form=lambda ids, weights, logits: (ids, weights), layers=2):
        super().__init__()
        torch.manual_seed(2)
        self.embed = nn.Embedding(64, WIDTH)
        self.layers = nn.ModuleList(Layer(form) for _ in range(layers))

    def forward(self, input_ids, attention_mask=None):
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x)
        return x


IDS = torch.arange(40).reshape(2, 20)
RULE = Rule(EXPERTS, TOP_K)


def hooks_of(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


FORMS = {
    "ids and weights": (lambda i, w, l: (i, w), {}),
    "weights and ids": (lambda i, w, l: (w, i), {}),
    "a loss in between": (lambda i, w, l: (l.sum(), w, None, i.int()), {}),
    "a dictionary": (lambda i, w, l: {"weight": w, "index": i, "logits": l}, dict(logits="logits", rule=RULE)),
    "ids alone": (lambda i, w, l: i, {}),
    "declared places": (lambda i, w, l: (i, i * 0, w, w * 2, l), dict(ids=0, weights=2, logits=4, rule=RULE)),
    "functions": (lambda i, w, l: ((i, w),), dict(ids=lambda out: out[0][0], weights=lambda out: out[0][1])),
    "rows flattened": (lambda i, w, l: (w.flatten(0, 1), i.flatten(0, 1)), {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_style_a_gates_in_any_order(name, tmp_path, moetop):
    form, words = FORMS[name]
    file = tmp_path / "t.db"
    model = Own(form)
    words = words if "rule" in words else {**words, "experts": EXPERTS}
    with trace(model, file, routers=[Gate("layers.*.gate", **words)]):
        model(IDS)
    moetop.check(file)
    assert hooks_of(model) == 0
    expected = model.layers[0].gate.linear(model.embed(IDS)).softmax(-1).topk(TOP_K, -1)
    found = moetop.sql(file, "SELECT expert, weight FROM routing WHERE router = 'ffn.0' ORDER BY token, rank")
    assert [row["expert"] for row in found] == expected.indices.flatten().tolist()
    if name != "ids alone":
        assert [row["weight"] for row in found] == pytest.approx(expected.values.flatten().tolist(), abs=1e-6)
    knowledge = moetop.sql(file, "SELECT DISTINCT rule FROM routers")
    assert knowledge == [{"rule": "executable" if "rule" in words else "unknown"}]


def test_style_b_a_linear_layer_and_a_rule(tmp_path, moetop):
    file = tmp_path / "t.db"
    model = Own()
    rule = Rule(EXPERTS, 3, scoring="sigmoid", normalization="sum")
    with trace(model, file, routers=[Logits("layers.*.gate.linear", rule)], record="full"):
        model(IDS)
    moetop.check(file)
    logits = model.layers[0].gate.linear(model.embed(IDS))
    scores, ids = logits.sigmoid().topk(3, -1)
    found = moetop.sql(file, "SELECT expert, weight FROM routing WHERE router = 'ffn.0' ORDER BY token, rank")
    assert [row["expert"] for row in found] == ids.flatten().tolist()
    assert [row["weight"] for row in found] == pytest.approx((scores / scores.sum(-1, keepdim=True)).flatten().tolist(), abs=1e-6)


def test_style_c_a_function_that_is_wrapped(tmp_path, moetop):
    file = tmp_path / "t.db"

    def route(x):
        return x.softmax(-1).topk(TOP_K, -1)

    with Recorder(file, row="sample") as recorder:
        route = recorder.wrap(route, "route.0", ids=1, weights=0, experts=EXPERTS)
        first = route(torch.randn(5, EXPERTS))
        with recorder.rows(3, labels={"task": "math"}):
            route(torch.randn(3, EXPERTS))
    route(torch.randn(4, EXPERTS))    # The run has ended: handed on, not recorded.
    moetop.check(file)
    assert first.indices.shape == (5, 2)
    assert rows(file, "SELECT token_count FROM sequence") == [(5,), (3,)]


def test_style_d_tensors(tmp_path, moetop):
    file = tmp_path / "t.db"
    logits = torch.randn(7, EXPERTS)
    weights, ids = logits.softmax(-1).topk(TOP_K, -1)
    with Recorder(file, record="full") as recorder, recorder.rows(ids=list(range(7))):
        recorder.record("ffn.0", ids, weights, logits, rule=RULE)
        recorder.record("ffn.1", ids[:, :1], weights[:, :1], rule=stated(EXPERTS, 2, selection="top_p", scoring="softmax"))
        recorder.record("ffn.2", ids, weights, rule=stated(EXPERTS, 2), unknown=torch.tensor([0, 0, 1, 0, 0, 0, 1]).bool())
        with pytest.raises(RecordError, match="experts from 0 to 7"):
            recorder.record("ffn.3", ids + 7, rule=stated(EXPERTS, 2))
        with pytest.raises(RecordError, match="7 rows, as at hand"):
            recorder.record("ffn.4", ids[:3], rule=stated(EXPERTS, 2))
    moetop.check(file)
    assert rows(file, "SELECT layer, token_count, assignments FROM router WHERE layer < 3 ORDER BY layer") == [(0, 7, 14), (1, 7, 7), (2, 5, 10)]
    assert checks(file)["selection_recomputed"][0] == "held"


def test_a_gate_whose_form_is_not_clear_is_refused_in_words(tmp_path):
    model = Own(lambda i, w, l: (i, i + 1, w))
    with pytest.warns(CaptureWarning, match="one tensor of whole numbers in the output, found 2 in .*their position"):
        with trace(model, tmp_path / "t.db", routers=[Gate("layers.0.gate", experts=EXPERTS)]):
            model(IDS)    # The model goes on.
    assert checks(tmp_path / "t.db")["capture ffn.0"][0] == "failed"


class MyTopKRouter(nn.Linear):
    pass


def test_a_router_that_is_not_known_is_refused(tmp_path):
    model = nn.Sequential()
    model.layers = nn.ModuleList([nn.Module()])
    model.layers[0].gate = MyTopKRouter(4, 4)
    with pytest.raises(RecordError, match="layers.0.gate of class MyTopKRouter.*a rule is not guessed.*Logits"):
        trace(model, tmp_path / "t.db")
    with pytest.raises(RecordError, match="at least one router"):
        trace(nn.Linear(3, 3), tmp_path / "t.db")
    with pytest.raises(RecordError, match="a torch module"):
        trace(lambda x: x, tmp_path / "t.db")
    with pytest.raises(RecordError, match="modules of that name"):
        trace(model, tmp_path / "t.db", routers=[Gate("blocks.*", experts=2)])
    with pytest.raises(RecordError, match="one module of that path"):
        twice = Own()
        find_routers(twice, [Gate("layers.0.gate", experts=8), Logits("layers.0.gate.linear", RULE)])
    assert not (tmp_path / "t.db").exists()


def test_a_block_of_experts_with_a_gate_that_is_not_known(tmp_path):
    model = nn.Module()
    model.moe = nn.Module()
    model.moe.experts, model.moe.gate = nn.ModuleList([nn.Linear(2, 2)]), nn.Linear(2, 1)
    with pytest.raises(RecordError, match="module moe of class Module"):
        trace(model, tmp_path / "t.db")


def test_a_pass_that_fails_leaves_nothing_and_hooks_go(tmp_path, moetop):
    file = tmp_path / "t.db"
    model = Own()
    with pytest.raises(RuntimeError, match="no memory"):
        with trace(model, file, routers=[Gate("layers.*.gate", experts=EXPERTS)]):
            model(IDS)
            model.layers[1].fails = True
            model(IDS)
    assert hooks_of(model) == 0
    moetop.check(file)
    assert rows(file, "SELECT state, token_count FROM run") == [("failed", 40)]


def test_a_pass_that_failed_and_was_caught(tmp_path, moetop):
    file = tmp_path / "t.db"
    model = Own()
    with trace(model, file, routers=[Gate("layers.*.gate", experts=EXPERTS)]):
        model.layers[1].fails = True
        with pytest.raises(RuntimeError):
            model(IDS)
        model.layers[1].fails = False
        model(IDS)
    moetop.check(file)
    assert rows(file, "SELECT state, token_count FROM run") == [("completed", 40)]


def test_hooks_go_when_the_run_cannot_begin(tmp_path):
    model = Own()
    (tmp_path / "t.db").write_text("something else " * 99)
    with pytest.raises(RecordError):
        trace(model, tmp_path / "t.db", routers=[Gate("layers.*.gate", experts=EXPERTS)])
    assert hooks_of(model) == 0


def test_experts_that_there_are_not_make_rows_unknown(tmp_path, moetop):
    file = tmp_path / "t.db"
    model = Own(lambda i, w, l: (torch.where(torch.arange(20)[None, :, None] == 3, 99, i), w))
    with pytest.warns(CaptureWarning, match="expert_ids failed: router ffn.0: 2 rows with an expert that there is not"):
        with trace(model, file, routers=[Gate("layers.0.gate", experts=EXPERTS)]):
            model(IDS)
    assert rows(file, "SELECT token_count FROM router") == [(38,)]
    assert "expert_ids" in moetop("runs", file).stderr


def test_other_rows_than_the_pass_has_are_a_failed_check(tmp_path):
    model = Own(lambda i, w, l: (i[:, :7], w[:, :7]))
    with pytest.warns(CaptureWarning, match="rows_seen failed: router ffn.0: 40 rows of the run have no route: it gave 14 rows, the pass has 40"):
        with trace(model, tmp_path / "t.db", routers=[Gate("layers.0.gate", experts=EXPERTS)]):
            model(IDS)


def test_calls_outside_of_the_model_are_a_failed_check(tmp_path):
    model = Own()
    with pytest.warns(CaptureWarning, match="calls_in_passes failed: 1 calls"):
        with trace(model, tmp_path / "t.db", routers=[Gate("layers.*.gate", experts=EXPERTS)]):
            model(IDS)
            model.layers[0](model.embed(IDS))


class Looped(Own):
    def forward(self, input_ids):
        x = self.embed(input_ids)
        for _ in range(2):
            x = self.layers[0](x)
        return x


class Chunked(Own):
    def forward(self, input_ids):
        x = self.embed(input_ids).flatten(0, 1)
        return torch.cat([self.layers[0](part) for part in x.split(15)])


def test_layers_that_run_again_and_layers_that_run_in_parts(tmp_path, moetop):
    looped, chunked = tmp_path / "looped.db", tmp_path / "chunked.db"
    with trace(model := Looped(), looped, routers=[Gate("layers.0.gate", experts=EXPERTS)]):
        model(IDS)
    with trace(model := Chunked(), chunked, routers=[Gate("layers.0.gate", experts=EXPERTS)]):
        model(IDS)
    moetop.check(looped)
    moetop.check(chunked)
    assert moetop.sql(looped, "SELECT router, bank, tokens FROM routers ORDER BY router") == [
        {"router": "ffn.0", "bank": "ffn.0", "tokens": 40}, {"router": "ffn.0.r1", "bank": "ffn.0", "tokens": 40}]
    assert moetop.sql(chunked, "SELECT router, tokens FROM routers") == [{"router": "ffn.0", "tokens": 40}]


def test_a_model_without_tokens(tmp_path, moetop):
    model = nn.Module()
    model.gate = OwnGate(lambda i, w, l: (i, w))
    model.forward = lambda features: model.gate(features)
    with trace(model, tmp_path / "t.db", routers=[Gate("gate", experts=EXPERTS)], row="sample") as recorder:
        recorder.next_sequences(["first"], [{"split": "test"}])
        model(torch.randn(6, WIDTH))
        with recorder.rows(4, labels={"split": "train"}, coordinates={"age": [1, 2, 3, 4]}):
            model(torch.randn(4, WIDTH))
    moetop.check(tmp_path / "t.db")
    assert moetop.sql(tmp_path / "t.db", "SELECT router, tokens FROM routers") == [{"router": "route.0", "tokens": 10}]
    assert rows(tmp_path / "t.db", "SELECT labels, token_count FROM sequence") == [('{"split":"test"}', 6), ('{"split":"train"}', 4)]


def test_half_precision_is_compared_as_the_model_compared(tmp_path):
    model = Own(lambda i, w, l: (i, w, l)).to(torch.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CaptureWarning)
        with trace(model, tmp_path / "t.db", routers=[Gate("layers.*.gate", logits=2, rule=RULE)], record="full"):
            model(torch.randint(64, (4, 400)))
    assert checks(tmp_path / "t.db")["selection_recomputed"][0] == "held"
    assert json.loads(rows(tmp_path / "t.db", "SELECT description FROM run")[0][0])["recorded"]["logitError"] == 2**-7


def test_a_rule_that_is_not_the_models_is_a_failed_check(tmp_path):
    model = Own(lambda i, w, l: (i, w, l))
    wrong = Rule(EXPERTS, TOP_K, bias=[0.0] * 7 + [3.0])
    with pytest.warns(CaptureWarning, match="selection_recomputed failed"):
        with trace(model, tmp_path / "t.db", routers=[Gate("layers.0.gate", logits=2, rule=wrong)]):
            model(IDS)
    scaled = Rule(EXPERTS, TOP_K, scale=2.0)
    with pytest.warns(CaptureWarning, match="weights_recomputed failed: router ffn.0: 40 of 40 rows"):
        with trace(model, tmp_path / "u.db", routers=[Gate("layers.0.gate", logits=2, rule=scaled)]):
            model(IDS)


def test_many_experts_take_wider_ids(tmp_path, moetop):
    for experts, width in ((300, 2), (70_000, 4)):
        file = tmp_path / f"{experts}.db"
        ids = torch.tensor([[experts - 1, 3], [255, 256]])
        with Recorder(file) as recorder:
            recorder.record("ffn.0", ids, torch.tensor([[0.1, 0.9], [0.5, 0.4]]), rule=unknown(experts, 2, "unnormalized"))
        moetop.check(file)
        assert [row["expert"] for row in moetop.sql(file, "SELECT expert FROM routing ORDER BY token, rank")] == [3, experts - 1, 255, 256]
        assert rows(file, "SELECT id_bytes FROM router") == [(width,)]


def test_pages_are_cut_and_joined(tmp_path, moetop):
    whole, parts = tmp_path / "whole.db", tmp_path / "parts.db"
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1500, 64, generator=generator)
    rule = Rule(64, 8, normalization="sum")
    with Recorder(whole, record="full") as recorder:
        recorder.record("ffn.0", logits=logits, rule=rule, sequence="a")
    with Recorder(parts, record="full", commit_seconds=0) as recorder:
        for part in logits.split(7):
            recorder.record("ffn.0", logits=part, rule=rule, sequence="a")
    for file in (whole, parts):
        moetop.check(file)
    assert rows(parts, "SELECT count(*) FROM page")[0][0] < 1.2 * rows(whole, "SELECT count(*) FROM page")[0][0]
    query = "SELECT token, rank, expert, weight FROM routing ORDER BY token, rank"
    assert moetop.sql(whole, query) == moetop.sql(parts, query)


def test_a_bias_that_training_moves_makes_another_rule(tmp_path, moetop):
    transformers = pytest.importorskip("transformers")
    config = transformers.Glm4MoeConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, moe_intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, first_k_dense_replace=1, n_shared_experts=1)
    model = transformers.Glm4MoeForCausalLM(config).eval()
    with trace(model, tmp_path / "t.db", record="full"), torch.no_grad():
        model(IDS)
        model.model.layers[1].mlp.gate.e_score_correction_bias += torch.tensor([0.0, 0.0, 0.5, 0.0])
        model(IDS)
        model(IDS)
    moetop.check(tmp_path / "t.db")
    assert moetop.sql(tmp_path / "t.db", "SELECT state, count(*) AS n FROM routing_stats GROUP BY 1") == [{"state": 0, "n": 40}, {"state": 1, "n": 80}]
    assert checks(tmp_path / "t.db")["selection_recomputed"][0] == "held"
