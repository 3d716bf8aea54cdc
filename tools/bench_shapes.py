"""The shapes of published MoE models as data: sizes, tensors by the names of GGUF files, and what a token makes of them.

A tensor has a role, by which make_bench_model.py chooses how it is stored:
  weight   a matrix of the model's usual type        finer  the output head
  value    attn_v and ffn_down, of a finer type in some layers (llama.cpp's mix)
  ones, small, router                                f32: norms, biases, scorers
`share` is how much of it one token reads: the experts it takes of all, nothing of the embedding but a row.
Sources: config.json of allenai/OLMoE-1B-7B-0924, Qwen/Qwen3-30B-A3B, openai/gpt-oss-20b and deepseek-ai/DeepSeek-V2-Lite, and the tensors
and metadata that llama.cpp's converter writes of them.
"""
import math
from dataclasses import dataclass, field


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]
    role: str = "weight"
    share: float = 1.0

    @property
    def count(self):
        return math.prod(self.shape)


@dataclass
class Shape:
    architecture: str
    layers: int
    hidden: int
    width: int                  # of one expert
    experts: int
    top_k: int
    heads: int
    kv_heads: int
    vocabulary: int
    head_size: int = 128
    value_size: int = 128
    context: int = 4096
    rope_base: float = 10000.0
    epsilon: float = 1e-5
    window: int = 0             # of every second layer, from the first
    keys: dict = field(default_factory=dict)      # further metadata, without the architecture's name
    config: dict = field(default_factory=dict)    # further fields of config.json, where a folder can be made
    block: str = "separate"

    def tensors(self, layers):
        yield Tensor("token_embd.weight", (self.vocabulary, self.hidden), share=0)
        yield Tensor("output.weight", (self.vocabulary, self.hidden), "finer")
        yield Tensor("output_norm.weight", (self.hidden,), "ones")
        for layer in range(layers):
            for tensor in BLOCKS[self.block](self, layer):
                tensor.name = f"blk.{layer}.{tensor.name}"
                yield tensor

    def attention(self, layers):
        """Multiply-adds of scores and values for each position that a token sees, numbers that are kept of it, and in how many layers it sees
        all or the window's."""
        near = (layers + 1) // 2 if self.window else 0
        latent = self.keys.get("attention.kv_lora_rank")
        kept = latent + self.keys["rope.dimension_count"] if latent else self.kv_heads * (self.head_size + self.value_size)
        return {"per_position": self.heads * (self.head_size + self.value_size), "kept": kept, "layers": layers - near, "window_layers": near,
                "window": self.window}


def experts(shape):
    share = shape.top_k / shape.experts
    yield Tensor("ffn_gate_inp.weight", (shape.experts, shape.hidden), "router")
    for part in ("gate", "up"):
        yield Tensor(f"ffn_{part}_exps.weight", (shape.experts, shape.width, shape.hidden), share=share)
    yield Tensor("ffn_down_exps.weight", (shape.experts, shape.hidden, shape.width), "value", share)


def attention(shape):
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    yield Tensor("attn_norm.weight", (shape.hidden,), "ones")
    yield Tensor("attn_q.weight", (queries, shape.hidden))
    yield Tensor("attn_k.weight", (keys, shape.hidden))
    yield Tensor("attn_v.weight", (keys, shape.hidden), "value")
    yield Tensor("attn_output.weight", (shape.hidden, queries))


def separate(shape, layer):
    """OLMoE, whose norms of queries and keys run over all heads, and Qwen3, which has them for each."""
    yield from attention(shape)
    whole = shape.architecture == "olmoe"
    yield Tensor("attn_q_norm.weight", (shape.heads * shape.head_size if whole else shape.head_size,), "ones")
    yield Tensor("attn_k_norm.weight", (shape.kv_heads * shape.head_size if whole else shape.head_size,), "ones")
    yield Tensor("ffn_norm.weight", (shape.hidden,), "ones")
    yield from experts(shape)


def with_biases(shape, layer):
    """gpt-oss: biases everywhere, a sink for each head."""
    matrices = [*attention(shape), *experts(shape)]
    biases = [Tensor(m.name.replace("weight", "bias"), m.shape[:-1], "small", m.share) for m in matrices if "norm" not in m.name]
    yield from matrices + biases
    yield Tensor("post_attention_norm.weight", (shape.hidden,), "ones")
    yield Tensor("attn_sinks.weight", (shape.heads,), "small")


def latent(shape, layer):
    """DeepSeek-V2-Lite: latent attention, a dense first layer, two shared experts."""
    rank, turned, shared = shape.keys["attention.kv_lora_rank"], shape.keys["rope.dimension_count"], shape.keys["expert_shared_count"]
    yield Tensor("attn_norm.weight", (shape.hidden,), "ones")
    yield Tensor("attn_q.weight", (shape.heads * shape.head_size, shape.hidden))
    yield Tensor("attn_kv_a_mqa.weight", (rank + turned, shape.hidden))
    yield Tensor("attn_kv_a_norm.weight", (rank,), "ones")
    yield Tensor("attn_k_b.weight", (shape.heads, rank, shape.head_size - turned))
    yield Tensor("attn_v_b.weight", (shape.heads, shape.value_size, rank))
    yield Tensor("attn_output.weight", (shape.hidden, shape.heads * shape.value_size))
    yield Tensor("ffn_norm.weight", (shape.hidden,), "ones")
    dense = layer < shape.keys["leading_dense_block_count"]
    ending, width = ("", shape.keys["feed_forward_length"]) if dense else ("_shexp", shared * shape.width)
    for part in ("gate", "up"):
        yield Tensor(f"ffn_{part}{ending}.weight", (width, shape.hidden))
    yield Tensor(f"ffn_down{ending}.weight", (shape.hidden, width), "value")
    if not dense:
        yield from experts(shape)


BLOCKS = {"separate": separate, "with_biases": with_biases, "latent": latent}

SHAPES = {
    "olmoe": Shape(
        "olmoe", layers=16, hidden=2048, width=1024, experts=64, top_k=8, heads=16, kv_heads=16, vocabulary=50304,
        keys={"feed_forward_length": 1024},
        config=dict(model_type="olmoe", architectures=["OlmoeForCausalLM"], intermediate_size=1024, norm_topk_prob=False, eos_token_id=50279)),
    "qwen3": Shape(
        "qwen3moe", layers=48, hidden=2048, width=768, experts=128, top_k=8, heads=32, kv_heads=4, vocabulary=151936, context=40960,
        rope_base=1e6, epsilon=1e-6, keys={"feed_forward_length": 6144, "expert_feed_forward_length": 768},
        config=dict(model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"], intermediate_size=6144, moe_intermediate_size=768, head_dim=128,
                    norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], eos_token_id=151645)),
    "gpt-oss": Shape(
        "gpt-oss", layers=24, hidden=2880, width=2880, experts=32, top_k=4, heads=64, kv_heads=8, vocabulary=201088, head_size=64,
        value_size=64, context=131072, rope_base=150000.0, window=128, block="with_biases",
        keys={"feed_forward_length": 2880, "expert_feed_forward_length": 2880, "attention.sliding_window": 128, "rope.scaling.type": "yarn",
              "rope.scaling.factor": 32.0, "rope.scaling.original_context_length": 4096, "rope.scaling.yarn_beta_fast": 32.0,
              "rope.scaling.yarn_beta_slow": 1.0}),
    "deepseek-v2-lite": Shape(
        "deepseek2", layers=27, hidden=2048, width=1408, experts=64, top_k=6, heads=16, kv_heads=1, vocabulary=102400, head_size=192,
        context=163840, epsilon=1e-6, block="latent",
        keys={"feed_forward_length": 10944, "expert_feed_forward_length": 1408, "leading_dense_block_count": 1, "expert_shared_count": 2,
              "expert_weights_scale": 1.0, "expert_weights_norm": False, "expert_gating_func": 1, "attention.kv_lora_rank": 512,
              "attention.key_length": 576, "attention.value_length": 512, "attention.key_length_mla": 192, "attention.value_length_mla": 128,
              "rope.dimension_count": 64, "rope.scaling.type": "yarn", "rope.scaling.factor": 40.0,
              "rope.scaling.original_context_length": 4096, "rope.scaling.yarn_beta_fast": 32.0, "rope.scaling.yarn_beta_slow": 1.0,
              "rope.scaling.yarn_log_multiplier": 0.0707}),
}
