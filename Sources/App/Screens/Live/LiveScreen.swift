// Live: which experts each layer picks, right now. The heat map and the balance panel are folds over the window that ends at the token
// looked at; the strip below shows the text with the router's uncertainty under each token.

import Analysis
import Routing
import Terminal

extension ScreenID {
  static let live = ScreenID("live")
}

extension PanelID {
  /// Load, or another metric, by layer and expert.
  static let heat = PanelID("heat")
  static let next = PanelID("next")
  static let strip = PanelID("strip")
  /// Uncertainty by layer of what is looked at.
  static let layers = PanelID("layers")
  static let balance = PanelID("balance")
}

struct LiveScreen: Screen {
  enum Metric: String, CaseIterable, Sendable {
    case load, importance, entropy, margin

    /// As the headless commands call it.
    var command: String { self == .margin ? "selection_margin" : rawValue }
  }

  enum Order: String, CaseIterable, Sendable {
    case index, load
  }

  var metric = Metric.load
  /// Tokens up to the one looked at; nil: all.
  var window: Int? = 128
  var order = Order.index
  /// Experts that share a column; nil: as few as there is room for.
  var bin: Int?
  let faces = Memo<LiveFace.Question, LiveFace>()

  static let id = ScreenID.live
  static let title = "Live"
  static let keys: [KeyEvent] = [.char("1")]
  static let filterReach = "dims tokens; the map is of all"
  static let actions = [
    ActionEntry(.bin, "bin", "so many experts share a column; auto: as needed", argument: "N|auto")
  ]
  static let uses: Set<ActionID> = [.branch, .metric, .order, .window, .lower, .raise, .threshold]

  mutating func forget() {}

  static func panels(in model: AppModel) -> [PanelID] { model.kind.panels(of: id) }
  static func home(in model: AppModel) -> PanelID { model.kind.home(of: id) ?? .heat }
  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] { model.kind.areas(of: id, body, in: model) }
  static func bar(in model: AppModel) -> [BarItem] { model.kind.bar(of: id) }
  static func status(in model: AppModel) -> [StyledText] { [model.kind.status(in: model)] }

  static func draw(_ painter: inout Painter) {
    let (kind, tallies) = (painter.model.kind, painter.model.windowTallies())
    for panel in panels(in: painter.model) {
      switch panel {
      case .heat: painter.drawHeat(tallies)
      case .layers: painter.drawLayers()
      case .balance: painter.drawBalance(tallies)
      default: kind.draw(panel, &painter)
      }
    }
  }

  static func table(of model: AppModel) -> ExportTable {
    let metric = model.metric
    var table = ExportTable(columns: ["layer", "expert", "assignments", metric.rawValue, "router"])
    let tallies = model.windowTallies()
    for (index, values) in model.heat(tallies).enumerated() {
      let router = model.routers[index]
      for expert in 0..<router.spec.expertCount {
        if index == model.router, expert == model.expert { table.selected = table.rows.count }
        let counts = tallies[index].counts
        table.rows.append([
          "\(router.id.layer)", "\(expert)", counts.indices.contains(expert) ? "\(counts[expert])" : "0",
          ExportTable.number(values?[expert]), "\(router.id)",
        ])
      }
    }
    return table
  }

  // MARK: - Keys

  static func move(_ motion: ActionID, in model: inout AppModel) {
    let kind = model.kind
    if kind.move(motion, over: model.focused, in: &model) { return }
    let isMap = model.focused == .heat
    model.moveRouter(motion) { if isMap { $0.moveColumn($1) } else { kind.moveAcross($1, in: &$0) } }
  }

  static func enter(_ model: inout AppModel) -> [Effect] { model.go(.token) }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    switch id {
    case .metric: model.metric = model.next(model.metric)
    case .order: model[LiveScreen.self].order = model.next(model.order)
    case .window: return setWindow(argument, &model)
    case .bin: return model.setBin(argument)
    default: return nil
    }
    return []
  }

  private static func setWindow(_ argument: String, _ model: inout AppModel) -> [Effect] {
    let steps: [Int?] = [32, 128, 512, nil]
    if argument == "all" {
      model.window = nil
    } else if let value = Int(argument), value > 0 {
      model.window = value
    } else if argument.isEmpty {
      let place = steps.firstIndex(of: model.window) ?? 1
      model.window = steps[(place + 1) % steps.count]
    } else {
      return model.missing("a number of tokens, or all")
    }
    return []
  }

  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    switch id {
    case .window where !model.kind.hasNeighbours: "of images the window is the step looked at"
    case .metric where model.buffer.map { $0.isEmpty && !$0.isCounted } ?? true: "there is no \(model.kind.words.row) yet"
    default: nil
    }
  }

  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] {
    switch panel {
    case .heat:
      let tallies = model.windowTallies()
      let map = model.heatMap(tallies, width: area.width)
      guard let cell = map.geometry(in: area.dropping(bottom: 1), theme: model.theme).cell(at: place) else { return [] }
      model.router = cell.row
      let bin = model.bin(width: area.width)
      model.expert = model.liveFace(tallies, bin: bin).expert(at: cell.column * bin, router: cell.row)
    case .patches: model.point(atPatch: place, in: area)
    case .strip:
      let shown = model.strip(area)
      if let token = shown.strip.token(at: place, in: area) { model.selected = shown.first + token }
    default: break
    }
    return []
  }

  static func choices(for id: ActionID, in model: AppModel) -> [String]? { id == .bin ? ["auto", "1", "2", "4", "8", "16"] : nil }

  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    guard id == .metric || id == Self.id.action, model.isTrace || model.isLive else { return nil }
    return "moetop analyze \(model.runReference) --metric \(model.metric.command) --by expert"
  }
}

extension AppModel {
  var metric: LiveScreen.Metric {
    get { self[LiveScreen.self].metric }
    set { self[LiveScreen.self].metric = newValue }
  }

  var window: Int? {
    get { self[LiveScreen.self].window }
    set { self[LiveScreen.self].window = newValue }
  }

  var order: LiveScreen.Order { self[LiveScreen.self].order }
}
