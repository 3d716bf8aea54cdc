"""Decisions as tensors, made into packed columns: routers of one rule together, so that a forward pass costs a few operations."""
import ctypes
from array import array
from dataclasses import dataclass

import torch

from . import decide_torch
from .blocks import Findings
from .columns import Block, id_bytes
from .pages import MOST_IMPORTANCE
from .paths import RouterPath
from .rules import Rule

_ID_TYPES = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


@dataclass
class Capture:
    """What one router gave for the T rows of a pass. ids: int64 [T, k], -1 where a slot holds none; weights: f32 [T, k]; logits: f32
    [T, E]; dropped: bool [T, k]; each may be None. precision: relative rounding error of what the model compared."""

    path: RouterPath
    rule: Rule
    page_rows: int
    logits: torch.Tensor | None = None
    ids: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    dropped: torch.Tensor | None = None
    precision: float = 2.0**-23

    @property
    def count(self) -> int:
        return len(self.ids if self.ids is not None else self.logits)

    @property
    def kind(self):
        """Captures of one kind are decided on together."""
        return (self.rule.plain, self.count, self.page_rows, self.precision,
                *(None if column is None else (column.dtype, column.device) for column in (self.logits, self.ids, self.weights, self.dropped)),
                self.rule.bias is None, self.rule.expert_scales is None)

    def rows(self, first: int, end: int) -> "Capture":
        def part(column):
            return None if column is None else column[first:end]
        return Capture(self.path, self.rule, self.page_rows, part(self.logits), part(self.ids), part(self.weights), part(self.dropped), self.precision)


def to_bytes(tensor: torch.Tensor) -> bytes:
    """Bytes of a tensor, in its order."""
    tensor = tensor.detach().to("cpu").contiguous()
    return ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size()) if tensor.numel() else b""


def build(captures: list[Capture], content: str):
    """Yields (capture, row, Block, Findings): `row` is where the block begins in the capture; rows at fault have none.

    content: as `recording.content`.
    """
    groups: dict = {}
    for capture in captures:
        valid, findings = _valid(capture)
        if valid is None:
            groups.setdefault(capture.kind, []).append((capture, 0, capture))
            continue
        yield capture, 0, None, findings
        for first, end in _stretches(valid.tolist()):
            part = capture.rows(first, end)
            groups.setdefault((*part.kind, first), []).append((capture, first, part))
    for members in groups.values():
        page_rows, count = members[0][2].page_rows, members[0][2].count
        for start in range(0, count, page_rows):
            parts = [part.rows(start, start + page_rows) for _, _, part in members]
            for (capture, first, _), block, findings in zip(members, *_decided(parts, content)):
                yield capture, first + start, block, findings


def _valid(capture):
    """(mask of the rows that can be stored, what is wrong with the others); (None, None) where nothing is."""
    ids = capture.ids
    if ids is None or not ids.numel():
        return None, None
    high, low = int(ids.max()), int(ids.min())
    ordered = ids.sort(-1).values
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(-1)
    if high < capture.rule.experts and low >= -1 and not bool(twice.any()):
        return None, None
    outside = ((ids >= capture.rule.experts) | (ids < -1)).any(-1)
    return ~(outside | twice), Findings(rows=int((outside | twice).sum()), out_of_range=int(outside.sum()), doubled=int(twice.sum()))


def _stretches(flags):
    """(first, end) of each run of true flags."""
    start = None
    for place, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = place
        elif not flag and start is not None:
            yield start, place
            start = None


def _stack(parts, name):
    return None if getattr(parts[0], name) is None else torch.stack([getattr(part, name) for part in parts])


def _vector(parts, name, device):
    values = [getattr(part.rule, name) for part in parts]
    return None if values[0] is None else torch.tensor(values, dtype=torch.float32, device=device)[:, None, :]


def _decided(parts, content):
    """Blocks and findings of parts of one kind, rows of one page."""
    rule, precision = parts[0].rule.plain, parts[0].precision
    logits, ids, weights, dropped = (_stack(parts, name) for name in ("logits", "ids", "weights", "dropped"))
    if rule.is_executable and logits is not None and (ids is None or not bool((ids < 0).any())):
        given = ids
        made = decide_torch.decide(rule, logits, _vector(parts, "bias", logits.device), _vector(parts, "expert_scales", logits.device),
                                   ids, weights, precision)
        if dropped is not None:
            places = (made.ids[..., :, None] == given[..., None, :]).int().argmax(-1)
            dropped = dropped.gather(-1, places)
        ids, weights, absent = made.ids, made.weights, None
    else:
        made = None
        ids, weights, dropped, absent = _sorted(ids, weights, dropped)
    findings = _findings(parts, made, weights)
    return _blocks(parts, content, made, ids, weights, dropped, absent, logits), findings


def _sorted(ids, weights, dropped):
    """By falling weight, absent slots last; without weights as they came."""
    absent = ids < 0
    key = weights.masked_fill(absent, float("-inf")) if weights is not None else (~absent).float()
    order = key.sort(dim=-1, descending=True, stable=True).indices
    ids, absent = ids.gather(-1, order).clamp(min=0), absent.gather(-1, order)
    if weights is not None:
        weights = weights.gather(-1, order).masked_fill(absent, 0.0)
    return ids, weights, None if dropped is None else dropped.gather(-1, order), absent if bool(absent.any()) else None


def _findings(parts, made, weights):
    """Of each part, counted for all at once."""
    rule, precision, count = parts[0].rule, parts[0].precision, parts[0].count
    out = [Findings(rows=count) for _ in parts]

    def counts(name, flags):
        for findings, number in zip(out, flags.sum(-1).tolist()):
            setattr(findings, name, int(number))

    given, weighed = parts[0].ids is not None, parts[0].weights is not None
    if made is not None:
        counts("not_finite", ~made.finite)
        for findings in out:
            findings.finite_unknown = False
            findings.recomputed = count if given and not rule.is_hashed else 0
            findings.weighed = count if made.weight_error is not None and parts[0].dropped is None else 0
        if made.differs is not None:
            counts("differ", made.differs)
            counts("ties", made.ties)
            for at, findings in enumerate(out):
                if findings.differ:
                    findings.first_differ = f"experts {sorted(made.ids[at][made.differs[at]][0].tolist())} are not those of their logits"
        if out[0].weighed:
            counts("weights_differ", made.weight_error > max(1e-4, 4 * precision) * max(1.0, abs(rule.scale)))
    if weights is not None:
        bad = ~torch.isfinite(weights)
        counts("bad_weights", (bad if rule.weight_kind == "signed" else bad | (weights < 0)).any(-1))
        if rule.weight_sum is not None and weighed:
            tolerance = max(1e-3, 4 * rule.top_k * precision) * max(1.0, abs(rule.weight_sum))
            counts("sums_differ", ~((weights.sum(-1) - rule.weight_sum).abs() <= tolerance))
            for findings in out:
                findings.summed = count
    return out


def _blocks(parts, content, made, ids, weights, dropped, absent, logits):
    rule = parts[0].rule
    experts, count = rule.experts, ids.shape[1]
    width = id_bytes(experts)
    keeps_weights = content != "ids" and rule.weight_kind != "none" and weights is not None
    lowered = ids.to("cpu").to(_ID_TYPES[width])
    columns = {}
    importance = squares = measured = None
    if made is not None:
        columns = {name: getattr(made, name).to("cpu") for name in ("entropy", "selection_margin", "top1_margin", "top_k_mass")
                   if getattr(made, name) is not None}
        measured = made.finite.sum(-1).tolist()
        squares = made.squared_lse.to("cpu").sum(-1).tolist()
        if experts <= MOST_IMPORTANCE:
            importance = made.probs.to("cpu").sum(1, dtype=torch.float64)
    kept = None if weights is None else weights.to("cpu", torch.float32)
    loads, sums = _loads(experts, ids.to("cpu"), kept, dropped, absent)
    out = []
    for at in range(len(parts)):
        block = Block(count, to_bytes(lowered[at]))
        if keeps_weights:
            block.weights = to_bytes(kept[at])
        if dropped is not None and bool(dropped[at].any()):
            block.dropped = to_bytes(dropped[at].to(torch.uint8))
        if absent is not None and bool(absent[at].any()):
            block.absent = to_bytes(absent[at].to(torch.uint8))
        for name, column in columns.items():
            setattr(block, name, to_bytes(column[at]))
        if made is not None:
            block.squared_lse, block.measured = squares[at], measured[at]
            if importance is not None:
                block.importance = array("d", to_bytes(importance[at]))
        if content == "full" and logits is not None:
            block.logits = to_bytes(logits[at])
        block.loads = loads[at]
        if keeps_weights:
            block.weight_sums = sums[at]
        out.append(block)
    return out


def _loads(experts, ids, weights, dropped, absent):
    """Of each router: expert to times taken, and to the sum of weights."""
    routers = ids.shape[0]
    places = (ids + torch.arange(routers)[:, None, None] * experts).flatten()
    counted = torch.ones(places.shape, dtype=torch.float64)
    for flags in (dropped, absent):
        if flags is not None:
            counted[flags.to("cpu").flatten()] = 0
    counts = torch.bincount(places, counted, routers * experts).view(routers, experts)
    sums = torch.bincount(places, counted * weights.flatten().double(), routers * experts).view(routers, experts).tolist() if weights is not None else None
    loads = [{expert: int(number) for expert, number in enumerate(row) if number} for row in counts.tolist()]
    return loads, None if sums is None else [{expert: sums[at][expert] for expert in loads[at]} for at in range(routers)]
