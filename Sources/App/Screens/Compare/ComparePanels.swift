// The panels of Compare: the numbers of the pair beside their baselines, the change of load by layer and expert, where the runs part, and
// single decisions that fell otherwise.

import Analysis
import Routing
import Terminal

extension AppModel {
  /// The layer and the expert looked at: of the two runs, which need not be the run that is open.
  var comparedLayer: Int {
    get { self[CompareScreen.self].layer }
    set { self[CompareScreen.self].layer = newValue }
  }
  var comparedExpert: Int {
    get { self[CompareScreen.self].expert }
    set { self[CompareScreen.self].expert = newValue }
  }

  /// Load of B less load of A, over a quarter of an even load.
  func changeMap(_ found: ComparedRuns, width: Int) -> HeatMap {
    let layers = found.pair.result.layers
    let columns = layers.map(\.assignments.a.count).max() ?? 0
    let loads = layers.map { layer in
      let (a, b) = layer.assignments
      let (sumA, sumB) = (Double(max(1, a.reduce(0, +))), Double(max(1, b.reduce(0, +))))
      return zip(a, b).map { Double($1) / sumB - Double($0) / sumA }
    }
    var map = HeatMap(rows: layers.count, columns: columns) { row, column in
      loads[row].indices.contains(column) ? loads[row][column] * Double(loads[row].count) / Self.changeScale : nil
    }
    map.isDiverging = true
    let names = layers.map { $0.pair.a.id == $0.pair.b.id ? "\($0.pair.a.id)" : "\($0.pair.a.id)=\($0.pair.b.id)" }
    map.leading = [HeatMap.Side("", width: names.map(\.count).max() ?? 5) { StyledText(names[$0], .dim) }]
    map.trailing = [
      HeatMap.Side("agree", width: 6, alignment: .right) { row in
        StyledText(layers[row].row[.setAgreement].map { Show.fixed($0, 3) } ?? "–")
      },
      HeatMap.Side("load", width: 6, alignment: .right) { row in
        StyledText(layers[row].row[.loadBaseline].map { Show.fixed($0, 3) } ?? "–", .dim)
      },
      HeatMap.Side("turned", width: 6, alignment: .right) { row in
        StyledText(layers[row].row[.shuffledBaseline].map { Show.fixed($0, 3) } ?? "–", .dim)
      },
    ]
    map.cursor = layers.isEmpty ? nil : (min(comparedLayer, layers.count - 1), comparedExpert)
    map.ticks = .top
    map.tickEvery = columns <= 16 ? 2 : 8
    let room = width - (names.map(\.count).max() ?? 5) - 26
    map.columnWidth = max(1, min(columns <= 16 ? 6 : columns <= 32 ? 3 : 2, room / max(1, columns)))
    map.allowsHalfBlocks = false
    return map
  }

  /// Of an even load, where the scale of changes ends.
  static let changeScale = 0.25
}

extension Painter {
  mutating func drawNoComparison() {
    let (model, state) = (model, model.comparison)
    panel(focused, "Compare two runs") { painter, area in
      var rows: [(String, StyledText)] = [
        ("A, reference", StyledText(state.a ?? "none chosen: \(model.key(.chooseA)) chooses it", state.a == nil ? .dim : .strong)),
        ("B", StyledText(state.b ?? "none chosen: \(model.key(.chooseB)) chooses it", state.b == nil ? .dim : .strong)),
      ]
      if let progress = state.progress {
        rows.append(("", StyledText("")))
        let share = Double(progress.done) / Double(max(1, progress.of))
        rows.append(
          (
            "comparing",
            StyledText(BarText.bar(share, width: 40, glyphs: painter.theme.glyphs), .bar) + StyledText(" \(Int(share * 100)) %")
          ))
      }
      painter.facts(rows, in: area.dropping(left: 1), label: 13)
      if let problem = state.problem {
        return painter.explain(problem.replacing("\n", with: " "), in: area.dropping(top: rows.count + 1))
      }
      guard state.progress == nil else { return }
      let runs = model.comparableRuns
      painter.explain(
        "\(painter.model.key(.enter)) takes the run below. "
          + "In Runs (\(painter.model.key(ScreenID.runs.action))) \(painter.model.key(.pause)) marks runs and \(painter.model.key(.compareRuns)) "
          + "compares them. Tab completes the runs of this trace.",
        in: area.dropping(top: rows.count))
      let table = Table(
        columns: [
          TableColumn("run", width: .flex(14)), TableColumn("model", width: .flex(14)), TableColumn("input", width: .flex(14)),
          TableColumn("tokens", width: .fixed(10), alignment: .right),
        ], rowCount: runs.count, state: state.choice, emptyText: "no other run is recorded here yet"
      ) { row, column in
        let run = runs[row]
        switch column {
        case 0: return StyledText("\(model.runs.file)#\(run.id)", .accent)
        case 1: return StyledText("\(run.description.model.name) \(run.description.model.quantization)")
        case 2: return StyledText(run.description.input.source)
        default: return StyledText(Show.grouped(run.tokenCount))
        }
      }
      table.draw(into: &painter.screen, area.dropping(top: 5), theme: painter.theme)
    }
  }

  mutating func drawSummary(_ found: ComparedRuns) {
    let (row, pair) = (found.pair.row, found.pair)
    func name(_ run: ComparedRun) -> String { "\(run.label)  \(run.description.model.name) \(run.description.model.quantization)" }
    panel(
      .summary, StyledText("A \(name(found.a))   B \(name(pair.b))"),
      footer: StyledText(
        "\(Show.grouped(Int(row[.tokens] ?? 0))) \(found.a.rowNoun)s of \(Show.grouped(Int(row[.texts] ?? 0))) \(found.a.textNoun)s · experts by \(pair.result.plan.matching.rawValue) (\(model.key(.matching)))"
      )
    ) { painter, area in
      func number(_ key: ComparisonKey, _ digits: Int = 4) -> String { row[key].map { Show.fixed($0, digits) } ?? "–" }
      func interval(_ low: ComparisonKey, _ high: ComparisonKey) -> String {
        guard let low = row[low], let high = row[high] else { return "too few texts for an interval" }
        return "95 % \(Show.fixed(low, 4)) to \(Show.fixed(high, 4))"
      }
      var rows: [(String, StyledText)] = [
        (
          "experts in common",
          StyledText(number(.setAgreement), .strong) + StyledText("  \(interval(.setAgreementLow, .setAgreementHigh))")
            + StyledText("  chance \(number(.baseline)), load \(number(.loadBaseline)), turned texts \(number(.shuffledBaseline))", .dim)
        ),
        (
          "same first expert",
          StyledText(number(.top1Agreement), .strong)
            + StyledText("  chance \(number(.top1Baseline)), load \(number(.top1LoadBaseline))", .dim)
        ),
        (
          "flips",
          StyledText(Show.grouped(Int(row[.flips] ?? 0)), .strong) + StyledText(" of \(Show.grouped(Int(row[.decisions] ?? 0))) decisions")
            + StyledText(
              row[.flipsAboveMargin].map {
                "  \(Show.grouped(Int($0))) where A's margin was over \(Show.fixed(pair.result.plan.margin, 3))"
              } ?? "", .dim)
        ),
      ]
      if row[.lossChange] != nil {
        rows.append(
          (
            "loss",
            StyledText(((row[.lossChange] ?? 0) > 0 ? "+" : "") + number(.lossChange), .strong)
              + StyledText(" nat  \(interval(.low, .high))  \(number(.lossA)) to \(number(.lossB)) a token")
          ))
      }
      if row[.jsDivergence] != nil {
        rows.append(
          (
            "router JS",
            StyledText("\(number(.jsDivergence, 6)) nat", .strong) + StyledText("  0: the same distributions, ln 2: disjoint", .dim)
          ))
      }
      if let position = row[.partedAt] {
        rows.append(
          (
            "parted",
            StyledText(
              "\(Int(row[.partedTexts] ?? 0)) texts, the first at position \(Int(position)): what follows is not compared", .warning)
          ))
      }
      painter.facts(rows, in: area.dropping(left: 1), label: 18)
      if rows.count < area.height, let note = pair.notes.first {
        painter.line(rows.count, StyledText(note, .dim), in: area.dropping(left: 1))
      }
    }
  }

  mutating func drawChange(_ found: ComparedRuns) {
    let model = model
    panel(
      .change, "Change of load, B − A · layer × expert",
      footer: "in common: decisions, by load alone, with other texts"
    ) { painter, area in
      let map = model.changeMap(found, width: area.width)
      let room = area.dropping(bottom: 1)
      map.draw(into: &painter.screen, room, theme: painter.theme)
      let unshown = map.geometry(in: room, theme: painter.theme).note(rows: map.rows, columns: map.columns)
      painter.line(
        area.height - 1,
        StyledText(
          "full colour: ± \(Show.fixed(AppModel.changeScale * 100, 0)) % of an even load" + (unshown.isEmpty ? "" : " · \(unshown)"), .dim),
        in: area.dropping(left: 1))
    }
  }

  mutating func drawParting(_ found: ComparedRuns) {
    let model = model
    let layers = found.pair.result.layers
    panel(.parting, "Where they part") { painter, area in
      let inner = area.dropping(left: 1)
      painter.line(0, StyledText("in common, by Ĥ in A", .dim), in: inner)
      var y = 1
      for bin in Self.bands(found.pair.result.byEntropy, atMost: max(2, (area.height - 4) * 3 / 5)) {
        let bar = BarText.bar(bin.agreement, width: max(0, min(12, inner.width - 26)), glyphs: painter.theme.glyphs)
        painter.line(
          y,
          StyledText("\(Show.fixed(bin.low, 2))–\(Show.fixed(bin.high, 2))  \(Show.fixed(bin.agreement, 3)) ") + StyledText(bar, .bar)
            + StyledText(" n \(Show.count(bin.decisions))", .dim), in: inner)
        y += 1
      }
      guard layers.indices.contains(model.comparedLayer) else { return }
      let layer = layers[model.comparedLayer]
      painter.line(y + 1, StyledText("\(layer.pair.a.id): taken for another", .dim), in: inner)
      let all = Double(max(1, layer.assignments.a.reduce(0, +)))
      for (index, found) in layer.replaced.prefix(max(0, area.height - y - 2)).enumerated() {
        painter.line(
          y + 2 + index,
          StyledText("e\(found.experts.a) → e\(found.experts.b)  ") + StyledText(Show.fixed(found.choices / all * 100, 2) + " %", .strong)
            + StyledText(" of choices", .dim), in: inner)
      }
      if layer.replaced.isEmpty { painter.line(y + 2, StyledText("none: they are alike here", .dim), in: inner) }
    }
  }

  /// Bands of entropy, neighbours joined until they fit: all decisions are shown, whatever the room.
  private static func bands(
    _ rows: [ComparisonRow], atMost most: Int
  ) -> [(low: Double, high: Double, agreement: Double, decisions: Int)] {
    let all = rows.compactMap { row -> (low: Double, high: Double, agreement: Double, decisions: Int)? in
      guard let low = row[.low], let high = row[.high], let agreement = row[.setAgreement] else { return nil }
      return (low, high, agreement, Int(row[.decisions] ?? 0))
    }
    guard all.count > most else { return all }
    return (0..<most).map { place in
      let part = all[place * all.count / most..<(place + 1) * all.count / most]
      let decisions = part.reduce(0) { $0 + $1.decisions }
      let sum = part.reduce(0.0) { $0 + $1.agreement * Double($1.decisions) }
      return (part[part.startIndex].low, part[part.endIndex - 1].high, sum / Double(max(1, decisions)), decisions)
    }
  }

  mutating func drawFlips(_ found: ComparedRuns) {
    let model = model
    let flips = found.pair.result.flipped
    let units = found.pair.result.layers.first?.row.marginUnit
    let table = Table(
      columns: [
        TableColumn("token", width: .fixed(7), alignment: .right), TableColumn("text", width: .fixed(16)),
        TableColumn("router", width: .fixed(7)), TableColumn("margin in A", width: .fixed(11), alignment: .right),
        TableColumn("experts of A", width: .flex(16)), TableColumn("experts of B", width: .flex(16)),
      ], rowCount: flips.count, state: model.comparison.flips, emptyText: "no decision fell otherwise"
    ) { row, column in
      let flip = flips[row]
      switch column {
      case 0: return StyledText("\(flip.token)")
      case 1: return StyledText(found.words[flip.tokenID] ?? "<\(flip.tokenID)>")
      case 2: return StyledText("\(flip.router)")
      case 3: return StyledText(flip.margin.isFinite ? Show.fixed(Double(flip.margin), 5) : "–")
      case 4: return StyledText(flip.a.map { "\($0)" }.joined(separator: " "))
      default: return StyledText(flip.b.map { "\($0)" }.joined(separator: " "))
      }
    }
    let inner = areas[.flips].map(Panel.inner) ?? .zero
    let all = Int(found.pair.row[.flips] ?? 0)
    panel(
      .flips, StyledText("Decisions that fell otherwise" + (units.map { " · margin in \($0)" } ?? "")),
      footer: StyledText(
        "\(table.position(inner))" + (all > flips.count ? " kept of \(Show.grouped(all))" : "")
          + (model.isOpen(found) ? " · \(model.key(.enter)) looks at the token in A" : ""))
    ) { painter, area in table.draw(into: &painter.screen, area, theme: painter.theme) }
  }
}
