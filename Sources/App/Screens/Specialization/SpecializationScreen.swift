// Specialization: do experts follow a domain, another label, or the place in the text? Each figure stands beside its null, since with
// few texts a large mutual information is what chance yields.

import Analysis
import Routing
import Terminal

extension ScreenID {
  static let specialization = ScreenID("specialization")
}

extension PanelID {
  /// Experts by cells of the axis.
  static let cells = PanelID("cells")
  static let figures = PanelID("figures")
  /// The strongest cells.
  static let enrichment = PanelID("enrichment")
  /// Every layer along the axis, and every axis of the layer.
  static let axes = PanelID("axes")
  /// One expert: when and where.
  static let card = PanelID("card")
}

extension ActionID {
  static let axis = ActionID("axis")
  static let nullTest = ActionID("null-test")
}

struct SpecializationScreen: Screen {
  enum Scale: String, CaseIterable, Sendable {
    case share, lift
  }

  var facet: Facet?
  var results: [SpecializationResult] = []
  var resultFacet: Facet?
  var unlabelled = 0
  var draws = 0
  /// Rows of the run that the results are about.
  var end = 0
  /// Rows of the run when its study was given up: it is not begun again by itself until the run has grown.
  var cancelledAt: Int?
  var problem: String?
  /// Draws done of the study under way.
  var progress: (done: Int, of: Int)?
  /// Every axis that was studied, the one looked at among them.
  var axes: [Facet: AxisFigures] = [:]
  /// Another axis than the one looked at is being studied.
  var aside: Facet?
  /// The latest study asked for; answers to others are dropped.
  var number = 0
  var cell = 0
  var ordersByLoad = false
  var scale = Scale.share
  var list = ListState()

  static let id = ScreenID.specialization
  static let title = "Special"
  static let keys: [KeyEvent] = [.char("4")]
  static let uses: Set<ActionID> = [.branch, .metric, .order]
  static let actions = [
    ActionEntry(
      .axis, "axis", "next axis: a label, position, step, …", keys: [.char("a")], argument: "NAME"),
    ActionEntry(.nullTest, "null test", "test against 1,000 shuffles", keys: [.char("z")]),
  ]

  /// Answers to studies of the run before are dropped.
  mutating func forget() {
    let next = number + 1
    self = SpecializationScreen()
    number = next
  }

  mutating func turn() {
    (results, resultFacet, progress, axes, aside) = ([], nil, nil, [:], nil)
    number += 1
  }

  static func panels(in model: AppModel) -> [PanelID] { model.kind.panels(of: id) }

  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    if body.width < 100 || body.height < 26 { return [model.focused: body] }
    let experts = model.spec?.expertCount ?? 8
    // Rows as high as the upper part of the screen has room for.
    let lines = max(1, min(4, (body.height * 3 / 5 - 6) / max(1, experts)))
    let parts = body.split(rows: [.fixed(min(max(experts * lines + 6, 16), body.height - 10)), .min(8)])
    let upper = parts[0].split(columns: [.flex(), .fixed(max(50, body.width * 2 / 5))])
    let above: [PanelID: Rect] = [.cells: upper[0], .figures: upper[1]]
    return above.merging(model.kind.areas(of: id, parts[1], in: model)) { first, _ in first }
  }

  static func bar(in model: AppModel) -> [BarItem] { model.kind.bar(of: id) }

  static func status(in model: AppModel) -> [StyledText] { [model.specializationStatus] + model.stepWords }

  static func draw(_ painter: inout Painter) {
    guard let buffer = painter.model.buffer, !buffer.isEmpty || buffer.hasCounts else {
      return painter.panel(.cells, "Specialization") { painter, area in
        painter.explain(
          "No tokens yet. \(painter.model.key(ScreenID.live.action)) goes to Live, \(painter.model.key(RunsScreen.id.action)) shows recorded runs.",
          in: area)
      }
    }
    for panel in panels(in: painter.model) {
      switch panel {
      case .cells: painter.drawCells()
      case .figures: painter.drawFigures()
      case .axes: painter.drawAxesByLayer()
      default: painter.model.kind.draw(panel, &painter)
      }
    }
  }

  static func table(of model: AppModel) -> ExportTable {
    var table = ExportTable(columns: [
      "layer", "expert", model.special.resultFacet?.name ?? "cell", "observed", "expected", "ratio", "z", "adjusted_p", "router",
    ])
    for result in model.special.results {
      for entry in result.enrichment {
        if result.router == model.study?.router, entry.expert.rawValue == model.expert, entry.cell == model.cell {
          table.selected = table.rows.count
        }
        table.rows.append([
          "\(result.router.layer)", "\(entry.expert)", result.cells[entry.cell].name, "\(entry.observed)",
          ExportTable.number(entry.expected), ExportTable.number(entry.ratio), ExportTable.number(entry.z),
          ExportTable.number(entry.adjustedP), "\(result.router)",
        ])
      }
    }
    return table
  }
}

extension AppModel {
  var special: SpecializationScreen {
    get { self[SpecializationScreen.self] }
    set { self[SpecializationScreen.self] = newValue }
  }
}
