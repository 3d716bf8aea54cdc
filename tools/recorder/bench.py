"""What recording costs: tokens a second of a model of transformers with and without the recorder, in turns, in one process.

usage: python bench.py [--repeats 12] [--threads 1] [--layers 8] [--hidden 512] [--experts 64] [--wall]

Seconds are those of the processor (all threads), so that other programs on the machine count for nothing; --wall takes those of the clock.
The model has OLMoE's shape and random weights. Each pair runs the same tokens without and with the recorder, in an order that changes from
pair to pair; the ratio of a pair is the recorder's tokens a second over those without. Printed are medians and quartiles over the pairs.
"""
import argparse
import inspect
import os
import statistics
import tempfile
import time

import torch
import transformers

from moetop_record import trace

CLOCK = time.process_time


def model_of(asked):
    config = transformers.OlmoeConfig(
        vocab_size=8192, hidden_size=asked.hidden, intermediate_size=asked.hidden // 2, num_hidden_layers=asked.layers, num_attention_heads=8,
        num_key_value_heads=8, num_experts=asked.experts, num_experts_per_tok=8, max_position_embeddings=4096)
    torch.manual_seed(0)
    return transformers.OlmoeForCausalLM(config).eval()


def read(model, ids):
    """Seconds of a forward pass over ids [batch, length]."""
    start = CLOCK()
    model(ids, use_cache=False)
    return CLOCK() - start


def generate(model, ids, count=32):
    """Seconds of `count` generated tokens, one at a time behind a cache; reading ids is not timed."""
    out = model(ids, use_cache=True)
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    cache = getattr(out, name, None) or out.past_key_values
    start = CLOCK()
    for _ in range(count):
        out = model(out.logits[:, -1:].argmax(-1), **{name: cache}, use_cache=True)
    return CLOCK() - start


def pairs(model, work, tokens, level, repeats):
    """(tokens a second without, with, ratio) of each pair."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats + 1):
            seconds = {}
            for recorded in ((False, True), (True, False))[repeat % 2]:
                if recorded:
                    with trace(model, os.path.join(folder, f"{repeat}.db"), record=level, hash_weights="none"):
                        seconds[True] = work(model)
                else:
                    seconds[False] = work(model)
            if repeat:    # The first pair warms up.
                found.append((tokens / seconds[False], tokens / seconds[True], seconds[False] / seconds[True]))
    return found


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("repeats", 12), ("threads", 1), ("layers", 8), ("hidden", 512), ("experts", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--wall", action="store_true")
    asked = parser.parse_args()
    global CLOCK
    CLOCK = time.perf_counter if asked.wall else time.process_time
    torch.set_num_threads(asked.threads)
    transformers.logging.set_verbosity_error()
    model = model_of(asked)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{parameters / 1e6:.0f} M parameters, {asked.layers} layers, {asked.experts} experts, top-8, f32, {asked.threads} threads, {asked.repeats} pairs, "
          f"torch {torch.__version__}, transformers {transformers.__version__}")
    print("| work | recorded | tokens/s without | tokens/s with | ratio, median | quartiles |\n|---|---|---|---|---|---|")
    text, batch = torch.randint(8192, (1, 512)), torch.randint(8192, (4, 32))
    for words, work, tokens in (("reads 512 tokens", lambda model: read(model, text), 512), ("generates 32 tokens", lambda model: generate(model, text[:, :64]), 32),
                                ("generates 4 x 32 tokens", lambda model: generate(model, batch), 128)):
        for level in ("weights", "full"):
            found = pairs(model, work, tokens, level, asked.repeats)
            without, recorded, ratio = (statistics.median(column) for column in zip(*found))
            low, _, high = statistics.quantiles([one[2] for one in found], n=4)
            print(f"| {words} | {level} | {without:.0f} | {recorded:.0f} | {ratio:.3f} | {low:.3f} to {high:.3f} |", flush=True)


if __name__ == "__main__":
    main()
