// One metric of one analysis while its document is made: the folds it reads and the plan, and what the rows of all families share
// (units, baselines, cells of an axis).

import Routing

struct MetricReading {
  let metric: Metric
  let analysis: RunAnalysis
  let specialization: [SpecializationResult]
  /// Where `specialization` comes from.
  let study: SpecializationStudy?
  /// The counts of a denoising run at the layers asked for.
  let denoising: DenoisingCounts?

  var plan: AnalysisPlan { analysis.plan }

  func document() -> MetricDocument {
    let words = metric.measure.words(self)
    return MetricDocument(
      metric: metric.key, axis: plan.grouping.facet?.name, unit: metric.unit, baseline: metric.baseline, tokens: analysis.tokens,
      settings: settings(),
      notes: ["\(metric.key.rawValue): \(words)"] + metric.measure.notes(self) + entropyNotes + lookUpNotes + filterNotes + runNotes,
      rows: metric.measure.rows(self), words: words)
  }

  func settings() -> ReportSettings {
    var settings = ReportSettings(by: plan.grouping.description, layers: plan.layers?.description)
    settings.filter = plan.filter?.filter.text
    settings.seed = plan.null.seed
    settings.shuffledLabels = plan.shuffledLabels
    if plan.grouping.byToken || plan.grouping.byExpert && metric.grain == .axis { settings.top = plan.top }
    if plan.denoising != nil { settings.branch = plan.branch }
    if metric.usesEntropyForm { settings.entropyForm = plan.entropyForm.rawValue }
    switch metric.interval {
    case .always(let how): settings.intervals = how
    case .onRequest, .none: if plan.intervals { settings.intervals = metric.interval.description }
    }
    metric.measure.complete(&settings, self)
    return settings
  }

  /// What a filter left, and what that means for the values beside the numbers.
  private var filterNotes: [String] {
    guard let filter = plan.filter?.filter else { return [] }
    var notes = ["filter: \(filter.text)"]
    if let tally = analysis.tally, analysis.needsPasses {
      notes[0] +=
        " (\(tally.passing) of \(tally.decisions) decisions, \(tally.shown) of \(tally.tokens) "
        + "\(plan.denoising == nil ? "tokens" : "rows") pass; baselines and nulls are of these)"
    }
    if filter.selectsByChoice { notes.append("the filter chooses decisions by the experts they took, which chance values know nothing of") }
    if plan.sumsAgain && metric.isSummedByPass { notes.append("summed again from the recorded logits of what passes") }
    return notes
  }

  /// What part of a denoising run the numbers are of.
  private var runNotes: [String] { routeNotes + stateNotes + denoisingNotes }

  /// Rows whose route nobody knows: they are in no number.
  private var routeNotes: [String] {
    guard let routed = plan.routedRows, analysis.needsPasses else { return [] }
    let rows = plan.rowCount
    let lacking = routed.filter { plan.shows($0.key) && $0.value < rows }
    guard let most = lacking.values.min() else { return [] }
    return [
      "the route of up to \(rows - most) of \(rows) rows is not known at \(lacking.count) of \(routed.count) routers; they are in no number"
    ]
  }

  /// Rules that replaced others while the run went on.
  private var stateNotes: [String] {
    let changing = plan.routers.filter { plan.shows($0.id) && !($0.more?.states ?? []).isEmpty }
    guard let most = changing.map({ ($0.more?.states?.count ?? 0) + 1 }).max() else { return [] }
    return ["\(changing.count) routers changed their rule while the run went on: each number pools up to \(most) rules"]
  }

  private var denoisingNotes: [String] {
    guard let layout = plan.denoising else { return [] }
    let branch = "\(plan.branch == 0 ? "conditional" : "unconditional") branch"
    guard plan.isAnsweredByCounts(metric.key), let denoising else { return layout.branchCount > 1 ? ["of the \(branch) (--branch)"] : [] }
    let kept = "\(denoising.samples.count) samples, \(branch)"
    return denoising.unfinishedCount > 0 ? [kept, "\(denoising.unfinishedCount) samples that are not whole are left out"] : [kept]
  }

  // MARK: - Rows

  /// A row with its unit and its baseline at this sample size.
  ///
  /// - Parameters:
  ///   - size: experts, choices a token and tokens behind the row; nil where there is no router's rule to compare with.
  func row(
    _ router: RouterID, expert: Int? = nil, cell: String? = nil, value: Double?, n: Int, of counted: Counted, size: SampleSize?
  ) -> MetricRow {
    MetricRow(
      router: router, expert: expert, cell: cell, value: value, unit: unit(router), n: n, of: counted,
      baseline: size.flatMap(metric.baselineValue))
  }

  /// Nil where the router's shape is none.
  ///
  /// - Parameter slots: of a decision; where rows take different numbers of experts, chance is that of their mean.
  func size(_ router: RouterID, experts: Int, topK slots: Int, tokens: Int) -> SampleSize? {
    let varies = plan.routers.contains { $0.id == router && $0.spec.fillsSlots == false }
    let topK = varies ? analysis.load?.folds[router]?.shape.taken ?? slots : slots
    guard topK > 0, topK <= experts else { return nil }
    return SampleSize(chance: Chance(experts: experts, topK: topK), tokens: tokens, seed: plan.null.seed, threshold: plan.threshold)
  }

  func size(_ shape: LoadShape) -> SampleSize? {
    shape.chance.map { SampleSize(chance: $0, tokens: shape.tokens, seed: plan.null.seed, threshold: plan.threshold) }
  }

  /// The unit of the selection margin is the family's.
  private func unit(_ router: RouterID) -> String {
    guard metric.key == .selectionMargin, let spec = plan.routers.first(where: { $0.id == router })?.spec else { return metric.unit }
    return spec.selectionScoreUnit
  }

  /// Cells of the axis by name, and which a stratum belongs to.
  func cells(_ facet: Facet, strata: some Sequence<Stratum>) -> (names: [String], of: (Stratum) -> Int?) {
    switch facet {
    case .label(let key):
      // A value whose texts a filter has taken away has nothing to say.
      let left = analysis.tally.flatMap { $0.passing > 0 ? $0.sequences : nil }
      let names = Set(plan.sequences.indices.filter { left?.contains($0) ?? true }.compactMap { plan.sequences[$0].labels[key] }).sorted()
      let index = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
      let sequences = plan.sequences
      return (names, { sequences.indices.contains($0.sequence) ? sequences[$0.sequence].labels[key].flatMap { index[$0] } : nil })
    case .position:
      let bins = Set(strata.map(\.bin)).sorted()
      let index = Dictionary(uniqueKeysWithValues: bins.enumerated().map { ($1, $0) })
      return (bins.map(\.name), { index[$0.bin] })
    case .vocabulary, .tokenClass, .tokenLabel, .step, .patchRow, .patchColumn, .patch: return ([], { _ in nil })
    }
  }
}

extension PerRouter {
  /// Folds of the routers at the plan's layers, in order of stack, then layer.
  func sorted(in layers: LayerSelection?) -> [(key: RouterID, value: Fold)] {
    folds.filter { layers?.contains($0.key.layer) ?? true }.sorted { $0.key < $1.key }
  }
}
