import Foundation
import Routing
import Testing

@testable import Analysis

/// Runs a plan over a synthetic run, in as many rounds as it asks for.
func analyzed(_ plan: AnalysisPlan, _ passes: [RoutingPass]) throws -> RunAnalysis {
  var analysis = try RunAnalysis(plan)
  repeat { for pass in passes { analysis.add(pass) } } while analysis.beginNextRound()
  return analysis
}

func json(_ report: AnalysisReport) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(report), as: UTF8.self)
}

/// Metrics that every run of a text has.
private let textMetrics = MetricCatalog.entries.filter { [.all, .texts].contains($0.runs) }.map(\.key)

@Suite struct PlanTests {
  @Test func groupings() throws {
    #expect(try AnalysisGrouping(parsing: "layer") == .layer)
    #expect(try AnalysisGrouping(parsing: "layer,expert") == AnalysisGrouping(byExpert: true))
    #expect(try AnalysisGrouping(parsing: "domain,expert") == AnalysisGrouping(byExpert: true, facet: .label("domain")))
    #expect(try AnalysisGrouping(parsing: "position") == AnalysisGrouping(facet: .position))
    for text in ["", "domain,language", "token,expert", "expert,"] {
      #expect(throws: AnalysisError.self, "\(text)") { try AnalysisGrouping(parsing: text) }
    }
  }

  @Test func layers() throws {
    let layers = try LayerSelection(parsing: "0-3,7")
    #expect([0, 3, 7].allSatisfy { layers.contains(LayerIndex($0)) } && !layers.contains(LayerIndex(4)))
    #expect(layers.description == "0-3,7")
    for text in ["", "a", "3-1", "1-", "-1", "0,,2", "1-2-3"] {
      #expect(throws: AnalysisError.badLayers(found: text), "\(text)") { try LayerSelection(parsing: text) }
    }
  }

  @Test func metricNames() throws {
    #expect(try MetricKey.list(parsing: "load_cv,idle") == [.loadCV, .idle])
    #expect(throws: AnalysisError.unknownMetric(found: "load_vc", nearest: "load_cv")) { try MetricKey(parsing: "load_vc") }
    #expect(throws: AnalysisError.unknownMetric(found: "bananas", nearest: nil)) { try MetricKey(parsing: "bananas") }
  }

  private let routers = [0, 1, 2, 5].map {
    RouterDescription(id: RouterID(layer: $0), spec: RouterSpec(expertCount: 8, scoring: .softmax, selection: .tokenChoice(topK: 2)))
  }

  @Test func layersThatAreNotThereAreNamed() throws {
    #expect(throws: AnalysisError.noSuchLayer(found: "3-4", known: "0-2,5")) {
      try AnalysisPlan(metrics: [.gini], layers: LayerSelection(parsing: "0,3-4"), routers: routers).validate()
    }
    try AnalysisPlan(metrics: [.gini], layers: LayerSelection(parsing: "0-9"), routers: routers).validate()
  }

  /// Each axis has metrics to show when none is asked for, and a plan with them is sound.
  @Test(arguments: ["layer", "expert", "token", "position", "domain", "domain,expert", "position,expert"])
  func everyAxisHasMetricsByDefault(by: String) throws {
    let sequences = ["x", "y"].map { SequenceDescription(name: $0, labels: ["domain": $0]) }
    for form in EntropyForm.allCases {
      var plan = AnalysisPlan(
        metrics: [], grouping: try AnalysisGrouping(parsing: by), entropyForm: form, sequences: sequences, routers: routers)
      plan.metrics = plan.defaultMetrics
      #expect(!plan.metrics.isEmpty)
      try plan.validate()
    }
  }

  @Test func contradictionsAreRefused() {
    let domain = [SequenceDescription(name: "a", labels: ["domain": "x"])]
    let refused: [AnalysisPlan] = [
      AnalysisPlan(metrics: []), AnalysisPlan(metrics: [.specialization]),
      AnalysisPlan(metrics: [.gini], grouping: AnalysisGrouping(byExpert: true)),
      AnalysisPlan(metrics: [.gini], grouping: AnalysisGrouping(byToken: true)),
      AnalysisPlan(metrics: [.zLoss], grouping: AnalysisGrouping(facet: .position)),
      AnalysisPlan(metrics: [.repeatAny], grouping: AnalysisGrouping(facet: .position)),
      AnalysisPlan(metrics: [.entropy], grouping: AnalysisGrouping(facet: .label("language")), sequences: domain),
      AnalysisPlan(
        metrics: [.specialization], grouping: AnalysisGrouping(facet: .label("domain")), null: NullSettings(draws: 5), sequences: domain),
      AnalysisPlan(metrics: [.gini], top: 0), AnalysisPlan(metrics: [.gini], branch: 1), AnalysisPlan(metrics: [.encoderEntropy]),
      AnalysisPlan(metrics: [.entropy], entropyForm: .gwMoE, recording: RecordingLevel()),
      AnalysisPlan(metrics: [.gini], layers: LayerSelection([0...3, 99...99]), routers: routers),
    ]
    for plan in refused { #expect(throws: AnalysisError.self, "\(plan.metrics) \(plan.grouping)") { try plan.validate() } }
  }
}

@Suite struct CatalogTests {
  @Test func entriesAnswerToTheirKey() {
    for key in MetricKey.allCases {
      let entry = MetricCatalog.entry(key)
      #expect(entry.key == key)
      for text in [entry.name, entry.unit, entry.range, entry.reading, entry.baseline, entry.source, entry.glossary, entry.missing] {
        #expect(!text.isEmpty, "\(key)")
      }
      #expect(!entry.glossary.contains("\n") && entry.glossary.count < 90, "\(key)")
      #expect(MetricCatalog.markdown().contains("## `\(key.rawValue)`"))
    }
    #expect(MetricCatalog.glossary.count == MetricKey.allCases.count)
  }

  /// Every key has a fold that gives its number, along every axis the catalog names, with an interval where it promises one.
  @Test(arguments: textMetrics)
  func everyMetricIsProduced(key: MetricKey) throws {
    let run = try SyntheticRouting(documents: 12, length: 20...40, layers: 2, dirichlet: 1).run().withExtras()
    let entry = MetricCatalog.entry(key)
    let spec = RouterSpec(
      expertCount: 8, scoring: .softmax, correctionBias: (0..<8).map { Float($0) / 8 }, selection: .tokenChoice(topK: 2))
    var facets: [Facet?] = [.label("domain"), .position].filter { entry.facets.allows($0) }
    if entry.grain != .axis { facets.append(nil) }
    for facet in facets {
      var plan = AnalysisPlan(
        metrics: [key], grouping: AnalysisGrouping(facet: facet), null: NullSettings(draws: 19), sequences: run.sequences,
        routers: (0..<2).map { RouterDescription(id: RouterID(layer: $0), spec: spec) })
      plan.intervals = true
      let report = try analyzed(plan, run.passes).report()
      let document = try #require(report[key])
      switch document.rows {
      case .metric(let rows):
        #expect(Set(rows.map(\.router.layer.rawValue)) == (entry.grain == .stack ? [0] : [0, 1]), "\(key)")
        #expect(rows.allSatisfy { $0.value != nil }, "\(key) \(String(describing: facet))")
        if entry.hasInterval && facet == nil { #expect(rows.allSatisfy { $0.interval != nil }, "\(key)") }
      case .specialization(let rows):
        #expect(rows.count == 2 && rows.allSatisfy { $0.interval != nil })
      default: Issue.record("\(key): unexpected rows")
      }
    }
  }

  @Test func baselinesAreNumbers() {
    let size = SampleSize(chance: Chance(experts: 8, topK: 2), tokens: 100)
    // Norms and likenesses have no value by chance; they stand beside the mean of their router.
    let ofRun: Set<MetricKey> = [.expertNorm, .weightedExpertNorm, .coreSimilarity]
    for entry in MetricCatalog.entries {
      #expect(entry.baselineValue(size)?.isFinite == (ofRun.contains(entry.key) ? nil : true), "\(entry.key)")
    }
    #expect(near(Metric.coverage.baselineValue(size), 0.303, 0.01))
    #expect(near(Metric.uncertain.baselineValue(size), 0.05))
  }
}

@Suite struct ReportTests {
  private let allScalars: [MetricKey] = textMetrics.filter { $0 != .specialization }

  /// All metrics at once: parts of any split, merged in any order, give the report of the whole.
  @Test func foldsOfPartsMerge() throws {
    let run = try SyntheticRouting(documents: 9, length: 20...40, layers: 3, dirichlet: 1).run(tokensPerPass: 31)
    let plan = AnalysisPlan(metrics: allScalars, intervals: true, sequences: run.sequences)
    let whole = try analyzed(plan, run.passes).report()
    var random = SplitMix64(seed: 21)
    for _ in 0..<5 {
      var pieces = run.passes.flatMap { pass in pass.tokens.count > 2 ? pass.split(at: 1 + random.below(pass.tokens.count - 1)) : [pass] }
      random.shuffle(&pieces)
      var total = try RunAnalysis(plan)
      repeat {
        var parts = (0..<3).map { _ in total.emptyPart() }
        for piece in pieces { parts[random.below(3)].add(piece) }
        for part in parts.reversed() { total.merge(part) }
      } while total.beginNextRound()
      let merged = try total.report()
      for (a, b) in zip(whole.documents, merged.documents) {
        for (x, y) in zip(a.metricRows, b.metricRows) {
          #expect(x.router == y.router && x.expert == y.expert && x.n == y.n, "\(a.metric)")
          #expect(near(x.value, y.value) && near(x[.sd], y[.sd]) && near(x[.median], y[.median]), "\(a.metric)")
          #expect(near(x.interval?.low, y.interval?.low, 1e-7), "\(a.metric)")
        }
      }
    }
  }

  @Test func relabellingExpertsLeavesScalars() throws {
    let run = try SyntheticRouting(documents: 8, experts: 8, dirichlet: 1).run()
    let order: [Int32] = [3, 7, 0, 5, 1, 2, 6, 4]
    let renamed = run.passes.map { pass -> RoutingPass in
      var pass = pass
      for index in pass.batches.indices {
        pass.batches[index].selectedExperts = pass.batches[index].selectedExperts.map { $0 < 0 ? $0 : order[Int($0)] }
        var importance = Array(repeating: 0.0, count: 8)
        for (expert, value) in pass.batches[index].importanceSum.enumerated() { importance[Int(order[expert])] = value }
        pass.batches[index].importanceSum = importance
        pass.batches[index].logits = nil
      }
      return pass
    }
    let metrics = allScalars.filter { MetricCatalog.entry($0).grain != .expert }
    let plan = AnalysisPlan(metrics: metrics, intervals: true, sequences: run.sequences)
    let a = try analyzed(plan, run.passes).report()
    let b = try analyzed(plan, renamed).report()
    for metric in metrics { #expect(near(a[metric]?.metricRows.first?.value, b[metric]?.metricRows.first?.value), "\(metric)") }
    let domain = AnalysisPlan(
      metrics: [.specialization], grouping: AnalysisGrouping(facet: .label("domain")), null: NullSettings(draws: 50),
      sequences: run.sequences)
    guard case .specialization(let x)? = try analyzed(domain, run.passes).report()[.specialization]?.rows,
      case .specialization(let y)? = try analyzed(domain, renamed).report()[.specialization]?.rows
    else { Issue.record("no specialization"); return }
    #expect(near(x.first?.effect, y.first?.effect) && x.first?.p == y.first?.p && near(x.first?.interval?.low, y.first?.interval?.low))
  }

  @Test func onlyQuantilesOverTokensNeedASecondRound() throws {
    let run = try SyntheticRouting(documents: 6).run()
    func rounds(_ plan: AnalysisPlan) throws -> Int { try analyzed(plan, run.passes).round }
    #expect(try rounds(AnalysisPlan(metrics: [.uncertain])) == 1)
    #expect(try rounds(AnalysisPlan(metrics: [.entropy], grouping: AnalysisGrouping(facet: .position), sequences: run.sequences)) == 1)
    #expect(try rounds(AnalysisPlan(metrics: [.uncertain], grouping: AnalysisGrouping(byToken: true))) == 2)
    #expect(try rounds(AnalysisPlan(metrics: [.uncertain], intervals: true)) == 2)
    #expect(try rounds(AnalysisPlan(metrics: [.uncertain], grouping: AnalysisGrouping(byToken: true), threshold: .nats(1.5))) == 1)
  }

  /// The share along an axis adds up to the share of the layer, and a quantile is one of the whole run whatever layers are shown.
  @Test func uncertainAlongAnAxisAddsUp() throws {
    let run = try SyntheticRouting(documents: 12, layers: 3, dirichlet: 0.7).run()
    let plain = try analyzed(AnalysisPlan(metrics: [.uncertain]), run.passes).report()
    let some = try analyzed(
      AnalysisPlan(
        metrics: [.uncertain], grouping: AnalysisGrouping(facet: .label("domain")), layers: LayerSelection([1...1]),
        sequences: run.sequences),
      run.passes
    ).report()
    let rows = try #require(some[.uncertain]?.metricRows)
    #expect(rows.count == 4 && rows.allSatisfy { $0.router.layer == LayerIndex(1) })
    let total = rows.reduce(0.0) { $0 + ($1.value ?? 0) * Double($1.n) } / Double(rows.reduce(0) { $0 + $1.n })
    #expect(near(total, plain[.uncertain]?.metricRows[1].value))
    #expect(some[.uncertain]?.settings.thresholdShare == plain[.uncertain]?.settings.thresholdShare)
    let oneLayer = try analyzed(AnalysisPlan(metrics: [.uncertain], layers: LayerSelection([1...1])), run.passes).report()
    #expect(oneLayer[.uncertain]?.metricRows == [plain[.uncertain]?.metricRows[1]].compactMap { $0 })
  }

  /// The JSON keys that scripts rely on.
  @Test func documentOfSpecialization() throws {
    let run = try SyntheticRouting(documents: 12, length: 30...30, layers: 2, dirichlet: 1, domainEffect: 1).run()
    var report = try analyzed(
      AnalysisPlan(
        metrics: [.specialization], grouping: AnalysisGrouping(facet: .label("domain")), null: NullSettings(draws: 200),
        sequences: run.sequences), run.passes
    ).report()
    report.setRun(12)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(json(report).utf8)) as? [String: Any])
    #expect(object["schema"] as? String == "moetop.analyze/1" && object["run"] as? Int == 12)
    #expect(object["metric"] as? String == "specialization" && object["axis"] as? String == "domain" && object["unit"] as? String == "nat")
    let layers = try #require(object["layers"] as? [[String: Any]])
    #expect(layers.count == 2 && layers[1]["layer"] as? Int == 1)
    for key in ["mutual_information", "null_mean", "null_sd", "p", "effect", "low", "high", "normalized", "null_count"] {
      #expect(layers[0][key] is NSNumber, "\(key)")
    }
    let settings = try #require(object["settings"] as? [String: Any])
    #expect(settings["null_draws"] as? Int == 200 && settings["seed"] as? Int == 0)
  }

  @Test func documentsOfOtherShapes() throws {
    let run = try SyntheticRouting(documents: 8, layers: 2).run()
    let two = try json(analyzed(AnalysisPlan(metrics: [.loadCV, .idle]), run.passes).report())
    #expect(two.hasPrefix("[{") && two.contains("\"layers\""))
    let experts = try json(analyzed(AnalysisPlan(metrics: [.load]), run.passes).report())
    #expect(experts.contains("\"experts\":[") && experts.contains("\"expert\":7"))
    let tokens = try json(
      analyzed(AnalysisPlan(metrics: [.uncertain], grouping: AnalysisGrouping(byToken: true), top: 3), run.passes).report())
    #expect(tokens.contains("\"uncertain_tokens\":[") && tokens.contains("\"routers_over\""))
    // A foreign dump without scores: values are null, nothing is NaN, nothing fails.
    let bare = try analyzed(AnalysisPlan(metrics: allScalars, intervals: true), [handMade(experts: 4, [[0, 1], [2, 3]])]).report()
    #expect(try json(bare).contains("\"value\":null"))
    #expect(try json(analyzed(AnalysisPlan(metrics: allScalars), []).report()).contains("\"layers\":[]"))
  }

  @Test func tableJoinsMetricsOfOneKind() throws {
    let run = try SyntheticRouting(documents: 8, layers: 2).run()
    let report = try analyzed(AnalysisPlan(metrics: [.loadCV, .idle, .load, .uncertain, .importance]), run.passes).report()
    let tables = report.tables(width: 200)
    // n of an expert is how often it was chosen: it differs from row to row and gets a column.
    #expect(
      tables.map(\.columns) == [["router", "load_cv", "idle", "uncertain"], ["router", "expert", "load", "importance", "assignments"]])
    #expect(tables[0].rows.count == 2 && tables[1].rows.count == 16)
    let cv = try #require(report[.loadCV]?.metricRows[1])
    #expect(tables[0].rows[1][0] == .text("ffn.1"))
    let chance = try #require(cv.baseline)
    #expect(tables[0].rows[1][1] == .beside([.number(cv.value ?? 0, digits: 3), .number(chance, digits: 3)]))
    #expect(tables[0].notes.count == 4 && tables[0].notes.last == "480 tokens")
    #expect(tables[0].notes[0].hasPrefix("load_cv / baseline · times the mean · n 960 assignments · "))
    #expect(
      tables[0].notes[2].hasPrefix("uncertain / baseline · share of decisions · n 480 decisions · normalised")
        && tables[0].notes[2].contains("(q0.95 of the run)"))
    let domain = AnalysisPlan(metrics: [.entropy, .loadCV], grouping: AnalysisGrouping(facet: .label("domain")), sequences: run.sequences)
    let cells = try analyzed(domain, run.passes).report().tables(width: 200)
    #expect(cells[0].columns == ["router", "domain", "entropy", "load_cv"] && cells[0].rows.count == 8)
    #expect(cells[0].rows[0][2].display.hasSuffix(" / 1.000"))
  }

  /// Metrics go to further tables where the width ends, and not before; none is cut, and each stands in one table.
  @Test func tablesFitTheWidth() throws {
    let run = try SyntheticRouting(documents: 8, layers: 2).run()
    let metrics: [MetricKey] = [.loadCV, .maxOverMean, .idle, .entropy, .uncertain, .repeatFirst, .overlap, .selectionMargin]
    let report = try analyzed(AnalysisPlan(metrics: metrics, intervals: true), run.passes).report()
    let whole = try #require(report.tables(width: .max).first)
    #expect(whole.columns.prefix(3) == ["router", "load_cv", "95 %"] && whole.rows[0][2].display.contains(" to "))
    var counts: [Int] = []
    for width in [40, 80, 120, whole.width] {
      let tables = report.tables(width: width)
      counts.append(tables.count)
      #expect(tables.flatMap(\.columns).filter { MetricKey(rawValue: $0) != nil } == metrics.map(\.rawValue))
      for table in tables {
        let metrics = table.columns.count { MetricKey(rawValue: $0) != nil }
        #expect(table.width <= width || metrics == 1, "\(table.columns)")
        #expect(table.rows.allSatisfy { $0.count == table.columns.count })
      }
    }
    #expect(counts == counts.sorted(by: >) && counts[0] > 4 && counts[3] == 1, "\(counts)")
  }

  /// One record a number, with unit, sample size and baseline; the same columns for all metrics.
  @Test func recordsSayWhatTheDocumentSays() throws {
    let run = try SyntheticRouting(documents: 8, layers: 2).run()
    let report = try analyzed(AnalysisPlan(metrics: [.loadCV, .load, .repeatFirst, .entropy], intervals: true), run.passes).report()
    let table = try #require(report.records().first)
    #expect(Array(table.columns.prefix(13)) == AnalysisReport.recordColumns)
    #expect(Array(table.columns.dropFirst(13)) == ["own_load_baseline", "within_text_baseline", "sd", "q05", "median", "q95"])
    let rows = report.documents.flatMap { document in document.metricRows.map { (document.metric, $0) } }
    #expect(table.rows.count == rows.count)
    for ((metric, row), record) in zip(rows, table.rows) {
      let plain = Dictionary(uniqueKeysWithValues: zip(table.columns, record.map(\.plain)))
      #expect(plain["metric"] == metric.rawValue && plain["router"] == "\(row.router)" && plain["layer"] == "\(row.router.layer)")
      #expect(plain["value"] == row.value.map(plainNumber) && plain["baseline"] == row.baseline.map(plainNumber))
      #expect(plain["unit"] == row.unit && plain["n"] == "\(row.n)" && plain["n_of"] == row.counted.rawValue)
      #expect(plain["low"] == (row.interval.map { plainNumber($0.low) } ?? "") && plain["expert"] == (row.expert.map { "\($0)" } ?? ""))
    }
  }

  @Test func numbersAsText() {
    #expect(ReportTable.Cell.percent(0.2099, digits: 1).display == "21.0%" && ReportTable.Cell.percent(0.5, digits: 1).plain == "0.5")
    #expect(
      ReportTable.Cell.number(-0.0004, digits: 3).display == "0.000" && ReportTable.Cell.number(12.3456, digits: 2).display == "12.35")
    #expect(ReportTable.Cell.missing.display == "-" && ReportTable.Cell.missing.plain.isEmpty)
    #expect(ReportTable.Cell(3, .count) == .count(3) && ReportTable.Cell(0.25, .count).display == "0.25")
    let beside = ReportTable.Cell.beside([.percent(0.184, digits: 1), .percent(0.125, digits: 1), .missing])
    #expect(beside.display == "18.4% / 12.5% / -" && beside.plain == "0.184")
    #expect(ReportTable.Cell.range(.number(1, digits: 1), .number(2, digits: 1)).display == "1.0 to 2.0")
  }
}

@Suite struct FailConditionTests {
  @Test(arguments: [
    ("load_cv>0.8", "load_cv > 0.8"), ("uncertain >= 5%", "uncertain >= 5%"), ("specialization.p<0.05", "specialization.p < 0.05"),
    ("idle!=0", "idle != 0"), ("top1_margin.sd <= 1e-3", "top1_margin.sd <= 1e-3"),
  ])
  func parses(text: String, canonical: String) throws { #expect(try FailCondition(parsing: text).description == canonical) }

  @Test(arguments: [
    "", "load_cv", "load_cv>", ">1", "load_cv=1", "load_cv>x", "load_cv>>1", "nonsense>1", "load_cv.p>1", "load_cv>inf", "load_cv>nan",
  ])
  func refuses(text: String) { #expect(throws: AnalysisError.self) { try FailCondition(parsing: text) } }

  private func report(_ rows: [MetricRow]) -> AnalysisReport {
    AnalysisReport(documents: [
      MetricDocument(
        run: nil, metric: .loadCV, axis: nil, unit: "", baseline: "", tokens: 1, settings: ReportSettings(by: "layer"), notes: [],
        rows: .metric(rows))
    ])
  }

  private let row = MetricRow(
    router: RouterID(layer: 15), value: 0.7331, unit: "", n: 10, of: .assignments, interval: Interval(low: 0.7, high: 0.75))
  private let calm = MetricRow(
    router: RouterID(layer: 3), value: 0.2, unit: "", n: 10, of: .assignments, interval: Interval(low: 0.1, high: 0.3))
  private let none = MetricRow(router: RouterID(stack: .encoder, layer: 4), value: nil, unit: "", n: 0, of: .assignments)

  @Test func wordsAViolation() throws {
    let report = report([calm, row])
    let found = try FailCondition(parsing: "load_cv>0.7").verdict(on: report)
    #expect(found.violations.map(\.text) == ["ffn.15: load_cv 0.733 > 0.7"] && found.fault == nil)
    let low = try FailCondition(parsing: "load_cv.low>0.69").verdict(on: report)
    #expect(low.violations.map(\.router.layer.rawValue) == [15])
    #expect(try FailCondition(parsing: "load_cv>0.9").verdict(on: report) == FailCondition.Verdict())
    #expect(throws: AnalysisError.metricNotReported(metric: "gini")) { try FailCondition(parsing: "gini>0").verdict(on: report) }
  }

  /// A number that is not there is a fault whatever the comparison, and is named.
  @Test(arguments: ["load_cv>0.7", "load_cv<0.7", "load_cv!=0.7", "load_cv.low>0"])
  func aMissingNumberIsAFault(text: String) throws {
    let verdict = try FailCondition(parsing: text).verdict(on: report([calm, none, row]))
    #expect(verdict.missing == ["enc.4"])
    let fault = try #require(verdict.fault)
    #expect(fault.contains("load_cv") && fault.contains("enc.4") && fault.contains(text.contains("low") ? "--ci" : "without assignments"))
    let empty = try FailCondition(parsing: text).verdict(on: report([]))
    #expect(empty.fault?.contains("any router") == true && empty.violations.isEmpty)
  }
}
