"""How a router is called: `[tower.]stack.layer[.module][.h<head>][.r<repeat>][.t<task>]`, mostly `ffn.3`."""
import re
from dataclasses import dataclass, replace

from .errors import RecordError

STACKS = ("ffn", "attn", "enc", "dec", "route")
MODULES = ("q", "k", "v", "o", "up", "down", "gate")
_TOWER = re.compile(r"[a-z_][a-z0-9_]*")
_SUFFIX = re.compile(r"(?:\.h(\d{1,7}))?(?:\.r(\d{1,7}))?(?:\.t(\d{1,7}))?")
_ADVICE = "a path like ffn.3, attn.0.q, vision.enc.2, ffn.1.h0.r2 or route.0.t4"


@dataclass(frozen=True)
class RouterPath:
    """A path in its parts.

    tower: a part of the model beside its text model, None for the text model. stack: one of STACKS; `route` is in no block and
    has layer 0. layer: absolute index of the block, dense blocks counted. module: of a block's projections. head, repeat (how
    often the layer ran before), task: numbers, or None where there is one only.
    """

    stack: str = "ffn"
    layer: int = 0
    tower: str | None = None
    module: str | None = None
    head: int | None = None
    repeat: int | None = None
    task: int | None = None

    def __post_init__(self):
        def refuse(expected, found):
            raise RecordError("router path", expected, repr(found), _ADVICE)

        if self.stack not in STACKS:
            refuse(f"a stack of {', '.join(STACKS)}", self.stack)
        if not isinstance(self.layer, int) or not 0 <= self.layer <= 9_999_999:
            refuse("a layer from 0", self.layer)
        if self.module is not None and self.module not in MODULES:
            refuse(f"a module of {', '.join(MODULES)}", self.module)
        if self.tower is not None and (not _TOWER.fullmatch(self.tower) or self.tower in STACKS):
            refuse("a tower in lower-case letters, digits and _, that is no stack", self.tower)
        for number in (self.head, self.repeat, self.task):
            if number is not None and (not isinstance(number, int) or not 0 <= number <= 9_999_999):
                refuse("numbers from 0", number)

    @classmethod
    def parse(cls, text: "str | RouterPath") -> "RouterPath":
        """Raises RecordError for what is no path."""
        if isinstance(text, RouterPath):
            return text
        words = text.split(".") if isinstance(text, str) else []
        at = next((i for i, word in enumerate(words) if word in STACKS), None)
        if at is None or at > 1 or at + 1 >= len(words) or not re.fullmatch(r"\d{1,7}", words[at + 1]):
            raise RecordError("router path", "[tower.]stack.layer[.module][.hN][.rN][.tN]", repr(text), _ADVICE)
        rest = words[at + 2:]
        module = rest.pop(0) if rest and rest[0] in MODULES else None
        suffix = _SUFFIX.fullmatch("".join("." + word for word in rest))
        if not suffix:
            raise RecordError("router path", "[tower.]stack.layer[.module][.hN][.rN][.tN]", repr(text), _ADVICE)
        head, repeat, task = (None if number is None else int(number) for number in suffix.groups())
        return cls(words[at], int(words[at + 1]), words[0] if at else None, module, head, repeat, task)

    def repeated(self, repeat: int) -> "RouterPath":
        """The same router at a later run of its layer."""
        return replace(self, repeat=repeat)

    @property
    def _parts(self):
        numbered = (("h", self.head), ("r", self.repeat), ("t", self.task))
        return ([self.module] if self.module else []) + [f"{letter}{number}" for letter, number in numbered if number is not None]

    @property
    def is_plain(self) -> bool:
        return self.tower is None and not self._parts

    @property
    def lane(self) -> str:
        """The path without its layer."""
        return ".".join(([self.tower] if self.tower else []) + [self.stack] + self._parts)

    def __str__(self) -> str:
        return ".".join(([self.tower] if self.tower else []) + [self.stack, str(self.layer)] + self._parts)
