"""One batch of rows on its way: which rows it has, in which order each router sees them, and what routers gave for them.

Nothing of a pass is stored before it has come to its end, so that a forward pass that fails leaves nothing half-written.
"""
from dataclasses import dataclass, field

from .blocks import block_of
from .errors import RecordError
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
    """rows: of the run. lanes: by `enc` and `other`. calls: what routers gave, by path, in order; columns are tensors (`Given`) or
    lists."""

    rows: Rows
    lanes: dict
    calls: dict = field(default_factory=dict)
    lists: dict = field(default_factory=dict)
    rules: dict = field(default_factory=dict)
    unknown: dict = field(default_factory=dict)

    def lane(self, path: RouterPath) -> Lane:
        return self.lanes.get("enc" if path.stack == "enc" else "other") or Lane(0, None, range(0))

    def give(self, path: RouterPath, rule: Rule, given) -> None:
        """A call of a router, as tensors."""
        self.calls.setdefault(path, []).append(given)
        self.rules[path] = rule

    def give_lists(self, path: RouterPath, rule: Rule, columns: dict) -> None:
        """A whole decision of every row, as lists; rows whose ids are None are unknown."""
        if path in self.lists or path in self.calls:
            raise RecordError(f"router {path}", "one decision a row", "a second record of the same rows",
                              "a path with .r1 for a layer that runs again, or rows() for other rows")
        self.lists[path] = columns
        self.rules[path] = rule


def store(one: Pass, writer, audit) -> None:
    """Writes a pass that has ended."""
    first = writer.add_rows(one.rows)
    audit.add_rows(one.rows.token_id, one.rows.phase)
    for path, columns in one.lists.items():
        _store_lists(one, path, columns, first, writer, audit)
    if one.calls:
        _store_tensors(one, first, writer, audit)


def _lost(audit, path, rule, count, why):
    router = audit.router(path, rule)
    router.lost += count
    router.lost_because = router.lost_because or why


def _ready(writer, audit, path, rule, facts=None):
    pages = writer.routers.get(path) or writer.add_router(path, rule, facts)
    return pages, audit.router(path, rule)


def _store_lists(one, path, columns, first, writer, audit):
    rule = one.rules[path]
    pages, router = _ready(writer, audit, path, rule)
    known = [row for row in range(len(one.rows)) if columns["ids"] is None or columns["ids"][row] is not None]
    lane = Lane(len(known), None, known)
    for start, end, row in lane.stretches():
        for at in range(0, end - start, pages.page_rows):
            low, high = row + at, row + min(at + pages.page_rows, end - start)
            part = {name: None if column is None else column[low:high] for name, column in columns.items()}
            block, findings = block_of(path, rule, writer.content, **part)
            router.findings += findings
            router.add(block, pages.id_bytes)
            writer.add_block(path, first + low, block)
    if len(known) < len(one.rows):
        audit.may_lack_routes = True


def _store_tensors(one, first, writer, audit):
    from .blocks_torch import build
    captures, offsets = [], {}
    for path, calls in one.calls.items():
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
