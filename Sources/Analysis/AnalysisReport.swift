// The answer to a plan as plain values. What is encoded here is the versioned JSON of `moetop analyze`; keys are stable.

import Routing

/// All metrics of one analysis. Encodes as one document when there is one metric, else as an array of them.
public struct AnalysisReport: Sendable, Encodable {
  public var documents: [MetricDocument]

  public init(documents: [MetricDocument]) { self.documents = documents }

  /// Sets the number of the run, which this room does not know.
  public mutating func setRun(_ run: Int) { for index in documents.indices { documents[index].run = run } }

  public subscript(metric: MetricKey) -> MetricDocument? { documents.first { $0.metric == metric } }

  public func encode(to encoder: any Encoder) throws {
    if documents.count == 1, let only = documents.first { try only.encode(to: encoder) } else { try documents.encode(to: encoder) }
  }
}

/// One metric: `{"schema": "moetop.analyze/1", "metric": ..., "layers": [...]}`.
public struct MetricDocument: Sendable, Encodable {
  public static let schema = "moetop.analyze/1"

  public enum Rows: Sendable {
    case metric([MetricRow])
    case specialization([SpecializationResult])
    case enrichment([EnrichmentRow])
    case tokens([UncertainToken])
    case specialists([Specialist])
    case claims(DenoisingClaims)
  }

  public var run: Int?
  public var metric: MetricKey
  /// `domain`, `position`, ...; nil by layer.
  public var axis: String?
  public var unit: String
  public var baseline: String
  public var tokens: Int
  public var settings: ReportSettings
  /// What a reader must know beside the numbers, one sentence each.
  public var notes: [String]
  public var rows: Rows

  private enum CodingKeys: String, CodingKey {
    case schema, run, metric, axis, unit, baseline, tokens, settings, notes, layers, experts, cells, claims
    case uncertainTokens = "uncertain_tokens"
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(Self.schema, forKey: .schema)
    try container.encodeIfPresent(run, forKey: .run)
    try container.encode(metric.rawValue, forKey: .metric)
    try container.encodeIfPresent(axis, forKey: .axis)
    try container.encode(unit, forKey: .unit)
    try container.encode(baseline, forKey: .baseline)
    try container.encode(tokens, forKey: .tokens)
    try container.encode(settings, forKey: .settings)
    try container.encode(notes, forKey: .notes)
    switch rows {
    case .metric(let rows):
      let key: CodingKeys = rows.contains { $0.cell != nil } ? .cells : rows.contains { $0.expert != nil } ? .experts : .layers
      try container.encode(rows, forKey: key)
    case .specialization(let rows): try container.encode(rows, forKey: .layers)
    case .enrichment(let rows): try container.encode(rows, forKey: .cells)
    case .tokens(let rows): try container.encode(rows, forKey: .uncertainTokens)
    case .specialists(let rows): try container.encode(rows, forKey: .experts)
    case .claims(let claims): try container.encode(claims, forKey: .claims)
    }
  }
}

/// What is needed to repeat the numbers.
public struct ReportSettings: Sendable, Encodable {
  public var by: String
  public var layers: String?
  /// As asked, e.g. `q0.95`; only with metrics that use it.
  public var threshold: String?
  /// The threshold as a share of ln E and in nats; nats are left out where routers have different E, the share likewise.
  public var thresholdShare: Double?
  public var thresholdNats: Double?
  public var entropyForm: String?
  public var nullDraws: Int?
  public var seed: UInt64?
  /// Of a denoising run: 0 conditional, 1 unconditional.
  public var branch: Int?
  public var intervals: String?

  private enum CodingKeys: String, CodingKey {
    case by, layers, threshold
    case thresholdShare = "threshold_share"
    case thresholdNats = "threshold_nats"
    case entropyForm = "entropy_form"
    case nullDraws = "null_draws"
    case seed, branch, intervals
  }
}

/// A value of a metric at one router, or one of its experts, or one cell of an axis.
public struct MetricRow: Sendable, Encodable, Equatable {
  public var router: RouterID
  public var expert: Int?
  public var cell: String?
  /// Nil where the metric is not defined (not recorded, one expert, no pairs).
  public var value: Double?
  public var unit: String
  /// What the value was taken over: tokens, decisions, assignments or pairs.
  public var n: Int
  public var baseline: Double?
  /// The stronger chance value, under the layer's own load.
  public var ownLoadBaseline: Double?
  public var interval: Interval?
  /// Over single decisions.
  public var sd: Double?
  public var quantile05: Double?
  public var median: Double?
  public var quantile95: Double?

  public init(
    router: RouterID, expert: Int? = nil, cell: String? = nil, value: Double?, unit: String, n: Int, baseline: Double? = nil,
    interval: Interval? = nil
  ) {
    self.router = router
    self.expert = expert
    self.cell = cell
    self.value = value.flatMap { $0.isFinite ? $0 : nil }
    self.unit = unit
    self.n = n
    self.baseline = baseline.flatMap { $0.isFinite ? $0 : nil }
    self.interval = interval
  }

  private enum CodingKeys: String, CodingKey {
    case router, layer, expert, cell, value, unit, n, baseline
    case ownLoadBaseline = "own_load_baseline"
    case low, high, sd
    case quantile05 = "q05"
    case median
    case quantile95 = "q95"
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(router.description, forKey: .router)
    try container.encode(router.layer.rawValue, forKey: .layer)
    try container.encodeIfPresent(expert, forKey: .expert)
    try container.encodeIfPresent(cell, forKey: .cell)
    try container.encode(value, forKey: .value)
    try container.encode(unit, forKey: .unit)
    try container.encode(n, forKey: .n)
    try container.encodeIfPresent(baseline, forKey: .baseline)
    try container.encodeIfPresent(ownLoadBaseline, forKey: .ownLoadBaseline)
    try container.encodeIfPresent(interval?.low, forKey: .low)
    try container.encodeIfPresent(interval?.high, forKey: .high)
    try container.encodeIfPresent(sd, forKey: .sd)
    try container.encodeIfPresent(quantile05, forKey: .quantile05)
    try container.encodeIfPresent(median, forKey: .median)
    try container.encodeIfPresent(quantile95, forKey: .quantile95)
  }
}

/// An expert in a cell, of one router.
public struct EnrichmentRow: Sendable, Encodable, Equatable {
  public var router: RouterID
  public var cell: String
  public var enrichment: Enrichment

  private enum CodingKeys: String, CodingKey {
    case router, layer, expert, cell, observed, expected, ratio, z
    case adjustedP = "adjusted_p"
    case faint
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(router.description, forKey: .router)
    try container.encode(router.layer.rawValue, forKey: .layer)
    try container.encode(enrichment.expert.rawValue, forKey: .expert)
    try container.encode(cell, forKey: .cell)
    try container.encode(enrichment.observed, forKey: .observed)
    try container.encode(enrichment.expected, forKey: .expected)
    try container.encode(enrichment.ratio, forKey: .ratio)
    try container.encode(enrichment.z, forKey: .z)
    try container.encodeIfPresent(enrichment.adjustedP, forKey: .adjustedP)
    try container.encode(enrichment.isFaint, forKey: .faint)
  }
}

extension SpecializationResult: Encodable {
  private enum CodingKeys: String, CodingKey {
    case router, layer
    case mutualInformation = "mutual_information"
    case nullMean = "null_mean"
    case nullSD = "null_sd"
    case p
    case nullCount = "null_count"
    case effect, low, high, normalized
    case cellEntropy = "cell_entropy"
    case sequences, assignments, cells, matched
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(router.description, forKey: .router)
    try container.encode(router.layer.rawValue, forKey: .layer)
    try container.encode(mutualInformation, forKey: .mutualInformation)
    try container.encode(nullMean, forKey: .nullMean)
    try container.encode(nullSD, forKey: .nullSD)
    try container.encode(p, forKey: .p)
    try container.encode(nullCount, forKey: .nullCount)
    try container.encode(effect, forKey: .effect)
    try container.encodeIfPresent(interval?.low, forKey: .low)
    try container.encodeIfPresent(interval?.high, forKey: .high)
    try container.encodeIfPresent(normalizedEffect, forKey: .normalized)
    try container.encode(cellEntropy, forKey: .cellEntropy)
    try container.encode(sequences, forKey: .sequences)
    try container.encode(assignments, forKey: .assignments)
    try container.encode(cells, forKey: .cells)
    try container.encodeIfPresent(matched, forKey: .matched)
  }
}

extension UncertainToken: Encodable {
  private enum CodingKeys: String, CodingKey {
    case token, sequence, position
    case tokenID = "token_id"
    case routersOver = "routers_over"
    case maxEntropy = "max_entropy"
    case maxEntropyRouter = "max_entropy_router"
    case selectionMargin = "selection_margin"
    case surprisal
    case nextTokenEntropy = "next_token_entropy"
  }

  public func encode(to encoder: any Encoder) throws {
    func finite(_ value: Float) -> Float? { value.isFinite ? value : nil }
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(token, forKey: .token)
    try container.encode(sequence, forKey: .sequence)
    try container.encode(position, forKey: .position)
    try container.encode(tokenID, forKey: .tokenID)
    try container.encode(routersOver, forKey: .routersOver)
    try container.encode(maxEntropy, forKey: .maxEntropy)
    try container.encode(maxEntropyRouter.description, forKey: .maxEntropyRouter)
    try container.encodeIfPresent(finite(selectionMargin), forKey: .selectionMargin)
    try container.encodeIfPresent(finite(surprisal), forKey: .surprisal)
    try container.encodeIfPresent(finite(nextTokenEntropy), forKey: .nextTokenEntropy)
  }
}
