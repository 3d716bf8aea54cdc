// Where things stand: the lines around every screen and the panels of each, as pure functions of the size. The views draw by them and
// the mouse is understood by them, so that a click always means what is seen.

import Terminal

/// The common frame: tabs on top, panels, status, keys.
struct Frame {
  static let smallest = Size(width: 60, height: 16)

  let tabs: Rect
  let body: Rect
  let status: Rect
  let keys: Rect

  init(_ size: Size) {
    let all = Rect(size: size)
    tabs = all.row(0)
    body = all.dropping(top: 1, bottom: 2)
    status = all.row(size.height - 2)
    keys = all.row(size.height - 1)
  }
}

extension AppModel {
  /// Rectangles of the present screen's panels, by panel number; panels without room are absent.
  var panelAreas: [Int: Rect] {
    let body = Frame(size).body
    if isZoomed { return [focused: body] }
    switch screen {
    case .live: return layout == nil ? livePanels(body) : imagePanels(body)
    case .token: return tokenPanels(body)
    case .uncertainty: return uncertaintyPanels(body)
    case .specialization: return specializationPanels(body)
    case .runs:
      if body.width < 100 { return focused == 1 ? [1: body] : [0: body] }
      let parts = body.split(rows: [.flex(1), .fixed(min(19, body.height / 2))])
      return [0: parts[0], 1: parts[1]]
    }
  }

  private func livePanels(_ body: Rect) -> [Int: Rect] {
    let rows = max(1, routers.count)
    if body.width < 100 || body.height < 30 {
      // Reduced: the map, one line of text with its marks, one panel below that Tab changes.
      let below = focused == 0 || focused == 2 ? 4 : focused
      let top = min(rows + 4, body.height - 4)
      let parts = body.split(rows: [.fixed(top), .min(4), .fixed(body.height - top >= 9 ? 5 : 0)])
      return [0: parts[0], 2: parts[1], below: parts[2]].filter { !$0.value.isEmpty }
    }
    let top = min(max(rows + 4, 14), body.height - 14)
    let parts = body.split(rows: [.fixed(top), .min(5), .fixed(9)])
    let upper = parts[0].split(columns: [.flex(), .fixed(max(35, min(48, body.width * 3 / 10)))])
    let lower = parts[2].split(columns: [.flex(), .flex()])
    return [0: upper[0], 1: upper[1], 2: parts[1], 3: lower[0], 4: lower[1]]
  }

  private func tokenPanels(_ body: Rect) -> [Int: Rect] {
    if body.width < 100 || body.height < 30 { return [focused: body] }
    let parts = body.split(rows: [.fixed(min(max(routers.count, 12) + 6, body.height - 11)), .min(8)])
    let upper = parts[0].split(columns: [.flex(), .fixed(max(36, min(46, body.width * 3 / 10)))])
    let lower = parts[1].split(columns: [.flex(), .flex()])
    return [0: upper[0], 1: upper[1], 2: lower[0], 3: lower[1]]
  }

  private func uncertaintyPanels(_ body: Rect) -> [Int: Rect] {
    if body.width < 100 || body.height < 26 {
      let upper = focused == 1 ? 1 : 0
      let parts = body.split(rows: [.fixed(min(10, body.height / 2)), .min(5)])
      return [upper: parts[0], 2: parts[1]]
    }
    let parts = body.split(rows: [.fixed(min(max(routers.count, 14) + 5, body.height / 2 + 3)), .min(6)])
    let upper = parts[0].split(columns: [.flex(), .flex()])
    return [0: upper[0], 1: upper[1], 2: parts[1]]
  }

  private func specializationPanels(_ body: Rect) -> [Int: Rect] {
    if body.width < 100 || body.height < 26 { return focused == 0 ? [0: body] : [focused: body] }
    let experts = spec?.expertCount ?? 8
    let parts = body.split(rows: [.fixed(min(max(experts + 6, 16), body.height - 10)), .min(8)])
    let upper = parts[0].split(columns: [.flex(), .fixed(max(50, body.width * 2 / 5))])
    if let layout {
      let map = max(38, min(2 * layout.patchColumns * max(1, min(3, (parts[1].height - 3) / max(1, layout.patchRows))) + 4, body.width / 3))
      let lower = parts[1].split(columns: [.fixed(map), .flex(), .fixed(48)])
      return [0: upper[0], 1: upper[1], 2: lower[0], 4: lower[1], 3: lower[2]]
    }
    let lower = parts[1].split(columns: [.flex(), .flex()])
    return [0: upper[0], 1: upper[1], 2: lower[0], 3: lower[1]]
  }
}
