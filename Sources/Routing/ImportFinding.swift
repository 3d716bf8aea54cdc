// What was found out about a record that another program made: the codes that scripts rely on (docs/contracts.md).

/// One finding about an imported record.
public struct ImportFinding: Sendable, Hashable {
  public enum Severity: String, Sendable, Codable, CaseIterable {
    /// The rows are not what a router decided; they are stored as unknown.
    case fault
    case warning
    case note
  }

  public enum Code: String, Sendable, Codable, CaseIterable {
    // Faults.
    case zeroRows = "zero_rows"
    case equalRows = "equal_rows"
    case partition
    case duplicateExpert = "duplicate_expert"
    case outOfRange = "out_of_range"
    case physicalIDs = "physical_ids"
    case wrongK = "wrong_k"
    case shiftedLayers = "shifted_layers"
    case missingLast = "missing_last"
    case lengthMismatch = "length_mismatch"
    case truncated
    // Warnings.
    case unknownRows = "unknown_rows"
    case padded
    case sharedSlot = "shared_slot"
    case probabilities
    case unsorted
    // Notes.
    case denseLayers = "dense_layers"
    case noLastToken = "no_last_token"
    case notRecomputable = "not_recomputable"
    case noWeights = "no_weights"
    case noIDs = "no_ids"
    case lengthUnchecked = "length_unchecked"
    case expertsGuessed = "experts_guessed"
    case layersGuessed = "layers_guessed"

    public var severity: Severity {
      switch self {
      case .zeroRows, .equalRows, .partition, .duplicateExpert, .outOfRange, .physicalIDs, .wrongK, .shiftedLayers, .missingLast,
        .lengthMismatch, .truncated:
        .fault
      case .unknownRows, .padded, .sharedSlot, .probabilities, .unsorted: .warning
      case .denseLayers, .noLastToken, .notRecomputable, .noWeights, .noIDs, .lengthUnchecked, .expertsGuessed, .layersGuessed: .note
      }
    }
  }

  public var code: Code
  /// Nil: it is of the whole record.
  public var router: RouterID?
  /// Where it is found: rows, or what `detail` says.
  public var count: Int
  /// How many were looked at.
  public var of: Int
  /// The first rows it is found at.
  public var first: [Int]
  public var detail: String

  public var severity: Severity { code.severity }

  /// First rows that are kept of a finding.
  public static let firstKept = 8

  public init(_ code: Code, router: RouterID? = nil, count: Int, of: Int, first: [Int] = [], detail: String) {
    self.code = code
    self.router = router
    self.count = count
    self.of = of
    self.first = first
    self.detail = detail
  }
}
