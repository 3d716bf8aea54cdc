"""The pages of one router: blocks are joined to pages of about 32 KiB, and the last page is written anew while it grows."""
import json
import math
import sqlite3
from array import array

from . import checksums
from .columns import FLOAT_COLUMNS, Block, bitmap, id_bytes, total
from .paths import RouterPath
from .rules import Rule

PAGE_BYTES = 32768
MOST_ROWS = 1024
# Sums of a distribution take 8 bytes an expert and page: above so many experts they would be most of the file.
MOST_IMPORTANCE = 16384

_INSERT = """INSERT INTO page (router, first_token, token_count, squared_lse, absent, dropped, ids, weights, entropy, selection_margin,
  top1_margin, top_k_mass, importance, logits, checksum, decision_checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_UPDATE = """UPDATE router SET page_tokens = ?, token_count = ?, assignments = ?, dropped = ?, importance_tokens = ?, entropy_sum = ?,
  entropy_tokens = ?, selection_margin_sum = ?, selection_margin_tokens = ?, top1_margin_sum = ?, top1_margin_tokens = ?,
  top_k_mass_sum = ?, top_k_mass_tokens = ? WHERE id = ?"""


class RouterPages:
    """What a run has of one router: its row, its pages, its totals."""

    def __init__(self, path: RouterPath, rule: Rule, keeps_weights: bool, keeps_logits: bool, facts: dict | None = None):
        self.path, self.rule, self.facts = path, rule, dict(facts or {})
        self.id_bytes = id_bytes(rule.experts)
        self.weight_bytes, self.logit_bytes = 4 if keeps_weights else 0, 4 if keeps_logits else 0
        row = rule.top_k * (self.id_bytes + self.weight_bytes) + 4 * len(FLOAT_COLUMNS) + self.logit_bytes * rule.experts
        self.page_rows = max(1, min(MOST_ROWS, PAGE_BYTES // row))
        self.id: int | None = None
        self.next_token = 0
        self.bytes = 0
        self._tail: Block | None = None
        self._tail_first = 0
        self._tail_bytes = 0
        self._tail_page: int | None = None
        self._whole: list[tuple[int, Block]] = []
        self._changed = False
        self._longest = self.tokens = self.assignments = self.drops = self._measured = 0
        self._sums = {column: [0.0, 0] for column in FLOAT_COLUMNS}
        self.loads = [0] * rule.experts
        self._weights = [0.0] * rule.experts
        self._importance: array | None = None
        self._dirty: set[int] = set(range(rule.experts))

    def add(self, first_token: int, block: Block) -> None:
        """Takes in rows, at most `page_rows`, behind all that it has."""
        if block.importance is not None and self.rule.experts > MOST_IMPORTANCE:
            block.importance, block.measured = None, 0
        self._count(block)
        self._changed = True
        tail = self._tail
        if tail is not None and self.next_token == first_token and tail.count + block.count <= self.page_rows and tail.may_follow(block):
            self._tail = tail.joined(block)
        else:
            if tail is not None:
                self._whole.append((self._tail_first, tail))
            self._tail, self._tail_first = block, first_token
        self.next_token = first_token + block.count

    def _count(self, block: Block) -> None:
        self.tokens += block.count
        self.assignments += sum(block.loads.values())
        self.drops += sum(block.dropped) if block.dropped else 0
        for column, sums in self._sums.items():
            value, number = total(getattr(block, column))
            sums[0] += value
            sums[1] += number
        for expert, count in block.loads.items():
            self.loads[expert] += count
        self._dirty.update(block.loads)
        for expert, weight in block.weight_sums.items():
            self._weights[expert] += weight
        if block.importance is not None:
            self._measured += block.measured
            if self._importance is None:
                self._importance = array("d", bytes(8 * self.rule.experts))
            self._importance = array("d", map(float.__add__, self._importance, block.importance))
            self._dirty.update(range(self.rule.experts))

    # Writing: inside a transaction of the caller

    def insert(self, db: sqlite3.Connection, run: int) -> None:
        """Its row, and one in router_more where more is known of it."""
        rule = self.rule
        plain = self.path.is_plain and not self.facts
        self.id = db.execute(
            "INSERT INTO router (run, layer, stack, expert_count, top_k, id_bytes, weight_bytes, logit_bytes, log_expert_count, "
            "selection_unit, policy, spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (run, self.path.layer, self.path.lane, rule.experts, rule.top_k, self.id_bytes, self.weight_bytes, self.logit_bytes,
             math.log(rule.experts), rule.selection_unit, rule.policy, rule.to_json())).lastrowid
        if not plain:
            db.execute("INSERT INTO router_more VALUES (?, ?, ?, ?)", (self.id, str(self.path), self.path.stack, self.facts_json))

    @property
    def facts_json(self) -> str:
        return json.dumps(self.facts, sort_keys=True, separators=(",", ":"))

    def checksum(self, place: int) -> int:
        """Its part of run.router_checksum; place: from 0 in the run."""
        more = () if self.path.is_plain and not self.facts else (str(self.path), self.facts_json)
        return checksums.router(place, self.path.layer, self.path.lane, self.rule.experts, self.rule.top_k, self.rule.to_json(), *more)

    def write(self, db: sqlite3.Connection) -> None:
        """Writes what is new."""
        if not self._changed:
            return
        if self._tail_page is not None:
            db.execute("DELETE FROM page_extra WHERE page = ?", (self._tail_page,))
            db.execute("DELETE FROM page WHERE id = ?", (self._tail_page,))
            self.bytes -= self._tail_bytes
            self._tail_page = None
        for first, block in self._whole:
            self._insert(db, first, block)
        self._whole.clear()
        if self._tail is not None:
            self._tail_page, self._tail_bytes = self._insert(db, self._tail_first, self._tail)
        self._update(db)
        self._changed = False

    def _insert(self, db, first: int, block: Block) -> tuple[int, int]:
        importance = None if block.importance is None else block.importance.tobytes()
        decision = [bitmap(block.absent), bitmap(block.dropped), block.ids, block.weights, block.entropy, block.selection_margin,
                    block.top1_margin, block.top_k_mass, importance]
        extra = [None, block.shared_weight, None]
        whole, own = checksums.page(first, block.count, block.squared_lse, decision + extra, decision + [block.logits] + extra)
        row = db.execute(_INSERT, (self.id, first, block.count, block.squared_lse, *decision, block.logits, whole, own)).lastrowid
        if block.shared_weight is not None:
            db.execute("INSERT INTO page_extra VALUES (?, ?, ?, ?)", (row, *extra))
        size = sum(len(blob) for blob in decision + extra if blob) + len(block.logits or b"")
        self.bytes += size
        self._longest = max(self._longest, block.count)
        return row, size

    def _update(self, db) -> None:
        sums = [value for column in FLOAT_COLUMNS for value in self._sums[column]]
        db.execute(_UPDATE, (self._longest, self.tokens, self.assignments, self.drops, self._measured, *sums, self.id))
        importance = self._importance if self._measured else None
        db.executemany(
            "INSERT INTO expert_total VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET assignments = excluded.assignments, "
            "weight_sum = excluded.weight_sum, importance_sum = excluded.importance_sum",
            [(self.id, expert, self.loads[expert], self._weights[expert] if self.weight_bytes else None,
              importance[expert] if importance is not None else None) for expert in sorted(self._dirty)])
        self._dirty.clear()
