// Where one goes: from screen to screen, over layers, experts, lists and tokens. What moves depends on the panel that has the keys.

import Routing
import Terminal

extension AppModel {
  mutating func go(_ next: Screen) -> [Effect] {
    screen = next
    isZoomed = false
    return (next == .runs ? [.listRuns] : []) + refresh()
  }

  mutating func move(_ id: ActionID) -> [Effect] {
    let page = max(1, size.height / 2)
    switch (screen, focused) {
    case (.live, 1) where layout != nil, (.specialization, 2) where layout != nil: movePatch(id)
    case (.live, 2) where layout != nil: moveSteps(id)
    case (.token, let panel) where layout != nil && panel != 2 && (id == .left || id == .right): movePatch(by: id == .left ? -1 : 1)
    case (.live, 3) where layout != nil, (.live, 4) where layout != nil, (.specialization, 1) where layout != nil,
      (.specialization, 4) where layout != nil:
      move(\.router, id, count: routers.count, across: { $0.scrub(steps: $1) })
    case (.live, 2): moveTokens(id)
    case (.live, _):
      move(\.router, id, count: routers.count, across: { $0.moveExpert($1) })
    case (.token, 2): moveList(\.elsewhere, id, count: elsewhereRows.count, page: page)
    case (.token, _):
      if id == .left || id == .right { return step(tokens: id == .left ? -1 : 1) }
      move(\.router, id, count: routers.count, across: { _, _ in })
    case (.uncertainty, 2): moveList(\.uncertain.rows, id, count: uncertainRows.count, page: page)
    case (.uncertainty, _): move(\.router, id, count: routers.count, across: { _, _ in })
    case (.specialization, 3): moveList(\.special.list, id, count: special.results.count, page: page)
    case (.specialization, _):
      move(
        \.expert, id, count: spec?.expertCount ?? 0,
        across: { $0.moveCell($1) })
    case (.runs, _): moveList(\.runs.list, id, count: runs.runs.count, page: page)
    }
    return refresh()
  }

  private mutating func moveExpert(_ by: Int) {
    let count = spec?.expertCount ?? 1
    guard order == .load, routers.indices.contains(router) else {
      expert = max(0, min(count - 1, expert + by))
      return
    }
    let columns = expertOrder(router)
    let place = columns.firstIndex(of: expert) ?? 0
    expert = columns.isEmpty ? 0 : columns[max(0, min(columns.count - 1, place + by))]
  }

  private mutating func move(
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

  private mutating func moveList(_ state: WritableKeyPath<AppModel, ListState>, _ id: ActionID, count: Int, page: Int) {
    let motions: [ActionID: ListMotion] = [
      .up: .up, .down: .down, .pageUp: .pageUp, .pageDown: .pageDown, .halfUp: .halfUp, .halfDown: .halfDown, .first: .first, .last: .last,
    ]
    guard let motion = motions[id] else { return }
    self[keyPath: state].move(motion, count: count, page: page)
  }

  private mutating func moveTokens(_ id: ActionID) {
    switch id {
    case .left: _ = step(tokens: -1)
    case .right: _ = step(tokens: 1)
    case .up: _ = step(tokens: -12)
    case .down: _ = step(tokens: 12)
    case .pageUp, .halfUp: _ = step(tokens: -96)
    case .pageDown, .halfDown: _ = step(tokens: 96)
    case .first: select(shownRows.lowerBound)
    default: selected = nil
    }
  }

  /// `3`, or with its stack `enc.3`; of two layers of that number the one in the stack looked at.
  mutating func turn(toLayer text: String) -> [Effect] {
    let named = routers.indices.filter { routers[$0].id.description == text || String(routers[$0].id.layer.rawValue) == text }
    let stack = routers.indices.contains(router) ? routers[router].id.stack : nil
    if let place = named.first(where: { routers[$0].id.stack == stack }) ?? named.first {
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
  mutating func step(tokens: Int) -> [Effect] {
    guard let row else { return [] }
    let rows = shownRows
    let wanted = row + tokens
    selected = tokens > 0 && wanted >= rows.upperBound - 1 && isLive ? nil : max(rows.lowerBound, min(rows.upperBound - 1, wanted))
    return []
  }
}
