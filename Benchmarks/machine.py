"""What is this machine, what can it do at all, and was anything else running while it was measured?"""
import functools
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Above these shares of the machine's time a run does not count as quiet.
LOUDEST = {"others": 0.05, "steal": 0.02}


def processor():
    """The name that the system has for it."""
    if platform.system() == "Darwin":
        return subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True).stdout.strip()
    listed = subprocess.run(["lscpu", "--json"], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout
    facts = {row["field"].rstrip(":"): row["data"] for row in flat(json.loads(listed)["lscpu"])}
    name = facts.get("Model name", platform.machine())
    # A virtual machine often hides the model; family and number tell generations apart.
    numbers = [f"{word} {facts[key]}" for word, key in (("family", "CPU family"), ("model", "Model")) if key in facts]
    return f"{name} ({', '.join(numbers)})" if numbers and not any(c.isdigit() for c in name) else name


def flat(rows):
    for row in rows:
        yield row
        yield from flat(row.get("children", []))


def flags():
    """Instruction sets, as /proc/cpuinfo has them."""
    text = Path("/proc/cpuinfo").read_text()
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), ":")
    return set(line.split(":", 1)[1].split())


def memory():
    """(bytes in all, bytes that are free or can be made so)"""
    facts = {line.split(":")[0]: int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines() if line.endswith("kB")}
    return facts["MemTotal"], facts["MemAvailable"]


def described():
    sets = flags()
    shown = ["avx2", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve"]
    return {"processor": processor(), "cores": len(os.sched_getaffinity(0)), "memory_gb": round(memory()[0] / 1e9, 1),
            "instructions": [name for name in shown if name in sets], "system": f"{platform.system()} {platform.release()} {platform.machine()}"}


@functools.cache
def limits_program():
    folder = tempfile.TemporaryDirectory()
    program = f"{folder.name}/ceiling"
    subprocess.run(["cc", "-O3", "-march=native", "-ffp-contract=fast", "-pthread", HERE / "ceiling.c", "-o", program], check=True)
    return folder, program


def limits(threads):
    """What `threads` threads can do: f32 in GFLOP/s, int8 in 10^9 operations a second or None, read in GB/s (ceiling.c)."""
    return json.loads(subprocess.run([limits_program()[1], str(threads), "all"], check=True, capture_output=True, text=True).stdout)


def ceiling(threads):
    """f32 multiply-adds a second that the machine's units can do."""
    return 0.5e9 * float(subprocess.run([limits_program()[1], str(threads)], check=True, capture_output=True, text=True).stdout)


# Bytes of a number that attention keeps of earlier tokens.
KEPT_BYTES = {"moetop": 4, "llama_cpp": 2, "transformers": 4}


def seen(attention, tokens):
    """Positions that tokens see over all layers, the mean of the tokens at these places."""
    return sum(attention["layers"] * place + attention["window_layers"] * min(place, attention["window"]) for place in tokens) / len(tokens)


def shares(work, kind, speed, tokens, decoded, limits, engine):
    """What a speed is of the limits. Reading is held against arithmetic, generating against reading weights and what is kept of earlier tokens.

    - Parameters: work is that of a token (make_bench_model.py), speed in tokens per second, tokens those of a text, decoded those generated
      behind one, limits of `limits`, engine one of KEPT_BYTES. All but transformers leave the last layer's experts out of a capture.
    """
    attention = work["attention"]
    if kind == "decode":
        kept = seen(attention, range(tokens + 1, tokens + decoded + 1)) * attention["kept"] * KEPT_BYTES[engine]
        return {"read": round(1e-9 * (work["read_bytes"] + kept) * speed / limits["read"], 3)}
    products = work["multiply_adds"] + (work["head_multiply_adds"] if kind == "score" else 0)
    products += seen(attention, range(1, tokens + 1)) * attention["per_position"]
    if kind == "capture" and engine != "transformers":
        products -= work["last_experts_multiply_adds"]
    rate = 2e-9 * products * speed
    return {"f32": round(rate / limits["f32"], 3), "int8": round(rate / limits["int8"], 3) if limits["int8"] else None}


class Watch:
    """The machine's time between start and stop: taken by the host (steal), and by others than this process and its ended children.

    A child that outlives the watch counts as another, so start and stop it in between.
    """

    def __init__(self):
        self.began = self.jiffies()

    @staticmethod
    def jiffies():
        user, nice, system, idle, waiting, hard, soft, steal = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
        own = sum(os.times()[:4]) * os.sysconf("SC_CLK_TCK")
        return user + nice + system + hard + soft, steal, user + nice + system + idle + waiting + hard + soft + steal, own

    def stop(self):
        busy, steal, total, own = (b - a for a, b in zip(self.began, self.jiffies()))
        found = {"others": round(max(0.0, busy - own) / max(1, total), 3), "steal": round(steal / max(1, total), 3),
                 "load": round(os.getloadavg()[0], 2)}
        found["quiet"] = all(found[name] <= most for name, most in LOUDEST.items())
        return found


def at_rest(seconds=3):
    """What runs before anything of ours does."""
    watch = Watch()
    time.sleep(seconds)
    return watch.stop()
