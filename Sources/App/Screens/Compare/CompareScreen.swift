// Compare: two runs on the same tokens. How far they agree beside what chance makes agree, where they part, and the decisions that fell
// otherwise with how near they were.

import Analysis
import Routing
import Store
import Terminal

extension ScreenID {
  static let compare = ScreenID("compare")
}

extension PanelID {
  static let summary = PanelID("summary")
  /// Change of load, or of agreement, by layer and expert.
  static let change = PanelID("change")
  static let parting = PanelID("parting")
  static let flips = PanelID("flips")
}

extension ActionID {
  static let chooseA = ActionID("run-a")
  static let chooseB = ActionID("run-b")
  static let swapRuns = ActionID("swap-runs")
  static let matching = ActionID("matching")
}

struct CompareScreen: Screen {
  /// Runs as the headless commands call them; nil: not chosen.
  var a: String?
  var b: String?
  var matching = ComparisonPlan.Matching.index
  var found: ComparedRuns?
  var problem: String?
  /// Rows set side by side, of how many.
  var progress: (done: Int, of: Int)?
  /// The latest comparison asked for; answers to others are dropped.
  var number = 0
  var flips = ListState()
  /// In the list of runs to choose from.
  var choice = ListState()
  /// The layer and the expert looked at, of the two runs.
  var layer = 0
  var expert = 0

  static let id = ScreenID.compare
  static let title = "Compare"
  static let short = "Cmp"
  static let keys: [KeyEvent] = [.char("6")]
  static let isOfTheRun = false
  static let actions = [
    ActionEntry(
      .chooseA, "run A", "choose the run that is the reference", keys: [.char("A")], argument: "RUN",
      line: LineHint(label: "run A: ", hint: "12, a name, latest, FILE.db#12; tab completes")),
    ActionEntry(
      .chooseB, "run B", "choose the run that stands beside it", keys: [.char("B")], argument: "RUN",
      line: LineHint(label: "run B: ", hint: "12, a name, latest, FILE.db#12; tab completes")),
    ActionEntry(.swapRuns, "swap", "A and B the other way round", keys: [.char("S")]),
    ActionEntry(.matching, "match", "experts by number, or by behaviour", keys: [.char("m")]),
  ]

  /// A comparison is of two runs, whichever is open.
  mutating func forget() {}

  static func panels(in model: AppModel) -> [PanelID] { [.summary, .change, .parting, .flips] }
  static func home(in model: AppModel) -> PanelID { .change }

  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    guard model.comparison.found != nil else { return [model.focused: body] }
    if body.width < 100 || body.height < 30 {
      if model.focused == .flips || model.focused == .parting { return [model.focused: body] }
      let parts = body.split(rows: [.fixed(7), .min(4)])
      return [.summary: parts[0], .change: parts[1]]
    }
    let layers = model.comparison.found?.pair.result.layers.count ?? 1
    let parts = body.split(rows: [.fixed(9), .fixed(min(max(layers + 4, 13), body.height - 9 - 9)), .min(8)])
    let middle = parts[1].split(columns: [.flex(), .fixed(max(36, min(48, body.width * 3 / 10)))])
    return [.summary: parts[0], .change: middle[0], .parting: middle[1], .flips: parts[2]]
  }

  static func bar(in model: AppModel) -> [BarItem] {
    [BarItem(.chooseA), BarItem(.chooseB), BarItem(.swapRuns), .arrows(), BarItem(.notable, "next flip"), BarItem(.matching)]
      + [.enter, .export].map { BarItem($0) }
  }

  static func status(in model: AppModel) -> [StyledText] { model.comparisonStatus }

  static func draw(_ painter: inout Painter) {
    guard let found = painter.model.comparison.found else { return painter.drawNoComparison() }
    painter.drawSummary(found)
    painter.drawChange(found)
    painter.drawParting(found)
    painter.drawFlips(found)
  }

  static func table(of model: AppModel) -> ExportTable {
    var table = ExportTable(columns: ["router", "expert", "assignments_a", "assignments_b", "load_a", "load_b", "load_change"])
    for (index, layer) in (model.comparison.found?.pair.result.layers ?? []).enumerated() {
      let (a, b) = layer.assignments
      let (sumA, sumB) = (Double(a.reduce(0, +)), Double(b.reduce(0, +)))
      for expert in a.indices {
        if index == model.router, expert == model.expert { table.selected = table.rows.count }
        let (loadA, loadB) = (Double(a[expert]) / sumA, Double(b[expert]) / sumB)
        table.rows.append([
          "\(layer.pair.a.id)", "\(expert)", "\(a[expert])", "\(b[expert])", ExportTable.number(loadA), ExportTable.number(loadB),
          ExportTable.number(loadB - loadA),
        ])
      }
    }
    return table
  }

  // MARK: - Keys

  static func move(_ motion: ActionID, in model: inout AppModel) {
    guard let found = model.comparison.found else { return model.moveList(\.comparison.choice, motion, count: model.comparableRuns.count) }
    if model.focused == .flips { return model.moveList(\.comparison.flips, motion, count: found.pair.result.flipped.count) }
    let layers = found.pair.result.layers
    let experts = layers.map(\.assignments.a.count).max() ?? 1
    model.move(\.comparedLayer, motion, count: layers.count) { $0.comparedExpert = max(0, min(experts - 1, $0.comparedExpert + $1)) }
  }

  /// The token of the flip looked at, where the run it is in is the one that is open.
  static func enter(_ model: inout AppModel) -> [Effect] {
    guard let found = model.comparison.found else { return chooseListed(&model) }
    let flips = found.pair.result.flipped
    guard flips.indices.contains(model.comparison.flips.selected) else { return [] }
    guard model.focused == .flips else {
      model.focus[id] = .flips
      return []
    }
    let flip = flips[model.comparison.flips.selected]
    guard model.isOpen(found), model.buffer?.rows.contains(flip.token) == true else {
      model.say("run A is not the one that is open: O and \(found.a.label) opens it", .warning)
      return []
    }
    model.look(at: flip.token)
    if let place = model.routers.firstIndex(where: { $0.id == flip.router }) { model.router = place }
    return model.go(.token)
  }

  /// The run under the cursor of the list becomes A where there is none, else B.
  private static func chooseListed(_ model: inout AppModel) -> [Effect] {
    let (runs, place) = (model.comparableRuns, model.comparison.choice.selected)
    guard runs.indices.contains(place) else { return [] }
    let name = "\(model.runs.file)#\(runs[place].id)"
    if model.comparison.a == nil { model.comparison.a = name } else { model.comparison.b = name }
    return compare(&model)
  }

  static func back(_ model: inout AppModel) -> [Effect]? {
    guard model.comparison.progress != nil else { return nil }
    model.comparison.number += 1
    (model.comparison.progress, model.comparison.problem) = (nil, "cancelled")
    return [.cancelWork(CompareWork.lane)]
  }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    switch id {
    case .chooseA:
      guard !argument.isEmpty else { return model.open(.chooseA, start: model.comparison.a ?? "") }
      model.comparison.a = argument
    case .chooseB:
      guard !argument.isEmpty else { return model.open(.chooseB, start: model.comparison.b ?? "") }
      model.comparison.b = argument
    case .swapRuns: (model.comparison.a, model.comparison.b) = (model.comparison.b, model.comparison.a)
    case .matching: model.comparison.matching = model.next(model.comparison.matching)
    case .notable:
      let count = model.comparison.found?.pair.result.flipped.count ?? 0
      model.focus[Self.id] = .flips
      model.comparison.flips.selected = count > 0 ? (model.comparison.flips.selected + 1) % count : 0
      return []
    default: return nil
    }
    return compare(&model)
  }

  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    switch id {
    case .notable where model.comparison.found == nil, .copy where model.comparison.found == nil,
      .matching where model.comparison.found == nil,
      .export where model.comparison.found == nil:
      "no runs are compared: A and B choose them"
    default: nil
    }
  }

  static func choices(for id: ActionID, in model: AppModel) -> [String]? {
    guard id == .chooseA || id == .chooseB else { return nil }
    return model.runs.runs.map { "\(model.runs.file)#\($0.id)" } + (model.tracePlace.map { ["\($0.file)#\($0.run)"] } ?? [])
  }

  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] {
    guard let found = model.comparison.found else {
      model.pick(\.comparison.choice, at: place, in: area.dropping(top: 5), count: model.comparableRuns.count)
      return []
    }
    switch panel {
    case .flips: model.pick(\.comparison.flips, at: place, in: area, count: found.pair.result.flipped.count)
    case .change:
      let map = model.changeMap(found, width: area.width)
      if let cell = map.geometry(in: area.dropping(bottom: 1), theme: model.theme).cell(at: place) {
        (model.comparedLayer, model.comparedExpert) = (cell.row, cell.column)
      }
    default: break
    }
    return []
  }

  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    switch id {
    case Self.id.action, .chooseA, .chooseB, .swapRuns, .matching:
      guard let a = model.comparison.a, let b = model.comparison.b else { return nil }
      return "moetop compare \(a) \(b)" + (model.comparison.matching == .behaviour ? " --match behaviour" : "")
    default: return nil
    }
  }

  /// The open run is A, until somebody says otherwise; the runs of the trace are listed for whoever chooses.
  static func arrive(_ model: inout AppModel) -> [Effect] {
    if model.comparison.a == nil { model.comparison.a = model.tracePlace.map { "\($0.file)#\($0.run)" } }
    return [.listRuns(file: model.tracePlace?.file)]
  }

  static func compare(_ model: inout AppModel) -> [Effect] {
    model.comparison.number += 1
    (model.comparison.found, model.comparison.problem, model.comparison.progress) = (nil, nil, nil)
    model.comparison.flips = ListState()
    (model.comparedLayer, model.comparedExpert) = (0, 0)
    guard let a = model.comparison.a, let b = model.comparison.b else { return [.cancelWork(CompareWork.lane)] }
    if a == b { model.say("A and B are the same run: it agrees with itself", .warning) }
    model.comparison.progress = (0, 1)
    return [.work(CompareWork(a: a, b: b, matching: model.comparison.matching, number: model.comparison.number))]
  }
}

extension AppModel {
  var comparison: CompareScreen {
    get { self[CompareScreen.self] }
    set { self[CompareScreen.self] = newValue }
  }

  /// The runs listed that can stand beside A: all but A itself.
  var comparableRuns: [RunSummary] { runs.runs.filter { "\(runs.file)#\($0.id)" != comparison.a } }

  /// Whether run A is the one that is open.
  func isOpen(_ found: ComparedRuns) -> Bool { runReference == found.a.trace + "#\(found.idA)" }

  var comparisonStatus: [StyledText] {
    if let progress = comparison.progress {
      return [StyledText("comparing: \(Show.grouped(progress.done)) of \(Show.grouped(progress.of)) rows, esc cancels")]
    }
    guard let found = comparison.found else {
      return [StyledText(comparison.problem ?? "A and B choose two runs", comparison.problem == nil ? nil : .warning)]
    }
    let layers = found.pair.result.layers
    guard layers.indices.contains(comparedLayer) else { return [] }
    let layer = layers[comparedLayer]
    let (a, b) = layer.assignments
    let expert = min(comparedExpert, a.count - 1)
    func load(_ counts: [Int]) -> String {
      Show.fixed(Double(counts[expert]) / Double(max(1, counts.reduce(0, +))) * 100, 2) + " %"
    }
    return [
      StyledText("\(layer.pair.a.id) expert \(expert)", .strong) + StyledText("  load \(load(a)) in A, \(load(b)) in B"),
      StyledText("agreement \(layer.row[.setAgreement].map { Show.fixed($0, 4) } ?? "–")"),
    ]
  }
}
