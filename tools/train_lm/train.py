"""Train the sample.

usage: train.py DATA TOKENIZER RUN [--tokens 20000000] [--resume] [...]

RUN/config.json, RUN/log.jsonl and RUN/state.pt (model, optimiser, step) are written every few minutes; --resume goes on
from the state. The learning rate rises, stays, and falls linearly over the last part (`--decay`) of `--tokens`, so a
run that is still on its plateau may be resumed with another --tokens and is then the same run as one begun with it.
Row k of the data depends on the seed alone; a resumed run skips the rows already seen. Few rows a step learn fastest at
first, more rows a step are quicker and learn better later: --rows may grow from one --resume to the next.
"""
import argparse
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from evaluate import bits_per_byte, load_documents
from model import Config, LanguageModel, router_losses
from muon import Muon
from ops import CrossEntropy
from windows import load_domains, rows

# Shares of the domains in training, from a row on: the later mixes favour what then lay furthest above its goal.
MIXES = {
    0: {"python": 1.3, "c": 1.3, "manual": 1.4, "story": 1.2, "german": 1.3, "russian": 1.2, "json": 0.4, "arithmetic": 0.8},
    3280: {"python": 1.8, "c": 1.8, "manual": 1.2, "story": 0.7, "german": 1.6, "russian": 1.2, "json": 0.9, "arithmetic": 0.4},
    9600: {"python": 2.2, "c": 2.8, "manual": 1.1, "story": 0.6, "german": 1.3, "russian": 1.2, "json": 0.5, "arithmetic": 0.4},
}
BALANCE, Z = 0.01, 0.001
EVALUATE_EVERY = 500_000
PIECE = 4           # rows that go through the model at once, on one thread: their activations still fit its cache


def rate(args, tokens):
    """Share of the full learning rates after `tokens`: warm-up, plateau, linear fall to zero."""
    fall = args.decay * args.tokens
    return min(1.0, tokens / args.warmup, max(0.0, (args.tokens - tokens) / fall))


def optimisers(model, args):
    """Muon for the matrices of attention and experts, AdamW for the rest; their rates rise and fall together."""
    inner = {n: p for n, p in model.named_parameters() if p.dim() > 1 and not n.endswith(("gate.weight", "embed_tokens.weight"))}
    double = [p for n, p in inner.items() if n.endswith("gate_up")]
    single = [p for n, p in inner.items() if not n.endswith("gate_up")]
    rest = [p for n, p in model.named_parameters() if n not in inner]
    return (Muon([{"params": single}, {"params": double, "halves": True}], lr=args.muon_lr, weight_decay=args.weight_decay),
            torch.optim.AdamW(rest, lr=args.lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0, fused=True))


def batch_of(some):
    """Tensors of some rows: inputs, targets [count, ROW] and the additive attention mask [count, 1, ROW, ROW]."""
    inputs, targets, segment = (torch.from_numpy(np.stack([r[i] for r in some])) for i in range(3))
    causal = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool).tril()
    apart = ~((segment[:, :, None] == segment[:, None, :]) & causal)
    return inputs, targets, torch.zeros(apart.shape, dtype=torch.bfloat16).masked_fill_(apart, float("-inf"))[:, None]


def gradients(model, some):
    """Gradients, tokens and losses of some rows; runs on a thread of its own."""
    inputs, targets, mask = batch_of(some)
    logits, routing = model(inputs, mask, torch.bfloat16)
    real = (targets >= 0).flatten()
    loss = CrossEntropy.apply(logits.flatten(0, 1), targets.flatten())
    balance, z = router_losses(routing, real)
    found = torch.autograd.grad(loss + BALANCE * balance + Z * z, list(model.parameters()))
    return found, int(real.sum()), torch.stack((loss, balance, z)).detach()


def accumulate(model, parts):
    """Set the parameters' gradients to the mean of the parts, in their order; returns tokens and mean losses."""
    parameters = list(model.parameters())
    tokens, losses = 0, []
    for found, count, loss in parts:
        for p, grad in zip(parameters, found):
            p.grad = p.grad.add_(grad) if losses else grad
        tokens += count
        losses.append(loss)
    for p in parameters:
        p.grad.div_(len(losses))
    return tokens, torch.stack(losses).mean(0).tolist()


def save(path, model, opts, **counters):
    torch.save({"model": model.state_dict(), "optimisers": [o.state_dict() for o in opts], **counters}, f"{path}.part")
    Path(f"{path}.part").rename(path)


def open_log(path, step):
    """The log, without the rows that an interrupted run wrote after its last saved step."""
    kept = []
    if step:
        with open(path) as lines:
            kept = [line for line in lines if json.loads(line)["step"] <= step]
    path.write_text("".join(kept))
    return open(path, "a")


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data", type=Path)
    ap.add_argument("tokenizer", type=Path)
    ap.add_argument("run", type=Path)
    ap.add_argument("--tokens", type=int, default=9_000_000)
    ap.add_argument("--rows", type=int, default=16, help="rows of 512 tokens a step; may differ from one --resume to the next")
    ap.add_argument("--lr", type=float, default=2e-3, help="of AdamW")
    ap.add_argument("--muon-lr", type=float, default=0.02)
    ap.add_argument("--warmup", type=int, default=80_000, help="tokens")
    ap.add_argument("--decay", type=float, default=0.3, help="last part of the tokens over which the rate falls")
    ap.add_argument("--weight-decay", type=float, default=0.02, help="of Muon")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--threads", type=int, default=2, help="pieces of a step that run side by side")
    ap.add_argument("--save-every", type=float, default=180.0, help="seconds")
    ap.add_argument("--stop-at", type=int, help="save and end at the first step after so many tokens")
    ap.add_argument("--resume", action="store_true")
    return ap.parse_args()


def step_of(model, opts, batch, share, args, pool):
    """One optimiser step on a batch of rows; returns its tokens, mean losses and gradient norm."""
    parts = pool.map(lambda at: gradients(model, batch[at:at + PIECE]), range(0, len(batch), PIECE))
    tokens, losses = accumulate(model, parts)
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
    if not math.isfinite(norm):
        raise SystemExit("the gradient is not finite")
    for opt, peak in zip(opts, (args.muon_lr, args.lr)):
        for group in opt.param_groups:
            group["lr"] = peak * share
    muon, adam = opts
    muon.step(pool)
    adam.step()
    return tokens, losses, norm


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    config = Config(vocab_size=tokenizer.get_vocab_size())
    model = LanguageModel(config)
    model.initialise(args.seed)
    opts = optimisers(model, args)
    args.run.mkdir(parents=True, exist_ok=True)
    config.save(args.run / "config.json")
    step = tokens = used = 0
    if args.resume:
        state = torch.load(args.run / "state.pt", weights_only=True)
        model.load_state_dict(state["model"])
        for opt, stored in zip(opts, state["optimisers"]):
            opt.load_state_dict(stored)
        step, tokens, used = state["step"], state["tokens"], state["rows"]
    domains = load_domains(args.data / "train", tokenizer, args.seed)
    stream = rows(domains, MIXES, tokenizer.token_to_id("<|bos|>"))
    for _ in islice(stream, used):
        pass
    held = load_documents(args.data / "heldout", tokenizer, limit=12)
    log = open_log(args.run / "log.jsonl", step)
    pool = ThreadPoolExecutor(args.threads, initializer=torch.set_num_threads, initargs=(1,))
    saved = began = time.time()
    first = tokens
    while tokens < (args.stop_at or args.tokens):
        share, before = rate(args, tokens + 1), tokens
        seen, (loss, balance, z), norm = step_of(model, opts, list(islice(stream, args.rows)), share, args, pool)
        step, used, tokens = step + 1, used + args.rows, tokens + seen
        row = {"step": step, "tokens": tokens, "loss": round(loss, 4), "balance": round(balance, 4), "z": round(z, 4),
               "share": round(share, 4), "norm": round(norm, 3), "rate": round((tokens - first) / (time.time() - began))}
        if tokens // EVALUATE_EVERY > before // EVALUATE_EVERY:
            row["heldout_bpb"] = {name: round(r["bits_per_byte"], 4) for name, r in bits_per_byte(model, held, torch.bfloat16).items()}
            row["rounds"] = {d.name: d.round for d in domains}
        log.write(json.dumps(row) + "\n")
        if step % 20 == 0 or "heldout_bpb" in row:
            print(json.dumps(row), flush=True)
            log.flush()
        if time.time() - saved > args.save_every:
            save(args.run / "state.pt", model, opts, step=step, tokens=tokens, rows=used)
            saved = time.time()
    save(args.run / "state.pt", model, opts, step=step, tokens=tokens, rows=used)


if __name__ == "__main__":
    main()
