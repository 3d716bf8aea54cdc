"""Models whose answer to `moetop whatif` is known, because it was put there: Tests/Fixtures/planted/NAME, and texts.json for all of them.

usage: make_planted.py [-o Tests/Fixtures/planted] [--seed 0] [important harmless harmful]

OLMoE of one layer, 8 experts, 2 a token, weights that sum to 1. Attention adds nothing, so a token says by itself where it goes and
what comes next. Each expert is a table: token -> the token it believes in, or nothing (then all tokens are equally probable).
The router prefers two experts for a token, by turns, so that all have the same load; four of the 32 tokens are uncertain:
their logits hardly differ.

important  Tokens whose first expert is 5 are known to expert 5 alone, all others to every expert. Taking 5 away costs; taking away
           another costs nothing.
harmless   An uncertain token is known to every expert. A certain one is known to its own two, and the others believe in a wrong token.
           Any choice serves an uncertain token; another choice ruins a certain one.
harmful    The other way round: a certain token is known to every expert; an uncertain one to its own two, and the others believe
           in a wrong token.

Texts are chains: after a token comes the one it stands for in 8 of 10 places, else any. truth.json has what each model loses without an
expert, and by each other choice of all and of the uncertain decisions (of a redraw the mean over all pairs): by NumPy, from the tables.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ROOT = Path(__file__).parent.parent
TOKENS, EXPERTS, WIDTH = 32, 8, 64
UNCERTAIN = 4               # the last tokens
IMPORTANT = 5
TEXTS, LENGTH, KEPT = 24, 48, 0.8
GATE = 4.0                  # what opens the one hidden unit of a token


def silu(x):
    return x / (1 + np.exp(-x))


def router(rng):
    """[token, expert] logits. An uncertain token's own two are ahead by a little, each token by another."""
    logits = rng.uniform(-0.5, 0.5, (TOKENS, EXPERTS))
    for token in range(TOKENS):
        own = [token % EXPERTS, (token + 3) % EXPERTS]
        if token < TOKENS - UNCERTAIN:
            logits[token, own] = [4, 3]
        else:
            logits[token] /= 50
            logits[token, own] = 0.1 + 0.1 * (TOKENS - token) + np.array([0.05, 0])
    return logits


def beliefs(name, following, own):
    """[expert, token]: the token that follows, as an expert has it; -1: it has none."""
    known = np.tile(following, (EXPERTS, 1))
    wrong = np.roll(following, 1)
    for token in range(TOKENS):
        others = [e for e in range(EXPERTS) if e not in own[token]]
        is_uncertain = token >= TOKENS - UNCERTAIN
        if name == "important" and own[token][0] == IMPORTANT:
            known[[e for e in range(EXPERTS) if e != IMPORTANT], token] = -1
        if (name == "harmless" and not is_uncertain) or (name == "harmful" and is_uncertain):
            known[others, token] = wrong[token]
    return known


def tensors(logits, known):
    """Dimensions 0-31 of the stream say which token is read, 32-63 which one follows."""
    identity, zero = np.eye(TOKENS), np.zeros((TOKENS, TOKENS))
    reading = np.concatenate([identity, zero], axis=1)
    layer = "model.layers.0."
    named = {
        "model.embed_tokens.weight": reading,
        "lm_head.weight": np.concatenate([zero, identity], axis=1),
        "model.norm.weight": np.ones(WIDTH),
        layer + "input_layernorm.weight": np.ones(WIDTH),
        # The norm of one 1 among 64 numbers is 8.
        layer + "post_attention_layernorm.weight": np.full(WIDTH, 1 / 8),
        layer + "self_attn.q_norm.weight": np.ones(WIDTH),
        layer + "self_attn.k_norm.weight": np.ones(WIDTH),
        layer + "mlp.gate.weight": np.concatenate([logits.T, np.zeros((EXPERTS, TOKENS))], axis=1),
    }
    for projection in "qkvo":
        named[f"{layer}self_attn.{projection}_proj.weight"] = np.zeros((WIDTH, WIDTH))
    for expert in range(EXPERTS):
        down = np.zeros((WIDTH, TOKENS))
        for token, next_token in enumerate(known[expert]):
            if next_token >= 0:
                down[TOKENS + next_token, token] = 1 / silu(GATE)
        path = f"{layer}mlp.experts.{expert}."
        named |= {path + "gate_proj.weight": GATE * reading, path + "up_proj.weight": reading, path + "down_proj.weight": down}
    return {name: value.astype(np.float16) for name, value in named.items()}


CONFIG = {
    "architectures": ["OlmoeForCausalLM"], "model_type": "olmoe", "dtype": "float16", "vocab_size": TOKENS, "hidden_size": WIDTH,
    "intermediate_size": TOKENS, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4, "num_experts": EXPERTS,
    "num_experts_per_tok": 2, "norm_topk_prob": True, "hidden_act": "silu", "attention_bias": False, "clip_qkv": None,
    "rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "max_position_embeddings": 64,
    "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}

# What is left of a 1 behind the norm, and what an expert writes for a token that it knows.
READ = 1 / 8 / np.sqrt(1 / WIDTH + CONFIG["rms_norm_eps"])
WRITTEN = silu(GATE * READ) * READ * float(np.float16(1 / silu(GATE)))


def losses(known, chosen, weights):
    """[token, next] the loss of each token that may follow a token. `chosen`, `weights`: [token, experts taken]."""
    stream = np.zeros((TOKENS, WIDTH))
    stream[:, :TOKENS] = np.eye(TOKENS)
    for token in range(TOKENS):
        for expert, weight in zip(chosen[token], weights[token]):
            if known[expert, token] >= 0:
                stream[token, TOKENS + known[expert, token]] += weight * WRITTEN
    answers = (stream / np.sqrt((stream ** 2).mean(axis=1, keepdims=True) + CONFIG["rms_norm_eps"]))[:, TOKENS:]
    return np.log(np.exp(answers).sum(axis=1, keepdims=True)) - answers


def truth(logits, known, texts):
    """Loss as it is, and changes of it, in nats a scored token."""
    logits = logits.astype(np.float64) * READ
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    before, after = np.concatenate([np.stack([t[:-1], t[1:]], axis=1) for t in np.array(texts)]).T

    def loss(order, count=2, base=None, rows=None):
        """Of the first `count` experts of `order`; of `rows` only, where given, and `base` elsewhere."""
        chosen = order[:, :count]
        weights = np.take_along_axis(p, chosen, axis=1)
        own = losses(known, chosen, weights / weights.sum(axis=1, keepdims=True))
        return own if rows is None else np.where(rows[:, None], own, base)

    def mean(table):
        return float(table[before, after].mean())

    order = np.argsort(-logits, axis=1)
    base = loss(order)
    entropy = -(p * np.log(p)).sum(axis=1)
    read = np.sort(entropy[np.array(texts)].ravel())
    uncertain = entropy > read[int(np.ceil(0.95 * len(read))) - 1] + 1e-9
    pairs = [(a, b) for a in range(EXPERTS) for b in range(EXPERTS) if a < b]
    found = {"loss": mean(base), "uncertain": float(uncertain[np.array(texts)].mean()), "changes": {}}
    for expert in range(EXPERTS):
        without = np.array([[e for e in row if e != expert] for row in order])
        found["changes"][f"ffn.0:{expert}"] = mean(loss(without)) - found["loss"]
    for which, rows in [("uncertain", uncertain), ("all", np.ones(TOKENS, bool))]:
        swapped = order[:, [0, 2]]
        drawn = np.mean([loss(np.tile(pair, (TOKENS, 1)), base=base, rows=rows) for pair in pairs], axis=0)
        found["changes"] |= {
            f"redraw, {which}": mean(drawn) - found["loss"],
            f"swap, {which}": mean(loss(swapped, base=base, rows=rows)) - found["loss"],
            f"broadcast, {which}": mean(loss(order, EXPERTS, base, rows)) - found["loss"],
        }
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["important", "harmless", "harmful"])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "Tests/Fixtures/planted")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    following = rng.permutation(TOKENS)
    logits = router(rng).astype(np.float16)
    own = np.argsort(-logits, axis=1)[:, :2]
    texts = []
    for _ in range(TEXTS):
        text = [int(rng.integers(TOKENS))]
        while len(text) < LENGTH:
            text.append(int(following[text[-1]] if rng.random() < KEPT else rng.integers(TOKENS)))
        texts.append(text)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "texts.json").write_text(json.dumps({"sequences": texts}, separators=(",", ":")) + "\n")
    for name in args.names:
        folder = args.output / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
        known = beliefs(name, following, own)
        save_file(tensors(logits, known), folder / "model.safetensors")
        (folder / "truth.json").write_text(json.dumps(truth(logits, known, texts), indent=1) + "\n")
        print(f"{folder}: {(folder / 'model.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
