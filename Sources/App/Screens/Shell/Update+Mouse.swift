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
      guard let tab = tabsLine.tab(at: event.at.x, width: size.width), screens.indices.contains(tab) else { return [] }
      return perform(screens[tab].id.action, "")
    }
    if event.kind == .press, frame.keys.contains(event.at) { return barAction(at: event.at.x).map { perform($0, "") } ?? [] }
    guard let (panel, area) = panelAreas.first(where: { $0.value.contains(event.at) }) else { return [] }
    switch event.kind {
    case .wheelUp, .wheelDown:
      focus[screen] = panel
      return perform(event.kind == .wheelUp ? .up : .down, "")
    case .press, .drag, .doubleClick:
      focus[screen] = panel
      let effects = room.point(at: event.at, in: Panel.inner(area), of: panel, model: &self)
      return effects + (event.kind == .doubleClick ? perform(.enter, "") : refresh())
    case .release: return []
    }
  }
}
