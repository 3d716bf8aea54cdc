// What can be wrong with a filter: how it is written, what it names, what the run does not have. Wrong usage, all of it.

public enum FilterError: Error, Hashable, Sendable, CustomStringConvertible {
  /// - Parameter place: in characters (Unicode scalars) from 0.
  case syntax(filter: String, place: Int, expected: String, found: String)
  /// A label, value, layer, router, expert or rank that the run does not have.
  case notThere(term: String, place: Int, found: String, known: String)
  /// Something the term looks at was not recorded, or is nothing this run has.
  case notRecorded(term: String, place: Int, reason: String)
  /// A sound filter that leaves nothing; numbers over nothing would be none.
  case nothingPasses(filter: String, of: String)

  public var description: String {
    switch self {
    case .syntax(let filter, let place, let expected, let found):
      "filter '\(filter)', character \(place + 1): expected \(expected), found \(found)"
    case .notThere(let term, let place, let found, let known):
      "filter term '\(term)' (character \(place + 1)): there is no \(found); this run has \(known)"
    case .notRecorded(let term, let place, let reason): "filter term '\(term)' (character \(place + 1)): \(reason)"
    case .nothingPasses(let filter, let all): "filter '\(filter)': none of \(all) passes"
    }
  }
}
