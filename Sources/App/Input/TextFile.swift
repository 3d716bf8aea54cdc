// `-f FILE` and `--domain NAME=FILE`: a text as one sequence, JSON lines with "text" and any other plain fields as labels, or a JSON array of
// such objects. The ending of the name decides where it says something, the content where there is no name. What is called .json and is none is
// refused; JSON that is read as plain text is said, and so is every field that cannot be a label.

import Formats
import Routing

/// One text with its name and labels.
struct LabelledText: Equatable {
  var description: SequenceDescription
  var text: String
}

/// The texts of one input.
struct TextFile {
  var texts: [LabelledText] = []
  /// What the user would not expect of the way they were read, a sentence each.
  var notes: [String] = []
  /// Fields that are no labels: their name and kind, with the number of texts that have them.
  private var skipped: [Skipped: Int] = [:]
  private struct Skipped: Hashable { var key, kind: String }

  private enum Form { case plain, lines, whole }

  /// - Parameter path: `-` is standard input.
  /// - Throws: `FormatError` and `Failure` for what cannot be read, is not UTF-8, is damaged JSON (with its line), or holds no text.
  static func read(_ path: String) throws -> TextFile {
    let input = try TextInput(path)
    var file = TextFile()
    switch try file.form(of: input) {
    case .plain:
      if !input.text.isEmpty { file.texts = [LabelledText(description: SequenceDescription(name: input.title), text: input.text)] }
    case .lines:
      for (number, line) in input.lines.enumerated() where !line.allSatisfy(\.isWhitespace) {
        try file.append(JSON.parse(text: line, name: "\(input.name):\(number + 1)"), name: "\(input.title):\(number + 1)")
      }
    case .whole:
      let root = try input.json()
      let entries = root.kind == .array ? Array(root.elements) : [root]
      for (number, entry) in entries.enumerated() { try file.append(entry, name: "\(input.title)[\(number)]") }
    }
    guard !file.texts.isEmpty else { throw Failure(.damaged, "\(input.name): there is no text in it") }
    for (field, count) in file.skipped.sorted(by: { ($0.key.key, $0.key.kind) < ($1.key.key, $1.key.kind) }) {
      file.notes.append("\(input.name): \"\(field.key)\" is \(field.kind) in \(Show.grouped(count)) of \(file.texts.count) texts: no label")
    }
    return file
  }

  // MARK: Form

  private mutating func form(of input: TextInput) throws -> Form {
    let ending = input.isStream ? "" : input.title.split(separator: ".").dropFirst().last?.lowercased() ?? ""
    if ending == "jsonl" || ending == "ndjson" { return .lines }
    let found = Self.json(in: input)
    let mayBeJSON = input.isStream || ending == "json"
    if mayBeJSON, let form = found { return form }
    if mayBeJSON, Self.start(of: input.text) == "{", (try? input.json())?["sequences"] != nil {
      throw Failure(.damaged, "\(input.name): holds token ids, not texts\n  try: --tokens \(input.isStream ? "-" : Show.shell(input.name))")
    }
    if ending == "json" {
      do { _ = try input.json() } catch let failure as Failure {
        throw Failure(failure.status, failure.message + "\n  try: a name without .json, to have it read as plain text")
      }
    }
    if found != nil {
      notes.append("\(input.name): looks like JSON texts and is read as one plain text; an ending .jsonl or .json has it read as texts")
    } else if ending == "json" || ["[{", "{\""].contains(Self.start(of: input.text, 2)) {
      notes.append("\(input.name): looks like JSON, but not like objects with \"text\", and is read as one plain text")
    }
    return .plain
  }

  /// The first bytes that are not white space.
  private static func start(of text: String, _ count: Int = 1) -> String {
    String(decoding: text.utf8.lazy.filter { ![0x20, 0x0A, 0x0D, 0x09].contains($0) }.prefix(count), as: UTF8.self)
  }

  /// What a text would be if it were JSON with texts; nil for anything else.
  private static func json(in input: TextInput) -> Form? {
    let start = start(of: input.text)
    guard start == "{" || start == "[" else { return nil }
    if start == "{", let line = input.lines.first(where: { !$0.allSatisfy(\.isWhitespace) }),
      (try? JSON.parse(text: line, name: input.name))?["text"] != nil
    {
      return .lines
    }
    guard let root = try? input.json() else { return nil }
    guard let first = root.kind == .array ? root.elements.first(where: { _ in true }) : root else { return .whole }
    return first["text"] != nil ? .whole : nil
  }

  // MARK: JSON

  private mutating func append(_ value: JSONValue, name: String) throws {
    var description = SequenceDescription(name: name)
    for (key, field) in try value.requireObject() {
      guard let key = try key.nameOrLabel, key != "text" else { continue }
      guard let content = try field.nameOrLabel else {
        skipped[Skipped(key: key, kind: field.kindInWords), default: 0] += 1
        continue
      }
      if key == "name" { description.name = content } else { description.labels[key] = content }
    }
    texts.append(LabelledText(description: description, text: try value.string("text")))
  }
}

extension JSONValue {
  /// The text of a plain value; nil for others.
  ///
  /// - Throws: `FormatError` for a NUL, at which a database ends a text: what stands behind it would be lost.
  var nameOrLabel: String? {
    get throws {
      guard let text = scalarText else { return nil }
      if text.utf8.contains(0) { throw unexpected("a name or label without NUL") }
      return text
    }
  }

  /// "null", "an array", "an object": for what is not a plain value.
  fileprivate var kindInWords: String {
    switch kind {
    case .null: "null"
    case .array: "an array"
    case .object: "an object"
    case .bool, .number, .string: "a plain value"
    }
  }
}
