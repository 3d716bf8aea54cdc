"""Which tokens a run has: batches, padding, packed texts, generation with a cache, both sides of an encoder-decoder."""
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import moetop_record  # noqa: E402
from moetop_record import trace  # noqa: E402
from support import checks, rows  # noqa: E402
from test_families import MODELS, load, sequences  # noqa: E402

if not MODELS.exists():
    pytest.skip("needs the models of the repository", allow_module_level=True)


@pytest.fixture(scope="module")
def model():
    return load(MODELS / "olmoe")


def tokens(file):
    return rows(file, "SELECT sequence, position, token_id, phase FROM token ORDER BY token")


def decisions(moetop, file, run=1):
    """(sequence, position, router, rank): expert."""
    found = moetop.sql(file,
                       f"SELECT t.sequence, t.position, router, r.rank AS place, expert, weight FROM routing AS r JOIN tokens AS t USING (run, token) WHERE run = {run}")
    return {(row["sequence"], row["position"], row["router"], row["place"]): (row["expert"], round(row["weight"], 4)) for row in found}


@torch.inference_mode()
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_left_out(model, side, tmp_path, moetop):
    texts = sequences(MODELS / "olmoe")
    texts = [texts[0][:9], texts[1][:20], texts[0][:14]]
    width = 20
    batch, mask = [], []
    for ids in texts:
        fill = [1] * (width - len(ids))
        batch.append(fill + ids if side == "left" else ids + fill)
        ones = [1] * len(ids)
        mask.append([0] * len(fill) + ones if side == "left" else ones + [0] * len(fill))
    mask = torch.tensor(mask)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with trace(model, tmp_path / "batch.db") as recorder:
        recorder.next_sequences(["a", "b", "c"], [{"domain": "x"}, {"domain": "y"}, {"domain": "x"}])
        model(torch.tensor(batch), attention_mask=mask, position_ids=positions)
    with trace(model, tmp_path / "alone.db"):
        for ids in texts:
            model(torch.tensor([ids]))
    assert tokens(tmp_path / "batch.db") == tokens(tmp_path / "alone.db")
    moetop.check(tmp_path / "batch.db")
    assert moetop.compare(tmp_path / "alone.db", tmp_path / "batch.db")["flips"] == 0
    assert rows(tmp_path / "batch.db", "SELECT name, labels FROM sequence") == [("a", '{"domain":"x"}'), ("b", '{"domain":"y"}'), ("c", '{"domain":"x"}')]


@torch.inference_mode()
def test_generation_goes_on_with_its_sequences(model, tmp_path, moetop):
    texts = sequences(MODELS / "olmoe")
    prompt = torch.tensor([texts[0][:8], texts[1][:8]])
    with trace(model, tmp_path / "t.db", commit_seconds=0):
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)
    # The last token is sampled and never read.
    assert tokens(tmp_path / "t.db") == [(row, at, int(out[row, at]), 0) for row in range(2) for at in range(8)] + [
        (row, at, int(out[row, at]), 1) for at in range(8, 13) for row in range(2)]
    moetop.check(tmp_path / "t.db")
    with trace(model, tmp_path / "read.db"):
        for row in out:
            model(row[None, :13])
    read, generated = decisions(moetop, tmp_path / "read.db"), decisions(moetop, tmp_path / "t.db")
    assert {key: expert for key, (expert, _) in read.items()} == {key: expert for key, (expert, _) in generated.items()}
    assert moetop.sql(tmp_path / "t.db", "SELECT phase, count(*) AS n FROM tokens GROUP BY 1 ORDER BY 1") == [{"phase": "decode", "n": 10},
                                                                                                              {"phase": "prefill", "n": 16}]


@torch.inference_mode()
def test_a_text_that_ended_is_not_padded_on(model, tmp_path):
    texts = sequences(MODELS / "olmoe")
    prompt = torch.tensor([texts[0][:8], texts[1][:8]])
    free = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)
    end = int(free[0, 9])
    assert end not in free[1, 8:].tolist() and end != 0
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = end, 0
    try:
        with trace(model, tmp_path / "t.db"):
            model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=6, do_sample=False)
    finally:
        model.generation_config.eos_token_id = model.generation_config.pad_token_id = None
    assert rows(tmp_path / "t.db", "SELECT token_count FROM sequence ORDER BY sequence") == [(10,), (13,)]


@torch.inference_mode()
def test_a_cache_that_is_handed_on(model, tmp_path):
    ids = torch.tensor([sequences(MODELS / "olmoe")[0]])
    with trace(model, tmp_path / "t.db"):
        first = model(ids[:, :10], use_cache=True)
        model(ids[:, 10:15], past_key_values=first.past_key_values)
        model(ids[:, 15:16], past_key_values=first.past_key_values)
        model(ids[:, :3])
    assert [row[:2] + row[3:] for row in tokens(tmp_path / "t.db")] == [(0, at, 0) for at in range(15)] + [(0, 15, 1)] + [(1, at, 0) for at in range(3)]


@torch.inference_mode()
def test_a_cache_that_was_cut_begins_anew(model, tmp_path):
    ids = torch.tensor([sequences(MODELS / "olmoe")[0]])
    with trace(model, tmp_path / "t.db"):
        first = model(ids[:, :10], use_cache=True)
        first.past_key_values.crop(-4)
        model(ids[:, 6:9], past_key_values=first.past_key_values)
    assert [row[:2] for row in tokens(tmp_path / "t.db")][10:] == [(1, 6), (1, 7), (1, 8)]
    assert checks(tmp_path / "t.db")["cache_followed"][0] == "suspicious"


@torch.inference_mode()
def test_beams_that_change_places_are_a_failed_check(model, tmp_path):
    prompt = torch.tensor([sequences(MODELS / "olmoe")[0][:8]])
    with pytest.warns(moetop_record.CaptureWarning, match="texts_followed failed.*as in beam search"):
        with trace(model, tmp_path / "t.db"):
            model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, num_beams=4, do_sample=False, eos_token_id=None, pad_token_id=0)


@torch.inference_mode()
def test_packed_texts_are_told_apart(model, tmp_path):
    ids = torch.tensor([sequences(MODELS / "olmoe")[0][:10]])
    with trace(model, tmp_path / "t.db"):
        model(ids, position_ids=torch.tensor([[0, 1, 2, 3, 0, 1, 2, 0, 1, 2]]))
    assert rows(tmp_path / "t.db", "SELECT token_count FROM sequence") == [(4,), (3,), (3,)]


@torch.inference_mode()
def test_embeddings_have_no_ids(model, tmp_path):
    ids = torch.tensor([sequences(MODELS / "olmoe")[0][:10]])
    with trace(model, tmp_path / "t.db"):
        model(inputs_embeds=model.get_input_embeddings()(ids))
    assert [row[2] for row in tokens(tmp_path / "t.db")] == [-1] * 10


@torch.inference_mode()
def test_encoder_and_decoder(tmp_path, moetop):
    model = load(MODELS / "switch_transformers")
    pairs = sequences(MODELS / "switch_transformers")
    width = max(len(pair["encoder"]) for pair in pairs)
    source = torch.tensor([pair["encoder"] + [0] * (width - len(pair["encoder"])) for pair in pairs])
    mask = torch.tensor([[1] * len(pair["encoder"]) + [0] * (width - len(pair["encoder"])) for pair in pairs])
    length = min(len(pair["decoder"]) for pair in pairs)
    with trace(model, tmp_path / "t.db", record="full"):
        model(input_ids=source, attention_mask=mask, decoder_input_ids=torch.tensor([pair["decoder"][:length] for pair in pairs]))
        out = model.generate(source, attention_mask=mask, max_new_tokens=4, do_sample=False)
    moetop.check(tmp_path / "t.db")
    assert out.shape[0] == 2
    count = sum(len(pair["encoder"]) for pair in pairs)
    phases = moetop.sql(tmp_path / "t.db", "SELECT phase, count(*) AS n FROM tokens GROUP BY 1")
    assert {row["phase"]: row["n"] for row in phases} == {"encode": 2 * count, "prefill": 2 * length + 2, "decode": 2 * (out.shape[1] - 2)}
    found = {row["stack"]: row["tokens"] for row in moetop.sql(tmp_path / "t.db", "SELECT stack, max(tokens) AS tokens FROM routers GROUP BY 1")}
    assert found["enc"] == 2 * count
    assert checks(tmp_path / "t.db")["equal_tokens"][0] == "held"


@torch.inference_mode()
def test_pieces_of_a_tokenizer(model, tmp_path, moetop):
    folder = MODELS.parents[2] / "samples" / "olmoe-tiny"
    if not (folder / "tokenizer.json").exists():
        pytest.skip("needs the sample")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ids = tokenizer("def main():\n  print('é')")["input_ids"]
    ids = [token for token in ids if token < model.config.vocab_size] or ids[:1]
    from moetop_record.pieces import pieces_of
    whole = tokenizer("def main():\n  print('é')", add_special_tokens=False)["input_ids"]
    assert b"".join(dict(pieces_of(tokenizer, set(whole)))[token] for token in whole) == "def main():\n  print('é')".encode()
    with trace(model, tmp_path / "t.db", tokenizer=tokenizer):
        model(torch.tensor([[3, 4, 5]]))
    moetop.check(tmp_path / "t.db")
    assert len(rows(tmp_path / "t.db", "SELECT * FROM piece")) == 3
