"""OLMoE in plain PyTorch, lean enough to train on two cores: the same equations as transformers' OlmoeForCausalLM.

Parameters are float32 and keep transformers' module paths, except that a layer's experts are stacked (export.py takes
them apart). Matrix products run in `dtype`; norms, softmaxes, the residual stream and the losses stay in float32.
"""
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import ops


@dataclass
class Config:
    """The fields of an OLMoE config.json that this code reads."""

    vocab_size: int = 8192
    hidden_size: int = 256
    intermediate_size: int = 128
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    num_experts: int = 16
    num_experts_per_tok: int = 2
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    max_position_embeddings: int = 2048
    initializer_range: float = 0.01

    @classmethod
    def load(cls, path):
        return cls(**json.loads(Path(path).read_text()))

    def save(self, path):
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n")


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x, dtype=torch.float32):
        return ops.RMSNorm.apply(x, self.weight, self.eps, dtype)


def rope_tables(config, length):
    """cos and sin, each [length, 1, head_dim / 2]."""
    dim = config.hidden_size // config.num_attention_heads
    inverse = 1.0 / config.rope_theta ** (torch.arange(0, dim, 2).float() / dim)
    angle = torch.outer(torch.arange(length).float(), inverse)[:, None]
    return angle.cos(), angle.sin()


class Attention(nn.Module):
    """Multi-head attention; queries and keys are normalised over the whole projection before the heads are split."""

    def __init__(self, c):
        super().__init__()
        self.heads = c.num_attention_heads
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(c.hidden_size, c.hidden_size, bias=False))
        self.q_norm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.k_norm = RMSNorm(c.hidden_size, c.rms_norm_eps)

    def forward(self, x, rope, mask):
        """x [rows, length, hidden] in the type to compute in, and so the result."""
        dtype, heads = x.dtype, (self.heads, -1)
        q, k, v = (F.linear(x, w.weight.to(dtype)) for w in (self.q_proj, self.k_proj, self.v_proj))
        q = ops.Rotate.apply(self.q_norm(q.float()).unflatten(-1, heads), *rope, dtype)
        k = ops.Rotate.apply(self.k_norm(k.float()).unflatten(-1, heads), *rope, dtype)
        v = v.unflatten(-1, heads).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True) if mask is None else ops.Attend.apply(q, k, v, mask)
        return F.linear(y.transpose(1, 2).flatten(2), self.o_proj.weight.to(dtype))


class Experts(nn.Module):
    """A router and its experts. Dropless: tokens are grouped by expert and every group runs as one matrix product.

    Groups are padded to a multiple of PAD rows (of zeros, with weight zero): the matrix library compiles a kernel for
    every new shape, and token counts would make a new shape of almost every group.
    """

    PAD = 32

    def __init__(self, c):
        super().__init__()
        self.top_k, self.count = c.num_experts_per_tok, c.num_experts
        self.gate = nn.Linear(c.hidden_size, c.num_experts, bias=False)
        self.gate_up = nn.Parameter(torch.empty(c.num_experts, 2 * c.intermediate_size, c.hidden_size))
        self.down = nn.Parameter(torch.empty(c.num_experts, c.hidden_size, c.intermediate_size))

    def forward(self, x, dtype):
        """x [tokens, hidden] -> output [tokens, hidden] float32, router logits [tokens, experts], ids [tokens, top_k]."""
        tokens = x.shape[0]
        logits = F.linear(x, self.gate.weight)
        weights, ids = logits.softmax(-1).topk(self.top_k, -1)
        slots = ids.flatten()
        order = slots.argsort(stable=True)
        counts = torch.bincount(slots, minlength=self.count)
        padded = (counts + self.PAD - 1) // self.PAD * self.PAD
        shift = (padded.cumsum(0) - padded) - (counts.cumsum(0) - counts)
        place = torch.arange(len(order)) + shift[slots[order]]          # row of each assignment in the padded groups
        source = torch.full((int(padded.sum()),), tokens).index_copy(0, place, order // self.top_k)
        scale = torch.zeros(len(source)).index_copy(0, place, weights.flatten()[order])
        rows = torch.cat((x, x.new_zeros(1, x.shape[1]))).to(dtype).index_select(0, source)
        sizes = padded.tolist()
        both = torch.cat([F.linear(r, w) for r, w in zip(rows.split(sizes), self.gate_up.to(dtype).unbind(0))])
        gate, up = both.chunk(2, -1)
        hidden = (F.silu(gate) * up).split(sizes)
        outs = [F.linear(h, w) for h, w in zip(hidden, self.down.to(dtype).unbind(0))]
        scaled = torch.cat(outs) * scale[:, None]
        return x.new_zeros(tokens + 1, x.shape[1]).index_add(0, source, scaled)[:tokens], logits, ids


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.mlp = Experts(c)

    def forward(self, x, rope, mask, dtype):
        x = x + self.self_attn(self.input_layernorm(x, dtype), rope, mask)
        y, logits, ids = self.mlp(self.post_attention_layernorm(x).flatten(0, 1), dtype)
        return x + y.view_as(x), logits, ids


class LanguageModel(nn.Module):
    """Embedding, layers, final norm; the output matrix is the embedding (tied)."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def initialise(self, seed):
        """Normal weights that keep variances: 1 / sqrt(inputs), so router logits start with unit variance too.

        Near-uniform routing weights (1/16 each, not renormalised) would leave the experts almost no gradient. Matrices
        that write to the residual stream start small, so that the token itself stays visible in it.
        """
        generator = torch.Generator().manual_seed(seed)
        small = self.config.initializer_range
        with torch.no_grad():
            for name, p in self.named_parameters():
                if p.dim() > 1:
                    p.normal_(0.0, small if name.endswith(("o_proj.weight", "down")) else self.config.hidden_size ** -0.5, generator=generator)

    def forward(self, ids, mask=None, dtype=torch.float32):
        """ids [rows, length] -> logits [rows, length, vocab], per layer (router logits, selected experts).

        `mask` is additive, [rows, 1, length, length] in `dtype`; without one attention is causal over the whole row.
        """
        rope = rope_tables(self.config, ids.shape[1])
        x = self.embed_tokens(ids)
        routing = []
        for layer in self.layers:
            x, logits, chosen = layer(x, rope, mask, dtype)
            routing.append((logits, chosen))
        return F.linear(self.norm(x, dtype), self.embed_tokens.weight.to(dtype)), routing


def router_losses(routing, real):
    """Load-balancing loss and router z-loss, averaged over layers; `real` [tokens] leaves padding out."""
    balance = z = 0.0
    for logits, ids in routing:
        logits, ids = logits[real], ids[real]
        experts = logits.shape[-1]
        share = torch.bincount(ids.flatten(), minlength=experts) / ids.shape[0]
        balance = balance + experts * (share * logits.softmax(-1).mean(0)).sum()
        z = z + logits.logsumexp(-1).square().mean()
    return balance / len(routing), z / len(routing)
