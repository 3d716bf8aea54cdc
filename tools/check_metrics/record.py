"""One run, as `moetop export`, `moetop runs show --json` and the views of `moetop sql` write it."""
import json
import subprocess
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file


class Refusal(Exception):
    """moetop answered with an error."""


class UnknownRun(Exception):
    """This tool does not know such a run."""


def moetop(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refusal(done.stderr.strip() or f"{arguments} ended with {done.returncode}")
    return done.stdout


def query(binary, run, statement):
    return [json.loads(line) for line in moetop(binary, "sql", run, statement, "--format", "jsonl").splitlines()]


class Tokens:
    """The tokens of one stack of routers, by text, then position. Arrays [rows]; `text` counts the texts of the run from 0."""

    def __init__(self, text, ids, listed):
        self.text, self.ids = text, ids
        self.row = np.array([t["token"] for t in listed], np.int64)
        self.position = np.array([t["position"] for t in listed], np.int64)
        self.phase = np.array([t["phase"] for t in listed])
        self.words = [t.get("text") for t in listed]
        number = lambda key: np.array([np.nan if t.get(key) is None else t[key] for t in listed], np.float32)
        self.surprisal, self.next_entropy = number("surprisal"), number("next_token_entropy")
        self.place = {}

    def __len__(self):
        return len(self.ids)


class Router:
    """What one router decided. ids, weights [rows, k]; entropy, margin, top1, mass [rows]; logits [rows, E] with NaN where none were recorded."""

    def __init__(self, shown, spec, unit, tokens, tensors, dropped):
        self.name, self.experts, self.k = shown["router"], shown["experts"], shown["top_k"]
        self.stack, layer = self.name.split(".")
        self.layer, self.spec, self.unit, self.tokens = int(layer), spec, unit, tokens
        get = lambda key: tensors.get(f"{self.name}.{key}")
        self.ids, self.weights = get("expert_ids"), get("weights")
        self.entropy, self.margin, self.top1, self.mass = map(get, ("entropy", "selection_margin", "top1_margin", "top_k_mass"))
        self.logits = get("router_logits")
        rows = get("rows")
        if self.logits is not None:
            everywhere = np.full((len(tokens), self.experts), np.nan)
            everywhere[np.arange(len(tokens)) if rows is None else rows] = self.logits
            self.logits = everywhere
        self.chosen = self.ids >= 0
        self.dropped = np.zeros(self.ids.shape, bool)
        for token, rank in dropped:
            self.dropped[token, rank] = True
        # Which decisions count: all that were made, until a filter says otherwise.
        self.decided = self.chosen.any(axis=1)
        self.passes = self.decided.copy()

    def probabilities(self):
        """[rows, E] of the router's own distribution, for rows with logits."""
        if self.logits is None:
            return None
        kind = next(iter(self.spec["scoring"]))
        if kind == "sigmoid" or self.spec["weighting"].startswith("sigmoid"):
            scores = 1 / (1 + np.exp(-self.logits))
        elif kind in ("softmax", "logits", "sparsemixer"):
            scores = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        else:
            raise UnknownRun(f"{self.name}: the probabilities of a router that scores by {kind} are not defined here")
        return scores / scores.sum(axis=1, keepdims=True)

    def normalised(self):
        """Entropy as a share of ln E, in the precision it is recorded in; NaN where it is not defined."""
        if self.experts < 2:
            return np.full(len(self.entropy), np.nan, np.float32)
        return self.entropy / np.log(np.float32(self.experts))


class Run:
    def __init__(self, binary, name, folder, branch=0):
        self.binary, self.name, self.branch = binary, name, branch
        path = Path(folder) / "routing.safetensors"
        moetop(binary, "export", name, "--what", "routing", "--format", "safetensors", "-o", path, "--no-progress")
        with safe_open(path, "np") as file:
            self.metadata = file.metadata()
        tensors = load_file(path)
        shown = json.loads(moetop(binary, "runs", "show", name, "--json"))
        self.id = shown["id"]
        self.counts_only = shown["record"] == "counts"
        self.labels = [json.loads(r["labels"] or "{}") for r in query(binary, name, "SELECT labels FROM sequences ORDER BY sequence")]
        self.texts = len(self.labels)
        self.images = "branch" in tensors or self.counts_only
        if self.counts_only:
            raise UnknownRun(f"{name}: a run of counts has no decisions to recompute from; record it with ids, weights or full")
        self._tokens(tensors)
        rules = {(r["stack"], r["layer"]): r for r in query(binary, name, "SELECT stack, layer, spec, selection_unit FROM routers")}
        drops = query(binary, name, "SELECT stack, layer, token, rank FROM routing WHERE dropped = 1") if self._may_drop(rules, shown) else []
        self.routers = []
        for one in shown["routers"]:
            stack, layer = one["router"].split(".")
            tokens = self.tokens.get(stack, self.tokens.get("all"))
            rule = rules[stack, int(layer)]
            index = {int(r): i for i, r in enumerate(tokens.row)}
            dropped = [(index[d["token"]], d["rank"]) for d in drops if (d["stack"], d["layer"]) == (stack, int(layer))]
            self.routers.append(Router(one, json.loads(rule["spec"]), rule["selection_unit"], tokens, tensors, dropped))
        self.routers.sort(key=lambda r: (r.stack, r.layer))
        self.passing_tokens = {id(t): np.ones(len(t), bool) for t in self.tables}
        if self.images:
            on = self.tables[0].place["branch"] == branch
            for router in self.routers:
                router.decided &= on
                router.passes &= on
            self.passing_tokens = {id(self.tables[0]): on}

    @staticmethod
    def _may_drop(rules, shown):
        return shown.get("intervention") or any("capacity" in json.loads(r["spec"]) for r in rules.values())

    def _tokens(self, tensors):
        listed = [json.loads(line) for line in moetop(self.binary, "export", self.name, "--what", "tokens", "--format", "jsonl").splitlines()]
        listed.sort(key=lambda t: (t["sequence"], t["position"]))
        names = {"": "all"} if "input_ids" in tensors else {"encoder_": "enc", "decoder_": "dec"}
        self.tokens = {}
        for prefix, stack in names.items():
            lengths = tensors["sequence_lengths" if prefix == "" else f"{prefix}lengths"]
            ids = tensors["input_ids" if prefix == "" else f"{prefix}ids"]
            own = [t for t in listed if prefix == "" or (t["phase"] == "encode") == (stack == "enc")]
            tokens = Tokens(np.repeat(np.arange(len(lengths)), lengths), ids, own)
            for key in ("step", "branch", "patch"):
                if key in tensors:
                    tokens.place[key] = tensors[key]
            if len(own) != len(ids) or not np.array_equal([t["token_id"] for t in own], ids):
                raise UnknownRun(f"{self.name}: the tokens of export do not name the rows of routing")
            self.tokens[stack] = tokens
        self.tables = list(self.tokens.values())

    def shown_tokens(self, options):
        """Tokens of the run, or those of which a decision passes."""
        if not options.filtered:
            return sum(int(on.sum()) for on in self.passing_tokens.values())
        return sum(int(np.any([r.passes for r in options.routers(self) if r.tokens is t] or [[False]], axis=0).sum()) for t in self.tables)

    def label_values(self, label):
        """The value of each text on a label, None where it has none."""
        return [one.get(label) for one in self.labels]
