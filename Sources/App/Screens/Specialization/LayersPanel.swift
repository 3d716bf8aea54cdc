// The layers of a run beside each other along the axis looked at, and under them every axis of the layer looked at: which of them its
// experts follow most. Effects of one layer may be compared between axes: all are nats, 0 where an axis says nothing.

import Analysis
import Routing
import Terminal

extension Painter {
  mutating func drawAxesByLayer() {
    let (model, glyphs) = (model, theme.glyphs)
    let results = model.special.resultFacet == model.special.facet ? model.special.results : []
    panel(.axes, StyledText("By layer · \(axisName)"), footer: "effect = I less its bias, nat") {
      painter, area in
      let most = results.compactMap(\.effect).max() ?? 0
      // What the figures and the spaces between them leave.
      let bar = max(0, min(12, area.width - 44 - max(5, model.layerNameWidth)))
      let state = ListState(selected: model.focused == .axes ? model.special.list.selected : model.router)
      let figures: [(TableColumn, (SpecializationResult) -> StyledText)] = [
        (TableColumn("I", width: .fixed(7), alignment: .right), { StyledText(Show.fixed($0.mutualInformation, 4)) }),
        (
          TableColumn("null ± sd", width: .fixed(15), alignment: .right),
          { StyledText("\(Show.fixed($0.nullMean, 4)) ± \(Show.fixed($0.nullSD, 4))") }
        ),
        (
          TableColumn("effect", width: .fixed(7), alignment: .right),
          { StyledText($0.effect.map { Show.fixed($0, 4) } ?? "–", $0.hasFewTexts ? .dim : nil) }
        ),
        (
          TableColumn("p", width: .fixed(8), alignment: .right),
          { StyledText(model.pText($0.p), $0.isBeyondDoubt ? .good : .dim) }
        ),
        (
          TableColumn("", width: .fixed(bar)),
          { StyledText(BarText.bar(most > 1e-9 ? max(0, $0.effect ?? 0) / most : 0, width: bar, glyphs: glyphs), .bar) }
        ),
      ]
      // Where there is no room for all, the answer comes before its parts.
      let shown = area.width < 54 ? [figures[2], figures[3], figures[1], figures[0]] : figures
      let table = Table(
        columns: [TableColumn("layer", width: .fixed(max(5, model.layerNameWidth)))] + shown.map(\.0), rowCount: results.count,
        state: state, spacing: 1
      ) { row, column in column == 0 ? StyledText(model.layerName(row)) : shown[column - 1].1(results[row]) }
      let axes = model.axesHeight(in: area.height)
      let height = axes > 0 ? min(results.count + 1, area.height - axes - 1) : area.height
      table.draw(into: &painter.screen, area.dropping(bottom: area.height - height), theme: painter.theme)
      if axes > 0 { painter.drawAxes(in: area.dropping(top: height + 1)) }
    }
  }

  /// What the layer looked at prefers, axis by axis.
  private mutating func drawAxes(in area: Rect) {
    let model = model
    guard model.routers.indices.contains(model.router) else { return }
    let router = model.routers[model.router].id
    let found = model.facets.map { facet in (facet: facet, study: model.special.axes[facet]) }
    let most = found.compactMap { $0.study?.figures[router]?.effect }.max() ?? 0
    let missing = model.missingFacets
    let bar = max(0, min(12, area.width - 34))
    let table = Table(
      columns: [
        TableColumn("axis, \(model.layerName(model.router))", width: .flex(12)), TableColumn("", width: .fixed(bar)),
        TableColumn("effect", width: .fixed(7), alignment: .right), TableColumn("p", width: .fixed(8), alignment: .right),
      ], rowCount: found.count, state: ListState(selected: -1), spacing: 1
    ) { [glyphs = theme.glyphs] row, column in
      let (facet, study) = found[row]
      if column == 0 { return StyledText(facet.name, facet == model.special.facet ? .strong : nil) }
      guard let figure = study?.figures[router] else {
        return StyledText(column == 3 ? study?.problem ?? "…" : "", .dim)
      }
      switch column {
      // What rounding leaves of nothing is nothing.
      case 1:
        return figure.effect.map { $0 > 1e-9 ? StyledText(BarText.bar($0 / most, width: bar, glyphs: glyphs), .bar) : "" } ?? ""
      case 2: return StyledText(figure.effect.map { Show.fixed($0, 4) } ?? "–")
      default: return StyledText(model.pText(figure.p, draws: study?.draws ?? 0), figure.p < 0.05 ? .good : .dim)
      }
    }
    table.draw(into: &screen, area, theme: theme)
    let reason = missing.reason.prefix { $0 != ":" }
    line(found.count + 1, StyledText("n/a \(missing.names.joined(separator: ", ")): \(reason)", .dim), in: area.dropping(left: 2))
  }
}

extension AppModel {
  /// Rows of the axes under a list of layers, 0 where there is no room for them: they come first, the list scrolls.
  func axesHeight(in height: Int) -> Int {
    let axes = facets.count + 2
    return facets.count > 1 && height >= axes + 5 ? axes : 0
  }

  /// Whether the axes are on the screen.
  var showsAxes: Bool {
    guard screen == .specialization, let panel = panelAreas[.axes] else { return false }
    return axesHeight(in: panel.height - 2) > 0
  }
}

extension SpecializationResult {
  /// Whether its interval, where it has one, holds 0.
  var holdsZero: Bool { interval.map { $0.low <= 0 && $0.high >= 0 } ?? false }

  /// Whether it stands above its null among all layers, and its interval does not say otherwise.
  var isBeyondDoubt: Bool { adjustedP < 0.05 && !holdsZero }
}
