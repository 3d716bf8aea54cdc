"""What answers of moetop's own models must be, from the reference tensors that lie beside the fixtures (transformers and PyTorch computed them)."""
import json
import math
import struct

from .common import softmax

KINDS = {"F32": "f", "I32": "i"}


def tensor(file, name):
    """Rows of a two-dimensional tensor of a safetensors file."""
    with open(file, "rb") as opened:
        length, = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(length))[name]
        start, end = header["data_offsets"]
        opened.seek(8 + length + start)
        values = struct.unpack(f"<{(end - start) // 4}{KINDS[header['dtype']]}", opened.read(end - start))
    rows, columns = header["shape"]
    return [values[row * columns:(row + 1) * columns] for row in range(rows)]


def _switch(fixtures):
    return fixtures / "models" / "switch_transformers" / "expected.safetensors"


def gw_entropies(fixtures, router):
    """-sum p ln(p + 1e-5) of each token, as the training loop of GW-MoE computes it."""
    return [-sum(p * math.log(p + 1e-5) for p in softmax(row)) for row in tensor(_switch(fixtures), f"{router}.router_logits")]


def encoder_entropy(fixtures):
    values = gw_entropies(fixtures, "enc.1")
    return "=", sum(values) / len(values), 1e-5


def uncertain_in_decoder(fixtures):
    values = gw_entropies(fixtures, "dec.1")
    return "=", sum(value >= 1.6 for value in values) / len(values), 1e-9


def usage(fixtures):
    """Share of the encoder's busiest expert among the tokens that an expert computed; choices that found no room have weight 0."""
    file = _switch(fixtures)
    taken = [row[0] for row, weight in zip(tensor(file, "enc.1.expert_ids"), tensor(file, "enc.1.weights")) if weight[0] != 0]
    return "=", max(taken.count(expert) for expert in range(8)) / len(taken), 1e-9


def captured_mass(fixtures):
    """Mean probability of the two chosen of eight, over a softmax of all logits."""
    file = fixtures / "models" / "llama_moe" / "expected.safetensors"
    rows = [softmax(row) for row in tensor(file, "ffn.0.router_logits")]
    ids = tensor(file, "ffn.0.expert_ids")
    return "=", sum(sum(row[at] for at in chosen) for row, chosen in zip(rows, ids)) / len(rows), 1e-5


def prior(timesteps=1000, units=9, window=6, power=4):
    """(units that are always on, windows, timesteps of the first one) of Switch-DiT's prior: a window that starts at round((t / 999)^4 (units - window))."""
    starts = [math.floor((at / (timesteps - 1)) ** power * (units - window) + 0.5) for at in range(timesteps)]
    return 2 * window - units, len(set(starts)), starts.count(0)


def truth(fixtures, model, row):
    """The change of the loss that the tables of a planted model imply."""
    return json.loads((fixtures / "planted" / model / "truth.json").read_text())["changes"][row]


def _groups(fixtures, average=2):
    """{router: (core of each expert, likeness of two experts)} as M-SMoE groups them: columns of logits, and use of all routers together."""
    file, routers = _switch(fixtures), ("enc.1", "dec.1")
    use = {router: [[row[0] for row in tensor(file, f"{router}.expert_ids")].count(expert) for expert in range(8)] for router in routers}
    orders = {router: sorted(range(8), key=lambda expert: (-counts[expert], expert)) for router, counts in use.items()}
    shares = {router: [1.0 if expert == orders[router][0] else count / sum(counts) for expert, count in enumerate(counts)] for router, counts in use.items()}
    border = sorted((one for own in shares.values() for one in own), reverse=True)[average * len(routers)]
    found = {}
    for router in routers:
        columns = list(zip(*tensor(file, f"{router}.router_logits")))
        length = [math.sqrt(sum(value * value for value in column)) for column in columns]
        like = [[(1 + sum(a * b for a, b in zip(columns[i], columns[j])) / (length[i] * length[j])) / 2 for j in range(8)] for i in range(8)]
        cores = orders[router][:sum(one > border for one in shares[router])]
        found[router] = [expert if expert in cores else max(cores, key=lambda core: like[expert][core]) for expert in range(8)], like
    return found


def core(router, expert):
    return lambda fixtures: ("=", float(_groups(fixtures)[router][0][expert]), 0)


def likeness(router, expert):
    def value(fixtures):
        cores, like = _groups(fixtures)[router]
        return "=", like[expert][cores[expert]], 1e-5
    return value
