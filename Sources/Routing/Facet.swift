// The axes along which routing is looked at. Metrics take a facet, screens and commands name one.

/// An axis that sorts decisions into cells.
public enum Facet: Hashable, Sendable, Codable {
  /// A label of the whole sequence, e.g. `domain`.
  case label(String)
  /// Place in the sequence.
  case position
  /// The entry of the vocabulary that a token is, and the class of its text: word, number, punctuation, ...
  case vocabulary, tokenClass
  /// A label of the token itself, e.g. `modality`.
  case tokenLabel(String)
  /// Step of a denoising run, in order of execution.
  case step
  /// Row, column and cell of the grid of patches of a denoising run.
  case patchRow, patchColumn, patch

  /// Reads an axis as it is written on the command line: `label:` before the name of a label that is the word for something else.
  public init(named name: String) {
    if name.hasPrefix(Self.labelMark) {
      self = .label(String(name.dropFirst(Self.labelMark.count)))
    } else {
      self = ([.position] + Self.ofTokens + Self.denoising).first { $0.name == name } ?? .label(name)
    }
  }

  private static let labelMark = "label:"
  /// Words that a label may be called by and that mean something else where an axis is asked for.
  private static let taken: Set<String> = [
    "layer", "expert", "token", "position", "vocabulary", "token-class", "step", "patch-row", "patch-column", "patch",
  ]

  /// How the axis is written on the command line and in exports; `init(named:)` reads it.
  public var name: String {
    switch self {
    case .label(let key), .tokenLabel(let key): Self.taken.contains(key) || key.hasPrefix(Self.labelMark) ? Self.labelMark + key : key
    case .position: "position"
    case .vocabulary: "vocabulary"
    case .tokenClass: "token-class"
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
    case .position, .vocabulary, .tokenClass, .tokenLabel, .step, .patchRow, .patchColumn, .patch: false
    }
  }

  /// Whether only denoising runs have this axis.
  public var isDenoising: Bool { Self.denoising.contains(self) }

  /// Whether it sorts by what a token is.
  public var isOfTokens: Bool { if case .tokenLabel = self { true } else { isOfTokenIDs } }

  /// Whether it sorts by the ids of tokens, whose pieces then name its values.
  public var isOfTokenIDs: Bool { Self.ofTokens.contains(self) }

  public static let ofTokens: [Facet] = [.vocabulary, .tokenClass]

  /// The axes that only denoising runs have.
  public static let denoising: [Facet] = [.step, .patchRow, .patchColumn, .patch]
}
