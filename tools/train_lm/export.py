"""Write a training state as a folder that transformers' OlmoeForCausalLM loads unchanged, and read it back.

usage: export.py RUN TOKENIZER OUT [--check]

Weights are bfloat16 under OLMoE's names; the output matrix is tied to the embedding and not stored. --check loads OUT
with transformers and compares its float32 logits with this code's.
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from model import Config, LanguageModel


def tensors(model):
    """Parameters under transformers' names: one matrix per projection and expert."""
    out = {}
    for name, p in model.named_parameters():
        p = p.detach()
        if name.endswith("mlp.gate_up"):
            for e, both in enumerate(p):
                gate, up = both.chunk(2, 0)
                out[f"model.{name[:-7]}experts.{e}.gate_proj.weight"] = gate
                out[f"model.{name[:-7]}experts.{e}.up_proj.weight"] = up
        elif name.endswith("mlp.down"):
            for e, down in enumerate(p):
                out[f"model.{name[:-4]}experts.{e}.down_proj.weight"] = down
        else:
            out[f"model.{name}"] = p
    return {k: v.to(torch.bfloat16).contiguous() for k, v in out.items()}


def olmoe_config(c, tokenizer):
    """config.json in the form transformers 5 writes, readable by 4 too (`rope_theta`)."""
    return {"architectures": ["OlmoeForCausalLM"], "model_type": "olmoe", "dtype": "bfloat16",
            "vocab_size": c.vocab_size, "hidden_size": c.hidden_size, "intermediate_size": c.intermediate_size,
            "num_hidden_layers": c.num_hidden_layers, "num_attention_heads": c.num_attention_heads,
            "num_key_value_heads": c.num_attention_heads, "num_experts": c.num_experts,
            "num_experts_per_tok": c.num_experts_per_tok, "norm_topk_prob": False, "hidden_act": "silu", "attention_bias": False,
            "attention_dropout": 0.0, "clip_qkv": None, "rms_norm_eps": c.rms_norm_eps, "rope_theta": c.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": c.rope_theta},
            "max_position_embeddings": c.max_position_embeddings, "initializer_range": c.initializer_range,
            "tie_word_embeddings": True, "use_cache": True, "output_router_logits": False, "router_aux_loss_coef": 0.01,
            "bos_token_id": tokenizer.token_to_id("<|bos|>"), "eos_token_id": tokenizer.token_to_id("<|endoftext|>"),
            "pad_token_id": tokenizer.token_to_id("<|pad|>")}


def load_exported(folder):
    """The exported weights in this code's model, as float32."""
    stored = json.loads((Path(folder) / "config.json").read_text())
    config = Config(**{k: stored[k] for k in Config.__dataclass_fields__})
    model = LanguageModel(config)
    flat = {k.removeprefix("model."): v.float() for k, v in load_file(Path(folder) / "model.safetensors").items()}
    state = {}
    for name in model.state_dict():
        if name.endswith("mlp.gate_up"):
            at = f"{name[:-7]}experts."
            state[name] = torch.stack([torch.cat((flat[f"{at}{e}.gate_proj.weight"], flat[f"{at}{e}.up_proj.weight"]))
                                       for e in range(config.num_experts)])
        elif name.endswith("mlp.down"):
            state[name] = torch.stack([flat[f"{name[:-4]}experts.{e}.down_proj.weight"] for e in range(config.num_experts)])
        else:
            state[name] = flat[name]
    model.load_state_dict(state)
    return model.eval()


@torch.no_grad()
def largest_difference(folder):
    """Largest difference of float32 logits between transformers and model.py on a few hundred tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    text = "def add(a, b):\n    return a + b\n\nThe quick brown fox. Compute 12 + 30.\n" * 8
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt").input_ids
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits
    return (theirs - load_exported(folder)(ids)[0]).abs().max().item()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("run", type=Path)
    ap.add_argument("tokenizer", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    config = Config.load(args.run / "config.json")
    model = LanguageModel(config)
    state = torch.load(args.run / "state.pt", weights_only=True)
    model.load_state_dict(state["model"])
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors(model), args.out / "model.safetensors", metadata={"format": "pt"})
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    written = olmoe_config(config, tokenizer)
    (args.out / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    generation = {k: written[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id")}
    (args.out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(args.tokenizer / name, args.out / name)
    size = sum(p.stat().st_size for p in args.out.iterdir())
    print(f"{args.out}: after {state['tokens']:,} tokens, {size / 1e6:.2f} MB")
    if args.check:
        print(f"largest difference of logits to transformers: {largest_difference(args.out):.2e}")


if __name__ == "__main__":
    main()
