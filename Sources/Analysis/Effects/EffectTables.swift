// Effects as tables of at most 80 columns: what was changed, and what came of it. Intervals are centred, so half of their width says all.

import Routing

public enum EffectTables {
  /// Names longer than this stand as a number; the first table says whose it is.
  private static let nameWidth = 20
  /// Rows of a ranked answer that are shown, and those that are shown by label too.
  private static let shown = 20
  private static let shownByLabel = 5

  /// - Parameters:
  ///   - effects: in the order in which they are to be read.
  ///   - plan: that they are of.
  public static func tables(_ effects: [RoutingEffect], _ plan: EffectPlan, by label: String?) -> [ReportTable] {
    let rows = plan.isRanked ? Array(effects.prefix(shown)) : effects
    let names = rows.enumerated().map { $0.element.name.count <= nameWidth ? $0.element.name : "rules \($0.offset + 1)" }
    func second(_ rows: [RoutingEffect], _ names: [String], _ heading: String) -> ReportTable {
      plan.replacesMates ? BatchTables.table(rows, names, heading: heading) : results(rows, names, heading: heading)
    }
    var first = changes(rows, names, plan)
    if !plan.isRanked { first.notes = zip(rows, names).filter { $0.rules != $1 && !$0.rules.isEmpty }.map { "\($1): \($0.rules)" } }
    var outcome = second(rows, names, "rules")
    if rows.count < effects.count { outcome.notes.append("\(rows.count) of \(effects.count) rows, \(order); --json has all") }
    var tables = [first, outcome]
    if let label {
      let labelled = zip(rows, names).filter { !$0.0.parts.isEmpty }
      for (row, name) in labelled.prefix(plan.isRanked ? shownByLabel : labelled.count) {
        var table = second(row.parts, row.parts.map(\.name), label).withoutEmptyColumns()
        table.title = "\(name), by \(label)"
        tables.append(table)
      }
      if plan.isRanked, effects.count > shownByLabel {
        tables[tables.count - 1].notes.append("the first \(shownByLabel) rows by \(label); --json has all")
      }
    }
    tables[tables.count - 1].notes += notes(effects, plan)
    return tables
  }

  private static let order = "by how far they are from 0 and from their control, the smaller of both"

  /// A record a number, as programs that pivot tables want them.
  public static func records(_ effects: [RoutingEffect], by label: String?) -> ReportTable {
    func records(_ effect: RoutingEffect, _ name: String, _ value: String) -> [[ReportTable.Cell]] {
      effect.ownKeys.filter { $0 != "n" }.map { key in
        let number = effect.number(key).map { ReportTable.Cell.number($0, digits: 6) } ?? .missing
        return [
          .text(name), .text(effect.rules), .text(value), .text(key), number, .text(effect.unit(of: key)), .count(effect.texts),
          .text(effect.measure.countedAs),
        ]
      }
    }
    return ReportTable(
      columns: ["name", "rules", label ?? "label", "key", "value", "unit", "n", "n_of"],
      rows: effects.flatMap { effect in
        records(effect, effect.name, "") + effect.parts.flatMap { records($0, effect.name, $0.name) }
      }, notes: [])
  }

  private static func changes(_ effects: [RoutingEffect], _ names: [String], _ plan: EffectPlan) -> ReportTable {
    let isLoss = effects.first?.measure != .latent
    return ReportTable(
      columns: ["rules", "touched", "experts/token"] + (isLoss ? ["same_top1", "kl"] : []) + [
        plan.replacesMates ? "loss change" : "later sets"
      ],
      rows: zip(effects, names).map { effect, name in
        let outputs = isLoss ? [cell(effect.sameTop1) { .percent($0, digits: 1) }, cell(effect.divergence) { .number($0, digits: 4) }] : []
        return [
          .text(name), cell(effect.touched) { .percent($0, digits: 1) }, cell(effect.expertsPerToken) { .number($0, digits: 2) },
        ] + outputs + [plan.replacesMates ? change(effect.change) : cell(effect.laterAgreement) { .percent($0, digits: 1) }]
      }, notes: [])
  }

  private static func results(_ effects: [RoutingEffect], _ names: [String], heading: String) -> ReportTable {
    ReportTable(
      columns: [heading, effects.first?.measure.heading ?? EffectMeasure.loss.heading, "control", "difference", "p", "adj_p"],
      rows: zip(effects, names).map { effect, name in
        [
          .text(name), change(effect.change), cell(effect.controlChange?.value, signed), change(effect.difference),
          cell(effect.p) { .number($0, digits: 3) }, cell(effect.adjustedP) { .number($0, digits: 3) },
        ]
      }, notes: [])
  }

  private static func cell(_ value: Double?, _ make: (Double) -> ReportTable.Cell) -> ReportTable.Cell { value.map(make) ?? .missing }

  /// What rounds to 0 has no sign.
  private static func signed(_ value: Double) -> ReportTable.Cell {
    let text = fixedPoint(value, digits: 4)
    return .text(value > 0 && text != fixedPoint(0, digits: 4) ? "+" + text : text)
  }

  /// `+0.0123 ±0.0021`
  private static func change(_ change: RoutingEffect.Change?) -> ReportTable.Cell {
    guard let value = change?.value else { return .missing }
    let half = change?.interval.map { " ±" + fixedPoint(($0.high - $0.low) / 2, digits: 4) } ?? ""
    return .text(signed(value).display + half)
  }

  // MARK: Notes

  /// What the numbers are, and what they are held against.
  public static func notes(_ effects: [RoutingEffect], _ plan: EffectPlan) -> [String] {
    guard let first = effects.first else { return plan.notes }
    let (texts, word) = (first.texts, first.measure.subject)
    let n = "n \(texts) \(word)\(texts == 1 ? "" : "s")"
    let half = "± is half of the 95 % interval, by delete-one-\(word) jackknife"
    var notes: [String] = []
    switch first.measure {
    case .loss:
      notes = [
        "loss change: nat per scored token, changed minus unchanged; \(half); \(n)",
        "touched: share of all decisions that the rules make otherwise from the same logits; experts/token: over all routers; same_top1: scored "
          + "places with the same most probable next token; kl: of their next-token distributions, nat"
          + (plan.replacesMates
            ? "" : "; later sets: experts kept by the decisions behind the first touched layer that no rule is about"),
      ]
    case .latent:
      notes = [
        "latent change: rms of the last latent's difference over the rms of the unchanged one, same noise and class, mean over images; "
          + "\(half); \(n)",
        "touched: share of all decisions that the rules make otherwise from the same logits; experts/token: a row and router; later sets: "
          + "experts kept by the decisions behind the first touched one that no rule is about, later steps included",
      ]
    }
    if plan.replacesMates { notes += BatchTables.notes(effects) }
    if texts < Jackknife.minimumSequences {
      notes.append("fewer than \(Jackknife.minimumSequences) \(word)s: no interval and no p")
    } else if effects.contains(where: { $0.p != nil }) {
      var words =
        "difference: from the control, \(word) by \(word); p two-sided by \(EffectStudy.flips) turns of signs over \(word)s; adj_p by the "
        + "maximum over the rows"
      if texts < 9 { words += "; with \(texts) \(word)s p is not below \(plainNumber(1 / Double(1 << (texts - 1)))) on average" }
      notes.append(words)
    }
    return notes + controls(effects) + plan.notes
  }

  private static func controls(_ effects: [RoutingEffect]) -> [String] {
    var notes: [String] = []
    func add(_ note: String) { if !notes.contains(note) { notes.append(note) } }
    for effect in effects {
      let draws = effect.control.variants.count
      switch effect.control.kind {
      case .equalLoad: add("control: the \(draws) experts of the same layer nearest in load, mean of their effects")
      case .equalSize:
        add("control: as many decisions of the same \(effect.measure.rows) for which the condition does not hold, mean of \(draws) draws")
      case .none:
        let alike = effects.filter { $0.control.reason == effect.control.reason }.map(\.name)
        let whose = alike.count == effects.count ? "" : " of \(alike.joined(separator: "; "))"
        add("no control\(whose): \(effect.control.reason ?? "")")
      }
    }
    let idle = effects.filter { $0.named == 0 }
    if !idle.isEmpty {
      notes.append("nothing was changed by \(idle.map(\.rules).joined(separator: "; ")): no decision meets the condition")
    }
    let far = effects.compactMap(\.control.loadRatio).filter { $0 > EffectControl.flaggedRatio }
    if let most = far.max() {
      notes.append(
        "loads are not near in \(far.count) of \(effects.count) rows: up to \(fixedPoint(most, digits: 2)) times apart, so experts of other load "
          + "stand for chance")
    }
    for effect in effects where effect.unmatched > 0 && effect.control.kind == .equalSize {
      notes.append(
        "\(effect.name): \(effect.unmatched / effect.control.variants.count) of \(effect.named / max(1, effect.draws)) decisions have no other of their "
          + "\(effect.measure.rows) to stand for them: there the control is smaller")
    }
    return notes
  }
}

extension EffectMeasure {
  /// Among what the decisions of a control are drawn.
  var rows: String {
    switch self {
    case .loss: "text and router"
    case .latent: "image, step and router"
    }
  }
}
