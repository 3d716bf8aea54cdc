"""Cut a small table of router decisions out of reference captures.

usage: make_router_cases.py FIXTURES_DIR -o Tests/Fixtures/router_cases.json [--rows 12]

Reads `<family>/expected.safetensors` (router logits, expert ids, weights as the reference applied them) and the selection bias from
`<family>/model.safetensors` where the family has one. One router a stack and family is enough to pin the rule.
"""
import argparse
import json
import pathlib
import re

import numpy as np
from safetensors import safe_open

BIAS = re.compile(r"(\.(\d+)\..*(e_score_correction_bias|expert_bias))$")


def numbers(array):
    """Shortest decimal spelling of each float32."""
    return [float(np.format_float_positional(v, unique=True)) for v in np.asarray(array, dtype=np.float32).ravel()]


def cases(folder, rows):
    with safe_open(folder / "expected.safetensors", "pt") as expected:
        names = sorted(n for n in expected.keys() if n.endswith(".router_logits"))
        biases = {}
        with safe_open(folder / "model.safetensors", "pt") as model:
            for name in model.keys():
                found = BIAS.search(name)
                if found:
                    biases[int(found.group(2))] = model.get_tensor(name).float().numpy().ravel()
        for stack in sorted({n.split(".")[0] for n in names}):
            layer = [n.split(".")[1] for n in names if n.startswith(stack + ".")][-1]
            prefix = f"{stack}.{layer}."
            logits = expected.get_tensor(prefix + "router_logits").float().numpy()[:rows]
            case = dict(
                family=folder.name,
                router=f"{stack}.{layer}",
                expertCount=int(logits.shape[1]),
                logits=numbers(logits),
                ids=expected.get_tensor(prefix + "expert_ids").numpy()[:rows].ravel().tolist(),
                weights=numbers(expected.get_tensor(prefix + "weights").float().numpy()[:rows]),
            )
            if int(layer) in biases:
                case["bias"] = numbers(biases[int(layer)])
            yield case


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fixtures", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=12)
    args = parser.parse_args()
    folders = sorted(p.parent for p in args.fixtures.glob("*/expected.safetensors") if (p.parent / "model.safetensors").exists())
    table = [case for folder in folders for case in cases(folder, args.rows)]
    args.output.write_text("[\n" + ",\n".join(json.dumps(case) for case in table) + "\n]\n")
    print(f"{len(table)} cases of {len(folders)} models")


if __name__ == "__main__":
    main()
