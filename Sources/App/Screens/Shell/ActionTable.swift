// Every action there is: its keys, words and screens. The key bar, the help, the palette and the documents read this one table; a key has
// one meaning on a screen, and an action that is not here cannot be done. Screens bring the actions that only they have.

import Terminal

struct ActionTable: Sendable {
  let entries: [ActionEntry]
  /// Actions that the help shows as one line, by the first of them.
  let groups: [ActionGroup]
  private let places: [ActionID: Int]
  /// Actions whose keys are not the usual ones.
  private let rebound: Set<ActionID>
  /// A key may mean one thing here and another there.
  private let byKey: [KeyEvent: [Int]]

  /// The table of the program's own screens.
  static let standard = ActionTable(Screens.all)

  /// - Parameter bindings: keys that take the place of the usual ones.
  init(_ screens: [any Screen.Type], _ bindings: KeyBindings = KeyBindings()) {
    var all = CommonActions.first
    for screen in screens {
      let id = screen.id
      for index in all.indices where all[index].isChosen && screen.uses.contains(all[index].id) { all[index] = all[index].on(id) }
    }
    for screen in screens {
      let id = screen.id
      for entry in screen.actions { all.append(entry.on(id)) }
    }
    for screen in screens { all.append(ActionEntry(screen.id.action, screen.title, "go to \(screen.title)", keys: screen.keys)) }
    all += CommonActions.last
    all = all.map { entry in bindings[entry.id].map { entry.with(keys: $0.keys) } ?? entry }
    entries = all
    var places: [ActionID: Int] = [:]
    var byKey: [KeyEvent: [Int]] = [:]
    for (place, entry) in all.enumerated() {
      places[entry.id] = place
      for key in entry.keys { byKey[key, default: []].append(place) }
    }
    (self.places, self.byKey) = (places, byKey)
    let goes = screens.map { screen in screen.id.action }
    groups = CommonActions.groups + [ActionGroup(goes, "1…\(goes.count)", ascii: "1-\(goes.count)", "go to a screen")]
    rebound = Set(bindings.bindings.map(\.action))
  }

  /// The keys of actions that belong together: the text made for their usual keys while they have these, else the first of each.
  func keyLabel(_ members: [ActionID], usual: String, _ glyphs: GlyphSet) -> String {
    guard members.contains(where: rebound.contains) else { return usual }
    return members.compactMap { self[$0]?.keys.first?.label(glyphs) }.joined(separator: " ")
  }

  /// The key that is shown of an action; one without is done by its name.
  func key(_ id: ActionID, _ glyphs: GlyphSet) -> String { self[id]?.keys.first?.label(glyphs) ?? ":" + id.rawValue }

  /// Another action that a key of this one means on a screen where both are.
  func clash(of id: ActionID, over key: KeyEvent, on screens: [ScreenID]) -> (other: ActionID, screen: ScreenID)? {
    let sharing = (byKey[key] ?? []).map { entries[$0] }.filter { $0.id != id }
    for screen in screens where self[id]?.applies(to: screen) == true {
      if let other = sharing.first(where: { $0.applies(to: screen) }) { return (other.id, screen) }
    }
    return nil
  }

  subscript(_ id: ActionID) -> ActionEntry? { places[id].map { entries[$0] } }

  /// The action of that name.
  func named(_ name: String) -> ActionID? { self[ActionID(name)]?.id }

  /// What a key means on a screen.
  func action(_ key: KeyEvent, on screen: ScreenID) -> ActionID? {
    byKey[key]?.lazy.map { entries[$0] }.first { $0.applies(to: screen) }?.id
  }

  static let fixedBar: [BarItem] = [BarItem(.palette), BarItem(.help), BarItem(.quit)]
}

/// An action by the name it has in the palette and in session scripts.
struct ActionID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  let rawValue: String

  init(rawValue: String) { self.rawValue = rawValue }
  init(_ name: String) { rawValue = name }

  var description: String { rawValue }
}

struct ActionEntry: Sendable {
  let id: ActionID
  /// Two or three words for the key bar.
  let title: String
  /// One line for the help.
  let help: String
  private(set) var keys: [KeyEvent]
  /// What follows the name in the palette: `N`, `FILE`; empty for nothing.
  let argument: String
  /// The line that its argument is typed into; nil for an action that opens none.
  let line: LineHint?
  /// Whether the log names it when it is done, and not when it is asked for.
  let takesTime: Bool
  /// Whether screens choose to have it; else it is everywhere.
  private(set) var isChosen: Bool
  private(set) var screens: Set<ScreenID> = []

  init(
    _ id: ActionID, _ title: String, _ help: String, keys: [KeyEvent] = [], argument: String = "", line: LineHint? = nil,
    isChosen: Bool = false, takesTime: Bool = false
  ) {
    (self.id, self.title, self.help, self.keys) = (id, title, help, keys)
    (self.argument, self.line, self.isChosen, self.takesTime) = (argument, line, isChosen, takesTime)
  }

  /// The same, on one more screen only.
  func on(_ screen: ScreenID) -> ActionEntry {
    var entry = self
    entry.isChosen = true
    entry.screens.insert(screen)
    return entry
  }

  /// The same under other keys.
  func with(keys: [KeyEvent]) -> ActionEntry {
    var entry = self
    entry.keys = keys
    return entry
  }

  func applies(to screen: ScreenID) -> Bool { !isChosen || screens.contains(screen) }

  func keyLabel(_ glyphs: GlyphSet) -> String {
    keys.isEmpty ? ":" + id.rawValue : keys.prefix(3).map { $0.label(glyphs) }.joined(separator: " ")
  }
}

/// The line at the bottom that an argument is typed into.
struct LineHint: Sendable {
  let label: String
  /// What stands there while nothing was typed.
  let hint: String
  /// Whether nothing typed means something: a filter taken away.
  var takesNothing = false
}

/// Actions that belong together.
struct ActionGroup: Sendable {
  let members: [ActionID]
  let keys: String
  let ascii: String
  let help: String

  init(_ members: [ActionID], _ keys: String, ascii: String? = nil, _ help: String) {
    (self.members, self.keys, self.ascii, self.help) = (members, keys, ascii ?? keys, help)
  }
}

/// An action in the key bar, with a word or keys of its own where the table's would say less.
struct BarItem: Sendable {
  /// One text for the keys of several actions.
  struct Keys: Sendable {
    let members: [ActionID]
    let plain: String
    let ascii: String
  }

  let id: ActionID
  var title: String?
  /// Where one key stands for several.
  var keys: Keys?

  init(_ id: ActionID, _ title: String? = nil) {
    (self.id, self.title) = (id, title)
    keys = BarItem.pairs[id]
  }

  /// Under all four arrows.
  static func arrows(_ title: String? = nil) -> BarItem {
    var item = BarItem(.down, title)
    item.keys = Keys(members: [.left, .down, .up, .right], plain: "←↓↑→", ascii: "hjkl")
    return item
  }

  private static let pairs: [ActionID: Keys] = [
    .down: Keys(members: [.down, .up], plain: "↓↑", ascii: "jk"),
    .right: Keys(members: [.left, .right], plain: "←→", ascii: "hl"),
    .layerUp: Keys(members: [.layerDown, .layerUp], plain: "[ ]", ascii: "[ ]"),
    .tokenRight: Keys(members: [.tokenLeft, .tokenRight], plain: "⇧←→", ascii: "S-hl"),
    .raise: Keys(members: [.lower, .raise], plain: "< >", ascii: "< >"),
    .faster: Keys(members: [.slower, .faster], plain: ", .", ascii: ", ."),
  ]

  func keyLabel(_ table: ActionTable, _ glyphs: GlyphSet) -> String {
    guard let keys else { return table.key(id, glyphs) }
    let label = table.keyLabel(keys.members, usual: glyphs == .utf8 ? keys.plain : keys.ascii, glyphs)
    return label.isEmpty ? table.key(id, glyphs) : label
  }
}
