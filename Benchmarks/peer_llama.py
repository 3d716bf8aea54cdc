"""llama.cpp as a peer: one model whose routing decisions are copied out of its graph as they are made.

usage: peer_llama.py FILE.gguf [--threads 2] [--tokens 512] [--override KEY=N] [--keep-weights]

Reads one document of random ids. Prints JSON before and after: anonymous memory (bytes) with the library loaded and no model yet, then
seconds from opening the file to the last token. --keep-weights: without the second copy of weights in an order that suits its kernels.
"""
import argparse
import ctypes
import json
import re
import time
from pathlib import Path

import llama_cpp

from footprint import anonymous
from rounds import random_documents

GGML = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
GGML.ggml_get_name.restype = ctypes.c_char_p
GGML.ggml_get_name.argtypes = [ctypes.c_void_p]
GGML.ggml_nbytes.restype = ctypes.c_size_t
GGML.ggml_nbytes.argtypes = [ctypes.c_void_p]
GGML.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
DECISIONS = re.compile(rb"ffn_moe_(logits|topk|weights\w*)-\d+")
NAME = f"llama.cpp (llama-cpp-python {llama_cpp.__version__})"


@llama_cpp.llama_log_callback
def SILENT(level, text, data):
    pass


def add_override(parser):
    parser.add_argument("--override", action="append", default=[], metavar="KEY=N", help="a whole number of the file's metadata, told to llama.cpp")


def overrides(texts):
    """The array of llama.cpp's `kv_overrides`, ended by an empty key."""
    array = (llama_cpp.llama_model_kv_override * (len(texts) + 1))()
    for place, text in zip(array, texts):
        key, value = text.split("=")
        place.tag, place.key, place.value.val_i64 = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT, key.encode(), int(value)
    return array


class Peer:
    def __init__(self, path, threads, length, override=(), keeps_weights=False):
        llama_cpp.llama_backend_init()
        llama_cpp.llama_log_set(SILENT, None)
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        settings.use_extra_bufts = not keeps_weights
        self.override = overrides(override)
        if override:
            settings.kv_overrides = self.override
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

    def close(self):
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def set_threads(self, threads):
        llama_cpp.llama_set_n_threads(self.context, threads, threads)

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

    def forget(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def measure(self, kind, documents, decode):
        """Tokens per second."""
        self.forget()
        if kind == "decode":
            self.feed(documents[0], 0, "last")
            began = time.perf_counter()
            for step in range(decode):
                self.feed([documents[0][step % len(documents[0])]], len(documents[0]) + step, "last")
            return decode / (time.perf_counter() - began)
        began = time.perf_counter()
        for ids in documents:
            self.forget()
            self.feed(ids, 0, "all" if kind == "score" else "last")
        return sum(map(len, documents)) / (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=512)
    add_override(parser)
    parser.add_argument("--keep-weights", action="store_true")
    args = parser.parse_args()
    print(json.dumps({"before": anonymous("self")}), flush=True)
    began = time.perf_counter()
    peer = Peer(args.model, args.threads, args.tokens, args.override, args.keep_weights)
    peer.feed(random_documents(peer.vocabulary, 1, args.tokens)[0], 0, "last")
    print(json.dumps({"seconds": time.perf_counter() - began, "peer": NAME}), flush=True)


if __name__ == "__main__":
    main()
