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

/// In the order of their codes, then of their routers.
extension ImportFinding: Comparable {
  private static let places = Dictionary(uniqueKeysWithValues: Code.allCases.enumerated().map { ($1, $0) })

  public static func < (a: ImportFinding, b: ImportFinding) -> Bool {
    if a.code != b.code { return (places[a.code] ?? 0) < (places[b.code] ?? 0) }
    switch (a.router, b.router) {
    case (let a?, let b?): return a < b
    case (nil, _?): return true
    default: return false
    }
  }
}

/// Findings of one code and one text, their routers together, for people.
public struct ImportFindingGroup: Sendable, Equatable {
  public private(set) var code: ImportFinding.Code
  public private(set) var routers: [RouterID]
  /// The least and the most that one of them has.
  public private(set) var counts: ClosedRange<Int>
  public private(set) var of: Int
  public private(set) var first: Int?
  public private(set) var detail: String

  /// Routers that are named one by one.
  private static let named = 6

  public static func groups(_ findings: some Sequence<ImportFinding>) -> [ImportFindingGroup] {
    findings.reduce(into: []) { groups, finding in
      if let place = groups.firstIndex(where: { $0.code == finding.code && $0.detail == finding.detail && $0.of == finding.of }) {
        let counts = groups[place].counts
        groups[place].routers += finding.router.map { [$0] } ?? []
        groups[place].counts = min(counts.lowerBound, finding.count)...max(counts.upperBound, finding.count)
        if let first = finding.first.first { groups[place].first = min(groups[place].first ?? first, first) }
      } else {
        groups.append(
          ImportFindingGroup(
            code: finding.code, routers: finding.router.map { [$0] } ?? [], counts: finding.count...finding.count, of: finding.of,
            first: finding.first.first, detail: finding.detail))
      }
    }
  }

  /// ` at ffn.0, ffn.1`; nothing where it is of the whole record.
  public var place: String {
    guard let first = routers.first else { return "" }
    return routers.count > Self.named
      ? " at \(routers.count) routers, \(first) first" : " at " + routers.map(\.description).joined(separator: ", ")
  }

  /// `3 to 7 of 46, first row 8`.
  public var size: String {
    let count = counts.count == 1 ? "\(counts.lowerBound)" : "\(counts.lowerBound) to \(counts.upperBound)"
    return "\(count) of \(of)" + (first.map { ", first row \($0)" } ?? "")
  }
}
