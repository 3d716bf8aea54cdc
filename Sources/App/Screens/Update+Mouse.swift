// Clicks, wheel and drags, understood by the same geometry the views draw by.

import Terminal

extension AppModel {
  mutating func handle(_ event: MouseEvent) -> [Effect] {
    guard size.holds(Frame.smallest) else { return [] }
    if overlay != nil {
      if event.kind == .wheelUp { return handleOverlay(.up) ?? [] }
      if event.kind == .wheelDown { return handleOverlay(.down) ?? [] }
      return []
    }
    let frame = Frame(size)
    if event.kind == .press, frame.tabs.contains(event.at) {
      guard let tab = tabsLine.tab(at: event.at.x, width: size.width), let target = Screen(rawValue: tab + 1) else { return [] }
      let ids: [Screen: ActionID] = [
        .live: .screenLive, .token: .screenToken, .uncertainty: .screenUncertainty, .specialization: .screenSpecialization,
        .runs: .screenRuns,
      ]
      return ids[target].map { perform($0, "") } ?? []
    }
    if event.kind == .press, frame.keys.contains(event.at) { return barAction(at: event.at.x).map { perform($0, "") } ?? [] }
    guard let (number, area) = panelAreas.first(where: { $0.value.contains(event.at) }) else { return [] }
    switch event.kind {
    case .wheelUp, .wheelDown:
      focus[screen] = number
      return perform(event.kind == .wheelUp ? .up : .down, "")
    case .press, .drag, .doubleClick:
      focus[screen] = number
      point(at: event.at, in: Panel.inner(area), panel: number)
      return event.kind == .doubleClick ? perform(.enter, "") : refresh()
    case .release: return []
    }
  }

  /// Moves the cursor of a panel to a place.
  private mutating func point(at place: Point, in area: Rect, panel: Int) {
    switch (screen, panel) {
    case (.live, 0):
      let tallies = windowTallies()
      guard let cell = heatMap(tallies, width: area.width).geometry(in: area.dropping(bottom: 1), theme: theme).cell(at: place) else {
        return
      }
      router = cell.row
      let columns = expertOrder(router, tallies)
      if columns.indices.contains(cell.column) { expert = columns[cell.column] }
    case (.live, 1) where layout != nil, (.specialization, 2) where layout != nil:
      guard let found = patchGrid(in: area)?.patch(at: place), let look, look.rows.indices.contains(look.rows.lowerBound + found) else {
        return
      }
      (patch, selected) = (found, selected ?? look.first)
      expert = max(0, firstExpert(look.rows.lowerBound + found))
    case (.live, 2) where layout == nil:
      let shown = strip(area)
      if let token = shown.strip.token(at: place, in: area) { selected = shown.first + token }
    case (.token, 2): pick(\.elsewhere, at: place, in: area.dropping(bottom: 2), count: elsewhereRows.count)
    case (.uncertainty, 1):
      let row = ListState.offset(0, showing: router, count: routers.count, page: area.height) + place.y - area.y
      if routers.indices.contains(row), area.contains(place) { router = row }
    case (.uncertainty, 2): pick(\.uncertain.rows, at: place, in: area, count: uncertainRows.count)
    case (.specialization, 3): pick(\.special.list, at: place, in: area, count: special.results.count)
    case (.runs, 0): pick(\.runs.list, at: place, in: area, count: runs.runs.count)
    default: break
    }
  }

  private mutating func pick(_ state: WritableKeyPath<AppModel, ListState>, at place: Point, in area: Rect, count: Int) {
    let table = Table(columns: [TableColumn("", width: .flex(1))], rowCount: count, state: self[keyPath: state]) { _, _ in "" }
    if let row = table.row(at: place, in: area) { self[keyPath: state].selected = row }
  }
}
