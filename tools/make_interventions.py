"""What transformers computes when routing is changed on purpose: Tests/Fixtures/Interventions.

usage: make_interventions.py [NAME ...] [-o Tests/Fixtures/Interventions]      (no name: all)

Each model runs as it is, but its experts are called with the ids and weights that a rule of `moetop run --intervene`
asks for, decided here from the router's own logits of that very pass, in PyTorch and without a line of moetop. Without
a rule the ids and weights decided here must be those that the model calls its experts with, else nothing is written.

NAME.json: {"model", "sequences", "cases": {name: rules}}; NAME.safetensors: <case>.<router>.expert_ids i32 [T,k],
.weights f32 [T,k] (0: dropped for want of room), <case>.losses f32 [T]: nats of each token of the decoder, NaN for the
first of a sequence. The rules of a case may name another case as CASE: the ids it took are taken again.

transformers 5.23 runs only the experts 0 and 1 of NLLB-MoE, whatever its router says. Its experts are replaced here by the published
computation; the router, with its capacity, is the library's own.
"""
import argparse
import json
import math
import re
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

import reference

ROOT = Path(__file__).resolve().parent.parent
EVERYWHERE = {
    "none": "", "mask": "mask all:1,3", "mask-best": "mask all:top1", "topk": "topk all=+1", "temperature": "temperature all=0.5",
    "scale": "scale all:2=0", "broadcast": "broadcast all", "swap": "swap all", "force": "force all:4",
    "capacity": "capacity all=1", "capacity-switch": "capacity all=0.5,switch", "capacity-priority": "capacity all=0.75,priority",
    "two": "mask all:0; topk all=+1; scale all:top1=0.5", "replay": "replay all=CASE(swap)",
}
BIASED = {"bias": "bias all=off", "shared": "shared all=off"}
# Models with a capacity of their own, in an encoder and a decoder.
LIMITED = {
    "capacity-tokens": "capacity all=2tok", "capacity-tokens-switch": "capacity all=2tok,switch",
    "capacity-tokens-priority": "capacity all=2tok,priority", "capacity-off": "capacity all=1000tok",
    "capacity-mask": "mask all:top1; capacity all=0.5", "capacity-swap": "swap all; capacity all=0.5,priority",
    "capacity-topk": "topk all=+1; capacity all=0.75,switch", "capacity-scale": "capacity all=0.5; scale all:top1=0.5",
    "encoder": "mask enc.*:top1", "decoder": "capacity dec.*=0.5", "both": "temperature enc.*=2; broadcast dec.*",
}


class Kind:
    """How a family scores, chooses and weighs, as its modelling file says."""

    def __init__(self, config, bias=None):
        self.type = config.model_type
        self.bias = bias
        self.top_k = next((getattr(config, n) for n in ("num_experts_per_tok", "num_experts_per_token") if hasattr(config, n)),
                          2 if self.type == "nllb-moe" else 1)
        self.config = config

    def scores(self, logits):
        if self.type == "deepseek_v3":
            return logits.sigmoid()
        return logits if self.type in ("gpt_oss", "phimoe") else logits.softmax(-1)

    def choice(self, scores, masked, with_bias=True):
        """Scores that top-k compares: bias, mask, groups."""
        choice = scores + self.bias if self.bias is not None and with_bias else scores.clone()
        choice = choice.masked_fill(masked, -torch.inf)
        groups, kept = (getattr(self.config, n, 1) or 1 for n in ("n_group", "topk_group"))
        if self.type == "deepseek_v3" and groups > kept:
            parts = choice.view(len(choice), groups, -1)
            best = parts.topk(2, -1).values.sum(-1).topk(kept, -1).indices
            allowed = torch.zeros(len(choice), groups, dtype=torch.bool).scatter(1, best, True)
            choice = choice.masked_fill(~allowed[..., None].expand_as(parts).reshape(choice.shape), 0.0)
        return choice.masked_fill(masked, -torch.inf)

    def weights(self, logits, scores, ids, served):
        """[T,k], 0 where an assignment is not served; ids by falling score."""
        if self.type == "nllb-moe":
            before = self.config.normalize_router_prob_before_dropping
            weights = scores.gather(1, ids) * (1 if before else served)
            total = weights.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).eps)
            return weights / total * served * (1 - self.config.moe_token_dropout)
        return self.plain_weights(logits, scores, ids) * served

    def plain_weights(self, logits, scores, ids):
        if self.type == "gpt_oss":
            return logits.gather(1, ids).softmax(-1)
        if self.type == "phimoe":
            return self.sparsemixer(logits, ids)
        weights = scores.gather(1, ids)
        if self.type in ("mixtral", "deepseek_v3"):
            weights = weights / (weights.sum(-1, keepdim=True) + (1e-20 if self.type == "deepseek_v3" else 0))
        return weights * (self.config.routed_scaling_factor if self.type == "deepseek_v3" else 1)

    def sparsemixer(self, logits, ids):
        """One after the other: a softmax over those left within reach of the one taken."""
        left, out = logits.clone(), []
        for place in range(ids.shape[1]):
            own = ids[:, place:place + 1]
            best = logits.gather(1, own)
            factor = logits.abs().clamp(min=best)
            near = left.masked_fill((best - logits) / factor > 2 * self.config.router_jitter_noise, -torch.inf)
            out.append(near.softmax(-1).gather(1, own))
            left = left.scatter(1, own, -torch.inf)
        return torch.cat(out, 1)

    def probabilities(self, logits):
        if self.type == "deepseek_v3":
            return logits.sigmoid() / logits.sigmoid().sum(-1, keepdim=True) * self.config.routed_scaling_factor
        return logits.softmax(-1) * (1 - self.config.moe_token_dropout if self.type == "nllb-moe" else 1)

    def own_room(self, count):
        """(tokens that an expert takes of a sequence, who is served first) where the family has such a limit."""
        if self.type == "switch_transformers":
            return self.config.expert_capacity, "gshard"
        if self.type == "nllb-moe":
            share = self.config.moe_eval_capacity_token_fraction
            room = math.ceil(share * count) if share > 0 else self.config.expert_capacity
            return room, "priority" if self.config.batch_prioritized_routing else "gshard"
        return None


def room_served(ids, order, room):
    """[T,k]: whether there was room for an assignment when they come in `order`."""
    used, served = {}, torch.ones_like(ids, dtype=torch.bool)
    for row, rank in order:
        expert = ids[row, rank].item()
        used[expert] = used.get(expert, 0) + 1
        served[row, rank] = used[expert] <= room
    return served


def decide(kind, logits, rules, replayed):
    """(ids [T,k], weights [T,k]) of one router and sequence under rules."""
    for rule in rules:
        if rule[0] == "temperature":
            logits = logits / float(rule[2])
    scores, (count, experts) = kind.scores(logits), logits.shape
    masked, k = torch.zeros_like(logits, dtype=torch.bool), kind.top_k
    with_bias = not any(r[0] == "bias" for r in rules)
    capacity, forced, swaps = None, [], False
    for name, which, value in rules:
        if name == "mask" and which.startswith("top"):
            best = kind.choice(scores, masked, with_bias).topk(int(which[3:]), -1).indices
            masked = masked.scatter(1, best, True)
        elif name == "mask":
            masked[:, [int(e) for e in which.split(",")]] = True
        elif name == "topk":
            k = k + int(value) if value[0] in "+-" else int(value)
        elif name == "force":
            forced = [int(e) for e in which.split(",")]
        elif name == "swap":
            swaps = True
        elif name == "capacity":
            size, _, order = value.partition(",")
            room = int(size[:-3]) if size.endswith("tok") else None
            capacity = (room, size, order or "gshard")
    choice = kind.choice(scores, masked, with_bias)
    order = torch.sort(choice, dim=-1, descending=True, stable=True).indices
    ids = order[:, :k]
    if swaps:
        ids = torch.cat([order[:, :k - 1], order[:, k:k + 1]], 1)
    if forced:
        rest = [[e for e in row if e not in forced][:k - len(forced)] for row in order.tolist()]
        ids = torch.tensor([r + forced for r in rest])
    if replayed is not None:
        ids = replayed
    ids = ids.gather(1, torch.sort(choice.gather(1, ids), dim=-1, descending=True, stable=True).indices)
    rows, first, served = range(count), scores.gather(1, ids[:, :1])[:, 0].tolist(), torch.ones_like(ids, dtype=torch.bool)
    limit = kind.own_room(count)
    if capacity:
        limit = capacity[0] or max(1, math.ceil(float(capacity[1]) * k * count / experts)), capacity[2]
    if limit:
        room, order = limit
        places = [(t, j) for j in range(k) for t in rows]
        if order == "switch":
            places = [(t, j) for t in rows for j in range(k)]
        elif order == "priority":
            places = [(t, j) for j in range(k) for t in sorted(rows, key=lambda t: (-first[t], t))]
        served = room_served(ids, places, room)
    # SparseMixer's weights are over the experts that it sees.
    seen = logits.masked_fill(masked, -torch.inf) if kind.type == "phimoe" else logits
    weights = kind.weights(seen, scores, ids, served)
    for name, which, value in rules:
        if name == "broadcast":
            ids, weights = torch.arange(experts).expand(count, -1), kind.probabilities(logits)
        elif name == "scale" and which.startswith("top"):
            weights = torch.cat([weights[:, :int(which[3:])] * float(value), weights[:, int(which[3:]):]], 1)
        elif name == "scale":
            weights = torch.where(torch.isin(ids, torch.tensor([int(e) for e in which.split(",")])), weights * float(value), weights)
    return ids, weights


class Changed:
    """Hooks that call every block's experts as the rules ask, and keep with what."""

    def __init__(self, model):
        self.logits, self.seen, self.worst, self.rules, self.replay = {}, {}, 0.0, [], None
        modules = dict(model.named_modules())
        for name, block in modules.items():
            router = getattr(block, "router", getattr(block, "gate", None))
            experts = getattr(block, "experts", None)
            if not isinstance(router, torch.nn.Module) or not isinstance(experts, torch.nn.Module):
                continue
            stack = next((short for word, short in (("encoder", "enc"), ("decoder", "dec")) if word in name.split(".")), "ffn")
            layer = re.search(r"[.](\d+)[.]", name).group(1)
            key = f"{stack}.{layer}"
            kind = Kind(model.config, getattr(router, "e_score_correction_bias", None))
            router.register_forward_hook(self._keep(key))
            experts.register_forward_pre_hook(self._change(key, kind), with_kwargs=True)
            shared = getattr(block, "shared_experts", None)
            if shared is not None:
                shared.register_forward_hook(lambda m, a, out: out * 0 if any(r[0] == "shared" for r in self.rules) else out)

    def begin(self, rules, replay):
        self.rules, self.replay, self.seen = rules, replay, {}

    def _keep(self, key):
        def hook(module, args, out):
            found = [o for o in (out if isinstance(out, tuple) else (out,)) if o.dtype == torch.float32]
            # The raw logits are the widest: [.., experts].
            experts = max(o.shape[-1] for o in found)
            wide = [o for o in found if o.shape[-1] == experts]
            self.logits[key] = (wide[-1] if key[0] in "ed" else wide[0]).reshape(-1, experts).float()
        return hook

    def _change(self, key, kind):
        def hook(module, args, kwargs):
            values = [*args, *kwargs.values()]
            hidden, ids, weights = values[:3]
            start = sum(len(i) for i, _ in self.seen.get(key, []))
            replayed = None
            if self.replay is not None:
                replayed = self.replay[key][start:start + len(hidden.reshape(-1, hidden.shape[-1]))].long()
            rules = [rule[:1] + rule[2:] for rule in self.rules if rule[1] == "all" or key.startswith(rule[1].rstrip("*"))]
            mine, own = decide(kind, self.logits[key], rules, replayed)
            self.seen.setdefault(key, []).append((mine, own))
            one_hot = ids.ndim == 3
            if not self.rules:
                theirs = torch.zeros_like(self.logits[key])
                if kind.type == "nllb-moe":
                    theirs = weights.float() * (1 - kind.config.moe_token_dropout)
                elif one_hot:
                    theirs = ids[:, 0].float() * weights
                else:
                    theirs = theirs.scatter(1, ids, weights.float() if weights.shape == ids.shape else weights.gather(1, ids).float())
                ours = torch.zeros_like(theirs).scatter(1, mine, own)
                self.worst = max(self.worst, (theirs - ours).abs().max().item())
            if one_hot:
                mine = torch.nn.functional.one_hot(mine, self.logits[key].shape[1])
            return (hidden, mine, own.to(weights.dtype), *values[3:]), {}
        return hook


def parsed(text):
    """[(action, experts, value)] and the case that is replayed."""
    rules, case = [], None
    for part in filter(None, (p.strip() for p in text.split(";"))):
        action, layers, experts, value = re.fullmatch(r"([a-z]+) ([^:=]+)(?::([^=]*))?(?:=(.*))?", part).groups()
        assert layers in ("all", "enc.*", "dec.*")
        if action == "replay":
            case = re.fullmatch(r"CASE\((.*)\)", value).group(1)
        rules.append((action, layers, experts, value))
    return rules, case


@torch.inference_mode()
def read(model, sequence):
    """Logits of the decoder, and its tokens."""
    if isinstance(sequence, dict):
        out = model(input_ids=torch.tensor([sequence["encoder"]]), decoder_input_ids=torch.tensor([sequence["decoder"]]), use_cache=False)
        return out.logits[0], sequence["decoder"]
    return model(torch.tensor([sequence]), use_cache=False).logits[0], sequence


def nllb_experts(self, hidden, ids, weights):
    """The published computation: [T,width] by ids and weights [T,k]."""
    out = torch.zeros_like(hidden)
    for expert in range(self.num_experts):
        rows, places = torch.where(ids == expert)
        if len(rows):
            out.index_add_(0, rows, self[f"expert_{expert}"](hidden[rows]) * weights[rows, places, None])
    return out


ENCODERS = {"switch_transformers": transformers.SwitchTransformersForConditionalGeneration,
            "nllb-moe": transformers.NllbMoeForConditionalGeneration}


def make(name, folder, sequences, cases, out):
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    if kind in ENCODERS:
        transformers.models.nllb_moe.modeling_nllb_moe.NllbMoeExperts.forward = nllb_experts
        model = ENCODERS[kind].from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    else:
        model = reference.load_model(folder)
    changed, tensors = Changed(model), {}
    for case, text in cases.items():
        rules, source = parsed(text)
        replay = source and {k[len(source) + 1:-len(".expert_ids")]: v for k, v in tensors.items()
                             if k.startswith(source + ".") and k.endswith(".expert_ids")}
        changed.begin(rules, replay)
        losses = []
        for sequence in sequences:
            logits, ids = read(model, sequence)
            nats = torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(ids[1:]), reduction="none")
            losses += [math.nan, *nats.tolist()]
        tensors[f"{case}.losses"] = torch.tensor(losses, dtype=torch.float32)
        for key, parts in changed.seen.items():
            tensors[f"{case}.{key}.expert_ids"] = torch.cat([i for i, _ in parts]).int().contiguous()
            tensors[f"{case}.{key}.weights"] = torch.cat([w for _, w in parts]).float().contiguous()
    if changed.worst > 1e-6:
        raise SystemExit(f"{name}: without rules, weights differ from the model's by {changed.worst}")
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / f"{name}.safetensors")
    (out / f"{name}.json").write_text(json.dumps(
        {"model": str(folder.relative_to(ROOT)), "sequences": sequences, "cases": cases}, separators=(",", ":")) + "\n")
    base = tensors["none.losses"].nanmean().item()
    print(f"{name}: {len(sequences)} sequences, loss {base:.4f}; without rules at most {changed.worst:.1e} from the model's own weights")
    for case, text in cases.items():
        keys = [f"{case}.{router}.weights" for router in changed.seen]
        dropped = sum((tensors[key] == 0).sum().item() for key in keys)
        change = tensors[f"{case}.losses"].nanmean().item() - base
        print(f"  {case:24}  {text:44}  loss {change:+.4f}  {dropped:4} weights of 0")


def sample_sequences():
    """The beginnings of two texts of the bundled corpus."""
    folder = ROOT / "samples/olmoe-tiny"
    return [d.ids[:20] for d in reference.read_corpus(ROOT / "samples/corpus.jsonl", folder)[:2]]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("names", nargs="*")
    ap.add_argument("-o", "--out", type=Path, default=ROOT / "Tests/Fixtures/Interventions")
    args = ap.parse_args()
    models = {n: ROOT / "Tests/Fixtures/models" / n for n in (
        "mixtral", "deepseek_v3", "gpt_oss", "phimoe", "switch_transformers", "switch_transformers-untied", "nllb_moe",
        "nllb_moe-fixed", "nllb_moe-prioritized")}
    models["olmoe-sample"] = ROOT / "samples/olmoe-tiny"
    for name in args.names or models:
        folder = models[name]
        sequences = sample_sequences() if name == "olmoe-sample" else json.loads((folder / "input.json").read_text())["sequences"]
        further = BIASED if name == "deepseek_v3" else LIMITED if name.startswith(("switch", "nllb")) else {}
        cases = dict(EVERYWHERE, **further)
        make(name, folder, sequences, cases, args.out)


if __name__ == "__main__":
    main()
