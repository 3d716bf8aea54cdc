"""The reference engine: a Hugging Face model folder run by transformers in float32 on the CPU.

compare_sample.py, make_expected.py and Benchmarks/peer_transformers.py all stand on these few functions, so that
"what transformers says" means the same thing in each.
"""
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

SCORED_TOKENS = 512

# Model types that are published with another's code.
PUBLISHED_AS = {"kimi_k2": "deepseek_v3", "qwen3_omni_moe_text": "qwen3_moe", "minimax_m3": "minimax_m3_vl_text"}


# Text models that transformers has, and does not find by their type.
CLASSES = {"mistral4": "Mistral4ForCausalLM", "minimax_m3_vl_text": "MiniMaxM3VLForCausalLM"}


def model_class(config):
    """The class of the whole model: of text alone, or of a checkpoint that sees too."""
    if config.model_type in CLASSES:
        return getattr(transformers, CLASSES[config.model_type])
    auto = transformers.AutoModelForCausalLM if config.get_text_config() is config else transformers.AutoModelForImageTextToText
    return auto._model_mapping[type(config)]


def load_model(folder, experts="eager", attention="eager", threads=2):
    """The causal language model of a folder, float32, in evaluation mode."""
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    settings = json.loads((Path(folder) / "config.json").read_text())
    code = PUBLISHED_AS.get(settings.pop("model_type"))
    config = transformers.AutoConfig.for_model(code, **settings) if code else transformers.AutoConfig.from_pretrained(folder)
    return model_class(config).from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation=attention, experts_implementation=experts).eval()


def read_sequences(path):
    """Token id sequences of a JSON file: [ids...], [[ids...], ...] or {"sequences": [[ids...] or {"tokens": [...]}, ...]}."""
    found = json.loads(Path(path).read_text())
    found = found["sequences"] if isinstance(found, dict) else found
    if found and isinstance(found[0], int):
        found = [found]
    return [s["tokens"] if isinstance(s, dict) else s for s in found]


@dataclass
class Document:
    """One labelled text as it is scored: BOS and at most SCORED_TOKENS tokens."""

    name: str
    domain: str
    ids: list[int]      # with BOS in front
    bytes: int          # of the scored tokens


def token_bytes(tokenizer):
    """Bytes each id of a byte-level vocabulary stands for; special tokens stand for none."""
    special = set(tokenizer.all_special_ids)
    return [0 if i in special else len(t) for i, t in enumerate(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))]


def read_corpus(path, folder):
    """Documents of a corpus of lines {"text", "domain"}, tokenised with the model's own tokenizer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    lengths = token_bytes(tokenizer)
    documents = []
    with open(path) as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            ids = tokenizer(row["text"]).input_ids
            if ids[0] != tokenizer.bos_token_id:
                raise SystemExit(f"{folder}: the tokenizer does not put BOS before a text")
            ids = ids[:SCORED_TOKENS + 1]
            documents.append(Document(f"{row['domain']}-{number}", row["domain"], ids, sum(lengths[i] for i in ids[1:])))
    return documents


@torch.inference_mode()
def nats(model, ids):
    """Total negative log likelihood of ids[1:], each from all before it."""
    logits = model(torch.tensor([ids[:-1]])).logits[0].double()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()


def domain_bits_per_byte(documents, document_nats):
    """{domain: bits per byte}: sums over the documents of a domain, then the ratio."""
    total, size = {}, {}
    for d, n in zip(documents, document_nats, strict=True):
        total[d.domain] = total.get(d.domain, 0.0) + n
        size[d.domain] = size.get(d.domain, 0) + d.bytes
    return {k: total[k] / math.log(2) / size[k] for k in total}


@torch.inference_mode()
def greedy(model, ids, count):
    """`count` greedy tokens after `ids`, and for each the gap between the two best logits."""
    out, gaps, past, step = [], [], None, torch.tensor([ids])
    for _ in range(count):
        result = model(step, past_key_values=past, use_cache=True, logits_to_keep=1)
        past = result.past_key_values
        best = result.logits[0, -1].topk(2)
        out.append(best.indices[0].item())
        gaps.append((best.values[0] - best.values[1]).item())
        step = best.indices[:1][None]
    return out, gaps
