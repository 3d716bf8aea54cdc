// Which keys have been given to which actions? The lines of the configuration file that begin with `key.`; a table of actions takes them, and
// one that would give a key two meanings on a screen is refused.

import Terminal

struct KeyBindings: Sendable {
  /// One line.
  struct Binding: Equatable, Sendable {
    var action: ActionID
    /// Instead of those that it had; empty: none.
    var keys: [KeyEvent]
    var line: Int
  }

  private(set) var bindings: [Binding] = []

  /// What a key's line begins with.
  static let prefix = "key."
  /// Keys that an action may have.
  static let most = 8

  init() {}

  /// - Parameters:
  ///   - entries: lines whose keys begin with `key.`
  ///   - path: as messages call the file.
  ///   - table: the actions there are, with their usual keys.
  /// - Throws: `Failure` that names the line, and both actions of a key that would have two meanings.
  init(_ entries: [ConfigurationFile.Entry], path: String, for screens: [any Screen.Type] = Screens.all) throws {
    let usual = ActionTable(screens)
    for entry in entries {
      let name = String(entry.key.dropFirst(Self.prefix.count))
      guard let action = usual.named(name) else {
        throw ConfigurationFile.problem(
          path, entry.line,
          "expected the name of an action, found \(ConfigurationFile.short(name))\(Nearest.words(name, usual.entries.map(\.id.rawValue)))"
            + "\n  try: moetop docs keys")
      }
      // Whatever else is settled, a person gets out.
      if action == .interrupt { throw ConfigurationFile.problem(path, entry.line, "ctrl-c always interrupts; key.quit is for leaving") }
      let keys = try Self.keys(entry, path)
      // What has no key is done by its name, in the palette.
      if action == .palette, keys.isEmpty { throw ConfigurationFile.problem(path, entry.line, "key.palette: expected a key, found none") }
      bindings.append(Binding(action: action, keys: keys, line: entry.line))
    }
    let table = ActionTable(screens, self)
    for binding in bindings {
      for key in binding.keys {
        guard let clash = table.clash(of: binding.action, over: key, on: screens.map { screen in screen.id }) else { continue }
        let other = bindings.first { $0.action == clash.other }
        throw ConfigurationFile.problem(
          path, binding.line,
          "key \(key.name) would be \(binding.action) and \(clash.other)\(other.map { " (line \($0.line))" } ?? "") on \(clash.screen)"
            + (other == nil ? "\n  try: key.\(clash.other) = another key, or none" : ""))
      }
    }
  }

  subscript(_ action: ActionID) -> Binding? { bindings.first { $0.action == action } }

  private static func keys(_ entry: ConfigurationFile.Entry, _ path: String) throws -> [KeyEvent] {
    let words = entry.value.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
    if words == ["none"] { return [] }
    guard !words.isEmpty, words.count <= most else {
      let found = words.isEmpty ? "nothing" : "\(words.count)"
      throw ConfigurationFile.problem(path, entry.line, "\(entry.key): expected 1 to \(most) keys, or none; found \(found)")
    }
    var keys: [KeyEvent] = []
    for word in words {
      guard let key = KeyEvent(word) else {
        throw ConfigurationFile.problem(
          path, entry.line,
          "\(entry.key): expected the name of a key (j, space, ctrl-d, shift-left, pgup, f5), found \(ConfigurationFile.short(word))")
      }
      if let arrival = key.arrival {
        throw ConfigurationFile.problem(path, entry.line, "\(entry.key): \(key.name) comes from a terminal as \(arrival.name)")
      }
      if key == .ctrl("c") { throw ConfigurationFile.problem(path, entry.line, "\(entry.key): ctrl-c always interrupts") }
      if keys.contains(key) { throw ConfigurationFile.problem(path, entry.line, "\(entry.key): \(key.name) stands there twice") }
      keys.append(key)
    }
    return keys
  }
}

extension KeyEvent {
  /// What a terminal sends for a control key that has no code of its own.
  fileprivate var arrival: KeyEvent? {
    switch self {
    case .ctrl("i"): .tab
    case .ctrl("m"), .ctrl("j"): .enter
    case .ctrl("h"): .backspace
    case .ctrl("["): .escape
    default: nil
    }
  }
}
