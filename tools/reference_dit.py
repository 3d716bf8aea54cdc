"""Denoising models by PyTorch, float32 on the CPU: the reference that an engine is compared with.

    reference_dit.py --make DIR --shape S/2 --names timm --seed 1 [--sampler ddpm] [--pt FILE.pt]      a model with every weight random
    reference_dit.py MODEL --make-noise FILE.safetensors --samples 2 --sampler ddpm --steps 8 --seed 1
    reference_dit.py MODEL --noise FILE --expected OUT --sampler rectified-flow --steps 50 --cfg 1.5 --class 3,5
    reference_dit.py MODEL --table OUT.safetensors                                                     Switch-DiT: every timestep's experts
    reference_dit.py --count                                                                           parameters of the published sizes

MODEL is a folder of config.json and model.safetensors. A noise file holds `initial` f32 [samples, channels, size, size] and for ddpm `step` f32
[steps, samples, channels, size, size], what is added after each step in order of execution (the last is not used).

Expected file, rows by sample, step in order of execution, branch (0 conditional, 1 unconditional; one branch when --cfg is 1), patch row by row (one
row where the router sees no patches): `ffn.<layer>.router_logits` f32 [T,E], `ffn.<layer>.expert_ids` i32 [T,k] by falling score, ties to the lower
index, `ffn.<layer>.weights` f32 [T,k], `sample`, `step`, `branch`, `patch` i32 [T], `timestep` f32 [T], `latent` f32 [samples, channels, size, size]
at the end and `latent.<step>` after a step. With --logits-every N the logits are those of the steps 0, N, 2N, ... and `ffn.<layer>.rows` i32 names
their rows; 0 leaves them out. Metadata: `run`, JSON {sampler, steps, cfg, classes, schedule}.
"""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dit_model import DiTMoE
from dit_samplers import ddpm, rectified_flow
from switch_dit_model import SwitchDiT, prior_distance

PUBLISHED = {
    "S/2-8E2A": dict(width=384, depth=12, heads=6, experts=8),
    "S/2-16E2A": dict(width=384, depth=12, heads=6, experts=16),
    "B/2-8E2A": dict(width=768, depth=12, heads=12, experts=8),
    "L/2-8E2A": dict(width=1024, depth=24, heads=16, experts=8),
    "XL/2-8E2A": dict(width=1152, depth=28, heads=16, experts=8, qk_norm=True),
    "G/2-16E2A": dict(width=1408, depth=40, heads=16, experts=16, qk_norm=True),
}
SHAPES = PUBLISHED | {
    "S/2": PUBLISHED["S/2-8E2A"],
    "sample": dict(size=32, patch=4, channels=3, width=96, depth=6, heads=6, experts=8, classes=12),
    "tiny": dict(size=8, width=16, depth=3, heads=2, experts=4, classes=5),
    "tiny-wide-choice": dict(size=8, width=16, depth=2, heads=2, experts=5, top_k=3, shared=1, classes=5),
    "switch-tiny": dict(size=8, width=24, depth=3, heads=3, classes=5),
    "switch-S/2": dict(),
}
FIELDS = {
    "size": "input_size", "patch": "patch_size", "channels": "in_channels", "width": "hidden_size", "depth": "depth", "heads": "num_heads",
    "experts": "num_experts", "top_k": "num_experts_per_tok", "shared": "n_shared_experts", "classes": "num_classes",
}
DEFAULTS = dict(size=32, patch=2, channels=4, width=384, depth=12, heads=6, top_k=2, classes=1000)


def build(config, names):
    """The module a config.json describes; `names` are those of the checkpoint's tensors."""
    shape = {word: config[field] for word, field in FIELDS.items() if field in config}
    if config["model_type"] == "switch_dit":
        return SwitchDiT(**shape)
    return DiTMoE(**shape, qk_norm=any(name.endswith("attn.q_norm.weight") for name in names))


def load(folder):
    """(module in evaluation mode, config) of a folder."""
    config = json.loads((Path(folder) / "config.json").read_text())
    tensors = load_file(Path(folder) / "model.safetensors")
    model = build(config, tensors)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False), config


@torch.no_grad()
def fill(model, seed):
    """Every weight random, also those that training starts at zero, so that each layer passes on about the variance it gets."""
    generator = torch.Generator().manual_seed(seed)

    def normal(parameter, deviation, mean=0.0):
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation + mean)

    for name, parameter in model.named_parameters():
        inputs = parameter[0].numel() if parameter.dim() > 1 else 1
        if name == "pos_embed":
            continue
        if name.endswith("_norm.weight"):
            normal(parameter, 0.2, mean=1.0)
        elif name.endswith("experts.w"):
            normal(parameter, 0.5 * parameter.shape[1] ** -0.5)
        elif name.endswith("f_gate.1.weight"):
            normal(parameter, 2.5 * inputs ** -0.5)
        elif parameter.dim() == 1 or name.endswith("experts.b"):
            normal(parameter, 0.1)
        elif name.endswith("embedding_table.weight"):
            normal(parameter, 0.7)
        elif "adaLN_modulation" in name:
            normal(parameter, 0.6 * inputs ** -0.5)
        elif name.endswith("moe.gate.weight"):
            normal(parameter, 1.5 * inputs ** -0.5)
        elif name.startswith("t_embedder"):
            normal(parameter, 1.5 * inputs ** -0.5)
        else:
            normal(parameter, inputs ** -0.5)


def make(folder, shape_name, names, seed, sampler, schedule, pickled):
    shape = DEFAULTS | SHAPES[shape_name]
    switch = shape_name.startswith("switch-")
    kind = dict(model_type="switch_dit", num_experts=3) if switch else dict(model_type="dit_moe", n_shared_experts=2)
    shape.pop("qk_norm", None)
    config = kind | {FIELDS[word]: value for word, value in shape.items()}
    config |= dict(qk_norm=True) if names == "flash" and not switch else {}
    config |= dict(learn_sigma=True, sampler=sampler) | (dict(noise_schedule=schedule) if schedule else {})
    model = build(config, ["blocks.0.attn.q_norm.weight"] if names == "flash" else [])
    fill(model, seed)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    if pickled:
        pickled.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"ema": model.state_dict()}, pickled)


def make_noise(path, model_folder, samples, sampler, steps, seed):
    config = json.loads((model_folder / "config.json").read_text())
    shape = (samples, config["in_channels"], config["input_size"], config["input_size"])
    generator = torch.Generator().manual_seed(seed)
    tensors = {"initial": torch.randn(shape, generator=generator)}
    if (sampler or config["sampler"]) == "ddpm":
        tensors["step"] = torch.randn((steps, *shape), generator=generator)
    save_file(tensors, path)


class Recorder:
    """Collects what every router of a model decides, one call of the model after the other."""

    def __init__(self, model):
        self.routers = list(model.routers) if isinstance(model, SwitchDiT) else [block.moe for block in model.blocks]
        self.calls = []     # one per (step, branch): per layer (logits [rows, E], ids [rows, k], weights [rows, k])
        for router in self.routers:
            router.record = []

    def take(self):
        self.calls.append([router.record.pop() for router in self.routers])

    def table(self, layer, part, samples, branches):
        """[samples * steps * branches * patches, ...] of a layer: rows of a sample together."""
        rows = torch.stack([call[layer][part] for call in self.calls])
        rows = rows.view(len(self.calls) // branches, branches, samples, -1, rows.shape[-1])
        return rows.permute(2, 0, 1, 3, 4).reshape(-1, rows.shape[-1])


def ordered(ids, weights):
    """Both by falling weight, ties to the lower id."""
    by_id = ids.argsort(-1)
    ids, weights = ids.gather(-1, by_id), weights.gather(-1, by_id)
    order = weights.argsort(dim=-1, descending=True, stable=True)
    return ids.gather(-1, order).int(), weights.gather(-1, order)


@torch.no_grad()
def run(model, config, noise, sampler, steps, scale, classes, schedule):
    """(recorder, [(t, latent after the step)]) of one run; every branch is a call of its own."""
    recorder = Recorder(model)
    samples = len(classes)
    nothing = torch.full((samples,), model.classes)
    labels = [torch.tensor(classes)] + ([nothing] if scale != 1 else [])

    def answer(latent, t):
        outputs = []
        for label in labels:
            outputs.append(model(latent, torch.full((samples,), t), label))
            recorder.take()
        return outputs

    if sampler == "ddpm":
        guided = config["in_channels"] if config["model_type"] == "switch_dit" else 3
        walk = ddpm(answer, noise["initial"], noise["step"], steps, scale, guided, schedule)
    else:
        walk = rectified_flow(answer, noise["initial"], steps, scale)
    return recorder, list(walk)


def expected(recorder, walk, samples, branches, logits_every, latents_every):
    """Tensors of the expected file."""
    steps = len(walk)
    patches = len(recorder.calls[0][0][0]) // samples
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.int32) for n in (samples, steps, branches, patches)), indexing="ij")
    tensors = {name: axis.reshape(-1).clone() for name, axis in zip(("sample", "step", "branch", "patch"), axes)}
    tensors["timestep"] = torch.tensor([t for t, _ in walk])[tensors["step"].long()]
    rows = (tensors["step"] % logits_every == 0).nonzero()[:, 0] if logits_every else None
    for layer in range(len(recorder.routers)):
        logits, ids, weights = (recorder.table(layer, part, samples, branches) for part in range(3))
        tensors[f"ffn.{layer}.expert_ids"], tensors[f"ffn.{layer}.weights"] = ordered(ids, weights)
        if logits_every:
            tensors[f"ffn.{layer}.router_logits"] = logits[rows]
        if logits_every > 1:
            tensors[f"ffn.{layer}.rows"] = rows.int()
    tensors["latent"] = walk[-1][1]
    every = latents_every or (1 if steps * walk[0][1].numel() <= 50_000 else max(1, steps // 5))
    tensors |= {f"latent.{step}": latent.clone() for step, (_, latent) in enumerate(walk) if (step + 1) % every == 0}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def save_expected(path, recorder, walk, sampler, scale, classes, schedule, logits_every=1, latents_every=0):
    tensors = expected(recorder, walk, len(classes), 1 + (scale != 1), logits_every, latents_every)
    about = dict(sampler=sampler, steps=len(walk), cfg=scale, classes=classes, schedule=schedule)
    save_file(tensors, path, metadata={"run": json.dumps(about)})


@torch.no_grad()
def switch_table(model):
    """What the weights alone say. `table.probs` [1000, L, M], `table.ids` i32 [1000, L, k]; `prior.start` i32 [1000], the first unit (layer * M +
    expert) of the prior's window; `prior.match` i32 [L * M], the prior's unit for each unit of the network; `prior.cost` i32 [1] and `prior.jsd` [1],
    the distance between the two under that match."""
    probs, mapping, top_k = model.table(), model.prior._unit_mapping, model.routers[0].top_k
    ids = probs.argsort(dim=-1, descending=True, stable=True)[..., :top_k]
    match, cost, divergence = prior_distance(probs, top_k, mapping)
    return {
        "table.probs": probs, "table.ids": ids.int().contiguous(), "prior.start": mapping.argmax(1).int(), "prior.match": match.int(),
        "prior.cost": cost.int().view(1), "prior.jsd": divergence.view(1)}


def counts():
    """{published size: (all parameters, those one patch passes through)}, from shapes alone."""
    found = {}
    for name, shape in PUBLISHED.items():
        with torch.device("meta"):
            model = DiTMoE(**shape)
        idle = shape["experts"] - model.blocks[0].moe.top_k
        expert = sum(p.numel() for p in model.blocks[0].moe.experts[0].parameters())
        total = sum(p.numel() for p in model.parameters())
        found[name] = (total, total - idle * expert * len(model.blocks))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--expected", type=Path)
    parser.add_argument("--sampler", choices=("rectified-flow", "ddpm"), help="default: the model's")
    parser.add_argument("--schedule", choices=("linear", "cosine"), help="noise of ddpm; default: the model's, else linear")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--cfg", type=float, default=1.0)
    parser.add_argument("--class", dest="classes", type=lambda text: [int(part) for part in text.split(",")], help="one for each sample, or one for all")
    parser.add_argument("--logits-every", type=int, default=1)
    parser.add_argument("--latents-every", type=int, default=0, help="default: every step of a small run, else five of them")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--make", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--names", choices=("timm", "flash"), default="timm")
    parser.add_argument("--pt", type=Path)
    parser.add_argument("--make-noise", type=Path)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    if args.count:
        for name, (total, active) in counts().items():
            print(f"{name:10} {total:>17,} {active:>15,}")
    if args.make:
        make(args.make, args.shape, args.names, args.seed, args.sampler or "ddpm", args.schedule, args.pt)
    if args.make_noise:
        make_noise(args.make_noise, args.model or args.make, args.samples, args.sampler, args.steps, args.seed)
    if args.table:
        save_file(switch_table(load(args.model)[0]), args.table)
    if args.expected:
        if not (args.model and args.noise and args.classes):
            parser.error("--expected needs MODEL, --noise and --class")
        model, config = load(args.model)
        noise = load_file(args.noise)
        samples = len(noise["initial"])
        classes = args.classes * samples if len(args.classes) == 1 else args.classes
        sampler, schedule = args.sampler or config["sampler"], args.schedule or config.get("noise_schedule", "linear")
        if len(classes) != samples:
            raise SystemExit(f"{args.noise}: noise of {samples} samples, {len(classes)} classes")
        if sampler == "ddpm" and len(noise.get("step", ())) != args.steps:
            raise SystemExit(f"{args.noise}: `step` has noise of {len(noise.get('step', ()))} steps, not {args.steps}")
        recorder, walk = run(model, config, noise, sampler, args.steps, args.cfg, classes, schedule)
        save_expected(args.expected, recorder, walk, sampler, args.cfg, classes, schedule, args.logits_every, args.latents_every)


if __name__ == "__main__":
    main()
