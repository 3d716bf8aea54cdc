// Runs of a model that makes images: rows are patches of a sample at a step, in one branch of guidance or the other.

import Model
import Routing
import Terminal

struct ImageKind: RunKind {
  var words: RunWords {
    RunWords(
      row: "patch", rows: "patches", sequence: "sample", moment: "step", rate: "steps/s", whole: "a whole sample", members: "steps",
      arrival: "end", finding: "step 12, sample 3, a class, e2 for an expert", heads: ("row", "patch", "branch, sample"), widths: (7, 22),
      alike: ("Same patch at other steps", "step", "steps", "There is no other step of this sample yet.", "experts"),
      missingAxes: "position: no text")
  }

  func panels(of screen: ScreenID) -> [PanelID] {
    switch screen {
    case .live: [.heat, .patches, .picture, .layers, .balance]
    case .specialization: [.cells, .figures, .patches, .axes, .card]
    case .experts: [.experts, .card]
    case .interventions: [.rules, .effect]
    default: []
    }
  }

  /// The picture: arrows go through its steps.
  func home(of screen: ScreenID) -> PanelID? { screen == .live ? .picture : nil }

  func areas(of screen: ScreenID, _ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    switch screen {
    case .live: return model.imagePanels(body)
    case .specialization:
      let (rows, columns) = (model.layout?.patchRows ?? 1, model.layout?.patchColumns ?? 1)
      let high = max(1, min(3, (body.height - 3) / max(1, rows)))
      let map = max(38, min(2 * columns * high + 4, body.width / 3))
      let lower = body.split(columns: [.fixed(map), .flex(), .fixed(48)])
      return [.patches: lower[0], .card: lower[1], .axes: lower[2]]
    case .interventions:
      let parts = body.split(columns: [.flex(), .flex()])
      return [.rules: parts[0], .effect: parts[1]]
    default: return [:]
    }
  }

  func bar(of screen: ScreenID) -> [BarItem] {
    switch screen {
    case .live:
      [BarItem(.right, "step")]
        + [.pause, .step, .faster, .imageClass, .branch, .layerUp, .metric, .enter, .notable, .find, .export].map { BarItem($0) }
    case .token:
      [BarItem(.right, "patch"), BarItem(.tokenRight), BarItem(.down, "layer")]
        + [.branch, .notable, .values, .find, .export].map { BarItem($0) }
    case .specialization: [.axis, .right, .pause, .layerUp, .branch, .metric, .nullTest, .order, .export].map { BarItem($0) }
    default: []
    }
  }

  func draw(_ panel: PanelID, _ painter: inout Painter) {
    switch panel {
    case .patches: painter.drawPatches()
    case .picture: painter.drawPicture()
    case .card: painter.drawExpertCard()
    default: break
    }
  }

  // MARK: - Motions

  func moveOn(_ by: Int, in model: inout AppModel) { model.scrub(steps: by) }
  func moveAside(_ by: Int, in model: inout AppModel) { model.movePatch(by: by) }
  func moveAcross(_ by: Int, in model: inout AppModel) { model.scrub(steps: by) }

  func move(_ motion: ActionID, over panel: PanelID, in model: inout AppModel) -> Bool {
    switch panel {
    case .patches: model.movePatch(motion)
    case .picture: model.moveSteps(motion)
    case .card, .figures: model.moveRouter(motion) { $0.scrub(steps: $1) }
    default: return false
    }
    return true
  }

  func find(_ text: String, in model: inout AppModel) -> [Effect]? { model.find(inImages: text) }

  // MARK: - What is said

  func status(in model: AppModel) -> StyledText { model.imageStatus }

  func sentence(_ row: Int, _ buffer: RoutingBuffer, in model: AppModel) -> StyledText { model.patchWords(row, buffer) }

  func context(_ row: Int, width: Int, in model: AppModel) -> StyledText {
    model.buffer.map { model.patchWords(row, $0) } ?? ""
  }

  func place(_ row: Int, in model: AppModel) -> String { "\(model.keys(.right)) patch  \(model.keys(.tokenRight)) step" }

  /// In lists of the same patch what it took; elsewhere the branch and the sample.
  func difference(_ row: Int, width: Int, in model: AppModel) -> StyledText {
    if model.screen == .token {
      let taken = model.ranking(row, router: model.router).filter { $0.weight != nil }
      return StyledText(taken.map { model.expertName($0.expert) }.joined(separator: " "))
    }
    guard let buffer = model.buffer else { return "" }
    let branch = buffer.place(row).map { model.branchName($0.branch) } ?? ""
    return StyledText(branch + "  " + model.sampleName(buffer.sequence(row)), .dim)
  }

  func number(_ row: Int, in model: AppModel) -> Int { model.buffer?.place(row)?.step ?? row }
  func nothing(in model: AppModel) -> String { model.noStepWords }

  var hasNext: Bool { false }
  var hasNeighbours: Bool { false }
  var countsSamples: Bool { true }
  func admits(_ term: Filter.TermHelp) -> Bool { !term.isOfText }
  func made(_ part: StreamPart) -> Int { part.pictures.count }
  func whatIf(_ model: String, rules: String) -> String { "moetop whatif \(model) --images 8 --rules \(rules)" }
}
