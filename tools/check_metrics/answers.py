"""An answer of moetop held against an expected one, leaf by leaf.

An expected answer is the same tree with numbers of our own. A leaf may also be `Near` (a bound in place of the usual
tolerance), `Chance` (a Monte Carlo estimate of which both sides have an error) or `Skip` (not compared, and why). Every key must
be expected and every expected key be there, so nothing of an answer is passed over in silence.
"""
import math
from dataclasses import dataclass, field

TOLERANCE = 1e-6
# Differences of numbers of the order of one that double precision cannot avoid.
ROUNDING = 1e-12
ERRORS = 4


@dataclass
class Near:
    """A number within `bound` (absolute)."""
    value: float
    bound: float


@dataclass
class Chance:
    """A Monte Carlo estimate; `error` is the standard error of the difference of both sides' estimates."""
    value: float
    error: float


@dataclass
class Skip:
    reason: str


@dataclass
class Tally:
    """What became of the numbers of one metric."""
    numbers: int = 0
    estimates: int = 0
    words: int = 0
    largest: float = 0.0
    largest_errors: float = 0.0
    skipped: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)

    def skip(self, reason, count=1):
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def fault(self, place, got, expected):
        self.faults.append(f"{place}: {got!r}, expected {expected!r}")

    def compare(self, place, got, expected):
        if isinstance(expected, Skip):
            self.skip(expected.reason, leaves(got))
        elif isinstance(expected, dict):
            self._objects(place, got, expected)
        elif isinstance(expected, (list, tuple)):
            self._lists(place, got, expected)
        elif isinstance(expected, (str, bool)) or isinstance(got, (str, bool)):
            self.words += 1
            if type(got) is not type(expected) or got != expected:
                self.fault(place, got, expected)
        elif isinstance(expected, Chance):
            self._estimate(place, got, expected)
        else:
            self._number(place, got, expected)

    def _objects(self, place, got, expected):
        if not isinstance(got, dict):
            return self.fault(place, got, "an object")
        for key in got.keys() - expected.keys():
            self.faults.append(f"{place}.{key}: a key that this tool does not know ({got[key]!r})")
        for key, value in expected.items():
            if key not in got:
                self.faults.append(f"{place}.{key}: not there, expected {value!r}"[:300])
            else:
                self.compare(f"{place}.{key}", got[key], value)

    def _lists(self, place, got, expected):
        if not isinstance(got, list):
            return self.fault(place, got, "a list")
        if len(got) != len(expected):
            return self.faults.append(f"{place}: {len(got)} rows, expected {len(expected)}")
        for index, (one, other) in enumerate(zip(got, expected)):
            self.compare(f"{place}[{index}]", one, other)

    def _estimate(self, place, got, expected):
        self.estimates += 1
        if got is None or expected.value is None:
            if got is not expected.value:
                self.fault(place, got, expected)
            return
        difference = abs(got - expected.value)
        if difference > ROUNDING and expected.error > 0:
            self.largest_errors = max(self.largest_errors, difference / expected.error)
        if not difference <= ERRORS * expected.error + TOLERANCE * abs(expected.value) + ROUNDING:
            self.fault(place, got, expected)

    def _number(self, place, got, expected):
        self.numbers += 1
        bound = None
        if isinstance(expected, Near):
            expected, bound = expected.value, expected.bound
        if expected is not None:
            expected = None if math.isnan(expected) else float(expected)
        if got is None or expected is None:
            if got is not expected:
                self.fault(place, got, expected)
            return
        difference = abs(got - expected)
        if bound is None and difference > ROUNDING:
            self.largest = max(self.largest, difference / abs(expected) if expected else math.inf)
        if not difference <= (TOLERANCE * abs(expected) if bound is None else bound) + ROUNDING:
            self.fault(place, got, expected)


def leaves(tree):
    """How many numbers and words a part of an answer has."""
    if isinstance(tree, dict):
        return sum(map(leaves, tree.values()))
    return sum(map(leaves, tree)) if isinstance(tree, list) else 1


def report(tallies):
    """Prints the table and the faults; the exit status."""
    print(f"{'metric':36} {'numbers':>8} {'largest':>9} {'estimates':>9} {'errors':>7} {'words':>7}  verdict")
    for name, tally in tallies.items():
        verdict = f"{len(tally.faults)} differ" if tally.faults else "agrees" if tally.numbers else "not compared"
        print(f"{name:36} {tally.numbers:8} {tally.largest:9.1e} {tally.estimates:9} {tally.largest_errors:7.2f} {tally.words:7}  {verdict}")
    reasons = {}
    for tally in tallies.values():
        for reason, count in tally.skipped.items():
            reasons[reason] = reasons.get(reason, 0) + count
    for reason, count in reasons.items():
        print(f"skipped {count:8}  {reason}")
    for name, tally in tallies.items():
        for fault in tally.faults[:5]:
            print(f"{name}: {fault}"[:400])
    faults = sum(len(tally.faults) for tally in tallies.values())
    print(f"{sum(t.numbers for t in tallies.values())} numbers, {sum(t.estimates for t in tallies.values())} estimates, {faults} differ")
    return 2 if faults else 0
