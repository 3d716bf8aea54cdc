"""A model at several precisions, as GGUF: FOLDER/bf16.gguf, q8_0.gguf, q4_0.gguf, q4_k_m.gguf; and with routers of chance.

usage: make_ladder.py [--model samples/olmoe-tiny] -o FOLDER [bf16 q8_0 q4_0 q4_k_m rerouted]

bf16 is what make_gguf.py writes. q8_0 and q4_0 quantise every matrix of it but routers, by the package gguf; a row that is no
multiple of 32 stays as it is. q4_k_m is llama.cpp's own mix, by `llama_model_quantize` of the package llama-cpp-python: where a
row is no multiple of 256 it falls back to another type. The types of all matrices are printed. No quantiser touches routers
(ffn_gate_inp), so experts change hands by what reaches them alone. rerouted is bf16 with routers drawn anew, of the same mean and spread.
"""
import argparse
import zlib
from collections import defaultdict
from pathlib import Path

import gguf
import numpy as np
import torch

import make_gguf

KINDS = gguf.GGMLQuantizationType
ROUTER = "ffn_gate_inp"


def copy_field(writer, field):
    kind = field.types[0]
    writer.add_key_value(field.name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)


def plain(values):
    """bf16 as f32."""
    return torch.from_numpy(values).view(torch.bfloat16).float()


def quantised(kind):
    block = gguf.GGML_QUANT_SIZES[kind][0]

    def change(name, values, stored):
        if stored != KINDS.BF16 or ROUTER in name or plain(values).shape[-1] % block != 0:
            return values, stored
        return gguf.quants.quantize(plain(values).numpy(), kind), kind
    return change


def rerouted(name, values, stored):
    if ROUTER not in name:
        return values, stored
    own = plain(values)
    drawn = own.mean() + own.std() * torch.randn(own.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    return drawn.bfloat16().view(torch.uint8).numpy(), stored


BY_PACKAGE = {"q8_0": quantised(KINDS.Q8_0), "q4_0": quantised(KINDS.Q4_0), "rerouted": rerouted}


def by_package(source, path, change):
    """`source`, in bf16, with its tensors changed: (name, values, type) -> (values, type)."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, reader.get_field("general.architecture").contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            copy_field(writer, field)
    for tensor in reader.tensors:
        values, kind = change(tensor.name, np.array(tensor.data), tensor.tensor_type)
        writer.add_tensor(tensor.name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def by_llama(source, path):
    import llama_cpp

    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    options.nthread = 1
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(path).encode(), options)
    if status != 0:
        raise SystemExit(f"llama_model_quantize of {source} ended with {status}")


def describe(path):
    """The file's size, and which matrices have which type and rows."""
    found = defaultdict(set)
    for tensor in gguf.GGUFReader(path).tensors:
        if len(tensor.shape) > 1:
            name = tensor.name.removesuffix(".weight").split(".")[-1]
            found[tensor.tensor_type.name].add(f"{name} ({int(tensor.shape[0])})")
    print(f"{path}: {path.stat().st_size} bytes")
    for kind, names in sorted(found.items()):
        print(f"  {kind}: {', '.join(sorted(names))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*", default=["bf16", "q8_0", "q4_0", "q4_k_m"])
    parser.add_argument("--model", type=Path, default=make_gguf.ROOT / "samples/olmoe-tiny")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    source = args.output / "bf16.gguf"
    if "bf16" in args.types or not source.exists():
        make_gguf.write(args.model, source)
    for name in args.types:
        path = args.output / f"{name}.gguf"
        if name in BY_PACKAGE:
            by_package(source, path, BY_PACKAGE[name])
        elif name == "q4_k_m":
            by_llama(source, path)
        elif name != "bf16":
            parser.error(f"expected bf16, q8_0, q4_0, q4_k_m or rerouted, found {name}")
        describe(path)


if __name__ == "__main__":
    main()
