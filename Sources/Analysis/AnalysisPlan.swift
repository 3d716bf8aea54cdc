// What is asked of a run, as a value: which metrics, along which axis, at which layers, with which threshold and null. The words are
// those of `moetop analyze`.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

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

  /// Reads `layer`, `expert`, `token`, `position`, `step`, `patch-row`, `patch-column`, `patch` or the name of a label (after `label:` where
  /// it is one of these words), or several joined by commas with at most one axis.
  /// - Throws: `AnalysisError.badGrouping`.
  public init(parsing text: String) throws {
    self.init()
    for word in text.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
      switch word {
      case "layer": break
      case "expert": byExpert = true
      case "token": byToken = true
      case "", "label:":
        throw AnalysisError.badGrouping(found: text, expected: "layer, expert, token, position, or a label such as domain")
      default:
        guard facet == nil else { throw AnalysisError.badGrouping(found: text, expected: "one axis at a time") }
        facet = Facet(named: word)
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

  /// Numbers as ranges.
  init(_ layers: some Sequence<Int>) {
    ranges = Set(layers).sorted().reduce(into: []) { ranges, layer in
      if let last = ranges.last, last.upperBound + 1 == layer {
        ranges[ranges.count - 1] = last.lowerBound...layer
      } else {
        ranges.append(layer...layer)
      }
    }
  }

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
  /// Which decisions and tokens count; nil for all.
  public var filter: ResolvedFilter?
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
  /// What the run keeps of its decisions.
  public var recording: RecordingLevel
  /// Whether the run says what its tokens are.
  public var hasTokenIDs = true
  /// Standard deviation of the noise that a flip is judged by, in the unit of the selection scores (`--noise`).
  public var noise: Double
  /// Experts that a router keeps on average, when experts are grouped (`--groups`); nil: a quarter of them.
  public var groups: Int?
  /// What an entry of the vocabulary stands for, for axes of tokens; nil where nobody knows.
  public var words: @Sendable (Int32) -> String? = { _ in nil }
  /// Values of the labels that single tokens have, by label, in the order of their numbers.
  public var tokenLabels: [String: [String]] = [:]
  /// Who recorded the run and what its rows are.
  public var origin = RunOrigin()
  /// Rows that each router has decided on, where some of the run may lack a route; nil: all of its stack.
  public var routedRows: [RouterID: Int]?
  /// Rows of the run; only read beside `routedRows`.
  public var rowCount = 0
  /// The seed by which labels were permuted over sequences before anything else; nil: they are as they were given.
  public var shuffledLabels: UInt64?

  public init(
    metrics: [MetricKey], grouping: AnalysisGrouping = .layer, layers: LayerSelection? = nil, filter: ResolvedFilter? = nil,
    threshold: EntropyThreshold = .standard, entropyForm: EntropyForm = .standard, null: NullSettings = NullSettings(),
    intervals: Bool = false, top: Int = 20, matchesLengths: Bool = true, sequences: [SequenceDescription] = [],
    routers: [RouterDescription] = [], denoising: DenoisingLayout? = nil, branch: Int = 0,
    recording: RecordingLevel = RecordingLevel(content: .full, extras: .all), noise: Double = 1e-3, shuffledLabels: UInt64? = nil
  ) {
    self.metrics = metrics
    self.grouping = grouping
    self.layers = layers
    self.filter = filter
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
    self.recording = recording
    self.noise = noise
    self.shuffledLabels = shuffledLabels
  }

  /// - Throws: `AnalysisError` when a metric cannot be had along the asked axis, or a number is out of range; `RoutingError` when the
  ///   layout of a denoising run is none.
  public func validate() throws {
    if metrics.isEmpty { throw AnalysisError.invalidPlan(field: "--metric", expected: "one metric or more", found: "none") }
    if null.draws < 19 {
      throw AnalysisError.invalidPlan(field: "--null", expected: "19 draws or more (p = 0.05 needs them)", found: "\(null.draws)")
    }
    if !(noise > 0 && noise.isFinite) {
      throw AnalysisError.invalidPlan(field: "--noise", expected: "a standard deviation above 0", found: plainNumber(noise))
    }
    if let groups, groups < 1 {
      throw AnalysisError.invalidPlan(field: "--groups", expected: "1 expert a router or more", found: "\(groups)")
    }
    if top < 1 { throw AnalysisError.invalidPlan(field: "--top", expected: "1 or more", found: "\(top)") }
    if denoising == nil, let facet = grouping.facet, facet.isDenoising { throw AnalysisError.notDenoising(asked: "--by \(facet.name)") }
    if denoising == nil, branch != 0 { throw AnalysisError.notDenoising(asked: "--branch \(branch)") }
    if denoising != nil, grouping.facet == .position {
      throw AnalysisError.notOfImages(asked: "--by position", instead: "--by step, --by patch-row or --by patch-column")
    }
    if denoising == nil, !hasTokenIDs, let facet = grouping.facet, facet.isOfTokens {
      throw AnalysisError.noTokenIDs(asked: "--by \(facet.name)")
    }
    try denoising?.validate()
    if let denoising, !(0..<denoising.branchCount).contains(branch) {
      throw AnalysisError.invalidPlan(field: "--branch", expected: "0 to \(denoising.branchCount - 1)", found: "\(branch)")
    }
    try validateLayers()
    try validateThreshold()
    for metric in metrics { if let refusal = refusal(of: metric) { throw refusal } }
  }

  /// Every range of layers must meet a router of the run.
  private func validateLayers() throws {
    let known = routers.map(\.id.layer.rawValue)
    guard let layers, !known.isEmpty else { return }
    for range in layers.ranges where !known.contains(where: range.contains) {
      throw AnalysisError.noSuchLayer(found: LayerSelection([range]).description, known: LayerSelection(known).description)
    }
  }

  private func validateThreshold() throws {
    let asked = routers.filter { layers?.contains($0.id.layer) ?? true }
    try threshold.validate(experts: asked.map(\.spec.expertCount).max() ?? 0, field: "--threshold")
  }

  /// Number of the value that a token has of the label asked for, -1 without one; nil where no label of tokens is asked for.
  var tokenLabelNumber: (@Sendable (TokenTable, Int) -> Int32)? {
    guard case .tokenLabel(let key) = grouping.facet else { return nil }
    let numbers = Dictionary(uniqueKeysWithValues: (tokenLabels[key] ?? []).enumerated().map { ($1, Int32($0)) })
    return { table, row in table.facts?.labels[key]?[row].flatMap { numbers[$0] } ?? -1 }
  }

  /// Whether a router is looked at at all.
  func shows(_ router: RouterID) -> Bool { layers?.contains(router.layer) ?? true && filter?.admits(router) ?? true }

  /// Whether counts that a run keeps beside its decisions, or without them, answer a metric.
  func isAnsweredByCounts(_ metric: MetricKey) -> Bool {
    let entry = MetricCatalog.entry(metric)
    if denoising != nil { return entry.measure.folds(for: self) == .denoising }
    return !hasDecisions && grouping.facet == nil && !entry.isSummedByPass && entry.needs.content == .counts
      && entry.measure.folds(for: self) == .load
  }

  /// Whether an answer is taken over raw router logits: then passes must be read with them.
  public var needsLogits: Bool {
    sumsAgain
      || metrics.contains { key in
        let entry = MetricCatalog.entry(key)
        return entry.needs.content == .full || entropyForm.needsLogits && entry.usesEntropyForm
      }
  }

  /// Whether single decisions are kept, not counts only.
  private var hasDecisions: Bool { recording.content > .counts }

  /// Whether sums that an engine takes over whole passes must be taken again over what a filter leaves of them.
  var sumsAgain: Bool { cutsRouters && metrics.contains { MetricCatalog.entry($0).isSummedByPass } }

  /// Whether a filter takes some decisions of a router and leaves others.
  private var cutsRouters: Bool { filter.map { !$0.filter.keepsWholeRouters } ?? false }

  /// Whether a filter takes texts apart, so that what is left of them has no common length to be cut to.
  var cutsSequences: Bool { filter.map { !$0.filter.keepsWholeSequences } ?? false }

  /// Metrics for when none is asked for: of those that belong to the axis, the ones this run has.
  public var defaultMetrics: [MetricKey] {
    let byLayer: [MetricKey] = [.loadCV, .maxOverMean, .idle, .entropy, .uncertain, .repeatFirst]
    let pooled: [MetricKey] = [.encoderEntropy, .encoderRatio, .decoderEntropy, .decoderRatio, .entropyNats, .uncertain]
    let bySteps: [MetricKey] = [.useEntropy, .earlyLate, .stepDrift, .pathOverlap]
    let choices: [[MetricKey]] =
      switch (grouping.byToken, grouping.byExpert, grouping.facet) {
      case (true, _, _): [[.uncertain]]
      case (_, true, nil): [[.load, .loadRatio, .weightedLoad, .importance]]
      case (_, true, .some(let facet)): facet.isDenoising ? [[.choices]] : [[.specialization]]
      case (_, false, .step), (_, false, .patch), (_, false, .patchRow), (_, false, .patchColumn): [bySteps, [.specialization]]
      case (_, false, .vocabulary), (_, false, .tokenClass), (_, false, .tokenLabel): [[.specialization]]
      // What a run of counts alone can answer comes last.
      case (_, false, .label), (_, false, .position), (_, false, nil):
        entropyForm.needsLogits ? [pooled] : [byLayer, bySteps, [.specialization]]
      }
    let had = choices.map { $0.filter { refusal(of: $0) == nil } }
    return had.first { !$0.isEmpty } ?? choices[0]
  }

  /// Why this run or this axis does not have a metric; nil when it has.
  private func refusal(of metric: MetricKey) -> AnalysisError? {
    let entry = MetricCatalog.entry(metric)
    let refused = { (instead: String) in
      AnalysisError.cannotGroup(metric: metric.rawValue, by: grouping.description, instead: instead)
    }
    switch entry.runs {
    case .all: break
    case .texts:
      if denoising != nil {
        return .notOfImages(
          asked: metric.rawValue, instead: "specialization --by patch, or step_drift and path_overlap for neighbouring steps")
      }
    case .denoising: if denoising == nil { return .notDenoising(asked: metric.rawValue) }
    case .encoderDecoder: if !routers.contains(where: { $0.id.stack == .encoder }) { return .noEncoder(asked: metric.rawValue) }
    }
    if !hasDecisions && !isAnsweredByCounts(metric) {
      return .needsDecisions(
        metric: metric.rawValue,
        instead: denoising == nil ? "load, load_cv, max_over_mean, gini or idle" : "specialization, choices or dit-claims")
    }
    if let refusal = refusalOfKind(entry) { return refusal }
    if entry.usesEntropyForm && entropyForm.needsLogits && recording.content < .full { return .needsLogits(metric: metric.rawValue) }
    if let record = recording.completed(for: entry.needs) {
      return .notRecorded(metric: metric.rawValue, recording: recording.description, needed: record.description, missing: entry.missing)
    }
    if entry.isAboutBias, !routers.isEmpty, routers.allSatisfy({ $0.spec.correctionBias == nil }) {
      return .noCorrectionBias(metric: metric.rawValue)
    }
    if entry.isSummedByPass, let denoising, denoising.branchCount > 1 { return .notByBranch(metric: metric.rawValue) }
    if let refusal = refusalUnderFilter(entry) { return refusal }
    if grouping.byToken { return metric == .uncertain ? nil : refused("--metric uncertain --by token, or --by layer") }
    switch entry.grain {
    case .axis: if grouping.facet == nil { return refused("--by domain, --by position or another label") }
    case .layer, .stack, .run: if grouping.byExpert { return refused("--by layer") }
    case .expert: if entry.facets == .denoising && grouping.facet == nil { return refused("--by step, --by patch or --by class") }
    }
    guard let facet = grouping.facet else { return nil }
    if !entry.facets.allows(facet) { return refused("--by layer") }
    if case .label(let key) = facet, !sequences.contains(where: { $0.labels[key] != nil }) {
      let known = Set(sequences.flatMap(\.labels.keys)).union(tokenLabels.keys).sorted().map { Facet.label($0).name }.joined(
        separator: ", ")
      return .badGrouping(
        found: key,
        expected: "expert, token, position" + (known.isEmpty ? " (this run has no labels)" : " or a label of this run: \(known)"))
    }
    return nil
  }

  /// Why a metric means nothing of such rows, or of such weights.
  private func refusalOfKind(_ entry: Metric) -> AnalysisError? {
    let looked = routers.filter { shows($0.id) }
    let folds = entry.measure.folds(for: self)
    if entry.usesEntropyForm || entry.isOfWeights || entry.key == .importance,
      let signed = looked.first(where: { $0.spec.weightKind == .signed && $0.spec.rule != .executable })
    {
      return .meaningless(
        metric: entry.key.rawValue, reason: "the weights of \(signed.id) may be below 0, so that sums and entropies of them mean nothing")
    }
    if entry.isOfWeights, origin.kind != .engine, let bare = looked.first(where: { $0.spec.weightKind == .none }) {
      return .meaningless(metric: entry.key.rawValue, reason: "no weight of \(bare.id) is known: whoever recorded the run kept none")
    }
    if !origin.row.isManyOfOneInput, folds.contains(.links) || folds.contains(.sets) || grouping.facet == .position {
      return .meaningless(
        metric: entry.key.rawValue, reason: "the rows of this run are \(origin.row.words), each one of its own, and none follows another")
    }
    return nil
  }

  /// Why a metric cannot be had of what the filter leaves.
  private func refusalUnderFilter(_ entry: Metric) -> AnalysisError? {
    guard let filter = filter?.filter else { return nil }
    let refused = { (reason: String) in AnalysisError.notUnderFilter(metric: entry.key.rawValue, filter: filter.text, reason: reason) }
    if cutsRouters && !hasDecisions { return refused("this run keeps counts only, and no decisions to choose from") }
    if cutsSequences && isAnsweredByCounts(entry.key) {
      return refused("it is counted over whole images; a filter of it may name layer, router, class and other labels")
    }
    if cutsRouters && entry.isSummedByPass && !(recording.content == .full && recording.logitsEvery == 1) {
      return refused(
        "it is summed over whole passes while the model runs, and of a part it is known from the raw logits of every decision only "
          + "(--record full)")
    }
    return nil
  }
}
