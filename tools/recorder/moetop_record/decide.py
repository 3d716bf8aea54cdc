"""Logits in, decision out, row by row in plain Python: the six steps of a `Rule`, each driven by one field of it.

`decide_torch` does the same for many rows at once; a test holds the two side by side. Ties go to the lower expert.
"""
import math
from dataclasses import dataclass

from .rules import Rule


@dataclass
class Decision:
    """Of one row. ids: experts by falling selection score; weights beside them; selection: [E] what was compared, -inf for experts of
    groups that were dropped. The statistics are NaN where they are not defined; probs is None then."""

    ids: list
    weights: list
    selection: list
    entropy: float = math.nan
    selection_margin: float = math.nan
    top1_margin: float = math.nan
    top_k_mass: float = math.nan
    probs: list | None = None
    squared_lse: float = 0.0


def _softmax(values):
    peak = max(values)
    parts = [math.exp(value - peak) for value in values]
    whole = sum(parts)
    return [part / whole for part in parts]


def _sigmoid(value):
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _sqrt_softplus(value):
    return math.sqrt(value if value > 20 else math.log1p(math.exp(value)))


_SHARES = {"sigmoid": _sigmoid, "sqrt_softplus": _sqrt_softplus}


def scores(rule: Rule, logits: list) -> list:
    """Step 1."""
    if rule.scoring == "softmax":
        return _softmax(logits)
    each = _SHARES.get(rule.scoring)
    return [each(value) for value in logits] if each else list(logits)


def selection_scores(rule: Rule, scored: list) -> list:
    """Step 2: the bias of the selection, and groups."""
    out = [score + bias for score, bias in zip(scored, rule.bias)] if rule.bias is not None else list(scored)
    groups = rule.groups
    if not groups or groups.kept >= groups.count:
        return out
    size = rule.experts // groups.count
    best = []
    for group in range(groups.count):
        own = sorted(out[group * size:(group + 1) * size], reverse=True)
        best.append(own[0] if groups.score == "maximum" else own[0] + own[1])
    kept = set(sorted(range(groups.count), key=lambda group: (-best[group], group))[:groups.kept])
    fill = 0.0 if groups.fill == "zero" else -math.inf
    return [score if expert // size in kept else fill for expert, score in enumerate(out)]


def weigh(rule: Rule, logits: list, scored: list, ids: list) -> list:
    """Steps 4 to 6, for experts in the order of their choice."""
    if rule.weighting == "ones":
        out = [1.0] * len(ids)
    elif rule.weighting == "softmax_of_selected":
        out = _softmax([logits[expert] for expert in ids])
    elif rule.weighting == "best_times_softmax_of_selected_scores":
        out = [scored[ids[0]] * share for share in _softmax([scored[expert] for expert in ids])] if ids else []
    elif rule.weighting == "sigmoid_of_selected":
        out = [_sigmoid(logits[expert]) for expert in ids]
    elif rule.scoring == "sparsemixer":
        out = [_sparsemixer(logits, ids, slot, rule.sparsemixer_epsilon) for slot in range(len(ids))]
    else:
        out = [scored[expert] for expert in ids]
    if rule.normalization == "sum":
        divisor = sum(out) + rule.epsilon
    elif rule.normalization == "sum_clamped":
        divisor = max(sum(out), rule.epsilon)
    elif rule.normalization == "p_norm":
        divisor = sum(abs(weight) ** rule.epsilon for weight in out) ** (1 / rule.epsilon)
    else:
        divisor = 1.0
    scales = rule.expert_scales
    return [weight / divisor * rule.scale * (scales[expert] if scales is not None else 1.0) if divisor else math.nan
            for expert, weight in zip(ids, out)]


def _sparsemixer(logits, ids, slot, epsilon):
    best, before = logits[ids[slot]], set(ids[:slot])
    total = 0.0
    for expert, value in enumerate(logits):
        if expert not in before and not (best - value) / max(abs(value), best) > 2 * epsilon:
            total += math.exp(value - best)
    return 1 / total


def decide(rule: Rule, logits: list, ids: list | None = None) -> Decision:
    """One row of `rule.experts` logits. ids: experts that were taken, where that is known; the rule's own otherwise."""
    finite = all(map(math.isfinite, logits))
    if not finite:
        taken = list(ids) if ids is not None else sorted(
            range(rule.experts), key=lambda expert: (not math.isfinite(logits[expert]), -logits[expert], expert))[:rule.top_k]
        return Decision(taken, [math.nan] * len(taken), list(logits))
    scored = scores(rule, logits)
    selection = selection_scores(rule, scored)
    order = sorted(range(rule.experts), key=lambda expert: (-selection[expert], expert))
    if ids is None:
        taken = order[:rule.top_k]
    else:
        taken = sorted(ids, key=lambda expert: (-selection[expert], expert))
    out = Decision(taken, weigh(rule, logits, scored, taken), selection)
    measure(rule, logits, scored, order, out)
    return out


def measure(rule: Rule, logits: list, scored: list, order: list, out: Decision) -> None:
    """Entropy and margins; of a router that looks experts up only its distribution."""
    peak = max(logits)
    lse = peak + math.log(sum(math.exp(value - peak) for value in logits))
    out.squared_lse = lse * lse
    each = _SHARES.get(rule.share)
    values = [each(value) for value in logits] if each else [math.exp(value - lse) for value in logits]
    whole = sum(values)
    out.probs = [value / whole for value in values]
    out.top_k_mass = sum(out.probs[expert] for expert in out.ids)
    if rule.is_hashed:
        return
    out.entropy = max(0.0, -sum(p * math.log(p) for p in out.probs if p > 0))
    if rule.experts > 1:
        first, second = sorted(out.probs, reverse=True)[:2]
        out.top1_margin = first - second
    if rule.top_k < rule.experts:
        gap = out.selection[order[rule.top_k - 1]] - out.selection[order[rule.top_k]]
        out.selection_margin = gap if math.isfinite(gap) else math.nan
