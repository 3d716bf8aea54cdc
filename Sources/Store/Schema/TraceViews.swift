// The views of a trace, one entry each: meaning, columns, and the SELECT behind it. The SELECTs walk from the token to its router to its
// page with CROSS JOIN, which SQLite never reorders: a constraint on run, layer and token then costs three index look-ups, whatever
// the size of the trace.

extension TraceSchema {
  public static let views: [View] = [
    View(
      name: "runs", meaning: "One row per run.",
      columns: [
        Column("run", .integer, "Id of the run; never given twice in one file."),
        Column("name", .text, "Name given by the user, or made from model and time."),
        Column(
          "state", .text,
          "running, completed, stopped (by the user), failed, or interrupted: without a sign of life for a minute. SQL cannot ask whether the "
            + "process is still there; the commands do, and call a run interrupted as soon as it is gone."),
        Column("reason", .text, "Why the run failed; NULL otherwise."),
        Column("started_at", .real, unit: "seconds since 1970", "When the run began."),
        Column("ended_at", .real, unit: "seconds since 1970", "When it ended; NULL while it runs and when it was interrupted."),
        Column("tokens", .integer, "Tokens recorded so far."),
        Column("sequences", .integer, "Sequences with at least one token."),
        Column("tags", .text, "JSON array of tags."),
        Column("model", .text, "Name of the model."),
        Column("family", .text, "Architecture, as its configuration spells it."),
        Column("model_hash", .text, "SHA-256 over the weight files; empty when unknown."),
        Column("quantization", .text, "Element type that most bytes of the weights have."),
        Column("input", .text, "Where the input came from."),
        Column("recording", .text, "What is stored of each decision: ids, weights, full; counts: none, only denoising_counts."),
        Column("description", .text, "All provenance as JSON."),
        Column("parent", .integer, "The run in this trace that this one is a variant of; NULL where it is none."),
        Column("intervention", .text, "Rules that changed its routing; NULL where the routers decided by themselves."),
        Column("series", .text, "Name that runs share which belong together; NULL without one."),
        Column(
          "kind", .text,
          "Who recorded it: engine (moetop's own), recorder (a program that ran the model), import (another engine's record) or merged."),
        Column("row", .text, "What a row of it is: token, patch, frame, sample, task, step, node or user."),
        Column("source_format", .text, "The format it was imported from; NULL for all others."),
        Column("origin", .text, "The file, or FILE#RUN, it was imported or copied from; NULL for all others."),
      ],
      example: "SELECT run, name, state, tokens FROM runs ORDER BY run DESC",
      select: """
        SELECT r.id, r.name,
          CASE WHEN r.state = 'running' AND r.heartbeat < (julianday('now') - 2440587.5) * 86400 - 60 THEN 'interrupted' ELSE r.state END,
          r.reason, r.started_at, r.ended_at, r.token_count,
          (SELECT count(*) FROM sequence AS s WHERE s.run = r.id AND s.token_count > 0),
          r.tags, json_extract(r.description, '$.model.name'), json_extract(r.description, '$.model.family'),
          json_extract(r.description, '$.model.filesHash'), json_extract(r.description, '$.model.quantization'),
          json_extract(r.description, '$.input.source'), json_extract(r.description, '$.recording.content'), r.description,
          json_extract(r.description, '$.parent'), json_extract(r.description, '$.intervention'), json_extract(r.description, '$.series'),
          coalesce(json_extract(r.description, '$.recorded.kind'), 'engine'),
          coalesce(json_extract(r.description, '$.recorded.row'),
            CASE WHEN json_type(r.description, '$.denoising') IS NULL THEN 'token' ELSE 'patch' END),
          json_extract(r.description, '$.recorded.format'), json_extract(r.description, '$.recorded.source')
        FROM run AS r
        """),
    View(
      name: "sequences", meaning: "One row per sequence of a run: a document, a prompt, a list of ids.",
      columns: [
        run,
        Column("sequence", .integer, "0-based number in the run."),
        Column("name", .text, "Name of the sequence."),
        Column("labels", .text, "JSON object of its labels."),
        Column("tokens", .integer, "Tokens recorded so far."),
      ],
      example: "SELECT sequence, name, tokens FROM sequences WHERE run = 1",
      select: "SELECT run, sequence, name, labels, token_count FROM sequence"),
    View(
      name: "sequence_labels", meaning: "One row per label of a sequence.",
      columns: [
        run,
        Column("sequence", .integer, "0-based number in the run."),
        Column("label", .text, "The axis, e.g. domain."),
        Column("value", .text, "Where the sequence stands on it, e.g. code."),
      ],
      example: "SELECT value, count(*) FROM sequence_labels WHERE run = 1 AND label = 'domain' GROUP BY value",
      select: "SELECT s.run, s.sequence, j.key, j.value FROM sequence AS s CROSS JOIN json_each(s.labels) AS j"),
    View(
      name: "tokens", meaning: "One row per token fed to the model.",
      columns: [
        run, token,
        Column("sequence", .integer, "The sequence it belongs to."),
        Column("position", .integer, "0-based place in the sequence."),
        Column("token_id", .integer, "Vocabulary id."),
        Column(
          "phase", .text,
          "prefill (given by the user), decode (sampled and fed back), encode (fed to the encoder) or denoise (a patch of an image)."),
        Column("surprisal", .real, unit: "nat", "-ln of the probability the model gave this token before it saw it."),
        Column("next_token_entropy", .real, unit: "nat", "Entropy of the model's distribution over the following token."),
        Column("text", .text, "The token as text; may be a part of a character."),
        Column("step", .integer, "Denoising: 0-based step in order of execution; NULL for text, like the four that follow."),
        Column("timestep", .real, "Denoising: the model's own t of the step."),
        Column("branch", .integer, "Denoising: 0 conditional, 1 unconditional."),
        Column("patch_row", .integer, "Denoising: row of the patch in the image, 0-based from the top."),
        Column("patch_column", .integer, "Denoising: column of the patch in the image, 0-based from the left."),
        Column("pass", .integer, "0-based number of the forward pass in the run; NULL without --record +passes."),
        Column(
          "batch", .integer,
          "0-based number of the batch: a text that was read (or --batch of them), a prompt, one generated token, or a sample of a denoising "
            + "step; NULL without --record +passes."),
        Column(
          "predicted_id", .integer,
          "Vocabulary id with the largest logit behind the token; NULL without --record +predicted, and in an encoder."),
        Column("request", .integer, "Number of the request it came with; NULL where none was recorded."),
        Column("rank", .integer, "Process that decided on it; NULL where none was recorded. Beside routing, write routing.rank for that."),
        Column("row", .text, "What the row is, as runs.row says."),
      ],
      example: "SELECT token, text, surprisal FROM tokens WHERE run = 1 ORDER BY surprisal DESC LIMIT 10",
      select: """
        SELECT t.run, t.token, t.sequence, t.position, t.token_id, CASE t.phase WHEN 0 THEN 'prefill' WHEN 1 THEN 'decode' WHEN 2 THEN 'encode' ELSE 'denoise' END,
          t.surprisal, t.next_token_entropy, CAST(p.piece AS TEXT),
          t.position / (d.patch_rows * d.patch_columns * d.branches), s.timestep,
          t.position / (d.patch_rows * d.patch_columns) % d.branches,
          t.position % (d.patch_rows * d.patch_columns) / d.patch_columns, t.position % d.patch_columns,
          x.pass, x.batch, nullif(x.predicted_id, -1), o.request, o.rank,
          (SELECT coalesce(json_extract(u.description, '$.recorded.row'), CASE t.phase WHEN 3 THEN 'patch' ELSE 'token' END)
            FROM run AS u WHERE u.id = t.run)
        FROM token AS t LEFT JOIN piece AS p ON p.run = t.run AND p.token_id = t.token_id
        LEFT JOIN token_extra AS x ON x.run = t.run AND x.token = t.token
        LEFT JOIN token_more AS o ON o.run = t.run AND o.token = t.token
        LEFT JOIN denoising AS d ON d.run = t.run
        LEFT JOIN denoising_step AS s ON s.run = t.run AND s.step = t.position / (d.patch_rows * d.patch_columns * d.branches)
        """),
    View(
      name: "routers", meaning: "One row per router of a run and the rule it follows.",
      columns: [
        run, stack, layer,
        Column("experts", .integer, "Routed experts the router chooses from."),
        Column("top_k", .integer, "Experts a token takes; the most it can take where an intervention changes it."),
        Column("tokens", .integer, "Tokens this router has decided on so far."),
        Column("policy", .text, "The rule in one line."),
        Column("selection_unit", .text, "Unit of selection_margin: what the router's top-k compares."),
        Column("spec", .text, "The rule as JSON; an executable one is enough to repeat every decision from its logits."),
        Column("router", .text, "Path of the router: stack and layer, and what else tells it from others."),
        Column("bank", .text, "Name of the experts it chooses among, which routers may share; else its own path."),
        Column(
          "selection", .text,
          "How experts are taken: top_k, top_p, threshold, expert_choice, dense, fixed, hash, drawn or unknown."),
        Column("scoring", .text, "How scores come of logits: softmax, sigmoid, …, or unknown."),
        Column("rule", .text, "executable (each decision can be repeated from its logits), declared (by who recorded it) or unknown."),
        Column(
          "weight_kind", .text, "What a weight is: probability, unnormalized (0 or more), signed, or none (no weight is known)."),
        Column("shared_experts", .integer, "Shared experts beside the routed ones; NULL where nobody said."),
      ],
      example: "SELECT layer, policy FROM routers WHERE run = 1",
      select: """
        SELECT r.run, \(RouterExpressions.stack), r.layer, r.expert_count, r.top_k, r.token_count, r.policy, r.selection_unit, r.spec,
          \(RouterExpressions.path), coalesce(\(RouterExpressions.fact("bank")), \(RouterExpressions.path)), \(RouterExpressions.selection), \(RouterExpressions.scoring),
          \(RouterExpressions.rule), \(RouterExpressions.weightKind), \(RouterExpressions.fact("sharedExperts"))
        FROM router AS r \(RouterExpressions.join)
        """),
    View(
      name: "routing", meaning: "One row per assignment: a token, a router, one of the experts it took.",
      columns: [
        run, stack, layer, token,
        Column("rank", .integer, "0-based place by falling selection score, ties to the lower expert."),
        Column("expert", .integer, "0-based index of the expert within its layer."),
        Column("weight", .real, "The factor really applied to the expert, exactly as stored; NULL when only ids were recorded."),
        Column("dropped", .integer, "1 when the expert was chosen but had no capacity left, else 0."),
        Column("router", .text, "Path of the router, as in routers."),
        Column(
          "norm", .real,
          "L2 norm of what the expert computed, before its weight; NULL without --record +norms, and for an expert that computed nothing."),
      ],
      example: "SELECT expert, weight FROM routing WHERE run = 1 AND layer = 3 AND token = 17 ORDER BY rank",
      select: """
        SELECT t.run, \(RouterExpressions.stack), r.layer, t.token, n.number,
          CASE r.id_bytes WHEN 1 THEN \(SQLDecoding.unsigned("p.ids", offset: slot, byteCount: 1))
            WHEN 2 THEN \(SQLDecoding.unsigned("p.ids", offset: "(\(slot)) * 2", byteCount: 2))
            ELSE \(SQLDecoding.unsigned("p.ids", offset: "(\(slot)) * 4", byteCount: 4)) END,
          CASE length(p.weights) WHEN p.token_count * \(width) * 4 THEN \(SQLDecoding.float32("p.weights", offset: "(\(slot)) * 4"))
            WHEN p.token_count * \(width) * 2 THEN \(SQLDecoding.float16("p.weights", offset: "(\(slot)) * 2")) END,
          CASE WHEN p.dropped IS NULL THEN 0 ELSE \(SQLDecoding.bit("p.dropped", slot)) END,
          \(RouterExpressions.path), \(SQLDecoding.float32("x.norms", offset: "(\(slot)) * 4"))
        \(decisions)
        CROSS JOIN number AS n ON n.number < \(width)
        CROSS JOIN decoder AS d
        LEFT JOIN page_extra AS x ON x.page = p.id
        \(RouterExpressions.join)
        WHERE p.absent IS NULL OR NOT \(SQLDecoding.bit("p.absent", slot))
        """),
    View(
      name: "routing_stats", meaning: "One row per decision: a token at a router.",
      columns: [
        run, stack, layer, token,
        Column("entropy", .real, unit: "nat", "Shannon entropy of the router's distribution over all experts."),
        Column(
          "selection_margin", .real, unit: "routers.selection_unit",
          "k-th minus (k+1)-th selection score; NULL when k is all experts, and where experts are looked up by token id."),
        Column("top1_margin", .real, unit: "probability", "Largest minus second largest router probability."),
        Column("top_k_mass", .real, unit: "probability", "Router probability that falls on the selected experts."),
        Column(
          "shared_weight", .real,
          "Factor of the shared expert, 1 where it has none; NULL without --record +shared, and without a shared expert."),
        Column("shared_norm", .real, "L2 norm of what the shared expert computed, before its factor; NULL without --record +norms+shared."),
        Column("router", .text, "Path of the router, as in routers."),
        Column(
          "state", .integer, "Number of the rule that the router followed, from 0, where it changed while the run went on; NULL elsewhere."),
        Column("parent", .text, "Path of the router whose decision this one depends on; NULL without one."),
      ],
      example: "SELECT token, entropy FROM routing_stats WHERE run = 1 AND layer = 3 AND token BETWEEN 10 AND 20",
      select: """
        SELECT t.run, \(RouterExpressions.stack), r.layer, t.token,
          \(SQLDecoding.float32("p.entropy", offset: "(\(row)) * 4")),
          \(SQLDecoding.float32("p.selection_margin", offset: "(\(row)) * 4")),
          \(SQLDecoding.float32("p.top1_margin", offset: "(\(row)) * 4")),
          \(SQLDecoding.float32("p.top_k_mass", offset: "(\(row)) * 4")),
          \(SQLDecoding.float32("x.shared_weight", offset: "(\(row)) * 4")),
          \(SQLDecoding.float32("x.shared_norm", offset: "(\(row)) * 4")), \(RouterExpressions.path), \(RouterExpressions.state), \(RouterExpressions.fact("parent"))
        \(decisions)
        CROSS JOIN decoder AS d
        LEFT JOIN page_extra AS x ON x.page = p.id
        \(RouterExpressions.join)
        """),
    View(
      name: "layer_load", meaning: "One row per expert of a router, over all tokens of the run.",
      columns: [
        run, stack, layer,
        Column("expert", .integer, "0-based index of the expert within its layer."),
        Column("assignments", .integer, "Tokens that took the expert and were not dropped."),
        Column("load", .real, "Share of the router's assignments; sums to 1 over the experts."),
        Column("importance", .real, unit: "probability", "Mean router probability of the expert; NULL when unknown."),
        Column("mean_weight", .real, "Mean factor applied when the expert was taken; NULL when it never was."),
        Column("router", .text, "Path of the router, as in routers."),
      ],
      example: "SELECT expert, load FROM layer_load WHERE run = 1 AND layer = 3 ORDER BY load DESC",
      select: """
        SELECT r.run, \(RouterExpressions.stack), r.layer, e.expert, e.assignments,
          CASE WHEN r.assignments > 0 THEN CAST(e.assignments AS REAL) / r.assignments END,
          CASE WHEN r.importance_tokens > 0 THEN e.importance_sum / r.importance_tokens END,
          CASE WHEN e.assignments > 0 THEN e.weight_sum / e.assignments END, \(RouterExpressions.path)
        FROM router AS r CROSS JOIN expert_total AS e ON e.router = r.id \(RouterExpressions.join)
        """),
    View(
      name: "layer_summary", meaning: "One row per router: its run in a few numbers.",
      columns: [
        run, stack, layer,
        Column("experts", .integer, "Routed experts the router chooses from."),
        Column("top_k", .integer, "Experts a token takes; the most it can take where an intervention changes it."),
        Column("tokens", .integer, "Tokens decided on."),
        Column("assignments", .integer, "Experts taken by tokens, drops not counted."),
        Column("dropped", .integer, "Assignments dropped for want of capacity."),
        Column("idle_experts", .integer, "Experts that no token took."),
        Column("max_load", .real, "Largest load of an expert."),
        Column("max_over_mean_load", .real, "Largest load divided by the mean load; 1 is perfect balance."),
        Column("mean_entropy", .real, unit: "nat", "Mean router entropy."),
        Column("mean_normalized_entropy", .real, "Mean router entropy divided by ln(experts): 0 certain, 1 cannot tell."),
        Column("mean_selection_margin", .real, unit: "routers.selection_unit", "Mean selection margin."),
        Column("mean_top1_margin", .real, unit: "probability", "Mean top-1 margin."),
        Column("mean_top_k_mass", .real, unit: "probability", "Mean router probability on the selected experts."),
        Column("router", .text, "Path of the router, as in routers."),
      ],
      example: "SELECT layer, idle_experts, mean_normalized_entropy FROM layer_summary WHERE run = 1",
      select: """
        SELECT r.run, \(RouterExpressions.stack), r.layer, r.expert_count, r.top_k, r.token_count, r.assignments, r.dropped,
          (SELECT count(*) FROM expert_total AS e WHERE e.router = r.id AND e.assignments = 0),
          (SELECT CAST(max(e.assignments) AS REAL) / nullif(r.assignments, 0) FROM expert_total AS e WHERE e.router = r.id),
          (SELECT CAST(max(e.assignments) AS REAL) * r.expert_count / nullif(r.assignments, 0) FROM expert_total AS e WHERE e.router = r.id),
          r.entropy_sum / nullif(r.entropy_tokens, 0),
          r.entropy_sum / nullif(r.entropy_tokens * r.log_expert_count, 0),
          r.selection_margin_sum / nullif(r.selection_margin_tokens, 0),
          r.top1_margin_sum / nullif(r.top1_margin_tokens, 0),
          r.top_k_mass_sum / nullif(r.top_k_mass_tokens, 0), \(RouterExpressions.path)
        FROM router AS r \(RouterExpressions.join)
        """),
    View(
      name: "denoising_counts",
      meaning: "One row per cell and expert of a denoising run: choices over its whole samples, each selected expert counted once.",
      columns: [
        run, stack, layer,
        Column("branch", .integer, "0 conditional, 1 unconditional."),
        Column("axis", .text, "step, patch or class."),
        Column("cell", .text, "Step in order of execution, patch in row-major order, or value of the label class."),
        Column("expert", .integer, "0-based index of the expert within its layer."),
        Column("count", .integer, "How often it was chosen there."),
      ],
      example: "SELECT cell, expert, count FROM denoising_counts WHERE run = 1 AND layer = 3 AND branch = 0 AND axis = 'step'",
      select: """
        \(groupCounts(axis: "step", column: "steps"))
        UNION ALL
        \(groupCounts(axis: "patch", column: "patches"))
        UNION ALL
        SELECT r.run, \(RouterExpressions.stack), r.layer, c.branch, 'class', CAST(json_extract(q.labels, '$.class') AS TEXT), n.number,
          sum(\(SQLDecoding.unsigned("c.counts", offset: "n.number * 4", byteCount: 4)))
        FROM router AS r \(RouterExpressions.join)
        CROSS JOIN denoising_sample AS c ON c.router = r.id
        CROSS JOIN sequence AS q ON q.run = r.run AND q.sequence = c.sample AND json_extract(q.labels, '$.class') IS NOT NULL
        CROSS JOIN number AS n ON n.number < r.expert_count
        CROSS JOIN decoder AS d
        GROUP BY r.run, r.stack, r.layer, c.branch, json_extract(q.labels, '$.class'), n.number
        """),
    View(
      name: "capture_checks", meaning: "One row per check of whether the run is a faithful record of its routers.",
      columns: [
        run,
        Column("name", .text, "The check."),
        Column("outcome", .text, "held, failed, suspicious (possible in a sound run) or notApplicable."),
        Column("detail", .text, "What was compared, or why the check does not apply."),
      ],
      example: "SELECT name, outcome, detail FROM capture_checks WHERE run = 1",
      select: "SELECT run, name, outcome, detail FROM capture_check"),
    View(
      name: "expert_labels", meaning: "One row per expert that somebody gave a name.",
      columns: [
        run, stack, layer,
        Column("expert", .integer, "0-based index of the expert within its layer."),
        Column("label", .text, "What it is called by who looked at it."),
      ],
      example: "SELECT layer, expert, label FROM expert_labels WHERE run = 1",
      select: """
        SELECT r.run, \(RouterExpressions.stack), r.layer, l.expert, l.label FROM expert_label AS l JOIN router AS r ON r.id = l.router \(RouterExpressions.join)
        """),
    View(
      name: "experts", meaning: "One row per expert that something is known of beside its routing.",
      columns: [
        run,
        Column("router", .text, "Path of the router, as in routers."),
        Column("expert", .integer, "0-based index of the expert within its bank."),
        Column("name", .text, "What who recorded it calls it; NULL without a name, like all that follows."),
        Column("width", .integer, "Width of its hidden layer."),
        Column("bytes", .integer, unit: "bytes", "Size of its weights."),
        Column("rank", .integer, "Process or device that holds it."),
        Column("physical", .integer, "Slot that it is at there."),
        Column("pruned", .integer, "1 when it was taken out of the model, else 0."),
      ],
      example: "SELECT expert, width FROM experts WHERE run = 1 AND router = 'ffn.3'",
      select: """
        SELECT r.run, \(RouterExpressions.path), json_extract(j.value, '$.expert'), json_extract(j.value, '$.name'), json_extract(j.value, '$.width'),
          json_extract(j.value, '$.bytes'), json_extract(j.value, '$.rank'), json_extract(j.value, '$.physical'),
          json_extract(j.value, '$.pruned')
        FROM router_more AS m JOIN router AS r ON r.id = m.router CROSS JOIN json_each(m.facts, '$.experts') AS j
        """),
    View(
      name: "token_labels", meaning: "One row per label of a single row of a run.",
      columns: [
        run, token, Column("label", .text, "The axis, e.g. modality."), Column("value", .text, "Where the row stands on it, e.g. image."),
      ],
      example: "SELECT value, count(*) FROM token_labels WHERE run = 1 AND label = 'modality' GROUP BY value",
      select: "SELECT run, token, label, value FROM token_label"),
    View(
      name: "coordinates", meaning: "One row per number that says where a single row of a run stands.",
      columns: [
        run, token, Column("name", .text, "What it counts, e.g. seconds."), Column("value", .real, "The number."),
      ],
      example: "SELECT token, value FROM coordinates WHERE run = 1 AND name = 'seconds'",
      select: "SELECT run, token, name, value FROM coordinate"),
    View(
      name: "import_audit", meaning: "One row per finding about a record that was imported.",
      columns: [
        run, Column("code", .text, "What was found, e.g. zero_rows; docs/contracts.md lists all."),
        Column("severity", .text, "fault (the rows are stored as unknown), warning or note."),
        Column("router", .text, "Path of the router it is of; NULL for the whole record."),
        Column("count", .integer, "Rows, or whatever detail says, that it is found at."),
        Column("of", .integer, "How many were looked at."),
        Column("first", .text, "JSON array of the first rows it is found at."),
        Column("detail", .text, "In words."),
      ],
      example: "SELECT code, router, count, \"of\" FROM import_audit WHERE run = 1 AND severity = 'fault'",
      select: "SELECT run, code, severity, router, count, \"of\", first, detail FROM import_finding"),
  ]

  private static let run = Column("run", .integer, "Id of the run.")
  private static let stack = Column("stack", .text, "ffn, attn (attention experts), enc or dec (encoder-decoder models).")
  private static let layer = Column("layer", .integer, "Absolute index of the transformer block; dense blocks are counted, not listed.")
  private static let token = Column("token", .integer, "0-based row of the token in the run, in the order of feeding.")

  /// Every decision: t the token, r the router, p the page that holds them. A page is never longer than its router's `page_tokens`,
  /// which bounds the range of the index that is searched.
  private static let decisions = """
    FROM token AS t
    CROSS JOIN router AS r ON r.run = t.run
    CROSS JOIN page AS p ON p.router = r.id AND p.first_token > t.token - r.page_tokens AND p.first_token <= t.token
      AND p.first_token + p.token_count > t.token
    """
  /// Choices by step or patch: group tables added up.
  private static func groupCounts(axis: String, column: String) -> String {
    """
    SELECT r.run, \(RouterExpressions.stack), r.layer, g.branch, '\(axis)', CAST(n.number / r.expert_count AS TEXT), n.number % r.expert_count,
      sum(\(SQLDecoding.unsigned("g.\(column)", offset: "n.number * 4", byteCount: 4)))
    FROM router AS r
    \(RouterExpressions.join)
    CROSS JOIN denoising_group AS g ON g.router = r.id
    CROSS JOIN number AS n ON n.number < length(g.\(column)) / 4
    CROSS JOIN decoder AS d
    GROUP BY r.run, r.stack, r.layer, g.branch, n.number
    """
  }

  /// Row of the token within its page, and slot of the assignment: SQL expressions over `decisions`.
  private static let row = "t.token - p.first_token"
  private static let slot = "(t.token - p.first_token) * \(width) + n.number"
  /// Slots that the page has for a token.
  private static let width = "(length(p.ids) / (p.token_count * r.id_bytes))"
}
