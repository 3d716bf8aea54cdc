"""What is said of a run beside its decisions: the model, its configuration and weights, and the libraries that ran it."""
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

_BLOCK = 1 << 20


def versions() -> str:
    """`moetop-record 0.1.0, torch 2.13.0, transformers 5.24.0, python 3.11.7`: of what is loaded."""
    from . import __version__
    words = [f"moetop-record {__version__}"]
    for name in ("torch", "transformers", "accelerate"):
        if name in sys.modules:
            words.append(f"{name} {getattr(sys.modules[name], '__version__', None) or metadata.version(name)}")
    return ", ".join(words + [f"python {platform.python_version()}"])


def commit(folder: str | os.PathLike | None = None) -> str:
    """The commit of the checkout that the program runs in, `+` behind it where files differ; empty where there is none."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def config_hash(config) -> str:
    """SHA-256 over the configuration as JSON with sorted keys; empty where it has none."""
    if not hasattr(config, "to_dict"):
        return ""
    values = {key: value for key, value in config.to_dict().items() if key not in ("_name_or_path", "transformers_version")}
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def weight_files(folder: str | os.PathLike) -> list[Path]:
    """The weight files of a checkpoint: model.safetensors, else the shards that its index names, else a numbered set, else the only one."""
    folder = Path(folder)
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    for pattern in ("*.safetensors", "pytorch_model*.bin", "*.gguf"):
        files = sorted(folder.glob(pattern))
        if len(files) == 1 or files and all("-of-" in path.name for path in files):
            return files
    return []


def files_hash(folder: str | os.PathLike) -> str:
    """SHA-256 over name, size and bytes of each weight file, the same that moetop gives a checkpoint; empty without files."""
    found, files = hashlib.sha256(), weight_files(folder)
    for path in files:
        found.update(f"{path.name}\n{path.stat().st_size}\n".encode())
        with open(path, "rb") as stream:
            while block := stream.read(_BLOCK):
                found.update(block)
    return found.hexdigest() if files else ""


def file_hash(path: str | os.PathLike) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if os.path.isfile(path) else ""


def parameters_hash(model) -> str:
    """SHA-256 over name, type, shape and bytes of every parameter and buffer in memory."""
    import torch
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name}\n{tensor.dtype}\n{tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().to("cpu").contiguous().flatten().view(torch.uint8)
        found.update(memoryview(bytes(flat.untyped_storage())) if flat.numel() else b"")
    return found.hexdigest()


def model_identity(model, hash_weights: str = "files") -> dict:
    """`description.model` of a torch module; hash_weights: `files` of a local folder, `memory`, or `none`."""
    config = getattr(model, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    path = str(getattr(config, "_name_or_path", "") or "")
    local = path if path and os.path.isdir(path) else ""
    identity = empty_identity()
    identity.update(
        name=os.path.basename(os.path.normpath(path)) if path else type(model).__name__, family=str(getattr(text, "model_type", "") or ""), path=path,
        layerCount=layer_count(text), vocabularySize=int(getattr(text, "vocab_size", 0) or 0), quantization=element_type(model))
    if hash_weights == "memory":
        identity["filesHash"] = parameters_hash(model)
    elif hash_weights == "files" and local:
        identity["filesHash"] = files_hash(local)
    if local:
        identity["tokenizerHash"] = file_hash(os.path.join(local, "tokenizer.json"))
    return identity


def empty_identity() -> dict:
    return {"name": "", "family": "", "path": "", "filesHash": "", "quantization": "", "routerPrecision": "", "tokenizerHash": "",
            "layerCount": 0, "vocabularySize": 0}


def layer_count(config) -> int:
    """Blocks of the longest stack; 0 where it is not known."""
    names = ("num_hidden_layers", "num_layers", "n_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")
    return max((value for name in names if isinstance(value := getattr(config, name, None), int)), default=0)


def element_type(model) -> str:
    """The element type that most parameters have: `f32`, `bf16`, `f16`, or torch's name."""
    sizes: dict = {}
    for parameter in model.parameters():
        sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.numel()
    name = str(max(sizes, key=sizes.get)).removeprefix("torch.") if sizes else ""
    return {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}.get(name, name)


def source(model, identity: dict, hash_weights: str) -> str:
    """One line of what no other field of the description has; it goes with the versions."""
    words = [f"class {type(model).__module__}.{type(model).__qualname__}"] if model is not None else []
    digest = config_hash(getattr(model, "config", None))
    words.append(f"configuration {digest[:16]}" if digest else "no configuration")
    if identity["filesHash"]:
        words.append("weights hashed " + ("in memory" if hash_weights == "memory" else "as files"))
    else:
        words.append("weights not hashed")
    revision = getattr(getattr(model, "config", None), "_commit_hash", None)
    words += [f"checkpoint revision {revision}"] if revision else []
    own = commit()
    return "; ".join(words + ([f"commit {own}"] if own else ["commit not known"]))


def description(name: str, identity: dict, record: str, row: str, said: str, *, without_ids=False, series=None, input_source="", sampling=None,
                seed=0, threads=1, extras=()) -> dict:
    """The whole description of a run, as docs/trace-format.md has it."""
    recorded = {"kind": "recorder", "row": row}
    if without_ids:
        recorded["withoutIDs"] = True
    out = {"name": name, "tags": [], "startedAt": time.time(), "seed": seed, "routers": [], "model": identity,
           "input": {"source": input_source, "hash": ""}, "recording": {"content": record, "logitsEvery": 1, "precision": "f32"},
           "engine": {"version": f"{versions()}; {said}", "simd": "", "threads": threads}, "recorded": recorded}
    if extras:
        out["recording"]["extras"] = list(extras)
    optional = {"series": series, "sampling": sampling}
    return out | {key: value for key, value in optional.items() if value is not None}
