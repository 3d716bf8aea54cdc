"""A model at several precisions, as GGUF: FOLDER/bf16.gguf, q8_0.gguf, q4_0.gguf, q4_k_m.gguf.

usage: make_ladder.py [--model samples/olmoe-tiny] -o FOLDER [bf16 q8_0 q4_0 q4_k_m]

bf16 is what make_gguf.py writes. q8_0 and q4_0 quantise every matrix of it but routers, by the package gguf; a row that is no
multiple of 32 stays as it is. q4_k_m is llama.cpp's own mix, by `llama_model_quantize` of the package llama-cpp-python: where a
row is no multiple of 256 it falls back to another type. The types of all matrices are printed. No quantiser touches routers
(ffn_gate_inp), so experts change hands by what reaches them alone.
"""
import argparse
from collections import defaultdict
from pathlib import Path

import gguf
import numpy as np
import torch

import make_gguf

KINDS = gguf.GGMLQuantizationType
BY_PACKAGE = {"q8_0": KINDS.Q8_0, "q4_0": KINDS.Q4_0}
ROUTER = "ffn_gate_inp"


def copy_field(writer, field):
    kind = field.types[0]
    writer.add_key_value(field.name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)


def by_package(source, path, kind):
    """`source`, in bf16, with its matrices as `kind`."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, reader.get_field("general.architecture").contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            copy_field(writer, field)
    block = gguf.GGML_QUANT_SIZES[kind][0]
    for tensor in reader.tensors:
        values = np.array(tensor.data)
        if tensor.tensor_type == KINDS.BF16 and ROUTER not in tensor.name and int(tensor.shape[0]) % block == 0:
            plain = torch.from_numpy(values).view(torch.bfloat16).float().numpy()
            writer.add_tensor(tensor.name, gguf.quants.quantize(plain, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, values, raw_dtype=tensor.tensor_type)
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
    parser.add_argument("types", nargs="*", default=["bf16", *BY_PACKAGE, "q4_k_m"])
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
            parser.error(f"expected bf16, q8_0, q4_0 or q4_k_m, found {name}")
        describe(path)


if __name__ == "__main__":
    main()
