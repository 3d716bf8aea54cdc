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

  /// Lines of a file as one text.
  static func joined(_ lines: [String]) -> String {
    lines.map { line in
      let text = line.trimmingCharacters(in: .whitespaces)
      return text.hasPrefix("#") ? "" : text.trimmingCharacters(in: CharacterSet(charactersIn: "; "))
    }.filter { !$0.isEmpty }.joined(separator: "; ")
  }

  /// A file of these rules.
  static func file(_ rules: [String], heading: String) -> String {
    (["# \(heading)"] + rules).joined(separator: "\n") + "\n"
  }
}
