// A report for programs that read csv: one record a number, the same columns for every metric, each with its unit, its sample size and its
// baseline. Answers that are no single numbers (specialization, lists, statements) have columns of their own.

import Routing

extension AnalysisReport {
  /// Columns that every file of plain metrics begins with; those of further numbers follow (`sd`, `median`, ...), where a metric has them.
  static let recordColumns = [
    "metric", "router", "layer", "expert", "axis", "cell", "value", "unit", "n", "n_of", "baseline", "low", "high",
  ]

  /// Plain metrics in one table, the others each in one of their own.
  public func records() -> [ReportTable] {
    var tables: [ReportTable] = []
    let plain = documents.filter { if case .metric = $0.rows { true } else { false } }
    if !plain.isEmpty { tables.append(records(of: plain)) }
    for document in documents {
      switch document.rows {
      case .metric: break
      case .specialization(let rows): tables.append(SpecializationResult.records(document, rows))
      case .enrichment, .tokens, .specialists, .claims: tables += AnalysisReport(documents: [document]).tables(width: .max)
      }
    }
    guard let filter = documents.first?.settings.filter else { return tables }
    return tables.map { $0.adding("filter", .text(filter)) }
  }

  private func records(of documents: [MetricDocument]) -> ReportTable {
    let further = Set(documents.flatMap(\.metricRows).flatMap(\.fields.keys)).filter { $0.role != .interval }.sorted()
    func number(_ value: Double?) -> ReportTable.Cell { value.map { .number($0, digits: 6) } ?? .missing }
    return ReportTable(
      columns: Self.recordColumns + further.map(\.rawValue),
      rows: documents.flatMap { document in
        document.metricRows.map { row -> [ReportTable.Cell] in
          [
            .text(document.metric.rawValue), .text(row.place), row.isPooled ? .missing : .count(row.router.layer.rawValue),
            row.expert.map { .count($0) } ?? .missing, row.cell == nil ? .missing : .text(document.axis ?? ""),
            row.cell.map { .text($0) } ?? .missing, number(row.value), .text(row.unit), .count(row.n), .text(row.counted.rawValue),
            number(row.baseline), number(row[.low]), number(row[.high]),
          ] + further.map { number(row[$0]) }
        }
      }, notes: [])
  }
}
