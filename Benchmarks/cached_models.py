"""The models that are timed: made once, into the cache folder, by tools/make_bench_model.py."""
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import machine
from install_peers import Missing

MAKER = Path(__file__).resolve().parent.parent / "tools" / "make_bench_model.py"
TITLES = {"olmoe": "OLMoE-1B-7B", "qwen3": "Qwen3-30B-A3B", "gpt-oss": "gpt-oss-20b", "deepseek-v2-lite": "DeepSeek-V2-Lite"}
# Of the machine's memory: the file stays in the page cache while llama.cpp holds a second copy of most weights.
LARGEST = 0.35


@dataclass(frozen=True)
class Wanted:
    shape: str
    type: str
    layers: int = 0          # 0: all, or as many as fit
    folder: bool = False
    sparse: bool = False

    @property
    def file(self):
        return f"{self.shape}-{self.layers or 'fit'}-{self.type}" + ("-sparse" if self.sparse else "" if self.folder else ".gguf")


OLMOE_4, OLMOE_8 = Wanted("olmoe", "q4_k_m", 4), Wanted("olmoe", "q4_k_m", 8)
FOLDER, QUICK_FOLDER = (Wanted("olmoe", "bf16", layers, folder=True) for layers in (4, 2))
SPARSE = Wanted("qwen3", "bf16", folder=True, sparse=True)
FULL = Wanted("olmoe", "q4_k_m", 16)
BESIDE_LLAMA = [FULL, Wanted("olmoe", "q8_0", 16), OLMOE_4, Wanted("olmoe", "q8_0", 4), Wanted("olmoe", "bf16", 4), Wanted("olmoe", "f32", 4),
                Wanted("qwen3", "q4_k_m"), Wanted("gpt-oss", "mxfp4"), Wanted("deepseek-v2-lite", "q4_k_m")]
QUICK_BESIDE_LLAMA = [OLMOE_4, Wanted("qwen3", "q4_k_m", 4), Wanted("gpt-oss", "mxfp4", 4), Wanted("deepseek-v2-lite", "q4_k_m", 4)]


def make(cache, wanted, python):
    """(path, what one token costs) of a model, made if it is not there yet.

    - Throws: `Missing` where there is no room for it.
    """
    path = cache / "models" / wanted.file
    note = Path(f"{path}.work.json")
    if not note.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        most = int(LARGEST * machine.memory()[0])
        if not wanted.sparse and shutil.disk_usage(path.parent).free < most:
            raise Missing(f"{wanted.file}: less than {most / 1e9:.0f} GB of disk are free in {path.parent}")
        print(f"making {path}", file=sys.stderr, flush=True)
        command = [python, MAKER, "-o", path, "--shape", wanted.shape, "--type", wanted.type]
        command += ["--layers", str(wanted.layers)] if wanted.layers else []
        command += ["--sparse"] if wanted.sparse else ["--fit", str(most)]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"{wanted.file}: {done.stderr.strip()[-300:]}")
    return path, json.loads(note.read_text())


def title(work):
    return f"{TITLES[work['shape']]}, {work['type']}, {work['layers']} of {work['of_layers']} layers"


def override(work):
    """What llama.cpp has to be told of a cut model."""
    is_cut = work["shape"] == "deepseek-v2-lite" and work["layers"] < 26
    return ["--override", "deepseek2.attention.q_lora_rank=0"] if is_cut else []
