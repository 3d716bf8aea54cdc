// Metrics of what experts compute, one number an expert: what is said about them, and their rows, by layer and by labels of sequences.

import Routing

extension Metric {
  static let expertNorm = Metric(
    key: .expertNorm, name: "expert activation norm (EAN)", unit: "L2 norm", range: "0 and above",
    reading: "mean over the tokens that took the expert of the norm of what it computed, before its weight",
    grain: .expert, format: .number(4), baseline: "mean over all assignments of the router", baselineValue: { _ in nil }, facets: .labels,
    interval: .onRequest, source: "Lasby et al. 2025, REAP, arXiv:2510.13999 (baseline EAN, as a mean)",
    glossary: "mean L2 norm of an expert's output over the tokens that took it",
    missing: "for an expert that no token took", needs: RecordingLevel(content: .ids, extras: .norms),
    measure: NormMeasure { $0.norm })

  static let weightedExpertNorm = Metric(
    key: .weightedExpertNorm, name: "weighted expert norm (REAP)", unit: "L2 norm", range: "0 and above",
    reading:
      "mean over the tokens that took the expert of its weight times the norm of what it computed: how much it adds when it is asked; "
      + "where the weight is on the input, the norm of what that gives",
    grain: .expert, format: .number(4), baseline: "mean over all assignments of the router", baselineValue: { _ in nil }, facets: .labels,
    interval: .onRequest, source: "Lasby et al. 2025, REAP, arXiv:2510.13999 (saliency of an expert)",
    glossary: "mean of weight times norm of an expert's output over the tokens that took it",
    missing: "for an expert that no token took", needs: RecordingLevel(extras: .norms),
    measure: NormMeasure { $0.weighted })
}

/// A mean over the assignments of each expert.
struct NormMeasure: Measure {
  let sum: @Sendable (ExpertNorms.Sums) -> MeanSum

  init(_ sum: @escaping @Sendable (ExpertNorms.Sums) -> MeanSum) { self.sum = sum }

  func folds(for plan: AnalysisPlan) -> Folds { .norms }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    .metric(
      (reading.analysis.norms?.sorted(in: reading.plan.layers) ?? []).flatMap { router, fold -> [MetricRow] in
        guard let facet = reading.plan.grouping.facet else { return rows(reading, router, fold, of: Array(fold.sequences.keys), cell: nil) }
        let axis = reading.cells(facet, strata: [])
        let bySequence = Dictionary(grouping: fold.sequences.keys) { axis.of(Stratum(sequence: $0, bin: PositionBin(rawValue: 0))) }
        return axis.names.indices.flatMap { cell in
          rows(reading, router, fold, of: bySequence[cell] ?? [], cell: axis.names[cell])
        }
      })
  }

  private func rows(_ reading: MetricReading, _ router: RouterID, _ fold: ExpertNorms, of sequences: [Int], cell: String?) -> [MetricRow] {
    // In an order of their own, so that the last bits of sums are the same in every process.
    let own = sequences.sorted().map { fold.sequences[$0] ?? [:] }
    let all = own.flatMap { $0.sorted { $0.key < $1.key } }.reduce(into: MeanSum()) { $0 += sum($1.value) }
    return (0..<fold.experts).map { expert in
      let sums = own.compactMap { $0[Int32(expert)].map(sum) }.filter { $0.count > 0 }
      let total = sums.reduce(into: MeanSum()) { $0 += $1 }
      var row = reading.row(router, expert: expert, cell: cell, value: total.mean, n: total.count, of: .assignments, size: nil)
      row.baseline = all.mean
      if reading.plan.intervals { row.interval = Jackknife.interval(sums: sums) }
      return row
    }
  }
}
