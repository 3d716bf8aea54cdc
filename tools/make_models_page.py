"""docs/models.md: every family with what its router does and how far moetop is from transformers.

usage: make_models_page.py MOETOP [FOLDER ...] [--gguf FOLDER] [-o docs/models.md]

FOLDER holds model folders, like Tests/Fixtures/models. With --gguf those of them that have NAME/gguf/*.gguf and what llama.cpp made of
each (expected_llamacpp.json) become a second table, with the files of Tests/Fixtures/gguf; without it that table is kept as it stands in
the page.

Each model folder (config.json, input.json, expected.safetensors) is a row: `moetop inspect --json` says what it is, `moetop verify --json`
how it compares. Exit code 1 when one differs. Needs no Python package.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
KINDS = ("router_logits", "weights", "hidden", "logits")

HEAD = """# Models

What is run, and how far it is from transformers 5.23 in float32 on the models of `Tests/Fixtures/models` (random, tiny, made by
`tools/make_models.py`; `deepseek`, `bailing_moe`, `llama_moe`, `llama_moe_upscaling`, `sarvam_moe` and `smallthinker`, which it has no code for,
beside our own reading of the publishers', `tools/make_own_models.py`, and so `monet` and `moeut`, `tools/make_monet_models.py` and
`tools/make_moeut_models.py`; `sarvam_mla`, which is DeepSeek-V3 under other names, beside transformers' code of that).
Decisions are equal when the set of experts is; errors are the largest of their kind, relative to
max(1, largest expected magnitude). Written by `tools/make_models_page.py`; `FamilyParityTests` holds every row to it, and to the older spelling
of its configuration. A field that a declaration does not cover is refused by name (`moetop inspect FOLDER`).

| model_type | fixture | its routers | routers | decisions equal | router logits | weights | hidden | logits |
|---|---|---|---|---|---|---|---|---|
"""

TAIL = """
## Where llama.cpp routes otherwise

Files converted for llama.cpp run there with these differences; moetop follows the model's own definition.

| model_type | llama.cpp |
|---|---|
"""


GAPS_HEAD = """
## Known and not run

Mixtures of experts whose computation has a part that moetop has not. `moetop inspect` refuses them by name (`model_type`, the class in
`architectures`, or a GGUF file's `general.architecture`) with what they need; none is run approximately.

| name | what it needs |
|---|---|
"""

IMAGES_HEAD = """
## Models that make images

Beside PyTorch in float32 (`tools/reference_dit.py`, checked against the authors' code), on the models of `Tests/Fixtures/dit`: all
decisions of all steps, with guidance. What is computed is f32. The authors sample DiT-MoE's XL and G, the models with norms on queries
and keys, in f16 on a GPU: rounding there moves decisions near ties (1 to 2 % of them after 10 steps of 28 blocks when only queries and keys
are rounded), and no machine without that GPU can show which; `moetop inspect` says it of such a model. Guidance, steps and
schedule are the authors' where neither the file nor an option says otherwise: DiT-MoE 7 (rectified flow) and 4 (DDPM), three outputs
guided in DDPM; Switch-DiT 1.5.

| model_type | fixture | sampler | its routers | decisions equal | router logits | weights | latent |
|---|---|---|---|---|---|---|---|
"""

GGUF_HEAD = """
## GGUF files

Unquantised files beside the reference's own run, quantised ones beside the reference with the same dequantised weights in float32.
Files without numbers of llama.cpp are our own (`tools/make_gguf.py`), laid out as its converter does.
llama.cpp computes quantised files with quantised activations, so near ties fall otherwise there; its own column is against the same
target. Decisions are expert sets; the error is the largest of the routing weights where both chose alike.

| model | file | moetop: decisions equal | weights | llama.cpp: decisions equal | weights |
|---|---|---|---|---|---|
"""

GGUF_NAMES_HEAD = """
## Which families come as GGUF

By the architecture that llama.cpp's converter gives them. Where several families share one, the tokenizer's way of splitting text
(`tokenizer.ggml.pre`) tells them apart; where it does not, `moetop inspect` says which is assumed, as it says of every setting that a
file leaves out. What is assumed is what the published checkpoints have (groups and factor by the number of experts, gpt-oss' yarn, three
layers with a window before one without); `--set` replaces it, and `--set rope_scaling=null` turns a stretch off. Step's files hold divisors in place
of the rule that stretches its positions: the published rule is known by them, of any other the numbers have to be set (`--set
rope_parameters.full_attention.factor=…` and its like).

Files that Ollama's own converter wrote have the architectures `gptoss` and `glm4moelite`, or names of their own under llama.cpp's (`laguna`, `qwen35moe`,
`qwen3next`, `gemma4`, `nemotron_h_moe`, `lfm2moe`); they are read as the same families. Towers and layers that look ahead lie in the same file there:
`moetop inspect` counts them beside the model.

| model_type | general.architecture |
|---|---|
"""
NONE = "none: llama.cpp has no such architecture"
UNREAD = "none: llama.cpp is not known to have one"
ARCHITECTURES = {
    "afmoe": "`afmoe`", "cohere2_moe": "`cohere2moe`", "dbrx": "`dbrx`", "deepseek_v2": "`deepseek2`", "deepseek_v3": "`deepseek2`", "dots1": "`dots1`",
    "ernie4_5_moe": "`ernie4_5-moe`", "exaone_moe": "`exaone-moe`", "flex_olmo": NONE, "glm4_moe": "`glm4moe`", "glm4_moe_lite": "`deepseek2`",
    "gpt_oss": "`gpt-oss`", "granitemoe": "`granitemoe`", "granitemoehybrid": "`granitehybrid`", "granitemoeshared": "`granitemoe`",
    "hunyuan_v1_moe": "`hunyuan-moe`", "hy_v3": "`hy_v3`", "jetmoe": NONE, "kimi_k2": "`deepseek2`", "lfm2_moe": "`lfm2moe`",
    "llama4_text": "`llama4`", "longcat_flash": NONE, "mellum": "`mellum`", "minimax": "`minimax-01`", "minimax_m2": "`minimax-m2`",
    "mixtral": "`llama`", "monet": NONE, "nllb-moe": NONE, "olmoe": "`olmoe`", "phimoe": "`phimoe`", "qwen2_moe": "`qwen2moe`", "qwen3_moe": "`qwen3moe`",
    "qwen3_next": "`qwen3next`", "solar_open": "`glm4moe`", "switch_transformers": NONE,
    **{family: f"`{name}`" for family, name in (
        ("deepseek_v32", "deepseek32"), ("deepseek_v4", "deepseek4"), ("gemma4_text", "gemma4"), ("glm_moe_dsa", "glm-dsa"), ("jamba", "jamba"),
        ("kimi_linear", "kimi-linear"), ("laguna", "laguna"), ("mimo_v2_flash", "mimo2"), ("mistral4", "mistral4"),
        ("nemotron_h", "nemotron_h_moe"), ("qwen3_5_moe_text", "qwen35moe"), ("qwen3_vl_moe_text", "qwen3vlmoe"))},
    "bailing_moe": "`bailingmoe`, `bailingmoe2`", "bailing_hybrid": "`bailingmoe3`", "deepseek": "`deepseek`",
    "axk1": UNREAD, "flint": UNREAD, "kolibri1": UNREAD, "granitemoe_swa": "`granite_swa`", "minimax_m3": "`minimax-m3`",
    "glm4v_moe_text": "`glm4moe`, read as `glm4_moe`", "minimax_m3_vl_text": "`minimax-m3`, read as `minimax_m3`", "step3p5": "`step35`",
    "qwen3_omni_moe_text": "`qwen3vlmoe`, read as `qwen3_vl_moe_text`",
    "aria_text": NONE, "axk2": UNREAD, "ernie4_5_moe_vl": UNREAD, "ernie4_5_vl_moe_text": UNREAD, "llama_moe": NONE, "llama_moe_upscaling": NONE,
    "qwen4_exp_text": "`qwen4exp`", "hy_v4": "`hy_v4`, not read yet", "moeut": NONE, "deepseek_ocr2_text": "`deepseek2-ocr`, not read yet",
    "smallthinker": "`smallthinker`", "sarvam_moe": "`bailingmoe2`, read as `bailing_moe`", "sarvam_mla": UNREAD,
}

# Targets of these were computed by llama.cpp, which rounds the range of yarn frequencies and captures router logits without their bias.
GGUF_SETTINGS = {("gpt_oss", "q8_0"): "rope_scaling.truncate=true", ("gpt_oss", "mxfp4"): "rope_scaling.truncate=true"}


def gguf_row(moetop, path):
    """One file, or None where there is nothing to compare it with."""
    model, kind = path.parent.parent.name, path.stem
    own = json.loads((path.parent / "expected_llamacpp.json").read_text())
    dequantised = path.parent / f"expected_dequant_{kind}.safetensors"
    target = dequantised if dequantised.exists() else path.parent.parent / "expected.safetensors"
    settings = GGUF_SETTINGS.get((model, kind))
    verified = ask([moetop, "verify", path, "--tokens", path.parent.parent / "input.json", "--expected", target, "--json"]
                   + (["--set", settings] if settings else []))
    weights = max(t["error"] for t in verified["tensors"] if t["name"].endswith(".weights"))
    compared = own["files"].get(kind, {})
    other = compared.get("llamacpp_native_vs_dequant", compared.get("dequant_vs_llamacpp_native")) if dequantised.exists() \
        else own.get("llama_cpp_on_f32_gguf_vs_expected")
    theirs = f"{other['decisions_same']} of {other['decisions']} | {other['weights_max_err_where_same']:.0e}" if other else " | "
    equal = verified["equal_decisions"] == verified["decisions"]
    return equal, f"| {model} | {kind} | {verified['equal_decisions']} of {verified['decisions']} | {weights:.0e} | {theirs} |"


def converted_rows(moetop):
    """The files of our own, made of the folders of Tests/Fixtures/models; llama.cpp was not asked."""
    settings = json.loads((ROOT / "Tests/Fixtures/gguf/settings.json").read_text())
    for name, fields in sorted(settings.items()):
        folder, files = ROOT / "Tests/Fixtures/models" / name, ROOT / "Tests/Fixtures/gguf"
        own = files / f"{name}.expected.safetensors"
        verified = ask([moetop, "verify", files / f"{name}.gguf", "--tokens", folder / "input.json", "--expected",
                        own if own.exists() else folder / "expected.safetensors", "--json"] + [part for f in fields.items() for part in ("--set", "=".join(f))])
        weights = max(t["error"] for t in verified["tensors"] if t["name"].endswith(".weights"))
        equal = verified["equal_decisions"] == verified["decisions"]
        yield equal, f"| {name} | bf16 | {verified['equal_decisions']} of {verified['decisions']} | {weights:.0e} |  |  |"


def text_type(folder):
    """`model_type` of a configuration, or of the text model in it."""
    settings = json.loads((folder / "config.json").read_text())
    return settings.get("text_config", settings)["model_type"]


def kept_table(page):
    """The second table of the page as it is."""
    text = page.read_text() if page.exists() else ""
    start = text.find(GGUF_HEAD)
    return text[start + len(GGUF_HEAD):].split("\n\n")[0].rstrip("\n") if start >= 0 else ""


def ask(command):
    """The JSON a command prints; exit code 2 says that something differs, which the JSON says too."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 2):
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return json.loads(done.stdout)


def kind(name):
    """Which column an expected tensor belongs to, if any."""
    parts = name.split(".")
    first = parts[0].removeprefix("encoder_").removeprefix("decoder_")
    return next((k for k in KINDS if k in (first, parts[-1])), None)


def row(moetop, folder):
    family = text_type(folder)
    inspected = ask([moetop, "inspect", folder, "--json"])
    verified = ask([moetop, "verify", folder, "--tokens", folder / "input.json", "--expected", folder / "expected.safetensors", "--json"])
    errors = dict.fromkeys(KINDS)
    for tensor in verified["tensors"]:
        column = kind(tensor["name"])
        if column and tensor["result"] != "not produced":
            errors[column] = max(errors[column] or 0.0, tensor["error"])
    policies = list(dict.fromkeys(r["policy"] for r in inspected["routers"]))
    decisions = f"{verified['equal_decisions']} of {verified['decisions']}"
    if not verified["holds"]:
        decisions += " **differs**"
    numbers = ["" if e is None else "0" if e == 0 else f"{e:.0e}" for e in errors.values()]
    cells = [f"`{family}`", folder.name, "; ".join(policies), str(len(inspected["routers"])), decisions, *numbers]
    return family, verified["holds"], "| " + " | ".join(cells) + " |", inspected["llama_cpp_differs"]


def image_row(moetop, folder, expected):
    family = text_type(folder)
    verified = ask([moetop, "verify", folder, "--noise", folder / "noise.safetensors", "--expected", expected, "--json"])
    policies = list(dict.fromkeys(r["policy"] for r in ask([moetop, "inspect", folder, "--json"])["routers"]))

    def worst(chosen):
        errors = [t["error"] for t in verified["tensors"] if chosen(t["name"]) and t["result"] != "not produced"]
        return f"{max(errors):.0e}" if errors else ""
    numbers = [worst(lambda n: n.endswith("router_logits")), worst(lambda n: n.endswith(".weights")), worst(lambda n: n.startswith("latent"))]
    decisions = f"{verified['equal_decisions']} of {verified['decisions']}" + ("" if verified["holds"] else " **differs**")
    sampler = expected.stem.removeprefix("expected-")
    return verified["holds"], "| " + " | ".join([f"`{family}`", folder.name, sampler, "; ".join(policies), decisions, *numbers]) + " |"


def gap_rows(moetop):
    """What the program says of each family that it knows and does not run, by the first of its names."""
    source = (ROOT / "Sources/Model/Architectures/KnownGaps.swift").read_text().split("static let all")[1]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "Tests/Fixtures/models/olmoe/model.safetensors", folder)
        for name in re.findall(r'KnownGap\(\s*"([^"]+)"', source):
            (Path(folder) / "config.json").write_text(json.dumps(dict(model_type=name)))
            answer = subprocess.run([moetop, "inspect", folder, "--json"], capture_output=True, text=True).stdout
            yield f"| `{name}` | {json.loads(answer)['refused']['needs']} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("moetop")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs/models.md")
    args = parser.parse_args()
    moetop = str(Path(args.moetop).resolve())
    rows = [
        row(moetop, path.parent)
        for parent in [ROOT / "Tests/Fixtures/models", *args.folders]
        for path in sorted(parent.glob("*/expected.safetensors")) if any(path.parent.glob("model*.safetensors"))
    ]
    rows.sort(key=lambda r: r[0])
    families = {r[0] for r in rows}
    images = [image_row(moetop, path.parent, path) for path in sorted((ROOT / "Tests/Fixtures/dit").glob("*/expected-*.safetensors"))
              if (path.parent / "config.json").exists()]
    # `moetop inspect` says it of each model; the page lists each family's sentences once.
    notes = list(dict.fromkeys(f"| `{r[0]}` | {difference} |" for r in rows for difference in r[3]))
    files = [gguf_row(moetop, path) for path in sorted(args.gguf.glob("*/gguf/*.gguf"))] + list(converted_rows(moetop)) if args.gguf else []
    names = "\n".join(f"| `{family}` | {name} |" for family, name in sorted(ARCHITECTURES.items()))
    table = "\n".join(line for _, line in files) if args.gguf else kept_table(args.output)
    args.output.write_text(
        HEAD + "\n".join(r[2] for r in rows) + "\n" + IMAGES_HEAD + "\n".join(line for _, line in images) + "\n" + (GGUF_HEAD + table + "\n" if table else "") + GGUF_NAMES_HEAD
        + names + "\n" + GAPS_HEAD + "\n".join(gap_rows(moetop)) + "\n" + TAIL + "\n".join(notes) + "\n")
    differing = [r[2] for r in rows if not r[1]] + [line for equal, line in files + images if not equal]
    print(f"{args.output}: {len(rows)} models of {len(families)} families, {len(differing)} differ", *differing, sep="\n")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
