// Rules as they are given: the text itself, or the name of a file of rules behind an @. A file has a rule, or several with semicolons, in a
// line; words behind a hash are for people.

import Foundation
import Routing

enum RuleText {
  /// - Throws: `Failure` or `FormatError` for a file that cannot be read.
  static func read(_ given: String) throws -> String {
    guard given.hasPrefix("@") else { return given }
    let name = String(given.dropFirst())
    let lines = try TextInput(name).lines
    for (number, line) in lines.enumerated() {
      do { _ = try RuleSet(parsing: joined([line])) } catch {
        throw Failure(.usage, "\(name), line \(number + 1): \(error)")
      }
    }
    let text = joined(lines)
    guard !text.isEmpty else { throw Failure(.usage, "\(name): expected a rule or more, found none") }
    return text
  }

  /// Lines of a file as one text. A hash begins a comment at the start of a line and after a blank; a run is named by another
  /// (`corpus.db#2`).
  static func joined(_ lines: [String]) -> String {
    lines.map { line in
      let start = line.indices.first { line[$0] == "#" && ($0 == line.startIndex || line[line.index(before: $0)].isWhitespace) }
      return line[..<(start ?? line.endIndex)].trimmingCharacters(in: CharacterSet(charactersIn: "; \t"))
    }.filter { !$0.isEmpty }.joined(separator: "; ")
  }

  /// A file of these rules.
  static func file(_ rules: [String], heading: String) -> String {
    (["# \(heading)"] + rules).joined(separator: "\n") + "\n"
  }
}
