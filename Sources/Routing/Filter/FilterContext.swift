// What a run gives to a filter: its routers, labels and texts. A filter is held against it once, before the first decision: what it names
// must be there, and quantiles become numbers. Reading them is the business of Store and Model.

/// The run that a filter looks at.
public struct FilterContext: Sendable {
  public var routers: [RouterDescription]
  /// By index in the run.
  public var sequences: [SequenceDescription]
  /// Steps, branches and patches of a denoising run; nil for text.
  public var layout: DenoisingLayout?
  /// The id of the tokenizer's beginning of a sequence; nil where none was recorded.
  public var beginningID: Int32?
  /// Text of a vocabulary entry; nil where nobody knows it.
  public var text: @Sendable (Int32) -> String?
  /// Whether texts are known at all.
  public var hasTexts: Bool
  /// Whether ids of tokens were recorded.
  public var hasIDs: Bool
  /// Whether the factors applied to experts were recorded.
  public var hasWeights: Bool
  /// Names of the coordinates that tokens have.
  public var coordinates: [String]
  /// A coordinate that the table of tokens does not have itself, by its name and the token's row in the run.
  public var coordinate: @Sendable (String, Int) -> Double?
  /// Labels that single tokens have, with their values.
  public var tokenLabels: [String: Set<String>]
  /// Whether further sequences may bring labels that are not there yet.
  public var isGrowing: Bool

  public init(
    routers: [RouterDescription], sequences: [SequenceDescription] = [], layout: DenoisingLayout? = nil, beginningID: Int32? = nil,
    hasTexts: Bool = false, hasIDs: Bool = true, hasWeights: Bool = true, isGrowing: Bool = false, coordinates: [String] = [],
    coordinate: @escaping @Sendable (String, Int) -> Double? = { _, _ in nil }, tokenLabels: [String: Set<String>] = [:],
    text: @escaping @Sendable (Int32) -> String? = { _ in nil }
  ) {
    self.routers = routers
    self.sequences = sequences
    self.layout = layout
    self.beginningID = beginningID
    self.text = text
    self.hasTexts = hasTexts
    self.hasIDs = hasIDs
    self.hasWeights = hasWeights
    self.coordinates = coordinates
    self.coordinate = coordinate
    self.tokenLabels = tokenLabels
    self.isGrowing = isGrowing
  }
}

extension Filter {
  /// The filter made ready for the decisions of one run.
  ///
  /// - Parameter entropyQuantile: value of a quantile of the run's normalised entropies, all routers pooled; nil when no decision has one.
  ///   Asked once for each of `entropyQuantiles`.
  /// - Throws: `FilterError` when the filter names a layer, router, expert, rank, label or value that the run does not have, or looks at
  ///   what was not recorded; what `entropyQuantile` throws.
  public func resolved(in context: FilterContext, entropyQuantile: (Double) throws -> Double? = { _ in nil }) throws -> ResolvedFilter {
    for clause in clauses { try check(clause, context) }
    var quantiles: [Double: Double] = [:]
    for q in entropyQuantiles.sorted() { quantiles[q] = try entropyQuantile(q) }
    let resolved = try clauses.map { clause in
      var clause = clause
      if case .entropy(let comparison, .quantile(let q)) = clause.term {
        guard let value = quantiles[q] else {
          throw FilterError.notRecorded(
            term: clause.text, place: clause.place, reason: "no decision of this run has an entropy, so there is no quantile")
        }
        clause.term = .entropy(comparison, .share(value))
      }
      return clause
    }
    return ResolvedFilter(self, clauses: resolved, context: context)
  }

  /// The routers that terms without `!` leave.
  private func routers(_ context: FilterContext) -> [RouterDescription] {
    context.routers.filter { router in
      clauses.allSatisfy { $0.isNegated || $0.term.subject != .router || $0.term.holds(of: router.id) }
    }
  }

  private func check(_ clause: Clause, _ context: FilterContext) throws(FilterError) {
    func notThere(_ found: String, known: String) -> FilterError {
      .notThere(term: clause.text, place: clause.place, found: found, known: known)
    }
    func notRecorded(_ reason: String) -> FilterError { .notRecorded(term: clause.text, place: clause.place, reason: reason) }
    func requireText(_ instead: String) throws(FilterError) {
      if context.layout != nil { throw notRecorded("the rows of a run of images are patches, not tokens; \(instead)") }
    }
    switch clause.term {
    case .layer(let test):
      let layers = Set(context.routers.map(\.id.layer.rawValue)).sorted()
      guard let missing = test.missing(among: layers) else { return }
      throw notThere("router at layer \(missing)", known: "routers at layers \(IntegerTest.list(layers))")
    case .router(let globs):
      let paths = context.routers.map(\.id.description)
      guard let missing = globs.first(where: { glob in !paths.contains(where: glob.matches) }) else { return }
      throw notThere("router '\(missing.pattern)'", known: "routers \(Self.named(paths))")
    case .expert(let test):
      let most = routers(context).map(\.spec.expertCount).max() ?? 0
      guard let missing = test.missing(among: Array(0..<most)) else { return }
      throw notThere("expert \(missing)", known: most > 0 ? "experts 0 to \(most - 1) there" : "no router there")
    case .rank(let test):
      let most = routers(context).map(\.spec.topK).max() ?? 0
      guard let missing = test.missing(among: Array(0..<most)) else { return }
      throw notThere("rank \(missing)", known: most > 0 ? "ranks 0 to \(most - 1) there" : "no router there")
    case .weight:
      if !context.hasWeights { throw notRecorded("this run was recorded without weights; record with --record weights or full") }
    case .label(let name, let values): try check(label: name, values, context, notThere)
    case .coordinate(let name, _):
      guard !context.coordinates.contains(name) else { return }
      let known = context.coordinates
      throw notThere("coordinate '\(name)'", known: known.isEmpty ? "no coordinates" : "coordinates \(Self.named(known))")
    case .place(let axis, let test):
      guard let layout = context.layout else { throw notRecorded("this is a run of text; it has no steps, branches or patches") }
      let count = axis.count(in: layout)
      guard let missing = test.missing(among: Array(0..<count)) else { return }
      throw notThere("\(axis.rawValue) \(missing)", known: "\(axis.rawValue) 0 to \(count - 1)")
    case .text, .textPart:
      try requireText("try step, branch, patch-row, patch-column or class")
      if !context.hasIDs { throw notRecorded(Self.withoutIDs) }
      if !context.hasTexts { throw notRecorded("the texts of this run's tokens were not recorded; try id=") }
    case .beginning: try requireText("try step=0")
    case .id: if context.layout == nil, !context.hasIDs { throw notRecorded(Self.withoutIDs) }
    case .entropy, .margin, .position, .phase, .surprisal: break
    }
  }

  private static let withoutIDs = "this run keeps no token ids (--no-ids, or a record without them); try position or a label"

  private func check(
    label name: String, _ values: [String], _ context: FilterContext, _ notThere: (_ found: String, _ known: String) -> FilterError
  ) throws(FilterError) {
    if context.isGrowing { return }
    let known = Set(context.sequences.compactMap { $0.labels[name] }).union(context.tokenLabels[name] ?? [])
    guard !known.isEmpty else {
      let labels = Set(context.sequences.flatMap(\.labels.keys)).union(context.tokenLabels.keys).sorted()
      throw notThere("label or term '\(name)'", labels.isEmpty ? "no labels" : "labels \(Self.named(labels))")
    }
    guard let missing = values.first(where: { !known.contains($0) }) else { return }
    throw notThere("\(name) '\(missing)'", "\(name) \(Self.named(known.sorted()))")
  }

  /// Names for a message, the first twenty of them.
  private static func named(_ names: [String]) -> String {
    names.prefix(20).joined(separator: ", ") + (names.count > 20 ? " and \(names.count - 20) more" : "")
  }
}

extension IntegerTest {
  /// The first range that meets none of `known`; nil for a comparison, which may hold of nothing.
  fileprivate func missing(among known: [Int]) -> String? {
    guard case .within(let ranges) = self, let range = ranges.first(where: { range in !known.contains(where: range.contains) }) else {
      return nil
    }
    return Self.text(range)
  }

  private static func text(_ range: ClosedRange<Int>) -> String {
    range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
  }

  /// Rising numbers as ranges: `0-3,7`.
  fileprivate static func list(_ numbers: [Int]) -> String {
    var ranges: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = ranges.last, last.upperBound + 1 == number {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    return ranges.map(text).joined(separator: ",")
  }
}
