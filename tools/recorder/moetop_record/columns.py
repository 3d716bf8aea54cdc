"""Decisions of one router about consecutive rows, as packed little-endian columns: what every way of capturing makes and what pages
are written from."""
import math
from array import array
from collections import Counter
from dataclasses import dataclass, field

FLOAT_COLUMNS = ("entropy", "selection_margin", "top1_margin", "top_k_mass")
_ID_CODES = {1: "B", 2: "H", 4: "I"}


def id_bytes(experts: int) -> int:
    """Bytes of an expert's id."""
    return 1 if experts <= 256 else 2 if experts <= 65536 else 4


@dataclass
class Block:
    """n rows of a router with k slots and E experts.

    ids: unsigned [n, k], 0 where absent. weights: f32 [n, k] or None. absent, dropped: one byte 0 or 1 a slot [n, k], or None.
    entropy, selection_margin, top1_margin, top_k_mass: f32 [n] or None. importance: f64 [E] summed over rows, or None, as
    squared_lse. logits: f32 [n, E] or None. loads, weight_sums: by expert, how often it was taken and not dropped, and the sum of
    its weights there. shared_weight: f32 [n], the factor of the shared expert, or None.
    measured: rows that have a distribution.
    """

    count: int
    ids: bytes
    weights: bytes | None = None
    absent: bytes | None = None
    dropped: bytes | None = None
    entropy: bytes | None = None
    selection_margin: bytes | None = None
    top1_margin: bytes | None = None
    top_k_mass: bytes | None = None
    importance: array | None = None
    squared_lse: float | None = None
    logits: bytes | None = None
    loads: dict = field(default_factory=dict)
    weight_sums: dict = field(default_factory=dict)
    measured: int = 0
    shared_weight: bytes | None = None

    def joined(self, other: "Block") -> "Block":
        """Both, one after the other: for a page, whose totals are counted elsewhere."""
        def glue(a, b, n, m, filling):
            if a is None and b is None:
                return None
            width = len(a) // n if a is not None else len(b) // m
            return (filling * (width * n // len(filling)) if a is None else a) + (filling * (width * m // len(filling)) if b is None else b)

        n, m = self.count, other.count
        nan = b"\x00\x00\xc0\x7f"
        importance = self.importance
        if importance is None or other.importance is None:
            importance = None
        else:
            importance = array("d", map(float.__add__, importance, other.importance))
        squares = None if self.squared_lse is None or other.squared_lse is None else self.squared_lse + other.squared_lse
        return Block(
            n + m, self.ids + other.ids, glue(self.weights, other.weights, n, m, nan), glue(self.absent, other.absent, n, m, b"\0"),
            glue(self.dropped, other.dropped, n, m, b"\0"), *(glue(getattr(self, c), getattr(other, c), n, m, nan) for c in FLOAT_COLUMNS),
            importance=importance, squared_lse=squares, logits=glue(self.logits, other.logits, n, m, nan),
            shared_weight=glue(self.shared_weight, other.shared_weight, n, m, nan))

    def may_follow(self, other: "Block") -> bool:
        """Whether both have the same columns, so that one page can hold them."""
        names = ("weights", "entropy", "importance", "squared_lse", "logits")
        return all((getattr(self, name) is None) == (getattr(other, name) is None) for name in names)


def bitmap(flags: bytes | None) -> bytes | None:
    """One bit a slot, least significant first; None where none is set."""
    if flags is None or 1 not in flags:
        return None
    flags += bytes(-len(flags) % 8)
    return bytes(sum(flags[at + bit] << bit for bit in range(8)) for at in range(0, len(flags), 8))


def tallied(block: Block, bytes_per_id: int) -> Block:
    """Fills in `loads` and `weight_sums` from the columns, in plain Python."""
    ids = memoryview(block.ids).cast(_ID_CODES[bytes_per_id])
    weights = memoryview(block.weights).cast("f") if block.weights is not None else None
    if block.absent is None and block.dropped is None and weights is None:
        block.loads = Counter(ids)
        return block
    loads, sums = Counter(), {}
    for slot, expert in enumerate(ids):
        if block.absent is not None and block.absent[slot]:
            continue
        if block.dropped is not None and block.dropped[slot]:
            continue
        loads[expert] += 1
        if weights is not None:
            sums[expert] = sums.get(expert, 0.0) + weights[slot]
    block.loads, block.weight_sums = loads, sums
    return block


def total(column: bytes | None) -> tuple[float, int]:
    """(sum, number) of the values of an f32 column that are no NaN."""
    if column is None:
        return 0.0, 0
    values = memoryview(column).cast("f")
    whole = sum(values)
    if not math.isnan(whole):
        return float(whole), len(values)
    kept = [value for value in values if not math.isnan(value)]
    return float(sum(kept)), len(kept)
