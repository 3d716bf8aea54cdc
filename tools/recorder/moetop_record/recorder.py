"""The recorder: what a program talks to. It holds a run, its routers and the rows at hand, and writes them when they are whole."""
import functools
import json
import os
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import Sequence

from . import provenance
from .blocks import plain
from .checks import CaptureAudit, FAILED
from .errors import CaptureWarning, RecordError, require
from .passes import Lane, Pass, blocks_of, joined, store
from .paths import RouterPath
from .ranks import this_rank
from .rules import Rule, stated, unknown
from .writer import DECODE, ENCODE, PATCH, PREFILL, Rows, TraceWriter

RECORDS = ("ids", "weights", "full")
ROWS = ("token", "patch", "frame", "sample", "task", "step", "node", "user")
PHASES = {"prefill": PREFILL, "decode": DECODE, "encode": ENCODE, "denoise": PATCH}
# So many rows are written when their pass ends; fewer, such as single tokens, wait for each other, at most `commit_seconds`.
ROWS_AT_ONCE = 16


def _locked(method):
    """One thread at a time: the one that writes what waits is another."""
    @functools.wraps(method)
    def own(self, *args, **kwargs):
        with self._writer.lock:
            return method(self, *args, **kwargs)
    return own


class Recorder:
    """A run on its way into a trace. Use it in a `with` statement; `trace` makes one for a torch module.

    file: a trace that is there gets one more run. record: `ids`, `weights` (default), or `full`, with logits. row: what a decision is about.
    model: a torch module that is described as the run's model. name, tags: of the run. without_ids: keep no token ids and no text.
    tokenizer: its pieces of text are kept beside the ids. rank, world, series: of several processes, instead of what the launcher says.
    hash_weights: `files` of a local checkpoint, `memory`, or `none`. commit_seconds: how long single tokens may wait to be written.
    shared_weights: keep the factor of the shared expert, which `record(shared=…)` gives.
    Raises RecordError for arguments that cannot be.
    """

    def __init__(self, file, *, model=None, name: str = "", tags: Sequence[str] = (), record: str = "weights", row: str = "token",
                 tokenizer=None, without_ids: bool = False, rank: int | None = None, world: int | None = None, series: str | None = None,
                 hash_weights: str = "files", commit_seconds: float = 0.5, model_name: str | None = None, input_source: str = "",
                 shared_weights: bool = False):
        require(record in RECORDS, "record", ", ".join(RECORDS), repr(record))
        require(row in ROWS, "row", ", ".join(ROWS), repr(row))
        require(hash_weights in ("files", "memory", "none"), "hash_weights", "files, memory or none", repr(hash_weights))
        self.rank = this_rank(file, rank, world, series)
        self.file = self.rank.file(file) if self.rank else os.fspath(file)
        self._row, self._commit_seconds, self._tokenizer = row, commit_seconds, None if without_ids else tokenizer
        identity = provenance.model_identity(model, hash_weights) if model is not None else provenance.empty_identity()
        if model_name:
            identity["name"] = model_name
        self._writer = TraceWriter(self.file, provenance.description(
            name, identity, record, row, provenance.source(model, identity, hash_weights), without_ids=without_ids,
            series=self.rank.series if self.rank else series, input_source=input_source, extras=("shared",) if shared_weights else ()), tags)
        self._shared_weights = shared_weights
        self._audit = CaptureAudit(row)
        self._rules: dict[RouterPath, Rule] = {}
        self._facts: dict[RouterPath, dict] = {}
        self._pass: Pass | None = None
        self._open = True
        self._detach = []
        self._named: list = []
        self._waiting: list[Pass] = []
        self._request = None
        self._sequences: dict = {}
        self._writer.idle = self._write_waiting

    # What routers are

    @_locked
    def router(self, path: str | RouterPath, rule: Rule, *, bank: str | None = None, shared_experts: int | None = None, parent: str | None = None,
               holds_for: Sequence[int] | None = None, factors: Sequence[int] | None = None, experts: Sequence[dict | str] | None = None) -> RouterPath:
        """Declares a router before its first decision, or says more of one that is known, such as those that `trace` found.

        bank: name of experts that several routers share. parent: path of the router it depends on. holds_for: layers that use its
        decision. factors: lengths of lists that experts are pairs of; they sum to rule.experts. experts: names, or dictionaries with
        any of expert, name, width, bytes, rank, physical, pruned.
        """
        path = RouterPath.parse(path)
        if path in self._rules and self._rules[path] != rule:
            raise RecordError(f"router {path}", f"the rule that it has: {self._rules[path].policy}", rule.policy, "change_rule() for one that changes in a run")
        if factors is not None:
            require(sum(factors) == rule.experts, f"router {path}: factors", f"lengths that sum to {rule.experts}", list(factors),
                    "ids of the second list behind those of the first")
        named = [{"expert": at, "name": entry} if isinstance(entry, str) else {"expert": at, **entry} for at, entry in enumerate(experts or ())]
        facts = {"bank": bank, "sharedExperts": shared_experts, "parent": None if parent is None else str(RouterPath.parse(parent)),
                 "holdsFor": None if holds_for is None else list(holds_for), "factors": None if factors is None else list(factors), "experts": named or None}
        facts = {key: value for key, value in facts.items() if value is not None}
        if path in self._rules:
            # A router that a hook made known, and of which more is said now.
            self._facts[path].update(facts)
            self._writer.set_facts(path, self._facts[path])
            return path
        self._rules[path], self._facts[path] = rule, facts
        self._writer.add_router(path, rule, facts)
        self._audit.router(path, rule)
        return path

    @_locked
    def change_rule(self, path: str | RouterPath, rule: Rule) -> None:
        """The router follows another rule from the next row on, such as a bias that training moved."""
        path = RouterPath.parse(path)
        require(path in self._rules, f"router {path}", "a router that is known", "none of this path", "router(path, rule) first")
        old = self._rules[path]
        same = (rule.experts, rule.top_k, rule.weight_kind, rule.is_executable) == (old.experts, old.top_k, old.weight_kind, old.is_executable)
        require(same, f"router {path}", "as many experts and slots, and weights of the kind as before", rule.policy, "a router of another path")
        self._store()
        states = self._facts[path].setdefault("states", [])
        states.append({"firstToken": self._writer.token_count, "spec": json.loads(rule.to_json())})
        self._rules[path] = rule
        self._writer.set_facts(path, self._facts[path])

    def _rule_of(self, path: RouterPath, rule: Rule | None, experts: int | None, slots: int, has_weights: bool) -> Rule:
        known = self._rules.get(path)
        if known is not None:
            if rule is not None and rule != known:
                raise RecordError(f"router {path}", f"the rule that it has: {known.policy}", rule.policy, "change_rule()")
            return known
        if rule is None:
            require(experts is not None, f"router {path}", "a rule, or the number of its experts", "neither",
                    "rule=Rule(...), rule=stated(...), or experts=64 for a router of which nothing else is known")
            rule = unknown(experts, slots, "unnormalized" if has_weights else "none")
        self.router(path, rule)
        return rule

    # Rows

    @contextmanager
    def rows(self, count: int | None = None, *, ids: Sequence[int] | None = None, sequence: str | None = None, labels: dict | None = None,
             row_labels: dict | None = None, coordinates: dict | None = None, request: int | Sequence[int] | None = None,
             positions: Sequence[int] | None = None, phase: str = "prefill"):
        """The rows that everything recorded inside is about; written when the block ends, forgotten when it fails.

        count: number of rows (or that of ids). ids: token ids. sequence: a name that goes on where it was used before; None: a new
        one. labels: of the sequence. row_labels, coordinates: name to one value a row (None: none). request: number, or one a row.
        """
        require(self._pass is None, "rows()", "no rows at hand", "rows within rows", "one block after the other")
        count = len(ids) if count is None and ids is not None else count
        require(isinstance(count, int) and count >= 0, "rows(): count", "a number of rows, or ids", count)
        require(ids is None or len(ids) == count, "rows(): ids", f"{count} ids", None if ids is None else len(ids))
        require(phase in PHASES, "rows(): phase", ", ".join(PHASES), repr(phase))
        columns = {**{f"label {name}": column for name, column in (row_labels or {}).items()},
                   **{f"coordinate {name}": column for name, column in (coordinates or {}).items()}}
        for what, column in columns.items():
            require(len(column) == count, f"rows(): {what}", f"{count} values, one a row", len(column))
        one = self._sequence(sequence, labels)
        start = one.next_position
        table = Rows([one.number] * count, list(positions) if positions is not None else list(range(start, start + count)),
                     [int(token) for token in plain(ids)] if ids is not None else [-1] * count, [PHASES[phase]] * count,
                     labels={name: [None if value is None else str(value) for value in plain(column)] for name, column in (row_labels or {}).items()},
                     coordinates={name: [None if value is None else float(value) for value in plain(column)] for name, column in (coordinates or {}).items()})
        one.next_position = max(table.position, default=start - 1) + 1
        if request is not None:
            table.request = [request] * count if isinstance(request, int) else list(request)
        with self._passing(Pass(table, {"other": Lane(count, None, range(count)), "enc": Lane(count, None, range(count))})):
            yield self

    @contextmanager
    def _passing(self, one: Pass):
        require(self._open, "the recorder", "an open run", "one that has ended", "use it inside its with statement")
        if self.rank:
            one.rows.rank = self.rank.rank
        self._pass = one
        try:
            yield one
        finally:
            self._pass = None
        self._end_pass(one)

    @_locked
    def _end_pass(self, one: Pass):
        if self._tokenizer is not None:
            from .pieces import pieces_of
            self._writer.add_pieces(pieces_of(self._tokenizer, {token for token in one.rows.token_id if not self._writer.knows_piece(token)}))
        self._waiting.append(one)
        waiting = sum(len(one.rows) for one in self._waiting)
        if waiting >= ROWS_AT_ONCE or time.time() - self._writer.last_commit >= self._commit_seconds:
            self._store()
            self._writer.commit()

    def _write_waiting(self):
        """Called by a thread of the writer, so that what waits is written also when no other pass comes."""
        if not (self._waiting or self._writer.pending) or time.time() - self._writer.last_commit < self._commit_seconds:
            return
        if not self._writer.lock.acquire(blocking=False):
            return    # Someone is at work, or the run comes to its end.
        try:
            if self._open:
                self._store()
                self._writer.commit()
        except RecordError:
            pass    # The next commit says it where the program sees it.
        finally:
            self._writer.lock.release()

    @_locked
    def _store(self):
        """Gives the writer what waits: passes of single tokens are decided on together."""
        waiting, self._waiting = self._waiting, []
        for one in joined(waiting) if waiting else ():
            store(one, self._writer, self._audit)

    @_locked
    def _sequence(self, name=None, labels=None, start=0):
        if name is not None and name in self._sequences:
            require(labels is None, f"sequence {name}", "labels where it begins", "labels of one that goes on", "labels= once")
            return self._sequences[name]
        if name is None and self._named:
            name, given = self._named.pop(0)
            labels = {**given, **(labels or {})}
        one = self._writer.begin_sequence(name, labels, start)
        if name is not None:
            self._sequences[name] = one
        return one

    @_locked
    def next_sequences(self, names: Sequence[str] | None = None, labels: Sequence[dict] | dict | None = None) -> None:
        """Names and labels of the sequences that begin next, such as the rows of a batch."""
        if names is None and labels is None:
            raise RecordError("next_sequences()", "names or labels", "neither")
        if isinstance(labels, dict):
            labels = [labels] * (len(names) if names is not None else 1)
        count = len(names) if names is not None else len(labels)
        require(labels is None or len(labels) == count, "next_sequences(): labels", f"{count}, one a name", len(labels or ()))
        self._named = [(names[at] if names is not None else None, dict(labels[at]) if labels is not None else {}) for at in range(count)]

    # Decisions

    def record(self, router: str | RouterPath, ids=None, weights=None, logits=None, *, rule: Rule | None = None, experts: int | None = None, dropped=None,
               shared=None, unknown=None, sequence: str | None = None, **rows) -> None:
        """Decisions of one router about the rows at hand, or, outside of `rows`, about rows of their own (`sequence`, and what else
        `rows` takes).

        ids: [n][<= k] experts, -1 where a slot holds none, None for a row whose route is not known; None: what an executable rule makes
        of logits, or all experts of a dense one. weights, dropped: beside ids. logits: [n][E]. shared: [n], factor of the shared expert, of a
        recorder with shared_weights. unknown: [n], true where the route is not
        known. Tensors, arrays or lists. rule, experts: at the first record of a router.
        """
        path = RouterPath.parse(router)
        count, slots = _extent(path, ids, weights, logits)
        if self._pass is None:
            # Samples, tasks and users may each have routers of their own.
            self._audit.may_lack_routes |= self._row not in ("token", "patch", "frame")
            with self.rows(count, sequence=sequence, **rows):
                return self.record(path, ids, weights, logits, rule=rule, experts=experts, dropped=dropped, shared=shared, unknown=unknown)
        require(sequence is None and not rows, f"router {path}", "rows that `rows` gave", f"others beside them: {', '.join(rows) or 'sequence'}")
        rule = self._rule_of(path, rule, experts, slots, weights is not None)
        expected = len(self._pass.rows)
        require(count == expected, f"router {path}", f"{expected} rows, as at hand", count, "rows(count) with as many rows as the router decides on")
        is_tensor = any(type(column).__module__.startswith("torch") for column in (ids, weights, logits))
        require(shared is None or self._shared_weights, f"router {path}: shared", "a recorder that keeps weights of shared experts", "one that does not",
                "Recorder(..., shared_weights=True)")
        if is_tensor and unknown is None and shared is None and (ids is not None or logits is not None):
            return self._record_tensors(path, rule, ids, weights, logits, dropped)
        columns = {name: plain(column) for name, column in (("ids", ids), ("weights", weights), ("logits", logits), ("dropped", dropped),
                                                               ("shared", shared))}
        if columns["ids"] is not None:
            columns["ids"] = [[row] if isinstance(row, int) else row for row in columns["ids"]]
        if unknown is not None:
            flags = plain(unknown)
            require(len(flags) == count, f"router {path}: unknown", f"{count} flags", len(flags))
            own = columns["ids"] or [range(rule.experts) if logits is None else None] * count
            require(columns["ids"] is not None or logits is None, f"router {path}: unknown", "ids beside it", "logits alone")
            columns["ids"] = [None if flag else row for flag, row in zip(flags, own)]
        pages = self._writer.routers[path]
        self._pass.give_blocks(path, rule, blocks_of(path, rule, self._writer.content, pages.page_rows, columns))

    def _record_tensors(self, path, rule, ids, weights, logits, dropped):
        from .readings import given
        one = given(f"router {path}", ids, weights, logits, dropped)
        if one.ids is None and not rule.is_executable:
            raise RecordError(f"router {path}", "ids, as its rule is not executable", "logits alone",
                              "Rule(...) with the scoring and selection that the model has")
        if one.ids is not None and one.ids.numel():
            high, low = int(one.ids.max()), int(one.ids.min())
            require(-1 <= low and high < rule.experts, f"router {path}", f"experts from 0 to {rule.experts - 1}, -1 for none", f"{low} to {high}",
                    "the number of experts in the rule, logical ids rather than slots of memory")
            require(one.ids.shape[1] <= rule.top_k, f"router {path}", f"at most {rule.top_k} experts a row", one.ids.shape[1], "a rule with more slots")
        require(one.logits is None or one.logits.shape[1] == rule.experts, f"router {path}: logits", f"{rule.experts} numbers a row",
                None if one.logits is None else one.logits.shape[1])
        self._pass.give(path, rule, _widened(one, rule))

    def wrap(self, function, router: str | RouterPath, *, ids="detect", weights="detect", logits=None, dropped=None, rule: Rule | None = None,
             experts: int | None = None):
        """A function that routes, recorded whenever it is called; what it gives out is handed on as it is.

        ids, weights, logits, dropped: where they lie in its output (`readings.Reading`).
        """
        from .readings import Reading
        path, reading = RouterPath.parse(router), Reading(ids, weights, logits, dropped)

        @functools.wraps(function)
        def recorded(*args, **kwargs):
            output = function(*args, **kwargs)
            if self._open:
                self._take(path, reading.read(output, f"router {path}"), rule, experts)
            return output
        return recorded

    def _take(self, path: RouterPath, given, rule: Rule | None = None, experts: int | None = None) -> None:
        """A call of a router that a hook or a wrapper saw."""
        slots = given.ids.shape[1] if given.ids is not None else 1
        rule = self._rule_of(path, rule, experts, slots, given.weights is not None)
        given = _widened(given, rule)
        if self._pass is not None:
            return self._pass.give(path, rule, given)
        one = self._sequence()
        table = Rows([one.number] * given.rows, list(range(given.rows)), [-1] * given.rows, [PREFILL] * given.rows)
        one.next_position = given.rows
        lane = Lane(given.rows, None, range(given.rows))
        with self._passing(Pass(table, {"other": lane, "enc": lane})):
            self._pass.give(path, rule, given)

    # The end

    @property
    def checks(self) -> list[tuple[str, str, str]]:
        """(name, outcome, detail) of the capture checks over what was recorded so far."""
        with self._writer.lock:
            self._store()
            return self._audit.result()

    def add_check(self, name: str, outcome: str, detail: str) -> None:
        """A verdict of your own beside the capture checks: outcome `held`, `failed`, `suspicious` or `notApplicable`."""
        require(outcome in ("held", "failed", "suspicious", "notApplicable"), f"check {name}", "held, failed, suspicious or notApplicable", outcome)
        self._audit.extra.append((name, outcome, detail))

    @_locked
    def close(self, state: str = "completed", reason: str | None = None) -> None:
        """Takes hooks away, writes what is left and the checks, and warns of those that failed. Twice is once."""
        if not self._open:
            return
        self._open = False
        try:
            for detach in reversed(self._detach):
                detach()
            checks = self.checks
        except BaseException as error:
            checks, state, reason = self._audit.result(), "failed", reason or f"{type(error).__name__}: {error}"
            raise
        finally:
            self._writer.finish(state, reason, checks)
        for name, outcome, detail in checks:
            if outcome == FAILED:
                warnings.warn(f"{self.file}: capture check {name} failed: {detail}", CaptureWarning, stacklevel=4)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            return self.close()
        if issubclass(kind, KeyboardInterrupt):
            return self.close("stopped")
        self.close("failed", f"{kind.__name__}: {error}")


def _extent(path, ids, weights, logits):
    """(rows, slots) of what was given."""
    column = ids if ids is not None else weights if weights is not None else logits
    require(column is not None, f"router {path}", "ids, weights or logits", "none of them")
    rows = len(column)
    width = max((len(row) if hasattr(row, "__len__") else 1 for row in plain(column) if row is not None), default=1)
    return rows, max(1, width)


def _widened(given, rule: Rule):
    """ids and weights with as many slots as the rule has."""
    if given.ids is None or given.ids.shape[1] == rule.top_k or given.ids.shape[1] > rule.top_k:
        require(given.ids is None or given.ids.shape[1] <= rule.top_k, "ids", f"at most {rule.top_k} experts a row",
                None if given.ids is None else given.ids.shape[1], "a rule with more slots")
        return given
    from torch.nn.functional import pad
    more = rule.top_k - given.ids.shape[1]
    return replace(given, ids=pad(given.ids, (0, more), value=-1), weights=None if given.weights is None else pad(given.weights, (0, more)),
                   dropped=None if given.dropped is None else pad(given.dropped, (0, more)))


__all__ = ["Recorder", "stated", "unknown"]
