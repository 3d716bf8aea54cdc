"""The fifty routed systems of the literature: what is recorded of each, what moetop is asked, and what the answer must be.

`{t}` is the trace, `{c}` that of the control, in which the values of the axis are dealt anew over the rows.
"""
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Ask:
    """A command, where its answer holds the number (`exit`: the exit code), what it must be (`("=", value, tolerance)`, `(">", bound)`,
    `("<", bound)`, or a function of the fixtures' folder), and what stands beside it: `:name` is a member of the same row of the answer."""

    what: str
    command: str
    read: str
    must: object
    beside: str


@dataclass(frozen=True)
class System:
    """how: `engine`, `recorder`, `import` or `table` (from the weights). make: function of this package that records it. before: commands
    that make what is asked about. lacks: what moetop cannot do of it yet."""

    number: str
    name: str
    paper: str | None
    shape: str
    how: str
    asks: tuple
    make: str | None = None
    torch: bool = False
    before: tuple = ()
    lacks: str = ""

    @property
    def key(self):
        return self.number


def information(axis, router, value, tolerance=1e-6, filter=""):
    """The information between expert and axis, its permutation null, and the same with the labels shuffled by the program."""
    asked = f"analyze {{t}} --metric specialization --by {axis} --null 200" + (f" --filter {filter}" if filter else "")
    row = f"layers[router={router}]"
    return (Ask(f"I(expert; {axis}), nat", asked, f"{row}.mutual_information", ("=", value, tolerance), "null :null_mean ± :null_sd, p :p"),
            Ask("labels shuffled, p", f"{asked} --shuffle-labels 1", f"{row}.p", (">", 0.05), "I :mutual_information, null :null_mean"))


def dealt(what, command, read, must, bound, beside="baseline :baseline"):
    """A number of the trace, and the same of its control."""
    return (Ask(what, command, read, must, beside), Ask("control", command.replace("{t}", "{c}"), read, bound, beside))


def share(count, total):
    return ("=", count / total, 1e-9)


IMPORTS = (
    System("7", "PoE (panel of experts)", None, "sample, one adapter by the label of its domain", "import",
           information("domain", "route.0", math.log(4)), "choices.panel_of_experts"),
    System("10", "Twin-Merging", "2406.15479", "sample, dense softmax over 8 tasks, logits", "import",
           dealt("mean weight of the task's own expert", "analyze {t} --metric importance --filter task=task3", "experts[router=route.0,expert=3].value",
                 ("=", math.exp(3) / (math.exp(3) + 7), 0.03), ("<", 0.3)), "mixtures.twin_merging"),
    System("11", "deep neural experts for speech scoring", None, "sample, dense weights", "import",
           dealt("weight of grader 0, fluent speakers", "analyze {t} --metric weighted_load --filter level=fluent", "experts[router=route.0,expert=0].value",
                 ("=", 0.7, 1e-6), ("<", 0.55)), "mixtures.speech_scoring", lacks="an interval of mean weights"),
    System("15", "MMOE (interaction types)", "2311.09580", "sample, softmax over 3 types", "import",
           dealt("first choice right, unique samples", "analyze {t} --metric load --by interaction", "cells[router=route.0,cell=unique,expert=1].value",
                 share(27, 30), ("<", 0.6)), "mixtures.interactions"),
    System("26", "FedJETs", "2306.08586", "sample of a client, 2 of 5 experts", "import",
           dealt("experts of class 4 that are its own", "analyze {t} --metric activation_rate --by class", "cells[router=route.0,cell=4,expert=2].value",
                 ("=", 1.0, 1e-9), ("<", 0.8)) + information("client", "route.0", math.log(5) - math.log(4), 0.03), "choices.fed_jets"),
    System("36", "MergeME", "2502.00997", "sample, softmax of the 2 largest 1 / perplexity", "import",
           dealt("weight of the math expert, gsm8k", "analyze {t} --metric weighted_load --filter benchmark=gsm8k", "experts[router=route.0,expert=2].value",
                 ("=", 1 / (1 + math.exp(0.25 - 0.5)), 1e-6), ("<", 0.53)), "mixtures.merge_me"),
    System("47", "SEED", "2401.10191", "task, the expert of largest mean divergence", "import",
           dealt("tasks of residue 1 at expert 1", "analyze {t} --metric load --by residue", "cells[router=route.0,cell=r1,expert=1].value",
                 ("=", 1.0, 1e-9), ("<", 0.8)), "choices.seed"),
    System("48", "Mowst", "2311.05185", "node, a draw between two", "import",
           dealt("uncertain nodes at the strong expert", "analyze {t} --metric load --filter '@confidence<0.5'", "experts[router=route.0,expert=1].value",
                 ("=", 1.0, 1e-9), ("<", 0.65)), "cascades.mowst", lacks="an interval of a load"),
    System("61", "FoE", "2310.01542", "sample, a set of experts of any size", "import",
           dealt("experts asked, classes that need three", "sql {t} \"SELECT 1.0 * count(*) / count(DISTINCT token) AS value FROM routing JOIN tokens USING (run, token) "
                 "JOIN sequence_labels AS l USING (run, sequence) WHERE l.label = 'need' AND l.value = 'three'\"", "rows.value",
                 ("=", 3.0, 1e-9), ("<", 2.5), "all samples: 2"), "cascades.fusing_experts"),
    System("62", "CCoE", "2407.11686", "sample, a classifier's domain", "import",
           dealt("confusion matrix, law at law", "analyze {t} --metric load --by domain", "cells[router=route.0,cell=law,expert=2].value", share(36, 40), ("<", 0.5))
           + information("domain", "route.0", math.log(5) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)), "cascades.collaboration"),
    System("66", "MoP (mixture of prompts)", "2407.00256", "query, the nearest of 5 clusters", "import",
           information("topic", "route.0", math.log(5)), "choices.mixture_of_prompts"),
    System("67", "CoE (composition of experts)", "2412.01868", "query, a category and then an expert", "import",
           (Ask("share of the general expert", "analyze {t} --metric load --filter router=route.0.t1", "experts[router=route.0.t1,expert=3].value", share(1, 5),
                "baseline :baseline"),
            Ask("certain queries at it", "analyze {t} --metric load --filter 'router=route.0.t1 @entropy<0.5'", "experts[router=route.0.t1,expert=3].value",
                ("=", 0.0, 1e-9), "baseline :baseline")), "cascades.composition", lacks="the parent of a decision in imported lines"),
)

SYSTEMS = IMPORTS
