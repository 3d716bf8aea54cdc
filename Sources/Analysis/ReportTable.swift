// A report as tables: columns that belong side by side, cells that know their number and how to print it. A metric's column shows its
// value beside its baselines; units, readings and sample sizes stand in the lines below. Rules and colour are the printer's business; csv
// is a table of its own kind (ReportRecords).

import Routing

/// Rows and columns ready to be printed as a table, csv or markdown.
public struct ReportTable: Sendable {
  public enum Cell: Sendable, Equatable {
    case missing
    case text(String)
    case count(Int)
    case number(Double, digits: Int)
    /// A share of 1, printed as a percentage.
    case percent(Double, digits: Int)
    /// A value beside what it is to be read against.
    case beside([Cell])
    /// A value and half of its interval.
    case spread(Double, half: Double, digits: Int)
    /// An interval.
    indirect case range(Cell, Cell)

    /// For people: `0.612`, `21.0%`, `0.612 / 0.250`, `-` when missing.
    public var display: String {
      switch self {
      case .missing: "-"
      case .text(let text): text
      case .count(let count): String(count)
      case .number(let value, let digits): fixedPoint(value, digits: digits)
      case .percent(let value, let digits): fixedPoint(100 * value, digits: digits) + "%"
      case .beside(let cells): cells.map(\.display).joined(separator: " / ")
      case .spread(let value, let half, let digits): "\(fixedPoint(value, digits: digits)) ±\(fixedPoint(half, digits: digits))"
      case .range(.missing, .missing): "-"
      case .range(let low, let high): "\(low.display) to \(high.display)"
      }
    }

    /// For programs: full precision, shares as shares, the value alone of several; empty when missing.
    public var plain: String {
      switch self {
      case .missing: ""
      case .text(let text): text
      case .count(let count): String(count)
      case .number(let value, _), .percent(let value, _), .spread(let value, _, _): plainNumber(value)
      case .beside(let cells): cells.first?.plain ?? ""
      case .range(let low, let high): "\(low.plain) \(high.plain)"
      }
    }

    /// Numbers stand at the right of their column.
    public var isText: Bool { if case .text = self { true } else { false } }

    /// A number of a metric; nil is missing.
    init(_ value: Double?, _ format: Metric.Format) {
      switch (value, format) {
      case (nil, _): self = .missing
      case (.some(let value), .percent(let digits)): self = .percent(value, digits: digits)
      case (.some(let value), .number(let digits)): self = .number(value, digits: digits)
      // A chance value of a count need not be whole.
      case (.some(let value), .count): self = Int(exactly: value).map { .count($0) } ?? .number(value, digits: 2)
      }
    }
  }

  /// A line above, where the columns do not say what the table is of.
  public var title = ""
  public var columns: [String]
  public var rows: [[Cell]]
  /// Lines below: units, readings, sample size.
  public var notes: [String]

  /// With a last column that says the same in every row.
  func adding(_ column: String, _ cell: Cell) -> ReportTable {
    ReportTable(title: title, columns: columns + [column], rows: rows.map { $0 + [cell] }, notes: notes)
  }

  /// Without columns in which no row has anything.
  func withoutEmptyColumns() -> ReportTable {
    let kept = columns.indices.filter { column in rows.contains { $0[column] != .missing } }
    return ReportTable(title: title, columns: kept.map { columns[$0] }, rows: rows.map { row in kept.map { row[$0] } }, notes: notes)
  }

  /// Width of the columns as they are printed, two spaces between.
  var width: Int {
    columns.indices.reduce(2 * (columns.count - 1)) { sum, column in
      sum + (rows.map { $0[column].display.count } + [columns[column].count]).reduce(0, max)
    }
  }
}

extension AnalysisReport {
  /// Metrics whose rows are of one kind share a table, a column each, as far as the width allows; others have one of their own.
  /// - Parameter width: columns of the terminal; only metrics are moved to a further table for it, nothing is cut.
  public func tables(width: Int) -> [ReportTable] {
    var tables: [ReportTable] = []
    var metrics: [[MetricDocument]] = []
    for document in documents {
      switch document.rows {
      case .metric(let rows):
        let kind = MetricTable.Kind(rows)
        if let place = metrics.firstIndex(where: { MetricTable.Kind($0[0].metricRows) == kind }) {
          metrics[place].append(document)
        } else {
          metrics.append([document])
        }
      case .specialization(let rows): tables.append(SpecializationResult.table(document, rows))
      case .enrichment(let rows): tables.append(enrichmentTable(document, rows))
      case .tokens(let rows): tables.append(tokenTable(document, rows))
      case .specialists(let rows): tables.append(specialistTable(document, rows))
      case .claims(let claims): tables += claimTables(document, claims)
      }
    }
    return metrics.flatMap { MetricTable.tables($0, width: width) } + tables
  }

  private func enrichmentTable(_ document: MetricDocument, _ rows: [EnrichmentRow]) -> ReportTable {
    ReportTable(
      columns: ["router", document.axis ?? "cell", "expert", "observed", "expected", "ratio", "z", "adjusted_p"],
      rows: rows.map {
        [
          .text($0.router.description), .text($0.cell), .count($0.enrichment.expert.rawValue),
          .count($0.enrichment.observed),
          .number($0.enrichment.expected, digits: 1), .number($0.enrichment.ratio, digits: 2), .number($0.enrichment.z, digits: 1),
          $0.enrichment.adjustedP.map { .number($0, digits: 4) } ?? .missing,
        ]
      },
      notes: document.notes + [
        "observed and expected count assignments; adjusted_p controls the chance of even one false find; cells with fewer than 20 expected "
          + "are not ranked", document.size,
      ])
  }

  private func tokenTable(_ document: MetricDocument, _ rows: [UncertainToken]) -> ReportTable {
    func number(_ value: Float, _ digits: Int) -> ReportTable.Cell { value.isFinite ? .number(Double(value), digits: digits) : .missing }
    return ReportTable(
      columns: [
        "token", "sequence", "position", "token_id", "routers_over", "max_entropy", "at", "selection_margin", "next_token_entropy",
        "surprisal",
      ],
      rows: rows.map {
        [
          .count($0.token), .count($0.sequence), .count($0.position), .count(Int($0.tokenID)), .count($0.routersOver),
          number($0.maxEntropy, 3), .text($0.maxEntropyRouter.description), number($0.selectionMargin, 4), number($0.nextTokenEntropy, 2),
          number($0.surprisal, 2),
        ]
      },
      notes: document.notes + ["max_entropy: share of ln E; next_token_entropy and surprisal: nat", document.size])
  }
}

extension MetricDocument {
  /// The last line of a table.
  var size: String { settings.branch == nil ? "\(tokens) tokens" : "\(tokens) rows (patches at each step)" }
}
