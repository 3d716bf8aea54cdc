"""A model of a published one's true shape with random weights: something to time and to weigh, not to read.

usage: make_bench_model.py -o FILE.gguf [--shape olmoe|qwen3|gpt-oss|deepseek-v2-lite] [--type q4_k_m|q8_0|mxfp4|bf16|f32] [--layers N] [--fit BYTES]
                           [--seed 0]
       make_bench_model.py -o FOLDER --type bf16|f32 [--shape olmoe|qwen3] [--sparse]

OLMoE-1B-7B (the default) has 16 layers of 64 experts (top-8, width 1024), hidden 2048, 16 heads, vocabulary 50,304: 6.9 G parameters, about
4.2 GB as q4_k_m and 7.4 GB as q8_0. The other shapes are Qwen3-30B-A3B, gpt-oss-20b and DeepSeek-V2-Lite (bench_shapes.py); --layers cuts them,
--fit to so many that the weights are no more than BYTES. llama.cpp tells by the number of
DeepSeek-V2-Lite's layers that its queries are not compressed: of fewer than 26 it has to be told (compare_llama.py --override).
Blocks are random bytes with scales that keep values near +-0.05. q4_k_m follows llama.cpp's mix: Q6_K for the output head, and for attn_v and
ffn_down in the first and last eighth of the layers and every third one between; Q4_K for the rest; Q8_0 and Q5_0 for rows that are no
multiple of 256. mxfp4 is that of gpt-oss: experts in MXFP4, the rest in Q8_0. Routers and norms are f32. There is no vocabulary, so the
model is run with --tokens. A folder is a Hugging Face checkpoint, sparse: as long as it would be, and without bytes on disk.
Beside the model OUT.work.json says what one token costs: multiply-adds of products, bytes of weights that it reads.
"""
import argparse
import json
import math
from pathlib import Path

import gguf
import numpy as np

from bench_shapes import SHAPES

# A prime, so that neither rows nor experts repeat in step.
POOL_BLOCKS = 65521
KINDS = gguf.GGMLQuantizationType
# Numbers of these types are made 32 at a time, as blocks are.
PLAIN = {KINDS.BF16: 2, KINDS.F32: 4}
TYPES = {"q4_k_m": (KINDS.Q4_K, KINDS.Q6_K), "q8_0": (KINDS.Q8_0,) * 2, "mxfp4": (KINDS.Q8_0,) * 2, "bf16": (KINDS.BF16,) * 2,
         "f32": (KINDS.F32,) * 2}
NARROW = {KINDS.Q4_K: KINDS.Q5_0, KINDS.Q6_K: KINDS.Q8_0}
PUBLISHED = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
             "attn_k_norm": "self_attn.k_norm", "ffn_gate_inp": "mlp.gate"}
OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight", "output_norm.weight": "model.norm.weight"}


def half(values):
    return np.asarray(values, dtype=np.float16).view(np.uint8).reshape(len(values), 2)


class Blocks:
    """A pool of random blocks of one type, read round and round."""

    def __init__(self, kind, rng):
        n, self.kind, self.place = POOL_BLOCKS, kind, 0
        raw = lambda width: rng.integers(0, 256, (n, width), dtype=np.uint8)  # noqa: E731
        spread = lambda scale: half(scale * rng.uniform(0.8, 1.2, n))         # noqa: E731
        self.elements, self.size = (32, 32 * PLAIN[kind]) if kind in PLAIN else gguf.GGML_QUANT_SIZES[kind]
        if kind in PLAIN:
            bits = rng.normal(0, 0.02, (n, 32)).astype(np.float32).view(np.uint32)
            self.pool = ((bits >> 16).astype(np.uint16) if kind == KINDS.BF16 else bits).view(np.uint8)
        elif kind == KINDS.Q4_K:
            self.pool = np.concatenate([spread(1.6e-4), spread(1.2e-3), raw(12), raw(128)], axis=1)
        elif kind == KINDS.Q6_K:
            self.pool = np.concatenate([raw(192), rng.integers(-64, 64, (n, 16), dtype=np.int8).view(np.uint8), spread(2.5e-5)], axis=1)
        elif kind == KINDS.MXFP4:
            self.pool = np.concatenate([np.full((n, 1), 120, dtype=np.uint8), raw(16)], axis=1)
        elif kind == KINDS.Q5_0:
            self.pool = np.concatenate([spread(2.5e-3), raw(20)], axis=1)
        else:
            self.pool = np.concatenate([spread(4e-4), raw(32)], axis=1)

    def take(self, shape):
        """Bytes of a tensor of this shape, rows last."""
        count = math.prod(shape) // self.elements
        order = (np.arange(count) + self.place) % len(self.pool)
        self.place += count
        return self.pool[order].reshape(*shape[:-1], shape[-1] // self.elements * self.size)


def kind_of(tensor, named, layers):
    """The stored type of a tensor; None for f32 that is no matrix of the engine's."""
    if tensor.role in ("ones", "small", "router"):
        return None
    usual, finer = TYPES[named]
    if named == "mxfp4" and "_exps." in tensor.name:
        return KINDS.MXFP4
    kind = finer if tensor.role == "finer" else usual
    if tensor.role == "value":
        layer, eighth = int(tensor.name.split(".")[1]), layers // 8
        kind = finer if layer < eighth or layer >= layers - eighth or (layer - eighth) % 3 == 2 else usual
    return NARROW.get(kind, kind) if tensor.shape[-1] % 256 else kind


def row_bytes(kind, columns):
    elements, size = (1, 4) if kind is None else gguf.GGML_QUANT_SIZES[kind]
    return columns // elements * size


def stored_bytes(tensor, kind):
    return math.prod(tensor.shape[:-1]) * row_bytes(kind, tensor.shape[-1])


def size_of(shape, named, layers):
    return sum(stored_bytes(tensor, kind_of(tensor, named, layers)) for tensor in shape.tensors(layers))


def plain(tensor, rng):
    if tensor.role == "ones":
        return np.ones(tensor.shape, dtype=np.float32)
    return rng.normal(0, 0.05 if tensor.role == "router" else 0.02, tensor.shape).astype(np.float32)


def work(name, named, layers, tensors, kinds):
    """What a token costs: products with weights, products among tokens, bytes of weights that it reads."""
    matrices = [(t, k) for t, k in zip(tensors, kinds) if len(t.shape) > 1 and t.role != "small"]
    head = next(t for t in tensors if t.role == "finer")
    last = f"blk.{layers - 1}.ffn_"
    return {
        "shape": name, "type": named, "layers": layers, "of_layers": SHAPES[name].layers, "parameters": sum(t.count for t in tensors),
        "bytes": sum(stored_bytes(t, k) for t, k in zip(tensors, kinds)),
        "multiply_adds": round(sum(t.count * t.share for t, _ in matrices if t is not head)), "head_multiply_adds": head.count,
        "last_experts_multiply_adds": round(sum(t.count * t.share for t, _ in matrices if t.name.startswith(last) and t.role != "router")),
        "attention": SHAPES[name].attention(layers),
        "read_bytes": round(sum(stored_bytes(t, k) * t.share for t, k in matrices))}


def write_file(path, shape, layers, title, tensors, kinds, pools, rng):
    writer = gguf.GGUFWriter(path, shape.architecture, use_temp_file=False)
    writer.add_name(title)
    writer.add_block_count(layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_expert_count(shape.experts)
    writer.add_expert_used_count(shape.top_k)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("none")
    if "attention.key_length" not in shape.keys:
        writer.add_key_length(shape.head_size)
        writer.add_value_length(shape.value_size)
    for key, value in shape.keys.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
        add(f"{shape.architecture}.{key}", value)
    for tensor, kind in zip(tensors, kinds):
        if kind is None:
            writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), 4 * tensor.count)
        else:
            stored = (*tensor.shape[:-1], row_bytes(kind, tensor.shape[-1]))
            writer.add_tensor_info(tensor.name, stored, np.dtype(np.uint8), math.prod(stored), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, kind in zip(tensors, kinds):
        writer.write_tensor_data(plain(tensor, rng) if kind is None else pools[kind].take(tensor.shape))
    writer.close()


def published(tensors):
    """(name, shape, tensor) as the Hugging Face checkpoint has them: each expert by itself."""
    for tensor in tensors:
        if tensor.name in OUTSIDE:
            yield OUTSIDE[tensor.name], tensor.shape, tensor
            continue
        _, layer, base, _ = tensor.name.split(".")
        before = f"model.layers.{layer}."
        if base in PUBLISHED:
            yield f"{before}{PUBLISHED[base]}.weight", tensor.shape, tensor
        else:
            for expert in range(tensor.shape[0]):
                yield f"{before}mlp.experts.{expert}.{base.split('_')[1]}_proj.weight", tensor.shape[1:], tensor


def write_folder(folder, shape, layers, tensors, kind, pools, rng, sparse):
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(
        hidden_size=shape.hidden, num_hidden_layers=layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        num_experts=shape.experts, num_experts_per_tok=shape.top_k, vocab_size=shape.vocabulary, max_position_embeddings=shape.context,
        rope_theta=shape.rope_base, rms_norm_eps=shape.epsilon, hidden_act="silu", attention_bias=False, tie_word_embeddings=False,
        torch_dtype="bfloat16" if kind == KINDS.BF16 else "float32", **shape.config)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    header, place, size = {"__metadata__": {"format": "pt"}}, 0, PLAIN[kind]
    parts = list(published(tensors))
    for name, form, _ in parts:
        end = place + size * math.prod(form)
        header[name], place = {"dtype": "BF16" if size == 2 else "F32", "shape": form, "data_offsets": [place, end]}, end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        if sparse:
            file.truncate(8 + len(text) + place)
            return
        for _, form, tensor in parts:
            if tensor.role in ("ones", "router"):
                values = plain(tensor, rng)
                file.write(((values.view(np.uint32) >> 16).astype(np.uint16) if size == 2 else values).tobytes())
            else:
                file.write(pools[kind].take(form).tobytes())


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("-o", "--out", required=True, type=Path)
    ap.add_argument("--shape", choices=SHAPES, default="olmoe")
    ap.add_argument("--type", choices=TYPES, default="q4_k_m")
    ap.add_argument("--layers", type=int)
    ap.add_argument("--fit", type=int)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--sparse", action="store_true")
    args = ap.parse_args()
    shape, rng = SHAPES[args.shape], np.random.default_rng(args.seed)
    layers = args.layers or shape.layers
    while args.fit and layers > 1 and size_of(shape, args.type, layers) > args.fit:
        layers -= 1
    tensors = list(shape.tensors(layers))
    is_file = args.out.suffix == ".gguf"
    if not is_file and (args.type not in ("bf16", "f32") or not shape.config):
        ap.error(f"a folder is of bf16 or f32, and of {' or '.join(n for n, s in SHAPES.items() if s.config)}; name a .gguf file")
    kinds = [kind_of(tensor, args.type, layers) for tensor in tensors]
    pools = {kind: Blocks(kind, rng) for kind in dict.fromkeys(kinds) if kind is not None}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if is_file:
        write_file(args.out, shape, layers, f"{args.shape} shape, random, {args.type}", tensors, kinds, pools, rng)
    else:
        write_folder(args.out, shape, layers, tensors, TYPES[args.type][0], pools, rng, args.sparse)
    cost = work(args.shape, args.type, layers, tensors, kinds)
    Path(f"{args.out}.work.json").write_text(json.dumps(cost, indent=1) + "\n")
    print(f"{args.out}: {cost['parameters']:,} parameters")


if __name__ == "__main__":
    main()
