// The card of an expert of a language model: its load and ranks, the tokens it takes beyond chance, where it weighs most, and with whom it
// works.

import Analysis
import Routing
import Terminal

extension Painter {
  mutating func drawCardOfExpert() {
    let model = model
    guard let card = model.expertCardOfRun, let use = model.expertUse, use.rows.indices.contains(model.expert) else {
      return panel(.expertCard, StyledText("Card · \(model.layerWords) expert \(model.expert)")) { painter, area in
        painter.line(0, StyledText("counting", .dim), in: area.dropping(left: 1))
      }
    }
    let grown = (model.buffer?.end ?? 0) - card.end
    panel(
      .expertCard, StyledText("Card · \(model.layerWords) expert \(model.expert)"),
      footer: StyledText(
        "\(Show.counted(card.tokens.decisions, "token"))" + (grown > 0 ? ", \(Show.grouped(grown)) newer not counted yet" : ""))
    ) { painter, area in
      let inner = area.dropping(left: 1)
      var y = painter.drawUse(use.rows[model.expert], decisions: use.decisions, in: inner)
      y += painter.drawTokens(card.tokens, in: inner.dropping(top: y + 1)) + 1
      let contexts = min(card.heaviest.count, max(0, (area.height - y - 8) * 2 / 3))
      if contexts > 0 { y += painter.drawHeaviest(card.heaviest.prefix(contexts), in: inner.dropping(top: y + 1)) + 1 }
      if let partners = card.partners { y += painter.drawPartners(partners, in: inner.dropping(top: y + 1)) + 1 }
      painter.drawWhatIsSaid(in: inner.dropping(top: y + 1))
    }
  }

  /// What masking the expert did, where that was tried, and what it is called.
  mutating func drawWhatIsSaid(in area: Rect) {
    let used = drawIfMasked(in: area)
    let label = model.expertLabel
    line(
      used == 0 ? 0 : used + 1,
      StyledText("label (\(model.key(.label)))  ", .dim) + (label.map { StyledText($0, .good) } ?? StyledText("none yet", .dim)), in: area)
  }

  /// What masking it did, where that was tried.
  ///
  /// - Returns: lines used.
  private mutating func drawIfMasked(in area: Rect) -> Int {
    guard let rule = ExpertsScreen.rule(in: model) else { return 0 }
    guard let effect = model.interventions.effects[rule], let change = effect.change.value else {
      let keys = "\(model.key(.intervene)), then \(model.key(.evaluate)),"
      line(0, StyledText("if masked  not tried: \(keys) measures it beside a control", .dim), in: area)
      return 1
    }
    func signed(_ value: Double?) -> String { value.map { ($0 > 0 ? "+" : "") + Show.fixed($0, 4) } ?? "–" }
    line(
      0,
      StyledText("if masked  ", .dim) + StyledText("loss \(signed(change))", .strong)
        + StyledText("  beyond neighbours \(signed(effect.difference?.value))", .strong)
        + StyledText("  p \(effect.p.map { Show.fixed($0, 3) } ?? "–")  \(Show.counted(effect.texts, effect.measure.subject))"), in: area)
    return 1
  }

  /// - Returns: lines used.
  private mutating func drawUse(_ row: ExpertUse.Row, decisions: Int, in area: Rect) -> Int {
    let even = model.windowChance?.activationRate
    let rate = Double(row.chosen) / Double(max(1, decisions))
    line(
      0,
      StyledText("chosen by \(Show.fixed(rate * 100, 1)) % of tokens", .strong)
        + StyledText("  even \(even.map { Show.fixed($0 * 100, 1) } ?? "–") %", .dim)
        + StyledText("  mean weight \(row.meanWeight.map { Show.fixed($0, 3) } ?? "–")"),
      in: area)
    guard row.ranks.count > 1 else { return 1 }
    let spark = Sparkline(row.ranks.map { Double($0) }).text(theme.glyphs)
    let first = row.chosen > 0 ? Double(row.ranks[0]) / Double(row.chosen) : 0
    line(
      1,
      StyledText("rank 0 ", .dim) + StyledText(spark, .bar) + StyledText(" \(row.ranks.count - 1)", .dim)
        + StyledText("  first in \(Show.fixed(first * 100, 0)) % of its choices")
        + StyledText("  even \(Show.fixed(100 / Double(row.ranks.count), 0)) %", .dim),
      in: area)
    return 2
  }

  private mutating func drawTokens(_ tokens: ExpertTokens, in area: Rect) -> Int {
    if model.buffer?.lacksIDs == true {
      line(0, StyledText("tokens it takes", .dim), in: area)
      line(1, StyledText(AppModel.withoutIDs, .dim), in: area)
      return 2
    }
    let isWide = area.width >= 66
    let room = max(0, min(tokens.preferences.count, area.height / 3, 12))
    let table = Table(
      columns: [
        TableColumn("tokens it takes", width: .flex(14)), TableColumn("n", width: .fixed(6), alignment: .right),
        TableColumn("share", width: .fixed(6), alignment: .right), TableColumn("lift", width: .fixed(5), alignment: .right),
        TableColumn("p", width: .fixed(8), alignment: .right),
      ] + (isWide ? [TableColumn("95 % of lift", width: .fixed(13))] : []),
      rowCount: room, state: ListState(selected: -1), spacing: 1,
      emptyText: StyledText(
        tokens.taken == 0 ? "no token chose it" : "no token that chose it occurs \(ExpertTokens.least) times: too few to trust")
    ) { [model] row, column in
      let found = tokens.preferences[row]
      switch column {
      case 0: return StyledText("\"\(Printable.cut(model.text(found.tokenID), to: 16))\"")
      case 1: return StyledText(Show.grouped(found.count))
      case 2: return StyledText(Show.fixed(found.share * 100, 0) + " %")
      case 3: return StyledText(Show.fixed(found.lift, 1), .strong)
      case 4: return StyledText(model.pText(found.adjustedP, draws: tokens.draws), found.adjustedP <= 0.05 ? .good : .dim)
      default: return StyledText(found.interval.map { "\(Show.fixed($0.low, 1)) to \(Show.fixed($0.high, 1))" } ?? "few texts", .dim)
      }
    }
    table.draw(into: &screen, area.row(0, count: room + 1 + (room == 0 ? 1 : 0)), theme: theme)
    let used = room + 1 + (room == 0 ? 1 : 0)
    let rare = "\(Show.counted(tokens.rare, "token")) seen fewer than \(ExpertTokens.least) times left out"
    let chance =
      tokens.chanceLift.map { "by chance the largest lift is below \(Show.fixed($0, 1)) in 95 % of \(tokens.draws) shifts; " } ?? ""
    let lines = wrapped(chance + rare, area.width - 1)
    for (index, text) in lines.prefix(2).enumerated() { line(used + index, StyledText(text, .dim), in: area) }
    return used + min(2, lines.count)
  }

  private mutating func drawHeaviest(_ rows: ArraySlice<(row: Int, weight: Float)>, in area: Rect) -> Int {
    line(0, StyledText("where it weighs most", .dim), in: area)
    for (index, found) in rows.enumerated() {
      line(
        index + 1,
        StyledText(Show.fixed(Double(found.weight), 3) + "  ", .strong) + model.context(found.row, width: max(10, area.width - 8)),
        in: area)
    }
    return rows.count + 1
  }

  private mutating func drawPartners(_ partners: ExpertPartners, in area: Rect) -> Int {
    line(0, StyledText("chosen with, times what load makes of it (chance 1)", .dim), in: area)
    guard !partners.partners.isEmpty else {
      line(1, StyledText("too few choices to say", .dim), in: area)
      return 2
    }
    func names(_ list: some Sequence<ExpertPartners.Partner>) -> String {
      list.map { "\(model.expertName($0.expert)) \(Show.fixed($0.ratio, 1))" }.joined(separator: "   ")
    }
    let most = max(1, min(6, (area.width - 8) / 10))
    line(1, StyledText("often   ", .dim) + StyledText(names(partners.partners.prefix(most).filter { $0.ratio > 1 })), in: area)
    line(2, StyledText("seldom  ", .dim) + StyledText(names(partners.partners.reversed().prefix(most).filter { $0.ratio < 1 })), in: area)
    return 3
  }
}
