"""The recorder beside moetop's own engine, decision by decision, on tiny random checkpoints of every family that transformers can load.

Experts, their order, weights, statistics and rules of both traces are the same; what differs, or cannot be loaded, is named here.
"""
import json
import sqlite3
import warnings

import pytest

from conftest import REPOSITORY

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import moetop_record  # noqa: E402

MODELS = REPOSITORY / "Tests" / "Fixtures" / "models"
FOLDERS = sorted(path.name for path in MODELS.iterdir() if (path / "config.json").exists() and (path / "input.json").exists()) if MODELS.exists() else []

# Published under another's code, and text models that transformers does not find by their type: as tools/reference.py has them.
PUBLISHED_AS = {"kimi_k2": "deepseek_v3", "qwen3_omni_moe_text": "qwen3_moe", "minimax_m3": "minimax_m3_vl_text"}
CLASSES = {"mistral4": "Mistral4ForCausalLM", "minimax_m3_vl_text": "MiniMaxM3VLForCausalLM"}

# What cannot be compared, with the reason.
NOT_LOADED = {
    "bailing_moe": "transformers has no code for it", "bailing_moe-second": "transformers has no code for it",
    "deepseek": "transformers has no code for it", "deepseek-norm": "transformers has no code for it",
    "llama_moe": "transformers has no code for it", "llama_moe-linear": "transformers has no code for it", "llama_moe-sizes": "transformers has no code for it",
    "llama_moe-hmoe": "transformers has no code for it", "llama_moe_upscaling": "transformers has no code for it",
    "llama_moe_upscaling-plain": "transformers has no code for it", "deepseek-nexus": "transformers has no code for it",
    "monet": "transformers has no code for it", "monet-horizontal": "transformers has no code for it",
    "moeut": "transformers has no code for it", "moeut-dense": "transformers has no code for it",
    "smallthinker": "transformers has no code for it", "smallthinker-softmax": "transformers has no code for it",
    "deepseek_ocr2-published": "its configuration is the publisher's, which transformers does not read",
    "ernie4_5_vl_moe-published": "its configuration is the publisher's, which transformers does not read",
    "kimi_k2-int4": "transformers needs compressed-tensors for it",
    "nllb_moe": "refused: its router's second expert may be drawn", "nllb_moe-fixed": "refused: its router's second expert may be drawn",
    "nllb_moe-prioritized": "refused: its router's second expert may be drawn",
}


def load(folder):
    """The model of a folder in f32, eager."""
    settings = json.loads((folder / "config.json").read_text())
    code = PUBLISHED_AS.get(settings.pop("model_type"))
    try:
        config = transformers.AutoConfig.for_model(code, **settings) if code else transformers.AutoConfig.from_pretrained(folder)
    except (ValueError, KeyError, ImportError) as error:
        pytest.skip(f"transformers {transformers.__version__} does not read it: {str(error)[:80]}")
    # Released checkpoints of Sarvam-105B write null for one group, which transformers' router cannot count with.
    for key in ("n_group", "topk_group"):
        if getattr(config, key, 1) is None:
            setattr(config, key, 1)
    name = CLASSES.get(config.model_type)
    if config.is_encoder_decoder:
        kind = transformers.AutoModelForSeq2SeqLM._model_mapping[type(config)]
    elif name:
        kind = getattr(transformers, name)
    else:
        auto = transformers.AutoModelForCausalLM if config.get_text_config() is config else transformers.AutoModelForImageTextToText
        kind = auto._model_mapping[type(config)]
    return kind.from_pretrained(folder, config=config, dtype=torch.float32, attn_implementation="eager").eval()


def sequences(folder):
    found = json.loads((folder / "input.json").read_text())
    found = found["sequences"] if isinstance(found, dict) else found
    return [one.get("tokens", one) if isinstance(one, dict) else one for one in found]


@torch.inference_mode()
def record(folder, trace, **options):
    """A trace of a model on the input beside it."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = load(folder)
    with moetop_record.trace(model, trace, record="full", **options):
        for ids in sequences(folder):
            if isinstance(ids, dict):
                model(input_ids=torch.tensor([ids["encoder"]]), decoder_input_ids=torch.tensor([ids["decoder"]]), use_cache=False)
            else:
                model(torch.tensor([ids]))


def both(moetop, folder, tmp_path):
    own, trace = tmp_path / "own.db", tmp_path / "t.db"
    with warnings.catch_warnings():
        warnings.simplefilter("error", moetop_record.CaptureWarning)
        record(folder, trace)
    moetop("run", folder, "--tokens", folder / "input.json", "--record", "full", "--trace", own, "-q")
    return own, trace


@pytest.mark.parametrize("name", [name for name in FOLDERS if name not in NOT_LOADED])
def test_the_recorder_says_what_the_engine_says(name, moetop, tmp_path):
    own, trace = both(moetop, MODELS / name, tmp_path)
    moetop.check(trace)
    pair = moetop.compare(own, trace)
    assert (pair["set_agreement"], pair["flips"]) == (1, 0)
    assert pair["js_divergence"] < 1e-6
    moetop("runs", "tag", trace, "seen")    # Writes the views.
    db = sqlite3.connect(own)
    db.execute("ATTACH ? AS t", (str(trace),))
    assert db.execute("SELECT count(*) FROM tokens").fetchone() == db.execute("SELECT count(*) FROM t.tokens").fetchone()
    count, ranks, dropped, weight = db.execute(
        "SELECT count(*), sum(o.rank = t.rank), sum(o.dropped = t.dropped), max(abs(o.weight - t.weight)) FROM routing AS o JOIN t.routing AS t "
        "USING (run, router, token, expert)").fetchone()
    assert count == ranks == dropped == db.execute("SELECT count(*) FROM routing").fetchone()[0] == db.execute("SELECT count(*) FROM t.routing").fetchone()[0]
    assert weight < 1e-4
    worst = db.execute(
        "SELECT max(abs(o.entropy - t.entropy)), max(abs(o.selection_margin - t.selection_margin)), max(abs(o.top1_margin - t.top1_margin)), "
        "max(abs(o.top_k_mass - t.top_k_mass)), sum((o.entropy IS NULL) <> (t.entropy IS NULL)), sum((o.selection_margin IS NULL) <> (t.selection_margin IS NULL)) "
        "FROM routing_stats AS o JOIN t.routing_stats AS t USING (run, router, token)").fetchone()
    assert all(value is None or value < 1e-4 for value in worst), worst
    rules = [dict(db.execute(f"SELECT router, spec FROM {where}routers").fetchall()) for where in ("", "t.")]
    assert {path: rounded(spec) for path, spec in rules[0].items()} == {path: rounded(spec) for path, spec in rules[1].items()}
    same = "SELECT model_hash, json_extract(description, '$.input.hash') AS input_hash FROM runs"
    assert moetop.sql(own, same) == moetop.sql(trace, same)
    db.close()


def rounded(spec):
    """A rule with its numbers as f32."""
    def walk(value):
        if isinstance(value, float):
            return torch.tensor(value, dtype=torch.float32).item()
        if isinstance(value, dict):
            return {key: walk(part) for key, part in value.items()}
        return [walk(part) for part in value] if isinstance(value, list) else value
    return walk(json.loads(spec))


def test_what_is_left_out_is_there():
    assert set(NOT_LOADED) <= set(FOLDERS)


@pytest.mark.parametrize("name", [name for name in FOLDERS if name in NOT_LOADED])
def test_what_is_left_out_cannot_be_recorded(name, tmp_path):
    with pytest.raises((ImportError, moetop_record.RecordError, pytest.skip.Exception)):
        moetop_record.trace(load(MODELS / name), tmp_path / "t.db").close()


def test_a_class_that_cannot_be_recorded_is_refused(tmp_path):
    model = load(MODELS / "nllb_moe") if MODELS.exists() else pytest.skip("needs the models of the repository")
    with pytest.raises(moetop_record.RecordError, match="may be drawn at random.*routers=\\[Gate"):
        moetop_record.trace(model, tmp_path / "t.db")
    assert not (tmp_path / "t.db").exists()
