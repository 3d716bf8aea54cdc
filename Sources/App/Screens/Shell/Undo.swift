// What was changed can be undone and done again: each change carries both ways. What looks, and what only this session shows, is no change.

import Terminal

/// Something that was changed, both ways.
struct Change: Sendable {
  typealias Way = @Sendable (inout AppModel) -> [Effect]

  /// What was done, for the line that says it is undone.
  let words: String
  let back: Way
  let forth: Way
}

extension AppModel {
  /// Remembers a change that was made.
  mutating func changed(_ words: String, back: @escaping Change.Way, forth: @escaping Change.Way) {
    changes.append(Change(words: words, back: back, forth: forth))
    if changes.count > 200 { changes.removeFirst(50) }
    undone.removeAll()
  }

  mutating func undo() -> [Effect] {
    guard let change = changes.popLast() else { return [] }
    undone.append(change)
    let refused = refusals
    let effects = change.back(&self)
    if refusals == refused { say("undone: \(change.words)") }
    return effects
  }

  mutating func redo() -> [Effect] {
    guard let change = undone.popLast() else { return [] }
    changes.append(change)
    let refused = refusals
    let effects = change.forth(&self)
    if refusals == refused { say("done again: \(change.words)") }
    return effects
  }
}
