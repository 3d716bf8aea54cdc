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
  /// How to read the number, without the metric's name; JSON has it in its first note.
  public var words = ""

  /// Rows of a plain metric; empty for specialization and token lists.
  public var metricRows: [MetricRow] {
    if case .metric(let rows) = rows { return rows }
    return []
  }

  var isEmpty: Bool {
    switch rows {
    case .metric(let rows): rows.isEmpty
    case .specialization(let rows): rows.isEmpty
    case .enrichment(let rows): rows.isEmpty
    case .tokens(let rows): rows.isEmpty
    case .specialists(let rows): rows.isEmpty
    case .claims(let claims): claims.claims.isEmpty
    }
  }

  private enum CodingKeys: String, CodingKey {
    case schema, run, metric, axis, unit, baseline, tokens, settings, notes, layers, experts, cells, stacks, claims
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
      let key: CodingKeys =
        rows.contains { $0.cell != nil }
        ? .cells : rows.contains { $0.expert != nil } ? .experts : rows.contains(where: \.isPooled) ? .stacks : .layers
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
  /// As it was written.
  public var filter: String?
  /// As asked, e.g. `q0.95`; only with metrics that use it.
  public var threshold: String?
  /// The threshold as a share of ln E and in nats; nats are left out where routers have different E, the share likewise.
  public var thresholdShare: Double?
  public var thresholdNats: Double?
  public var entropyForm: String?
  /// Standard deviation of the noise that flips are judged by, in the unit of the selection scores.
  public var noise: Double?
  /// Experts that a router keeps on average.
  public var groups: Int?
  public var nullDraws: Int?
  /// Of nulls and of chance values that are simulated.
  public var seed: UInt64?
  /// The seed by which labels were permuted over sequences first.
  public var shuffledLabels: UInt64?
  /// Length of a list.
  public var top: Int?
  /// Of a denoising run: 0 conditional, 1 unconditional.
  public var branch: Int?
  public var intervals: String?

  private enum CodingKeys: String, CodingKey {
    case by, layers, filter, threshold
    case thresholdShare = "threshold_share"
    case thresholdNats = "threshold_nats"
    case entropyForm = "entropy_form"
    case noise, groups
    case nullDraws = "null_draws"
    case seed
    case shuffledLabels = "shuffle_labels"
    case top, branch, intervals
  }

}

/// What a number was taken over: the meaning of its `n`.
public enum Counted: String, Sendable, Hashable, Codable {
  case texts, samples, tokens, decisions, assignments, pairs, draws
}

/// A value of a metric at one router, or one of its experts, or one cell of an axis.
public struct MetricRow: Sendable, Encodable, Equatable {
  /// Further numbers beside the value, by their key in JSON and their column in csv. A condition may name each of them.
  public enum Field: String, Sendable, CaseIterable, Comparable {
    /// Ends of the 95 % interval.
    case low, high
    /// The stronger chance value, under the layer's own load.
    case ownLoadBaseline = "own_load_baseline"
    /// The chance value of any two tokens of the same text.
    case withinTextBaseline = "within_text_baseline"
    case nullMean = "null_mean"
    case nullSD = "null_sd"
    case nullCount = "null_count"
    case p
    /// The expert that would stand for this one.
    case core
    /// Over single decisions.
    case sd
    case quantile05 = "q05"
    case median
    case quantile95 = "q95"

    /// What a table makes of it.
    enum Role { case interval, baseline, column, spread }

    var role: Role {
      switch self {
      case .low, .high: .interval
      case .ownLoadBaseline, .withinTextBaseline: .baseline
      case .nullMean, .nullSD, .p, .core: .column
      case .nullCount, .sd, .quantile05, .median, .quantile95: .spread
      }
    }

    private var place: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    /// The order of columns.
    public static func < (a: Field, b: Field) -> Bool { a.place < b.place }
  }

  public var router: RouterID
  /// Set where the row stands for so many routers of the router's stack together.
  public var pooledRouters: Int?
  public var expert: Int?
  public var cell: String?
  /// Nil where the metric is not defined; `Metric.missing` says where that is.
  public var value: Double?
  public var unit: String
  public var n: Int
  public var counted: Counted
  public var baseline: Double?
  /// What was asked for beside the value; nil entries were asked for and are not there.
  public private(set) var fields: [Field: Double?] = [:]

  public init(
    router: RouterID, expert: Int? = nil, cell: String? = nil, value: Double?, unit: String, n: Int, of counted: Counted,
    baseline: Double? = nil, interval: Interval? = nil
  ) {
    self.router = router
    self.expert = expert
    self.cell = cell
    self.value = value.flatMap { $0.isFinite ? $0 : nil }
    self.unit = unit
    self.n = n
    self.counted = counted
    self.baseline = baseline.flatMap { $0.isFinite ? $0 : nil }
    if interval != nil { self.interval = interval }
  }

  /// Setting nil says that the number was asked for and is not there.
  public subscript(field: Field) -> Double? {
    get { fields[field] ?? nil }
    set { fields.updateValue(newValue.flatMap { $0.isFinite ? $0 : nil }, forKey: field) }
  }

  public var interval: Interval? {
    get {
      guard let low = self[.low], let high = self[.high] else { return nil }
      return Interval(low: low, high: high)
    }
    set { (self[.low], self[.high]) = (newValue?.low, newValue?.high) }
  }

  var isPooled: Bool { pooledRouters != nil }
  /// `ffn.3`; `enc` where it stands for a stack.
  var place: String { isPooled ? router.lane : router.description }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: NamedKey.self)
    func key(_ name: String) -> NamedKey { NamedKey(stringValue: name) }
    if let pooledRouters {
      try container.encode(router.lane, forKey: key("stack"))
      try container.encode(pooledRouters, forKey: key("routers"))
    } else {
      try container.encode(router.description, forKey: key("router"))
      try container.encode(router.layer.rawValue, forKey: key("layer"))
    }
    try container.encodeIfPresent(expert, forKey: key("expert"))
    try container.encodeIfPresent(cell, forKey: key("cell"))
    try container.encode(value, forKey: key("value"))
    try container.encode(unit, forKey: key("unit"))
    try container.encode(n, forKey: key("n"))
    try container.encode(counted, forKey: key("n_of"))
    try container.encode(baseline, forKey: key("baseline"))
    for (field, value) in fields { try container.encode(value, forKey: key(field.rawValue)) }
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
    case family, faint
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
    try container.encode("layers x experts", forKey: .family)
    try container.encode(enrichment.isFaint, forKey: .faint)
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

/// A key of JSON that is known by its name only.
struct NamedKey: CodingKey {
  var stringValue: String
  var intValue: Int? { nil }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}
