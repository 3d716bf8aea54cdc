// A comparison as tables for people and records for programs. One pair is shown whole; several are a curve, a row a run, and a table of set
// agreement with a column a run.

import Routing

extension ComparisonReport {
  /// A column: a number, a share of decisions, or an interval.
  private struct Column: Sendable {
    var title: String
    var cell: @Sendable (ComparisonRow) -> ReportTable.Cell

    init(_ title: String, _ cell: @escaping @Sendable (ComparisonRow) -> ReportTable.Cell) {
      self.title = title
      self.cell = cell
    }

    static func number(_ key: ComparisonKey, _ title: String? = nil) -> Column {
      Column(title ?? key.rawValue) { ReportTable.Cell($0[key], key.entry.format) }
    }

    static func share(_ key: ComparisonKey, _ title: String) -> Column {
      Column(title) { row in
        guard let count = row[key], let n = row[.decisions], n > 0 else { return .missing }
        return .percent(count / n, digits: 1)
      }
    }

    static func interval(_ key: ComparisonKey) -> Column {
      let ends = key.entry.interval
      return Column("95 %") { .range(ReportTable.Cell($0[ends[0]], key.entry.format), ReportTable.Cell($0[ends[1]], key.entry.format)) }
    }
  }

  /// What an agreement stands beside, weakest first; titles are explained below the tables.
  private static let chance = (even: "even", loads: "by load", texts: "other texts")

  private static let sets: [Column] = [
    .number(.setAgreement), .interval(.setAgreement), .number(.baseline, chance.even), .number(.loadBaseline, chance.loads),
    .number(.shuffledBaseline, chance.texts),
  ]
  private static let agreement: [Column] = [
    .number(.top1Agreement), .number(.top1Baseline, chance.even), .number(.top1LoadBaseline, chance.loads), .number(.jaccard),
    .number(.jaccardBaseline, chance.even), .number(.jsDivergence), .number(.loadTV),
  ]
  private static let flips: [Column] = [
    .number(.decisions), .number(.flips), .share(.flips, "of all"), .number(.flipsAboveMargin, "above margin"),
    .share(.flipsAboveMargin, "of all"),
  ]
  private static let margins: [Column] = [
    .number(.flipMargin50, "q50"), .number(.flipMargin95, "q95"), .number(.flipMarginMax, "max"),
  ]
  private static let losses: [Column] = [
    .number(.scoredTokens), .number(.lossA), .number(.lossB), .number(.lossChange), .interval(.lossChange),
  ]

  private static func table(_ title: String, _ rows: [(name: String, row: ComparisonRow)], _ columns: [Column]) -> ReportTable {
    ReportTable(
      columns: [title] + columns.map(\.title), rows: rows.map { [.text($0.name)] + columns.map { [row = $0.row] in $0.cell(row) } },
      notes: [])
  }

  /// - Parameters:
  ///   - top: flips that are listed.
  ///   - pieces: what an id stands for; for flips.
  public func tables(top: Int, pieces: [Int32: String]) -> [ReportTable] {
    var tables: [ReportTable]
    if pairs.count == 1 {
      let layers = pairs[0].result.layers.map { (name: $0.pair.words, row: $0.row) }
      let all = layers + [(name: "all", row: pairs[0].row)]
      tables = [
        Self.table("router", all, Self.sets), Self.table("router", all, Self.agreement),
        Self.table("router", layers, Self.flips + Self.margins),
        Self.table(
          "texts", pairs.filter { $0.row[.lossA] != nil }.map { (ReportTable.Cell($0.row[.texts], .count).display, $0.row) }, Self.losses),
        entropyTable(pairs[0]),
      ]
      if !pairs[0].result.flipped.isEmpty { tables.append(flipTable(pairs[0], top: top, pieces: pieces)) }
      if plan.matching == .behaviour { tables.append(matchingTable(pairs[0])) }
    } else {
      let runs = zip(titles, pairs).map { (name: $0, row: $1.row) }
      tables = [
        Self.table("run", runs, Self.sets), Self.table("run", runs, Self.agreement), Self.table("run", runs, Self.flips),
        Self.table("run", runs.filter { $0.row[.lossA] != nil }, Self.losses), curve(),
      ]
    }
    tables.removeAll { $0.rows.isEmpty }
    tables[tables.count - 1].notes = lines
    return tables
  }

  /// Runs of a series as its tables name them.
  private var titles: [String] {
    zip(letters.dropFirst(), pairs).map { $1.b.description.name.isEmpty ? $0 : "\($0) \($1.b.description.name)" }
  }

  /// Set agreement, a row a router and a column a run, each with half of its interval.
  private func curve() -> ReportTable {
    let routers = pairs.reduce(into: [String]()) { names, pair in
      for name in pair.result.layers.map({ $0.pair.words }) where !names.contains(name) { names.append(name) }
    }
    let rows = routers.map { name in pairs.map { $0.result.layers.first { $0.pair.words == name }?.row } }
    return ReportTable(
      columns: ["set_agreement"] + titles + [Self.chance.even, "\(Self.chance.loads), at most"],
      rows: zip(routers, rows).map { name, row in
        func most(_ key: ComparisonKey) -> ReportTable.Cell {
          ReportTable.Cell(row.compactMap { $0?[key] }.max(), ComparisonKey.setAgreement.entry.format)
        }
        return [.text(name)] + row.map(Self.agreement(of:)) + [most(.baseline), most(.loadBaseline)]
      }, notes: [])
  }

  /// `0.9259 ±0.0012`
  private static func agreement(of row: ComparisonRow?) -> ReportTable.Cell {
    guard let row, let value = row[.setAgreement] else { return .missing }
    guard let low = row[.setAgreementLow], let high = row[.setAgreementHigh] else { return .number(value, digits: 4) }
    return .spread(value, half: (high - low) / 2, digits: 4)
  }

  private func entropyTable(_ pair: ComparedPair) -> ReportTable {
    ReportTable(
      columns: ["entropy of A (share of ln E)", "decisions", "set_agreement"],
      rows: pair.result.byEntropy.map { row in
        [
          .range(ReportTable.Cell(row[.low], .number(4)), ReportTable.Cell(row[.high], .number(4))),
          ReportTable.Cell(row[.decisions], .count), ReportTable.Cell(row[.setAgreement], ComparisonKey.setAgreement.entry.format),
        ]
      }, notes: [])
  }

  private func flipTable(_ pair: ComparedPair, top: Int, pieces: [Int32: String]) -> ReportTable {
    func ids(_ experts: [Int32]) -> ReportTable.Cell { .text(experts.map(String.init).joined(separator: " ")) }
    let hasPieces = pair.result.flipped.contains { pieces[$0.tokenID] != nil }
    return ReportTable(
      columns: ["token", "text", "position"] + (hasPieces ? ["piece"] : []) + ["router", "margin", "a", "b"],
      rows: pair.result.flipped.prefix(top).map { flip in
        [.count(flip.token), .count(flip.text), .count(flip.position)]
          + (hasPieces ? [pieces[flip.tokenID].map { .text($0) } ?? .missing] : [])
          + [
            .text(flip.router.description), flip.margin.isFinite ? .number(Double(flip.margin), digits: 6) : .missing, ids(flip.a),
            ids(flip.b),
          ]
      }, notes: [])
  }

  private func matchingTable(_ pair: ComparedPair) -> ReportTable {
    ReportTable(
      columns: ["router", "moved", "B's expert for each of A's"],
      rows: pair.result.layers.map { layer in
        let experts = (layer.matching ?? []).map { $0 < 0 ? "-" : String($0) }.joined(separator: " ")
        return [.text(layer.pair.words), ReportTable.Cell(layer.row[.moved], .count), .text(experts)]
      }, notes: [])
  }

  /// Below the tables: what numbers say, and what must be known of the runs.
  private var lines: [String] {
    let shown: [ComparisonKey] = [.setAgreement, .top1Agreement, .jaccard, .jsDivergence, .loadTV, .flips, .lossChange]
    let words = shown.filter { key in pairs.contains { $0.row[key] != nil } }.map { key in
      let (entry, unit) = (key.entry, pairs[0].row.unit(of: key))
      return "\(key.rawValue): \(entry.words)" + (key.isCount ? "" : " (\(unit), over \(entry.n?.rawValue ?? ""))")
    }
    let intervals =
      "95 %\(pairs.count == 1 ? "" : " and ±"): delete-one-text jackknife\(pairs.contains { $0.row[.low] == nil } ? ", from \(Jackknife.minimumSequences) texts on" : "")"
    return [
      "chance beside an agreement: \(Self.chance.even), experts drawn evenly; \(Self.chance.loads), independently with the loads of both runs; "
        + "\(Self.chance.texts), B's other texts at equal positions"
    ] + words + [
      "margin: A's between its last chosen and its next best, in units of its selection scores (\(pairs[0].row.unit(of: .margin))); of flips its "
        + "median (q50), q95 and largest; above margin: above --margin \(plainNumber(plan.margin)), no near tie", intervals,
    ] + notes
  }

  // MARK: - csv

  /// A record a number, then bins and flips in tables of their own.
  public func records() -> [ReportTable] {
    func number(_ value: Double?) -> ReportTable.Cell { value.map { .number($0, digits: 6) } ?? .missing }
    func count(_ value: Double?) -> ReportTable.Cell { value.flatMap(Int.init(exactly:)).map { .count($0) } ?? .missing }
    let numbers = pairs.flatMap { pair in
      (pair.rows(.layers) + pair.rows(.pairs)).flatMap { row in
        row.kind.keys.filter { $0.entry.n != nil }.map { key -> [ReportTable.Cell] in
          let entry = key.entry
          // Weakest first, whatever they are called beside this number (`top1_baseline`).
          let baselines = (0..<3).map { number($0 < entry.baselines.count ? row[entry.baselines[$0]] : nil) }
          return [
            .text(pair.b.label), .text(row.kind == .pairs ? "" : row.place), .text(key.rawValue),
            key.isCount ? count(row[key]) : number(row[key]), .text(row.unit(of: key)), count(entry.n.flatMap { row[$0] }),
            .text(entry.counted?.rawValue ?? ""),
          ] + baselines + [number(entry.interval.first.flatMap { row[$0] }), number(entry.interval.last.flatMap { row[$0] })]
        }
      }
    }
    let bins = pairs.flatMap { pair in
      pair.rows(.byEntropy).map { row in
        [.text(pair.b.label), number(row[.low]), number(row[.high]), count(row[.decisions]), number(row[.setAgreement])]
      }
    }
    let flips = pairs.flatMap { pair in
      pair.result.flipped.map { flip -> [ReportTable.Cell] in
        [
          .text(pair.b.label), .count(flip.token), .count(flip.tokenB), .count(flip.text), .count(flip.position),
          .text(flip.router.description), flip.margin.isFinite ? number(Double(flip.margin)) : .missing,
          .text(flip.a.map(String.init).joined(separator: " ")), .text(flip.b.map(String.init).joined(separator: " ")),
        ]
      }
    }
    let tables = [
      ReportTable(
        columns: [
          "run", "router", "name", "value", "unit", "n", "n_of", "baseline", "load_baseline", "shuffled_baseline", "low", "high",
        ], rows: numbers, notes: []),
      ReportTable(columns: ["run", "entropy_low", "entropy_high", "decisions", "set_agreement"], rows: bins, notes: []),
      ReportTable(
        columns: ["run", "token", "token_b", "text", "position", "router", "margin", "a", "b"], rows: flips, notes: []),
    ].filter { !$0.rows.isEmpty }
    guard let filter = plan.filter else { return tables }
    return tables.map { $0.adding("filter", .text(filter)) }
  }
}
