// What can be wrong with a file from outside, and how we say so. Every reader and writer of this room throws `FormatError`
// and nothing else; cases carry the facts (file, place, expected, found, hint), and the wording lives in `description` below.
// Rendering for the user (colours, exit codes) is App's business.

/// A file that cannot be read, written or believed.
public enum FormatError: Error, Sendable, Equatable {
  /// The system refused an operation on a file ("open", "map", "write", ...); `code` is its `errno`.
  case system(file: String, operation: String, code: Int32)
  /// An output that is, by whatever name, a file that the command reads.
  case isRead(file: String, input: String)
  /// The path names something that is not a regular file ("a directory", "a pipe or device").
  case notAFile(file: String, found: String)
  /// The text is not JSON; `offset` is the byte offset in the file at which reading stopped.
  case syntax(file: String, offset: Int, expected: String, found: String)
  /// A JSON value has another type or range than its reader needs; `path` is dotted ("rope_scaling.factor", "layers[3].size").
  case value(file: String, path: String, expected: String, found: String)
  /// A JSON member that must be there is not.
  case missing(file: String, path: String, expected: String)
  /// The file lost pages while it was mapped: it was shortened, or its disk failed.
  case changed(file: String)
  /// A binary structure contradicts itself or the size of its file; `place` names the part ("header", `tensor "x"`).
  case malformed(file: String, place: String, problem: String, hint: String?)
  /// Well-formed, but a feature, version or type that this reader does not know.
  case unsupported(file: String, place: String, found: String, hint: String?)

  /// The file the error is about, as its opener named it.
  public var file: String {
    switch self {
    case .system(let file, _, _), .isRead(let file, _), .notAFile(let file, _), .changed(let file), .syntax(let file, _, _, _),
      .value(let file, _, _, _),
      .missing(let file, _, _), .malformed(let file, _, _, _), .unsupported(let file, _, _, _):
      return file
    }
  }
}

extension FormatError: CustomStringConvertible {
  /// One line: what happened, where, what to try.
  public var description: String {
    switch self {
    case .system(let file, let operation, let code):
      return "\(file): cannot \(operation): \(systemMessage(code, creating: operation == "create"))"
    case .isRead(let file, let input):
      let name = file == input ? "it" : input
      return "\(file): cannot be the output: this command reads \(name), which would be lost; try another name"
    case .notAFile(let file, let found):
      return "\(file): expected a regular file, found \(found)"
    case .syntax(let file, let offset, let expected, let found):
      return "\(file): not valid JSON at byte \(offset): expected \(expected), found \(found)"
    case .value(let file, let path, let expected, let found):
      return "\(file): \(path): expected \(expected), found \(found)"
    case .missing(let file, let path, let expected):
      return "\(file): \(path): missing; expected \(expected)"
    case .changed(let file):
      return "\(file): was changed while it was read: another program wrote into it, or its disk failed"
        + "\n  try: it again when nothing writes there"
    case .malformed(let file, let place, let problem, let hint):
      return "\(file): \(place): \(problem)" + suffix(hint)
    case .unsupported(let file, let place, let found, let hint):
      return "\(file): \(place): \(found) is not supported" + suffix(hint)
    }
  }

  private func suffix(_ hint: String?) -> String {
    hint.map { "; \($0)" } ?? ""
  }
}

/// Text from a file made fit for an error line: control characters shown as `\u{..}`, long text cut, quotes around it.
func quoted(_ text: String, limit: Int = 60) -> String {
  var shown = "\""
  for scalar in text.unicodeScalars.prefix(limit) {
    shown += scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
  }
  return shown + (text.unicodeScalars.dropFirst(limit).isEmpty ? "\"" : "…\"")
}
