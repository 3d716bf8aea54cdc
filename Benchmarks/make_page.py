"""docs/speed.md from every result in Benchmarks/results: tables of each machine, newest first.

usage: make_page.py [--results FOLDER] [-o FILE]

What was not measured is said with its reason.
"""
import argparse
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results", HERE.parent / "docs" / "speed.md"
HEAD = """# Speed

Made by `Benchmarks/make_page.py` from what `Benchmarks/run.py` wrote. Every ratio is moetop beside a peer on the same model, token ids and threads in
one run: runs of the two alternate, the ratio is the median over rounds of one beside the other right after it, with the least and the greatest.
Above 1, moetop is faster. Models have the shapes of published ones and random weights.

- **capture**: texts are read and every decision is recorded, no logits. **score**: the logits of every token too. **decode**: single tokens.
- **of limits**: what a speed is of what the machine can do at all with as many threads, measured right before: arithmetic in f32 and of 8-bit integers
  for capture and score, reading memory for decode: weights, and what attention keeps of earlier tokens, in f32 (llama.cpp: f16). Only what is
  computed counts: a capture leaves out the experts of the last layer, but in transformers. moetop sums generated
  tokens, and with VNNI texts too, in integers that lose nothing f32 would keep where weights are quantised; llama.cpp rounds activations to 8 bits.
  Both may so pass the limit of f32.
- **quiet**: at most 5 % of the machine's time went to other programs and 2 % to the host (steal) while it was measured. A ratio from a machine
  that was not quiet is a hint.
"""
PEERS = {"llama_cpp": "llama.cpp", "transformers": "transformers", "pytorch": "PyTorch"}


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value):
    return f"{100 * value:.0f} %"


def ratio(row):
    return f"**{row['ratio']:.2f}** ({row['ratio_range'][0]:.2f} to {row['ratio_range'][1]:.2f})"


def quiet(meanwhile):
    return "yes" if meanwhile["quiet"] else f"no: others {percent(meanwhile['others'])}, steal {percent(meanwhile['steal'])}"


def shares(found):
    return ", ".join(f"{name} {percent(value)}" for name, value in found.items() if value is not None)


def measured(entries):
    return [entry for entry in entries if "not_measured" not in entry]


def beside(peer):
    """The part of a peer that is measured by kinds."""
    def written(entries):
        head = ["model", "kind", "moetop", PEERS[peer], "ratio", "moetop of limits", f"{PEERS[peer]} of limits", "quiet"]
        rows = [[entry["title"], kind, number(entry[kind]["moetop"]), number(entry[kind][peer]), ratio(entry[kind]),
                 *(shares(entry[kind]["of_limits"][name]) for name in ("moetop", peer)), quiet(entry["meanwhile"])]
                for entry in measured(entries) for kind in ("capture", "score", "decode")]
        return f"Tokens per second; texts of {entries_tokens(entries)} tokens.\n\n" + table(head, rows) + "\n" + limits(measured(entries))
    return written


def entries_tokens(entries):
    first = measured(entries)[0]
    return first["tokens"] if "model" in first else first["tokens"] // first["documents"]


def limits(entries):
    """The least and the most of what was measured before each comparison."""
    def between(name):
        values = [entry["limits"][name] for entry in entries if entry["limits"][name] is not None]
        return f"{number(min(values))} to {number(max(values))}" if values else "not measured"
    instruction = entries[0]["limits"]["int8_instruction"]
    integers = f"{between('int8')} x 10^9 operations a second ({instruction})" if instruction else "not measured"
    return f"Limits: f32 {between('f32')} GFLOP/s; 8-bit integers {integers}; memory {between('read')} GB/s.\n"


def diffusion(entries):
    return "Guided steps per second, one sample.\n\n" + table(
        ["model", "moetop", "PyTorch", "ratio", "moetop of f32", "quiet"],
        [[e["title"], number(e["moetop"]), number(e["pytorch"]), ratio(e), percent(e["share_of_ceiling"]), quiet(e["meanwhile"])]
         for e in measured(entries)])


def recording(entries):
    def cost(found):
        return f"{100 * found['cost']:.1f} % ({100 * found['cost_range'][0]:.1f} to {100 * found['cost_range'][1]:.1f})"
    rows = [[e["title"], kind, number(e[kind]["none"]), cost(e[kind]["weights"]), cost(e[kind]["full"]), quiet(e["meanwhile"])]
            for e in measured(entries) for kind in ("capture", "decode")]
    return ("What a trace takes of the speed without one, with the least and the greatest of the rounds; the weights' hash is part of it.\n\n"
            + table(["model", "kind", "no trace, tok/s", "ids and weights", "full", "quiet"], rows))


def footprint(entries):
    def megabytes(entry, name):
        return number(entry[name] / 1e6) if entry.get(name) is not None else "not measured"
    return ("Anonymous memory in MB while one text is read, beyond the mapped file. llama.cpp by itself makes a second copy of many weights.\n\n"
            + table(["model", "tokens", "moetop", "llama.cpp", "llama.cpp without the copy"],
                    [[e["title"], e["tokens"], *(megabytes(e, name) for name in ("moetop", "llama_cpp", "llama_cpp_without_copy"))]
                     for e in measured(entries)]))


def start(entries):
    lines = {"version": "`--version`", "inspect": "`inspect` of Qwen3-30B-A3B in bf16, 61 GB (no bytes on disk)", "answer": "8 tokens read",
             "recorded": "8 tokens read into a new trace", "llama_cpp": "8 tokens read by llama.cpp, from opening the file"}
    rows = [[entry["title"], line, f"{entry[name]['median']:.3f} ({entry[name]['range'][0]:.3f} to {entry[name]['range'][1]:.3f})"
             if entry.get(name) else "not measured"] for entry in measured(entries) for name, line in lines.items()]
    return "Seconds from start to end, files in the page cache.\n\n" + table(["model", "what", "seconds"], rows)


def growth(entries):
    def cell(found):
        return f"{number(found['seconds'])} s, x{found['factor']:.2f}" if found else "not measured"
    rows = [[entry["title"], name, row["of"], cell(row["moetop"]), cell(row["llama_cpp"])]
            for entry in measured(entries) for name in ("tokens", "layers", "threads") for row in entry.get(f"{name}_rows", [])]
    return "Time to read one text, and its factor to the first line of its kind.\n\n" + table(["model", "of", "", "moetop", "llama.cpp"], rows)


def traces(entries):
    lines = {"write": "written with statistics, passes of 512 tokens", "decode": "written, passes of one token", "read": "read back",
             "fold": "folded, load and entropy", "answer": "read, folded and reported", "analyze": "the same by `moetop analyze`, without its start"}
    rows = [[entry["title"], line, number(entry[name])] for entry in measured(entries) for name, line in lines.items()]
    return "Millions of decisions a second of one core's processor time, that of the system included.\n\n" + table(["routers", "what", "M/s"], rows)


PARTS = {
    "llama": ("Beside llama.cpp", beside("llama_cpp")), "transformers": ("Beside transformers", beside("transformers")),
    "diffusion": ("Denoising, beside PyTorch", diffusion), "recording": ("What recording costs", recording),
    "footprint": ("Memory", footprint), "start": ("Start-up", start), "growth": ("Growth", growth),
    "traces": ("Traces", traces),
}


def installed(name, peer):
    if "not_measured" in peer:
        return f"not measured: {' '.join(peer['not_measured'].split())}"
    if peer.get("given"):
        return f"as found in the environment of --{name}-python"
    if name == "torch":
        return "from PyPI"
    failed = ", as its native build (GGML_NATIVE=ON) died of an illegal instruction" if peer["native_failed"] else ""
    return f"built from source with {peer['arguments']}{failed}"


def peers(report):
    """Names as the comparisons gave them, and how each came here or why there is none."""
    lines = []
    for name, part, kind in (("llama", "llama", "llama.cpp"), ("torch", "transformers", "transformers and PyTorch")):
        named = next((entry["peer"] for entry in report["parts"].get(part, []) if "peer" in entry), kind)
        peer = report["peers"].get(name, {"not_measured": "no part that was asked for needs it"})
        lines.append(f"- {named}: {installed(name, peer)}")
    return "\n".join(lines)


def section(report):
    machine, rest = report["machine"], report["at_rest"]
    yield f"## {machine['processor']}, {report['date']}\n"
    if report["quick"]:
        yield "**Cut models, short texts, two rounds (`--quick`): no results.**\n"
    yield (f"{machine['cores']} cores, {machine['memory_gb']} GB, {', '.join(machine['instructions']) or 'no wide instructions'}, {machine['system']}; "
           f"{report['threads']} threads. {report['moetop'].splitlines()[0]}. Before anything ran: others {percent(rest['others'])}, "
           f"steal {percent(rest['steal'])}, load {rest['load']}.\n")
    yield peers(report) + "\n"
    for name, (title, write) in PARTS.items():
        yield f"### {title}\n"
        entries = report["parts"].get(name)
        if not entries:
            yield "Not measured: this part was not asked for.\n"
            continue
        if measured(entries):
            yield write(entries)
        for entry in entries:
            if "not_measured" in entry:
                yield f"{entry['title']}: not measured: {' '.join(entry['not_measured'].split())}\n"


def page(folder):
    reports = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"), reverse=True)]
    parts = [HEAD] + [text for report in reports for text in section(report)]
    return "\n".join(parts if reports else [HEAD, "No machine was measured yet: `python3 Benchmarks/run.py`.\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("-o", "--out", type=Path, default=PAGE)
    args = parser.parse_args()
    args.out.write_text(page(args.results))


if __name__ == "__main__":
    main()
