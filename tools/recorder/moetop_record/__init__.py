"""Records the routing of Mixture-of-Experts models as traces that moetop reads.

`trace(model, file)` finds the routers of a model of transformers by itself; `Recorder(file)` takes decisions of anything. Importing this needs
nothing but Python's standard library.
"""
__version__ = "0.1.0"

from .errors import CaptureWarning, RecordError
from .paths import RouterPath
from .recorder import Recorder
from .rules import Capacity, Groups, Rule, stated, unknown

# What needs torch, by the file it is in: loaded when it is asked for.
_LATER = {"trace": "hooks", "Gate": "discover", "Logits": "discover", "find_routers": "discover"}

__all__ = ["Capacity", "CaptureWarning", "Gate", "Groups", "Logits", "RecordError", "Recorder", "RouterPath", "Rule", "find_routers", "stated",
           "trace", "unknown"]


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    try:
        return getattr(import_module("." + _LATER[name], __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise RecordError(f"moetop_record.{name}", "torch", "no such package",
                          "pip install torch, or Recorder(file) and record(), which need nothing") from error
