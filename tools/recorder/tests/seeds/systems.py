"""The fifty routed systems of the literature: what is recorded of each, what moetop is asked, and what the answer must be.

`{t}` is the trace, `{c}` that of the control, in which the values of the axis are dealt anew over the rows; `{file}` is a file of weights or a rule, `{other}` its
control.
"""
import math
from dataclasses import dataclass

from . import reference


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
    that make what is asked about. lacks: what moetop cannot do of it yet. file: function of this package that makes its file of weights, and that file's ending."""

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
    file: tuple | None = None

    @property
    def key(self):
        return self.number


def information(axis, router, value, tolerance=1e-6, trace="{t}"):
    """The information between expert and axis, its permutation null, and the same with the labels shuffled by the program."""
    asked = f"analyze {trace} --metric specialization --by {axis} --null 200"
    row = f"layers[router={router}]"
    return (Ask(f"I(expert; {axis}), nat", asked, f"{row}.mutual_information", ("=", value, tolerance), "null :null_mean ± :null_sd, p :p"),
            Ask("labels shuffled, p", f"{asked} --shuffle-labels 1", f"{row}.p", (">", 0.05), "I :mutual_information, null :null_mean"))


def dealt(what, command, read, must, bound, beside="baseline :baseline"):
    """A number of the trace, and the same of its control."""
    return (Ask(what, command, read, must, beside), Ask("control", command.replace("{t}", "{c}"), read, bound, beside))


def held(what, system, read, must, bound, beside="baseline :baseline"):
    """A number of the table that a file alone gives, and the same of its control."""
    asked = f"inspect {{file}} --table --as {system}"
    return (Ask(f"table: {what}", asked, read, must, beside), Ask("control", asked.replace("{file}", "{other}"), read, bound, beside))


def share(count, total):
    return ("=", count / total, 1e-9)


MODELS = "{fixtures}/models"


def verified(model):
    """A tiny model held to what transformers made of it: every decision, weight and activation."""
    return Ask(f"{model} holds to the reference", f"verify {MODELS}/{model} --tokens {MODELS}/{model}/input.json --expected {MODELS}/{model}/expected.safetensors",
               "holds", ("is", True), ":equal_decisions of :decisions decisions equal")


IMPORTS = (
    System("7", "PoE (panel of experts)", None, "sample, one adapter by the label of its domain", "import",
           information("domain", "route.0", math.log(4)), "choices.panel_of_experts"),
    System("10", "Twin-Merging", "2406.15479", "sample, dense softmax over 8 tasks, logits", "import",
           dealt("mean weight of the task's own expert", "analyze {t} --metric importance --filter task=task3", "experts[router=route.0,expert=3].value",
                 ("=", math.exp(3) / (math.exp(3) + 7), 0.01), ("<", 0.3)), "mixtures.twin_merging"),
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
                 ("=", 1 / (1 + math.exp(0.25 - 0.5)), 1e-6), ("<", 0.53)) + (verified("mixtral-mergeme"),), "mixtures.merge_me"),
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
            *dealt("certain queries at it", "analyze {t} --metric load --filter 'router=route.0.t1 @entropy<0.5'", "experts[router=route.0.t1,expert=3].value",
                   ("=", 0.0, 1e-9), (">", 0.1))), "cascades.composition", lacks="the parent of a decision in imported lines"),
)


def of_label(label, value):
    return f"JOIN token_labels AS l USING (run, token) WHERE l.label = '{label}' AND l.value = '{value}'"


RECORDED = (
    System("4", "GNT-MOVE", "2308.11793", "point of a ray, cosine over a temperature, 2 of 4 beside a permanent expert", "recorder",
           dealt("near points that take expert 0", "analyze {t} --metric activation_rate --filter '@depth<0.5'", "experts[router=ffn.0,expert=0].value",
                 ("=", 1.0, 0.02), ("<", 0.7)) + information("scene", "ffn.1", math.log(2) / 2, 0.02), "rays.points", torch=True,
           lacks="divergence between neighbouring rays; the weight of the permanent expert beside a hook; a kind of row for points (they are `patch`)"),
    System("9", "LR-MoE", "2307.05956", "frame, one decision of all layers", "recorder",
           dealt("frames of Mandarin at its expert", "analyze {t} --metric load --filter language=mandarin", "experts[router=route.0,expert=0].value",
                 ("=", 1.0, 1e-9), ("<", 0.65)), "speech.language_routing", torch=True, lacks="a label of single rows as an axis of `--by`"),
    System("12", "TMMOE", None, "time step, dense, a gate a task", "recorder",
           dealt("lateral gate, weight of expert 2 from 1.5 s on", "analyze {t} --metric importance --filter 'router=route.0.t1 @seconds>=1.45'",
                 "experts[router=route.0.t1,expert=2].value", ("=", math.exp(3) / (math.exp(3) + 2), 0.01), ("<", 0.6)), "tasks.trajectories"),
    System("13", "MMoEEx", "2106.10595", "sample, dense, a gate a task, closed connections", "recorder",
           dealt("weight of the closed expert of task 1", "analyze {t} --metric importance --filter router=route.0.t1", "experts[router=route.0.t1,expert=3].value",
                 ("=", 1 / (3 * math.exp(2) + 1), 1e-5), (">", 0.2)), "tasks.exclusivity", torch=True, lacks="distances between outputs of experts"),
    System("14", "Conformers with shared experts", None, "frame, one bank, a router a block", "recorder",
           dealt("mean depth of expert 0 of the bank", "sql {t} \"SELECT 1.0 * sum(l.layer * l.assignments) / sum(l.assignments) AS value FROM layer_load AS l "
                 "JOIN routers AS r USING (run, router) WHERE r.bank = 'conformer' AND l.expert = 0\"", "rows.value", ("=", 0.5, 0.01), (">", 1.0), "even use: 1.5"),
           "speech.shared_bank", lacks="metrics of a bank over all its routers"),
    System("16", "sparsely activated multi-task learning", "2204.07689", "token, a gate that knows the task", "recorder",
           (Ask("I(expert; task), nli and paraphrase, p", "analyze {t} --metric specialization --by task --null 200 --filter task=nli,paraphrase", "layers[router=ffn.0].p",
                (">", 0.05), "I :mutual_information, null :null_mean"),
            Ask("the same, nli and summary, nat", "analyze {t} --metric specialization --by task --null 200 --filter task=nli,summary",
                "layers[router=ffn.0].mutual_information", ("=", math.log(2), 0.03), "null :null_mean ± :null_sd, p :p"),
            Ask("labels shuffled, p", "analyze {t} --metric specialization --by task --null 200 --filter task=nli,summary --shuffle-labels 1", "layers[router=ffn.0].p",
                (">", 0.05), "I :mutual_information, null :null_mean")), "tasks.task_aware", lacks="a matrix of all pairs of tasks"),
    System("17", "SMoRA", "2501.15103", "token, 8 of 64 ranks, by module", "recorder",
           information("task", "attn.0.q", math.log(2))
           + (Ask("module v, p", "analyze {t} --metric specialization --by task --null 200", "layers[router=attn.0.v].p", (">", 0.05), "I :mutual_information, null :null_mean"),
              Ask("sum of weights of a token", "sql {t} \"SELECT avg(total) AS value FROM (SELECT sum(weight) AS total FROM routing WHERE router = 'attn.0.q' GROUP BY token)\"",
                  "rows.value", ("=", 8.0, 1e-5), "by the rule 8")), "adapters.single_ranks",
           lacks="an executable rule in which the biased score is the weight, so entropy"),
    System("19", "MoSLD", "2412.08946", "token, 8, 6, 4, 2 experts by layer, q and v", "recorder",
           information("task", "attn.0.q", math.log(2), 0.01)
           + (Ask("layer 3 takes both of its two experts: load", "analyze {t} --metric load --layer 3", "max experts[router=attn.3.*].value", ("=", 0.5, 1e-9), "baseline :baseline"),),
           "adapters.shared_a"),
    System("20", "WEMoE", "2402.00433", "sample, dense, signed", "recorder",
           dealt("first choice is the task's own, last block", "sql {t} \"SELECT avg(r.expert = 0) AS value FROM routing AS r JOIN tokens USING (run, token) "
                 "JOIN sequence_labels AS l USING (run, sequence) WHERE r.router = 'ffn.1' AND r.rank = 0 AND l.value = 'sun397'\"", "rows.value", ("=", 1.0, 1e-9),
                 ("<", 0.6), "1/4 by chance")
           + (Ask("signed weights are not added up: exit code", "analyze {t} --metric weighted_load", "exit", ("is", 64), "refused"),),
           "merging.weight_ensembling", torch=True, lacks="a first choice of dense gates in `analyze` (SQL has it)"),
    System("22", "TaskExpert", "2307.15324", "patch, dense, a gate a task", "recorder",
           dealt("depth gate, weight of expert 0 in the upper half", "analyze {t} --metric importance --filter 'router=ffn.2.t0 @row<4'",
                 "experts[router=ffn.2.t0,expert=0].value", ("=", math.exp(3) / (math.exp(3) + 2), 0.01), ("<", 0.7)), "tasks.task_expert"),
    System("23", "Self-MoE (MiXSE)", "2406.12034", "token, named adapters, one router for all layers", "recorder",
           dealt("gsm8k at the expert math", "analyze {t} --metric load --by benchmark", "cells[router=route.0,cell=gsm8k,expert=2].value", ("=", 1.0, 1e-9), ("<", 0.6))
           + information("benchmark", "route.0", math.log(4)), "adapters.self_specialised"),
    System("25", "SpeechMoE", "2105.03036", "frame, top-1, a shared embedding in the input", "recorder", information("accent", "ffn.1", math.log(4), 0.02), "speech.speech_moe",
           lacks="the L1 sparsity of gates"),
    System("28", "Edge-MoE (M3ViT)", "2305.18691", "patch, a gate a task, 2 of 16", "recorder",
           dealt("experts that segmentation never takes", "analyze {t} --metric idle --filter router=ffn.1.t0", "layers[router=ffn.1.t0].value", ("=", 8, 0.1), ("<", 1)),
           "vision.task_gates", torch=True),
    System("29", "CoPL", "2503.01658", "user, top-1 of 8 beside a shared adapter", "recorder", information("cluster", "route.0", math.log(4), 0.02), "adapters.users"),
    System("30", "EVE", "2308.11971", "token by modality, by depth", "recorder",
           (Ask("image tokens at expert 2, block 0", "analyze {t} --metric load --filter 'router=ffn.0 modality=image'", "experts[router=ffn.0,expert=2].value",
                ("=", 0.25, 0.08), "baseline :baseline"),)
           + dealt("image tokens at expert 2, block 2", "analyze {t} --metric load --filter 'router=ffn.2 modality=image'", "experts[router=ffn.2,expert=2].value",
                   ("<", 0.05), (">", 0.15)), "vision.modality_aware", lacks="a label of single rows as an axis of `--by`"),
    System("35", "JiuZhang 2.0", "2306.11027", "token, one bank of two routers", "recorder", information("kind", "ffn.1", math.log(2), 0.02), "tasks.jiu_zhang"),
    System("43", "AdaTT", "2304.04959", "sample, dense, a gate a task and level", "recorder",
           dealt("task 0, level 1, weight of an expert of task 1", "analyze {t} --metric weighted_load --filter router=ffn.1.t0", "experts[router=ffn.1.t0,expert=2].value",
                 ("=", math.exp(2) / (2 * math.exp(2) + 2), 1e-5), ("<", 0.1)), "tasks.ada_tt", torch=True, lacks="a place for the residual scalars of a task's own experts"),
    System("44", "Rocket (K-shot adapters)", "2408.15915", "token, 2 of 4 imported adapters, six modules", "recorder",
           information("source", "attn.1.q", math.log(2), 0.02)
           + (Ask("module v, p", "analyze {t} --metric specialization --by source --null 200", "layers[router=attn.1.v].p", (">", 0.05),
                  "I :mutual_information, null :null_mean"),), "adapters.imported_experts"),
    # Families that the engine runs too, or could where somebody published how they are stored.
    System("2", "XFT", "2404.15247", "token, 5 of 7 and a weighed shared expert", "recorder",
           dealt("share of the shared expert in all weights, code", "analyze {t} --metric shared_weight_share --filter domain=code", "layers[router=ffn.0].value",
                 ("=", 0.5, 1e-6), (">", 0.55))
           + (verified("llama_moe_upscaling"), verified("llama_moe_upscaling-plain")), "language.xft"),
    System("5", "CMoE", "2502.04416", "token, neurons as a router, a bias, weights of 1", "recorder",
           dealt("decisions that the bias changes", "analyze {t} --metric bias_flips", "layers[router=ffn.0].value", ("=", 0.5, 1e-9), ("<", 0.01)), "language.cmoe",
           lacks="a checkpoint to run: its program keeps none, and the bias is in no state dict"),
    System("18", "MoEUT", "2405.16039", "token, run of the layer, head", "recorder",
           dealt("Jaccard of runs 0 and 1", "sql {t} \"SELECT avg(1.0 * both / (4 - both)) AS value FROM (SELECT a.token, sum(b.expert IS NOT NULL) AS both FROM routing AS a "
                 "LEFT JOIN routing AS b ON b.run = a.run AND b.token = a.token AND b.expert = a.expert AND b.router = 'ffn.0.r1' WHERE a.router = 'ffn.0' GROUP BY a.token)\"",
                 "rows.value", ("=", 1 / 3, 1e-9), ("<", 0.29), "two random pairs of 8: 0.179") + (verified("moeut"), verified("moeut-dense")), "depth.universal", torch=True,
           lacks="`compare` of two runs of a layer"),
    System("37", "HMoE", "2408.10681", "token, as many experts as reach 0.6, unequal widths", "recorder",
           dealt("experts of a hard token", "sql {t} \"SELECT 1.0 * count(*) / count(DISTINCT token) AS value FROM routing JOIN tokens USING (run, token) JOIN sequence_labels AS l "
                 "USING (run, sequence) WHERE l.value = 'hard'\"", "rows.value", ("=", 5.0, 1e-9), ("<", 4.5), "all tokens: 3")
           + (Ask("share of units that a token uses", "sql {t} \"SELECT 1.0 * sum(e.width) / (SELECT count(*) FROM tokens) / 128 AS value FROM routing JOIN experts AS e "
                  "USING (run, router, expert)\"", "rows.value", ("=", (9 + 65) / 2 / 128, 1e-9), "all experts: 1"), verified("llama_moe-hmoe")), "language.heterogeneous",
           lacks="a layout that says the share of probability (the top-k form runs as a LLaMA-MoE); metrics weighed by width"),
    System("41", "Nexus", "2408.15901", "token, top-1 beside the first model's network, rows from domains", "recorder",
           dealt("code at its own expert", "analyze {t} --metric load --by domain", "cells[router=ffn.0,cell=code,expert=2].value", (">", 0.95), ("<", 0.6))
           + information("domain", "ffn.0", math.log(4), 0.05) + (verified("deepseek-nexus"),), "language.nexus", lacks="cosines of router rows"),
    System("45", "UoE", "2503.02495", "input, then position by expert", "recorder",
           (Ask("share of positions that the chosen experts take", "sql {t} \"SELECT 1.0 * max(n) / 12 AS value FROM (SELECT count(*) AS n FROM routing JOIN tokens USING (run, token) "
                "WHERE router = 'ffn.0' GROUP BY run, sequence, expert)\"", "rows.value", ("=", 0.5, 1e-9), "by the rule 1/2"),)
           + information("domain", "route.0", math.log(2), trace="{t}#1"), "unions.union",
           lacks="a model to run: experts choose positions by those behind them too, and scores are shared out over the batch; two kinds of rows in one run; a warning that scores depend on batch mates"),
    System("60", "Monet", "2412.04139", "token, head, pairs of two lists above a threshold", "recorder",
           dealt("pairs above 0.01, `City`", "sql {t} \"SELECT avg(n) AS value FROM (SELECT run, token, count(*) AS n FROM (SELECT a.run, a.token, a.expert AS i, b.expert - 16 AS j "
                 "FROM routing AS a JOIN routing AS b ON b.run = a.run AND b.token = a.token AND b.router = a.router WHERE a.expert < 16 AND b.expert >= 16 "
                 "GROUP BY 1, 2, 3, 4 HAVING sum(a.weight * b.weight) > 0.01) GROUP BY 1, 2) " + of_label("word", "City") + "\"", "rows.value", ("=", 12.0, 1e-9), ("<", 11),
                 "all words: 6.5") + (verified("monet"), verified("monet-horizontal")), "product_keys.monet", lacks="metrics of pairs (SQL multiplies the lists)"),
    # Routes that weights or a rule alone decide: read from their file, and recorded as rows of tasks.
    System("21", "MOORE", "2311.11385", "task, dense, signed", "table",
           dealt("weight of task 2 for expert 2", "sql {t} \"SELECT weight AS value FROM routing JOIN tokens USING (run, token) JOIN sequence_labels AS l USING (run, sequence) "
                 "WHERE l.value = 'task2' AND expert = 2\"", "rows.value", ("=", 1.5, 1e-6), ("<", 1), "mean of the task's weights: 0.175")
           + held("weight of task 2 for expert 2", "moore", "rows[task=task 2,expert=2].weight", ("=", 1.5, 1e-6), ("<", 1), "mean of the task's weights :baseline")
           + held("distance of the Gram matrix from the identity", "moore", "facts.gram_deviation", ("<", 1e-4), (">", 0.1), "orthonormal: 0"),
           "merging.orthogonal_experts", file=("tables.moore", ".safetensors")),
    System("24", "Superposition", "2501.00530", "the model, a blend by layer", "table",
           dealt("blend at layer 8", "analyze {t} --metric weighted_load --layer 8", "experts[router=ffn.8,expert=1].value", ("=", 5 / 6, 1e-6), ("<", 0.7))
           + held("blend at layer 8", "superposition", "rows[layer=8,expert=1].weight", ("=", 5 / 6, 1e-6), ("<", 0.7)),
           "merging.superposition", file=("tables.superposition", ".safetensors")),
    System("27", "VLMo", "2111.02358", "token by modality, a rule", "table",
           (Ask("image tokens at the vision expert, block 9", "analyze {t} --metric load --filter 'layer=9 modality=image'", "experts[router=ffn.9,expert=1].value",
                ("=", 1.0, 1e-9), "baseline :baseline"),
            Ask("all tokens at the joint expert, block 10", "analyze {t} --metric load --layer 10", "experts[router=ffn.10,expert=2].value", ("=", 1.0, 1e-9),
                "baseline :baseline"),
            Ask("control, block 9", "analyze {c} --metric load --filter 'layer=9 modality=image'", "experts[router=ffn.9,expert=1].value", ("<", 0.8), "baseline :baseline"))
           + held("first layer with one expert for both", "vlmo", "facts.switch_layer", ("=", 10, 0), ("<", 10), "of 12 layers")
           + (Ask("table: a pair's image at the vision expert, block 9", "inspect {file} --table --as vlmo", "rows[modality=image of a pair,layer=9,expert=1].chosen", ("is", True),
                  "baseline :baseline"),),
           "vision.modality_experts", file=("tables.vlmo", ".safetensors")),
    System("40", "SciMult", "2305.14232", "task, a map", "table",
           dealt("link prediction at expert 1", "analyze {t} --metric load --by task", "cells[router=ffn.1,cell=link,expert=1].value", ("=", 1.0, 1e-9), ("<", 0.5))
           + held("the map equals the published one", "scimult", "facts.equals_configuration", ("is", True), ("is", False), "6 entries")
           + (Ask("table: link prediction at expert 1", "inspect {file} --table --as scimult", "rows[task=multi-hop-retrieval,input=query,expert=1].chosen", ("is", True),
                  "baseline :baseline"),),
           "task_routes.sci_mult", file=("tables.sci_mult", ".json")),
    System("59", "Learning to Branch", "2006.01895", "task, a parent a level", "table",
           dealt("tasks 0-2 at branch 0", "analyze {t} --metric load --by half", "cells[router=route.0.t0,cell=first,expert=0].value", ("=", 1.0, 1e-9), ("<", 0.9))
           + held("probability that task 3 is below node 1", "learning-to-branch", "rows[child=task 3,expert=1].weight", ("=", math.exp(2) / (math.exp(2) + 2), 1e-6), ("<", 0.5))
           + (Ask("table: probability of its path in the tree", "inspect {file} --table --as learning-to-branch", "paths[task=task 3].probability",
                  ("=", math.exp(2) / (math.exp(2) + 2) * math.exp(2) / (math.exp(2) + 1), 1e-6), "an even draw: 0.167"),
              Ask("table: the node above it is at root 0", "inspect {file} --table --as learning-to-branch", "decisions[router=route.0.t0,child=node 1].chosen", ("=", 0, 0),
                  "baseline :baseline"),),
           "task_routes.branches", file=("tables.branches", ".safetensors")),
    System("64", "CrossTaskMoE", "2205.12701", "task, 3 experts a layer of encoder and decoder", "table",
           information("kind", "encoder.ffn.1", math.log(3), 0.02)
           + (Ask("decoder, layer 0, p", "analyze {t} --metric specialization --by kind --null 200", "layers[router=decoder.ffn.0].p", (">", 0.05),
                  "I :mutual_information, null :null_mean"),)
           + held("mean weight of expert 1, tasks 10 to 19, encoder", "crosstaskmoe", "mean rows[router=enc.1,task=task 1?,expert=1].weight",
                  ("=", math.exp(2) / (math.exp(2) + 2), 1e-6), ("<", 0.6))
           + (Ask("table: the same in the decoder's first layer", "inspect {file} --table --as crosstaskmoe", "mean rows[router=dec.0,task=task 1?,expert=1].weight",
                  ("=", 1 / 3, 1e-6), "baseline :baseline"),),
           "task_routes.cross_task", lacks="stacks enc and dec of recorded task rows", file=("tables.cross_task", ".npy")),
)

DIT = "{fixtures}/dit"
PLANTED = "{fixtures}/planted"
ALWAYS_ON, WINDOWS, FIRST_WINDOW = reference.prior()


ENGINE = (
    System("1", "Switch-DiT", "2403.09176", "timestep, 2 of 3, the same for all patches", "table",
           (Ask("timesteps in the first window of the prior", f"inspect {DIT}/switch --timesteps", "prior.first_window_timesteps", ("=", FIRST_WINDOW, 0), "of 1,000"),
            Ask("units always on", f"inspect {DIT}/switch --timesteps", "prior.always_on", ("=", ALWAYS_ON, 0), "of 9"),
            Ask("windows", f"inspect {DIT}/switch --timesteps", "prior.windows", ("=", WINDOWS, 0), "at most 4"),
            Ask("latents and decisions hold to the reference", f"verify {DIT}/switch --noise {DIT}/switch/noise.safetensors --expected {DIT}/switch/expected-ddpm.safetensors",
                "holds", ("is", True), ":equal_decisions of :decisions decisions equal"))),
    System("3", "DiT-MoE", "2407.11633", "patch x step x class x branch", "engine",
           (Ask("decisions that are the reference's", f"verify {DIT}/timm --noise {DIT}/timm/noise.safetensors --expected {DIT}/timm/expected-ddpm.safetensors",
                "equal_decisions", ("=", 1536, 0), "of 1,536"),
            Ask("no expert is idle", "analyze {t} --metric dit-claims --null 200", "claims.claims[claim=no-expert-idle].verdict", ("is", "holds"), "the smallest share beside 1/4")),
           before=(f"run {DIT}/timm --images 6 --steps 10 --trace {{t}} -q",)),
    System("6", "DeepSeekMoE, V2, V3", "2401.06066", "token beside shared experts, groups, a bias", "engine",
           (verified("deepseek"), verified("deepseek_v2-groups"), verified("deepseek_v3"),
            Ask("loss change without the top 0", f"whatif {MODELS}/deepseek --tokens {PLANTED}/texts.json --experiment redundancy", "effects[name=without the top 0].loss_change",
                ("=", 0.0, 0), "nothing is masked: 0"),
            Ask("decisions touched without the top 1", f"whatif {MODELS}/deepseek --tokens {PLANTED}/texts.json --experiment redundancy",
                "effects[name=without the top 1].touched", ("=", 1.0, 0), "loss change :loss_change, of random weights"))),
    System("32", "MC-SMoE (M-SMoE)", "2310.01334", "token, usage by layer and expert", "engine",
           (Ask("usage of the encoder's busiest expert", "analyze {t} --metric load", "max experts[router=enc.1].value", reference.usage, "even share 1/8"),
            Ask("who stands for expert 0 of the encoder", "analyze {t} --metric core_similarity --groups 2", "experts[router=enc.1,expert=0].core", reference.core("enc.1", 0),
                "chosen :n times"),
            Ask("likeness of the two", "analyze {t} --metric core_similarity --groups 2", "experts[router=enc.1,expert=0].value", reference.likeness("enc.1", 0),
                "to all others :baseline"),
            Ask("who stands for expert 5 of the decoder", "analyze {t} --metric core_similarity --groups 2", "experts[router=dec.1,expert=5].core", reference.core("dec.1", 5),
                "chosen :n times"),
            Ask("likeness of the two", "analyze {t} --metric core_similarity --groups 2", "experts[router=dec.1,expert=5].value", reference.likeness("dec.1", 5),
                "to all others :baseline")),
           before=(f"run {MODELS}/switch_transformers --tokens {MODELS}/switch_transformers/input.json --record full --trace {{t}} -q",)),
    System("39", "GW-MoE", "2406.12375", "token, entropy and a threshold", "engine",
           (Ask("entropy of the encoder, nat", "analyze {t} --metric encoder_entropy --as gw-moe", "stacks.value", reference.encoder_entropy, "ln 8 is 2.08"),
            Ask("uncertain in the decoder", "analyze {t} --metric decoder_gw_ratio --as gw-moe --threshold 1.6nat", "stacks.value", reference.uncertain_in_decoder,
                "no baseline at a threshold in nats"),
            Ask("loss change, uncertain redrawn, planted harmless", f"whatif {PLANTED}/harmless --tokens {PLANTED}/texts.json --experiment gw-moe",
                "effects[name=redraw? uncertain].loss_change", lambda fixtures: ("=", reference.truth(fixtures, "harmless", "redraw, uncertain"), 1e-6), "as many certain ones: the next number"),
            Ask("the same of as many certain ones", f"whatif {PLANTED}/harmless --tokens {PLANTED}/texts.json --experiment gw-moe",
                "effects[name=redraw? certain].loss_change", (">", 0.05), "the uncertain ones: 0"),
            verified("jetmoe")),
           before=(f"run {MODELS}/switch_transformers --tokens {MODELS}/switch_transformers/input.json --record full --trace {{t}} -q",)),
    System("50", "Every Expert Matters", "2502.12947", "token, probability of the chosen", "engine",
           (Ask("captured mass, layer 0", "analyze {t} --metric top_k_mass", "layers[router=ffn.0].value", reference.captured_mass, "equal logits :baseline"), verified("llama_moe")),
           before=(f"run {MODELS}/llama_moe --tokens {MODELS}/llama_moe/input.json --record full --trace {{t}} -q",)),
    System("63", "Buffer Overflow", "2402.05526", "token, capacity, in the order of a batch", "engine",
           (Ask("tokens that mates change, no capacity", f"whatif {MODELS}/mixtral --tokens {PLANTED}/texts.json --experiment overflow", "effects[name=no capacity].mates.changed_tokens",
                ("=", 0.0, 0), "exactly 0"),
            Ask("the same, capacity 1, lower end of its interval", f"whatif {MODELS}/mixtral --tokens {PLANTED}/texts.json --experiment overflow",
                "effects[name=1 gshard].mates.changed_tokens_low", (">", 0.0), "share :changed_tokens"))),
)

SYSTEMS = tuple(sorted(ENGINE + RECORDED + IMPORTS, key=lambda one: int(one.number)))
