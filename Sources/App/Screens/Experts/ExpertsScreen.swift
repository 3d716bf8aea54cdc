// Experts: what is each expert of a layer for? A list to sort and search, and the card of the one under the cursor: which tokens it takes
// and how far that is beyond chance, where it weighs most, with whom it works, and what its user calls it.

import Analysis
import Routing
import Terminal

extension ScreenID {
  static let experts = ScreenID("experts")
}

extension PanelID {
  static let experts = PanelID("experts")
  static let expertCard = PanelID("expert-card")
  /// Which experts are chosen together.
  static let together = PanelID("together")
}

extension ActionID {
  static let label = ActionID("label")
  static let together = ActionID("together")
}

struct ExpertsScreen: Screen {
  enum Order: String, CaseIterable, Sendable {
    case load, weight, lift, index
  }

  var order = Order.load
  /// What the list is made from: of one router, over the first `end` rows.
  var use: ExpertUseReport?
  var card: ExpertCardReport?
  var isWorking = false
  var isWorkingOnCard = false
  /// Experts marked, of the router looked at.
  var marked: [RouterID: Set<Int>] = [:]
  var labels: [RouterID: [Int: String]] = [:]
  /// Whether the matrix of choices made together stands in the place of the card.
  var showsTogether = false

  static let id = ScreenID.experts
  static let title = "Experts"
  static let keys: [KeyEvent] = [.char("5")]
  static let uses: Set<ActionID> = [.branch, .order]
  static let actions = [
    ActionEntry(
      .label, "label", "say what this expert is for; kept in the trace", keys: [.char("t")], argument: "WORDS",
      line: LineHint(label: "label: ", hint: "what this expert is for; nothing takes the label away", takesNothing: true), takesTime: true),
    ActionEntry(.together, "together", "choices made together: marked, or busiest", keys: [.char("a")]),
  ]

  mutating func forget() {
    let order = order
    self = ExpertsScreen()
    self.order = order
  }

  mutating func turn() { use = nil }

  static func panels(in model: AppModel) -> [PanelID] {
    let own = model.kind.panels(of: id)
    return model[ExpertsScreen.self].showsTogether ? [own[0], .together] : own
  }

  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    let panels = panels(in: model)
    if body.width < 100 { return [model.focused: body] }
    let parts = body.split(columns: [.fixed(max(56, min(72, body.width * 2 / 5))), .flex()])
    return [panels[0]: parts[0], panels[1]: parts[1]]
  }

  static func bar(in model: AppModel) -> [BarItem] {
    [BarItem(.down, "expert"), BarItem(.layerUp), BarItem(.order), BarItem(.enter, "card"), BarItem(.pause, "mark")]
      + [.together, .label, .find, .export].map { BarItem($0) }
  }

  static func status(in model: AppModel) -> [StyledText] { [model.expertsStatus] + model.stepWords }

  static func draw(_ painter: inout Painter) {
    guard let buffer = painter.model.buffer, !buffer.isEmpty || buffer.hasCounts else {
      return painter.panel(.experts, "Experts") { painter, area in painter.explain(painter.model.nothingWords, in: area) }
    }
    for panel in panels(in: painter.model) {
      switch panel {
      case .experts: painter.drawExperts()
      case .together: painter.drawTogether()
      default: painter.model.kind.draw(panel, &painter)
      }
    }
  }

  static func table(of model: AppModel) -> ExportTable {
    var table = ExportTable(columns: [
      "layer", "expert", "assignments", "load", "times_uniform", "importance", "mean_weight", "rank0_share", "top_token", "top_lift",
      "label",
      "router",
    ])
    guard let use = model.expertUse, model.routers.indices.contains(model.router) else { return table }
    let router = model.routers[model.router].id
    for row in model.expertRows {
      if row.expert == model.expert { table.selected = table.rows.count }
      let top = use.rows[row.expert].topToken
      table.rows.append([
        "\(router.layer)", "\(row.expert)", "\(row.chosen)", ExportTable.number(row.load), ExportTable.number(row.ratio),
        ExportTable.number(row.importance), ExportTable.number(row.weight), ExportTable.number(row.firstShare),
        top.map(model.plainText(ofToken:)) ?? "", top == nil ? "" : ExportTable.number(row.lift), row.label ?? "", "\(router)",
      ])
    }
    return table
  }

  // MARK: - Keys

  static func move(_ motion: ActionID, in model: inout AppModel) {
    if motion == .left || motion == .right {
      return model.router = max(0, min(model.routers.count - 1, model.router + (motion == .left ? -1 : 1)))
    }
    let order = model.expertRows.map(\.expert)
    guard !order.isEmpty else { return }
    var list = ListState(selected: order.firstIndex(of: model.expert) ?? 0)
    if let motion = AppModel.listMotions[motion] { list.move(motion, count: order.count, page: max(1, model.size.height / 2)) }
    model.expert = order[list.selected]
  }

  static func enter(_ model: inout AppModel) -> [Effect] {
    let panels = panels(in: model)
    model.focus[id] = model.focused == panels[0] ? panels[1] : panels[0]
    return []
  }

  static func back(_ model: inout AppModel) -> [Effect]? {
    if model[ExpertsScreen.self].showsTogether {
      model[ExpertsScreen.self].showsTogether = false
      return []
    }
    guard !model.isZoomed, model.focused != panels(in: model)[0] else { return nil }
    model.focus[id] = nil
    return []
  }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    switch id {
    case .order:
      model[ExpertsScreen.self].order = model.next(model[ExpertsScreen.self].order)
      model.say("sorted by \(model[ExpertsScreen.self].order.rawValue)")
    case .pause:
      guard model.routers.indices.contains(model.router) else { return [] }
      model[ExpertsScreen.self].marked[model.routers[model.router].id, default: []].formSymmetricDifference([model.expert])
    case .together: model[ExpertsScreen.self].showsTogether.toggle()
    case .label: return argument.isEmpty ? model.open(.label, start: model.expertLabel ?? "") : setLabel(argument, &model)
    default: return nil
    }
    return []
  }

  private static func setLabel(_ text: String, _ model: inout AppModel) -> [Effect] {
    guard model.routers.indices.contains(model.router) else { return [] }
    let router = model.routers[model.router].id
    let words = String(text.trimmingPrefix(while: \.isWhitespace).reversed().trimmingPrefix(while: \.isWhitespace).reversed())
    let change = ExpertLabel(router: router, expert: model.expert, words: words)
    guard let place = model.tracePlace else {
      model[ExpertsScreen.self].labels[router, default: [:]][change.expert] = words.isEmpty ? nil : words
      model.say("this session is not recorded: the label goes with it", .warning)
      return []
    }
    return [.work(LabelWork(label: change, before: model.expertLabel ?? "", file: place.file, run: place.run, startedAt: place.startedAt))]
  }

  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    switch id {
    case _ where actions.contains { $0.id == id } && model.routers.isEmpty: "there is no expert yet"
    case .together where (model.spec?.topK ?? 1) < 2: "each \(model.kind.words.row) takes one expert: none are chosen together"
    default: nil
    }
  }

  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] {
    guard panel == .experts else { return [] }
    let rows = model.expertRows
    let table = model.expertTable(rows)
    if table.header(at: place, in: area) != nil { return perform(.order, "", in: &model) ?? [] }
    if let row = table.row(at: place, in: area), rows.indices.contains(row) { model.expert = rows[row].expert }
    return []
  }

  /// The next expert that is called so, or whose top token is; a number names one by itself.
  static func find(_ text: String, forward: Bool, in model: inout AppModel) -> [Effect]? {
    if AppModel.expertNumber(text) != nil { return nil }
    let rows = model.expertRows
    let start = rows.firstIndex { $0.expert == model.expert } ?? 0
    for offset in 1...max(1, rows.count) where !rows.isEmpty {
      let row = rows[((start + (forward ? offset : -offset)) % rows.count + rows.count) % rows.count]
      let token = model.expertUse?.rows[row.expert].topToken.map(model.plainText(ofToken:)) ?? ""
      if token.localizedCaseInsensitiveContains(text) || row.label?.localizedCaseInsensitiveContains(text) == true {
        model.expert = row.expert
        return []
      }
    }
    model.say("no expert of this layer has \"\(text)\" for its label or first token", .warning)
    return []
  }

  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    switch id {
    case Self.id.action, .order: "moetop analyze \(model.runReference) --metric load,importance --by expert"
    case .label where !argument.isEmpty: "moetop runs label \(argument)"
    default: nil
    }
  }
}
