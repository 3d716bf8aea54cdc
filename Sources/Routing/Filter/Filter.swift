// Which decisions and which tokens are meant: one written form, read here and nowhere else, for `--filter`, for the key `f` and behind the
// `if` of a rule. What a term needs of a run is in FilterContext; what it decides, in ResolvedFilter.

/// Terms that must all hold; `!` in front turns one round.
///
///     layer=3-7,9 expert=23 !domain=code token~bank
///
/// A term is of a router (`layer`), of a decision (`entropy`), of one of its assignments (`expert`) or of a token (`position`). A decision passes
/// when its token, its router and itself pass all their terms and one of its assignments passes all terms of assignments together.
/// `!TERM` passes exactly where TERM alone does not, so `!expert=5` is "does not take expert 5"; a number that is not there passes no
/// comparison, and so does pass its negation.
public struct Filter: Sendable, Hashable, CustomStringConvertible {
  public struct Clause: Sendable, Hashable {
    public var term: FilterTerm
    public var isNegated: Bool
    /// As it was written, `!` included.
    public var text: String
    /// Where it begins in the filter's text, in characters (Unicode scalars) from 0.
    public var place: Int
  }

  /// As it was written.
  public let text: String
  public let clauses: [Clause]

  /// - Throws: `FilterError.syntax` with place, what was expected and what was found; an empty text is no filter.
  public init(parsing text: String) throws(FilterError) {
    self.text = text
    clauses = try FilterParser.clauses(of: text)
  }

  public var description: String { text }

  /// Whether all terms are of tokens.
  public var looksAtTokensOnly: Bool { clauses.allSatisfy { $0.term.subject == .token } }

  /// Whether some term is of decisions or of their assignments, not of routers or tokens.
  public var selectsDecisions: Bool { clauses.contains { [.decision, .assignment].contains($0.term.subject) } }

  /// Whether decisions are chosen by what they took, which chance values know nothing of.
  public var selectsByChoice: Bool { clauses.contains { $0.term.subject == .assignment } }

  /// Whether each sequence stays whole or goes: terms of routers and labels of sequences only.
  public var keepsWholeSequences: Bool { clauses.allSatisfy { $0.term.subject == .router || $0.term.isLabel } }

  /// Whether all decisions of a router stay or go.
  public var keepsWholeRouters: Bool { clauses.allSatisfy { $0.term.subject == .router } }

  /// Whether some term looks at the ids of tokens, or at their texts, which follow from them.
  public var looksAtIDs: Bool {
    clauses.contains {
      switch $0.term {
      case .text, .textPart, .id, .beginning: true
      default: false
      }
    }
  }

  /// Whether some term looks at the text of tokens.
  public var looksAtTexts: Bool {
    clauses.contains {
      switch $0.term {
      case .text, .textPart: true
      default: false
      }
    }
  }

  /// The quantiles of the run's normalised entropies that must be known to decide.
  public var entropyQuantiles: Set<Double> {
    Set(
      clauses.compactMap {
        guard case .entropy(_, .quantile(let q)) = $0.term else { return nil }
        return q
      })
  }
}

/// One condition.
public enum FilterTerm: Sendable, Hashable {
  // Of routers.
  case layer(IntegerTest)
  /// Paths with `*` and `?`; one must fit.
  case router([Glob])
  // Of decisions.
  case entropy(Comparison, EntropyLevel)
  /// In the unit of the router's own selection scores.
  case margin(NumberTest)
  // Of assignments.
  case expert(IntegerTest)
  /// The factor really applied; 0 of an assignment that capacity dropped.
  case weight(NumberTest)
  /// 0-based, by falling selection score.
  case rank(IntegerTest)
  // Of tokens.
  case position(IntegerTest)
  case id(IntegerTest)
  /// The whole text of the token, scalar by scalar.
  case text(String)
  /// A part of it, whatever its case.
  case textPart(String)
  /// The tokenizer's beginning of a sequence.
  case beginning
  case phase(Set<TokenPhase>)
  case surprisal(NumberTest)
  /// A label of the token's sequence, one of these values.
  case label(String, [String])
  case coordinate(String, NumberTest)
  case place(PlaceAxis, IntegerTest)

  public enum Subject: String, Sendable { case router, decision, assignment, token }

  public var subject: Subject {
    switch self {
    case .layer, .router: .router
    case .entropy, .margin: .decision
    case .expert, .weight, .rank: .assignment
    case .position, .id, .text, .textPart, .beginning, .phase, .surprisal, .label, .coordinate, .place: .token
    }
  }

  var isLabel: Bool { if case .label = self { true } else { false } }

  /// Where a row of a denoising run stands.
  public enum PlaceAxis: String, Sendable, Hashable, CaseIterable {
    case step, branch
    case patchRow = "patch-row"
    case patchColumn = "patch-column"

    func count(in layout: DenoisingLayout) -> Int {
      switch self {
      case .step: layout.stepCount
      case .branch: layout.branchCount
      case .patchRow: layout.patchRows
      case .patchColumn: layout.patchColumns
      }
    }

    func value(_ place: DenoisingPlace) -> Int {
      switch self {
      case .step: place.step
      case .branch: place.branch
      case .patchRow: place.patchRow
      case .patchColumn: place.patchColumn
      }
    }
  }
}

/// How a number is held against another; nothing holds of NaN.
public enum Comparison: String, Sendable, Hashable, CaseIterable {
  case equal = "="
  case above = ">"
  case below = "<"
  case atLeast = ">="
  case atMost = "<="

  func holds<Number: Comparable>(_ a: Number, _ b: Number) -> Bool {
    switch self {
    case .equal: a == b
    case .above: a > b
    case .below: a < b
    case .atLeast: a >= b
    case .atMost: a <= b
    }
  }
}

/// `=3-7,9` or `>4`.
public enum IntegerTest: Sendable, Hashable {
  case within([ClosedRange<Int>])
  case compared(Comparison, Int)

  public func holds(_ value: Int) -> Bool {
    switch self {
    case .within(let ranges): ranges.contains { $0.contains(value) }
    case .compared(let comparison, let limit): comparison.holds(value, limit)
    }
  }
}

/// `>0.2`.
public struct NumberTest: Sendable, Hashable {
  public var comparison: Comparison
  public var limit: Double

  public init(comparison: Comparison, limit: Double) {
    self.comparison = comparison
    self.limit = limit
  }

  public func holds(_ value: Double) -> Bool { comparison.holds(value, limit) }
}

/// What an entropy is held against.
public enum EntropyLevel: Sendable, Hashable {
  /// Of ln E.
  case share(Double)
  case nats(Double)
  /// Of the normalised entropies of the run, all routers pooled.
  case quantile(Double)
}

/// A pattern in which `*` is any text, dots included, and `?` any one character.
public struct Glob: Sendable, Hashable {
  public let pattern: String

  public init(_ pattern: String) { self.pattern = pattern }

  /// - Complexity: O(pattern x text).
  public func matches(_ text: String) -> Bool {
    let pattern = Array(pattern.unicodeScalars)
    let text = Array(text.unicodeScalars)
    var (p, t) = (0, 0)
    // Where the last star stands, and the text it has taken so far.
    var star: (pattern: Int, text: Int)?
    while t < text.count {
      if p < pattern.count, pattern[p] == "*" {
        star = (p, t)
        p += 1
      } else if p < pattern.count, pattern[p] == "?" || pattern[p] == text[t] {
        p += 1
        t += 1
      } else if let last = star {
        star = (last.pattern, last.text + 1)
        p = last.pattern + 1
        t = last.text + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == "*" }
  }
}
