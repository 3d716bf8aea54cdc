// What is asked of a run, as a value: which metrics, along which axis, at which layers, with which threshold and null. The words are
// those of `moetop analyze`.

import Routing

/// How rows are grouped; `layer` is always implied.
public struct AnalysisGrouping: Sendable, Hashable, CustomStringConvertible {
  /// One row for each expert: for specialization, its enrichment.
  public var byExpert: Bool
  /// The most uncertain tokens.
  public var byToken: Bool
  public var facet: Facet?

  public static let layer = AnalysisGrouping()

  public init(byExpert: Bool = false, byToken: Bool = false, facet: Facet? = nil) {
    self.byExpert = byExpert
    self.byToken = byToken
    self.facet = facet
  }

  /// Reads `layer`, `expert`, `token`, `position`, `step`, `patch-row`, `patch-column`, `patch` or the name of a label, or several joined by commas with at most one axis.
  /// - Throws: `AnalysisError.badGrouping`.
  public init(parsing text: String) throws {
    self.init()
    for word in text.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
      switch word {
      case "layer": break
      case "expert": byExpert = true
      case "token": byToken = true
      case "":
        throw AnalysisError.badGrouping(found: text, expected: "layer, expert, token, position, or a label such as domain")
      default:
        guard facet == nil else { throw AnalysisError.badGrouping(found: text, expected: "one axis at a time") }
        facet = word == "position" ? .position : Facet.denoising.first { $0.name == word } ?? .label(word)
      }
    }
    if byToken && (byExpert || facet != nil) { throw AnalysisError.badGrouping(found: text, expected: "token alone") }
  }

  public var description: String {
    let parts = ["layer"] + (byExpert ? ["expert"] : []) + (byToken ? ["token"] : []) + (facet.map { [$0.name] } ?? [])
    return parts.count == 1 ? parts[0] : parts.dropFirst().joined(separator: ",")
  }
}

/// Layers to look at: `0-3,7`.
public struct LayerSelection: Sendable, Hashable, CustomStringConvertible {
  public var ranges: [ClosedRange<Int>]

  public init(_ ranges: [ClosedRange<Int>]) { self.ranges = ranges }

  /// - Throws: `AnalysisError.badLayers`.
  public init(parsing text: String) throws {
    func number(_ part: Substring) -> Int? { part.allSatisfy { $0.isASCII && $0.isNumber } ? Int(part) : nil }
    ranges = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(number)
      guard let low = ends.first ?? nil, let high = ends.last ?? nil, low <= high else { throw AnalysisError.badLayers(found: text) }
      return low...high
    }
  }

  public func contains(_ layer: LayerIndex) -> Bool { ranges.contains { $0.contains(layer.rawValue) } }

  public var description: String {
    ranges.map { $0.lowerBound == $0.upperBound ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
  }
}

/// Everything `moetop analyze` can be asked for.
public struct AnalysisPlan: Sendable {
  public var metrics: [MetricKey]
  public var grouping: AnalysisGrouping
  /// Nil looks at all layers.
  public var layers: LayerSelection?
  public var threshold: EntropyThreshold
  public var entropyForm: EntropyForm
  public var null: NullSettings
  /// Intervals by jackknife where the metric has one (`--ci`); specialization always has one.
  public var intervals: Bool
  /// Rows of lists (`--top`): tokens, enriched cells.
  public var top: Int
  /// Beside a specialization by label, the same with all sequences cut to one length, where lengths differ.
  public var matchesLengths: Bool
  /// Names and labels, by index in the run.
  public var sequences: [SequenceDescription]
  /// The rules of the routers, where known: for units and notes.
  public var routers: [RouterDescription]
  /// Steps, branches and patches of a denoising run; nil for text.
  public var denoising: DenoisingLayout?
  /// The branch of a denoising run that its metrics look at: 0 conditional, 1 unconditional.
  public var branch: Int
  /// Whether the run keeps single decisions, not counts only.
  public var hasDecisions: Bool

  public init(
    metrics: [MetricKey], grouping: AnalysisGrouping = .layer, layers: LayerSelection? = nil, threshold: EntropyThreshold = .standard,
    entropyForm: EntropyForm = .standard, null: NullSettings = NullSettings(), intervals: Bool = false, top: Int = 20,
    matchesLengths: Bool = true, sequences: [SequenceDescription] = [], routers: [RouterDescription] = [],
    denoising: DenoisingLayout? = nil, branch: Int = 0,
    hasDecisions: Bool = true
  ) {
    self.metrics = metrics
    self.grouping = grouping
    self.layers = layers
    self.threshold = threshold
    self.entropyForm = entropyForm
    self.null = null
    self.intervals = intervals
    self.top = top
    self.matchesLengths = matchesLengths
    self.sequences = sequences
    self.routers = routers
    self.denoising = denoising
    self.branch = branch
    self.hasDecisions = hasDecisions
  }

  /// - Throws: `AnalysisError` when a metric cannot be had along the asked axis, or a number is out of range; `RoutingError` when the
  ///   layout of a denoising run is none.
  public func validate() throws {
    if metrics.isEmpty { throw AnalysisError.invalidPlan(field: "--metric", expected: "one metric or more", found: "none") }
    if null.draws < 19 {
      throw AnalysisError.invalidPlan(field: "--null", expected: "19 draws or more (p = 0.05 needs them)", found: "\(null.draws)")
    }
    if top < 1 { throw AnalysisError.invalidPlan(field: "--top", expected: "1 or more", found: "\(top)") }
    if denoising == nil, let facet = grouping.facet, facet.isDenoising { throw AnalysisError.notDenoising(asked: "--by \(facet.name)") }
    try denoising?.validate()
    if let denoising, !(0..<denoising.branchCount).contains(branch) {
      throw AnalysisError.invalidPlan(field: "--branch", expected: "0 to \(denoising.branchCount - 1)", found: "\(branch)")
    }
    for metric in metrics { try validate(metric) }
  }

  /// Whether the counts of a denoising run answer a metric.
  func isAnsweredByCounts(_ metric: MetricKey) -> Bool {
    denoising != nil && MetricCatalog.entry(metric).measure.folds(for: self) == .denoising
  }

  private func validate(_ metric: MetricKey) throws {
    let entry = MetricCatalog.entry(metric)
    func refuse(_ instead: String) -> AnalysisError {
      .cannotGroup(metric: metric.rawValue, by: grouping.description, instead: instead)
    }
    if entry.runs == .denoising && denoising == nil { throw AnalysisError.notDenoising(asked: metric.rawValue) }
    if !hasDecisions && !isAnsweredByCounts(metric) { throw AnalysisError.needsDecisions(metric: metric.rawValue) }
    if grouping.byToken {
      if metric != .uncertain { throw refuse("--metric uncertain --by token, or --by layer") }
      return
    }
    switch entry.grain {
    case .axis: if grouping.facet == nil { throw refuse("--by domain, --by position or another label") }
    case .layer, .run: if grouping.byExpert { throw refuse("--by layer") }
    case .expert: if entry.facets == .denoising && grouping.facet == nil { throw refuse("--by step, --by patch or --by class") }
    }
    if let facet = grouping.facet {
      if !entry.facets.allows(facet) { throw refuse("--by layer") }
      if case .label(let key) = facet, !sequences.contains(where: { $0.labels[key] != nil }) {
        let known = Set(sequences.flatMap(\.labels.keys)).sorted().joined(separator: ", ")
        throw AnalysisError.badGrouping(
          found: key,
          expected: "expert, token, position" + (known.isEmpty ? " (this run has no labels)" : " or a label of this run: \(known)"))
      }
    }
  }
}
