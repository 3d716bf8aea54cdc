"""Asks moetop for every metric along every axis and compares the answers."""
import argparse
import json
import tempfile

import numpy as np

from . import catalogue, certainty, columns, denoising, filters
from .answers import Skip, Tally, report
from .record import Refusal, Run, UnknownRun, moetop


class Options:
    """What was asked, and what follows from it for all metrics."""

    def __init__(self, arguments, run):
        self.ci, self.form, self.top, self.draws, self.branch = arguments.ci, arguments.form, arguments.top, arguments.null, arguments.branch
        self.our_seed, self.filtered, self.threshold = 20_261, bool(arguments.filter), arguments.threshold
        self.layers = layer_numbers(arguments.layer)
        self.share_of_run = self._threshold(run)

    def looked_at(self, run):
        return [r for r in run.routers if self.layers is None or r.layer in self.layers]

    def routers(self, run):
        return [r for r in self.looked_at(run) if not self.filtered or r.passes.any()]

    def _threshold(self, run):
        """The expected share of ln E from which on a decision is uncertain, or nats."""
        if self.threshold.startswith("q"):
            shares = []
            for router in run.routers:
                share = certainty.forms(router, self)[1]
                shares.append(share[np.isfinite(share) & router.decided])
            self.threshold_baseline = 1 - float(self.threshold[1:])
            return certainty.near_quantile(np.concatenate(shares).astype(np.float64), float(self.threshold[1:]))
        self.threshold_baseline = None
        return None if self.threshold.endswith("nat") else float(self.threshold)

    def over(self, router, share):
        """[rows]: decisions that reach the threshold which the answer states (whose own value is compared apart)."""
        with np.errstate(invalid="ignore"):
            if self.threshold.endswith("nat"):
                return certainty.forms(router, self)[0] >= np.float32(self.threshold[:-3])
            return share >= np.float32(self.stated_share)


def layer_numbers(text):
    if not text:
        return None
    numbers = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def settings(name, axis, options, arguments, got, run):
    expected = {"by": axis or "layer", "seed": 0}
    if options.ci and "intervals" in got:
        expected["intervals"] = Skip("words: settings.intervals")
    if name in catalogue.ENTROPIES:
        expected["entropy_form"] = options.form
    if name in catalogue.THRESHOLDS:
        expected["threshold"] = options.threshold
        experts = {r.experts for r in options.routers(run)}
        share = options.share_of_run
        if share is None:
            nats = float(options.threshold[:-3])
            expected["threshold_nats"], expected["threshold_share"] = nats, nats / np.log(min(experts)) if len(experts) == 1 else None
        else:
            expected["threshold_share"] = share
            stated = got.get("threshold_share")
            expected["threshold_nats"] = stated * np.log(min(experts)) if stated is not None and len(experts) == 1 else None
    if name in catalogue.NULLS:
        expected["null_draws"] = options.draws
    if axis == "token":
        expected["top"] = options.top
    if arguments.filter:
        expected["filter"] = arguments.filter
    if arguments.layer:
        expected["layers"] = arguments.layer
    if run.images:
        expected["branch"] = options.branch
    return expected


def ask(run, names, axis, arguments, options, tallies):
    """The answers by metric: all in one call, or one by one where moetop refuses some."""
    asked = ["analyze", run.name, "--by", axis or "layer", "--json", "--threshold", options.threshold, "--as", options.form,
             "--null", options.draws, "--top", options.top]
    asked += ["--ci"] if options.ci else []
    asked += ["--filter", arguments.filter] if arguments.filter else []
    asked += ["--layer", arguments.layer] if arguments.layer else []
    asked += ["--branch", options.branch] if run.images else []
    try:
        got = json.loads(moetop(run.binary, *asked, "--metric", ",".join(names)))
        return dict(zip(names, got if isinstance(got, list) else [got], strict=True))
    except Refusal as refusal:
        if len(names) > 1:
            return {k: v for name in names for k, v in ask(run, [name], axis, arguments, options, tallies).items()}
        tallies[names[0], axis].skip(f"refused: {str(refusal).splitlines()[0]}")
        return {}


def check(run, name, axis, got, arguments, options, tally):
    options.answer, options.stated_share = got, got["settings"].get("threshold_share")
    rows, axes = catalogue.of(run)[name]
    is_label = axis not in axes and axis is not None
    key = axes[catalogue.LABEL if is_label else axis]
    expected = {
        "metric": name, "run": run.id, "schema": "moetop.analyze/1", "notes": Skip("words: notes"), "baseline": Skip("words: baseline of a metric"),
        "unit": Skip("words: unit of a metric"), "tokens": run.shown_tokens(options), "settings": settings(name, axis, options, arguments, got["settings"], run),
        key: rows(run, name, axis if axis != "expert" else None, options),
    }
    if axis not in (None, "expert", "token"):
        expected["axis"] = axis
    tally.compare(f"{name} by {axis or 'layer'}", got, expected)


def axes_of(run, wanted):
    labels = sorted({label for one in run.labels for label in one})
    axes = [None, "expert", *(denoising.AXES if run.images else ("token", "position")), *labels]
    return axes if not wanted else [None if a == "layer" else a for a in wanted]


def main(text):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--by", action="append")
    parser.add_argument("--metric")
    parser.add_argument("--filter")
    parser.add_argument("--threshold", default="q0.95")
    parser.add_argument("--as", dest="form", default="standard")
    parser.add_argument("--null", type=int, default=9999)
    parser.add_argument("--branch", type=int, default=0)
    parser.add_argument("--layer")
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--no-ci", dest="ci", action="store_false")
    parser.add_argument("run")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = Run(arguments.moetop, arguments.run, folder, arguments.branch)
            if arguments.filter:
                filters.apply(run, arguments.filter)
            options = Options(arguments, run)
            tallies = {("recorded statistics", None): Tally()}
            columns.check(run, tallies["recorded statistics", None])
            known = catalogue.of(run)
            for axis in axes_of(run, arguments.by):
                names = arguments.metric.split(",") if arguments.metric else known
                names = [n for n in names if axis in known[n][1] or (catalogue.LABEL in known[n][1] and axis not in catalogue.WORDS)]
                tallies |= {(n, axis): Tally() for n in names}
                for name, got in ask(run, names, axis, arguments, options, tallies).items() if names else []:
                    check(run, name, axis, got, arguments, options, tallies[name, axis])
    except (UnknownRun, Refusal) as unknown:
        print(unknown)
        return 1
    return report({name if " " in name else f"{name} by {axis or 'layer'}": tally for (name, axis), tally in tallies.items()})
