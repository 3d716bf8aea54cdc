"""Files whose numbers or rule alone decide the route, as each system's own programs lay them out (Learning to Branch published none): MOORE, Superposition,
VLMo, SciMult, Learning to Branch, CrossTaskMoE. In the control the values of the axis are dealt anew."""
import json
import random
import struct

from .common import deal, softmax
from .merging import spline
from .task_routes import SCIMULT


def flat(values):
    return [number for value in values for number in flat(value)] if isinstance(values, (list, tuple)) else [values]


def shape(values):
    return [len(values), *shape(values[0])] if isinstance(values, (list, tuple)) else []


def safetensors(path, tensors):
    """Nested lists by name, in 32-bit floats."""
    header, data = {}, b""
    for name, values in tensors.items():
        packed = struct.pack(f"<{len(flat(values))}f", *flat(values))
        header[name] = {"dtype": "F32", "shape": shape(values), "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def numpy_save(path, values):
    """What numpy.save writes of 32-bit floats."""
    head = str({"descr": "<f4", "fortran_order": False, "shape": tuple(shape(values))}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(flat(values))}f", *flat(values)))


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def gram_schmidt(vectors):
    """MOORE's orthogonal layer: each vector less its parts along those before it, of length 1."""
    basis = []
    for vector in vectors:
        for other in basis:
            share = dot(vector, other)
            vector = [x - share * y for x, y in zip(vector, other)]
        basis.append([x / dot(vector, vector) ** 0.5 for x in vector])
    return basis


def moore(path, control=False):
    """Weights [experts, tasks], signed: task t wants expert t and abhors t + 1. Outputs of the experts for eight states, orthonormal; in the control of length 1 alone,
    and tasks are dealt anew."""
    draw, order = random.Random(21), deal(range(4), control, 5)
    weights = [[1.5 if expert == task else -1.0 if expert == (task + 1) % 4 else 0.1 for task in order] for expert in range(4)]
    states = [[[draw.gauss(0, 1) for _ in range(16)] for _ in range(4)] for _ in range(8)]
    outputs = [gram_schmidt(state) if not control else [gram_schmidt([vector])[0] for vector in state] for state in states]
    safetensors(path, {"_task_encoder.weight": weights, "features": [[state[expert] for state in outputs] for expert in range(4)]})


def b_splines(layers, points, degree=3):
    """The basis of a clamped B-spline at even depths (Cox and de Boor): [layers, points], rows sum to 1."""
    inner = points - degree
    knots = [0.0] * degree + [at / inner for at in range(inner + 1)] + [1.0] * degree

    def basis(number, order, x):
        if order == 0:
            # The last interval has its end.
            return float(knots[number] <= x < knots[number + 1] or x == 1 == knots[number + 1] and knots[number] < 1)
        left, right = knots[number + order] - knots[number], knots[number + order + 1] - knots[number + 1]
        return ((x - knots[number]) / left * basis(number, order - 1, x) if left else 0) \
            + ((knots[number + order + 1] - x) / right * basis(number + 1, order - 1, x) if right else 0)

    return [[basis(number, degree, layer / (layers - 1)) for number in range(points)] for layer in range(layers)]


def superposition(path, control=False):
    """The 1D notebook: all control points 0.5, and the bias of each layer makes its blend; the clamp is met at both ends. In the control layers are dealt anew."""
    blends = [spline(layer) for layer in deal(range(12), control)]
    biases = [20.0 if blend == 1 else -20.0 if blend == 0 else 10 * (blend - 0.5) for blend in blends]
    safetensors(path, {"alpha_module_state_dict.control_points": [0.5] * 16, "alpha_module_state_dict.layer_biases": biases,
                       "alpha_module_state_dict.basis_functions": b_splines(12, 16)})


def vlmo(path, control=False):
    """A base model: two experts in every block, a third from block 10 on. In the control another block is drawn."""
    first = random.Random(27).randrange(10) if control else 10
    names = [f"transformer.blocks.{block}.{module}.fc1.bias" for block in range(12) for module in ("mlp_text", "mlp_imag", "mlp_vl")
             if module != "mlp_vl" or block >= first]
    safetensors(path, {**{name: [0.0] for name in names}, "text_embeddings.position_ids": [list(range(40))]})


def sci_mult(path, control=False):
    """The published map as JSON. In the control its experts are dealt anew over the tasks."""
    names = {"search": "single-hop-retrieval", "link": "multi-hop-retrieval", "classification": "entity-retrieval"}
    tasks = list(names.values())
    experts = deal(range(len(SCIMULT)), control, 2)
    path.write_text(json.dumps({"3-expert": {task: {"query": expert, "ctx": expert} for task, expert in zip(tasks, experts)}}))


def branches(path, control=False):
    """Six tasks below three nodes below two: logits of 2 for the parent, 0 for the others. In the control tasks are dealt anew."""
    def logits(parents, count):
        return [[2.0 if parent == at else 0.0 for at in range(count)] for parent in parents]

    below = deal([0, 0, 1, 1, 2, 2], control, 3)
    safetensors(path, {"branches.0": logits([0, 0, 1], 2), "branches.1": logits(below, 3)})


def cross_task(path, control=False):
    """Thirty tasks of three kinds, in the order of their ontology, two layers each of encoder and decoder: the kind's own expert has logit 2. The decoder's first
    layer does not know the kind. In the control tasks are dealt anew."""
    kinds = deal([task // 10 for task in range(30)], control)
    rows = [[softmax([2.0 * (expert == kind) * (layer != 2) for expert in range(3)]) for layer in range(4)] for kind in kinds]
    numpy_save(path, rows)
