"""What the tests of the types IQ1, IQ2 and IQ3 read: Tests/Fixtures/lookup.

usage: make_iq_models.py [-o Tests/Fixtures/lookup]

iq-tables.bin          the tables (make_iq_tables.py)
dequant.safetensors    TYPE.raw, four blocks of every type, and TYPE.f32, their numbers: two as ggml quantises normal numbers, two of random
                       bytes with a finite scale; ggml and the package gguf agree on every bit
mixtral.gguf           a tiny Mixtral with matrices of all of them, by ggml's quantisers with even weights
input.json, expected.safetensors
                       two texts, and what transformers computes on the dequantised weights

ggml is the one of the package llama-cpp-python (0.3.2).
"""
import argparse
import ctypes
import json
import shutil
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import torch
from safetensors.torch import load_file, save_file

import make_expected
import make_gguf
import make_iq_tables
import make_ladder
import make_models

KINDS = gguf.GGMLQuantizationType
TYPES = [KINDS.IQ1_S, KINDS.IQ1_M, KINDS.IQ2_XXS, KINDS.IQ2_XS, KINDS.IQ2_S, KINDS.IQ3_XXS, KINDS.IQ3_S]
SPEC = make_models.mixtral(hidden_size=256, num_key_value_heads=1, intermediate_size=32, num_local_experts=4)
# Which matrix has which type, by the end of its name; the first and the second block differ.
MIX = {
    "embed_tokens": [KINDS.IQ2_S], "lm_head": [KINDS.IQ3_S], "q_proj": [KINDS.IQ2_XXS, KINDS.IQ3_XXS], "k_proj": [KINDS.IQ2_XS, KINDS.IQ1_S],
    "v_proj": [KINDS.IQ2_S, KINDS.IQ3_S], "o_proj": [KINDS.IQ1_S, KINDS.IQ2_XXS], "w1": [KINDS.IQ3_XXS, KINDS.IQ1_M],
    "w3": [KINDS.IQ1_M, KINDS.IQ2_XS], "w2": [KINDS.IQ4_NL],
}
# The names of the same in the file.
PUBLISHED = {
    "token_embd": "embed_tokens", "output": "lm_head", "attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj", "attn_output": "o_proj",
    "ffn_gate_exps": "w1", "ffn_up_exps": "w3", "ffn_down_exps": "w2",
}
SEEDS = range(6)


class Parameters(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


class Ggml:
    def __init__(self):
        self.library = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib/libggml-base.so"))
        self.library.ggml_init.argtypes, self.library.ggml_init.restype = [Parameters], ctypes.c_void_p
        self.library.ggml_init(Parameters(1024, None, False))      # fills its table of half floats
        self.library.ggml_quantize_chunk.argtypes = [
            ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        self.library.ggml_quantize_chunk.restype = ctypes.c_size_t

    def quantise(self, values, kind):
        """Rows of f32 as stored bytes, a row at a time, so that rows in another order are the same rows."""
        rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        out = np.zeros((len(rows), rows.shape[1] // elements * size), np.uint8)
        even = np.ones(rows.shape[1], np.float32)
        for row, place in zip(rows, out):
            written = self.library.ggml_quantize_chunk(int(kind), pointer(row), pointer(place), 0, 1, len(row), pointer(even))
            assert written == place.nbytes
        return out.reshape(*values.shape[:-1], -1)

    def dequantised(self, raw, kind):
        """The numbers, of which ggml and gguf agree on every bit."""
        raw = np.ascontiguousarray(raw)
        values = gguf.quants.dequantize(raw, kind)
        own = np.zeros(values.shape, np.float32)
        getattr(self.library, f"dequantize_row_{kind.name.lower()}")(pointer(raw), pointer(own), ctypes.c_int64(own.size))
        assert (own.view(np.uint32) == values.view(np.uint32)).all(), kind.name
        return values


def blocks(ggml):
    random, tensors = np.random.default_rng(7), {}
    for kind in TYPES:
        quantised = ggml.quantise(random.standard_normal((2, 256)).astype(np.float32), kind)
        chance = random.integers(0, 256, quantised.shape, np.uint8)
        # The upper byte of the scale; IQ1_M has its bits at the top of four half words.
        if kind == KINDS.IQ1_M:
            chance[:, -1] = chance[:, -1] & 0xbf
        else:
            chance[:, 1] = chance[:, 1] & 0xbf
        raw = np.concatenate([quantised, chance])
        values = ggml.dequantised(raw, kind)
        assert np.isfinite(values).all()
        tensors[kind.name + ".raw"], tensors[kind.name + ".f32"] = torch.from_numpy(raw.reshape(-1)), torch.from_numpy(values.reshape(-1))
    return tensors


def type_of(part, name):
    """The type of a matrix by the word of its name that says which it is."""
    if part not in MIX:
        return None
    layer = next((int(word) for word in name.split(".") if word.isdigit()), 0)
    return MIX[part][min(layer, len(MIX[part]) - 1)]


def model(ggml, folder, sequences, seed):
    """Both forms of one model: file.gguf, and a folder with the numbers of its weights; answers expected values and the margin."""
    make_models.write_model(folder, SPEC, seed)
    bf16 = folder / "bf16.gguf"
    make_gguf.write(folder, bf16)

    def change(name, values, stored):
        kind = type_of(PUBLISHED.get(name.split(".")[-2]), name)
        return (ggml.quantise(make_ladder.plain(values).numpy(), kind), kind) if kind else (values, stored)

    make_ladder.by_package(bf16, folder / "file.gguf", change)
    weights = load_file(folder / "model.safetensors")
    for name, value in weights.items():
        kind = type_of(name.split(".")[-2], name)
        if kind:
            weights[name] = torch.from_numpy(ggml.dequantised(ggml.quantise(value.float().numpy(), kind), kind))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return make_expected.expected(folder, sequences, brief=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=make_gguf.ROOT / "Tests/Fixtures/lookup")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    (output / "iq-tables.bin").write_bytes(make_iq_tables.content())
    ggml = Ggml()
    save_file(blocks(ggml), output / "dequant.safetensors")
    sequences = [sequence[:12] for sequence in make_models.token_sequences()]
    with tempfile.TemporaryDirectory() as scratch:
        trials = [(Path(scratch) / str(seed), *model(ggml, Path(scratch) / str(seed), sequences, seed)) for seed in SEEDS]
        folder, tensors, margin = max(trials, key=lambda trial: trial[2])
        shutil.copyfile(folder / "file.gguf", output / "mixtral.gguf")
    save_file(tensors, output / "expected.safetensors")
    (output / "input.json").write_text(json.dumps({"sequences": sequences}) + "\n")
    print(f"smallest margin {margin:.1e}")
    make_ladder.describe(output / "mixtral.gguf")


if __name__ == "__main__":
    main()
