"""What `moetop import` holds against routing records of other engines, written a second time: the rules that
make_foreign_cases.py plants against, and that its fixtures are checked with.

Ids come as one array [rows, layers, k] a sequence. A rule accuses only what a sound record cannot show: either it is
impossible (an expert twice in a row), or its evidence, the sum of -ln p over what differs, is at least EVIDENCE nats.
Rows that repeat count once, so that a text which loops accuses nobody.
"""
from math import comb, lgamma, log

import numpy as np

EVIDENCE = 25.0      # nats: a sound record shows it once in 7e10
FAULTS = ["truncated", "length_mismatch", "missing_last", "wrong_k", "shifted_layers", "zero_rows", "physical_ids",
          "out_of_range", "duplicate_expert", "partition", "equal_rows"]
WARNINGS = ["shared_slot", "padded", "unknown_rows", "unsorted", "probabilities"]


def falling(experts, k):
    """ln of the number of ordered choices of k from `experts`."""
    return lgamma(experts + 1) - lgamma(experts - k + 1)


def is_dealt(row, experts):
    """Whether the ids are a, a+1, … a+k-1 modulo the number of experts, in that order."""
    return all((int(row[j]) - int(row[0]) - j) % experts == 0 for j in range(1, len(row)))


def is_padding(sequence, row, experts, k):
    """Whether a last row is one of those that trainers append: zeros, the row before it, 0…k-1, or a count through all cells."""
    last, layers = sequence[row], sequence.shape[1]
    count = (np.arange(layers * k).reshape(layers, k) % experts) if experts else None
    return bool(not last.any() or (row > 0 and (last == sequence[row - 1]).all()) or (last == np.arange(k)).all()
                or (count is not None and (last == count).all()))


def dealt_rows(sequences, experts):
    """Rows that count through the experts in every layer, as unset or appended memory does, by sequence."""
    found = []
    for sequence in sequences:
        rows, layers, k = sequence.shape
        accused = set()
        if k >= 2 and experts > k and rows >= 2:
            consecutive = [all(is_dealt(sequence[r, l], experts) for l in range(layers)) for r in range(rows)]
            first = sequence[:, :, 0].astype(int)
            r = 0
            while r < rows - 1:
                if not (consecutive[r] and consecutive[r + 1]):
                    r += 1
                    continue
                steps = (first[r + 1] - first[r]) % experts
                end = r + 1
                while end + 1 < rows and consecutive[end + 1] and ((first[end + 1] - first[end]) % experts == steps).all():
                    end += 1
                evidence = sum(len(set(first[r:end + 1, l])) for l in range(layers)) * (falling(experts, k) - log(experts))
                if steps.any() and evidence >= EVIDENCE:
                    accused.update(range(r, end + 1))
                r = end
        found.append(accused)
    return found


def dealt_windows(sequences, experts):
    """Sequences whose consecutive rows deal out all experts once, window by window, in every layer: sorted lists read as choices."""
    accused = [set() for _ in sequences]
    k = sequences[0].shape[2]
    if experts % k or experts // k < 2:
        return accused
    length = experts // k
    surprise = sum(log(comb(experts, k)) for _ in range(length)) - (lgamma(experts + 1) - length * lgamma(k + 1))
    for index, sequence in enumerate(sequences):
        windows = len(sequence) // length
        evidence, all_dealt = 0.0, windows > 0
        for l in range(sequence.shape[1]):
            seen = set()
            for w in range(windows):
                cells = sequence[w * length:(w + 1) * length, l].astype(int).reshape(-1)
                all_dealt &= len(set(cells)) == experts
                seen.add(tuple(cells))
            evidence += len(seen) * surprise
        if all_dealt and evidence >= EVIDENCE:
            accused[index].update(range(windows * length))
    return accused


def judge(sequences, layers, experts=None, top_k=None, model_layers=None, tokens=None, last=1, slack=0, format_pads=False):
    """The audit of arrays of ids.

    - layers: the number of each column of the layer axis.
    - experts, top_k: of the model or the options, None: not known. model_layers: which layers have a router.
    - tokens: token ids (or only their number) of each sequence; last: how many rows the format leaves out at the end;
      slack: how many more it may leave out, as when the last generated token was never read.
    - format_pads: the format always appends a row there.
    Gives ({(code, router or None): (count, of)}, notes, rows by sequence, routers as (layer, experts, k), unknown by router).
    """
    sequences = [np.asarray(s).astype(int) for s in sequences]
    counts, notes = {}, set()

    def say(code, layer, count, of):
        if count:
            counts[code, None if layer is None else f"ffn.{layer}"] = (int(count), int(of))

    if layers is None:
        layers = list(range(sequences[0].shape[1]))
        if model_layers and len(layers) == len(model_layers):
            layers = list(model_layers)
        elif not model_layers:
            notes.add("layers_guessed")
    # Columns beyond the experts: slots of shared experts, or padding of the axis.
    flat = np.concatenate(sequences)
    routed = [i for i in range(len(layers)) if flat[:, i].any()]
    width = flat.shape[2]
    while width > 1 and len(flat) and routed:
        column = flat[:, routed, width - 1]
        value = column.flat[0]
        impossible = value < 0 or (experts is not None and value >= experts)
        if not (column == value).all() or not (impossible or value == 255 and (column.size - 1) * log(256) >= EVIDENCE):
            break
        if (flat[:, routed, :width - 1] == value).all():
            break
        width -= 1
        code = "padded" if value == -1 else "shared_slot"
        for i in routed:
            say(code, layers[i], len(flat), len(flat))
    sequences = [s[:, :, :width] for s in sequences]

    # Rows against tokens.
    lost = set()
    for index, sequence in enumerate(sequences):
        if tokens is None:
            notes.add("length_unchecked")
            continue
        length = tokens[index] if isinstance(tokens[index], int) else len(tokens[index])
        expected = length - last
        rows = len(sequence)
        if rows == expected + 1 and last == 1 and is_padding(sequence, rows - 1, experts, width):
            sequences[index] = sequence[:-1]
            if not format_pads:
                count, of = counts.get(("padded", None), (0, 0))
                counts["padded", None] = (count + 1, of + rows)
        elif slack and expected - slack <= rows < expected:
            notes.add("no_last_token")
        elif rows == expected - slack - 1:
            count, _ = counts.get(("missing_last", None), (0, 0))
            counts["missing_last", None] = (count + 1, len(sequences))
        elif rows > expected and all((r == np.arange(width)).all() for r in sequence[expected:]) and last == 1:
            sequences[index] = sequence[:expected]
            count, of = counts.get(("padded", None), (0, 0))
            counts["padded", None] = (count + rows - expected - (1 if format_pads else 0), of + rows)
        elif rows not in (expected, expected + last):
            count, of = counts.get(("length_mismatch", None), (0, 0))
            counts["length_mismatch", None] = (count + rows, of + rows)
            lost.add(index)
    if last == 1:
        notes.add("no_last_token")
    total = sum(len(s) for s in sequences)
    flat = np.concatenate(sequences)

    # Layers that are not routed.
    live = []
    for i, layer in enumerate(layers):
        empty = not flat[:, i].any() and width > 1 or (flat[:, i] == -1).all()
        if model_layers is not None and layer not in model_layers:
            if empty:
                notes.add("dense_layers")
            else:
                say("shifted_layers", layer, total, total)
        elif empty and model_layers is None and flat.any():
            notes.add("dense_layers")
        else:
            live.append(i)
    if any(code == "shifted_layers" for code, _ in counts):   # the model's own routers have no route that can be trusted
        return finish(sequences, counts, notes, model_layers, range(len(model_layers)), width, experts, lost, total, everything=True)
    if experts is None:
        notes.add("experts_guessed")
        known = flat[:, live]
        guess = int(known.max()) + 1 if known.size else 0
    guess = guess if experts is None else experts
    k = width
    if top_k is not None and k != top_k:
        for i in live:
            say("wrong_k", layers[i], total, total)
        return finish(sequences, counts, notes, layers, live, width, experts or guess, lost, total, everything=True)

    bad = {i: set() for i in live}
    offsets = np.cumsum([0] + [len(s) for s in sequences])
    for index in lost:
        for i in live:
            bad[i].update(range(offsets[index], offsets[index + 1]))

    def accuse(code, i, rows):
        rows = [r for r in rows if r not in bad[i]]
        say(code, layers[i], len(rows), total)
        bad[i].update(rows)

    for i in live:
        ids = flat[:, i]
        accuse("unknown_rows", i, np.flatnonzero((ids == -1).all(axis=1)))
        if k > 1:
            accuse("zero_rows", i, np.flatnonzero((ids == 0).all(axis=1)))
    beyond = {i: ((flat[:, i] >= guess) & (flat[:, i] < 2 * guess)).sum() for i in live}
    outside = {i: ((flat[:, i] >= 2 * guess) | ((flat[:, i] < 0) & ~(flat[:, i] == -1).all(axis=1, keepdims=True))).sum() for i in live}
    physical = live and all(beyond[i] >= 0.01 * total * k for i in live) and not any(outside.values())
    for i in live:
        ids = flat[:, i]
        if physical:
            accuse("physical_ids", i, range(total))
        accuse("out_of_range", i, np.flatnonzero((ids >= guess).any(axis=1) | (ids < 0).any(axis=1)))
        accuse("duplicate_expert", i, [r for r in range(total) if len(set(ids[r])) < k])
    usable = [s[:, live] for s in sequences]
    if live and total and not physical:
        for rule in (dealt_rows, dealt_windows):
            for index, rows in enumerate(rule(usable, guess)):
                for i in live:
                    accuse_at = [offsets[index] + r for r in rows]
                    fresh = [r for r in accuse_at if r not in bad[i]]
                    if fresh:
                        count, _ = counts.get(("partition", f"ffn.{layers[i]}"), (0, 0))
                        say("partition", layers[i], count + len(fresh), total)
                        bad[i].update(fresh)
        distinct = len({t for s in tokens for t in s}) if tokens is not None and not isinstance(tokens[0], int) else None
        if len(live) >= 2 and k < guess and total >= 33 and (distinct is None or distinct >= 16) and not any(bad.values()):
            if all((flat[:, i] == flat[0, i]).all() for i in live):
                for i in live:
                    accuse("equal_rows", i, range(total))
    clean = [r for r in range(total) if not any(r in bad[i] for i in live)]
    if k >= 2 and clean:
        rows = flat[clean][:, live]
        distinct_rows = len({tuple(r) for i in range(len(live)) for r in rows[:, i]})
        if (np.diff(rows, axis=2) > 0).all() and distinct_rows * lgamma(k + 1) >= EVIDENCE:
            for i in live:
                say("unsorted", layers[i], len(clean), total)
    return finish(sequences, counts, notes, layers, live, width, guess, lost, total, bad=bad)


def finish(sequences, counts, notes, layers, live, width, experts, lost, total, bad=None, everything=False):
    unknown = {f"ffn.{layers[i]}": total if everything else len(bad[i]) for i in live}
    experts = max(experts, width)                              # a row of k different experts: there are k at least
    return (counts, notes, [len(s) for s in sequences], [(layers[i], experts, width) for i in live],
            {name: count for name, count in unknown.items() if count})


def audit_of(counts):
    """The counts as the rows of an answer."""
    rows = [{"code": code, "severity": "fault" if code in FAULTS else "warning", "router": router, "count": count, "of": of}
            for (code, router), (count, of) in counts.items()]
    order = {code: index for index, code in enumerate(FAULTS + WARNINGS)}
    return sorted(rows, key=lambda row: (order[row["code"]], row["router"] or ""))

