// What the user sets instead of what a file says (`--set key=value`): values as JSON or bare words, members of objects by their way, and
// null for what is to be off. Configuration asks here what was set; what the settings mean is its own business.

import Formats

/// The settings that a user gave for one configuration.
struct UserSettings {
  private let overrides: [String: String]
  /// Fields that the user set to null: they are off, whatever the file or the family says.
  private(set) var turnedOff: Set<String> = []

  /// - Parameter overrides: `key=value`, values as JSON.
  init(_ overrides: [String: String]) { self.overrides = overrides }

  /// The fields that something was set in, each once.
  var fields: [String] { Set(overrides.keys.map { String($0.prefix { $0 != "." }) }).sorted() }

  /// Whether a field, or a member of it, was set.
  func say(_ key: String) -> Bool { overrides.keys.contains { $0 == key || $0.hasPrefix(key + ".") } }

  /// The settings as a part of the file sees them, named with the part or without: `text_config.x` and `x`.
  func of(part name: String) -> UserSettings {
    let place = name + "."
    let own = overrides.filter { $0.key != name }.map {
      ($0.key.hasPrefix(place) ? String($0.key.dropFirst(place.count)) : $0.key, $0.value)
    }
    return UserSettings(Dictionary(own, uniquingKeysWith: { first, _ in first }))
  }

  /// Whole fields first, then members of fields: `rope_scaling.factor` is the member of an object. What is no JSON and looks like a word
  /// is the text itself: `sampler=ddpm` needs no quotes inside.
  ///
  /// - Throws: `ModelError.badOption` for a setting that is neither.
  mutating func replace(in values: inout [String: JSONValue]) throws {
    for (key, text) in overrides.sorted(by: { ($0.key.contains(".") ? 1 : 0, $0.key) < ($1.key.contains(".") ? 1 : 0, $1.key) }) {
      let replacement = try Self.json(text, for: key)
      if values[key] == nil, let dot = key.firstIndex(of: "."), let object = values[String(key[..<dot])], object.kind == .object {
        let member = key[key.index(after: dot)...].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        values[String(key[..<dot])] = try JSON.parse(text: object.text(replacing: member, with: replacement), name: "--set \(key)")
      } else {
        let value = try JSON.parse(text: replacement, name: "--set \(key)")
        values[key] = value.isNull ? nil : value
        if value.isNull { turnedOff.insert(key) }
      }
    }
  }

  /// What the user wrote behind `--set key=`, as JSON.
  private static func json(_ text: String, for key: String) throws -> String {
    if (try? JSON.parse(text: text, name: key)) != nil { return text }
    let isWord =
      text.first.map { $0.isLetter || $0 == "_" } == true && text.allSatisfy { $0.isLetter || $0.isNumber || "_-+./".contains($0) }
    guard isWord else { throw ModelError.badOption(name: "--set \(key)", expected: "a JSON value or a word", found: text) }
    return JSONValue.quoted(text)
  }
}

extension JSONValue {
  /// This value as JSON, one member of an object, named by the way to it, replaced or added; numbers as they compute, not as they are
  /// written.
  func text(replacing path: [String] = [], with text: String = "") -> String {
    switch kind {
    case .null: return "null"
    case .bool: return bool == true ? "true" : "false"
    case .number: return int64.map { "\($0)" } ?? "\(double ?? 0)"
    case .string: return Self.quoted(string ?? "")
    case .array: return "[" + elements.map { $0.text() }.joined(separator: ", ") + "]"
    case .object:
      // A name with dots in it is a name before it is a way.
      let whole = path.joined(separator: ".")
      let inner = path.count > 1 && self[whole] == nil ? path.first.flatMap { self[$0] } : nil
      let (replaced, value): (String?, String) =
        if let inner, inner.kind == .object {
          (path[0], inner.text(replacing: Array(path.dropFirst()), with: text))
        } else {
          (path.isEmpty ? nil : whole, text)
        }
      var members = objectMembers.filter { $0.0 != replaced }.map { "\(Self.quoted($0.0)): \($0.1.text())" }
      if let replaced { members.append("\(Self.quoted(replaced)): \(value)") }
      return "{" + members.joined(separator: ", ") + "}"
    }
  }

  static func quoted(_ text: String) -> String {
    var writer = JSONWriter()
    text.write(to: &writer)
    return writer.text
  }
}
