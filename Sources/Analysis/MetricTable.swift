// Metrics side by side: a row a router (and expert, and cell of an axis), a column a metric. In a column stands the value beside its
// baselines, then the interval and what else was asked for; below, a line a metric says what the numbers are, their unit and their sample size.

import Routing

struct MetricTable {
  /// Which rows can share a table.
  enum Kind: Hashable {
    case routers, experts, stacks

    init(_ rows: [MetricRow]) {
      self = rows.contains { $0.expert != nil } ? .experts : rows.contains(where: \.isPooled) ? .stacks : .routers
    }
  }

  /// A row's place; cells keep the order of the axis.
  private struct Place: Hashable, Comparable {
    var router: RouterID
    var isPooled: Bool
    var cell: Int
    var expert: Int

    static func < (a: Place, b: Place) -> Bool { (a.router, a.cell, a.expert) < (b.router, b.cell, b.expert) }
  }

  /// One metric: its columns, its cells by place, and its line below.
  private struct Part {
    let document: MetricDocument
    let rows: [Place: MetricRow]
    private let entry: Metric
    private let hasBaseline: Bool
    private let hasInterval: Bool
    /// Stronger baselines, and further columns.
    private let baselines: [MetricRow.Field]
    private let further: [MetricRow.Field]
    /// What n is, where it is the same in all rows; else it has a column.
    private let commonN: Int?
    private let counted: String
    private let ns: [Place: Int]

    init(_ document: MetricDocument, rows: [Place: MetricRow]) {
      self.document = document
      self.rows = rows
      entry = MetricCatalog.entry(document.metric)
      let fields = rows.values.reduce(into: Set<MetricRow.Field>()) { $0.formUnion($1.fields.keys) }.sorted()
      hasBaseline = rows.values.contains { $0.baseline != nil }
      hasInterval = fields.contains { $0.role == .interval }
      baselines = fields.filter { $0.role == .baseline }
      further = fields.filter { $0.role == .column }
      ns = rows.mapValues(\.n)
      let counts = Set(ns.values)
      commonN = counts.count == 1 ? counts.first : nil
      counted = rows.values.first?.counted.rawValue ?? ""
    }

    var columns: [String] {
      [document.metric.rawValue] + (hasInterval ? ["95 %"] : []) + further.map(\.rawValue)
    }

    /// The sample sizes of a table's metrics, where they differ from row to row: those that are alike in one column.
    static func sizes(_ parts: [Part]) -> [(title: String, ns: [Place: Int])] {
      var own: [Part] = []
      for part in parts where part.commonN == nil && !own.contains(where: { $0.counted == part.counted && $0.ns == part.ns }) {
        own.append(part)
      }
      return own.map { part in
        let isAlone = own.count { $0.counted == part.counted } == 1
        return (isAlone ? part.counted : "\(part.counted) of \(part.document.metric.rawValue)", part.ns)
      }
    }

    func cells(_ place: Place) -> [ReportTable.Cell] {
      let row = rows[place]
      let value = ReportTable.Cell(row?.value, entry.format)
      let chance = (hasBaseline ? [row?.baseline] : []) + baselines.map { row?[$0] }
      var cells: [ReportTable.Cell] = [
        chance.isEmpty || row == nil ? value : .beside([value] + chance.map { ReportTable.Cell($0, entry.format) })
      ]
      if hasInterval {
        cells.append(.range(ReportTable.Cell(row?[.low], entry.format), ReportTable.Cell(row?[.high], entry.format)))
      }
      cells += further.map { field in row?[field].map { field == .core ? .count(Int($0)) : .number($0, digits: 4) } ?? .missing }
      return cells
    }

    /// `load_cv / baseline · times the mean · n 96 assignments · 0: all experts equally busy; ... · baseline: ...`
    var line: String {
      let names = [document.metric.rawValue] + (hasBaseline ? ["baseline"] : []) + baselines.map(\.rawValue)
      let units = Set(rows.values.filter { $0.value != nil }.map(\.unit)).sorted().joined(separator: " or ")
      let parts = [
        names.joined(separator: " / "), units.isEmpty ? document.unit : units,
        commonN.map { "n \($0) \(counted)" } ?? "n in column \(counted)", document.words,
        hasBaseline ? "baseline: \(document.baseline)" : nil,
        hasInterval ? "95 %: \(document.settings.intervals ?? ""), of \(Jackknife.minimumSequences) or more" : nil,
      ]
      return parts.compactMap { $0 }.joined(separator: " · ")
    }
  }

  /// As many metrics a table as fit the width, at least one.
  static func tables(_ documents: [MetricDocument], width: Int) -> [ReportTable] {
    let names = cellNames(documents)
    let placeOf = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
    let parts = documents.map { document in
      Part(
        document,
        rows: Dictionary(
          document.metricRows.map { row in
            let cell = row.cell.flatMap { placeOf[$0] } ?? -1
            return (Place(router: row.router, isPooled: row.isPooled, cell: cell, expert: row.expert ?? -1), row)
          }, uniquingKeysWith: { first, _ in first }))
    }
    let places = Set(parts.flatMap(\.rows.keys)).sorted()
    func table(_ parts: [Part]) -> ReportTable {
      let hasExperts = places.contains { $0.expert >= 0 }
      let hasCells = !names.isEmpty
      let isPooled = places.contains(where: \.isPooled)
      let sizes = Part.sizes(parts)
      return ReportTable(
        columns: [isPooled ? "stack" : "router"] + (hasCells ? [documents.first?.axis ?? "cell"] : []) + (hasExperts ? ["expert"] : [])
          + parts.flatMap(\.columns) + sizes.map(\.title),
        rows: places.map { place in
          [.text(place.isPooled ? place.router.lane : place.router.description)]
            + (hasCells ? [.text(place.cell >= 0 ? names[place.cell] : "")] : [])
            + (hasExperts ? [.count(place.expert)] : []) + parts.flatMap { $0.cells(place) }
            + sizes.map { size in size.ns[place].map { .count($0) } ?? .missing }
        }, notes: [])
    }
    var groups: [[Part]] = []
    for part in parts {
      if let last = groups.last, table(last + [part]).width <= width {
        groups[groups.count - 1].append(part)
      } else {
        groups.append([part])
      }
    }
    return groups.enumerated().map { index, group in
      var table = table(group)
      table.notes = group.map(\.line)
      if index == groups.count - 1 {
        // Once for all: what is said of the run.
        var common: [String] = []
        for note in documents.flatMap({ $0.notes.dropFirst() }) where !common.contains(note) { common.append(note) }
        table.notes += common + [documents.first?.size].compactMap { $0 }
      }
      return table
    }
  }

  /// Cells of the axis, in its order.
  private static func cellNames(_ documents: [MetricDocument]) -> [String] {
    var names: [String] = []
    var known: Set<String> = []
    for cell in documents.flatMap(\.metricRows).compactMap(\.cell) where known.insert(cell).inserted { names.append(cell) }
    return names
  }
}
