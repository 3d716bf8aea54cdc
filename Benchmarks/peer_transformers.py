"""transformers as a peer: one model in float32 whose experts are computed in every way the library has."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import reference  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

EXPERTS = ("eager", "grouped_mm", "batched_mm")
NAME = f"transformers {transformers.__version__}, torch {torch.__version__}, float32"


class Peer:
    def __init__(self, folder, threads):
        self.model = reference.load_model(folder, attention="sdpa", threads=threads)
        self.vocabulary = self.model.config.get_text_config().vocab_size

    def measure(self, experts, kind, documents, decode):
        """Tokens per second; documents are lists of ids."""
        self.model.set_experts_implementation(experts)
        return self.decode(documents[0], decode) if kind == "decode" else self.prefill(documents, keep=1 if kind == "capture" else 0)

    @torch.inference_mode()
    def prefill(self, documents, keep):
        began = time.perf_counter()
        for ids in documents:
            self.model(torch.tensor([ids]), use_cache=True, logits_to_keep=keep)
        return sum(map(len, documents)) / (time.perf_counter() - began)

    @torch.inference_mode()
    def decode(self, ids, count):
        past = self.model(torch.tensor([ids]), use_cache=True, logits_to_keep=1).past_key_values
        step = torch.tensor([ids[-1:]])
        began = time.perf_counter()
        for _ in range(count):
            result = self.model(step, past_key_values=past, use_cache=True)
            past, step = result.past_key_values, result.logits[:, -1:].argmax(-1)
        return count / (time.perf_counter() - began)
