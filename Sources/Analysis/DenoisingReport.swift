// Rows and tables of the metrics of denoising runs.

import Routing

extension ReportBuilder {
  func denoisingRows(_ metric: MetricKey, _ counts: DenoisingCounts) -> MetricDocument.Rows {
    switch metric {
    case .choices, .choicesWeighted, .choicesMinMax: .metric(choiceRows(metric, counts))
    case .earlyLate: .metric(contrastRows(counts))
    case .specialists:
      .specialists(Specialist.list(counts, label: SampleClasses.label, sequences: plan.sequences, settings: plan.null))
    case .ditClaims: .claims(ClaimJudge(counts: counts, sequences: plan.sequences, settings: plan.null).judge())
    default: .metric(stepRows(metric, counts))
    }
  }

  private func choiceRows(_ metric: MetricKey, _ counts: DenoisingCounts) -> [MetricRow] {
    guard let facet = plan.grouping.facet else { return [] }
    return counts.routerIDs.flatMap { router -> [MetricRow] in
      guard let counted = counts.projection(facet, of: router, sequences: plan.sequences),
        let shown = counts.projection(facet, of: router, weighted: metric == .choicesWeighted, sequences: plan.sequences)
      else { return [] }
      let values = metric == .choicesMinMax ? shown.minMax : shown.values
      let even = metric == .choicesMinMax ? nil : values.reduce(0, +) / Double(max(1, values.count))
      return values.indices.map {
        MetricRow(
          router: router, expert: $0 % shown.expertCount, cell: shown.cellNames[$0 / shown.expertCount], value: values[$0],
          unit: MetricCatalog.entry(metric).unit, n: Int(counted.values[$0]), baseline: even)
      }
    }
  }

  private func contrastRows(_ counts: DenoisingCounts) -> [MetricRow] {
    let contrasts = counts.stepContrasts(plan.null)
    return counts.routerIDs.map { router in
      let own = contrasts.first { $0.router == router }
      return MetricRow(
        router: router, value: own?.contrast, unit: MetricCatalog.entry(.earlyLate).unit, n: counts.samples.count, baseline: 0,
        interval: own?.interval)
    }
  }

  /// Numbers of single steps, or of a step against the one before.
  private func stepRows(_ metric: MetricKey, _ counts: DenoisingCounts) -> [MetricRow] {
    let unit = MetricCatalog.entry(metric).unit
    return counts.routerIDs.flatMap { router -> [MetricRow] in
      guard let use = counts.useByStep(of: router) else { return [] }
      func row(_ cell: String?, _ value: Double?, n: Int) -> MetricRow {
        MetricRow(router: router, cell: cell, value: value, unit: unit, n: n)
      }
      guard plan.grouping.facet == .step else {
        let mean = metric == .useEntropy ? use.meanEntropy : metric == .stepDrift ? use.meanDrift : use.meanOverlap
        return [row(nil, mean, n: (0..<use.steps).reduce(0) { $0 + use.total($1) })]
      }
      return (0..<use.steps).map { step in
        let value: Double? =
          switch metric {
          case .useEntropy: use.normalizedEntropy(step)
          case .stepDrift: step > 0 ? use.drift(step - 1, step) : nil
          default: step > 0 ? use.overlap(step - 1, step) : nil
          }
        return row(String(step), value, n: use.total(step))
      }
    }
  }
}

extension AnalysisReport {
  func specialistTable(_ document: MetricDocument, _ rows: [Specialist]) -> ReportTable {
    let hasStacks = Set(rows.map(\.router.stack)).count > 1
    func cells(_ find: Specialist.Find?) -> [ReportTable.Cell] {
      guard let find else { return [.missing, .missing, .missing] }
      return [.text(find.cell), .number(find.ratio, digits: 2), .number(find.adjustedP, digits: 4)]
    }
    return ReportTable(
      columns: [hasStacks ? "router" : "layer", "expert", "share", "when", "when_ratio", "when_p", "where", "where_ratio", "where_p"]
        + ["class", "class_ratio", "class_p"],
      rows: rows.map {
        [routerCell($0.router, hasStacks: hasStacks), .count($0.expert.rawValue), .percent($0.share, digits: 1)]
          + cells($0.when) + cells($0.place) + cells($0.what)
      },
      notes: document.notes + [
        "when: step, where: patch as row,column; p controls the chance of even one false find on its axis; - : none beyond chance"
      ])
  }

  /// The verdicts with their reasons, the numbers over all layers, the numbers by layer.
  func claimTables(_ document: MetricDocument, _ claims: DenoisingClaims) -> [ReportTable] {
    func number(_ value: Double?) -> ReportTable.Cell { value.map { .number($0, digits: 4) } ?? .missing }
    func row(_ claim: JudgedClaim, _ own: ClaimEvidence) -> [ReportTable.Cell] {
      [
        .text(claim.claim.rawValue), .text(own.name), .text(own.router?.description ?? "all"), number(own.value),
        number(own.interval?.low), number(own.interval?.high), number(own.nullMean), number(own.nullSD), number(own.p), number(own.limit),
        .text(own.verdict?.rawValue ?? ""),
      ]
    }
    let columns = ["claim", "number", "router", "value", "low", "high", "null_mean", "null_sd", "p", "limit", "verdict"]
    let scope =
      "\(claims.samples) samples, \(claims.steps) steps, \(claims.patches) patches, \(claims.classes) classes, branch \(claims.branch)"
    return [
      ReportTable(
        columns: ["claim", "verdict", "reason"],
        rows: claims.claims.map { [.text($0.claim.rawValue), .text($0.verdict.rawValue), .text($0.reason)] },
        notes: [scope, "rules: moetop docs metrics"]),
      ReportTable(columns: columns, rows: claims.claims.flatMap { claim in claim.evidence.map { row(claim, $0) } }, notes: []),
      ReportTable(columns: columns, rows: claims.claims.flatMap { claim in claim.layers.map { row(claim, $0) } }, notes: document.notes),
    ]
  }
}
