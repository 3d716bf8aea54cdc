"""Is this trace a faithful record of its routers? Folds over blocks while they are written; the verdicts go with the run.

Names and outcomes are those of moetop's own captures where they ask the same; `moetop runs` and `moetop analyze` warn of failed ones.
"""
import math
from dataclasses import dataclass, field

from .blocks import Findings
from .columns import Block
from .paths import RouterPath
from .rules import Rule

HELD, FAILED, SUSPICIOUS, NOT_APPLICABLE = "held", "failed", "suspicious", "notApplicable"
ENOUGH = 33             # Different tokens from which on different decisions are to be expected.
_MANY_OF_ONE_INPUT = ("token", "patch", "frame")

MEANINGS = {
    "assignment_sum": "assignments = tokens x topK",
    "expert_ids": "experts are in range, and none is taken twice",
    "rows_seen": "every call gave as many rows as its pass has",
    "score_sum": "router probabilities of a token sum to 1",
    "selection_recomputed": "experts = top-k recomputed from the logits",
    "weights_recomputed": "weights = those of the rule, from the logits",
    "weight_sum": "weights sum to what the rule says",
    "equal_tokens": "every router saw every token of its stack",
    "distinct_rows": "not all tokens take the same experts",
    "load_variance": "expert counts scatter at least as chance makes them",
    "no_partition": "consecutive tokens do not deal out the experts like cards",
    "finite_logits": "every router logit is finite",
}


@dataclass
class RouterAudit:
    """What was seen of one router. Memory: O(experts)."""

    path: RouterPath
    rule: Rule
    tokens: int = 0
    assignments: int = 0
    absent: int = 0
    drops: int = 0
    importance: float = 0.0
    measured: int = 0
    loads: dict = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    lost: int = 0
    lost_because: str = ""
    _first_row: bytes = b""
    _other_row: bool = False
    _window: bytes = b""
    windows: int = 0
    partitions: int = 0

    def add(self, block: Block, width: int) -> None:
        """width: bytes of an id."""
        self.tokens += block.count
        self.absent += sum(block.absent) if block.absent else 0
        self.drops += sum(block.dropped) if block.dropped else 0
        for expert, count in block.loads.items():
            self.loads[expert] = self.loads.get(expert, 0) + count
            self.assignments += count
        if block.importance is not None:
            self.importance += sum(block.importance)
            self.measured += block.measured
        row = width * self.rule.top_k
        self._first_row = self._first_row or block.ids[:row]
        self._other_row = self._other_row or block.ids != self._first_row * block.count
        if self.rule.experts % self.rule.top_k == 0 and self.rule.experts > self.rule.top_k and width == 1:
            self._deal(block.ids)

    def _deal(self, ids):
        experts = self.rule.experts
        ids = self._window + ids
        whole = len(ids) // experts * experts
        for start in range(0, whole, experts):
            self.windows += 1
            self.partitions += len(set(ids[start:start + experts])) == experts
        self._window = ids[whole:]

    # Verdicts: (outcome, what was seen or why it does not apply)

    def assignment_sum(self, audit):
        fills = self.rule.fills_slots
        if fills is None and self.absent == 0:
            fills = True
        if not fills:
            return NOT_APPLICABLE, "it is not known how many experts a row takes" if fills is None else "rows take different numbers of experts"
        expected = self.tokens * self.rule.top_k
        found = self.assignments + self.drops
        return (HELD, "") if found == expected and not self.absent else (FAILED,
                                                                         f"{found} assignments ({self.drops} dropped), expected {self.tokens} x {self.rule.top_k}")

    def expert_ids(self, audit):
        found = self.findings
        if found.out_of_range or found.doubled:
            return FAILED, f"{found.out_of_range} rows with an expert that there is not, {found.doubled} with one twice: their routes are unknown"
        return HELD, ""

    def rows_seen(self, audit):
        return (FAILED, f"{self.lost} rows of the run have no route: {self.lost_because}") if self.lost else (HELD, "")

    def score_sum(self, audit):
        if self.rule.share:
            return NOT_APPLICABLE, f"{self.rule.share.replace('_', '-')} scores need not sum to 1"
        if not self.measured:
            return NOT_APPLICABLE, "router probabilities were not recorded"
        mean = self.importance / self.measured
        return (HELD, "") if abs(mean - 1) < 1e-4 else (FAILED, f"router probabilities sum to {mean}")

    def selection_recomputed(self, audit):
        found = self.findings
        if not found.recomputed:
            return NOT_APPLICABLE, "experts follow from the logits, or the rule is not repeated" if self.rule.is_executable else "its rule is declared or not known"
        if found.differ:
            return FAILED, f"{found.differ} of {found.recomputed} decisions differ from their logits ({found.first_differ})"
        return HELD, f"{found.ties} by a tie" if found.ties else ""

    def weights_recomputed(self, audit):
        found = self.findings
        if not found.weighed:
            return NOT_APPLICABLE, "weights follow from the logits, or the rule is not repeated"
        return (HELD, "") if not found.weights_differ else (FAILED, f"{found.weights_differ} of {found.weighed} rows have other weights than the rule gives")

    def weight_sum(self, audit):
        found = self.findings
        if found.bad_weights:
            return FAILED, f"{found.bad_weights} rows have a weight that is below 0 or not finite"
        if not found.summed:
            return NOT_APPLICABLE, "the rule does not say what weights sum to, or they follow from it"
        return (HELD, "") if not found.sums_differ else (FAILED,
                                                         f"{found.sums_differ} of {found.summed} rows have weights that do not sum to {self.rule.weight_sum}")

    def equal_tokens(self, audit):
        expected = audit.rows_of(self.path.stack)
        if self.tokens == expected:
            return HELD, ""
        if self.lost or audit.may_lack_routes:
            return NOT_APPLICABLE, f"the route of {expected - self.tokens} of {expected} rows is not known"
        return FAILED, f"{self.tokens} tokens, its stack has {expected}"

    def _comparable(self, audit, needs_slots=True):
        if audit.row not in _MANY_OF_ONE_INPUT:
            return f"rows are {audit.row}s, each one of its own"
        if needs_slots and self.rule.fills_slots is not True:
            return "it is not known how experts are taken, or rows take different numbers of them"
        if not audit.differs:
            return f"fewer than {ENOUGH} different tokens"
        return "every expert is always selected" if self.rule.top_k >= self.rule.experts else None

    def distinct_rows(self, audit):
        why = self._comparable(audit, False) or ("32 tokens or fewer" if self.tokens <= 32 else None)
        if why:
            return NOT_APPLICABLE, why
        return (HELD, "") if self._other_row else (
            SUSPICIOUS, f"all {self.tokens} tokens have the same experts: a router that is constant, or a capture that repeats one row")

    def load_variance(self, audit):
        why = self._comparable(audit) or ("fewer than 64 tokens" if self.tokens < 64 else None)
        if why:
            return NOT_APPLICABLE, why
        expected = self.assignments / self.rule.experts
        chi = sum((self.loads.get(expert, 0) - expected) ** 2 / expected for expert in range(self.rule.experts)) if expected else 0.0
        freedom = self.rule.experts - self.rule.top_k
        z = (math.copysign(abs(chi / freedom) ** (1 / 3), chi) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
        return (HELD, "") if z > -4.5 else (FAILED, f"counts are more even than chance allows (z = {z:.1f})")

    def no_partition(self, audit):
        why = self._comparable(audit) or ("fewer than 32 windows of tokens in which each expert could be taken once" if self.windows < 32 else None)
        if why:
            return NOT_APPLICABLE, why
        return (HELD, "") if self.partitions < 0.99 * self.windows else (
            FAILED, f"{self.partitions} of {self.windows} windows use each expert once: a strided copy?")

    def finite_logits(self, audit):
        if self.findings.finite_unknown:
            return NOT_APPLICABLE, "router statistics were not recorded"
        return (HELD, "") if not self.findings.not_finite else (FAILED, f"{self.findings.not_finite} of {self.tokens} tokens have a logit that is not finite")


class CaptureAudit:
    """All routers of a run. row: as `recorded.row`."""

    def __init__(self, row: str):
        self.row = row
        self.routers: dict[RouterPath, RouterAudit] = {}
        self.may_lack_routes = False
        self._rows = {"enc": 0, "other": 0}
        self._ids: set[int] = set()
        self._no_ids = False
        self.extra: list[tuple[str, str, str]] = []

    @property
    def differs(self) -> bool:
        return self._no_ids or len(self._ids) >= ENOUGH

    def rows_of(self, stack: str) -> int:
        return self._rows["enc" if stack == "enc" else "other"]

    def add_rows(self, token_ids, phases) -> None:
        encoded = phases.count(2)
        self._rows["enc"] += encoded
        self._rows["other"] += len(phases) - encoded
        if not self.differs:
            own = set(token_ids)
            self._no_ids = self._no_ids or min(own, default=0) < 0
            self._ids |= own

    def router(self, path: RouterPath, rule: Rule) -> RouterAudit:
        if path not in self.routers:
            self.routers[path] = RouterAudit(path, rule)
        return self.routers[path]

    def result(self) -> list[tuple[str, str, str]]:
        """(name, outcome, detail) of every check."""
        return [self._judge(name) for name in MEANINGS] + self.extra

    def _judge(self, name):
        held, reason, notes, failures, suspicions = 0, "no token was recorded", [], [], []
        for path, router in self.routers.items():
            empty = not router.tokens and name not in ("equal_tokens", "rows_seen", "expert_ids")
            outcome, words = (NOT_APPLICABLE, reason) if empty else getattr(router, name)(self)
            if outcome == HELD:
                held += 1
                notes += [f"router {path}: {words}"] if words else []
            elif outcome == NOT_APPLICABLE:
                reason = words
            else:
                (failures if outcome == FAILED else suspicions).append(f"router {path}: {words}")
        if failures or suspicions:
            return name, FAILED if failures else SUSPICIOUS, "; ".join(failures or suspicions)
        if not held:
            return name, NOT_APPLICABLE, reason
        # A reader of the trace counts routers by the last words.
        note = f" ({'; '.join(notes)})" if notes else ""
        return name, HELD, f"{MEANINGS[name]}{note}, {held} of {len(self.routers)} routers"
