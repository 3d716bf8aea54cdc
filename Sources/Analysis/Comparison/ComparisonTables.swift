// A comparison as tables for people and records for programs. One pair is shown whole; several are a curve, a row a run, and a table of set
// agreement with a column a run.

import Routing

extension ComparisonReport {
  /// A column: numbers side by side, or an interval.
  private enum Column {
    case number(ComparisonKey)
    /// A number beside its baselines.
    case read(ComparisonKey)
    case interval(ComparisonKey)
    /// Quantiles of flips' margins.
    case margins

    var title: String {
      switch self {
      case .number(let key), .read(let key): key.rawValue
      case .interval: "95 %"
      case .margins: "flip_margin_q50 / q95 / max"
      }
    }

    func cell(_ row: ComparisonRow) -> ReportTable.Cell {
      func cell(_ key: ComparisonKey) -> ReportTable.Cell { ReportTable.Cell(row[key], key.entry.format) }
      switch self {
      case .number(let key): return cell(key)
      case .read(let key): return .beside([cell(key)] + key.entry.baselines.map(cell))
      case .interval(let key):
        return key.entry.interval.count == 2 ? .range(cell(key.entry.interval[0]), cell(key.entry.interval[1])) : .missing
      case .margins: return row[.flipMarginMax] == nil ? .missing : .beside([.flipMargin50, .flipMargin95, .flipMarginMax].map(cell))
      }
    }
  }

  private static let agreement: [Column] = [
    .read(.setAgreement), .interval(.setAgreement), .read(.top1Agreement), .read(.jaccard),
  ]
  private static let distances: [Column] = [
    .number(.decisions), .number(.jsDivergence), .number(.loadTV), .number(.flips), .number(.flipsAboveMargin),
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
      let layers = pairs[0].result.layers.map { (name: Self.name($0.pair), row: $0.row) }
      let all = layers + [(name: "all", row: pairs[0].row)]
      tables = [
        Self.table("router", all, Self.agreement), Self.table("router", all, Self.distances + [.margins]),
        Self.table("texts", scored.map { (name: ReportTable.Cell($0.row[.texts], .count).display, row: $0.row) }, Self.losses),
        entropyTable(pairs[0]),
      ]
      if !pairs[0].result.flipped.isEmpty { tables.append(flipTable(pairs[0], top: top, pieces: pieces)) }
      if plan.matching == .behaviour { tables.append(matchingTable(pairs[0])) }
    } else {
      func named(_ pairs: [ComparedPair]) -> [(name: String, row: ComparisonRow)] { pairs.map { ($0.b.title, $0.row) } }
      let runs = named(pairs)
      tables = [
        Self.table("run", runs, Self.agreement), Self.table("run", runs, Self.distances),
        Self.table("run", named(scored), Self.losses), curve(),
      ]
    }
    tables.removeAll { $0.rows.isEmpty }
    tables[tables.count - 1].notes = lines
    return tables
  }

  /// Pairs with a loss; images have none.
  private var scored: [ComparedPair] { pairs.filter { $0.row[.lossA] != nil } }

  private static func name(_ pair: RouterPair) -> String {
    pair.a.id == pair.b.id ? pair.a.id.description : "\(pair.a.id)=\(pair.b.id)"
  }

  /// Set agreement, a row a router and a column a run.
  private func curve() -> ReportTable {
    let routers = pairs.reduce(into: [String]()) { names, pair in
      for name in pair.result.layers.map({ Self.name($0.pair) }) where !names.contains(name) { names.append(name) }
    }
    return ReportTable(
      columns: ["set_agreement"] + pairs.map(\.b.title),
      rows: routers.map { name in
        [.text(name)]
          + pairs.map { pair in
            let row = pair.result.layers.first { Self.name($0.pair) == name }?.row
            return ReportTable.Cell(row?[.setAgreement], ComparisonKey.setAgreement.entry.format)
          }
      }, notes: [])
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
        return [.text(Self.name(layer.pair)), ReportTable.Cell(layer.row[.moved], .count), .text(experts)]
      }, notes: [])
  }

  /// Below the tables: what numbers say, and what must be known of the runs.
  private var lines: [String] {
    let shown: [ComparisonKey] = [
      .setAgreement, .top1Agreement, .jaccard, .jsDivergence, .loadTV, .flips, .flipsAboveMargin, .lossChange,
    ]
    let unit = pairs[0].row.unit(of: .margin)
    let words = shown.map { key in
      let entry = key.entry
      let n = (entry.n?.rawValue).map { " · n: \($0)" } ?? ""
      let interval = entry.interval.isEmpty ? "" : " · 95 %: jackknife over texts, \(Jackknife.minimumSequences) or more"
      return
        "\(([key] + entry.baselines).map(\.rawValue).joined(separator: " / ")) · \(pairs[0].row.unit(of: key))\(n) · \(entry.words)\(interval)"
    }
    return words + [
      "flip_margin: A's selection margin of flips, in units of its selection scores (\(unit)); --margin \(plainNumber(plan.margin))"
    ]
      + notes
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
          let baselines = [.baseline, .loadBaseline, .shuffledBaseline].map { (own: ComparisonKey) -> ReportTable.Cell in
            // The plain one may have a name of its own (`top1_baseline`).
            let known = own == .baseline ? entry.baselines.first : entry.baselines.first { $0 == own }
            return number(known.flatMap { row[$0] })
          }
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
