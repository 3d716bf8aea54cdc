// `--fail-if 'load_cv>0.8'`: a condition on a report, read and judged without side effects. The caller turns a violation into exit 2.

import Routing

/// A comparison of a metric with a number.
///
/// Grammar: `metric[.field] op number[%]` with op one of `>`, `>=`, `<`, `<=`, `==`, `!=`. Without a field it is the row's value (for
/// specialization its effect). Fields: `n`, `baseline`, `low`, `high`, `sd`, `median`; of specialization also `p`, `effect`,
/// `mutual_information`, `null_mean`, `null_sd`, `normalized`.
public struct FailCondition: Sendable, Hashable, CustomStringConvertible {
  public enum Operator: String, Sendable, CaseIterable {
    // Longer spellings first: they are tried in this order.
    case greaterOrEqual = ">="
    case lessOrEqual = "<="
    case equal = "=="
    case notEqual = "!="
    case greater = ">"
    case less = "<"

    func holds(_ a: Double, _ b: Double) -> Bool {
      switch self {
      case .greaterOrEqual: a >= b
      case .lessOrEqual: a <= b
      case .equal: a == b
      case .notEqual: a != b
      case .greater: a > b
      case .less: a < b
      }
    }
  }

  /// One row for which the condition is true.
  public struct Violation: Sendable, Equatable {
    public var router: RouterID
    public var value: Double
    /// `layer 15: load_cv 0.733 > 0.7`
    public var text: String
  }

  public let metric: MetricKey
  public let field: String?
  public let comparison: Operator
  public let limit: Double
  private let limitText: String

  /// - Throws: `AnalysisError.badCondition`, `AnalysisError.unknownMetric`.
  public init(parsing text: String) throws {
    let compact = String(text.filter { $0 != " " })
    func bad(_ expected: String) -> AnalysisError { .badCondition(found: text, expected: expected) }
    guard let start = compact.firstIndex(where: { "<>=!".contains($0) }) else { throw bad("metric, comparison, number: load_cv>0.8") }
    let tail = compact[start...]
    guard let comparison = Operator.allCases.first(where: { tail.hasPrefix($0.rawValue) }) else {
      throw bad("one of > >= < <= == != after the metric")
    }
    let number = tail.dropFirst(comparison.rawValue.count)
    let isPercent = number.hasSuffix("%")
    let digits = isPercent ? number.dropLast() : number
    guard digits.allSatisfy({ $0.isASCII && ($0.isNumber || ".-+eE".contains($0)) }), let limit = Double(digits), limit.isFinite else {
      throw bad("a number after \(comparison.rawValue)")
    }
    let names = compact[..<start].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let name = names.first, !name.isEmpty else { throw bad("a metric before \(comparison.rawValue)") }
    metric = try MetricKey(parsing: name)
    field = names.count == 2 ? names[1] : nil
    let fields = MetricCatalog.entry(metric).conditionFields
    if let field, !fields.contains(field) { throw bad("one of the fields \(fields.joined(separator: ", "))") }
    self.comparison = comparison
    self.limit = isPercent ? limit / 100 : limit
    limitText = String(number)
  }

  public var description: String { "\(name) \(comparison.rawValue) \(limitText)" }
  private var name: String { metric.rawValue + (field.map { "." + $0 } ?? "") }

  /// Rows for which the condition is true; rows without a value never are.
  /// - Throws: `AnalysisError.metricNotReported`.
  public func violations(in report: AnalysisReport) throws -> [Violation] {
    guard let document = report[metric] else { throw AnalysisError.metricNotReported(metric: metric.rawValue) }
    switch document.rows {
    case .metric(let rows):
      let hasStacks = Set(rows.map(\.router.stack)).count > 1
      return rows.compactMap { row in
        var place = hasStacks ? "router \(row.router)" : "layer \(row.router.layer)"
        if let expert = row.expert { place += " expert \(expert)" }
        if let cell = row.cell { place += " \(document.axis ?? "cell") \(cell)" }
        return violation(value(of: row), router: row.router, place: place)
      }
    case .specialization(let rows):
      let hasStacks = Set(rows.map(\.router.stack)).count > 1
      return rows.compactMap {
        violation(value(of: $0), router: $0.router, place: hasStacks ? "router \($0.router)" : "layer \($0.router.layer)")
      }
    case .enrichment, .tokens, .specialists, .claims:
      throw AnalysisError.metricNotReported(metric: "\(metric.rawValue) by layer")
    }
  }

  private func violation(_ value: Double?, router: RouterID, place: String) -> Violation? {
    guard let value, comparison.holds(value, limit) else { return nil }
    let shown: String
    switch MetricCatalog.entry(metric).format {
    case .percent(let digits) where field == nil && limitText.hasSuffix("%"): shown = fixedPoint(100 * value, digits: digits) + "%"
    case .count where field == nil: shown = fixedPoint(value, digits: 0)
    default: shown = fixedPoint(value, digits: 3)
    }
    return Violation(router: router, value: value, text: "\(place): \(name) \(shown) \(comparison.rawValue) \(limitText)")
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
