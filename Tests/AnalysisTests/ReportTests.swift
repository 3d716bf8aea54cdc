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
      AnalysisPlan(metrics: [.gini], top: 0),
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
  @Test(arguments: MetricKey.allCases.filter { MetricCatalog.entry($0).runs != .denoising })
  func everyMetricIsProduced(key: MetricKey) throws {
    let run = try SyntheticRouting(documents: 12, length: 20...40, layers: 2, dirichlet: 1).run()
    let entry = MetricCatalog.entry(key)
    var facets: [Facet?] = [.label("domain"), .position].filter { entry.facets.allows($0) }
    if entry.grain != .axis { facets.append(nil) }
    for facet in facets {
      var plan = AnalysisPlan(
        metrics: [key], grouping: AnalysisGrouping(facet: facet), null: NullSettings(draws: 19), sequences: run.sequences)
      plan.intervals = true
      let report = try analyzed(plan, run.passes).report()
      let document = try #require(report[key])
      switch document.rows {
      case .metric(let rows):
        #expect(Set(rows.map(\.router.layer.rawValue)) == [0, 1], "\(key)")
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
    for entry in MetricCatalog.entries { #expect(entry.baselineValue(size)?.isFinite == true, "\(entry.key)") }
    #expect(near(Metric.coverage.baselineValue(size), 0.303, 0.01))
    #expect(near(Metric.uncertain.baselineValue(size), 0.05))
  }
}

@Suite struct ReportTests {
  private let allScalars: [MetricKey] = MetricKey.allCases.filter { $0 != .specialization && MetricCatalog.entry($0).runs != .denoising }

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
    let tables = try analyzed(AnalysisPlan(metrics: [.loadCV, .idle, .load, .uncertain, .importance]), run.passes).report().tables()
    #expect(tables.map(\.columns) == [["layer", "load_cv", "idle", "uncertain"], ["layer", "expert", "load", "importance"]])
    #expect(tables[0].rows.count == 2 && tables[1].rows.count == 16)
    #expect(tables[0].rows[1][0] == .count(1) && tables[0].rows[0][2] == .count(0))
    #expect(tables[0].notes.last == "480 tokens" && tables[0].notes.contains { $0.contains("(q0.95 of the run)") })
    let domain = AnalysisPlan(metrics: [.entropy, .loadCV], grouping: AnalysisGrouping(facet: .label("domain")), sequences: run.sequences)
    let cells = try analyzed(domain, run.passes).report().tables()
    #expect(cells[0].columns == ["layer", "domain", "entropy", "load_cv"] && cells[0].rows.count == 8)
  }

  @Test func numbersAsText() {
    #expect(ReportTable.Cell.percent(0.2099, digits: 1).display == "21.0%" && ReportTable.Cell.percent(0.5, digits: 1).plain == "0.5")
    #expect(
      ReportTable.Cell.number(-0.0004, digits: 3).display == "0.000" && ReportTable.Cell.number(12.3456, digits: 2).display == "12.35")
    #expect(ReportTable.Cell.missing.display == "-" && ReportTable.Cell.missing.plain.isEmpty)
    #expect(fixedPoint(1.06, digits: 2) == "1.06" && fixedPoint(3, digits: 0) == "3" && fixedPoint(-2.5, digits: 1) == "-2.5")
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

  @Test func wordsAViolation() throws {
    let row = MetricRow(
      router: RouterID(layer: 15), value: 0.7331, unit: "", n: 10, of: .assignments, interval: Interval(low: 0.7, high: 0.75))
    let calm = MetricRow(router: RouterID(layer: 3), value: 0.2, unit: "", n: 10, of: .assignments)
    let none = MetricRow(router: RouterID(layer: 4), value: nil, unit: "", n: 0, of: .assignments)
    let document = MetricDocument(
      run: nil, metric: .loadCV, axis: nil, unit: "", baseline: "", tokens: 1, settings: ReportSettings(by: "layer"), notes: [],
      rows: .metric([calm, none, row]))
    let report = AnalysisReport(documents: [document])
    let found = try FailCondition(parsing: "load_cv>0.7").violations(in: report)
    #expect(found.map(\.text) == ["layer 15: load_cv 0.733 > 0.7"])
    #expect(try FailCondition(parsing: "load_cv.low>0.69").violations(in: report).map(\.router.layer.rawValue) == [15])
    #expect(try FailCondition(parsing: "load_cv>0.9").violations(in: report).isEmpty)
    #expect(throws: AnalysisError.metricNotReported(metric: "gini")) { try FailCondition(parsing: "gini>0").violations(in: report) }
  }
}
