"""GGUF files as Ollama's own converter writes them, from files as llama.cpp's does: Tests/Fixtures/gguf/ollama/NAME.gguf.

usage: make_ollama_gguf.py FILE.gguf ... -o Tests/Fixtures/gguf/ollama

What differs is what Ollama's folder llama/compat undoes when it opens such files with llama.cpp: names of the architecture, of keys and of
tensors, one list of experts as two, a tower and layers that look ahead in the same file (made up here, of a few numbers). Weights stay
what they are, so the expected values of the file's model hold.
"""
import argparse
from pathlib import Path

import gguf
import numpy as np

# architecture: its name, tensors (llama.cpp's part, Ollama's), keys, keys left out, beside the text model
WAYS = {
    "gpt-oss": ("gptoss", [(".attn_output.", ".attn_out."), (".attn_sinks.weight", ".attn_sinks"), (".post_attention_norm.", ".ffn_norm.")],
                {}, ["rope.scaling.type", "expert_feed_forward_length"], []),
    "deepseek2": ("glm4moelite", [], {"attention.key_length_mla": "attention.key_length", "attention.value_length_mla": "attention.value_length"},
                  ["attention.key_length", "attention.value_length"], []),
    "laguna": ("laguna", [(".attn_gate.", ".attn_g.")],
               {"rope.dimension_count_swa": "rope.swa.dimension_count", "rope.freq_base_swa": "rope.swa.freq_base",
                "rope.scaling.yarn_beta_fast": "rope.scaling.beta_fast", "rope.scaling.yarn_beta_slow": "rope.scaling.beta_slow",
                "rope.scaling.yarn_attn_factor": "rope.scaling.attn_factor"}, [], []),
    "qwen35moe": ("qwen35moe", [(".ssm_dt.bias", ".ssm_dt")], {}, [],
                  ["v.blk.0.attn_q.weight", "mm.0.bias", "mtp.layers.0.mlp.experts.0.up_proj.weight", "mtp.norm.weight"]),
    "gemma4": ("gemma4", [(".ffn_down_exps.scale", ".ffn_gate_inp.per_expert_scale")], {}, [],
               ["a.blk.0.attn_q.weight", "v.blk.0.attn_q.scale", "mm.input_projection.weight"]),
    "nemotron_h_moe": ("nemotron_h_moe", [(".ffn_latent_down.", ".ffn_latent_in."), (".ffn_latent_up.", ".ffn_latent_out.")], {},
                       ["moe_latent_size"], ["mtp.layers.0.mixer.experts.0.up_proj.weight"]),
}


def add(writer, name, field):
    kind = field.types[0]
    value = field.contents()
    if kind == gguf.GGUFValueType.ARRAY:
        writer.add_key_value(name, value, kind, sub_type=field.types[-1])
    else:
        writer.add_key_value(name, value, kind)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(exist_ok=True)
    for path in args.files:
        reader = gguf.GGUFReader(path)
        usual = reader.fields["general.architecture"].contents()
        name, tensors, keys, left_out, beside = WAYS[usual]
        writer = gguf.GGUFWriter(args.output / path.name, name)
        for key, field in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture":
                continue
            if key.startswith(usual + "."):
                part = key[len(usual) + 1:]
                if part in left_out:
                    continue
                key = f"{name}.{keys.get(part, part)}"
            add(writer, key, field)
        for tensor in reader.tensors:
            new = tensor.name
            for part, other in tensors:
                new = new.replace(part, other)
            if ".ffn_gate_up_exps." in new:
                halves = np.split(np.asarray(tensor.data), 2, axis=1)
                for half, part in zip(halves, ["ffn_gate_exps", "ffn_up_exps"]):
                    writer.add_tensor(new.replace("ffn_gate_up_exps", part), np.ascontiguousarray(half), raw_dtype=tensor.tensor_type)
                continue
            writer.add_tensor(new, np.ascontiguousarray(tensor.data), raw_dtype=tensor.tensor_type)
        for new in beside:
            writer.add_tensor(new, np.ones((4, 32), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        print(args.output / path.name, len(reader.tensors), "tensors")


main()
