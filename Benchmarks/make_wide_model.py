"""A model that routes much and computes little: to record traces of large shapes in minutes and to see how the screens bear them.

usage: make_wide_model.py -o FOLDER [--layers 64] [--experts 512] [--top-k 8] [--hidden 16] [--tokenizer samples/olmoe-tiny] [--tokens N]
                          [--sequences 64] [--seed 0]

Writes an OLMoE checkpoint of random weights (bf16) with the tokenizer of a small model, and `tokens.json` beside it: token ids for
`moetop run FOLDER --tokens FOLDER/tokens.json`, N of them in texts of equal length with a label `domain`.
"""
import argparse
import json
import shutil
import struct
from pathlib import Path

import numpy as np


def tensors(args, vocabulary):
    """Names and shapes, in the order of the file."""
    hidden, layers, experts = args.hidden, args.layers, args.experts
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(layers):
        start = f"model.layers.{layer}."
        yield start + "input_layernorm.weight", (hidden,)
        yield start + "post_attention_layernorm.weight", (hidden,)
        for name in ("q", "k", "v", "o"):
            yield f"{start}self_attn.{name}_proj.weight", (hidden, hidden)
        for name in ("q", "k"):
            yield f"{start}self_attn.{name}_norm.weight", (hidden,)
        yield start + "mlp.gate.weight", (experts, hidden)
        for expert in range(experts):
            for name, shape in (("gate", (8, hidden)), ("up", (8, hidden)), ("down", (hidden, 8))):
                yield f"{start}mlp.experts.{expert}.{name}_proj.weight", shape
    yield "model.norm.weight", (hidden,)


def write_weights(args, vocabulary, path):
    rng = np.random.default_rng(args.seed)
    header, place = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors(args, vocabulary):
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors(args, vocabulary):
            values = np.ones(shape) if "norm" in name else rng.normal(0, 2 if ".gate." in name else 0.3, shape)
            file.write((values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--layers", type=int, default=64)
    parser.add_argument("--experts", type=int, default=512)
    parser.add_argument("--top-k", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--tokenizer", default=str(Path(__file__).resolve().parent.parent / "samples/olmoe-tiny"))
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder, source = Path(args.output), Path(args.tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    vocabulary = config["vocab_size"]
    config.update(hidden_size=args.hidden, intermediate_size=8, num_hidden_layers=args.layers, num_experts=args.experts,
                  num_experts_per_tok=args.top_k, num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=1 << 20)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(source / name, folder / name)
    write_weights(args, vocabulary, folder / "model.safetensors")
    rng = np.random.default_rng(args.seed + 1)
    length = max(1, args.tokens // args.sequences)
    ids = 3 + (rng.zipf(1.2, (args.sequences, length)) - 1) % (vocabulary - 3)
    domains = ["code", "law", "news", "poems"]
    (folder / "tokens.json").write_text(json.dumps({
        "sequences": ids.tolist(), "labels": [{"domain": domains[i % 4]} for i in range(args.sequences)]}))


if __name__ == "__main__":
    main()
