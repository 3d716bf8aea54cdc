// The axes along which routing is looked at. Metrics take a facet, screens and commands name one.

/// An axis that sorts decisions into cells.
public enum Facet: Hashable, Sendable, Codable {
  /// A label of the whole sequence, e.g. `domain`.
  case label(String)
  /// Place in the sequence.
  case position

  /// How the axis is written on the command line and in exports.
  public var name: String {
    switch self {
    case .label(let key): key
    case .position: "position"
    }
  }

  /// Whether all tokens of a sequence share one cell; decides which null is honest (labels permuted over sequences, or positions
  /// shifted inside each).
  public var isConstantWithinSequence: Bool {
    switch self {
    case .label: true
    case .position: false
    }
  }
}
