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
  /// Rectangles of the present screen's panels; panels without room are absent.
  var panelAreas: [PanelID: Rect] {
    let body = Frame(size).body
    return isZoomed ? [focused: body] : room.areas(body, in: self)
  }
}
