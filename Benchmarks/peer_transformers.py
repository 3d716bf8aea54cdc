"""transformers as a peer: one model in float32 whose experts are computed in every way the library has.

`batched_mm` copies the weights of every expert that every token takes; it is left out where those copies are more than a sixteenth of the memory.
"""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import reference  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import machine  # noqa: E402

EXPERTS = ("eager", "grouped_mm", "batched_mm")
NAME = f"transformers {transformers.__version__}, torch {torch.__version__}, float32"


class Peer:
    def __init__(self, folder, threads):
        self.model = reference.load_model(folder, attention="sdpa", threads=threads)
        self.vocabulary = self.model.config.get_text_config().vocab_size

    def ways(self, kind, documents):
        """Implementations that are worth their memory."""
        expert = max(sum(4 * p[0].numel() for p in module.parameters(recurse=False) if p.dim() == 3) for module in self.model.modules())
        rows = 1 if kind == "decode" else max(map(len, documents))
        copies = rows * self.model.config.get_text_config().num_experts_per_tok * expert
        return [way for way in EXPERTS if way != "batched_mm" or 16 * copies < machine.memory()[0]]

    def measure(self, experts, kind, documents, decode):
        """Tokens per second; documents are lists of ids."""
        if kind == "decode":
            return self.decode(experts, documents[0], decode)
        self.model.set_experts_implementation(experts)
        return self.prefill(documents, keep=1 if kind == "capture" else 0)

    @torch.inference_mode()
    def prefill(self, documents, keep):
        began = time.perf_counter()
        for ids in documents:
            self.model(torch.tensor([ids]), use_cache=True, logits_to_keep=keep)
        return sum(map(len, documents)) / (time.perf_counter() - began)

    @torch.inference_mode()
    def decode(self, experts, ids, count):
        self.model.set_experts_implementation("grouped_mm")
        past = self.model(torch.tensor([ids]), use_cache=True, logits_to_keep=1).past_key_values
        self.model.set_experts_implementation(experts)
        step = torch.tensor([ids[-1:]])
        began = time.perf_counter()
        for _ in range(count):
            result = self.model(step, past_key_values=past, use_cache=True)
            past, step = result.past_key_values, result.logits[:, -1:].argmax(-1)
        return count / (time.perf_counter() - began)
