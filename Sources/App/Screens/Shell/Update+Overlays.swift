// Keys while something lies over the screen: a line being typed, the help, the log, a question. Esc always closes it.

import Foundation
import Terminal

extension AppModel {
  /// What a key does to the overlay; nil when there is none.
  mutating func handleOverlay(_ key: KeyEvent) -> [Effect]? {
    switch overlay {
    case nil: return nil
    case .entry(let kind, var field, let selected):
      // Nobody else holds the field now: keys change it where it is, however long it has become.
      overlay = nil
      return type(key, kind, &field, selected: selected)
    case .help(let field, let selected): return type(key, helpFilter: field, selected: selected)
    case .log(var list):
      if key == .escape || key == .char("q") {
        overlay = nil
      } else if let motion = ListMotion(key) {
        list.move(motion, count: log.count, page: max(1, size.height - 6))
        overlay = .log(list)
      } else if key == .char("y"), log.indices.contains(list.selected) {
        return [.copy(log[list.selected].twin)]
      }
      return []
    case .models(let list): return choose(key, list)
    case .confirm(_, let effect):
      overlay = nil
      guard key == .char("y") || key == .char("Y") else { return [] }
      if case .hideRun(let place) = effect { return hideRun(place) }
      return [effect]
    }
  }

  /// Opens a line to type into; what stands in it already gives way to what is typed.
  @discardableResult
  mutating func open(_ id: ActionID, start: String? = nil) -> [Effect] {
    let usual =
      switch id {
      case .filter: filter?.text ?? ""
      case .threshold: "\(threshold)"
      case .export: "\(room.title.lowercased()).csv"
      default: ""
      }
    overlay = .entry(id, TextField(start ?? usual, history: histories[id] ?? [], isSuggestion: true), selected: 0)
    return []
  }

  private mutating func type(_ key: KeyEvent, _ kind: ActionID, _ field: inout TextField, selected: Int) -> [Effect] {
    // There the arrows choose, unless a line before is looked for: from an empty line on, and while one is shown.
    let recalls = field.isRecalled || key == .up && field.isEmpty && selected == 0
    if kind == .palette, !recalls, key == .up || key == .down {
      let count = paletteEntries(field.text).count
      overlay = .entry(kind, field, selected: max(0, min(count - 1, selected + (key == .up ? -1 : 1))))
      return []
    }
    // Backspace in an empty line leaves it, as everywhere.
    if key == .backspace, field.isEmpty { return [] }
    switch field.handle(key, complete: { completions($0, kind) }) {
    case .changed, .ignored:
      overlay = .entry(kind, field, selected: field.isEmpty ? selected : 0)
      return []
    case .cancelled: return []
    case .submitted:
      let meant = kind == .palette ? command(field.text, selected: selected) : nil
      field.remember(meant.map { $0.argument.isEmpty ? "\($0.id)" : "\($0.id) \($0.argument)" })
      histories[kind] = field.history
      return submit(kind, field.text, selected: selected)
    }
  }

  private mutating func submit(_ kind: ActionID, _ text: String, selected: Int) -> [Effect] {
    if kind == .palette { return runCommand(text, selected: selected) }
    if !text.isEmpty { return perform(kind, text) }
    // A blank is no argument, but not none: what takes nothing is told so.
    return actions[kind]?.line?.takesNothing == true ? perform(kind, " ") : []
  }

  // MARK: - Models

  private mutating func choose(_ key: KeyEvent, _ list: ListState) -> [Effect] {
    var list = list
    let rows = shelf?.listing.rows ?? []
    if key == .escape || key == .char("q") {
      overlay = nil
    } else if let motion = ListMotion(key) {
      list.move(motion, count: rows.count, page: max(1, size.height - 12))
      overlay = .models(list)
    } else if rows.indices.contains(list.selected) {
      let row = rows[list.selected]
      if key == .char("y") { return [.copy(row.found.path)] }
      guard key == .enter else { return [] }
      if let obstacle = row.obstacle {
        say("\(row.found.name) does not run here: \(obstacle)", .warning)
      } else {
        overlay = nil
        return perform(.open, row.found.path)
      }
    }
    return []
  }

  // MARK: - The palette

  /// Actions whose name or help match what was typed, best first.
  func paletteEntries(_ text: String) -> [ActionEntry] {
    let word = text.split(separator: " ", maxSplits: 1).first.map(String.init) ?? ""
    let hidden: Set<ActionID> = [.palette, .left, .right, .up, .down, .pageUp, .pageDown, .halfUp, .halfDown, .back, .interrupt]
    let all = actions.entries.filter { $0.applies(to: screen) && !hidden.contains($0.id) }
    guard !word.isEmpty else { return all }
    let scored = all.enumerated().compactMap { place, entry -> (score: Int, place: Int, entry: ActionEntry)? in
      Self.score(word.lowercased(), entry).map { ($0, place, entry) }
    }
    return scored.sorted { ($0.score, $0.place) < ($1.score, $1.place) }.map(\.entry)
  }

  /// How well a word fits, lower is better; nil for not at all.
  private static func score(_ word: String, _ entry: ActionEntry) -> Int? {
    let name = entry.id.rawValue
    if name == word { return 0 }
    if name.hasPrefix(word) { return 1 }
    if name.contains(word) { return 2 }
    if entry.title.lowercased().contains(word) || entry.help.lowercased().contains(word) { return 3 }
    var rest = word[...]
    for letter in name where letter == rest.first { rest = rest.dropFirst() }
    return rest.isEmpty ? 4 : nil
  }

  private func classes(_ text: String) -> [String] {
    ((images?.classNames ?? []) + ["all"]).filter { $0.lowercased().hasPrefix(text.lowercased()) }
  }

  /// Whole texts that an argument could become.
  private func completions(_ text: String, _ kind: ActionID) -> [String] {
    switch kind {
    case .palette: commands(text)
    case .filter: filterCompletions(text)
    case .imageClass: classes(text)
    default: argumentChoices(kind).filter { $0.hasPrefix(text) }
    }
  }

  /// The values that an argument has, where they can be told.
  func argumentChoices(_ id: ActionID) -> [String] {
    if let own = room.choices(for: id, in: self) { return own }
    switch id {
    case .layer: return routers.map { hasSeveralStacks ? "\($0.id)" : "\($0.id.layer)" }
    case .mouse: return ["on", "off"]
    case .theme: return ["dark", "light"]
    case .window: return ["32", "128", "512", "all"]
    case .export: return ["csv", "json", "txt", "svg"].map { "\(room.title.lowercased()).\($0)" }
    case .open: return (shelf?.listing.rows ?? []).map(\.found.path)
    default: return []
    }
  }

  /// Names of actions; after the name what its argument could be.
  private func commands(_ text: String) -> [String] {
    if let space = text.firstIndex(of: " ") {
      guard let id = actions.named(String(text[..<space])) else { return [] }
      let head = text[...space]
      return completions(String(text[text.index(after: space)...]), id).map { head + $0 }
    }
    return actions.entries.filter { $0.applies(to: screen) && $0.id.rawValue.hasPrefix(text) }
      .map { $0.id.rawValue + ($0.argument.isEmpty ? "" : " ") }
  }

  /// What a line of the palette means: the action that it names, else the one that was chosen.
  private func command(_ text: String, selected: Int) -> (id: ActionID, argument: String)? {
    let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
    let argument = parts.count > 1 ? parts[1] : ""
    if let word = parts.first, let id = actions.named(word), selected == 0 { return (id, argument) }
    let found = paletteEntries(text)
    return found.indices.contains(selected) ? (found[selected].id, argument) : nil
  }

  private mutating func runCommand(_ text: String, selected: Int) -> [Effect] {
    guard let (id, argument) = command(text, selected: selected) else {
      say("there is no command \"\(text)\"; \(key(.help)) lists all", .warning)
      return []
    }
    guard actions[id]?.applies(to: screen) == true else {
      say("\(id) does nothing on this screen", .warning)
      return []
    }
    return perform(id, argument)
  }

  // MARK: - Help

  private mutating func type(_ key: KeyEvent, helpFilter field: TextField, selected: Int) -> [Effect] {
    let lines = helpLines(field.text)
    switch key {
    case .escape:
      overlay = nil
    case .up, .down, .pageUp, .pageDown:
      let by = key == .up ? -1 : key == .down ? 1 : key == .pageUp ? -10 : 10
      overlay = .help(field, selected: max(0, min(lines.count - 1, selected + by)))
    case .enter:
      overlay = nil
      if lines.indices.contains(selected) { return perform(lines[selected].id, "") }
    default:
      var field = field
      // After @ the next key is looked up, whichever it is.
      if field.text == "@", let name = nameOfKey(key) { field.set("@" + name) } else { _ = field.handle(key) }
      overlay = .help(field, selected: 0)
    }
    return []
  }

  private func nameOfKey(_ key: KeyEvent) -> String? { key == .backspace ? nil : key.name }

  /// A line of the help: an action, or several that belong together.
  struct HelpLine {
    var id: ActionID
    var keys: String
    var help: String
    var isHere: Bool
  }

  private func keys(of group: ActionGroup) -> String {
    actions.keyLabel(group.members, usual: theme.glyphs == .utf8 ? group.keys : group.ascii, theme.glyphs)
  }

  /// Lines of the help, this screen's first, that match the filter: words, or `@` and a key.
  func helpLines(_ filter: String) -> [HelpLine] {
    let here = actions.entries.filter { $0.isChosen && $0.applies(to: screen) }
    let everywhere = actions.entries.filter { !$0.isChosen }
    let found = (here + everywhere).filter { entry in
      if filter.isEmpty { return true }
      if filter.hasPrefix("@") {
        let name = String(filter.dropFirst())
        return name.isEmpty || entry.keys.contains { $0.name == name || $0.label(.utf8) == name }
      }
      return entry.help.localizedCaseInsensitiveContains(filter) || entry.id.rawValue.localizedCaseInsensitiveContains(filter)
    }
    var lines: [HelpLine] = []
    var shown: Set<ActionID> = []
    for entry in found where !shown.contains(entry.id) {
      // A search finds single actions, so that the one found can be done.
      if filter.isEmpty, let group = actions.groups.first(where: { $0.members.contains(entry.id) }) {
        shown.formUnion(group.members)
        lines.append(
          HelpLine(id: entry.id, keys: keys(of: group), help: group.help, isHere: entry.isChosen))
      } else {
        lines.append(HelpLine(id: entry.id, keys: entry.keyLabel(theme.glyphs), help: entry.help, isHere: entry.isChosen))
      }
    }
    return lines
  }
}
