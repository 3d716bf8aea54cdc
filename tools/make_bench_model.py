"""A model of OLMoE-1B-7B's true shape with random weights, as GGUF: something to time and to weigh, not to read.

usage: make_bench_model.py -o FILE.gguf [--type q4_k_m|q8_0] [--layers 16] [--seed 0]

16 layers of 64 experts (top-8, width 1024), hidden 2048, 16 heads, vocabulary 50,304: 6.9 G parameters, about 4.2 GB as q4_k_m
and 7.4 GB as q8_0. Blocks are random bytes with scales that keep values near +-0.05. q4_k_m follows llama.cpp's mix: Q6_K for
the output head, and for attn_v and ffn_down in the first and last eighth of the layers and every third one between; Q4_K for
the rest. Routers and norms are f32. There is no vocabulary, so the model is run with --tokens.
"""
import argparse

import gguf
import numpy as np

HIDDEN, WIDTH, EXPERTS, TOP_K, HEADS, VOCABULARY, CONTEXT = 2048, 1024, 64, 8, 16, 50304, 4096
POOL_BLOCKS = 1 << 16


def half(values):
    return np.asarray(values, dtype=np.float16).view(np.uint8).reshape(len(values), 2)


class Blocks:
    """A pool of random blocks of one type, read round and round."""

    def __init__(self, kind, rng):
        n, self.kind, self.place = POOL_BLOCKS, kind, 0
        raw = lambda width: rng.integers(0, 256, (n, width), dtype=np.uint8)  # noqa: E731
        spread = lambda scale: half(scale * rng.uniform(0.8, 1.2, n))         # noqa: E731
        if kind == gguf.GGMLQuantizationType.Q4_K:
            self.pool = np.concatenate([spread(1.6e-4), spread(1.2e-3), raw(12), raw(128)], axis=1)
        elif kind == gguf.GGMLQuantizationType.Q6_K:
            self.pool = np.concatenate([raw(192), rng.integers(-64, 64, (n, 16), dtype=np.int8).view(np.uint8), spread(2.5e-5)], axis=1)
        else:
            self.pool = np.concatenate([spread(4e-4), raw(32)], axis=1)

    def take(self, shape):
        """Bytes of a tensor of this shape, rows last."""
        elements, size = gguf.GGML_QUANT_SIZES[self.kind]
        count = int(np.prod(shape)) // elements
        order = (np.arange(count) + self.place) % len(self.pool)
        self.place += count
        return self.pool[order].reshape(*shape[:-1], shape[-1] // elements * size)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("-o", "--out", required=True)
    ap.add_argument("--type", choices=("q4_k_m", "q8_0"), default="q4_k_m")
    ap.add_argument("--layers", type=int, default=16)
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    rng = np.random.default_rng(args.seed)
    kinds = gguf.GGMLQuantizationType
    pools = {k: Blocks(k, rng) for k in ((kinds.Q4_K, kinds.Q6_K) if args.type == "q4_k_m" else (kinds.Q8_0,))}
    usual = kinds.Q4_K if args.type == "q4_k_m" else kinds.Q8_0
    finer = kinds.Q6_K if args.type == "q4_k_m" else kinds.Q8_0
    writer = gguf.GGUFWriter(args.out, "olmoe", use_temp_file=False)
    writer.add_name(f"OLMoE shape, random, {args.type}")
    writer.add_block_count(args.layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(TOP_K)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")
    parts = []

    def add(name, shape, kind=None):
        parts.append((name, shape, kind))
        if kind is None:
            writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * int(np.prod(shape)))
        else:
            elements, size = gguf.GGML_QUANT_SIZES[kind]
            row = shape[-1] // elements * size
            writer.add_tensor_info(name, (*shape[:-1], row), np.dtype(np.uint8), int(np.prod(shape[:-1])) * row, raw_dtype=kind)

    add("token_embd.weight", (VOCABULARY, HIDDEN), usual)
    add("output.weight", (VOCABULARY, HIDDEN), finer)
    add("output_norm.weight", (HIDDEN,))
    for layer in range(args.layers):
        eighth = args.layers // 8
        more = finer if layer < eighth or layer >= args.layers - eighth or (layer - eighth) % 3 == 2 else usual
        b = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm"):
            add(b + name + ".weight", (HIDDEN,))
        for name in ("attn_q", "attn_k", "attn_output"):
            add(b + name + ".weight", (HIDDEN, HIDDEN), usual)
        add(b + "attn_v.weight", (HIDDEN, HIDDEN), more)
        add(b + "ffn_gate_inp.weight", (EXPERTS, HIDDEN))
        for name in ("ffn_gate_exps", "ffn_up_exps"):
            add(b + name + ".weight", (EXPERTS, WIDTH, HIDDEN), usual)
        add(b + "ffn_down_exps.weight", (EXPERTS, HIDDEN, WIDTH), more)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, shape, kind in parts:
        if kind is not None:
            writer.write_tensor_data(pools[kind].take(shape))
        elif name.endswith("ffn_gate_inp.weight"):
            writer.write_tensor_data(rng.normal(0, 0.05, shape).astype(np.float32))
        else:
            writer.write_tensor_data(np.ones(shape, dtype=np.float32))
    writer.close()
    print(f"{args.out}: {sum(int(np.prod(s)) for _, s, _ in parts):,} parameters")


if __name__ == "__main__":
    main()
