// The panels of Specialization: experts by cells of the axis, the figures of a layer beside their null, and the strongest cells.

import Analysis
import Routing
import Terminal

/// A table of choices along an axis.
struct CellTable: Sendable, Equatable {
  var names: [String]
  /// `[experts][cells]`
  var counts: [[Int]]

  /// `[cells]`: choices of all experts.
  var sums: [Int] { names.indices.map { cell in counts.reduce(0) { $0 + $1[cell] } } }

  /// Experts by index, or by how often they were chosen.
  func order(byLoad: Bool) -> [Int] {
    guard byLoad else { return Array(counts.indices) }
    let sums = counts.map { $0.reduce(0, +) }
    return counts.indices.sorted { (sums[$1], $0) < (sums[$0], $1) }
  }
}

extension AppModel {
  /// The result of the layer looked at.
  var study: SpecializationResult? {
    guard routers.indices.contains(router) else { return nil }
    return special.results.first { $0.router == routers[router].id }
  }

  /// Choices of each expert in each cell of the axis: of a run of images as of now, of text as of the last study.
  var cellTable: CellTable? {
    guard let buffer, routers.indices.contains(router), let facet = special.facet, let experts = spec?.expertCount else { return nil }
    if let counts = branchCounts {
      guard
        let found = counts.projection(facet, of: routers[router].id, sequences: buffer.sequences, unfinished: true),
        !found.cellNames.isEmpty
      else { return nil }
      return CellTable(
        names: found.cellNames,
        counts: (0..<experts).map { expert in found.cellNames.indices.map { Int(found.values[$0 * experts + expert]) } })
    }
    guard special.resultFacet == facet, let study else { return nil }
    var counts = Array(repeating: Array(repeating: 0, count: study.cells.count), count: experts)
    for entry in study.enrichment where entry.expert.rawValue < experts { counts[entry.expert.rawValue][entry.cell] = entry.observed }
    return CellTable(names: study.cells.map(\.name), counts: counts)
  }

  /// The cell looked at: of steps and patches the one that is looked at everywhere.
  var cell: Int {
    guard let layout else { return special.cell }
    switch special.facet {
    case .step: return look?.step ?? special.cell
    case .patch: return patch
    case .patchRow: return patch / layout.patchColumns
    case .patchColumn: return patch % layout.patchColumns
    default: return special.cell
    }
  }

  /// Columns of the table by name: a live table may have grown columns that the last study does not know, anywhere among the others.
  private func columns(of table: CellTable) -> [String: Int] {
    Dictionary(table.names.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Ratio of observed to expected choices of the last study, for each expert and column of `table`: `[experts * columns]`.
  func lift(in table: CellTable) -> [Int: Double] {
    guard let study, special.resultFacet == special.facet else { return [:] }
    let columns = columns(of: table)
    var lift: [Int: Double] = [:]
    for entry in study.enrichment {
      if let column = columns[study.cells[entry.cell].name] { lift[entry.expert.rawValue * table.names.count + column] = entry.ratio }
    }
    return lift
  }

  /// The cell of the last study that is looked at.
  private var studiedCell: Int? {
    guard let study, special.resultFacet == special.facet else { return nil }
    guard let names = cellTable?.names, names.indices.contains(cell) else { return study.cells.indices.contains(cell) ? cell : nil }
    return study.cells.firstIndex { $0.name == names[cell] }
  }

  mutating func moveCell(_ by: Int) {
    switch special.facet {
    case .step where look != nil: scrub(steps: by)
    case .patch: movePatch(by: by)
    case .patchRow: movePatch(rows: by, columns: 0)
    case .patchColumn: movePatch(rows: 0, columns: by)
    default: special.cell = max(0, min((cellTable?.names.count ?? 1) - 1, special.cell + by))
    }
  }

  var specializationStatus: StyledText {
    guard let buffer else { return "" }
    var text = StyledText(layerWords)
    if let study, let cell = studiedCell {
      // The number of a step or a row says nothing without its axis.
      let prefix = special.facet.map { $0.isDenoising ? $0.name + " " : "" } ?? ""
      let name = prefix + study.cells[cell].name
      text += StyledText("  expert \(expert) × \(name)")
      if let entry = study.enrichment.first(where: { $0.expert.rawValue == expert && $0.cell == cell }) {
        // The verdict first: a narrow line is cut at its end.
        if entry.isFaint {
          text += StyledText("  too few to trust:", .warning)
        } else if let p = entry.adjustedP {
          text += StyledText("  p \(pText(p)) over all cells,")
        }
        text += StyledText(
          " ratio \(Show.fixed(entry.ratio, 2)), \(Show.grouped(entry.observed)) choice\(entry.observed == 1 ? "" : "s"), \(Show.fixed(entry.expected, 1)) expected, z \(Show.fixed(entry.z, 1))"
        )
      }
    }
    if special.end > 0, special.end < buffer.end {
      text += StyledText(
        kind.countsSamples
          ? "  statistics of \(Show.counted(study?.sequences ?? 0, "whole sample"))"
          : "  from \(Show.grouped(special.end)) of \(Show.grouped(buffer.end)) tokens", .dim)
    }
    return text
  }

  func pText(_ p: Double) -> String { pText(p, draws: special.draws) }

  /// No p is smaller than so many draws can tell.
  func pText(_ p: Double, draws: Int) -> String {
    let least = draws > 0 ? 1 / Double(draws + 1) : 0
    return p <= least * 1.0001 ? "≤ \(Show.fixed(least, 4))" : Show.fixed(p, p < 0.1 ? 4 : 2)
  }

  // MARK: - The map

  /// Where the scale of shares ends.
  func cellLimit(_ experts: Int) -> Double { min(1, 4 / Double(max(1, experts))) }

  /// The part of the panel's inside that the map takes: below the axes, above the legend.
  func cellRoom(in area: Rect) -> Rect { area.dropping(top: 1, bottom: special.scale == .share ? 1 : 0) }

  /// Experts by cells; nil where nothing was counted or found yet.
  func cellMap(width: Int) -> HeatMap? {
    let result = special.resultFacet == special.facet ? study : nil
    guard let found = special.scale == .lift && result == nil ? nil : cellTable else { return nil }
    let (counts, sums, order) = (found.counts, found.sums, found.order(byLoad: special.ordersByLoad))
    let limit = cellLimit(counts.count)
    let lift = lift(in: found)
    let showsLift = special.scale == .lift
    var map = HeatMap(rows: counts.count, columns: found.names.count) { row, cell in
      guard order.indices.contains(row) else { return nil }
      if showsLift { return lift[order[row] * found.names.count + cell].map { $0 - 1 } }
      return sums[cell] > 0 ? Double(counts[order[row]][cell]) / Double(sums[cell]) / limit : nil
    }
    map.isDiverging = showsLift
    map.leading = [HeatMap.Side("", width: 4) { StyledText(expertName(order[$0]), .dim) }]
    let all = max(1, sums.reduce(0, +))
    map.trailing = [
      HeatMap.Side("share", width: 7, alignment: .right) { row in
        StyledText(Show.fixed(Double(counts[order[row]].reduce(0, +)) / Double(all) * 100, 1) + " %")
      }
    ]
    map.ticks = .top
    // Steps and patches are read by their numbers; words need room, and what does not fit is scrolled to.
    let isNumbered = special.facet?.isDenoising == true
    let wide = max(isNumbered ? 1 : min(8, (width - 14)), min(12, (width - 14) / max(1, found.names.count)))
    map.columnWidth = wide
    let every = wide > 2 || !isNumbered ? 1 : 10
    map.tickEvery = every
    map.tickLabel = { every > 1 ? found.names[$0] : Printable.cut(found.names[$0], to: max(1, wide - 1)) }
    map.cursor = (order.firstIndex(of: expert) ?? 0, min(cell, found.names.count - 1))
    return map
  }

  /// What stands before the names of the axes.
  var axisLead: String { "axis (\(key(.axis))) " }

  /// Looks at the cell that is drawn at a place, or turns to the axis whose name is.
  mutating func pointAtCell(_ place: Point, in area: Rect) -> [Effect] {
    if place.y == area.y {
      var x = area.x + 1 + axisLead.count
      for facet in facets {
        let width = Printable.width(of: facet.name) + 2
        if x..<x + width ~= place.x { return SpecializationScreen.turn(to: facet, &self) }
        x += width
      }
      return []
    }
    guard let table = cellTable, let map = cellMap(width: area.width),
      let cell = map.geometry(in: cellRoom(in: area), theme: theme).cell(at: place)
    else { return [] }
    let order = table.order(byLoad: special.ordersByLoad)
    if order.indices.contains(cell.row) { expert = order[cell.row] }
    moveCell(cell.column - self.cell)
    return []
  }
}

extension Painter {
  var axisName: String { model.special.facet?.name ?? "axis" }

  /// The axes there are, and where there is room why there are no others.
  private func axes(width: Int) -> StyledText {
    var text = StyledText(model.axisLead, .dim)
    for facet in model.facets {
      text += facet == model.special.facet ? StyledText("[\(facet.name)]", .tabActive) : StyledText(" \(facet.name) ", .tab)
    }
    let others = StyledText("  " + model.kind.words.missingAxes, .dim)
    return text.width + others.width <= width ? text + others : text
  }

  mutating func drawCells() {
    let what =
      model.special.scale == .share
      ? "share of a column's choices; each column sums to 1" : "lift: observed over expected; white as chance has it"
    let inside = areas[.cells].map(Panel.inner) ?? .zero
    let map = model.cellMap(width: inside.width)
    let part = map.map { $0.geometry(in: model.cellRoom(in: inside), theme: theme).note(rows: $0.rows, columns: $0.columns) } ?? ""
    panel(
      .cells, StyledText("Expert × \(axisName) · \(model.layerWords)"),
      footer: StyledText((part.isEmpty ? "" : part + " · ") + what + " (\(model.key(.metric)))")
    ) { painter, area in
      painter.line(0, painter.axes(width: area.width - 1), in: area.dropping(left: 1))
      let inner = area.dropping(top: 1)
      guard let map else { return painter.explainStudy(in: inner) }
      map.draw(into: &painter.screen, painter.model.cellRoom(in: area), theme: painter.theme)
      guard painter.model.special.scale == .share else { return }
      HeatLegend(
        low: "0", high: "\(Show.fixed(painter.model.cellLimit(map.rows) * 100, 0)) %",
        note: StyledText("uniform \(Show.fixed(100 / Double(max(1, map.rows)), 1)) %", .dim)
      )
      .draw(into: &painter.screen, inner.row(inner.height - 1).dropping(left: 5), theme: painter.theme)
    }
  }

  /// Why there is no picture yet.
  private mutating func explainStudy(in area: Rect) {
    if let progress = model.special.progress {
      line(
        0, StyledText("shuffling \(axisName): \(progress.done) of \(progress.of) draws, \(model.key(.back)) cancels"),
        in: area.dropping(left: 1))
    } else if let problem = model.special.problem {
      let names = Set(model.buffer?.sequences.compactMap { $0.labels[axisName] } ?? [])
      explain(
        "Not enough to compare yet: \(problem). \(model.isLive && names.count < 2 ? "Wait for another \(model.kind.words.sequence) to \(model.kind.words.arrival), or press \(model.key(.axis)) for another axis." : "\(model.key(.axis)) chooses another axis.")",
        in: area)
    } else {
      line(0, StyledText("waiting for \(model.kind.words.whole)"), in: area.dropping(left: 1))
    }
  }

  mutating func drawFigures() {
    let model = model
    let progress = model.special.progress.map { " · \($0.done) of \($0.of) shuffles" } ?? ""
    panel(
      .figures, StyledText("How specialised is \(model.layerWords)?\(progress)"),
      footer: StyledText(nullWords)
    ) { painter, area in
      guard let result = model.study, model.special.resultFacet == model.special.facet else {
        if model.kind.countsSamples { painter.explainStudy(in: area) }
        return
      }
      let facet = painter.axisName
      var rows: [(String, StyledText)] = [
        ("I(expert ; \(facet))", StyledText("\(Show.fixed(result.mutualInformation, 4)) nat", .strong) + StyledText(" plug-in", .dim)),
        ("null, \(result.nullCount) shuffles", StyledText("\(Show.fixed(result.nullMean, 4)) ± \(Show.fixed(result.nullSD, 4)) nat")),
        (
          "effect",
          StyledText(result.effect.map { Show.fixed($0, 4) + " nat" } ?? "–", .strong)
            + StyledText(
              result.hasFewTexts
                ? "  few \(model.kind.words.sequence)s"
                : result.interval == nil ? "  too few \(model.kind.words.sequence)s for an interval" : "", .dim)
        ),
        (
          "p",
          StyledText(model.pText(result.p), result.isBeyondDoubt ? .good : nil)
            + StyledText(
              result.p >= 0.05
                ? "  as chance has it" : result.holdsZero ? "  above its null, but the interval holds 0" : "  above its null", .dim)
        ),
        (
          "of H(\(facet))",
          StyledText(result.normalizedEffect.map { Show.fixed($0, 3) } ?? "–")
            + StyledText("  H = \(Show.fixed(result.cellEntropy, 2)) nat", .dim)
        ),
        ("N", StyledText(Show.counted(result.assignments, "choice"))),
        ("", StyledText("\(Show.counted(result.sequences, model.kind.words.sequence)), \(Show.counted(result.cells.count, "cell"))")),
      ]
      if let interval = result.interval {
        rows.insert(("95 % interval", StyledText("\(Show.fixed(interval.low, 4)) to \(Show.fixed(interval.high, 4)) nat")), at: 3)
      }
      if model.special.results.count > 1, let place = rows.firstIndex(where: { $0.0 == "p" }) {
        rows.insert(("p, all layers", StyledText(model.pText(result.adjustedP), result.isBeyondDoubt ? .good : nil)), at: place + 1)
      }
      if model.special.unlabelled > 0 {
        rows.append(
          ("left out", StyledText("\(Show.counted(model.special.unlabelled, model.kind.words.sequence)) without this label", .warning)))
      }
      if let matched = result.matched {
        rows.append(
          (
            "equal lengths",
            StyledText("effect \(matched.effect.map { Show.fixed($0, 4) } ?? "–") nat, p \(model.pText(matched.p))")
              + StyledText("  first \(Show.counted(matched.positions, "token"))", .dim)
          ))
      }
      let spark = Sparkline(model.special.results.map { max(0, $0.effect ?? 0) }).text(painter.theme.glyphs)
      rows.append(
        (
          "effect by layer",
          StyledText("\(model.layerName(0)) ", .dim) + StyledText(spark, .bar)
            + StyledText(" \(model.layerName(model.routers.count - 1))", .dim)
        ))
      let divergence = result.expertDivergence.filter { $0.assignments >= 20 }
      if let most = divergence.max(by: { $0.nats < $1.nats }), let least = divergence.min(by: { $0.nats < $1.nats }) {
        rows.append(
          (
            "most specific D_KL",
            StyledText("\(model.expertName(most.expert.rawValue))  \(Show.fixed(most.nats, 3)) nat, n \(Show.grouped(most.assignments))")
          ))
        rows.append(
          (
            "least specific D_KL",
            StyledText("\(model.expertName(least.expert.rawValue))  \(Show.fixed(least.nats, 3)) nat, n \(Show.grouped(least.assignments))")
          ))
      }
      painter.facts(rows, in: area.dropping(left: 1), label: min(24, rows.map(\.0.count).max() ?? 0))
      painter.explain(painter.caution(result), in: area.dropping(top: min(area.height, rows.count + 1)))
    }
  }

  /// What the null leaves as it is.
  private var nullWords: String {
    switch model.special.facet {
    case .step: "null: steps shifted, group by group"
    case .patch, .patchRow, .patchColumn: "null: patches shifted, group by group"
    case .position: "null: places shifted inside each text"
    case .vocabulary, .tokenClass, .tokenLabel: "null: tokens shifted inside each text"
    default: "null: labels dealt out anew over \(model.kind.words.sequence)s"
    }
  }

  /// How far the figures can be trusted.
  private func caution(_ result: SpecializationResult) -> String {
    let word = model.kind.words.sequence
    if model.special.facet?.isDenoising == true {
      return result.sequences < 2
        ? "One sample shifted as a whole gives the same table: nothing can be said yet. More samples will tell."
        : result.sequences < 16
          ? "Few samples: what all of them have in common stays in the null, so p is cautious."
          : "The null shifts samples whole, so what neighbouring steps and patches have in common does not count as evidence."
    }
    return result.nullSD < 1e-9
      ? "With one \(word) to a cell every shuffle gives the same table: nothing can be said yet. More \(word)s will tell."
      : result.hasFewTexts
        ? "Few \(word)s: \(result.fewest) at the least, and below \(Jackknife.minimumSequences) an effect is not to be ranked."
        : "The null keeps \(word)s whole, so what \(model.kind.words.members) of one \(word) have in common does not count as evidence."
  }

  mutating func drawEnrichment() {
    let (model, facet) = (model, axisName)
    panel(.enrichment, "Strongest cells of this layer", footer: "p for all cells of all layers together") { painter, area in
      guard let result = model.study, model.special.resultFacet == model.special.facet else { return }
      let entries = result.enrichment.filter { !$0.isFaint }
      let table = Table(
        columns: [
          TableColumn("expert", width: .fixed(6)), TableColumn(facet, width: .flex(8)),
          TableColumn("n", width: .fixed(6), alignment: .right), TableColumn("expected", width: .fixed(8), alignment: .right),
          TableColumn("ratio", width: .fixed(5), alignment: .right), TableColumn("z", width: .fixed(6), alignment: .right),
          TableColumn("p", width: .fixed(8), alignment: .right),
        ], rowCount: entries.count, state: ListState(selected: -1), spacing: 1, emptyText: "no cell has enough choices"
      ) { row, column in
        let entry = entries[row]
        switch column {
        case 0: return StyledText(model.expertName(entry.expert.rawValue))
        case 1: return StyledText(result.cells[entry.cell].name)
        case 2: return StyledText(Show.grouped(entry.observed))
        case 3: return StyledText(Show.fixed(entry.expected, 1))
        case 4: return StyledText(Show.fixed(entry.ratio, 2))
        case 5: return StyledText((entry.z > 0 ? "+" : "") + Show.fixed(entry.z, 1))
        default: return StyledText(entry.adjustedP.map { model.pText($0) } ?? "–", entry.adjustedP.map { $0 < 0.05 ? .good : .dim } ?? .dim)
        }
      }
      table.draw(into: &painter.screen, area, theme: painter.theme)
    }
  }
}
