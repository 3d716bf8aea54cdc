// Where one goes: from screen to screen, over layers, experts, lists and tokens. What moves depends on the panel that has the keys.

import Routing
import Terminal

extension AppModel {
  /// Goes to a screen. Whoever goes back to one on the way here is there again, and not further along.
  mutating func go(_ next: ScreenID) -> [Effect] {
    guard next != screen else { return refresh() }
    let left = room.leave(&self)
    if let place = trail.firstIndex(of: next) { trail.removeSubrange(place...) } else { trail.append(screen) }
    (screen, isZoomed) = (next, false)
    return left + room.arrive(&self) + refresh()
  }

  /// One screen back, if one was looked at before this one.
  mutating func goBack() -> [Effect]? {
    guard let last = trail.last else { return nil }
    return go(last)
  }

  // MARK: - What arrows do, for screens to choose from

  /// Up and down over layers.
  mutating func moveRouter(_ motion: ActionID, across: (inout AppModel, Int) -> Void = { _, _ in }) {
    move(\.router, motion, count: routers.count, across: across)
  }

  /// Left and right over the experts of a layer, in the order they are shown in.
  mutating func moveExpert(_ by: Int, among columns: [Int]) {
    guard !columns.isEmpty else { return }
    let place = columns.firstIndex(of: expert) ?? 0
    expert = columns[max(0, min(columns.count - 1, place + by))]
  }

  mutating func move(
    _ place: WritableKeyPath<AppModel, Int>, _ id: ActionID, count: Int, across: (inout AppModel, Int) -> Void
  ) {
    var moved = self[keyPath: place]
    switch id {
    case .up: moved -= 1
    case .down: moved += 1
    case .pageUp: moved -= max(1, count / 2)
    case .pageDown: moved += max(1, count / 2)
    case .halfUp: moved -= max(1, count / 4)
    case .halfDown: moved += max(1, count / 4)
    case .first: moved = 0
    case .last: moved = count - 1
    case .left: across(&self, -1)
    case .right: across(&self, 1)
    default: break
    }
    self[keyPath: place] = max(0, min(count - 1, moved))
  }

  /// What the arrows' actions are in a list.
  static let listMotions: [ActionID: ListMotion] = [
    .up: .up, .down: .down, .pageUp: .pageUp, .pageDown: .pageDown, .halfUp: .halfUp, .halfDown: .halfDown, .first: .first, .last: .last,
  ]

  /// Up and down a list, a page as long as half the screen.
  mutating func moveList(_ state: WritableKeyPath<AppModel, ListState>, _ id: ActionID, count: Int) {
    guard let motion = Self.listMotions[id] else { return }
    self[keyPath: state].move(motion, count: count, page: max(1, size.height / 2))
  }

  /// Selects the row of a list that is drawn at a place.
  mutating func pick(_ state: WritableKeyPath<AppModel, ListState>, at place: Point, in area: Rect, count: Int) {
    let table = Table(columns: [TableColumn("", width: .flex(1))], rowCount: count, state: self[keyPath: state]) { _, _ in "" }
    if let row = table.row(at: place, in: area) { self[keyPath: state].selected = row }
  }

  /// Along a text: left and right a token, up and down a line of some.
  mutating func moveTokens(_ id: ActionID) {
    switch id {
    case .left: step(tokens: -1)
    case .right: step(tokens: 1)
    case .up: step(tokens: -12)
    case .down: step(tokens: 12)
    case .pageUp, .halfUp: step(tokens: -96)
    case .pageDown, .halfDown: step(tokens: 96)
    case .first: select(shownRows.lowerBound)
    default: selected = nil
    }
  }

  /// `3`, or with its stack `enc.3`; of two layers of that number the one in the stack looked at.
  mutating func turn(toLayer text: String) -> [Effect] {
    let named = routers.indices.filter { routers[$0].id.description == text || String(routers[$0].id.layer.rawValue) == text }
    let lane = routers.indices.contains(router) ? routers[router].id.lane : nil
    if let place = named.first(where: { routers[$0].id.lane == lane }) ?? named.first {
      router = place
    } else if routers.isEmpty {
      say("there is no layer yet", .warning)
    } else {
      say("no router is in layer \(Printable.cut(text, to: 20)): there are \(layerRanges(Array(routers.indices)))", .warning)
    }
    return []
  }

  mutating func turn(toExpert wanted: Int) {
    let count = spec?.expertCount ?? 0
    if 0..<count ~= wanted {
      expert = wanted
    } else {
      say(count == 0 ? "there is no expert yet" : "expert \(wanted) is not here: 0 to \(count - 1)", .warning)
    }
  }

  mutating func select(_ row: Int) {
    let rows = shownRows
    guard !rows.isEmpty else { return }
    if rows.contains(row) {
      look(at: row)
    } else {
      say("token \(row) is not here: \(rows.lowerBound) to \(rows.upperBound - 1)", .warning)
    }
  }

  /// Along the tokens; past the last one the newest is followed again.
  mutating func step(tokens: Int) {
    guard let row else { return }
    let rows = shownRows
    let wanted = row + tokens
    selected = tokens > 0 && wanted >= rows.upperBound - 1 && isLive ? nil : max(rows.lowerBound, min(rows.upperBound - 1, wanted))
  }
}
