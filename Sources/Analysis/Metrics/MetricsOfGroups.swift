// What would be merged: one number an expert, how like it is to the expert that would stand for it.

import Routing

extension Metric {
  static let coreSimilarity = Metric(
    key: .coreSimilarity, name: "likeness to the core of its group (M-SMoE)", unit: "similarity", range: "0...1",
    reading:
      "1: its logits rise and fall with those of the expert it would be merged into (core), or it is kept itself; 1/2: they have nothing in common; 0: opposite",
    grain: .expert, format: .number(3), baseline: "mean likeness to all other experts of the router", baselineValue: { _ in nil },
    facets: .none, interval: .none("one number per expert"),
    source: "Li et al. 2023, MC-SMoE, arXiv:2310.01334 (`router-logits`, grouped globally)",
    glossary: "likeness of an expert's logits to those of the expert that would replace it",
    missing: "where no decision has finite logits", needs: RecordingLevel(content: .full), measure: GroupMeasure(),
    details: """
      Likeness is (1 + cosine) / 2 of two experts' columns of raw logits over the tokens whose logits were recorded. All routers that are looked at
      (`--layer`) together keep `--groups` experts a router on average, a quarter of them where nothing is said: the most used, by share of their
      router's choices, dropped ones too, and each router's most used one in any case. Of equal use at the border none is kept, so that there may be
      fewer. Every other expert joins the kept one of its router that is most like it (`core`); `n` is how often it was chosen. The rule is that of the
      published code but for its limit on the size of a group. It says who would be merged, not that it would do no harm: `whatif --rules 'mask …'` takes
      experts away and measures that beside a control.
      """)
}

struct GroupMeasure: Measure {
  func folds(for plan: AnalysisPlan) -> Folds { [.load, .products] }

  var conditionFields: [String] { [MetricRow.Field.core.rawValue] }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    let (routers, groups, _) = answer(reading)
    return .metric(
      zip(routers, groups).flatMap { router, groups -> [MetricRow] in
        router.usage.indices.map { expert in
          let others = router.usage.indices.filter { $0 != expert }
          let isKnown = router.products.tokens > 0
          var row = reading.row(
            router.id, expert: expert, value: isKnown ? router.products.similarity(expert, groups.core[expert]) : nil,
            n: router.usage[expert],
            of: .assignments, size: nil)
          row[.core] = isKnown ? Double(groups.core[expert]) : nil
          if isKnown, !others.isEmpty {
            row.baseline = others.reduce(0) { $0 + router.products.similarity(expert, $1) } / Double(others.count)
          }
          return row
        }
      })
  }

  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) { settings.groups = average(reading) }

  func notes(_ reading: MetricReading) -> [String] {
    let (routers, groups, threshold) = answer(reading)
    let kept = zip(routers, groups).map { "\($0.id) \($1.cores.count)" }.joined(separator: ", ")
    let limit = "more than \(plainNumber((threshold * 1e4).rounded() / 1e4)) of a router's choices"
    return ["kept, \(average(reading)) a router asked for (--groups): \(kept); \(limit), or the most used"]
  }

  private typealias Used = (id: RouterID, usage: [Int], products: LogitProducts)

  /// Routers with their groups, and the share of choices above which an expert is kept.
  private func answer(_ reading: MetricReading) -> (routers: [Used], groups: [ExpertGroups], threshold: Double) {
    let routers = (reading.analysis.products?.sorted(in: reading.plan.layers) ?? []).compactMap { router, fold -> Used? in
      guard let load = reading.analysis.load?.folds[router], load.chosen.count == fold.experts else { return nil }
      return (router, load.chosen, fold)
    }
    let (counts, threshold) = ExpertGroups.sizes(routers.map(\.usage), average: average(reading))
    let groups = zip(routers, counts).map { router, count in
      ExpertGroups(router.usage, keeping: count, similarity: router.products.similarity)
    }
    return (routers, groups, threshold)
  }

  /// A quarter of the experts of the router with most of them, where nothing is said.
  private func average(_ reading: MetricReading) -> Int {
    let most = reading.plan.routers.map(\.spec.expertCount).max() ?? 1
    return reading.plan.groups ?? max(1, most / 4)
  }
}
