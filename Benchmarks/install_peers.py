"""The peers that moetop is measured against, each in a virtual environment of its own below the cache folder.

llama.cpp is built from source for this machine. Where that build dies of an instruction that the machine does not have (a compiler may
believe more of a virtual machine than is there), it is built again with the instruction sets that /proc/cpuinfo lists, and the report says so.
"""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import machine

HERE = Path(__file__).resolve().parent
LLAMA = "llama-cpp-python==0.3.36"
# Without what reads images: more than half of the files, and nothing here needs it.
CMAKE = "-DLLAMA_CURL=OFF -DLLAVA_BUILD=OFF"
# Instruction sets of /proc/cpuinfo, and the settings of llama.cpp's build that use them.
SETS = {"sse4_2": "SSE42", "avx": "AVX", "avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "bmi2": "BMI2", "avx_vnni": "AVX_VNNI", "avx512f": "AVX512",
        "avx512_vbmi": "AVX512_VBMI", "avx512vbmi": "AVX512_VBMI", "avx512_vnni": "AVX512_VNNI", "avx512_bf16": "AVX512_BF16"}


class Missing(Exception):
    """Why a peer cannot be measured here."""


def call(command, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **more)
    if done.returncode:
        raise Missing(f"{Path(command[0]).name} {command[1] if len(command) > 1 else ''}: " + (done.stderr.strip() or done.stdout.strip())[-400:])


def environment(folder):
    python = folder / "bin" / "python"
    if not python.exists():
        call([sys.executable, "-m", "venv", folder])
    return python


def torch(cache):
    """The interpreter with torch, transformers and gguf."""
    folder = cache / "venv-torch"
    python = environment(folder)
    if not (folder / "complete").exists():
        print("installing torch and transformers", file=sys.stderr, flush=True)
        call([python, "-m", "pip", "install", "--quiet", "--extra-index-url", "https://download.pytorch.org/whl/cpu",
              "-r", HERE.parent / "tools" / "requirements.txt"])
        (folder / "complete").touch()
    return python


def smoke(python, model):
    """(status, last words) of a short run, which is where an instruction that is not there shows."""
    done = subprocess.run([python, HERE / "peer_llama.py", model, "--tokens", "8"], capture_output=True, text=True)
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


def listed_sets():
    """CMAKE_ARGS of the instruction sets that the system says are there."""
    found = machine.flags()
    wanted = {name: flag in found for flag, name in SETS.items()} | {name: True for flag, name in SETS.items() if flag in found}
    return " ".join(f"-DGGML_{name}={'ON' if is_there else 'OFF'}" for name, is_there in wanted.items())


def build(python, source, arguments):
    print(f"building llama.cpp with {arguments} (half an hour on two cores)", file=sys.stderr, flush=True)
    more = {"CMAKE_ARGS": f"{CMAKE} {arguments}", "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count())}
    call([python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-cache-dir", "--no-binary", "llama-cpp-python", source],
         env={**os.environ, **more})


def llama(cache, source, model):
    """(interpreter, how it was built). `model` is a small GGUF file that the build is tried on.

    - Throws: `Missing`.
    """
    python, note = environment(cache / "venv-llama"), cache / "venv-llama" / "build.json"
    if note.exists() and smoke(python, model)[0] == 0:
        return python, json.loads(note.read_text())
    found = {"arguments": "-DGGML_NATIVE=ON", "native_failed": False}
    illegal = {-signal.SIGILL, 128 + signal.SIGILL}
    try:
        build(python, source, found["arguments"])
        status, words = smoke(python, model)
    except Missing as error:
        if "llegal instruction" not in str(error):
            raise
        status, words = -signal.SIGILL, str(error)
    if status in illegal:
        found = {"arguments": f"-DGGML_NATIVE=OFF {listed_sets()}", "native_failed": True}
        build(python, source, found["arguments"])
        status, words = smoke(python, model)
    if status:
        raise Missing(f"llama.cpp was built and ends with status {status} on {Path(model).name}: {words}")
    note.write_text(json.dumps(found))
    return python, found
