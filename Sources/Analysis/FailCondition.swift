// `--fail-if 'load_cv>0.8'`: a condition on a report, read and judged without side effects. The caller turns a violation into exit 2 and a
// number that is not there into an error: a gate that a missing number passes is no gate.

import Routing

/// A comparison of a metric with a number.
///
/// Grammar: that of `NumberCondition`. Without a field it is the row's value (for specialization its effect). Fields are the numbers of a
/// row: `n`, `baseline`, `low`, `high` and what the metric has beside them (`Metric.conditionFields`).
public struct FailCondition: Sendable, Hashable, CustomStringConvertible {
  /// One row for which the condition is true.
  public struct Violation: Sendable, Equatable {
    public var router: RouterID
    public var value: Double
    /// `ffn.15: load_cv 0.733 > 0.7`
    public var text: String
  }

  /// What a report says to a condition.
  public struct Verdict: Sendable, Equatable {
    public var violations: [Violation] = []
    /// Rows that lack the number: `ffn.15`.
    public var missing: [String] = []
    /// Which number is missing, where and why; nil when none is.
    public var fault: String?
  }

  public let metric: MetricKey
  private let condition: NumberCondition

  /// - Throws: `AnalysisError.badCondition`, `AnalysisError.unknownMetric`.
  public init(parsing text: String) throws {
    condition = try NumberCondition(parsing: text, what: "metric", example: "load_cv>0.8")
    metric = try MetricKey(parsing: condition.name)
    let fields = MetricCatalog.entry(metric).conditionFields
    if let field = condition.field, !fields.contains(field) {
      throw AnalysisError.badCondition(found: text, expected: "one of the fields \(fields.joined(separator: ", "))")
    }
  }

  public var field: String? { condition.field }
  public var description: String { "\(name) \(condition.comparison.rawValue) \(condition.limitText)" }
  private var name: String { metric.rawValue + (field.map { "." + $0 } ?? "") }

  /// Judges every row.
  ///
  /// A report without a row lacks the number too.
  /// - Throws: `AnalysisError.metricNotReported`; `badCondition` where the metric is a list.
  public func verdict(on report: AnalysisReport) throws -> Verdict {
    guard let document = report[metric] else { throw AnalysisError.metricNotReported(metric: metric.rawValue) }
    var verdict = Verdict()
    switch document.rows {
    case .metric(let rows):
      for row in rows {
        var place = row.place
        if let expert = row.expert { place += " expert \(expert)" }
        if let cell = row.cell { place += " \(document.axis ?? "cell") \(cell)" }
        judge(value(of: row), router: row.router, place: place, &verdict)
      }
    case .specialization(let rows):
      for row in rows { judge(value(of: row), router: row.router, place: row.router.description, &verdict) }
    case .enrichment, .tokens, .specialists, .claims:
      throw AnalysisError.badCondition(found: description, expected: "a metric with a number a row; \(metric.rawValue) is a list here")
    }
    if document.isEmpty { verdict.missing = ["any router"] }
    if !verdict.missing.isEmpty { verdict.fault = fault(verdict.missing) }
    return verdict
  }

  private func judge(_ value: Double?, router: RouterID, place: String, _ verdict: inout Verdict) {
    guard let value, value.isFinite else {
      verdict.missing.append(place)
      return
    }
    guard condition.holds(value) else { return }
    let limit = condition.limitText
    let shown: String
    switch MetricCatalog.entry(metric).format {
    case .percent(let digits) where field == nil && limit.hasSuffix("%"): shown = fixedPoint(100 * value, digits: digits) + "%"
    case .count where field == nil: shown = fixedPoint(value, digits: 0)
    case .percent, .number, .count: shown = fixedPoint(value, digits: 3)
    }
    let text = "\(place): \(name) \(shown) \(condition.comparison.rawValue) \(limit)"
    verdict.violations.append(Violation(router: router, value: value, text: text))
  }

  /// `selection_margin of ffn.0 and 3 more is not there, so 'selection_margin < 0.5' cannot be judged: there is no number ...`
  private func fault(_ places: [String]) -> String {
    let shown = places.prefix(3).joined(separator: ", ") + (places.count > 3 ? " and \(places.count - 3) more" : "")
    let why =
      switch field {
      case nil: "there is no number \(MetricCatalog.entry(metric).missing)"
      case "low" where metric == .specialization, "high" where metric == .specialization:
        "an interval needs \(Jackknife.minimumSequences) texts or more, and along a label 2 a value of it on average"
      case "low", "high": "an interval needs --ci and \(Jackknife.minimumSequences) texts or more that have the number"
      case .some: "it goes with a number that is not there either, or was not worked out along this axis"
      }
    return "\(name) of \(shown) is not there, so '\(self)' cannot be judged: \(why)"
  }

  private func value(of row: MetricRow) -> Double? {
    switch field {
    case nil: row.value
    case "n": Double(row.n)
    case "baseline": row.baseline
    case .some(let name): MetricRow.Field(rawValue: name).flatMap { row[$0] }
    }
  }

  private func value(of result: SpecializationResult) -> Double? {
    SpecializationResult.figures.first { $0.name == field ?? "effect" }?.value(result)
  }
}
