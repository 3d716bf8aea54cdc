// Numbers of single decisions that are worked out from what a run keeps of them, and one fold for all of these: means, spreads and quantiles
// of a router, and sums by sequence and place for axes and intervals. What each of the numbers is stands with its metric.

import Routing

/// A number of single decisions.
struct DecisionStatistic: Sendable {
  /// What it may look at beside the decisions.
  struct Context: Sendable {
    var specs: [RouterID: RouterSpec] = [:]
    /// Standard deviation, in the unit of the selection scores.
    var noise = 1e-3
  }

  /// Whether it is 0 or 1, so that its mean says all there is to say.
  var isYesOrNo = false
  /// `[batch.count]`; NaN where it is not defined.
  let values: @Sendable (RoutingBatch, Context) -> [Float]
}

/// A statistic of one router's decisions.
///
/// - Memory: at most 150 KiB and 24 bytes a stratum.
struct RouterStatistic: RouterFold {
  private(set) var experts = 0
  private(set) var topK = 0
  private(set) var decisions = 0
  private(set) var distribution = Distribution()
  private(set) var rows: [Stratum: MeanSum] = [:]
  private let statistic: DecisionStatistic
  private let context: DecisionStatistic.Context

  init(_ statistic: DecisionStatistic, _ context: DecisionStatistic.Context) {
    self.statistic = statistic
    self.context = context
  }

  mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) {
    experts = max(experts, batch.expertCount)
    topK = max(topK, batch.topK)
    decisions += batch.count
    let values = statistic.values(batch, context)
    distribution.add(values)
    forEachStratum(of: batch, in: table) { stratum, tokens in
      for token in tokens { rows[stratum, default: MeanSum()].add(values[token]) }
    }
  }

  mutating func merge(_ other: RouterStatistic) {
    experts = max(experts, other.experts)
    topK = max(topK, other.topK)
    decisions += other.decisions
    distribution.merge(other.distribution)
    for (stratum, sum) in other.rows { rows[stratum, default: MeanSum()] += sum }
  }

  func result() -> DecisionSummary {
    statistic.isYesOrNo
      ? DecisionSummary(mean: distribution.moments.mean, count: distribution.moments.count) : DecisionSummary(distribution)
  }
}

/// A mean over decisions of a number that is worked out from their columns.
struct StatisticMeasure: Measure {
  let statistic: DecisionStatistic?
  /// What a reader must know to read it in this analysis; nil: as the metric says.
  var inWords: (@Sendable (MetricReading) -> String)?
  var completes: @Sendable (inout ReportSettings, MetricReading) -> Void = { _, _ in }

  init(
    isYesOrNo: Bool = false, inWords: (@Sendable (MetricReading) -> String)? = nil,
    completes: @escaping @Sendable (inout ReportSettings, MetricReading) -> Void = { _, _ in },
    values: @escaping @Sendable (RoutingBatch, DecisionStatistic.Context) -> [Float]
  ) {
    statistic = DecisionStatistic(isYesOrNo: isYesOrNo, values: values)
    self.inWords = inWords
    self.completes = completes
  }

  func folds(for plan: AnalysisPlan) -> Folds { [] }

  var conditionFields: [String] { [MetricRow.Field.sd, .quantile05, .median, .quantile95].map(\.rawValue) }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    let folds = reading.analysis.statistics[reading.metric.key]?.sorted(in: reading.plan.layers) ?? []
    if let facet = reading.plan.grouping.facet {
      return .metric(
        folds.flatMap { router, fold in
          reading.cellRows(facet, router, fold.rows, experts: fold.experts, topK: fold.topK)
        })
    }
    return .metric(
      folds.map { router, fold in
        reading.row(
          router, fold.result(), strata: fold.rows, experts: fold.experts, topK: fold.topK,
          decisions: fold.decisions)
      })
  }

  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) { completes(&settings, reading) }
  func words(_ reading: MetricReading) -> String { inWords?(reading) ?? reading.metric.reading }
}

extension RouterStatistic: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    let strata = rows.keys.sorted()
    columns.set("shape", .numbers([experts, topK, decisions]))
    distribution.save("values", &columns)
    Stratum.save(strata, &columns)
    strata.compactMap { rows[$0] }.save("rows", &columns)
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let shape = try columns.numbers("shape", 3)
    try columns.shape(shape[0], shape[1])
    (experts, topK, decisions) = (shape[0], shape[1], shape[2])
    distribution = try .loaded("values", columns)
    let strata = try Stratum.loaded(columns)
    rows = Dictionary(uniqueKeysWithValues: zip(strata, try [MeanSum].loaded("rows", strata.count, columns)))
  }
}
