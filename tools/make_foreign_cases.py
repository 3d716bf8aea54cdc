"""Routing records as other engines write them, sound and damaged: Tests/Fixtures/foreign.

usage: make_foreign_cases.py [-o Tests/Fixtures/foreign] [--models Tests/Fixtures/models]

Routes are those of two tiny models of Tests/Fixtures/models, as transformers computed them: olmoe (every layer routed) and
deepseek_v3 (layer 0 dense). Every damage is planted in a copy of the sound record; expected.json says what is in each file, and the
script fails unless the rules of foreign_rules.py, applied to the planted arrays, find exactly that. The layouts are those that the
engines' code wrote in late 2026; nothing of that code is here. Deterministic: the same inputs give the same bytes.
"""
import argparse
import base64
from copy import deepcopy
import io
import json
from math import prod
from pathlib import Path
import shutil

import gguf
import numpy as np
from safetensors.numpy import load_file
import torch

from foreign_rules import FAULTS, audit_of, judge

SEQUENCES = 2
LONG = [(0, 20), (20, 21), (21, 22), (22, 23), (23, 24)]     # positions by pass: a prompt, then a token at a time
SHORT = [(0, 23), (23, 24)]


class Model:
    """What a tiny model chose for its two sequences."""

    def __init__(self, folder, name):
        tensors = load_file(folder / name / "expected.safetensors")
        config = json.loads((folder / name / "config.json").read_text())
        self.name, self.argument, self.tokens_argument = name, f"models/{name}", f"models/{name}/input.json"
        self.layers = sorted(int(key.split(".")[1]) for key in tensors if key.endswith(".expert_ids"))
        self.hidden_layers = config["num_hidden_layers"]
        lengths = tensors["sequence_lengths"].tolist()
        edges = np.cumsum([0] + lengths)

        def split(array):
            return [array[edges[i]:edges[i + 1]] for i in range(len(lengths))]

        def stack(kind):
            return split(np.stack([tensors[f"ffn.{layer}.{kind}"] for layer in self.layers], axis=1))

        self.ids, self.logits, self.weights = stack("expert_ids"), stack("router_logits"), stack("weights")
        self.block_in = {layer: tensors[f"ffn.{layer}.block_in"] for layer in self.layers}
        self.tokens = [s.tolist() for s in split(tensors["input_ids"])]
        self.predicted = [np.argmax(s, axis=-1).tolist() for s in split(tensors["logits"])]
        self.experts, self.k = self.logits[0].shape[2], self.ids[0].shape[2]

    def routes(self, all_layers=False, last=1):
        """Ids by sequence, [rows, layers, k]: all but the last `last` positions; dense layers as zeros when `all_layers`."""
        rows = [s[:len(s) - last].astype(np.int64) for s in self.ids]
        if not all_layers or len(self.layers) == self.hidden_layers:
            return rows
        full = [np.zeros((len(s), self.hidden_layers, self.k), np.int64) for s in rows]
        for target, source in zip(full, rows):
            target[:, self.layers] = source
        return full


# ---- damage: each takes sequences [rows, layers, k] and gives damaged ones -------------------------------------------------------

def zero_rows(sequences, model):
    """Everything zero: the kernel chose inside, the hook never ran (vllm#44116, vllm-ascend#16314)."""
    return [np.zeros_like(s) for s in sequences]


def zero_some(sequences, model):
    """Rows 8 to 13 of the first sequence: one rank's share was not gathered (vllm-ascend#15451)."""
    damaged = deepcopy(sequences)
    damaged[0][8:14] = 0
    return damaged


def equal_rows(sequences, model):
    """Every row is the first one: a graph replays what it recorded (seen in sglang#12162)."""
    return [np.broadcast_to(sequences[0][:1], s.shape).copy() for s in sequences]


def partition(sequences, model):
    """A count through all cells, modulo the number of experts: memory that was filled to be valid, never written."""
    return [np.arange(s.size).reshape(s.shape) % model.experts for s in sequences]


def partition_sorted(sequences, model):
    """The sorted list of all experts, read as if it were k wide (a strided top-k view copied flat, as in llama.cpp#20454)."""
    damaged = deepcopy(sequences)
    for index, sequence in enumerate(sequences):
        for position, layer in enumerate(model.layers):
            column = sequence.shape[1] - len(model.layers) + position
            flat = np.argsort(-model.logits[index][:, position], axis=1, kind="stable").reshape(-1)
            damaged[index][:, column] = flat[:len(sequence) * model.k].reshape(len(sequence), model.k)
    return damaged


def duplicate_expert(sequences, model):
    """One expert twice in three rows of the last layer."""
    damaged = deepcopy(sequences)
    for row in (2, 7, 11):
        damaged[1][row, -1, 1] = damaged[1][row, -1, 0]
    return damaged


def out_of_range(sequences, model):
    """An id that no model of this size has, in three rows of the last layer."""
    damaged = deepcopy(sequences)
    for row in (1, 5, 9):
        damaged[0][row, -1, -1] = 77
    return damaged


def physical_ids(sequences, model):
    """Ids of places, not of experts: the two most used experts have a second place each, after the others."""
    damaged = deepcopy(sequences)
    for column in range(damaged[0].shape[1]):
        cells = np.concatenate([s[:, column].reshape(-1) for s in sequences])
        if not cells.any():
            continue
        hot = np.argsort(-np.bincount(cells, minlength=model.experts), kind="stable")[:2]
        for sequence in damaged:
            for place, expert in enumerate(hot):
                odd = np.zeros(sequence.shape[0], bool)
                odd[1::2] = True
                chosen = (sequence[:, column] == expert) & odd[:, None]
                sequence[:, column][chosen] = model.experts + place
    return damaged


def permuted(sequences, model):
    """Ids of places where every expert has one place, another one in each layer: nothing in the file shows it."""
    damaged = deepcopy(sequences)
    for column in range(damaged[0].shape[1]):
        order = np.random.RandomState(7 + column).permutation(model.experts)
        for sequence in damaged:
            if sequence[:, column].any():
                sequence[:, column] = order[sequence[:, column]]
    return damaged


def wrong_k(sequences, model):
    """One choice fewer than the model takes."""
    return [s[:, :, :-1].copy() for s in sequences]


def shared_slot(sequences, model, value=255):
    """One column more, of the expert that every token takes (255 seen in sglang#9499)."""
    return [np.concatenate([s, np.full(s.shape[:2] + (1,), value)], axis=2) for s in sequences]


def rolled(sequences, model):
    """The layers are one place off."""
    return [np.roll(s, 1, axis=1) for s in sequences]


def missing_last(sequences, model):
    """One row fewer than the format has (sglang#20964)."""
    return [s[:-1].copy() for s in sequences]


def length_mismatch(sequences, model):
    """The first sequence stops five rows early."""
    return [sequences[0][:-5].copy()] + deepcopy(sequences[1:])


def unknown_rows(sequences, model):
    """Three rows in the middle were not captured and say so."""
    damaged = deepcopy(sequences)
    damaged[0][6:9] = -1
    return damaged


def ascending(sequences, model):
    """Ids by number, not by score: read from a map of booleans."""
    return [np.sort(s, axis=2) for s in sequences]


def counted_last(sequences, model):
    """A last row that counts through its cells, as trainers append one."""
    def row(s):
        return (np.arange(prod(s.shape[1:])).reshape((1,) + s.shape[1:])) % model.experts
    return [np.concatenate([s, row(s)]) for s in sequences]


def copied_last(sequences, model):
    """A last row that is the one before it."""
    return [np.concatenate([s, s[-1:]]) for s in sequences]


def zero_last(sequences, model):
    """A last row of zeros."""
    return [np.concatenate([s, np.zeros_like(s[-1:])]) for s in sequences]


PLANTED = {"zero_rows": (zero_rows, "zero_rows"), "zero_some": (zero_some, "zero_rows"), "equal_rows": (equal_rows, "equal_rows"),
           "partition": (partition, "partition"), "duplicate_expert": (duplicate_expert, "duplicate_expert"),
           "out_of_range": (out_of_range, "out_of_range"), "physical_ids": (physical_ids, "physical_ids"),
           "wrong_k": (wrong_k, "wrong_k"), "missing_last": (missing_last, "missing_last"),
           "length_mismatch": (length_mismatch, "length_mismatch"), "unsorted": (ascending, "unsorted")}


class Cases:
    """Writes files and what is expected of them."""

    def __init__(self, folder, models):
        self.folder, self.models, self.cases = folder, models, []

    def write(self, name, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, str):
            data = data.encode()
        path.write_bytes(data)
        return name

    def add(self, name, files, arguments, expectation, notes, model=None, rows_of=None, more=None):
        """`expectation`: what judge gave; `rows_of`: (sequence, first position, rows) that equal the model's own run."""
        counts, found, rows, routers, unknown = expectation
        case = {"name": name, "format": name.split("/")[0], "files": files, "arguments": arguments, "sequences": len(rows), "rows": sum(rows),
                "routers": [[f"ffn.{layer}", experts, k] for layer, experts, k in routers],
                "unknown": unknown, "audit": audit_of(counts), "notes": sorted(set(notes) | found)}
        if rows_of is not None:
            case["equals"] = {"model": model.argument, "rows": [list(row) for row in rows_of]}
        case.update(more or {})
        self.cases.append(case)

    def finish(self):
        names = [case["name"] for case in self.cases]
        assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
        about = ("files: from this folder. arguments: paths from Tests/Fixtures. rows: rows of decisions, without those that the format appends. "
                 "routers: [router, experts, k]. "
                 "unknown: rows stored as unknown, by router. audit: every fault and warning, with the rows it counts. notes: their codes. "
                 "equals: [sequence, first position, rows] whose ids are those of the model's expected.safetensors. "
                 "needs recompute: found only by running the model. as: not recognised by content, --as is needed. See README.md.")
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in self.cases)
        self.write("expected.json", '{"about":' + json.dumps(about) + ',\n"cases":[\n' + lines + "\n]}\n")


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def text_of(data):
    return base64.b64encode(data).decode("ascii")


def pt(value, on_device=()):
    """What torch.save writes; the tensors of `on_device` say that they lie on the first graphics card, as those of a server do."""
    places = {tensor.untyped_storage().data_ptr() for tensor in on_device}
    if places:
        torch.serialization.register_package(1, lambda storage: "cuda:0" if storage.data_ptr() in places else None, lambda storage, location: None)
    try:
        buffer = io.BytesIO()
        torch.save(value, buffer)
    finally:
        if places:
            torch.serialization._package_registry[:] = [entry for entry in torch.serialization._package_registry if entry[0] != 1]
    return buffer.getvalue()


def lines_of(rows):
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def known(model, tokens=True):
    """What judge is told when --model is given, and --tokens or tokens in the file."""
    told = {"experts": model.experts, "top_k": model.k, "model_layers": model.layers}
    return told | ({"tokens": model.tokens} if tokens else {})


def check(name, expectation, planted):
    """The rules find what was planted and nothing else."""
    codes = {code for code, _ in expectation[0]}
    wanted = set(planted if isinstance(planted, (list, tuple, set)) else [planted]) if planted else set()
    assert codes == wanted, f"{name}: planted {wanted}, found {expectation[0]}"
    return expectation


def said(expectation, code, router, count, of, drop=()):
    """The expectation with one more entry: of what no array shows, such as a file that was cut."""
    counts, notes, rows, routers, unknown = expectation
    return {**{key: value for key, value in counts.items() if key[0] not in drop}, (code, router): (count, of)}, notes, rows, routers, unknown


def spans(model, last=1, first=0):
    return [(index, first, len(tokens) - last - first) for index, tokens in enumerate(model.tokens)]


NOTES = ["no_weights", "not_recomputable"]


def recomputed(model, sequences, layers=None):
    """What a run of the model shows of ids that look sound: rows whose set of experts is another one, by router."""
    differ = {}
    total = sum(len(s) for s in sequences)
    for position, layer in enumerate(model.layers):
        column = sequences[0].shape[1] - len(model.layers) + position
        rows = sum(set(s[r, column]) != set(model.ids[i][r, position]) for i, s in enumerate(sequences) for r in range(len(s)))
        differ[f"ffn.{layer}"] = rows
    return differ, total


def accused_by_run(expectation, code, total, routers):
    counts, notes, rows, found, _ = expectation
    return {(code, router): (total, total) for router in routers}, notes, rows, found, {router: total for router in routers}


# ---- formats ----------------------------------------------------------------------------------------------------------------------

def vllm(cases, a, b):
    def pair(name, sequences, model, dtype, told, planted=None, equals=False, notes=(), arguments=None, more=None, last=1):
        files = [cases.write(f"vllm/{name}.{i}.npy", npy(s.astype(dtype))) for i, s in enumerate(sequences)]
        expectation = check(f"vllm/{name}", judge(sequences, None, last=last, **told), planted)
        if arguments is None:
            arguments = ["--model", model.argument, "--tokens", model.tokens_argument]
        cases.add(f"vllm/{name}", files, arguments, expectation, [*NOTES, *notes], model, spans(model) if equals else None, more)
        return expectation, files

    sound = a.routes()
    _, files = pair("sound", sound, a, np.uint8, known(a), equals=True)
    cases.add("vllm/sound, no arguments", files, [], check("bare", judge(sound, None), None), [*NOTES, "no_ids"], a, spans(a))
    cases.add("vllm/sound, options", files, ["--experts", "8", "--top-k", "3", "--layers", "0-1"],
              check("options", judge(sound, [0, 1], experts=8, top_k=3), None), [*NOTES, "no_ids"], a, spans(a))
    dense = b.routes(all_layers=True)
    _, files = pair("sound_dense", dense, b, np.int32, known(b), equals=True)
    cases.add("vllm/sound_dense, no arguments", files, [], check("bare", judge(dense, None), None), [*NOTES, "no_ids"], b, spans(b))
    pair("sound_moe_layers", b.routes(), b, np.int16, known(b), equals=True)
    for name, (damage, code) in PLANTED.items():
        damaged = damage(sound, a)
        dtype = np.uint8 if damaged[0].max() < 256 and damaged[0].min() >= 0 else np.int16
        _, files = pair(name, damaged, a, dtype, known(a), code)
        if name in ("zero_rows", "equal_rows", "partition", "duplicate_expert", "unsorted"):
            cases.add(f"vllm/{name}, no arguments", files, [], check(name, judge(damaged, None), code), [*NOTES, "no_ids"])
        if name in ("wrong_k", "physical_ids", "missing_last", "length_mismatch"):   # nothing to hold it against
            cases.add(f"vllm/{name}, no arguments", files, [], check(name, judge(damaged, None), None), [*NOTES, "no_ids"])
    pair("partition_sorted", partition_sorted(dense, b), b, np.int32, known(b), "partition")
    pair("shifted_layers", rolled(dense, b), b, np.int32, known(b), "shifted_layers")
    pair("unknown_rows", unknown_rows(sound, a), a, np.int16, known(a), "unknown_rows")
    pair("shared_slot", shared_slot(sound, a), a, np.uint8, known(a), "shared_slot")
    pair("padded", counted_last(sound, a), a, np.int16, known(a), "padded")
    pair("padded_zero", zero_last(sound, a), a, np.uint8, known(a), "padded")
    # Below the number of experts, or a layer off where every layer is routed: only a run of the model shows it.
    for name, damage, code in (("permuted", permuted, "physical_ids"), ("rolled", rolled, "shifted_layers")):
        damaged = damage(sound, a)
        files = [cases.write(f"vllm/{name}.{i}.npy", npy(s.astype(np.uint8))) for i, s in enumerate(damaged)]
        plain = check(name, judge(damaged, None, **known(a)), None)
        differ, total = recomputed(a, damaged)
        assert all(count > total / 2 for count in differ.values()), differ
        cases.add(f"vllm/{name}", files, ["--model", a.argument, "--tokens", a.tokens_argument],
                  accused_by_run(plain, code, total, differ), NOTES, more={"needs": "recompute", "differ": differ})
        cases.add(f"vllm/{name}, no arguments", files, [], judge(damaged, None), [*NOTES, "no_ids"])
    whole = npy(sound[0].astype(np.uint8))
    files = [cases.write("vllm/truncated.0.npy", whole[:-31]), cases.write("vllm/truncated.1.npy", npy(sound[1].astype(np.uint8)))]
    short = [sound[0][:17], sound[1]]                       # 31 bytes of 6-byte rows: five whole rows and a part of a sixth
    expectation = said(judge(short, None, **known(a)), "truncated", None, 6, 23, drop=("length_mismatch",))
    cases.add("vllm/truncated", files, ["--model", a.argument, "--tokens", a.tokens_argument],
              (*expectation[:4], {}), NOTES, a, [(0, 0, 17), (1, 0, 23)])

    def answer(index, sequence, dtype, text=False):
        prompt, generated = a.tokens[index][:20], a.tokens[index][20:]
        choice = {"index": 0, "finish_reason": "length", "stop_reason": None, "token_ids": generated,
                  "routed_experts": text_of(npy(sequence.astype(dtype)))}
        return {"request_id": f"generate-tokens-{index}", "model": "olmoe", "created": 1790000000 + index,
                "usage": {"prompt_tokens": 20, "total_tokens": 24, "completion_tokens": 4}, "prompt_token_ids": prompt, "choices": [choice]}

    answers = [answer(i, s, np.uint8) for i, s in enumerate(sound)]
    files = [cases.write(f"vllm/sound_answer.{i}.json", json.dumps(value)) for i, value in enumerate(answers)]
    cases.add("vllm/sound_answer", files, ["--model", a.argument], check("answer", judge(sound, None, **known(a)), None), NOTES, a, spans(a))
    damaged = zero_rows(sound, a)
    files = [cases.write(f"vllm/zero_answer.{i}.json", json.dumps(answer(i, s, np.uint8))) for i, s in enumerate(damaged)]
    cases.add("vllm/zero_answer", files, ["--model", a.argument], check("answer", judge(damaged, None, **known(a)), "zero_rows"), NOTES)


def sglang(cases, a, b):
    def answer(model, index, sequence, dtype=np.int32, start=0, prompt=20):
        length = len(model.tokens[index])
        meta = {"id": f"{index:032x}", "finish_reason": {"type": "length", "length": length - prompt}, "prompt_tokens": prompt,
                "weight_version": "default", "num_retractions": 0, "completion_tokens": length - prompt, "cached_tokens": start,
                "e2e_latency": 0.25, "routed_experts": text_of(np.ascontiguousarray(sequence[start:].astype(dtype)).tobytes())}
        if dtype != np.int32:
            meta["routed_experts_dtype"] = np.dtype(dtype).name
        return {"text": "", "output_ids": model.tokens[index][prompt:], "meta_info": meta}

    def put(name, sequences, model, told, planted=None, equals=None, arguments=None, **how):
        answers = [answer(model, i, s, **how) for i, s in enumerate(sequences)]
        files = [cases.write(f"sglang/{name}.json", json.dumps(answers))]
        if arguments is None:
            arguments = ["--model", model.argument, "--tokens", model.tokens_argument]
        cases.add(f"sglang/{name}", files, arguments, check(f"sglang/{name}", judge(sequences, None, **told), planted), NOTES, model, equals)
        return files

    sound, dense = a.routes(), b.routes(all_layers=True)
    files = put("sound", sound, a, known(a), equals=spans(a))
    # Flat numbers without a shape: rows come from the counts of tokens, so k or the number of layers is enough; prompts have no ids.
    told = {"top_k": 3, "tokens": [24, 24]}
    cases.add("sglang/sound, options", files, ["--top-k", "3"], check("options", judge(sound, None, **told), None), [*NOTES, "no_ids"], a, spans(a))
    cases.add("sglang/sound, no arguments", files, [], ({}, set(), [], [], {}), [], more={"refused": 64, "because": "k and the number of layers are not in the file"})
    put("sound_dense", dense, b, known(b), equals=spans(b))
    put("sound_uint8", sound, a, known(a), equals=spans(a), dtype=np.uint8)
    cut = [s[8:] for s in sound]
    files = [cases.write("sglang/sound_start.json", json.dumps([answer(a, i, s, start=8) for i, s in enumerate(sound)]))]
    cases.add("sglang/sound_start", files, ["--model", a.argument, "--tokens", a.tokens_argument],
              check("start", judge(cut, None, **known(a, tokens=False), tokens=[t[8:] for t in a.tokens]), None), NOTES, a, spans(a, first=8),
              {"starts": [8, 8], "because": "16 rows where 24 tokens need 23: a request with routed_experts_start_len, rows end at the last but one token"})
    chat = [{"id": f"{i:032x}", "object": "chat.completion", "created": 1790000000, "model": "olmoe",
             "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "length"}],
             "usage": {"prompt_tokens": 20, "total_tokens": 24, "completion_tokens": 4},
             "sglext": {"routed_experts": answer(a, i, s)["meta_info"]["routed_experts"],
                        "input_ids": a.tokens[i][:20], "output_ids": [a.tokens[i][20:]]}} for i, s in enumerate(sound)]
    files = [cases.write("sglang/sound_chat.json", json.dumps(chat))]
    cases.add("sglang/sound_chat", files, ["--model", a.argument], check("chat", judge(sound, None, **known(a)), None), NOTES, a, spans(a))
    for name, (damage, code) in PLANTED.items():
        if name not in ("wrong_k", "unsorted", "zero_some"):
            put(name, damage(sound, a), a, known(a), code)
    put("wrong_k", wrong_k(sound, a), a, known(a), "wrong_k")
    put("shifted_layers", rolled(dense, b), b, known(b), "shifted_layers")
    put("shared_slot", shared_slot(sound, a, value=a.experts), a, known(a), "shared_slot")
    put("unknown_rows", unknown_rows(sound, a), a, known(a), "unknown_rows")
    stages = [s.copy() for s in sound]
    for s in stages:
        s[:, 1] = 0                                         # the second pipeline stage's layers were not merged
    put("zero_layer", stages, a, known(a), "zero_rows")
    answers = [answer(a, i, s) for i, s in enumerate(sound)]
    answers[0]["meta_info"]["routed_experts"] = answers[0]["meta_info"]["routed_experts"][:-44]
    short = [sound[0][:21], sound[1]]                       # 33 bytes less: a whole row of 24 and a part of another
    expectation = said(judge(short, None, **known(a)), "truncated", None, 2, 23, drop=("length_mismatch",))
    files = [cases.write("sglang/truncated.json", json.dumps(answers))]
    cases.add("sglang/truncated", files, ["--model", a.argument, "--tokens", a.tokens_argument], (*expectation[:4], {}), NOTES, a,
              [(0, 0, 21), (1, 0, 23)])
    text = json.dumps([answer(a, i, s) for i, s in enumerate(sound)])
    files = [cases.write("sglang/truncated_text.part", text[:-200])]
    cases.add("sglang/truncated_text", files, ["--model", a.argument], ({("truncated", None): (1, 2)}, {"no_last_token"}, [23], [(0, 8, 3), (1, 8, 3)], {}),
              NOTES, more={"because": "JSON that stops in the second answer: counts are answers; refusing the whole file (65) is as good"})


def sglang_distribution(cases, a, b):
    def steps(model, hidden):
        """[steps, layers, experts]: the prompts of both sequences (20 tokens each), then four steps of one token of each."""
        counts = np.zeros((5, hidden, model.experts), np.int32)
        for index, sequence in enumerate(model.ids):
            for row in range(len(sequence)):
                for position, layer in enumerate(model.layers):
                    for expert in sequence[row, position]:
                        counts[max(0, row - 19), layer, expert] += 1
        return counts

    def total(counts, layers):
        return {f"ffn.{layer}": counts[:, layer].sum(axis=0).tolist() for layer in layers}

    def stat(name, counts, model, audit, notes=(), arguments=None, hidden=None):
        ring = np.concatenate([counts, np.zeros((3,) + counts.shape[1:], np.int32)])        # the ring buffer was longer than the run
        count = torch.from_numpy(ring)
        data = pt({"rank": 0, "logical_count": count, "average_utilization_rate_over_window": None}, on_device=[count])
        files = [cases.write(f"sglang-distribution/{name}.pt", data)]
        layers = model.layers if arguments is None else [l for l in range(counts.shape[1]) if counts[:, l].any()]
        more = {"counts": total(counts, layers), "steps": 5}
        cases.add(f"sglang-distribution/{name}" + ("" if arguments is None else ", no arguments"), files,
                  ["--model", model.argument] if arguments is None else arguments,
                  (audit, set(notes), [], [(l, counts.shape[2], model.k if arguments is None else None) for l in layers], {}), ["no_ids", *NOTES], more=more)

    hidden = a.hidden_layers
    good = steps(a, hidden)
    stat("stat", good, a, {})
    stat("stat", good, a, {}, ["layers_guessed"], arguments=[])
    stat("stat_dense", steps(b, b.hidden_layers), b, {}, ["dense_layers"])
    gone = good.copy()
    gone[:, 1] = 0
    stat("stat_zero_rows", gone, a, {("zero_rows", "ffn.1"): (48, 48)})
    even = np.zeros_like(good)
    even[0] = 18
    stat("stat_partition", even, a, {("partition", f"ffn.{l}"): (48, 48) for l in a.layers})
    uneven = good.copy()
    uneven[2, 1] = 0
    uneven[2, 1, :3] = 1                                     # a step with one token fewer in layer 1
    stat("stat_length_mismatch", uneven, a, {("length_mismatch", None): (1, 5)})
    fewer = good.copy()
    for layer in range(hidden):                              # 80 assignments of 40 tokens, then 4 of two: no multiples of three
        fewer[:, layer] = 0
        for index, sequence in enumerate(a.ids):
            for row in range(len(sequence)):
                for expert in sequence[row, layer][:2]:
                    fewer[max(0, row - 19), layer, expert] += 1
    stat("stat_wrong_k", fewer, a, {("wrong_k", f"ffn.{l}"): (5, 5) for l in a.layers})
    wide = np.concatenate([good, np.zeros((5, hidden, 2), np.int32)], axis=2)
    for layer in range(hidden):
        wide[1, layer, np.argmax(good[1, layer])] -= 1
        wide[1, layer, 9] += 1
    stat("stat_physical_ids", wide, a, {("physical_ids", f"ffn.{l}"): (48, 48) for l in a.layers})
    whole = (cases.folder / "sglang-distribution/stat.pt").read_bytes()
    files = [cases.write("sglang-distribution/stat_truncated.pt", whole[:len(whole) * 2 // 3])]
    cases.add("sglang-distribution/stat_truncated", files, ["--model", a.argument], ({("truncated", None): (1, 1)}, set(), [], [], {}), [],
              more={"because": "a zip without its directory: counts are files; refusing it (65) is as good", "as": True})

    def passes(model, rank, sequences, index_of, k_slots=8, map_of=None, tokens=True, hidden=None, steps=SHORT):
        """One rank's records: the prompt of its sequence, then steps of one token."""
        places = model.experts if map_of is None else map_of.shape[1]
        shared, records = [], []
        for number, (first, end) in enumerate(steps):
            rows = np.concatenate([sequences[i][first:end] for i in index_of])
            ids = np.full((hidden, len(rows), k_slots), -1, np.int32)
            for position, layer in enumerate(model.layers):
                ids[layer, :, :rows.shape[2]] = rows[:, position]
            count = np.zeros((hidden, places), np.int32)
            for layer in range(hidden):
                for expert in ids[layer][ids[layer] >= 0].reshape(-1):
                    if expert < places:
                        count[layer, expert] += 1
            record = {"forward_pass_id": number, "rank": rank, "gatherer_key": "primary"}
            if tokens:
                record |= {"input_ids": sum((model.tokens[i][first:end] for i in index_of), []),
                           "positions": list(range(first, end)) * len(index_of),
                           "extend_seq_lens": [end] * len(index_of) if number == 0 else None, "forward_mode": 1 if number == 0 else 2,
                           "topk_ids_of_layer": torch.from_numpy(ids), "misc_objects": shared}
            record["global_physical_count"] = torch.from_numpy(count)
            records.append(record)
        if map_of is None:
            map_of = np.tile(np.arange(model.experts), (hidden, 1))
        return {"records": records, "last_physical_to_logical_map": torch.from_numpy(map_of.astype(np.int64))}

    def per_token(name, sequences, model, planted=None, equals=None, map_of=None, judged=None, ranks=1, **how):
        """One rank with both sequences side by side, or two with one each."""
        files = []
        for rank in range(ranks):
            value = passes(model, rank, sequences, [rank] if ranks > 1 else [0, 1], map_of=map_of, hidden=model.hidden_layers, **how)
            files.append(cases.write(f"sglang-distribution/{name}_{rank}.pt", pt(value, on_device=[value["last_physical_to_logical_map"]])))
        expectation = check(name, judge(judged or sequences, model.layers, last=0, **known(model)), planted)
        cases.add(f"sglang-distribution/{name}", files, ["--model", model.argument], expectation,
                  [*NOTES, *(["dense_layers"] if model.hidden_layers > len(model.layers) else [])], model, equals)

    whole_a, whole_b = a.routes(last=0), b.routes(last=0)
    per_token("per_token", whole_a, a, equals=spans(a, last=0), steps=LONG, ranks=2)
    per_token("per_token_batch", whole_a, a, equals=spans(a, last=0), steps=LONG)
    per_token("per_token_dense", whole_b, b, equals=spans(b, last=0))
    # Two experts have a second place: the map turns places back into experts, and the record is sound.
    placed = physical_ids(whole_a, a)
    map_of = np.tile(np.arange(a.experts + 2), (a.hidden_layers, 1))
    for layer in range(a.hidden_layers):
        cells = np.concatenate([s[:, layer].reshape(-1) for s in whole_a])
        map_of[layer, a.experts:] = np.argsort(-np.bincount(cells, minlength=a.experts), kind="stable")[:2]
    back = [np.stack([map_of[l][s[:, l]] for l in range(a.hidden_layers)], axis=1) for s in placed]
    assert all((x == y).all() for x, y in zip(back, whole_a))
    per_token("per_token_places", placed, a, equals=spans(a, last=0), map_of=map_of, judged=whole_a)
    for name in ("zero_rows", "duplicate_expert", "out_of_range", "equal_rows", "partition", "wrong_k", "physical_ids"):
        damage, code = PLANTED[name]
        per_token(f"per_token_{name}", damage(whole_a, a), a, code)
    per_token("per_token_shared_slot", shared_slot(whole_a, a, value=a.experts), a, "shared_slot")
    per_token("per_token_unknown_rows", unknown_rows(whole_a, a), a, "unknown_rows")
    value = passes(a, 0, whole_a, [0, 1], tokens=False, map_of=map_of, hidden=a.hidden_layers, steps=LONG)
    for record, first in zip(value["records"], (0, 20, 21, 22, 23)):
        end = 20 if first == 0 else first + 1
        rows = np.concatenate([s[first:end] for s in placed])
        record["global_physical_count"] = torch.from_numpy(
            np.stack([np.bincount(rows[:, l].reshape(-1), minlength=a.experts + 2) for l in range(a.hidden_layers)]).astype(np.int32))
    files = [cases.write("sglang-distribution/per_pass_0.pt", pt(value, on_device=[value["last_physical_to_logical_map"]]))]
    cases.add("sglang-distribution/per_pass", files, ["--model", a.argument],
              ({}, set(), [], [(l, a.experts, a.k) for l in a.layers], {}), ["no_ids", *NOTES], more={"counts": total(good, a.layers), "steps": 5})


def tensorrt_llm(cases, a, b):
    def put(name, sequences, model, planted=None, equals=False, each=False):
        """A file for each sequence, or a list of them in one."""
        tensors = [torch.from_numpy(s.astype(np.int16)) for s in sequences]
        if each:
            files = [cases.write(f"tensorrt-llm/{name}.{i}.pt", pt(tensor)) for i, tensor in enumerate(tensors)]
        else:
            files = [cases.write(f"tensorrt-llm/{name}.pt", pt(tensors))]
        cases.add(f"tensorrt-llm/{name}", files, ["--model", model.argument, "--tokens", model.tokens_argument],
                  check(f"tensorrt-llm/{name}", judge(sequences, None, **known(model)), planted), NOTES, model, spans(model) if equals else None)

    sound = b.routes()
    put("sound", sound, b, equals=True, each=True)
    put("sound_list", a.routes(), a, equals=True)
    files = [cases.write(f"tensorrt-llm/sound_npy.{i}.npy", npy(s.astype(np.int16))) for i, s in enumerate(sound)]
    cases.add("tensorrt-llm/sound_npy", files, ["--as", "tensorrt-llm", "--model", b.argument, "--tokens", b.tokens_argument],
              check("npy", judge(sound, None, **known(b)), None), NOTES, b, spans(b), {"as": True})
    for name in ("zero_rows", "zero_some", "duplicate_expert", "out_of_range", "physical_ids", "wrong_k", "missing_last", "length_mismatch", "unsorted"):
        damage, code = PLANTED[name]
        put(name, damage(sound, b), b, code)
    put("equal_rows", equal_rows(a.routes(), a), a, "equal_rows")
    put("partition", partition_sorted(sound, b), b, "partition")
    put("unknown_rows", unknown_rows(sound, b), b, "unknown_rows")
    shifted = [np.concatenate([s, np.zeros_like(s)], axis=1) for s in sound]
    put("shifted_layers", shifted, b, "shifted_layers")
    whole = pt(torch.from_numpy(sound[0].astype(np.int16)))
    files = [cases.write("tensorrt-llm/truncated.0.pt", whole[:len(whole) - 300]), "tensorrt-llm/sound.1.pt"]
    cases.add("tensorrt-llm/truncated", files, ["--model", b.argument, "--tokens", b.tokens_argument],
              ({("truncated", None): (1, 2)}, {"no_last_token"}, [23], [(1, 12, 4)], {}), NOTES,
              more={"because": "a zip without its directory: counts are files; refusing it (65) is as good", "as": True})


def nemo_rl(cases, a, b):
    def item(model, index, sequence, dtype, nested=False):
        shape = "x".join(map(str, sequence.shape))
        data = f"nrlre1:{np.dtype(dtype).name}:{shape}:{text_of(np.ascontiguousarray(sequence.astype(dtype)).tobytes())}"
        return {"id": f"msg_{index}", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "", "annotations": []}], "prompt_token_ids": model.tokens[index][:20],
                "generation_token_ids": model.tokens[index][20:], "generation_log_probs": [-1.5] * (len(model.tokens[index]) - 20),
                "routed_experts": sequence.tolist() if nested else data}

    def filled(sequences, model, more=0):
        """The row 0…k-1 that the format has where no pass followed."""
        return [np.concatenate([s, np.broadcast_to(np.arange(s.shape[2]), (1 + more,) + s.shape[1:])]) for s in sequences]

    def put(name, sequences, model, planted=None, equals=False, dtype=np.int8, nested=False, format_pads=True):
        files = [cases.write(f"nemo-rl/{name}.jsonl", lines_of(item(model, i, s, dtype, nested) for i, s in enumerate(sequences)))]
        cases.add(f"nemo-rl/{name}", files, ["--model", model.argument],
                  check(f"nemo-rl/{name}", judge(sequences, None, format_pads=format_pads, **known(model)), planted), NOTES, model,
                  spans(model) if equals else None)

    sound = filled(a.routes(), a)
    put("sound", sound, a, equals=True)
    put("sound_int16", sound, a, equals=True, dtype=np.int16)
    put("sound_lists", sound, a, equals=True, nested=True)
    put("sound_dense", filled(b.routes(all_layers=True), b), b, equals=True)
    for name in ("zero_rows", "zero_some", "equal_rows", "partition", "duplicate_expert", "out_of_range", "physical_ids", "unsorted"):
        damage, code = PLANTED[name]
        put(name, filled(damage(a.routes(), a), a), a, code)
    put("wrong_k", filled(wrong_k(a.routes(), a), a), a, "wrong_k")
    put("unknown_rows", filled(unknown_rows(a.routes(), a), a), a, "unknown_rows")
    half = filled(a.routes(), a)
    half[0][4, 1, 2] = -1                                    # a row that is unknown in part: damage, not a gap
    put("out_of_range_negative", half, a, "out_of_range")
    put("padded", filled(a.routes(), a, more=3), a, "padded")
    put("shifted_layers", filled(rolled(b.routes(all_layers=True), b), b), b, "shifted_layers")
    put("missing_last", missing_last(a.routes(), a), a, "missing_last")
    put("length_mismatch", length_mismatch(sound, a), a, "length_mismatch")
    rows = [item(a, i, s, np.int8) for i, s in enumerate(sound)]
    rows[0]["routed_experts"] = rows[0]["routed_experts"][:-24]
    expectation = said(judge([sound[0][:21], sound[1]], None, format_pads=True, **known(a)), "truncated", None, 3, 24, drop=("length_mismatch",))
    files = [cases.write("nemo-rl/truncated.jsonl", lines_of(rows))]
    cases.add("nemo-rl/truncated", files, ["--model", a.argument], (*expectation[:4], {}), NOTES, a, [(0, 0, 21), (1, 0, 23)])
    text = lines_of(item(a, i, s, np.int8) for i, s in enumerate(sound))
    files = [cases.write("nemo-rl/truncated_line.jsonl", text[:-100])]
    cases.add("nemo-rl/truncated_line", files, ["--model", a.argument],
              ({("truncated", None): (1, 2)}, {"no_last_token"}, [23], [(0, 8, 3), (1, 8, 3)], {}), NOTES, a, [(0, 0, 23)],
              {"because": "the last line stops: counts are lines"})


def verifiers(cases, a, b):
    def payload(sequence, start=0, dtype=np.uint8):
        compact = np.ascontiguousarray(sequence.astype(dtype))
        return {"data": text_of(compact.tobytes()), "shape": list(compact.shape), "start": start, "dtype": np.dtype(dtype).name}

    def answer(model, index, sequence, prompt=20, upto=None, start=0, dtype=np.uint8, routed=None):
        tokens = model.tokens[index][:upto]
        return {"request_id": f"{index:08x}", "choices": [{"index": 0, "finish_reason": "length", "token_ids": tokens[prompt:],
                "routed_experts": routed or payload(sequence, start, dtype)}], "prompt_token_ids": tokens[:prompt],
                "usage": {"prompt_tokens": prompt, "completion_tokens": len(tokens) - prompt, "total_tokens": len(tokens)}}

    def put(name, sequences, model, planted=None, equals=False, dtype=np.uint8):
        files = [cases.write(f"verifiers/{name}.jsonl", lines_of(answer(model, i, s, dtype=dtype) for i, s in enumerate(sequences)))]
        cases.add(f"verifiers/{name}", files, ["--model", model.argument],
                  check(f"verifiers/{name}", judge(sequences, None, **known(model)), planted), NOTES, model, spans(model) if equals else None)

    sound = a.routes()
    put("sound", sound, a, equals=True)
    put("sound_uint16", sound, a, equals=True, dtype=np.uint16)
    put("sound_dense", b.routes(all_layers=True), b, equals=True)
    # Two turns a sequence: the second begins where the first had no row, at its last token.
    turns = []
    for i, s in enumerate(sound):
        turns += [answer(a, i, s[:11], prompt=8, upto=12), answer(a, i, s[11:], start=11)]
    files = [cases.write("verifiers/sound_turns.jsonl", lines_of(turns))]
    cases.add("verifiers/sound_turns", files, ["--model", a.argument], check("turns", judge(sound, None, **known(a)), None), NOTES, a, spans(a),
              {"turns": [2, 2], "because": "an answer with start > 0 goes on from the answer before it whose tokens it repeats"})
    old = [answer(a, i, s, routed={"data": base64.b85encode(np.ascontiguousarray(s.astype(np.int32)).tobytes()).decode(), "shape": list(s.shape)})
           for i, s in enumerate(sound)]
    files = [cases.write("verifiers/sound_base85.jsonl", lines_of(old))]
    cases.add("verifiers/sound_base85", files, ["--model", a.argument], check("85", judge(sound, None, **known(a)), None), NOTES, a, spans(a))
    put("padded", copied_last(sound, a), a, "padded")
    put("padded_zero", zero_last(sound, a), a, "padded")
    for name, (damage, code) in PLANTED.items():
        put(name, damage(sound, a), a, code)
    put("shifted_layers", rolled(b.routes(all_layers=True), b), b, "shifted_layers")
    rows = [answer(a, i, s) for i, s in enumerate(sound)]
    rows[0]["choices"][0]["routed_experts"]["data"] = rows[0]["choices"][0]["routed_experts"]["data"][:-32]
    expectation = said(judge([sound[0][:19], sound[1]], None, **known(a)), "truncated", None, 4, 23, drop=("length_mismatch",))
    files = [cases.write("verifiers/truncated.jsonl", lines_of(rows))]
    cases.add("verifiers/truncated", files, ["--model", a.argument], (*expectation[:4], {}), NOTES, a, [(0, 0, 19), (1, 0, 23)])


def megatron(cases, a, b):
    def write(name, sequences, model, layers=None, logits=False, cut=None, edit=None, steps=SHORT):
        """One rank a sequence: the prompt, then one token a step."""
        files = []
        for rank, sequence in enumerate(sequences):
            records, raw = [], b""
            for step, (first, end) in enumerate(steps):
                for position, layer in enumerate(model.layers if layers is None else layers):
                    rows = sequence[first:end, position]
                    if not len(rows):
                        continue
                    record = {"step": step, "stage": "pre_dispatch", "block": "decoder", "layer": layer, "rank": rank,
                              "num_tokens": len(rows), "topk": rows.shape[1]}
                    if logits:
                        values = torch.from_numpy(model.logits[rank][first:end, position].copy()).to(torch.bfloat16)
                        data = values.view(torch.int16).numpy().tobytes()
                        record |= {"logit_offset": len(raw), "logit_bytes": len(data), "logit_shape": list(values.shape)}
                        raw += data
                    record["top_indices"] = rows.tolist()
                    records.append(record)
            if edit:
                records = edit(rank, records)
            text = "".join(json.dumps(record) + "\n" for record in records)
            if cut and rank == 0:
                text, raw = cut(text, raw)
            files.append(cases.write(f"megatron/{name}/router_trace_rank{rank}.jsonl", text))
            if logits:
                cases.write(f"megatron/{name}/logits_rank{rank}.bin", raw)
            if logits and not cut:
                state = {("decoder", None, layer): {"weight": torch.from_numpy(np.eye(model.experts, 32, dtype=np.float32)), "expert_bias": None,
                         "score_function": "softmax", "topk": model.k} for layer in model.layers}
                cases.write(f"megatron/{name}/router_state_rank{rank}.pt", pt(state))
        return files

    def put(name, sequences, model, planted=None, equals=False, judged_layers=None, arguments=None, notes=NOTES, more=None, **how):
        files = write(name, sequences, model, **how)
        expectation = check(f"megatron/{name}", judge(sequences, judged_layers or model.layers, last=0, slack=1, **known(model)), planted)
        cases.add(f"megatron/{name}", files, arguments or ["--model", model.argument, "--tokens", model.tokens_argument], expectation, notes, model,
                  spans(model, last=0) if equals else None, more)
        return files

    sound = a.routes(last=0)
    def flips(model):
        """Rows whose top-k of the logits as bfloat16 is another set: the sidecar is rounded, the choice was not."""
        rounded = [torch.from_numpy(s.copy()).to(torch.bfloat16).float().numpy() for s in model.logits]
        return {f"ffn.{layer}": int(sum(set(np.argsort(-r[t, p], kind="stable")[:model.k]) != set(model.ids[i][t, p])
                for i, r in enumerate(rounded) for t in range(len(r)))) for p, layer in enumerate(model.layers)}

    files = put("sound", sound, a, equals=True, logits=True, notes=["no_weights"], steps=LONG,
                more={"sidecars": ["logits_rank0.bin", "logits_rank1.bin"], "set_differs_after_rounding": flips(a)})
    bare = check("bare", judge(sound, None, last=0), None)
    bare[1].discard("experts_guessed")                      # the sidecar has a logit for each
    cases.add("megatron/sound, no arguments", files, [], bare, [*NOTES[:1], "no_ids"], a, spans(a, last=0))
    put("sound_dense", b.routes(last=0), b, equals=True)
    put("unsorted", ascending(sound, a), a, "unsorted")      # training: read from a map of booleans, so every sound record is so
    for name in ("zero_rows", "zero_some", "equal_rows", "partition", "duplicate_expert", "out_of_range", "physical_ids", "wrong_k"):
        damage, code = PLANTED[name]
        put(name, damage(sound, a), a, code)
    put("sound_generated", a.routes(), a)                    # the last generated token was never read
    cases.cases[-1]["equals"] = {"model": a.argument, "rows": [list(row) for row in spans(a)]}
    put("missing_last", a.routes(last=2), a, "missing_last")
    put("length_mismatch", length_mismatch(sound, a), a, "length_mismatch")
    # Counted from one, as the module's own number is.
    files = write("shifted_layers", sound, a, layers=[1, 2])
    cases.add("megatron/shifted_layers", files, ["--model", a.argument, "--tokens", a.tokens_argument],
              ({("shifted_layers", "ffn.2"): (48, 48)}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)], {"ffn.0": 48, "ffn.1": 48}), NOTES,
              more={"because": "the model has no layer 2, so that none of the numbers can be trusted; recorded inside a graph they count from one"})
    cases.add("megatron/shifted_layers, options", files, ["--model", a.argument, "--tokens", a.tokens_argument, "--layers", "0-1"],
              check("options", judge(sound, [0, 1], last=0, slack=1, **known(a)), None), NOTES, a, spans(a, last=0))
    files = write("shifted_layers_dense", b.routes(last=0), b, layers=[0])
    cases.add("megatron/shifted_layers_dense", files, ["--model", b.argument, "--tokens", b.tokens_argument],
              check("dense", judge(b.routes(last=0), [0], last=0, **known(b)), "shifted_layers"), NOTES)

    def short_last(rank, records):
        """The last layer of rank 1 lost its last token."""
        return [r for r in records if not (rank == 1 and r["layer"] == 1 and r["step"] == 1)]
    files = write("missing_last_layer", sound, a, edit=short_last)
    cases.add("megatron/missing_last_layer", files, ["--model", a.argument, "--tokens", a.tokens_argument],
              ({("missing_last", "ffn.1"): (1, 48)}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)], {"ffn.1": 1}), NOTES)

    def wrong_count(rank, records):
        if rank == 0:
            records[2]["num_tokens"] = 2
        return records
    files = write("length_mismatch_record", sound, a, edit=wrong_count)
    cases.add("megatron/length_mismatch_record", files, ["--model", a.argument, "--tokens", a.tokens_argument],
              ({("length_mismatch", "ffn.0"): (1, 48)}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)], {"ffn.0": 1}), NOTES,
              more={"because": "num_tokens of one record is not the length of its top_indices"})
    files = write("truncated", sound, a, cut=lambda text, raw: (text[:-25], raw))
    cases.add("megatron/truncated", files, ["--model", a.argument, "--tokens", a.tokens_argument],
              ({("truncated", None): (1, 8)}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)], {"ffn.1": 1}), NOTES,
              more={"because": "the last line of rank 0 stops: counts are lines; its row is unknown in that layer"})
    files = write("truncated_logits", sound, a, logits=True, cut=lambda text, raw: (text, raw[:-40]))
    cases.add("megatron/truncated_logits", files, ["--model", a.argument, "--tokens", a.tokens_argument],
              ({("truncated", None): (3, 96)}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)], {}), ["no_weights"], a, spans(a, last=0),
              {"because": "logits_rank0.bin is 40 bytes short, which are three rows of logits: counts are rows of logits; ids are whole"})


def imatrix(cases, a, b):
    class Writer(gguf.GGUFWriter):
        """llama.cpp names no architecture in these files."""

        def add_architecture(self):
            pass

    def write(name, model, counts, up=None, layers=None, cut=None, width=8):
        """`counts`: [layers, experts]; `width`: how many of the 32 columns of the sums are there."""
        path = cases.folder / f"imatrix/{name}.{'imatrix' if cut else 'gguf'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = Writer(str(path), "imatrix")
        writer.add_string("general.type", "imatrix")
        writer.add_array("imatrix.datasets", ["calibration.txt"])
        writer.add_uint32("imatrix.chunk_count", 2)
        writer.add_uint32("imatrix.chunk_size", 24)
        tensors = {}
        for layer in range(model.hidden_layers):
            tensors[f"blk.{layer}.attn_q.weight"] = (np.full((1, width), 48.0, np.float32), np.array([[48]], np.float32))
        for position, layer in enumerate(layers or model.layers):
            taken = counts[position].astype(np.float32).reshape(-1, 1)
            squares = np.zeros((len(taken), width), np.float32)
            source = model.block_in[model.layers[position]].astype(np.float32)[:, :width]
            ids = np.concatenate([s[:, position] for s in model.ids])
            for row, chosen in zip(source, ids):
                for expert in chosen:
                    squares[expert] += row * row
            tensors[f"blk.{layer}.ffn_down_exps.weight"] = (np.tile(taken, (1, width // 2)), taken)
            for part in ("gate", "up"):
                tensors[f"blk.{layer}.ffn_{part}_exps.weight"] = (squares, taken if up is None or part == "gate" else up[position].astype(np.float32).reshape(-1, 1))
        for tensor in sorted(tensors):
            squares, taken = tensors[tensor]
            writer.add_tensor(f"{tensor}.in_sum2", squares)
            writer.add_tensor(f"{tensor}.counts", taken)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        if cut:
            path.write_bytes(path.read_bytes()[:-cut])
        return [f"imatrix/{path.name}"]

    def counted(model, k=None):
        return np.stack([np.bincount(np.concatenate([s[:, p, :k].reshape(-1) for s in model.ids]), minlength=model.experts)
                         for p in range(len(model.layers))])

    def put(name, model, counts, audit, layers=None, notes=(), **how):
        files = write(name, model, counts, layers=layers, **how)
        cases.add(f"imatrix/{name}", files, ["--model", model.argument], (audit, set(), [], [(l, counts.shape[1], model.k) for l in model.layers], {}),
                  ["no_ids", *NOTES, *notes], more=None if layers else {"counts": {f"ffn.{l}": counts[p].tolist() for p, l in enumerate(model.layers)}, "tokens": 48})
        return files

    good = counted(a)
    files = put("sound", a, good, {}, width=32)
    cases.add("imatrix/sound, no arguments", files, [], ({}, set(), [], [(l, 8, 3) for l in a.layers], {}), ["no_ids", *NOTES],
              more={"counts": {f"ffn.{l}": good[p].tolist() for p, l in enumerate(a.layers)}, "tokens": 48,
                    "because": "k is the sum of an expert tensor's counts by the count of attn_q, which every token passes"})
    put("sound_dense", b, counted(b), {})
    gone = good.copy()
    gone[1] = 0
    put("zero_rows", a, gone, {("zero_rows", "ffn.1"): (48, 48)})
    put("partition", a, np.full_like(good, 18), {("partition", f"ffn.{l}"): (48, 48) for l in a.layers})
    put("length_mismatch", a, good, {("length_mismatch", f"ffn.{l}"): (1, 48) for l in a.layers}, up=good - (good == good.max(axis=1, keepdims=True)))
    put("wrong_k", a, counted(a, 2), {("wrong_k", f"ffn.{l}"): (48, 48) for l in a.layers})
    put("shifted_layers", a, good, {("shifted_layers", "ffn.2"): (48, 48)}, layers=[1, 2])
    wide = np.concatenate([good, np.ones((2, 2), good.dtype)], axis=1)
    put("physical_ids", a, wide, {("physical_ids", f"ffn.{l}"): (48, 48) for l in a.layers})
    files = write("truncated", a, good, cut=200)
    cases.add("imatrix/truncated", files, ["--model", a.argument], ({("truncated", None): (1, 1)}, set(), [], [], {}), [],
              more={"because": "a tensor lies beyond the end: refusing the file (65) is as good", "as": True})


def hf_logits(cases, a, b):
    def tuple_of(model, sequences):
        """One tensor a layer, the rows of the batch one after the other."""
        rows = np.concatenate(sequences)
        return tuple(torch.from_numpy(np.ascontiguousarray(rows[:, l])) for l in range(rows.shape[1]))

    def softmax(x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return (e / e.sum(axis=-1, keepdims=True)).astype(np.float32)

    def put(name, model, value, expectation, notes=("no_weights",), equals=True, arguments=None, more=None, last=0):
        files = [cases.write(f"hf-logits/{name}.pt", pt(value))]
        cases.add(f"hf-logits/{name}", files, arguments or ["--model", model.argument, "--tokens", model.tokens_argument], expectation, notes, model,
                  spans(model, last=last) if equals else None, more)
        return files

    def whole(model):
        return check("hf", judge(model.routes(last=0), model.layers, last=0, **known(model)), None)

    sound = tuple_of(a, a.logits)
    files = put("sound", a, sound, whole(a))
    bare = judge(a.routes(last=0), None, experts=8, top_k=3, last=0)
    cases.add("hf-logits/sound, no model", files, ["--top-k", "3"], check("hf", bare, None), ["no_weights", "no_ids"], a, spans(a, last=0))
    named = {"input_ids": torch.tensor(a.tokens), "router_logits": sound}
    put("sound_named", a, named, whole(a), arguments=["--model", a.argument])
    rounded = [np.argsort(-t.to(torch.bfloat16).float().numpy(), axis=1, kind="stable")[:, :a.k] for t in sound]
    same_sets = all((np.sort(r, axis=1) == np.sort(np.concatenate(a.ids)[:, l], axis=1)).all() for l, r in enumerate(rounded))
    put("sound_bfloat16", a, tuple(t.to(torch.bfloat16) for t in sound), whole(a), equals=False,
        more={"because": "ids are the top-k of the rounded logits, ties to the lower id", "sets_equal_model": bool(same_sets)})
    put("sound_dense", b, tuple_of(b, b.logits), whole(b), more={"because": "groups and correction bias: only the model's rule makes ids of these logits"})
    files = [cases.write(f"hf-logits/router_logits_L{l}.npy", npy(np.concatenate(a.logits)[:, l])) for l in a.layers]
    cases.add("hf-logits/sound_npy", files, ["--model", a.argument, "--tokens", a.tokens_argument], whole(a), ["no_weights"], a, spans(a, last=0))
    likely = tuple(torch.from_numpy(softmax(t.numpy())) for t in sound)
    counts = {("probabilities", f"ffn.{l}"): (48, 48) for l in a.layers}
    files = put("probabilities", a, likely, (counts, *whole(a)[1:]))
    # Said so by the user: no warning.
    cases.add("hf-logits/probabilities, said", files, ["--probabilities", "--model", a.argument, "--tokens", a.tokens_argument], whole(a), ["no_weights"],
              a, spans(a, last=0))

    sound = tuple(t.to(torch.bfloat16) for t in sound)       # half the size; what is planted does not depend on it
    zero = [t.clone() for t in sound]
    zero[1][8:14] = 0
    put("zero_rows", a, tuple(zero), ({("zero_rows", "ffn.1"): (6, 48)}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)], {"ffn.1": 6}), equals=False)
    same = tuple(t[:1].expand(48, 8).contiguous() for t in sound)
    put("equal_rows", a, same, ({("equal_rows", f"ffn.{l}"): (48, 48) for l in a.layers}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)],
                                {"ffn.0": 48, "ffn.1": 48}), equals=False)
    wide = tuple(torch.cat([t, t[:, :2] - 1], dim=1) for t in sound)
    put("physical_ids", a, wide, ({("physical_ids", f"ffn.{l}"): (48, 48) for l in a.layers}, set(), [24, 24], [(0, 10, 3), (1, 10, 3)],
                                  {"ffn.0": 48, "ffn.1": 48}), equals=False)
    narrow = tuple(t[:, :6].contiguous() for t in sound)
    put("out_of_range", a, narrow, ({("out_of_range", f"ffn.{l}"): (48, 48) for l in a.layers}, set(), [24, 24], [(0, 6, 3), (1, 6, 3)],
                                    {"ffn.0": 48, "ffn.1": 48}), equals=False,
        more={"because": "logits of six experts where the model has eight"})
    put("missing_last", a, (sound[0], sound[1][:47]), ({("missing_last", "ffn.1"): (1, 48)}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)], {"ffn.1": 1}),
        equals=False, more={"because": "the last layer has one row fewer: rows without wanted logits were left out"})
    put("length_mismatch", a, tuple(t[:40].contiguous() for t in sound),
        ({("length_mismatch", None): (40, 40)}, set(), [40], [(0, 8, 3), (1, 8, 3)], {"ffn.0": 40, "ffn.1": 40}), equals=False)
    put("shifted_layers", b, (torch.zeros(48, 12), *tuple_of(b, b.logits))[::-1],
        ({("shifted_layers", "ffn.0"): (48, 48)}, set(), [24, 24], [(1, 12, 4)], {"ffn.1": 48}), equals=False,
        more={"because": "a tensor a layer, and that of the dense layer 0 is not empty"})
    files = [cases.write("hf-logits/truncated.pt", pt(sound)[:-400])]
    cases.add("hf-logits/truncated", files, ["--model", a.argument], ({("truncated", None): (1, 1)}, set(), [], [], {}), [],
              more={"because": "a zip without its directory: refusing it (65) is as good", "as": True})


def olmoe(cases, a, b):
    def line(index, sequence, tokens=None):
        """exp_ids is [tokens][k][layers]."""
        return {"input_ids": tokens or a.tokens[index], "predicted_token_ids": a.predicted[index], "exp_ids": sequence.transpose(0, 2, 1).tolist()}

    def put(name, sequences, planted=None, equals=False, told=None, arguments=None):
        files = [cases.write(f"olmoe/{name}.jsonl", lines_of(line(i, s) for i, s in enumerate(sequences)))]
        cases.add(f"olmoe/{name}", files, arguments or ["--model", a.argument],
                  check(f"olmoe/{name}", judge(sequences, None, last=0, **(told or known(a))), planted), NOTES, a, spans(a, last=0) if equals else None)
        return files

    sound = a.routes(last=0)
    files = put("sound", sound, equals=True)
    cases.add("olmoe/sound, no arguments", files, [], check("bare", judge(sound, None, last=0, tokens=a.tokens), None), NOTES, a, spans(a, last=0))
    for name, (damage, code) in PLANTED.items():
        put(name, damage(sound, a), code)
    damaged = rolled(sound, a)
    files = [cases.write("olmoe/rolled.jsonl", lines_of(line(i, s) for i, s in enumerate(damaged)))]
    differ, total = recomputed(a, damaged)
    cases.add("olmoe/rolled", files, ["--model", a.argument],
              accused_by_run(judge(damaged, None, last=0, **known(a)), "shifted_layers", total, differ), NOTES, more={"needs": "recompute", "differ": differ})
    text = lines_of(line(i, s) for i, s in enumerate(sound))
    files = [cases.write("olmoe/truncated.jsonl", text[:-120])]
    cases.add("olmoe/truncated", files, ["--model", a.argument], ({("truncated", None): (1, 2)}, set(), [24], [(0, 8, 3), (1, 8, 3)], {}), NOTES, a,
              [(0, 0, 24)], {"because": "the last line stops: counts are lines"})


def moetop_jsonl(cases, a, b):
    def rows_of(model, sequences, weights=True, logits=True):
        rows = []
        for index, sequence in enumerate(sequences):
            for position in range(len(sequence)):
                row = {"sequence": index, "position": position, "token_id": model.tokens[index][position]}
                if logits:
                    row |= {"labels": {"domain": "ab"[index]}, "text": f"<{model.tokens[index][position]}>", "coordinates": {"depth": position / 2}}
                for column, layer in enumerate(model.layers):
                    ids = sequence[position, column]
                    decision = {"ids": None if (ids == -1).all() else ids.tolist()}
                    if weights:
                        decision["weights"] = [round(float(v), 6) for v in model.weights[index][position, column]]
                    if logits:
                        decision["logits"] = [round(float(v), 5) for v in model.logits[index][position, column]]
                        assert (np.argsort(-np.array(decision["logits"]), kind="stable")[:model.k] == ids).all() or model.name != "olmoe"
                    row[f"ffn.{layer}"] = decision
                rows.append(row)
        return rows

    def head(model, rule, layers=None, experts=None, k=None):
        return {"moetop": "routing/1", "row": "token", "routers": [{"router": f"ffn.{layer}", "experts": experts or model.experts, "top_k": k or model.k,
                "rule": rule} for layer in layers or model.layers]}

    def put(name, sequences, model, planted=None, equals=False, weights=False, logits=False, notes=NOTES, told=None, edit=None):
        rows = rows_of(model, sequences, weights, logits)
        if edit:
            rows = edit(rows)
        files = [cases.write(f"moetop-jsonl/{name}.jsonl", lines_of([head(model, "executable" if logits else "declared"), *rows]))]
        told = told or {"experts": model.experts, "top_k": model.k, "model_layers": model.layers, "tokens": [t[:len(s)] for t, s in zip(model.tokens, sequences)]}
        cases.add(f"moetop-jsonl/{name}", files, [], check(f"moetop-jsonl/{name}", judge(sequences, model.layers, last=0, **told), planted), notes, model,
                  spans(model, last=0) if equals else None)
        return files

    sound = a.routes(last=0)
    put("sound", sound, a, equals=True, weights=True, logits=True, notes=[])
    put("sound_ids", sound, a, equals=True)
    put("sound_dense", b.routes(last=0), b, equals=True, weights=True, notes=["not_recomputable"])
    for name in ("zero_rows", "equal_rows", "partition", "duplicate_expert", "out_of_range", "physical_ids", "wrong_k", "unsorted"):
        damage, code = PLANTED[name]
        put(name, damage(sound, a), a, code)
    put("unknown_rows", unknown_rows(sound, a), a, "unknown_rows")

    def by_number(rows):
        """Ids and their weights by number of the expert."""
        for row in rows:
            for layer in a.layers:
                decision = row[f"ffn.{layer}"]
                order = np.argsort(decision["ids"])
                decision["ids"] = [decision["ids"][i] for i in order]
                decision["weights"] = [decision["weights"][i] for i in order]
        return rows
    rows = by_number(rows_of(a, sound, True, False))
    falling = {layer: sum(row[f"ffn.{layer}"]["weights"] != sorted(row[f"ffn.{layer}"]["weights"], reverse=True) for row in rows) for layer in a.layers}
    files = [cases.write("moetop-jsonl/unsorted_weights.jsonl", lines_of([head(a, "declared"), *rows]))]
    plain = judge(sound, a.layers, last=0, experts=8, top_k=3, model_layers=a.layers, tokens=a.tokens)
    counts = {("unsorted", f"ffn.{layer}"): (count, 48) for layer, count in falling.items()}
    cases.add("moetop-jsonl/unsorted_weights", files, [], (counts, *plain[1:]), ["not_recomputable"],
              more={"because": "weights do not fall: their order shows the rank, so nothing is lost"})
    rows = rows_of(a, sound, False, False)
    del rows[-1]["ffn.1"]
    files = [cases.write("moetop-jsonl/missing_last.jsonl", lines_of([head(a, "declared"), *rows]))]
    cases.add("moetop-jsonl/missing_last", files, [], ({("missing_last", "ffn.1"): (1, 48)}, set(), [24, 24], [(0, 8, 3), (1, 8, 3)], {"ffn.1": 1}), NOTES)
    rows = rows_of(a, sound, False, False)
    del rows[10:13]
    files = [cases.write("moetop-jsonl/length_mismatch.jsonl", lines_of([head(a, "declared"), *rows]))]
    cases.add("moetop-jsonl/length_mismatch", files, [], ({("length_mismatch", None): (3, 24)}, set(), [21, 24], [(0, 8, 3), (1, 8, 3)], {}), NOTES, a,
              [(0, 0, 10), (1, 0, 24)], {"because": "positions 10 to 12 of sequence 0 are not there: counts are positions"})
    rows = rows_of(b, b.routes(last=0), False, False)
    renamed = [{("ffn.0" if key == "ffn.1" else key): value for key, value in row.items()} for row in rows]
    files = [cases.write("moetop-jsonl/shifted_layers.jsonl", lines_of([head(b, "declared", layers=[0]), *renamed]))]
    cases.add("moetop-jsonl/shifted_layers", files, ["--model", b.argument],
              check("shifted", judge(b.routes(last=0), [0], last=0, **known(b)), "shifted_layers"), NOTES)
    text = lines_of([head(a, "declared"), *rows_of(a, sound, False, False)])
    files = [cases.write("moetop-jsonl/truncated.jsonl", text[:-30])]
    cases.add("moetop-jsonl/truncated", files, [], ({("truncated", None): (1, 49)}, set(), [24, 23], [(0, 8, 3), (1, 8, 3)], {}), NOTES, a,
              [(0, 0, 24), (1, 0, 23)], {"because": "the last line stops: counts are lines"})


def main():
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", type=Path, default=root / "Tests/Fixtures/foreign")
    parser.add_argument("--models", type=Path, default=root / "Tests/Fixtures/models")
    options = parser.parse_args()
    for old in options.o.glob("*/"):
        shutil.rmtree(old)
    options.o.mkdir(parents=True, exist_ok=True)
    a, b = Model(options.models, "olmoe"), Model(options.models, "deepseek_v3")
    cases = Cases(options.o, options.models)
    for format in (vllm, sglang, sglang_distribution, tensorrt_llm, nemo_rl, verifiers, megatron, imatrix, hf_logits, olmoe, moetop_jsonl):
        format(cases, a, b)
    cases.finish()
    faults = {entry["code"] for case in cases.cases for entry in case["audit"]}
    assert set(FAULTS) <= faults, set(FAULTS) - faults
    size = sum(path.stat().st_size for path in options.o.rglob("*") if path.is_file())
    print(f"{len(cases.cases)} cases, {sum(1 for p in options.o.rglob('*') if p.is_file())} files, {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
