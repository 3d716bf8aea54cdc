// The list of experts of a layer: one row each, sorted, with marks and labels.

import Analysis
import Routing
import Terminal

/// An expert of the list.
struct ExpertListRow: Sendable, Equatable {
  var expert: Int
  var chosen: Int
  /// Share of the choices, the same over that of an even router, and mean router probability; nil where not known.
  var load: Double?
  var ratio: Double?
  var importance: Double?
  var weight: Double?
  /// Share of its choices that were first.
  var firstShare: Double?
  var lift: Double
  var label: String?
}

extension AppModel {
  /// What the list is made from; nil while it is another router's.
  var expertUse: ExpertUse? {
    guard let use = self[ExpertsScreen.self].use, routers.indices.contains(router), use.router == routers[router].id else { return nil }
    return use.use
  }

  /// The card of the expert looked at; nil while it is made.
  var expertCardOfRun: ExpertCardReport? {
    guard let card = self[ExpertsScreen.self].card, routers.indices.contains(router), card.router == routers[router].id,
      card.expert == expert
    else { return nil }
    return card
  }

  var expertLabels: [Int: String] {
    routers.indices.contains(router) ? self[ExpertsScreen.self].labels[routers[router].id] ?? [:] : [:]
  }

  var expertLabel: String? { expertLabels[expert] }

  /// The experts of the layer in the order of the list.
  var expertRows: [ExpertListRow] {
    guard let buffer, let use = expertUse else { return [] }
    let tally = buffer.folds.total.indices.contains(router) ? buffer.folds.total[router] : nil
    let all = use.rows.reduce(0) { $0 + $1.chosen }
    let labels = expertLabels
    let rows = use.rows.enumerated().map { expert, row in
      let load = all > 0 ? Double(row.chosen) / Double(all) : nil
      let importance = tally?.importance.flatMap { $0.indices.contains(expert) ? $0[expert] : nil }
      return ExpertListRow(
        expert: expert, chosen: row.chosen, load: load, ratio: load.map { $0 * Double(use.rows.count) }, importance: importance,
        weight: row.meanWeight, firstShare: row.chosen > 0 ? Double(row.ranks.first ?? 0) / Double(row.chosen) : nil, lift: row.topLift,
        label: labels[expert])
    }
    switch self[ExpertsScreen.self].order {
    case .index: return rows
    case .load: return rows.sorted { ($1.chosen, $0.expert) < ($0.chosen, $1.expert) }
    case .weight: return rows.sorted { ($1.weight ?? 0, $0.expert) < ($0.weight ?? 0, $1.expert) }
    case .lift: return rows.sorted { ($1.lift, $0.expert) < ($0.lift, $1.expert) }
    }
  }

  /// A token as it is, for searching and for files.
  func plainText(ofToken id: Int32) -> String { String(decoding: buffer?.bytes(id) ?? [], as: UTF8.self) }

  func expertTable(_ rows: [ExpertListRow]) -> Table {
    let order = self[ExpertsScreen.self].order
    let marked = routers.indices.contains(router) ? self[ExpertsScreen.self].marked[routers[router].id] ?? [] : []
    let use = expertUse
    var columns: [(TableColumn, (ExpertListRow) -> StyledText)] = [
      (TableColumn("exp", width: .fixed(5)), { StyledText(expertName($0.expert), .accent) }),
      (TableColumn("load", width: .fixed(6), alignment: .right), { StyledText($0.load.map { Show.fixed($0 * 100, 1) + "%" } ?? "–") }),
      (TableColumn("×unif", width: .fixed(5), alignment: .right), { StyledText($0.ratio.map { Show.fixed($0, 1) } ?? "–") }),
      (TableColumn("weight", width: .fixed(6), alignment: .right), { StyledText($0.weight.map { Show.fixed($0, 3) } ?? "–") }),
    ]
    if kind.hasNext {
      columns.append(
        (
          TableColumn("top token", width: .flex(11)),
          { row in
            let top = use?.rows[row.expert].topToken
            return top.map { StyledText(Printable.cut(text($0), to: 12)) + StyledText("  ×\(Show.fixed(row.lift, 1))", .dim) }
              ?? StyledText("–", .dim)
          }
        ))
    }
    columns.append((TableColumn("label", width: .flex(6)), { StyledText($0.label ?? "", .good) }))
    let sorted: [ExpertsScreen.Order: Int] = [.index: 0, .load: 1, .weight: 3, .lift: 4]
    let selected = rows.firstIndex { $0.expert == expert } ?? 0
    let state = ListState(selected: selected, marked: Set(rows.indices.filter { marked.contains(rows[$0].expert) }))
    return Table(
      columns: columns.map(\.0), rowCount: rows.count, state: state,
      sort: sorted[order].flatMap { $0 < columns.count ? TableSort(column: $0, isDescending: order != .index) : nil }, spacing: 1,
      emptyText: StyledText(self[ExpertsScreen.self].isWorking ? "counting" : "no decision yet")
    ) { row, column in columns[column].1(rows[row]) }
  }

  var expertsStatus: StyledText {
    guard let use = expertUse, use.rows.indices.contains(expert) else { return StyledText(waitingWords) }
    let row = use.rows[expert]
    let all = use.rows.reduce(0) { $0 + $1.chosen }
    var words = StyledText("\(layerWords) expert \(expert)", .strong)
    words += StyledText("  \(Show.grouped(row.chosen)) of \(Show.grouped(all)) choices")
    words += StyledText("  even would be \(Show.grouped(all / max(1, use.rows.count)))", .dim)
    if let label = expertLabel { words += StyledText("  \"\(label)\"", .good) }
    return words
  }
}

extension Painter {
  mutating func drawExperts() {
    let rows = model.expertRows
    let table = model.expertTable(rows)
    let inner = areas[.experts].map(Panel.inner) ?? .zero
    let end = model[ExpertsScreen.self].use?.end ?? 0
    panel(
      .experts,
      StyledText(
        "Experts of \(model.layerWords)"
          + (model.layout.map { $0.branchCount > 1 ? " · \(model.branchName(model.shownBranch))" : "" } ?? "")),
      footer: StyledText(
        "\(Show.counted(end, model.kind.words.row)) · by \(model[ExpertsScreen.self].order.rawValue) (\(model.key(.order))) · \(table.position(inner))"
      )
    ) { painter, area in table.draw(into: &painter.screen, area, theme: painter.theme) }
  }

  /// Which experts are chosen together: a row and a column for each marked one, or for the busiest.
  mutating func drawTogether() {
    let model = model
    guard let buffer = model.buffer, model.routers.indices.contains(model.router) else { return }
    let rows = model.expertRows
    let marked = model[ExpertsScreen.self].marked[model.routers[model.router].id] ?? []
    let inner = areas[.together].map(Panel.inner) ?? .zero
    let most = max(2, min(inner.height - 3, (inner.width - 8) / 5, 24))
    let chosen = rows.map(\.expert).filter { marked.count < 2 || marked.contains($0) }.prefix(most)
    let experts = marked.count < 2 ? Array(chosen) : chosen.sorted()
    panel(
      .together, StyledText("Chosen together · \(model.layerWords) · times what load makes of it"),
      footer: StyledText(
        marked.count < 2
          ? "the busiest \(experts.count); \(model.key(.pause)) marks others" : "\(experts.count) marked · \(Show.grouped(buffer.end)) rows"
      )
    ) { painter, area in
      func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
      let batch = buffer.batch(model.router)
      let ratios = experts.map { expert in
        Dictionary(uniqueKeysWithValues: ExpertPartners(expert, of: batch).partners.map { ($0.expert, $0.ratio) })
      }
      let head = experts.map { right(model.expertName($0), 5) }.joined()
      painter.line(0, StyledText("     " + head, .dim), in: area)
      for (row, expert) in experts.enumerated() {
        var text = StyledText(
          model.expertName(expert) + String(repeating: " ", count: max(0, 5 - model.expertName(expert).count)),
          expert == model.expert ? .accent : .dim)
        for other in experts {
          guard other != expert, let ratio = ratios[row][other] else {
            text += StyledText(right(other == expert ? "–" : "", 5), .dim)
            continue
          }
          text += StyledText(right(Show.fixed(ratio, 1), 5), ratio >= 1.5 ? .good : ratio <= 2.0 / 3 ? .warning : nil)
        }
        painter.line(row + 1, text, in: area)
      }
      painter.line(
        area.height - 1, StyledText("1: as often as load makes of it; empty: fewer than \(Int(ExpertPartners.least)) expected", .dim),
        in: area.dropping(left: 1))
    }
  }
}
