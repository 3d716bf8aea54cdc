"""Decisions as lists, made into packed columns: for what a program hands over itself, without torch."""
import math
import struct
from array import array
from dataclasses import dataclass

from .columns import Block, id_bytes, tallied
from .decide import decide
from .errors import RecordError, require
from .rules import Rule

_CODES = {1: "B", 2: "H", 4: "I"}


@dataclass
class Findings:
    """What was seen of the decisions of a block while it was made; all counts of rows."""

    rows: int = 0
    out_of_range: int = 0
    doubled: int = 0
    finite_unknown: bool = True
    not_finite: int = 0
    recomputed: int = 0
    differ: int = 0
    ties: int = 0
    weighed: int = 0
    weights_differ: int = 0
    summed: int = 0
    sums_differ: int = 0
    bad_weights: int = 0
    first_differ: str = ""

    def __iadd__(self, other: "Findings"):
        for name, value in vars(other).items():
            if name == "first_differ":
                self.first_differ = self.first_differ or value
            elif name == "finite_unknown":
                self.finite_unknown = self.finite_unknown and value
            else:
                setattr(self, name, getattr(self, name) + value)
        return self


def plain(values):
    """Numbers of a tensor, an array or a list, as nested lists."""
    return values.tolist() if hasattr(values, "tolist") else values


def taken(router, row: int, ids, rule: Rule) -> list:
    """The experts of a row of ids; -1 is a slot without one. Raises RecordError for what cannot be."""
    found = [int(expert) for expert in ids if expert >= 0]
    what = f"router {router}, row {row}"
    for expert in found:
        require(expert < rule.experts, what, f"experts from 0 to {rule.experts - 1}", f"expert {expert}",
                "the number of experts in the rule, logical ids rather than slots of memory")
    require(len(set(found)) == len(found), what, "no expert twice", found, "ids of one row as the router chose them")
    require(len(found) <= rule.top_k, what, f"at most {rule.top_k} experts", len(found), "a rule with more slots")
    return found


def block_of(router, rule: Rule, content: str, ids=None, weights=None, logits=None, dropped=None, shared=None) -> tuple[Block, Findings]:
    """n rows as a block.

    ids: [n][<= k]; None: what the rule makes of `logits`, or, of a dense router, all experts by falling weight. weights, dropped:
    beside ids; weights of a dense router without ids: [n][E]. logits: [n][E]. shared: [n], the factor of the shared expert. content: as
    `recording.content`.
    """
    n = len(ids if ids is not None else weights if weights is not None else logits)
    for name, column, width in (("ids", ids, None), ("weights", weights, None), ("logits", logits, rule.experts), ("dropped", dropped, None)):
        require(column is None or len(column) == n, f"router {router}: {name}", f"{n} rows", None if column is None else len(column))
        for row in column if column is not None and width else ():
            require(len(row) == width, f"router {router}: {name}", f"{width} numbers a row", len(row), "the rule's number of experts")
    if ids is None and logits is None and rule.selection != "dense":
        raise RecordError(f"router {router}", "ids, or logits and an executable rule", "neither",
                          "rule=stated(experts, slots, selection='dense') for weights of every expert")
    if ids is None and logits is not None and not rule.is_executable:
        raise RecordError(f"router {router}", "ids, as its rule is not executable", "logits alone",
                          "Rule(...) with the scoring and selection that the model has")
    rows = []
    findings = Findings(rows=n)
    for row in range(n):
        rows.append(_row(router, row, rule, None if ids is None else ids[row], None if weights is None else weights[row],
                         None if logits is None else logits[row], None if dropped is None else dropped[row], findings))
    block = _packed(rule, content, rows, logits)
    if shared is not None:
        block.shared_weight = struct.pack(f"<{n}f", *(math.nan if weight is None else float(weight) for weight in shared))
    return block, findings


def _row(router, row, rule, ids, weights, logits, dropped, findings):
    """(ids, weights or None, dropped or None, Decision or None) of a row, sorted."""
    if ids is None and logits is None:
        ids = range(rule.experts)
    decision = None
    if ids is not None:
        ids = list(ids)
        slots = [slot for slot, expert in enumerate(ids) if expert >= 0]
        beside = [(name, column) for name, column in (("weights", weights), ("dropped", dropped)) if column is not None]
        for name, column in beside:
            require(len(column) == len(ids), f"router {router}, row {row}: {name}", f"{len(ids)}, one an id", len(column))
        experts = taken(router, row, ids, rule)
        weights = None if weights is None else dict(zip(experts, (float(weights[slot]) for slot in slots)))
        dropped = None if dropped is None else dict(zip(experts, (bool(dropped[slot]) for slot in slots)))
    else:
        experts = None
    if logits is not None and rule.is_executable:
        logits = [float(value) for value in logits]
        decision = decide(rule, logits, experts)
        findings.finite_unknown = False
        findings.not_finite += decision.probs is None
        _recheck(rule, logits, decision, experts, weights, row, findings)
        if weights is None:
            weights = dict(zip(decision.ids, decision.weights))
        experts = decision.ids
    elif weights is not None:
        experts = sorted(experts, key=lambda expert: -weights[expert])
    values = None if weights is None else [weights[expert] for expert in experts]
    if values is not None:
        _reweigh(rule, values, findings)
    return experts, values, None if dropped is None else [dropped.get(expert, False) for expert in experts], decision


def _recheck(rule, logits, decision, experts, weights, row, findings):
    if experts is None or decision.probs is None or rule.is_hashed:
        return
    own = decide(rule, logits)
    findings.recomputed += 1
    if own.ids != decision.ids:
        kth = own.selection[own.ids[-1]]
        if len(experts) == rule.top_k and min(own.selection[expert] for expert in experts) >= kth - 1e-6 * max(1e-3, abs(kth)):
            findings.ties += 1
        else:
            findings.differ += 1
            findings.first_differ = findings.first_differ or f"row {row}: experts {sorted(experts)}, its logits give {sorted(own.ids)}"
    if weights is not None and not rule.capacity:
        findings.weighed += 1
        findings.weights_differ += any(abs(weights[expert] - weight) > 1e-4 for expert, weight in zip(decision.ids, decision.weights))


def _reweigh(rule, values, findings):
    findings.bad_weights += any(not math.isfinite(value) or value < 0 and rule.weight_kind != "signed" for value in values)
    if rule.weight_sum is not None:
        findings.summed += 1
        findings.sums_differ += not abs(sum(values) - rule.weight_sum) <= 1e-3 * max(1.0, abs(rule.weight_sum))


def _packed(rule, content, rows, logits):
    """rows: of `_row`."""
    k, n = rule.top_k, len(rows)
    ids, absent = array(_CODES[id_bytes(rule.experts)]), bytearray()
    for experts, *_ in rows:
        ids.extend([*experts, *[0] * (k - len(experts))])
        absent += bytes(len(experts)) + b"\1" * (k - len(experts))
    block = Block(n, ids.tobytes(), absent=bytes(absent) if 1 in absent else None)
    if content != "ids" and rule.weight_kind != "none":
        block.weights = b"".join(struct.pack(f"<{k}f", *(values if values is not None else [math.nan] * len(experts)), *[0.0] * (k - len(experts)))
                                 for experts, values, _, _ in rows)
    if any(flags and any(flags) for _, _, flags, _ in rows):
        block.dropped = b"".join(bytes([*(flags or [0] * len(experts)), *[0] * (k - len(experts))]) for experts, _, flags, _ in rows)
    decisions = [row[3] for row in rows]
    if n and all(decisions):
        for name in ("entropy", "selection_margin", "top1_margin", "top_k_mass"):
            setattr(block, name, struct.pack(f"<{n}f", *(getattr(decision, name) for decision in decisions)))
        measured = [decision for decision in decisions if decision.probs is not None]
        block.importance = array("d", [sum(column) for column in zip(*(decision.probs for decision in measured))] if measured else bytes(8 * rule.experts))
        block.squared_lse = sum(decision.squared_lse for decision in measured)
        block.measured = len(measured)
    if content == "full" and logits is not None:
        block.logits = b"".join(struct.pack(f"<{rule.experts}f", *map(float, row)) for row in logits)
    return tallied(block, id_bytes(rule.experts))
