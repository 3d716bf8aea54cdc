// The axes along which routing is looked at. Metrics take a facet, screens and commands name one.

/// An axis that sorts decisions into cells.
public enum Facet: Hashable, Sendable, Codable {
  /// A label of the whole sequence, e.g. `domain`.
  case label(String)
  /// Place in the sequence.
  case position
  /// Step of a denoising run, in order of execution.
  case step
  /// Row, column and cell of the grid of patches of a denoising run.
  case patchRow, patchColumn, patch

  /// How the axis is written on the command line and in exports.
  public var name: String {
    switch self {
    case .label(let key): key
    case .position: "position"
    case .step: "step"
    case .patchRow: "patch-row"
    case .patchColumn: "patch-column"
    case .patch: "patch"
    }
  }

  /// Whether all tokens of a sequence share one cell; decides which null is honest (labels permuted over sequences, or places
  /// shifted inside each).
  public var isConstantWithinSequence: Bool {
    switch self {
    case .label: true
    case .position, .step, .patchRow, .patchColumn, .patch: false
    }
  }

  /// Whether only denoising runs have this axis.
  public var isDenoising: Bool { Self.denoising.contains(self) }

  /// The axes that only denoising runs have.
  public static let denoising: [Facet] = [.step, .patchRow, .patchColumn, .patch]
}
