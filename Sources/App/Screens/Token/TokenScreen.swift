// Token: one token through all layers. Which experts took it, with which probability and rank, who just missed, where the same token
// went elsewhere, and what it shares with the token before.

import Analysis
import Routing
import Terminal

extension ScreenID {
  /// The action of that name goes there; `token` goes to a row.
  static let token = ScreenID("tokens")
}

extension PanelID {
  static let probabilities = PanelID("probabilities")
  static let ranking = PanelID("ranking")
  /// The same token elsewhere.
  static let elsewhere = PanelID("elsewhere")
  static let path = PanelID("path")
}

struct TokenScreen: Screen {
  enum Values: String, CaseIterable, Sendable {
    case probabilities, logits, weights
  }

  var values = Values.probabilities
  var elsewhere = ListState()

  static let id = ScreenID.token
  static let title = "Token"
  static let short = "Tok"
  static let keys: [KeyEvent] = [.char("2")]
  static let filterReach = "of the same token elsewhere"
  static let uses: Set<ActionID> = [.branch, .values, .lower, .raise, .threshold]

  mutating func forget() { elsewhere = ListState() }

  static func panels(in model: AppModel) -> [PanelID] { [.probabilities, .ranking, .elsewhere, .path] }

  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    if body.width < 100 || body.height < 30 { return [model.focused: body] }
    // Rows as high as the upper part of the screen has room for.
    let lines = max(1, min(4, (body.height * 3 / 5 - 6) / max(1, model.routers.count)))
    let parts = body.split(rows: [.fixed(min(max(model.routers.count * lines, 12) + 6, body.height - 11)), .min(8)])
    let upper = parts[0].split(columns: [.flex(), .fixed(max(36, min(46, body.width * 3 / 10)))])
    let lower = parts[1].split(columns: [.flex(), .flex()])
    return [.probabilities: upper[0], .ranking: upper[1], .elsewhere: lower[0], .path: lower[1]]
  }

  static func bar(in model: AppModel) -> [BarItem] { model.kind.bar(of: id) }

  static func status(in model: AppModel) -> [StyledText] {
    guard let row = model.row, let buffer = model.buffer else { return [StyledText(model.waitingWords)] }
    return [model.kind.sentence(row, buffer, in: model)]
  }

  static func draw(_ painter: inout Painter) {
    guard let row = painter.model.row, let buffer = painter.model.buffer else {
      return painter.panel(painter.focused, "Token") { painter, area in
        painter.explain(
          "No tokens yet. \(painter.model.key(ScreenID.live.action)) goes to Live, \(painter.model.key(.prompt)) types a prompt, \(painter.model.key(RunsScreen.id.action)) shows recorded runs.",
          in: area)
      }
    }
    painter.drawProbabilities(row, buffer)
    painter.drawRanking(row, buffer)
    painter.drawElsewhere(row)
    painter.drawPath(row, buffer)
  }

  static func table(of model: AppModel) -> ExportTable {
    var table = ExportTable(columns: ["token", "layer", "rank", "expert", "logit", "probability", "weight", "router"])
    guard let row = model.row else { return table }
    for (index, router) in model.routers.enumerated() {
      if index == model.router { table.selected = table.rows.count }
      for (rank, expert) in model.ranking(row, router: index).enumerated() {
        table.rows.append([
          "\(row)", "\(router.id.layer)", "\(rank)", "\(expert.expert)", ExportTable.number(expert.logit),
          ExportTable.number(expert.probability), ExportTable.number(expert.weight), "\(router.id)",
        ])
      }
    }
    return table
  }

  // MARK: - Keys

  static func move(_ motion: ActionID, in model: inout AppModel) {
    if model.focused == .elsewhere {
      return model.moveList(\.elsewhere, motion, count: model.elsewhereRows.count)
    }
    let kind = model.kind
    model.moveRouter(motion) { kind.moveAside($1, in: &$0) }
  }

  static func enter(_ model: inout AppModel) -> [Effect] {
    guard model.focused == .elsewhere else { return [] }
    let rows = model.elsewhereRows
    if rows.indices.contains(model.elsewhere.selected) { model.look(at: rows[model.elsewhere.selected]) }
    model[TokenScreen.self].elsewhere = ListState()
    return []
  }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    guard id == .values else { return nil }
    model[TokenScreen.self].values = model.next(model.values)
    return []
  }

  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] {
    switch panel {
    case .elsewhere:
      let count = model.elsewhereRows.count
      model.pick(\.elsewhere, at: place, in: area.dropping(bottom: 2), count: count)
    case .probabilities:
      guard let row = model.row, let buffer = model.buffer else { return [] }
      let room = area.dropping(top: 1, bottom: 2)
      let geometry = model.probabilityMap(row, buffer, width: area.width).geometry(in: room, theme: model.theme)
      // The figures before the cells belong to their layer too.
      let line = Point(x: max(place.x, geometry.cells.x), y: place.y)
      guard let cell = geometry.cell(at: line) else { return [] }
      model.router = cell.row
      if geometry.cells.contains(place) { model.expert = cell.column }
    default: break
    }
    return []
  }

  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    guard id == Self.id.action else { return nil }
    let layer = model.spec == nil ? "" : " --layer \(model.routers[model.router].id.layer.rawValue)"
    return "moetop analyze \(model.runReference) --metric uncertain --by token\(layer)"
  }
}

extension AppModel {
  var values: TokenScreen.Values { self[TokenScreen.self].values }

  var elsewhere: ListState {
    get { self[TokenScreen.self].elsewhere }
    set { self[TokenScreen.self].elsewhere = newValue }
  }
}
