// A plan at work: the folds it needs and no others, over one pass through the run, or two where a threshold must be known before
// single tokens or sequences can be judged by it.

import Routing

/// Folds passes into the answer to a plan.
///
///     var analysis = try RunAnalysis(plan)
///     repeat {
///       try reader.forEachPass { analysis.add($0) }
///     } while analysis.beginNextRound()
///     let report = try await analysis.report(workers: 4)
///
/// - A second round is only asked for when the threshold is a quantile of the run (`q0.95`) and uncertain decisions are wanted by
///   token, along an axis, or with an interval. The plain share of uncertain decisions needs one round: the threshold is put on an
///   edge of the histogram, where counts are exact.
/// - Memory: the sum of the folds that the plan needs; each states its own. None keeps passes.
public struct RunAnalysis: PassFold {
  public let plan: AnalysisPlan
  public internal(set) var tokens = 0
  public private(set) var round = 1

  var load: PerRouter<RouterLoad>?
  var uncertainty: PerRouter<RouterUncertainty>?
  var links: PerRouter<SequenceLinks>?
  var counts: PerRouter<StratumCounts>?
  var means: PerRouter<StratumMeans>?
  var routes: PerRouter<RouteStore>?
  var norms: PerRouter<ExpertNorms>?
  var products: PerRouter<LogitProducts>?
  /// Of the metrics that are numbers of single decisions.
  var statistics: [MetricKey: PerRouter<RouterStatistic>] = [:]
  private(set) var uncertainTokens: UncertainTokens?
  private(set) var denoising: DenoisingCounts?
  /// What a filter left; nil without one.
  var tally: FilterTally?
  /// The entropies of the whole run, beside those of what a filter left: a threshold is a quantile of the run.
  var survey: EntropySurvey?
  private let folds: Folds
  private let needsSecondRound: Bool
  private let specs: [RouterID: RouterSpec]

  /// - Throws: `AnalysisError` when the plan contradicts itself.
  public init(_ plan: AnalysisPlan) throws {
    try plan.validate()
    self.plan = plan
    specs = Dictionary(plan.routers.map { ($0.id, $0.spec) }, uniquingKeysWith: { first, _ in first })
    var folds = plan.metrics.reduce(into: Folds()) { $0.formUnion(MetricCatalog.entry($1).measure.folds(for: plan)) }
    // Chance needs to know how many experts rows take.
    if plan.routers.contains(where: { $0.spec.fillsSlots == false }) { folds.insert(.load) }
    self.folds = folds
    if let layout = plan.denoising, folds.contains(.denoising) {
      denoising = try DenoisingCounts(layout: layout, routers: plan.routers, branch: plan.branch)
    }
    let empty = EmptyFolds(plan, folds)
    if folds.contains(.load) { load = PerRouter(empty.load) }
    if folds.contains(.uncertainty) { uncertainty = PerRouter(empty.uncertainty) }
    if folds.contains(.links) { links = PerRouter(empty.links) }
    if folds.contains(.counts) { counts = PerRouter(StratumCounts()) }
    if folds.contains(.routes) { routes = PerRouter(empty.routes) }
    if folds.contains(.norms) { norms = PerRouter(empty.norms) }
    if folds.contains(.products) { products = PerRouter(LogitProducts()) }
    if plan.filter != nil {
      tally = FilterTally()
      if folds.contains(.threshold) { survey = EntropySurvey(form: plan.entropyForm) }
    }
    let known = ResolvedThreshold(plan.threshold)
    needsSecondRound = known == nil && folds.contains(.threshold) && !folds.isDisjoint(with: [.means, .tokens])
    statistics = emptyStatistics
    if !needsSecondRound { judge(by: known) }
  }

  /// Folds as they are before anything was added.
  struct EmptyFolds {
    let load = RouterLoad()
    let uncertainty: RouterUncertainty
    let links: SequenceLinks
    let routes: RouteStore
    let norms: ExpertNorms
    /// Before a threshold that is a quantile is known.
    let means: StratumMeans

    fileprivate init(_ plan: AnalysisPlan, _ folds: Folds) {
      uncertainty = RouterUncertainty(plan)
      links = SequenceLinks(keepsSets: folds.contains(.sets))
      routes = RouteStore(keepsTokens: plan.grouping.facet?.isOfTokens == true, labelled: plan.tokenLabelNumber)
      norms = ExpertNorms(weightsInput: Set(plan.routers.filter { $0.spec.appliesTo == .input }.map(\.id)))
      means = StratumMeans(threshold: ResolvedThreshold(plan.threshold), form: plan.entropyForm)
    }
  }

  var emptyFolds: EmptyFolds { EmptyFolds(plan, folds) }

  /// Whether rows of single tokens are kept.
  var keepsTokenRows: Bool { folds.contains(.tokens) }
  /// Whether the passes are needed once more.
  var needsTwoRounds: Bool { needsSecondRound }

  var emptyStatistics: [MetricKey: PerRouter<RouterStatistic>] {
    let context = DecisionStatistic.Context(specs: specs, noise: plan.noise)
    return plan.metrics.reduce(into: [:]) { folds, key in
      guard let statistic = MetricCatalog.entry(key).measure.statistic else { return }
      folds[key] = PerRouter(RouterStatistic(statistic, context))
    }
  }

  /// Begins the folds that judge single decisions by the threshold.
  private mutating func judge(by threshold: ResolvedThreshold?) {
    if folds.contains(.means) { means = PerRouter(StratumMeans(threshold: threshold, form: plan.entropyForm)) }
    if folds.contains(.tokens), let threshold {
      uncertainTokens = UncertainTokens(threshold: threshold, form: plan.entropyForm, capacity: plan.top)
    }
  }

  public mutating func add(_ pass: RoutingPass) {
    if round == 1, denoising != nil { for part in wholeSamples(of: pass) { denoising?.add(part) } }
    guard let layout = plan.denoising else { return addRows(pass) }
    for part in pass.stretches(of: plan.branch, in: layout) { addRows(part) }
  }

  /// The rows of the samples that a filter of labels leaves, with all their decisions: only whole samples are counted.
  private func wholeSamples(of pass: RoutingPass) -> [RoutingPass] {
    guard let filter = plan.filter else { return [pass] }
    let admitted = (0..<pass.tokens.count).map { filter.admits(token: $0, of: pass.tokens) }
    return pass.showing(FilterSelection(tokens: admitted, decisions: []))
  }

  private mutating func addRows(_ pass: RoutingPass) {
    if let filter = plan.filter { return addRows(pass, passing: filter) }
    if round == 1 {
      tokens += pass.tokens.count
      // A quantile of the run is one of all its layers, also when only some are shown.
      uncertainty?.add(pass)
    }
    let pass = selected(pass)
    if round == 1 {
      load?.add(pass)
      links?.add(pass)
      counts?.add(pass)
      routes?.add(pass)
      norms?.add(pass)
      products?.add(pass)
      for key in statistics.keys { statistics[key]?.add(pass) }
    }
    means?.add(pass)
    uncertainTokens?.add(pass)
  }

  /// Folds see what passes only, as if the rest had never been; the threshold is still one of the run, and a list shows whole tokens.
  private mutating func addRows(_ pass: RoutingPass, passing filter: ResolvedFilter) {
    if round == 1 { survey?.add(pass) }
    let pass = selected(pass)
    let selection = filter.selection(of: pass)
    let left = pass.selecting(selection, specs: plan.sumsAgain ? specs : [:])
    if round == 1 {
      tally?.add(selection, of: pass)
      tokens = tally?.shown ?? 0
      uncertainty?.add(left)
      load?.add(left)
      links?.add(left)
      counts?.add(left)
      routes?.add(left)
      norms?.add(left)
      products?.add(left)
      for key in statistics.keys { statistics[key]?.add(left) }
    }
    means?.add(left)
    if uncertainTokens != nil { for part in pass.showing(selection) { uncertainTokens?.add(part) } }
  }

  /// Takes the counts of a denoising run as they were kept, in place of its passes; a filter of labels needs the passes.
  ///
  /// - Precondition: counts of the plan's branch.
  public mutating func adopt(_ counts: DenoisingCounts) {
    guard denoising != nil, plan.filter?.filter.keepsWholeRouters ?? true else { return }
    precondition(counts.branch == plan.branch, "counts of another branch")
    denoising = counts
    if !needsPasses { tokens = counts.samples.count * counts.layout.stepCount * counts.layout.patchCount }
  }

  /// Takes the loads of a run of which nothing else is known, in place of its passes.
  public mutating func adopt(_ loads: [RouterID: RouterLoad]) {
    guard plan.denoising == nil, !needsPasses, load != nil else { return }
    for (router, own) in loads where plan.shows(router) { load?.adopt(own, of: router) }
    tokens = loads.values.map(\.tokens).max() ?? 0
  }

  /// Whether some metric of the plan is answered by single decisions, whatever counts were adopted.
  public var needsPasses: Bool {
    plan.metrics.contains { !plan.isAnsweredByCounts($0) } || !(plan.filter?.filter.keepsWholeRouters ?? true)
  }

  private func selected(_ pass: RoutingPass) -> RoutingPass {
    guard let layers = plan.layers else { return pass }
    return RoutingPass(tokens: pass.tokens, batches: pass.batches.filter { layers.contains($0.router.layer) })
  }

  /// - Precondition: both parts have the same plan and are in the same round.
  public mutating func merge(_ other: RunAnalysis) {
    precondition(round == other.round, "parts of different rounds")
    if round == 1 { tokens += other.tokens }
    if let part = other.load { load?.merge(part) }
    if let part = other.uncertainty { uncertainty?.merge(part) }
    if let part = other.links { links?.merge(part) }
    if let part = other.counts { counts?.merge(part) }
    if let part = other.routes { routes?.merge(part) }
    if let part = other.norms { norms?.merge(part) }
    if let part = other.products { products?.merge(part) }
    for (key, part) in other.statistics { statistics[key]?.merge(part) }
    if let part = other.means { means?.merge(part) }
    if let part = other.uncertainTokens { uncertainTokens?.merge(part) }
    if round == 1, let part = other.tally { tally?.merge(part) }
    if round == 1, let part = other.survey { survey?.merge(part) }
    if round == 1, let part = other.denoising { denoising?.merge(part) }
  }

  /// Call after all passes were added (and all parts merged). True: the passes are needed once more.
  public mutating func beginNextRound() -> Bool {
    guard round == 1, needsSecondRound else { return false }
    round = 2
    judge(by: resolvedThreshold)
    return true
  }

  /// An empty fold with this one's plan and round (and threshold), for another core to fill and this one to merge.
  public func emptyPart() -> RunAnalysis {
    var part = self
    part.tokens = 0
    let empty = emptyFolds
    part.load = load.map { _ in PerRouter(empty.load) }
    part.uncertainty = uncertainty.map { _ in PerRouter(empty.uncertainty) }
    part.links = links.map { _ in PerRouter(empty.links) }
    part.counts = counts.map { _ in PerRouter(StratumCounts()) }
    part.routes = routes.map { _ in PerRouter(empty.routes) }
    part.norms = norms.map { _ in PerRouter(empty.norms) }
    part.products = products.map { _ in PerRouter(LogitProducts()) }
    part.statistics = emptyStatistics
    part.denoising = denoising?.emptied()
    part.tally = tally.map { _ in FilterTally() }
    part.survey = survey.map { _ in EntropySurvey(form: plan.entropyForm) }
    let threshold = round == 1 ? ResolvedThreshold(plan.threshold) : resolvedThreshold
    part.means = means.map { _ in PerRouter(StratumMeans(threshold: threshold, form: plan.entropyForm)) }
    part.uncertainTokens = threshold.flatMap { known in
      uncertainTokens.map { _ in UncertainTokens(threshold: known, form: plan.entropyForm, capacity: plan.top) }
    }
    return part
  }

  /// The threshold of this run; a quantile is that of the passes added so far.
  public var resolvedThreshold: ResolvedThreshold { ResolvedThreshold(plan.threshold, entropies: thresholdEntropies) }

  /// What a quantile threshold is one of: the entropies of the run, a filter or not.
  var thresholdEntropies: Histogram { survey?.entropies ?? uncertainty?.pooledEntropy ?? Histogram() }

  /// The report, or nil when an axis has too little to compare; `report()` says why.
  public func result() -> AnalysisReport? { try? report() }

  /// - Throws: `AnalysisError.invalidPlan` when an axis has fewer than two cells in this run.
  ///   `FilterError.nothingPasses` when the filter leaves no decision.
  public func report() throws -> AnalysisReport {
    try requireSomethingPasses()
    let study = try specializationStudy()
    return try report(study?.result(), study)
  }

  /// The same; the draws of the null are shared by `workers` tasks, without changing a digit.
  public func report(workers: Int) async throws -> AnalysisReport {
    try requireSomethingPasses()
    let study = try specializationStudy()
    let results = await study?.result(workers: workers)
    return try report(results, study)
  }

  private func report(_ results: [SpecializationResult]?, _ study: SpecializationStudy?) throws -> AnalysisReport {
    let shown = try denoising?.selecting(plan)
    return AnalysisReport(
      documents: plan.metrics.map { key in
        MetricReading(
          metric: MetricCatalog.entry(key), analysis: self, specialization: results ?? [], study: study,
          denoising: shown
        ).document()
      })
  }

  private func requireSomethingPasses() throws {
    guard let filter = plan.filter, let tally, needsPasses, tally.passing == 0 else { return }
    throw FilterError.nothingPasses(filter: filter.filter.text, of: "the \(tally.decisions) decisions looked at")
  }

  private func specializationStudy() throws -> SpecializationStudy? {
    guard plan.metrics.contains(.specialization) else { return nil }
    if let facet = plan.grouping.facet, plan.isAnsweredByCounts(.specialization), let denoising {
      return try SpecializationStudy(facet, of: denoising.selecting(plan), sequences: plan.sequences, settings: plan.null)
    }
    switch plan.grouping.facet {
    case .label(let key):
      guard let counts else { return nil }
      return try SpecializationStudy(
        label: key, counts: counts, sequences: plan.sequences, settings: plan.null,
        matchesLengths: plan.matchesLengths && !plan.cutsSequences)
    case .position:
      guard let routes else { return nil }
      return try SpecializationStudy(positions: routes, settings: plan.null)
    case .vocabulary, .tokenClass, .tokenLabel:
      guard let routes, let facet = plan.grouping.facet else { return nil }
      return try SpecializationStudy(tokens: facet, routes, words: plan.words, settings: plan.null)
    case .step, .patchRow, .patchColumn, .patch, nil: return nil
    }
  }
}

extension RouterUncertainty {
  /// As much as the metrics of a plan ask for.
  fileprivate init(_ plan: AnalysisPlan) {
    let margins = !Set(plan.metrics).isDisjoint(with: [.top1Margin, .selectionMargin, .topKMass])
    self.init(threshold: plan.threshold, form: plan.entropyForm, margins: margins)
  }
}
