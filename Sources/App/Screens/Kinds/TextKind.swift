// Runs of texts: rows are tokens, one after the other.

import Model
import Routing
import Terminal

struct TextKind: RunKind {
  var words: RunWords {
    RunWords(
      row: "token", rows: "tokens", sequence: "text", moment: "token", rate: "tok/s", whole: "tokens", members: "tokens", arrival: "begin",
      finding: "text of a token, e12 for an expert", heads: ("token", "text", "context"), widths: (6, 12),
      alike: ("Same token elsewhere", "place", "tokens", "This token occurs once so far.", "context"),
      missingAxes: "step, patch: not a denoising run")
  }

  func panels(of screen: ScreenID) -> [PanelID] {
    switch screen {
    case .live: [.heat, .next, .strip, .layers, .balance]
    case .specialization: [.cells, .figures, .enrichment, .axes]
    case .experts: [.experts, .expertCard]
    case .interventions: [.rules, .effect, .nextBeside, .textBefore, .textAfter]
    default: []
    }
  }

  func home(of screen: ScreenID) -> PanelID? { nil }

  func areas(of screen: ScreenID, _ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    switch screen {
    case .live: return liveAreas(body, model)
    case .specialization:
      let lower = body.split(columns: [.flex(), .flex()])
      return [.enrichment: lower[0], .axes: lower[1]]
    case .interventions:
      let parts = body.split(rows: [.fixed(max(13, min(18, body.height / 3))), .fixed(11), .min(6)])
      let upper = parts[0].split(columns: [.flex(), .flex()])
      let lower = parts[2].split(columns: [.flex(), .flex()])
      return [.rules: upper[0], .effect: upper[1], .nextBeside: parts[1], .textBefore: lower[0], .textAfter: lower[1]]
    default: return [:]
    }
  }

  private func liveAreas(_ body: Rect, _ model: AppModel) -> [PanelID: Rect] {
    let rows = max(1, model.routers.count)
    if body.width < 100 || body.height < 30 {
      // Reduced: the map, one line of text with its marks, one panel below that Tab changes.
      let below: PanelID = [.heat, .strip].contains(model.focused) ? .balance : model.focused
      let top = min(rows + 4, body.height - 4)
      let parts = body.split(rows: [.fixed(top), .min(4), .fixed(body.height - top >= 9 ? 5 : 0)])
      return [.heat: parts[0], .strip: parts[1], below: parts[2]].filter { !$0.value.isEmpty }
    }
    // Rows as high as the upper part of the screen has room for.
    let lines = max(1, min(4, ((body.height - 9) * 3 / 5 - 4) / rows))
    let top = min(max(rows * lines + 4, 14), body.height - 14)
    let parts = body.split(rows: [.fixed(top), .min(5), .fixed(9)])
    let upper = parts[0].split(columns: [.flex(), .fixed(max(35, min(48, body.width * 3 / 10)))])
    let lower = parts[2].split(columns: [.flex(), .flex()])
    return [.heat: upper[0], .next: upper[1], .strip: parts[1], .layers: lower[0], .balance: lower[1]]
  }

  func bar(of screen: ScreenID) -> [BarItem] {
    switch screen {
    case .live: [.arrows()] + [.enter, .pause, .step, .faster, .metric, .window, .notable, .prompt, .find, .export].map { BarItem($0) }
    case .token: [BarItem(.right, "token"), BarItem(.down, "layer")] + [.notable, .values, .layerUp, .find, .export].map { BarItem($0) }
    case .specialization: [.axis, .right, .layerUp, .metric, .nullTest, .order, .export].map { BarItem($0) }
    default: []
    }
  }

  func draw(_ panel: PanelID, _ painter: inout Painter) {
    switch panel {
    case .next: painter.drawNextToken()
    case .strip: painter.drawStrip()
    case .enrichment: painter.drawEnrichment()
    case .expertCard: painter.drawCardOfExpert()
    case .nextBeside: painter.drawNextBeside()
    case .textBefore: painter.drawText(.textBefore)
    case .textAfter: painter.drawText(.textAfter)
    default: break
    }
  }

  // MARK: - Motions

  func moveOn(_ by: Int, in model: inout AppModel) { model.step(tokens: by) }
  func moveAside(_ by: Int, in model: inout AppModel) { model.step(tokens: by) }
  func moveAcross(_ by: Int, in model: inout AppModel) { model.moveColumn(by) }

  func move(_ motion: ActionID, over panel: PanelID, in model: inout AppModel) -> Bool {
    guard panel == .strip else { return false }
    model.moveTokens(motion)
    return true
  }

  func find(_ text: String, in model: inout AppModel) -> [Effect]? { nil }

  // MARK: - What is said

  func status(in model: AppModel) -> StyledText { model.liveStatus }

  func sentence(_ row: Int, _ buffer: RoutingBuffer, in model: AppModel) -> StyledText { model.tokenWords(row, buffer) }

  /// The token in its text, with what came next where there is room.
  func context(_ row: Int, width: Int, in model: AppModel) -> StyledText {
    guard let buffer = model.buffer else { return "" }
    let follows = row + 1 < buffer.end && buffer.sequence(row + 1) == buffer.sequence(row)
    let next = follows ? "   next \"\(model.tokenText(row + 1))\"" : ""
    return model.context(row, width: max(10, width - Printable.width(of: next))) + StyledText(next, .dim)
  }

  func place(_ row: Int, in model: AppModel) -> String { "token \(row) of \(model.rowRange)" }
  func difference(_ row: Int, width: Int, in model: AppModel) -> StyledText { model.context(row, width: width) }
  func number(_ row: Int, in model: AppModel) -> Int { row }
  func nothing(in model: AppModel) -> String { model.noTokenWords }

  var hasNext: Bool { true }
  var hasNeighbours: Bool { true }
  var countsSamples: Bool { false }
  func admits(_ term: Filter.TermHelp) -> Bool { !term.isOfImages }
  func made(_ part: StreamPart) -> Int { part.pass.tokens.phase.count { $0 == .decode } }
  func whatIf(_ model: String, rules: String) -> String { "moetop whatif \(model) -f TEXTS --rules \(rules)" }
}
