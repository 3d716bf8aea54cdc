// Rules as they are given: the text itself, or the name of a file of rules behind an @. A file has a rule, or several with semicolons, in a
// line; words behind a hash are for people.

import Foundation
import Routing

enum RuleText {
  /// - Throws: `Failure` or `FormatError` for a file that cannot be read.
  static func read(_ given: String) throws -> String {
    guard given.hasPrefix("@") else { return given }
    return joined(try TextInput(String(given.dropFirst())).lines)
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
