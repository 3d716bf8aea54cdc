// The metric of how much an axis tells about experts: what is said about it, its rows, their JSON and their table. How it is found out
// is in SpecializationStudy.

import Routing

extension Metric {
  static let specialization = Metric(
    key: .specialization, name: "specialization", unit: "nat", range: "0...min(H(cell), ln E), below 0 by chance",
    reading: "0: the axis says nothing about experts; H(cell): the expert tells the cell",
    grain: .axis, format: .number(3),
    baseline: "0; the plug-in information and its permutation null stand beside it (labels over sequences, circular shifts for "
      + "position, tokens and step, toroidal shifts for patches)",
    baselineValue: { _ in 0 }, facets: .every, interval: .always(MetricCatalog.jackknife),
    source: "mutual information; Quenouille 1956 (jackknife of bias); Westfall and Young 1993 (largest of many statistics)",
    glossary: "information between expert and axis, without the bias of few texts",
    missing: "with one text along an axis inside texts", measure: SpecializationMeasure(), details: SpecializationMeasure.details)
}

struct SpecializationMeasure: Measure {
  func folds(for plan: AnalysisPlan) -> Folds {
    switch plan.grouping.facet {
    case .position, .vocabulary, .tokenClass, .tokenLabel, nil: .routes
    case .label where plan.denoising == nil: .counts
    case .label, .step, .patchRow, .patchColumn, .patch: .denoising
    }
  }

  var conditionFields: [String] { SpecializationResult.figures.map(\.name) }

  func rows(_ reading: MetricReading) -> MetricDocument.Rows {
    guard reading.plan.grouping.byExpert else {
      return .specialization(
        reading.specialization.map { result in
          var result = result
          if reading.plan.denoising != nil { result.counted = .samples }
          return result
        })
    }
    return .enrichment(
      reading.specialization.flatMap { result in
        result.enrichment.prefix(reading.plan.top).map {
          EnrichmentRow(router: result.router, cell: result.cells[$0.cell].name, enrichment: $0)
        }
      })
  }

  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) {
    settings.nullDraws = reading.plan.null.draws
    if reading.plan.grouping.facet?.isDenoising == true { settings.intervals = MetricCatalog.groupJackknife }
  }

  func notes(_ reading: MetricReading) -> [String] {
    let plan = reading.plan
    let how =
      switch plan.grouping.facet {
      case .label: "labels permuted over whole sequences"
      case .step: "circular shifts of the steps of each group of samples"
      case .patch, .patchRow, .patchColumn: "toroidal shifts of the patches of each group of samples"
      case .vocabulary, .tokenClass, .tokenLabel: "circular shifts of the tokens of each sequence"
      case .position, nil: "circular shifts inside each sequence, joined at the border of two cells"
      }
    let smallest = fixedPoint(1 / Double(1 + plan.null.draws), digits: 4)
    var notes = [
      "null: \(how), \(plan.null.draws) draws, seed \(plan.null.seed); p cannot be below \(smallest)",
      "adjusted_p: the same for the largest of all layers",
    ]
    if let study = reading.study {
      if study.unlabelled > 0 { notes.append("\(study.unlabelled) sequences without this label are left out") }
      if study.pooledValues > 0 {
        let own = study.facet.isOfTokens ? TokenCells.mostWords : SpecializationStudy.mostValues
        notes.append("the \(study.pooledValues) rarest of \(study.pooledValues + own) values share one cell")
      }
    }
    let results = reading.specialization
    if let few = results.first(where: \.hasFewTexts) {
      let word = plan.denoising == nil ? "texts" : "samples"
      notes.append(
        plan.grouping.facet?.isConstantWithinSequence == true
          ? "few \(word): a value of the label has only \(few.fewest), below \(Jackknife.minimumSequences) effects are not ranked"
          : "few \(word): only \(few.fewest), below \(Jackknife.minimumSequences) effects are not ranked")
    }
    if results.contains(where: { $0.effect != nil && $0.interval == nil }) {
      let word = plan.denoising == nil ? "texts" : "samples"
      notes.append(
        "no interval: it takes \(Jackknife.minimumSequences) \(word)"
          + (plan.grouping.facet?.isConstantWithinSequence == true ? ", and 2 a value of the label on average" : ""))
    }
    if let matched = results.lazy.compactMap(\.matched).first {
      notes.append(
        "texts differ in length; matched: the same with every text cut to its first \(matched.positions) tokens"
          + (matched.leftOut > 0 ? ", \(matched.leftOut) shorter than \(SpecializationStudy.shortestMatched) tokens left out" : ""))
    }
    if plan.cutsSequences, plan.denoising == nil, plan.grouping.facet?.isConstantWithinSequence == true {
      notes.append("no comparison at equal length: the filter takes texts apart")
    }
    if results.contains(where: \.lacksLengthControl) {
      notes.append(
        "texts differ in length, and fewer than two values of the label have texts of \(SpecializationStudy.shortestMatched) tokens: no "
          + "comparison at equal length")
    }
    return notes
  }
}

// MARK: - Figures, JSON and table

extension SpecializationResult: Encodable {
  /// A number of a result, by its key in JSON, its column in tables and its name in conditions.
  struct Figure: Sendable {
    var name: String
    var digits: Int
    var value: @Sendable (SpecializationResult) -> Double?
  }

  static let figures: [Figure] = [
    Figure(name: "effect", digits: 3) { $0.effect },
    Figure(name: "low", digits: 3) { $0.interval?.low },
    Figure(name: "high", digits: 3) { $0.interval?.high },
    Figure(name: "normalized", digits: 3) { $0.normalizedEffect },
    Figure(name: "mutual_information", digits: 3) { $0.mutualInformation },
    Figure(name: "null_mean", digits: 3) { $0.nullMean },
    Figure(name: "null_sd", digits: 4) { $0.nullSD },
    Figure(name: "p", digits: 4) { $0.p },
    Figure(name: "adjusted_p", digits: 4) { $0.adjustedP },
  ]
  /// Only where lengths differ; in JSON they are inside `matched`.
  private static let matchedFigures: [Figure] = [
    Figure(name: "matched_effect", digits: 3) { $0.matched?.effect },
    Figure(name: "matched_p", digits: 4) { $0.matched?.p },
  ]

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: NamedKey.self)
    func key(_ name: String) -> NamedKey { NamedKey(stringValue: name) }
    try container.encode(router.description, forKey: key("router"))
    try container.encode(router.layer.rawValue, forKey: key("layer"))
    for figure in Self.figures { try container.encode(figure.value(self), forKey: key(figure.name)) }
    try container.encode("nat", forKey: key("unit"))
    try container.encode(0, forKey: key("baseline"))
    try container.encode(sequences, forKey: key("n"))
    try container.encode(counted, forKey: key("n_of"))
    try container.encode(nullCount, forKey: key("null_count"))
    try container.encode("layers", forKey: key("family"))
    try container.encode(hasFewTexts, forKey: key("few_texts"))
    try container.encode(cellEntropy, forKey: key("cell_entropy"))
    try container.encode(sequences, forKey: key("sequences"))
    try container.encode(assignments, forKey: key("assignments"))
    try container.encode(cells, forKey: key("cells"))
    if matched != nil || lacksLengthControl { try container.encode(matched, forKey: key("matched")) }
  }

  /// One line a router: the effect beside what chance gives, and what it was taken over.
  static func table(_ document: MetricDocument, _ results: [SpecializationResult]) -> ReportTable {
    let shown = figures + (results.contains { $0.matched != nil } ? matchedFigures : [])
    let hasMarks = results.contains(where: \.hasFewTexts)
    let counted = (results.first?.counted ?? .texts).rawValue
    return ReportTable(
      columns: ["router"] + shown.map(\.name) + [counted] + (hasMarks ? ["few_texts"] : []),
      rows: results.map { result in
        [.text(result.router.description)]
          + shown.map { figure in figure.value(result).map { .number($0, digits: figure.digits) } ?? .missing }
          + [.count(result.sequences)] + (hasMarks ? [.text(result.hasFewTexts ? "few" : "")] : [])
      },
      notes: document.notes + ["nat · n in column \(counted) · baseline: \(document.baseline)", document.size])
  }

  /// The same for csv, in the columns of plain metrics as far as they go.
  static func records(_ document: MetricDocument, _ results: [SpecializationResult]) -> ReportTable {
    let shown = figures + (results.contains { $0.matched != nil } ? matchedFigures : [])
    return ReportTable(
      columns: ["metric", "router", "layer", "axis"] + shown.map(\.name) + [
        "unit", "n", "n_of", "baseline", "null_count", "assignments", "few_texts",
      ],
      rows: results.map { result in
        [
          .text(document.metric.rawValue), .text(result.router.description), .count(result.router.layer.rawValue),
          .text(document.axis ?? ""),
        ]
          + shown.map { figure in figure.value(result).map { .number($0, digits: figure.digits) } ?? .missing }
          + [
            .text(document.unit), .count(result.sequences), .text(result.counted.rawValue), .count(0), .count(result.nullCount),
            .count(result.assignments), .text(String(result.hasFewTexts)),
          ]
      }, notes: [])
  }
}
