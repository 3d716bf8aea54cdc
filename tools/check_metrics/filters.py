"""The grammar of `moetop docs filters`, read once more: which decisions pass."""
import fnmatch
import json
import operator
import re

import numpy as np

from . import certainty
from .answers import Near
from .record import UnknownRun, moetop

COMPARE = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "=": operator.eq}
TERM = re.compile(r'(!?)((?:label:)?@?[\w-]+)(?:(>=|<=|=|>|<|~)(.*))?$', re.S)


def apply(run, text):
    """Leaves `passes` of every router with the decisions that a filter passes."""
    terms = [TERM.match(t) for t in re.findall(r'(?:"(?:\\.|[^"\\])*"|[^\s"])+', text) if t != "and"]
    if not all(terms):
        raise UnknownRun(f"a filter that this tool cannot read: {text}")
    shares = np.concatenate([r.normalised()[r.decided & np.isfinite(r.normalised())] for r in run.routers])
    for router in run.routers:
        together = router.chosen.copy()
        asks_assignments = False
        for negated, name, op, value in (t.groups() for t in terms):
            assigned = of_assignments(router, name, op, value)
            if assigned is None:
                holds = of_rows(run, router, name, op, value, shares)
                router.passes &= ~holds if negated else holds
            elif negated:
                router.passes &= ~(assigned & router.chosen).any(axis=1)
            else:
                together, asks_assignments = together & assigned, True
        if asks_assignments:
            router.passes &= together.any(axis=1)
    if not any(r.passes.any() for r in run.routers):
        raise UnknownRun(f"nothing passes {text}")


def values_of(text):
    return [json.loads(v) if v.startswith('"') else v for v in re.findall(r'"(?:\\.|[^"\\])*"|[^,]+', text)]


def whole(numbers, op, text):
    """Whole numbers: lists and ranges behind =."""
    if op != "=":
        return COMPARE[op](numbers, int(text))
    holds = np.zeros(numbers.shape, bool)
    for part in text.split(","):
        first, _, last = part.partition("-")
        holds |= (numbers >= int(first)) & (numbers <= int(last or first))
    return holds


def real(numbers, op, text):
    with np.errstate(invalid="ignore"):
        return COMPARE[op](numbers.astype(np.float64), float(text)) & np.isfinite(numbers)


def of_assignments(router, name, op, value):
    if name in ("expert", "rank"):
        return whole(router.ids if name == "expert" else np.broadcast_to(np.arange(router.ids.shape[1]), router.ids.shape), op, value)
    return real(np.where(router.dropped, 0, router.weights), op, value) if name == "weight" else None


def quantile_of_run(run, text, shares):
    """The quantile that moetop finds: ours, or, of so many values that it is known within a bound, the one which it says, compared with ours."""
    own = certainty.near_quantile(shares.astype(np.float64), float(text[1:]))
    if not isinstance(own, Near):
        return own
    stated = json.loads(moetop(run.binary, "analyze", run.name, "--metric", "uncertain", "--threshold", text, "--json"))["settings"]["threshold_share"]
    if abs(stated - own.value) > own.bound:
        raise UnknownRun(f"{text} of the run is {stated}, expected {own}")
    return stated


def of_rows(run, router, name, op, value, shares):
    tokens = router.tokens
    everywhere = lambda holds: np.full(len(tokens), bool(holds))
    if name == "layer":
        return everywhere(whole(np.array(router.layer), op, value))
    if name == "router":
        return everywhere(any(fnmatch.fnmatchcase(router.name, pattern) for pattern in value.split(",")))
    if name == "entropy":
        if value.endswith("nat"):
            return real(router.entropy, op, value[:-3])
        return real(router.normalised(), op, quantile_of_run(run, value, shares) if value.startswith("q") else value)
    if name == "margin":
        return real(router.margin, op, value)
    if name == "surprisal":
        return real(tokens.surprisal, op, value)
    if name in ("position", "id"):
        return whole(tokens.position if name == "position" else tokens.ids, op, value)
    if name == "bos":
        return tokens.position == 0
    if name == "phase":
        return np.isin(tokens.phase, value.split(","))
    if name == "token":
        wanted = values_of(value)
        if op == "~":
            return np.array([w is not None and wanted[0].lower() in w.lower() for w in tokens.words])
        return np.array([w in wanted for w in tokens.words])
    if name in ("step", "branch", "patch-row", "patch-column"):
        side = int(np.sqrt(tokens.place["patch"].max() + 1))
        place = {"patch-row": tokens.place["patch"] // side, "patch-column": tokens.place["patch"] % side} | tokens.place
        return whole(place[name], op, value)
    label = name.removeprefix("label:")
    if not any(label in one for one in run.labels) or op != "=":
        raise UnknownRun(f"a term of a filter that this tool does not know: {name}{op}{value}")
    wanted = values_of(value)
    return np.array([one.get(label) in wanted for one in run.labels])[tokens.text]
