// `--fail-if 'set_agreement<0.99'` of a comparison: read and judged as FailCondition does for metrics. Every number of every row can be named.

import Routing

/// A comparison of a number of a comparison with a limit.
///
/// Grammar: that of `NumberCondition`. A key alone is looked up in the rows of pairs and of layers that have it; `layers.set_agreement`,
/// `pairs.flips`, `by_entropy.set_agreement` and `flipped.margin` in the rows of that list.
public struct ComparisonCondition: Sendable, Hashable, CustomStringConvertible {
  /// What a report says to a condition.
  public struct Verdict: Sendable, Equatable {
    /// `corpus.db#2 ffn.3: set_agreement 0.875 < 0.9`, one a row for which it is true.
    public var violations: [String] = []
    /// Which number is missing, where and why; nil when none is.
    public var fault: String?
  }

  public let key: ComparisonKey
  private let kinds: [ComparisonRow.Kind]
  private let condition: NumberCondition

  /// - Throws: `AnalysisError.badCondition`.
  public init(parsing text: String) throws {
    condition = try NumberCondition(parsing: text, what: "number", example: "set_agreement<0.99")
    func bad(_ expected: String) -> AnalysisError { .badCondition(found: text, expected: expected) }
    let asked: [ComparisonRow.Kind]
    if condition.field == nil {
      asked = [.pairs, .layers]
    } else {
      guard let kind = ComparisonRow.Kind(rawValue: condition.name) else {
        throw bad("one of \(ComparisonRow.Kind.allCases.map(\.rawValue).joined(separator: ", ")) before the point")
      }
      asked = [kind]
    }
    let name = condition.field ?? condition.name
    let kinds = ComparisonKey(rawValue: name).map { key in asked.filter { $0.keys.contains(key) } } ?? []
    guard let key = ComparisonKey(rawValue: name), !kinds.isEmpty else {
      let known = ComparisonKey.allCases.filter { key in asked.contains { $0.keys.contains(key) } }
      throw bad("one of \(known.map(\.rawValue).joined(separator: ", "))")
    }
    self.key = key
    self.kinds = kinds
  }

  public var description: String { condition.description }

  /// Judges every row that can have the number. A list without a row lacks it too, but for flips: none is none.
  public func verdict(on report: ComparisonReport) -> Verdict {
    var verdict = Verdict()
    var missing: [String] = []
    for pair in report.pairs {
      for kind in kinds {
        let rows = pair.rows(kind)
        if rows.isEmpty, kind != .flipped { missing.append("\(pair.b.label) \(kind.rawValue)") }
        for row in rows {
          guard let value = row[key] else {
            missing.append("\(pair.b.label) \(row.place)")
            continue
          }
          if condition.holds(value) { verdict.violations.append("\(pair.b.label) \(row.place): \(shown(value))") }
        }
      }
    }
    guard !missing.isEmpty else { return verdict }
    let places = missing.prefix(3).joined(separator: ", ") + (missing.count > 3 ? " and \(missing.count - 3) more" : "")
    verdict.fault =
      "\(condition.fullName) of \(places) is not there, so '\(self)' cannot be judged: there is no number \(key.entry.missing)"
    return verdict
  }

  private func shown(_ value: Double) -> String {
    let number: String
    switch key.entry.format {
    case .count: number = fixedPoint(value, digits: 0)
    case .number(let digits), .percent(let digits): number = fixedPoint(value, digits: digits)
    }
    return "\(condition.fullName) \(number) \(condition.comparison.rawValue) \(condition.limitText)"
  }
}
