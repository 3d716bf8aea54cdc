"""What did a gate give out? Modules return ids, weights and logits in any order and shape; here they become [rows, …] tensors.

A reading names where each lies: a position, a key or attribute, a function of the output, or None. `DETECT` looks for ids and weights by
their types and shapes, and refuses where two things could be meant. Logits are never guessed: what looks like them may be probabilities.
"""
from dataclasses import dataclass

import torch

from .errors import RecordError

DETECT = "detect"


@dataclass
class Given:
    """Of one call, all [rows, …] and not yet in order. ids int64 [N, k], -1 for none; weights f32 [N, k]; logits f32 [N, E]; dropped
    bool [N, k]. precision: relative rounding error of what was compared."""

    ids: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    dropped: torch.Tensor | None = None
    precision: float = 2.0**-23

    @property
    def rows(self) -> int:
        return len(next(column for column in (self.ids, self.logits, self.weights) if column is not None))


@dataclass(frozen=True)
class Reading:
    """Where ids, weights, logits and dropped flags lie in what a module or function gives out."""

    ids: object = DETECT
    weights: object = DETECT
    logits: object = None
    dropped: object = None

    def read(self, output, name: str) -> Given:
        """Raises RecordError where a place does not hold what it should."""
        ids, weights = self.ids, self.weights
        if ids == DETECT or weights == DETECT:
            ids, weights = _detected(output, name, ids, weights)
        found = {"ids": ids, "weights": weights, "logits": self.logits, "dropped": self.dropped}
        return given(name, **{key: _at(output, place, f"{name}: {key}") for key, place in found.items()})


def given(name: str, ids=None, weights=None, logits=None, dropped=None) -> Given:
    """Columns of any leading shape and type, as rows. Raises RecordError where they do not fit each other."""
    out = Given()
    if ids is not None:
        ids = _tensor(ids, f"{name}: ids")
        if ids.is_floating_point():
            raise RecordError(f"{name}: ids", "whole numbers", str(ids.dtype), "the position of the ids: Gate(..., ids=1, weights=0)")
        out.ids = _rows(ids).to(torch.int64)
    for key, value in (("weights", weights), ("logits", logits)):
        if value is not None:
            value = _tensor(value, f"{name}: {key}")
            if not value.is_floating_point():
                raise RecordError(f"{name}: {key}", "floating-point numbers", str(value.dtype), f"the position of the {key}")
            out.precision = max(out.precision, torch.finfo(value.dtype).eps)
            setattr(out, key, _rows(value).to(torch.float32))
    if dropped is not None:
        out.dropped = _rows(_tensor(dropped, f"{name}: dropped")).to(torch.bool)
    for key in ("weights", "dropped"):
        column = getattr(out, key)
        if out.ids is not None and column is not None and column.shape != out.ids.shape:
            raise RecordError(f"{name}: {key}", f"the shape of the ids, {tuple(out.ids.shape)}", str(tuple(column.shape)),
                              f"another position of the {key}, or {key}=None")
    counts = {len(column) for column in (out.ids, out.weights, out.logits) if column is not None}
    if len(counts) != 1:
        raise RecordError(name, "ids, weights and logits of as many rows", f"{sorted(counts)} rows" if counts else "nothing")
    return out


def _tensor(value, what):
    if isinstance(value, torch.Tensor):
        return value.detach()
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RecordError(what, "a tensor or numbers", type(value).__name__, "the position that holds it") from error


def _rows(tensor):
    """[..., n] as [rows, n]; a flat list of ids is one id a row. A copy: models change what they gave out."""
    return (tensor.reshape(-1, 1) if tensor.dim() < 2 else tensor.reshape(-1, tensor.shape[-1])).clone()


def _at(output, place, what):
    if place is None:
        return None
    try:
        if callable(place):
            return place(output)
        if isinstance(place, str):
            return output[place] if isinstance(output, dict) else getattr(output, place)
        if place == 0 and isinstance(output, torch.Tensor):
            return output
        return output[place]
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise RecordError(what, f"something at {place!r}", _shape_of(output), "the position, key or attribute that holds it") from error


def _parts(output):
    """(place, tensor) of everything at the top of an output."""
    if isinstance(output, torch.Tensor):
        return [(0, output)]
    items = output.items() if isinstance(output, dict) else enumerate(output) if isinstance(output, (tuple, list)) else ()
    return [(place, value) for place, value in items if isinstance(value, torch.Tensor)]


def _detected(output, name, ids, weights):
    """Places of ids and weights where they are to be found out."""
    parts = _parts(output)
    if ids == DETECT:
        whole = [place for place, value in parts if value.dtype in (torch.int64, torch.int32, torch.int16, torch.uint8) and value.dim() >= 1]
        if len(whole) != 1:
            raise RecordError(f"{name}: ids", "one tensor of whole numbers in the output", f"{len(whole)} in {_shape_of(output)}",
                              "their position: Gate(..., ids=2, weights=1), or Logits(..., rule) where the module gives logits alone")
        ids = whole[0]
    if weights == DETECT:
        shape = next((value.shape for place, value in parts if place == ids), None)
        like = [place for place, value in parts if place != ids and value.is_floating_point() and value.shape == shape]
        if len(like) > 1:
            raise RecordError(f"{name}: weights", "one tensor of the shape of the ids in the output", f"{len(like)} in {_shape_of(output)}",
                              "their position: weights=1, or weights=None")
        weights = like[0] if like else None
    return ids, weights


def _shape_of(output):
    """An output in words."""
    if isinstance(output, torch.Tensor):
        return f"a tensor {tuple(output.shape)} of {str(output.dtype).removeprefix('torch.')}"
    if isinstance(output, dict):
        return "{" + ", ".join(f"{key}: {_shape_of(value)}" for key, value in output.items()) + "}"
    if isinstance(output, (tuple, list)):
        return "(" + ", ".join(_shape_of(value) for value in output) + ")"
    return type(output).__name__


# Gates whose output is no plain column

def sorted_gates(output, top_k: int) -> dict:
    """Assignments sorted by expert, each with the place it came from, numbers by expert, and the logits last."""
    places, _, gates, sizes, logits = output
    ids = torch.empty_like(places)
    ids[places] = torch.repeat_interleave(torch.arange(len(sizes), device=places.device), torch.as_tensor(sizes, device=places.device))
    weights = torch.empty_like(gates)
    weights[places] = gates
    return {"ids": ids.reshape(-1, top_k), "weights": weights.reshape(-1, top_k), "logits": logits}


def dense_scores(output, top_k: int) -> dict:
    """Scores [N, E] that are 0 for all experts but those taken, and the logits."""
    weights, ids = output[0].topk(top_k, -1)
    return {"ids": ids, "weights": weights, "logits": output[1]}


def masked_first_choice(output, top_k: int) -> dict:
    """One-hot choices [B, T, E] without those that found no room, the first probability [B, T, 1], the logits."""
    mask, probs, logits = output
    ids = logits.argmax(-1, keepdim=True)
    dropped = mask.gather(-1, ids) == 0
    return {"ids": ids, "weights": probs.masked_fill(dropped, 0.0), "logits": logits, "dropped": dropped}


def skipping(output, top_k: int) -> dict:
    """Logits, weights and ids, with weight 0 where a token skips its experts."""
    return {"ids": output[2].masked_fill(output[1] == 0, -1), "weights": output[1]}


SPECIAL = {reading.__name__: reading for reading in (sorted_gates, dense_scores, masked_first_choice, skipping)}
