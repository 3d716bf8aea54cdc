// From folded sums to rows: which fold answers which metric, with its baseline and, where asked for, its interval.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct ReportBuilder {
  let analysis: RunAnalysis
  let specialization: [SpecializationResult]
  let unlabelled: Int
  /// The counts of a denoising run at the layers asked for.
  let denoising: DenoisingCounts?

  var plan: AnalysisPlan { analysis.plan }

  func report() -> AnalysisReport { AnalysisReport(documents: plan.metrics.map(document)) }

  private func document(_ metric: MetricKey) -> MetricDocument {
    let entry = MetricCatalog.entry(metric)
    return MetricDocument(
      metric: metric, axis: plan.grouping.facet?.name, unit: entry.unit, baseline: entry.baseline, tokens: analysis.tokens,
      settings: settings(metric), notes: notes(entry), rows: rows(metric))
  }

  private func rows(_ metric: MetricKey) -> MetricDocument.Rows {
    if metric == .specialization {
      guard plan.grouping.byExpert else { return .specialization(specialization) }
      return .enrichment(
        specialization.flatMap { result in
          result.enrichment.prefix(plan.top).map {
            EnrichmentRow(router: result.router, cell: result.cells[$0.cell].name, enrichment: $0)
          }
        })
    }
    if metric.isOfDenoising { return denoising.map { denoisingRows(metric, $0) } ?? .metric([]) }
    if plan.grouping.byToken { return .tokens(analysis.uncertainTokens?.result() ?? []) }
    if let facet = plan.grouping.facet { return .metric(cellRows(metric, facet)) }
    return .metric(layerRows(metric))
  }

  // MARK: - By layer and expert

  private func layerRows(_ metric: MetricKey) -> [MetricRow] {
    if metric.isPerExpert { return expertRows(metric) }
    if metric.isDecisionMean { return decisionRows(metric) }
    if metric.isLink { return linkRows(metric) }
    guard let load = analysis.load else { return [] }
    return load.folds.sorted { $0.key < $1.key }.map { router, fold in
      let shape = fold.shape
      let value: Double?
      let n: Int
      switch metric {
      case .dropped: (value, n) = (fold.droppedShare, fold.chosen.reduce(0, +))
      case .tokenInformation: (value, n) = (fold.tokenInformation, fold.tokens)
      case .balanceLoss: (value, n) = (fold.balanceLoss, fold.tokens)
      case .balanceLossHF: (value, n) = (fold.balanceLossHF, fold.tokens)
      case .zLoss: (value, n) = (fold.zLoss, fold.tokens)
      default: (value, n) = (Self.scalar(metric, shape), shape.assignments)
      }
      return MetricRow(
        router: router, value: value, unit: unit(metric, router), n: n, baseline: baseline(metric, shape.chance, tokens: fold.tokens),
        interval: value.flatMap { loadInterval(metric, router: router, estimate: $0) })
    }
  }

  static func scalar(_ metric: MetricKey, _ shape: LoadShape) -> Double? {
    switch metric {
    case .loadCV: shape.cv
    case .maxViolation: shape.maxViolation
    case .maxOverMean: shape.maxOverMean
    case .gini: shape.gini
    case .coverage: shape.coverage(busiest: (shape.experts + 3) / 4)
    case .idle: shape.tokens > 0 ? Double(shape.idle) : nil
    case .loadEntropy: shape.entropy
    case .effectiveExperts: shape.effectiveExperts
    default: nil
    }
  }

  private func expertRows(_ metric: MetricKey) -> [MetricRow] {
    guard let load = analysis.load else { return [] }
    return load.folds.sorted { $0.key < $1.key }.flatMap { router, fold -> [MetricRow] in
      let shape = fold.shape
      let values: [Double]?
      switch metric {
      case .load: values = shape.load
      case .activationRate: values = shape.activationRate
      case .loadRatio: values = shape.loadRatio
      case .weightedLoad: values = fold.weightedLoad
      case .importance: values = fold.importance
      default: values = nil
      }
      return perExpert(metric, values: values, shape: shape, router: router, cell: nil)
    }
  }

  private func perExpert(_ metric: MetricKey, values: [Double]?, shape: LoadShape, router: RouterID, cell: String?) -> [MetricRow] {
    shape.counts.indices.map {
      MetricRow(
        router: router, expert: $0, cell: cell, value: values?[$0], unit: unit(metric, router), n: shape.counts[$0],
        baseline: baseline(metric, shape.chance, tokens: shape.tokens))
    }
  }

  private func decisionRows(_ metric: MetricKey) -> [MetricRow] {
    guard let uncertainty = analysis.uncertainty else { return [] }
    let threshold = analysis.resolvedThreshold
    let shown = uncertainty.folds.filter { plan.layers?.contains($0.key.layer) ?? true }
    return shown.sorted { $0.key < $1.key }.map { router, fold in
      let chance = fold.topK > 0 && fold.topK <= fold.experts ? Chance(experts: fold.experts, topK: fold.topK) : nil
      var row = MetricRow(
        router: router, value: nil, unit: unit(metric, router), n: 0, baseline: baseline(metric, chance, tokens: fold.decisions))
      if metric == .uncertain {
        row.value = fold.uncertainShare(threshold)
        row.n = fold.entropy.moments.count
      } else if metric == .entropyNats {
        row.value = fold.entropyNats.mean
        row.sd = fold.entropyNats.standardDeviation
        row.n = fold.entropyNats.count
        setQuantiles(&row, fold.entropy.histogram, scale: log(Double(max(1, fold.experts))))
      } else {
        let distribution =
          switch metric {
          case .top1Margin: fold.top1Margin
          case .selectionMargin: fold.selectionMargin
          case .topKMass: fold.topKMass
          default: fold.entropy
          }
        row.value = distribution.moments.mean
        row.sd = distribution.moments.standardDeviation
        row.n = distribution.moments.count
        setQuantiles(&row, distribution.histogram, scale: 1)
      }
      if let rows = analysis.means?[router]?.rows {
        row.interval = Jackknife.interval(sums: Self.bySequence(rows.map { ($0.key.sequence, Self.sum(metric, $0.value)) }))
      }
      return row
    }
  }

  private func setQuantiles(_ row: inout MetricRow, _ histogram: Histogram, scale: Double) {
    row.quantile05 = histogram.quantile(0.05).map { $0 * scale }
    row.median = histogram.quantile(0.5).map { $0 * scale }
    row.quantile95 = histogram.quantile(0.95).map { $0 * scale }
  }

  private func linkRows(_ metric: MetricKey) -> [MetricRow] {
    guard let links = analysis.links else { return [] }
    return links.folds.sorted { $0.key < $1.key }.map { router, fold in
      linkRow(metric, router: router, fold: fold, sequences: fold.bySequence.sorted { $0.key < $1.key }.map(\.value), cell: nil)
    }
  }

  private func linkRow(_ metric: MetricKey, router: RouterID, fold: SequenceLinks, sequences: [LinkCounts], cell: String?) -> MetricRow {
    let total = sequences.reduce(into: LinkCounts()) { $0 += $1 }
    let chance = fold.topK > 0 && fold.topK <= fold.experts ? Chance(experts: fold.experts, topK: fold.topK) : nil
    var row = MetricRow(
      router: router, cell: cell, value: Self.rate(metric, total), unit: unit(metric, router), n: total.pairs,
      baseline: baseline(metric, chance, tokens: fold.tokens))
    if cell == nil && metric == .repeatFirst { row.ownLoadBaseline = fold.repeatFirstUnderOwnLoad }
    if cell == nil && metric == .overlap { row.ownLoadBaseline = fold.overlapUnderOwnLoad }
    if plan.intervals, let value = row.value {
      row.interval = Jackknife.interval(estimate: value, leftOut: sequences.map { Self.rate(metric, total - $0) })
    }
    return row
  }

  private static func rate(_ metric: MetricKey, _ counts: LinkCounts) -> Double? {
    switch metric {
    case .repeatFirst: counts.repeatFirst
    case .repeatAny: counts.repeatAny
    case .overlap: counts.overlap
    default: counts.meanJaccard
    }
  }

  // MARK: - Along an axis

  /// Cells of the axis by name, and which a stratum belongs to.
  private func cells(_ facet: Facet, strata: some Sequence<Stratum>) -> (names: [String], of: (Stratum) -> Int?) {
    switch facet {
    case .label(let key):
      let names = Set(plan.sequences.compactMap { $0.labels[key] }).sorted()
      let index = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
      let sequences = plan.sequences
      return (names, { sequences.indices.contains($0.sequence) ? sequences[$0.sequence].labels[key].flatMap { index[$0] } : nil })
    case .position:
      let bins = Set(strata.map(\.bin)).sorted()
      let index = Dictionary(uniqueKeysWithValues: bins.enumerated().map { ($1, $0) })
      return (bins.map(\.name), { index[$0.bin] })
    case .step, .patchRow, .patchColumn, .patch: return ([], { _ in nil })
    }
  }

  private func cellRows(_ metric: MetricKey, _ facet: Facet) -> [MetricRow] {
    if metric.isLink { return linkCellRows(metric, facet) }
    if metric.isDecisionMean { return decisionCellRows(metric, facet) }
    guard let counts = analysis.counts else { return [] }
    return counts.folds.sorted { $0.key < $1.key }.flatMap { router, fold -> [MetricRow] in
      let axis = cells(facet, strata: fold.rows.keys)
      var grouped = axis.names.map { _ in [(sequence: Int, row: StratumCounts.Row)]() }
      for (stratum, row) in fold.rows { if let cell = axis.of(stratum) { grouped[cell].append((stratum.sequence, row)) } }
      return axis.names.indices.flatMap { cell -> [MetricRow] in
        let shape = Self.shape(grouped[cell].map(\.row), experts: fold.experts, topK: fold.topK)
        if metric.isPerExpert {
          let values = metric == .load ? shape.load : metric == .activationRate ? shape.activationRate : shape.loadRatio
          return perExpert(metric, values: values, shape: shape, router: router, cell: axis.names[cell])
        }
        let value = Self.scalar(metric, shape)
        return [
          MetricRow(
            router: router, cell: axis.names[cell], value: value, unit: unit(metric, router), n: shape.assignments,
            baseline: baseline(metric, shape.chance, tokens: shape.tokens),
            interval: value.flatMap { Self.interval(metric, rows: grouped[cell], whole: shape, estimate: $0, wanted: plan.intervals) })
        ]
      }
    }
  }

  private func decisionCellRows(_ metric: MetricKey, _ facet: Facet) -> [MetricRow] {
    guard let means = analysis.means else { return [] }
    return means.folds.sorted { $0.key < $1.key }.flatMap { router, fold -> [MetricRow] in
      let axis = cells(facet, strata: fold.rows.keys)
      var grouped = axis.names.map { _ in [(Int, MeanSum)]() }
      for (stratum, row) in fold.rows { if let cell = axis.of(stratum) { grouped[cell].append((stratum.sequence, Self.sum(metric, row))) } }
      return axis.names.indices.map { cell in
        let sums = Self.bySequence(grouped[cell])
        let total = sums.reduce(into: MeanSum()) { $0 += $1 }
        return MetricRow(
          router: router, cell: axis.names[cell], value: total.mean, unit: unit(metric, router), n: total.count,
          interval: plan.intervals ? Jackknife.interval(sums: sums) : nil)
      }
    }
  }

  private func linkCellRows(_ metric: MetricKey, _ facet: Facet) -> [MetricRow] {
    guard let links = analysis.links else { return [] }
    return links.folds.sorted { $0.key < $1.key }.flatMap { router, fold -> [MetricRow] in
      let axis = cells(facet, strata: [])
      var grouped = axis.names.map { _ in [LinkCounts]() }
      for (sequence, counts) in fold.bySequence.sorted(by: { $0.key < $1.key }) {
        if let cell = axis.of(Stratum(sequence: sequence, bin: PositionBin(rawValue: 0))) { grouped[cell].append(counts) }
      }
      return axis.names.indices.map { linkRow(metric, router: router, fold: fold, sequences: grouped[$0], cell: axis.names[$0]) }
    }
  }

  // MARK: - Sums and intervals

  private static func sum(_ metric: MetricKey, _ row: StratumMeans.Row) -> MeanSum {
    switch metric {
    case .entropyNats: row.entropyNats
    case .top1Margin: row.top1Margin
    case .selectionMargin: row.selectionMargin
    case .topKMass: row.topKMass
    case .uncertain: row.uncertain
    default: row.entropy
    }
  }

  /// One sum a sequence, in order of sequences; sequences without a value are left out.
  private static func bySequence(_ sums: [(Int, MeanSum)]) -> [MeanSum] {
    Dictionary(sums.filter { $0.1.count > 0 }) { a, b in
      var total = a
      total += b
      return total
    }.sorted { $0.key < $1.key }.map(\.value)
  }

  private static func shape(_ rows: [StratumCounts.Row], experts: Int, topK: Int) -> LoadShape {
    var counts = Array(repeating: 0, count: experts)
    for row in rows { row.choices.forEach { counts[$0] += Int($1) } }
    return LoadShape(counts: counts, tokens: rows.reduce(0) { $0 + $1.tokens }, topK: topK)
  }

  private func loadInterval(_ metric: MetricKey, router: RouterID, estimate: Double) -> Interval? {
    guard plan.intervals, let fold = analysis.counts?[router] else { return nil }
    let rows = fold.rows.map { (sequence: $0.key.sequence, row: $0.value) }
    let whole = Self.shape(rows.map(\.row), experts: fold.experts, topK: fold.topK)
    return Self.interval(metric, rows: rows, whole: whole, estimate: estimate, wanted: true)
  }

  private static func interval(
    _ metric: MetricKey, rows: [(sequence: Int, row: StratumCounts.Row)], whole: LoadShape, estimate: Double, wanted: Bool
  ) -> Interval? {
    guard wanted, metric.isLoadShape, MetricCatalog.entry(metric).hasInterval else { return nil }
    let sequences = Dictionary(grouping: rows, by: \.sequence).sorted { $0.key < $1.key }.map(\.value)
    let leftOut = sequences.map { own -> Double? in
      var counts = whole.counts
      for (_, row) in own { row.choices.forEach { counts[$0] -= Int($1) } }
      let tokens = whole.tokens - own.reduce(0) { $0 + $1.row.tokens }
      return scalar(metric, LoadShape(counts: counts, tokens: tokens, topK: whole.topK))
    }
    return Jackknife.interval(estimate: estimate, leftOut: leftOut)
  }

  // MARK: - Words

  private func baseline(_ metric: MetricKey, _ chance: Chance?, tokens: Int) -> Double? {
    chance.flatMap { MetricCatalog.entry(metric).baselineValue($0, tokens) }
  }

  private func unit(_ metric: MetricKey, _ router: RouterID) -> String {
    if metric == .selectionMargin, let spec = plan.routers.first(where: { $0.id == router })?.spec { return spec.selectionScoreUnit }
    return MetricCatalog.entry(metric).unit
  }

  private func settings(_ metric: MetricKey) -> ReportSettings {
    var settings = ReportSettings(by: plan.grouping.description, layers: plan.layers?.description)
    if metric == .uncertain {
      let resolved = analysis.resolvedThreshold
      settings.threshold = plan.threshold.description
      let experts = Set(analysis.uncertainty?.folds.values.map(\.experts) ?? [])
      let only = experts.count == 1 ? experts.first : nil
      switch resolved.level {
      case .nats(let nats):
        settings.thresholdNats = nats
        settings.thresholdShare = only.flatMap { resolved.share(experts: $0) }
      case .share(let share):
        settings.thresholdShare = share
        settings.thresholdNats = only.map { resolved.nats(experts: $0) }
      }
    }
    if [.uncertain, .entropy, .entropyNats].contains(metric) { settings.entropyForm = plan.entropyForm.rawValue }
    if [.specialization, .specialists, .ditClaims].contains(metric) {
      settings.nullDraws = plan.null.draws
      settings.seed = plan.null.seed
    }
    if plan.isAnsweredByCounts(metric) { settings.branch = plan.branch }
    if plan.intervals || [.specialization, .earlyLate, .ditClaims].contains(metric) {
      settings.intervals = isGrouped(metric) ? MetricCatalog.groupJackknife : MetricCatalog.entry(metric).interval
    }
    return settings
  }

  /// Whether samples are taken by groups.
  private func isGrouped(_ metric: MetricKey) -> Bool { metric == .specialization && plan.grouping.facet?.isDenoising == true }

  private func notes(_ entry: MetricEntry) -> [String] {
    var notes = ["\(entry.key.rawValue): \(entry.reading)"]
    let isEntropy = [.uncertain, .entropy, .entropyNats].contains(entry.key)
    if entry.key == .uncertain {
      let settings = settings(.uncertain)
      let share = settings.thresholdShare.map { "normalised entropy >= \(fixedPoint($0, digits: 3))" }
      let nats = settings.thresholdNats.map { "\(fixedPoint($0, digits: 3)) nat" }
      let asked = plan.threshold.description + (plan.threshold.isQuantile ? " of the run" : "")
      notes = ["uncertain: \([share, nats].compactMap { $0 }.joined(separator: " = ")) (\(asked))"]
    }
    if isEntropy && plan.routers.contains(where: \.spec.usesSigmoidScores) {
      notes.append("entropy is taken over sigmoid scores divided by their sum")
    }
    if isEntropy && plan.entropyForm == .gwMoE {
      notes.append("entropy with GW-MoE's constant 1e-5 inside the logarithm, over the decisions whose logits were recorded")
    }
    if entry.key == .specialization {
      let how =
        switch plan.grouping.facet {
        case .label: "labels permuted over whole sequences"
        case .step: "circular shifts of the steps of each group of samples"
        case .patch, .patchRow, .patchColumn: "toroidal shifts of the patches of each group of samples"
        case .position, nil: "circular shifts inside each sequence"
        }
      let smallest = fixedPoint(1 / Double(1 + plan.null.draws), digits: 4)
      notes.append("null: \(how), \(plan.null.draws) draws, seed \(plan.null.seed); p cannot be below \(smallest)")
      if unlabelled > 0 { notes.append("\(unlabelled) sequences without this label are left out") }
      if let matched = specialization.first?.matched {
        notes.append("texts differ in length; matched: the same with every text cut to its first \(matched.positions) tokens")
      }
    }
    if plan.isAnsweredByCounts(entry.key), let denoising {
      notes.append("\(denoising.samples.count) samples, \(plan.branch == 0 ? "conditional" : "unconditional") branch")
      if denoising.unfinishedCount > 0 { notes.append("\(denoising.unfinishedCount) samples that are not whole are left out") }
    }
    return notes
  }
}

extension EntropyThreshold {
  var isQuantile: Bool { if case .quantile = self { true } else { false } }
}
