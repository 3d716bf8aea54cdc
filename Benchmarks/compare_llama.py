"""moetop beside llama.cpp on the same GGUF file, token ids and cores, in one run. Both keep every routing decision.

usage: compare_llama.py --moetop BIN --model FILE.gguf [--threads 2] [--rounds 3] [--documents 2] [--tokens 512] [--decode 32]

Needs llama-cpp-python, built natively from source (CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary llama-cpp-python llama-cpp-python).
Documents of random ids, each on its own, tokens per second over all of them.
  capture  moetop computes no logits; llama.cpp those of the last token, and so records only that token in its last layer
  score    both compute the logits of every token; moetop takes the surprisal of every token too
  decode   single tokens after the first document
llama.cpp multiplies activations rounded to 8 bits, moetop exact ones; both record ids, weights and router logits: moetop into a trace,
llama.cpp by copies out of its graph. Rounds alternate; `ratio` is the median over rounds of one beside the other right after it. Prints JSON: that, medians, all rounds.
"""
import argparse
import ctypes
import json
import random
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import llama_cpp

GGML = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
GGML.ggml_get_name.restype = ctypes.c_char_p
GGML.ggml_get_name.argtypes = [ctypes.c_void_p]
GGML.ggml_nbytes.restype = ctypes.c_size_t
GGML.ggml_nbytes.argtypes = [ctypes.c_void_p]
GGML.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
DECISIONS = re.compile(rb"ffn_moe_(logits|topk|weights\w*)-\d+")


class Peer:
    """One model in llama.cpp whose decisions are copied out as they are made."""

    def __init__(self, path, threads, length):
        llama_cpp.llama_backend_init()
        llama_cpp.llama_log_set(SILENT, None)
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.copied = 0
        self.callback = llama_cpp.ggml_backend_sched_eval_callback(self.see)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = length + 256, 512, 512
        context.n_threads = context.n_threads_batch = threads
        context.cb_eval = self.callback
        self.context = llama_cpp.llama_init_from_model(self.model, context)
        self.room = ctypes.create_string_buffer(1 << 24)

    def see(self, tensor, asks, _):
        if not DECISIONS.fullmatch(GGML.ggml_get_name(tensor)):
            return not asks
        if not asks:
            size = GGML.ggml_nbytes(tensor)
            GGML.ggml_backend_tensor_get(tensor, self.room, 0, size)
            self.copied += size
        return True

    def feed(self, ids, first, logits):
        for start in range(0, len(ids), 512):
            part = ids[start:start + 512]
            batch = llama_cpp.llama_batch_init(len(part), 0, 1)
            batch.n_tokens = len(part)
            for place, token in enumerate(part):
                batch.token[place], batch.pos[place] = token, first + start + place
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
                batch.logits[place] = logits == "all" or start + place + 1 == len(ids)
            if llama_cpp.llama_decode(self.context, batch):
                raise SystemExit("llama.cpp failed")
            llama_cpp.llama_batch_free(batch)

    def measure(self, kind, documents, decode):
        forget = lambda: llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        forget()
        if kind == "decode":
            self.feed(documents[0], 0, "last")
            began = time.perf_counter()
            for step in range(decode):
                self.feed([documents[0][step % len(documents[0])]], len(documents[0]) + step, "last")
            return decode / (time.perf_counter() - began)
        began = time.perf_counter()
        for ids in documents:
            forget()
            self.feed(ids, 0, "all" if kind == "score" else "last")
        return sum(map(len, documents)) / (time.perf_counter() - began)


@llama_cpp.llama_log_callback
def SILENT(level, text, data):
    pass


def ours(args, kind, documents):
    """Tokens per second of one run of moetop into a trace of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ids = Path(folder) / "ids.json"
        ids.write_text(json.dumps({"sequences": documents[:1] if kind == "decode" else documents}))
        command = [args.moetop, "run", args.model, "--tokens", ids, "--threads", str(args.threads), "--trace", f"{folder}/trace.db",
                   "--record", "full", "--json"]
        command += {"capture": ["--no-loss"], "score": [], "decode": ["--generate", "--max-tokens", str(args.decode + 1), "--greedy"]}[kind]
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return done["decode" if kind == "decode" else "prefill"]["tokens_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moetop", required=True, type=lambda p: str(Path(p).resolve()))
    parser.add_argument("--model", required=True)
    for name, value in (("--threads", 2), ("--rounds", 3), ("--documents", 2), ("--tokens", 512), ("--decode", 32)):
        parser.add_argument(name, type=int, default=value)
    args = parser.parse_args()
    kinds = ("capture", "score", "decode")
    peer = Peer(args.model, args.threads, args.tokens + args.decode)
    chance = random.Random(1)
    documents = [[chance.randrange(peer.vocabulary) for _ in range(args.tokens)] for _ in range(args.documents)]
    peer.measure("capture", documents[:1], 0)
    mine, theirs = {kind: [] for kind in kinds}, {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind in kinds:
            mine[kind].append(ours(args, kind, documents))
            theirs[kind].append(peer.measure(kind, documents, args.decode))
    report = {"peer": f"llama.cpp (llama-cpp-python {llama_cpp.__version__})", "model": Path(args.model).name, "threads": args.threads,
              "documents": args.documents, "tokens": args.tokens}
    for kind in kinds:
        ratio = statistics.median(own / other for own, other in zip(mine[kind], theirs[kind]))
        report[kind] = {"moetop": round(statistics.median(mine[kind]), 1), "llama_cpp": round(statistics.median(theirs[kind]), 1),
                        "ratio": round(ratio, 2),
                        "moetop_rounds": [round(v, 1) for v in mine[kind]], "llama_cpp_rounds": [round(v, 1) for v in theirs[kind]]}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
