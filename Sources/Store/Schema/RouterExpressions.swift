// What the rule of a router says, as SQL over its JSON, so that a trace of any age answers: each expression repeats a property of `RouterSpec`,
// and a test holds them side by side. `r` is the router, `m` its row in `router_more`, if it has one.

enum RouterExpressions {
  /// Whether the spec has a key: enumerations are objects with one key, the case.
  private static func has(_ path: String) -> String { "json_type(r.spec, '$.\(path)') IS NOT NULL" }

  /// `RouterSpec.selectionName`.
  static let selection = """
    CASE WHEN \(has("selection.tokenChoice")) THEN 'top_k' WHEN \(has("selection.hash")) THEN 'hash'
      WHEN \(has("selection.aboveThreshold")) THEN 'threshold'
      ELSE json_extract(r.spec, '$.selection.stated._0') END
    """

  static let scoring = """
    CASE WHEN \(has("scoring.stated")) THEN json_extract(r.spec, '$.scoring.stated._0')
      WHEN \(has("scoring.sqrtSoftplus")) THEN 'sqrt_softplus'
      ELSE (SELECT j.key FROM json_each(r.spec, '$.scoring') AS j LIMIT 1) END
    """

  /// `RouterSpec.rule`.
  static let rule = """
    CASE WHEN json_extract(r.spec, '$.selection.stated._0') = 'unknown' AND json_extract(r.spec, '$.scoring.stated._0') = 'unknown' THEN 'unknown'
      WHEN \(has("selection.stated")) OR \(has("scoring.stated")) THEN 'declared' ELSE 'executable' END
    """

  /// `RouterSpec.weightKind`.
  static let weightKind = """
    CASE WHEN \(has("statedWeights")) THEN json_extract(r.spec, '$.statedWeights')
      WHEN json_extract(r.spec, '$.routedScale') < 0 OR json_extract(r.spec, '$.weighting') = 'scores' AND \(has("scoring.logits")) THEN 'signed'
      WHEN json_extract(r.spec, '$.routedScale') <> 1 OR \(has("expertScales")) OR json_extract(r.spec, '$.weighting') = 'ones' THEN 'unnormalized'
      WHEN \(has("normalization.sum")) OR \(has("normalization.sumClamped")) THEN 'probability'
      WHEN \(has("normalization.pNorm")) THEN
        CASE WHEN json_extract(r.spec, '$.normalization.pNorm._0') = 1 THEN 'probability' ELSE 'unnormalized' END
      WHEN json_extract(r.spec, '$.weighting') = 'softmaxOfSelectedLogits' THEN 'probability'
      WHEN json_extract(r.spec, '$.weighting') = 'scores' AND \(has("scoring.softmax")) THEN 'probability'
      ELSE 'unnormalized' END
    """

  static let path = "coalesce(m.path, r.stack || '.' || r.layer)"
  static let stack = "coalesce(m.stack, r.stack)"
  static let join = "LEFT JOIN router_more AS m ON m.router = r.id"

  /// Number of the rule that a router follows at token `t`, from 0; NULL where it has one.
  static let state = """
    (SELECT CASE WHEN json_type(m.facts, '$.states') IS NULL THEN NULL ELSE
      (SELECT count(*) FROM json_each(m.facts, '$.states') AS j WHERE json_extract(j.value, '$.firstToken') <= t.token) END)
    """

  /// A fact of the router.
  static func fact(_ name: String) -> String { "json_extract(m.facts, '$.\(name)')" }
}
