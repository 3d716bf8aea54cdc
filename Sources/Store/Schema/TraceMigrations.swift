// The tables of a trace and the named steps that lead to them. Tables are private: programs read the views of `TraceViews`. A step,
// once released, is never edited; a new need is a new step at the end, and a dump of every released schema stays in the fixtures of
// the tests so that each step is tried on real old files.

import Foundation
import GRDB

enum TraceMigrations {
  /// Marks a SQLite file as a trace (`PRAGMA application_id`): "moet".
  static let applicationID: Int32 = 0x6d6f_6574

  /// Names of the steps, oldest first.
  static var names: [String] { migrator.migrations }

  /// The step from which on a trace has all tables that a reader cannot do without.
  static let enoughToRead = "trace-6"

  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("trace-1") { db in
      try db.execute(sql: tables1)
      try db.execute(sql: "PRAGMA application_id = \(applicationID)")
      try db.execute(literal: "INSERT INTO decoder VALUES (\(Data((0...255).map { UInt8($0) })))")
      for exponent in 0...255 {
        try db.execute(literal: "INSERT INTO float_scale VALUES (\(exponent), \(exponent == 0 ? 0 : 1 << 23), \(floatScale(exponent)))")
      }
    }
    migrator.registerMigration("trace-2") { db in try db.execute(sql: tables2) }
    migrator.registerMigration("trace-3") { db in try db.execute(sql: columns3) }
    migrator.registerMigration("trace-4") { db in try db.execute(sql: columns4) }
    // No table changes: the views of runs say rules, and a program that does not know of them would take what they did for the model's own.
    migrator.registerMigration("trace-5") { _ in }
    migrator.registerMigration("trace-6") { db in try db.execute(sql: tables6) }
    migrator.registerMigration("trace-7") { db in try db.execute(sql: tables7) }
    migrator.registerMigration("trace-8") { db in try db.execute(sql: tables8) }
    // No table changes: a page may have fewer slots a token than its router, as many as the length of its ids says.
    migrator.registerMigration("trace-9") { _ in }
    return migrator
  }

  /// What the mantissa of an f32 with this exponent counts, 2^(exponent - 150); infinite where the number is.
  static func floatScale(_ exponent: Int) -> Double {
    exponent == 255 ? .infinity : scalbn(1.0, min(max(exponent, 1), 255) - 150)
  }

  // Why packed pages over a rowid table, with a page size of 4 KiB:
  // - One row per activation would cost 13.5 kB a token at 48 layers, top-8. A row here is one router over some hundred consecutive
  //   tokens, so keys and headers (about 40 bytes) vanish beside its tens of kilobytes.
  // - SQLite keeps a large row as full overflow pages and leaves only the remainder (0.5 to 4 kB with 4 KiB pages) in the tree, so the
  //   waste is at most a few kB per row; with 16 KiB pages it would be four times that, and each of the dozen small tables would take
  //   16 KiB in a trace of a few hundred tokens. In a WITHOUT ROWID tree the last overflow page of each row would be half empty.
  // - Small columns stand first: SQLite follows the overflow chain only as far as the column that is asked for, so a view that reads
  //   ids and weights never touches the raw logits.
  // - Rows get rising ids in the order of writing: the tree grows at its right edge, and its leaves are full.
  private static let tables1 = """
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
      stored_bytes INTEGER NOT NULL DEFAULT 0
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
      logits BLOB
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
    -- Helpers of the views: 0...n-1; the 256 byte values in order; 2^(exponent - 150) and the leading bit of an f32.
    CREATE TABLE number (number INTEGER PRIMARY KEY);
    CREATE TABLE decoder (bytes BLOB NOT NULL);
    CREATE TABLE float_scale (exponent INTEGER PRIMARY KEY, leading INTEGER NOT NULL, scale REAL NOT NULL);
    """

  // Denoising runs: the layout that places rows, and counts by step, patch and sample. Group tables are u32 `[steps or patches, experts]`,
  // weights f64 of the same shapes, samples u32 and f32 `[experts]`. A commit rewrites the groups that got a sample and adds its samples.
  private static let tables2 = """
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
    """

  // CRC-32 of what was written, NULL where an older moetop wrote it:
  // - of a page: its blobs in the order of the columns, `absent` to `logits`, one after the other, NULL as nothing;
  // - of its decisions: the same blobs up to `importance`, then first_token and token_count (i64) and squared_lse (f64, NaN for NULL), all
  //   little-endian: what is read when nobody asks for logits;
  // - of the tokens of a run, in their order: sequence, position, token_id (i32), phase (u8), surprisal, next_token_entropy (f32, NaN for
  //   NULL), little-endian without gaps.
  // They stand last, where a column can be added to a table that is full; SQLite finds its way past the logits by its page map.
  private static let columns3 = """
    ALTER TABLE page ADD COLUMN checksum INTEGER;
    ALTER TABLE page ADD COLUMN decision_checksum INTEGER;
    ALTER TABLE run ADD COLUMN token_checksum INTEGER;
    """

  // Sums, modulo 2^32, of the CRC-32 of rows, NULL where an older moetop wrote the run. In a row numbers are i64 and texts stand behind
  // their length in bytes, an i64, all little-endian:
  // - of routers: place among the routers of the run in the order of their ids, from 0; layer, stack, expert_count, top_k, spec;
  // - of words: sequence, name, labels of each sequence; token_id and piece of each piece.
  private static let columns4 = """
    ALTER TABLE run ADD COLUMN router_checksum INTEGER;
    ALTER TABLE run ADD COLUMN word_checksum INTEGER;
    """

  // What is recorded on request only, apart from the rows that every run has, which would grow by a byte a column: norms are f32
  // `[token_count, top_k]`, what is said of the shared expert f32 `[token_count]`, numbers of tokens as they are (predicted_id -1: no logit
  // was computed; NULL in all rows of a run that does not keep it). Checksums of pages that have such blobs: that of the page has them behind
  // `logits`, that of the decisions behind `importance`, norms to shared_norm. That of tokens has those of pass, batch and predicted_id (i32) that
  // the run keeps behind next_token_entropy.
  private static let tables6 = """
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
    """

  // What people call an expert. It says nothing about the capture and has no checksum.
  private static let tables7 = """
    CREATE TABLE expert_label (
      router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
      expert INTEGER NOT NULL,
      label TEXT NOT NULL,
      PRIMARY KEY (router, expert)
    ) WITHOUT ROWID;
    """

  // What records of other engines and of other kinds of routers say, in tables that a plain run has no row in:
  // - router_more: of a router that is not a plain one of a plain stack. `path` and `stack` are what the views say, where `router.stack` is
  //   the path without its layer; `facts` is JSON (bank, parent, states, experts …). Both count in the checksum of routers, behind spec.
  // - token_more, token_label, coordinate: of single rows. import_finding: what an import found.
  private static let tables8 = """
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
}
