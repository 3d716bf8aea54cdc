// A report as tables: columns that belong side by side, cells that know their number and how to print it. Widths, rules and colour
// are the printer's business; csv takes the plain numbers.

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

    /// For people: `0.612`, `21.0%`, `-` when missing.
    public var display: String {
      switch self {
      case .missing: "-"
      case .text(let text): text
      case .count(let count): String(count)
      case .number(let value, let digits): fixedPoint(value, digits: digits)
      case .percent(let value, let digits): fixedPoint(100 * value, digits: digits) + "%"
      }
    }

    /// For programs: full precision, shares as shares; empty when missing.
    public var plain: String {
      switch self {
      case .missing: ""
      case .text(let text): text
      case .count(let count): String(count)
      case .number(let value, _), .percent(let value, _): plainNumber(value)
      }
    }
  }

  public var columns: [String]
  public var rows: [[Cell]]
  /// Sentences for the last line: units, readings, sample size.
  public var notes: [String]

  static func routerCell(_ router: RouterID, hasStacks: Bool) -> Cell {
    hasStacks ? .text(router.description) : .count(router.layer.rawValue)
  }
}

extension AnalysisReport {
  /// Metrics whose rows are of one kind share a table, a column each; others have one of their own.
  public func tables() -> [ReportTable] {
    var tables: [ReportTable] = []
    var metrics: [MetricDocument] = []
    for document in documents {
      switch document.rows {
      case .metric: metrics.append(document)
      case .specialization(let rows): tables.append(SpecializationResult.table(document, rows))
      case .enrichment(let rows): tables.append(enrichmentTable(document, rows))
      case .tokens(let rows): tables.append(tokenTable(document, rows))
      case .specialists(let rows): tables.append(specialistTable(document, rows))
      case .claims(let claims): tables += claimTables(document, claims)
      }
    }
    let perExpert = metrics.filter { $0.metricRows.contains { $0.expert != nil } }
    let others = metrics.filter { !$0.metricRows.contains { $0.expert != nil } }
    return [others, perExpert].filter { !$0.isEmpty }.map(metricTable) + tables
  }

  private func metricTable(_ documents: [MetricDocument]) -> ReportTable {
    struct Place: Hashable, Comparable {
      var router: RouterID
      /// Cells keep the order of the axis.
      var cell: Int
      var expert: Int
      static func < (a: Place, b: Place) -> Bool { (a.router, a.cell, a.expert) < (b.router, b.cell, b.expert) }
    }
    var names: [String] = []
    var values: [Place: [Int: MetricRow]] = [:]
    for (column, document) in documents.enumerated() {
      for row in document.metricRows {
        if let cell = row.cell, !names.contains(cell) { names.append(cell) }
        let place = Place(
          router: row.router, cell: row.cell.flatMap { names.firstIndex(of: $0) } ?? -1, expert: row.expert ?? -1)
        values[place, default: [:]][column] = row
      }
    }
    let hasCells = !names.isEmpty
    let hasExperts = values.keys.contains { $0.expert >= 0 }
    let hasStacks = Set(values.keys.map(\.router.stack)).count > 1
    let withInterval = documents.map { $0.metricRows.contains { $0.interval != nil } }
    var columns = [hasStacks ? "router" : "layer"] + (hasCells ? [documents.first?.axis ?? "cell"] : []) + (hasExperts ? ["expert"] : [])
    for (index, document) in documents.enumerated() {
      columns.append(document.metric.rawValue)
      if withInterval[index] { columns += [document.metric.rawValue + "_low", document.metric.rawValue + "_high"] }
    }
    let rows = values.keys.sorted().map { place -> [ReportTable.Cell] in
      var row = [ReportTable.routerCell(place.router, hasStacks: hasStacks)]
      if hasCells { row.append(.text(place.cell >= 0 ? names[place.cell] : "")) }
      if hasExperts { row.append(.count(place.expert)) }
      for (index, document) in documents.enumerated() {
        let found = values[place]?[index]
        row.append(cell(found?.value, document.metric))
        if withInterval[index] { row += [cell(found?.interval?.low, document.metric), cell(found?.interval?.high, document.metric)] }
      }
      return row
    }
    return ReportTable(columns: columns, rows: rows, notes: documents.flatMap(\.notes) + ["\(documents.first?.tokens ?? 0) tokens"])
  }

  private func cell(_ value: Double?, _ metric: MetricKey) -> ReportTable.Cell {
    guard let value else { return .missing }
    switch MetricCatalog.entry(metric).format {
    case .percent(let digits): return .percent(value, digits: digits)
    case .number(let digits): return .number(value, digits: digits)
    case .count: return .count(Int(value))
    }
  }

  private func enrichmentTable(_ document: MetricDocument, _ rows: [EnrichmentRow]) -> ReportTable {
    let hasStacks = Set(rows.map(\.router.stack)).count > 1
    return ReportTable(
      columns: [hasStacks ? "router" : "layer", document.axis ?? "cell", "expert", "observed", "expected", "ratio", "z", "adjusted_p"],
      rows: rows.map {
        [
          ReportTable.routerCell($0.router, hasStacks: hasStacks), .text($0.cell), .count($0.enrichment.expert.rawValue),
          .count($0.enrichment.observed),
          .number($0.enrichment.expected, digits: 1), .number($0.enrichment.ratio, digits: 2), .number($0.enrichment.z, digits: 1),
          $0.enrichment.adjustedP.map { .number($0, digits: 4) } ?? .missing,
        ]
      }, notes: document.notes + ["adjusted_p controls the chance of even one false find; cells with fewer than 20 expected are not ranked"]
    )
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
      }, notes: document.notes + ["\(document.tokens) tokens"])
  }
}

extension MetricDocument {
  /// Rows of a plain metric; empty for specialization and token lists.
  public var metricRows: [MetricRow] {
    if case .metric(let rows) = rows { return rows }
    return []
  }
}
