// Runs: what was recorded. A table of the trace, what is known about the run selected, and the same from the shell.

import Analysis
import Routing
import Store
import Terminal

extension ScreenID {
  static let runs = ScreenID("runs")
}

extension PanelID {
  static let runs = PanelID("runs")
  static let details = PanelID("details")
}

extension ActionID {
  static let tag = ActionID("tag")
  static let delete = ActionID("delete")
  static let exportRun = ActionID("export-run")
}

struct RunsScreen: Screen {
  var runs: [RunSummary] = []
  var file = ""
  var problem: String?
  var list = ListState()
  /// Runs off the list that can still be had back; they are deleted in time, or when the screen is left.
  var doomed: [Doomed] = []

  struct Doomed: Sendable {
    var place: RunPlace
    /// When it goes, on the clock of the session.
    var due: Double
  }

  /// Seconds in which a delete can be undone.
  static let grace = 5.0

  static let id = ScreenID.runs
  static let title = "Runs"
  static let keys: [KeyEvent] = [.char("8")]
  static let isOfTheRun = false
  static let actions = [
    ActionEntry(
      .tag, "tag", "change the tags of a run", keys: [.char("t")], argument: "TAGS",
      line: LineHint(label: "tags: ", hint: "words, apart by spaces", takesNothing: true), takesTime: true),
    ActionEntry(
      .exportRun, "export run", "write the run's routing: .csv .jsonl .safetensors", keys: [.char("E")], argument: "FILE",
      line: LineHint(label: "export the run as: ", hint: "routing.safetensors, routing.csv or routing.jsonl"), takesTime: true),
    ActionEntry(.delete, "delete", "delete a run (asks; u undoes)", keys: [.char("D")], argument: "RUN", takesTime: true),
  ]

  mutating func forget() {}

  /// Takes what is in a trace, newest first.
  mutating func show(_ result: Result<[RunSummary], Failure>, file: String) {
    self.file = file
    switch result {
    case .success(let found):
      (runs, problem) = (found.reversed().filter { run in !doomed.contains { $0.place.file == file && $0.place.run == run.id } }, nil)
    case .failure(let failure): (runs, problem) = ([], failure.message)
    }
    list.settle(count: runs.count, page: 1)
  }

  static func panels(in model: AppModel) -> [PanelID] { [.runs, .details] }

  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    if body.width < 100 { return [model.focused: body] }
    let parts = body.split(rows: [.flex(1), .fixed(min(19, body.height / 2))])
    return [.runs: parts[0], .details: parts[1]]
  }

  static func bar(in model: AppModel) -> [BarItem] {
    [BarItem(.down), BarItem(.enter, "open"), BarItem(.pause, "mark")]
      + [.compareRuns, .find, .tag, .exportRun, .delete, .export].map { BarItem($0) }
  }

  static func status(in model: AppModel) -> [StyledText] { model.runsStatus }

  static func draw(_ painter: inout Painter) {
    painter.drawRuns()
    painter.drawDetails()
  }

  static func table(of model: AppModel) -> ExportTable {
    var table = ExportTable(columns: ["id", "name", "model", "input", "tokens", "state", "stored_bytes", "tags"])
    table.rows = model.runs.runs.map {
      [
        "\($0.id)", $0.name, $0.description.model.name, $0.description.input.source, "\($0.tokenCount)", $0.state.name, "\($0.storedBytes)",
        $0.description.tags.joined(separator: " "),
      ]
    }
    return table
  }

  // MARK: - Keys

  static func move(_ motion: ActionID, in model: inout AppModel) { model.moveList(\.runs.list, motion, count: model.runs.runs.count) }

  static func enter(_ model: inout AppModel) -> [Effect] {
    model.selectedRun.map { [.open("\(model.runs.file)#\($0.id)")] } ?? []
  }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    switch id {
    case .tag:
      guard let run = model.selectedRun else { return [] }
      if argument.isEmpty { return model.open(.tag, start: run.description.tags.joined(separator: " ")) }
      return setTags(argument.split(whereSeparator: { $0 == "," || $0 == " " }).map(String.init), of: run, &model)
    case .delete:
      if !argument.isEmpty, !select(argument, &model) { return [] }
      return askDelete(&model)
    case .exportRun:
      guard let run = model.selectedRun else { return [] }
      if argument.isEmpty { return model.open(.exportRun, start: "run\(run.id).safetensors") }
      let suffix = argument.split(separator: ".").last.map(String.init) ?? ""
      guard let format = TraceExport.Format(rawValue: suffix) else {
        return model.missing("a name that ends in .csv, .jsonl or .safetensors")
      }
      return [.work(ExportRunWork(file: model.runs.file, run: run.id, format: format, path: argument))]
    case .pause:
      model.runs.list.toggleMark()
      return []
    case .compareRuns: return compareMarked(&model)
    default: return nil
    }
  }

  /// Moves the cursor to a run by number or name.
  private static func select(_ name: String, _ model: inout AppModel) -> Bool {
    guard let place = model.runs.runs.firstIndex(where: { "\($0.id)" == name || $0.name == name }) else {
      model.say("there is no run \(name) in \(model.runs.file)", .warning)
      return false
    }
    model.runs.list.selected = place
    return true
  }

  private static func setTags(_ tags: [String], of run: RunSummary, _ model: inout AppModel) -> [Effect] {
    let (place, before) = (RunPlace(file: model.runs.file, run: run.id, startedAt: run.description.startedAt), run.description.tags)
    model.changed("tags of run \(run.id)", back: { _ in [.setTags(before, place)] }, forth: { _ in [.setTags(tags, place)] })
    return [.setTags(tags, place)]
  }

  /// The marked runs side by side, the older one first; one mark, or none, stands beside the run under the cursor.
  private static func compareMarked(_ model: inout AppModel) -> [Effect] {
    let marked = model.runs.list.marked.union([model.runs.list.selected]).filter { model.runs.runs.indices.contains($0) }
    let chosen = model.runs.list.marked.count > 1 ? model.runs.list.marked : marked
    guard chosen.count == 2 else {
      model.say("\(model.key(.pause)) marks the run to compare with, found \(Show.counted(chosen.count, "run"))", .warning)
      return []
    }
    let names = chosen.sorted(by: >).map { "\(model.runs.file)#\(model.runs.runs[$0].id)" }
    (model.comparison.a, model.comparison.b) = (names[0], names[1])
    return model.go(.compare) + CompareScreen.compare(&model)
  }

  private static func askDelete(_ model: inout AppModel) -> [Effect] {
    guard let run = model.selectedRun else { return [] }
    if case .active(let file, let id, _, _) = model.recording, file == model.runs.file, id == run.id {
      model.say("run \(id) is being recorded", .warning)
      return []
    }
    model.overlay = .confirm(
      question: "delete run \(run.id)? \(model.key(.undo)) has it back for \(Int(grace)) s. y / n",
      .hideRun(RunPlace(file: model.runs.file, run: run.id, startedAt: run.description.startedAt)))
    return []
  }

  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    [.tag, .delete, .pause, .compareRuns, .exportRun].contains(id) && model.runs.runs.isEmpty ? "there is no run" : nil
  }

  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] {
    if panel == .runs { model.pick(\.runs.list, at: place, in: area, count: model.runs.runs.count) }
    return []
  }

  static func find(_ text: String, forward: Bool, in model: inout AppModel) -> [Effect]? {
    let count = model.runs.runs.count
    let start = model.runs.list.selected
    for offset in 1...max(1, count) where count > 0 {
      let place = ((start + (forward ? offset : -offset)) % count + count) % count
      let run = model.runs.runs[place]
      let words =
        "\(run.id) \(run.name) \(run.description.model.name) \(run.description.input.source) \(run.description.tags.joined(separator: " "))"
      if words.localizedCaseInsensitiveContains(text) {
        model.runs.list.selected = place
        return []
      }
    }
    model.say("no run mentions \"\(text)\"", .warning)
    return []
  }

  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    switch id {
    case Self.id.action: "moetop runs list"
    case .tag where !argument.isEmpty: "moetop runs tag \(argument)"
    case .delete where !argument.isEmpty: "moetop runs rm \(argument)"
    case .exportRun where !argument.isEmpty: "moetop export \(argument)"
    default: nil
    }
  }

  static func choices(for id: ActionID, in model: AppModel) -> [String]? { id == .delete ? model.runs.runs.map { "\($0.id)" } : nil }

  /// The trace of the run that is open, else the one that sessions are recorded into.
  static func arrive(_ model: inout AppModel) -> [Effect] { [.listRuns(file: model.tracePlace?.file)] }

  /// What was deleted here goes now.
  static func leave(_ model: inout AppModel) -> [Effect] { deleted(by: .infinity, &model) }

  static func nextTick(in model: AppModel) -> Double? { model.runs.doomed.map(\.due).min() }

  static func refresh(_ model: inout AppModel) -> [Effect] { deleted(by: model.now, &model) }

  private static func deleted(by time: Double, _ model: inout AppModel) -> [Effect] {
    let due = model.runs.doomed.filter { $0.due <= time }
    model.runs.doomed.removeAll { $0.due <= time }
    return due.map { .deleteRun($0.place) }
  }
}

extension AppModel {
  /// Takes a run off the list; it is deleted seconds later, or when the screen is left, until then it can be had back.
  mutating func hideRun(_ place: RunPlace) -> [Effect] {
    let hide: Change.Way = { model in
      model.runs.doomed.append(RunsScreen.Doomed(place: place, due: model.now + RunsScreen.grace))
      if model.runs.file == place.file { model.runs.runs.removeAll { $0.id == place.run } }
      model.runs.list.settle(count: model.runs.runs.count, page: 1)
      return []
    }
    _ = hide(&self)
    changed(
      "the delete of run \(place.run)",
      back: { model in
        guard let index = model.runs.doomed.firstIndex(where: { $0.place == place }) else {
          model.say("run \(place.run) is gone", .warning)
          return []
        }
        model.runs.doomed.remove(at: index)
        return [.listRuns(file: place.file)]
      }, forth: hide)
    say("run \(place.run) is gone in \(Int(RunsScreen.grace)) s; \(key(.undo)) has it back", seconds: RunsScreen.grace)
    return []
  }

  var runs: RunsScreen {
    get { self[RunsScreen.self] }
    set { self[RunsScreen.self] = newValue }
  }

  var selectedRun: RunSummary? {
    runs.runs.indices.contains(runs.list.selected) ? runs.runs[runs.list.selected] : nil
  }

  var runsStatus: [StyledText] {
    if let problem = runs.problem { return [StyledText(problem.split(separator: "\n").first.map(String.init) ?? problem, .warning)] }
    guard let run = selectedRun else { return [StyledText("no runs in \(runs.file) yet")] }
    let failed = run.failedChecks.count
    return [
      StyledText("run \(run.id)"), StyledText(run.state.name + (run.description.intervention == nil ? "" : ", under rules")),
      StyledText(failed == 0 ? "capture checks held" : "\(Show.counted(failed, "capture check")) failed", failed == 0 ? nil : .error),
      StyledText(runs.file, .dim),
    ]
  }

  func shape(_ run: RunSummary) -> String {
    let routers = run.description.routers
    let experts = Set(routers.map(\.spec.expertCount)).sorted().map(String.init).joined(separator: "/")
    return "\(routers.count) × \(experts)"
  }
}
