"""A trace as Parquet files for DuckDB, pandas or Spark: a file a view, with the view's columns, read page by page.

Columns are named and typed as docs/trace-schema.md has them: INTEGER is int64, REAL is float64, TEXT is a string, and what is not recorded
or not defined is null. Needs pyarrow.
"""
import json
import os
import sqlite3
from itertools import islice
from pathlib import Path

from .errors import RecordError
from .schema import APPLICATION, STEPS

ROW_GROUP = 1 << 17

_PATH = "coalesce(m.path, r.stack || '.' || r.layer)"
_STACK = "coalesce(m.stack, r.stack)"

TOKENS = {
    "run": "t.run", "token": "t.token", "sequence": "t.sequence", "position": "t.position", "token_id": "t.token_id",
    "phase": "CASE t.phase WHEN 0 THEN 'prefill' WHEN 1 THEN 'decode' WHEN 2 THEN 'encode' ELSE 'denoise' END",
    "surprisal": "t.surprisal", "next_token_entropy": "t.next_token_entropy", "text": "p.piece",
    "step": "t.position / (d.patch_rows * d.patch_columns * d.branches)", "timestep": "s.timestep",
    "branch": "t.position / (d.patch_rows * d.patch_columns) % d.branches",
    "patch_row": "t.position % (d.patch_rows * d.patch_columns) / d.patch_columns", "patch_column": "t.position % d.patch_columns",
    "pass": "x.pass", "batch": "x.batch", "predicted_id": "nullif(x.predicted_id, -1)", "request": "o.request", "rank": "o.rank",
    "row": "coalesce(json_extract(u.description, '$.recorded.row'), CASE t.phase WHEN 3 THEN 'patch' ELSE 'token' END)",
}
_TOKENS_FROM = """FROM token AS t JOIN run AS u ON u.id = t.run LEFT JOIN piece AS p ON p.run = t.run AND p.token_id = t.token_id
  LEFT JOIN token_extra AS x ON x.run = t.run AND x.token = t.token LEFT JOIN token_more AS o ON o.run = t.run AND o.token = t.token
  LEFT JOIN denoising AS d ON d.run = t.run
  LEFT JOIN denoising_step AS s ON s.run = t.run AND s.step = t.position / (d.patch_rows * d.patch_columns * d.branches)"""
SEQUENCES = {"run": "run", "sequence": "sequence", "name": "name", "labels": "labels", "tokens": "token_count"}
ROUTERS = {"run": "r.run", "stack": _STACK, "layer": "r.layer", "experts": "r.expert_count", "top_k": "r.top_k", "tokens": "r.token_count",
           "policy": "r.policy", "selection_unit": "r.selection_unit", "spec": "r.spec", "router": _PATH,
           "bank": f"coalesce(json_extract(m.facts, '$.bank'), {_PATH})", "selection": None, "scoring": None, "rule": None, "weight_kind": None,
           "shared_experts": "json_extract(m.facts, '$.sharedExperts')"}
_REAL = {"surprisal", "next_token_entropy", "timestep", "weight", "norm", "entropy", "selection_margin", "top1_margin", "top_k_mass", "shared_weight",
         "shared_norm"}
_TEXT = {"phase", "text", "row", "name", "labels", "stack", "policy", "selection_unit", "spec", "router", "bank", "selection", "scoring", "rule",
         "weight_kind", "parent"}
ROUTING = ("run", "stack", "layer", "token", "rank", "expert", "weight", "dropped", "router", "norm")
STATS = ("run", "stack", "layer", "token", "entropy", "selection_margin", "top1_margin", "top_k_mass", "shared_weight", "shared_norm", "router",
         "state", "parent")


def rule_words(spec: dict) -> dict:
    """What the view `routers` says of a rule: selection, scoring, rule, weight_kind."""
    scoring, selection = next(iter(spec["scoring"])), next(iter(spec["selection"]))
    words = {"scoring": {"sqrtSoftplus": "sqrt_softplus"}.get(scoring, scoring), "selection": {"tokenChoice": "top_k", "aboveThreshold": "threshold"}.get(selection, selection)}
    if scoring == "stated":
        words["scoring"] = spec["scoring"]["stated"]["_0"]
    if selection == "stated":
        words["selection"] = spec["selection"]["stated"]["_0"]
    if selection == scoring == "stated" and words["scoring"] == words["selection"] == "unknown":
        words["rule"] = "unknown"
    else:
        words["rule"] = "declared" if "stated" in (scoring, selection) else "executable"
    return words | {"weight_kind": _weight_kind(spec, scoring)}


def _weight_kind(spec, scoring):
    normalization, weighting = next(iter(spec["normalization"])), spec["weighting"]
    if "statedWeights" in spec:
        return spec["statedWeights"]
    if spec["routedScale"] < 0 or weighting == "scores" and scoring == "logits":
        return "signed"
    if spec["routedScale"] != 1 or "expertScales" in spec or weighting == "ones":
        return "unnormalized"
    if normalization == "pNorm":
        return "probability" if spec["normalization"]["pNorm"]["_0"] == 1 else "unnormalized"
    is_share = normalization != "none" or weighting == "softmaxOfSelectedLogits" or (weighting, scoring) == ("scores", "softmax")
    return "probability" if is_share else "unnormalized"


def to_parquet(trace: str | os.PathLike, folder: str | os.PathLike) -> dict:
    """Writes tokens, routing, stats, sequences and routers of a trace, or of the run of `FILE#RUN`, into a folder.

    Returns the number of rows by file name. Memory: a row group, whatever the size of the trace. Raises RecordError for what is no trace
    at this schema, and where files of these names are there.
    """
    pa, pq = _arrow()
    file, _, run = os.fspath(trace).partition("#")
    db = _open(file)
    runs = [row[0] for row in db.execute("SELECT id FROM run ORDER BY id")]
    if run:
        if not run.isdigit() or int(run) not in runs:
            raise RecordError(os.fspath(trace), f"a run of {', '.join(map(str, runs)) or 'none'}", run, f"{file}#{runs[-1]}" if runs else None)
        runs = [int(run)]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("tokens", "routing", "stats", "sequences", "routers")
    present = [name for name in names if (folder / f"{name}.parquet").exists()]
    if present:
        raise RecordError(str(folder), "a folder without these files", f"{present[0]}.parquet", "another folder")
    # Rows of several tables are of one moment, also while a run is written.
    db.execute("BEGIN")
    pages = _Pages(pa, db, runs)
    sources = {"tokens": (list(TOKENS), _rows(db, TOKENS, _TOKENS_FROM, "t.run", "t.token", runs)),
               "sequences": (list(SEQUENCES), _rows(db, SEQUENCES, "FROM sequence", "run", "sequence", runs)),
               "routers": (list(ROUTERS), _routers(db, runs))}
    counts = {}
    for name, (columns, rows) in sources.items():
        counts[f"{name}.parquet"] = _write(pa, pq, folder / f"{name}.parquet", columns, _groups(pa, columns, rows))
    for name, columns, groups in (("routing", ROUTING, pages.routing()), ("stats", STATS, pages.stats())):
        counts[f"{name}.parquet"] = _write(pa, pq, folder / f"{name}.parquet", columns, groups)
    db.close()
    return counts


def _arrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise RecordError("to-parquet", "pyarrow", "no such package", "pip install pyarrow") from error
    return pyarrow, pyarrow.parquet


def _open(file):
    if not os.path.isfile(file):
        raise RecordError(file, "a trace", "no such file")
    try:
        db = sqlite3.connect(f"{Path(file).resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        application = db.execute("PRAGMA application_id").fetchone()[0]
        steps = {row[0] for row in db.execute("SELECT identifier FROM grdb_migrations")} if application == APPLICATION else set()
    except sqlite3.DatabaseError as error:
        raise RecordError(file, "a trace", f"something else ({error})") from error
    # The last step changed no table: a page may have fewer slots than its router.
    if steps not in (set(STEPS), set(STEPS[:-1])):
        raise RecordError(file, f"a trace at {STEPS[-1]}", f"one with the steps {', '.join(sorted(steps)) or 'of no trace'}",
                          "a newer moetop-record, or a newer moetop that brings the trace up to date")
    return db


def _rows(db, columns, source, run_column, order, runs):
    words = ", ".join(expression for expression in columns.values())
    for run in runs:
        yield from db.execute(f"SELECT {words} {source} WHERE {run_column} = ? ORDER BY {order}", (run,))


def _routers(db, runs):
    columns = {name: expression or "NULL" for name, expression in ROUTERS.items()}
    for row in _rows(db, columns, "FROM router AS r LEFT JOIN router_more AS m ON m.router = r.id", "r.run", "r.id", runs):
        named = dict(zip(ROUTERS, row))
        named.update(rule_words(json.loads(named["spec"])))
        yield tuple(named[name] for name in ROUTERS)


def _type(pa, name):
    return pa.float64() if name in _REAL else pa.string() if name in _TEXT else pa.int64()


def _groups(pa, columns, rows):
    """Record batches of rows as tuples."""
    rows = iter(rows)
    while part := list(islice(rows, ROW_GROUP)):
        values = zip(*part)
        yield [pa.array([word.decode(errors="replace") if isinstance(word, bytes) else word for word in column] if name in _TEXT else column,
                        _type(pa, name)) for name, column in zip(columns, values)]


def _write(pa, pq, path, columns, groups):
    """Writes batches, small ones together. Returns the number of rows."""
    schema = pa.schema([(name, _type(pa, name)) for name in columns])
    partial = path.with_suffix(".partial")
    count, waiting, held = 0, [], 0
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for group in groups:
            batch = pa.record_batch(group, schema=schema)
            waiting.append(batch)
            held += batch.num_rows
            count += batch.num_rows
            if held >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting, held = [], 0
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema))
    partial.rename(path)
    return count


class _Pages:
    """Pages as columns."""

    def __init__(self, pa, db, runs):
        import pyarrow.compute
        self.pa, self.pc, self.db, self.runs = pa, pyarrow.compute, db, runs
        self._places = {}

    def _each(self):
        sql = f"""SELECT r.id, r.run, {_STACK}, r.layer, {_PATH}, r.top_k, r.id_bytes, m.facts FROM router AS r
          LEFT JOIN router_more AS m ON m.router = r.id WHERE r.run = ? ORDER BY r.id"""
        for run in self.runs:
            for router in self.db.execute(sql, (run,)).fetchall():
                pages = self.db.execute(
                    "SELECT p.first_token, p.token_count, p.absent, p.dropped, p.ids, p.weights, p.entropy, p.selection_margin, p.top1_margin, "
                    "p.top_k_mass, x.norms, x.shared_weight, x.shared_norm FROM page AS p LEFT JOIN page_extra AS x ON x.page = p.id "
                    "WHERE p.router = ? ORDER BY p.first_token", (router[0],))
                for page in pages:
                    yield router, page

    def _grid(self, n, k):
        """(row, slot) of each slot of n rows."""
        if (n, k) not in self._places:
            if len(self._places) > 64:
                self._places.clear()
            self._places[n, k] = (self.pa.array([row for row in range(n) for _ in range(k)], self.pa.int64()), self.pa.array(list(range(k)) * n,
                                                                                                                             self.pa.int64()))
        return self._places[n, k]

    def _same(self, value, count, kind):
        return self.pa.repeat(self.pa.scalar(value, kind), count)

    def _reals(self, blob, count):
        """f32 or f16 as f64, NaN as null."""
        pa, pc = self.pa, self.pc
        if blob is None:
            return pa.nulls(count, pa.float64())
        kind = pa.float32() if len(blob) == 4 * count else pa.float16()
        values = pa.Array.from_buffers(kind, count, [None, pa.py_buffer(blob)]).cast(pa.float64())
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)

    def _bits(self, blob, count):
        return self.pa.Array.from_buffers(self.pa.bool_(), count, [None, self.pa.py_buffer(blob)])

    def routing(self):
        pa, pc = self.pa, self.pc
        for (_, run, stack, layer, path, _, width, _), page in self._each():
            first, n, absent, dropped, ids, weights, *_, norms, _, _ = page
            # A page has as many slots as one of its rows fills.
            k = len(ids) // (n * width)
            slots = n * k
            rows, ranks = self._grid(n, k)
            kind = {1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32()}[width]
            columns = [self._same(run, slots, pa.int64()), self._same(stack, slots, pa.string()), self._same(layer, slots, pa.int64()),
                       pc.add(rows, first), ranks, pa.Array.from_buffers(kind, slots, [None, pa.py_buffer(ids)]).cast(pa.int64()),
                       self._reals(weights, slots),
                       self._same(0, slots, pa.int64()) if dropped is None else self._bits(dropped, slots).cast(pa.int64()),
                       self._same(path, slots, pa.string()), self._reals(norms, slots)]
            if absent is not None:
                kept = pc.invert(self._bits(absent, slots))
                columns = [column.filter(kept) for column in columns]
            yield columns

    def stats(self):
        pa = self.pa
        for (_, run, stack, layer, path, _, _, facts), page in self._each():
            first, n, _, _, _, _, entropy, margin, top1, mass, _, shared_weight, shared_norm = page
            facts = json.loads(facts) if facts else {}
            yield [self._same(run, n, pa.int64()), self._same(stack, n, pa.string()), self._same(layer, n, pa.int64()),
                   pa.array(range(first, first + n), pa.int64()), *(self._reals(blob, n) for blob in (entropy, margin, top1, mass, shared_weight, shared_norm)),
                   self._same(path, n, pa.string()), self._states(facts.get("states"), first, n), self._same(facts.get("parent"), n, pa.string())]

    def _states(self, states, first, n):
        if not states:
            return self.pa.nulls(n, self.pa.int64())
        starts = [state["firstToken"] for state in states]
        return self.pa.array([sum(start <= token for start in starts) for token in range(first, first + n)], self.pa.int64())
