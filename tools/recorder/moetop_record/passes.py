"""One batch of rows on its way: which rows it has, in which order each router sees them, and what routers gave for them.

Nothing of a pass is stored before it has come to its end, so that a forward pass that fails leaves nothing half-written.
"""
from dataclasses import dataclass, field

from .blocks import block_of
from .errors import RecordError, require
from .paths import RouterPath
from .rules import Rule
from .writer import Rows


@dataclass
class Lane:
    """How a stack of the model sees the rows of a pass. flat: rows that its routers give, padding counted. kept: which of them are
    rows of the pass, or None for all. rows: their numbers in the pass, in the same order, rising."""

    flat: int
    kept: list | None
    rows: list | range

    def stretches(self):
        """(first in the lane, end, first in the pass) of each run of neighbours."""
        if isinstance(self.rows, range):
            if len(self.rows):
                yield 0, len(self.rows), self.rows.start
            return
        start = 0
        for place in range(1, len(self.rows) + 1):
            if place == len(self.rows) or self.rows[place] != self.rows[place - 1] + 1:
                yield start, place, self.rows[start]
                start = place


@dataclass
class Pass:
    """rows: of the run. lanes: by `enc` and `other`. calls: what routers gave, by path, in order; columns are tensors (`Given`).
    blocks: what was recorded as lists."""

    rows: Rows
    lanes: dict
    calls: dict = field(default_factory=dict)
    blocks: dict = field(default_factory=dict)
    rules: dict = field(default_factory=dict)

    def lane(self, path: RouterPath) -> Lane:
        return self.lanes.get("enc" if path.stack == "enc" else "other") or Lane(0, None, range(0))

    def give(self, path: RouterPath, rule: Rule, given) -> None:
        """A call of a router, as tensors."""
        self.calls.setdefault(path, []).append(given)
        self.rules[path] = rule

    def give_blocks(self, path: RouterPath, rule: Rule, parts: list) -> None:
        """A whole decision of every row, in packed columns: (first row, Block, Findings). Rows on no block are unknown."""
        if path in self.blocks or path in self.calls:
            raise RecordError(f"router {path}", "one decision a row", "a second record of the same rows",
                              "a path with .r1 for a layer that runs again, or rows() for other rows")
        self.blocks[path] = parts
        self.rules[path] = rule


def joined(passes: list) -> list:
    """Passes of single tokens as one, where their routers gave as much as they have rows; else as they are."""
    first = passes[0]
    paths = list(first.calls)

    def is_plain(one):
        lane = one.lanes.get("other")
        return (not one.blocks and list(one.calls) == paths and list(one.lanes) == ["other"] and one.rules == first.rules and lane.flat
                and not one.rows.labels and not one.rows.coordinates and one.rows.surprisal is None and one.rows.request is None
                and isinstance(lane.rows, range) and lane.rows.start == 0
                and all(len(calls) == 1 and calls[0].rows == lane.flat for calls in one.calls.values()))

    if len(passes) < 2 or not all(map(is_plain, passes)):
        return passes
    rows, kept, flat = Rows([], [], [], [], rank=first.rows.rank), [], 0
    for one in passes:
        for name in ("sequence", "position", "token_id", "phase"):
            getattr(rows, name).extend(getattr(one.rows, name))
        lane = one.lanes["other"]
        kept += [flat + at for at in (lane.kept if lane.kept is not None else range(lane.flat))]
        flat += lane.flat
    whole = Pass(rows, {"other": Lane(flat, None if len(kept) == flat else kept, range(len(kept)))}, rules=dict(first.rules))
    whole.calls = {path: [_joined([one.calls[path][0] for one in passes])] for path in paths}
    return [whole]


def store(one: Pass, writer, audit) -> None:
    """Writes a pass that has ended."""
    first = writer.add_rows(one.rows)
    audit.add_rows(one.rows.token_id, one.rows.phase)
    for path, parts in one.blocks.items():
        pages, router = _ready(writer, audit, path, one.rules[path])
        for row, block, findings in parts:
            router.findings += findings
            router.add(block, pages.id_bytes)
            writer.add_block(path, first + row, block)
        audit.may_lack_routes = audit.may_lack_routes or sum(block.count for _, block, _ in parts) < len(one.rows)
    if one.calls:
        _store_tensors(one, first, writer, audit)


def _lost(audit, path, rule, count, why):
    router = audit.router(path, rule)
    router.lost += count
    router.lost_because = router.lost_because or why


def _ready(writer, audit, path, rule, facts=None):
    pages = writer.routers.get(path) or writer.add_router(path, rule, facts)
    return pages, audit.router(path, rule)


def blocks_of(path: RouterPath, rule: Rule, content: str, page_rows: int, columns: dict) -> list:
    """Columns of all rows as (first row, Block, Findings), cut to pages; rows whose ids are None are on none.

    Raises RecordError for what cannot be a decision.
    """
    count = len(next(column for column in columns.values() if column is not None))
    for name, column in columns.items():
        require(column is None or len(column) == count, f"router {path}: {name}", f"{count} rows", None if column is None else len(column))
    known = [row for row in range(count) if columns["ids"] is None or columns["ids"][row] is not None]
    out = []
    for start, end, row in Lane(len(known), None, known).stretches():
        for low in range(row, row + end - start, page_rows):
            high = min(low + page_rows, row + end - start)
            part = {name: None if column is None else column[low:high] for name, column in columns.items()}
            out.append((low, *block_of(path, rule, content, **part)))
    return out


def _store_tensors(one, first, writer, audit):
    from .blocks_torch import build
    captures, offsets = [], {}
    for path, calls in one.calls.items():
        coarsest = max(given.precision for given in calls)
        if coarsest > 2.0**-20:
            writer.logit_error = max(writer.logit_error, coarsest)
        for path_of_call, given in _by_repeat(one, path, calls, audit):
            # A layer that runs again chooses among the same experts.
            pages, _ = _ready(writer, audit, path_of_call, one.rules[path], {"bank": str(path)} if path_of_call != path else None)
            for capture, row in _captures(one.lane(path), path_of_call, one.rules[path], pages, given):
                captures.append(capture)
                offsets[id(capture)] = row
    for capture, row, block, findings in build(captures, writer.content):
        router = audit.router(capture.path, capture.rule)
        router.findings += findings
        if block is None:
            audit.may_lack_routes = True
            continue
        router.add(block, writer.routers[capture.path].id_bytes)
        writer.add_block(capture.path, first + offsets[id(capture)] + row, block)


def _by_repeat(one, path, calls, audit):
    """(path, columns) of each decision: calls over parts of the rows are one, calls over all rows are repeats of the layer."""
    lane, rule = one.lane(path), one.rules[path]
    fits = {lane.flat, len(lane.rows)}
    if all(given.rows in fits for given in calls):
        for repeat, given in enumerate(calls):
            yield path if repeat == 0 else path.repeated(repeat), given
    elif sum(given.rows for given in calls) in fits:
        yield path, _joined(calls)
    else:
        _lost(audit, path, rule, len(lane.rows), f"it gave {' + '.join(str(given.rows) for given in calls)} rows, the pass has {lane.flat}")


def _joined(calls):
    """Calls over parts of the rows as one."""
    import torch
    from .readings import Given

    def whole(name):
        columns = [getattr(given, name) for given in calls]
        return None if columns[0] is None else torch.cat(columns)
    return Given(whole("ids"), whole("weights"), whole("logits"), whole("dropped"), max(given.precision for given in calls))


def _captures(lane, path, rule, pages, given):
    """(capture, row of the pass it begins at)."""
    import torch
    from .blocks_torch import Capture
    columns = {name: getattr(given, name) for name in ("logits", "ids", "weights", "dropped")}
    if lane.kept is not None and given.rows == lane.flat:
        kept = torch.tensor(lane.kept, dtype=torch.int64)
        columns = {name: None if column is None else column.index_select(0, kept.to(column.device)) for name, column in columns.items()}
    whole = Capture(path, rule, pages.page_rows, precision=given.precision, **columns)
    for start, end, row in lane.stretches():
        yield (whole if end - start == whole.count else whole.rows(start, end)), row
