"""The tables of a trace at schema trace-9, and a file that has them. docs/trace-format.md is the source; a test compares both."""
import math
import os
import sqlite3

from .errors import RecordError

APPLICATION = 1836017012
STEPS = tuple(f"trace-{step}" for step in range(1, 10))

TABLES = """\
CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
CREATE TABLE run (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  tags TEXT NOT NULL,
  description TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  started_at REAL NOT NULL,
  ended_at REAL,
  heartbeat REAL NOT NULL,
  process INTEGER NOT NULL,
  host TEXT NOT NULL,
  token_count INTEGER NOT NULL DEFAULT 0,
  stored_bytes INTEGER NOT NULL DEFAULT 0,
  token_checksum INTEGER,
  router_checksum INTEGER,
  word_checksum INTEGER
);
CREATE TABLE sequence (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  sequence INTEGER NOT NULL,
  name TEXT NOT NULL,
  labels TEXT NOT NULL,
  token_count INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, sequence)
) WITHOUT ROWID;
CREATE TABLE token (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  position INTEGER NOT NULL,
  token_id INTEGER NOT NULL,
  phase INTEGER NOT NULL,
  surprisal REAL,
  next_token_entropy REAL,
  PRIMARY KEY (run, token)
) WITHOUT ROWID;
CREATE TABLE piece (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token_id INTEGER NOT NULL,
  piece BLOB NOT NULL,
  PRIMARY KEY (run, token_id)
) WITHOUT ROWID;
CREATE TABLE router (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  layer INTEGER NOT NULL,
  stack TEXT NOT NULL,
  expert_count INTEGER NOT NULL,
  top_k INTEGER NOT NULL,
  id_bytes INTEGER NOT NULL,
  weight_bytes INTEGER NOT NULL,
  logit_bytes INTEGER NOT NULL,
  page_tokens INTEGER NOT NULL DEFAULT 0,
  log_expert_count REAL NOT NULL,
  selection_unit TEXT NOT NULL,
  policy TEXT NOT NULL,
  spec TEXT NOT NULL,
  token_count INTEGER NOT NULL DEFAULT 0,
  assignments INTEGER NOT NULL DEFAULT 0,
  dropped INTEGER NOT NULL DEFAULT 0,
  importance_tokens INTEGER NOT NULL DEFAULT 0,
  entropy_sum REAL NOT NULL DEFAULT 0,
  entropy_tokens INTEGER NOT NULL DEFAULT 0,
  selection_margin_sum REAL NOT NULL DEFAULT 0,
  selection_margin_tokens INTEGER NOT NULL DEFAULT 0,
  top1_margin_sum REAL NOT NULL DEFAULT 0,
  top1_margin_tokens INTEGER NOT NULL DEFAULT 0,
  top_k_mass_sum REAL NOT NULL DEFAULT 0,
  top_k_mass_tokens INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run, layer, stack)
);
CREATE TABLE page (
  id INTEGER PRIMARY KEY,
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  first_token INTEGER NOT NULL,
  token_count INTEGER NOT NULL,
  squared_lse REAL,
  absent BLOB,
  dropped BLOB,
  ids BLOB NOT NULL,
  weights BLOB,
  entropy BLOB,
  selection_margin BLOB,
  top1_margin BLOB,
  top_k_mass BLOB,
  importance BLOB,
  logit_rows BLOB,
  logits BLOB,
  checksum INTEGER,
  decision_checksum INTEGER
);
CREATE UNIQUE INDEX page_by_token ON page (router, first_token);
CREATE TABLE expert_total (
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  expert INTEGER NOT NULL,
  assignments INTEGER NOT NULL,
  weight_sum REAL,
  importance_sum REAL,
  PRIMARY KEY (router, expert)
) WITHOUT ROWID;
CREATE TABLE capture_check (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  name TEXT NOT NULL,
  outcome TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE number (number INTEGER PRIMARY KEY);
CREATE TABLE decoder (bytes BLOB NOT NULL);
CREATE TABLE float_scale (exponent INTEGER PRIMARY KEY, leading INTEGER NOT NULL, scale REAL NOT NULL);
CREATE TABLE denoising (
  run INTEGER PRIMARY KEY REFERENCES run ON DELETE CASCADE,
  branches INTEGER NOT NULL,
  patch_rows INTEGER NOT NULL,
  patch_columns INTEGER NOT NULL
);
CREATE TABLE denoising_step (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  step INTEGER NOT NULL,
  timestep REAL NOT NULL,
  PRIMARY KEY (run, step)
) WITHOUT ROWID;
CREATE TABLE denoising_group (
  id INTEGER PRIMARY KEY,
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  branch INTEGER NOT NULL,
  sample_group INTEGER NOT NULL,
  steps BLOB NOT NULL,
  patches BLOB NOT NULL,
  UNIQUE (router, branch, sample_group)
);
CREATE TABLE denoising_weight (
  id INTEGER PRIMARY KEY,
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  branch INTEGER NOT NULL,
  steps BLOB NOT NULL,
  patches BLOB NOT NULL,
  UNIQUE (router, branch)
);
CREATE TABLE denoising_sample (
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  branch INTEGER NOT NULL,
  sample INTEGER NOT NULL,
  counts BLOB NOT NULL,
  weights BLOB NOT NULL,
  PRIMARY KEY (router, branch, sample)
) WITHOUT ROWID;
CREATE TABLE page_extra (
  page INTEGER PRIMARY KEY REFERENCES page ON DELETE CASCADE,
  norms BLOB,
  shared_weight BLOB,
  shared_norm BLOB
);
CREATE TABLE token_extra (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  pass INTEGER,
  batch INTEGER,
  predicted_id INTEGER,
  PRIMARY KEY (run, token)
) WITHOUT ROWID;
CREATE TABLE expert_label (
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  expert INTEGER NOT NULL,
  label TEXT NOT NULL,
  PRIMARY KEY (router, expert)
) WITHOUT ROWID;
CREATE TABLE router_more (
  router INTEGER PRIMARY KEY REFERENCES router ON DELETE CASCADE,
  path TEXT NOT NULL,
  stack TEXT NOT NULL,
  facts TEXT NOT NULL
);
CREATE TABLE token_more (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  request INTEGER,
  rank INTEGER,
  PRIMARY KEY (run, token)
) WITHOUT ROWID;
CREATE TABLE token_label (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  label TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run, token, label)
) WITHOUT ROWID;
CREATE TABLE coordinate (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  name TEXT NOT NULL,
  value REAL NOT NULL,
  PRIMARY KEY (run, token, name)
) WITHOUT ROWID;
CREATE TABLE import_finding (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  number INTEGER NOT NULL,
  code TEXT NOT NULL,
  severity TEXT NOT NULL,
  router TEXT,
  count INTEGER NOT NULL,
  "of" INTEGER NOT NULL,
  first TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
"""


def connect(file: str) -> sqlite3.Connection:
    """A connection that decides itself where transactions begin."""
    db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=30)
    db.execute("PRAGMA foreign_keys = ON")
    return db


def open_trace(file: str | os.PathLike) -> sqlite3.Connection:
    """Opens a trace to add a run to it, or makes the file.

    Raises RecordError for a file that is no trace, or one of another schema: nothing is changed in it.
    """
    file = os.fspath(file)
    folder = os.path.dirname(os.path.abspath(file))
    if not os.path.isdir(folder):
        raise RecordError(file, "a folder to write to", f"no folder {folder}", "make the folder first")
    if os.path.exists(file) and os.path.getsize(file) > 0:
        return _existing(file)
    db = connect(file)
    for pragma in ("page_size = 4096", "auto_vacuum = INCREMENTAL", f"application_id = {APPLICATION}", "journal_mode = WAL"):
        db.execute("PRAGMA " + pragma)
    db.execute("PRAGMA synchronous = NORMAL")
    db.executescript("BEGIN;" + TABLES)
    db.executemany("INSERT INTO grdb_migrations VALUES (?)", [(step,) for step in STEPS])
    db.execute("INSERT INTO decoder VALUES (?)", (bytes(range(256)),))
    db.executemany("INSERT INTO float_scale VALUES (?, ?, ?)", [
        (e, 1 << 23 if e else 0, math.inf if e == 255 else 2.0 ** (max(e, 1) - 150)) for e in range(256)])
    db.execute("COMMIT")
    return db


def _existing(file: str) -> sqlite3.Connection:
    advice = "another file name"
    try:
        db = connect(file)
        application = db.execute("PRAGMA application_id").fetchone()[0]
        steps = {row[0] for row in db.execute("SELECT identifier FROM grdb_migrations")} if application == APPLICATION else set()
    except sqlite3.DatabaseError as error:
        raise RecordError(file, "a trace, or no file", f"something else ({error})", advice) from error
    if application == APPLICATION and steps == set(STEPS):
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        return db
    db.close()
    if application != APPLICATION:
        raise RecordError(file, "a trace, or no file", "another SQLite database", advice)
    newer = sorted(steps - set(STEPS))
    found = f"one of a newer moetop ({', '.join(newer)})" if newer else f"one of an older moetop ({max(steps, default='no step')})"
    raise RecordError(file, f"a trace at {STEPS[-1]}", found,
                      "a newer moetop-record" if newer else "`moetop runs tag` on it, which brings it up to date, or another file name")
