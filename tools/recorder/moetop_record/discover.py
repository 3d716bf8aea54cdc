"""Where are the routers of a model, what are they called, and by which rule do they choose? Walks the modules and reads `families`."""
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .errors import RecordError
from .families import Place, Row, row_of
from .paths import RouterPath
from .readings import DETECT, SPECIAL, Reading
from .rules import Capacity, Groups, Rule, stated

_ROUTER_LIKE = re.compile(r"(Router|TopKGat(e|ing)|MoE?Gate|MoeGate|GatingNetwork|NoisyGate\w*|Top[Kk12]Gate)$")
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|block|decoder_layers|encoder_layers)\.(\d+)(?=\.|$)")
_TOWERS = (("vision", re.compile(r"(^|\.)(visual|vision\w*|image_\w+)(\.|$)")), ("audio", re.compile(r"(^|\.)(audio\w*|speech\w*)(\.|$)")),
           ("talker", re.compile(r"(^|\.)talker(\.|$)")), ("draft", re.compile(r"(^|\.)(mtp\w*|nextn\w*)(\.|$)")))


@dataclass(frozen=True)
class Gate:
    """Style (a): modules that give out ids, and weights beside them.

    pattern: of module names, with * and ?. ids, weights, logits, dropped: positions, keys or functions (`Reading`). rule: None: not
    known, and then experts says how many there are. path: of the router; None: by the module's name. scale: a factor that the model
    applies to the weights elsewhere.
    """

    pattern: str
    ids: object = DETECT
    weights: object = DETECT
    logits: object = None
    dropped: object = None
    rule: Rule | None = None
    experts: int | None = None
    path: str | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Logits:
    """Style (b): modules whose output are logits, such as a linear layer; experts and weights follow by `rule`. at: where the logits lie in
    the output."""

    pattern: str
    rule: Rule
    at: object = 0
    path: str | None = None


@dataclass
class Found:
    """A router of a model. logits_module: gives the logits where the router does not. bias: a tensor that may change, whose values are in the
    rule. reading: a `Reading`, or a function (output, top_k) -> columns."""

    name: str
    module: object
    path: RouterPath
    rule: Rule | None
    reading: object
    experts: int | None = None
    scale: float = 1.0
    logits_module: object = None
    place: Place | None = None
    row: Row | None = None


def find_routers(model, routers=None) -> list[Found]:
    """The routers of a torch module, by path.

    routers: `Gate` and `Logits` for what the table has no row for; modules that they name are read as they say. Raises RecordError
    where there is none, or one that is like a router and not known.
    """
    modules = dict(model.named_modules())
    found, claimed = [], set()
    for said in routers or ():
        names = [name for name in modules if fnmatchcase(name, said.pattern)]
        if not names:
            raise RecordError(f"routers: {said.pattern!r}", "modules of that name", "none", f"names as named_modules() gives them, such as {_example(modules)}")
        for name in names:
            claimed.add(name)
            found.append(_said(said, name, modules[name], len(names)))
    refused = []
    for name, module in modules.items():
        if _inside(name, claimed):
            continue
        row = row_of(module)
        if row is not None and row.refused is None:
            found.append(_known(row, name, module, modules, model))
            claimed.add(name)
        elif row is not None and row.refused:
            refused.append((name, module, row.refused))
        elif row is None and _is_like_a_router(name, module):
            refused.append((name, module, "its class is not known, and a rule is not guessed"))
    refused = [entry for entry in refused if not any(one.startswith(entry[0] + ".") for one in claimed)]
    if refused:
        name, module, why = refused[0]
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise RecordError(f"module {name or type(model).__name__} of class {type(module).__name__}{more}", "a router of a class that moetop_record knows", why,
                          "routers=[Gate('*.gate', ids=…, weights=…, experts=…)] where it gives out ids, [Logits('*.gate', Rule(…))] where it "
                          "gives out logits, or wrap() and record()")
    if not found:
        raise RecordError(f"model of class {type(model).__name__}", "at least one router", "none",
                          "routers=[Gate(...)] for a router of your own, or Recorder(file) and record()")
    return _distinct(sorted(found, key=lambda one: (str(one.path.tower or ""), one.path.stack, one.path.layer)))


def _distinct(found):
    seen = {}
    for one in found:
        other = seen.setdefault(one.path, one)
        if other is not one:
            raise RecordError(f"router {one.path}", "one module of that path", f"{other.name} and {one.name}",
                              "path= for each, such as attn.3 and ffn.3, or ffn.3.q")
    return found


def _inside(name, claimed):
    return any(name == one or name.startswith(one + ".") for one in claimed)


def _is_like_a_router(name, module):
    """A class that is called a router, or a block that holds experts and no router of its own."""
    if _ROUTER_LIKE.search(type(module).__name__):
        return True
    experts = getattr(module, "experts", None)
    if experts is None or not hasattr(experts, "parameters"):
        return False
    gate = next((child for own in ("gate", "router", "gating") if hasattr(child := getattr(module, own, None), "parameters")), None)
    return gate is not None and row_of(gate) is None and not _ROUTER_LIKE.search(type(gate).__name__)


def _example(modules):
    return next((name for name in modules if "gate" in name or "router" in name), next((name for name in modules if name), "layers.0"))


def path_of(name: str, encoder_decoder: bool = False) -> RouterPath:
    """The path that a module's name says: layer, attention or feed-forward, encoder or decoder, tower."""
    layer = _LAYER.search(name)
    tower = next((tower for tower, pattern in _TOWERS if pattern.search(name)), None)
    if encoder_decoder and tower is None:
        stack = "enc" if re.search(r"(^|\.)encoder(\.|$)", name) else "dec"
    else:
        stack = "attn" if re.search(r"attention|attn|(^|\.)moa(\.|$)", name) else "ffn"
    if layer is None:
        return RouterPath("route", 0, tower)
    return RouterPath(stack, int(layer.group(1)), tower)


def _said(said, name, module, count):
    if said.path is not None and count > 1:
        raise RecordError(f"routers: {said.pattern!r}", "one module where path= is given", f"{count}", "a pattern for each")
    path = RouterPath.parse(said.path) if said.path else path_of(name)
    if isinstance(said, Logits):
        return Found(name, module, path, said.rule, Reading(None, None, said.at))
    experts = said.rule.experts if said.rule else said.experts
    if experts is None:
        raise RecordError(f"routers: {said.pattern!r}", "a rule, or the number of experts", "neither", "experts=64, or rule=Rule(...)")
    return Found(name, module, path, said.rule, Reading(said.ids, said.weights, said.logits, said.dropped), experts, said.scale)


def _known(row: Row, name: str, module, modules, model) -> Found:
    block = modules[name.rpartition(".")[0]] if name else module
    config = getattr(module, "config", None) or getattr(block, "config", None) or _text_config(model)
    place = Place(name, module, block, config)
    both = bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))
    if isinstance(row.reads, str):
        reading = SPECIAL[row.reads]
    else:
        logits, weights, ids = row.reads
        reading = Reading(ids, weights, logits)
    inner = module.get_submodule(row.logits_of) if row.logits_of else None
    return Found(name, module, path_of(name, both), rule_of(row, place), reading, scale=float(place.value(row.outer)), logits_module=inner,
                 place=place, row=row)


def _text_config(model):
    config = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _numbers(value):
    return None if value is None else value.detach().float().reshape(-1).tolist()


def rule_of(row: Row, place: Place) -> Rule:
    """The rule of a row, with the numbers that a module has."""
    experts, top_k = int(place.needed(row.experts, "number of experts")), int(place.needed(row.top_k, "top_k"))
    if row.stated:
        return stated(experts, top_k, *row.stated, weights=row.weights)
    groups = place.value(row.groups)
    if groups is not None:
        count, kept, score, fill = (place.value(part) for part in groups)
        groups = Groups(int(count), int(kept), score, fill) if count and kept and int(kept) < int(count) else None
    tokens = place.value(row.capacity)
    bias = _numbers(place.value(row.bias))
    return Rule(
        experts, top_k, scoring=place.value(row.scoring), selection=row.selection, weighting=place.value(row.weighting),
        normalization=place.value(row.normalization), epsilon=float(place.value(row.epsilon)),
        scale=float(place.value(row.scale)) * float(place.value(row.outer)), applies_to=row.applies_to, bias=bias,
        expert_scales=_numbers(place.value(row.expert_scales)), groups=groups, capacity=None if tokens is None else Capacity(tokens=int(tokens)),
        identity_experts=int(place.value(row.identity_experts) or 0), sparsemixer_epsilon=float(place.value(row.sparsemixer_epsilon)))
