// The panels of Interventions: the rules, their effect beside its control, the token that comes next with and without them, and a text
// continued both ways.

import Analysis
import Routing
import Terminal

extension Painter {
  mutating func drawRules() {
    let state = model.interventions
    let table = Table(
      columns: [TableColumn("on", width: .fixed(3)), TableColumn("rule", width: .flex(20))], rowCount: state.rules.count, state: state.list,
      spacing: 1, emptyText: StyledText("none: \(model.key(.addRule)) adds one, \(model.key(.intervene)) on any screen proposes one")
    ) { row, column in
      let rule = state.rules[row]
      return column == 0 ? StyledText(rule.isOn ? "[x]" : "[ ]") : StyledText(rule.text, rule.isOn ? nil : .disabled)
    }
    let written = state.rules.filter(\.isOn).map(\.text).joined(separator: "; ")
    panel(
      .rules, "Rules, carried out from top to bottom", footer: "the same in whatif --rules, run --intervene and traces"
    ) { painter, area in
      let lines = written.isEmpty ? [] : painter.wrapped(written, area.width - 2).suffix(2)
      table.draw(into: &painter.screen, area.dropping(bottom: lines.count + 1), theme: painter.theme)
      for (index, text) in lines.enumerated() {
        painter.line(area.height - lines.count + index, StyledText(text, .dim), in: area.dropping(left: 1))
      }
    }
  }

  mutating func drawEffect() {
    let model = model
    let state = model.interventions
    let texts = state.found.map { found in
      let effect = found.answer.effect
      return effect.measure == .loss
        ? "\(Show.counted(effect.texts, "text")), at most \(AppModel.trialTokens) tokens each, \(Show.grouped(found.answer.scoredTokens)) scored"
        : "\(Show.counted(effect.texts, "image")), each from the same noise with and without"
    }
    panel(.effect, "What they do", footer: StyledText(texts ?? "")) { painter, area in
      let inner = area.dropping(left: 1)
      if let progress = state.progress {
        let share = Double(progress.done) / Double(max(1, progress.of))
        painter.line(0, StyledText("\(progress.words)  "), in: inner)
        painter.line(
          1,
          StyledText(BarText.bar(share, width: min(40, inner.width - 8), glyphs: painter.theme.glyphs), .bar)
            + StyledText(" \(Int(share * 100)) %"), in: inner)
        return
      }
      guard let found = state.found else {
        let reason = state.problem ?? model.whyNoTrial ?? "\(model.key(.evaluate)) tries the rules on the texts of this run."
        return painter.explain(reason.replacing("\n", with: " "), in: area)
      }
      let (effect, answer) = (found.answer.effect, found.answer)
      painter.facts(painter.effectRows(effect, answer), in: inner.dropping(bottom: 1), label: 15)
      let on = state.rules.filter(\.isOn).map(\.text).joined(separator: "; ")
      if let own = model.rulesOfRun {
        painter.line(area.height - 1, StyledText("beside the bare model, without this run's own rules: \(own)", .warning), in: inner)
      } else if on != found.rules {
        painter.line(area.height - 1, StyledText("of other rules than those on now: \(found.rules)", .warning), in: inner)
      }
    }
  }

  private func effectRows(_ effect: RoutingEffect, _ answer: TrialAnswer) -> [(String, StyledText)] {
    func signed(_ value: Double?) -> String { value.map { ($0 > 0 ? "+" : "") + Show.fixed($0, 4) } ?? "–" }
    func interval(_ change: RoutingEffect.Change?) -> String {
      change?.interval.map { "95 % \(signed($0.low)) to \(signed($0.high))" } ?? "too few texts for an interval"
    }
    let unit = effect.measure.unit
    var rows: [(String, StyledText)] = []
    if effect.measure == .latent { rows.append(("measure", StyledText("change of the last latent, \(unit)"))) }
    if let loss = answer.baselineLoss, let change = effect.change.value {
      rows.append(("loss", StyledText("\(Show.fixed(loss, 4)) to \(Show.fixed(loss + change, 4)) \(unit)")))
    }
    rows.append(("change", StyledText(signed(effect.change.value), .strong) + StyledText("  " + interval(effect.change))))
    switch effect.control.kind {
    case .none: rows.append(("control", StyledText("none: \(effect.control.reason ?? "")", .dim)))
    default:
      let what = effect.control.kind == .equalLoad ? "neighbours in load" : "as many other decisions"
      rows.append(
        (
          "control",
          StyledText(signed(effect.controlChange?.value), .strong) + StyledText("  \(what), \(effect.control.variants.count) draws")
        ))
      rows.append(
        (
          "beyond control",
          StyledText(signed(effect.difference?.value), .strong) + StyledText("  " + interval(effect.difference))
            + StyledText(
              effect.p.map { "  p \(Show.fixed($0, 3))" } ?? "", (effect.p ?? 1) < 0.05 ? .good : .dim)
        ))
      if let ratio = effect.control.loadRatio, ratio > EffectControl.flaggedRatio {
        rows.append(("", StyledText("no neighbour is near in load: \(Show.fixed(ratio, 1)) times", .warning)))
      }
    }
    if let divergence = effect.divergence { rows.append(("KL of next", StyledText("\(Show.fixed(divergence, 4)) nat, mean"))) }
    if let same = effect.sameTop1 { rows.append(("same greedy", StyledText("\(Show.fixed(same * 100, 1)) % of tokens"))) }
    if let touched = effect.touched { rows.append(("touched", StyledText("\(Show.fixed(touched * 100, 2)) % of decisions"))) }
    if let later = effect.laterAgreement {
      rows.append(("later layers", StyledText("\(Show.fixed(later, 3)) of their experts stay")))
    }
    if let cost = effect.expertsPerToken, let spec = model.spec {
      rows.append(("experts a token", StyledText(Show.fixed(cost, 2)) + StyledText("  \(spec.topK) by rule", .dim)))
    }
    return rows
  }

  mutating func drawNextBeside() {
    let model = model
    let found = model.interventions.found
    let context = found?.row.map { model.context($0, width: 40) }
    panel(.nextBeside, StyledText("Next token after ") + (context ?? StyledText("the token looked at"))) { painter, area in
      guard let found, !found.answer.candidates.isEmpty else {
        return painter.explain(
          "Nothing was tried yet. The text up to the token looked at is continued with and without the rules.", in: area)
      }
      let answer = found.answer
      let most = answer.candidates.map { max($0.before, $0.after) }.max() ?? 1
      let bar = max(0, min(24, (area.width - 46) / 2))
      let glyphs = painter.theme.glyphs
      func word(_ id: Int32) -> String {
        "\"\(Printable.cut(glyphs.printable.bytes(answer.pieces[id] ?? Array("<\(id)>".utf8)), to: 14))\""
      }
      func bars(_ share: Double) -> String { BarText.bar(share / most, width: bar, glyphs: glyphs) }
      let table = Table(
        columns: [
          TableColumn("token", width: .fixed(17)), TableColumn("before", width: .fixed(6), alignment: .right),
          TableColumn("", width: .fixed(bar)), TableColumn("after", width: .fixed(6), alignment: .right),
          TableColumn("", width: .fixed(bar)),
          TableColumn("change", width: .fixed(7), alignment: .right),
        ], rowCount: min(answer.candidates.count, max(1, area.height - 2)), state: ListState(selected: -1), spacing: 1
      ) { row, column in
        let candidate = answer.candidates[row]
        switch column {
        case 0: return StyledText(word(candidate.token))
        case 1: return StyledText(Show.fixed(candidate.before, 3))
        case 2: return StyledText(bars(candidate.before), .barMuted)
        case 3: return StyledText(Show.fixed(candidate.after, 3))
        case 4: return StyledText(bars(candidate.after), .bar)
        default:
          let change = candidate.after - candidate.before
          return StyledText((change > 0 ? "+" : "") + Show.fixed(change, 3), change > 0 ? .good : change < 0 ? .warning : nil)
        }
      }
      table.draw(into: &painter.screen, area.dropping(bottom: 1), theme: painter.theme)
      if let entropy = answer.entropy, let divergence = answer.divergence {
        painter.line(
          area.height - 1,
          StyledText(
            "entropy \(Show.fixed(entropy.before, 2)) to \(Show.fixed(entropy.after, 2)) nat · KL \(Show.fixed(divergence, 4)) nat", .dim),
          in: area.dropping(left: 2))
      }
    }
  }

  /// One of the two continuations.
  mutating func drawText(_ panel: PanelID) {
    let answer = model.interventions.found?.answer
    let (before, after) = (answer?.before ?? [], answer?.after ?? [])
    if panel == .textBefore {
      draw(panel, "Continued as it is (greedy)", before, beside: after)
    } else {
      draw(panel, "Continued under the rules (greedy)", after, beside: before)
    }
  }

  /// A text, with what differs from the other in brackets and bold.
  private mutating func draw(_ id: PanelID, _ title: StyledText, _ ids: [Int32], beside other: [Int32]) {
    let pieces = model.interventions.found?.answer.pieces ?? [:]
    let same = zip(ids, other).prefix { $0 == $1 }.count
    panel(id, title, footer: ids.isEmpty ? "" : StyledText(same == ids.count ? "the same" : "parts at token \(same)")) { painter, area in
      let printable = painter.theme.glyphs.printable
      var (x, y) = (0, 0)
      let inner = area.dropping(left: 1)
      for (index, token) in ids.enumerated() {
        let text = (index == same && same < ids.count ? "«" : "") + printable.bytes(pieces[token] ?? Array("<\(token)>".utf8))
        let width = Printable.width(of: text)
        if x + width > inner.width, x > 0 { (x, y) = (0, y + 1) }
        guard y < inner.height else { return }
        painter.screen.draw(
          StyledText(text, index >= same ? .strong : .dim),
          in: Rect(x: inner.x + x, y: inner.y + y, width: max(0, inner.width - x), height: 1),
          theme: painter.theme)
        x += width
      }
    }
  }
}
