"""What a router is, as a value: the rule that turns its logits into experts and weights, as docs/trace-format.md has it.

A rule is executable (every decision can be repeated from its logits), declared (somebody says so) or unknown. Nothing here
decides: that is `decide`, which reads this value and nothing else.
"""
import json
import math
import struct
from dataclasses import dataclass, replace
from typing import Sequence

from .errors import require

SCORINGS = {"softmax": "softmax", "sigmoid": "sigmoid", "sqrt_softplus": "sqrtSoftplus", "logits": "logits", "sparsemixer": "sparsemixer"}
STATED_SCORINGS = ("softmax", "sigmoid", "linear", "cosine", "product_key", "unknown")
STATED_SELECTIONS = ("top_k", "top_p", "threshold", "expert_choice", "dense", "fixed", "hash", "drawn", "unknown")
WEIGHTINGS = {"scores": "scores", "softmax_of_selected": "softmaxOfSelectedLogits", "sigmoid_of_selected": "sigmoidOfSelectedLogits", "ones": "ones",
              "best_times_softmax_of_selected_scores": "bestTimesSoftmaxOfSelectedScores"}
NORMALIZATIONS = ("none", "sum", "sum_clamped", "p_norm")
WEIGHT_KINDS = ("probability", "unnormalized", "signed", "none")
GROUP_SCORES = {"maximum": "maximum", "sum_of_top_two": "sumOfTopTwo"}
FILLS = {"negative_infinity": "negativeInfinity", "zero": "zero"}
ORDERS = ("position", "probability", "token")
_SELECTION_WORDS = {"top_k": "the best", "top_p": "the best up to a share of probability", "threshold": "all above a threshold",
                    "expert_choice": "experts take rows", "dense": "all", "fixed": "by a fixed rule", "hash": "by token id",
                    "drawn": "drawn", "unknown": "selection not known"}
_SCORING_WORDS = {"product_key": "product keys", "unknown": "scoring not known"}


def f32(number: float) -> float:
    """The number as the file keeps it."""
    return struct.unpack("<f", struct.pack("<f", number))[0]


def shortest(number: float) -> float:
    """The number with the fewest digits that is the same f32: what JSON needs to say of it."""
    return next((found for digits in (6, 7, 8) if f32(found := float(f"{number:.{digits}g}")) == number), float(f"{number:.9g}"))


@dataclass(frozen=True)
class Groups:
    """Only experts of the `kept` best of `count` groups may be taken. A group counts by its best expert (`maximum`) or its best
    two (`sum_of_top_two`); the others' selection score becomes minus infinity or zero."""

    count: int
    kept: int
    score: str = "sum_of_top_two"
    fill: str = "negative_infinity"


@dataclass(frozen=True)
class Capacity:
    """How many tokens of a sequence an expert computes: so many `tokens`, or this `share` of them. `order`: who is served first."""

    tokens: int | None = None
    share: float | None = None
    order: str = "position"
    renormalizes: bool = False


@dataclass(frozen=True)
class Rule:
    """An executable rule; `stated` and `unknown` make the others.

    experts: E, identity experts (the last `identity_experts` ids) included. top_k: experts of a row. scoring, selection
    (`top_k`, `hash`), weighting: words above. normalization: `none`, `sum` (divided by sum + epsilon), `sum_clamped` (by the
    sum, at least `epsilon`), `p_norm` (by the norm of order `epsilon`). scale: factor on the weights; expert_scales: [E] factors
    of single experts. bias: [E], added to scores for the selection alone. applies_to: what the weight multiplies, the expert's
    `output` or `input`. Raises RecordError for a value that contradicts itself.
    """

    experts: int
    top_k: int
    scoring: str = "softmax"
    selection: str = "top_k"
    weighting: str = "scores"
    normalization: str = "none"
    epsilon: float = 0.0
    scale: float = 1.0
    applies_to: str = "output"
    bias: Sequence[float] | None = None
    expert_scales: Sequence[float] | None = None
    groups: Groups | None = None
    capacity: Capacity | None = None
    identity_experts: int = 0
    sparsemixer_epsilon: float = 0.01
    weights: str | None = None
    is_stated: bool = False

    def __post_init__(self):
        for name in ("bias", "expert_scales"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, tuple(f32(float(value)) for value in values))
                require(len(getattr(self, name)) == self.experts, f"rule: {name}", f"{self.experts} numbers", len(getattr(self, name)))
                require(all(map(math.isfinite, getattr(self, name))), f"rule: {name}", "finite numbers", "one that is not")
        require(isinstance(self.experts, int) and self.experts > 0, "rule: experts", "at least one", self.experts)
        require(isinstance(self.top_k, int) and 0 < self.top_k <= self.experts, "rule: top_k", f"1 to {self.experts}", self.top_k,
                "ids of a row may be fewer than top_k: -1 in the places that hold none")
        scorings, selections = (STATED_SCORINGS, STATED_SELECTIONS) if self.is_stated else (tuple(SCORINGS), ("top_k", "hash"))
        for name, known in (("scoring", scorings), ("selection", selections), ("weighting", tuple(WEIGHTINGS)),
                            ("normalization", NORMALIZATIONS), ("applies_to", ("output", "input")), ("weights", (None, *WEIGHT_KINDS))):
            require(getattr(self, name) in known, f"rule: {name}", "one of " + ", ".join(map(str, known)), repr(getattr(self, name)),
                    None if self.is_stated else "moetop_record.stated(...) for a rule that cannot be repeated")
        require(math.isfinite(self.scale), "rule: scale", "a finite number", self.scale)
        require(0 <= self.identity_experts <= self.experts, "rule: identity_experts", f"0 to {self.experts}", self.identity_experts)
        require(self.sparsemixer_epsilon >= 0, "rule: sparsemixer_epsilon", "0 or more", self.sparsemixer_epsilon)
        if self.selection == "hash" and not self.is_stated:
            require(self.bias is None and self.groups is None, "rule: selection hash", "no bias and no groups", "one of them")
        if self.groups:
            self._check_groups()
        if self.capacity:
            self._check_capacity()

    def _check_groups(self):
        groups = self.groups
        require(groups.count > 0 and self.experts % groups.count == 0, "rule: groups.count", f"a divisor of {self.experts}", groups.count)
        require(0 < groups.kept <= groups.count, "rule: groups.kept", f"1 to {groups.count}", groups.kept)
        require(groups.score in GROUP_SCORES, "rule: groups.score", " or ".join(GROUP_SCORES), groups.score)
        require(groups.fill in FILLS, "rule: groups.fill", " or ".join(FILLS), groups.fill)
        size = self.experts // groups.count
        require(groups.score == "maximum" or size >= 2, "rule: groups", "groups of two experts or more", f"groups of {size}")
        if groups.fill == "negative_infinity":
            require(self.top_k <= groups.kept * size, "rule: top_k", f"at most the {groups.kept * size} experts of kept groups", self.top_k)

    def _check_capacity(self):
        capacity = self.capacity
        require((capacity.tokens is None) != (capacity.share is None), "rule: capacity", "either tokens or a share", capacity)
        require(capacity.tokens is None or capacity.tokens >= 0, "rule: capacity.tokens", "0 or more", capacity.tokens)
        require(capacity.share is None or 0 <= capacity.share <= 1, "rule: capacity.share", "0 to 1", capacity.share)
        require(capacity.order in ORDERS, "rule: capacity.order", ", ".join(ORDERS), capacity.order)
        require(not self.is_stated, "rule: capacity", "none where the rule is not repeated", capacity)

    # What is known

    @property
    def knowledge(self) -> str:
        """`executable`, `declared` or `unknown`."""
        if not self.is_stated:
            return "executable"
        return "unknown" if (self.scoring, self.selection) == ("unknown", "unknown") else "declared"

    @property
    def is_executable(self) -> bool:
        return not self.is_stated

    @property
    def is_hashed(self) -> bool:
        return self.selection == "hash" and not self.is_stated

    @property
    def share(self) -> str | None:
        """The function whose values, divided by their sum, are the router's distribution; None: a softmax over all logits."""
        if self.scoring in ("sigmoid", "sqrt_softplus"):
            return self.scoring
        return "sigmoid" if self.weighting == "sigmoid_of_selected" else None

    @property
    def fills_slots(self) -> bool | None:
        """Whether every row takes `top_k` experts; None: nobody knows."""
        if not self.is_stated:
            return True
        return None if self.selection == "unknown" else self.selection in ("top_k", "hash", "dense")

    @property
    def weight_kind(self) -> str:
        """What weights are: probability, unnormalized, signed or none."""
        if self.weights:
            return self.weights
        if self.scale < 0 or self.weighting == "scores" and self.scoring == "logits":
            return "signed"
        if self.scale != 1 or self.expert_scales is not None or self.weighting == "ones":
            return "unnormalized"
        if self.normalization in ("sum", "sum_clamped") or self.normalization == "p_norm" and self.epsilon == 1:
            return "probability"
        if self.normalization == "p_norm":
            return "unnormalized"
        return "probability" if (self.weighting, self.scoring) == ("scores", "softmax") or self.weighting == "softmax_of_selected" else "unnormalized"

    @property
    def weight_sum(self) -> float | None:
        """What the weights of a row sum to by the rule; None: it does not say."""
        if self.is_stated or self.expert_scales is not None or self.capacity:
            return None
        if self.weighting == "softmax_of_selected" and self.normalization in ("none", "sum"):
            return self.scale
        if self.weighting == "ones" and self.normalization == "none":
            return self.scale * self.top_k
        return self.scale if self.normalization == "sum" and self.epsilon < 1e-9 and self.scoring != "logits" else None

    @property
    def selection_unit(self) -> str:
        """Unit of the selection margin."""
        if self.is_hashed:
            return "none"
        base = "score" if self.is_stated else {
            "softmax": "probability", "sigmoid": "sigmoid score", "sqrt_softplus": "sqrt-softplus score"}.get(self.scoring, "logit")
        return base if self.bias is None else "biased " + base

    @property
    def plain(self) -> "Rule":
        """The rule without what each layer has of its own: routers with equal ones are decided together."""
        if self.bias is None and self.expert_scales is None:
            return self
        if "_plain" not in self.__dict__:
            object.__setattr__(self, "_plain", replace(self, bias=None, expert_scales=None))
        return self.__dict__["_plain"]

    # As the file has it

    def to_json(self) -> str:
        """`router.spec`."""
        value = {"expertCount": self.experts, "identityExperts": self.identity_experts, "weighting": WEIGHTINGS[self.weighting],
                 "normalization": {"none": {"none": {}}, "sum": {"sum": {"epsilon": self.epsilon}},
                                   "sum_clamped": {"sumClamped": {"minimum": self.epsilon}}, "p_norm": {"pNorm": {"_0": self.epsilon}},
                                   }[self.normalization],
                 "routedScale": self.scale, "appliesTo": self.applies_to}
        if self.is_stated:
            value["scoring"] = {"stated": {"_0": self.scoring}}
            value["selection"] = {"stated": {"_0": self.selection, "slots": self.top_k}}
        else:
            value["scoring"] = {SCORINGS[self.scoring]: {"epsilon": self.sparsemixer_epsilon} if self.scoring == "sparsemixer" else {}}
            value["selection"] = {"hash" if self.is_hashed else "tokenChoice": {"topK": self.top_k}}
        if self.bias is not None:
            value["correctionBias"] = [shortest(value) for value in self.bias]
        if self.expert_scales is not None:
            value["expertScales"] = [shortest(value) for value in self.expert_scales]
        if self.groups:
            value["groupLimit"] = {"groupCount": self.groups.count, "topKGroups": self.groups.kept,
                                   "groupScore": GROUP_SCORES[self.groups.score], "fill": FILLS[self.groups.fill]}
        if self.capacity:
            limit = {"tokens": {"_0": self.capacity.tokens}} if self.capacity.share is None else {"share": {"_0": self.capacity.share}}
            value["capacity"] = {"limit": limit, "order": self.capacity.order, "renormalizes": self.capacity.renormalizes}
        if self.weights:
            value["statedWeights"] = self.weights
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    @property
    def policy(self) -> str:
        """The rule in one line, for people."""
        if self.is_stated:
            words = ["rule not known"] if self.knowledge == "unknown" else [
                _SCORING_WORDS.get(self.scoring, self.scoring), _SELECTION_WORDS[self.selection]]
            words.append(f"{'up to ' if self.fills_slots is False else ''}{self.top_k} of {self.experts}")
            return ", ".join(words + {"none": ["no weights"], "signed": ["signed weights"]}.get(self.weight_kind, []))
        sigmoid = self.weighting == "sigmoid_of_selected"
        words = [{"sqrt_softplus": "sqrt-softplus", "logits": "sigmoid of the chosen" if sigmoid else "softmax over the chosen",
                  "sparsemixer": f"sparsemixer (epsilon {self.sparsemixer_epsilon})"}.get(self.scoring, self.scoring)]
        if self.bias is not None:
            words.append("selection bias")
        if self.groups:
            words.append(f"best {self.groups.kept} of {self.groups.count} groups")
        words.append(f"{self.top_k} of {self.experts} by token id" if self.is_hashed else f"top-{self.top_k} of {self.experts}")
        if self.identity_experts:
            words.append(f"{self.identity_experts} of them identity")
        if self.weighting == "best_times_softmax_of_selected_scores":
            words.append("softmax of the chosen scores times the best")
        if self.normalization != "none" or self.weighting == "scores":
            words.append({"none": "weights not renormalised", "sum": "weights renormalised", "p_norm": f"weights divided by their {self.epsilon}-norm",
                          "sum_clamped": f"weights renormalised (sum at least {self.epsilon})"}[self.normalization])
        if self.scale != 1:
            words.append(f"scaled by {self.scale}")
        if self.expert_scales is not None:
            words.append("scaled by expert")
        if self.applies_to == "input":
            words.append("weight on the expert's input")
        if self.capacity:
            limit = f"{self.capacity.tokens} tokens of a sequence" if self.capacity.share is None else f"{self.capacity.share} of a sequence's tokens"
            words.append(f"at most {limit} an expert")
        return ", ".join(words)


def stated(experts: int, slots: int, scoring: str = "unknown", selection: str = "unknown", weights: str = "unnormalized") -> Rule:
    """A rule that somebody states and nothing repeats: a row takes up to `slots` experts.

    scoring: of STATED_SCORINGS; selection: of STATED_SELECTIONS; weights: of WEIGHT_KINDS, what a weight is.
    """
    return Rule(experts, slots, scoring=scoring, selection=selection, weights=weights, is_stated=True)


def unknown(experts: int, slots: int, weights: str = "none") -> Rule:
    """A router of which ids were kept, perhaps weights, and nothing else is known."""
    return stated(experts, slots, weights=weights)
