"""Logits in, decision out, for many rows of several routers at once: what `decide` does row by row, with torch.

Shapes: R routers of one plain rule, T rows, E experts, k slots.
"""
from dataclasses import dataclass

import torch

from .rules import Rule

@dataclass
class Decisions:
    """ids int64 [R, T, k] by falling selection score; weights f32 [R, T, k]; probs f32 [R, T, E] or None; the statistics f32 [R, T]
    or None; squared_lse f64 [R, T]. differs, ties: bool [R, T], decisions that were given and are not the rule's, and those that a tie
    explains. weight_error: f32 [R, T], largest distance of given weights from the rule's, or None."""

    ids: torch.Tensor
    weights: torch.Tensor
    finite: torch.Tensor
    probs: torch.Tensor | None
    squared_lse: torch.Tensor | None
    entropy: torch.Tensor | None
    selection_margin: torch.Tensor | None
    top1_margin: torch.Tensor | None
    top_k_mass: torch.Tensor | None
    differs: torch.Tensor | None = None
    ties: torch.Tensor | None = None
    weight_error: torch.Tensor | None = None


def _sqrt_softplus(logits):
    return torch.nn.functional.softplus(logits).sqrt()


_SHARES = {"sigmoid": torch.sigmoid, "sqrt_softplus": _sqrt_softplus}


def _select(rule, scored, bias):
    """Step 2: [R, T, E]."""
    out = scored if bias is None else scored + bias
    groups = rule.groups
    if not groups or groups.kept >= groups.count:
        return out
    parts = out.unflatten(-1, (groups.count, -1))
    best = parts.amax(-1) if groups.score == "maximum" else parts.topk(2, -1).values.sum(-1)
    kept = _top(best, groups.kept)[1][..., :groups.kept]
    dropped = torch.ones_like(best, dtype=torch.bool).scatter_(-1, kept, False)
    return parts.masked_fill(dropped[..., None], 0.0 if groups.fill == "zero" else float("-inf")).flatten(-2)


def _top(values, k):
    """(values, indices) of the k largest and the next, ties to the lower index."""
    count = min(k + 1, values.shape[-1])
    best = values.topk(count, -1)
    if count > 1 and bool((best.values[..., 1:] == best.values[..., :-1]).any()):
        best = values.sort(dim=-1, descending=True, stable=True)
        return best.values[..., :count], best.indices[..., :count]
    return best.values, best.indices


def _ordered(ids, selection):
    """ids [R, T, k] by falling selection score, ties to the lower id."""
    ids = ids.sort(-1).values
    order = selection.gather(-1, ids).sort(dim=-1, descending=True, stable=True).indices
    return ids.gather(-1, order)


def _sparsemixer(logits, ids, epsilon):
    out = []
    left = torch.ones_like(logits, dtype=torch.bool)
    for slot in range(ids.shape[-1]):
        chosen = ids[..., slot:slot + 1]
        best = logits.gather(-1, chosen)
        near = ~((best - logits) / torch.maximum(logits.abs(), best) > 2 * epsilon) & left
        out.append(1 / (torch.exp(logits - best) * near).sum(-1))
        left = left.scatter(-1, chosen, False)
    return torch.stack(out, -1)


def _weigh(rule, logits, scored, ids, scales):
    """Steps 4 to 6: [R, T, k]."""
    if rule.weighting == "ones":
        out = torch.ones(ids.shape, dtype=torch.float32, device=logits.device)
    elif rule.weighting == "softmax_of_selected":
        out = logits.gather(-1, ids).softmax(-1)
    elif rule.weighting == "best_times_softmax_of_selected_scores":
        chosen = scored.gather(-1, ids)
        out = chosen.softmax(-1) * chosen[..., :1]
    elif rule.weighting == "sigmoid_of_selected":
        out = logits.gather(-1, ids).sigmoid()
    elif rule.scoring == "sparsemixer":
        out = _sparsemixer(logits, ids, rule.sparsemixer_epsilon)
    else:
        out = scored.gather(-1, ids)
    if rule.normalization == "sum":
        out = out / (out.sum(-1, keepdim=True) + rule.epsilon)
    elif rule.normalization == "sum_clamped":
        out = out / out.sum(-1, keepdim=True).clamp(min=rule.epsilon)
    elif rule.normalization == "p_norm":
        out = out / out.abs().pow(rule.epsilon).sum(-1, keepdim=True).pow(1 / rule.epsilon)
    if rule.scale != 1:
        out = out * rule.scale
    return out if scales is None else out * scales.expand(-1, ids.shape[1], -1).gather(-1, ids)


def decide(rule: Rule, logits, bias=None, scales=None, ids=None, weights=None, precision: float = 2.0**-23) -> Decisions:
    """Decides, or orders and checks what was decided.

    rule: plain and executable. logits: f32 [R, T, E]. bias, scales: f32 [R, 1, E] or None. ids: int64 [R, T, k], what the routers took;
    None: the rule's own. weights: f32 [R, T, k] beside ids. precision: relative rounding error of what the model compared.
    """
    finite = torch.isfinite(logits).all(-1)
    whole = bool(finite.all())
    clean = logits if whole else logits.nan_to_num(nan=-1e30, posinf=1e30, neginf=-1e30)
    softmax = clean.softmax(-1) if rule.scoring == "softmax" or rule.share is None else None
    scored = softmax if rule.scoring == "softmax" else _SHARES[rule.scoring](clean) if rule.scoring in _SHARES else clean
    selection = _select(rule, scored, bias)
    k = rule.top_k
    best, own = _top(selection, k)
    out = Decisions(own[..., :k], None, finite, None, None, None, None, None, None)
    if ids is not None:
        if rule.is_hashed:
            ids, weights = _aligned(ids, weights, _ordered(ids, selection))
        elif not torch.equal(ids, out.ids):
            ordered = _ordered(ids, selection)
            ids, weights = _aligned(ids, weights, ordered)
            kth = best[..., k - 1]
            worst = selection.gather(-1, ids).amin(-1)
            same = (ids == out.ids).all(-1)
            out.differs = ~same & (worst < kth - 8 * precision * kth.abs().clamp(min=1e-3)) & finite
            out.ties = ~same & ~out.differs & finite
        out.ids = ids
    ruled = _weigh(rule, clean, scored, out.ids, scales)
    if weights is not None:
        out.weight_error = (weights - ruled).abs().amax(-1)
        ruled = weights
    out.weights = ruled
    # Where probabilities are compared as they are, the two best are known already.
    _measure(rule, clean, softmax, best, out, best if scored is softmax and selection is softmax else None)
    if not whole:
        _forget(out)
    return out


def _aligned(ids, weights, ordered):
    """Weights beside ids, in another order of the ids."""
    if weights is None:
        return ordered, None
    places = (ordered[..., :, None] == ids[..., None, :]).int().argmax(-1)
    return ordered, weights.gather(-1, places)


def _measure(rule, logits, softmax, best, out, probable):
    if rule.share:
        parts = _SHARES[rule.share](logits)
        out.probs = parts / parts.sum(-1, keepdim=True)
    else:
        out.probs = softmax
    lse = torch.logsumexp(logits, -1).double()
    out.squared_lse = lse * lse
    out.top_k_mass = out.probs.gather(-1, out.ids).sum(-1)
    if rule.is_hashed:
        return
    out.entropy = torch.special.entr(out.probs).sum(-1).clamp(min=0)
    if rule.experts > 1:
        top = probable if probable is not None and probable.shape[-1] > 1 else out.probs.topk(2, -1).values
        out.top1_margin = top[..., 0] - top[..., 1]
    if rule.top_k < rule.experts:
        gap = best[..., rule.top_k - 1] - best[..., rule.top_k]
        out.selection_margin = torch.where(torch.isfinite(gap), gap, torch.nan)


def _forget(out):
    """A row with a logit that is no number has no statistics, and no share in sums."""
    bad = ~out.finite
    for name in ("entropy", "selection_margin", "top1_margin", "top_k_mass"):
        column = getattr(out, name)
        if column is not None:
            setattr(out, name, column.masked_fill(bad, torch.nan))
    out.probs = out.probs.masked_fill(bad[..., None], 0.0)
    out.squared_lse = out.squared_lse.masked_fill(bad, 0.0)
