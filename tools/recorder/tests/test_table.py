"""Every row of the table beside the class it is of: random weights, biases and groups, and the class's own decisions held to the row's rule.

Also that the table names every class of routers that transformers has.
"""
import importlib
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from torch import nn  # noqa: E402

from moetop_record import CaptureWarning, RecordError, families, trace  # noqa: E402
from support import checks  # noqa: E402

EXPERTS, TOP_K, WIDTH, ROWS = 8, 2, 16, 50
FOLDER = Path(transformers.__file__).parent / "models"


def _classes():
    """name: module of every class that is called a router."""
    found = {}
    for path in sorted(FOLDER.glob("*/modeling_*.py")):
        for name in re.findall(r"^class (\w+)\(", path.read_text(), re.M):
            if re.search(r"(Router|TopKGating|MoEV\dGate)$", name):
                found[name] = f"transformers.models.{path.parent.name}.{path.stem}"
    return found


CLASSES = _classes()


def test_the_table_names_every_router_of_transformers():
    unknown = [name for name in CLASSES if not any(row.fits(name) for row in families.ROWS)]
    assert not unknown, unknown


class Config(SimpleNamespace):
    """What routers ask of a configuration."""

    def __init__(self, **more):
        words = dict(
            hidden_size=WIDTH, num_experts_per_tok=TOP_K, num_experts_per_token=TOP_K, moe_topk=TOP_K, moe_top_k=TOP_K, top_k_experts=TOP_K,
                     num_experts=EXPERTS,
            num_local_experts=EXPERTS, n_routed_experts=EXPERTS, moe_num_experts=EXPERTS, norm_topk_prob=True, routed_scaling_factor=1.5, route_scale=1.5,
            router_scaling_factor=1.5, n_group=4, topk_group=2, topk_method="group_limited_greedy", expert_selection_fn="sigmoid", moe_norm_min=0.6,
            moe_router_logit_softcapping=0.0, use_expert_bias=True, router_jitter_noise=0.05, input_jitter_noise=0.0, moe_jitter_eps=None,
                     scoring_func="sqrtsoftplus",
            vocab_size=64, rms_norm_eps=1e-6, zero_expert_num=2, router_bias=False, n_shared_experts=1, output_multiplier=1.3, expert_capacity=64,
            router_ignore_padding_tokens=False, router_dtype="float32", router_hidden_size=12)
        super().__init__(**{**words, **more})


class Block(nn.Module):
    """What stands around a router: biases that the block holds, a factor that it applies."""

    def __init__(self, gate):
        super().__init__()
        self.gate = gate
        self.routed_scaling_factor, self.moe_normalize_expert_weights, self.top_k = 1.7, 2.0, TOP_K
        if not hasattr(gate, "e_score_correction_bias"):
            self.e_score_correction_bias = nn.Buffer(torch.randn(EXPERTS) / 4)

    def forward(self, hidden, input_ids):
        wanted = self.gate.forward.__code__.co_varnames[1:self.gate.forward.__code__.co_argcount]
        given = {"e_score_correction_bias": getattr(self, "e_score_correction_bias", None), "expert_bias": getattr(self, "e_score_correction_bias",
                                                                                                                   None), "input_ids": input_ids}
        return self.gate(hidden, *(given[name] for name in wanted[1:] if name in given))


class Model(nn.Module):
    def __init__(self, gate, config, flat):
        super().__init__()
        self.layers = nn.ModuleList([nn.Module()])
        self.layers[0].mlp = Block(gate)
        self.config, self.flat = config, flat

    def forward(self, input_ids):
        torch.manual_seed(int(input_ids.sum()))
        hidden = torch.randn(*input_ids.shape, WIDTH)
        self.layers[0].mlp(hidden.flatten(0, 1) if self.flat else hidden, input_ids)
        return hidden


KEEPS_BATCHES = ("AfmoeTokenChoiceRouter", "SwitchTransformersTop1Router", "ZayaRouter")
VARIANTS = {"": {}, "plain": dict(norm_topk_prob=False, n_group=1, topk_group=1, topk_method="greedy", expert_selection_fn="softmax",
                                  scoring_func="sigmoid", use_expert_bias=False)}


def made(name, variant):
    kind = getattr(importlib.import_module(CLASSES[name]), name)
    config = Config(**VARIANTS[variant])
    torch.manual_seed(4)
    if name == "JetMoeTopKGating":
        gate = kind(WIDTH, EXPERTS, TOP_K)
    elif name == "ZayaRouter":
        gate = kind(config, 0)
    else:
        gate = kind(config)
    with torch.no_grad():
        for tensor in [*gate.parameters(), *(buffer for buffer in gate.buffers() if buffer.is_floating_point())]:
            tensor.copy_(torch.randn(tensor.shape) / (2 if tensor.dim() > 1 else 4))
        if hasattr(gate, "per_expert_scale"):
            gate.per_expert_scale.abs_()
        if hasattr(gate, "tid2eid"):
            gate.tid2eid.copy_(torch.stack([torch.randperm(EXPERTS)[:TOP_K] for _ in range(64)]))
    return Model(gate.eval(), config, name not in KEEPS_BATCHES).eval()


RECORDED = [name for name in CLASSES if all(row.refused is None for row in families.ROWS if row.fits(name))]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", RECORDED)
def test_a_row_is_the_rule_of_its_class(name, variant, tmp_path, moetop):
    model = made(name, variant)
    file = tmp_path / "t.db"
    with warnings.catch_warnings():
        warnings.simplefilter("error", CaptureWarning)
        with trace(model, file, record="full") as recorder, torch.no_grad():
            for first in range(2):
                model(torch.arange(first, first + ROWS)[None] % 64)
            rule = recorder._found[0].rule
    moetop.check(file)
    found = checks(file)
    assert found["equal_tokens"][0] == "held"
    reads_logits_alone = name == "DbrxRouter"
    if rule.is_executable and not rule.is_hashed and not reads_logits_alone:
        assert found["selection_recomputed"][0] == "held", found
    if rule.is_executable and not reads_logits_alone and not rule.capacity:
        # A factor that the block applies is multiplied onto the weights that the router gives out.
        assert found["weights_recomputed"][0] == "held", found


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in RECORDED])
def test_what_cannot_be_recorded_is_said(name, tmp_path):
    row = next(row for row in families.ROWS if row.fits(name))
    gate = type(name, (nn.Linear,), {})(2, 2)
    model = nn.Module()
    model.block = gate
    with pytest.raises(RecordError, match=re.escape(row.refused) if row.refused else "at least one router"):
        trace(model, tmp_path / "t.db")
