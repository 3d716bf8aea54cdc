"""A run on its way into a file: tokens and blocks come in, and each commit leaves a whole trace behind."""
import hashlib
import json
import os
import socket
import sqlite3
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import Iterable, Sequence

from . import checksums
from .columns import Block
from .errors import RecordError, require
from .pages import RouterPages
from .paths import RouterPath
from .rules import Rule
from .schema import connect, open_trace

HEARTBEAT_SECONDS = 10
IDLE_SECONDS = 0.5
LARGEST = 2**31 - 1
PREFILL, DECODE, ENCODE, PATCH = 0, 1, 2, 3


@dataclass
class RunSequence:
    """A text, prompt or sample of the run. number: from 0. count: its rows so far; next_position: of its next row, encoder apart. read, given:
    ids of its encoder, and of its other rows up to the first that was generated; generated: rows behind those."""

    number: int
    name: str
    labels: dict
    count: int = 0
    next_position: int = 0
    encoded: int = 0
    stored: bool = field(default=False, repr=False)
    read: array = field(default_factory=lambda: array("i"), repr=False)
    given: array = field(default_factory=lambda: array("i"), repr=False)
    generated: int = 0

    def take(self, token_id: int, phase: int) -> None:
        self.count += 1
        if phase == ENCODE:
            self.read.append(token_id)
        elif phase == DECODE:
            self.generated += 1
        else:
            self.given.append(token_id)


@dataclass
class Rows:
    """Rows that come in together, in columns of one length: sequence, position, token id (-1: none), phase. more: request and rank of
    all of them; labels and coordinates: name to a value for each row, None where it has none."""

    sequence: list
    position: list
    token_id: list
    phase: list
    surprisal: list | None = None
    next_token_entropy: list | None = None
    request: list | None = None
    rank: int | None = None
    labels: dict = field(default_factory=dict)
    coordinates: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.sequence)


class TraceWriter:
    """Writes one run. Not for several threads at once: whoever calls holds `lock`, also the thread that writes what waits when nobody calls.

    description: of the run, as docs/trace-format.md has it. content: `ids`, `weights` or `full`.
    Raises RecordError for a file that is not to be written to.
    """

    def __init__(self, file: str, description: dict, tags: Sequence[str] = ()):
        self.file = os.fspath(file)
        self._description = description
        self.content = description["recording"]["content"]
        self._keeps_ids = not description["recorded"].get("withoutIDs")
        self.routers: dict[RouterPath, RouterPages] = {}
        self.token_count = 0
        self._sequences: list[RunSequence] = []
        self._rows: list[tuple[int, Rows]] = []
        self._changed: dict[int, RunSequence] = {}
        self._pieces: dict[int, bytes] = {}
        self._known_pieces: set[int] = set()
        self._new_routers: list[RouterPages] = []
        self._stale_routers = False
        self._token_checksum = self._word_checksum = 0
        self._slots = -1
        self.pending = 0
        self.logit_error = 0.0    # Relative error of what routers compared, where that was no f32.
        self._db = open_trace(self.file)
        now = time.time()
        self.last_commit = now
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self.run = self._db.execute(
                "INSERT INTO run (name, tags, description, state, started_at, heartbeat, process, host, token_checksum, router_checksum, "
                "word_checksum) VALUES (?, ?, ?, 'running', ?, ?, ?, ?, 0, 0, 0)",
                (description["name"], json.dumps(list(tags)), json.dumps(description, sort_keys=True), now, now, os.getpid(),
                 socket.gethostname())).lastrowid
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise RecordError(self.file, "a trace that can be written", str(error), "a file that no other program writes to") from error
        self.lock = threading.RLock()
        self.idle = None    # What the thread calls now and then.
        self._broken: sqlite3.Error | None = None
        self._ended = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="moetop-record", daemon=True)
        self._beats.start()

    # What comes in

    def add_router(self, path: RouterPath, rule: Rule, facts: dict | None = None) -> RouterPages:
        """Makes a router known. Raises RecordError where the path has another rule already."""
        known = self.routers.get(path)
        if known:
            if known.rule != rule:
                raise RecordError(f"router {path}", f"the rule that it has: {known.rule.policy}", rule.policy, "another path for another router")
            return known
        if any(other.layer == path.layer and other.lane == path.lane for other in self.routers):
            raise RecordError(f"router {path}", "a path of its own", "one of the same lane and layer")
        pages = RouterPages(path, rule, self.content != "ids" and rule.weight_kind != "none", self.content == "full", facts)
        self.routers[path] = pages
        self._new_routers.append(pages)
        return pages

    def set_facts(self, path: RouterPath, facts: dict) -> None:
        """What is known of a router beside its rule, replaced."""
        pages = self.routers[path]
        pages.facts = dict(facts)
        if pages.id is not None:
            self._stale_routers = True

    def begin_sequence(self, name: str | None = None, labels: dict | None = None, start: int = 0) -> RunSequence:
        """labels: text to text. start: position of its first row."""
        labels = {str(key): str(value) for key, value in (labels or {}).items()}
        number = len(self._sequences)
        sequence = RunSequence(number, name or f"sequence {number}", labels, next_position=start)
        self._sequences.append(sequence)
        return sequence

    def add_rows(self, rows: Rows) -> int:
        """Rows of the run; sequences in them are those of `begin_sequence`. Returns the number of the first."""
        first = self.token_count
        ids = rows.token_id
        if not self._keeps_ids:
            rows.token_id = [-1] * len(rows)
        self._rows.append((first, rows))
        for number, token_id, phase in zip(rows.sequence, ids, rows.phase):
            self._sequences[number].take(token_id, phase)
        for number in set(rows.sequence):
            self._changed[number] = self._sequences[number]
        self.token_count += len(rows)
        self.pending += len(rows)
        return first

    def add_block(self, path: RouterPath, first_token: int, block: Block) -> None:
        self.routers[path].add(first_token, block)

    def add_pieces(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Bytes of token ids; those known already are passed over."""
        if not self._keeps_ids:
            return
        for token_id, piece in pieces:
            if token_id >= 0 and token_id not in self._known_pieces:
                self._known_pieces.add(token_id)
                self._pieces[token_id] = piece

    def knows_piece(self, token_id: int) -> bool:
        return token_id in self._known_pieces

    # Commits

    def commit(self) -> None:
        """Everything that came in is in the file when this returns. Raises RecordError, from then on always: what is in the file stays whole."""
        db = self._db
        try:
            if self._broken:
                raise self._broken
            db.execute("BEGIN IMMEDIATE")
            self._write_routers(db)
            self._write_tokens(db)
            self._write_words(db)
            for pages in self.routers.values():
                pages.write(db)
            db.execute(
                "UPDATE run SET token_count = ?, stored_bytes = ?, token_checksum = ?, word_checksum = ?, heartbeat = ? WHERE id = ?",
                (self.token_count, sum(pages.bytes for pages in self.routers.values()), self._token_checksum, self._word_checksum,
                 time.time(), self.run))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._broken = error
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise RecordError(self.file, "a trace that can be written", str(error), "room on the disk, and no other writer") from error
        self.pending, self.last_commit = 0, time.time()

    def _write_routers(self, db) -> None:
        if not self._new_routers and not self._stale_routers:
            return
        for pages in self._new_routers:
            pages.insert(db, self.run)
        if self._stale_routers:
            for pages in self.routers.values():
                if pages.facts or not pages.path.is_plain:
                    db.execute("INSERT OR REPLACE INTO router_more VALUES (?, ?, ?, ?)", (pages.id, str(pages.path), pages.path.stack, pages.facts_json))
        slots = max(pages.rule.top_k for pages in self.routers.values())
        db.executemany("INSERT OR IGNORE INTO number VALUES (?)", [(slot,) for slot in range(self._slots + 1, slots)])
        self._slots = max(self._slots, slots - 1)
        total = sum(pages.checksum(place) for place, pages in enumerate(self.routers.values()))
        db.execute("UPDATE run SET router_checksum = ? WHERE id = ?", (total % 2**32, self.run))
        self._new_routers.clear()
        self._stale_routers = False

    def _write_tokens(self, db) -> None:
        for first, rows in self._rows:
            nothing = [None] * len(rows)
            values = list(zip(rows.sequence, rows.position, rows.token_id, rows.phase, rows.surprisal or nothing, rows.next_token_entropy or nothing))
            self._token_checksum = checksums.tokens(values, self._token_checksum)
            db.executemany("INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(self.run, first + i, *row) for i, row in enumerate(values)])
            if rows.request is not None or rows.rank is not None:
                db.executemany("INSERT INTO token_more VALUES (?, ?, ?, ?)", [
                    (self.run, first + i, rows.request[i] if rows.request else None, rows.rank) for i in range(len(rows))
                    if rows.rank is not None or rows.request[i] is not None])
            for table, columns in (("token_label", rows.labels), ("coordinate", rows.coordinates)):
                for name, column in columns.items():
                    db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", [
                        (self.run, first + i, name, value) for i, value in enumerate(column) if value is not None])
        self._rows.clear()

    def _write_words(self, db) -> None:
        for sequence in self._changed.values():
            labels = json.dumps(sequence.labels, sort_keys=True, separators=(",", ":"))
            if sequence.stored:
                db.execute("UPDATE sequence SET token_count = ? WHERE run = ? AND sequence = ?", (sequence.count, self.run, sequence.number))
            else:
                db.execute("INSERT INTO sequence VALUES (?, ?, ?, ?, ?)", (self.run, sequence.number, sequence.name, labels, sequence.count))
                self._word_checksum += checksums.sequence(sequence.number, sequence.name, labels)
                sequence.stored = True
        self._changed.clear()
        db.executemany("INSERT INTO piece VALUES (?, ?, ?)", [(self.run, token_id, piece) for token_id, piece in self._pieces.items()])
        self._word_checksum = (self._word_checksum + sum(checksums.piece(*item) for item in self._pieces.items())) % 2**32
        self._pieces.clear()

    def finish(self, state: str, reason: str | None = None, checks: Iterable[tuple[str, str, str]] = ()) -> None:
        """The end of the run. state: `completed`, `stopped` or `failed` with a reason; checks: (name, outcome, detail)."""
        require(state in ("completed", "stopped", "failed"), "state of the run", "completed, stopped or failed", state)
        self._ended.set()
        self.commit()
        now = time.time()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT OR REPLACE INTO capture_check VALUES (?, ?, ?, ?)", [(self.run, *check) for check in checks])
        self._description["input"]["hash"] = self._input_hash()
        if self.logit_error:
            self._description["recorded"]["logitError"] = self.logit_error
        self._db.execute("UPDATE run SET state = ?, reason = ?, ended_at = ?, heartbeat = ?, description = ? WHERE id = ?",
                         (state, reason, now, now, json.dumps(self._description, sort_keys=True), self.run))
        self._db.execute("COMMIT")
        self._beats.join()
        try:
            self._db.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError:
            pass    # Someone reads the trace: it stays as it is, which is as good.
        self._db.close()

    def _input_hash(self) -> str:
        """SHA-256 over the ids that were given, text by text, as moetop's engine hashes its input; empty where some id is not known."""
        found = hashlib.sha256()
        has_encoder = any(path.stack in ("enc", "dec") for path in self.routers)
        for sequence in self._sequences:
            if not sequence.given and sequence.generated:
                return ""
            for ids in ([sequence.read] if has_encoder else []) + [sequence.given]:
                if min(ids, default=0) < 0:
                    return ""
                found.update(array("i", [len(ids), *ids]).tobytes())
        return found.hexdigest() if self._sequences else ""

    def _beat(self) -> None:
        db, beaten = None, time.time()
        while not self._ended.wait(IDLE_SECONDS):
            if self.idle:
                self.idle()
            if time.time() - beaten < HEARTBEAT_SECONDS:
                continue
            beaten = time.time()
            try:
                db = db or connect(self.file)
                db.execute("UPDATE run SET heartbeat = ? WHERE id = ?", (beaten, self.run))
            except sqlite3.Error:
                pass    # A commit is under way, which sets it too.
        if db:
            db.close()
