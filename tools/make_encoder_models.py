"""Tiny random encoder-decoder checkpoints, each with what transformers computes on it: Tests/Fixtures/models.

usage: make_encoder_models.py [NAME ...] [-o Tests/Fixtures/models]      (no name: all)

Beside the checkpoint: input.json with two pairs of token lists, and expected.safetensors with enc.<layer>.* and
dec.<layer>.* (router_logits, expert_ids, weights, block_in, block_out), encoder_hidden, decoder_hidden, logits, the ids
fed and the lengths. A dropped assignment keeps its expert with weight 0.

transformers 5.23 runs only the experts 0 and 1 of NLLB-MoE. Its block is replaced here by the published computation:
two experts a token, weights divided by the sum of what was not dropped, times one minus moe_token_dropout.
"""
import json
import shutil

import torch
import transformers
from safetensors.torch import save_file
from torch.nn.functional import one_hot

import make_models
from make_models import SEEDS, Model, fill

WIDTH = 32
NLLB = dict(vocab_size=64, d_model=WIDTH, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=24,
            encoder_attention_heads=4, decoder_attention_heads=2, num_experts=6, encoder_sparse_step=2, decoder_sparse_step=2,
            max_position_embeddings=64, moe_eval_capacity_token_fraction=0.34, pad_token_id=1, bos_token_id=0, eos_token_id=2,
            decoder_start_token_id=2)
SWITCH = dict(vocab_size=64, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=3, num_decoder_layers=2, num_heads=3, num_experts=5,
              expert_capacity=3, num_sparse_encoder_layers=1, num_sparse_decoder_layers=2, relative_attention_num_buckets=8,
              relative_attention_max_distance=16, decoder_start_token_id=0)
MODELS = {
    "nllb_moe": ("nllb-moe", NLLB),
    "nllb_moe-prioritized": ("nllb-moe", dict(NLLB, batch_prioritized_routing=True, router_bias=True, tie_word_embeddings=False)),
    "nllb_moe-fixed": ("nllb-moe", dict(NLLB, moe_eval_capacity_token_fraction=-1.0, expert_capacity=6, scale_embedding=False,
                                        normalize_router_prob_before_dropping=True)),
    "switch_transformers-untied": ("switch_transformers", dict(SWITCH, tie_word_embeddings=False, router_bias=True,
                                                               dense_act_fn="gelu_new", num_sparse_encoder_layers=3)),
}


def token_pairs(start, padding):
    """Two pairs of unlike lengths; a run of one token, and a padding token where the model has a meaning for it."""
    generator = torch.Generator().manual_seed(7)
    first, second = torch.randint(3, 64, (2, 40), generator=generator).tolist()
    second[5:9] = second[4:5] * 4
    if padding:
        second[12] = padding
    return [dict(encoder=first[:24], decoder=[start, *first[24:35]]), dict(encoder=second[:21], decoder=[start, *second[21:34]])]


def nllb_block(block, hidden, padding_mask=None):
    """The published computation of an NLLB-MoE block."""
    x = hidden.reshape(-1, hidden.shape[-1])
    _, kept, _ = block.router(x, padding_mask)
    kept = kept * (1 - block.experts.moe_token_dropout)
    out = torch.zeros_like(x)
    for index in range(block.num_experts):
        rows = kept[:, index].nonzero()[:, 0]
        if len(rows):
            out[rows] += block.experts[f"expert_{index}"](x[rows]) * kept[rows, index, None]
    return out.view(hidden.shape)


def decision(block, x):
    """Router logits, expert ids by falling score, and the weights really applied."""
    if "Switch" in type(block).__name__:
        mask, weights, logits = block.router(x[None])
        logits, ids = logits[0], logits[0].argmax(-1, keepdim=True)
        return logits, ids, weights[0] * mask[0].sum(-1, keepdim=True)
    _, kept, logits = block.router(x)
    first = logits.softmax(-1).argmax(-1)
    second = logits.masked_fill(one_hot(first, block.num_experts).bool(), float("-inf")).argmax(-1)
    ids = torch.stack([first, second], 1)
    return logits, ids, kept.gather(1, ids) * (1 - block.experts.moe_token_dropout)


def expected(model, pairs):
    """All expected tensors, and the smallest distance of a decision from another one."""
    seen, margin, results = {}, float("inf"), []

    def record(name):
        def hook(block, inputs, out):
            nonlocal margin
            x = inputs[0].reshape(-1, WIDTH)
            logits, ids, weights = decision(block, x)
            best = logits.softmax(-1).sort(-1, descending=True).values
            margin = min(margin, (best[:, :ids.shape[1]] - best[:, 1:ids.shape[1] + 1]).min().item())
            found = dict(router_logits=logits, expert_ids=ids.int(), weights=weights, block_in=x, block_out=out.reshape(-1, WIDTH))
            for key, value in found.items():
                seen.setdefault(f"{name}.{key}", []).append(value.detach().clone())
        return hook

    for name, module in model.named_modules():
        if type(module).__name__.endswith("SparseMLP"):
            layer = next(part for part in name.split(".") if part.isdigit())
            module.register_forward_hook(record(f"{'enc' if 'encoder' in name else 'dec'}.{layer}"))
    with torch.no_grad():
        for pair in pairs:
            results.append(model(input_ids=torch.tensor([pair["encoder"]]), decoder_input_ids=torch.tensor([pair["decoder"]]),
                                 use_cache=False, output_hidden_states=True))
    tensors = {name: torch.cat(rows).contiguous() for name, rows in seen.items()}
    tensors["logits"] = torch.cat([r.logits[0] for r in results])
    tensors["encoder_hidden"] = torch.cat([r.encoder_last_hidden_state[0] for r in results])
    tensors["decoder_hidden"] = torch.cat([r.decoder_hidden_states[-1][0] for r in results])
    for side in ("encoder", "decoder"):
        tensors[f"{side}_ids"] = torch.tensor([i for pair in pairs for i in pair[side]], dtype=torch.int32)
        tensors[f"{side}_lengths"] = torch.tensor([len(pair[side]) for pair in pairs], dtype=torch.int32)
    return tensors, margin


def make(name, folder):
    model_type, settings = MODELS[name]
    spec = Model(model_type, settings, gains={"shared.weight": WIDTH ** 0.5})
    pairs = token_pairs(settings["decoder_start_token_id"], settings.get("pad_token_id"))
    kept = None
    for seed in SEEDS:
        config = transformers.AutoConfig.for_model(model_type, **settings)
        model = transformers.AutoModelForSeq2SeqLM.from_config(config, attn_implementation="eager").float().eval()
        tensors, margin = expected(fill(model, seed, spec), pairs)
        if kept is None or margin > kept[2]:
            kept = (model, tensors, margin, seed)
    model, tensors, margin, seed = kept
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file(tensors, folder / "expected.safetensors")
    (folder / "input.json").write_text(json.dumps({"sequences": pairs}) + "\n")
    drops = sum(int((t == 0).sum()) for n, t in tensors.items() if n.endswith("weights"))
    print(f"{name}: seed {seed}, smallest margin {margin:.1e}, {drops} dropped", flush=True)


if __name__ == "__main__":
    transformers.models.nllb_moe.modeling_nllb_moe.NllbMoeSparseMLP.forward = nllb_block
    make_models.main(__doc__, MODELS, make)
